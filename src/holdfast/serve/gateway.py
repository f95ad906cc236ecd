"""The gateway's core: one synchronous function from a request to a response.

Decides, in this order: what the path asks for; whether this gateway may answer at all; what the guards of the signed
route table say; what the model says; what the guards let out. It does no I/O but the model's own arithmetic, so that it
can be tested without a socket and put behind any server. Every refusal has its words in `refusals`; whatever goes wrong
beyond them is a 503 that tells nothing.
"""

import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.places import ROWS_OF
from holdfast.core.resilience import SafeState
from holdfast.core.telemetry import Window
from holdfast.serve import answering, encoding, metadata, protocol
from holdfast.serve.breaker import Standing
from holdfast.serve.columns import Key
from holdfast.serve.events import Noted, SecurityLog
from holdfast.serve.exchange import PROXIED, Head, Headers, Heads, HttpRequest, HttpResponse
from holdfast.serve.exposure import pseudonym
from holdfast.serve.ground import Ground
from holdfast.serve.guards import Chains
from holdfast.serve.guards.inputs import OUT_OF_RANGE
from holdfast.serve.guards.lookup import DEGRADED, LOOKED_UP
from holdfast.serve.meters import Meters
from holdfast.serve.metrics import CONTENT_TYPE, Posture, process_totals, render
from holdfast.serve.protocol import CORRELATION, POSTED, RUNS_MODEL, Operation
from holdfast.serve.questions import Questions
from holdfast.serve.refusals import (
    BROKEN,
    ENCODED,
    LEASE_OVER,
    MALFORMED,
    NO_SUCH_PATH,
    NOT_READY,
    UNRECORDED,
    WITHDRAWN,
    WRONG_METHOD,
    Saying,
)
from holdfast.serve.replies import NO_SNIFFING, Replies
from holdfast.serve.resilience import Resilient, is_odd
from holdfast.serve.shadow import Copy, Shadow
from holdfast.serve.spoiled import SPOILED
from holdfast.serve.state import UNIT, Release, Route, State
from holdfast.serve.tracing import header_of

LOOPBACK: Final = frozenset({"", "127.0.0.1", "::1"})  # "" is the other end of a Unix socket
_ID: Final = "x-correlation-id"
_WORKER: Final = re.compile(rb"worker=([0-9]{1,3})")
_OCTETS: Final = b"application/octet-stream"
_HEAD: Final = "inference-header-content-length"


@dataclass(slots=True)
class Asking:
    """A call that is about to be answered by a model: what it is to be answered from, and its place among others."""

    request: HttpRequest
    call: Call
    state: State
    route: Route | None
    release: Release | None
    place: int = 0


class Gateway:
    """Answers requests from its present state, which whoever loads a newer one swaps in whole."""

    def __init__(self, ground: Ground) -> None:
        """Start without a state: not ready."""
        self._ground = ground
        self._state: State | None = None
        self._absent = NOT_READY
        self._stale = ""
        self._replies = Replies(ground)
        self._questions = Questions(self._replies)
        self._heads = Heads()
        self._meters = Meters(ground.column)
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
        return self._replies.counts.answered

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
            self._stand()

    # ── what the loader does ────────────────────────────────────────────────────────────────────────────────────────

    def swap(self, state: State) -> None:
        """Answer from this state from now on; calls under way finish with the one they began with."""
        self._meters.serve(state.releases.values())
        if self._state is not None:  # not at first: what a predecessor served may return, as it may at other workers
            self._meters.keep_only()
        self._resilient.keep_only(frozenset(state.releases))
        self._state, self._stale = state, ""
        self._heads.forget()
        self._replies.counts.loaded()
        self._stand()

    def hold(self, reason: str) -> None:
        """Go on with the present state, and say that it is not the newest."""
        self._stale = reason
        self._replies.counts.failed_load()
        self._stand()

    def narrow(self, revoked: frozenset[str], chains: Chains | None) -> None:
        """Obey what a newer, believed table takes away, although not all of what it gives could be loaded."""
        state = self._state
        if state is not None:
            self._state = state.without(revoked, chains or state.chains)
            self._heads.forget()
            self._stand()

    def expire(self, now: datetime) -> bool:
        """Drop the state if its lease is over; a clock set back afterwards does not bring it back."""
        state = self._state
        if state is None or now < state.lease:
            return False
        self._state, self._absent = None, LEASE_OVER
        self._stand()
        return True

    def _stand(self) -> None:
        """Say in every response from now on how this gateway stands."""
        self._replies.stand(self._state, stale=bool(self._stale), safe=self.is_safe)

    def settle(self) -> None:
        """Put rows that wait into their cells, where many wait: called often, while callers are answered."""
        self._meters.settle()

    def untold(self) -> list[tuple[str, Window, Callable[[], None]]]:
        """Return each release's window since the last that was told, and what to call once it is written."""
        return self._meters.untold(self._state.releases if self._state is not None else None)

    def publish(self) -> None:
        """Write into this worker's column how it stands, and what others in this process have counted."""
        state, tracing = self._state, self._ground.tracing
        lease = (state.lease - self._ground.clock.now()).total_seconds() if state is not None else 0.0
        found = state.releases.values() if state is not None else ()
        breakers = {each.short: at for each in found if (at := self._resilient.standing(each.digest)) is not None}
        Posture(
            ready=state is not None and lease > 0,
            stale=bool(self._stale),
            epoch=state.epoch if state is not None else None,
            lease_s=max(lease, 0.0),
            safe=self.is_safe,
            breakers={(short, str(each)): each == at for short, at in breakers.items() for each in Standing},
        ).put(self._ground.column)
        totals: dict[Key, float] = process_totals()
        totals |= {("holdfast_detections_total", *key): n for key, n in list(self._ground.watched.counts.items())}
        totals |= {("holdfast_fallback_total", *key): n for key, n in list(self._resilient.instead.items())}
        totals["holdfast_security_events_total",] = self._ground.log.total
        if tracing is not None:
            totals["holdfast_spans_total", "sent"] = tracing.sent
            totals["holdfast_spans_total", "dropped"] = tracing.dropped
        self._replies.counts.follow(totals)

    # ── what a request meets ────────────────────────────────────────────────────────────────────────────────────────

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Return the response to a request; never raises, and answers 5xx only where `refusals` says so."""
        head = self._heads.read(request.headers)
        call = self._begin(request, head)
        try:
            found = self._respond(request, call, head.headers)
            if isinstance(found, HttpResponse):
                return found
            try:
                return self._infer(found)
            finally:
                found.state.chains.call.done()
        except Exception as error:  # noqa: BLE001 - fail closed, whatever it is; the caller learns nothing of why
            return self._replies.broken(request, call, error)

    def handle_together(self, requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        """Return the responses to requests that have arrived together, in order; each as `handle` would answer it.

        Every step is made for all of them before the next, so that each finds its code in the processor's caches, and a
        model is asked once for all rows that it would answer alone to the very same bits. Where a guard must have seen
        an answer before the next call, or says nothing about that, they are answered one after the other.
        """
        state = self._state
        if len(requests) == 1 or state is None or not state.chains.call.together:
            return [self.handle(request) for request in requests]
        said: dict[int, HttpResponse] = {}
        asking: list[Asking] = []
        for place, request in enumerate(requests):
            head = self._heads.read(request.headers)
            call = self._begin(request, head)
            try:
                found = self._respond(request, call, head.headers)
            except Exception as error:  # noqa: BLE001 - the same
                found = self._replies.broken(request, call, error)
            if isinstance(found, HttpResponse):
                said[place] = found
            elif found.state is not state:  # another has been swapped in meanwhile
                said[place] = self.handle(request)
            else:
                found.place = place
                asking.append(found)
        self._infer_together(asking, state, said)
        return [said[place] for place in range(len(requests))]

    def shed(self) -> HttpResponse:
        """Return the refusal of a request that nobody looks at."""
        return self._replies.shed()

    def turn_away(self, request: HttpRequest, saying: Saying) -> HttpResponse:
        """Return the refusal of a request that was not read to its end."""
        return self._replies.refuse(
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
        if self._ground.tracing is not None:
            call.trace = self._ground.tracing.begin(header_of(head.raw), call.received_s)
        return call

    def _respond(self, request: HttpRequest, call: Call, headers: dict[str, str] | None) -> HttpResponse | Asking:
        """Return the response to a request, or what is to be asked of a model."""
        if headers is None or (_ID in headers and headers[_ID] != call.correlation):
            return self._replies.refuse(request, call, _misread(headers))
        found = protocol.target(request.path)
        if found is None:
            return self._replies.refuse(request, call, NO_SUCH_PATH.refusal("protocol", request.path[:100]))
        operation, model, version = found
        if request.method != ("POST" if operation in POSTED else "GET"):
            return self._replies.refuse(request, call, WRONG_METHOD.refusal("protocol", request.method[:20]), operation)
        if not model and operation is not Operation.INDEX:
            return self._about_server(request, call, operation)
        state = self._usable(call.now)
        if isinstance(state, Refusal):
            return self._replies.refuse(request, call, state)
        call.model, call.operation, call.version = model, operation, version
        if operation not in RUNS_MODEL:
            return self._questions.answer(request, call, state)
        route = state.routes.get(model)
        release = route.chosen(call, state.withdrawn) if route is not None else None
        call.release = release.digest if release is not None else ""
        refused = _framed(call)
        if refused is not None:
            return self._replies.refuse(request, call, refused)
        return Asking(request, call, state, route, release)

    def _usable(self, now: datetime | None = None) -> State | Refusal:
        """Return the state if it may answer now."""
        state = self._state
        if state is None or self.expire(now or self._ground.clock.now()):
            return self._absent.refusal("state")
        if self._ground.log.full:  # fail closed: an attack that fills the disk must not go unrecorded
            return UNRECORDED.refusal("state")
        return state

    @property
    def ready(self) -> bool:
        """Whether calls can be answered now."""
        state = self._usable()
        return not isinstance(state, Refusal) and bool(state.routes) and not self._silent(state)

    def _about_server(self, request: HttpRequest, call: Call, operation: Operation) -> HttpResponse:
        if operation is Operation.LIVE:
            return self._replies.reply(call, 200, metadata.LIVE_BODY)
        if operation is Operation.READY:
            if not self.ready:
                return self._replies.reply(call, 503, metadata.NOT_READY_BODY)
            return self._replies.reply(call, 200, metadata.STALE_BODY if self._stale else metadata.READY_BODY)
        if operation is Operation.SERVER:
            return self._replies.reply(call, 200, metadata.server_metadata(self._ground.version))
        near = request.peer in LOOPBACK and PROXIED not in call.headers
        if not near and not self._ground.metrics_for_all:
            return self._replies.refuse(request, call, NO_SUCH_PATH.refusal("protocol", "metrics from afar"))
        worker = _WORKER.fullmatch(request.query)
        try:
            text = self._scrape(int(worker[1]) if worker is not None else None)
        except IndexError:
            return self._replies.refuse(request, call, NO_SUCH_PATH.refusal("protocol", "metrics of no worker"))
        return self._replies.reply(call, 200, text, kind=CONTENT_TYPE, more=(NO_SNIFFING,))

    def _infer(self, asking: Asking) -> HttpResponse:
        """Answer one call: what the guards let in, the model answers, and the guards let out."""
        admitted = self._let_in(asking, asking.state.chains.call.admit(asking.call))
        if isinstance(admitted, HttpResponse):
            return admitted
        route, release = admitted
        return self._let_out(asking, route, release, self._answer(asking.call, route, release))

    def _infer_together(self, asking: list[Asking], state: State, said: dict[int, HttpResponse]) -> None:
        """Answer calls that have come together, each at its place."""
        let: list[tuple[Asking, Route, Release]] = []
        admitted = state.chains.call.admit_together([each.call for each in asking])
        for each, passed in zip(asking, admitted, strict=True):
            try:
                found = self._let_in(each, passed)
                if isinstance(found, HttpResponse):
                    said[each.place] = found
                else:
                    let.append((each, *found))
            except Exception as error:  # noqa: BLE001 - the same
                said[each.place] = self._replies.broken(each.request, each.call, error)
        answers = (
            {}
            if self.is_safe
            else answering.answer_together([(each.call, route, release) for each, route, release in let])
        )
        for number, (each, route, release) in enumerate(let):
            try:
                answer = answers.get(number) or self._answer(each.call, route, release)
                said[each.place] = self._let_out(each, route, release, answer)
            except Exception as error:  # noqa: BLE001 - the same
                said[each.place] = self._replies.broken(each.request, each.call, error)

    def _let_in(self, asking: Asking, admitted: Call | Refusal) -> HttpResponse | tuple[Route, Release]:
        """Return which release of which route answers a call, now that the guards have spoken; or why none does."""
        request, call, route, release = asking.request, asking.call, asking.route, asking.release
        if call.trace is not None:
            call.trace.admitted_s = self._ground.monotonic()
        self._sense(route, call, admitted)
        if LOOKED_UP in call.notes and call.release in self._meters:
            looked = call.notes[LOOKED_UP]
            self._meters[call.release].read(looked.reads, call.client, looked.rows)
        if isinstance(admitted, Refusal):
            if release is not None and call.client:  # strangers cannot make a candidate look bad
                self._meters[release.digest].observe_refusal()
                if found := call.notes.get(SPOILED):
                    self._meters[release.digest].observe_spoiled(found.inputs, found.rows)
            return self._replies.refuse(request, call, admitted)
        asking.call = admitted
        if route is None or release is None or admitted.rows is None:  # the guards let pass what nobody has validated
            return self._replies.refuse(request, call, BROKEN.refusal("gateway", "a call without release or rows"))
        if release.digest in asking.state.withdrawn:
            return self._replies.refuse(request, call, WITHDRAWN.refusal("state"))
        self._expose(route, release, call, asking.state.withdrawn)
        return route, release

    def _let_out(self, asking: Asking, route: Route, release: Release, answer: Answer | Refusal) -> HttpResponse:
        """Say what was answered to a call, as far as the guards let it out."""
        request, call, state = asking.request, asking.call, asking.state
        if call.trace is not None:
            call.trace.answered_s = self._ground.monotonic()
        meter = self._meters[release.digest]
        if isinstance(answer, Refusal) and release is route.candidate and route.alike:
            meter.observe_failure(self._ground.monotonic() - call.received_s)  # it counts, and the caller is answered
            release, meter = route.baseline, self._meters[route.baseline.digest]
            if release.digest in state.withdrawn:
                return self._replies.refuse(request, call, WITHDRAWN.refusal("state"))
            call.release, answer = release.digest, self._answer(call, route, release)
        if isinstance(answer, Refusal):
            meter.observe_failure(self._ground.monotonic() - call.received_s)
            return self._replies.refuse(request, call, answer)
        labels = call.said = answer.labels
        scores = answer.probabilities[:, release.score] if not call.instead else None
        released = state.chains.call.release(call, answer)
        if isinstance(released, Refusal):
            meter.observe_failure(self._ground.monotonic() - call.received_s)
            return self._replies.refuse(request, call, released)
        shadow = route.candidate if route.copies(call.correlation) else None
        if scores is not None and call.rows is not None and shadow is not None and shadow.digest not in state.withdrawn:
            self._copy(shadow, call.rows, labels, scores)
        return self._tell(release, call, released, scores)

    def _tell(self, release: Release, call: Call, released: Answer, scores: NDArray[np.float64] | None) -> HttpResponse:
        """Say what the guards have let out, and count it; scores are those of the model, None where rules answer."""
        if call.instead:  # a rule has no probability
            released.probabilities = released.probabilities[:, :0]
        body, head = _encode(released, release, call)
        seconds = self._ground.monotonic() - call.received_s
        more: Headers = ((b"x-holdfast-release", release.short.encode()),)
        if scores is not None and call.rows is not None:
            self._meters[release.digest].observe(seconds, call.rows, scores, call.flagged)
            if call.flagged and (found := call.notes.get(SPOILED)):
                self._meters[release.digest].observe_spoiled(found.inputs, 0)
        else:  # rules have no score, and what they answer the model has not answered
            self._meters[release.digest].observe_failure(seconds)
            more = (*more, (b"x-holdfast-fallback", call.instead.encode()))
        if call.notes:
            more = (*more, *_about_rows(call))
        if head:
            more = ((_HEAD.encode(), str(head).encode()), *more)
            return self._replies.reply(call, 200, body, kind=_OCTETS, more=more)
        return self._replies.reply(call, 200, body, more=more)

    def _expose(self, route: Route, release: Release, call: Call, withdrawn: frozenset[str]) -> None:
        """Take note of whom an experiment met, and on which side: before the answer, which must not decide about it.

        Once the candidate is withdrawn there is one side left, which would get the other's units: nobody is met then.
        """
        over = route.candidate is not None and route.candidate.digest in withdrawn
        unit = call.headers.get(UNIT, "") if route.experiment and not call.version and not over else ""
        if unit:  # who asks for a version is in no experiment
            named = pseudonym(self._ground.credential_key, route.experiment, unit)
            self._meters[release.digest].expose(route.experiment, named)

    def _copy(
        self, shadow: Release, rows: NDArray[np.float32], labels: NDArray[np.int64], scores: NDArray[np.float64]
    ) -> None:
        """Hand a copy of an answered call to the shadow; it never waits."""
        meter = self._meters[shadow.digest]
        self.shadow.offer(Copy(release=shadow, meter=meter, rows=rows, labels=labels, scores=scores))

    def _answer(self, call: Call, route: Route, release: Release) -> Answer | Refusal:
        return answering.answer((call, route, release), self._resilient, safe=self.is_safe)

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

    def _scrape(self, worker: int | None) -> bytes:
        self.publish()
        routes = self._state.routes.values() if self._state is not None else ()
        found = ((route.name, each) for route in routes for each in (route.baseline, route.candidate))
        served = [(name, release.short) for name, release in found if release is not None]
        return render(self._ground.column.columns.read(worker), served)


def _about_rows(call: Call) -> Headers:
    """Return the headers that say which rows of a call are out of range or lack features, and which features."""
    more: Headers = ()
    if OUT_OF_RANGE in call.notes:
        more = ((ROWS_OF[OUT_OF_RANGE].encode(), call.notes[OUT_OF_RANGE]),)
    found = call.notes.get(LOOKED_UP)
    if found is not None and found.lacking:
        more = (*more, (b"x-holdfast-degraded", found.header))
        if found.rows > 1:
            more = (*more, (ROWS_OF[DEGRADED].encode(), found.places))
    return more


def _misread(headers: dict[str, str] | None) -> Refusal:
    """Return the refusal of headers that tell two stories, or hold an id that is none."""
    if headers is None:
        return MALFORMED.refusal("protocol", "a header twice", public="a header is given twice")
    words = "x-correlation-id may hold up to 64 letters, digits, points, hyphens and underscores"
    return MALFORMED.refusal("protocol", "correlation id", public=words)


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
    signature = release.signature
    if answer.classes is not None:
        signature = msgspec.structs.replace(signature, classes=answer.classes)
    if call.operation == Operation.PREDICT:
        return encoding.encode_predict(answer, signature, model=call.model, version=release.short), 0
    return encoding.encode_infer(
        answer,
        signature,
        model=call.model,
        version=release.short,
        request_id=call.request_id,
        outputs=call.outputs,
        binary=call.binary,
    )
