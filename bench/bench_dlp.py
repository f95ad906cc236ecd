"""Personal data: precision, recall and F1 of each entity, and the time a cell takes, beside Presidio.

    python bench/bench_dlp.py [seed] [locales that Presidio reads]

The corpus is `dlp_corpus`: Faker's values in its locales, at least half of what is judged being hard negatives. Judged
are columns (is each kind that stands in it found, and no other) and sentences (is the value found where it stands, and
nothing else). Rules were written on the development locales; the held-out ones count. Presidio runs with its own
recognizers by pattern and a blank spaCy model (no model for names is needed for these kinds), in the environment of
`scripts/venv .venv-data locks/peers-data.txt`; a column is of a kind for it when at least half of its values are.

The time is CPU time of this process over a table of a million cells, of which nine in ten are distinct: whole columns,
no sampling. Presidio's is taken over some thousand of the same cells, in turns with ours.
"""

import json
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import polars as pl

ROOT: Final = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from bench.dlp_corpus import DEVELOPMENT, ENTITIES, HELD_OUT, sentences, tables  # noqa: E402 - no installed package
from bench.dlp_speed import million  # noqa: E402

from holdfast.engines.personal import find, scan  # noqa: E402

SEED: Final = 20261127
PEER: Final = ROOT / ".venv-data" / "bin" / "python"
PEER_LOCALES: Final = 8
ROUNDS: Final = 5


class Score:
    """Right, false and missed, by entity."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.right, self.false, self.missed = Counter[str](), Counter[str](), Counter[str]()

    def judge(self, truth: str, found: Iterable[str]) -> None:
        """Count one column or sentence."""
        said = {kind for kind in found if kind in ENTITIES}
        if truth:
            (self.right if truth in said else self.missed)[truth] += 1
        self.false.update(said - {truth})

    def f1(self, kinds: Sequence[str] = ENTITIES) -> tuple[float, float, float]:
        """Return precision, recall and F1 over some kinds."""
        right = sum(self.right[kind] for kind in kinds)
        false, missed = sum(self.false[kind] for kind in kinds), sum(self.missed[kind] for kind in kinds)
        precision, recall = right / max(1, right + false), right / max(1, right + missed)
        return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def ours(locales: Sequence[str], seed: int) -> tuple[Score, Score]:
    """Return how we do on the columns and on the sentences of some locales."""
    columns, texts = Score(), Score()
    for locale in locales:
        for table in tables(locale, seed):
            frame = pl.DataFrame({f"{n}": list(each.values) for n, each in enumerate(table)}, strict=False)
            frame.columns = _unique([each.name for each in table])
            hits = scan(frame)
            for name, column in zip(frame.columns, table, strict=True):
                columns.judge(column.entity, (hit.entity for hit in hits if hit.column == name))
        for one in sentences(locale, seed):
            spans = find(one.text)
            meets = {span.entity for span in spans if span.start < one.stop and one.start < span.stop}
            texts.judge(one.entity, meets | {span.entity for span in spans})
    return columns, texts


def _unique(names: list[str]) -> list[str]:
    return [name if names.index(name) == at else f"{name} {at}" for at, name in enumerate(names)]


def theirs(locales: Sequence[str], seed: int) -> tuple[Score, Score] | None:
    """Return how Presidio does, or None where its environment is not there."""
    if not PEER.is_file():
        return None
    asked: dict[str, list[list[str]]] = {"columns": [], "texts": []}
    truths: dict[str, list[str]] = {"columns": [], "texts": []}
    for locale in locales:
        for table in tables(locale, seed):
            for column in table:
                asked["columns"].append([str(value) for value in column.values[:20]])
                truths["columns"].append(column.entity)
        for one in sentences(locale, seed):
            asked["texts"].append([one.text])
            truths["texts"].append(one.entity)
    said = _asked(asked)
    scores = Score(), Score()
    for score, part in zip(scores, ("columns", "texts"), strict=True):
        for truth, found in zip(truths[part], said[part], strict=True):
            score.judge(truth, found)
    return scores


def _asked(question: dict[str, Any]) -> dict[str, Any]:
    line = [str(PEER), str(ROOT / "bench" / "peer_presidio.py")]
    done = subprocess.run(line, input=json.dumps(question), capture_output=True, text=True, check=True)
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def show(title: str, columns: Score, texts: Score) -> None:
    """Print one table of rates."""
    print(f"\n{title}\n{'':16}{'columns P/R/F1':>24}{'sentences P/R/F1':>24}{'both F1':>10}")
    both = Score()
    for part in (columns, texts):
        for mine, more in ((both.right, part.right), (both.false, part.false), (both.missed, part.missed)):
            mine.update(more)
    for name, kinds in (*((kind, [kind]) for kind in ENTITIES), ("over all", list(ENTITIES))):
        parts = ["/".join(f"{rate:.3f}" for rate in part.f1(kinds)) for part in (columns, texts)]
        print(f"{name:16}" + "".join(f"{rates:>24}" for rates in parts) + f"{both.f1(kinds)[2]:>10.3f}")


def speed(seed: int) -> None:
    """Print the CPU time over a million cells, and a cell's beside Presidio's."""
    frame = million(seed)
    distinct = sum(frame.get_column(name).n_unique() for name in frame.columns) / (frame.width * frame.height)
    took, cells = [], [str(value) for name in frame.columns for value in frame.get_column(name).head(100)]
    peers = []
    for _ in range(ROUNDS):
        begun = time.process_time()
        scan(frame)
        took.append(time.process_time() - begun)
        if PEER.is_file():
            peers.append(float(_asked({"columns": [cells], "texts": []})["cpu_s"]) / len(cells))
    print(f"\n{frame.width} columns × {frame.height} rows, {distinct:.0%} distinct")
    mine = statistics.median(took)  # seconds for a million cells: microseconds for one
    print(f"ours      {mine:.2f} CPU s ({min(took):.2f} to {max(took):.2f}), {mine:.2f} µs a cell")
    if peers:
        each = statistics.median(peers) * 1e6
        spread = f"{min(peers) * 1e6:.0f} to {max(peers) * 1e6:.0f}"
        print(f"Presidio  {each:.0f} CPU µs a cell ({spread}), {each / mine:.0f} times ours")


def main() -> None:
    """Print everything."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else SEED
    show(f"ours, development: {' '.join(DEVELOPMENT)}", *ours(DEVELOPMENT, seed))
    show(f"ours, held out: {len(HELD_OUT)} locales", *ours(HELD_OUT, seed))
    some = HELD_OUT[:: max(1, len(HELD_OUT) // int(sys.argv[2] if len(sys.argv) > 2 else PEER_LOCALES))]
    peer = theirs(some, seed)
    if peer is None:
        print("\nPresidio is left out: there is no environment .venv-data")
    else:
        show(f"ours, the locales that Presidio reads: {' '.join(some)}", *ours(some, seed))
        show("Presidio, the same", *peer)
    speed(seed)


if __name__ == "__main__":
    main()
