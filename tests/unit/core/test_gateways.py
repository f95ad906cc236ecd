"""A gateway's public file: who made it holds every key in it, and nothing in it can be another's."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.gateways import MAX_GATEWAY, full_name, gateway_file, known_gateway, open_gateway_file
from holdfast.core.trust import Trust
from holdfast.testing.memory import MemorySigner

NOW: Final = datetime(2027, 1, 1, tzinfo=UTC)
NAME: Final = "gateway/ward-7"


def request(curve: ec.EllipticCurve | None = None) -> str:
    """A certificate request that somebody's key has signed."""
    key = ec.generate_private_key(curve or ec.SECP256R1())
    made = x509.CertificateSigningRequestBuilder(subject_name=x509.Name([])).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


REQUEST: Final = request()


RECIPIENT: Final = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"  # of age's own documentation


def public(
    role: str = "gateway", owner: str = NAME, name: str = NAME, asked: str = REQUEST, reads: str = RECIPIENT
) -> bytes:
    """A public file, as its maker would write it."""
    signer = MemorySigner(role, owner=owner, start=NOW)
    return gateway_file(name, (signer.public,), {signer.keyid: signer}, asked, reads)


FILE: Final = public()


def test_a_public_file_says_what_its_maker_said() -> None:
    """Name, identity and request."""
    read = open_gateway_file(FILE)
    assert (read.name, read.request, [key.owner for key in read.keys]) == (NAME, REQUEST, [NAME])


@given(st.integers(0, len(FILE) - 1), st.integers(1, 255))
def test_a_changed_public_file_is_refused_or_says_the_same(place: int, by: int) -> None:
    """One byte: the proof is about all of it."""
    changed = bytearray(FILE)
    changed[place] ^= by
    with suppress(NotVerified):
        assert open_gateway_file(bytes(changed)) == open_gateway_file(FILE)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 10_000,
        FILE + b" " * MAX_GATEWAY,
        public(role="registry"),
        public(owner="gateway/other"),
        public(owner="Ward", name="Ward"),
        public(owner="gateway/../x", name="gateway/../x"),
        public(asked="nothing"),
        public(reads=""),
        public(reads=RECIPIENT[:-1] + "q"),
        public(reads=RECIPIENT.upper()),
        public(reads="age1pq" + RECIPIENT[4:]),
        public(asked=request(ec.SECP384R1())),
        json.dumps(json.loads(FILE) | {"proofs": {}}).encode(),
        json.dumps(json.loads(FILE) | {"keys": []}).encode(),
        json.dumps(json.loads(FILE) | {"keys": json.loads(FILE)["keys"] * 2}).encode(),
    ],
)
def test_what_is_no_gateways_public_file_is_refused(document: bytes) -> None:
    """No keys, another role's, another owner's, a name that is none, a request that nobody signed, no recipient."""
    with pytest.raises(NotVerified):
        open_gateway_file(document)


@pytest.mark.parametrize("name", ["", "gateway/", "Ward", "a/b", "-a", "a-", "a" * 41, "ä", "a b", "..", "a\n"])
def test_names_are_plain(name: str) -> None:
    """They become a folder's name and a path in a certificate."""
    with pytest.raises(InvalidInput):
        full_name(name)


def test_no_certificate_is_no_gateway() -> None:
    """Empty means no, also where nobody is enrolled."""
    trust = Trust(workspace="w/1", version=1, expires=NOW, root_threshold=1, keys=(), policies=())
    for certificate in (b"", b"\x30\x00"):
        with pytest.raises(NotVerified):
            known_gateway(certificate, b"", trust, NOW)
