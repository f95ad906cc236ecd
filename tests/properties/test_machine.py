"""Machines: what the table does not say does not happen."""

from enum import StrEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import Conflict
from holdfast.core.machine import Machine
from holdfast.registry import LIFECYCLE
from holdfast.respond import PLAYBOOK
from holdfast.rollout import canary


class Light(StrEnum):
    """States of the example."""

    RED = "red"
    GREEN = "green"
    DEAD = "dead"


class Turn(StrEnum):
    """Signals of the example."""

    GO = "go"
    STOP = "stop"
    BREAK = "break"


TABLE: dict[tuple[Light, Turn], tuple[Light, tuple[str, ...]]] = {
    (Light.RED, Turn.GO): (Light.GREEN, ("switch",)),
    (Light.GREEN, Turn.STOP): (Light.RED, ("switch",)),
    (Light.GREEN, Turn.BREAK): (Light.DEAD, ("switch", "call")),
    (Light.RED, Turn.BREAK): (Light.DEAD, ()),
}
LIGHT: Machine[Light, Turn, str] = Machine("light", Light.RED, TABLE)
MACHINES: list[Machine[Any, Any, Any]] = [LIGHT, LIFECYCLE, PLAYBOOK, canary((0.1, 0.5, 1.0)), canary((1.0,))]


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_every_pair_is_in_the_table_or_refused(machine: Machine[Any, Any, Any]) -> None:
    """Over all states and signals: the table's rows are followed to the letter, nothing else is guessed."""
    signals = {signal for _, signal in machine.table}
    for state in machine.states():
        for signal in signals | {"no such signal"}:
            if (state, signal) in machine.table:
                assert machine.step(state, signal) == machine.table[state, signal]
            else:
                with pytest.raises(Conflict, match="cannot happen in") as caught:
                    machine.step(state, signal)
                assert caught.value.place == machine.name


@pytest.mark.parametrize("machine", MACHINES, ids=lambda machine: machine.name)
def test_the_diagram_shows_every_transition(machine: Machine[Any, Any, Any]) -> None:
    """The picture is made from the table, so that it cannot be out of date."""
    lines = machine.diagram().splitlines()
    assert lines[:2] == ["stateDiagram-v2", f"    [*] --> {machine.initial}"]
    wanted = [f"    {state} --> {end}: {signal}" for (state, signal), (end, _) in machine.table.items()]
    assert lines[2:] == wanted
    for state in machine.states():
        assert any(str(state) in line for line in lines)


def test_a_refused_signal_says_which_ones_were_possible() -> None:
    """Whoever sent a wrong signal reads what would have been right; in a final state that is nothing."""
    with pytest.raises(Conflict, match="expected break, go"):
        LIGHT.step(Light.RED, Turn.STOP)
    with pytest.raises(Conflict, match="nothing: it is final"):
        LIGHT.step(Light.DEAD, Turn.GO)
    assert LIGHT.states() == frozenset(Light)


@given(signals=st.lists(st.sampled_from(Turn), max_size=12))
def test_a_machine_is_a_function_of_its_signals(signals: list[Turn]) -> None:
    """The same signals lead to the same state and commands; a refused one changes nothing."""

    def drive() -> tuple[Light, list[str]]:
        state, done = LIGHT.initial, list[str]()
        for signal in signals:
            try:
                state, commands = LIGHT.step(state, signal)
            except Conflict:
                continue
            done += commands
        return state, done

    assert drive() == drive()
    if Turn.BREAK in signals:
        assert drive()[0] is Light.DEAD
