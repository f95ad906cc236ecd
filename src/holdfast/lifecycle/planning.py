"""Planning: reports about a plant, each line held against facts that were just read; and what planning puts on record.

`holdfast.plan` holds the tables and decides the colours; here the facts are gathered and the answers are told.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from holdfast.core.errors import NotFound
from holdfast.core.evidence import Evidence
from holdfast.core.planning import CLASSES, Sensitivity
from holdfast.core.project import Project
from holdfast.core.sensitivity import WITHHELD, of_columns, of_dataset, of_model, withheld
from holdfast.lifecycle.guarding import SENSITIVE_DECIMALS
from holdfast.lifecycle.planning_facts import CONTROLS, live_facts, safely
from holdfast.lifecycle.planning_models import inventory_state
from holdfast.lifecycle.planning_records import runbook_state, tabletop_state
from holdfast.lifecycle.planning_threats import is_test, threats_state
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream, run
from holdfast.plan.lines import Judged, State, groups, judge
from holdfast.plan.matrix import DEFENCES, LANDSCAPE, PROPERTIES
from holdfast.plan.maturity import HOW, KICKOFF, PRACTICES, level
from holdfast.plan.posture import POSTURE

OWN: Final = ("inventory:complete", "threats:current", "runbook:written", "tabletop:held")
"""Controls that planning itself is."""

KNOWN: Final = frozenset((*CONTROLS, *OWN))
"""Every control that exists here; a link to another one leads nowhere."""


def all_facts(plant: Plant, project: Project) -> dict[str, State]:
    """Return every control there is with whether it is in force now."""
    return live_facts(plant, project) | {
        "inventory:complete": safely(lambda: inventory_state(plant)),
        "threats:current": safely(lambda: threats_state(plant, project, KNOWN)),
        "runbook:written": safely(lambda: runbook_state(plant, project)),
        "tabletop:held": safely(lambda: tabletop_state(plant, project)),
    }


def posture(plant: Plant) -> Reply:
    """Say for each of seven layers what is in force and which signals it emits, each with the fact behind it."""
    judged = judge(POSTURE, all_facts(plant, current_project(plant)))
    layers = groups(judged)
    green = [name for name, whole in layers.items() if whole]
    document = {
        "layers": [{"layer": name, "green": whole, "lines": _of(judged, name)} for name, whole in layers.items()]
    }
    says = f"{len(green)} of {len(layers)} layers are green: {', '.join(green) or 'none'}."
    return Reply(says=says, document=document, tables=(_table("Posture", "layer", judged),))


def maturity(plant: Plant) -> Reply:
    """Say how mature this installation is by what it practises, and name what is missing."""
    judged = judge(PRACTICES, all_facts(plant, current_project(plant)))
    reached = level(judged)
    missing = [f"{each.line.group}: {each.line.claim}" for each in judged if not each.green]
    document = {
        "level": reached,
        "practised": len(judged) - len(missing),
        "practices": [{"level": each.line.group} | _line(each) for each in judged],
        "missing": missing,
    }
    says = f"Level: {reached}; {len(missing)} of {len(judged)} practices are missing."
    return Reply(says=says, document=document, tables=(_table("Practices", "level", judged),))


def properties(plant: Plant) -> Reply:
    """Say for each of seven properties which control backs it and which test shows that control."""
    project = current_project(plant)
    judged = judge(PROPERTIES, all_facts(plant, project))
    backed = groups(judged)
    rows = [{"property": each.line.group} | _line(each) | _tests(plant, each) for each in judged]
    lacking = [row["tests"][0] for row in rows if not row["tests_exist"]]
    weak = [name for name, whole in backed.items() if not whole]
    says = f"{len(backed) - len(weak)} of {len(backed)} properties are backed whole; weak: {', '.join(weak) or 'none'}."
    document = {"properties": rows, "weak": weak, "tests_missing": lacking}
    return Reply(says=says, document=document, tables=(_table("Properties", "property", judged),))


def landscape(plant: Plant) -> Reply:
    """Show the five categories of threats, and which of them no control works against now."""
    judged = judge(DEFENCES, all_facts(plant, current_project(plant)))
    rows: list[dict[str, Any]] = []
    for threat in LANDSCAPE:
        mine = [each for each in judged if each.line.group == threat.category]
        working = [each.line.claim for each in mine if each.green]
        rows.append(dict(threat._asdict()) | {"working": working, "controls": [_line(each) for each in mine]})
    bare = [str(row["category"]) for row in rows if not row["working"]]
    table = Table(
        title="Threats",
        columns=("category", "stage", "vector", "impact", "mitigation", "working"),
        rows=[(*threat, ", ".join(row["working"]) or "NONE") for threat, row in zip(LANDSCAPE, rows, strict=True)],
    )
    says = f"Without a working control: {', '.join(bare)}." if bare else "Something works against every category."
    return Reply(says=says, document={"categories": rows, "without_control": bare}, tables=(table,))


def kickoff(plant: Plant) -> Reply:
    """Walk through the seven days of a new project, and say which outcomes are there and what is next."""
    judged = judge(KICKOFF, all_facts(plant, current_project(plant)))
    first = next((each for each in judged if not each.green), None)
    says = (
        f"Next, {first.line.group}, {first.line.claim}: {HOW[first.line.group]}"
        if first
        else "All seven days are done."
    )
    steps = [{"day": each.line.group} | _line(each) | {"how": HOW[each.line.group]} for each in judged]
    document = {"done": sum(each.green for each in judged), "steps": steps}
    return Reply(says=says, document=document, tables=(_table("Kickoff", "day", judged),))


def sensitivity(plant: Plant) -> Reply:
    """Say how sensitive each column, the data set and the model are, and what follows for each."""
    project = current_project(plant)
    columns = of_columns(project)
    dataset, model = of_dataset(project), of_model(project)
    kept = withheld(project)
    rows = [
        (f"column {name}", each.value, "its values are shown to nobody" if name in kept else "")
        for name, each in columns.items()
    ]
    rows += [("data set", dataset.value, _tier_words(project)), ("model", model.value, _answer_words(model))]
    table = Table(title="Sensitivity", columns=("what", "class", "so"), rows=rows)
    document: dict[str, Any] = {"columns": {name: each.value for name, each in columns.items()}}
    document |= {"dataset": dataset.value, "withheld": list(kept)}
    says = (
        f"The data set is {dataset.value}, and so is the model; classes: {', '.join(each.value for each in CLASSES)}."
    )
    return Reply(says=says, document=document | {"model": model.value}, tables=(table,))


def _tier_words(project: Project) -> str:
    from holdfast.plan.tier import decide_tier

    return f"tier {decide_tier(project).tier.name.lower()}"


def _answer_words(each: Sensitivity) -> str:
    return f"answers with at most {SENSITIVE_DECIMALS} decimals" if each in WITHHELD else ""


def intake(plant: Plant) -> Reply:
    """Ask the data the three questions of the intake now, and say whether work may begin.

    The evidence of the stages that this takes is put on record, as a run does.

    Raises:
        IntakeClosed: With every question that no evidence answers.
    """
    run(plant, until="intake")
    project = current_project(plant)
    evidence = _newest(plant, project)
    asked, flags = evidence["plan.intake/1"], evidence["plan.flags/1"]
    rows = [(measure.name, str(measure)) for measure in asked.measures]
    raised = [{"flag": finding.rule, "words": finding.message} for finding in flags.findings]
    document = {
        "open": True,
        "outcome": asked.outcome,
        "measures": {measure.name: measure.value for measure in asked.measures},
        "facts": asked.facts,
        "red_flags": raised,
    }
    said = asked.reason or f"The intake is open; the best plain rule is {asked.facts['best_plain']}."
    says = said + (f" {len(raised)} red flags: {', '.join(item['flag'] for item in raised)}." if raised else "")
    return Reply(says=says, document=document, tables=(Table(title="Intake", columns=("measure", "found"), rows=rows),))


def budget(plant: Plant) -> Reply:
    """Show how much of each declared limit the newest model uses.

    Raises:
        NotFound: No model was measured yet.
    """
    found = _newest(plant, current_project(plant)).get("plan.budget/1")
    if found is None:
        raise NotFound("no model was measured yet", remedy="Make one with `holdfast run`.")
    uses = {measure.name: measure for measure in (*found.timings, *found.measures)}
    rows = [(name, str(measure)) for name, measure in uses.items()]
    over = [finding.message for finding in found.findings]
    says = "; ".join(over) or found.reason or "Every limit is kept."
    document = {
        "outcome": found.outcome,
        "uses": {name: {"value": each.value, "high": each.high} for name, each in uses.items()},
        "limits": found.facts,
        "over": over,
    }
    return Reply(says=says, document=document, tables=(Table(title="Budget", columns=("what", "use"), rows=rows),))


def _newest(plant: Plant, project: Project) -> dict[str, Evidence]:
    """Return the evidence that the newest run of each stage left, by control."""
    from holdfast.lifecycle.verbs import newest_on

    found: dict[str, Evidence] = {}
    for entry in plant.ledger.stream(project_stream(project)):
        if entry.kind == "stage.started" and entry.body["stage"] in {"intake", "budget"}:
            found |= newest_on(plant, entry.body["subject"])
    return found


def _of(judged: Sequence[Judged], group: str) -> list[Mapping[str, Any]]:
    return [_line(each) for each in judged if each.line.group == group]


def _line(each: Judged) -> dict[str, Any]:
    line = each.line
    return {
        "claim": line.claim,
        "sort": line.sort,
        "green": each.green,
        "controls": list(line.needs),
        "facts": list(each.facts),
    }


def _tests(plant: Plant, each: Judged) -> dict[str, Any]:
    tests = list(each.line.tests)
    return {"tests": tests, "tests_exist": bool(tests) and all(is_test(plant, test) for test in tests)}


def _table(title: str, group: str, judged: Sequence[Judged]) -> Table:
    rows = [
        (each.line.group, each.line.sort, each.line.claim, "green" if each.green else "RED", "; ".join(each.facts))
        for each in judged
    ]
    return Table(title=title, columns=(group, "sort", "what", "state", "fact"), rows=rows)
