"""Slow poison over 24 versions of real rows: how often it is found, after how many versions, and how often wrongly.

    python -m bench.bench_creep [seeds] [data sets…]

A third of the rows, or 2,000, are the trusted version; the rest comes in 24 versions. Sources are drawn, four of them.
Honest histories come in two kinds: drawn evenly, and with a season by which the odds of the second class swing by e^0.5
either way. The attacker is one source, or all of them (so that no source is unlike the others), and turns a share of
each version's rows into his class. "alone": how many of the 24 versions would have been named by the same bets with
nothing but the trusted version before. Nothing was tuned on these seeds (1,000 on); constants were chosen on made-up
rows (tests/unit/engines/test_screens_history.py) and on Spambase with seeds 0 to 3. Real data are found by
HOLDFAST_DATA.
"""

import sys
import time
from typing import Final

import numpy as np
from bench.bench_poisoning import SETS, Set
from numpy.typing import NDArray

from holdfast.engines.screens.history import creeping
from holdfast.engines.screens.learning import beliefs

VERSIONS: Final = 24
TRUSTED: Final = 2000
MOST: Final = 8000  # rows of a data set that are used
SHARE: Final = 0.02  # of each version's rows
SWING: Final = 0.5
FIRST_SEED: Final = 1000
Ints = NDArray[np.int64]


def drawn(data: Set, seed: int, *, season: bool) -> tuple[Ints, Ints]:
    """Rows in the order in which they come, and the version that brings each."""
    rng = np.random.default_rng((seed, 31))
    order = rng.permutation(len(data.labels))[:MOST]
    first = min(TRUSTED, len(order) // 3)
    rest = order[first:]
    version = np.arange(len(rest)) * VERSIONS // len(rest) + 1
    if season:
        second = data.labels[rest] == 1
        pull = SWING * np.sin(2 * np.pi * version / 12)
        keep = rng.random(len(rest)) < np.exp(np.where(second, pull, -pull) / 2 - SWING / 2)
        rest, version = rest[keep], version[keep]
    whole = np.concatenate((order[:first], rest)).astype(np.int64)
    return whole, np.concatenate((np.zeros(first, dtype=np.int64), version.astype(np.int64)))


def one(data: Set, seed: int, *, season: bool, by: str) -> tuple[int, bool, int]:
    """Return since which version somebody is named, 0 for never; whether it is the attacker; and versions alone."""
    chosen, version = drawn(data, seed, season=season)
    rng = np.random.default_rng((seed, 32))
    labels, target = data.labels[chosen].copy(), seed % data.classes
    sources = np.array(["a", "b", "c", "d"])[rng.integers(4, size=len(chosen))]
    for number in range(1, VERSIONS + 1) if by else ():
        mine = version == number
        able = np.flatnonzero(mine & (labels != target) & ((sources == "c") | (by == "all")))
        labels[rng.permutation(able)[: round(SHARE * mine.sum())]] = target
    texts = [data.texts[row] for row in chosen] if data.texts else []
    material = data.material(data.features[chosen], labels, texts)
    believed = beliefs(material, np.random.default_rng(seed), (version == 0).astype(np.float32)).probabilities
    far = [each for each in creeping(believed, labels, version, sources) if each.far]
    alone = 0
    for number in range(1, VERSIONS + 1) if by else ():
        kept = (version == 0) | (version == number)
        found = creeping(believed[kept], labels[kept], version[kept], sources[kept])
        alone += any(each.far for each in found)
    wanted = {"source": ("c", ""), "all": ("",), "": ()}[by]
    right = any(each.group in wanted and each.label == target for each in far)
    return min((each.since for each in far), default=0), right, alone


def main(seeds: int, names: list[str]) -> None:
    """Print each kind of history of each data set."""
    for name in names:
        try:
            data = SETS[name]()
        except FileNotFoundError:
            print(f"{name}: not here, skipped")
            continue
        for season in (False, True):
            for by in ("", "source", "all"):
                began = time.process_time()
                runs = [one(data, FIRST_SEED + seed, season=season, by=by) for seed in range(seeds)]
                named = [since for since, _, _ in runs if since]
                when = f", since version {np.median(named):.0f} in the median" if named else ""
                words = f"{'season' if season else 'even':6} {by or 'honest':6}: named {len(named)} of {seeds}{when}"
                if by:
                    words += f"; the right label {sum(right for _, right, _ in runs)}"
                    words += f"; versions alone {np.mean([alone for _, _, alone in runs]) / VERSIONS:.3f}"
                print(f"{name:9} {words}; {(time.process_time() - began) / seeds:.1f} CPU s each", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5, sys.argv[2:] or list(SETS))
