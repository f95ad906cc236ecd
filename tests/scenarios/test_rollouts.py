"""Rollouts through the real gateway and the real control plane: who answers whom, and how fast that changes."""

import json
from datetime import timedelta
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from tests.scenarios.stand import (
    MADE_WITH,
    Gateway,
    Spool,
    calm,
    file_evidence,
    incident,
    incidents,
    kinds,
    later,
    now,
    parent,
    releases,
)

from holdfast.core.artifact import Kind
from holdfast.core.errors import Conflict, InvalidInput, NotFound, PolicyDenied
from holdfast.core.evidence import failed
from holdfast.core.passport import AUTHORIZED
from holdfast.core.telemetry import traffic_stream
from holdfast.lifecycle.drills import is_due, keep_drilled
from holdfast.lifecycle.exchanges import bluegreen_prepare, bluegreen_switch, emergency_swap
from holdfast.lifecycle.experiments import ab_outcome, ab_start, ab_verdict
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key, promote
from holdfast.lifecycle.registry_states import alias
from holdfast.lifecycle.rollouts import flag_off, flag_set, rollout_status, rollout_stop, shadow_report, shadow_start
from holdfast.lifecycle.routing import current_project
from holdfast.serve import HttpRequest

WHY = "Let us see."


class Caller:
    """Calls the workspace's gateway on behalf of units."""

    def __init__(self, plant: Plant) -> None:
        more = [str(issue_key(plant, client=f"caller-{number}").document["key"]) for number in range(3)]
        self.gateway = Gateway(plant)
        self.keys = cycle([self.gateway.key, *more])  # each within its rate
        self.row = self.gateway.rows(releases(plant)[1])[:1]

    def asks(self, unit: str = "", attributes: str = "") -> str:
        """Make a call for a unit, and return the release that answers, as callers see it."""
        named = ((b"x-holdfast-unit", unit.encode()), (b"x-holdfast-attributes", attributes.encode()))
        tensor = {"name": "input", "shape": list(self.row.shape), "datatype": "FP64", "data": self.row[0].tolist()}
        request = HttpRequest(
            method="POST",
            path="/v2/models/breast-cancer/infer",
            headers=((b"x-api-key", next(self.keys).encode()), *(pair for pair in named if pair[1])),
            body=json.dumps({"inputs": [tensor]}).encode(),
            peer="127.0.0.1",
        )
        response = self.gateway.gateway.handle(request)
        assert response.status == 200, response.body
        return str(json.loads(response.body)["model_version"])

    def refresh(self) -> None:
        """Have the gateway load what is published by now."""
        self.gateway.loader.refresh()


def is_(release: str, short: str) -> bool:
    """Say whether callers know a release by this name."""
    return release.removeprefix("sha256:").startswith(short)


@pytest.fixture
def caller(producing: Plant) -> Caller:
    """A caller of the gateway."""
    return Caller(producing)


@pytest.fixture
def sides(producing: Plant) -> tuple[str, str]:
    """The release that answers, and the other one."""
    first, second = releases(producing)
    return second, first


@pytest.mark.requirement("ROLL-06", by="holdfast.serve.state:Route._belongs")
def test_a_flag_exposes_a_rising_share_of_a_segment_and_is_off_at_once(
    producing: Plant, caller: Caller, sides: tuple[str, str]
) -> None:
    """Only calls that declare the segment, the same units from a small share to a larger one, nobody once it is off."""
    baseline, candidate = sides
    units = [f"user-{number}" for number in range(60)]
    flag_set(producing, release=candidate, share=0.3, segment="country=de,at", reason=WHY)
    caller.refresh()
    few = {unit for unit in units if is_(candidate, caller.asks(unit, "country=de; plan=pro"))}
    assert 5 < len(few) < 35
    assert not any(is_(candidate, caller.asks(unit, declared)) for unit in few for declared in ("", "country=fr", "x"))
    flag_set(producing, release=candidate, share=0.7, segment="country=de,at", reason="More of them.")
    caller.refresh()
    more = {unit for unit in units if is_(candidate, caller.asks(unit, "country=at"))}
    assert few < more
    flag_off(producing, reason="Enough.")
    caller.refresh()
    assert all(is_(baseline, caller.asks(unit, "country=de")) for unit in units)
    assert now(producing).share == 0.0


@pytest.mark.requirement("ROLL-06", by="holdfast.lifecycle.rollouts:_within")
def test_more_units_need_the_word_and_the_decision_that_coming_in_needs(
    producing: Plant, sides: tuple[str, str]
) -> None:
    """By share or by segment; after bad news nobody more is exposed, and a new approval stands beside each growth."""
    _, candidate = sides
    flag_set(producing, release=candidate, share=0.3, segment="country=de", reason=WHY)
    words = approvals(producing, candidate)
    flag_set(producing, release=candidate, share=0.2, segment="country=de", reason="Fewer.")
    assert approvals(producing, candidate) == words
    flag_set(producing, release=candidate, share=0.4, segment="country=de", reason="More.")
    assert approvals(producing, candidate) == words + 1
    model = parent(producing, candidate, Kind.MODEL)
    file_evidence(producing, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "the attack crashed"))
    for share, segment in ((0.5, "country=de"), (0.4, "country=de,at"), (0.1, "")):
        with pytest.raises(PolicyDenied) as denied:
            flag_set(producing, release=candidate, share=share, segment=segment, reason="More.")
        assert any("the attack crashed" in reason for reason in denied.value.reasons)
    assert now(producing).share == 0.4


def approvals(plant: Plant, release: str) -> int:
    """How often somebody has approved of a release."""
    approved = [entry for entry in plant.ledger.stream(release) if entry.kind == AUTHORIZED]
    return sum(entry.body.get("action") == "approve" for entry in approved)


def test_a_segment_of_what_no_call_declares_is_refused(producing: Plant, sides: tuple[str, str]) -> None:
    """Attributes are declared in the project file that went through the gate."""
    with pytest.raises(InvalidInput, match="no call declares"):
        flag_set(producing, release=sides[1], segment="age=17", reason=WHY)
    assert now(producing).candidate == ""


def test_a_horizon_shorter_than_exposures_are_known_is_refused(producing: Plant, sides: tuple[str, str]) -> None:
    """Outcomes would lie behind it as soon as they are there, and every unit count with 0."""
    with pytest.raises(InvalidInput, match="a horizon of 3s"):
        ab_start(producing, release=sides[1], name="checkout", metric="bought", horizon="3s", reason=WHY)
    assert now(producing).candidate == ""


@pytest.mark.requirement("ROLL-01", by="holdfast.lifecycle.experiments:_judged")
def test_an_ab_test_joins_outcomes_to_exposures_and_names_the_better_side(
    producing: Plant, caller: Caller, sides: tuple[str, str], tmp_path: Path
) -> None:
    """Units keep their side, nobody's name is kept, and a conversion that differs is found when its horizon is over."""
    baseline, candidate = sides
    ab_start(producing, release=candidate, name="checkout", metric="bought", horizon="1h", reason=WHY)
    caller.refresh()
    units = [f"user-{number}@example.org" for number in range(200)]
    met = {unit: is_(candidate, caller.asks(unit)) for unit in units}
    assert {unit: is_(candidate, caller.asks(unit)) for unit in units[:50]} == {unit: met[unit] for unit in units[:50]}
    assert is_(baseline, caller.asks())  # who is nobody takes no part
    caller.gateway.write()
    look(producing)
    chance, moment = np.random.default_rng(1), producing.clock.now()
    bought = {unit: int(chance.random() < (0.6 if met[unit] else 0.1)) for unit in units}
    rows = [f"{unit},bought,{bought[unit]},{moment.isoformat()}" for unit in units]
    file = tmp_path / "outcomes.csv"
    file.write_text("\n".join(["unit,metric,value,time", *rows]))
    ab_outcome(producing, file=file)
    assert ab_verdict(producing).document["winner"] == "undecided"  # no unit's horizon is over
    found = ab_verdict(later(producing, timedelta(hours=2)))
    assert found.document["winner"] == "candidate"
    assert found.document["measures"]["units_candidate"] == sum(met.values())
    assert found.document["measures"]["units_crossed"] == 0
    assert 0.3 < found.document["measures"]["effect"] < 0.7
    assert kinds(producing, traffic_stream(candidate)).count("rollout.compared") == 2
    blobs = [path.read_bytes() for path in producing.home.workspace.rglob("*") if path.is_file()]
    assert not any(b"user-1@example.org" in blob for blob in blobs)


@pytest.mark.parametrize(
    "text",
    [
        "unit,metric\na,b\n",
        "unit,metric,value,time\nu,bought,x,2026-01-01T00:00:00+00:00\n",
        "unit,metric,value,time\nu,bought,nan,2026-01-01T00:00:00+00:00\n",
        "unit,metric,value,time\nu,bought,1,2026-01-01T00:00:00\n",
        "unit,metric,value,time\nu,bougt,1,2026-01-01T00:00:00+00:00\n",
        '{"unit": 1}',
        "\xff",
    ],
    ids=["columns", "value", "nan", "zone", "metric", "json", "bytes"],
)
def test_outcomes_that_cannot_be_read_are_refused_whole(
    producing: Plant, sides: tuple[str, str], tmp_path: Path, text: str
) -> None:
    """One bad row, and nothing of the file is taken."""
    ab_start(producing, release=sides[1], name="checkout", metric="bought", reason=WHY)
    file = tmp_path / "outcomes"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidInput):
        ab_outcome(producing, file=file)
    assert "experiment.outcomes" not in kinds(producing, "experiment/breast-cancer/checkout")


def test_an_experiment_is_declared_once(producing: Plant, sides: tuple[str, str]) -> None:
    """Nobody begins it again under the same name with another metric."""
    ab_start(producing, release=sides[1], name="checkout", metric="bought", reason=WHY)
    rollout_stop(producing, reason="Another metric would look better.")
    with pytest.raises(Conflict):
        ab_start(producing, release=sides[1], name="checkout", metric="clicked", reason=WHY)
    with pytest.raises(NotFound):
        ab_verdict(producing, name="another")


@pytest.mark.requirement("ROLL-04", by="holdfast.serve.shadow:compare")
def test_a_shadow_gets_copies_answers_nobody_and_is_reported(
    producing: Plant, caller: Caller, sides: tuple[str, str]
) -> None:
    """Every call is answered by the baseline; the report says how the two differ, and is evidence."""
    baseline, candidate = sides
    shadow_start(producing, release=candidate, reason=WHY)
    caller.refresh()
    assert all(is_(baseline, caller.asks(f"user-{number}")) for number in range(50))
    caller.gateway.gateway.shadow.wait()
    caller.gateway.write()
    look(producing)
    found = shadow_report(producing).document["measures"]
    assert found["copied_calls"] == 50
    assert found["agreement"] == 1.0
    assert found["dropped_calls"] == 0
    assert found["failures"] == 0
    assert now(producing).candidate == candidate
    assert kinds(producing, traffic_stream(candidate))[-1] == "rollout.compared"


def test_calls_that_a_shadow_once_answered_are_no_copies(
    producing: Plant, caller: Caller, sides: tuple[str, str]
) -> None:
    """What gateways told of an earlier time may be read after the shadow has begun."""
    _, candidate = sides
    bluegreen_prepare(producing, release=candidate, reason=WHY)
    bluegreen_switch(producing, reason="Change places.")
    caller.refresh()
    assert all(is_(candidate, caller.asks(f"user-{number}")) for number in range(30))
    caller.gateway.write()
    bluegreen_switch(producing, reason="And back.")
    rollout_stop(producing, reason="It goes into the shadow.")
    shadow_start(producing, release=candidate, reason=WHY)
    caller.refresh()
    look(producing)
    assert "no call was copied yet" in shadow_report(producing).says
    for number in range(20):
        caller.asks(f"user-{number}")
    caller.gateway.gateway.shadow.wait()
    caller.gateway.write()
    look(producing)
    assert shadow_report(producing).document["measures"]["copied_calls"] == 20


@pytest.mark.requirement("ROLL-05", by="holdfast.registry.standing:exchanged")
def test_blue_and_green_change_places_and_back(producing: Plant, caller: Caller, sides: tuple[str, str]) -> None:
    """Green is loaded and silent, answers after one table, and blue after the next; every epoch is newer."""
    blue, green = sides
    bluegreen_prepare(producing, release=green, reason=WHY)
    caller.refresh()
    assert is_(blue, caller.asks())
    epochs = [now(producing).epoch]
    for expected in (green, blue, green):
        bluegreen_switch(producing, reason="Change places.")
        caller.refresh()
        assert is_(expected, caller.asks())
        epochs.append(now(producing).epoch)
    assert epochs == sorted(set(epochs))
    assert now(producing).previous[-1] == blue
    assert (now(producing).baseline, now(producing).candidate) == (green, blue)


@pytest.mark.requirement("ROLL-05", by="holdfast.lifecycle.routing:permit_for")
def test_green_that_may_not_answer_any_more_does_not_get_to(
    producing: Plant, caller: Caller, sides: tuple[str, str]
) -> None:
    """The gates are decided anew at the switch: bad news that came since counts."""
    blue, green = sides
    bluegreen_prepare(producing, release=green, reason=WHY)
    model = parent(producing, green, Kind.MODEL)
    file_evidence(producing, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "an attack was found"))
    with pytest.raises(PolicyDenied):
        bluegreen_switch(producing, reason="Now.")
    caller.refresh()
    assert is_(blue, caller.asks())


@pytest.mark.requirement("ROLL-07", by="holdfast.lifecycle.loop:_roll_back")
def test_a_breach_after_the_switch_leads_back_to_blue(producing: Plant, caller: Caller, sides: tuple[str, str]) -> None:
    """Green breaks its promise: what answered before answers again, by a recorded rollback, with an incident."""
    blue, green = sides
    bluegreen_prepare(producing, release=green, reason=WHY)
    bluegreen_switch(producing, reason="Change places.")
    Spool(plant=producing).tell(green, calm(producing, green, requests=400, failures=80))
    look(producing)
    caller.refresh()
    assert is_(blue, caller.asks())
    assert (now(producing).baseline, now(producing).candidate) == (blue, "")
    assert incidents(producing)


@pytest.mark.requirement("ROLL-07", by="holdfast.lifecycle.steps:_return")
def test_an_experiment_that_does_harm_is_ended(producing: Plant, sides: tuple[str, str]) -> None:
    """Its candidate fails beside a baseline that does not: no business metric is worth that; the evidence travels."""
    baseline, candidate = sides
    ab_start(producing, release=candidate, name="checkout", metric="bought", reason=WHY)
    spool = Spool(plant=producing)
    for _ in range(3):
        spool.tell(candidate, calm(producing, candidate, requests=60, failures=15))
        spool.tell(baseline, calm(producing, baseline))
    look(producing)
    assert (now(producing).baseline, now(producing).candidate) == (baseline, "")
    assert "evidence.filed" in kinds(producing, candidate)[-4:]


@pytest.mark.requirement("ROLL-11", by="holdfast.lifecycle.exchanges:emergency_swap")
def test_an_emergency_puts_the_safe_release_in_place_and_opens_an_incident(
    producing: Plant, caller: Caller, sides: tuple[str, str]
) -> None:
    """One action: the alias `safe` answers, what answered is gone from the way back, and all of it is on record."""
    bad, good = sides
    alias(producing, name="safe", release=good, reason="It has served for a year.")
    reply = emergency_swap(producing, reason="The new one insults callers.")
    caller.refresh()
    assert is_(good, caller.asks())
    assert reply.document["serving"] == good
    assert (now(producing).baseline, now(producing).previous) == (good, ())
    assert {"release.swapped"} <= set(kinds(producing, good))
    assert kinds(producing, bad)[-1] == "release.returned"
    assert incident(producing, incidents(producing)[-1])["severity"] == "critical"
    with pytest.raises(Conflict):
        emergency_swap(producing, reason="Once more.")


def test_an_emergency_lets_in_nothing_that_was_never_approved(plant: Plant) -> None:
    """What answers nothing can be replaced by nothing; a release without approval stays out."""
    with pytest.raises(Conflict):
        emergency_swap(plant, reason="Nothing answers.")
    promote(plant, reason="The only one.")
    with pytest.raises(NotFound, match="no safe release"):
        emergency_swap(plant, reason="There is none.")


@pytest.mark.requirement("ROLL-08", by="holdfast.lifecycle.drills:keep_drilled")
def test_the_rollback_is_drilled_when_that_is_due_and_not_before(producing: Plant, sides: tuple[str, str]) -> None:
    """By whoever watches, with the time it took on record."""
    assert not any("drilled" in words for words in look(producing).done)
    month = later(producing, timedelta(days=32))
    assert is_due(month, sides[0])
    (words,) = keep_drilled(month, current_project(producing))
    assert "drilled the rollback" in words
    assert any(entry.body.get("control") == "respond.drill/1" for entry in producing.ledger.stream(sides[0]))


def test_one_rollout_at_a_time_and_its_state_can_be_read(producing: Plant, sides: tuple[str, str]) -> None:
    """A second one is refused, and the status says which is going on."""
    assert rollout_status(producing).document["candidate"] == ""
    shadow_start(producing, release=sides[1], share=0.5, reason=WHY)
    found = rollout_status(producing).document
    assert (found["plan"], found["share"], found["mirrored"]) == ("shadow", 0.0, 0.5)
    for begin in (bluegreen_prepare, flag_set, shadow_start):
        with pytest.raises(Conflict):
            begin(producing, release=sides[1], reason=WHY)
    with pytest.raises(Conflict):
        bluegreen_switch(producing, reason=WHY)
    assert rollout_stop(producing, reason="Enough.").document["withdrawn"] == sides[1]
    with pytest.raises(Conflict):
        rollout_stop(producing, reason="Enough.")
