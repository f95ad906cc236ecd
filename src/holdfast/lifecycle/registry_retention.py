"""Retention at work: archive and restore what is old, collect what nothing names, and report what grows wild.

Order makes it safe against a crash. Archiving copies and verifies, then says so in the ledger, then lets the originals
go; collecting sets aside first, looks again, and deletes what was set aside a grace period ago. What is held or answers
is never touched: it is left out before anything is decided.
"""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, canonical, parse_manifest
from holdfast.core.errors import Conflict, InvalidInput, NotFound
from holdfast.core.ledger import Draft
from holdfast.core.policy import seconds
from holdfast.core.project import Project
from holdfast.lifecycle import FOLDERS
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.registry_catalogue import last_used, releases_of, terms_of
from holdfast.lifecycle.registry_record import gone, project_of, record_of
from holdfast.lifecycle.registry_words import aliases_of, meant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.registry import Opener, Record
from holdfast.registry.record import ARCHIVED, RESTORED
from holdfast.registry.retention import MAX_READ, Age, Family, age, doomed, family, garbage, kept
from holdfast.registry.sprawl import models_in, workspaces_in
from holdfast.registry.states import ANSWERING

COLLECTED: Final = "blobs.collected"
STREAM: Final = "retention"


def absent(plant: Plant) -> tuple[frozenset[str], frozenset[str]]:
    """Return the artifacts that were purged, and those that lie in the archive.

    Raises:
        LedgerBroken: History does not fit its hashes.
    """
    known = family(plant.ledger.entries())
    purged = doomed(known, gone(plant))
    both = doomed(known, gone(plant, archived=True))
    return purged, both - purged


def archive(plant: Plant, *, release: str, reason: str) -> Reply:
    """Move the bytes that belong to a release alone into the archive, verified; `restore` brings them back.

    Raises:
        Conflict: It answers, is held, or lies in the archive already.
        NotVerified: A blob of it does not check out; nothing was moved.
    """
    check_reason(reason)
    project = current_project(plant)
    subject = meant(plant, project, release)
    with plant.ledger.lease("run"), plant.ledger.lease("route"):
        moved = _archive(plant, project, subject, reason)
    of = f"of release {short(subject)}"
    says = f"{counted(moved, f'blob {of} is', f'blobs {of} are')} in the archive."
    return Reply(says=says, document={"release": subject, "blobs": moved})


def _archive(plant: Plant, project: Project, release: Digest, reason: str) -> int:
    heads = plant.ledger.heads([release])
    record = record_of(plant, project_of(plant, release).project.name, release)
    _refuse_used(plant, project, record)
    if record.archived:
        raise Conflict("this release lies in the archive", place=release, remedy="Nothing needs to be done.")
    own = _own(plant, release)
    for digest in own:
        plant.put_away(digest)  # verified on both sides: the name is the digest
    bundle = plant.blobs.put(canonical({"release": release, "blobs": sorted(own)}))
    body = {"reason": reason, "bundle": bundle}
    plant.ledger.append([Draft(kind=ARCHIVED, actor=plant.person, stream=release, body=body)], expect=heads)
    for digest in own:
        plant.storage.set_aside(digest, plant.clock.now())
        plant.storage.drop(digest)
    return len(own)


def _refuse_used(plant: Plant, project: Project, record: Record) -> None:
    now, place = standing(plant, project), record.release
    if record.held:
        remedy = "Lift it with `holdfast registry unhold`."
        raise Conflict(f"this release is held: {record.held[0]}", place=place, remedy=remedy)
    if place in (*now.releases, *now.previous) or record.state in ANSWERING:
        raise Conflict("this release answers, or a rollback may go back to it", place=place)


def _own(plant: Plant, release: Digest) -> list[Digest]:
    """Return the blobs that belong to a release and to nothing else that is still here."""
    known = family(plant.ledger.entries())
    away = gone(plant, archived=True)
    before, after = doomed(known, away), doomed(known, {*away, release})
    stays = _kept(plant, after)
    found = {blob for digest in after - before for blob in _blobs_of(plant, known, digest)}
    return sorted(digest for digest in found if digest not in stays)


def _blobs_of(plant: Plant, known: Family, digest: str) -> Iterator[Digest]:
    """Yield the blobs of an artifact that are here: the one of its digest, and those of its files."""
    try:
        document = plant.blobs.get(Digest(digest))
    except NotFound:
        return
    yield Digest(digest)
    if known.kinds[digest] in FOLDERS:
        yield from (
            Digest(file.digest) for file in parse_manifest(document).files if plant.blobs.has(Digest(file.digest))
        )


def restore(plant: Plant, *, release: str, reason: str) -> Reply:
    """Bring the bytes of an archived release back, verified.

    Raises:
        Conflict: It is not in the archive.
        NotVerified: The archive was changed; nothing is said to be restored.
    """
    check_reason(reason)
    project = current_project(plant)
    subject = meant(plant, project, release)
    heads = plant.ledger.heads([subject])
    record = record_of(plant, project_of(plant, subject).project.name, subject)
    if not record.archived:
        raise Conflict("this release is not in the archive", place=subject, remedy="Nothing needs to be done.")
    listed = _listed(plant, record)
    for digest in listed:
        plant.bring_back(digest)
    count = len(listed) + _bring_shared_back(plant, subject)
    draft = Draft(kind=RESTORED, actor=plant.person, stream=subject, body={"reason": reason})
    plant.ledger.append([draft], expect=heads)
    of = f"of release {short(subject)}"
    says = f"{counted(count, f'blob {of} is', f'blobs {of} are')} back."
    return Reply(says=says, document={"release": subject, "blobs": count})


def _bring_shared_back(plant: Plant, release: Digest) -> int:
    """Bring back what a release shares with one that was archived after it, and went into the archive with that one."""
    known, count = family(plant.ledger.entries()), 0
    for artifact in sorted(known.made_with(release)):
        count += _bring_missing_back(plant, Digest(artifact))
        if known.kinds[artifact] in FOLDERS and plant.blobs.has(Digest(artifact)):
            files = parse_manifest(plant.blobs.get(Digest(artifact))).files
            count += sum(_bring_missing_back(plant, Digest(file.digest)) for file in files)
    return count


def _bring_missing_back(plant: Plant, digest: Digest) -> bool:
    """Bring a blob back that is not here, if the archive has it; what was purged or erased is nowhere."""
    if plant.blobs.has(digest) or not plant.archive.has(digest):
        return False
    plant.bring_back(digest)
    return True


def _listed(plant: Plant, record: Record) -> list[Digest]:
    return [Digest(digest) for digest in json.loads(plant.blobs.get(Digest(record.archived)))["blobs"]]


def expire(plant: Plant) -> Reply:
    """Archive every release that nobody has used for as long as the project says, and flag those that grow stale."""
    project, opener = current_project(plant), Opener(plant.blobs, plant.trust)
    names, now, terms = aliases_of(plant), standing(plant, project), terms_of(project)
    stale, archived = [], []
    for release in releases_of(plant):
        record = record_of(plant, project_of(plant, release).project.name, release, opener)
        pinned = release in (*now.releases, *now.previous, *names.values())
        old = age(record, last_used(plant, project, record), plant.clock.now(), terms, pinned=pinned)
        if old is Age.STALE:
            stale.append(release)
        elif old is Age.EXPIRED:
            with plant.ledger.lease("run"), plant.ledger.lease("route"):
                _archive(plant, project, release, f"nobody used it for {project.registry.archive_after}")
            archived.append(release)
    says = f"{counted(len(archived), 'release')} archived, {len(stale)} stale."
    return Reply(says=says, document={"archived": archived, "stale": stale})


def collect(plant: Plant, *, grace: str = "24h") -> Reply:
    """Delete the blobs that nothing names: set aside what is new garbage, drop what was set aside a grace period ago.

    Raises:
        InvalidInput: The grace period is not a duration.
        Conflict: A run or a promotion is going on.
        LedgerBroken: History does not fit its hashes: what it names cannot be told.
    """
    period = timedelta(seconds=seconds(grace))
    with plant.ledger.lease("run"), plant.ledger.lease("route"):
        now = plant.clock.now()
        waiting = dict(plant.storage.aside())
        aside, size = _set_aside(plant)
        keep = _kept(plant, _dead(plant))  # again: what was named while we looked comes back
        back = [digest for digest in (*waiting, *aside) if digest in keep]
        due = [digest for digest, since in waiting.items() if digest not in keep and now - since >= period]
        for digest in back:
            plant.storage.put_back(digest)
        if due:
            body: dict[str, Any] = {"blobs": len(due), "list": plant.blobs.put(canonical({"dropped": sorted(due)}))}
            plant.ledger.append([Draft(kind=COLLECTED, actor="registry", stream=STREAM, body=body)])
        for digest in due:
            plant.storage.drop(digest)
    document = {"set_aside": len(aside), "bytes": size, "dropped": len(due), "put_back": len(back)}
    says = f"{counted(len(aside), 'blob')} ({size} bytes) set aside, {len(due)} that were set aside before are deleted."
    return Reply(says=says, document=document)


def _set_aside(plant: Plant) -> tuple[list[Digest], int]:
    keep = _kept(plant, _dead(plant))
    sizes = dict(plant.storage.held())
    found = list(garbage(sizes, keep))
    for digest in found:
        plant.storage.set_aside(digest, plant.clock.now())
    return found, sum(sizes[digest] for digest in found)


def _dead(plant: Plant) -> frozenset[str]:
    """Return the artifacts whose bytes need not be here; a release in the archive counts if it is whole there."""
    known, away = family(plant.ledger.entries()), set(gone(plant))
    for release in gone(plant, archived=True) - away:
        record = record_of(plant, project_of(plant, release).project.name, release)
        if all(plant.archive.has(digest) for digest in _listed(plant, record)):
            away.add(release)
    return doomed(known, away)


def _kept(plant: Plant, dead: frozenset[str]) -> frozenset[str]:
    """Return every digest that must stay, by the whole ledger and all that it names.

    Raises:
        NotVerified: A document is damaged: what it names cannot be told, so nothing may be let go of.
    """
    sizes = dict(plant.storage.held())

    def read(digest: str) -> bytes | None:
        if sizes.get(Digest(digest), 0) > MAX_READ:
            return None
        try:
            document = plant.blobs.get(Digest(digest))
        except NotFound:
            return None
        return document if document[:1] == b"{" else None

    return kept(plant.ledger.entries(), dead, read)


def sprawl(plant: Plant, *, under: Path | None = None) -> Reply:
    """Report other workspaces in a tree, and model files that no release knows.

    Raises:
        InvalidInput: There is no such folder.
    """
    tree = (under or plant.home.root).resolve()
    if not tree.is_dir():
        raise InvalidInput("there is no such folder", place=str(tree), expected="a folder")
    registered = _kept(plant, frozenset())
    others = [str(path) for path in workspaces_in(tree) if path != plant.home.workspace]
    strays = [item for item in models_in(tree) if item.digest not in registered]
    orphans = [digest for digest, _ in plant.storage.held() if digest not in registered]
    rows = [("duplicate registry", path, "a workspace of its own") for path in others]
    rows += [("unregistered file", item.path, f"{short(item.digest)}, {item.size} bytes") for item in strays]
    rows += [("unnamed blob", short(digest), "`holdfast registry collect` sets it aside") for digest in orphans]
    table = Table(title="Sprawl", columns=("what", "where", "says"), rows=rows)
    document = {
        "registries": others,
        "files": [{"path": item.path, "digest": item.digest, "size": item.size} for item in strays],
        "blobs": orphans,
    }
    says = f"{counted(len(others), 'duplicate registry', 'duplicate registries')}, "
    says += f"{counted(len(strays), 'unregistered model file')}, {counted(len(orphans), 'unnamed blob')}."
    return Reply(says=says, document=document, tables=(table,) if rows else ())
