"""What it costs that a table is verified before a row is read, and how long other questions about versions take.

    python bench/bench_data.py [rounds]

Reading: the same Delta table, read plainly by Polars from the files that `deltalake` names, and read as a version is
checked: every byte hashed row group by row group, held against the signed root, and the rows taken from those very
bytes. Interleaved, in CPU seconds; three tables of 1,000,000 rows, from well to badly compressed.
"""

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import deltalake
import numpy as np
import polars as pl
from polars.testing import assert_frame_equal

from holdfast.core.artifact import digest_bytes
from holdfast.engines import delta
from holdfast.engines.cell_diff import compare
from holdfast.engines.dataset import TABLE, to_parquet
from holdfast.engines.layout import Layout, layout_of

ROUNDS: Final = 9
ROWS: Final = 1_000_000
SEED: Final = 7
COLUMNS: Final = 20


def tables() -> dict[str, pl.DataFrame]:
    """Return the tables: codes and counts; half numbers half texts, as business data are; random numbers alone."""
    rng = np.random.default_rng(SEED)
    ids = pl.Series("id", [f"c-{number:07d}" for number in range(ROWS)])
    counts = {f"n{each}": rng.integers(0, 10 ** (1 + each % 4), ROWS) for each in range(COLUMNS)}
    words = {f"c{each}": rng.choice(["north", "south", "east", "west"], ROWS) for each in range(COLUMNS // 4)}
    money = {f"m{each}": rng.lognormal(4, 1, ROWS).round(2) for each in range(COLUMNS // 2)}
    noise = {f"x{each}": rng.normal(size=ROWS) for each in range(COLUMNS)}
    return {
        "codes and counts": pl.DataFrame([ids, *pl.DataFrame(counts)]),
        "business rows": pl.DataFrame([ids, *pl.DataFrame(words), *pl.DataFrame(money)]),
        "random numbers": pl.DataFrame([ids, *pl.DataFrame(noise)]),
    }


def checked_out(frame: pl.DataFrame, folder: Path) -> Layout:
    """Write a table as `holdfast data checkout` does, and return its layout."""
    data, schema = to_parquet(frame), b"{}"
    (folder / TABLE).write_bytes(data)
    log = delta.log_of(folder / TABLE, folder / "scratch")
    for path, content in {TABLE: data, delta.LOG: log, delta.SCHEMA_FILE: schema}.items():
        (folder / path).parent.mkdir(exist_ok=True, parents=True)
        (folder / path).write_bytes(content)
    return layout_of({TABLE: data, delta.LOG: log, delta.SCHEMA_FILE: schema})


def plain(folder: Path) -> pl.DataFrame:
    """Read a table without looking at what it is."""
    files = [uri.removeprefix("file://") for uri in deltalake.DeltaTable(str(folder)).file_uris()]
    return pl.read_parquet(files)


def cpu(run: Callable[..., object], *arguments: object) -> float:
    """Return CPU seconds of all threads."""
    started = time.process_time()
    run(*arguments)
    return time.process_time() - started


def reading(rounds: int) -> None:
    """Print what verified reading costs beside plain reading."""
    for name, frame in tables().items():
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "table"
            layout = checked_out(frame, folder)
            assert_frame_equal(delta.read_table(folder, layout), plain(folder))
            pairs = [(cpu(plain, folder), cpu(delta.read_table, folder, layout)) for _ in range(rounds)]
            size = (folder / TABLE).stat().st_size
        ratios = sorted(verified / alone for alone, verified in pairs)
        alone, verified = (statistics.median(each) for each in zip(*pairs, strict=True))
        spread = f"quartiles {ratios[rounds // 4]:.2f} to {ratios[-1 - rounds // 4]:.2f}"
        print(
            f"{name:17} {size / 1e6:6.1f} MB  plain {alone * 1e3:6.0f} ms  verified {verified * 1e3:6.0f} ms  "
            f"ratio of medians {verified / alone:.2f} ({spread})"
        )


def differing() -> None:
    """Print how long a diff by key takes, beside a whole join in Polars that finds the changed rows alone."""
    frame = tables()["business rows"]
    row = pl.int_range(pl.len())
    other = frame.with_columns(pl.when(row % 1000 == 3).then(0.0).otherwise(pl.col("m3")).alias("m3"))
    other = other[500:].sample(fraction=1, shuffle=True, seed=SEED)
    with tempfile.TemporaryDirectory() as place:
        older, newer = Path(place) / "older.parquet", Path(place) / "newer.parquet"
        older.write_bytes(to_parquet(frame))
        newer.write_bytes(to_parquet(other))
        started, used = time.perf_counter(), time.process_time()
        diff = compare(older, newer, ("id",))
        cells = sum(1 for _ in diff.each_cell())
        took, used = time.perf_counter() - started, time.process_time() - used
    found = f"{cells} cells changed, {diff.removed.height} rows removed, {diff.same:,} the same"
    print(f"diff of two versions, {ROWS:,} rows by {frame.width} columns: {took:.1f} s, {used:.1f} CPU s; {found}")


def sizes() -> None:
    """Print what a Delta log adds to content-addressed Parquet."""
    frame = tables()["business rows"]
    data = to_parquet(frame)
    with tempfile.TemporaryDirectory() as place:
        table = Path(place, TABLE)
        table.write_bytes(data)
        used = time.process_time()
        log = delta.log_of(table, Path(place) / "scratch")
        used = time.process_time() - used
    digesting = cpu(digest_bytes, data)
    print(
        f"a Delta log over {len(data) / 1e6:.1f} MB: {len(log)} bytes, {used * 1e3:.0f} CPU ms; "
        f"the digest of the same file: {digesting * 1e3:.0f} ms"
    )


def main() -> None:
    """Run."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    print(f"polars {pl.__version__}, deltalake {deltalake.__version__}, {platform.machine()}, {rounds} rounds")
    reading(rounds)
    differing()
    sizes()


if __name__ == "__main__":
    main()
