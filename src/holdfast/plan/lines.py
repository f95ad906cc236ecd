"""Lines: something that must be so, and the live controls that show it; the form of every report about a plant.

A line is green only if each control that it names is in force by a fact that was just read. A control that nobody
reports is not in force: empty means no.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Whether a control is in force, and the fact that says so."""

    on: bool
    fact: str


Live: TypeAlias = Mapping[str, State]
"""What is in force now, by the control's name: evidence by `stage.check/major`, all else by `sort:name`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of a report: its group, what it claims, and the controls that it rests on."""

    group: str
    claim: str
    needs: tuple[str, ...]
    sort: str = "control"  # or "signal": something that a layer emits
    tests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A line with its colour, and the facts behind it."""

    line: Line
    green: bool
    facts: tuple[str, ...]


def judge(lines: Iterable[Line], live: Live) -> tuple[Judged, ...]:
    """Return each line with its colour: green only with a fact for everything it needs, and it needs something."""
    found = []
    for line in lines:
        states = [(name, _state(live, name)) for name in line.needs]
        facts = tuple(state.fact if state.on else f"not in force: {name}: {state.fact}" for name, state in states)
        green = bool(states) and all(state.on for _, state in states)
        found.append(Judged(line=line, green=green, facts=facts or ("not in force: nothing shows it",)))
    return tuple(found)


def _state(live: Live, name: str) -> State:
    return live.get(name) or State(on=False, fact="nothing here provides it")


def groups(judged: Iterable[Judged]) -> dict[str, bool]:
    """Return for each group, in order, whether every line of it is green."""
    found: dict[str, bool] = {}
    for each in judged:
        found[each.line.group] = found.get(each.line.group, True) and each.green
    return found
