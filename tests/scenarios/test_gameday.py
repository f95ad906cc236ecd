"""ROLL-15: game days are scheduled, carried out on a copy of the gateway, scored, and put on record."""

from datetime import timedelta
from pathlib import Path

import pytest
from tests.scenarios.stand import later, now

from holdfast.app.gameday import gameday
from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import InvalidInput, NotFound, StageFailed
from holdfast.core.passport import FILED
from holdfast.core.seal import EVIDENCE, unseal
from holdfast.lifecycle.gamedays import BEGUN, HELD, begin, chosen, hold, status
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream
from holdfast.respond.gameday import GAMEDAY, NAMES, REHEARSALS, Rehearsed, faults, rehearsal


def rehearsed(name: str = "kill-worker", **changes: object) -> Rehearsed:
    """A rehearsal that went well, but for changes."""
    given = {"rehearsal": name, "detect_s": 0.1, "recover_s": 2.0, "calls": 40, "failed": 0} | changes
    return Rehearsed(**given)  # type: ignore[arg-type]


@pytest.mark.requirement("ROLL-15", by="holdfast.respond.gameday:faults")
def test_a_rehearsal_is_passed_only_if_it_was_noticed_in_time_over_in_time_and_cost_no_more_than_it_may() -> None:
    """Each of the three by itself fails it; a copy that is tampered with need not come back."""
    asked = rehearsal("kill-worker")
    assert faults(rehearsed()) == ()
    assert faults(rehearsed(failed=asked.may_fail)) == ()
    assert len(faults(rehearsed(failed=asked.may_fail + 1))) == 1
    assert len(faults(rehearsed(detect_s=None))) == 1
    assert len(faults(rehearsed(detect_s=asked.within_s + 1))) == 1
    assert len(faults(rehearsed(recover_s=None))) == 1
    assert len(faults(rehearsed(recover_s=None, detect_s=None, failed=40, words="it crashed"))) == 4
    assert faults(rehearsed("tampering", recover_s=None)) == ()
    assert all(faults(rehearsed(each.name, detect_s=None)) for each in REHEARSALS)
    with pytest.raises(InvalidInput, match="no rehearsal"):
        rehearsal("meteor")
    with pytest.raises(StageFailed):
        GAMEDAY.measure(())


@pytest.mark.requirement("ROLL-15", by="holdfast.lifecycle.gamedays:hold")
def test_the_score_is_sealed_evidence_on_the_release_that_answers(producing: Plant) -> None:
    """What failed is a finding, each time a measure; one that was begun and not ended was not held."""
    release = now(producing).baseline
    producing.unlock()
    begin(producing, Digest(release), ("kill-worker", "attacks"))
    assert status(producing).document["unfinished"] == 1
    reply = hold(producing, Digest(release), [rehearsed(), rehearsed("attacks", failed=2, calls=90)])
    assert reply.exit_code == 1
    assert "1 of 2 rehearsals" in reply.says
    filed = (e for e in producing.ledger.stream(release) if e.kind == FILED and e.body["control"] == GAMEDAY.name)
    (last,) = filed
    item = unseal(producing.blobs.get(Digest(last.body["envelope"])), EVIDENCE, producing.trust, at=last.moment).value
    measures = {each.name: each.value for each in (*item.measures, *item.timings)}
    assert (item.subject, item.kind) == (release, Kind.RELEASE)
    assert (measures["rehearsals"], measures["passed"], measures["failed_calls"], measures["calls"]) == (2, 1, 2, 130)
    assert measures["detect_s:kill-worker"] == 0.1
    assert measures["recover_s:attacks"] == 2.0
    assert [each.place for each in item.findings] == ["attacks"]
    stream = producing.ledger.stream(f"{project_stream(current_project(producing))}/gamedays")
    assert [entry.kind for entry in stream] == [BEGUN, HELD]


@pytest.mark.requirement("ROLL-15", by="holdfast.lifecycle.gamedays:status")
def test_the_next_is_due_a_quarter_after_the_last(producing: Plant) -> None:
    """Until then exit code 0, from then on 1; one that was never held is due a quarter after the release began."""
    release = now(producing).baseline
    fresh = status(producing)
    assert (fresh.exit_code, fresh.document["last"]) == (0, None)
    overdue = status(later(producing, timedelta(days=93)))
    assert (overdue.exit_code, overdue.document["overdue"]) == (1, True)
    producing.unlock()
    hold(producing, Digest(release), [rehearsed()])
    held = status(producing)
    assert (held.exit_code, held.document["passed"]) == (0, ["kill-worker"])
    assert "is due on" in held.says
    assert status(later(producing, timedelta(days=91))).exit_code == 0
    assert "has been due since" in status(later(producing, timedelta(days=92, seconds=1))).says


@pytest.mark.requirement("ROLL-15", by="holdfast.lifecycle.gamedays:chosen")
def test_the_project_declares_what_is_rehearsed(producing: Plant) -> None:
    """All there are where it says nothing; one where somebody asks for it; nothing that is none."""
    assert chosen(producing, None) == NAMES
    assert chosen(producing, "attacks") == ("attacks",)
    with pytest.raises(InvalidInput, match="no rehearsal"):
        chosen(producing, "meteor")
    document = producing.home.project_file.read_text(encoding="utf-8")
    more = 'gameday_rehearsals = ["attacks", "kill-worker"]\ngameday_every = ""\n'
    changed = (
        document.replace("[respond]\n", f"[respond]\n{more}")
        if "[respond]\n" in document
        else f"{document}\n[respond]\n{more}"
    )
    producing.home.project_file.write_text(changed, encoding="utf-8")
    assert chosen(producing, None) == ("kill-worker", "attacks")
    assert status(producing).document["due"] is None


@pytest.mark.requirement("ROLL-15", by="holdfast.app.gameday:gameday")
def test_a_game_day_is_held_on_a_copy_and_leaves_production_as_it_was(producing: Plant, tmp_path: Path) -> None:
    """Every rehearsal, with real processes: each is noticed, each is over; the gateway's own folder is untouched."""
    key = tmp_path / "tester.key"
    key.write_text(str(issue_key(producing, client="tester").document["key"]))
    key.chmod(0o600)
    before = {path: path.read_bytes() for path in producing.home.gateway.rglob("*") if path.is_file()}
    reply = gameday(producing, key_file=key)
    found = {each["rehearsal"]: each for each in reply.document["rehearsals"]}
    assert set(found) == set(NAMES)
    assert all(each["passed"] for each in found.values()), reply.document
    assert found["hang-worker"]["recover_s"] > found["hang-worker"]["detect_s"] > 5.0
    assert found["kill-worker"]["calls"] > 10
    assert found["attacks"]["calls"] > 20
    assert {path: path.read_bytes() for path in producing.home.gateway.rglob("*") if path.is_file()} == before
    assert status(producing).document["passed"] == list(NAMES)


@pytest.mark.requirement("ROLL-15", by="holdfast.lifecycle.gamedays:subject_of")
def test_without_a_release_there_is_nothing_to_rehearse(plant: Plant, tmp_path: Path) -> None:
    """And a rate that makes no sense is refused before anything starts."""
    key = tmp_path / "tester.key"
    with pytest.raises(NotFound, match="nothing to rehearse"):
        gameday(plant, key_file=key)
    with pytest.raises(InvalidInput):
        gameday(plant, key_file=key, rate=0.0)
