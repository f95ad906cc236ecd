"""Reports: a line is green only by facts, and switching one control off turns exactly its lines red."""

from collections import Counter
from pathlib import Path

import pytest

from holdfast.core.signals import Signal
from holdfast.lifecycle.planning import KNOWN
from holdfast.plan.lines import Judged, Line, State, groups, judge
from holdfast.plan.matrix import DEFENCES, LANDSCAPE, PROPERTIES, SHIPPED_TESTS
from holdfast.plan.maturity import HOW, KICKOFF, LEVELS, PRACTICES, level
from holdfast.plan.posture import LAYERS, POSTURE
from holdfast.respond import PLAYBOOK

REPOSITORY = Path(__file__).parents[3]
REPORTS = {
    "posture": POSTURE,
    "maturity": PRACTICES,
    "properties": PROPERTIES,
    "landscape": DEFENCES,
    "kickoff": KICKOFF,
}
EVERY = tuple(dict.fromkeys(name for lines in REPORTS.values() for line in lines for name in line.needs))
ALL_ON = {name: State(on=True, fact=f"{name} was just read") for name in EVERY}


def red(judged: tuple[Judged, ...]) -> set[Line]:
    """The lines that are not green."""
    return {each.line for each in judged if not each.green}


@pytest.mark.parametrize("report", REPORTS)
@pytest.mark.parametrize("control", EVERY)
def test_switching_one_control_off_turns_exactly_its_lines_red(report: str, control: str) -> None:
    """Every control of every report, one at a time: its own lines and no other, with the reason in words."""
    off = ALL_ON | {control: State(on=False, fact="it was switched off")}
    judged = judge(REPORTS[report], off)
    assert red(judged) == {line for line in REPORTS[report] if control in line.needs}
    assert all("it was switched off" in "; ".join(each.facts) for each in judged if not each.green)


@pytest.mark.parametrize("report", REPORTS)
def test_nothing_is_green_without_a_fact(report: str) -> None:
    """Where nothing was read nothing is in force, and a claim that rests on nothing is none."""
    assert red(judge(REPORTS[report], {})) == set(REPORTS[report])
    assert not red(judge(REPORTS[report], ALL_ON))
    (empty,) = judge([Line(group="g", claim="c", needs=())], ALL_ON)
    assert not empty.green


def test_the_tables_have_the_shape_that_was_promised() -> None:
    """Seven layers with signals, three levels of four practices, seven properties, five categories, seven days."""
    assert tuple(groups(judge(POSTURE, {}))) == LAYERS
    assert all(any(line.group == layer and line.sort == "signal" for line in POSTURE) for layer in LAYERS)
    assert Counter(line.group for line in PRACTICES) == dict.fromkeys(LEVELS, 4)
    assert set(groups(judge(PROPERTIES, {}))) == {
        "confidentiality",
        "integrity",
        "availability",
        "auditability",
        "accountability",
        "reproducibility",
        "privacy",
    }
    assert {line.group for line in DEFENCES} == {threat.category for threat in LANDSCAPE}
    assert len(LANDSCAPE) == 5
    assert all(all(threat) for threat in LANDSCAPE)
    assert [line.group for line in KICKOFF] == list(HOW) == [f"day {n}" for n in range(1, 8)]


def test_every_level_needs_those_below_it() -> None:
    """A gap at the bottom is not made up for at the top."""
    assert level(judge(PRACTICES, ALL_ON)) == "advanced"
    assert level(judge(PRACTICES, {})) == "none"
    off = ALL_ON | {"watch.drift/1": State(on=False, fact="off")}
    assert level(judge(PRACTICES, off)) == "beginner"
    off = ALL_ON | {"guard:authenticated": State(on=False, fact="off")}
    assert level(judge(PRACTICES, off)) == "none"


NOT_HERE = {
    "telemetry:encrypted",
    "network:mtls",
    "network:mesh-policy",
    "network:denials",
    "access:data",
    "platform:images",
    "platform:restarts",
    "platform:privileges",
    "pipeline:reproduced",
}
"""What later rooms will provide; until then its lines are red."""


def test_every_control_that_a_line_names_is_read_somewhere_or_known_to_be_missing() -> None:
    """A misspelt control would be red for ever, and nobody would know why."""
    assert set(EVERY) - KNOWN == NOT_HERE


@pytest.mark.requirement("PLAN-13", by="holdfast.plan.lines:judge")
def test_every_property_names_controls_and_tests_that_exist() -> None:
    """Each of the seven has at least one control of the code and one test of this checkout behind it."""
    for name in sorted({line.group for line in PROPERTIES}):
        mine = [line for line in PROPERTIES if line.group == name]
        assert mine
        assert all(set(line.needs) <= KNOWN and line.tests for line in mine)
    assert not red(judge(PROPERTIES, ALL_ON))
    for test in sorted(SHIPPED_TESTS):
        file, _, function = test.partition("::")
        text = (REPOSITORY / file).read_text(encoding="utf-8")
        assert f"def {function}(" in text if function else "def test_" in text, test


def test_the_runbook_of_the_example_has_a_section_for_every_signal() -> None:
    """What the playbook may do in the night is written down for whoever wakes up."""
    text = (REPOSITORY / "examples" / "breast-cancer" / "RUNBOOK.md").read_text(encoding="utf-8")
    assert {signal for _, signal in PLAYBOOK.table} <= set(Signal)
    assert all(f"## {signal.value}" in text for _, signal in PLAYBOOK.table)
