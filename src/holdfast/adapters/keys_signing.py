"""Signing keys of whoever has no workspace: one key pair in a folder, encrypted at rest, or one in a PEM file.

A folder is what `files key` makes: the private half under a passphrase or a random unlock file kept elsewhere, the
public half as PEM beside it. A PEM file is what other tools make; it is taken only encrypted (PKCS #8), because a key
that lies in the clear signs for everybody who reads it.
"""

import re
import secrets
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.adapters.doors import Door
from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private, write_new
from holdfast.adapters.keys import MAX_FILE, VALID_FOR, FileKeys, create_keys, open_keys
from holdfast.adapters.unlock import Unlock, create_unlock_file, passphrase_file, unlock_file
from holdfast.core.errors import Conflict, NotVerified, Refused, Unavailable
from holdfast.engines.signing.model_signing import ROLE, from_pem

if TYPE_CHECKING:  # ports load what a signature needs nothing of
    from holdfast.core.ports import Clock

KEYS: Final = "keys"
PUBLIC: Final = "public.pem"
UNLOCKED_BY: Final = "unlocked-by"  # the name of the unlock file, which lies elsewhere: a folder may be moved
_NAME: Final = re.compile(r"signing-[0-9a-f]{16}")
_CLEAR: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"


def make_signing_key(
    folder: Path,
    owner: str,
    *,
    passphrase: Path | None,
    unlock_dir: Path,
    clock: "Clock",
    valid_for: timedelta = VALID_FOR,
    role: str = ROLE,
) -> tuple[FileKeys, Path]:
    """Make a key in a new folder; return it, and the file with what opens it.

    Args:
        folder: The folder to make.
        owner: Who answers for the key.
        passphrase: A file with a passphrase; None for a random unlock file in `unlock_dir`.
        unlock_dir: Where that goes, outside the folder.
        clock: When the key's window begins.
        valid_for: How long it lasts.
        role: What it signs; P-256 for files, Ed25519 for a person's or a source's word.

    Raises:
        Conflict: The folder holds something.
        InvalidInput: The passphrase is too easily guessed.
        Unavailable: Something cannot be written.
    """
    if folder.exists() and any(folder.iterdir()):
        raise Conflict("there is something in this folder already", place=str(folder), remedy="Name a new folder.")
    name = f"signing-{secrets.token_hex(8)}"
    path = passphrase or unlock_dir / f"{name}.unlock"
    unlock = passphrase_file(path) if passphrase else create_unlock_file(path, outside=folder)
    try:
        folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
        keys = create_keys(folder / KEYS, [role], owner=owner, clock=clock, unlock=unlock, valid_for=valid_for)
        if not passphrase:
            write_new(folder / UNLOCKED_BY, name.encode())
        (folder / PUBLIC).write_bytes(keys.public_pem(role))
    except OSError as error:
        raise Unavailable(f"the key cannot be written: {error.strerror}", place=str(folder)) from error
    return keys, path


def open_signing_key(place: Path, *, passphrase: Path | None, unlock_dir: Path, role: str = ROLE) -> Door:
    """Return the door to a key: of a folder that `make_signing_key` made, or in an encrypted PEM file.

    Raises:
        NotFound: There is none.
        Refused: It lies in the clear, or is open to others.
        Unavailable: Nobody says what opens it.
        NotVerified: It is no P-256 key, or the secret does not open it.
    """
    if place.is_dir():
        return open_keys(place / KEYS, _unlock(place, passphrase, unlock_dir)).signer(role)
    document = read_private(place, what="the private key", limit=MAX_FILE)
    if _CLEAR not in document:
        raise Refused(
            "the private key is not encrypted",
            place=str(place),
            expected="an encrypted PKCS #8 PEM file",
            remedy="Make one with `holdfast files key`, or `openssl pkcs8 -topk8 -scrypt`.",
        )
    if passphrase is None:
        raise _no_secret(place)
    private = _opened(document, passphrase_file(passphrase), place)
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return Door(public=from_pem(public, owner=str(place)), signs=partial(_sign, private))


def _unlock(folder: Path, passphrase: Path | None, unlock_dir: Path) -> Unlock:
    if not (folder / UNLOCKED_BY).exists():
        if passphrase is None:
            raise _no_secret(folder)
        return passphrase_file(passphrase)
    name = read_private(folder / UNLOCKED_BY, what="the name of the unlock file", limit=64).decode(errors="replace")
    if not _NAME.fullmatch(name):
        raise NotVerified("the folder names no unlock file", place=str(folder / UNLOCKED_BY))
    return unlock_file(unlock_dir / f"{name}.unlock")


def _no_secret(place: Path) -> Unavailable:
    return Unavailable(
        "nobody says what opens this key",
        place=str(place),
        remedy="Name a file with its passphrase: --passphrase-file, or HOLDFAST_PASSPHRASE_FILE.",
    )


def _opened(document: bytes, unlock: Unlock, place: Path) -> ec.EllipticCurvePrivateKey:
    try:
        private = serialization.load_pem_private_key(document, password=unlock.secret())
    except (ValueError, TypeError) as error:
        raise NotVerified("the passphrase does not open this key, or it is none", place=str(place)) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise NotVerified("this is not a P-256 key", place=str(place), expected="a P-256 key, as verifiers know it")
    return private


def _sign(private: ec.EllipticCurvePrivateKey, message: bytes) -> bytes:
    return private.sign(message, ec.ECDSA(hashes.SHA256()))
