"""OpenLineage events (RunEvent of specification 2-0-2) of every stage that ran, for catalogues that read that standard.

Made from the ledger and from verified evidence alone: names, digests, columns, owners and counts, never a value of a
row. Each run has a START and a COMPLETE or FAIL; the same history gives the same events, so that telling them twice
changes nothing for a reader who knows runs by their id.
"""

import json
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast import __version__
from holdfast.core.artifact import Kind
from holdfast.core.errors import HoldfastError, InvalidInput, Unavailable
from holdfast.core.exposure import check_secure
from holdfast.core.ledger import Draft, Entry
from holdfast.core.passport import FILED
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.core.seal import EVIDENCE
from holdfast.core.text import bucket_name
from holdfast.lifecycle.data_record import project_by
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Progress, Reply, counted
from holdfast.lifecycle.runner import project_stream

TOLD: Final = "lineage.told"  # body: address, events; written before the first is sent
TAKEN: Final = "lineage.taken"  # body: address, of, until: the endpoint has all events of a stream up to there
STREAM: Final = "lineage"  # of both
_ENDPOINT: Final = "an OpenLineage endpoint"
PRODUCER: Final = f"https://holdfast.dev/{__version__}"
SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
FACETS: Final = "https://openlineage.io/spec/facets"
_TYPES: Final = {"stage.started": "START", "stage.finished": "COMPLETE", "stage.failed": "FAIL"}
_COUNTED: Final = {Kind.DATASET: ("ingest.contract/1", "rows_out"), Kind.FEATURES: ("features.view/1", "rows")}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """What the events of one run are about."""

    plant: Plant
    project: Project
    started: Entry


def data_events(plant: Plant, *, out: Path | None = None, url: str | None = None, since: int | None = None) -> Reply:
    """Write the events of every stage that ran as JSON lines, or tell them to an OpenLineage endpoint; or both.

    Args:
        plant: The control plane.
        out: The file to make.
        url: Where to send them, one POST each, in order; the address as the endpoint's manual has it.
        since: Only of what stands at this position of the ledger and later; what an address has not taken yet if left
            out, and for a file everything.

    Raises:
        InvalidInput: Neither is given, the file is there already, or the address is neither HTTPS nor this machine, or
            carries a credential.
        Unavailable: The endpoint does not take an event; those before it were told.
    """
    if (out is None and url is None) or (since is not None and since < 0):
        raise InvalidInput("nowhere to write the events", expected="--out or --url, and --since of at least 0")
    if out is not None and out.exists():
        raise InvalidInput("there is something already where the events would lie", place=str(out))
    if url is not None:
        check_secure(url, _ENDPOINT)  # before anything is written: an address may hold what belongs on no record
    begins = since if since is not None else 0 if url is None else _taken(plant, url, "")
    size = plant.ledger.size()
    events = list(events_of(plant, begins))
    if out is not None:
        try:
            out.write_text("".join(f"{json.dumps(each, ensure_ascii=False)}\n" for each in events), encoding="utf-8")
        except OSError as error:
            raise Unavailable(f"the events cannot be written: {error.strerror}", place=str(out)) from error
    if url is not None:
        _tell(plant, url, events)
        if begins <= _taken(plant, url, ""):
            _take(plant, url, "", size)
    where = " and ".join(str(each) for each in (out, url) if each is not None)
    says = f"{counted(len(events), 'event')} told to {where}; what comes later begins at --since {size}."
    return Reply(says=says, document={"events": len(events), "until": size})


def tell_run(plant: Plant, project: Project) -> None:
    """Tell what a project's runs have added to whoever is to be told by itself (`HOLDFAST_LINEAGE_URL`); or nobody.

    A catalogue that is away, or refuses, is no part of the way into production: the run goes on, and says so. What it
    has not taken, the next run tells again.
    """
    url, stream = plant.lineage_url, project_stream(project)
    if not url:
        return
    size = plant.ledger.size()
    try:
        check_secure(url, _ENDPOINT)
        events = list(events_of(plant, _taken(plant, url, stream), stream))
        if events:
            _tell(plant, url, events)
            _take(plant, url, stream, size)
    except HoldfastError as error:
        words = f"{error.message}; the next run tells its events again"
        plant.tell(Progress(stage="lineage", state="failed", words=words))
    else:
        plant.tell(Progress(stage="lineage", state="finished", words=f"{counted(len(events), 'event')} told"))


def _tell(plant: Plant, url: str, events: list[dict[str, Any]]) -> None:
    # On record first: who learns which data there are is to be found out, also of a telling that broke off.
    address = _address(url)
    body = {"address": address, "events": len(events)}
    plant.ledger.append([Draft(kind=TOLD, actor=plant.actor, stream=STREAM, body=body)])
    for number, event in enumerate(events):
        status, _ = plant.web.tell(url, json.dumps(event).encode())
        if not 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, 15.3: taken
            words = f"the endpoint answered {status} to event {number}"
            raise Unavailable(words, place=address, remedy="Look at its log; then tell them again.")


def _take(plant: Plant, url: str, stream: str, until: int) -> None:
    body = {"address": _address(url), "of": stream, "until": until}
    plant.ledger.append([Draft(kind=TAKEN, actor=plant.actor, stream=STREAM, body=body)])


def _taken(plant: Plant, url: str, stream: str) -> int:
    """Return the position of the ledger up to which an address has the events of a stream; "" is all of them."""
    address = _address(url)
    bodies = [entry.body for entry in plant.ledger.stream(STREAM) if entry.kind == TAKEN]
    mine = [int(body["until"]) for body in bodies if body["address"] == address and body["of"] in {"", stream}]
    return max(mine, default=0)


def _address(url: str) -> str:
    return url.partition("?")[0]


def events_of(plant: Plant, since: int = 0, stream: str | None = None) -> Iterator[dict[str, Any]]:
    """Yield the events of all runs on record, or of one project's stream, in the order in which they happened."""
    started: dict[str, Entry] = {}
    projects: dict[str, Project | None] = {}
    for entry in plant.ledger.entries() if stream is None else plant.ledger.stream(stream):
        if entry.kind not in _TYPES or not entry.stream.startswith("project/"):
            continue
        run = str(entry.body["run"])
        if entry.kind == "stage.started":
            started[run] = entry
        begun = started.get(run)
        if begun is None or entry.position < since:
            continue
        digest = str(begun.body["inputs"].get(Kind.PROJECT, ""))
        if digest not in projects:
            projects[digest] = project_by(plant, digest) if digest else _latest(plant, entry.stream)
        project = projects[digest]
        if project is not None and project_stream(project) == entry.stream:
            yield _event(_Job(plant=plant, project=project, started=begun), entry)


def _latest(plant: Plant, stream: str) -> Project | None:
    """Return the project of a stage that does not take it: the one that a stage of the same project took last."""
    for entry in reversed(plant.ledger.stream(stream)):
        if entry.kind == "stage.started" and Kind.PROJECT in entry.body["inputs"]:
            return project_by(plant, str(entry.body["inputs"][Kind.PROJECT]))
    return None


def _event(job: _Job, entry: Entry) -> dict[str, Any]:
    inputs = [_dataset(job, Kind(kind), digest) for kind, digest in sorted(job.started.body["inputs"].items())]
    outputs = [_dataset(job, Kind(each["kind"]), each["digest"], each) for each in entry.body.get("artifacts", ())]
    stage = str(entry.body["stage"])
    facets: dict[str, Any] = {}
    if entry.kind == "stage.failed":
        message = {"message": str(entry.body["reason"]), "programmingLanguage": "Python"}
        facets["errorMessage"] = _facet("1-0-1", "ErrorMessageRunFacet", **message)
    owner = [{"name": job.project.project.owner, "type": "OWNER"}]
    sort = {"processingType": "BATCH", "integration": "HOLDFAST", "jobType": "STAGE"}
    return {
        "eventType": _TYPES[entry.kind],
        "eventTime": entry.time,
        "run": {"runId": run_id(job.plant.origin, str(entry.body["run"])), "facets": facets},
        "job": {
            "namespace": job.plant.origin,
            "name": f"{job.project.project.name}.{stage}",
            "facets": {
                "jobType": _facet("2-0-4", "JobTypeJobFacet", **sort),
                "ownership": _facet("1-0-1", "OwnershipJobFacet", owners=owner),
            },
        },
        "inputs": inputs,
        "outputs": outputs,
        "producer": PRODUCER,
        "schemaURL": SPEC,
    }


def run_id(origin: str, run: str) -> str:
    """Return the UUID under which a run is known to others: the same whenever it is told."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"https://holdfast.dev/{origin}/run/{run}"))


def _dataset(job: _Job, kind: Kind, digest: str, made: Mapping[str, Any] | None = None) -> dict[str, Any]:
    project = job.project
    facets: dict[str, Any] = {
        "version": _facet("1-0-1", "DatasetVersionDatasetFacet", datasetVersion=digest),
        "ownership": _facet(
            "1-0-1", "OwnershipDatasetFacet", owners=[{"name": project.project.owner, "type": "OWNER"}]
        ),
    }
    fields = _fields(project, kind)
    if fields:
        facets["schema"] = _facet("1-2-0", "SchemaDatasetFacet", fields=fields)
    lineage = _columns(job, kind)
    if lineage and made is not None:
        facets["columnLineage"] = _facet("1-2-0", "ColumnLineageDatasetFacet", fields=lineage)
    told = {"namespace": job.plant.origin, "name": f"{project.project.name}/{kind}", "facets": facets}
    rows = _rows(job.plant, kind, digest)
    if made is None and rows is not None:
        metrics = _facet("1-0-3", "DataQualityMetricsInputDatasetFacet", rowCount=rows, columnMetrics={})
        told["inputFacets"] = {"dataQualityMetrics": metrics}
    elif made is not None:
        counted_rows = {} if rows is None else {"rowCount": rows}
        statistics = _facet("1-0-2", "OutputStatisticsOutputDatasetFacet", size=int(made["size"]), **counted_rows)
        told["outputFacets"] = {"outputStatistics": statistics}
    return told


def _fields(project: Project, kind: Kind) -> list[dict[str, str]]:
    if kind in {Kind.SOURCE, Kind.DATASET}:
        return [
            {"name": name, "type": column.type.value, "description": column.description}
            for name, column in project.data.columns.items()
            if kind is Kind.SOURCE or column.use is not Use.PERSONAL
        ]
    if kind is Kind.FEATURES:
        return [{"name": name, "type": "double", "description": ""} for name in _features(project)]
    return []


def _features(project: Project) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Return each declared feature with its transform and the columns it is computed from."""
    columns = project.features.columns or project.columns_of(Use.FEATURE)
    computed = {each.name: (each.transform, each.of) for each in project.features.transforms}
    texts: dict[str, tuple[str, tuple[str, ...]]] = {
        bucket_name(name, bucket): ("hashed", (name,))
        for name, hashing in project.features.texts.items()
        for bucket in range(hashing.buckets)
    }
    own: dict[str, tuple[str, tuple[str, ...]]] = {name: ("column", (name,)) for name in columns}
    return own | dict(computed) | texts


def _columns(job: _Job, kind: Kind) -> dict[str, Any]:
    """Return from which columns of what each column comes, and how."""
    project = job.project
    if kind is Kind.DATASET:
        came = {each["name"]: ("cleaned", (each["name"],)) for each in _fields(project, kind)}
        return {name: _from(job, Kind.SOURCE, *of) for name, of in came.items()}
    if kind is Kind.FEATURES:
        return {name: _from(job, Kind.DATASET, *of) for name, of in _features(project).items()}
    return {}


def _from(job: _Job, kind: Kind, how: str, of: tuple[str, ...]) -> dict[str, Any]:
    name = f"{job.project.project.name}/{kind}"
    same = how == "column"
    way = {"type": "DIRECT", "subtype": "IDENTITY" if same else "TRANSFORMATION", "description": how, "masking": False}
    fields = [{"namespace": job.plant.origin, "name": name, "field": each, "transformations": [way]} for each in of]
    return {"inputFields": fields}


def _rows(plant: Plant, kind: Kind, digest: str) -> int | None:
    """Return how many rows an artifact holds, by the newest evidence that verifies; None where none counts them."""
    if kind not in _COUNTED:
        return None
    control, name = _COUNTED[kind]
    for entry in reversed(plant.ledger.stream(digest)):
        if entry.kind == FILED and entry.body["control"] == control:
            try:
                said = plant.believe(_envelope(entry), EVIDENCE, at=entry.moment, stream=digest).value
            except HoldfastError:
                return None
            return next((int(each.value) for each in said.measures if each.name == name), None)
    return None


def _envelope(entry: Entry) -> Any:
    return entry.body["envelope"]


def _facet(version: str, name: str, **fields: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}/{version}/{name}.json#/$defs/{name}", **fields}
