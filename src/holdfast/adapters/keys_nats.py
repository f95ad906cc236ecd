"""A credentials file of NATS: a user's token, and the key that signs what a server asks.

The file holds two blocks between lines of hyphens, `NATS USER JWT` and `USER NKEY SEED`. A seed is base32 of two bytes
of prefix, 32 bytes of an Ed25519 key and a CRC-16 (XMODEM, little-endian): NATS ADR-14. nats-py would read it with a
package that exists as source alone; what Holdfast installs is built.
"""

import base64
import binascii
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from holdfast.adapters.durable import read_private
from holdfast.core.errors import InvalidInput

MAX_FILE: Final = 64 << 10  # bytes
_BLOCK: Final = re.compile(r"-{3,}BEGIN ([A-Z ]{1,40})-{3,}\s+([A-Za-z0-9._=-]+)\s+-{3,}END \1-{3,}")
_SEED_BYTES: Final = 36
_SEED: Final = 18 << 3  # the first five bits of a seed's prefix: its text begins with S
_USER: Final = 20 << 3  # of a user's key: the second letter is U


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsUser:
    """Who asks; the key never leaves this object."""

    token: str
    _key: Ed25519PrivateKey

    def sign(self, nonce: str) -> bytes:
        """Return the signature of what the server asked for, base64."""
        return base64.b64encode(self._key.sign(nonce.encode()))


def read_credentials(path: Path) -> NatsUser:
    """Return the user of a credentials file that nobody else may read.

    Raises:
        NotFound: It is not there.
        Refused: Others may read it.
        InvalidInput: It is no credentials file of a user.
    """
    return parse_credentials(read_private(path, what="the NATS credentials", limit=MAX_FILE), str(path))


def parse_credentials(document: bytes, place: str) -> NatsUser:
    """Return the user that the text of a credentials file is about.

    Raises:
        InvalidInput: It is no credentials file of a user.
    """
    blocks = {found[1]: found[2] for found in _BLOCK.finditer(document.decode("ascii", errors="replace"))}
    if set(blocks) != {"NATS USER JWT", "USER NKEY SEED"}:
        raise InvalidInput("these are no credentials of a NATS user", place=place, expected="a token and a seed")
    return NatsUser(token=blocks["NATS USER JWT"], _key=_key(blocks["USER NKEY SEED"], place))


def _key(seed: str, place: str) -> Ed25519PrivateKey:
    wrong = InvalidInput("the seed is none of a NATS user", place=place, expected="SU and 56 more letters")
    try:
        raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    except binascii.Error:
        raise wrong from None
    kind = (raw[0] & 7) << 5 | raw[1] >> 3 if len(raw) == _SEED_BYTES else 0
    if kind != _USER or raw[0] & 0xF8 != _SEED or binascii.crc_hqx(raw[:-2], 0) != int.from_bytes(raw[-2:], "little"):
        raise wrong
    return Ed25519PrivateKey.from_private_bytes(raw[2:-2])
