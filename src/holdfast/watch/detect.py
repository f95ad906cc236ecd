"""Detection: evidence about traffic held against what the project promised; what lies beyond becomes a signal.

The bounds of intervals are compared, so that a handful of calls raises no alarm and a large sample hides none.
"""

from collections.abc import Iterable

from holdfast.core.evidence import Evidence, Measure, Outcome
from holdfast.core.project import Slo
from holdfast.core.signals import Raised, Signal


def signals(evidence: Iterable[Evidence], slo: Slo) -> tuple[Raised, ...]:
    """Return the signals that evidence raises; a control that failed raises none here, it denies in the policy."""
    return tuple(raised for item in evidence if item.outcome is Outcome.MEASURED for raised in _raised(item, slo))


def _raised(item: Evidence, slo: Slo) -> Iterable[Raised]:
    drifted = [m for m in item.measures if m.name.startswith("psi:") and m.low > slo.drift_psi]
    if drifted:
        yield _signal(Signal.DRIFT, item, _drift_words(drifted, slo))
    for measure in (*item.measures, *item.timings):
        if measure.name == "error_rate" and measure.low > slo.error_rate:
            words = f"{measure.value:.1%} of {measure.n} calls failed, {slo.error_rate:.1%} is promised"
            yield _signal(Signal.ERRORS, item, words)
        if measure.name == "latency_p95_ms" and measure.low > slo.latency_p95_ms:
            words = f"95th percentile is above {measure.low:g} ms on {measure.n} calls"
            words += f", {slo.latency_p95_ms:g} ms is promised"
            yield _signal(Signal.LATENCY, item, words)


def _drift_words(drifted: list[Measure], slo: Slo) -> str:
    worst = max(drifted, key=lambda measure: measure.low)
    name = worst.name.removeprefix("psi:")
    more = f" and {len(drifted) - 1} more" if len(drifted) > 1 else ""
    return f"{name}{more} drifted: PSI {worst.value:.2f} on {worst.n} rows, {slo.drift_psi:g} is the limit"


def _signal(signal: Signal, item: Evidence, words: str) -> Raised:
    return Raised(signal=signal, subject=item.subject, words=words)
