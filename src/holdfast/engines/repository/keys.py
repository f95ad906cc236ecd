"""Our keys as TUF writes them, and back."""

from typing import Final

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.signer import Key, SSlibKey

from holdfast.core.artifact import from_base64
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.trust import TrustedKey

OURS: Final = "x-holdfast-key"  # the member of a TUF key that holds ours: owner, role and window


def tuf_key(trusted: TrustedKey) -> SSlibKey:
    """Return a key as TUF metadata lists it, under our own key id, with owner, role and window beside it.

    Raises:
        NotVerified: The public key cannot be read.
    """
    try:
        public = serialization.load_der_public_key(from_base64(trusted.public))
    except (InvalidInput, ValueError) as error:
        raise NotVerified("the public key cannot be read", place=f"key {trusted.keyid[:16]}") from error
    if not isinstance(public, ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey):
        raise NotVerified("the public key is of another algorithm", place=f"key {trusted.keyid[:16]}")
    key = SSlibKey.from_crypto(public, keyid=trusted.keyid)
    key.unrecognized_fields[OURS] = msgspec.to_builtins(trusted)
    return key


def trusted_key(key: Key) -> TrustedKey:
    """Return our key in a key of TUF metadata.

    Raises:
        NotVerified: It carries none of ours, or another public key than it says.
    """
    place = f"key {key.keyid[:16]}"
    try:
        trusted = msgspec.convert(key.unrecognized_fields.get(OURS), TrustedKey)
    except msgspec.ValidationError as error:
        raise NotVerified(f"a key of the repository cannot be read: {error}", place=place) from error
    if tuf_key(trusted) != key:
        raise NotVerified("a key of the repository is another one than it says", place=place)
    return trusted
