"""Provenance records: where a version's rows come from, what was done to them, who had them, and what vouches for it.

Nothing of a record is stored as such: it follows from the ledger and from verified evidence each time it is asked for.
What is missing is named, and training refuses a data set of which anything is.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError, NotVerified
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.ledger import Entry
from holdfast.core.passport import FILED, RECORDED
from holdfast.core.project import Project, parse_project
from holdfast.core.seal import EVIDENCE
from holdfast.core.sensitivity import of_columns, of_dataset
from holdfast.core.versions import ancestry
from holdfast.lifecycle.decided import listed_of
from holdfast.lifecycle.inputs import rows_key
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.signing import DATASET_SIGNED, check_signed
from holdfast.lifecycle.source_state import MERGED
from holdfast.lifecycle.versions import Version, named_of, opened, readable, version_of

PROVENANCE: Final = "ingest.provenance/1"
OUTLIERS: Final = "ingest.outliers/1"
OWED: Final = ("origin", "licence", "source", "signature", "derivation")
"""What a provenance record must say; one that lacks any of it is no record."""


def data_show(plant: Plant, *, version: str = "main") -> Reply:
    """Show a version's provenance record: origin, history, custody, licence, hashes, and what its columns are.

    Raises:
        NotFound: There is no such version.
        NotVerified: The commit on record is not signed by whoever may sign it.
    """
    at = version_of(plant, version)
    record = record_of(plant, at)
    said = [
        (name, _shown(record[name]))
        for name in ("owner", "sensitivity", "rows", "tags", *OWED, "custody", "hashes", "contract", "outliers")
    ]
    columns = [
        (each["name"], each["type"], each["use"], each["sensitivity"], each["description"])
        for each in record["columns"]
    ]
    sent = [tuple(map(str, each.values())) for each in record["sources"]]
    sources = Table(title="Sources", columns=("source", "identity", "rows", "batches", "last arrival"), rows=sent)
    history = [(each["version"], each["time"][:19], each["author"], each["message"]) for each in record["history"]]
    lacks = f"it lacks {', '.join(record['lacks'])}" if record["lacks"] else "it lacks nothing"
    decided = [(e["time"][:19], str(e["row"]), e["column"], e["action"], e["by"], e["reason"])
               for e in record["decisions"]]  # fmt: skip
    says = f"{at.commit.name} {at.short}: {counted(at.commit.rows, 'row')}, {lacks}."
    says += f" {changed}" if (changed := record["contract"].get("changed")) else ""
    says += (
        f" {counted(len(decided), 'value that lay out was', 'values that lay out were')} decided." if decided else ""
    )
    return Reply(
        says=says,
        document=record,
        tables=(
            *([Table(title="Decisions", columns=_DECISION, rows=decided)] if decided else []),
            Table(title="Provenance", columns=("what", "says"), rows=said),
            *((sources,) if sent else ()),
            Table(title="History", columns=("version", "when", "author", "message"), rows=history),
            Table(title="Columns", columns=("name", "type", "use", "sensitivity", "description"), rows=columns),
        ),
    )


_DECISION: Final = ("when", "row", "column", "decision", "by", "because")


def _contract(plant: Plant, project: Project | None, at: Version) -> dict[str, str]:
    """Return which contract a version was checked against, by the digest of its file, and whether it was another."""
    against = project.data.checked_against if project else {}
    found = {"file": ", ".join(against), "digest": ", ".join(against.values())} if against else {}
    for parent in at.commit.parents[:1]:
        before = project_by(plant, version_of(plant, f"{at.commit.name}@{parent}").commit.project)
        was = before.data.checked_against if before else against
        if was != against:
            old, new = (", ".join(map(short, each.values())) or "none" for each in (was, against))
            found["changed"] = f"The contract changed since the version before: from {old} to {new}."
    return found


def _outliers(plant: Plant, dataset: str) -> dict[str, int]:
    """Return what triage counted in a data set, by sealed evidence; nothing where it was not declared."""
    evidence = _newest(plant, dataset, OUTLIERS)
    measured = evidence is not None and evidence.outcome is Outcome.MEASURED
    return {each.name: int(each.value) for each in evidence.measures} if evidence is not None and measured else {}


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key} {_shown(each)}" for key, each in value.items() if each not in ("", ()))
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    text = str(value)
    return short(text) if text.startswith("sha256:") else text


def record_of(plant: Plant, at: Version) -> dict[str, Any]:
    """Return a version's provenance record as a document, with what it lacks."""
    commit, named = at.commit, named_of(plant, at.commit.name)
    project = project_by(plant, commit.project)
    origin, lacks = vouched(plant, commit.dataset)
    line = [opened(plant, named, digest) for digest in ancestry(named, at.digest)]
    taken, merged = plant.last(commit.source, RECORDED), plant.last(commit.source, MERGED)
    record: dict[str, Any] = {
        "data": commit.name,
        "version": at.digest,
        "names": list(named.names_of(at.digest)),
        "tags": [tag for tag, digest in named.tags.items() if digest == at.digest],
        "owner": project.project.owner if project else "",
        "sensitivity": of_dataset(project).value if project else "",
        "rows": commit.rows,
        **origin,
        "custody": {
            "committed by": commit.author,
            "taken in": taken.time[:19] if taken else "",
            "under the key": short(rows_key(commit.source).removeprefix("rows ")),
            "state": "readable" if readable(plant, commit) else "erased",
        },
        "sources": [_sent(each) for each in merged.body["sources"]] if merged else [],
        "hashes": {"dataset": commit.dataset, "root": commit.root[:12], "source": commit.source},
        "columns": _columns(project),
        "lacks": lacks,
    }
    record["contract"] = _contract(plant, project, at)
    record["outliers"] = _outliers(plant, commit.dataset)
    record["decisions"] = [
        {"row": each.row, "column": each.column, "action": each.action, "by": each.by, "reason": each.reason,
         "time": each.time}
        for each in listed_of(plant, project)
    ]  # fmt: skip
    record["history"] = [
        {"version": each.short, "time": each.entry.time, "author": each.commit.author, "message": each.commit.message}
        for each in line
    ]
    return record


def _sent(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: said[name] for name in ("source", "identity", "rows", "batches", "last_arrival")}


def vouched(plant: Plant, dataset: str) -> tuple[dict[str, Any], list[str]]:
    """Return what sealed evidence and signatures say of where a data set comes from, and what of that is missing.

    Its origin and licence are those that the newest provenance evidence measured; its signature is by the role that
    makes data sets; its derivation leads to a source on record.
    """
    evidence = _newest(plant, dataset)
    facts = evidence.facts if evidence is not None and evidence.outcome is Outcome.MEASURED else {}
    recorded = plant.last(dataset, RECORDED)
    parents = {each["kind"]: str(each["digest"]) for each in recorded.body["parents"]} if recorded else {}
    source = parents.get(Kind.SOURCE, "")
    derived = bool(source) and facts.get("source") == source and plant.last(source, RECORDED) is not None
    said = {
        "origin": facts.get("origin", ""),
        "licence": facts.get("licence", ""),
        "source": facts.get("source", ""),
        "signature": _signature(plant, dataset),
        "derivation": f"from {short(source)} by project {short(parents.get(Kind.PROJECT, ''))}" if derived else "",
    }
    return said, [name for name in OWED if not said[name].strip()]


def check_provenance(plant: Plant, dataset: str) -> None:
    """Refuse a data set without a provenance record, before anything is learned from it.

    Raises:
        NotVerified: Its record lacks something.
    """
    _, lacks = vouched(plant, dataset)
    if lacks:
        words = f"the data set has no provenance record: {', '.join(lacks)} missing or not verified"
        remedy = "Declare origin and licence in [data], and run again."
        raise NotVerified(
            words, place=dataset, expected="origin, licence, source, signature, derivation", remedy=remedy
        )


def _signature(plant: Plant, dataset: str) -> str:
    try:
        folder = parse_manifest(plant.blobs.get(Digest(dataset)))
        return check_signed(plant, Digest(dataset), folder, DATASET_SIGNED).keyid[:12]
    except HoldfastError:
        return ""


def _newest(plant: Plant, dataset: str, control: str = PROVENANCE) -> Evidence | None:
    """Return the newest evidence of a control on a data set that verifies; None where the newest does not."""
    entry: Entry | None = next(
        (
            each
            for each in reversed(plant.ledger.stream(dataset))
            if each.kind == FILED and each.body["control"] == control
        ),
        None,
    )
    if entry is None:
        return None
    try:
        return plant.believe(Digest(entry.body["envelope"]), EVIDENCE, at=entry.moment, stream=dataset).value
    except HoldfastError:
        return None


def project_by(plant: Plant, digest: str) -> Project | None:
    """Return the project of a document on record; None where it is not there or cannot be read."""
    try:
        return parse_project(plant.blobs.get(Digest(digest)))[0]
    except HoldfastError:
        return None


def _columns(project: Project | None) -> list[dict[str, str]]:
    if project is None:
        return []
    classes = of_columns(project)
    return [
        {
            "name": name,
            "type": column.type.value,
            "use": column.use.value,
            "sensitivity": classes[name].value,
            "description": column.description,
            "unit": str(msgspec.to_builtins(column.unit)),
        }
        for name, column in project.data.columns.items()
    ]
