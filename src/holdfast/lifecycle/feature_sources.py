"""The views that a run uses: registered versions only, with the rows of their sources, as one recorded artifact."""

from holdfast.core.artifact import Artifact, Digest, File, Kind, canonical, manifest
from holdfast.core.errors import InvalidData, Refused
from holdfast.core.feature import REGISTERED, FeatureView, Registration, ViewSpec, stream_of
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.lifecycle.inputs import inside, take_rows
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import short


def take_views(plant: Plant, project: Project) -> tuple[Artifact, list[Draft]]:
    """Store the registered views that a project uses and their sources; return the folder and what is to be recorded.

    Raises:
        Refused: A view is not registered, or is another one than the registered.
        InvalidProject: A source is not there, or lies outside the project.
    """
    files: list[File] = []
    sources: list[Artifact] = []
    for name in dict.fromkeys(each.partition(".")[0] for each in project.features.use):
        spec = registered(plant, name, project.features.views[name])
        document = canonical(spec)
        files.append(File(path=f"{name}.json", digest=plant.blobs.put(document), size=len(document)))
        source = take_source(plant, name, spec.spec)
        files.append(File(path=f"{name}.source", digest=source.digest, size=source.size))
        sources.append(source)
    folder = manifest(files)
    views = Artifact(kind=Kind.VIEWS, digest=plant.blobs.put_document(folder.document), size=folder.size)
    records = [plant.recording(source, (), "owner") for source in dict.fromkeys(sources)]
    records.append(plant.recording(views, tuple(dict.fromkeys(sources)), "owner"))
    return views, [draft for draft in records if draft is not None]


def take_source(plant: Plant, name: str, view: FeatureView) -> Artifact:
    """Store the rows of a view's source under a data key of their own.

    Raises:
        InvalidData: It is not there, or lies outside the project.
    """
    path = inside(plant.home.root, view.source, f"features.views.{name}.source", InvalidData)
    digest, size = take_rows(plant, path)
    return Artifact(kind=Kind.SOURCE, digest=digest, size=size)


def versions(plant: Plant, name: str) -> tuple[Registration, ...]:
    """Return the registered versions of a view, oldest first."""
    import msgspec

    return tuple(
        Registration(view=msgspec.convert(entry.body, ViewSpec), time=entry.moment, actor=entry.actor)
        for entry in plant.ledger.stream(stream_of(name))
        if entry.kind == REGISTERED
    )


def registered(plant: Plant, name: str, declared: FeatureView) -> ViewSpec:
    """Return the registered version that a declaration is.

    Raises:
        Refused: It was never registered, or the newest version is another one.
    """
    known = versions(plant, name)
    remedy = f"Register it: holdfast feature register {name} --reason …"
    if not known:
        raise Refused(f"the feature view {name} is not registered", place="[features].use", remedy=remedy)
    newest = known[-1].view
    if newest.digest != declared.digest:
        words = f"the feature view {name} is not version {newest.version} that is registered ({short(newest.digest)})"
        raise Refused(words, place=f"[features.views.{name}]", remedy=remedy)
    return ViewSpec(name=name, version=newest.version, digest=Digest(newest.digest), spec=declared)
