"""Memory and time of holding a second version against the first, where both lie as Parquet: `ingest.history/1` alone.

python bench/bench_creep.py [MEGABYTES] [whole]     default 100, as much CSV as the rows of each version would be

The rows are like those of `bench_memory.py`; one of ten is another in the second version. With `whole` all rows are in
one bucket, which opens both versions. It runs in a process of its own, of which the kernel says what it held at most.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from holdfast.engines.dataset import ROW_GROUP, ZSTD_LEVEL
from holdfast.engines.packed import packed_file
from holdfast.ingest import creeping

TOWNS: Final = ("Aarhus", "Cork", "Graz", "Lyon", "Porto", "Turku", "Ulm", "Zadar")
FEATURES: Final = ("town", "a", "b", "c", "d", "visits", "code")
ROWS_A_MEGABYTE: Final = 16_300
DRAWN: Final = 1_000_000  # rows at a time


def drawn(seed: int, rows: int, *, changed: bool) -> pl.DataFrame:
    """Some rows of a version; those of the second differ from those of the first in one of ten."""
    rng, other = np.random.default_rng(seed), np.random.default_rng((seed, 1))
    a, b = rng.random(rows).round(6), rng.normal(0, 9, rows).round(4)
    if changed:
        a[::10] = other.random(len(a[::10])).round(6)
    columns = {
        "town": np.array(TOWNS)[rng.integers(8, size=rows)],
        "a": a,
        "b": b,
        "c": rng.normal(size=rows).round(6),
        "d": rng.lognormal(2, 1, rows).round(3),
        "visits": rng.integers(90, size=rows),
        "code": rng.integers(10**5, size=rows),
        "label": np.where(a * 10 + b + rng.normal(0, 3, rows) > 6, "yes", "no"),
    }
    return pl.DataFrame(columns)


def write(folder: Path, rows: int) -> None:
    """Both versions, as they are stored."""
    for version in range(2):
        parts = []
        for start in range(0, rows, DRAWN):
            parts.append(folder / f"part{start}.parquet")
            drawn(start, min(DRAWN, rows - start), changed=bool(version)).write_parquet(parts[-1])
        pl.scan_parquet(parts).sink_parquet(
            folder / f"{version}.parquet", compression="zstd", compression_level=ZSTD_LEVEL, row_group_size=ROW_GROUP
        )
        for part in parts:
            part.unlink()


def most() -> float:
    """Return the most that this process held so far, in MB; what the kernel adds up by process counts its parent in."""
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in status if line.startswith("VmHWM"))


def compare(folder: Path, *, whole: bool) -> None:
    """Hold the second version against the first, and tell."""
    if whole:
        vars(creeping)["OPEN"] = sys.maxsize
    before = most()
    versions, used = [packed_file(folder / f"{version}.parquet") for version in range(2)], time.process_time()
    found = creeping.crept(versions, "label", FEATURES, ["town"])
    used = time.process_time() - used
    print(f"most of the process: {most():.0f} MB, {before:.0f} of it before; {used:.1f} CPU s; {found!s:.160}")


def main() -> None:
    """Write, compare in another process."""
    megabytes = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with tempfile.TemporaryDirectory() as name:
        write(Path(name), megabytes * ROWS_A_MEGABYTE)
        sizes = [f"{each.stat().st_size / 1e6:.0f}" for each in sorted(Path(name).iterdir())]
        print(f"{megabytes * ROWS_A_MEGABYTE:,} rows a version, {' and '.join(sizes)} MB as Parquet", flush=True)
        subprocess.run([sys.executable, __file__, "compare", name, *sys.argv[2:3]], check=True)


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "compare":
        compare(Path(sys.argv[2]), whole=len(sys.argv) > 3)
    else:
        main()
