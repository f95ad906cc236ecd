"""The playbook is complete, and an incident tells its story in the ledger's order."""

import json
from itertools import product

import pytest

from holdfast.core.evidence import Severity
from holdfast.core.ledger import GENESIS, Entry
from holdfast.core.signals import Raised, Signal
from holdfast.respond import PLAYBOOK, SEVERITY, Command, Posture, incident_document, timeline

ROUTED = {"standing": {}, "reason": "renewed"}


@pytest.mark.parametrize(("posture", "signal"), list(product(Posture, Signal)), ids=str)
def test_every_signal_has_a_row_in_every_posture(posture: Posture, signal: Signal) -> None:
    """Nothing that watching can raise is ignored; only what was never open cannot be resolved."""
    if (posture, signal) == (Posture.STEADY, Signal.RESOLVED):
        assert (posture, signal) not in PLAYBOOK.table
        return
    after, commands = PLAYBOOK.step(posture, signal)
    assert commands
    calm = signal is Signal.RESOLVED or (signal is Signal.UNAUTHORISED and posture is Posture.STEADY)
    assert (after is Posture.STEADY) == calm


def test_a_refused_fetch_opens_an_incident_and_changes_nothing_that_answers() -> None:
    """It was refused: the release it was about has done nothing wrong."""
    assert PLAYBOOK.step(Posture.STEADY, Signal.UNAUTHORISED) == (Posture.STEADY, (Command.OPEN_INCIDENT,))


NO_BREACH = {Signal.RESOLVED, Signal.UNAUTHORISED, Signal.EMERGENCY, Signal.STALE_FEATURES}  # no release is to blame


@pytest.mark.parametrize("signal", [each for each in Signal if each not in NO_BREACH])
def test_the_first_breach_rolls_back_and_opens_an_incident(signal: Signal) -> None:
    """In that order: the incident then tells what was done."""
    assert PLAYBOOK.step(Posture.STEADY, signal)[1] == (Command.ROLL_BACK, Command.OPEN_INCIDENT)


def test_nothing_but_broken_integrity_rolls_back_twice() -> None:
    """Drift that goes on is no reason to go through all earlier releases; bytes that do not verify are."""
    rows = PLAYBOOK.table.items()
    again = {signal for (at, signal), (_, does) in rows if at is Posture.CONTAINED and Command.ROLL_BACK in does}
    assert again == {Signal.INTEGRITY_FAILURE}


def test_every_signal_has_a_severity() -> None:
    """And broken integrity the highest, with what a person calls an emergency."""
    assert set(SEVERITY) == set(Signal)
    worst = [signal for signal, how_bad in SEVERITY.items() if how_bad is Severity.CRITICAL]
    assert worst == [Signal.INTEGRITY_FAILURE, Signal.EMERGENCY]


def entry(position: int, kind: str, **body: object) -> Entry:
    """An entry of some stream."""
    return Entry(
        position=position,
        time=f"2030-01-01T00:00:{position:02d}.000000+00:00",
        kind=kind,
        actor="somebody",
        stream="a-stream",
        stream_position=0,
        stream_previous=GENESIS,
        previous=GENESIS,
        body=body,
    )


def test_a_timeline_is_in_ledger_order_and_tells_each_entry_once() -> None:
    """Whatever streams it was gathered from."""
    entries = [entry(3, "release.promoted", reason="better"), entry(1, "evidence.filed", control="a.b/1")]
    told = timeline([*entries, *entries, entry(2, "something.new")])
    assert [line["entry"] for line in told] == ["1", "2", "3"]
    assert [line["what"] for line in told] == ["evidence was filed", "something.new", "promoted to production"]
    assert [line["about"] for line in told] == ["a.b/1", "a-stream", "better"]


def test_an_incident_is_the_same_bytes_for_the_same_story() -> None:
    """So that its digest in the ledger is worth something."""
    raised = [Raised(signal=Signal.DRIFT, subject="sha256:x", words="it drifted")]

    def made() -> bytes:
        return incident_document(
            endpoint="endpoint/production/m",
            raised=raised,
            severity="high",
            actions=["rolled back"],
            entries=[entry(1, "endpoint.routed", **ROUTED)],
        )

    assert made() == made()
    document = json.loads(made())
    assert document["signals"] == [{"signal": "drift", "subject": "sha256:x", "words": "it drifted"}]
    assert document["actions"] == ["rolled back"]
