"""Proofs of work: what a suspected caller computes for each call, so that asking much costs much.

A counter c is a proof for a body if the SHA-256 over the name of this scheme, the time in whole seconds, the SHA-256 of
the body and c begins with enough zero bits (Back, Hashcash, 2002). It is bound to one body, and so to one question, and
to a time not long ago; nobody has to remember it. The header reads `TIME:COUNTER`.
"""

import hashlib
import re
from itertools import count
from typing import Final

PROOF: Final = "x-holdfast-proof"
SCHEME: Final = "holdfast-work-v1"
MAX_BITS: Final = 24  # some seconds of a processor in C, half a minute in Python
LASTS_S: Final = 120  # how old a proof may be, and how far ahead of the gateway's its clock
_FORM: Final = re.compile(r"[0-9]{1,12}:[0-9]{1,20}")


def prove(body: bytes, *, bits: int, now: int) -> str:
    """Return a proof, the value of the header; takes about 2^bits hashes.

    >>> proof = prove(b"{}", bits=8, now=1_789_500_000)
    >>> proved(proof, body=b"{}", bits=8, now=1_789_500_030), proved(proof, body=b"[]", bits=8, now=1_789_500_030)
    (True, False)
    """
    start = hashlib.sha256(_start(body, now))
    for counter in count():
        each = start.copy()
        each.update(b"%d" % counter)
        if _zeros(each.digest()) >= bits:
            return f"{now}:{counter}"
    raise AssertionError  # pragma: no cover - the loop above has no end


def proved(proof: str, *, body: bytes, bits: int, now: int) -> bool:
    """Say whether a header's value proves so much work on this body, not long ago."""
    if _FORM.fullmatch(proof) is None:
        return False
    said, _, counter = proof.partition(":")
    if abs(now - int(said)) > LASTS_S:
        return False
    return _zeros(hashlib.sha256(_start(body, int(said)) + str(int(counter)).encode()).digest()) >= bits


def _start(body: bytes, now: int) -> bytes:
    return f"{SCHEME}\n{now}\n{hashlib.sha256(body).hexdigest()}\n".encode()


def _zeros(digest: bytes) -> int:
    """Return how many bits at the beginning are zero."""
    return 8 * len(digest) - int.from_bytes(digest).bit_length()
