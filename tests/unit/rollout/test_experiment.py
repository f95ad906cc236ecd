"""An A/B test on made-up units: what counts, for whom, when, and when nothing may be decided."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import numpy as np
import pytest

from holdfast.rollout import Declared, Exposure, Judged, Outcome, Winner, judge

START = datetime(2030, 1, 1, tzinfo=UTC)
LATER = START + timedelta(days=30)
DECLARED = Declared(
    experiment="checkout",
    candidate="b",
    baseline="a",
    share=0.5,
    metric="bought",
    kind="conversion",
    aim="higher",
    horizon_s=3600.0,
    alpha=0.05,
)


def drawn(units: int, seed: int, candidate: float, baseline: float, **changes: Any) -> Judged:
    """Judge units whose sides come from a coin, and whose outcomes from a rate for each side."""
    chance = np.random.default_rng(seed)
    declared = msgspec.structs.replace(DECLARED, **changes)
    exposures, outcomes = [], []
    for number in range(units):
        side, at = bool(chance.random() < declared.share), START + timedelta(seconds=number)
        exposures.append(Exposure(unit=f"{number:05}", candidate=side, at=at))
        rate = candidate if side else baseline
        value = float(chance.random() < rate) if declared.kind == "conversion" else chance.exponential(rate)
        outcomes.append(Outcome(unit=f"{number:05}", value=value, at=at + timedelta(seconds=1)))
    return judge(declared, exposures, outcomes, LATER)


@pytest.mark.requirement("ROLL-01", by="holdfast.rollout.experiment:_evidence")
def test_a_conversion_that_differs_is_found_on_the_better_side() -> None:
    """Whichever it is, and whatever is better."""
    assert drawn(2000, 1, 0.3, 0.2).winner is Winner.CANDIDATE
    assert drawn(2000, 1, 0.2, 0.3).winner is Winner.BASELINE
    assert drawn(2000, 1, 0.2, 0.3, aim="lower").winner is Winner.CANDIDATE


def test_sides_that_do_not_differ_are_rarely_told_apart() -> None:
    """At most one in twenty, of conversions and of means."""
    for kind in ("conversion", "mean"):
        found = [drawn(400, seed, 0.2, 0.2, kind=kind).winner for seed in range(60)]
        assert sum(winner is not Winner.UNDECIDED for winner in found) <= 3


def test_a_mean_that_differs_is_found() -> None:
    """By the asymptotic confidence sequence."""
    found = drawn(3000, 2, 2.0, 1.5, kind="mean")
    assert found.winner is Winner.CANDIDATE
    assert found.effect.low < 0.5 < found.effect.high


@pytest.mark.requirement("ROLL-01", by="holdfast.maths.confidence_sequences:mismatch")
def test_a_broken_split_decides_nothing() -> None:
    """Two of three units meet the candidate where one of two should: whatever did that may have chosen them."""
    chance = np.random.default_rng(3)
    exposures = [Exposure(unit=f"{n:05}", candidate=bool(chance.random() < 0.66), at=START) for n in range(600)]
    outcomes = [Outcome(unit=each.unit, value=float(each.candidate), at=START) for each in exposures]
    found = judge(DECLARED, exposures, outcomes, LATER)
    assert found.winner is Winner.INVALID
    assert "no split" in found.words


def test_exposures_that_were_lost_decide_nothing() -> None:
    """Nobody knows which units they were."""
    exposures = [Exposure(unit=f"{n:05}", candidate=bool(n % 2), at=START) for n in range(200)]
    outcomes = [Outcome(unit=each.unit, value=float(each.candidate), at=START) for each in exposures]
    assert judge(DECLARED, exposures, outcomes, LATER).winner is Winner.CANDIDATE
    assert judge(DECLARED, exposures, outcomes, LATER, lost=1).winner is Winner.INVALID


def test_a_unit_counts_for_the_side_that_it_met_first_once_its_horizon_is_over() -> None:
    """Outcomes before the exposure or after the horizon are nobody's; two of one unit are one conversion."""
    exposures = [
        Exposure(unit="early", candidate=True, at=START),
        Exposure(unit="early", candidate=False, at=START + timedelta(minutes=5)),
        Exposure(unit="late", candidate=False, at=LATER - timedelta(minutes=30)),
    ]
    outcomes = [
        Outcome(unit="early", value=1.0, at=START - timedelta(seconds=1)),
        Outcome(unit="early", value=1.0, at=START + timedelta(minutes=1)),
        Outcome(unit="early", value=1.0, at=START + timedelta(minutes=2)),
        Outcome(unit="early", value=1.0, at=START + timedelta(hours=2)),
        Outcome(unit="stranger", value=1.0, at=START),
    ]
    found = judge(DECLARED, exposures, outcomes, LATER)
    assert (found.counted, found.crossed, found.units) == (1, 1, (1, 1))
    summed = judge(msgspec.structs.replace(DECLARED, kind="mean"), exposures, outcomes, LATER)
    assert summed.counted == 1
