"""What it costs that a blob is durable and verified: storing and reading, beside doing it without care.

    python bench/bench_blobs.py [rounds]

The peer for storing copies the bytes to a file, syncs and hashes it; the peer for reading reads and hashes. Both see
the same bytes, one after another in every round.
"""

import hashlib
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from holdfast.adapters.blobs import DiskBlobs
from holdfast.core.artifact import Digest

ROUNDS: Final = 15
SMALL: Final = 10_000  # bytes: an envelope, a manifest, a policy
MANY: Final = 100  # small blobs of one measurement
LARGE: Final = 256 << 20  # bytes: a model


def timed(run: Callable[[], object]) -> float:
    """Return seconds."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def copied(source: Path, folder: Path) -> None:
    """Copy a file, sync it and hash it: what anybody would do who wants to know what was stored."""
    target = folder / "copy"
    shutil.copyfile(source, target)
    with target.open("rb") as file:
        os.fsync(file.fileno())
        hashlib.file_digest(file, "sha256")
    target.unlink()


def written(items: list[bytes], folder: Path) -> None:
    """Write small files and sync each."""
    for number, item in enumerate(items):
        with (folder / f"small-{number}").open("wb") as file:
            file.write(item)
            file.flush()
            os.fsync(file.fileno())


def read_and_hash(path: Path) -> None:
    """Read a file and hash it."""
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def main(rounds: int) -> None:
    """Print medians, quartiles and ratios."""
    print(f"Python {platform.python_version()}, Linux {platform.release()}, {os.cpu_count()} processors")
    print(f"{rounds} rounds, interleaved; ms")
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"
        for number in range(rounds + 1):
            for way, seconds in measure(folder, source, number):
                if number:  # the first round warms caches
                    times.setdefault(way, []).append(seconds * 1000)
    print(f"{'':34} {'median':>8} {'quartiles':>17} {'ours/peer':>9}")
    ways = list(times)
    for way, peer in zip(ways[::2], ways[1::2], strict=True):
        ratio = statistics.median(ours / theirs for ours, theirs in zip(times[way], times[peer], strict=True))
        for each, shown in ((way, f"{ratio:9.2f}"), (peer, "")):
            low, median, high = statistics.quantiles(times[each], n=4)
            print(f"{each:34} {median:8.1f} {low:8.1f} {high:8.1f} {shown}")


def measure(folder: Path, source: Path, number: int) -> list[tuple[str, float]]:
    """Return each way and its seconds, ours and its peer in turn, on bytes never stored before."""
    source.write_bytes(os.urandom(1 << 20) * (LARGE >> 20))
    items = [os.urandom(SMALL) for _ in range(MANY)]
    blobs = DiskBlobs(folder / f"blobs-{number}")
    digests: list[Digest] = []
    found = [
        (f"store one of {LARGE >> 20} MiB", timed(lambda: digests.append(blobs.put_file(source)))),
        ("peer: copy, sync, hash", timed(lambda: copied(source, folder))),
        (f"read one of {LARGE >> 20} MiB, verified", timed(lambda: blobs.path(digests[0]))),
        ("peer: read, hash", timed(lambda: read_and_hash(source))),
        (f"store {MANY} of {SMALL // 1000} kB", timed(lambda: [blobs.put(item) for item in items])),
        ("peer: write and sync each", timed(lambda: written(items, folder))),
    ]
    assert blobs.path(digests[0]).stat().st_size == LARGE
    shutil.rmtree(folder / f"blobs-{number}")
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
