"""Tokens: what stands in a value's place, the same for the same value of one data set, another in every other.

A *token* keeps the form of its value and can be turned back by whoever holds the key: FF1 over the digits of numbers,
over letters and digits of everything else, signs staying where they are. A *pseudonym* (HMAC-SHA-256) cannot be turned
back by anybody, only made again. Which of them a column gets is left to the project, whose key it is to the platform.
"""

import base64
import hashlib
import hmac
import string
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from holdfast.core.errors import InvalidInput
from holdfast.engines.format_preserving import MAX_LENGTH, MIN_DOMAIN, decrypt, encrypt

KEY: Final = 32  # bytes of the data set's key, and of each derived from it
PSEUDONYM: Final = 10  # bytes that are shown: two of a billion values meet with a chance of one in a million
_DIGITS: Final = string.digits
_CHARACTERS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase


class Tokens:
    """The tokens of one data set."""

    def __init__(self, key: bytes) -> None:
        """Derive the keys of both kinds from the data set's key."""
        if len(key) != KEY:
            raise InvalidInput(f"a token key of {len(key)} bytes", expected=str(KEY))
        self._format = _derived(key, b"holdfast token ff1 1")
        self._hash = _derived(key, b"holdfast token hmac 1")

    def token(self, entity: str, value: str) -> str:
        """Return the token of a value, in its form.

        Raises:
            InvalidInput: The value has too few digits or letters to be encrypted, or letters beyond ASCII.
        """
        return self._turned(entity, value, back=False)

    def value(self, entity: str, token: str) -> str:
        """Return the value of a token.

        Raises:
            InvalidInput: It cannot be one.
        """
        return self._turned(entity, token, back=True)

    def pseudonym(self, entity: str, value: str) -> str:
        """Return the pseudonym of a value, such as `email_5ZV3Q…`: told apart from a value at a glance."""
        made = hmac.digest(self._hash, entity.encode() + b"\0" + value.encode(), hashlib.sha256)[:PSEUDONYM]
        return f"{entity}_{base64.b32encode(made).decode().rstrip('=').lower()}"

    def _turned(self, entity: str, value: str, *, back: bool) -> str:
        if any(char.isalnum() and not char.isascii() for char in value):
            raise InvalidInput("letters beyond ASCII in what is to be a token", place=entity)
        alphabet = _alphabet(value)
        places = [at for at, char in enumerate(value) if char in alphabet]
        if len(places) > MAX_LENGTH or len(alphabet) ** len(places) < MIN_DOMAIN:
            raise InvalidInput(f"{len(places)} characters that a token could be made of", place=entity)
        run = decrypt if back else encrypt
        made = run(self._format, entity.encode(), [alphabet.index(value[at]) for at in places], len(alphabet))
        chars = list(value)
        for at, numeral in zip(places, made, strict=True):
            chars[at] = alphabet[numeral]
        return "".join(chars)


def _alphabet(value: str) -> str:
    """Return what may change in a value: its digits, where it has no letters; else its letters and digits."""
    return _CHARACTERS if any(char.isalpha() for char in value) else _DIGITS


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=KEY, salt=None, info=purpose).derive(key)
