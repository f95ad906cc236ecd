"""An A/B test: which side is better in a metric of the business, decided whenever one looks.

1. Units are exposed by the gateways' hash; the side that a unit met first is its side for ever (intention to treat).
2. A unit counts once its horizon is over, with all that was told of it by then, and with 0 where nothing was: so what
counts does not depend on how it came out. 3. Units are taken in the order of their exposure. 4. A conversion is decided
by an exact e-process for each direction (`maths.odds`), a mean by an asymptotic confidence sequence. 5. A split that is
not the split that was asked for decides nothing: whatever broke it may have chosen among the units.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import msgspec

from holdfast.maths.confidence_sequences import Difference, difference, mismatch
from holdfast.maths.odds import Odds
from holdfast.maths.sequential import Block

BLOCK: Final = 25  # units compared at once; any size that does not look at outcomes is as valid
RATIOS: Final = dict.fromkeys((1.05, 1.1, 1.2, 1.4, 2.0), 0.2)
"""Effects on a conversion's odds among which the evidence is sought."""
MISMATCH: Final = 0.001  # chance of calling a good split broken, however often one looks


class Winner(StrEnum):
    """What an experiment has shown so far."""

    CANDIDATE = "candidate"
    BASELINE = "baseline"
    UNDECIDED = "undecided"
    INVALID = "invalid"


class Declared(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What was said before the first unit was met, so that nobody can look for a metric that happens to differ."""

    experiment: str
    candidate: str
    baseline: str
    share: float  # of the units, for the candidate
    metric: str
    kind: str  # conversion or mean
    aim: str  # higher or lower
    horizon_s: float  # for how long after its exposure a unit's outcomes count
    alpha: float  # chance of ever naming a better side where there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """That a unit met a side, as a gateway told it."""

    unit: str  # its pseudonym
    candidate: bool
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a unit: one value of the metric at one time."""

    unit: str
    value: float
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What an experiment has shown, in numbers and words."""

    winner: Winner
    words: str
    units: tuple[int, int]  # exposed: of the candidate, of the baseline
    counted: int  # whose horizon is over
    crossed: int  # that met both sides; they count for the first
    effect: Difference  # of the metric's mean, candidate above baseline
    ln_e: tuple[float, float]  # at its peak: that the candidate is higher, that it is lower
    mismatch: float  # ln e-value against the split that was asked for


def judge(
    declared: Declared,
    exposures: Iterable[Exposure],
    outcomes: Iterable[Outcome],
    now: datetime,
    *,
    lost: int = 0,
) -> Judged:
    """Return what an experiment has shown by now.

    Args:
        declared: What was declared.
        exposures: In any order; repeated ones count once.
        outcomes: Of the declared metric, of any units.
        now: The time.
        lost: Exposures that gateways had no room for.
    """
    sides, crossed = _sides(exposures)  # 1.
    values = _values(declared, sides, outcomes)
    over = timedelta(seconds=declared.horizon_s)
    units = [each for each in sides.values() if each.at + over <= now]  # 2.
    units.sort(key=lambda each: (each.at, each.unit))  # 3.
    counted = [(each.candidate, values.get(each.unit, 0.0)) for each in units]
    effect = difference(counted, declared.share, declared.alpha)
    ln_e = (0.0, 0.0)
    if declared.kind == "conversion":  # 4.
        ln_e = (_evidence(counted, higher=True), _evidence(counted, higher=False))
        enough = math.log(2 / declared.alpha)
        higher, lower = ln_e[0] >= enough, ln_e[1] >= enough
    else:
        higher, lower = effect.low > 0, effect.high < 0
    exposed = (sum(each.candidate for each in sides.values()), sum(not each.candidate for each in sides.values()))
    split = mismatch(*exposed, declared.share)
    winner, words = _winner(declared, higher=higher, lower=lower)
    if split >= -math.log(MISMATCH):  # 5.
        winner, words = Winner.INVALID, f"{exposed[0]} units against {exposed[1]} are no split of {declared.share:.0%}"
    elif lost:
        winner, words = Winner.INVALID, f"gateways had no room for {lost} exposures: nobody knows whose"
    means = f"{declared.metric} {effect.value:+.4g}" + (
        f" [{effect.low:+.4g}, {effect.high:+.4g}]" if math.isfinite(effect.low) else ""
    )
    return Judged(
        winner=winner,
        words=f"{words}; {means} on {len(counted)} units",
        units=exposed,
        counted=len(counted),
        crossed=crossed,
        effect=effect,
        ln_e=ln_e,
        mismatch=split,
    )


def _sides(exposures: Iterable[Exposure]) -> tuple[dict[str, Exposure], int]:
    first: dict[str, Exposure] = {}
    crossed = set[str]()
    for each in sorted(exposures, key=lambda each: (each.at, each.unit, each.candidate)):
        known = first.setdefault(each.unit, each)
        if known.candidate is not each.candidate:
            crossed.add(each.unit)
    return first, len(crossed)


def _values(declared: Declared, sides: Mapping[str, Exposure], outcomes: Iterable[Outcome]) -> dict[str, float]:
    over, values = timedelta(seconds=declared.horizon_s), dict[str, float]()
    for each in outcomes:
        met = sides.get(each.unit)
        if met is None or not met.at <= each.at < met.at + over:
            continue  # of somebody who was not exposed, or before or long after it
        before = values.get(each.unit, 0.0)
        one = declared.kind == "conversion"
        values[each.unit] = max(before, float(each.value > 0)) if one else before + each.value
    return values


def _evidence(counted: Sequence[tuple[bool, float]], *, higher: bool) -> float:
    """Return the largest evidence so far that the candidate's conversion is higher, or that it is lower."""
    odds = Odds(RATIOS)
    for begin in range(0, len(counted), BLOCK):
        units = counted[begin : begin + BLOCK]
        ours = [value for candidate, value in units if candidate is higher]
        theirs = [value for candidate, value in units if candidate is not higher]
        odds.update(
            Block(
                candidate_failures=int(sum(ours)),
                candidate_n=len(ours),
                baseline_failures=int(sum(theirs)),
                baseline_n=len(theirs),
            )
        )
    return odds.ln_peak


def _winner(declared: Declared, *, higher: bool, lower: bool) -> tuple[Winner, str]:
    better, worse = (higher, lower) if declared.aim == "higher" else (lower, higher)
    if better and not worse:
        return Winner.CANDIDATE, "the candidate is better"
    if worse and not better:
        return Winner.BASELINE, "the baseline is better"
    return Winner.UNDECIDED, "nothing is decided yet"
