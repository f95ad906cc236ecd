"""`/metrics`: the gateway's counts in the Prometheus text format, version 0.0.4.

Label values are names from the signed route table, codes of ours, and short digests of releases: never anything that a
caller sent, so no caller can grow the number of series or read what another sent.
"""

import resource
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.telemetry import LATENCY_EDGES_MS
from holdfast.serve.telemetry import Meter

MAX_SERIES: Final = 1000  # label combinations of one counter; more would be a defect here, and are counted as "other"
CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Counts:
    """Counters of the gateway as a whole."""

    responses: dict[tuple[str, int], int] = field(default_factory=dict)  # by model and status
    refusals: dict[tuple[str, str], int] = field(default_factory=dict)  # by guard and code
    loads: int = 0
    failed_loads: int = 0

    def response(self, model: str, status: int) -> None:
        """Count one response."""
        key = (model, status)
        self.responses[key] = self.responses.get(key, 0) + 1

    def refusal(self, guard: str, code: str) -> None:
        """Count one refusal."""
        key = (guard, code)
        if key not in self.refusals and len(self.refusals) >= MAX_SERIES:
            key = ("other", "other")
        self.refusals[key] = self.refusals.get(key, 0) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the gateway stands at the moment of the scrape."""

    ready: bool
    stale: bool
    epoch: int
    lease_s: float
    security_events: int
    detections: Mapping[tuple[str, str], int]  # by guard and action
    safe: bool = False
    instead: Mapping[tuple[str, str], int] = field(default_factory=dict)  # calls that rules answered, by model and why
    breakers: Mapping[tuple[str, str], str] = field(default_factory=dict)  # where each stands, by model and release


def render(counts: Counts, meters: Mapping[tuple[str, str], Meter], standing: Standing) -> bytes:
    """Return the text of a scrape.

    Args:
        counts: The gateway's counters.
        meters: The releases' meters by model name and short digest.
        standing: How the gateway stands.
    """
    lines = [*_gateway(counts, standing), *_releases(meters), *_process()]
    return ("\n".join(lines) + "\n").encode()


def _gateway(counts: Counts, standing: Standing) -> Iterator[str]:
    yield from _family("holdfast_ready", "gauge", "1 while the gateway answers.", [("", int(standing.ready))])
    says = "1 while the newest state could not be loaded and an older one answers."
    yield from _family("holdfast_stale", "gauge", says, [("", int(standing.stale))])
    yield from _family("holdfast_route_epoch", "gauge", "Epoch of the route table.", [("", standing.epoch)])
    yield from _family("holdfast_lease_seconds", "gauge", "Seconds until the lease ends.", [("", standing.lease_s)])
    yield from _family("holdfast_loads_total", "counter", "Route tables loaded.", [("", counts.loads)])
    yield from _family(
        "holdfast_failed_loads_total", "counter", "Route tables that were refused.", [("", counts.failed_loads)]
    )
    responses = [
        (_labels(model=model, code=str(status)), count) for (model, status), count in list(counts.responses.items())
    ]
    yield from _family("holdfast_responses_total", "counter", "Responses by model and status.", responses)
    refusals = [(_labels(guard=guard, code=code), count) for (guard, code), count in list(counts.refusals.items())]
    yield from _family("holdfast_refusals_total", "counter", "Refusals by guard and code.", refusals)
    detections = [(_labels(guard=guard, action=action), n) for (guard, action), n in list(standing.detections.items())]
    yield from _family("holdfast_detections_total", "counter", "Findings of detectors.", detections)
    yield from _family(
        "holdfast_security_events_total", "counter", "Security events noted.", [("", standing.security_events)]
    )
    yield from _family("holdfast_safe_state", "gauge", "1 in the declared safe state.", [("", int(standing.safe))])
    ruled = [(_labels(model=model, reason=why), count) for (model, why), count in standing.instead.items()]
    yield from _family("holdfast_fallback_total", "counter", "Calls that rules answered, by why.", ruled)
    breakers = [
        (_labels(model=model, release=release, state=each), int(each == at))
        for (model, release), at in standing.breakers.items()
        for each in ("closed", "half-open", "open")
    ]
    yield from _family("holdfast_breaker", "gauge", "1 for the state that the breaker is in.", breakers)


def _releases(meters: Mapping[tuple[str, str], Meter]) -> Iterator[str]:
    named = [(_labels(model=model, release=release), meter) for (model, release), meter in meters.items()]
    counted = [(labels, meter.requests) for labels, meter in named]
    yield from _family("holdfast_requests_total", "counter", "Calls that reached a release.", counted)
    failed = [(labels, meter.failures) for labels, meter in named]
    yield from _family("holdfast_failures_total", "counter", "Calls that a release could not answer.", failed)
    rows = [(labels, meter.rows) for labels, meter in named]
    yield from _family("holdfast_rows_total", "counter", "Rows predicted.", rows)
    flagged = [(labels, meter.flagged) for labels, meter in named]
    yield from _family("holdfast_flagged_rows_total", "counter", "Rows outside a declared range.", flagged)
    yield "# HELP holdfast_request_seconds Time to answer inside the gateway."
    yield "# TYPE holdfast_request_seconds histogram"
    for labels, meter in named:
        total = 0
        bounds = [*(f"{edge / 1000:g}" for edge in LATENCY_EDGES_MS), "+Inf"]
        for bound, count in zip(bounds, list(meter.latency), strict=True):
            total += count
            yield f'holdfast_request_seconds_bucket{{{labels},le="{bound}"}} {total}'
        yield f"holdfast_request_seconds_sum{{{labels}}} {meter.seconds:.9g}"
        yield f"holdfast_request_seconds_count{{{labels}}} {total}"


def _process() -> Iterator[str]:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    yield from _family("process_cpu_seconds_total", "counter", "CPU time used.", [("", time.process_time())])
    yield from _family(
        "process_max_resident_memory_bytes", "gauge", "Most memory held so far.", [("", usage.ru_maxrss * 1024)]
    )


def _family(name: str, kind: str, says: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield f"# HELP {name} {says}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values:
        shown = str(value) if isinstance(value, int) else f"{value:.9g}"
        yield f"{name}{{{labels}}} {shown}" if labels else f"{name} {shown}"


def _labels(**labels: str) -> str:
    """Return labels in the text format; values are names and codes of ours, which need no escaping."""
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
