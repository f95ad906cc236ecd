"""`/metrics`: the gateway's counts over all of its workers, in the Prometheus text format, version 0.0.4.

Label values are names from the signed route table, codes of ours, and short digests of releases: never anything that a
caller sent, so no caller can grow the number of series or read what another sent.
"""

import resource
import threading
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.conventions import METRICS, Metric, metric
from holdfast.core.telemetry import LATENCY_EDGES_MS
from holdfast.serve.columns import NOTHING, Column, Key, lone
from holdfast.serve.telemetry import LATENCY, SECONDS

MAX_SERIES: Final = 1000  # label combinations of refusals; more would be a defect here, and are counted as "other"
CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
_BOUNDS: Final = (*(f"{edge / 1000:g}" for edge in LATENCY_EDGES_MS), "+Inf")
_REQUESTS: Final = "holdfast_requests_total"


@dataclass(slots=True)
class Counts:
    """Counters of the gateway as a whole, in its worker's column."""

    column: Column = field(default_factory=lone)
    _responses: dict[tuple[str, int], int] = field(default_factory=dict)  # places by model and status
    _refusals: dict[tuple[str, str], int] = field(default_factory=dict)  # places by guard and code
    _memory: "memoryview[float]" = field(init=False)
    _before: float = 0.0  # responses that predecessors gave
    _told: dict[Key, float] = field(default_factory=dict)  # as `follow` was last given them
    _following: threading.Lock = field(
        default_factory=threading.Lock
    )  # whoever scrapes may meet who looks now and then

    def __post_init__(self) -> None:
        """Count nothing yet."""
        self._memory = self.column.cells

    @property
    def answered(self) -> int:
        """How many responses were given since this process began."""
        return int(sum(self._memory[at] for at in list(self._responses.values())) - self._before)

    def response(self, model: str, status: int) -> None:
        """Count one response."""
        at = self._responses.get((model, status))
        if at is None:
            at = self._responses[model, status] = self.column.place(("holdfast_responses_total", model, str(status)))
            self._before += self._memory[at]
        self._memory[at] += 1.0

    def refusal(self, guard: str, code: str) -> None:
        """Count one refusal."""
        at = self._refusals.get((guard, code))
        if at is None:
            key = (guard, code) if len(self._refusals) < MAX_SERIES else ("other", "other")
            at = self._refusals[key] = self.column.place(("holdfast_refusals_total", *key))
        self._memory[at] += 1.0

    def loaded(self) -> None:
        """Count one route table that was loaded."""
        self.column.add(("holdfast_loads_total",))

    def failed_load(self) -> None:
        """Count one route table that was refused."""
        self.column.add(("holdfast_failed_loads_total",))

    def follow(self, totals: Mapping[Key, float]) -> None:
        """Bring into the column what others in this process have counted since it began: what is rare."""
        with self._following:
            for key, total in totals.items():
                self.column.add(key, total - self._told.get(key, 0.0))
                self._told[key] = total


@dataclass(frozen=True, slots=True, kw_only=True)
class Posture:
    """How one worker stands at a moment."""

    ready: bool
    stale: bool
    epoch: int | None  # None: it obeys no table yet, or no more
    lease_s: float
    safe: bool
    breakers: Mapping[tuple[str, str], bool]  # whether a release's breaker is in a state, by short digest and state

    def put(self, column: Column) -> None:
        """Write it into the worker's column, with what the process holds."""
        gauges = {
            ("holdfast_ready",): float(self.ready),
            ("holdfast_ready_workers",): float(self.ready),
            ("holdfast_stale",): float(self.stale),
            ("holdfast_route_epoch",): NOTHING if self.epoch is None else float(self.epoch),
            ("holdfast_lease_seconds",): NOTHING if self.epoch is None else self.lease_s,
            ("holdfast_safe_state",): float(self.safe),
            ("process_max_resident_memory_bytes",): resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0,
        }
        for key, value in gauges.items():
            column.put(key, value)
        for (release, state), holds in self.breakers.items():
            column.put(("holdfast_breaker", release, state), float(holds))


def process_totals() -> dict[Key, float]:
    """Return what the kernel counts of this process since it began."""
    return {("process_cpu_seconds_total",): time.process_time()}


def render(found: Mapping[Key, float], served: Sequence[tuple[str, str]]) -> bytes:
    """Return the text of a scrape.

    Args:
        found: The series, as columns hold them: without a model's name where there is a release.
        served: Model names and the short digests of the releases that answer for them; others are not shown.
    """
    families: dict[str, list[tuple[Key, float]]] = defaultdict(list)
    for key, value in sorted(found.items()):
        families[key[0]].append((key[1:], value))
    families[_REQUESTS] = [((release,), count) for release, count in _counted(families).items()]
    lines = [line for each in METRICS for line in _lines(each, families[each.name], served)]
    return ("\n".join(lines) + "\n").encode()


def _counted(families: Mapping[str, list[tuple[Key, float]]]) -> dict[str, float]:
    """Return how many calls each release has met: those whose latency was counted, so that the two never differ."""
    counted: dict[str, float] = defaultdict(float)
    for (release, part), value in families.get(LATENCY, ()):
        counted[release] += value if part != SECONDS else 0.0
    return counted


def _lines(about: Metric, series: list[tuple[Key, float]], served: Sequence[tuple[str, str]]) -> Iterator[str]:
    if "release" not in about.labels:
        values = series or ([((), 0.0)] if not about.labels else [])
        return _family(about.name, [(_labels(about.labels, key), value) for key, value in values])
    by_release: dict[str, list[tuple[Key, float]]] = defaultdict(list)
    for (release, *rest), value in series:
        by_release[release].append((tuple(rest), value))
    if about.name == LATENCY:
        return _histogram(by_release, served)
    shown = (
        (_labels(about.labels, (model, release, *rest)), value)
        for model, release in served
        for rest, value in by_release[release]
    )
    return _family(about.name, shown)


def _histogram(by_release: Mapping[str, list[tuple[Key, float]]], served: Sequence[tuple[str, str]]) -> Iterator[str]:
    yield from _head(LATENCY)
    for model, release in served:
        labels, total = _labels(("model", "release"), (model, release)), 0.0
        counts = {part: value for (part,), value in by_release[release]}
        for number, bound in enumerate(_BOUNDS):
            total += counts.get(str(number), 0.0)
            yield f'{LATENCY}_bucket{{{labels},le="{bound}"}} {_number(total)}'
        yield f"{LATENCY}_sum{{{labels}}} {_number(counts.get(SECONDS, 0.0))}"
        yield f"{LATENCY}_count{{{labels}}} {_number(total)}"


def _family(name: str, values: Iterable[tuple[str, float]]) -> Iterator[str]:
    yield from _head(name)
    for labels, value in values:
        yield f"{name}{{{labels}}} {_number(value)}" if labels else f"{name} {_number(value)}"


def _head(name: str) -> Iterator[str]:
    """Yield what a family begins with; only what the table of conventions knows can be rendered."""
    about = metric(name)
    yield f"# HELP {name} {about.says}"
    yield f"# TYPE {name} {about.kind}"


def _number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else f"{value:.9g}"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    """Return labels in the text format; an input's declared name may need to be escaped."""
    return ",".join(f'{name}="{_escaped(value)}"' for name, value in zip(names, values, strict=True))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
