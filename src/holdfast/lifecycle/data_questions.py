"""The three questions of whoever looks for what went wrong: which data, by which pipeline, and what is different.

Each is one command, answered in sentences from verified evidence, for a release or, if none is named, what answers now.
"""

from typing import Any

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import HoldfastError, NotFound
from holdfast.core.evidence import Evidence, Severity
from holdfast.core.ledger import Entry
from holdfast.core.project import Project
from holdfast.lifecycle.data_diff import data_diff
from holdfast.lifecycle.lineage import parent_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import ROUTED, endpoint_stream, standing, standing_of
from holdfast.lifecycle.registry_versions import diff
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream
from holdfast.lifecycle.verbs import newest_on
from holdfast.lifecycle.versions import Version, readable, versions_with


def which_data(plant: Plant, *, release: str | None = None) -> Reply:
    """Say which version of which data made a release's model.

    Raises:
        NotFound: There is no such release, or nothing says what it was made of.
    """
    subject, project = _release(plant, release)
    dataset = _dataset(plant, subject)
    found = versions_with(plant, dataset)
    source = parent_of(plant, dataset, Kind.SOURCE).digest
    facts = newest_on(plant, dataset).get("ingest.provenance/1")
    origin = facts.facts.get("origin", "") if facts else ""
    if not found:
        told = f"data set {short(dataset)}, of which no version was committed"
    else:
        first = found[0].commit
        told = f"{first.name}@{found[0].short} ({counted(first.rows, 'row')}, “{first.message}”, by {first.author})"
    says = f"Release {short(subject)} of {project.project.name} learned from {told}, made of source {short(source)}"
    says += f": {origin}." if origin else "."
    rows = [(f"{v.commit.name}@{v.short}", v.entry.time[:19], v.commit.author, v.commit.message) for v in found]
    document: dict[str, Any] = {"release": subject, "dataset": dataset, "source": source, "origin": origin}
    document |= {"versions": [{"data": v.commit.name, "version": v.digest, "author": v.commit.author} for v in found]}
    table = Table(title="Versions with these rows", columns=("version", "when", "author", "message"), rows=rows)
    return Reply(says=says, document=document, tables=(table,) if rows else ())


def which_pipeline(plant: Plant, *, release: str | None = None) -> Reply:
    """Say which runs, code, rules and transforms turned the source into what a release's model learned from.

    Raises:
        NotFound: There is no such release, or nothing says what it was made of.
    """
    subject, project = _release(plant, release)
    model = parent_of(plant, subject, Kind.MODEL).digest
    features = parent_of(plant, model, Kind.FEATURES).digest
    dataset = _dataset(plant, subject)
    steps = [
        _step(plant, project, name, of) for name, of in (("ingest", dataset), ("features", features), ("train", model))
    ]
    changes = _changes(newest_on(plant, dataset).get("ingest.contract/1"))
    computed = [f"{each.name} = {each.transform}({', '.join(each.of)})" for each in project.features.transforms]
    says = f"Release {short(subject)}: {counted(len(steps), 'step')} from source to model"
    says += f"; cleaning changed {sum(each['count'] for each in changes)} values by {counted(len(changes), 'rule')}"
    says += f", features are {counted(len(computed), 'transform')} beside the columns." if computed else "."
    rows = [(s["stage"], s["run"], s["when"][:19], s["by"], short(s["code"]), short(s["configuration"])) for s in steps]
    named = [(each["rule"], each["column"], each["says"]) for each in changes]
    return Reply(
        says=says,
        document={"release": subject, "steps": steps, "changes": changes, "transforms": computed},
        tables=(
            Table(title="Steps", columns=("stage", "run", "when", "by", "code", "project"), rows=rows),
            *([Table(title="Cleaning", columns=("rule", "column", "did"), rows=named)] if named else []),
            *(
                [Table(title="Transforms", columns=("feature",), rows=[(each,) for each in computed])]
                if computed
                else []
            ),
        ),
    )


def what_differs(plant: Plant, *, release: str | None = None, good: str | None = None) -> Reply:
    """Say what differs between a release and the last one known to work: the five kinds of versions, and the rows.

    The last one known to work is the baseline before it, or `good`.

    Raises:
        NotFound: There is no such release, or none that worked before it.
    """
    subject, project = _release(plant, release)
    before = meant(plant, project, good) if good else _before(plant, project, subject)
    found = diff(plant, before=before, after=subject)
    older, newer = (_version(plant, each) for each in (before, subject))
    rows = "their rows cannot be compared: one is no version, or was erased"
    if older is not None and newer is not None:
        rows = "the same rows"
        if older.commit.dataset != newer.commit.dataset:
            name = newer.commit.name
            rows = data_diff(plant, before=f"{name}@{older.digest}", after=f"{name}@{newer.digest}", limit=0).says
    says = f"{short(subject)} beside {short(before)}, which worked: {found.says} Data: {rows}"
    return Reply(says=says, document={**found.document, "data": rows}, tables=found.tables)


def _release(plant: Plant, release: str | None) -> tuple[Digest, Project]:
    project = current_project(plant)
    answers = standing(plant, project).baseline if release is None else ""
    return (Digest(answers) if answers else meant(plant, project, release)), project


def _dataset(plant: Plant, release: str) -> Digest:
    features = parent_of(plant, parent_of(plant, release, Kind.MODEL).digest, Kind.FEATURES).digest
    return parent_of(plant, features, Kind.DATASET).digest


def _version(plant: Plant, release: str) -> Version | None:
    try:
        found = versions_with(plant, _dataset(plant, release))
    except HoldfastError:
        return None
    return found[0] if found and readable(plant, found[0].commit) else None


def _step(plant: Plant, project: Project, stage: str, artifact: str) -> dict[str, Any]:
    """Return which run of a stage made an artifact, when, in whose name, with which code and configuration."""
    stream = plant.ledger.stream(project_stream(project))
    ended = next((each for each in stream if _made(each, stage, artifact)), None)
    run = ended.body["run"] if ended else ""
    began = next((each for each in stream if each.kind == "stage.started" and each.body["run"] == run), None)
    evidence = next((each for control, each in newest_on(plant, artifact).items() if control.startswith(stage)), None)
    return {
        "stage": stage,
        "artifact": artifact,
        "run": run,
        "when": ended.time if ended else "",
        "by": began.body.get("by", "") if began else "",
        "code": evidence.made_with.code if evidence else "",
        "configuration": evidence.made_with.configuration if evidence else "",
    }


def _made(entry: Entry, stage: str, artifact: str) -> bool:
    made = entry.body["artifacts"] if entry.kind == "stage.finished" and entry.body["stage"] == stage else ()
    return any(each["digest"] == artifact for each in made)


def _changes(contract: Evidence | None) -> list[dict[str, Any]]:
    """Return what cleaning changed, by rule and column, as its evidence counts it."""
    informed = [each for each in contract.findings if each.severity is Severity.INFO] if contract else []
    found = []
    for each in informed:
        count = each.message.partition(":")[0]
        if count.isdigit():
            found.append({"rule": each.rule, "column": each.place, "count": int(count), "says": each.message})
    return found


def _before(plant: Plant, project: Project, subject: str) -> Digest:
    """Return the baseline that answered before a release did.

    Raises:
        NotFound: None did.
    """
    last, first = "", False
    for entry in plant.ledger.stream(endpoint_stream(project)):
        if entry.kind == ROUTED:
            baseline = standing_of(entry.body).baseline
            if baseline == subject and last:
                return Digest(last)
            first = first or baseline == subject
            last = baseline if baseline != subject else last
    if not last or first:  # what came after the first one did not work before it
        remedy = "Name one that worked with --good."
        raise NotFound("no other release answered before this one", place=subject, remedy=remedy)
    return Digest(last)
