"""Which of 1,000 models learned from a row of 1,000,000, and what a request to erase touches, beside a plain matrix.

    python bench/bench_learned.py [models]

Every model has a split of its own, drawn anew: 60 % to learn from, 15 % to tune on, 25 % to test on, which is the worst
case for Roaring bitmaps. The peer is a matrix of one bit for each row and model, of the side that was learned from.
The index is in memory, which no server of ours keeps: a command makes it of the stored bitmaps each time, and what that
costs without reading and decrypting them is printed too. Answers are checked against the matrix.
"""

import platform
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import numpy as np
import pyroaring
from numpy.typing import NDArray
from pyroaring import BitMap

from holdfast.engines.row_index import RowIndex, Split, parse_split, roster_of, row_index

MODELS: Final = 1_000
ROWS: Final = 1_000_000
ASKED: Final = 300
SEED: Final = 11
SALT: Final = bytes(32)


def built(models: int) -> tuple[RowIndex, NDArray[np.uint8]]:
    """Return the index, made of documents as they would be stored, and the matrix; say what both take."""
    rng = np.random.default_rng(SEED)
    used = time.process_time()
    roster = roster_of((f"c-{number:07d}" for number in range(ROWS)), SALT)
    print(f"a roster of {ROWS:,} rows: {time.process_time() - used:.1f} CPU s, {roster.hashes.nbytes / 1e6:.0f} MB")
    matrix = np.zeros((models, ROWS // 8), dtype=np.uint8)
    sizes, drawing = list[int](), 0.0

    def stored() -> Iterator[tuple[str, Split]]:
        nonlocal drawing
        for number in range(models):
            began = time.process_time()
            drawn = rng.random(ROWS, dtype=np.float32)
            bounds = {"train": (0.0, 0.6), "validation": (0.6, 0.75), "test": (0.75, 1.0)}
            places = {side: np.flatnonzero((low <= drawn) & (drawn < high)) for side, (low, high) in bounds.items()}
            split = Split(roster="r", sides={side: BitMap(at.astype(np.uint32)) for side, at in places.items()})
            matrix[number] = np.packbits(drawn < bounds["train"][1])
            document = split.document
            sizes.append(len(document))
            del split, drawn, places
            drawing += time.process_time() - began
            yield f"split-{number}", parse_split(document)

    used = time.process_time()
    index = row_index({"r": roster}, stored())
    used = time.process_time() - used - drawing
    held = sum(lines.words.nbytes for several in index.lines.values() for lines in several)
    left = sum(len(each.document) for each in index.bitmaps.values())
    print(
        f"stored: {sum(sizes) / models / 1e3:.0f} kB a split, {used / models * 1e3:.2f} CPU ms to read one and put it "
        f"into the index; in memory {held / 1e6:.0f} MB of lines and {left / 1e6:.1f} MB of bitmaps, where bitmaps "
        f"alone were {sum(sizes) / 1e6:.0f} MB; the matrix: {matrix.nbytes / 1e6:.0f} MB"
    )
    return index, matrix


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
    index, matrix = built(models)
    rng = np.random.default_rng(SEED + 1)
    ours, theirs = [], []
    for number in rng.integers(0, ROWS, ASKED):
        key = f"c-{number:07d}"
        place = index.rosters["r"].place(key)
        assert place is not None
        ours.append(timed(partial(asked_of, index, key)))
        theirs.append(timed(partial(looked_up, matrix, place)))
        learned = [int(name[6:]) for name, side in index.sides_of(key) if side == "train"]
        assert learned == looked_up(matrix, place).tolist()
    print(f"which models learned from, were tuned or tested on a row: {quantiles(ours)}")
    print(f"the matrix, learned from alone:                           {quantiles(theirs)}")
    for rows in (1, 10, 100, 1000):
        asked = [[f"c-{n:07d}" for n in rng.integers(0, ROWS, rows)] for _ in range(ASKED)]
        runs = [timed(partial(index.touched, keys)) for keys in asked]
        print(f"a request of {rows:4} rows: {quantiles(runs)}, the first {runs[0] * 1e3:.2f} ms")
        for keys in asked[:3]:
            at = np.unique(index.rosters["r"].places(keys))
            learned = np.unpackbits(matrix[:, at >> 3][:, :, None], axis=2)[:, np.arange(at.size), at & 7].sum(axis=1)
            assert np.array_equal(index.touched(keys)[1][:, 0], learned)


if __name__ == "__main__":
    main()
