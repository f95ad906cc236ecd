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
        rows.append((short(source), state, str(len(derived)), plant.ledger.stream(source)[0].time[:19]))
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
    artifact = _find(plant, data, (Kind.DATASET, Kind.SOURCE))
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
    source = _find(plant, data, (Kind.SOURCE,)).digest
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
    return Reply(says=says, document={"source": source, "releases": releases})


def erased(plant: Plant, digest: str) -> bool:
    """Say whether a blob that is missing was erased, by an entry that is on record."""
    lists = (entry.body["listed"] for entry in plant.ledger.entries() if entry.kind == ERASED)
    return any(digest in json.loads(plant.blobs.get(Digest(listed))) for listed in lists)


def _recorded(plant: Plant, kind: Kind) -> list[Digest]:
    found = (entry for entry in plant.ledger.entries() if entry.kind == RECORDED and entry.body["kind"] == kind)
    return list(dict.fromkeys(Digest(entry.stream) for entry in found))


def _derived(plant: Plant, source: str) -> list[Artifact]:
    """Return the source and everything on record that derives from it, oldest first."""
    found = {source: _artifact(plant.ledger.stream(source)[0])}
    for entry in plant.ledger.entries():  # an artifact is recorded after all it derives from
        if entry.kind == RECORDED and any(parent["digest"] in found for parent in entry.body["parents"]):
            found[entry.stream] = _artifact(entry)
    return list(found.values())


def _artifact(entry: Entry) -> Artifact:
    return Artifact(kind=Kind(entry.body["kind"]), digest=Digest(entry.stream), size=int(entry.body["size"]))


def _find(plant: Plant, named: str, kinds: tuple[Kind, ...]) -> Artifact:
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
