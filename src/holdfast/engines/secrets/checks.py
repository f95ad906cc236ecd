"""What makes a text of the right shape a real token: its checksum, its structure, its encoding.

Each check takes the bytes that a format's pattern matched and says whether they can be real. A placeholder of the right
shape fails its checksum, and a made-up key does not decode; that is what keeps false alarms away.
"""

import base64
import binascii
import json
import re
import zlib
from typing import Final

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_BECH32: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_DER_SEQUENCE: Final = 0x30
_DER_INTEGER: Final = 0x02
_MACAROON_V2: Final = 2
_MAX_PEM: Final = 16_384  # bytes between the lines; an RSA key of 8192 bits takes 6,400
_PGP_SECRET: Final = (5, 7)  # RFC 4880 4.3: secret key, secret subkey
_EMULATOR: Final = b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The published key of the storage emulator: the same for everybody, and no secret."""


def base62_crc32(payload: bytes) -> str:
    """Return the six digits that GitHub and npm append to a token: CRC-32 of its random part, in base 62.

    >>> base62_crc32(b"zQWBuTSOoRi4A9spHcVY5ncnsDkxkJ")
    '0mLq17'
    """
    rest, digits = zlib.crc32(payload), ""
    for _ in range(6):
        rest, digit = divmod(rest, 62)
        digits = _BASE62[digit] + digits
    return digits


def is_base62_checked(token: bytes) -> bool:
    """Say whether a token `xxx_` ends in the checksum of its thirty random characters."""
    payload = token.partition(b"_")[2]
    return base62_crc32(payload[:-6]) == payload[-6:].decode()


def is_grafana(token: bytes) -> bool:
    """Say whether a service account token ends in the CRC-32 of what stands before, in hexadecimal."""
    body, _, check = token.rpartition(b"_")
    return format(zlib.crc32(body), "08x").encode() == check.lower()


def is_pypi(token: bytes) -> bool:
    """Say whether a token decodes to a macaroon of version 2: location, identifier, caveats, 32 bytes of signature."""
    data = _base64url(token.partition(b"-")[2])
    if data is None or len(data) < 40 or data[0] != _MACAROON_V2:
        return False
    return data[1:3] in {b"\x01\x08", b"\x01\x0d"} and data[-34:-32] == b"\x06\x20"


def is_jwt(token: bytes) -> bool:
    """Say whether a JSON Web Token is signed: its header and claims are JSON objects and name an algorithm."""
    header, claims, signature = token.split(b".")
    raw, said, sealed = (_base64url(part) for part in (header, claims, signature))
    if raw is None or said is None or sealed is None or len(sealed) < 16:
        return False
    try:
        head, body = json.loads(raw), json.loads(said)
    except (ValueError, RecursionError):
        return False
    known = isinstance(head, dict) and isinstance(body, dict) and str(head.get("alg", "none")).lower() != "none"
    if not known or body.get("name") == "John Doe":  # the token that jwt.io shows, in every tutorial since
        return False
    return not _REGISTERED.isdisjoint(body)  # a service's token says of whom, from whom or until when


_REGISTERED: Final = frozenset({"iss", "sub", "aud", "exp", "iat", "nbf", "jti"})  # RFC 7519 4.1


def is_aws_id(token: bytes) -> bool:
    """Say whether an access key id is none of documentation, which writes EXAMPLE into it, and not of a few letters."""
    return b"EXAMPLE" not in token and len(set(token[4:])) > 6


def is_azure(token: bytes) -> bool:
    """Say whether a key of a connection string is base64 of 32 or 64 bytes, and not the emulator's published one."""
    key = token.partition(b"=")[2].strip()
    if key == _EMULATOR:
        return False
    try:
        data = base64.b64decode(key, validate=True)
    except (ValueError, binascii.Error):
        return False
    return len(data) in {32, 64} and len(set(data)) > 12


def is_age(token: bytes) -> bool:
    """Say whether an age secret key has the checksum of Bech32 (BIP-173)."""
    prefix, _, body = token.decode().lower().rpartition("1")
    if any(char not in _BECH32 for char in body):
        return False
    expanded = [ord(char) >> 5 for char in prefix] + [0] + [ord(char) & 31 for char in prefix]
    check = 1
    for value in (*expanded, *(_BECH32.index(char) for char in body)):
        top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= term if top >> bit & 1 else 0
    return check == 1


def is_basic(token: bytes) -> bool:
    """Say whether the credentials of HTTP Basic decode to a name and a password of six characters or more."""
    try:
        data = base64.b64decode(token.rpartition(b" ")[2], validate=True)
    except (ValueError, binascii.Error):
        return False
    name, colon, password = data.partition(b":")
    return bool(colon and name and len(password) >= 6 and data.isascii()) and not _PLAIN.fullmatch(data.lower())


_PLAIN: Final = re.compile(rb"(?:user|username|admin|test|foo|name|login|aladdin):[a-z ]+[0-9]{0,3}")


def is_private_key(block: bytes) -> bool:
    """Say whether a PEM block holds a key: DER whose length fits, OpenSSH's own form, or a packet of OpenPGP.

    Line breaks that a string of JSON, YAML or a program writes as two characters are taken as such.
    """
    label = block[11 : block.index(b"-----", 11)]
    body = block[block.index(b"-----", 11) + 5 : block.rindex(b"-----END")].replace(b"\\n", b"\n").replace(b"\\r", b"")
    if len(body) > _MAX_PEM:
        return False
    lines = [line.strip(b" \t\r\"',;\\") if b":" not in line else b"" for line in body.split(b"\n")]
    if b"PGP" in label:
        lines = [line for line in lines if not line.startswith(b"=")]  # RFC 4880 6.1: the armour's own checksum
    data = _base64(b"".join(lines))
    if data is None or len(data) < 32:
        return False
    if data.startswith(b"openssh-key-v1\0"):
        return len(data) > 150  # a key of Ed25519 takes 230
    if b"PGP" in label:
        tag = data[0] & 0x3F if data[0] & 0x40 else data[0] >> 2 & 0x0F
        return bool(data[0] & 0x80) and tag in _PGP_SECRET
    if b"DEK-Info" in body or b"\nProc-Type" in body:
        return len(data) % 8 == 0 and len(set(data)) > 24  # encrypted: blocks of a cipher
    return _is_der_key(data)


def _is_der_key(data: bytes) -> bool:
    """Say whether bytes are one DER SEQUENCE over all of them, which begins with a version or an algorithm."""
    if data[0] != _DER_SEQUENCE:
        return False
    first, size = 2, data[1]
    if size & 0x80:
        octets = size & 0x7F
        first, size = 2 + octets, int.from_bytes(data[2 : 2 + octets])
    if first + size != len(data) or len(data) <= first + 3:
        return False
    inner = data[first]
    versioned = inner == _DER_INTEGER and data[first + 1] == 1 and data[first + 2] in {0, 1}
    return (versioned or inner == _DER_SEQUENCE) and len(set(data[first:])) > 20


def _base64(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        return None


def _base64url(text: bytes) -> bytes | None:
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        return None
