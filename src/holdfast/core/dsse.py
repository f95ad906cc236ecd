"""DSSE's encoding of what is signed: all that a signer or verifier of foreign statements needs of our seals."""

from typing import Final, Protocol

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"


class SigningKey(Protocol):
    """What sealing needs of a signer."""

    @property
    def keyid(self) -> str:
        """The key's identifier."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return a signature over the message."""
        ...


def pae(payload_type: str, payload: bytes) -> bytes:
    """Return DSSE's pre-authentication encoding (DSSE v1, "Signature Definition").

    >>> pae("http://example.com/HelloWorld", b"hello world")
    b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
