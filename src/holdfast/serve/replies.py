"""How the gateway says it: every response is built and counted here, and noted where a refusal concerns security.

A refusal gives an attacker its public words and a code, and the operator a security event with the reason.
"""

import hashlib
import hmac
import math
from typing import Final

from holdfast.core.guard import Call, Refusal
from holdfast.serve import encoding
from holdfast.serve.events import Noted
from holdfast.serve.exchange import Headers, HttpRequest, HttpResponse
from holdfast.serve.ground import Ground
from holdfast.serve.metrics import Counts
from holdfast.serve.protocol import POSTED, RUNS_MODEL, Operation
from holdfast.serve.refusals import BROKEN, OVERLOADED
from holdfast.serve.state import State

JSON: Final = b"application/json"
NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
_STALE: Final = (b"x-holdfast-stale", b"true")
_SAFE: Final = (b"x-holdfast-safe-state", b"true")
_BUSY: Final = encoding.encode_error(OVERLOADED.public)
_SHED: Final = HttpResponse(
    status=OVERLOADED.status,
    headers=(
        (b"content-type", JSON),
        (b"content-length", str(len(_BUSY)).encode()),
        (b"x-holdfast-code", OVERLOADED.code.encode()),
        NO_SNIFFING,
        (b"retry-after", b"1"),
    ),
    body=_BUSY,
)


class Replies:
    """The responses of one gateway."""

    def __init__(self, ground: Ground) -> None:
        """Begin with a gateway that serves nothing."""
        self.counts = Counts(ground.column)
        self._ground = ground
        self._state: State | None = None
        self._marks: Headers = ()

    def stand(self, state: State | None, *, stale: bool, safe: bool) -> None:
        """Say from now on that the gateway serves this state, and how it stands."""
        marks = (*((_STALE,) if stale and state is not None else ()), *((_SAFE,) if safe else ()))
        self._state, self._marks = state, marks

    def reply(self, call: Call, status: int, body: bytes, *, kind: bytes = JSON, more: Headers = ()) -> HttpResponse:
        """Return a response, and count it."""
        self.counts.response(self._label(call.model), status)
        if call.trace is not None:
            self._trace(call, status)
        headers = (
            (b"content-type", kind),
            (b"content-length", b"%d" % len(body)),
            (b"x-correlation-id", call.correlation.encode()),
            *more,
            *self._marks,
        )
        return HttpResponse(status=status, headers=headers, body=body)

    def refuse(
        self, request: HttpRequest, call: Call, refusal: Refusal, operation: Operation | None = None
    ) -> HttpResponse:
        """Return a refusal, count it, and note it if it concerns security; an operation names the method it allows."""
        self.counts.refusal(refusal.guard, refusal.code)
        if call.trace is not None:
            call.trace.code = refusal.code
        if refusal.security:
            self._note(request, call, refusal)
        more: list[tuple[bytes, bytes]] = [(b"x-holdfast-code", refusal.code.encode()), NO_SNIFFING]
        if refusal.retry_after_s is not None:
            more.append((b"retry-after", str(max(1, math.ceil(refusal.retry_after_s))).encode()))
        if refusal.status == 401:  # noqa: PLR2004 - RFC 9110 15.5.2 demands the challenge
            more.append((b"www-authenticate", b"Bearer"))
        if operation is not None:
            more.append((b"allow", b"POST" if operation in POSTED else b"GET"))
        return self.reply(call, refusal.status, encoding.encode_error(refusal.public), more=tuple(more))

    def broken(self, request: HttpRequest, call: Call, error: Exception) -> HttpResponse:
        """Return the refusal of a call that met a defect: what it was is on record, and the caller learns nothing."""
        return self.refuse(request, call, BROKEN.refusal("gateway", f"{type(error).__name__}: {error}"))

    def shed(self) -> HttpResponse:
        """Return the refusal of a request that nobody looks at: under overload, saying no must cost next to nothing."""
        self.counts.refusal("overload", OVERLOADED.code)
        self.counts.response("", OVERLOADED.status)
        return _SHED

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

    def _trace(self, call: Call, status: int) -> None:
        """Keep what was timed of a call, with the versions of the model and of the features it is answered by."""
        trace, call.trace = call.trace, None
        tracing, state = self._ground.tracing, self._state
        if trace is None or tracing is None or not self._label(call.model) or call.operation not in RUNS_MODEL:
            return
        release = state.releases.get(call.release) if state is not None else None
        about = {}
        if release is not None:
            versions = {f"{each.online.view}@{each.online.version}" for each in release.signature.inputs if each.online}
            about = {
                "holdfast.release.digest": release.digest,
                "holdfast.model.digest": release.model_digest,
                "holdfast.feature.versions": sorted(versions),
            }
        tracing.end(trace, call, status, about)

    def _label(self, model: str) -> str:
        """Return a model's name if a table names it: what a caller made up becomes no label."""
        return model if self._state is not None and model in self._state.routes else ""
