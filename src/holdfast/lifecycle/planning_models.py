"""The inventory of a plant: what the ledger and the project say there is, and what is seen to answer calls.

Four things show what answers: the signed route table, the folder that gateways read, their telemetry, and servers that
are asked. Whatever one of them shows and the list lacks is reported.
"""

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.artifact import Digest
from holdfast.core.errors import HoldfastError, InvalidInput
from holdfast.core.ledger import Entry
from holdfast.core.project import Project, parse_project
from holdfast.core.routes import RouteTable
from holdfast.core.seal import MAX_ENVELOPE, Envelope, Statement
from holdfast.core.sensitivity import of_model
from holdfast.core.telemetry import DRAINED
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import newest_release
from holdfast.lifecycle.publishing import ROUTED, published_routes, standing, standing_of
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.plan.inventory import Answering, Listed, unlisted
from holdfast.plan.lines import State

MAX_DEPTH: Final = 4  # folders below the one that is searched for workspaces
MAX_KEY: Final = 4096  # bytes of a file with an API key
WORKSPACE: Final = ".holdfast"


def models(plant: Plant) -> Reply:
    """List every model of this workspace, and what answers in it without being on the list."""
    return take_stock(plant)


def take_stock(
    plant: Plant,
    *,
    beside: Sequence[Callable[[], AbstractContextManager[Plant]]] = (),
    servers: Sequence[str] = (),
    ask: Callable[[str, Sequence[str]], Sequence[tuple[str, str]]] | None = None,
) -> Reply:
    """List every model with owner, sensitivity, exposure, stakes, stage and version, and what answers unlisted.

    Args:
        plant: The control plane.
        beside: Opens each other workspace that is to be listed too.
        servers: Addresses to ask what they answer for.
        ask: Asks one of them: its address, and the names to ask for one by one.

    Raises:
        InvalidInput: An address is none.
    """
    listed, answering, broken = [*listed_in(plant)], [*answering_in(plant)], list[tuple[str, str]]()
    for open_other in beside:
        try:
            with open_other() as other:
                listed += listed_in(other)
                answering += answering_in(other)
        except HoldfastError as error:
            broken.append((error.place, error.message))
    for url in servers if ask is not None else ():
        try:
            told = ask(url, [model.model for model in listed]) if ask is not None else ()
        except InvalidInput:
            raise
        except HoldfastError as error:
            broken.append((url, error.message))
            continue
        answering += [Answering(model=name, version=version, shown_by=url) for name, version in told]
        answering += [] if told else [Answering(model="", version="", shown_by=url)]
    return _reply(listed, answering, broken)


def inventory_state(plant: Plant) -> State:
    """Return whether every model that is seen to answer is on the list, and each on the list has an owner."""
    listed, missing = listed_in(plant), unlisted(listed_in(plant), answering_in(plant))
    if missing:
        return State(on=False, fact=f"{missing[0][0].shown_by}: {missing[0][1]}")
    return State(on=True, fact=f"{len(listed)} models listed with owner; nothing else is seen to answer")


def listed_in(plant: Plant) -> tuple[Listed, ...]:
    """Return the models of a workspace: the project's, and every other that its ledger has runs of."""
    project = current_project(plant)
    found = [_listed(plant, project)]
    names = {entry.stream.removeprefix("project/") for entry in plant.ledger.entries() if _is_run(entry)}
    for name in sorted(names - {project.project.name}):
        earlier = _project_named(plant, name)
        if earlier is not None:
            found.append(_listed(plant, earlier))
    return tuple(found)


def _is_run(entry: Entry) -> bool:
    return entry.kind == "stage.started" and entry.stream.startswith("project/")


def _project_named(plant: Plant, name: str) -> Project | None:
    """Return the newest project file of this name that a run was made from."""
    for entry in reversed(plant.ledger.stream(f"project/{name}")):
        digest = entry.body.get("inputs", {}).get("project") if entry.kind == "stage.started" else None
        if digest:
            return parse_project(plant.blobs.get(Digest(digest)))[0]
    return None


def _listed(plant: Plant, project: Project) -> Listed:
    endpoint = plant.last(f"endpoint/production/{project.project.name}", ROUTED)
    now = standing_of(endpoint.body) if endpoint else standing_of({"standing": {}})
    newest = newest_release(plant, project) or ""
    if now.baseline:
        stage, version = ("production with canary" if now.candidate else "production"), now.baseline
    elif endpoint is not None:
        stage, version = "withdrawn", newest
    else:
        stage, version = ("released" if newest else "planned"), newest
    return Listed(
        model=project.project.name,
        owner=project.project.owner,
        sensitivity=of_model(project).value,
        exposure=project.risk.exposure,
        stakes=project.risk.stakes,
        stage=stage,
        version=version,
        workspace=plant.trust.workspace,
        serving=now.releases,
    )


def answering_in(plant: Plant) -> tuple[Answering, ...]:
    """Return what is seen to answer in a workspace, by its published folder and its gateway's newest telemetry."""
    return (*_published(plant), *_told(plant))


def _published(plant: Plant) -> Iterator[Answering]:
    """Yield what the gateway's folder says it serves, whoever wrote it: it is compared with the list, not believed."""
    try:
        document = published_routes(plant)
    except HoldfastError:
        return  # nothing was ever published
    try:
        envelope = msgspec.json.decode(document[:MAX_ENVELOPE], type=Envelope)
        statement = msgspec.json.decode(base64.b64decode(envelope.payload), type=Statement)
        table = msgspec.json.decode(statement.predicate, type=RouteTable)
    except (ValueError, RecursionError):
        yield Answering(model="", version="", shown_by="the published folder, whose route table cannot be read")
        return
    for model in table.models:
        for release in (model.baseline, model.candidate or ""):
            if release:
                yield Answering(model=model.name, version=release, shown_by="the published folder")


def _told(plant: Plant) -> Iterator[Answering]:
    """Yield each release that telemetry tells of since the newest routing: what came before answered rightly then."""
    project = current_project(plant)
    since = plant.last(f"endpoint/production/{project.project.name}", ROUTED)
    known = set(standing(plant, project).releases) if since else set()
    releases = {
        str(entry.body["release"])
        for entry in plant.ledger.entries(since.position if since else 0)
        if entry.kind == DRAINED and entry.body["release"]
    }
    for release in sorted(releases - known - _earlier(plant, project)):
        yield Answering(model="", version=release, shown_by="telemetry of the gateway")


def _earlier(plant: Plant, project: Project) -> set[str]:
    """Return what was in production before: a statement about it may arrive late."""
    stream = plant.ledger.stream(f"endpoint/production/{project.project.name}")
    return {release for entry in stream if entry.kind == ROUTED for release in standing_of(entry.body).releases}


def read_key(path: Path) -> str:
    """Return the API key in a file.

    Raises:
        InvalidInput: It cannot be read.
    """
    return read_given(path, limit=MAX_KEY, what="the API key").decode(errors="replace").strip()


def find_workspaces(under: Path) -> list[Path]:
    """Return the folders with a workspace below one, not deeper than `MAX_DEPTH`; no link is followed."""
    found, level = list[Path](), [under.resolve()]
    for _ in range(MAX_DEPTH + 1):
        below: list[Path] = []
        for folder in level:
            if (folder / WORKSPACE).is_dir():
                found.append(folder)
            try:
                inside = sorted(folder.iterdir())
            except OSError:
                continue  # a folder that may not be read holds no workspace of ours
            below += [path for path in inside if path.is_dir() and not path.is_symlink() and path.name[0] != "."]
        level = below
    return found


def _reply(listed: list[Listed], answering: list[Answering], broken: list[tuple[str, str]]) -> Reply:
    missing = unlisted(listed, answering)
    columns = ("model", "owner", "sensitivity", "exposure", "stakes", "stage", "version")
    rows = [(m.model, m.owner, m.sensitivity, m.exposure, m.stakes, m.stage, short(m.version)) for m in listed]
    tables = [Table(title="Models", columns=columns, rows=rows)]
    if missing:
        shown = [(each.shown_by, each.model, short(each.version), why) for each, why in missing]
        tables.append(
            Table(title="Answers, and is not listed", columns=("shown by", "model", "version", "why"), rows=shown)
        )
    if broken:
        tables.append(Table(title="Could not be looked at", columns=("where", "why"), rows=broken))
    document = {
        "models": [model.document() for model in listed],
        "unlisted": [
            {"model": each.model, "version": each.version, "shown_by": each.shown_by, "why": why}
            for each, why in missing
        ],
        "not_looked_at": [{"where": where, "why": why} for where, why in broken],
    }
    others = counted(len(missing), "that answers is", "that answer are")
    says = f"{counted(len(listed), 'model')}; {others} not on the list."
    says += f" {counted(len(broken), 'place')} could not be looked at." if broken else ""
    return Reply(says=says, document=document, tables=tables, exit_code=1 if missing else 0)
