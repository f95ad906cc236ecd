"""Witnessing: the ledger's checkpoints shown to witnesses, and what they said of them put on record.

A cosigned checkpoint that is kept away from the ledger is what `holdfast ledger verify-copy` holds a copy against: from
then on nobody who holds every key of this workspace can take back what the witness saw.
"""

from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.ledger import MAX_CHECKPOINT, Checkpoint, Draft, Entry, SignedCheckpoint
from holdfast.core.succession import successor
from holdfast.core.trust import raw_ed25519
from holdfast.core.witness import (
    COSIGNATURE,
    LOG,
    Cosignature,
    NoteKey,
    Witnessing,
    open_cosignature,
    parse_note_key,
    parse_tree_head,
)
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply
from holdfast.lifecycle.trusting import change
from holdfast.lifecycle.verification import open_outside

WITNESSED: Final = "checkpoint.witnessed"  # body: size, note, witness, time
STREAM: Final = "witnesses"
ACCEPTED: Final = "trust.witness"  # body: witness, quorum


def ledger_keys(plant: Plant) -> tuple[NoteKey, ...]:
    """Return the keys that sign this ledger's checkpoints, as other tools read them."""
    keys = plant.trust.of_role("ledger")
    return tuple(NoteKey(name=plant.origin, sort=LOG, public=raw_ed25519(key)) for key in keys)


def ledger_key(plant: Plant) -> Reply:
    """Print the verifier keys of this ledger: for witnesses, and for whoever checks a copy."""
    keys = [str(key) for key in ledger_keys(plant)]
    return Reply(says="\n".join(keys), document={"origin": plant.origin, "keys": keys})


def accept_witness(plant: Plant, *, key: str, quorum: int = 0) -> Reply:
    """Let the root key accept a witness: from then on a checkpoint from outside must carry a quorum of them.

    Args:
        plant: The control plane.
        key: The witness's verifier key.
        quorum: How many of the accepted witnesses must have cosigned; as before if 0.

    Raises:
        InvalidInput: The key is no witness's, or more are demanded than there are.
        Refused: More persons must sign than hold their root keys here.
    """
    parsed = parse_note_key(key)
    known = dict.fromkeys((*plant.trust.witnesses, str(parsed)))
    if parsed.sort != COSIGNATURE or not 0 <= quorum <= len(known):
        expected = f"a witness's key, and a quorum of 0 to {len(known)}"
        raise InvalidInput("the witness cannot be accepted so", place=parsed.name, expected=expected)
    plant.unlock()
    body: dict[str, Any] = {"witness": str(parsed), "quorum": quorum or plant.trust.witness_quorum}
    with plant.ledger.lease("trust"):
        says = f"{parsed.name} counts from now on; {body['quorum']} of {len(known)} witnesses must have cosigned."
        newer = successor(plant.trust, witnesses=tuple(known), witness_quorum=int(body["quorum"]))
        accepted = Draft(kind=ACCEPTED, actor="root", stream="trust", body=body)
        reply = change(plant, newer, says=says, because=(accepted,))
    return Reply(says=reply.says, document=body)


def witnessed(plant: Plant) -> tuple[Entry, ...]:
    """Return what witnesses have said, oldest first."""
    return tuple(entry for entry in plant.ledger.stream(STREAM) if entry.kind == WITNESSED)


def newest_witnessed(plant: Plant) -> SignedCheckpoint | None:
    """Return the newest checkpoint that a witness has cosigned, with every cosignature on it."""
    said = max(witnessed(plant), key=lambda entry: (int(entry.body["size"]), entry.position), default=None)
    return SignedCheckpoint(note=plant.blobs.get(Digest(said.body["note"]))) if said else None


def ask_witness(
    plant: Plant, *, witness: str, out: Path | None = None, url: str | None = None, keep: Path | None = None
) -> Reply:
    """Ask a witness to cosign the ledger as it is now: by a file, or over HTTP.

    Args:
        plant: The control plane.
        witness: The witness's verifier key.
        out: Write the request here; bring the answer with `holdfast ledger take-cosignature`.
        url: Send the request to this address, and take the answer.
        keep: Write the cosigned checkpoint here too.

    Raises:
        InvalidInput: Neither file nor address is named, or both.
        NotVerified: The witness has seen another history than this one, or answers with something else.
        Unavailable: The witness does not answer, or cannot say why not.
    """
    if (out is None) == (url is None):
        raise InvalidInput("where to send the request is not clear", expected="--out FILE or --url URL")
    key = parse_note_key(witness)
    plant.unlock()
    note = plant.ledger.checkpoint().note
    seen = max((int(each.body["size"]) for each in witnessed(plant) if each.body["witness"] == key.name), default=0)
    if out is not None:
        document = _request(plant, seen, note)
        _write(out, document)
        says = f"Request from {seen} to {Checkpoint.size_of(SignedCheckpoint(note=note))} entries written to {out}."
        return Reply(says=says, document={"old": seen, "request": str(out)})
    line = _asked(plant, str(url), seen, note)
    return _take(plant, key, note + line, keep)


def take_cosignature(plant: Plant, *, file: Path, witness: str, keep: Path | None = None) -> Reply:
    """Take a checkpoint that a witness has cosigned, and put it on record.

    Raises:
        InvalidInput: The file cannot be read, or the key is none.
        NotVerified: It is not a checkpoint of this ledger as it is, or not cosigned by this witness.
    """
    note = read_given(file, limit=MAX_CHECKPOINT + 1, what="the cosigned checkpoint")
    return _take(plant, parse_note_key(witness), note, keep)


def _request(plant: Plant, old: int, note: bytes) -> bytes:
    size = Checkpoint.size_of(SignedCheckpoint(note=note))
    if old > size:
        raise NotVerified(
            f"the witness has seen {old} entries, {size} are here: the end was cut off",
            place=f"entry {size}",
            remedy="Keep the files as evidence, and restore from a copy that the witness's checkpoint fits.",
        )
    return Witnessing(old=old, proof=plant.ledger.consistency(old, size), note=note).document


def _asked(plant: Plant, url: str, seen: int, note: bytes) -> bytes:
    """Return the witness's line; where it remembers another size than we do, ask once more from there."""
    status, answer = plant.ask_witness(url, _request(plant, seen, note))
    if status == HTTPStatus.CONFLICT and answer.strip().isdigit() and int(answer) != seen:
        status, answer = plant.ask_witness(url, _request(plant, int(answer), note))
    if status in {HTTPStatus.CONFLICT, HTTPStatus.UNPROCESSABLE_ENTITY}:
        raise NotVerified(
            "the witness has seen another history of this ledger",
            place=url,
            remedy="Hold the ledger against the newest checkpoint that the witness cosigned: `ledger verify-copy`.",
        )
    if status != HTTPStatus.OK:
        words = answer[:200].decode(errors="replace").strip()
        raise Unavailable(f"the witness answers {status}: {words}", place=url)
    return answer


def _take(plant: Plant, key: NoteKey, note: bytes, keep: Path | None) -> Reply:
    """Verify a cosigned checkpoint against the ledger, and record it with what other witnesses said of the same one."""
    said = _checked(plant, key, note)
    size = parse_tree_head(note).size
    merged = _merged(plant, note)
    known = [entry for entry in witnessed(plant) if entry.body["witness"] == key.name and entry.body["size"] == size]
    digest = plant.blobs.put(merged)
    if not any(entry.body["note"] == digest for entry in known):
        body = {"size": size, "note": digest, "witness": key.name, "time": said.time.isoformat()}
        plant.ledger.append([Draft(kind=WITNESSED, actor=key.name, stream=STREAM, body=body)])
    if keep is not None:
        _write(keep, merged)
    kept = f" and written to {keep}: keep it away from here" if keep else ""
    says = f"{key.name} has cosigned {size} entries at {said.time:%Y-%m-%d %H:%M:%S} UTC; on record{kept}."
    return Reply(says=says, document={"witness": key.name, "size": size, "note": digest})


def _checked(plant: Plant, key: NoteKey, note: bytes) -> Cosignature:
    checkpoint = open_outside(plant, note, place="the cosigned checkpoint")
    said = open_cosignature(note, key)
    if checkpoint.size > plant.ledger.size() or plant.ledger.root(checkpoint.size) != checkpoint.root:
        raise NotVerified("the cosigned checkpoint is of another history", place=f"entries 0 to {checkpoint.size}")
    return said


def _merged(plant: Plant, note: bytes) -> bytes:
    """Return the note with the lines of every witness who cosigned the same text before."""
    text, _, block = note.rpartition(b"\n\n")
    lines = dict.fromkeys(line for line in block.split(b"\n") if line)
    for entry in witnessed(plant):
        try:
            before, _, further = plant.blobs.get(Digest(entry.body["note"])).rpartition(b"\n\n")
        except NotFound:
            continue  # its line is lost; this one is not
        if before == text:
            lines |= dict.fromkeys(line for line in further.split(b"\n") if line)
    return text + b"\n\n" + b"".join(line + b"\n" for line in lines)


def _write(path: Path, data: bytes) -> None:
    try:
        path.write_bytes(data)
    except OSError as error:
        raise InvalidInput(f"the file cannot be written: {error.strerror}", place=str(path)) from error
