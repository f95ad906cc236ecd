"""Keys in a PKCS#11 token (OASIS PKCS #11 v3.0): made there, used there, and never to be had from there.

The token keeps private keys as sensitive and not extractable; beside it lies a folder with what is said about each:
role, owner, window. That folder is public, and vouches for nothing. The session is held open: logging in takes longer
than signing. Custody is `hsm`: what the token is worth is the token's affair; SoftHSM, with which this is tested, keeps
its keys in files.
"""

import base64
import hashlib
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from holdfast.adapters.doors import Door
from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private, write_new
from holdfast.adapters.keys import ALGORITHMS
from holdfast.core.errors import InvalidInput, MissingExtra, NotFound, NotVerified, Unavailable
from holdfast.core.trust import ROLES, Algorithm, TrustedKey, keyid_of

T = TypeVar("T")
MAX_PIN: Final = 256  # bytes
MAX_SAID: Final = 16 * 1024  # bytes of what is said about a key
_ED25519: Final = bytes.fromhex("06032b6570")  # OID 1.3.101.112, as CKA_EC_PARAMS asks for (RFC 8410)
_POINT: Final = 32  # bytes of an Ed25519 public key
_HALF: Final = 32  # bytes of r, and of s, on P-256


class TokenKeys:
    """The keys in one token (port `KeyStore`)."""

    def __init__(self, *, module: Path, label: str, pin_file: Path, folder: Path) -> None:
        """Use a token by its label; it is logged in to when it is first needed.

        Args:
            module: The token's PKCS#11 library.
            label: The token's label.
            pin_file: The user PIN, in a file that only its owner may read; never in an argument.
            folder: Where it is written what each key is.
        """
        self._module, self._label, self._pin_file, self._folder = module, label, pin_file, folder
        self._session: Any = None
        self._opened: dict[str, Any] = {}
        self._said: dict[str, TrustedKey] | None = None
        self._lock = threading.RLock()

    def held(self) -> tuple[TrustedKey, ...]:
        """Return the public halves of the keys in the token, as the folder lists them.

        Raises:
            Refused: What is said about a key is open to others.
            NotVerified: It cannot be read.
        """
        if self._said is None:
            self.refresh()
        return tuple((self._said or {}).values())

    def refresh(self) -> None:
        """Read again what is said about the keys."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            data = read_private(path, what="what is said about a key", limit=MAX_SAID)
            try:
                key = msgspec.json.decode(data, type=TrustedKey)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise NotVerified(f"what is said about a key cannot be read: {error}", place=str(path)) from error
            if key.keyid != path.stem:
                raise NotVerified("this is said about another key", place=str(path))
            found[key.keyid] = key
        self._said = found

    def signer_of(self, keyid: str) -> Door:
        """Return the signer of one key.

        Raises:
            NotFound: It is not there.
        """
        found = next((key for key in self.held() if key.keyid == keyid), None)
        if found is None:
            raise NotFound("the token does not hold this key", place=f"key {keyid[:16]}")
        return Door(public=found, signs=partial(self.sign, found))

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> TrustedKey:
        """Make one more key in the token: sensitive, not extractable, for signing only.

        Raises:
            InvalidInput: There is no such role.
            Unavailable: The token does not answer, or cannot make such a key.
        """
        if role not in ROLES:
            raise InvalidInput(f"a key for {role}", expected=", ".join(ROLES))
        algorithm: Algorithm = ALGORITHMS.get(role, "ed25519")
        der, private = self._with_token(lambda session: _generate(session, algorithm, role))
        key = TrustedKey(
            keyid=keyid_of(der),
            algorithm=algorithm,
            public=base64.b64encode(der).decode(),
            role=role,
            not_before=begins.astimezone(UTC),
            not_after=ends.astimezone(UTC),
            owner=owner,
        )
        try:
            self._folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            write_new(self._folder / f"{key.keyid}.json", msgspec.json.encode(key))
        except OSError as error:
            raise Unavailable(f"the key cannot be listed: {error.strerror}", place=str(self._folder)) from error
        with self._lock:
            self._opened[key.keyid] = private
            self._said = None
        return key

    def destroy(self, keyid: str) -> None:
        """Destroy a key pair in the token, and what is said about it.

        Raises:
            NotFound: It is not there.
            Unavailable: The token does not answer.
        """
        self.signer_of(keyid)
        self._with_token(lambda session: _destroyed(session, keyid))
        (self._folder / f"{keyid}.json").unlink(missing_ok=True)
        with self._lock:
            self._opened.pop(keyid, None)
            self._said = None

    def unlock(self) -> None:
        """Log in now.

        Raises:
            Unavailable: The token does not answer, or the PIN is missing or wrong.
        """
        self._with_token(lambda _: None)

    def sign(self, key: TrustedKey, message: bytes) -> bytes:
        """Return a signature by a key; see `Door.sign`."""
        return self._with_token(lambda session: self._signature(session, key, message))

    def custody(self) -> str:
        """Say how well the private keys are isolated."""
        return "hsm"

    def close(self) -> None:
        """Log out."""
        with self._lock:
            self._forget()

    def _signature(self, session: Any, key: TrustedKey, message: bytes) -> bytes:
        from pkcs11 import Mechanism, ObjectClass

        if key.keyid not in self._opened:
            self._opened[key.keyid] = session.get_key(object_class=ObjectClass.PRIVATE_KEY, id=bytes.fromhex(key.keyid))
        private = self._opened[key.keyid]
        if key.algorithm == "ed25519":
            return bytes(private.sign(message, mechanism=Mechanism.EDDSA))
        raw = bytes(private.sign(hashlib.sha256(message).digest(), mechanism=Mechanism.ECDSA))
        return encode_dss_signature(int.from_bytes(raw[:_HALF]), int.from_bytes(raw[_HALF:]))

    def _with_token(self, use: Callable[[Any], T]) -> T:
        """Use the session; one that the token has dropped is opened again, once."""
        error_class = _pkcs11_error()
        with self._lock:
            fresh = self._session is None
            try:
                return use(self._session or self._login())
            except error_class as error:
                self._forget()
                if fresh:
                    raise self._unavailable(error) from error
            try:
                return use(self._login())
            except error_class as error:
                self._forget()
                raise self._unavailable(error) from error

    def _login(self) -> Any:
        import pkcs11

        pin = read_private(self._pin_file, what="the token's PIN file", limit=MAX_PIN).partition(b"\n")[0]
        try:
            token = pkcs11.lib(str(self._module)).get_token(token_label=self._label)
        except (RuntimeError, OSError) as error:  # the library cannot be loaded
            raise self._unavailable(error) from error
        self._session = token.open(rw=True, user_pin=pin.decode())
        return self._session

    def _forget(self) -> None:
        session, self._session, self._opened = self._session, None, {}
        if session is not None:
            try:
                session.close()
            except _pkcs11_error():
                return  # it was gone already

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable(
            f"the token {self._label} does not answer: {type(error).__name__} {error}".rstrip(),
            place=str(self._module),
            expected="a token of this label, and its PIN",
            remedy="Look that the module, the label and the PIN file in the workspace's custody.json are right.",
        )


def _pkcs11_error() -> type[Exception]:
    try:
        from pkcs11.exceptions import PKCS11Error
    except ImportError as error:
        raise MissingExtra("keys in a token need python-pkcs11", remedy="pip install 'holdfast[hsm]'") from error
    return PKCS11Error


def _generate(session: Any, algorithm: Algorithm, role: str) -> tuple[bytes, Any]:
    """Make a key pair, name it by its id, and return its public half (DER) and the handle of the private one."""
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
    return der, private


def _destroyed(session: Any, keyid: str) -> None:
    from pkcs11 import Attribute

    for found in list(session.get_objects({Attribute.ID: bytes.fromhex(keyid)})):
        found.destroy()


def _spki(algorithm: Algorithm, point: bytes) -> bytes:
    """Return a public key as DER SubjectPublicKeyInfo; CKA_EC_POINT is an OCTET STRING around the point."""
    if algorithm == "ed25519":
        public: Any = ed25519.Ed25519PublicKey.from_public_bytes(point[-_POINT:])
    else:
        public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point[2:])
    return bytes(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
