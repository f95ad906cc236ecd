"""One image, looked through: packages, secrets of every layer, files with others' rights, what cannot be read."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from holdfast.engines.advisories.matching import Dependency
from holdfast.engines.images.layers import Tree, lay
from holdfast.engines.images.layout import Image, Place
from holdfast.engines.images.packages import listed, unread, wanted
from holdfast.engines.secrets.scan import Collector, Leak
from holdfast.engines.secrets.sources import Part, unpacked

MAX_LOOKED: Final = (
    64 << 20
)  # bytes of one file that is looked through; logs and databases beyond it are said to be unread
_RELEASE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an image holds."""

    name: str
    packages: tuple[Dependency, ...]
    leaks: tuple[Leak, ...]
    setuid: tuple[str, ...]
    devices: tuple[str, ...]
    odd: tuple[tuple[str, str], ...]  # entries that no honest image has
    unread: tuple[tuple[str, str], ...]
    files: int
    layers: int
    bytes: int  # unpacked
    user: str  # that it runs as; empty means root
    created: datetime | None


def look_through(place: Place, image: Image) -> Found:
    """Look through one image.

    Raises:
        NotVerified: A layer is not the one that is named.
        InvalidInput: A layer cannot be read.
    """
    tree, into = Tree(), Collector()
    into.take("configuration", Part(inside="", data=image.config_bytes))  # secrets in the environment, in its history
    for number, (blob, diff_id) in enumerate(zip(image.layers, image.diff_ids, strict=True), 1):

        def look(path: str, stream: Any, number: int = number) -> None:
            into.files += 1
            for part in unpacked(_Bounded(stream)):
                into.take(f"layer {number}/{path}", part)

        lay(tree, place, blob, number=number, diff_id=diff_id, wanted=wanted, look=look)
    packages, scan = listed(tree.entries), into.result()
    missing = [*scan.unread, *unread(tree.entries)]
    if not packages:  # empty means no
        missing.append((image.name, "no package was found: what was copied in without a package cannot be judged"))
    return Found(
        name=image.name,
        packages=packages,
        leaks=scan.leaks,
        setuid=tree.setuid(),
        devices=tree.of("device"),
        odd=tuple(tree.odd),
        unread=tuple(missing),
        files=len(tree.entries),
        layers=len(image.layers),
        bytes=tree.unpacked,
        user=str(image.config.get("config", {}).get("User", "") or ""),
        created=_created(image.config.get("created")),
    )


class _Bounded:
    """A stream of which no more than a bound is read."""

    def __init__(self, stream: Any) -> None:
        self._stream, self._left = stream, MAX_LOOKED

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(min(size, self._left) if size >= 0 else self._left)
        self._left -= len(data)
        if not self._left and self._stream.read(1):
            raise ValueError(f"a file of more than {MAX_LOOKED} bytes")
        return data


def _created(said: Any) -> datetime | None:
    if not isinstance(said, str) or not _RELEASE.fullmatch(said):
        return None
    try:
        return datetime.fromisoformat(re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", said))
    except ValueError:
        return None
