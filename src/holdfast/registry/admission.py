"""Admission: gathers everything the ledger holds on a release and all it derives from into one passport.

Reads whole streams and leaves nothing out: what a reader may believe of it is decided by `core.passport.open_passport`.
"""

import base64
from typing import Final

from holdfast.core.artifact import Digest, canonical
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Checkpoint, Entry, SignedCheckpoint
from holdfast.core.passport import (
    AUTHORIZED,
    FILED,
    MAX_ENTRIES,
    RECORDED,
    REVOKED,
    STARTED,
    Passport,
    ProvenEntry,
)
from holdfast.core.ports import Blobs, Ledger
from holdfast.core.restatement import RESTATED

DECISIVE: Final = frozenset({RECORDED, STARTED, FILED, AUTHORIZED, REVOKED, RESTATED})
"""Kinds of entries that a decision reads; promotions and the like are history, and decide nothing."""

_CARRY_ENVELOPES: Final = frozenset({FILED, AUTHORIZED, RESTATED})


def build_passport(ledger: Ledger, blobs: Blobs, subject: Digest, signed: SignedCheckpoint) -> bytes:
    """Return the passport of a release as canonical JSON.

    Args:
        ledger: The history.
        blobs: Where envelopes lie.
        subject: Digest of the release.
        signed: A checkpoint of the present tree; entries after it are not part of the passport.

    Raises:
        NotFound: The ledger knows nothing of the subject.
        InvalidInput: The closure holds more entries than a passport may.
    """
    size = Checkpoint.size_of(signed)
    entries = closure(ledger, subject, size)
    if not entries:
        raise NotFound("the ledger knows nothing of this release", place=subject)
    envelopes = dict.fromkeys(str(entry.body["envelope"]) for entry in entries if entry.kind in _CARRY_ENVELOPES)
    passport = Passport(
        subject=subject,
        checkpoint=signed.note.decode(),
        entries=tuple(
            ProvenEntry(
                document=base64.b64encode(entry.document).decode(),
                path=tuple(node.hex() for node in ledger.inclusion(entry.position, size)),
            )
            for entry in entries
        ),
        envelopes=tuple(base64.b64encode(blobs.get(Digest(digest))).decode() for digest in envelopes),
    )
    return canonical(passport)


def closure(ledger: Ledger, subject: Digest, size: int) -> list[Entry]:
    """Return every entry before `size` on the subject and whatever it derives from, in ledger order.

    Raises:
        InvalidInput: There are more than a passport may hold.
    """
    found: dict[int, Entry] = {}
    seen: set[str] = set()
    waiting = [str(subject)]
    while waiting:
        stream = waiting.pop()
        if stream in seen:
            continue
        seen.add(stream)
        for entry in ledger.stream(stream):
            if entry.position >= size:
                break
            found[entry.position] = entry
            if entry.kind == RECORDED:
                waiting += [str(parent["digest"]) for parent in entry.body["parents"]]
        if len(found) > MAX_ENTRIES:
            raise InvalidInput(f"the closure holds over {MAX_ENTRIES} entries", place=subject)
    return [found[position] for position in sorted(found)]


def news_of(ledger: Ledger, subject: Digest, since: int) -> list[Entry]:
    """Return what a decision about a release would read and that was said at position `since` or later.

    Raises:
        InvalidInput: The closure holds more entries than a passport may.
    """
    found = closure(ledger, subject, ledger.size())
    return [entry for entry in found if entry.position >= since and entry.kind in DECISIVE]
