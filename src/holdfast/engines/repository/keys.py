"""Our keys as TUF writes them, and back; our signers as python-tuf calls them."""

from typing import Any, Final, NoReturn

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from securesystemslib.signer import Key, Signature, Signer, SSlibKey

from holdfast.core.artifact import from_base64
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.seal import SigningKey
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


class TufSigner(Signer):
    """One of our signers, as python-tuf's `Metadata.sign` calls it."""

    def __init__(self, signer: SigningKey, key: Key) -> None:
        """Hold a door to a private key and the public key as TUF lists it."""
        self._signer, self._key = signer, key

    @classmethod
    def from_priv_key_uri(cls, priv_key_uri: str, public_key: Key, secrets_handler: Any = None) -> NoReturn:
        """Refuse: private keys have one door each, and it is no URI.

        Raises:
            InvalidInput: Always.
        """
        del priv_key_uri, public_key, secrets_handler
        raise InvalidInput("a signer is not opened by a URI here", expected="a signer of the port `Keys`")

    @property
    def public_key(self) -> Key:
        """The public key."""
        return self._key

    def sign(self, payload: bytes) -> Signature:
        """Return a signature over the payload."""
        return Signature(self._signer.keyid, self._signer.sign(payload).hex())
