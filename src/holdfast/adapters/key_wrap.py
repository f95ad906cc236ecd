"""Key wrapping: from the unlock secret to an encrypted private key, and back.

1. scrypt (RFC 7914) stretches the unlock secret into the ring's master key; 2. HKDF-SHA256 (RFC 5869) derives from it
one wrapping key per purpose; 3. AES-256-GCM (NIST SP 800-38D) encrypts, with what is said about the content as
associated data, so that none of it can be changed without the secret. Each wrapping key encrypts exactly once.
"""

import base64
import binascii
import os
from collections.abc import Mapping
from typing import Final, Literal

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from holdfast.adapters.unlock import Sort, Unlock
from holdfast.core.errors import NotVerified, Unavailable

# scrypt's cost N, with r = 8 and p = 1. A passphrase gets what OWASP's password storage cheat sheet asks for: 128 MiB
# and about 0.4 s for each guess. A random 256-bit secret cannot be guessed at all; it gets the cost that scrypt's
# author proposed for interactive use (16 MiB, 0.06 s), so that one path serves both.
SCRYPT_N: Final[Mapping[Sort, int]] = {"passphrase": 1 << 17, "file": 1 << 14}
SCRYPT_R: Final = 8
SCRYPT_P: Final = 1
SALT: Final = 16  # bytes; OWASP's least
NONCE: Final = 12  # bytes; NIST SP 800-38D, 5.2.1.1, recommends 96 bits
KEY: Final = 32  # bytes of an AES-256 key
_CHECK: Final = b"holdfast key ring"


class Box(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Something encrypted: nonce, and ciphertext with its tag, base64."""

    nonce: str
    sealed: str


class Ring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What all keys of a folder share: how the secret becomes the master key, and how to tell a wrong secret."""

    format: Literal["holdfast-keyring-1"]
    sort: Sort
    salt: str
    n: int
    check: Box


def new_ring(sort: Sort, secret: bytes) -> tuple[Ring, bytes]:
    """Return a new ring and its master key."""
    salt, n = os.urandom(SALT), SCRYPT_N[sort]
    master = _stretch(secret, salt, n)
    check = wrap(master, purpose=_CHECK, content=b"", said=salt)
    return Ring(format="holdfast-keyring-1", sort=sort, salt=base64.b64encode(salt).decode(), n=n, check=check), master


def open_ring(ring: Ring, unlock: Unlock) -> bytes:
    """Return the master key of a ring.

    Raises:
        NotVerified: The ring names a cost that we never wrote.
        Unavailable: The secret is missing, of the other sort, or wrong.
    """
    if ring.n != SCRYPT_N[ring.sort]:  # a huge N would take all memory before any check
        raise NotVerified(f"the key ring asks for a cost of {ring.n}", expected=str(SCRYPT_N[ring.sort]))
    if unlock.sort != ring.sort:
        found = f"these keys are opened by a {ring.sort}, not by a {unlock.sort}"
        raise Unavailable(found, place=str(unlock.place or ""))
    salt = _decode(ring.salt)
    master = _stretch(unlock.secret(), salt, ring.n)
    try:
        unwrap(master, purpose=_CHECK, box=ring.check, said=salt)
    except NotVerified:
        raise Unavailable(
            f"this {ring.sort} does not open these keys",
            place=str(unlock.place or ""),
            remedy="Give the one they were made with. There is no way around it: without it, make new keys.",
        ) from None
    return master


def wrap(master: bytes, *, purpose: bytes, content: bytes, said: bytes) -> Box:
    """Return content encrypted for one purpose, which must be its own: it gets a wrapping key of its own.

    Args:
        master: The ring's key.
        purpose: What the wrapping key is for.
        content: What to encrypt.
        said: What is bound to it without being encrypted.
    """
    nonce = os.urandom(NONCE)
    sealed = AESGCM(_wrapping_key(master, purpose)).encrypt(nonce, content, said)
    return Box(nonce=base64.b64encode(nonce).decode(), sealed=base64.b64encode(sealed).decode())


def unwrap(master: bytes, *, purpose: bytes, box: Box, said: bytes) -> bytes:
    """Return what was encrypted for this purpose with just this said about it.

    Raises:
        NotVerified: The box, its purpose, what is said about it, or the master key is another.
    """
    try:
        return AESGCM(_wrapping_key(master, purpose)).decrypt(_decode(box.nonce), _decode(box.sealed), said)
    except (InvalidTag, ValueError):
        raise NotVerified("the encrypted part does not fit what is said about it") from None


def _stretch(secret: bytes, salt: bytes, n: int) -> bytes:
    return Scrypt(salt=salt, length=KEY, n=n, r=SCRYPT_R, p=SCRYPT_P).derive(secret)


def _wrapping_key(master: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=KEY, salt=None, info=b"holdfast wrap 1\n" + purpose).derive(master)


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise NotVerified("the encrypted part is not base64") from error
