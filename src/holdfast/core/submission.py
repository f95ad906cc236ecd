"""Submissions: what a source says of a file that it hands in, signed, so that only it can hand in, and each file once.

Holds no rows: a digest, a size and a number that rises with each submission. Whoever takes a file in verifies this
first and the file's bytes against it, and parses only then. A number that was used, or lies below one that was, is
refused: it was handed in before, and somebody has kept it.

What is signed is the line `holdfast submission 1` and then the canonical JSON of everything but key and signature, so
that a sender needs nothing of ours: `openssl pkeyutl -sign -rawin` signs it as well.
"""

import base64
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Meta

from holdfast.core.artifact import Moment, canonical, from_base64
from holdfast.core.errors import InvalidInput, NotVerified, Refused
from holdfast.core.sources import public_key

MAX_SUBMISSION: Final = 4096  # bytes; one takes 500
AHEAD: Final = timedelta(minutes=10)  # by which a sender's clock may be ahead of ours
_CONTEXT: Final = b"holdfast submission 1\n"  # never the beginning of a DSSE message, which is "DSSEv1 "
_FORMAT: Final = "holdfast-submission-1"


class Submission(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a source says of one file."""

    format: Literal["holdfast-submission-1"] = _FORMAT
    source: str
    sequence: Annotated[int, Meta(ge=1, lt=1 << 53)]
    digest: str
    size: Annotated[int, Meta(ge=0, lt=1 << 53)]
    made: Moment
    key: str  # ed25519: and base64, as the project declares it
    signature: str

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return message(self.source, self.sequence, self.digest, self.size, self.made)


def message(source: str, sequence: int, digest: str, size: int, made: datetime) -> bytes:
    """Return the bytes that a sender signs.

    >>> message("till", 1, "sha256:0", 3, datetime.fromisoformat("2026-01-02T03:04:05+00:00")).splitlines()[0]
    b'holdfast submission 1'
    """
    said = {"format": _FORMAT, "source": source, "sequence": sequence, "digest": digest, "size": size}
    return _CONTEXT + canonical(said | {"made": made.isoformat()})


def parse_submission(document: bytes) -> Submission:
    """Return what a document says, nothing verified.

    Raises:
        InvalidInput: It is none.
    """
    if len(document) > MAX_SUBMISSION:
        raise InvalidInput(f"a submission of {len(document)} bytes", expected=f"at most {MAX_SUBMISSION}")
    try:
        return msgspec.json.decode(document, type=Submission)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"this is no submission: {error}", expected="what `holdfast source sign` writes") from error


def verify(
    said: Submission, *, source: str, signed_by: Sequence[str], digest: str, size: int, last: int, now: datetime
) -> None:
    """Verify that a submission is a source's own, about these bytes, and new.

    Args:
        said: The submission.
        source: The source that the file is handed in for.
        signed_by: The public keys that the project declares for it.
        digest: Of the bytes that came.
        size: Their number.
        last: The number of the newest submission that was taken in.
        now: The present.

    Raises:
        NotVerified: Another source's, another key's, forged, or about other bytes.
        Refused: It was handed in before, or an older one than what was.
    """
    place = f"source {source}"
    if said.key not in signed_by:  # empty means no
        raise NotVerified("it is signed by a key that the project does not declare for this source", place=place)
    try:
        signature = from_base64(said.signature)
        Ed25519PublicKey.from_public_bytes(public_key(said.key)).verify(signature, said.message)
    except (InvalidSignature, InvalidInput, ValueError) as error:
        raise NotVerified("the signature is wrong: it was forged, or changed on its way", place=place) from error
    if said.source != source:
        raise NotVerified(f"it was signed for the source {said.source[:80]!r}", place=place)
    if (said.digest, said.size) != (digest, size):
        raise NotVerified("the file is not the one that was signed", place=place)
    if said.made > now + AHEAD:
        raise NotVerified("it was signed in the future", place=place, remedy="Set the sender's clock.")
    if said.sequence <= last:
        raise Refused(
            f"submission {said.sequence} is not new: number {last} was taken in already",
            place=place,
            expected=f"a number above {last}",
            remedy="Sign it again with the next number, if it was not handed in before.",
        )


def signed(source: str, sequence: int, digest: str, size: int, made: datetime, key: bytes, signature: bytes) -> bytes:
    """Return a submission's document."""
    said = Submission(
        source=source,
        sequence=sequence,
        digest=digest,
        size=size,
        made=made,
        key=key_text(key),
        signature=base64.b64encode(signature).decode(),
    )
    return msgspec.json.encode(said) + b"\n"


def key_text(raw: bytes) -> str:
    """Return a public key as a project declares it."""
    return f"ed25519:{base64.b64encode(raw).decode()}"
