"""Which code, data, model, configuration and infrastructure a release is exactly, and what differs between two.

Everything is read from verified blobs and from evidence that the release key has sealed; nothing is guessed from the
working folder.
"""

import json
from typing import Any

import msgspec

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import NotVerified
from holdfast.core.evidence import Evidence
from holdfast.core.project import Project
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.registry_record import record_of
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project, project_of
from holdfast.registry import Record
from holdfast.registry.versions import KINDS, Versions, differences, leaves, missing

EXACT = "release.version/1"


def versions_of(plant: Plant, release: Digest, record: Record | None = None) -> Versions:
    """Return the five kinds of versions of a release.

    Raises:
        NotVerified: The release is not exact about all five, or a stored document was changed.
        NotFound: The ledger knows no such release, or a blob is gone.
    """
    project = project_of(plant, release)
    known = record or record_of(plant, project.project.name, release)
    exact = known.measured.get(EXACT)
    if exact is None:
        expected = f"evidence of {EXACT}; run the project again"
        raise NotVerified("nothing says what this release is exactly", place=release, expected=expected)
    found: Versions = {
        "code": _code(plant, project, exact),
        "data": _data(project, exact, known),
        "model": _model(plant, exact),
        "configuration": _configuration(project, exact),
        "infrastructure": _infrastructure(plant, exact),
    }
    lacking = missing(found)
    if lacking:
        raise NotVerified(
            f"this release is not exact: it has no {lacking[0]}", place=release, expected="all five kinds"
        )
    return found


def _code(plant: Plant, project: Project, exact: Evidence) -> dict[str, Any]:
    recipe = exact.facts["recipe"]
    if not recipe:  # of a model from outside: its code is at nobody's hand
        return {}
    files = parse_manifest(plant.blobs.get(Digest(recipe))).files
    return {
        "recipe": recipe,
        "function": project.train.recipe,
        "files": {file.path: file.digest for file in files},
        "commit": exact.facts.get("commit", ""),
    }


def _data(project: Project, exact: Evidence, record: Record) -> dict[str, Any]:
    """Return checksums and lineage of the data, and the declared columns."""
    facts = exact.facts
    contract = record.measured.get("ingest.contract/1")
    rows = {measure.name: measure.value for measure in contract.measures} if contract else {}
    data = project.data
    return {
        "source": facts["source"],
        "dataset": facts["dataset"],
        "features": facts["features"],
        "split": facts["split"],
        "lineage": ["source", "dataset", "features", "split"],
        "origin": data.origin,
        "licence": data.licence,
        "columns": {name: msgspec.to_builtins(column) for name, column in data.columns.items()},
        "measured": rows,
    }


def _model(plant: Plant, exact: Evidence) -> dict[str, Any]:
    model = exact.facts["model"]
    files = parse_manifest(plant.blobs.get(Digest(model))).files
    return {"model": model, "files": {file.path: file.digest for file in files}}


def _configuration(project: Project, exact: Evidence) -> dict[str, Any]:
    """Return the project but its data, which is a kind of its own."""
    said = msgspec.to_builtins(project)
    return {"document": exact.facts["project"]} | {key: value for key, value in said.items() if key != "data"}


def _infrastructure(plant: Plant, exact: Evidence) -> dict[str, Any]:
    environment = exact.facts["environment"]
    said = json.loads(plant.blobs.get(Digest(environment))) if environment else {}
    return {
        "environment": environment,
        "holdfast": exact.facts["holdfast"],
        "sandbox": exact.facts["tier"],
        **{key: said[key] for key in sorted(said)},
    }


def versions(plant: Plant, *, release: str | None = None) -> Reply:
    """Say which code, data, model, configuration and infrastructure a release is exactly.

    Raises:
        NotVerified: It is not exact about all five.
    """
    project = current_project(plant)
    subject = meant(plant, project, release)
    found = versions_of(plant, subject)
    rows = [(kind, path, _shown(value)) for kind in KINDS for path, value in leaves(found[kind]) if value != ""]
    table = Table(title="Versions", columns=("kind", "what", "version"), rows=rows)
    says = f"Release {short(subject)} is exact about all {len(KINDS)} kinds."
    return Reply(says=says, document={"release": subject, "versions": found}, tables=(table,))


def diff(plant: Plant, *, before: str, after: str) -> Reply:
    """Show every difference between two releases over the five kinds.

    Raises:
        NotVerified: One of them is not exact about all five.
    """
    project = current_project(plant)
    one, other = meant(plant, project, before), meant(plant, project, after)
    found = differences(versions_of(plant, one), versions_of(plant, other))
    counts = {kind: sum(1 for item in found if item.kind == kind) for kind in KINDS}
    rows = [(item.kind, item.path, _shown(item.before), _shown(item.after)) for item in found]
    told = ", ".join(f"{count} of {kind}" for kind, count in counts.items() if count)
    says = (
        f"{counted(len(found), 'difference')}: {told}." if found else "The two releases are the same in all five kinds."
    )
    listed = [{"kind": item.kind, "path": item.path, "before": item.before, "after": item.after} for item in found]
    document = {"before": one, "after": other, "differences": listed, "counts": counts}
    table = Table(title="Differences", columns=("kind", "what", short(one), short(other)), rows=rows)
    return Reply(says=says, document=document, tables=(table,))


def _shown(value: object) -> str:
    if value is None:
        return "—"
    text = str(value)
    return short(text) if text.startswith("sha256:") else text[:80]
