"""A person's public file: the keys that the person holds, each proving that its private half is there.

Whoever hands in a public file must hold what belongs to it: else somebody could have another person's key entered under
an own name, and claim that person's words.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from holdfast.core.artifact import canonical, from_base64
from holdfast.core.dsse import SigningKey
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.trust import TrustedKey, check_signature

MAX_PERSON: Final = 64 * 1024  # bytes of a public file; one of two keys takes less than 2 KiB
MAX_KEYS: Final = 4
MAX_NAME: Final = 200  # characters of a person's name and address
PERSONAL: Final = frozenset({"person", "root"})  # the roles of keys that a person holds
_CONTEXT: Final = b"holdfast possession 1\n"  # never the beginning of a DSSE message, which is "DSSEv1 "


class PublicFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a person hands in: name, public keys, and a signature by each of them over name and keys."""

    format: Literal["holdfast-person-1"]
    name: str
    keys: tuple[TrustedKey, ...]
    proofs: dict[str, str]


def public_file(name: str, keys: Sequence[TrustedKey], signers: Mapping[str, SigningKey]) -> bytes:
    """Return a person's public file, each key signing it.

    Raises:
        InvalidInput: The name is empty, too long or not printable.
    """
    check_name(name)
    message = _message(name, tuple(keys))
    proofs = {key.keyid: base64.b64encode(signers[key.keyid].sign(message)).decode() for key in keys}
    return canonical(PublicFile(format="holdfast-person-1", name=name, keys=tuple(keys), proofs=proofs))


def open_public_file(document: bytes) -> PublicFile:
    """Return what a public file says, if every key in it proves that its private half was there.

    Raises:
        NotVerified: It cannot be read, speaks of keys that no person holds, or a proof is missing or wrong.
    """
    try:
        file = msgspec.json.decode(document, type=PublicFile)
        check_name(file.name)
    except (ValueError, RecursionError, InvalidInput) as error:
        raise NotVerified(f"this is not a person's public file: {error}", place="public file") from error
    if not 0 < len(file.keys) <= MAX_KEYS or len({key.role for key in file.keys}) != len(file.keys):
        raise NotVerified(f"{len(file.keys)} keys", place="public file", expected="one of each role")
    message = _message(file.name, file.keys)
    for key in file.keys:
        place = f"key {key.keyid[:16]}"
        if key.role not in PERSONAL or key.owner != file.name:
            raise NotVerified(f"a key of role {key.role} that {key.owner[:80]} answers for", place=place)
        try:
            check_signature(key, message, from_base64(file.proofs.get(key.keyid, "")))
        except InvalidInput as error:
            raise NotVerified("the proof cannot be read", place=place) from error
    return file


def check_name(name: str) -> None:
    """Check that a name can stand in a statement and on a screen.

    Raises:
        InvalidInput: It is empty, too long, or has characters that cannot be printed.
    """
    if not name.strip() or not name.isprintable() or len(name) > MAX_NAME:
        expected = f"up to {MAX_NAME} printable characters"
        raise InvalidInput(f"the name {name[:80]!r}", place="name", expected=expected)


def _message(name: str, keys: tuple[TrustedKey, ...]) -> bytes:
    return _CONTEXT + canonical({"name": name, "keys": keys})
