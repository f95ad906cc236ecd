"""An image's blobs: an OCI image layout, as a folder or a tar, or what `docker save` writes.

Decides which manifests an image has, and gives each blob only while its digest is checked. A tar is read in place;
names in it are looked up, never used as paths of this machine.
"""

import hashlib
import json
import re
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from holdfast.core.errors import InvalidInput, NotVerified, TooLarge
from holdfast.engines.tar_headers import BoundedInfo

MAX_DOCUMENT: Final = 8 << 20  # bytes of an index, a manifest or a configuration
MAX_MANIFESTS: Final = 64  # of one index: a platform each
MAX_MEMBERS: Final = 10_000  # of an image's tar: blobs and a few documents
MAX_LAYERS: Final = 512  # of one manifest; builders stop at 127
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
_INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Where a blob lies, and the digest and size it must have; none where only what it unpacks to is known."""

    name: str
    digest: str = ""
    size: int = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image: its configuration, and its layers from the lowest up, with the digests they have unpacked."""

    name: str  # a platform or a tag
    config: dict[str, Any]
    config_bytes: bytes
    layers: tuple[Blob, ...]
    diff_ids: tuple[str, ...]


class Place:
    """Where an image lies: a folder or a tar."""

    def __init__(self, path: Path) -> None:
        """Look at what is there.

        Raises:
            InvalidInput: It is neither a folder nor a plain tar.
        """
        self.path, self._members = path, dict[str, tarfile.TarInfo]()
        if path.is_dir():
            return
        try:
            with tarfile.open(path, "r:", tarinfo=BoundedInfo) as archive:
                for number, member in enumerate(archive):
                    if number >= MAX_MEMBERS:
                        raise InvalidInput(f"more than {MAX_MEMBERS} members", place=str(path))
                    if member.isreg():
                        self._members[member.name.removeprefix("./")] = member
        except (tarfile.TarError, OSError, EOFError, ValueError) as error:
            words = "this is neither a folder nor a plain tar of an image"
            raise InvalidInput(
                f"{words}: {error}", place=str(path), expected="an OCI layout, or what `docker save` writes"
            ) from error

    def has(self, name: str) -> bool:
        """Say whether a file of this name is there."""
        if self._members:
            return name in self._members
        found = self.path / name
        return found.is_file() and not found.is_symlink()

    @contextmanager
    def open(self, name: str) -> Iterator[BinaryIO]:
        """Open a file of the image.

        Raises:
            InvalidInput: It is not there.
        """
        if not self.has(name):
            raise InvalidInput(f"the image has no {name[:200]!r}", place=str(self.path))
        if not self._members:
            with (self.path / name).open("rb") as stream:
                yield stream
            return
        with tarfile.open(self.path, "r:") as archive:
            opened = archive.extractfile(self._members[name])
            if opened is None:
                raise InvalidInput(f"{name[:200]!r} is no plain file", place=str(self.path))
            with opened:
                yield opened  # type: ignore[misc]

    def document(self, blob: Blob) -> bytes:
        """Return a small blob, verified.

        Raises:
            NotVerified: It has another digest or size.
            TooLarge: It is larger than a document.
        """
        with self.open(blob.name) as stream:
            data = stream.read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            raise TooLarge(f"a document of more than {MAX_DOCUMENT} bytes", place=blob.name)
        if blob.digest and "sha256:" + hashlib.sha256(data).hexdigest() != blob.digest:
            raise NotVerified(
                "the blob does not have its digest", place=f"{self.path}: {blob.name}", expected=blob.digest
            )
        if blob.size >= 0 and len(data) != blob.size:
            raise NotVerified(f"{len(data)} bytes", place=f"{self.path}: {blob.name}", expected=f"{blob.size}")
        return data


def images(place: Place) -> tuple[Image, ...]:
    """Return the images that lie at a place: one for each platform of an index, or each of a saved tar.

    Raises:
        InvalidInput: It is no image, or a document in it cannot be read.
        NotVerified: A blob does not have the digest that it is named by.
    """
    try:
        found = tuple(_oci(place)) if place.has("index.json") else tuple(_saved(place))
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise InvalidInput(f"a document of the image cannot be read: {error!r}", place=str(place.path)) from error
    if not found:  # empty means no
        raise InvalidInput("there is no image here", place=str(place.path))
    return found


def _oci(place: Place) -> Iterator[Image]:
    index = json.loads(place.document(Blob(name="index.json")))
    queue = [(each, 0) for each in index["manifests"]]
    for number, (described, depth) in enumerate(queue):
        if number >= MAX_MANIFESTS or depth > 2:
            raise InvalidInput(
                "too many manifests, or too deep", place=str(place.path), expected=f"at most {MAX_MANIFESTS}"
            )
        document = json.loads(place.document(_blob(described)))
        if described.get("mediaType") in _INDEXES or "manifests" in document:
            queue += [(each, depth + 1) for each in document["manifests"]]
            continue
        platform = described.get("platform", {})
        if platform.get("os") == "unknown":  # a statement about another manifest, no image
            continue
        yield _image(place, _name_of(described, platform), document)


def _name_of(described: dict[str, Any], platform: dict[str, Any]) -> str:
    tag = described.get("annotations", {}).get("org.opencontainers.image.ref.name", "")
    parts = [str(platform.get(key, "")) for key in ("os", "architecture", "variant")]
    return tag or "/".join(part for part in parts if part) or str(described["digest"])[:19]


def _image(place: Place, name: str, manifest: dict[str, Any]) -> Image:
    data = place.document(_blob(manifest["config"]))
    config = json.loads(data)
    layers, diffs = tuple(_blob(each) for each in manifest["layers"]), tuple(config["rootfs"]["diff_ids"])
    return _checked(Image(name=name, config=config, config_bytes=data, layers=layers, diff_ids=diffs), place)


def _saved(place: Place) -> Iterator[Image]:
    for each in json.loads(place.document(Blob(name="manifest.json"))):
        named = str(each["Config"])
        stem = named.rpartition("/")[2].removesuffix(".json")
        data = place.document(Blob(name=named, digest=f"sha256:{stem}"))
        config = json.loads(data)
        layers = tuple(Blob(name=str(layer)) for layer in each["Layers"])
        tag = (each.get("RepoTags") or [stem[:12]])[0]
        made = Image(
            name=tag, config=config, config_bytes=data, layers=layers, diff_ids=tuple(config["rootfs"]["diff_ids"])
        )
        yield _checked(made, place)


def _checked(image: Image, place: Place) -> Image:
    """Check that each layer has a digest for what it unpacks to.

    Raises:
        NotVerified: It has not: a layer that nothing names could be any.
    """
    if len(image.layers) != len(image.diff_ids) or len(image.layers) > MAX_LAYERS:
        raise NotVerified("the configuration names other layers than the manifest", place=f"{place.path}: {image.name}")
    if not all(_DIGEST.fullmatch(each) for each in image.diff_ids):
        raise NotVerified("a layer without a digest of SHA-256", place=f"{place.path}: {image.name}")
    return image


def _blob(described: dict[str, Any]) -> Blob:
    digest, size = described["digest"], described["size"]
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest) or not isinstance(size, int) or size < 0:
        raise InvalidInput(f"{str(digest)[:80]!r} is no descriptor that is read here", expected="sha256 and a size")
    return Blob(name="blobs/sha256/" + digest.removeprefix("sha256:"), digest=digest, size=size)
