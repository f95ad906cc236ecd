"""Matching dependencies with advisories, and looking through a container image: time and memory, without a peer.

    python bench/bench_dependencies.py [records]

The peers of this work ask a service over the network (pip-audit, osv-scanner) or are programs of their own; none of
them matches offline from Python, so there is nothing to stand beside. Records and image are made here from a seed.
"""

import hashlib
import io
import json
import random
import resource
import sys
import tarfile
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from holdfast.core.advisories import Snapshot  # noqa: E402 - the checkout is no installed package
from holdfast.engines.advisories.matching import Dependency, Index  # noqa: E402
from holdfast.engines.advisories.snapshot import gather, read_records  # noqa: E402
from holdfast.engines.images.layout import Place, images  # noqa: E402
from holdfast.engines.images.scan import look_through  # noqa: E402

RECORDS: Final = 20_000  # about what OSV holds of PyPI
PACKAGES: Final = 300
SEED: Final = 20261127
LAYER: Final = 200_000_000  # bytes, half of them text


def record(draw: random.Random, number: int) -> dict[str, Any]:
    """Return one advisory about one of two thousand packages."""
    fixed = f"{draw.randrange(1, 9)}.{draw.randrange(20)}"
    events = [{"introduced": "0"}, {"fixed": fixed}]
    package = {"ecosystem": "PyPI", "name": f"package-{draw.randrange(2000)}"}
    affected = {"package": package, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    affected["versions"] = [f"{major}.{minor}" for major in range(8) for minor in range(20)]
    return {"id": f"PYSEC-{number}", "modified": "2026-01-01T00:00:00Z", "summary": "x" * 200, "affected": [affected]}


def match(folder: Path, count: int) -> None:
    """Measure making, reading and matching a snapshot."""
    draw = random.Random(SEED)  # noqa: S311 - a corpus that can be made again is no secret
    for number in range(count):
        (folder / f"{number}.json").write_text(json.dumps(record(draw, number)))
    begun = time.perf_counter()
    data, ecosystems, made = gather(folder)
    packed = time.perf_counter()
    now = datetime.now(UTC)
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    about = Snapshot(date=now, made=now, records=made, digest=digest, ecosystems=ecosystems, source="made")
    index = Index(read_records(about, data))
    read = time.perf_counter()
    wanted = [
        Dependency(ecosystem="PyPI", name=f"package-{n}", version=f"{draw.randrange(9)}.1") for n in range(PACKAGES)
    ]
    found = index.match(wanted)
    done = time.perf_counter()
    print(f"snapshot of {made} records: made in {packed - begun:.2f} s, {len(data) / 1e6:.1f} MB")
    print(f"  read and indexed in {read - packed:.2f} s, {PACKAGES} packages matched in {1000 * (done - read):.1f} ms")
    print(f"  {len(found)} matches")


def image(folder: Path) -> None:
    """Measure looking through an image of one layer."""
    draw, out = random.Random(SEED), io.BytesIO()  # noqa: S311 - the same
    text = "".join(f"{draw.random():.6f} some words of a log line, number {n}\n" for n in range(20_000)).encode()
    noise = draw.randbytes(1_000_000)
    with tarfile.open(fileobj=out, mode="w") as archive:
        for number in range(LAYER // 2_000_000):
            for name, data in ((f"log/{number}.log", text[:1_000_000]), (f"bin/{number}", b"\0" + noise[1:])):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        status = b"Package: a\nStatus: install ok installed\nVersion: 1.0-1\n"
        info = tarfile.TarInfo("var/lib/dpkg/status")
        info.size = len(status)
        archive.addfile(info, io.BytesIO(status))
    layer = out.getvalue()
    config = json.dumps({"rootfs": {"diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest()]}}).encode()
    name = hashlib.sha256(config).hexdigest()
    saved = folder / "image.tar"
    with tarfile.open(saved, "w") as archive:
        listed = json.dumps([{"Config": f"{name}.json", "RepoTags": ["x:1"], "Layers": ["0/layer.tar"]}]).encode()
        for member, data in (("manifest.json", listed), (f"{name}.json", config), ("0/layer.tar", layer)):
            info = tarfile.TarInfo(member)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    del layer, out
    place = Place(saved)
    begun = time.process_time()
    found = look_through(place, images(place)[0])
    took = time.process_time() - begun
    print(f"image of {found.bytes / 1e6:.0f} MB: {took:.1f} s of the processor, {found.bytes / 1e6 / took:.0f} MB/s")


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else RECORDS
    with tempfile.TemporaryDirectory() as made:
        match(Path(made), count)
    with tempfile.TemporaryDirectory() as made:
        image(Path(made))
    print(f"memory at most: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
