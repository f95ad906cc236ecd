"""Guards: ordered conditions on one call and its answer, failing closed.

`admit` runs the guards in order, `release` in reverse. No guard can undo another's refusal, because a refusal ends the
chain; a guard that raises refuses; a chain without guards cannot be built.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidInput, in_words


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way in. Guards fill in what they establish; `rows` exists once validated."""

    model: str
    headers: Mapping[str, str]  # lower-case names
    body: bytes
    correlation: str
    received_s: float  # monotonic clock
    method: str = ""  # as the request named it
    path: str = ""  # the same
    operation: str = "infer"  # what is asked of the model, as `holdfast.serve.protocol` names it
    client: str = ""  # credential id, once authenticated
    request_id: str = ""
    rows: NDArray[np.float32] | None = None  # shape (n, features), once validated
    release: str = ""  # digest of the release that answers, once routed
    outputs: tuple[str, ...] = ()  # outputs asked for; empty means all
    binary: frozenset[str] = frozenset()  # those of them that are wanted as bytes
    version: str = ""  # of the model, where the path names one
    head: int | None = None  # bytes of JSON at the beginning of the body, where tensors follow as bytes
    certificate: bytes = (
        b""  # of the caller, DER, of which TLS or a terminator's signature proves that it is the caller's
    )
    models: tuple[str, ...] = ()  # that the client may call, once authenticated
    proof: str = ""  # the secret that the client has presented, once authenticated; none where it came by certificate
    signed: tuple[str, bytes] | None = (
        None  # path and body as the caller sent and signed them, where they came as others
    )
    flags: tuple[str, ...] = ()  # what the answer must say about its input, once validated
    flagged: int = 0  # rows the flags are about

    @property
    def text(self) -> bytes:
        """The part of the body that is JSON."""
        return self.body if self.head is None else self.body[: self.head]


@dataclass(slots=True, kw_only=True)
class Answer:
    """What the model said, on its way out."""

    probabilities: NDArray[np.float64]  # shape (n, classes)
    labels: NDArray[np.int64]  # shape (n,)
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """No: what the caller may know, and what the operator should."""

    guard: str
    status: int
    code: str
    public: str
    detail: str = ""
    retry_after_s: float | None = None
    security: bool = True  # whether it is a security event: those are never sampled


class Guard(Protocol):
    """One condition on calls and answers."""

    @property
    def name(self) -> str:
        """The name under which the route table lists it."""
        ...

    def admit(self, call: Call) -> Call | Refusal:
        """Let a call pass, or refuse it."""
        ...

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let an answer out, changed or not, or refuse it."""
        ...


@dataclass(frozen=True, slots=True)
class Chain:
    """An ordered, non-empty tuple of guards."""

    guards: tuple[Guard, ...]

    def __post_init__(self) -> None:
        """Refuse an empty chain: no guards would mean no control at all."""
        if not self.guards:
            raise InvalidInput("a gateway without guards", expected="at least one guard in the route table")

    def admit(self, call: Call) -> Call | Refusal:
        """Run every guard in order until one refuses; one that raises, or answers neither yes nor no, refuses."""
        for guard in self.guards:
            try:
                passed: object = guard.admit(call)  # a plug-in may return anything
            except Exception as error:  # noqa: BLE001 - fail closed, whatever it is
                return broken(guard, error)
            if isinstance(passed, Refusal):
                return passed
            if not isinstance(passed, Call):  # a forgotten `return` is not leave to pass
                return broken(guard, TypeError(f"admit() returned a {type(passed).__name__}"))
            call = passed
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Run every guard in reverse order until one refuses; one that raises, or answers neither, refuses."""
        for guard in reversed(self.guards):
            try:
                passed: object = guard.release(call, answer)
            except Exception as error:  # noqa: BLE001 - fail closed, whatever it is
                return broken(guard, error)
            if isinstance(passed, Refusal):
                return passed
            if not isinstance(passed, Answer):
                return broken(guard, TypeError(f"release() returned a {type(passed).__name__}"))
            answer = passed
        return answer


def broken(guard: Guard, error: Exception) -> Refusal:
    """Return the refusal of a guard that raised; the caller learns nothing of why."""
    words = "the service cannot answer now"
    return Refusal(guard=guard.name, status=503, code="HF799", public=words, detail=in_words(error))
