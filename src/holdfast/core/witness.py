"""Witnesses: others who saw the ledger grow, and say so (C2SP tlog-witness, tlog-cosignature).

A witness remembers for each log the newest tree it has cosigned, demands a proof that the next one only adds to it, and
refuses everything else. So whoever trusts a witness sees a log that was rolled back, forked or rewritten, even if the
log's own key signed it. What to answer is decided here (`consider`); remembering is the shell's part.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from holdfast.core.artifact import from_base64
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.ledger import MAX_CHECKPOINT, open_note
from holdfast.core.merkle import HASH_SIZE, verify_consistency

LOG: Final = 1  # signature type of signed-note: Ed25519 over the text
COSIGNATURE: Final = 4  # signature type of tlog-cosignature: timestamped Ed25519
MAX_PROOF_LINES: Final = 63  # tlog-witness: no client sends more
MAX_REQUEST: Final = MAX_CHECKPOINT + MAX_PROOF_LINES * 64  # bytes
_STAMP: Final = 8  # bytes of a cosignature's time
_SIGNATURE: Final = 64
_KEY: Final = 32
_MAX_NAME: Final = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteKey:
    """A public key as signed notes write it: `name+hash+key`."""

    name: str
    sort: int  # LOG or COSIGNATURE
    public: bytes

    @property
    def keyid(self) -> bytes:
        """The four bytes in front of each of its signatures (signed-note, "Signatures")."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.sort]) + self.public).digest()[:4]

    def __str__(self) -> str:
        """Return the verifier key, as other tools read it."""
        return f"{self.name}+{self.keyid.hex()}+{base64.b64encode(bytes([self.sort]) + self.public).decode()}"


def parse_note_key(text: str) -> NoteKey:
    """Return the key in a verifier key's text.

    Raises:
        InvalidInput: It is none, of a type nobody here knows, or its hash is not its own.
    """
    name, _, rest = text.strip().partition("+")
    hashed, _, encoded = rest.partition("+")
    try:
        data = from_base64(encoded)
    except InvalidInput as error:
        raise InvalidInput("this is no verifier key", place=text[:80], expected="name+hash+base64") from error
    sound = bool(name) and not any(letter.isspace() for letter in name) and len(name) <= _MAX_NAME
    if not sound or len(data) != _KEY + 1 or data[0] not in {LOG, COSIGNATURE}:
        raise InvalidInput("this is no verifier key", place=text[:80], expected="an Ed25519 key: name+hash+base64")
    key = NoteKey(name=name, sort=data[0], public=data[1:])
    if key.keyid.hex() != hashed:
        raise InvalidInput("the verifier key's hash is not its own", place=text[:80], expected=key.keyid.hex())
    return key


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeHead:
    """What a checkpoint says of a log's tree, whatever else stands in it."""

    origin: str
    size: int
    root: bytes


def parse_tree_head(text: bytes) -> TreeHead:
    """Return the tree head in a checkpoint's text (C2SP tlog-checkpoint); further lines are the log's own affair.

    Raises:
        InvalidInput: The text is not a checkpoint.
    """
    try:
        origin, size, encoded, *_ = text.decode().split("\n")
        root = from_base64(encoded.encode())
        head = TreeHead(origin=origin, size=int(size), root=root)
    except (ValueError, InvalidInput) as error:
        raise InvalidInput("this is not a checkpoint", expected="origin, size and root, one a line") from error
    if not origin or str(head.size) != size or head.size < 0 or len(root) != HASH_SIZE:
        raise InvalidInput("this is not a checkpoint", expected="origin, size and root, one a line")
    return head


@dataclass(frozen=True, slots=True, kw_only=True)
class Witnessing:
    """What a log asks of a witness: from which size on, the proof of growth, and the checkpoint."""

    old: int
    proof: tuple[bytes, ...]
    note: bytes

    @property
    def document(self) -> bytes:
        """The request's body (tlog-witness, "add-checkpoint")."""
        lines = [f"old {self.old}", *(base64.b64encode(part).decode() for part in self.proof)]
        return "\n".join(lines).encode() + b"\n\n" + self.note


def parse_witnessing(document: bytes) -> Witnessing:
    """Return the request in a body.

    Raises:
        InvalidInput: It is malformed or too long.
    """
    head, separator, note = document.partition(b"\n\n")
    if not separator or len(document) > MAX_REQUEST:
        raise InvalidInput("this is not a request to a witness", expected="an old size, a proof and a checkpoint")
    first, *lines = head.split(b"\n")
    digits = first.removeprefix(b"old ")
    sound = first.startswith(b"old ") and digits.isdigit() and str(int(digits)).encode() == digits
    if not sound or len(digits) > len(str(1 << 63)) or len(lines) > MAX_PROOF_LINES:
        raise InvalidInput("the old size cannot be read", expected=f"old N, and at most {MAX_PROOF_LINES} hashes")
    proof = tuple(from_base64(line) for line in lines)
    if any(len(part) != HASH_SIZE for part in proof):
        raise InvalidInput("a line of the proof is no hash", expected=f"{HASH_SIZE} bytes")
    return Witnessing(old=int(digits), proof=proof, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """The checkpoint extends what was seen: cosign its text, once `head` is remembered."""

    head: TreeHead
    text: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Declined:
    """No cosignature; `status` is what tlog-witness answers over HTTP, `size` what the witness knows, on a conflict."""

    status: int
    words: str
    size: int | None = None


def consider(document: bytes, logs: Mapping[str, Sequence[NoteKey]], seen: Mapping[str, TreeHead]) -> Agreed | Declined:
    """Decide about a request, in the order of C2SP tlog-witness.

    1. The request is well formed. 2. The origin is known. 3. One of its keys signed the checkpoint. 4. The old size is
    not beyond it. 5. The old size is what was seen last. 6. The proof leads from there to the checkpoint.

    Args:
        document: The request's body.
        logs: The keys of each log that is witnessed, by origin.
        seen: The newest head cosigned, by origin.
    """
    try:
        asked = parse_witnessing(document)  # 1.
        head = parse_tree_head(asked.note)
    except InvalidInput as error:
        return Declined(status=400, words=error.message)
    keys = logs.get(head.origin, ())
    if not keys:  # 2.
        return Declined(status=404, words="this witness does not know the log")
    text = _signed(asked.note, keys)
    if text is None:  # 3.
        return Declined(status=403, words="no key of the log has signed the checkpoint")
    head = parse_tree_head(text)
    if asked.old > head.size:  # 4.
        return Declined(status=400, words=f"the old size {asked.old} is beyond the checkpoint's {head.size}")
    declined = _unlike(asked, head, seen.get(head.origin))  # 5. and 6.
    return declined or Agreed(head=head, text=text)


def _unlike(asked: Witnessing, head: TreeHead, known: TreeHead | None) -> Declined | None:
    """Return why a checkpoint does not extend what was seen, or None if it does."""
    size = known.size if known else 0
    if asked.old != size:  # 5.
        return Declined(status=409, words="another size was seen last", size=size)
    if known and known.size == head.size and known.root != head.root:
        return Declined(status=409, words="another tree of this size was seen: the log is forked", size=size)
    try:
        if known and known.size:
            verify_consistency(known.size, head.size, asked.proof, known.root, head.root)  # 6.
        elif asked.proof:
            return Declined(status=422, words="a first checkpoint needs no proof")
    except NotVerified as error:
        return Declined(status=422, words=error.message)
    return None


def _signed(note: bytes, keys: Sequence[NoteKey]) -> bytes | None:
    for key in keys:
        try:
            return open_note(note, name=key.name, public_key=key.public)
        except NotVerified:
            continue
    return None


def cosigned_message(text: bytes, stamp: int) -> bytes:
    """Return what a witness signs (tlog-cosignature, "Format")."""
    return b"cosignature/v1\ntime %d\n" % stamp + text


def cosignature_line(key: NoteKey, stamp: int, signature: bytes) -> bytes:
    """Return the line that a witness adds to a note."""
    blob = base64.b64encode(key.keyid + stamp.to_bytes(_STAMP, "big") + signature).decode()
    return f"\u2014 {key.name} {blob}\n".encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosignature:
    """A witness's word that it saw the log grow to a checkpoint, and when."""

    witness: str
    time: datetime


def open_cosignature(note: bytes, key: NoteKey) -> Cosignature:
    """Return a witness's cosignature on a note.

    Raises:
        NotVerified: The witness has not cosigned it.
    """
    place = f"cosignature of {key.name}"
    text, separator, block = note.rpartition(b"\n\n")
    prefix = f"\u2014 {key.name} ".encode()
    for line in block.split(b"\n") if separator and len(note) <= MAX_CHECKPOINT else ():
        try:
            blob = from_base64(line.removeprefix(prefix)) if line.startswith(prefix) else b""
        except InvalidInput:
            continue  # a malformed line says nothing; another may
        if blob[:4] != key.keyid or len(blob) != len(key.keyid) + _STAMP + _SIGNATURE or key.sort != COSIGNATURE:
            continue
        stamp, signature = int.from_bytes(blob[4 : 4 + _STAMP], "big"), blob[4 + _STAMP :]
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, cosigned_message(text + b"\n", stamp))
            return Cosignature(witness=key.name, time=datetime.fromtimestamp(stamp, UTC))
        except InvalidSignature as error:
            raise NotVerified("the cosignature is wrong", place=place) from error
        except (OverflowError, ValueError, OSError) as error:
            raise NotVerified("the cosignature's time is no time", place=place) from error
    raise NotVerified("the witness has not cosigned this", place=place)


def check_demanded(note: bytes, witnesses: Sequence[str], quorum: int) -> tuple[Cosignature, ...]:
    """Return the cosignatures that a trust document demands of a checkpoint; none where it demands none.

    Raises:
        NotVerified: There are too few, or what is demanded cannot be met.
    """
    if quorum == 0:
        return ()
    try:
        keys = [parse_note_key(text) for text in witnesses]
    except InvalidInput as error:
        raise NotVerified(f"a trusted witness's key cannot be read: {error.message}", place="trust") from error
    return check_quorum(note, keys, quorum)


def check_quorum(note: bytes, witnesses: Sequence[NoteKey], quorum: int) -> tuple[Cosignature, ...]:
    """Return the cosignatures on a note, if as many distinct witnesses as demanded have cosigned it.

    Raises:
        NotVerified: There are too few, or the demand cannot be met by anybody.
    """
    distinct = {key.public: key for key in witnesses}  # one witness under two names counts once
    if not 1 <= quorum <= len(distinct):  # empty means no
        raise NotVerified(f"a quorum of {quorum} among {len(distinct)} witnesses", expected="1 or more, and no more")
    found = []
    for key in distinct.values():
        try:
            found.append(open_cosignature(note, key))
        except NotVerified:
            continue  # the count below tells
    if len(found) < quorum:
        raise NotVerified(f"{len(found)} of the trusted witnesses have cosigned this", expected=f"at least {quorum}")
    return tuple(found)
