"""Calls that arrive together: each gets the answer that it would have got alone, whoever asks beside it."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.guard import Answer, Call, Chain, Refusal
from holdfast.core.routes import GuardSpec
from holdfast.serve import HttpRequest, HttpResponse
from holdfast.serve.asgi import MOST_TOGETHER, Direct
from holdfast.serve.turns import SLICE_S, Turns
from holdfast.testing.world import GUARDS, INFER, ROW, WITH_KEY, Serving, World

CORRELATION = b"x-correlation-id"


def body(*rows: Sequence[float]) -> bytes:
    """A call about these rows."""
    flat = [value for row in rows for value in row]
    return json.dumps(
        {"inputs": [{"name": "input", "shape": [len(rows), 3], "datatype": "FP64", "data": flat}]}
    ).encode()


def asked(content: bytes = ROW, *, path: str = INFER, headers: Any = WITH_KEY, name: bytes = b"one") -> HttpRequest:
    """A call by a name, so that two answers to it can be compared to the byte."""
    named = (*headers, (CORRELATION, name))
    return HttpRequest(method="POST", path=path, headers=named, body=content, peer="127.0.0.1")


MIXED = [
    asked(body([50, 15, 0.1])),
    asked(body([20, 9, -0.4], [80, 22, 0.4])),
    asked(b"{"),
    asked(headers=((b"authorization", b"Bearer nobody"),)),
    asked(body([50, 1e6, 0.1])),
    asked(path="/v2/models/other/infer"),
    asked(path="/nowhere"),
    asked(headers=(*WITH_KEY, *WITH_KEY)),
    asked(path=INFER.replace("infer", "ready")),
    asked(body([35, 12, 0.0]), name=b"not a name"),
    asked(headers=(*WITH_KEY, (b"content-encoding", b"gzip"))),
    asked(body([35, 12, 0.0])),
]


def said(response: HttpResponse) -> tuple[int, bytes, Any]:
    """What a caller gets; an id that the gateway gave is another for each call."""
    return response.status, response.body, [pair for pair in response.headers if pair[0] != CORRELATION]


@dataclass
class Rowwise:
    """A model that tells how it was asked; it can be made to mind company, or to fail on a row."""

    sizes: list[int] = field(default_factory=list)
    minds: bool = False
    fails_on: float = -1.0

    def load(self, model: bytes, *, features: int, classes: int) -> "Rowwise":
        del model, features, classes
        return self

    def run(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        self.sizes.append(len(rows))
        if (rows[:, 0] == self.fails_on).any():
            raise RuntimeError("no answer")
        first = rows[:, 0].astype(np.float64) / 200 + (0.001 * len(rows) if self.minds else 0.0)
        return (first > 0.2).astype(np.int64), np.stack([1 - first, first], axis=1)


def serving(model: Rowwise, **changes: Any) -> Serving:
    """A gateway with this model, which has been loaded."""
    found = World().serve(model, **changes)
    model.sizes.clear()
    return found


@pytest.mark.requirement("GATE-19", by="holdfast.serve.gateway:Gateway.handle_together")
def test_calls_together_are_answered_as_each_alone_to_the_byte() -> None:
    """Good ones, bad ones, strangers and questions, in any company: status, headers and body are the same."""
    alone, together = World().serve(OnnxRuntime()), World().serve(OnnxRuntime())
    expected = [said(alone.gateway.handle(request)) for request in MIXED]
    assert {status for status, _, _ in expected} >= {200, 400, 401, 404, 405}
    assert [said(response) for response in together.gateway.handle_together(MIXED)] == expected
    assert [said(response) for response in together.gateway.handle_together(MIXED[::-1])] == expected[::-1]
    one, two = (
        [each for each in stand.events() if each.kind.startswith("refused.") or each.kind.startswith("detected.")]
        for stand in (alone, together)
    )
    assert 2 * sum(event.count for event in one) == sum(event.count for event in two) > 0


def test_a_model_is_asked_once_about_all_that_came_together() -> None:
    """Each caller gets the answers to its own rows, and telemetry counts every call."""
    model = Rowwise()
    stand = serving(model)
    answers = stand.gateway.handle_together([asked(body([age, 15, 0.1], [age + 1, 15, 0.1])) for age in (30, 50, 70)])
    assert model.sizes == [6]
    found = [json.loads(answer.body)["outputs"][1]["data"][1] for answer in answers]
    assert found == [0.15, 0.25, 0.35]
    ((_, window, _),) = stand.gateway.untold()
    assert (window.requests, window.rows) == (3, 6)


@pytest.mark.requirement("GATE-19", by="holdfast.serve.loading:steady")
def test_a_model_whose_answer_could_depend_on_company_is_asked_one_by_one() -> None:
    """Nobody's answer tells who else asked: what is found out at loading decides."""
    model = Rowwise(minds=True)
    stand = serving(model)
    stand.gateway.handle_together([asked(), asked(), asked()])
    assert model.sizes == [1, 1, 1]


def test_a_row_that_a_model_fails_on_takes_nobody_down_with_it() -> None:
    """Only the call that holds it is not answered."""
    model = Rowwise(fails_on=60.0)
    stand = serving(model)
    answers = stand.gateway.handle_together([asked(body([age, 15, 0.1])) for age in (50, 60, 70)])
    assert [answer.status for answer in answers] == [200, 503, 200]
    assert model.sizes == [3, 1, 1, 1]


def test_a_limit_lets_as_many_pass_together_as_one_after_the_other() -> None:
    """Of eight calls at once three pass, the first three."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 0.001, "burst": 3})
    stand = World().serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))
    found = [answer.status for answer in stand.gateway.handle_together([asked()] * 8)]
    assert found == [200] * 3 + [429] * 5


def test_where_a_guard_must_have_seen_the_answer_calls_come_one_after_the_other() -> None:
    """A detector says nothing of calls together, so it is asked as before: its model sees one row at a time."""
    model = Rowwise()
    sequence = GuardSpec(name="within-concurrency", configuration={"most": 1})
    stand = serving(model, guards=(*GUARDS[:3], sequence, *GUARDS[3:]))
    assert [answer.status for answer in stand.gateway.handle_together([asked()] * 3)] == [200] * 3
    assert model.sizes == [1, 1, 1]


# ── the chain ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Scripted:
    """A guard that does what it is told to by the call's model."""

    name: str = "scripted"
    holds: Any = nullcontext
    together: ClassVar[bool] = True

    def held(self) -> AbstractContextManager[None]:
        found: AbstractContextManager[None] = self.holds()
        return found

    def admit(self, call: Call) -> Any:
        if call.model == "raise":
            raise ZeroDivisionError
        refusal = Refusal(guard=self.name, status=403, code="HF700", public="no")
        return {"pass": call, "refuse": refusal, "nothing": None}[call.model]

    def release(self, call: Call, answer: Answer) -> Answer:
        del call
        return answer


def calls(*models: str) -> list[Call]:
    """Calls of these models."""
    return [Call(model=model, headers={}, body=b"", correlation="", received_s=0.0) for model in models]


def test_a_guard_refuses_only_whom_it_refuses_and_fails_closed_for_each() -> None:
    """One that raises about a call, or says neither yes nor no, refuses that call."""
    chain = Chain((Scripted(),))
    found = chain.admit_together(calls("pass", "raise", "refuse", "nothing", "pass"))
    codes = [each.code if isinstance(each, Refusal) else "" for each in found]
    assert codes == ["", "HF799", "HF700", "HF799", ""]


def test_where_the_lock_of_a_guard_cannot_be_had_everybody_is_refused() -> None:
    """What could not be counted is not let in."""

    def broken() -> AbstractContextManager[None]:
        raise OSError("no lock")

    found = Chain((Scripted(holds=broken),)).admit_together(calls("pass", "pass"))
    assert [isinstance(each, Refusal) and each.code for each in found] == ["HF799", "HF799"]


# ── how many at once ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_call_whose_comparing_raises_is_refused_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of all are compared at once; where one of them cannot be told about, the others are answered."""

    def raises(*_: object) -> Call:
        raise RuntimeError("no words for it")

    monkeypatch.setattr("holdfast.serve.guards.inputs.ValidInput._outside", raises)
    calls = [asked(body([50, 15, 0.1])), asked(body([50, 1e6, 0.1])), asked(body([35, 12, 0.0]))]
    answers = serving(Rowwise()).gateway.handle_together(calls)
    assert [answer.status for answer in answers] == [200, 503, 200]


@dataclass
class Slow:
    """A core whose answers take as long as told, by a clock of its own."""

    answer_s: float
    now: float = 1.0
    sizes: list[int] = field(default_factory=list)

    def handle(self, request: HttpRequest) -> HttpResponse:
        del request
        raise AssertionError

    def handle_together(self, requests: Sequence[HttpRequest]) -> list[HttpResponse]:
        self.sizes.append(len(requests))
        self.now += self.answer_s * len(requests)
        return [HttpResponse(status=200, headers=(), body=b"") for _ in requests]

    def shed(self) -> HttpResponse:
        raise AssertionError

    def turn_away(self, request: HttpRequest, saying: Any) -> HttpResponse:
        del request, saying
        raise AssertionError


@dataclass(frozen=True)
class Head:
    path: str = INFER
    query: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


def groups(core: Slow, content: bytes, rounds: int) -> list[int]:
    """Hand over sixteen calls in each round of the loop; return the sizes of the groups of the last."""

    async def run() -> None:
        turns = Turns(core, lambda: core.now)
        direct = Direct(core, turns, lambda: core.now)
        for _ in range(rounds):
            core.sizes.clear()
            direct.together([(Head(), content, "127.0.0.1", b"")] * 16)
            await asyncio.sleep(0)

    asyncio.run(run())
    return [size for size in core.sizes if size]


def test_quick_calls_are_asked_together_and_slow_ones_alone() -> None:
    """A group takes no longer than a slice of time, so that whoever has waited for too long is found as soon."""
    assert groups(Slow(SLICE_S / 100), ROW, 100) == [16]
    assert groups(Slow(SLICE_S), ROW, 100) == [1]


def test_large_bodies_come_alone_however_quick_the_last_ones_were() -> None:
    """A group of large calls would take longer than small ones have."""
    assert max(groups(Slow(SLICE_S / 100), b" " * (MOST_TOGETHER // 2 + 1), 100)) == 1
