"""Is the candidate worse than the baseline that answers beside it? Looked at as often as one likes.

Several metrics share one error budget α. Each counted metric is an e-process (`maths.odds`): failures, refusals of
known callers, calls with flagged rows, and calls slower than the baseline's own quantiles. Their weighted mean is an
e-process too, so a candidate that is no worse in any of them is returned with probability at most (1 - `SCORES`) α,
however often one looks (Ville). The scores, where a newer model may differ a little, are held to a tolerance by a
confidence sequence with the rest of the budget. A metric is compared block by block with what the baseline did in the
same time. Calls are what is taken as independent: several of one caller, or rows of one call, are less than that.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from holdfast.core.telemetry import LATENCY_EDGES_MS, Window
from holdfast.maths.confidence_sequences import hoeffding_radius
from holdfast.maths.odds import Odds, ln_mean_exp
from holdfast.maths.sequential import Block

WEIGHTS: Final = {"failures": 0.8, "refusals": 0.05, "flagged": 0.04, "slow_p50": 0.02, "slow_p95": 0.04}
"""How the budget is split over what is counted; a failing model is what a canary is for."""
SCORES: Final = 0.05  # of the budget, for the scores
QUANTILES: Final = {"slow_p50": 0.5, "slow_p95": 0.95}


class Verdict(StrEnum):
    """What the analysis says, and the signals of the machines."""

    START = "start"
    WAIT = "wait"
    ADVANCE = "advance"
    RETURN = "return"
    SWITCH = "switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a plan asks of the comparison."""

    min_requests: int  # calls the candidate must have answered before it may pass: absence of evidence earns nothing
    alpha: float  # chance of returning a candidate that is no worse, however often one looks
    slower: float = 2.0  # times the baseline's quantile that a candidate may take
    score_shift: float = 0.2  # by which the share of high scores may move beyond the baseline's


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One metric: how often it was counted on each side, and the evidence that the candidate is worse in it."""

    metric: str
    candidate: int
    candidate_n: int
    baseline: int
    baseline_n: int
    ln_e: float

    def __str__(self) -> str:
        """Return it as people read it."""
        return f"{self.metric} {self.candidate}/{self.candidate_n} against {self.baseline}/{self.baseline_n}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Canary:
    """What an analysis found, in numbers and words."""

    verdict: Verdict
    candidate_requests: int
    p_value: float
    words: str
    compared: tuple[Compared, ...] = ()
    score_shift: float = 0.0
    score_radius: float = math.inf


@dataclass(slots=True, kw_only=True)
class Analysis:
    """The comparison so far; `trained` are the counts of each model's training scores, in the cells of its profile."""

    rules: Rules
    trained: tuple[Sequence[int], Sequence[int]] = ((), ())
    requests: int = 0
    ln_peak: float = 0.0
    _odds: dict[str, Odds] = field(default_factory=lambda: {name: Odds() for name in WEIGHTS})
    _latency: list[int] = field(default_factory=lambda: [0] * (len(LATENCY_EDGES_MS) + 1))  # the baseline's, so far
    _scores: list[list[float]] = field(default_factory=lambda: [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    _shifted: bool = False

    def update(self, candidate: Window, baseline: Window) -> None:
        """Count one block: what both did in the same time."""
        counts = {
            "failures": _block(candidate.failures, candidate.requests, baseline.failures, baseline.requests),
            "refusals": _block(
                candidate.refused,
                candidate.requests + candidate.refused,
                baseline.refused,
                baseline.requests + baseline.refused,
            ),
            "flagged": _block(candidate.marked, candidate.requests, baseline.marked, baseline.requests),
        }
        for name, share in QUANTILES.items():
            counts[name] = self._slow(share, candidate, baseline)
        for name, block in counts.items():
            self._odds[name].update(block)
        self.requests += candidate.requests
        self._latency = [a + b for a, b in zip(self._latency, baseline.latency, strict=True)]
        self.ln_peak = max(self.ln_peak, self._ln_e())
        for side, window in enumerate((candidate, baseline)):
            _add_scores(self._scores[side], self.trained[side], window)
        shift, radius = self.score_shift()
        self._shifted = self._shifted or abs(shift) - radius > self.rules.score_shift

    def _slow(self, share: float, candidate: Window, baseline: Window) -> Block:
        """Return the calls beyond the baseline's quantile, known from *earlier* blocks: the first one only teaches."""
        if not sum(self._latency):
            return _block(0, 0, 0, 0)
        wanted, seen, cell = share * sum(self._latency), 0, 0
        for cell, count in enumerate(self._latency):  # noqa: B007 - the cell is what the loop finds
            seen += count
            if seen >= wanted:
                break
        edge = LATENCY_EDGES_MS[min(cell, len(LATENCY_EDGES_MS) - 1)]
        allowed = bisect_left(LATENCY_EDGES_MS, edge * self.rules.slower)
        slow = sum(candidate.latency[allowed + 1 :])
        return _block(slow, sum(candidate.latency), sum(baseline.latency[cell + 1 :]), sum(baseline.latency))

    def _ln_e(self) -> float:
        return ln_mean_exp([self._odds[name].ln_e for name in WEIGHTS], list(WEIGHTS.values()))

    def score_shift(self) -> tuple[float, float]:
        """Return how far the candidate's share of high scores lies beyond the baseline's, and the half-width of that.

        High is what lies above the median of the model's own training scores, and each share counts from what it was in
        training: traffic that drifts moves both. Calls are what is independent, so they are counted, not rows.
        """
        values, radius, alpha = [], 0.0, SCORES * self.rules.alpha / 2
        for high, rows, calls in self._scores:
            values.append(high / rows if rows else 0.0)
            radius += hoeffding_radius(int(calls), alpha) if rows else math.inf
        return values[0] - values[1], radius

    def verdict(self, answered: int | None = None) -> Canary:
        """Return what follows from all blocks so far; `answered` are the candidate's calls on the present step."""
        rules, answered = self.rules, self.requests if answered is None else answered
        failed = self._odds["failures"].seen
        shift, radius = self.score_shift()
        found = tuple(
            Compared(
                metric=name,
                candidate=odds.seen.candidate_failures,
                candidate_n=odds.seen.candidate_n,
                baseline=odds.seen.baseline_failures,
                baseline_n=odds.seen.baseline_n,
                ln_e=odds.ln_e,
            )
            for name, odds in self._odds.items()
        )
        p_value = math.exp(-min(self.ln_peak, 700.0))
        rates = (
            f"{failed.candidate_failures} of {failed.candidate_n} candidate calls failed against "
            f"{failed.baseline_failures} of {failed.baseline_n} (anytime-valid p = {p_value:.3g})"
        )
        if self.ln_peak >= -math.log(rules.alpha):
            worst = max(found, key=lambda each: each.ln_e + math.log(WEIGHTS[each.metric]))
            verdict, words = Verdict.RETURN, f"worse: {rates}" if worst.metric == "failures" else f"worse: {worst}"
        elif self._shifted:
            verdict, words = Verdict.RETURN, f"worse: its share of high scores moved by {shift:+.0%}; {rates}"
        elif answered < rules.min_requests:
            verdict, words = Verdict.WAIT, f"{answered} of {rules.min_requests} calls seen: {rates}"
        else:
            verdict, words = Verdict.ADVANCE, f"no worse: {rates}"
        return Canary(
            verdict=verdict,
            candidate_requests=answered,
            p_value=p_value,
            words=words,
            compared=found,
            score_shift=shift,
            score_radius=radius,
        )


def analyse(
    pairs: Iterable[tuple[Window, Window]],
    rules: Rules,
    trained: tuple[Sequence[int], Sequence[int]] = ((), ()),
    *,
    answered: int | None = None,
) -> Canary:
    """Compare candidate and baseline over blocks of the same time, anytime-valid: looking often costs nothing.

    Args:
        pairs: What both did, block by block, since the rollout began; sizes must not depend on outcomes.
        rules: What the plan asks.
        trained: Counts of the training scores of candidate and baseline; without them scores are not compared.
        answered: Calls of the candidate on the present step; all of them if left out.
    """
    analysis = Analysis(rules=rules, trained=trained)
    for candidate, baseline in pairs:
        analysis.update(candidate, baseline)
    return analysis.verdict(answered)


def _block(candidate: int, candidate_n: int, baseline: int, baseline_n: int) -> Block:
    return Block(
        candidate_failures=candidate, candidate_n=candidate_n, baseline_failures=baseline, baseline_n=baseline_n
    )


def _add_scores(total: list[float], trained: Sequence[int], window: Window) -> None:
    """Add a window's high scores beyond the training share of them, its rows and its calls."""
    rows, reference = sum(window.scores), sum(trained)
    if not rows or not reference or len(trained) != len(window.scores):
        return
    seen, cut = 0, 0
    while cut < len(trained) and seen < reference / 2:
        seen += trained[cut]
        cut += 1
    total[0] += sum(window.scores[cut:]) - rows * (reference - seen) / reference
    total[1] += rows
    total[2] += window.requests - window.failures
