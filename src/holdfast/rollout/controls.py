"""What a rollout leaves as evidence about its candidate: the comparison of a canary, of a shadow, of an experiment."""

import math
from collections.abc import Iterator
from typing import Final

from holdfast.core.control import Control, NotApplicable, Report
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.telemetry import LATENCY_EDGES_MS, SHADOW_EDGES, Window
from holdfast.rollout.analysis import Canary
from holdfast.rollout.experiment import Judged

LARGEST: Final = 700.0  # of a logarithm of evidence that is told


def _canary(found: Canary) -> Report:
    from holdfast.maths.intervals import wilson  # brings numpy, which a rollback does without

    measures = [exactly("p_value", found.p_value, n=found.candidate_requests)]
    for each in found.compared:
        if each.candidate_n:
            rate = wilson(each.candidate, each.candidate_n)
            name = f"{each.metric}_candidate"
            measures.append(Measure(name=name, value=rate.value, low=rate.low, high=rate.high, n=each.candidate_n))
        if each.baseline_n:
            rate = wilson(each.baseline, each.baseline_n)
            name = f"{each.metric}_baseline"
            measures.append(Measure(name=name, value=rate.value, low=rate.low, high=rate.high, n=each.baseline_n))
    if math.isfinite(found.score_radius):
        shift, radius = found.score_shift, found.score_radius
        n = found.candidate_requests
        measures.append(Measure(name="score_shift", value=shift, low=shift - radius, high=shift + radius, n=n))
    return Report(measures=tuple(measures), facts={"verdict": found.verdict, "words": found.words})


def _shadow(seen: tuple[Window, Window]) -> Report | NotApplicable:
    from holdfast.maths.intervals import wilson  # brings numpy, which a rollback does without

    shadow, live = seen
    copied = shadow.shadow
    if copied is None or not copied.rows + copied.dropped + shadow.failures:
        return NotApplicable(reason="no call was copied yet")
    measures = [
        exactly("copied_calls", shadow.requests, n=shadow.requests),
        exactly("dropped_calls", copied.dropped, n=shadow.requests + copied.dropped),
        exactly("rows", copied.rows, n=copied.rows),
    ]
    if shadow.requests:
        failed = wilson(shadow.failures, shadow.requests)
        measures.append(
            Measure(name="failures", value=failed.value, low=failed.low, high=failed.high, n=shadow.requests)
        )
    if copied.rows:
        agreed = wilson(copied.agreed, copied.rows)
        measures.append(Measure(name="agreement", value=agreed.value, low=agreed.low, high=agreed.high, n=copied.rows))
        measures += _distances(copied.distance, copied.rows)
    timings = (*_latencies("shadow", shadow), *_latencies("live", live))
    return Report(measures=tuple(measures), timings=timings)


def _distances(cells: tuple[int, ...], rows: int) -> Iterator[Measure]:
    """Yield how many rows had scores further apart than each edge."""
    for index, edge in enumerate(SHADOW_EDGES):
        yield exactly(f"further_than_{edge:g}", sum(cells[index + 1 :]) / rows, n=rows)


def _latencies(name: str, window: Window) -> Iterator[Measure]:
    calls, edges = sum(window.latency), (0.0, *LATENCY_EDGES_MS, 2 * LATENCY_EDGES_MS[-1])
    for share in (0.5, 0.95):
        seen = 0
        for cell, count in enumerate(window.latency):
            seen += count
            if count and seen >= share * calls:
                label, low, high = f"{name}_p{share * 100:.0f}_ms", edges[cell], edges[cell + 1]
                yield Measure(name=label, value=high, low=low, high=high, n=calls, unit="ms")
                break


def _experiment(found: Judged) -> Report:
    measures = [
        exactly("units_candidate", found.units[0], n=sum(found.units)),
        exactly("units_baseline", found.units[1], n=sum(found.units)),
        exactly("units_counted", found.counted, n=found.counted),
        exactly("units_crossed", found.crossed, n=sum(found.units)),
        exactly("ln_e_higher", min(found.ln_e[0], LARGEST), n=found.counted),
        exactly("ln_e_lower", min(found.ln_e[1], LARGEST), n=found.counted),
        exactly("ln_e_mismatch", min(found.mismatch, LARGEST), n=sum(found.units)),
    ]
    effect = found.effect
    if math.isfinite(effect.low):
        measures.append(Measure(name="effect", value=effect.value, low=effect.low, high=effect.high, n=effect.n))
    findings = []
    if found.winner == "invalid":
        findings.append(Finding(place="split", severity=Severity.HIGH, rule="split", message=found.words))
    return Report(
        measures=tuple(measures), findings=tuple(findings), facts={"winner": found.winner, "words": found.words}
    )


CANARY: Final = Control(name="watch.canary/1", measure=_canary)
SHADOW: Final = Control(name="watch.shadow/1", measure=_shadow)
EXPERIMENT: Final = Control(name="watch.experiment/1", measure=_experiment)
CONTROLS: Final = (CANARY, SHADOW, EXPERIMENT)
