"""Rollback to a named release: its model by a route table, its files into a folder from which the next run starts.

Files are never overwritten in silence: they go into a new folder, or into the project's where a person says `--force`.
"""

import json
from pathlib import Path, PurePosixPath
from typing import Final

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import Conflict, Unavailable, UsageError
from holdfast.core.ledger import Draft
from holdfast.core.policy import Action
from holdfast.core.project import Project
from holdfast.core.sources import named_in
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import authorize
from holdfast.lifecycle.promotion import rollback as rollback_one
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.registry_versions import versions_of
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import commit, current_project, draw, project_of
from holdfast.registry import returned_to
from holdfast.registry.versions import KINDS

RETURNED: Final = "versions.returned"


def rollback(
    plant: Plant,
    *,
    model: str | None = None,
    reason: str,
    to: str | None = None,
    kind: str = "model",
    into: Path | None = None,
    force: bool = False,
) -> Reply:
    """Go back: to the release before this one, or to a named earlier one, with its model or with its files.

    Raises:
        UsageError: There is no such kind, or the options do not go together.
        Conflict: Nothing is in production, the release never was, or files stand in the way.
        PolicyDenied: The named release may not serve any more.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind {kind[:80]!r}", expected=", ".join(KINDS))
    if kind == "model":
        if into is not None or force:
            raise UsageError("--into and --force are about files", expected="a kind other than model")
        return rollback_one(plant, model=model, reason=reason) if to is None else _route(plant, to, reason)
    if to is None:
        raise UsageError("files go back to a named release", expected="--to RELEASE")
    return _write(plant, to, kind, reason, into, force=force)


def _route(plant: Plant, to: str, reason: str) -> Reply:
    """Put a named earlier release back into production, decided upon anew under the rollback's rules."""
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    subject = meant(plant, project, to)
    with plant.ledger.lease("route"):
        now = standing(plant, project)
        after = returned_to(now, subject)
        authorize(plant, project, subject, "rollback", reason)
        drawn = draw(plant, project, after, subject=subject, action=Action.ROLLBACK)
        gone = [digest for digest in now.releases if digest != subject]
        owner, body = project.project.owner, {"reason": reason}
        why = tuple(Draft(kind="release.returned", actor=owner, stream=digest, body=body) for digest in gone)
        commit(plant, project, drawn, because=why)
    says = f"Release {short(subject)} answers again; {', '.join(map(short, gone))} is out of production."
    return Reply(says=says, document={"withdrawn": now.baseline, "serving": subject})


def _write(plant: Plant, to: str, kind: str, reason: str, into: Path | None, *, force: bool) -> Reply:
    """Write the files of one kind, as they were when the release was made."""
    check_reason(reason)
    project = current_project(plant)
    subject = meant(plant, project, to)
    files = _files(plant, subject, project_of(plant, subject), kind)
    folder = plant.home.root if force else into or plant.home.root / f"rollback-{short(subject)}"
    taken = [path for path in files if (folder / path).exists()]
    if taken and not force:
        remedy = "Name a new folder with --into, or say --force to write into the project's folder."
        raise Conflict(f"{taken[0]!r} is there already", place=str(folder), remedy=remedy)
    body = {"kind": kind, "reason": reason, "files": dict(files), "forced": force}
    plant.ledger.append([Draft(kind=RETURNED, actor=plant.person, stream=f"returns/{subject}", body=body)])
    try:
        for path, digest in files.items():
            _replace(folder / path, plant.blobs.get(digest))
    except OSError as error:
        raise Unavailable(f"the files cannot be written: {error.strerror}", place=str(folder)) from error
    table = Table(title="Files", columns=("file", "digest"), rows=[(path, short(one)) for path, one in files.items()])
    says = f"The {kind} of release {short(subject)} is in {folder}; `holdfast run` there starts from it."
    document = {"release": subject, "kind": kind, "into": str(folder), "files": dict(files)}
    return Reply(says=says, document=document, tables=(table,))


def _replace(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.holdfast")
    temporary.write_bytes(data)
    temporary.replace(path)


def _files(plant: Plant, release: Digest, project: Project, kind: str) -> dict[str, Digest]:
    """Return the files of one kind by their path in the project's folder."""
    exact = versions_of(plant, release)[kind]
    if kind == "code":
        named = PurePosixPath(project.train.recipe.partition(":")[0]).parent
        listed = parse_manifest(plant.blobs.get(Digest(exact["recipe"]))).files
        return {str(named / file.path): Digest(file.digest) for file in listed}
    if kind == "data":
        merged = "rows.parquet" if named_in(project.data.source) else project.data.source
        return {merged: Digest(exact["source"])}
    if kind == "configuration":
        return {"holdfast.toml": Digest(exact["document"])}
    environment = Digest(exact["environment"])
    packages = json.loads(plant.blobs.get(environment))["packages"]
    pins = "".join(f"{name}=={version}\n" for name, version in sorted(packages.items()))
    return {"environment.json": environment, "requirements.txt": plant.blobs.put(pins.encode())}
