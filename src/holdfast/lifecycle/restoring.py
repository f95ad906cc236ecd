"""Backup and restore: a workspace in one file, and what is put on record when it comes back from there.

A restore takes history back, which nothing else may do. So it is a person's signed word in the restored ledger: what
was kept, and which entries a newer checkpoint witnessed that are gone. `ledger verify` against such a checkpoint then
says that they were lost, instead of that somebody cut them off.
"""

import math
from pathlib import Path
from typing import Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import LedgerBroken
from holdfast.core.ledger import Checkpoint, Draft, Entry
from holdfast.core.seal import RESTORATION, Restoration, unseal
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply

MOST_TABLES_PER_S: Final = 10  # deciding, signing and making one durable takes a tenth of a second or more
RESTORED: Final = "workspace.restored"  # body: kept, lost, envelope; in the stream "trust"


def backup(plant: Plant, *, out: Path) -> Reply:
    """Write the workspace into one encrypted file.

    Raises:
        Conflict: There is something of this name.
        Unavailable: It cannot be written, or the keys are locked.
    """
    plant.unlock()
    signed = plant.ledger.checkpoint()
    size = Checkpoint.size_of(signed)
    files = plant.write_backup(out, signed)
    says = f"{files} files and {size} entries of history are in {out}. It is opened by the secret of this workspace:"
    says += " keep a copy of that elsewhere, and not beside the backup."
    return Reply(says=says, document={"file": str(out), "files": files, "size": size})


def note_restoration(plant: Plant, *, backed_up: Checkpoint, newer: Checkpoint | None, reason: str) -> Reply:
    """Verify a workspace that was just restored, and put the restore on record.

    Raises:
        LedgerBroken: The history is not the one that the backup's checkpoint witnessed.
    """
    found = plant.ledger.verify([backed_up])
    if found.size < backed_up.size:
        raise LedgerBroken("the backup holds less history than its checkpoint", place=f"entry {found.size}")
    lost = max(newer.size - found.size, 0) if newer else 0
    # Each table since the backup was an entry that is lost; how many those are may be unknown, for how long is not.
    since = max(math.ceil((plant.clock.now() - backed_up.time).total_seconds()), 1) * MOST_TABLES_PER_S
    word = Restoration(
        person=plant.person,
        workspace=plant.origin,
        kept=found.size,
        root=found.root.hex(),
        lost=lost,
        reason=reason,
        ahead=max(lost, since),
    )
    body = {"kept": found.size, "lost": lost, "envelope": plant.seal(word, RESTORATION, "person")}
    plant.ledger.append([Draft(kind=RESTORED, actor=plant.person, stream="trust", body=body)])
    gone = f" Entries {found.size} to {found.size + lost - 1} are lost, which is on record." if lost else ""
    if newer is None:
        gone = " With --checkpoint, what a newer checkpoint witnessed would be on record as lost."
    says = f"Workspace {plant.origin} is back with {found.size} entries of history, all verified.{gone}"
    return Reply(says=says, document={"workspace": plant.origin, "kept": found.size, "lost": lost})


def lost_in_restore(plant: Plant, checkpoint: Checkpoint) -> str:
    """Return which signed restore says that what a checkpoint witnessed was lost, in words; "" if none does.

    Raises:
        NotVerified: A restore is on record whose statement does not verify.
    """
    for entry in plant.ledger.stream("trust"):
        if entry.kind == RESTORED:
            word = restoration_of(plant, entry)
            if word.kept < checkpoint.size <= word.kept + word.lost and checkpoint.time < entry.moment:
                gone = f"entries {word.kept} to {checkpoint.size - 1}"
                return f"{gone} were lost in the restore at entry {entry.position}"
    return ""


def epochs_left_out(plant: Plant, routed: Entry) -> int:
    """Return by how much the next epoch after a routing entry is raised, because the workspace was restored since.

    Gateways obey no table whose epoch is not above the highest that they have seen, and may have seen what is lost.

    Raises:
        NotVerified: A restore is on record whose statement does not verify.
    """
    since = (entry for entry in plant.ledger.stream("trust") if entry.kind == RESTORED)
    return sum(restoration_of(plant, entry).ahead for entry in since if entry.position > routed.position)


def restoration_of(plant: Plant, entry: Entry) -> Restoration:
    """Return what a restore's signed statement says.

    Raises:
        NotVerified: It does not verify.
    """
    return unseal(plant.blobs.get(Digest(entry.body["envelope"])), RESTORATION, plant.trust, at=entry.moment).value
