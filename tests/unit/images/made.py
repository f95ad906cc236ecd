"""Images made by hand for tests: layers, configurations, manifests, as an OCI layout or a saved tar."""

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

OS = b'ID=debian\nVERSION_ID="12"\n'
DPKG = (
    b"Package: libssl3\nStatus: install ok installed\nSource: openssl (3.0.11-1~deb12u1)\nVersion: 3.0.11-1~deb12u1\n\n"
    b"Package: gone\nStatus: deinstall ok config-files\nVersion: 1.0\n"
)
APK = b"P:libcrypto3\nV:3.1.4-r0\no:openssl\n\nP:musl\nV:1.2.4-r1\n"


def member(name: str, data: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    """Return a member of a tar; further attributes are set on it."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    for key, value in more.items():
        setattr(info, key, value)
    return info, data


def layer(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """Return a layer, unpacked."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for info, data in members:
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return out.getvalue()


def digest(data: bytes) -> str:
    """Return a digest as images write it."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Layout:
    """An OCI image layout that grows in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "blobs" / "sha256").mkdir(parents=True)
        (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')

    def put(self, data: bytes, kind: str = "application/octet-stream") -> dict[str, Any]:
        """Store a blob and return its descriptor."""
        (self.folder / "blobs" / "sha256" / digest(data)[7:]).write_bytes(data)
        return {"mediaType": kind, "digest": digest(data), "size": len(data)}

    def image(self, *layers: bytes, packed: bool = True, **config: Any) -> dict[str, Any]:
        """Store an image of these layers and return the descriptor of its manifest."""
        document: dict[str, Any] = {
            "rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]},
            "config": config,
        }
        document["created"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.123456789Z"
        manifest = {
            "schemaVersion": 2,
            "config": self.put(json.dumps(document).encode()),
            "layers": [self.put(gzip.compress(each, mtime=0) if packed else each) for each in layers],
        }
        return self.put(json.dumps(manifest).encode(), "application/vnd.oci.image.manifest.v1+json")

    def index(self, *manifests: dict[str, Any]) -> Path:
        """Write the index of these manifests, and return the folder."""
        (self.folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": list(manifests)}))
        return self.folder


def saved(path: Path, layers: Iterable[bytes], **config: Any) -> Path:
    """Write what `docker save` writes, and return its path."""
    layers = list(layers)
    document = {"rootfs": {"type": "layers", "diff_ids": [digest(each) for each in layers]}, "config": config}
    data = json.dumps(document).encode()
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    listed = [{"Config": f"{digest(data)[7:]}.json", "RepoTags": ["app:1"], "Layers": names}]
    members = [member("manifest.json", json.dumps(listed).encode()), member(f"{digest(data)[7:]}.json", data)]
    path.write_bytes(layer(*members, *(member(name, each) for name, each in zip(names, layers, strict=True))))
    return path
