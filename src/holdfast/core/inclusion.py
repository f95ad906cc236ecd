"""Proofs of inclusion: that a ledger took an entry in, and when, for whoever has no ledger but its public keys.

One document travels beside a signature: the entry, its audit path and a signed checkpoint. With it a verifier without a
network knows the witnessed time at which something was signed, so that what was signed inside its key's window verifies
for ever. Without it there is only the signer's word, and the window is judged at the present moment.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.artifact import Digest, canonical, digest_bytes
from holdfast.core.errors import LedgerBroken, NotVerified
from holdfast.core.ledger import (
    MAX_CHECKPOINT,
    MAX_ENTRY,
    Checkpoint,
    Entry,
    SignedCheckpoint,
    open_checkpoint,
    parse_entry,
)
from holdfast.core.merkle import leaf_hash, verify_inclusion
from holdfast.core.seal import TRUST, unseal
from holdfast.core.trust import Trust, raw_ed25519

MAX_PROOF: Final = 2 * (MAX_ENTRY + MAX_CHECKPOINT)  # bytes; both are escaped as JSON text


class Proof(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """That a ledger holds an entry: the entry as it is hashed, its audit path in hex, and the checkpoint's note."""

    entry: str
    path: tuple[str, ...]
    checkpoint: str


def proof_document(entry: Entry, path: Sequence[bytes], signed: SignedCheckpoint) -> bytes:
    """Return a proof as the file that travels, canonical JSON."""
    nodes = tuple(node.hex() for node in path)
    return canonical(Proof(entry=entry.document.decode(), path=nodes, checkpoint=signed.note.decode()))


def open_proof(document: bytes, trust: Trust) -> tuple[Entry, Checkpoint]:
    """Return the entry that a proof is about, and the checkpoint that its ledger had reached.

    1. Read it, within limits. 2. A ledger key that the trust names, inside its window, has signed the checkpoint.
    3. The audit path leads from the entry to the checkpoint's root. 4. The entry is not newer than the checkpoint.

    Raises:
        NotVerified: Any step fails.
    """
    try:  # 1.
        if len(document) > MAX_PROOF:
            raise NotVerified(f"a proof of {len(document)} bytes", place="proof", expected=f"at most {MAX_PROOF}")
        proof = msgspec.json.decode(document, type=Proof)
        path = [bytes.fromhex(node) for node in proof.path]
        entry = parse_entry(proof.entry.encode())
    except (ValueError, RecursionError, LedgerBroken) as error:  # ValueError: not UTF-8, not JSON, not a proof, not hex
        raise NotVerified(f"this is not a proof of inclusion: {error}", place="proof") from error
    checkpoint = _opened(SignedCheckpoint(note=proof.checkpoint.encode()), trust)  # 2.
    verify_inclusion(leaf_hash(proof.entry.encode()), entry.position, checkpoint.size, path, checkpoint.root)  # 3.
    if entry.moment > checkpoint.time:  # 4.
        raise NotVerified("the entry is newer than the checkpoint over it", place=f"entry {entry.position}")
    return entry, checkpoint


def _opened(signed: SignedCheckpoint, trust: Trust) -> Checkpoint:
    refusal = NotVerified("no ledger key is trusted", place="proof")
    for key in trust.of_role("ledger"):
        try:
            opened = open_checkpoint(signed, origin=trust.workspace, public_key=raw_ed25519(key))
        except NotVerified as error:
            refusal = error
            continue
        if key.not_before <= opened.time < key.not_after:
            return opened
        refusal = NotVerified("the checkpoint was signed outside its key's validity", place=f"key {key.keyid[:16]}")
    raise refusal


def claimed_moment(document: bytes) -> datetime:
    """Return the time that a proof's checkpoint states, nothing believed: for judging the keys that then verify it.

    Raises:
        NotVerified: It states none.
    """
    try:
        note = msgspec.json.decode(document, type=Proof).checkpoint
        moment = datetime.fromisoformat(note.split("\n")[3].removeprefix("time "))
    except (ValueError, IndexError, RecursionError) as error:  # ValueError: not UTF-8, not JSON, not a proof, no time
        raise NotVerified(f"this is not a proof of inclusion: {error}", place="proof") from error
    if moment.tzinfo is None:
        raise NotVerified("the checkpoint's time has no zone", place="proof")
    return moment


def pinned_trust(root: bytes, sealed: bytes, *, fingerprint: str, at: datetime) -> Trust:
    """Return whom a workspace believes, for somebody who knows nothing of it but the fingerprint of its root.

    1. The root has the fingerprint, which came by another way. 2. It asks for a signature at all. 3. As many of its
    keys as it asks for have sealed the trust, inside their windows. 4. Both are of one workspace.

    Args:
        root: The pinned root, as the workspace's `root.json` holds it.
        sealed: The trust document.
        fingerprint: The digest of the root.
        at: The time at which the root keys' windows are judged: a witnessed one, or now.

    Raises:
        NotVerified: Any step fails.
    """
    if digest_bytes(root) != Digest(fingerprint):  # 1.
        raise NotVerified("this is another root", place=digest_bytes(root), expected=fingerprint[:80])
    try:
        anchor = msgspec.json.decode(root, type=Trust)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the root cannot be read: {error}", place="root.json") from error
    if anchor.root_threshold < 1:  # 2. empty means no
        raise NotVerified("the root asks for no signature", place="root.json", expected="at least one")
    trust = unseal(sealed, TRUST, anchor, at=at, threshold=anchor.root_threshold).value  # 3.
    if trust.workspace != anchor.workspace:  # 4.
        raise NotVerified("the trust document is another workspace's", place="trust.dsse.json")
    return trust
