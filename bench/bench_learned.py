"""Which of 1,000 models learned from a row of 1,000,000, and what a request to erase touches, beside a plain matrix.

    python bench/bench_learned.py [models]

Every model has a split of its own, drawn anew: 60 % to learn from, 15 % to tune on, 25 % to test on, which is the worst
case for Roaring bitmaps. The peer is a matrix of one bit for each row and model, of the side that was learned from.
The index is in memory, as in a server; what loading it costs a command is printed too.
"""

import platform
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np
import pyroaring
from numpy.typing import NDArray
from pyroaring import BitMap

from holdfast.engines.row_index import RowIndex, Split, parse_split, roster_of

MODELS: Final = 1_000
ROWS: Final = 1_000_000
ASKED: Final = 300
SEED: Final = 11
SALT: Final = bytes(32)


def built(models: int) -> tuple[RowIndex, NDArray[np.uint8], list[bytes]]:
    """Return the index, the matrix, and the documents of the first splits as they would be stored."""
    rng = np.random.default_rng(SEED)
    used = time.process_time()
    roster = roster_of((f"c-{number:07d}" for number in range(ROWS)), SALT)
    print(f"a roster of {ROWS:,} rows: {time.process_time() - used:.1f} CPU s, {roster.hashes.nbytes / 1e6:.0f} MB")
    splits: dict[str, Split] = {}
    matrix = np.zeros((models, ROWS // 8), dtype=np.uint8)
    documents: list[bytes] = []
    for number in range(models):
        drawn = rng.random(ROWS, dtype=np.float32)
        bounds = {"train": (0.0, 0.6), "validation": (0.6, 0.75), "test": (0.75, 1.0)}
        places = {side: np.flatnonzero((low <= drawn) & (drawn < high)) for side, (low, high) in bounds.items()}
        split = Split(roster="r", sides={side: BitMap(at.astype(np.uint32)) for side, at in places.items()})
        splits[f"split-{number}"] = split
        matrix[number] = np.packbits(drawn < bounds["train"][1])
        documents += [split.document] if len(documents) < 20 else []
    return RowIndex(rosters={"r": roster}, splits=splits), matrix, documents


def asked_of(index: RowIndex, key: str) -> list[tuple[str, str]]:
    """Return the side of each split that a row is on."""
    return list(index.sides_of(key))


def looked_up(matrix: NDArray[np.uint8], place: int) -> NDArray[np.intp]:
    """Return the models that learned from a row, by the matrix."""
    return np.flatnonzero(matrix[:, place >> 3] & (128 >> (place & 7)))


def quantiles(runs: list[float]) -> str:
    """Return median, p99 and the worst in CPU milliseconds."""
    ordered = sorted(runs)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    return f"p50 {ordered[len(ordered) // 2] * 1e3:.2f} ms, p99 {p99 * 1e3:.2f} ms, worst {ordered[-1] * 1e3:.2f} ms"


def timed(run: Callable[[], object]) -> float:
    """Return CPU seconds: others' work on this machine is not what is measured."""
    started = time.process_time()
    run()
    return time.process_time() - started


def main() -> None:
    """Run."""
    models = int(sys.argv[1]) if len(sys.argv) > 1 else MODELS
    print(f"pyroaring {pyroaring.__version__}, {platform.machine()}, {models:,} models by {ROWS:,} rows")
    index, matrix, documents = built(models)
    size = sum(map(len, documents)) / len(documents)
    loading = timed(lambda: [parse_split(each) for each in documents]) / len(documents)
    print(
        f"stored: {size / 1e3:.0f} kB a split, {loading * 1e3:.2f} ms to read one; the matrix: {ROWS // 8 / 1e3:.0f} kB"
    )
    rng = np.random.default_rng(SEED + 1)
    ours, theirs = [], []
    for number in rng.integers(0, ROWS, ASKED):
        key = f"c-{number:07d}"
        place = index.rosters["r"].place(key)
        assert place is not None
        ours.append(timed(partial(asked_of, index, key)))
        theirs.append(timed(partial(looked_up, matrix, place)))
        learned = {name for name, side in index.sides_of(key) if side == "train"}
        assert len(learned) == len(looked_up(matrix, place))
    print(f"which models learned from, were tuned or tested on a row: {quantiles(ours)}")
    print(f"the matrix, learned from alone:                           {quantiles(theirs)}")
    for rows in (1, 10, 100, 1000):
        asked = [[f"c-{n:07d}" for n in rng.integers(0, ROWS, rows)] for _ in range(ASKED // 3)]
        runs = [timed(partial(index.touched, keys)) for keys in asked]
        print(f"a request of {rows:4} rows: {quantiles(runs)}")


if __name__ == "__main__":
    main()
