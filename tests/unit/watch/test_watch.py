"""Watching: what a window of traffic says, and which of it breaks the promise."""

import numpy as np
import pytest
from msgspec.structs import replace

from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.evidence import Evidence, MadeWith, Outcome
from holdfast.core.project import Slo
from holdfast.core.signals import Signal
from holdfast.core.telemetry import LATENCY_EDGES_MS, Window, add_windows
from holdfast.maths.sketch import Profile, profile
from holdfast.watch import Traffic, signals, watch
from holdfast.watch.controls import quantile_bounds

RNG = np.random.default_rng(11)
REFERENCE = profile(RNG.normal(0, 1, 2000))
SCORES = profile(RNG.uniform(0, 1, 2000))
RELEASE = Artifact(kind=Kind.RELEASE, digest=Digest("sha256:" + "5" * 64), size=1)
MADE_WITH = MadeWith(code="sha256:" + "1" * 64, configuration="sha256:" + "2" * 64)
SLO = Slo(latency_p95_ms=200, error_rate=0.01, drift_psi=0.25, min_window=200)


def window(*, shift: float = 0.0, rows: int = 400, failures: int = 0, slow: bool = False, flagged: int = 0) -> Window:
    """Return a window of `rows` single-row calls whose input is shifted by so many standard deviations."""
    rng = np.random.default_rng(rows + int(100 * shift))
    latency = [0] * (len(LATENCY_EDGES_MS) + 1)
    latency[-1 if slow else 2] = rows
    return Window(
        requests=rows,
        rows=rows,
        failures=failures,
        flagged=flagged,
        latency=tuple(latency),
        inputs={"x": REFERENCE.bin(rng.normal(shift, 1, rows))},
        scores=SCORES.bin(rng.uniform(0, 1, rows)),
    )


def seen(told: Window, *, min_rows: int = 200) -> tuple[Evidence, ...]:
    """Return the evidence on a window."""
    inputs: dict[str, Profile] = {"x": REFERENCE}
    traffic = Traffic(window=told, inputs=inputs, scores=SCORES, min_rows=min_rows)
    return watch(traffic, RELEASE, MADE_WITH)


def raised(told: Window) -> set[Signal]:
    """Return the signals that a window raises."""
    return {item.signal for item in signals(seen(told), SLO)}


def test_quiet_traffic_raises_nothing() -> None:
    """Traffic like the training data, fast and without failures, is no signal."""
    assert raised(window()) == set()


@pytest.mark.requirement("MON-14", by="holdfast.watch.controls:_input_drift")
def test_shifted_inputs_raise_drift_and_name_the_column() -> None:
    """A column that moved by a standard deviation is found and named."""
    (signal,) = signals(seen(window(shift=1.0)), SLO)
    assert signal.signal is Signal.DRIFT
    assert signal.words.startswith("x drifted")


@pytest.mark.parametrize("seed", range(20))
def test_small_windows_of_the_same_law_raise_no_drift(seed: int) -> None:
    """A window of 200 rows of the training law stays quiet: the bound subtracts what chance explains."""
    rng = np.random.default_rng(seed)
    same = replace(window(rows=200), inputs={"x": REFERENCE.bin(rng.normal(0, 1, 200))})
    assert raised(same) == set()


@pytest.mark.requirement("MON-16", by="holdfast.watch.controls:_prediction_drift")
def test_shifted_predictions_raise_drift_without_labels() -> None:
    """Scores that crowd at one end are drift, though no label is known."""
    crowded = replace(window(), scores=SCORES.bin(np.full(400, 0.97)))
    assert raised(crowded) == {Signal.DRIFT}


def test_failing_calls_raise_the_error_rate() -> None:
    """Five per cent of failures against one per cent promised."""
    assert raised(window(failures=20)) == {Signal.ERRORS}


def test_one_failure_in_a_small_window_raises_nothing() -> None:
    """The interval's bound is compared: a single failure in 50 calls proves nothing."""
    assert Signal.ERRORS not in raised(window(rows=50, failures=1))


def test_slow_calls_raise_latency() -> None:
    """A window whose calls all took over a second."""
    assert raised(window(slow=True)) == {Signal.LATENCY}


def test_too_few_rows_are_not_applicable_and_never_a_pass() -> None:
    """A handful of rows is said to be too few, not found to be fine."""
    outcomes = {item.control: item.outcome for item in seen(window(rows=20))}
    assert outcomes["watch.drift/1"] is Outcome.NOT_APPLICABLE


def test_windows_add_up_to_the_whole() -> None:
    """Two halves added are the same as one window of both."""
    whole = add_windows(window(rows=100), window(rows=300, flagged=3))
    assert (whole.rows, whole.flagged, sum(whole.inputs["x"]), sum(whole.latency)) == (400, 3, 400, 400)


def test_windows_of_different_inputs_do_not_add_up() -> None:
    """Cells of another release's columns are not added in silence."""
    other = Window(requests=0, rows=0, failures=0, flagged=0, latency=(0,) * 14, inputs={"y": (0,)}, scores=(0,))
    with pytest.raises(ValueError, match="different inputs"):
        add_windows(window(), other)


def test_the_quantile_lies_in_the_cell_that_holds_it() -> None:
    """95 of 100 calls below a millisecond: the 95th percentile is below it too, the 96th is not."""
    counts = (0, 0, 0, 95, 0, 5) + (0,) * 8
    assert quantile_bounds(counts, 0.95) == (0.5, 1.0)
    assert quantile_bounds(counts, 0.96) == (2.5, 5.0)


@pytest.mark.requirement("DATA-13")
def test_three_shares_of_each_input_are_evidence_in_production_as_in_training() -> None:
    """Of the rows that were answered or turned away; an input of which nothing was wrong has three zeroes."""
    told = replace(window(rows=360), spoiled={"x": (4, 8, 20)}, turned_away=40)
    evidence = next(each for each in seen(told) if each.control == "watch.drift/1")
    shares = {measure.name: (measure.value, measure.n) for measure in evidence.measures}
    assert shares["missing_share:x"] == (0.01, 400)
    assert shares["type_mismatch_rate:x"] == (0.02, 400)
    assert shares["out_of_range_rate:x"] == (0.05, 400)
