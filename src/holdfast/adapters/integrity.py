"""What a running gateway consists of, looked at from beside it: code on disk, code in its workers' memory, its files.

Reads `/proc` of processes of the same user, and compares with what was there when it began. Believes no worker.
"""

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from holdfast.core.errors import HoldfastError, NotVerified

PACKAGE: Final = Path(__file__).resolve().parents[1]
CODE: Final = frozenset({".py", ".so"})
SYSTEM: Final = (
    "/nix/store/",
    "/lib/",
    "/lib64/",
    "/usr/lib/",
    "/usr/lib64/",
    "/usr/bin/",
    "/usr/local/lib/",
    "/usr/local/bin/",
)
KERNEL: Final = frozenset({"[vdso]", "[vsyscall]"})
_MAPPED: Final = 6  # columns of a line of maps where something is named


@dataclass(slots=True, kw_only=True)
class Integrity:
    """What was there at the beginning."""

    home: Path  # of the gateway
    root: Path  # the root keys that it pins
    workers: Callable[[], list[int]]  # process ids
    verify: Callable[[str], None]  # reads what is published under a digest once more; raises if it is not that
    package: Path = PACKAGE
    checks: int = 0
    _code: dict[str, str] = field(default_factory=dict)
    _mapped: dict[str, tuple[tuple[int, ...], str]] = field(default_factory=dict)
    _pinned: str = ""
    _height: tuple[int, int] = (0, 0)

    def begin(self) -> None:
        """Take in how things are."""
        self._code = dict(self._code_now())
        self._pinned = _digest(self.root)

    def look(self) -> list[str]:
        """Return in words whatever is not as it was; nothing where all is."""
        self.checks += 1
        found = [*self._changed_code(), *self._files(), *self._published()]
        for pid in self.workers():
            found += self._memory(pid)
        return list(dict.fromkeys(found))

    @property
    def height(self) -> tuple[int, int]:
        """The highest epoch and version of the trust document that the gateway's memory has held."""
        return self._height

    def recall(self, told: Path) -> None:
        """Take in how high a sidecar before this one has seen the gateway's memory, where it has told."""
        try:
            epoch, version = (_json(told) or {})["height"]
            self._height = max((int(epoch), int(version)), self._height)
        except (KeyError, TypeError, ValueError):  # it told nothing, or something else: what is seen from now on counts
            return

    def calls(self) -> dict[str, int]:
        """Return how many calls each worker says it has answered."""
        return {str(each.get("worker")): int(each.get("calls", 0)) for each in self._told()}

    def epoch(self) -> int | None:
        """Return the epoch that the gateway obeys, 0 before it has obeyed any; None where its memory cannot be read."""
        if self._nothing_yet():
            return 0  # the first table leads out of what was found before it; what is still there then is found again
        state = _json(self.home / "state.json")
        return int(state.get("epoch", 0)) if state is not None else None

    def _nothing_yet(self) -> bool:
        """Say whether nothing was ever loaded: a memory that was there, and is gone, is another thing."""
        return not (self.home / "state.json").exists() and self._height == (0, 0)

    def _code_now(self) -> Iterator[tuple[str, str]]:
        for path in sorted(self.package.rglob("*")):
            if path.suffix in CODE and path.is_file():
                yield str(path.relative_to(self.package)), _digest(path)

    def _changed_code(self) -> Iterator[str]:
        now = dict(self._code_now())
        for name in sorted(now.keys() ^ self._code.keys()):
            yield f"the code of the package has {'a new' if name in now else 'lost the'} file {name}"
        for name in sorted(now.keys() & self._code.keys()):
            if now[name] != self._code[name]:
                yield f"the code of {name} was changed"

    def _files(self) -> Iterator[str]:
        if _digest(self.root) != self._pinned:
            yield "the pinned root keys were changed"
        if self._nothing_yet():
            return
        state = _json(self.home / "state.json")
        if state is None:
            yield "the gateway's memory is gone or cannot be read"
            return
        height = (int(state.get("epoch", 0)), int(state.get("trust_version", 0)))
        if height < self._height:
            yield f"the gateway's memory fell from epoch {self._height[0]} to {height[0]}"
        self._height = max(height, self._height)

    def _published(self) -> Iterator[str]:
        for digest in sorted({each for told in self._told() for each in told.get("models", ())}):
            try:
                self.verify(str(digest))
            except NotVerified:
                yield f"the model {str(digest)[:19]} is not as it was loaded"
            except HoldfastError:  # gone, or not to be had now: the control plane may be away, and we serve on
                continue
        for path in sorted((self.home / "cache" / "blobs" / "sha256").glob("??/*")):
            if _digest(path) not in {"", path.parent.name + path.name}:
                yield f"the cached file {path.parent.name}{path.name[:10]} was changed"

    def _told(self) -> list[dict[str, Any]]:
        found = (_json(path) for path in sorted(self.home.glob("loaded-*.json")))
        return [each for each in found if each is not None]

    def _memory(self, pid: int) -> Iterator[str]:
        """Look at the code that a worker has mapped, and at who looks into it."""
        try:
            status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
            lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:  # it has just ended
            return
        tracer = next((line.split()[1] for line in status.splitlines() if line.startswith("TracerPid:")), "0")
        if tracer != "0":
            yield f"process {tracer} traces a worker"
        for line in lines:
            parts = line.split(maxsplit=_MAPPED - 1)
            if "x" in parts[1] and len(parts) == _MAPPED and parts[5] not in KERNEL:
                yield from self._mapping(parts[5], int(parts[4]))

    def _mapping(self, name: str, inode: int) -> Iterator[str]:
        if name.endswith(" (deleted)") or not name.startswith("/") or name.startswith("/memfd:"):
            yield f"a worker runs code from {name[:120]}, which no file holds"
            return
        if not name.startswith((f"{self.package}/", *_installation(), *SYSTEM)):
            yield f"a worker runs code from {name[:120]}, outside of its installation"
        try:
            at = os.stat(name)  # noqa: PTH116 - of a name that the kernel told, a hundred times a look
        except OSError:
            yield f"the library {name[:120]} is gone"
            return
        seen = (at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns)
        known = self._mapped.get(name)
        if at.st_ino != inode or (known is not None and known[0] != seen and known[1] != _digest(Path(name))):
            yield f"the library {name[:120]} was changed"
        elif known is None:
            self._mapped[name] = (seen, _digest(Path(name)))


@cache
def _installation() -> tuple[str, ...]:
    """Return the folders that this interpreter and its packages are installed in, as the kernel names them."""
    packages = [each for each in sys.path if Path(each).name in {"site-packages", "dist-packages", "lib-dynload"}]
    return tuple(f"{os.path.realpath(each)}/" for each in (sys.prefix, sys.base_prefix, *packages))


def siblings() -> list[int]:
    """Return the processes of the same parent, this one aside: the workers that a supervisor has forked."""
    parent, own = os.getppid(), os.getpid()
    try:
        words = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    except OSError:
        return []
    return [int(word) for word in words if int(word) != own]


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
