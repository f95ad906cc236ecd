"""DSSE against the test vector in its specification (protocol.md, "Test vectors")."""

import base64

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from holdfast.core.dsse import pae

TYPE, BODY = "http://example.com/HelloWorld", b"hello world"
X = 46950820868899156662930047687818585632848591499744589407958293238635476079160
Y = 5640078356564379163099075877009565129882514886557779369047442380624545832820
SIGNATURE = "A3JqsQGtVsJ2O2xqrI5IcnXip5GToJ3F+FnZ+O88SjtR6rDAajabZKciJTfUiHqJPcIAriEGAHTVeCUjW2JIZA=="


def test_the_pre_authentication_encoding_is_the_published_one() -> None:
    """The PAE of the specification's example comes out byte for byte."""
    assert pae(TYPE, BODY) == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_published_signature_verifies_over_our_encoding() -> None:
    """The specification's ECDSA P-256 signature is over exactly what we would sign."""
    raw = base64.b64decode(SIGNATURE)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key()
    key.verify(der, pae(TYPE, BODY), ec.ECDSA(hashes.SHA256()))


@pytest.mark.parametrize(("kind", "payload"), [("a", b"b"), ("", b""), ("é", b"\x00\xff")])
def test_two_different_pairs_never_encode_alike(kind: str, payload: bytes) -> None:
    """Lengths are counted in bytes, so type and payload cannot be shifted into each other."""
    encoded = pae(kind, payload)
    assert encoded.startswith(b"DSSEv1 %d " % len(kind.encode()))
    assert encoded.endswith(b" %d " % len(payload) + payload)


@pytest.mark.parametrize(
    "message",
    [
        BODY,
        pae(TYPE, BODY + b" "),
        pae(TYPE + "/", BODY),
        b"DSSEv1 29 http://example.com/HelloWorld 11  hello world",
        b"DSSEv1 29 http://example.com/HelloWorld hello world",
        b"DSSEv2 29 http://example.com/HelloWorld 11 hello world",
        b"DSSEv1 029 http://example.com/HelloWorld 11 hello world",
    ],
    ids=["bare payload", "another payload", "another type", "two spaces", "no length", "version 2", "leading zero"],
)
def test_the_published_signature_is_over_nothing_else(message: bytes) -> None:
    """Whoever encodes type and payload in another way cannot use the specification's signature for it."""
    raw = base64.b64decode(SIGNATURE)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key = ec.EllipticCurvePublicNumbers(X, Y, ec.SECP256R1()).public_key()
    assert message != pae(TYPE, BODY)
    with pytest.raises(InvalidSignature):
        key.verify(der, message, ec.ECDSA(hashes.SHA256()))
