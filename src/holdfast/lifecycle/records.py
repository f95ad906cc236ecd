"""Records: what the workspace can tell of itself, and the ledger's own commands. Nothing but a checkpoint is signed."""

from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from holdfast.core.artifact import digest_bytes
from holdfast.core.certificates import Warned
from holdfast.core.errors import InvalidInput
from holdfast.core.keystate import due_keys, state_of
from holdfast.core.ledger import Entry
from holdfast.lifecycle.certificates import issued
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short


def log(plant: Plant, *, last: int = 20, about: str | None = None, before: int | None = None) -> Reply:
    """List what happened, newest last.

    Args:
        plant: The control plane.
        last: How many entries at most.
        about: Only entries in whose stream, actor or body some text begins with this, a digest with or without
            `sha256:`.
        before: Only entries before this position; what follows a page of newer ones.

    Raises:
        InvalidInput: `last` is below 1, or `before` below 0.
    """
    if last < 1:
        raise InvalidInput(f"--last {last}", expected="at least 1")
    if before is not None and before < 0:
        raise InvalidInput(f"--before {before}", expected="a position in the ledger")
    size = plant.ledger.size()
    stop = size if before is None else min(before, size)
    if about is None:
        found = deque(plant.ledger.entries(max(0, stop - last), stop), maxlen=last)
    else:
        wanted = about.removeprefix("sha256:")
        found = deque((entry for entry in plant.ledger.entries(0, stop) if _speaks_of(entry, wanted)), maxlen=last)
    rows = [
        (
            str(entry.position),
            f"{datetime.fromisoformat(entry.time):%Y-%m-%d %H:%M:%S}",
            entry.actor,
            entry.kind,
            short(entry.stream) if entry.stream.startswith("sha256:") else entry.stream,
            about_of(entry.body),
        )
        for entry in found
    ]
    table = Table(title="Ledger", columns=("entry", "time (UTC)", "actor", "what", "about", "details"), rows=rows)
    document = {
        "entries": [
            {
                "position": entry.position,
                "time": entry.time,
                "kind": entry.kind,
                "actor": entry.actor,
                "stream": entry.stream,
                "body": entry.body,
            }
            for entry in found
        ]
    }
    return Reply(says=f"{len(found)} of {counted(size, 'entry', 'entries')}.", document=document, tables=(table,))


def _speaks_of(entry: Entry, wanted: str) -> bool:
    texts = (entry.stream, entry.actor, entry.kind, *_texts(entry.body))
    return any(text.removeprefix("sha256:").startswith(wanted) for text in texts)


def _texts(value: object) -> Iterator[str]:
    """Yield every text in a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def about_of(body: Mapping[str, Any]) -> str:
    """Return what an entry says, in a few words for one line."""
    standing = body.get("standing")
    if isinstance(standing, Mapping):
        share = (
            f", candidate {short(standing['candidate'])} {standing['share']:.0%}" if standing.get("candidate") else ""
        )
        return f"epoch {standing['epoch']}: {short(standing['baseline']) or 'nothing'}{share}"
    for key in ("control", "reason", "action", "kind", "stage", "id", "name"):
        if body.get(key):
            return str(body[key])[:100]
    return ""


def keys(plant: Plant) -> Reply:
    """List the trusted keys: role, algorithm, window, state and custody; never a secret."""
    trust, now = plant.trust, plant.clock.now()
    listed = [
        {
            "role": key.role,
            "algorithm": key.algorithm,
            "keyid": key.keyid,
            "owner": key.owner,
            "not_before": key.not_before.isoformat(),
            "not_after": key.not_after.isoformat(),
            "state": str(state_of(key, trust, now)),
            "custody": plant.keys.custody_of(key.keyid),
        }
        for key in trust.keys
    ]
    rows = [
        (
            item["role"],
            item["algorithm"],
            item["keyid"][:16],
            item["owner"],
            item["not_before"][:10],
            item["not_after"][:10],
            item["state"],
            item["custody"],
        )
        for item in listed
    ]
    columns = ("role", "algorithm", "key id", "owner", "from", "until", "state", "kept")
    due = len(due_keys(trust, now))
    endings = [each for each in issued(plant).values() if each.warned(now) is not Warned.FRESH]
    says = f"{counted(len(rows), 'key')}; private halves: {plant.custody}."
    says += f" {due} {'is' if due == 1 else 'are'} due: `holdfast key due`." if due else ""
    says += (
        f" {counted(len(endings), 'certificate is near its', 'certificates are near their')} end: `holdfast cert list`."
        if endings
        else ""
    )
    document = {"custody": plant.custody, "keys": listed, "due": due, "certificates_ending": len(endings)}
    return Reply(says=says, document=document, tables=(Table(title="Keys", columns=columns, rows=rows),))


def ledger_checkpoint(plant: Plant, *, out: Path) -> Reply:
    """Sign a checkpoint and write it where the caller says: it is worth something only away from the ledger.

    Raises:
        InvalidInput: The file cannot be written.
    """
    plant.unlock()
    note = plant.ledger.checkpoint().note
    try:
        out.write_bytes(note)
    except OSError as error:
        raise InvalidInput(f"the checkpoint cannot be written: {error.strerror}", place=str(out)) from error
    return Reply(
        says=f"Checkpoint of {plant.ledger.size()} entries written to {out}.", document={"digest": digest_bytes(note)}
    )


def ledger_rebuild(plant: Plant) -> Reply:
    """Make every table that queries read anew from the ledger, and say whether anything differed."""
    rebuilt = plant.ledger.rebuild()
    found = f"these had differed: {', '.join(rebuilt.differed)}" if rebuilt.differed else "nothing differed"
    says = f"Rebuilt from {rebuilt.entries} entries; {found}."
    return Reply(says=says, document={"entries": rebuilt.entries, "differed": list(rebuilt.differed)})
