"""The registry of features: views by name and version, with their code, on record in the ledger."""

from typing import Any

import msgspec

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import NotFound, Refused
from holdfast.core.feature import REGISTERED, STORED, FeatureView, Registration, ViewSpec, full_name, stream_of
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.schema import Signature, Use
from holdfast.lifecycle.feature_sources import versions
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project


def feature_list(plant: Plant) -> Reply:
    """List every feature that the project declares: of views, and the data set's own columns and transforms."""
    project = current_project(plant)
    rows = [*_own(project), *(row for name in _names(plant, project) for row in _of_view(plant, project, name))]
    table = Table(
        title="Features",
        columns=("feature", "type", "code", "owner", "version", "registered", "used"),
        rows=[
            (
                row["feature"],
                row["type"],
                row["code"],
                row["owner"],
                str(row["version"]),
                row["registered"],
                "yes" if row["used"] else "",
            )
            for row in rows
        ],
    )
    waiting = sorted({row["feature"].partition(".")[0] for row in rows if row["registered"] == "no"})
    says = f"{counted(len(rows), 'feature')}."
    if waiting:
        says += f" Not registered as declared, and so of no use in training: {', '.join(waiting)}."
    return Reply(says=says, document={"features": rows}, tables=(table,))


def register(plant: Plant, *, view: str, reason: str) -> Reply:
    """Put a view of the project file into the registry, as its next version.

    Raises:
        NotFound: The project declares no such view.
        InvalidInput: Its code is none of the language, or gives another type than it says.
        Refused: This very version is registered already.
    """
    from holdfast.engines.events import compile_view

    check_reason(reason)
    declared = declared_view(current_project(plant), view)
    compile_view(view, declared)
    known = versions(plant, view)
    if known and known[-1].view.spec == declared:
        raise Refused(f"{view} is registered as it is: version {known[-1].view.version}", place=stream_of(view))
    same = bool(known) and known[-1].view.digest == declared.digest
    number = known[-1].view.version + (0 if same else 1) if known else 1
    spec = ViewSpec(name=view, version=number, digest=declared.digest, spec=declared)
    body = msgspec.to_builtins(spec)
    plant.ledger.append([Draft(kind=REGISTERED, actor=plant.actor, stream=stream_of(view), body=body)])
    words = "with other words about it, and the same code" if same else "by its code"
    says = f"{view} is registered: version {number} ({short(declared.digest)}), {words}."
    document = {"view": view, "version": number, "digest": declared.digest, "features": list(declared.features)}
    return Reply(says=says, document=document)


def show(plant: Plant, *, view: str) -> Reply:
    """Show a view: its versions, its code, what lies online, and which releases were made with it.

    Raises:
        NotFound: There is no such view, declared or registered.
    """
    known = versions(plant, view)
    project = current_project(plant)
    declared = project.features.views.get(view)
    if not known and declared is None:
        raise NotFound(f"there is no feature view {view[:80]!r}", remedy="List them: holdfast feature list")
    spec = declared or known[-1].view.spec
    code = [(name, each.type, each.code, each.description) for name, each in spec.features.items()]
    listed = [
        (str(each.view.version), short(each.view.digest), each.actor, each.time.isoformat(timespec="seconds"))
        for each in known
    ]
    stored = [
        entry.body | {"time": entry.time} for entry in plant.ledger.stream(stream_of(view)) if entry.kind == STORED
    ]
    online = [
        (short(each["version"]), short(each["source"]), str(each["entities"]), str(each["events"]), each["time"])
        for each in stored[-10:]
    ]
    releases = used_in(plant, [each.view.digest for each in known])
    made = [(short(release), short(digest)) for release, digest in releases]
    tables = (
        Table(title="Features", columns=("feature", "type", "code", "about"), rows=code),
        Table(title="Versions", columns=("version", "digest", "registered by", "at"), rows=listed),
        Table(title="Materialised", columns=("version", "source", "entities", "events", "at"), rows=online),
        Table(title="Releases made with it", columns=("release", "version"), rows=made),
    )
    document = {
        "view": view,
        "declared": msgspec.to_builtins(spec),
        "versions": [{"version": each.view.version, "digest": each.view.digest, "actor": each.actor} for each in known],
        "materialised": stored,
        "releases": [{"release": release, "version": digest} for release, digest in releases],
    }
    says = f"{view}: {spec.description} ({spec.owner}); of {spec.source}, fresh within {spec.fresh}."
    return Reply(says=says, document=document, tables=[table for table in tables if table.rows])


def declared_view(project: Project, name: str) -> FeatureView:
    """Return a view that the project declares.

    Raises:
        NotFound: It declares none of this name.
    """
    found = project.features.views.get(name)
    if found is None:
        remedy = f"Declare it: [features.views.{name[:40]}] in holdfast.toml."
        raise NotFound(f"the project declares no feature view {name[:80]!r}", place="holdfast.toml", remedy=remedy)
    return found


def used_in(plant: Plant, digests: list[str]) -> list[tuple[str, str]]:
    """Return the releases that were made with some versions of a view, each with the version, newest last."""
    wanted, found = set(digests), dict[str, str]()
    for entry in plant.ledger.entries():
        if entry.kind == "stage.finished" and entry.body["stage"] == "release":
            release = next(each["digest"] for each in entry.body["artifacts"] if each["kind"] == Kind.RELEASE)
            for digest in sorted(_views_of(plant, release) & wanted):
                found[release] = digest
    return list(found.items())


def _views_of(plant: Plant, release: str) -> set[str]:
    """Return the versions of views that a release's signature names."""
    folder = parse_manifest(plant.blobs.get(Digest(release)))
    name = next((each.path for each in folder.files if each.path.endswith("signature.json")), "")
    if not name:
        return set()
    signature = msgspec.json.decode(plant.blobs.get(Digest(folder.file(name).digest)), type=Signature)
    return {each.online.version for each in signature.inputs if each.online is not msgspec.UNSET}


def _names(plant: Plant, project: Project) -> list[str]:
    """Return the views that are declared, or were registered."""
    known = {entry.stream.partition("/")[2] for entry in plant.ledger.entries() if entry.kind == REGISTERED}
    return sorted(known | project.features.views.keys())


def _of_view(plant: Plant, project: Project, name: str) -> list[dict[str, Any]]:
    known = versions(plant, name)
    declared = project.features.views.get(name)
    spec = declared or known[-1].view.spec
    newest: Registration | None = known[-1] if known else None
    is_it = newest is not None and newest.view.digest == spec.digest
    return [
        {
            "feature": full_name(name, feature),
            "type": each.type,
            "code": each.code,
            "owner": spec.owner,
            "version": newest.view.version if newest is not None and is_it else "",
            "registered": ("yes" if is_it else "no") if declared is not None else "yes, declared no more",
            "used": full_name(name, feature) in project.features.use,
        }
        for feature, each in spec.features.items()
    ]


def _own(project: Project) -> list[dict[str, Any]]:
    """Return the features that are columns of the data set, or transforms of them: the project file registers these."""
    owner, used = project.project.owner, set(project.feature_columns)
    columns = [
        (name, str(project.data.columns[name].type), "column", name in used) for name in project.columns_of(Use.FEATURE)
    ]
    derived = [
        (each.name, "float", f"{each.transform}({', '.join(each.of)})", True) for each in project.features.transforms
    ]
    hashed = [
        (name, f"{each.buckets} floats", f"hashed {each.grams} of {each.shortest} to {each.longest}", True)
        for name, each in project.features.texts.items()
    ]
    return [
        {"feature": name, "type": sort, "code": code, "owner": owner, "version": "", "registered": "by the project",
         "used": is_used}
        for name, sort, code, is_used in (*columns, *derived, *hashed)
    ]  # fmt: skip
