"""How soon a bad canary is caught, and how often a good one is condemned, when one looks after every few calls.

    .venv/bin/python bench/bench_canary.py [RUNS]

Simulated, with seeds: each tick brings calls of the candidate and of the baseline beside it, and every rule looks.
Beside ours (all metrics of `holdfast.rollout.analysis`, one budget of 2 %) stand a fixed threshold on the newest calls
and a two-sample z-test at 2 % that is repeated at every look. No timing: counts only.
"""

import math
import sys
from collections.abc import Callable
from statistics import median

import numpy as np

from holdfast.core.telemetry import LATENCY_EDGES_MS, Window
from holdfast.rollout.analysis import Analysis, Rules

RUNS = 400
GOOD, BAD = 0.01, 0.03  # failures of the baseline, and of a bad candidate
ALPHA = 0.02
TICK = 10  # calls of the candidate between two looks
NEWEST = 100  # calls that the fixed threshold looks at
THRESHOLD = 0.02  # above it a candidate is taken back
CELLS = len(LATENCY_EDGES_MS) + 1
SPREAD = np.array(
    [0.02, 0.5, 0.3, 0.1, 0.05, 0.02, 0.008, 0.002, *[0.0] * (CELLS - 8)]
)  # of latencies over their cells
REFUSED, MARKED = 0.02, 0.05
TRAINED = (25, 25, 25, 25, 0)

Rule = Callable[[list[tuple[Window, Window]]], bool]


def window(chance: np.random.Generator, calls: int, failing: float) -> Window:
    """Return what a release did in one tick."""
    scores = chance.multinomial(calls, [0.25, 0.25, 0.25, 0.25, 0.0])
    return Window(
        requests=calls,
        rows=calls,
        failures=int(chance.binomial(calls, failing)),
        flagged=0,
        latency=tuple(int(each) for each in chance.multinomial(calls, SPREAD)),
        inputs={},
        scores=tuple(int(each) for each in scores),
        refused=int(chance.binomial(calls, REFUSED)),
        marked=int(chance.binomial(calls, MARKED)),
    )


def run(seed: int, failing: float, share: float, most: int) -> dict[str, float]:
    """Return after how many calls of the candidate each rule condemned it; infinite for never."""
    chance = np.random.default_rng(seed)
    ours = Analysis(rules=Rules(min_requests=most + 1, alpha=ALPHA), trained=(TRAINED, TRAINED))
    beside = round(TICK * (1 - share) / share)
    caught = dict.fromkeys(("anytime-valid", "z-test", "threshold"), math.inf)
    totals, newest = np.zeros(4), list[int]()
    for tick in range(1, most // TICK + 1):
        candidate, baseline = window(chance, TICK, failing), window(chance, beside, GOOD)
        if math.isinf(caught["anytime-valid"]):
            ours.update(candidate, baseline)
            if ours.verdict().verdict == "return":
                caught["anytime-valid"] = tick * TICK
        totals += (candidate.failures, TICK, baseline.failures, beside)
        newest = [*newest, candidate.failures][-NEWEST // TICK :]
        if z_rejects(*totals):
            caught["z-test"] = min(caught["z-test"], tick * TICK)
        if tick * TICK >= NEWEST and sum(newest) / NEWEST > THRESHOLD:
            caught["threshold"] = min(caught["threshold"], tick * TICK)
    return caught


def z_rejects(k_a: float, n_a: float, k_b: float, n_b: float) -> bool:
    """Say whether the pooled one-sided z-test rejects at `ALPHA`; from ten calls on."""
    pooled = (k_a + k_b) / (n_a + n_b)
    spread = math.sqrt(pooled * (1 - pooled) * (1 / n_a + 1 / n_b))
    return spread > 0 and (k_a / n_a - k_b / n_b) / spread > 2.0537  # the 98 % point of the normal law


def main() -> None:
    """Print, for shares of the traffic, false rollbacks and when a bad candidate was caught."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    print(f"{runs} runs each; looks every {TICK} candidate calls; alpha {ALPHA}")
    for share in (0.1, 0.5):
        good = [run(seed, GOOD, share, 3000) for seed in range(runs)]
        bad = [run(10_000 + seed, BAD, share, 3000) for seed in range(runs)]
        for rule in ("anytime-valid", "z-test", "threshold"):
            wrong = sum(math.isfinite(each[rule]) for each in good) / runs
            found = sorted(each[rule] for each in bad)
            print(
                f"share {share:.0%}  {rule:14} false rollbacks {wrong:6.1%} of 3,000 calls each;"
                f"  caught after {median(found):5.0f} (median), {found[int(0.9 * runs)]:5.0f} (90 %)"
            )


if __name__ == "__main__":
    main()
