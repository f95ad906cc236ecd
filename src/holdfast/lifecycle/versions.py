"""Versions: what `run` ingests is committed; a commit is signed, and the branch it is on moves by compare and swap.

A commit's rows lie where they were ingested, sealed under their source's key; what a commit adds is a Delta log over
them, sealed likewise, and in the clear the Merkle list of files and row groups whose root the commit signs.
"""

import mmap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from holdfast.core.artifact import Artifact, Digest, File, Kind, canonical, digest_json, manifest
from holdfast.core.artifact import parse_manifest as parse_files
from holdfast.core.errors import Conflict, HoldfastError, NotFound, NotVerified
from holdfast.core.ledger import Draft, Entry
from holdfast.core.project import Project
from holdfast.core.seal import COMMIT
from holdfast.core.versions import (
    COMMITTED,
    MAIN,
    Commit,
    Named,
    check_message,
    check_name,
    fold,
    pointer_of,
    resolve,
    split_reference,
    stream_of,
)
from holdfast.lifecycle.inputs import rows_key
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.routing import current_project

if TYPE_CHECKING:  # numerics, which whoever only lists versions need not load
    from holdfast.engines.layout import Layout
    from holdfast.engines.packed import Packed

TRIES: Final = 5  # of one append, where only other branches have moved meanwhile


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What a commit shall say, and where it shall go."""

    message: str = "ingested by run"
    branch: str = MAIN
    expect: str = ""  # the version that the branch must be at


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A commit that verified, with its digest and the entry that put it on record."""

    digest: str
    commit: Commit
    entry: Entry

    @property
    def short(self) -> str:
        """The part of its digest that people compare."""
        return short(self.digest)


def named_of(plant: Plant, name: str) -> Named:
    """Return a data set's commits and names, as its stream has them; no envelope is opened."""
    return fold(plant.ledger.stream(stream_of(name)))


def version_of(plant: Plant, reference: str) -> Version:
    """Return the version that a person means, its signature verified.

    Args:
        plant: The control plane.
        reference: `NAME@VERSION` or `VERSION`: a branch, a tag, or the beginning of a digest; `~N` goes back.

    Raises:
        NotFound: There is no such data set or version.
        NotVerified: The commit on record is not signed by whoever may sign it, or says something else.
    """
    name, version = split_reference(reference, "" if "@" in reference[1:] else current_project(plant).project.name)
    named = named_of(plant, name)
    if not named.commits:
        raise NotFound(f"there are no versions of {name!r}", remedy="`holdfast run` commits what it ingests.")
    return opened(plant, named, resolve(named, version))


def opened(plant: Plant, named: Named, digest: str) -> Version:
    """Return a commit on record, its signature verified at the time at which the ledger took it in.

    Raises:
        NotVerified: It is not signed by whoever may sign it, or says something else than its entry.
    """
    entry = named.commits[digest]
    said = plant.believe(Digest(entry.body["envelope"]), COMMIT, at=entry.moment, stream=entry.stream).value
    told = (entry.body["commit"], entry.body["dataset"], entry.body["branch"], tuple(entry.body["parents"]))
    if told != (digest_json(said), said.dataset, said.branch, said.parents) or stream_of(said.name) != entry.stream:
        raise NotVerified("the ledger's entry says something else than the commit that was signed", place=digest)
    return Version(digest=digest, commit=said, entry=entry)


def versions_with(plant: Plant, dataset: str) -> list[Version]:
    """Return the versions, of whatever data set, whose rows are one DATASET; oldest first."""
    found = []
    streams = {entry.stream for entry in plant.ledger.entries() if _commits(entry, dataset)}
    for stream in sorted(streams):
        named = fold(plant.ledger.stream(stream))
        same = [digest for digest, entry in named.commits.items() if entry.body["dataset"] == dataset]
        found += [opened(plant, named, digest) for digest in same]
    return found


def _commits(entry: Entry, dataset: str) -> bool:
    return entry.kind == COMMITTED and entry.body["dataset"] == dataset


def commit_dataset(plant: Plant, project: Project, held: dict[Kind, Artifact], note: Note) -> Version | None:
    """Commit what was ingested, unless it is what the branch is at; the caller holds the lease `run`.

    Raises:
        Conflict: The branch is not where `note` expects it, or somebody else moved it just now.
        InvalidInput: The message or the branch cannot be one.
        NotFound: There is no such branch.
    """
    name, source = project.project.name, held[Kind.SOURCE].digest
    branch, message = check_name(note.branch, "branch"), check_message(note.message)
    stream = stream_of(name)
    head = _head(plant, name, note)
    named = named_of(plant, name)
    if head and _same(named.commits[head], held):
        return None
    table = _kept(plant, named, held) or snapshot(plant, held[Kind.DATASET].digest, source)
    commit = Commit(
        name=name,
        branch=branch,
        dataset=held[Kind.DATASET].digest,
        table=table.files,
        layout=table.layout,
        root=table.root,
        rows=table.rows,
        parents=(head,) if head else (),
        source=source,
        project=held[Kind.PROJECT].digest,
        author=plant.actor,
        message=message,
        time=plant.clock.now(),
    )
    return _append(plant, commit, stream, note)


def _head(plant: Plant, name: str, note: Note) -> str:
    """Return the version that a branch is at; empty where the data set has none yet."""
    named = named_of(plant, name)
    head = named.branches.get(note.branch, "")
    if not head and (named.commits or note.branch != MAIN):
        have = ", ".join(named.branches) or "none yet; `holdfast run` makes the first version on main"
        remedy = "Make it with `holdfast data branch`."
        raise NotFound(f"{name} has no branch {note.branch!r}", expected=have, remedy=remedy)
    if note.expect and resolve(named, note.expect) != head:
        at = short(head) if head else "nothing"
        remedy = "Look at what was committed meanwhile: `holdfast data log`."
        raise Conflict(f"the branch {note.branch} is at {at}, not at {note.expect}", place=name, remedy=remedy)
    return head


def _same(head: Entry, held: dict[Kind, Artifact]) -> bool:
    return bool(head.body["dataset"] == held[Kind.DATASET].digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A data set's files as a table: the manifest that names them, their layout and its root, and how many rows."""

    files: str
    layout: str
    root: str
    rows: int


def _kept(plant: Plant, named: Named, held: dict[Kind, Artifact]) -> Snapshot | None:
    """Return the snapshot that an earlier version made of the very same rows."""
    for digest, entry in named.commits.items():
        if _same(entry, held):
            was = opened(plant, named, digest).commit
            if was.source == held[Kind.SOURCE].digest and readable(plant, was):
                return Snapshot(files=was.table, layout=was.layout, root=was.root, rows=was.rows)
    return None


def snapshot(plant: Plant, dataset: Digest, source: str) -> Snapshot:
    """Store a data set's files as a Delta table, and return what a commit says of them.

    The log is stored under the source's data key, because it says of each column the least and the largest value.
    """
    from holdfast.engines import delta
    from holdfast.engines.dataset import SCHEMA, TABLE
    from holdfast.engines.layout import layout_of

    folder = parse_files(plant.blobs.get(dataset))
    rows = plant.blobs.path(Digest(folder.file(TABLE).digest))
    schema = plant.blobs.get(Digest(folder.file(SCHEMA).digest))
    log = delta.log_of(rows, plant.scratch / plant.entropy.token(8).hex())
    stored = plant.sealed(rows_key(source)).put(log)
    files = [
        File(path=TABLE, digest=folder.file(TABLE).digest, size=rows.stat().st_size),
        File(path=delta.SCHEMA_FILE, digest=folder.file(SCHEMA).digest, size=len(schema)),
        File(path=delta.LOG, digest=stored, size=len(log)),
    ]
    with rows.open("rb") as file:
        table = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    layout = layout_of({TABLE: table, delta.SCHEMA_FILE: schema, delta.LOG: log})
    return Snapshot(
        files=plant.blobs.put(manifest(files).document),
        layout=plant.blobs.put(layout.document),
        root=layout.root,
        rows=sum(part.rows for file in layout.files if file.path == TABLE for part in file.parts),
    )


def _append(plant: Plant, commit: Commit, stream: str, note: Note) -> Version:
    digest = plant.blobs.put(canonical(commit))
    envelope = plant.seal(commit, COMMIT, "ingest")
    body = {
        "commit": digest,
        "envelope": envelope,
        "dataset": commit.dataset,
        "branch": commit.branch,
        "parents": list(commit.parents),
        "message": commit.message,
        "rows": commit.rows,
        "pointer": {"name": pointer_of(commit.name, commit.branch), "digest": digest},
    }
    draft = Draft(kind=COMMITTED, actor=commit.author, stream=stream, body=body)
    append_at(plant, stream, draft, lambda: _head(plant, commit.name, note) == (commit.parents or ("",))[0])
    return version_of(plant, f"{commit.name}@{digest}")


def append_at(plant: Plant, stream: str, draft: Draft, still: Callable[[], bool]) -> None:
    """Append an entry that rests on what a stream said: tried again while only what does not matter has moved.

    Raises:
        Conflict: What it rests on is not so any more.
    """
    for attempt in range(TRIES):
        heads = plant.ledger.heads([stream])
        if not still():
            raise Conflict("somebody moved this branch just now", place=stream, remedy="Look, and do it again.")
        try:
            plant.ledger.append([draft], expect=heads)
        except Conflict:
            if attempt == TRIES - 1:
                raise
        else:
            return


def layout_for(plant: Plant, commit: Commit) -> "Layout":
    """Return the layout that a commit signs.

    Raises:
        NotVerified: The stored one is another.
    """
    from holdfast.engines.layout import parse_layout

    return parse_layout(plant.blobs.get(Digest(commit.layout)), commit.root)


def contents_of(plant: Plant, commit: Commit) -> dict[str, bytes]:
    """Return the files of a version, verified against the root that its commit signs before any is handed on.

    Raises:
        NotFound: They were erased.
        NotVerified: With every difference by file and row group.
    """
    from holdfast.engines.layout import read_verified

    files = {file.path: Digest(file.digest) for file in parse_files(plant.blobs.get(Digest(commit.table))).files}
    return read_verified(layout_for(plant, commit), files, lambda path: plant.blobs.get(files[path]))


def table_of(plant: Plant, commit: Commit) -> "Packed":
    """Return the rows of a version as they lie, verified against the root that its commit signs; none is opened yet.

    Raises:
        NotFound: They were erased.
        NotVerified: With every difference by file and row group.
    """
    from holdfast.engines.dataset import TABLE
    from holdfast.engines.layout import check_files
    from holdfast.engines.packed import packed_file

    listed = parse_files(plant.blobs.get(Digest(commit.table))).files
    files = {file.path: plant.blobs.path(Digest(file.digest)) for file in listed}
    check_files(layout_for(plant, commit), files)
    return packed_file(files[TABLE])


def readable(plant: Plant, commit: Commit) -> bool:
    """Say whether a version's rows can still be read."""
    try:
        files = parse_files(plant.blobs.get(Digest(commit.table))).files
    except HoldfastError:
        return False
    return all(plant.blobs.has(Digest(file.digest)) for file in files)
