"""Traces of some calls: chosen by the trace's id, timed where the gateway passes anyway, sent by somebody else later.

A caller's `traceparent` (W3C Trace Context, level 2, 3.2) is taken only when it is well formed; what else stands there
counts as nothing. Whether a call is traced follows from its trace id and the share, as with OpenTelemetry's
TraceIdRatioBased, not from the caller's flag: callers decide what they trace, not what we do. At most `MOST_A_SECOND`
are traced, whatever ids callers choose, and at most `MOST_WAITING` wait to be sent; more are dropped and counted.
 A call that is not traced costs a look for one header and, where there is none, a random number.
"""

import random
import re
import secrets
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Call
from holdfast.serve.guards.lookup import LOOKED_UP

MOST_A_SECOND: Final = 100
MOST_WAITING: Final = 2048
_PARENT: Final = re.compile(
    r"(?!ff)(?P<version>[0-9a-f]{2})-(?!0{32})(?P<trace>[0-9a-f]{32})-(?!0{16})(?P<span>[0-9a-f]{16})-[0-9a-f]{2}(?P<more>-.*)?"
)
_BELOW: Final = 1 << 56  # the last 7 bytes of a trace id are its random part (level 2, 3.2.2.3)


def header_of(raw: Sequence[tuple[bytes, bytes]]) -> str:
    """Return the one `traceparent` among headers as they came; "" where there is none, or more than one (3.2)."""
    found = [value for name, value in raw if name == b"traceparent"]
    return found[0].decode("latin-1") if len(found) == 1 else ""


def parent_of(header: str) -> tuple[str, str] | None:
    """Return the trace id and the span id that a `traceparent` names; None where it is not well formed."""
    found = _PARENT.fullmatch(header)
    if found is None or (found["version"] == "00" and found["more"]):
        return None
    return found["trace"], found["span"]


@dataclass(slots=True)
class Trace:
    """One call that is traced, while it is under way; times by the gateway's own clock, seconds."""

    trace: str
    span: str
    parent: str  # "" where the trace begins here
    admitted_s: float = 0.0
    answered_s: float = 0.0
    code: str = ""  # of a refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One step of a call."""

    trace: str
    span: str
    parent: str
    name: str
    begin_ns: int  # since 1970
    end_ns: int
    attributes: Mapping[str, Any]
    failed: bool = False


@dataclass(slots=True, kw_only=True)
class Tracing:
    """Chooses calls and keeps their spans until somebody takes them away."""

    share: float  # of traces, 0 to 1
    monotonic: Callable[[], float]
    offset_s: float  # to be added to that clock for seconds since 1970
    sent: int = 0
    dropped: int = 0
    _second: int = 0
    _begun: int = 0
    _done: deque[tuple[Span, ...]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Check the share.

        Raises:
            InvalidInput: It is none.
        """
        if not 0.0 < self.share <= 1.0:
            raise InvalidInput(f"a share of {self.share} of traces", expected="more than 0, at most 1")

    def begin(self, header: str, now_s: float) -> Trace | None:
        """Return the trace of a call, or None where it is not traced."""
        parent = parent_of(header) if header else None
        chance = int(parent[0][-14:], 16) if parent else random.getrandbits(56)
        if chance >= self.share * _BELOW:
            return None
        if int(now_s) != self._second:
            self._second, self._begun = int(now_s), 0
        self._begun += 1
        if self._begun > MOST_A_SECOND:
            self.dropped += 1
            return None
        trace = parent[0] if parent else f"{secrets.token_hex(9)}{chance:014x}"
        return Trace(trace=trace, span=secrets.token_hex(8), parent=parent[1] if parent else "")

    def end(self, trace: Trace, call: Call, status: int, about: Mapping[str, Any]) -> None:
        """Keep the spans of a call that is answered."""
        if len(self._done) >= MOST_WAITING:
            self.dropped += 1
            return
        end_s = self.monotonic()
        attributes = {
            "http.request.method": call.method,
            "http.response.status_code": status,
            "holdfast.model.name": call.model,
            "holdfast.correlation": call.correlation,
            "holdfast.client": call.client,
            "holdfast.rows": len(call.rows) if call.rows is not None else 0,
            **about,
        }
        if trace.code:
            attributes["error.type"] = trace.code
        spans = [self._span(trace, "infer", call.received_s, end_s, attributes, failed=status >= 500)]  # noqa: PLR2004
        guarded = trace.admitted_s or end_s
        spans.append(self._span(trace, "guards", call.received_s, guarded, about))
        looked = call.notes.get(LOOKED_UP)
        if looked is not None and looked.ended_s:
            more = {**about, "holdfast.features.lacking": sorted(looked.lacking)}
            spans.append(self._span(trace, "features", looked.began_s, looked.ended_s, more))
        if trace.answered_s:
            spans.append(self._span(trace, "model", trace.admitted_s, trace.answered_s, about))
        self._done.append(tuple(spans))

    def take(self) -> list[Span]:
        """Return the spans that wait, and keep them no longer."""
        return [span for _ in range(len(self._done)) for span in self._done.popleft()]

    def _span(
        self,
        trace: Trace,
        name: str,
        begin_s: float,
        end_s: float,
        attributes: Mapping[str, Any],
        *,
        failed: bool = False,
    ) -> Span:
        root = name == "infer"
        return Span(
            trace=trace.trace,
            span=trace.span if root else secrets.token_hex(8),
            parent=trace.parent if root else trace.span,
            name=name,
            begin_ns=int((begin_s + self.offset_s) * 1e9),
            end_ns=int((end_s + self.offset_s) * 1e9),
            attributes=attributes,
            failed=failed,
        )
