"""Copies of a ledger, verified by somebody who holds none of its secrets: a database or tiles, keys, a checkpoint.

Whoever does this needs nothing from the workspace: the ledger's public key (or the trust document with the pinned
root), the last checkpoint that witnesses have cosigned, and the keys of those witnesses. All of it was kept elsewhere.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.ledger import MAX_CHECKPOINT, Audit, Checkpoint, SignedCheckpoint, open_checkpoint
from holdfast.core.ports import Ledger
from holdfast.core.seal import MAX_ENVELOPE, TRUST, unseal
from holdfast.core.tiles import audit_tiles
from holdfast.core.trust import Trust, raw_ed25519
from holdfast.core.witness import COSIGNATURE, LOG, Cosignature, NoteKey, check_demanded, check_quorum, parse_note_key
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.reply import Reply
from holdfast.lifecycle.tiling import read_tile

MAX_KEYS: Final = 64 * 1024  # bytes of a file of verifier keys
OpenCopy = Callable[[Path, Sequence[NoteKey]], AbstractContextManager[Ledger]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the verifier has brought along."""

    database: Path | None
    tiles: Path | None
    key: str | None
    trust: Path | None
    pinned: Path | None
    checkpoint: Path
    witnesses: Path | None
    quorum: int


def verify_copy(given: Given, open_copy: OpenCopy, now: datetime) -> Reply:
    """Verify a copy of a ledger against the keys and the checkpoint that were kept elsewhere.

    1. The keys: named, or those of a trust document that the pinned root has signed. 2. The checkpoint is signed by one
    of them, and cosigned by as many witnesses as demanded. 3. Every entry, table and tile up to it.

    Raises:
        InvalidInput: Something is not given, or given twice, or cannot be read.
        NotVerified: Keys, checkpoint or cosignatures do not check out.
        LedgerBroken: With the first entry, table or tile that does not fit as its place.
    """
    if (given.database is None) == (given.tiles is None):
        raise InvalidInput("what to verify is not clear", expected="--database FILE or --tiles DIR")
    trust = _trust(given, now)
    keys = _keys(given, trust)  # 1.
    note = read_given(given.checkpoint, limit=MAX_CHECKPOINT + 1, what="the checkpoint")
    checkpoint = _opened(note, keys, str(given.checkpoint))  # 2.
    said = _cosignatures(given, note, trust)
    if given.tiles is not None:  # 3.
        folder = given.tiles
        found, beyond = audit_tiles(lambda path: read_tile(folder, path), checkpoint), 0
    else:
        with open_copy(Path(str(given.database)), keys) as ledger:
            found = ledger.verify([checkpoint])
        beyond = found.size - checkpoint.size
    return _reply(found, checkpoint, said, beyond)


def _trust(given: Given, now: datetime) -> Trust | None:
    """Return the trust document that was given, verified with the root that was pinned; None where a key was given."""
    if given.key is not None and given.trust is None:
        return None
    if given.trust is None or given.pinned is None or given.key is not None:
        raise InvalidInput(
            "whose ledger this is is not clear", expected="--key KEY, or --trust FILE with --pinned FILE"
        )
    place = str(given.pinned)
    try:
        root = msgspec.json.decode(read_given(given.pinned, limit=MAX_KEYS, what="the pinned root"), type=Trust)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the pinned root cannot be read: {error}", place=place) from error
    if root.root_threshold < 1:  # empty means no
        raise NotVerified("the pinned root asks for no signature", place=place, expected="at least one")
    document = read_given(given.trust, limit=MAX_ENVELOPE + 1, what="the trust document")
    trust = unseal(document, TRUST, root, at=now, threshold=root.root_threshold).value
    if trust.workspace != root.workspace:
        raise NotVerified("the trust document is another workspace's", place=str(given.trust))
    return trust


def _keys(given: Given, trust: Trust | None) -> tuple[NoteKey, ...]:
    if trust is None:
        return (parse_note_key(given.key or ""),)
    keys = tuple(NoteKey(name=trust.workspace, sort=LOG, public=raw_ed25519(key)) for key in trust.of_role("ledger"))
    if not keys:
        raise NotVerified("no ledger key is trusted", place=str(given.trust))
    return keys


def _opened(note: bytes, keys: Sequence[NoteKey], place: str) -> Checkpoint:
    refusal = NotVerified("no key of the ledger is given", place=place)
    for key in keys:
        if key.sort != LOG:
            raise InvalidInput("this is a witness's key", place=key.name, expected="the key of the ledger")
        try:
            return open_checkpoint(SignedCheckpoint(note=note), origin=key.name, public_key=key.public)
        except NotVerified as error:
            refusal = NotVerified(f"the checkpoint does not verify: {error.message}", place=place)
    raise refusal


def _cosignatures(given: Given, note: bytes, trust: Trust | None) -> tuple[Cosignature, ...]:
    """Return the cosignatures of trusted witnesses; none where no witness is named and none is demanded.

    What the trust document demands, no option lowers.
    """
    demanded = check_demanded(note, trust.witnesses, trust.witness_quorum) if trust else ()
    if given.witnesses is None and given.quorum == 0:
        return demanded
    if given.witnesses is None:
        raise InvalidInput("the witnesses are not named", expected="--witnesses FILE, one verifier key a line")
    data = read_given(given.witnesses, limit=MAX_KEYS, what="the file of witnesses")
    lines = [line.strip() for line in data.decode(errors="replace").splitlines()]
    keys = [parse_note_key(line) for line in lines if line and not line.startswith("#")]
    if any(key.sort != COSIGNATURE for key in keys):
        raise InvalidInput("a key in it is no witness's", place=str(given.witnesses), expected="keys of witnesses")
    named = check_quorum(note, keys, given.quorum or len(keys))
    return (*demanded, *(each for each in named if each not in demanded))


def _reply(found: Audit, checkpoint: Checkpoint, said: Sequence[Cosignature], beyond: int) -> Reply:
    who = ", ".join(each.witness for each in said)
    seen = f"cosigned by {who}" if said else "cosigned by nobody: only its own key vouches that it was not replaced"
    says = f"{checkpoint.size} entries are what the checkpoint of {checkpoint.time:%Y-%m-%d %H:%M} UTC signed, {seen}."
    if beyond:
        says += f" {beyond} later entries hold together; no checkpoint outside speaks of them."
    document = {
        "size": found.size,
        "root": found.root.hex(),
        "head": found.head,
        "anchored": checkpoint.size,
        "witnesses": [{"witness": each.witness, "time": each.time.isoformat()} for each in said],
    }
    return Reply(says=says, document=document)
