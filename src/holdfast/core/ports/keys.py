"""Ports of keys: doors to them, stores of them, and who names them to others."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # cryptography takes memory that whoever only knows the ports need not have
    from holdfast.core.certificates import Issued
    from holdfast.core.trust import TrustedKey


class Signer(Protocol):
    """A door to one private key; the key itself never comes through it."""

    @property
    def keyid(self) -> str:
        """The key's identifier: SHA-256 of its DER SubjectPublicKeyInfo, hex."""
        ...

    @property
    def role(self) -> str:
        """The one role this key signs for."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return a signature over the message (Ed25519, or ECDSA P-256 with SHA-256 in DER)."""
        ...


class Keys(Protocol):
    """Signers by role, and where their keys are."""

    def signer(self, role: str) -> Signer:
        """Return the signer of a role: the newest key that is here and that the root keys trust now.

        Raises:
            NotFound: No key for this role, or none that is trusted now.
            Unavailable: The key store is locked.
        """
        ...

    def signer_of(self, keyid: str) -> Signer:
        """Return the signer of one key, trusted or not.

        Raises:
            NotFound: It is not here.
        """
        ...

    def held(self) -> "tuple[TrustedKey, ...]":
        """Return the public halves of all keys that are here."""
        ...

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> "TrustedKey":
        """Make a key where keys of its role belong, and return its public half; nobody trusts it yet.

        Raises:
            Unavailable: The key store is locked.
        """
        ...

    def destroy(self, keyid: str) -> None:
        """Destroy a private key for good.

        Raises:
            NotFound: It is not here.
            Refused: Its store destroys nothing for a caller.
        """
        ...

    def custody_of(self, keyid: str) -> str:
        """Say how well a key is isolated: `same-disk`, `other-process`, `hsm`, `service`; `elsewhere`: not here."""
        ...


class KeyStore(Protocol):
    """One place where private keys are: a folder, a process, a module. What it makes nobody trusts yet."""

    def held(self) -> "tuple[TrustedKey, ...]":
        """Return the public halves of all keys that are there."""
        ...

    def signer_of(self, keyid: str) -> Signer:
        """Return the signer of one key.

        Raises:
            NotFound: It is not there.
        """
        ...

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> "TrustedKey":
        """Make one more key and return its public half.

        Raises:
            Unavailable: The store is locked, or does not answer.
        """
        ...

    def destroy(self, keyid: str) -> None:
        """Destroy a private key for good; its public half stays in the trust.

        Raises:
            NotFound: It is not there.
            Refused: This store destroys nothing for a caller.
        """
        ...

    def unlock(self) -> None:
        """Open the store now rather than at the first signature.

        Raises:
            Unavailable: The secret is missing or wrong, or nobody answers.
        """
        ...

    def refresh(self) -> None:
        """Read again which keys are there."""
        ...

    def custody(self) -> str:
        """Say how well the private keys are isolated: `same-disk`, `other-process`, `hsm` or `service`."""
        ...

    def close(self) -> None:
        """Let the store go: forget what was unlocked, end connections and sessions."""
        ...


class Authority(Protocol):
    """Names keys of servers and clients: a workspace's own certificate authority."""

    def certificate(self) -> bytes:
        """Return the authority's certificate, PEM.

        Raises:
            NotFound: None was made yet.
        """
        ...

    def most(self) -> timedelta:
        """Return how long a certificate may last."""
        ...

    def issue(self, name: str, names: Sequence[str], *, lasts: timedelta, now: datetime, folder: Path) -> "Issued":
        """Make a key and a certificate for it, as files in a folder.

        Raises:
            InvalidInput: A name that no certificate of this workspace may say.
            Unavailable: The authority's key cannot be unlocked.
        """
        ...

    def certify(
        self, name: str, names: Sequence[str], request: bytes, *, lasts: timedelta, now: datetime, folder: Path
    ) -> "Issued":
        """Make a certificate for a key that somebody else holds, as a file in a folder.

        Raises:
            NotVerified: The request is not signed by the key it names.
            InvalidInput: A name that no certificate of this workspace may say.
            Unavailable: The authority's key cannot be unlocked.
        """
        ...
