"""Guards: ordered conditions on one call and its answer, failing closed.

`admit` runs the guards in order, `release` in reverse. No guard can undo another's refusal, because a refusal ends the
chain; a guard that raises refuses; a chain without guards cannot be built.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidInput, in_words


@dataclass(slots=True, kw_only=True)
class Call:
    """One request on its way in. Guards fill in what they establish; `rows` exists once validated."""

    model: str
    headers: Mapping[str, str] = field(repr=False)  # lower-case names; they hold what the caller proves itself by
    body: bytes
    correlation: str
    received_s: float  # monotonic clock
    now: datetime | None = None  # when it came in: the one time that is read for it; none where nobody has read it
    method: str = ""  # as the request named it
    path: str = ""  # the same
    raw: tuple[tuple[bytes, bytes], ...] = field(default=(), repr=False)  # all headers, as they came
    seen: dict[Any, Any] | None = field(
        default=None, repr=False
    )  # what guards have found out about the very same headers before
    query: bytes = b""  # what follows a path; nothing here reads one
    operation: str = "infer"  # what is asked of the model, as `holdfast.serve.protocol` names it
    client: str = ""  # credential id, once authenticated
    request_id: str = ""
    rows: NDArray[np.float32] | None = None  # shape (n, features), once validated
    texts: dict[str, list[str]] = field(default_factory=dict, repr=False)  # by input, once validated, one for each row
    asked: NDArray[np.float32] | None = None  # the same as they came, where a guard has changed them since
    release: str = ""  # digest of the release that answers, once routed
    outputs: tuple[str, ...] = ()  # outputs asked for; empty means all
    binary: frozenset[str] = frozenset()  # those of them that are wanted as bytes
    version: str = ""  # of the model, where the path names one
    head: int | None = None  # bytes of JSON at the beginning of the body, where tensors follow as bytes
    certificate: bytes = (
        b""  # of the caller, DER, of which TLS or a terminator's signature proves that it is the caller's
    )
    models: tuple[str, ...] = ()  # that the client may call, once authenticated
    proof: str = field(
        default="", repr=False
    )  # the secret that the client has presented, once authenticated; none where it came by certificate
    signed: tuple[str, bytes] | None = (
        None  # path and body as the caller sent and signed them, where they came as others
    )
    flags: tuple[str, ...] = ()  # what the answer must say about its input, once validated
    flagged: int = 0  # rows the flags are about
    said: NDArray[np.int64] | None = None  # the model's labels, before any guard changed them
    notes: dict[str, Any] = field(default_factory=dict)  # what guards keep from the way in to the way out
    trace: Any = None  # what is timed of it, where it is one of those that are traced
    instead: str = ""  # why rules answer in the model's place; empty: they do not

    @property
    def text(self) -> bytes:
        """The part of the body that is JSON."""
        return self.body if self.head is None else self.body[: self.head]


@dataclass(slots=True, kw_only=True)
class Answer:
    """What the model said, on its way out."""

    probabilities: NDArray[np.float64]  # shape (n, classes)
    labels: NDArray[np.int64]  # shape (n,)
    classes: tuple[str, ...] | None = None  # names that are told in the place of the signature's
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
    """An ordered, non-empty tuple of guards.

    What is asked of each guard is looked up once, when the chain is built. A guard that says of itself that it is
    `one_way` lets every answer out, and is not asked about any; one that has a `done` is told when a call is over. Only
    where every guard says of itself that calls may come in `together` is the chain asked about several before the first
    of them is answered: to these guards it makes no difference. One that has a `held` is asked within it; one that has
    an `admit_all` says of many what `admit` would say of each.
    """

    guards: tuple[Guard, ...]
    _admit: tuple[tuple[Guard, Callable[[Call], object]], ...] = field(init=False, repr=False, compare=False)
    _release: tuple[tuple[Guard, Callable[[Call, Answer], object]], ...] = field(init=False, repr=False, compare=False)
    _done: tuple[Callable[[], object], ...] = field(init=False, repr=False, compare=False)
    _held: tuple[Callable[[], AbstractContextManager[None]], ...] = field(init=False, repr=False, compare=False)
    _all: tuple[Callable[[list[Call | Refusal]], object] | None, ...] = field(init=False, repr=False, compare=False)
    together: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse an empty chain: no guards would mean no control at all."""
        if not self.guards:
            raise InvalidInput("a gateway without guards", expected="at least one guard in the route table")
        both_ways = [guard for guard in reversed(self.guards) if not getattr(guard, "one_way", False)]
        done = (getattr(guard, "done", None) for guard in self.guards)
        object.__setattr__(self, "_admit", tuple((guard, guard.admit) for guard in self.guards))
        object.__setattr__(self, "_release", tuple((guard, guard.release) for guard in both_ways))
        object.__setattr__(self, "_done", tuple(end for end in done if callable(end)))
        together = all(getattr(guard, "together", False) for guard in self.guards)
        object.__setattr__(self, "_held", tuple(getattr(guard, "held", nullcontext) for guard in self.guards))
        object.__setattr__(self, "_all", tuple(getattr(guard, "admit_all", None) for guard in self.guards))
        object.__setattr__(self, "together", together and not self._done)

    def admit(self, call: Call) -> Call | Refusal:
        """Run every guard in order until one refuses; one that raises, or answers neither yes nor no, refuses."""
        asked = self.guards[0]
        try:
            for guard, admit in self._admit:
                asked = guard
                passed = admit(call)  # a plug-in may return anything
                if passed is call:
                    continue
                if isinstance(passed, Refusal):
                    return passed
                if not isinstance(passed, Call):  # a forgotten `return` is not leave to pass
                    return broken(guard, TypeError(f"admit() returned a {type(passed).__name__}"))
                call = passed
        except Exception as error:  # noqa: BLE001 - fail closed, whatever it is
            return broken(asked, error)
        return call

    def admit_together(self, calls: Sequence[Call]) -> list[Call | Refusal]:
        """Say of each call, in order, what `admit` would: guard by guard, so that each is asked about all at once."""
        found: list[Call | Refusal] = list(calls)
        for (guard, admit), held, all_ in zip(self._admit, self._held, self._all, strict=True):
            try:
                if all_ is not None:
                    all_(found)
                    continue
                with held():
                    _admit_each(guard, admit, found)
            except Exception as error:  # noqa: BLE001 - fail closed: what could not be held was not asked about
                return [each if isinstance(each, Refusal) else broken(guard, error) for each in found]
        return found

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Run every guard in reverse order until one refuses; one that raises, or answers neither, refuses."""
        asked = self.guards[-1]
        try:
            for guard, release in self._release:
                asked = guard
                passed = release(call, answer)
                if passed is answer:
                    continue
                if isinstance(passed, Refusal):
                    return passed
                if not isinstance(passed, Answer):
                    return broken(guard, TypeError(f"release() returned a {type(passed).__name__}"))
                answer = passed
        except Exception as error:  # noqa: BLE001 - fail closed, whatever it is
            return broken(asked, error)
        return answer

    def done(self) -> None:
        """Tell the guards that want to know that a call is over, however it ended."""
        for end in self._done:
            end()


def _admit_each(guard: Guard, admit: Callable[[Call], object], found: list[Call | Refusal]) -> None:
    """Put what one guard says in the place of each call; where it raises, or says neither yes nor no, it refuses."""
    for number, call in enumerate(found):
        if call.__class__ is Refusal:
            continue
        try:
            passed: Any = admit(cast("Call", call))
        except Exception as error:  # noqa: BLE001 - fail closed, whatever it is
            passed = broken(guard, error)
        if passed is not call:
            if not isinstance(passed, Call | Refusal):
                passed = broken(guard, TypeError(f"admit() returned a {type(passed).__name__}"))
            found[number] = passed


def broken(guard: Guard, error: Exception) -> Refusal:
    """Return the refusal of a guard that raised; the caller learns nothing of why."""
    words = "the service cannot answer now"
    return Refusal(guard=guard.name, status=503, code="HF799", public=words, detail=in_words(error))
