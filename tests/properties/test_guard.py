"""Chains of guards: whatever a guard does, the call passes all of them or is refused."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Chain, Refusal, broken

REFUSED = Refusal(guard="second", status=403, code="HF400", public="no")


def call() -> Call:
    """A call."""
    return Call(model="m", headers={}, body=b"", correlation="c", received_s=0.0)


def answer() -> Answer:
    """An answer."""
    return Answer(probabilities=np.array([[0.25, 0.75]]), labels=np.array([1]))


@dataclass
class Scripted:
    """A guard that does as it is told, and writes down that it was asked."""

    name: str
    seen: list[str]
    does: Callable[[Any], Any] = lambda passing: passing
    also: Callable[[Any], Any] = field(default=lambda passing: passing)

    def admit(self, call: Call) -> Any:
        self.seen.append(f"admit {self.name}")
        return self.does(call)

    def release(self, call: Call, answer: Answer) -> Any:
        self.seen.append(f"release {self.name}")
        return self.also(answer)


def crash(_: object) -> Any:
    """What a guard with a defect does."""
    raise RuntimeError("the secret is hunter2")


def refuse(_: object) -> Refusal:
    """What a guard does that says no."""
    return REFUSED


HOSTILE: dict[str, Callable[[Any], Any]] = {
    "refuses": refuse,
    "raises": crash,
    "forgets to return": lambda _: None,
    "returns true": lambda _: True,
    "returns a string": lambda _: "admitted",
    "returns the other kind": lambda passing: answer() if isinstance(passing, Call) else call(),
}


def chain(seen: list[str], does: Sequence[Callable[[Any], Any]], *, out: bool = False) -> Chain:
    """A chain of guards that do these things, on the way in or on the way out."""
    return Chain(
        tuple(
            Scripted(name=str(number), seen=seen, **({"also": act} if out else {"does": act}))
            for number, act in enumerate(does)
        )
    )


def test_an_empty_chain_cannot_be_built() -> None:
    """Empty means no: a gateway without guards would let everything through."""
    with pytest.raises(InvalidInput, match="without guards"):
        Chain(())


@given(count=st.integers(1, 6))
def test_release_runs_in_the_reverse_order_of_admit(count: int) -> None:
    """The guard that looks at a call first looks at its answer last."""
    seen: list[str] = []
    guards = chain(seen, [lambda passing: passing] * count)
    passed = guards.admit(call())
    assert isinstance(passed, Call)
    assert isinstance(guards.release(passed, answer()), Answer)
    names = [str(number) for number in range(count)]
    assert seen == [f"admit {name}" for name in names] + [f"release {name}" for name in reversed(names)]


@pytest.mark.guarantee("G11")
@given(before=st.integers(0, 3), after=st.integers(0, 3), how=st.sampled_from(sorted(HOSTILE)), out=st.booleans())
def test_one_guard_that_does_not_let_pass_ends_the_chain(before: int, after: int, how: str, out: bool) -> None:
    """A refusal, a crash, or an answer that is neither yes nor no: nothing later is asked, and nothing undoes it."""
    seen: list[str] = []
    does = [lambda passing: passing] * before + [HOSTILE[how]] + [lambda passing: passing] * after
    guards = chain(seen, list(reversed(does)) if out else does, out=out)
    refused = guards.release(call(), answer()) if out else guards.admit(call())
    assert isinstance(refused, Refusal)
    assert len(seen) == before + 1
    if how == "refuses":
        assert refused is REFUSED
    else:
        assert (refused.status, refused.guard) == (503, seen[-1].split()[1])


@pytest.mark.guarantee("G11")
def test_the_caller_learns_nothing_of_why_a_guard_broke() -> None:
    """What a guard's exception says is for the operator; the caller hears that there is no answer now."""
    guards = Chain((Scripted(name="broken", seen=[], does=crash),))
    refused = guards.admit(call())
    assert isinstance(refused, Refusal)
    assert "hunter2" not in refused.public + refused.code
    assert "hunter2" in refused.detail
    assert refused.security


def test_an_exception_that_cannot_be_told_refuses_all_the_same() -> None:
    """A guard whose exception has no message, because making it raises, is as broken as any other."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert broken(Scripted(name="g", seen=[]), UnspeakableError()).detail == "UnspeakableError"


def test_what_one_guard_establishes_the_next_one_sees() -> None:
    """The call that a guard returns is the one that goes on."""

    def name_it(passing: Call) -> Call:
        passing.client = "bob"
        return passing

    seen: list[str] = []
    guards = Chain(
        (
            Scripted(name="a", seen=seen, does=name_it),
            Scripted(name="b", seen=seen, does=lambda c: c if c.client else REFUSED),
        )
    )
    assert isinstance(guards.admit(call()), Call)
    assert guards.admit(call()).client == "bob"  # type: ignore[union-attr]


def test_an_operators_interrupt_is_no_refusal() -> None:
    """Ctrl-C stops the gateway: it is not an answer to anybody."""

    def interrupted(_: object) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Chain((Scripted(name="g", seen=[], does=interrupted),)).admit(call())
