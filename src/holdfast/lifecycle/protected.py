"""Protected attributes of features: under a key of their own, lent to who seals and who measures fairness, on record.

Decides which stage may have the key and what each read leaves in the ledger; `engines.protected` seals and opens. A
stage that has no business with them is refused, on record; a person reads them by a command with an action of its own,
which no shipped rule permits. No value is in any entry.
"""

from collections import Counter
from typing import Final

from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError, NotFound, Refused
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.engines.protected import Protected
from holdfast.lifecycle.drawn_keys import Place, drawn_key, recorded_key
from holdfast.lifecycle.inputs import MAX_REASON, check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.routing import current_project

STREAM: Final = "protected"
MADE: Final = "protected.key-made"  # body: project, key (the sealed blob's digest)
READ: Final = "protected.read"  # body: project, columns, of (an artifact's digest), reason
REFUSED: Final = "protected.read-refused"  # body: project, columns, of, reason, why
SHOWN: Final = 10_000  # rows of one answer; the counts are of all
MAX_COLUMN: Final = 80  # characters of a column's name on record
FINISHED: Final = frozenset({"stage.finished", "stage.reused"})


def protected_key(project: str) -> str:
    """Return the name of the data key under which a project's key of protected attributes lies."""
    return f"protected {project}"


def sealing_key(plant: Plant, project: Project) -> bytes:
    """Return the key for the stage that makes features: it sees the values anyway, in the data set, and seals them.

    Raises:
        Unavailable: The vault is locked.
    """
    return drawn_key(plant, project.project.name, _place(project.project.name), "features")


def assessing_key(plant: Plant, project: Project, split: Artifact) -> bytes:
    """Return the key for the assessment of fairness; that it reads, and of which rows, is on record before.

    Raises:
        Refused: The key was destroyed, or never drawn; on record too.
        Unavailable: The vault is locked.
    """
    said = _said(project, project.columns_of(Use.PROTECTED), split.digest, "assess.fairness/1")
    try:
        key = _there(plant, project)
    except NotFound as error:
        plant.ledger.append([Draft(kind=REFUSED, actor="assess", stream=STREAM, body=said | {"why": "NotFound"})])
        raise Refused(error.message, place=STREAM, remedy="Run again from the stage features.") from error
    plant.ledger.append([Draft(kind=READ, actor="assess", stream=STREAM, body=said)])
    return key


def refuse(plant: Plant, project: Project, stage: str) -> bytes:
    """Refuse the key to any other stage, on record.

    Raises:
        Refused: Always.
    """
    said = _said(project, project.columns_of(Use.PROTECTED), "", f"the stage {stage}") | {"why": "Refused"}
    plant.ledger.append([Draft(kind=REFUSED, actor=stage, stream=STREAM, body=said)])
    raise Refused(f"the stage {stage} may see no protected attribute", place=STREAM)


def dlp_protected(plant: Plant, *, column: str, reason: str) -> Reply:
    """Read a protected attribute of the newest features of this project; who reads and why is on record before.

    Args:
        plant: The control plane.
        column: The column of use `protected`.
        reason: Why, in a sentence that stays on record.

    Who is turned away is on record, too; who may not ask at all is it by the access decision.

    Raises:
        InvalidInput: No reason is given.
        NotFound: There is no such column, no features yet, or the key was destroyed.
    """
    project = current_project(plant).project.name
    declared = current_project(plant)
    features = _newest(plant, declared)
    plain = "".join(char if char.isprintable() else " " for char in reason[:MAX_REASON])
    said = _said(declared, (column[:MAX_COLUMN],), features or "", plain)
    try:
        check_reason(reason)
        if column not in declared.columns_of(Use.PROTECTED):
            raise NotFound(f"{project} declares no protected column {column[:MAX_COLUMN]!r}", place="[data.columns]")
        if features is None:
            raise NotFound(f"{project} has no features yet", remedy="Run the project: holdfast run")
        rows = _opened(plant, declared, features, column)
    except HoldfastError as error:
        body = said | {"why": type(error).__name__}
        plant.ledger.append([Draft(kind=REFUSED, actor=plant.actor, stream=STREAM, body=body)])
        raise
    # On record before anybody sees a value: what is answered without an entry would be the worse half.
    plant.ledger.append([Draft(kind=READ, actor=plant.actor, stream=STREAM, body=said)])
    counts = Counter(value for _, value in rows)
    table = Table(title=column, columns=("group", "rows"), rows=[(name, str(n)) for name, n in counts.most_common()])
    document = {"column": column, "features": features, "groups": dict(counts), "rows": rows[:SHOWN]}
    says = f"{counted(len(rows), 'row')} of {column}, {counted(len(counts), 'group')}."
    return Reply(says=says, document=document, tables=(table,))


def _place(project: str) -> Place:
    return Place(stream=STREAM, made=MADE, under=protected_key(project))


def _said(project: Project, columns: tuple[str, ...], of: str, reason: str) -> dict[str, object]:
    return {"project": project.project.name, "columns": list(columns), "of": of, "reason": reason}


def _there(plant: Plant, project: Project) -> bytes:
    name = project.project.name
    found = recorded_key(plant, name, _place(name))
    if found is None or protected_key(name) not in plant.data_keys():
        raise NotFound(f"the key of {name}'s protected attributes is not there", place=STREAM)
    return plant.blobs.get(found)


def _newest(plant: Plant, project: Project) -> str | None:
    """Return the features that the project made or took again last."""
    from holdfast.lifecycle.runner import project_stream  # which lends the keys of this module

    for entry in reversed(list(plant.ledger.stream(project_stream(project)))):
        if entry.kind in FINISHED and entry.body["stage"] == "features":
            return next(str(each["digest"]) for each in entry.body["artifacts"] if each["kind"] == Kind.FEATURES)
    return None


def _opened(plant: Plant, project: Project, features: str, column: str) -> list[tuple[str, str]]:
    """Return each row's id and value, in the table's order."""
    from holdfast.engines.dataset import from_parquet

    folder = parse_manifest(plant.blobs.get(Digest(features)))
    table = from_parquet(plant.blobs.get(Digest(folder.file("features.parquet").digest)))
    name = f"{Use.PROTECTED}:{column}"
    if name not in table.columns:
        raise NotFound(f"the newest features have no {column!r}: it was declared later, or held back", place=features)
    cells = Protected(_there(plant, project)).open(name, table.get_column(name).to_list())
    return list(zip(table.get_column("id").to_list(), cells, strict=True))
