"""The threat model of a project: read, held against what exists, reviewed, and kept fresh by tickets."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Kind, digest_bytes
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.evidence import Finding
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.lifecycle.incidents import incident_stream
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream
from holdfast.plan.freshness import Present, Review, due, moves
from holdfast.plan.lines import State, judge
from holdfast.plan.matrix import SHIPPED_TESTS
from holdfast.plan.threats import MAX_THREATS, ThreatModel, faults, parse_threats

THREATS_FILE: Final = "threats.toml"
REVIEWED: Final = "threats.reviewed"
OPENED: Final = "ticket.opened"
CLOSED: Final = "ticket.closed"
MAX_TEST_FILE: Final = 4 << 20  # bytes of a file of tests; the largest here is a hundredth of it
_TEST: Final = re.compile(r"tests/[\w./-]+\.py(?:::(test_\w+))?")
_CHECKOUT: Final = Path(__file__).resolve().parents[3]


def threat_stream(project: Project) -> str:
    """Return the name of the stream that holds the reviews of a project's threat model."""
    return f"threats/{project.project.name}"


def ticket_stream(project: Project) -> str:
    """Return the name of the stream that holds a project's tickets."""
    return f"tickets/{project.project.name}"


def is_test(plant: Plant, name: str) -> bool:
    """Say whether a test of this name exists: in the project, the checkout, or among those that the package names."""
    found = _TEST.fullmatch(name)
    if found is None or ".." in name:
        return False
    file = name.partition("::")[0]
    for root in (plant.home.root, _CHECKOUT):
        if (root / file).is_file():
            text = read_given(root / file, limit=MAX_TEST_FILE, what="the test").decode(errors="replace")
            if found[1] is None or re.search(rf"(?m)^\s*(?:async )?def {found[1]}\(", text):
                return True
    return not (_CHECKOUT / "tests").is_dir() and name in SHIPPED_TESTS


def read_threats(plant: Plant) -> tuple[ThreatModel, bytes]:
    """Return the project's threat model and its bytes.

    Raises:
        NotFound: There is none.
        InvalidInput: It cannot be read, or is malformed.
    """
    path = plant.home.root / THREATS_FILE
    if not path.exists():
        remedy = "Write one; docs/how-to/preparing-an-intake.md shows its form."
        raise NotFound("the project has no threat model", place=THREATS_FILE, remedy=remedy)
    text = read_given(path, limit=MAX_THREATS + 1, what="the threat model")
    return parse_threats(text), text


def threat_faults(plant: Plant, project: Project, threats: ThreatModel, controls: Collection[str]) -> list[Finding]:
    """Return everything that is missing in a threat model or leads nowhere."""
    name = project.project.name
    return list(faults(threats, model=name, controls=controls, is_test=lambda test: is_test(plant, test)))


def present(plant: Plant, project: Project) -> Present:
    """Return what a review is held against: the document, what the model is made of, and the incidents so far."""
    path = plant.home.root / THREATS_FILE
    document = digest_bytes(read_given(path, limit=MAX_THREATS + 1, what="the threat model")) if path.exists() else ""
    facts: dict[str, str] = {"exposure": project.risk.exposure}
    for entry in plant.ledger.stream(project_stream(project)):
        if entry.kind in {"stage.finished", "stage.reused"}:
            made = {str(item["kind"]): str(item["digest"]) for item in entry.body["artifacts"]}
            facts |= {kind: made[kind] for kind in (Kind.DATASET, Kind.FEATURES) if kind in made}
        elif entry.kind == "stage.started":
            inputs = entry.body["inputs"]
            made_by = inputs.get(Kind.RECIPE) or inputs.get(Kind.FOREIGN)  # a model from outside stands in its place
            facts |= {"recipe": str(made_by)} if made_by else {}
    opened = (entry for entry in plant.ledger.stream(incident_stream(project)) if entry.kind == "incident.opened")
    return Present(
        moment=plant.clock.now(), document=document, facts=facts, incidents=tuple(entry.moment for entry in opened)
    )


def last_review(plant: Plant, project: Project) -> Review | None:
    """Return the newest review on record."""
    entry = plant.last(threat_stream(project), REVIEWED)
    if entry is None:
        return None
    return Review(moment=entry.moment, document=str(entry.body["digest"]), facts=dict(entry.body["facts"]))


def threats_state(plant: Plant, project: Project, controls: Collection[str]) -> State:
    """Return whether the threat model is whole, leads somewhere, and was reviewed since anything changed."""
    threats, _ = read_threats(plant)
    found = threat_faults(plant, project, threats, controls)
    if found:
        return State(on=False, fact=f"{len(found)} faults, the first: {found[0].message}")
    causes = due(last_review(plant, project), present(plant, project))
    if causes:
        return State(on=False, fact="; ".join(causes.values()))
    return State(on=True, fact=f"{len(threats.threat)} threats, each with control and test, reviewed this month")


def threats(plant: Plant) -> Reply:
    """Show the threat model, what is wrong with it, and which of its controls are in force now.

    Raises:
        NotFound: The project has none.
        InvalidInput: It is malformed.
    """
    from holdfast.lifecycle.planning import KNOWN, all_facts

    project = current_project(plant)
    model, _ = read_threats(plant)
    found = threat_faults(plant, project, model, KNOWN)
    judged = judge(model.lines(), all_facts(plant, project))
    rows = [
        (each.line.group, each.line.claim, "held off" if each.green else "OPEN", "; ".join(each.facts))
        for each in judged
    ]
    document = {
        "model": model.model,
        "findings": [{"place": f.place, "rule": f.rule, "message": f.message} for f in found],
        "threats": [
            {
                "id": each.line.claim,
                "area": each.line.group,
                "held_off": each.green,
                "controls": list(each.line.needs),
                "tests": list(each.line.tests),
                "facts": list(each.facts),
            }
            for each in judged
        ],
        "due": due(last_review(plant, project), present(plant, project)),
    }
    says = f"{counted(len(judged), 'threat')}, {sum(not each.green for each in judged)} of them open; "
    says += f"{counted(len(found), 'fault')}."
    table = Table(title="Threats", columns=("area", "threat", "state", "facts"), rows=rows)
    return Reply(says=says, document=document, tables=(table,))


def review(plant: Plant, *, reason: str) -> Reply:
    """Put on record that the threat model was reviewed as it stands; its tickets are closed.

    Raises:
        InvalidInput: It has faults: a review of links that lead nowhere is none.
        NotFound: There is no threat model.
    """
    from holdfast.lifecycle.planning import KNOWN

    project = current_project(plant)
    model, text = read_threats(plant)
    found = threat_faults(plant, project, model, KNOWN)
    if found:
        words = "; ".join(f"{each.place}: {each.message}" for each in found[:5])
        raise InvalidInput(f"the threat model has {len(found)} faults: {words}", place=THREATS_FILE)
    now = present(plant, project)
    body = {"digest": plant.blobs.put(text), "facts": dict(now.facts), "threats": len(model.threat), "reason": reason}
    plant.ledger.append([Draft(kind=REVIEWED, actor=plant.person, stream=threat_stream(project), body=body)])
    opened, closed = settle_tickets(plant, project)
    says = f"Review of {counted(len(model.threat), 'threat')} is on record; {counted(len(closed), 'ticket')} closed."
    return Reply(says=says, document={"digest": body["digest"], "closed": list(closed), "opened": list(opened)})


def open_tickets(plant: Plant, project: Project) -> dict[str, dict[str, Any]]:
    """Return the open tickets by cause: the fold of their stream."""
    found: dict[str, dict[str, Any]] = {}
    for entry in plant.ledger.stream(ticket_stream(project)):
        if entry.kind == OPENED:
            found[entry.body["cause"]] = {"number": entry.position, "opened": entry.time, "words": entry.body["words"]}
        elif entry.kind == CLOSED:
            found.pop(entry.body["cause"], None)
    return found


def settle_tickets(plant: Plant, project: Project) -> tuple[Mapping[str, str], tuple[str, ...]]:
    """Open a ticket for each cause that a review is due for, and close those whose cause is gone."""
    causes = due(last_review(plant, project), present(plant, project))
    opened, closed = moves(open_tickets(plant, project), causes)
    stream = ticket_stream(project)
    drafts = [
        Draft(kind=OPENED, actor="plan", stream=stream, body={"cause": cause, "words": words, "about": THREATS_FILE})
        for cause, words in opened.items()
    ]
    drafts += [Draft(kind=CLOSED, actor="plan", stream=stream, body={"cause": cause}) for cause in closed]
    if drafts:
        plant.ledger.append(drafts)
    return opened, closed


def keep_tickets(plant: Plant) -> None:
    """Settle the tickets of what is in production with a threat model: what watches the traffic watches its age too."""
    project = current_project(plant)
    if standing(plant, project).epoch and (plant.home.root / THREATS_FILE).exists():
        settle_tickets(plant, project)


def tickets(plant: Plant) -> Reply:
    """Open a ticket for each reason why a review of the threat model is due, close what was settled, list the rest."""
    project = current_project(plant)
    opened, closed = settle_tickets(plant, project)
    there = open_tickets(plant, project)
    rows = [(str(item["number"]), cause, item["words"], item["opened"][:16]) for cause, item in there.items()]
    table = Table(title="Tickets", columns=("ticket", "cause", "words", "opened"), rows=rows)
    document = {"open": there, "opened": list(opened), "closed": list(closed)}
    says = f"{counted(len(there), 'ticket is', 'tickets are')} open; {len(opened)} opened and {len(closed)} closed now."
    return Reply(says=says, document=document, tables=(table,))
