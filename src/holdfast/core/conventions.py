"""Semantic conventions: the one table of what telemetry is called, and with which labels; what is not here is refused.

Names of metrics follow Prometheus (base units, `_total` for counters), attributes of spans OpenTelemetry, kinds of
events are dotted words. A metric that is not registered cannot be rendered; an event of another kind is put on record
as `telemetry.nonconforming` with the kind it came under, because a security fact must not be lost over its name.
"""

import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from holdfast.core.errors import InvalidInput

Kind = Literal["counter", "gauge", "histogram"]
Over = Literal["sum", "max", "min"]
NONCONFORMING: Final = "telemetry.nonconforming"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its kind, what it says, and the labels that each of its samples has, in order."""

    name: str
    kind: Kind
    says: str
    labels: tuple[str, ...] = ()
    over: Over = "sum"  # what one number says of all workers


_MODEL: Final = ("model", "release")
METRICS: Final = (
    Metric("holdfast_ready", "gauge", "1 while the gateway answers.", over="max"),
    Metric("holdfast_ready_workers", "gauge", "Workers that can answer."),
    Metric(
        "holdfast_stale",
        "gauge",
        "1 while a worker could not load the newest state and answers from an older.",
        over="max",
    ),
    Metric("holdfast_route_epoch", "gauge", "Epoch of the route table that every worker has reached.", over="min"),
    Metric("holdfast_lease_seconds", "gauge", "Seconds until the first lease ends.", over="min"),
    Metric("holdfast_loads_total", "counter", "Route tables loaded."),
    Metric("holdfast_failed_loads_total", "counter", "Route tables that were refused."),
    Metric("holdfast_responses_total", "counter", "Responses by model and status.", ("model", "code")),
    Metric("holdfast_refusals_total", "counter", "Refusals by guard and code.", ("guard", "code")),
    Metric("holdfast_detections_total", "counter", "Findings of detectors.", ("guard", "action")),
    Metric("holdfast_security_events_total", "counter", "Security events noted."),
    Metric("holdfast_safe_state", "gauge", "1 in the declared safe state.", over="max"),
    Metric("holdfast_fallback_total", "counter", "Calls that rules answered, by why.", ("model", "reason")),
    Metric("holdfast_breaker", "gauge", "Workers whose breaker is in this state.", (*_MODEL, "state")),
    Metric("holdfast_spans_total", "counter", "Sampled traces, by what became of them.", ("outcome",)),
    Metric("holdfast_requests_total", "counter", "Calls that reached a release.", _MODEL),
    Metric("holdfast_failures_total", "counter", "Calls that a release could not answer.", _MODEL),
    Metric("holdfast_rows_total", "counter", "Rows predicted.", _MODEL),
    Metric("holdfast_flagged_rows_total", "counter", "Rows outside a declared range.", _MODEL),
    Metric("holdfast_turned_away_rows_total", "counter", "Rows refused for their inputs.", _MODEL),
    Metric(
        "holdfast_spoiled_values_total",
        "counter",
        "Values of an input that were missing, of another type, or out of its declared range.",
        (*_MODEL, "kind", "input"),
    ),
    Metric("holdfast_request_seconds", "histogram", "Time to answer inside the gateway.", _MODEL),
    Metric("holdfast_unplaced_series_total", "counter", "Times that there was no room to count something."),
    Metric("process_cpu_seconds_total", "counter", "CPU time used by the workers."),
    Metric(
        "process_max_resident_memory_bytes", "gauge", "Most memory that the workers have held, shared parts in each."
    ),
)
_OVER: Final[Mapping[str, Callable[[float, float], float]]] = {"sum": operator.add, "max": max, "min": min}
BY_NAME: Final = {metric.name: metric for metric in METRICS}

EVENT_FIELDS: Final = (*("sequence", "time", "kind", "caller", "model", "correlation", "count", "detail", "previous"),)
"""Fields of a security event's line, in order; `serve.events.Event` has these and no others."""

EVENTS: Final = (
    (r"model\.(loaded|unloaded)", "a release began or ended to answer on this worker"),
    (r"signature\.(verified|refused)", "what was published was verified, or why it was not"),
    (r"state\.(loaded|lease-over)", "a route table is obeyed, or no longer"),
    (r"state\.refused\.HF\d{3}", "a published state was refused"),
    (r"refused\.[a-z][a-z-]*(\.HF\d{3})?", "a call was refused: by which guard, with which code"),
    (r"detected\.[a-z][a-z-]*", "a detector found something"),
    (r"features\.(lacking|changed)", "a feature could not be read, or somebody else wrote it"),
    (r"spend\.near|privacy\.spent", "a budget is nearly, or all, spent"),
    (r"safe-state\.entered", "nothing answers but what the safe state declares"),
    (r"spool\.(torn|broken)", "records were not whole after a restart"),
    (r"batch\.finished", "a batch was scored"),
    (NONCONFORMING.replace(".", r"\."), "an event came under a kind that is none"),
)
_EVENT: Final = re.compile("|".join(f"(?:{pattern})" for pattern, _ in EVENTS))

SPAN_ATTRIBUTES: Final = frozenset(
    {
        *("http.request.method", "http.response.status_code", "error.type"),
        *("holdfast.model.name", "holdfast.model.digest", "holdfast.release.digest", "holdfast.feature.versions"),
        *("holdfast.correlation", "holdfast.client", "holdfast.rows", "holdfast.features.lacking"),
    }
)
RESOURCE_ATTRIBUTES: Final = frozenset({"service.name", "service.version", "service.instance.id"})
SPANS: Final = ("infer", "guards", "features", "model")
"""A call, and in it the guards that let it in (with the look-up of features) and the model."""

REQUIRED: Final = {
    "model load and unload": ("model.loaded", "model.unloaded"),
    "request and response": ("window", "refused."),
    "feature access": ("window.reads", "features."),
    "signature check": ("signature.verified", "signature.refused"),
    "authentication failure": ("refused.authenticated.",),
    "drift": ("signal drift",),
}
"""The six kinds of events that are always told, and as what: events of the gateway's chain by kind, windows of a
release (`core.telemetry.Window`: every answered call is counted in one, and every read of a feature), and signals of
`watch`, which are entries of the ledger."""


@lru_cache(maxsize=1024)
def is_event(kind: str) -> bool:
    """Say whether events may be of this kind."""
    return _EVENT.fullmatch(kind) is not None


def metric(name: str) -> Metric:
    """Return what the table says of a metric.

    Raises:
        InvalidInput: It says nothing.
    """
    found = BY_NAME.get(name)
    if found is None:
        raise InvalidInput("a metric that is not in the table of conventions", place=name[:80])
    return found


def over_workers(name: str) -> Callable[[float, float], float]:
    """Return what makes one value of two workers' values of a metric.

    >>> over_workers("holdfast_rows_total")(3, 4), over_workers("holdfast_route_epoch")(3, 4)
    (7, 3)

    Raises:
        InvalidInput: The table knows no such metric.
    """
    return _OVER[metric(name).over]


def check_sample(name: str, labels: Iterable[str]) -> None:
    """Check that a sample's name and labels are those of the table.

    Args:
        name: As it is scraped: a histogram's with `_bucket`, `_sum` or `_count`.
        labels: Names, in order.

    Raises:
        InvalidInput: They are not.
    """
    base, given = name, tuple(labels)
    for suffix in ("_bucket", "_sum", "_count"):
        if name.endswith(suffix) and (found := BY_NAME.get(name.removesuffix(suffix))) and found.kind == "histogram":
            base = found.name
    expected = metric(base).labels + (("le",) if name.endswith("_bucket") and base != name else ())
    if (metric(base).kind == "histogram") != (base != name) or given != expected:
        raise InvalidInput(f"a sample with labels {given}", place=name, expected=f"{expected}")
