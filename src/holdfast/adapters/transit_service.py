"""The transit engine of HashiCorp Vault or OpenBao as a service that holds keys.

Keys are made neither exportable nor open to backups in plaintext, two settings that the engine never takes back. The
token is read from a private file, as an agent's sink writes it, and read again when the server no longer takes it.
"""

import base64
import binascii
import hashlib
import secrets
import threading
from collections.abc import Callable
from typing import Any, Final, TypeVar

import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from holdfast.adapters.durable import read_private
from holdfast.adapters.key_places import VaultPlace
from holdfast.adapters.keys import ALGORITHMS
from holdfast.core.errors import MissingExtra, NotVerified, Unavailable
from holdfast.core.trust import Algorithm

T = TypeVar("T")
TIMEOUT_S: Final = 10  # for connecting, and for each answer
MAX_TOKEN: Final = 4096  # bytes of a token file; a batch token has about 200
_TYPES: Final[dict[Algorithm, str]] = {"ed25519": "ed25519", "ecdsa-p256": "ecdsa-p256"}
_WRAPPING: Final = "aes256-gcm96"
_SERIAL: Final = 8  # bytes drawn for a key's name, so that none is ever met twice
_REDIRECTED: Final = 300  # and above: no answer of an engine


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What the engine says of a key."""

    type: str
    latest_version: int
    exportable: bool
    allow_plaintext_backup: bool
    keys: dict[str, Any]  # by version: the public half of a pair, a time for what has none


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a key pair."""

    public_key: str


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """Answers `sign`."""

    signature: str


class Wrapped(msgspec.Struct, frozen=True, kw_only=True):
    """Answers `encrypt`."""

    ciphertext: str


class Unwrapped(msgspec.Struct, frozen=True, kw_only=True):
    """Answers `decrypt`."""

    plaintext: str


class TransitService:
    """One transit engine (port `KeyService`). Keys are named as the engine names them; each has one version."""

    custody = "service"

    def __init__(self, place: VaultPlace) -> None:
        """Use an engine, which is asked when it is first needed; the connection is kept."""
        self._place = place
        self._client: Any = None
        self._lock = threading.RLock()

    def algorithm_of(self, role: str) -> Algorithm:
        """Return the algorithm of a role's keys: the engine makes them as the folder does."""
        return ALGORITHMS.get(role, "ed25519")

    def make(self, role: str) -> tuple[str, bytes]:
        """Make a key pair whose private half the engine gives to nobody.

        Raises:
            NotVerified: The engine made another key than it was asked for.
        """
        algorithm = self.algorithm_of(role)
        name = self._create(role, _TYPES[algorithm])
        said = self._converted(self._read(name).keys.get("1"), Pair).public_key
        try:
            public = (
                ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(said, validate=True))
                if algorithm == "ed25519"
                else serialization.load_pem_public_key(said.encode())
            )
        except (binascii.Error, ValueError) as error:
            raise NotVerified("the public key cannot be read", place=self._at(name)) from error
        return name, public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)

    def sign(self, name: str, algorithm: Algorithm, message: bytes) -> bytes:
        """Return a signature by a key; see `Door.sign`. Of P-256 only the digest is sent; Ed25519 needs all of it."""
        how: dict[str, Any] = {"key_version": 1}
        if algorithm == "ecdsa-p256":
            how |= {"hash_algorithm": "sha2-256", "prehashed": True, "marshaling_algorithm": "asn1"}
            message = hashlib.sha256(message).digest()
        text = base64.b64encode(message).decode()
        mount = self._place.mount
        answer = self._ask(lambda transit: transit.sign_data(name, hash_input=text, mount_point=mount, **how), Signed)
        return _decoded(answer.signature.rpartition(":")[2], self._at(name))

    def destroy(self, name: str, *, wrapping: bool = False) -> None:  # noqa: ARG002 - the engine ends a key at once
        """Delete a key for good."""
        mount = self._place.mount
        self._tell(lambda transit: transit.update_key_configuration(name, deletion_allowed=True, mount_point=mount))
        self._tell(lambda transit: transit.delete_key(name, mount_point=mount))

    def make_wrapping(self) -> str:
        """Make an AES-256-GCM key that the engine gives to nobody."""
        return self._create("unlock", _WRAPPING)

    def wrap(self, name: str, secret: bytes, *, bound_to: str) -> bytes:
        """Return a secret encrypted by a wrapping key, in the engine's own form (`vault:v1:…`)."""
        said = {"plaintext": base64.b64encode(secret).decode(), "associated_data": _encoded(bound_to)}
        mount = self._place.mount
        return self._ask(
            lambda transit: transit.encrypt_data(name, mount_point=mount, **said), Wrapped
        ).ciphertext.encode()

    def unwrap(self, name: str, wrapped: bytes, *, bound_to: str) -> bytes:
        """Return what `wrap` encrypted.

        Raises:
            NotVerified: It was changed, or is bound to something else.
        """
        said = {"ciphertext": wrapped.decode(errors="replace"), "associated_data": _encoded(bound_to)}

        def decrypt(transit: Any) -> Any:
            from hvac.exceptions import InvalidRequest

            try:
                return transit.decrypt_data(name, mount_point=self._place.mount, **said)
            except InvalidRequest as error:
                if not any("cipher" in each for each in error.errors or ()):  # the key is gone, or may not be used
                    raise
                raise NotVerified("the wrapped secret was changed, or is another's", place=self._at(name)) from error

        return _decoded(self._ask(decrypt, Unwrapped).plaintext, self._at(name))

    def check(self) -> None:
        """Ask whether the server takes the token."""
        self._with_client(lambda client: client.auth.token.lookup_self())

    def close(self) -> None:
        """End the connection."""
        with self._lock:
            self._forget()

    def _create(self, words: str, kind: str) -> str:
        """Make a key under a name that was never used, and look that it is what was asked for."""
        name = f"{self._place.prefix}-{words}-{secrets.token_hex(_SERIAL)}"
        closed = {"exportable": False, "allow_plaintext_backup": False}
        self._tell(lambda transit: transit.create_key(name, key_type=kind, mount_point=self._place.mount, **closed))
        made = self._read(name)
        if made.type != kind or made.latest_version != 1 or made.exportable or made.allow_plaintext_backup:
            raise NotVerified("the engine made another key than it was asked for", place=self._at(name))
        return name

    def _read(self, name: str) -> Made:
        return self._ask(lambda transit: transit.read_key(name, mount_point=self._place.mount), Made)

    def _tell(self, use: Callable[[Any], Any]) -> Any:
        """Return what the engine answers, whatever that is, if it did what it was told."""
        answer = self._with_client(lambda client: use(client.secrets.transit))
        if getattr(answer, "status_code", 0) >= _REDIRECTED:
            raise self._unavailable("it leads elsewhere, where no token of ours is sent")
        return answer

    def _ask(self, use: Callable[[Any], Any], wanted: type[T]) -> T:
        answer = self._tell(use)
        return self._converted(answer.get("data") if isinstance(answer, dict) else None, wanted)

    def _converted(self, answer: Any, wanted: type[T]) -> T:
        try:
            return msgspec.convert(answer, type=wanted)
        except msgspec.ValidationError as error:
            raise NotVerified("the answer is no transit engine's", place=self._place.url) from error

    def _with_client(self, use: Callable[[Any], T]) -> T:
        """Use the connection; a token that is no longer taken is read again from its file, once."""
        try:
            from hvac.exceptions import Forbidden, VaultError
            from requests.exceptions import RequestException
        except ModuleNotFoundError as error:
            raise MissingExtra("keys in a transit engine need hvac", remedy="pip install 'holdfast[vault]'") from error
        with self._lock:
            fresh = self._client is None
            try:
                try:
                    return use(self._client or self._login())
                except Forbidden:
                    if fresh:
                        raise
                    self._forget()
                    return use(self._login())
            except (VaultError, RequestException) as error:
                self._forget()
                raise self._unavailable(type(error).__name__) from error

    def _login(self) -> Any:
        import hvac

        content = read_private(self._place.token_file, what="the token's file", limit=MAX_TOKEN)
        token = content.partition(b"\n")[0].decode(errors="replace")
        # A redirect would send the token elsewhere, so none is followed.
        self._client = hvac.Client(url=self._place.url, token=token, timeout=TIMEOUT_S, allow_redirects=False)
        return self._client

    def _forget(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.adapter.close()

    def _at(self, name: str) -> str:
        return f"{self._place.url}/{self._place.mount}/{name}"

    def _unavailable(self, words: str) -> Unavailable:
        return Unavailable(
            f"the transit engine refused or does not answer: {words}",
            place=f"{self._place.url}/{self._place.mount}",
            expected="an unsealed server, and a token whose policy allows keys, sign, encrypt and decrypt there, "
            f"for names that begin with {self._place.prefix}-",
            remedy="Look whether the server is unsealed, the token is still valid, and the key is still there.",
        )


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str, place: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise NotVerified("the engine's answer is not base64", place=place) from error
