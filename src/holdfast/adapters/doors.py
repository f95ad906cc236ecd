"""A door to one private key, wherever that key is: a folder, a process, a token, a service."""

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.core.trust import TrustedKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A door to one private key (port `Signer`)."""

    public: TrustedKey
    signs: Callable[[bytes], bytes] = field(repr=False)  # the store's own way to sign with this key

    @property
    def keyid(self) -> str:
        """The key's identifier: SHA-256 of its DER SubjectPublicKeyInfo, hex."""
        return self.public.keyid

    @property
    def role(self) -> str:
        """The one role this key signs for."""
        return self.public.role

    def sign(self, message: bytes) -> bytes:
        """Return a signature over the message (Ed25519, or ECDSA P-256 with SHA-256 in DER).

        Raises:
            Unavailable: The store is locked, or does not answer.
            NotVerified: The store was changed.
            Refused: The store signs nothing of this kind with this key.
        """
        return self.signs(message)
