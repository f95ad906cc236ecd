"""Controls on traffic: input drift, prediction drift and service levels, each on one window of one release."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from holdfast.core.control import Control, NotApplicable, Report
from holdfast.core.evidence import Measure, exactly
from holdfast.core.telemetry import LATENCY_EDGES_MS, Window
from holdfast.maths.distances import ks_from_counts, psi_from_counts, psi_limit
from holdfast.maths.intervals import wilson
from holdfast.maths.sketch import Profile

FALSE_ALARMS: Final = 0.001  # chance that any one of a release's columns is called drifting when nothing drifts


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """A window of traffic beside what the release was trained on."""

    window: Window
    inputs: Mapping[str, Profile]
    scores: Profile
    min_rows: int  # fewer rows say nothing about a distribution


def _distance(name: str, reference: tuple[int, ...], live: tuple[int, ...], columns: int) -> tuple[Measure, ...]:
    """Return PSI and KS of one column; PSI's lower bound is what remains beyond the chance of the sample's size.

    The population stability index of two samples of one law is not 0 but about (cells - 1) (1/n + 1/m) (Yurdakul and
    Naranjo 2020); `low` subtracts what chance exceeds with the stated probability, shared by all columns (Bonferroni).
    """
    rows, value = sum(live), psi_from_counts(reference, live)
    cells = sum(1 for old, new in zip(reference, live, strict=True) if old or new)
    chance = psi_limit(sum(reference), rows, max(cells, 2), false_alarm_rate=FALSE_ALARMS / columns)
    ks = ks_from_counts(reference[:-1], live[:-1]) if sum(live[:-1]) and sum(reference[:-1]) else None
    psi = Measure(name=f"psi:{name}", value=value, low=max(0.0, value - chance), high=value, n=rows, unit="nat")
    if ks is None:  # every value is missing: PSI sees it, KS has nothing to order
        return (psi,)
    return (psi, exactly(f"ks:{name}", ks.statistic, n=rows), exactly(f"ks_p:{name}", ks.p_value, n=rows))


def _input_drift(traffic: Traffic) -> Report | NotApplicable:
    if traffic.window.rows < traffic.min_rows:
        return NotApplicable(reason=f"{traffic.window.rows} rows, too few to compare: at least {traffic.min_rows}")
    columns = len(traffic.inputs)
    measures = [
        measure
        for name, profile in traffic.inputs.items()
        for measure in _distance(name, profile.cells, traffic.window.inputs[name], columns)
    ]
    worst = max((item for item in measures if item.name.startswith("psi:")), key=lambda item: item.low)
    flagged = wilson(traffic.window.flagged, traffic.window.rows)
    share = Measure(name="out_of_range_share", value=flagged.value, low=flagged.low, high=flagged.high, n=flagged.n)
    facts = {"worst": worst.name.removeprefix("psi:")}
    return Report(measures=(*measures, share, *_quality(traffic.window)), facts=facts)


def _quality(window: Window) -> Iterator[Measure]:
    """Yield three shares of each input, of the rows answered or turned away: as ingest has them of training."""
    rows = window.rows + window.turned_away
    for name in window.inputs:
        counts = window.spoiled.get(name, (0, 0, 0))
        for kind, count in zip(("missing_share", "type_mismatch_rate", "out_of_range_rate"), counts, strict=True):
            share = wilson(min(count, rows), rows)
            yield Measure(name=f"{kind}:{name}", value=share.value, low=share.low, high=share.high, n=rows)


def _prediction_drift(traffic: Traffic) -> Report | NotApplicable:
    if traffic.window.rows < traffic.min_rows:
        return NotApplicable(reason=f"{traffic.window.rows} rows, too few to compare: at least {traffic.min_rows}")
    return Report(measures=_distance("score", traffic.scores.cells, traffic.window.scores, 1))


def _service_levels(traffic: Traffic) -> Report | NotApplicable:
    window = traffic.window
    if window.requests == 0:
        return NotApplicable(reason="no calls in the window")
    failures = wilson(window.failures, window.requests)
    rate = Measure(name="error_rate", value=failures.value, low=failures.low, high=failures.high, n=failures.n)
    p95 = quantile_bounds(window.latency, 0.95)
    latency = Measure(name="latency_p95_ms", value=p95[1], low=p95[0], high=p95[1], n=window.requests, unit="ms")
    return Report(measures=(rate, exactly("requests", window.requests, n=window.requests)), timings=(latency,))


def quantile_bounds(counts: tuple[int, ...], share: float) -> tuple[float, float]:
    """Return the edges of the latency cell that holds a quantile, in milliseconds: the truth lies between them.

    The last cell is open; its upper bound is stated as twice its lower.

    >>> quantile_bounds((0, 0, 90, 10) + (0,) * 10, 0.95)
    (0.5, 1.0)
    """
    wanted, seen = share * sum(counts), 0
    edges = (0.0, *LATENCY_EDGES_MS, 2 * LATENCY_EDGES_MS[-1])
    for cell, count in enumerate(counts):
        seen += count
        if seen >= wanted and count:
            return edges[cell], edges[cell + 1]
    return edges[-2], edges[-1]


CONTROLS: Final = (
    Control(name="watch.drift/1", measure=_input_drift),
    Control(name="watch.predictions/1", measure=_prediction_drift),
    Control(name="watch.sli/1", measure=_service_levels),
)
