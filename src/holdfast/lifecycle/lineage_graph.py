"""The lineage graph: from a source over data set, features, run and model to deployments and answers, both ways.

Edges are those that the runner recorded of what it mounted. A prediction is found by its correlation id and moment:
which release answered follows from the routing that stood then, as the gateway drew it.
"""

import json
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Entry
from holdfast.core.passport import RECORDED
from holdfast.core.versions import COMMITTED
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import ROUTED, endpoint_stream, standing_of
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.source_state import ACCEPTED, MERGED
from holdfast.lifecycle.traffic import windows_of
from holdfast.registry import Standing

FINISHED: Final = "stage.finished"
_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ONE: Final = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """Everything on record, by digest: what it is, what it derives from, what derives from it, which run made it."""

    kinds: Mapping[str, Kind]
    parents: Mapping[str, tuple[str, ...]]
    children: Mapping[str, tuple[str, ...]]
    made_by: Mapping[str, str]  # artifact to "stage, run"
    versions: Mapping[str, tuple[str, ...]]  # data set to "NAME@commit"
    deployed: Mapping[str, tuple[str, ...]]  # release to "endpoint: from … to …"
    batches: Mapping[str, str]  # what a source has sent, to "batch of NAME, … rows"
    merged: Mapping[str, Entry]  # source artifact to the entry that says from which batches it was put together

    def walk(self, start: str, edges: Mapping[str, tuple[str, ...]]) -> list[tuple[int, str]]:
        """Return everything that edges lead to from one artifact, nearest first, with how far it is."""
        far, waiting = {start: 0}, deque([start])
        while waiting:
            digest = waiting.popleft()
            for other in edges.get(digest, ()):
                if other not in far:
                    far[other] = far[digest] + 1
                    waiting.append(other)
        return [(distance, digest) for digest, distance in far.items() if digest != start]


def graph_of(plant: Plant) -> Graph:
    """Return the graph that the ledger holds."""
    kinds: dict[str, Kind] = {}
    parents: dict[str, dict[str, None]] = {}
    children: dict[str, dict[str, None]] = {}
    made: dict[str, str] = {}
    versions: dict[str, list[str]] = {}
    routings: list[Entry] = []
    batches: dict[str, str] = {}
    merged: dict[str, Entry] = {}
    for entry in plant.ledger.entries():
        if entry.kind == RECORDED:
            kinds[entry.stream] = Kind(entry.body["kind"])
            for parent in entry.body["parents"]:
                parents.setdefault(entry.stream, {})[parent["digest"]] = None
                children.setdefault(parent["digest"], {})[entry.stream] = None
        elif entry.kind == FINISHED:
            for each in entry.body["artifacts"]:  # the first to make it: later ones made the same bytes again
                made.setdefault(each["digest"], f"{entry.body['stage']} {entry.body['run']}")
        elif entry.kind == COMMITTED:
            name = f"{entry.stream.partition('/')[2]}@{short(entry.body['commit'])}"
            versions.setdefault(entry.body["dataset"], []).append(name)
        elif entry.kind == ROUTED:
            routings.append(entry)
        elif entry.kind == ACCEPTED:
            rows = counted(int(entry.body["rows"]), "row")
            batches[entry.body["batch"]] = f"batch of {entry.stream.partition('/')[2]}, {rows}"
        elif entry.kind == MERGED:
            merged[entry.stream] = entry
    return Graph(
        kinds=kinds,
        parents={digest: tuple(found) for digest, found in parents.items()},
        children={digest: tuple(found) for digest, found in children.items()},
        made_by=made,
        versions={digest: tuple(found) for digest, found in versions.items()},
        deployed=_deployments(routings),
        batches=batches,
        merged=merged,
    )


def _deployments(routings: list[Entry]) -> dict[str, tuple[str, ...]]:
    """Return when each release answered, by the routings in order: from one to the first that does not name it."""
    began: dict[tuple[str, str], str] = {}
    found: dict[str, list[str]] = {}
    for entry in routings:
        now = set(standing_of(entry.body).releases)
        for stream, release in [key for key in began if key[0] == entry.stream and key[1] not in now]:
            found.setdefault(release, []).append(f"{stream}: {began.pop((stream, release))} to {entry.time[:19]}")
        for release in now:
            began.setdefault((entry.stream, release), entry.time[:19])
    for (stream, release), since in began.items():
        found.setdefault(release, []).append(f"{stream}: since {since}")
    return {release: tuple(spans) for release, spans in found.items()}


def lineage(plant: Plant, *, what: str, at: str | None = None) -> Reply:
    """Walk from anything on record to all it derives from and to all that derives from it, deployments and answers too.

    Args:
        plant: The control plane.
        what: The beginning of a digest, also of a batch that a source has sent; or the correlation id of an answer.
        at: When that answer was given, as ISO 8601; then `what` is a correlation id.

    Raises:
        InvalidInput: It is neither, or the moment is none.
        NotFound: Nothing, or more than one thing, begins so; or nothing answered then.
    """
    graph = graph_of(plant)
    begins = ""
    if at is not None:
        start, begins = _answered_by(plant, what, at)
    else:
        start = _meant(graph, what)
        if start in graph.batches:
            graph = replace(graph, children={**graph.children, start: _made_with(plant, graph, start)})
    up, down = graph.walk(start, graph.parents), graph.walk(start, graph.children)
    lines = [*((-far, digest) for far, digest in reversed(up)), (0, start), *down]
    nodes = [_node(plant, graph, far, digest) for far, digest in lines]
    kind = graph.kinds[start].value if start in graph.kinds else graph.batches[start].partition(",")[0]
    says = f"{begins}{kind.capitalize()} {short(start)} derives from {counted(len(up), 'artifact')}, and "
    says += f"{counted(len(down), 'artifact derives', 'artifacts derive')} from it."
    rows = [(str(n["step"]), n["kind"], short(n["digest"]), n["made_by"], "; ".join(n["notes"])) for n in nodes]
    edges = [
        {"from": parent, "to": digest}
        for digest in (each["digest"] for each in nodes)
        for parent in graph.parents.get(digest, ())
    ]
    table = Table(title="Lineage", columns=("step", "kind", "digest", "made by", "notes"), rows=rows)
    return Reply(says=says, document={"start": start, "nodes": nodes, "edges": edges}, tables=(table,))


def _node(plant: Plant, graph: Graph, far: int, digest: str) -> dict[str, Any]:
    notes = [*graph.versions.get(digest, ()), *graph.deployed.get(digest, ())]
    if digest in graph.merged:
        notes += [_sent(each) for each in graph.merged[digest].body["sources"]]
    if digest in graph.batches:
        notes.append(graph.batches[digest])
    kind = graph.kinds.get(digest)
    if kind is Kind.RELEASE and graph.deployed.get(digest):
        answers = sum(window.requests for window in windows_of(plant, digest, -1))
        notes.append(counted(answers, "answer told of", "answers told of"))
    return {
        "step": far,
        "kind": kind.value if kind else "batch" if digest in graph.batches else "",
        "digest": digest,
        "made_by": graph.made_by.get(digest, ""),
        "notes": notes,
    }


def _sent(said: Mapping[str, Any]) -> str:
    rows, batches = counted(int(said["rows"]), "row"), counted(int(said["batches"]), "batch", "batches")
    return f"from {said['source']} ({said['identity']}): {rows} in {batches}"


def _made_with(plant: Plant, graph: Graph, batch: str) -> tuple[str, ...]:
    """Return the source artifacts that a batch is among."""
    lists = {made: json.loads(plant.blobs.get(Digest(each.body["batches"]))) for made, each in graph.merged.items()}
    return tuple(made for made, by_source in lists.items() if any(batch in sent for sent in by_source.values()))


def _meant(graph: Graph, what: str) -> str:
    start = what.removeprefix("sha256:")
    known = dict.fromkeys((*graph.kinds, *graph.batches))
    found = [digest for digest in known if start and digest.removeprefix("sha256:").startswith(start)]
    if len(found) != 1:
        remedy = "For an answer give its correlation id and --at, the moment it was given."
        raise NotFound(f"{len(found)} artifacts begin with {what[:80]!r}", expected="the digest of one", remedy=remedy)
    return found[0]


def _answered_by(plant: Plant, correlation: str, at: str) -> tuple[str, str]:
    """Return the release that answered a call, and in words how that is known.

    Raises:
        InvalidInput: No correlation id, or no moment.
        NotFound: Nothing answered then.
    """
    if not _ID.fullmatch(correlation):
        raise InvalidInput(
            "this is no correlation id", expected="up to 64 letters, digits, points, hyphens, underscores"
        )
    try:
        moment = datetime.fromisoformat(at)
    except ValueError as error:
        raise InvalidInput(f"{at[:40]!r} is no moment", expected="ISO 8601, as in 2026-05-01T12:00:00Z") from error
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    project = current_project(plant)
    routed = [each for each in plant.ledger.stream(endpoint_stream(project)) if each.kind == ROUTED]
    then = next((each for each in reversed(routed) if each.moment <= moment), None)
    stood = standing_of(then.body) if then is not None else Standing()
    if not stood.baseline:
        raise NotFound("nothing answered at that moment", place=at)
    release = drawn(stood, project.project.name, correlation)
    sure = "" if not stood.candidate or stood.plan == "shadow" else ", if the call named no unit of its own"
    return release, f"The call {correlation} was answered by release {short(release)}{sure}. "


def drawn(stood: Standing, name: str, correlation: str) -> Digest:
    """Return the release that a call without unit or attributes gets: the candidate for its share of them.

    As `serve.state.Route.choose` draws it; a test holds one against the other.
    """
    import hashlib

    if not stood.candidate or not stood.share or stood.experiment or stood.segment:
        return Digest(stood.baseline)
    key = bytes.fromhex(stood.salt)
    point = int.from_bytes(hashlib.blake2b(f"{name}\0{correlation}".encode(), key=key, digest_size=8).digest()) / _ONE
    return Digest(stood.candidate if point < stood.share else stood.baseline)
