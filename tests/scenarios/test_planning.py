"""Scenarios of planning: every answer is read from the plant, and changes when the plant does."""

import json
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest
from tests.scenarios.stand import MADE_WITH, Gateway, Spool, calm, file_evidence, later, now, parent

from holdfast import app
from holdfast.core.artifact import Kind
from holdfast.core.errors import HoldfastError, IntakeClosed, InvalidInput, PolicyDenied
from holdfast.core.evidence import Outcome, failed
from holdfast.core.ledger import Draft, Entry
from holdfast.core.seal import ROUTES
from holdfast.engines.repository import ROUTES_NAME, TIMESTAMP_NAME
from holdfast.engines.repository.reading import ROUTING, target_path
from holdfast.lifecycle.loop import look, watch
from holdfast.lifecycle.planning import (
    KNOWN,
    all_facts,
    budget,
    intake,
    kickoff,
    landscape,
    maturity,
    posture,
    properties,
    sensitivity,
)
from holdfast.lifecycle.planning_facts import CONTROLS, GUARDED, KEYED, STAGED, WATCHED
from holdfast.lifecycle.planning_models import models
from holdfast.lifecycle.planning_records import signoff, tabletop
from holdfast.lifecycle.planning_threats import is_test, review, threats, tickets
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.policies import shipped_policies
from holdfast.lifecycle.promotion import accept_policy, newest_release, promote
from holdfast.lifecycle.publishing import endpoint_stream, present_table, settle
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verbs import newest_on
from holdfast.plan.lines import judge
from holdfast.plan.matrix import DEFENCES, PROPERTIES
from holdfast.plan.maturity import KICKOFF, PRACTICES
from holdfast.plan.posture import POSTURE
from holdfast.plan.sources import MEASURES

LINES = (*POSTURE, *PRACTICES, *PROPERTIES, *DEFENCES, *KICKOFF)
MISSING = {name for line in LINES for name in line.needs} - KNOWN


@pytest.fixture(scope="session")
def busy(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in production with traffic, security events, a reviewed threat model and a tabletop behind it."""
    folder = tmp_path_factory.mktemp("busy") / "project"
    shutil.copytree(finished, folder)
    with app.open_plant(folder) as plant:
        promote(plant, reason="It is good.")
        gateway = Gateway(plant)
        gateway.key = "hf_wrong"
        gateway.ask(gateway.rows(now(plant).baseline)[:1])  # a refusal: a security event
        gateway.write()
        look(plant)
        sequence = Spool(plant=plant)
        last = plant.last(_gateway_name(plant), "telemetry.drained")
        if last is not None:
            sequence.sequence = iter(range(last.body["sequence"] + 1, 1000))
            sequence.previous = last.body["envelope"]
        sequence.tell(now(plant).baseline, calm(plant, now(plant).baseline))
        look(plant)
        tabletop(plant, reason="We walked through it.")
        review(plant, reason="We looked at every threat.")
        plant.unlock()
        plant.ledger.checkpoint()
    return folder


def _gateway_name(plant: Plant) -> str:
    return next(key.owner for key in plant.trust.keys if key.role == "gateway")


@pytest.fixture
def at_work(busy: Path, tmp_path: Path) -> Iterator[Plant]:
    """The control plane of a copy of it."""
    folder = tmp_path / "project"
    shutil.copytree(busy, folder)
    with app.open_plant(folder) as plant:
        plant.unlock()
        yield plant


def red(plant: Plant) -> set[tuple[str, str, str]]:
    """Every line of every report that is not green."""
    facts = all_facts(plant, current_project(plant))
    return {(each.line.group, each.line.claim, each.line.sort) for each in judge(LINES, facts) if not each.green}


def naming(*controls: str) -> set[tuple[str, str, str]]:
    """The lines that need any of these controls."""
    return {(line.group, line.claim, line.sort) for line in LINES if set(line.needs) & set(controls)}


def off(plant: Plant) -> set[str]:
    """The controls that are not in force, by what was read."""
    return {name for name, state in all_facts(plant, current_project(plant)).items() if not state.on}


def without_guard(plant: Plant, name: str) -> Plant:
    """The same plant, whose newest signed route table lacks a guard."""
    project = current_project(plant)
    table = present_table(plant, project)
    assert table is not None
    fewer = tuple(guard for guard in table.guards if f"guard:{guard.name}" != name)
    body = dict(plant.last(endpoint_stream(project), "endpoint.routed").body)  # type: ignore[union-attr]
    body["table"] = plant.seal(msgspec.structs.replace(table, guards=fewer, epoch=table.epoch + 1), ROUTES, "registry")
    plant.ledger.append([Draft(kind="endpoint.routed", actor="registry", stream=endpoint_stream(project), body=body)])
    settle(plant, project)
    return plant


def without_evidence(plant: Plant, control: str) -> Plant:
    """The same plant, in which a control's newest word on what answers is that it failed."""
    for entry in list(plant.ledger.entries()):
        if entry.kind == "evidence.filed" and entry.body["control"] == control:
            kind = next(
                Kind(each.body["kind"])
                for each in plant.ledger.stream(entry.stream)
                if each.kind == "artifact.recorded"
            )
            file_evidence(plant, failed(control, entry.stream, kind, MADE_WITH, "it was switched off"))
            return plant
    raise AssertionError(control)


def without_key(plant: Plant, control: str) -> Plant:
    """The same plant, in whose trust the role has no key that is valid now."""
    role = control.removeprefix("key:")
    moment = plant.clock.now()
    keys = tuple(
        msgspec.structs.replace(key, not_after=moment) if key.role == role else key for key in plant.trust.keys
    )
    trust = msgspec.structs.replace(plant.trust, keys=keys)
    return replace(plant, read_trust=lambda: trust)


def without_measure(plant: Plant, control: str) -> Plant:
    """The same plant, in which a control of watching has failed on the newest window."""
    stream = f"traffic/{now(plant).baseline}"
    newest = plant.last(stream, "traffic.measured")
    assert newest is not None
    listed = [item for item in newest.body["evidence"] if item["control"] != control]
    body = dict(newest.body) | {"evidence": listed}
    plant.ledger.append([Draft(kind="traffic.measured", actor="watch", stream=stream, body=body)])
    return plant


def back_on(plant: Plant, control: str) -> None:
    """Put on record again what stood before a control was switched off."""
    if control in GUARDED:
        again = first(plant, endpoint_stream(current_project(plant)), "endpoint.routed")
        plant.ledger.append([Draft(kind=again.kind, actor=again.actor, stream=again.stream, body=dict(again.body))])
        settle(plant, current_project(plant))
    elif control in WATCHED:
        again = first(plant, f"traffic/{now(plant).baseline}", "traffic.measured")
        plant.ledger.append([Draft(kind=again.kind, actor=again.actor, stream=again.stream, body=dict(again.body))])
    elif control in STAGED:
        again = next(each for each in plant.ledger.entries() if each.body.get("control") == control and filed(each))
        plant.ledger.append([Draft(kind=again.kind, actor=again.actor, stream=again.stream, body=dict(again.body))])


def first(plant: Plant, stream: str, kind: str) -> Entry:
    """The first entry of a kind in a stream."""
    return next(entry for entry in plant.ledger.stream(stream) if entry.kind == kind)


def filed(entry: Entry) -> bool:
    """Whether an entry files evidence."""
    return entry.kind == "evidence.filed"


SWITCHES: dict[str, Callable[[Plant, str], Plant]] = {
    **dict.fromkeys(GUARDED, without_guard),
    **dict.fromkeys((name for name in STAGED if name != "plan.budget/1"), without_evidence),
    **dict.fromkeys(WATCHED, without_measure),
    **dict.fromkeys(
        # The trust of these alone: what they signed before is read at the time the ledger witnessed.
        KEYED,
        without_key,
    ),
}


@pytest.fixture(scope="module")
def switched(busy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One plant whose controls are switched off one after the other, and on again."""
    folder = tmp_path_factory.mktemp("switched") / "project"
    shutil.copytree(busy, folder)
    with app.open_plant(folder) as plant:
        plant.unlock()
        yield plant


@pytest.mark.guarantee("G43")
@pytest.mark.parametrize("control", [name for name in SWITCHES if naming(name)])
def test_switching_off_one_live_control_turns_exactly_its_lines_red(switched: Plant, control: str) -> None:
    """A guard out of the table, a control that fails, a key that expires, a silent detector: its lines only.

    Switched on again, every line is as before.
    """
    plant = SWITCHES[control](switched, control)
    assert red(plant) == naming(*MISSING, control)
    back_on(switched, control)


def test_switched_on_again_every_line_is_as_before(switched: Plant) -> None:
    """After all of them were off once, one at a time."""
    assert red(switched) == naming(*MISSING)


def test_before_anything_is_switched_off_only_what_is_missing_here_is_red(at_work: Plant) -> None:
    """Every line whose controls exist is green; the others say that nothing here provides them."""
    assert off(at_work) == set()
    assert red(at_work) == naming(*MISSING)


@pytest.mark.requirement("PLAN-08", by="holdfast.plan.maturity:level")
def test_maturity_follows_from_what_is_practised(at_work: Plant, finished: Path) -> None:
    """At work all twelve practices are there: advanced. Before anything answers: the missing ones are named."""
    assert maturity(at_work).document["level"] == "advanced"
    assert maturity(at_work).document["missing"] == []
    with app.open_plant(finished) as plant:
        before = maturity(plant).document
    assert before["level"] == "none"
    assert "beginner: callers are known" in before["missing"]
    assert len(before["practices"]) == 12
    quiet = maturity(later(at_work, timedelta(days=2))).document  # nobody told anything since
    assert {"intermediate: drift is measured", "intermediate: service levels are measured"} <= set(quiet["missing"])
    half = maturity(without_measure(at_work, "watch.drift/1")).document
    assert (half["level"], half["missing"]) == ("beginner", ["intermediate: drift is measured"])


@pytest.mark.requirement("PLAN-22")
@pytest.mark.requirement("PLAN-18")
def test_a_layer_is_green_by_facts_and_red_without(at_work: Plant) -> None:
    """Service and observability are green at work; a guard or a detector less, and their layer is red."""

    def green(plant: Plant) -> set[str]:
        return {layer["layer"] for layer in posture(plant).document["layers"] if layer["green"]}

    assert green(at_work) == {"L3 service", "L7 observability"}
    lines = [line for layer in posture(at_work).document["layers"] for line in layer["lines"]]
    assert all(line["facts"] and all(line["facts"]) for line in lines)
    missing = next(line for line in lines if line["claim"] == "mutual TLS")
    assert missing["facts"] == ["not in force: network:mtls: nothing here provides it"]
    quiet = without_measure(at_work, "watch.predictions/1")
    assert green(quiet) == set()  # the layer of services emits no alerts of the model any more
    assert "L3 service" not in green(without_guard(quiet, "guard:within-rate"))


@pytest.mark.requirement("PLAN-10", by="holdfast.plan.lines:judge")
def test_a_category_without_a_working_control_is_reported(at_work: Plant) -> None:
    """Five categories with stage, vector, impact and mitigation; the last control gone, and the category is named."""
    shown = landscape(at_work).document
    assert shown["without_control"] == []
    names = {"category", "stage", "vector", "impact", "mitigation", "working", "controls"}
    assert [set(row) for row in shown["categories"]] == [names] * 5
    one = without_guard(at_work, "guard:valid-input")
    assert landscape(one).document["without_control"] == []  # attacks before it answers still count
    none = without_evidence(one, "assess.robustness/1")
    assert landscape(none).document["without_control"] == ["evasion"]


@pytest.mark.requirement("PLAN-15", by="holdfast.plan.lines:judge")
def test_the_kickoff_walks_through_seven_days_and_checks_each_outcome(
    finished: Path, plant: Plant, tmp_path: Path
) -> None:
    """From a bare project to a tabletop: what was done is done, what is next is said, and files alone prove nothing."""
    bare = tmp_path / "bare"
    bare.mkdir()
    shutil.copyfile(finished / "holdfast.toml", bare / "holdfast.toml")
    app.init(bare)
    with app.open_plant(bare) as begun:
        assert done(begun) == [1]
        assert "day 2" in kickoff(begun).says
    (plant.home.root / "RUNBOOK.md").unlink()
    assert done(plant) == [1, 3]
    promote(plant, reason="Day five.")
    assert done(plant) == [1, 3, 5]
    Spool(plant=plant).tell(now(plant).baseline, calm(plant, now(plant).baseline))
    look(plant)
    assert done(plant) == [1, 2, 3, 4, 5]
    shutil.copyfile(finished / "RUNBOOK.md", plant.home.root / "RUNBOOK.md")
    tabletop(plant, reason="All of us.")
    assert done(plant) == [1, 2, 3, 4, 5, 6, 7]
    (plant.home.root / "RUNBOOK.md").write_text("# To be written\n", encoding="utf-8")
    assert done(plant) == [1, 2, 3, 4, 5, 7]
    assert "day 6" in kickoff(plant).says


def done(plant: Plant) -> list[int]:
    """The days of the kickoff whose outcome is there."""
    return [number for number, step in enumerate(kickoff(plant).document["steps"], 1) if step["green"]]


def test_properties_name_tests_that_exist(at_work: Plant) -> None:
    """All seven are backed, and each test is found in the checkout."""
    shown = properties(at_work).document
    assert (shown["weak"], shown["tests_missing"]) == ([], [])
    assert properties(without_guard(at_work, "guard:within-rate")).document["weak"] == ["availability"]


def test_a_test_that_does_not_exist_is_no_link(plant: Plant) -> None:
    """A name with a typing error, a path out of the project, a folder: none of them is a test."""
    assert is_test(plant, "tests/scenarios/test_planning.py::test_a_test_that_does_not_exist_is_no_link")
    for name in (
        "tests/scenarios/test_planning.py::test_nothing_of_this_name",
        "tests/../tests/scenarios/test_planning.py",
        "tests/scenarios",
        "tests/nowhere.py",
        "src/holdfast/up.py",
    ):
        assert not is_test(plant, name)
    (plant.home.root / "tests").mkdir()
    (plant.home.root / "tests" / "test_own.py").write_text("def test_ours():\n    pass\n", encoding="utf-8")
    assert is_test(plant, "tests/test_own.py::test_ours")


@pytest.mark.requirement("PLAN-11", by="holdfast.lifecycle.planning_threats:tickets")
def test_a_ticket_is_opened_when_a_review_is_due_and_closed_by_one(at_work: Plant) -> None:
    """A month, an incident, a material change: a ticket each; a review closes what it settles."""
    assert tickets(at_work).document["open"] == {}
    next_month = later(at_work, timedelta(days=31))
    assert set(tickets(next_month).document["open"]) == {"month"}
    assert set(tickets(next_month).document["opened"]) == set()  # opened once
    assert set(tickets(at_work).document["closed"]) == {"month"}
    project = current_project(at_work)
    stream = f"incident/{project.project.name}"
    at_work.ledger.append([Draft(kind="incident.opened", actor="respond", stream=stream, body={"reason": "drift"})])
    text = at_work.home.project_file.read_text(encoding="utf-8")
    at_work.home.project_file.write_text(text.replace('exposure = "internal"', 'exposure = "none"'), encoding="utf-8")
    watch(at_work)  # what watches traffic watches the age of the threat model too
    assert set(tickets(at_work).document["open"]) == {"incident", "exposure"}
    assert set(review(at_work, reason="Looked at both.").document["closed"]) == {"incident", "exposure"}
    assert tickets(at_work).document["open"] == {}


def test_a_threat_model_with_a_dangling_link_cannot_be_reviewed(at_work: Plant) -> None:
    """A review of links that lead nowhere is none; the report names them."""
    path = at_work.home.root / "threats.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"ledger:chain"', '"ledger:chian"'), encoding="utf-8")
    assert {item["rule"] for item in threats(at_work).document["findings"]} == {"dangling-control"}
    with pytest.raises(InvalidInput, match="ledger:chian"):
        review(at_work, reason="Fine.")
    assert "threats:current" in off(at_work)


def test_a_threat_is_open_while_one_of_its_controls_is_not_in_force(at_work: Plant) -> None:
    """The record is judged by what is in force, not by what it says."""
    assert all(threat["held_off"] for threat in threats(at_work).document["threats"])
    shown = threats(without_guard(at_work, "guard:within-rate")).document["threats"]
    assert [threat["id"] for threat in shown if not threat["held_off"]] == ["the model is copied by asking"]


@pytest.mark.guarantee("G44")
def test_a_project_whose_intake_is_closed_is_not_trained(plant: Plant) -> None:
    """A rule that is good enough closes the gate: the run stops before training, and says which rule it is."""
    text = plant.home.project_file.read_text(encoding="utf-8")
    plant.home.project_file.write_text(text.replace("needed = 0.96", "needed = 0.8"), encoding="utf-8")
    with pytest.raises(IntakeClosed, match="already reaches what is needed") as closed:
        run(plant)
    assert closed.value.exit_code == 1
    started = [e.body["stage"] for e in plant.ledger.stream("project/breast-cancer") if e.kind == "stage.started"]
    assert started[-1] == "intake"
    with pytest.raises(IntakeClosed):
        intake(plant)


def test_the_intake_and_the_budget_are_told(plant: Plant) -> None:
    """What the rows said, and how much of each limit is used."""
    asked = intake(plant).document
    assert asked["open"]
    assert asked["red_flags"] == []
    assert 0.85 < asked["measures"]["plain_best"] < 0.96
    shown = budget(plant).document
    assert shown["over"] == []
    assert {"use:latency", "use:scale", "use:cost", "use:explainability", "worst_use"} <= set(shown["uses"])
    assert sensitivity(plant).document["withheld"] == ["age_band", "contact_email"]


def test_the_sources_that_a_contract_may_name_are_what_is_measured(at_work: Plant) -> None:
    """Every measure of the table is in a finished run's evidence, or in what was measured of traffic."""
    release = now(at_work).baseline
    model = parent(at_work, release, Kind.MODEL)
    dataset = parent(at_work, parent(at_work, model, Kind.FEATURES), Kind.DATASET)
    found = newest_on(at_work, model) | newest_on(at_work, dataset)
    for control, names in MEASURES.items():
        if control in found:
            assert found[control].outcome is Outcome.MEASURED
            assert set(names) <= {m.name for m in (*found[control].measures, *found[control].timings)}
        else:
            assert control == "watch.sli/1"


@pytest.mark.guarantee("G44")
@pytest.mark.requirement("PLAN-14", by="holdfast.lifecycle.planning_records:signoff")
def test_a_model_of_the_highest_tier_needs_three_reviews(plant: Plant) -> None:
    """Asked by people outside about persons: design, pipeline and runtime must be signed, each of them."""
    text = plant.home.project_file.read_text(encoding="utf-8")
    text = text.replace('exposure = "internal"', 'exposure = "partner"').replace('"baseline"', '"mine.toml"')
    plant.home.project_file.write_text(text, encoding="utf-8")
    strict = next(path for path in shipped_policies() if path.stem == "baseline").read_text(encoding="utf-8")
    (plant.home.root / "mine.toml").write_text(strict.replace("covers = 3", "covers = 4"), encoding="utf-8")
    accept_policy(plant, file=plant.home.root / "mine.toml")
    run(plant)
    for missing in (("design", "pipeline", "runtime"), ("pipeline", "runtime"), ("runtime",)):
        with pytest.raises(PolicyDenied) as denied:
            promote(plant, reason="Now.")
        assert [reason.partition("]")[0] for reason in denied.value.reasons] == [f"[signoff.{each}" for each in missing]
        left = signoff(plant, stage=missing[0], reason="We looked at it.").document["missing"]
        assert left == list(missing[1:])
    promote(plant, reason="All three are there.")
    with pytest.raises(InvalidInput, match="no stage of review"):
        signoff(plant, stage="lunch", reason="We looked at it.")


def test_a_review_in_a_role_that_nobody_granted_does_not_count(plant: Plant) -> None:
    """A word is worth what the root keys say."""
    shown = signoff(plant, stage="design", reason="I am an auditor.", role="auditor").document
    assert shown["missing"] == ["design", "pipeline", "runtime"]


class Shadow(BaseHTTPRequestHandler):
    """A server that speaks the protocol and serves models nobody listed."""

    models: tuple[tuple[str, str], ...] = (("shadow", "7"),)
    silent = False

    def answer(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        if self.path == "/v2":
            self.answer(200, {"name": "triton", "version": "2", "extensions": []})
        else:
            self.answer(404, {"error": "no"})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.silent:
            self.answer(404, {"error": "no"})
        else:
            self.answer(200, [{"name": name, "version": version, "state": "READY"} for name, version in self.models])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name that the base class gives it
        """Say nothing."""


@pytest.fixture
def shadow() -> Iterator[str]:
    """The address of such a server."""
    server = HTTPServer(("127.0.0.1", 0), Shadow)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.requirement("PLAN-04", by="holdfast.plan.inventory:unlisted")
def test_every_model_is_listed_and_what_answers_unlisted_is_reported(
    at_work: Plant, shadow: str, finished: Path, tmp_path: Path
) -> None:
    """The list has seven things of each model; a route table, telemetry or a server beside it is found out."""
    shutil.copytree(finished, tmp_path / "others" / "one")
    shown = app.inventory(at_work.home.root, under=tmp_path).document
    assert [model["stage"] for model in shown["models"]] == ["production", "released"]
    mine = shown["models"][0]
    assert (mine["sensitivity"], mine["exposure"], mine["stakes"]) == ("personal", "internal", "safety")
    assert mine["owner"].startswith("Ada")
    assert mine["version"] == now(at_work).baseline
    assert shown["unlisted"] == []

    (asked,) = app.inventory(at_work.home.root, probe=shadow).document["unlisted"]
    assert (asked["model"], asked["version"], asked["shown_by"]) == ("shadow", "7", shadow)

    table = present_table(at_work, current_project(at_work))
    assert table is not None
    other = msgspec.structs.replace(table.models[0], name="stowaway")
    digest = at_work.seal(msgspec.structs.replace(table, models=(*table.models, other)), ROUTES, "registry")
    timestamp = json.loads(at_work.published.document(TIMESTAMP_NAME))
    epoch = timestamp["signed"]["meta"]["snapshot.json"]["version"]
    routing = json.loads(at_work.published.document(f"{epoch}.{ROUTING}.json"))
    named = routing["signed"]["targets"][ROUTES_NAME]["hashes"]["sha256"]
    at_work.published.put({target_path(ROUTES_NAME, named): at_work.blobs.get(digest)})
    (planted,) = models(at_work).document["unlisted"]
    assert (planted["model"], planted["shown_by"]) == ("stowaway", "the published folder")
    assert "inventory:complete" in off(at_work)


def test_telemetry_of_a_release_that_never_was_in_production_is_reported(at_work: Plant) -> None:
    """Somebody serves a release that nobody promoted: its traffic gives it away."""
    body = {"envelope": "sha256:" + "0" * 64, "release": "sha256:" + "1" * 64, "sequence": 99}
    at_work.ledger.append([Draft(kind="telemetry.drained", actor="gateway", stream="gateway", body=body)])
    (found,) = models(at_work).document["unlisted"]
    assert found["shown_by"] == "telemetry of the gateway"


def test_a_server_that_does_not_say_is_reported_and_one_that_is_none_is_told(
    at_work: Plant, shadow: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Silence is no alibi; an address where nothing answers was not looked at, and that is said."""
    monkeypatch.setattr(Shadow, "silent", True)
    (found,) = app.inventory(at_work.home.root, probe=shadow).document["unlisted"]
    assert "does not say" in found["why"]
    assert len(app.inventory(at_work.home.root, probe="http://127.0.0.1:9").document["not_looked_at"]) == 1
    for address in ("gopher://x", "http://", "http://[", "127.0.0.1:80"):
        with pytest.raises(InvalidInput):
            app.inventory(at_work.home.root, probe=address)


def test_facts_that_cannot_be_read_are_not_in_force(at_work: Plant) -> None:
    """A damaged route table, a ledger that does not verify: red, with the reason, and never a traceback."""
    broken = Mock(wraps=at_work.published, document=Mock(side_effect=HoldfastError("it cannot be read")))
    blind = replace(at_work, published=broken)
    assert {"routes:signed"} <= off(blind)
    assert newest_release(at_work, current_project(at_work)) is not None
    assert set(CONTROLS) <= set(all_facts(at_work, current_project(at_work)))
