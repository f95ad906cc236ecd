"""What becomes of statements whose key was revoked: they are void, until somebody entitled states them again.

Nothing that a revoked key signed verifies, whenever it signed it. A statement is not made again by that: the bytes it
said are signed once more, by the role's new key and by the person who looked at it, and the ledger names both. So what
is restated says neither more nor less than it did, also where it was bad news.
"""

from datetime import datetime
from typing import Final, TypeVar

from holdfast.core.errors import NotVerified
from holdfast.core.seal import Predicate, Verified, open_envelope, unseal
from holdfast.core.trust import Trust

T = TypeVar("T")

RESTATED: Final = "statement.restated"
"""Kind of the entry that names an envelope of old (`restates`) and the new one over the same payload (`envelope`)."""


def void(document: bytes, trust: Trust) -> bool:
    """Say whether an envelope rests on revoked keys alone: it proves nothing, and nobody tampered with it."""
    try:
        _, signatures = open_envelope(document)
    except NotVerified:
        return False
    return all(signature.keyid in trust.revoked for signature in signatures)


def signed_by(document: bytes, keyid: str) -> bool:
    """Say whether a key is named among the signatures of an envelope."""
    try:
        return any(signature.keyid == keyid for signature in open_envelope(document)[1])
    except NotVerified:
        return False


def unseal_restated(old: bytes, new: bytes, predicate: Predicate[T], trust: Trust, *, at: datetime) -> Verified[T]:
    """Return what a void envelope said, by the word of whoever has stated just that again.

    Args:
        old: The void envelope.
        new: The newer one.
        predicate: What they say.
        trust: Whom we believe.
        at: When the ledger took the newer one in.

    Raises:
        NotVerified: The old one is not void, the new one does not verify, or it says something else.
    """
    if not void(old, trust):
        raise NotVerified("only what a revoked key has signed can be restated", place="restatement")
    if open_envelope(old)[0] != open_envelope(new)[0]:
        raise NotVerified("the restatement says something else than what it restates", place="restatement")
    return unseal(new, predicate, trust, at=at)
