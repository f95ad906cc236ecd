"""Probes: what a release in rehearsal does under load, under attack, and for those who watch it.

Each is a control on the real gateway core. What is a property of the release (its answers under load, an attack that
gets through) is measured, and a bad number stays for ever. What is a state of the installation (who is let in, what is
told, whether one can go back) fails until it is put right, and a later success supersedes the failure.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import msgspec
import numpy as np

from holdfast.core.access import Denied, Principal, Resource
from holdfast.core.actions import ACTIONS
from holdfast.core.artifact import Digest
from holdfast.core.control import Control, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.passport import Dossier
from holdfast.core.telemetry import Window
from holdfast.lifecycle.access import decide, look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.rehearsal import ELSEWHERE, Rehearsal, rehearse
from holdfast.lifecycle.routing import case_of, current_project
from holdfast.maths.intervals import wilson
from holdfast.serve.state import State
from holdfast.watch.controls import quantile_bounds

CALLS: Final = 400  # of a load test: a share of one in a hundred shows with its interval
BURST: Final = 50  # calls beyond what the fastest caller may make at once
SLIS: Final = ("requests", "error_rate", "latency_p95_ms")
SERIES: Final = (
    "holdfast_ready",
    "holdfast_lease_seconds",
    "holdfast_responses_total",
    "holdfast_requests_total",
    "holdfast_failures_total",
    "holdfast_rows_total",
    "holdfast_request_seconds_count",
)
"""What the shipped dashboard draws for a model; a series that is not there is an empty panel."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a probe looks at: the release, and how a rehearsal of it begins."""

    plant: Plant
    dossier: Dossier  # as it was before the probe began: a control under way counts as one without a result

    @property
    def subject(self) -> Digest:
        """The release."""
        return self.dossier.subject

    def begin(self) -> Rehearsal:
        """Begin a rehearsal, with counters at zero and every caller's burst unspent."""
        return rehearse(self.plant, self.dossier)


def _load(stage: Stage) -> Report:
    """Call with good rows, each caller within its limit, and count what does not come back as an answer."""
    rehearsal = stage.begin()
    limit = min(rehearsal.project.serving.burst * len(rehearsal.keys), CALLS)
    rows, callers = rehearsal.rows(limit, seed=int(stage.subject[-8:], 16)), rehearsal.callers()
    took, failures = [], 0
    for row in rows:
        body, key = rehearsal.body(row[np.newaxis]), next(callers)
        begun = time.perf_counter()
        failures += rehearsal.ask(body, key).status != 200  # noqa: PLR2004 - RFC 9110
        took.append((time.perf_counter() - begun) * 1000)
    rate, p95 = wilson(failures, limit), float(np.quantile(took, 0.95))
    calls_per_s = 1000 * limit / sum(took)
    return Report(
        measures=(
            exactly("calls", limit, n=limit),
            Measure(name="error_rate", value=rate.value, low=rate.low, high=rate.high, n=limit),
        ),
        timings=(
            exactly("latency_p95_ms", p95, n=limit, unit="ms"),
            exactly("calls_per_s", calls_per_s, n=limit, unit="1/s"),
        ),
    )


Attack = tuple[str, Callable[[Rehearsal], bool]]  # what it tries, and whether it was refused


def _refused(rehearsal: Rehearsal, body: bytes, key: str = "", **changed: str) -> bool:
    """Say whether a call was refused with a code of ours; an answer, or a crash, is an attack that worked."""
    response = rehearsal.ask(body, key, **changed)
    return response.status >= 400 and response.header(b"x-holdfast-code") is not None  # noqa: PLR2004 - RFC 9110


def _burst_limited(rehearsal: Rehearsal) -> bool:
    body, key = rehearsal.body(rehearsal.rows(1, seed=0)), rehearsal.keys[0]
    calls = rehearsal.project.serving.burst + BURST
    return any(rehearsal.ask(body, key).status == 429 for _ in range(calls))  # noqa: PLR2004 - RFC 6585


def _good(rehearsal: Rehearsal) -> bytes:
    return rehearsal.body(rehearsal.rows(1, seed=0))


def _wide(rehearsal: Rehearsal) -> bytes:
    rows = rehearsal.rows(1, seed=0)
    return rehearsal.body(np.concatenate((rows, rows), axis=1))


ATTACKS: Final[tuple[Attack, ...]] = (
    ("a call without a key", lambda it: _refused(it, _good(it))),
    ("a guessed key", lambda it: _refused(it, _good(it), "hf_" + "A" * 43)),
    ("an expired key", lambda it: _refused(it, _good(it), it.expired)),
    ("a key for another model", lambda it: _refused(it, _good(it), it.stranger)),
    ("a body that is no JSON", lambda it: _refused(it, b"\xff{", it.keys[1])),
    ("nesting without end", lambda it: _refused(it, b"[" * 100_000, it.keys[1])),
    ("a row that is too wide", lambda it: _refused(it, _wide(it), it.keys[1])),
    ("a value that is no number", lambda it: _refused(it, _good(it).replace(b'"data":[', b'"data":["x",'), it.keys[1])),
    ("more rows than a call may hold", lambda it: _refused(it, it.body(it.rows(5000, seed=0)), it.keys[1])),
    ("a body without end", lambda it: _refused(it, b" " * (2 << 20), it.keys[1])),
    (
        "a path that leads out",
        lambda it: _refused(it, b"", it.keys[1], method="GET", path="/v2/models/../../etc/passwd"),
    ),
    ("a burst", _burst_limited),
)
"""What everybody can try from outside. Attacks on bytes and history are made by `verify`, and by the demo."""


def _attacks(stage: Stage) -> Report:
    """Make every attack on a gateway that answers good calls, and see that it still does afterwards."""
    rehearsal = stage.begin()
    through = [what for what, refused in ATTACKS if not refused(rehearsal)]
    still = rehearsal.ask(_good(rehearsal), rehearsal.keys[2]).status == 200  # noqa: PLR2004 - RFC 9110
    findings = tuple(
        Finding(place="gateway", severity=Severity.CRITICAL, rule="attack", message=f"{what} was not refused")
        for what in through
    )
    measures = (
        exactly("attacks", len(ATTACKS)),
        exactly("attacks_succeeded", len(through), n=len(ATTACKS)),
        exactly("answers_afterwards", float(still)),
    )
    return Report(measures=measures, findings=findings)


def _access(stage: Stage) -> Report:
    """Ask for what nobody was granted: each must be denied, and what was granted must be answered."""
    rehearsal = stage.begin()
    good, near = _good(rehearsal), {"method": "GET", "path": "/metrics"}
    probes = {
        "a call without a grant": _refused(rehearsal, good),
        "a grant for another model": _refused(rehearsal, good, rehearsal.stranger),
        "a grant that ended": _refused(rehearsal, good, rehearsal.expired),
        "the gateway's figures from another machine": _refused(rehearsal, b"", **near, peer=ELSEWHERE),
        "an account without a group": not _may(stage.plant, "nobody"),
        "an auditor who changes something": not _may(stage.plant, "auditor", "auditors"),
    }
    let_in = [what for what, denied in probes.items() if not denied]
    if let_in:
        raise StageFailed(f"not denied: {', '.join(let_in)}")
    if rehearsal.ask(good, rehearsal.keys[0]).status != 200:  # noqa: PLR2004 - RFC 9110
        raise StageFailed("a caller with a grant is denied, so denials show nothing")
    return Report(measures=(exactly("denied_probes", len(probes)),))


def _may(plant: Plant, name: str, *groups: str) -> list[str]:
    """Return what the rules in force let an account do that it must not: all but asking, and reading for a group."""
    now, moment = look(plant), plant.clock.now()
    principal = Principal(name=name, sort="user", groups=groups)
    kept = {"asking", "reading"} if groups else {"asking"}
    model = Resource(kind="model", name=current_project(plant).project.name, environment="production")
    asked = (action.name for action in ACTIONS if action.sort not in kept)
    return [name for name in asked if not isinstance(decide(now, principal, name, model, moment), Denied)]


def _telemetry(stage: Stage) -> Report:
    """Call, and read what the gateway would tell of it: each service level must be among it."""
    rehearsal = stage.begin()
    _some_calls(rehearsal)
    told: list[Window] = [window for digest, window, _ in rehearsal.gateway.untold() if digest == stage.subject]
    if not told:
        raise StageFailed("the gateway tells nothing of this release")
    emitted = dict(_levels(told[0]))
    missing = [name for name in SLIS if name not in emitted]
    if missing:
        raise StageFailed(f"not emitted: {', '.join(missing)}")
    if sum(sum(cells) for cells in told[0].inputs.values()) == 0:
        raise StageFailed("the gateway does not tell how inputs are spread, so drift would not be seen")
    return Report(measures=(exactly("slis_emitted", len(emitted)), *(exactly(*item) for item in emitted.items())))


def _levels(window: Window) -> Iterator[tuple[str, float]]:
    if window.requests:
        yield "requests", float(window.requests)
        yield "error_rate", window.failures / window.requests
    if sum(window.latency):
        yield "latency_p95_ms", quantile_bounds(window.latency, 0.95)[1]


def _dashboards(stage: Stage) -> Report:
    """Scrape the gateway after some calls: every series that a dashboard draws must hold data for this model."""
    rehearsal = stage.begin()
    _some_calls(rehearsal)
    scrape = rehearsal.ask(b"", method="GET", path="/metrics").body.decode()
    lines = [line.rpartition(" ") for line in scrape.splitlines() if not line.startswith("#")]
    model = f'model="{rehearsal.project.project.name}"'
    found = {name.partition("{")[0] for name, _, _ in lines if "{" not in name or model in name}
    empty = [name for name in SERIES if name not in found]
    mine = [(name, value) for name, _, value in lines if model in name]
    counted = sum(float(value) for name, value in mine if name.startswith("holdfast_requests_total{"))
    if empty or not counted:
        raise StageFailed(f"no data for this model in: {', '.join(empty) or 'holdfast_requests_total'}")
    return Report(measures=(exactly("series_with_data", len(SERIES)), exactly("requests_shown", counted)))


def _some_calls(rehearsal: Rehearsal) -> None:
    for row in rehearsal.rows(20, seed=1):
        if rehearsal.ask(rehearsal.body(row[np.newaxis]), rehearsal.keys[0]).status != 200:  # noqa: PLR2004 - RFC 9110
            raise StageFailed("a good call is not answered")


def _drill(stage: Stage) -> Report:
    """Put the release in, take it out, and put back what a rollback would: an earlier release, or the safe state.

    The time counts from the decision to go back until the answers of the gateway show that it has.
    """
    rehearsal = stage.begin()
    target = _earlier(stage)
    body, key = _good(rehearsal), rehearsal.keys[0]
    if _answers(rehearsal, body, key) != rehearsal.release.short:
        raise StageFailed("the release does not answer, so nothing can be rolled back from")
    begun = time.perf_counter()
    rehearsal.gateway.swap(_returned(rehearsal, target))
    wanted = target.release.short if target is not None else ""
    answered = _answers(rehearsal, body, key)
    took = time.perf_counter() - begun
    if answered != wanted:
        raise StageFailed(f"after the rollback {answered or 'nothing'} answers, not {wanted or 'nothing'}")
    facts = {"to": target.release.digest if target is not None else "the declared safe state"}
    return Report(
        measures=(exactly("rolled_back", 1.0),), timings=(exactly("rollback_s", took, unit="s"),), facts=facts
    )


def _earlier(stage: Stage) -> Rehearsal | None:
    """Return a rehearsal of the release that answers now, decided upon anew; None where none does."""
    now = standing(stage.plant, current_project(stage.plant))
    present = now.baseline if now.baseline != stage.subject else ""
    return rehearse(stage.plant, case_of(stage.plant, Digest(present)).dossier) if present else None


def _returned(rehearsal: Rehearsal, target: Rehearsal | None) -> State:
    """Return the state that a rollback leads to."""
    if target is None:
        return replace(rehearsal.state, epoch=2, routes={})
    name = rehearsal.project.project.name
    route = replace(rehearsal.state.routes[name], baseline=target.release)
    chains = rehearsal.guarded({target.release.digest: target.release.signature})
    return replace(rehearsal.state, epoch=2, routes={name: route}, chains=chains)


def _answers(rehearsal: Rehearsal, body: bytes, key: str) -> str:
    """Return the release that a caller sees answering; empty where none does."""
    response = rehearsal.ask(body, key)
    if response.status != 200:  # noqa: PLR2004 - RFC 9110
        return ""
    return str(msgspec.json.decode(response.body)["model_version"])


PROBES: Final = (
    Control(name="watch.telemetry/1", measure=_telemetry),
    Control(name="registry.access/1", measure=_access),
    Control(name="watch.dashboards/1", measure=_dashboards),
    Control(name="release.load/1", measure=_load),
    Control(name="release.attacks/1", measure=_attacks),
)
DRILL: Final = Control(name="respond.drill/1", measure=_drill)
