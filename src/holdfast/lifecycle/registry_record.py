"""What a release has become: its record, read from the whole ledger, and whether it may begin to answer.

The fold itself is `registry.fold`; here is where its entries come from.
"""

from typing import Final

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import NotFound
from holdfast.core.ledger import Entry
from holdfast.core.passport import RECORDED
from holdfast.core.project import Project, parse_project
from holdfast.lifecycle.plant import Plant
from holdfast.registry import LIFECYCLE, Opener, Record, Signal, State, closure, fold
from holdfast.registry.record import ARCHIVED, PURGED
from holdfast.registry.states import BARRED

ENVIRONMENTS: Final = ("production", "staging")


def project_of(plant: Plant, release: str) -> Project:
    """Return the project that a release was made from: what was decided upon, not the file as it lies there now.

    Raises:
        NotFound: The ledger knows no such release.
        NotVerified: The stored project was changed.
    """
    recorded = plant.last(release, RECORDED)
    parents = recorded.body["parents"] if recorded else ()
    digest = next((parent["digest"] for parent in parents if parent["kind"] == Kind.PROJECT), None)
    if digest is None:
        raise NotFound("the ledger knows no project that this was made from", place=release)
    return parse_project(plant.blobs.get(Digest(digest)))[0]


def history_of(plant: Plant, model: str, release: Digest) -> list[Entry]:
    """Return every entry that a release's record is folded from, in ledger order.

    Raises:
        LedgerBroken: History does not fit its hashes.
    """
    found = {entry.position: entry for entry in closure(plant.ledger, release, plant.ledger.size())}
    for environment in ENVIRONMENTS:
        found |= {entry.position: entry for entry in plant.ledger.stream(f"endpoint/{environment}/{model}")}
    return [found[position] for position in sorted(found)]


def record_of(plant: Plant, model: str, release: Digest, opener: Opener | None = None) -> Record:
    """Return what a release of a model has become.

    Raises:
        NotFound: The ledger knows no such release.
        LedgerBroken: History does not fit its hashes.
    """
    return fold(release, history_of(plant, model, release), opener or Opener(plant.blobs, plant.trust))


def refusal(plant: Plant, project: Project, release: Digest, signal: Signal | None) -> str:
    """Return in words why a release's state keeps it from answering; nothing where it does not.

    Args:
        plant: The control plane.
        project: The project whose endpoint it is.
        release: The release.
        signal: What it is about to do; None where it answers already and is only to go on.
    """
    record = record_of(plant, project.project.name, release)
    if record.state in BARRED:
        return f"the release is {record.state}: {record.reason}"
    if record.archived:
        return "the release is archived; `holdfast registry restore` brings its bytes back"
    if signal is not None and (record.state, signal) not in LIFECYCLE.table:
        return f"a release that is {record.state} cannot be {signal}"
    return ""


def gone(plant: Plant, *, archived: bool = False) -> frozenset[Digest]:
    """Return the releases whose bytes need not be here: purged ones, and those in the archive if asked for.

    Raises:
        LedgerBroken: History does not fit its hashes.
    """
    named = {entry.stream for entry in plant.ledger.entries() if entry.kind in {PURGED, ARCHIVED}}
    found, opener = set(), Opener(plant.blobs, plant.trust)
    for release in map(Digest, sorted(named)):
        record = record_of(plant, project_of(plant, release).project.name, release, opener)
        if record.state is State.PURGED or (archived and record.archived):
            found.add(release)
    return frozenset(found)
