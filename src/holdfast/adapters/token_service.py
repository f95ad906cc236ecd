"""A PKCS#11 token (OASIS PKCS #11 v3.0) as a service that holds keys: sensitive, not extractable.

Custody is `hsm`: what the token is worth is the token's affair; SoftHSM, with which this is tested, keeps its keys in
files.
"""

import hashlib
import os
from collections.abc import Callable
from typing import Any, Final, TypeVar

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from holdfast.adapters.key_places import TokenPlace
from holdfast.adapters.keys import ALGORITHMS
from holdfast.adapters.token_session import session_with
from holdfast.core.errors import NotVerified
from holdfast.core.trust import Algorithm, keyid_of

T = TypeVar("T")
NONCE: Final = 12  # bytes; NIST SP 800-38D, 5.2.1.1, recommends 96 bits
TAG: Final = 16  # bytes
_ED25519: Final = bytes.fromhex("06032b6570")  # OID 1.3.101.112, as CKA_EC_PARAMS asks for (RFC 8410)
_POINT: Final = 32  # bytes of an Ed25519 public key
_HALF: Final = 32  # bytes of r, and of s, on P-256
_AES_BITS: Final = 256
_WRAPPING_ID: Final = 16  # bytes of the id of a wrapping key, drawn at random


class TokenService:
    """One token (port `KeyService`). Keys are named by their CKA_ID: a key pair's is its key id."""

    custody = "hsm"

    def __init__(self, place: TokenPlace) -> None:
        """Use a token, which is logged in to when it is first needed."""
        self._place = place
        self.session = session_with(place)

    def algorithm_of(self, role: str) -> Algorithm:
        """Return the algorithm of a role's keys: a token makes them as the folder does."""
        return ALGORITHMS.get(role, "ed25519")

    def make(self, role: str) -> tuple[str, bytes]:
        """Make a key pair in the token: sensitive, not extractable, for signing only."""
        der = self._with_token(lambda session: _generate(session, self.algorithm_of(role), role))
        return keyid_of(der), der

    def sign(self, name: str, algorithm: Algorithm, message: bytes) -> bytes:
        """Return a signature by a key; see `Door.sign`."""
        return self._with_token(lambda session: self._signature(session, name, algorithm, message))

    def destroy(self, name: str, *, wrapping: bool = False) -> None:  # noqa: ARG002 - a token knows no second thoughts
        """Destroy a key in the token, at once."""
        self._with_token(lambda session: _destroyed(session, name))
        self.session.handles.pop(name, None)

    def make_wrapping(self) -> str:
        """Make an AES-256 key in the token: sensitive, not extractable, for encrypting and decrypting only."""
        return self._with_token(_generate_wrapping)

    def wrap(self, name: str, secret: bytes, *, bound_to: str) -> bytes:
        """Return a secret encrypted with AES-256-GCM (NIST SP 800-38D) in the token: nonce, ciphertext, tag."""
        nonce = os.urandom(NONCE)

        def encrypt(session: Any) -> bytes:
            from pkcs11 import Mechanism

            key, parameters = self._secret_key(session, name), _gcm(nonce, bound_to)
            return bytes(key.encrypt(secret, mechanism=Mechanism.AES_GCM, mechanism_param=parameters))

        return nonce + self._with_token(encrypt)

    def unwrap(self, name: str, wrapped: bytes, *, bound_to: str) -> bytes:
        """Return what `wrap` encrypted.

        Raises:
            NotVerified: It was changed, or is bound to something else.
        """

        def decrypt(session: Any) -> bytes | None:
            from pkcs11 import Mechanism
            from pkcs11.exceptions import EncryptedDataInvalid, EncryptedDataLenRange, GeneralError

            key, parameters = self._secret_key(session, name), _gcm(wrapped[:NONCE], bound_to)
            try:
                return bytes(key.decrypt(wrapped[NONCE:], mechanism=Mechanism.AES_GCM, mechanism_param=parameters))
            except (EncryptedDataInvalid, EncryptedDataLenRange, GeneralError):  # the last is what SoftHSM says
                return None

        found = self._with_token(decrypt) if len(wrapped) > NONCE + TAG else None
        if found is None:
            raise NotVerified("the wrapped secret was changed, or is another's", place=f"key {name[:16]}")
        return found

    def check(self) -> None:
        """Log in now."""
        self._with_token(lambda _: None)

    def close(self) -> None:
        """Log out, unless something else here uses the token."""
        self.session.leave(self)

    def _signature(self, session: Any, name: str, algorithm: Algorithm, message: bytes) -> bytes:
        from pkcs11 import Mechanism, ObjectClass

        private = self._handle(session, name, ObjectClass.PRIVATE_KEY)
        if algorithm == "ed25519":
            return bytes(private.sign(message, mechanism=Mechanism.EDDSA))
        raw = bytes(private.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA))
        return encode_dss_signature(int.from_bytes(raw[:_HALF]), int.from_bytes(raw[_HALF:]))

    def _secret_key(self, session: Any, name: str) -> Any:
        from pkcs11 import ObjectClass

        return self._handle(session, name, ObjectClass.SECRET_KEY)

    def _handle(self, session: Any, name: str, kind: Any) -> Any:
        handles = self.session.handles
        if name not in handles:
            handles[name] = session.get_key(object_class=kind, id=bytes.fromhex(name))
        return handles[name]

    def _with_token(self, operation: Callable[[Any], T]) -> T:
        return self.session.use(self._place, self, operation)


def _generate(session: Any, algorithm: Algorithm, role: str) -> bytes:
    """Make a key pair, name it by its id, and return its public half (DER)."""
    from pkcs11 import Attribute, KeyType
    from pkcs11.util.ec import encode_named_curve_parameters

    edwards = algorithm == "ed25519"
    kind = KeyType.EC_EDWARDS if edwards else KeyType.EC
    curve = _ED25519 if edwards else encode_named_curve_parameters("secp256r1")
    parameters = session.create_domain_parameters(kind, {Attribute.EC_PARAMS: curve}, local=True)
    public, private = parameters.generate_keypair(
        store=True,
        label=f"holdfast {role}",
        private_template={
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.SIGN: True,
            Attribute.DECRYPT: False,
            Attribute.UNWRAP: False,
        },
    )
    der = _spki(algorithm, bytes(public[Attribute.EC_POINT]))
    identifier = bytes.fromhex(keyid_of(der))
    public[Attribute.ID] = identifier
    private[Attribute.ID] = identifier
    return der


def _generate_wrapping(session: Any) -> str:
    from pkcs11 import Attribute, KeyType

    name = os.urandom(_WRAPPING_ID)
    session.generate_key(
        KeyType.AES,
        _AES_BITS,
        id=name,
        label="holdfast unlock",
        store=True,
        template={
            Attribute.SENSITIVE: True,
            Attribute.EXTRACTABLE: False,
            Attribute.ENCRYPT: True,
            Attribute.DECRYPT: True,
            Attribute.SIGN: False,
            Attribute.VERIFY: False,
            Attribute.WRAP: False,
            Attribute.UNWRAP: False,
        },
    )
    return name.hex()


def _gcm(nonce: bytes, bound_to: str) -> Any:
    from pkcs11 import GCMParams

    return GCMParams(nonce, bound_to.encode(), TAG * 8)


def _destroyed(session: Any, name: str) -> None:
    from pkcs11 import Attribute

    for found in list(session.get_objects({Attribute.ID: bytes.fromhex(name)})):
        found.destroy()


def _spki(algorithm: Algorithm, point: bytes) -> bytes:
    """Return a public key as DER SubjectPublicKeyInfo; CKA_EC_POINT is an OCTET STRING around the point."""
    if algorithm == "ed25519":
        public: Any = ed25519.Ed25519PublicKey.from_public_bytes(point[-_POINT:])
    else:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point[2:])
    return bytes(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
