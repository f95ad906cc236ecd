"""The gateway's core: one synchronous function from a request to a response.

Decides, in this order: what the path asks for; whether this gateway may answer at all; what the guards of the signed
route table say; what the model says; what the guards let out. It does no I/O but the model's own arithmetic, so that it
can be tested without a socket and put behind any server. Every refusal has its words in `refusals`; whatever goes wrong
beyond them is a 503 that tells nothing.
"""

import hashlib
import hmac
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import count
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.ports import Clock
from holdfast.core.resilience import SafeState
from holdfast.core.telemetry import Window
from holdfast.serve import encoding, metadata, openapi, protocol
from holdfast.serve.events import Noted, SecurityLog
from holdfast.serve.exchange import PROXIED, Head, Headers, Heads, HttpRequest, HttpResponse
from holdfast.serve.exposure import pseudonym
from holdfast.serve.guards import Chains
from holdfast.serve.guards.inputs import ValidInput
from holdfast.serve.guards.reactions import Watched
from holdfast.serve.metrics import CONTENT_TYPE, Counts, Standing, render
from holdfast.serve.protocol import CORRELATION, POSTED, RUNS_MODEL, Malformed, Operation
from holdfast.serve.refusals import (
    BROKEN,
    ENCODED,
    LEASE_OVER,
    MALFORMED,
    MODEL_FAILED,
    NO_SUCH_PATH,
    NOT_READY,
    OVERLOADED,
    UNRECORDED,
    WITHDRAWN,
    WRONG_METHOD,
    Saying,
)
from holdfast.serve.resilience import Resilient, is_odd
from holdfast.serve.shadow import Copy, Shadow
from holdfast.serve.state import UNIT, Release, Route, State, sane
from holdfast.serve.telemetry import Meter

LOOPBACK: Final = frozenset({"", "127.0.0.1", "::1"})  # "" is the other end of a Unix socket
_JSON: Final = b"application/json"
_ID: Final = "x-correlation-id"
_NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_STALE: Final = (b"x-holdfast-stale", b"true")
_SAFE: Final = (b"x-holdfast-safe-state", b"true")
_OCTETS: Final = b"application/octet-stream"
_HEAD: Final = "inference-header-content-length"
_BUSY: Final = encoding.encode_error(OVERLOADED.public)
_SHED: Final = HttpResponse(
    status=OVERLOADED.status,
    headers=(
        (b"content-type", _JSON),
        (b"content-length", str(len(_BUSY)).encode()),
        (b"x-holdfast-code", OVERLOADED.code.encode()),
        _NO_SNIFFING,
        (b"retry-after", b"1"),
    ),
    body=_BUSY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a gateway stands on, apart from its state: clocks, the key of its pseudonyms, its version."""

    clock: Clock
    monotonic: Callable[[], float]
    credential_key: bytes = field(repr=False)
    version: str
    log: SecurityLog = field(default_factory=SecurityLog)
    terminator_key: bytes = field(
        default=b"", repr=False
    )  # shared with the TLS terminator in front; empty: no word about certificates is taken
    watched: Watched = field(default_factory=Watched)
    metrics_for_all: bool = False  # whether callers from other machines may read /metrics


class Gateway:
    """Answers requests from its present state, which whoever loads a newer one swaps in whole."""

    def __init__(self, ground: Ground) -> None:
        """Start without a state: not ready."""
        self._ground = ground
        self._state: State | None = None
        self._absent = NOT_READY
        self._stale = ""
        self._counts = Counts()
        self._heads = Heads()
        self._meters: dict[str, Meter] = {}
        self.shadow = Shadow()
        self._resilient = Resilient(monotonic=ground.monotonic)
        self._prefix, self._numbers = secrets.token_hex(8), count()  # of correlation ids, distinct over all gateways

    @property
    def state(self) -> State | None:
        """What is served now."""
        return self._state

    @property
    def stale(self) -> str:
        """Why the newest state could not be loaded; "" while it is the one that answers."""
        return self._stale

    @property
    def log(self) -> SecurityLog:
        """The security events that nobody has written yet."""
        return self._ground.log

    @property
    def answered(self) -> int:
        """How many responses were given since this process began."""
        return sum(self._counts.responses.values())

    # ── the safe state ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def safe(self) -> SafeState:
        """The safe state that was entered last; whoever keeps it over restarts reads it here."""
        return self._resilient.safe

    @property
    def is_safe(self) -> bool:
        """Whether this gateway is in its safe state: until a table of a later epoch answers."""
        return self._state is not None and self._resilient.safe.holds(self._state.epoch)

    def make_safe(self, reason: str) -> None:
        """Go into the safe state, under the epoch that is obeyed now, and put it on record."""
        if self._state is not None and not self.is_safe:
            now = self._ground.clock.now()
            self.keep_safe(SafeState(epoch=self._state.epoch, reason=reason[:500], since=now))

    def keep_safe(self, safe: SafeState) -> None:
        """Take in a safe state that this process, another worker or an earlier one has entered; it is never undone."""
        joined = self._resilient.safe.joined(safe)
        if joined is not self._resilient.safe:
            self._resilient.safe = joined
            now = self._ground.clock.now()
            self._ground.log.note(Noted(time=now, kind="safe-state.entered", caller="gateway", detail=joined.reason))

    # ── what the loader does ────────────────────────────────────────────────────────────────────────────────────────

    def swap(self, state: State) -> None:
        """Answer from this state from now on; calls under way finish with the one they began with."""
        for release in state.releases.values():
            if release.digest not in self._meters:
                names = tuple(field.name for field in release.signature.inputs)
                self._meters[release.digest] = Meter(profile=release.profile, names=names)
        self._resilient.keep_only(frozenset(state.releases))
        self._state, self._stale = state, ""
        self._heads.forget()
        self._counts.loads += 1

    def hold(self, reason: str) -> None:
        """Go on with the present state, and say that it is not the newest."""
        self._stale = reason
        self._counts.failed_loads += 1

    def narrow(self, revoked: frozenset[str], chains: Chains | None) -> None:
        """Obey what a newer, believed table takes away, although not all of what it gives could be loaded."""
        state = self._state
        if state is not None:
            self._state = state.without(revoked, chains or state.chains)
            self._heads.forget()

    def expire(self, now: datetime) -> bool:
        """Drop the state if its lease is over; a clock set back afterwards does not bring it back."""
        state = self._state
        if state is None or now < state.lease:
            return False
        self._state, self._absent = None, LEASE_OVER
        return True

    def untold(self) -> list[tuple[str, Window, Callable[[], None]]]:
        """Return each release's window since the last that was told, and what to call once it is written."""
        windows = []
        for digest, meter in list(self._meters.items()):
            window, reading = meter.untold()
            if window.requests or window.refused or window.shadow:
                windows.append((digest, window, _teller(meter, reading)))
            elif self._state is not None and digest not in self._state.releases:
                del self._meters[digest]  # told to the end, and no longer served
        return windows

    # ── what a request meets ────────────────────────────────────────────────────────────────────────────────────────

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request; never raises, and answers 5xx only where `refusals` says so."""
        head = self._heads.read(request.headers)
        headers, call = head.headers, self._begin(request, head)
        try:
            if headers is None:
                refusal = MALFORMED.refusal("protocol", "a header twice", public="a header is given twice")
                return self._refuse(request, call, refusal)
            if _ID in headers and headers[_ID] != call.correlation:
                words = "x-correlation-id may hold up to 64 letters, digits, points, hyphens and underscores"
                return self._refuse(request, call, MALFORMED.refusal("protocol", "correlation id", public=words))
            return self._respond(request, call)
        except Exception as error:  # noqa: BLE001 - fail closed, whatever it is; the caller learns nothing of why
            return self._refuse(request, call, BROKEN.refusal("gateway", f"{type(error).__name__}: {error}"))

    def shed(self) -> HttpResponse:
        """Return the refusal of a request that nobody looks at: under overload, saying no must cost next to nothing."""
        self._counts.refusal("overload", OVERLOADED.code)
        self._counts.response("", OVERLOADED.status)
        return _SHED

    def turn_away(self, request: HttpRequest, saying: Saying) -> HttpResponse:
        """Return the refusal of a request that was not read to its end."""
        return self._refuse(
            request, self._begin(request, self._heads.read(request.headers)), saying.refusal("protocol")
        )

    def not_http(self, peer: str) -> None:
        """Take note of something that was no HTTP, or was it too slowly; the server has closed the connection."""
        self.turn_away(HttpRequest(method="", path="", peer=peer), MALFORMED)

    def _begin(self, request: HttpRequest, head: Head) -> Call:
        """Return the call that a request begins, under the caller's correlation id if it is one, or else a new one."""
        headers = head.headers or {}
        given = headers.get(_ID, "")
        known = given and CORRELATION.fullmatch(given)
        call = Call(
            model="",
            headers=headers,
            body=request.body,
            method=request.method,
            path=request.path,
            raw=head.raw,
            seen=head.seen,
            now=self._ground.clock.now(),
            query=request.query,
            correlation=given if known else f"{self._prefix}{next(self._numbers):016x}",
            received_s=self._ground.monotonic(),
        )
        if request.certificate or request.signed:
            call.certificate, call.signed = request.certificate, request.signed
        return call

    def _respond(self, request: HttpRequest, call: Call) -> HttpResponse:
        found = protocol.target(request.path)
        if found is None:
            return self._refuse(request, call, NO_SUCH_PATH.refusal("protocol", request.path[:100]))
        operation, model, version = found
        if request.method != ("POST" if operation in POSTED else "GET"):
            return self._refuse(request, call, WRONG_METHOD.refusal("protocol", request.method[:20]), operation)
        if not model and operation is not Operation.INDEX:
            return self._about_server(request, call, operation)
        state = self._usable(call.now)
        if isinstance(state, Refusal):
            return self._refuse(request, call, state)
        call.model, call.operation, call.version = model, operation, version
        if operation not in RUNS_MODEL:
            return self._look(request, call, state)
        try:
            return self._infer(request, call, state)
        finally:
            state.chains.call.done()

    def _usable(self, now: datetime | None = None) -> State | Refusal:
        """Return the state if it may answer now."""
        state = self._state
        if state is None or self.expire(now or self._ground.clock.now()):
            return self._absent.refusal("state")
        if self._ground.log.full:  # fail closed: an attack that fills the disk must not go unrecorded
            return UNRECORDED.refusal("state")
        return state

    def _about_server(self, request: HttpRequest, call: Call, operation: Operation) -> HttpResponse:
        if operation is Operation.LIVE:
            return self._reply(call, 200, metadata.LIVE_BODY)
        if operation is Operation.READY:
            state = self._usable()
            if isinstance(state, Refusal) or not state.routes or self._silent(state):
                return self._reply(call, 503, metadata.NOT_READY_BODY)
            return self._reply(call, 200, metadata.STALE_BODY if self._stale else metadata.READY_BODY)
        if operation is Operation.SERVER:
            return self._reply(call, 200, metadata.server_metadata(self._ground.version))
        near = request.peer in LOOPBACK and PROXIED not in call.headers
        if not near and not self._ground.metrics_for_all:
            return self._refuse(request, call, NO_SUCH_PATH.refusal("protocol", "metrics from afar"))
        return self._reply(call, 200, self._scrape(), kind=CONTENT_TYPE, more=(_NO_SNIFFING,))

    def _look(self, request: HttpRequest, call: Call, state: State) -> HttpResponse:
        """Answer a question about a model, to callers who may call it."""
        admitted = state.chains.look.admit(call)
        if isinstance(admitted, Refusal):
            return self._refuse(request, call, admitted)
        if call.operation == Operation.INDEX:
            return self._index(request, call, state)
        route = state.routes.get(call.model)
        release = route.versioned(call.version) if route is not None else None
        if release is None:
            return self._refuse(request, call, NO_SUCH_PATH.refusal("protocol", f"{call.model} is not served"))
        if release.digest in state.withdrawn:
            return self._refuse(request, call, WITHDRAWN.refusal("state"))
        if call.operation == Operation.MODEL_READY:
            return self._reply(call, 200, metadata.model_ready(call.model))
        if call.operation == Operation.OPENAPI:
            return self._described(request, call, state, release)
        return self._reply(call, 200, metadata.model_metadata(call.model, release.short, release.signature))

    def _described(self, request: HttpRequest, call: Call, state: State, release: Release) -> HttpResponse:
        """Describe a release as the guard on its input takes it."""
        guard = next((each for each in state.chains.call.guards if isinstance(each, ValidInput)), None)
        domain = guard.domains.get(release.digest) if guard is not None else None
        if guard is None or domain is None:
            return self._refuse(request, call, BROKEN.refusal("gateway", "no guard knows the inputs"))
        about = openapi.Described(
            model=call.model,
            version=release.short,
            signature=release.signature,
            low=domain.lowest.tolist(),
            high=domain.highest.tolist(),
            max_rows=guard.max_rows,
        )
        return self._reply(call, 200, openapi.describe(about))

    def _index(self, request: HttpRequest, call: Call, state: State) -> HttpResponse:
        """Answer which of the models that the caller may call are served."""
        try:
            asked = metadata.decode_index(call.body)
        except Malformed as finding:
            return self._refuse(request, call, MALFORMED.refusal("protocol", str(finding), public=str(finding)))
        rows = []
        for name in sorted(state.routes.keys() & set(call.models)):
            release = state.routes[name].baseline
            reason = WITHDRAWN.public if release.digest in state.withdrawn else ""
            if not (asked.ready and reason):
                rows.append((name, release.short, reason))
        return self._reply(call, 200, metadata.index(rows))

    def _infer(self, request: HttpRequest, call: Call, state: State) -> HttpResponse:
        route = state.routes.get(call.model)
        release = route.chosen(call, state.withdrawn) if route is not None else None
        call.release = release.digest if release is not None else ""
        refused = _framed(call)
        if refused is not None:
            return self._refuse(request, call, refused)
        admitted = state.chains.call.admit(call)
        self._sense(route, call, admitted)
        if isinstance(admitted, Refusal):
            if release is not None and call.client:  # strangers cannot make a candidate look bad
                self._meters[release.digest].observe_refusal()
            return self._refuse(request, call, admitted)
        if route is None or release is None or admitted.rows is None:  # the guards let pass what nobody has validated
            return self._refuse(request, call, BROKEN.refusal("gateway", "a call without release or rows"))
        if release.digest in state.withdrawn:
            return self._refuse(request, call, WITHDRAWN.refusal("state"))
        self._expose(route, release, call)
        answer = self._answer(route, release, admitted)
        meter = self._meters[release.digest]
        if isinstance(answer, Refusal) and release is route.candidate and route.alike:
            meter.observe_failure(self._ground.monotonic() - call.received_s)  # it counts, and the caller is answered
            release, meter = route.baseline, self._meters[route.baseline.digest]
            if release.digest in state.withdrawn:
                return self._refuse(request, call, WITHDRAWN.refusal("state"))
            call.release, answer = release.digest, self._answer(route, release, admitted)
        if isinstance(answer, Refusal):
            meter.observe_failure(self._ground.monotonic() - call.received_s)
            return self._refuse(request, call, answer)
        labels = admitted.said = answer.labels
        scores = answer.probabilities[:, release.score] if not call.instead else None
        released = state.chains.call.release(admitted, answer)
        if isinstance(released, Refusal):
            meter.observe_failure(self._ground.monotonic() - call.received_s)
            return self._refuse(request, call, released)
        shadow = route.candidate if route.copies(call.correlation) else None
        if scores is not None and shadow is not None and shadow.digest not in state.withdrawn:
            self._copy(shadow, admitted.rows, labels, scores)
        return self._tell(release, admitted, released, scores)

    def _tell(self, release: Release, call: Call, released: Answer, scores: NDArray[np.float64] | None) -> HttpResponse:
        """Say what the guards have let out, and count it; scores are those of the model, None where rules answer."""
        if call.instead:  # a rule has no probability
            released.probabilities = released.probabilities[:, :0]
        body, head = _encode(released, release, call)
        seconds = self._ground.monotonic() - call.received_s
        more: Headers = ((b"x-holdfast-release", release.short.encode()),)
        if scores is not None and call.rows is not None:
            self._meters[release.digest].observe(seconds, call.rows, scores, call.flagged)
        else:  # rules have no score, and what they answer the model has not answered
            self._meters[release.digest].observe_failure(seconds)
            more = (*more, (b"x-holdfast-fallback", call.instead.encode()))
        if head:
            return self._reply(call, 200, body, kind=_OCTETS, more=((_HEAD.encode(), str(head).encode()), *more))
        return self._reply(call, 200, body, more=more)

    def _expose(self, route: Route, release: Release, call: Call) -> None:
        """Take note of whom an experiment met, and on which side: before the answer, which must not decide about it."""
        unit = call.headers.get(UNIT, "") if route.experiment and not call.version else ""
        if unit:  # who asks for a version is in no experiment
            named = pseudonym(self._ground.credential_key, route.experiment, unit)
            self._meters[release.digest].expose(route.experiment, named)

    def _copy(
        self, shadow: Release, rows: NDArray[np.float32], labels: NDArray[np.int64], scores: NDArray[np.float64]
    ) -> None:
        """Hand a copy of an answered call to the shadow; it never waits."""
        meter = self._meters[shadow.digest]
        self.shadow.offer(Copy(release=shadow, meter=meter, rows=rows, labels=labels, scores=scores))

    def _answer(self, route: Route, release: Release, call: Call) -> Answer | Refusal:
        """Return what is said to validated rows: by the model, or in its place."""
        if self.is_safe:
            return self._resilient.safely(route.resilience, release, call)
        if route.resilience is not None:  # where a candidate fails, the baseline answers before any rule does
            rules = not (release is route.candidate and route.alike)
            return self._resilient.answer(route.resilience, release, call, self._ask, rules=rules)
        return self._ask(release, call.rows) if call.rows is not None else BROKEN.refusal("gateway", "no rows")

    def _sense(self, route: Route | None, call: Call, admitted: Call | Refusal) -> None:
        """Go into the safe state where too many of a known caller's inputs cannot be: a sensor is broken, or lies."""
        if route is None or route.resilience is None or not call.client:
            return
        odd = is_odd(admitted if isinstance(admitted, Refusal) else None, call)
        reason = self._resilient.sensed(route.resilience, route.name, odd=odd)
        if reason:
            self.make_safe(reason)

    def _silent(self, state: State) -> bool:
        """Say whether nothing answers: the safe state, in which every model refuses."""
        answers = (
            route.resilience is not None and route.resilience.safe_state != "refuse" for route in state.routes.values()
        )
        return self.is_safe and not any(answers)

    def _ask(self, release: Release, rows: NDArray[np.float32]) -> Answer | Refusal:
        """Run the model, and believe its answer only if it is one."""
        try:
            labels, probabilities = release.model.run(rows)
        except Exception as error:  # noqa: BLE001 - a model that raises has no answer
            return MODEL_FAILED.refusal("model", f"{type(error).__name__}: {error}")
        if not sane(labels, probabilities, rows=len(rows), classes=len(release.signature.classes)):
            return MODEL_FAILED.refusal("model", "an answer of another shape, of no class, or of no number")
        return Answer(labels=labels, probabilities=probabilities)

    # ── how it is said ──────────────────────────────────────────────────────────────────────────────────────────────

    def _reply(self, call: Call, status: int, body: bytes, *, kind: bytes = _JSON, more: Headers = ()) -> HttpResponse:
        self._counts.response(self._label(call.model), status)
        headers = (
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"x-correlation-id", call.correlation.encode()),
            *more,
        )
        if self._stale and self._state is not None:
            headers = (*headers, _STALE)
        if self.is_safe:
            headers = (*headers, _SAFE)
        return HttpResponse(status=status, headers=headers, body=body)

    def _refuse(
        self, request: HttpRequest, call: Call, refusal: Refusal, operation: Operation | None = None
    ) -> HttpResponse:
        self._counts.refusal(refusal.guard, refusal.code)
        if refusal.security:
            self._note(request, call, refusal)
        more: list[tuple[bytes, bytes]] = [(b"x-holdfast-code", refusal.code.encode()), _NO_SNIFFING]
        if refusal.retry_after_s is not None:
            more.append((b"retry-after", str(max(1, math.ceil(refusal.retry_after_s))).encode()))
        if refusal.status == 401:  # noqa: PLR2004 - RFC 9110 15.5.2 demands the challenge
            more.append((b"www-authenticate", b"Bearer"))
        if operation is not None:
            more.append((b"allow", b"POST" if operation in POSTED else b"GET"))
        return self._reply(call, refusal.status, encoding.encode_error(refusal.public), more=tuple(more))

    def _note(self, request: HttpRequest, call: Call, refusal: Refusal) -> None:
        """Take note of a refusal; an address becomes a keyed pseudonym, which tells callers apart and no more."""
        caller = f"client:{call.client}"
        if not call.client:
            mac = hmac.new(self._ground.credential_key, request.peer.encode(), hashlib.sha256)
            caller = f"peer:{mac.hexdigest()[:16]}"
        event = Noted(
            time=self._ground.clock.now(),
            kind=f"refused.{refusal.guard}.{refusal.code}",
            caller=caller,
            model=self._label(call.model),
            correlation=call.correlation,
            detail=refusal.detail,
        )
        self._ground.log.note(event)

    def _label(self, model: str) -> str:
        """Return a model's name if a table names it: what a caller made up becomes no label."""
        return model if self._state is not None and model in self._state.routes else ""

    def _scrape(self) -> bytes:
        state = self._state
        meters = {}
        for route in state.routes.values() if state is not None else ():
            for release in (route.baseline, route.candidate):
                if release is not None:
                    meters[route.name, release.short] = self._meters[release.digest]
        lease = (state.lease - self._ground.clock.now()).total_seconds() if state is not None else 0.0
        standing = Standing(
            ready=state is not None and lease > 0,
            stale=bool(self._stale),
            epoch=state.epoch if state is not None else 0,
            lease_s=max(lease, 0.0),
            security_events=self._ground.log.total,
            detections=self._ground.watched.counts,
            safe=self.is_safe,
            instead=dict(self._resilient.instead),
            breakers={
                (route.name, release.short): str(standing)
                for route in (state.routes.values() if state is not None else ())
                for release in (route.baseline, route.candidate)
                if release is not None and (standing := self._resilient.standing(release.digest)) is not None
            },
        )
        return render(self._counts, meters, standing)


def _framed(call: Call) -> Refusal | None:
    """Write down how much of a body is JSON, where it says so; refuse a body that is not what it says."""
    if "content-encoding" in call.headers:
        return ENCODED.refusal("protocol")
    if _HEAD in call.headers:
        call.head = protocol.head_length(call.headers[_HEAD], call.body)
        if call.head is None or call.operation == Operation.PREDICT:
            words = f"{_HEAD} is not the length of a head of JSON"
            return MALFORMED.refusal("protocol", words, public=words)
    return None


def _encode(answer: Answer, release: Release, call: Call) -> tuple[bytes, int]:
    """Return the body of an answer, and how many bytes of it are a head before tensors as bytes."""
    if call.operation == Operation.PREDICT:
        return encoding.encode_predict(answer, release.signature, model=call.model, version=release.short), 0
    return encoding.encode_infer(
        answer,
        release.signature,
        model=call.model,
        version=release.short,
        request_id=call.request_id,
        outputs=call.outputs,
        binary=call.binary,
    )


def _teller(meter: Meter, reading: Window) -> Callable[[], None]:
    return lambda: meter.tell(reading)
