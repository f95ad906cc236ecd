"""Keys that never leave the service that made them: a token, AWS KMS, a transit engine. They are used there.

A service makes keys, signs, wraps and retires; what a key is *for* (role, owner, window) it need not know. That lies
beside it in a folder, which is public and vouches for nothing. What a service answers is checked like anybody's word: a
signature counts only if it verifies with the public half that the root keys have vouched for.
"""

import base64
import threading
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final, Literal, Protocol

import msgspec

from holdfast.adapters.doors import Door
from holdfast.adapters.durable import PRIVATE_DIRECTORY, read_private, write_new
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.trust import ROLES, Algorithm, TrustedKey, check_key, check_signature, keyid_of

MAX_SAID: Final = 16 * 1024  # bytes of what is said about a key


class KeyService(Protocol):
    """A service that holds keys. Every method may raise `Unavailable`: it does not answer, or will not."""

    custody: str  # how well it isolates keys, in the words of `KeyStore.custody`

    def algorithm_of(self, role: str) -> Algorithm:
        """Return the algorithm of the keys that it makes for a role."""
        ...

    def make(self, role: str) -> tuple[str, bytes]:
        """Make a key pair for signing alone; return its name there, and its public half as DER."""
        ...

    def sign(self, name: str, algorithm: Algorithm, message: bytes) -> bytes:
        """Return a signature by a key."""
        ...

    def destroy(self, name: str, *, wrapping: bool = False) -> None:
        """End a key for good; a wrapping key perhaps after a time in which a mistake can be undone."""
        ...

    def make_wrapping(self) -> str:
        """Make a key that encrypts secrets and does nothing else; return its name there."""
        ...

    def wrap(self, name: str, secret: bytes, *, bound_to: str) -> bytes:
        """Return a secret encrypted by a wrapping key, bound to the name of what it opens."""
        ...

    def unwrap(self, name: str, wrapped: bytes, *, bound_to: str) -> bytes:
        """Return a secret that was encrypted by this key and bound to this name.

        Raises:
            NotVerified: It was not, or was changed.
        """
        ...

    def check(self) -> None:
        """Reach the service with its credentials now."""
        ...

    def close(self) -> None:
        """End the session with it."""
        ...


class Listed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is said about a key beside its service."""

    format: Literal["holdfast-listed-key-1"] = "holdfast-listed-key-1"
    key: TrustedKey
    name: str  # as the service calls it


class ServiceKeys:
    """The keys in one service (port `KeyStore`)."""

    def __init__(self, service: KeyService, folder: Path) -> None:
        """Use a service, which is reached when it is first needed.

        Args:
            service: Where the keys are.
            folder: Where it is written what each key is.
        """
        self.service = service
        self._folder = folder
        self._listed: dict[str, Listed] | None = None
        self._lock = threading.Lock()

    def held(self) -> tuple[TrustedKey, ...]:
        """Return the public halves of the keys in the service, as the folder lists them.

        Raises:
            Refused: What is said about a key is open to others.
            NotVerified: It cannot be read.
        """
        return tuple(each.key for each in self._known().values())

    def refresh(self) -> None:
        """Read again what is said about the keys."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            data = read_private(path, what="what is said about a key", limit=MAX_SAID)
            try:
                listed = msgspec.json.decode(data, type=Listed)
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise NotVerified(f"what is said about a key cannot be read: {error}", place=str(path)) from error
            if listed.key.keyid != path.stem:
                raise NotVerified("this is said about another key", place=str(path))
            found[listed.key.keyid] = listed
        with self._lock:
            self._listed = found

    def signer_of(self, keyid: str) -> Door:
        """Return the signer of one key.

        Raises:
            NotFound: It is not there.
        """
        listed = self._find(keyid)
        return Door(public=listed.key, signs=partial(self._sign, listed))

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> TrustedKey:
        """Make one more key in the service, for signing alone.

        Raises:
            InvalidInput: There is no such role.
            NotVerified: The service made a key of another algorithm.
            Unavailable: The service does not answer, or cannot make such a key.
        """
        if role not in ROLES:
            raise InvalidInput(f"a key for {role}", expected=", ".join(ROLES))
        name, der = self.service.make(role)
        key = TrustedKey(
            keyid=keyid_of(der),
            algorithm=self.service.algorithm_of(role),
            public=base64.b64encode(der).decode(),
            role=role,
            not_before=begins.astimezone(UTC),
            not_after=ends.astimezone(UTC),
            owner=owner,
        )
        try:
            check_key(key)
            self._write(Listed(key=key, name=name))
        except HoldfastError:
            self.service.destroy(name)  # nobody would know of it
            raise
        with self._lock:
            self._listed = None
        return key

    def make_each(self, roles: tuple[str, ...], owner: str, begins: datetime, ends: datetime) -> tuple[TrustedKey, ...]:
        """Make a key for each role, all or none: where one cannot be made, those made before it are ended."""
        before = set(self._known())
        try:
            return tuple(self.make(role, owner, begins, ends) for role in roles)
        except HoldfastError:
            for keyid in set(self._known()) - before:
                self.destroy(keyid)
            raise

    def destroy(self, keyid: str) -> None:
        """End a key in the service, and what is said about it.

        Raises:
            NotFound: It is not there.
            Unavailable: The service does not answer.
        """
        self.service.destroy(self._find(keyid).name)
        (self._folder / f"{keyid}.json").unlink(missing_ok=True)
        with self._lock:
            self._listed = None

    def unlock(self) -> None:
        """Reach the service now.

        Raises:
            Unavailable: It does not answer, or its credentials are missing or wrong.
        """
        self.service.check()

    def custody(self) -> str:
        """Say how well the private keys are isolated."""
        return self.service.custody

    def close(self) -> None:
        """End the session with the service."""
        self.service.close()

    def _sign(self, listed: Listed, message: bytes) -> bytes:
        signature = self.service.sign(listed.name, listed.key.algorithm, message)
        check_signature(listed.key, message, signature)  # another key under this name is found here, not by a reader
        return signature

    def _write(self, listed: Listed) -> None:
        try:
            self._folder.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
            write_new(self._folder / f"{listed.key.keyid}.json", msgspec.json.encode(listed))
        except OSError as error:
            raise Unavailable(f"the key cannot be listed: {error.strerror}", place=str(self._folder)) from error

    def _known(self) -> dict[str, Listed]:
        if self._listed is None:
            self.refresh()
        return self._listed or {}

    def _find(self, keyid: str) -> Listed:
        found = self._known().get(keyid)
        if found is None:
            raise NotFound(f"the {self.service.custody} does not hold this key", place=f"key {keyid[:16]}")
        return found
