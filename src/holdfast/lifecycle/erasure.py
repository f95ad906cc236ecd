"""Data at rest: which data keys there are, rows handed to other programs, and rows erased by destroying their key.

The ledger keeps digests, counts and who did it; never a value. After an erasure every digest still stands on record,
and says of itself that it was erased.
"""

import json
from pathlib import Path
from typing import Final

from holdfast.core.artifact import Artifact, Digest, Kind, canonical, parse_manifest
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Draft, Entry
from holdfast.core.passport import RECORDED
from holdfast.lifecycle import FOLDERS
from holdfast.lifecycle.inputs import check_reason, rows_key
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short

ERASED: Final = "data.erased"  # body: key, reason, listed (a document), releases; in the stream of the source
EXPORTED: Final = "data.exported"  # body: reason, files; in the stream of what was exported


def data_list(plant: Plant) -> Reply:
    """List data sets, the data key each lies under, and whether it is still there."""
    there = set(plant.data_keys())
    rows = []
    for source in _recorded(plant, Kind.SOURCE):
        derived = _derived(plant, source)
        state = "readable" if rows_key(source) in there else "erased"
        rows.append((short(source), state, str(len(derived)), _taken_in(plant, source).time[:19]))
    document = {"sources": [{"source": row[0], "state": row[1], "artifacts": int(row[2])} for row in rows]}
    document["scratch"] = [{"folder": str(plant.scratch), "in_memory": plant.scratch_in_memory}]
    place = "in memory" if plant.scratch_in_memory else f"in {plant.scratch}, on a disk: encrypt it, or name another"
    table = Table(title="Data sets", columns=("source", "state", "artifacts", "taken in"), rows=rows)
    return Reply(
        says=f"{counted(len(rows), 'source')}; rows of running stages lie {place}.", document=document, tables=(table,)
    )


def data_export(plant: Plant, *, data: str, out: Path, reason: str) -> Reply:
    """Write the decrypted files of a data set to a new folder, for other programs, and put it on record.

    Raises:
        InvalidInput: The folder exists, or no reason is given.
        NotFound: There is no such data set, or it was erased.
    """
    check_reason(reason)
    artifact = find_recorded(plant, data, (Kind.DATASET, Kind.SOURCE))
    if out.exists():
        raise InvalidInput("there is something already where the export would lie", place=str(out))
    files = {"source": artifact.digest}
    if artifact.kind in FOLDERS:
        files = {file.path: Digest(file.digest) for file in parse_manifest(plant.blobs.get(artifact.digest)).files}
    contents = {name: plant.blobs.get(digest) for name, digest in files.items()}
    # On record before anybody can read a byte: an export that nobody knows of would be the worse half.
    body = {"reason": reason, "files": files, "kind": artifact.kind}
    plant.ledger.append([Draft(kind=EXPORTED, actor=plant.person, stream=artifact.digest, body=body)])
    out.mkdir(mode=0o700, parents=True)
    for name, content in contents.items():
        path = out / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(content)
    of = f"of {artifact.kind} {short(artifact.digest)}"
    says = f"{counted(len(files), f'file {of} lies', f'files {of} lie')} decrypted in {out}."
    return Reply(says=says, document={"digest": artifact.digest, "files": sorted(files)})


def data_erase(plant: Plant, *, data: str, reason: str) -> Reply:
    """Destroy the data key of a source, and with it all rows that were taken in or made from it.

    Releases made from it keep answering, since a model is not its rows: which ones they are is said and on record.

    Raises:
        InvalidInput: No reason is given.
        NotFound: There is no such source, or it was erased before.
    """
    check_reason(reason)
    source = find_recorded(plant, data, (Kind.SOURCE,)).digest
    derived = _derived(plant, source)
    digests = {artifact.digest for artifact in derived}
    for artifact in derived:
        if artifact.kind in FOLDERS:
            digests |= {Digest(file.digest) for file in parse_manifest(plant.blobs.get(artifact.digest)).files}
    releases = sorted(item.digest for item in derived if item.kind is Kind.RELEASE)
    plant.unlock()
    listed = plant.blobs.put(canonical(sorted(digests)))
    body = {"key": rows_key(source), "reason": reason, "listed": listed, "releases": releases}
    with plant.ledger.lease("run"):  # no stage may be writing under this key just now
        if rows_key(source) not in plant.data_keys():
            raise NotFound("this source was erased before", place=source)
        # On record first: rows that are gone and of which nobody says why would look like damage.
        plant.ledger.append([Draft(kind=ERASED, actor=plant.person, stream=source, body=body)])
        plant.erase(rows_key(source))
    says = (
        f"The data key of source {short(source)} is destroyed: its rows, and all made from them, cannot be read again."
    )
    says += f" {counted(len(releases), 'release')} learned from it." if releases else ""
    tokens = _tokens_left(plant, derived)
    says += _of_tokens(tokens)
    return Reply(says=says, document={"source": source, "releases": releases, "tokens_remain": tokens})


def _tokens_left(plant: Plant, derived: list[Artifact]) -> list[str]:
    """Return the projects whose tokens were made of these rows and can still be turned back, wherever they lie."""
    from holdfast.lifecycle.data_record import project_by  # which knows versions, as this module need not
    from holdfast.lifecycle.dlp_tokens import tokens_remain

    names = set[str]()
    for artifact in derived:
        recorded = plant.last(artifact.digest, RECORDED) if artifact.kind is Kind.DATASET else None
        for parent in recorded.body["parents"] if recorded else ():
            project = project_by(plant, str(parent["digest"])) if parent["kind"] == Kind.PROJECT else None
            names |= {project.project.name} if project else set()
    return sorted(name for name in names if tokens_remain(plant, name))


def _of_tokens(projects: list[str]) -> str:
    if not projects:
        return ""
    names = ", ".join(projects)
    words = f" Tokens of {names} remain: one that was copied elsewhere can still be turned back, because one key is for"
    return f"{words} all sources of a project. `holdfast dlp forget` destroys it."


def erased(plant: Plant, digest: str) -> bool:
    """Say whether a blob that is missing was erased, by an entry that is on record."""
    lists = (entry.body["listed"] for entry in plant.ledger.entries() if entry.kind == ERASED)
    return any(digest in json.loads(plant.blobs.get(Digest(listed))) for listed in lists)


def _recorded(plant: Plant, kind: Kind) -> list[Digest]:
    found = (entry for entry in plant.ledger.entries() if entry.kind == RECORDED and entry.body["kind"] == kind)
    return list(dict.fromkeys(Digest(entry.stream) for entry in found))


def _derived(plant: Plant, source: str) -> list[Artifact]:
    """Return the source and everything on record that derives from it, oldest first."""
    found = {source: _artifact(_taken_in(plant, source))}
    for entry in plant.ledger.entries():  # an artifact is recorded after all it derives from
        if entry.kind == RECORDED and any(parent["digest"] in found for parent in entry.body["parents"]):
            found[entry.stream] = _artifact(entry)
    return list(found.values())


def _taken_in(plant: Plant, source: str) -> Entry:
    """Return the entry that recorded a source first; what it was put together from may be on record before it."""
    return next(entry for entry in plant.ledger.stream(source) if entry.kind == RECORDED)


def _artifact(entry: Entry) -> Artifact:
    return Artifact(kind=Kind(entry.body["kind"]), digest=Digest(entry.stream), size=int(entry.body["size"]))


def find_recorded(plant: Plant, named: str, kinds: tuple[Kind, ...]) -> Artifact:
    """Return the one artifact of these kinds whose digest begins as given."""
    wanted = named.removeprefix("sha256:")
    found = {
        entry.stream: _artifact(entry)
        for entry in plant.ledger.entries()
        if entry.kind == RECORDED
        and entry.body["kind"] in kinds
        and wanted
        and entry.stream.removeprefix("sha256:").startswith(wanted)
    }
    if len(found) != 1:
        words = " or ".join(kinds)
        raise NotFound(f"{len(found)} of kind {words} begin with {named[:80]!r}", expected="the digest of one")
    return next(iter(found.values()))
