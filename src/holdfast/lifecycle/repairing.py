"""Repair: every blob that is on record looked at, and brought back where it is damaged or gone."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError, NotFound, NotVerified
from holdfast.core.ledger import Entry
from holdfast.core.passport import RECORDED
from holdfast.lifecycle import FOLDERS
from holdfast.lifecycle.erasure import erased
from holdfast.lifecycle.mending import Copy, mend
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.registry_retention import absent
from holdfast.lifecycle.reply import Reply, Table, short

HANDED_IN: Final = frozenset({Kind.PROJECT, Kind.SOURCE, Kind.RECIPE})
"""Kinds that no stage makes: a good copy of these is the file that somebody handed in."""


def repair(plant: Plant, *, backup: Path | None = None) -> Reply:
    """Look at every blob that is on record, and bring back what is damaged or gone.

    Args:
        plant: The control plane.
        backup: A backup of this workspace, in which to look for copies as well.

    Raises:
        InvalidInput: That is no backup.
        NotVerified: The backup was changed.
    """
    rows: list[tuple[str, str, str]] = []
    with plant.ledger.lease("run"), ExitStack() as opened:
        plant.unlock()
        more: tuple[Copy, ...] = ()
        if backup is not None:
            more = ((f"the backup {backup.name}", opened.enter_context(plant.open_backup(backup))),)
        for entry, digest in _recorded(plant):
            words = _wrong(plant, digest)
            if words:
                rows.append(_repaired(plant, entry, digest, words, more))
    lost = [row for row in rows if row[1] == "lost"]
    restored = sum(row[1] == "restored" for row in rows)
    again = sum(row[1] == "set aside" for row in rows)
    says = (
        f"{restored} blobs were restored, {again} were set aside to be made again by `holdfast run`, {len(lost)} lost."
    )
    if not rows:
        says = "Every blob that is on record has its bytes."
    table = Table(title="Damage", columns=("blob", "remedy", "words"), rows=[(short(a), b, c) for a, b, c in rows])
    document = {"restored": restored, "set_aside": again, "lost": [row[0] for row in lost]}
    return Reply(says=says, document=document, tables=(table,), exit_code=NotVerified.exit_code if lost else 0)


def _recorded(plant: Plant) -> Iterator[tuple[Entry, Digest]]:
    """Yield each blob that should be here: every artifact on record, and the files of folders, once their list is."""
    purged, archived = absent(plant)
    seen: set[str] = set()
    for entry in plant.ledger.entries():
        if entry.kind != RECORDED or entry.stream in purged | archived or entry.stream in seen:
            continue
        seen.add(entry.stream)
        yield entry, Digest(entry.stream)
        if Kind(entry.body["kind"]) in FOLDERS:
            with suppress(HoldfastError):  # its list is lost: then nobody knows the files
                for file in parse_manifest(plant.blobs.get(Digest(entry.stream))).files:
                    if file.digest not in seen:
                        seen.add(file.digest)
                        yield entry, Digest(file.digest)


def _wrong(plant: Plant, digest: Digest) -> str:
    try:
        plant.blobs.check(digest)
    except NotVerified as error:
        return error.message
    except NotFound as error:
        return "" if erased(plant, digest) else error.message
    return ""


def _repaired(plant: Plant, entry: Entry, digest: Digest, words: str, more: tuple[Copy, ...]) -> tuple[str, str, str]:
    try:
        return (digest, "restored", f"from {mend(plant, digest, words, more=more)}")
    except NotVerified as error:
        if Kind(entry.body["kind"]) in HANDED_IN:
            return (digest, "lost", error.message)
        plant.set_damaged_aside(digest)
        return (
            digest,
            "set aside",
            f"{entry.body['kind']}: made again by the next run, if its inputs are as they were",
        )
