"""The ledger: an append-only history that shows every edit, deletion, insertion, reordering and fork.

Three bindings, each found by `audit`:

1. each entry names the hash of the entry before it (the chain);
2. each entry names the hash of the entry before it *in its stream*, so that one subject's whole history can travel in a
   passport without gaps;
3. a signed checkpoint binds size and root of the RFC 6962 tree over all entries.

Detection is relative to a checkpoint kept elsewhere: without one the chain is self-consistent at best (`unanchored`).
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.core.artifact import canonical, from_base64
from holdfast.core.errors import InvalidInput, LedgerBroken, NotVerified
from holdfast.core.merkle import HASH_SIZE, Tree, leaf_hash

GENESIS: Final = "0" * 64
MAX_ENTRY: Final = 64 * 1024 - 1  # bytes; an entry points to blobs, and tlog-tiles counts its length in 16 bits
MAX_CHECKPOINT: Final = 16 * 1024  # bytes; a note with a hundred witness signatures fits
_ED25519_NOTE: Final = b"\x01"  # signature type of C2SP signed-note, "Ed25519"

Heads: TypeAlias = Mapping[str, tuple[int, str]]
"""Stream name to (number of entries, hash of the newest); a stream nobody wrote to is `(0, GENESIS)`."""


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to put on record; the ledger adds position, time and hashes."""

    kind: str
    actor: str
    stream: str
    body: dict[str, Any]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One entry of the history, as it is hashed."""

    position: int
    time: str
    kind: str
    actor: str
    stream: str
    stream_position: int
    stream_previous: str
    previous: str
    body: dict[str, Any]

    @property
    def document(self) -> bytes:
        """The canonical bytes that are stored and hashed."""
        return canonical(self)

    @property
    def moment(self) -> datetime:
        """The witnessed time."""
        return datetime.fromisoformat(self.time)


def entry_hash(document: bytes) -> str:
    """Return the hash that the next entry names, hex."""
    return hashlib.sha256(document).hexdigest()


def link(draft: Draft, *, position: int, previous: str, head: tuple[int, str], now: datetime) -> tuple[Entry, bytes]:
    """Return the entry that follows, and its document.

    Args:
        draft: What to record.
        position: The entry's place in the whole ledger, from 0.
        previous: Hash of the entry before it, `GENESIS` for the first.
        head: Length and newest hash of its stream.
        now: The witnessed time.

    Raises:
        InvalidInput: The draft has no canonical form, is too long, or does not say who did what to what.
    """
    if not (draft.actor and draft.kind and draft.stream):
        raise InvalidInput("a ledger entry without identity, action or object", expected="actor, kind and stream")
    entry = Entry(
        position=position,
        time=now.astimezone(UTC).isoformat(timespec="microseconds"),
        kind=draft.kind,
        actor=draft.actor,
        stream=draft.stream,
        stream_position=head[0],
        stream_previous=head[1],
        previous=previous,
        body=draft.body,
    )
    document = entry.document
    if len(document) > MAX_ENTRY:
        raise InvalidInput(
            f"a ledger entry of {len(document)} bytes", expected=f"at most {MAX_ENTRY}; store it as a blob"
        )
    return entry, document


def parse_entry(document: bytes) -> Entry:
    """Return the entry that a document holds.

    Raises:
        LedgerBroken: The bytes are not an entry, or its time is not a moment in UTC.
    """
    if len(document) > MAX_ENTRY:
        raise LedgerBroken(f"an entry of {len(document)} bytes", expected=f"at most {MAX_ENTRY}")
    try:
        entry = msgspec.json.decode(document, type=Entry)
        zone = entry.moment.tzinfo
    except (ValueError, RecursionError) as error:  # a planted document may be nested without end, or not UTF-8
        raise LedgerBroken(f"an entry cannot be read: {error}") from error
    if zone is not UTC:  # a time without zone cannot be held against a key's window
        raise LedgerBroken(f"an entry has the time {entry.time[:40]!r}", expected="a moment in UTC")
    return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """The state of the ledger at one moment: how many entries, their root, and when."""

    origin: str
    size: int
    root: bytes
    time: datetime

    @staticmethod
    def size_of(signed: "SignedCheckpoint") -> int:
        """Return the size that a note states, unverified: enough for whoever just signed it.

        Raises:
            NotVerified: The note states none.
        """
        try:
            return int(signed.note.split(b"\n", 2)[1])
        except (IndexError, ValueError) as error:
            raise NotVerified("the note states no size", place="checkpoint") from error

    @property
    def body(self) -> bytes:
        """The text that is signed (C2SP tlog-checkpoint, with the time as an extension line)."""
        encoded = base64.b64encode(self.root).decode()
        return f"{self.origin}\n{self.size}\n{encoded}\ntime {self.time.isoformat(timespec='microseconds')}\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedCheckpoint:
    """A checkpoint as a C2SP signed note; nothing in it is believed before `open_checkpoint`."""

    note: bytes


def note_keyid(name: str, public_key: bytes) -> bytes:
    """Return the 4-byte key hash of a signed note's Ed25519 key (C2SP signed-note, "Signature lines")."""
    return hashlib.sha256(name.encode() + b"\n" + _ED25519_NOTE + public_key).digest()[:4]


def sign_checkpoint(checkpoint: Checkpoint, *, public_key: bytes, signature: bytes) -> SignedCheckpoint:
    """Return the note made of a checkpoint and an Ed25519 signature over its body."""
    note = sign_note(checkpoint.body, name=checkpoint.origin, public_key=public_key, signature=signature)
    return SignedCheckpoint(note=note)


def sign_note(text: bytes, *, name: str, public_key: bytes, signature: bytes) -> bytes:
    """Return the C2SP signed note made of a text and an Ed25519 signature over it."""
    blob = base64.b64encode(note_keyid(name, public_key) + signature).decode()
    return text + f"\n\u2014 {name} {blob}\n".encode()


def open_note(note: bytes, *, name: str, public_key: bytes) -> bytes:
    """Return the text of a C2SP signed note that one Ed25519 key has signed.

    1. Split text from signatures at the last empty line. 2. Find the line of this name and key hash. 3. Verify over the
    text with its final newline. Lines of other signers (witnesses) are left to whoever trusts them.

    Raises:
        NotVerified: Any step fails.
    """
    place = f"note of {name}"
    text, separator, block = note.rpartition(b"\n\n")  # 1.
    if not separator or len(note) > MAX_CHECKPOINT:
        raise NotVerified("this is not a signed note", place=place)
    text += b"\n"
    prefix, wanted = f"\u2014 {name} ".encode(), note_keyid(name, public_key)
    for line in block.split(b"\n"):
        try:
            blob = from_base64(line.removeprefix(prefix)) if line.startswith(prefix) else b""
        except InvalidInput:
            continue  # a malformed line signs nothing; another may
        if blob[:4] != wanted:  # 2.
            continue
        try:
            Ed25519PublicKey.from_public_bytes(public_key).verify(blob[4:], text)  # 3.
        except InvalidSignature as error:
            raise NotVerified("the note's signature is wrong", place=place) from error
        return text
    raise NotVerified("the note is not signed by this key", place=place)


def open_checkpoint(signed: SignedCheckpoint, *, origin: str, public_key: bytes) -> Checkpoint:
    """Return the checkpoint if this ledger's key signed it; only then is its text parsed.

    Raises:
        NotVerified: It did not, or the text is not a checkpoint of this origin in canonical form.
    """
    return parse_checkpoint(open_note(signed.note, name=origin, public_key=public_key), origin)


def parse_checkpoint(text: bytes, origin: str) -> Checkpoint:
    """Return the checkpoint that a text is, whoever has signed it or is asked to.

    Raises:
        NotVerified: It is not one of this origin in canonical form.
    """
    try:
        first, size, root, time, rest = text.decode().split("\n")
        checkpoint = Checkpoint(
            origin=first,
            size=int(size),
            root=from_base64(root),
            time=datetime.fromisoformat(time.removeprefix("time ")),
        )
    except (ValueError, InvalidInput) as error:
        raise NotVerified(f"the checkpoint cannot be read: {error}", place=f"checkpoint of {origin}") from error
    sound = checkpoint.size >= 0 and len(checkpoint.root) == HASH_SIZE and checkpoint.time.tzinfo is not None
    if rest or not sound or checkpoint.origin != origin or checkpoint.body != text:
        raise NotVerified("the checkpoint is not in its canonical form", place=f"checkpoint of {origin}")
    return checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What making the tables anew found: how many entries there are, and which tables said something else."""

    entries: int
    differed: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What an audit of a whole ledger found to hold."""

    size: int
    root: bytes
    head: str
    anchored: int | None  # the size of the newest outside checkpoint that matched; None: unanchored


def audit(rows: Iterable[tuple[bytes, str]], checkpoints: Sequence[Checkpoint] = ()) -> Audit:
    """Check a whole ledger and say how far it can be believed.

    Args:
        rows: (document, stored hash) in order.
        checkpoints: Opened checkpoints to hold it against, from anywhere but beside the ledger.

    Raises:
        LedgerBroken: With the first entry that does not fit as its place.
    """
    wanted: dict[int, list[Checkpoint]] = {}
    for checkpoint in checkpoints:  # two of one size may differ: that is what a fork looks like
        wanted.setdefault(checkpoint.size, []).append(checkpoint)
    tree, previous, streams = Tree(), GENESIS, dict[str, tuple[int, str]]()
    good = 0
    _match(wanted.get(0, ()), tree, good)
    for position, (document, stored) in enumerate(rows):
        found = entry_hash(document)
        place = f"entry {position}"
        if found != stored:
            raise LedgerBroken(
                "the entry was changed after it was written", place=place, expected=f"hash {stored[:16]}…"
            )
        try:
            entry = parse_entry(document)
        except LedgerBroken as error:
            raise LedgerBroken(error.message, place=place) from error
        if entry.position != position:
            raise LedgerBroken(
                f"the entry says it is number {entry.position}; entries were removed or moved", place=place
            )
        if entry.previous != previous:
            raise LedgerBroken(f"the chain breaks between entry {position - 1} and this one", place=place)
        if (entry.stream_position, entry.stream_previous) != streams.get(entry.stream, (0, GENESIS)):
            raise LedgerBroken(f"the history of {entry.stream} has a gap here", place=place)
        streams[entry.stream] = (entry.stream_position + 1, found)
        previous = found
        tree.append(leaf_hash(document))
        if (here := wanted.get(position + 1)) is not None:
            _match(here, tree, good)
            good = position + 1
    beyond = [size for size in wanted if size > len(tree)]
    if beyond:
        raise LedgerBroken(
            f"a checkpoint witnessed {max(beyond)} entries, {len(tree)} are here; the end was cut off",
            place=f"entry {len(tree)}",
        )
    anchored = max((size for size in wanted if size), default=None)
    return Audit(size=len(tree), root=tree.root(), head=previous, anchored=anchored)


def _match(checkpoints: Sequence[Checkpoint], tree: Tree, good: int) -> None:
    if any(tree.root() != checkpoint.root for checkpoint in checkpoints):
        raise LedgerBroken(
            f"history before the checkpoint at {len(tree)} was rewritten", place=f"entries {good} to {len(tree)}"
        )
