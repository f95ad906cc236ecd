"""Signed notes against the example of the Go package that the C2SP specification describes."""

import base64

import pytest

from holdfast.core.errors import NotVerified
from holdfast.core.ledger import note_keyid, open_note

NAME = "PeterNeumann"
PUBLIC = base64.b64decode("ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
LINE = (
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
NOTE = (TEXT + "\n" + LINE).encode()


def test_the_key_hash_is_the_published_one() -> None:
    """The verifier key PeterNeumann+c74f20a3+… has the key hash that its text states."""
    assert note_keyid(NAME, PUBLIC).hex() == "c74f20a3"


def test_the_published_note_verifies() -> None:
    """The published note opens to its text."""
    assert open_note(NOTE, name=NAME, public_key=PUBLIC) == TEXT.encode()


def test_a_changed_note_is_refused() -> None:
    """One changed letter, and the signature is wrong."""
    with pytest.raises(NotVerified):
        open_note(NOTE.replace(b"answer", b"answes"), name=NAME, public_key=PUBLIC)


def test_lines_of_other_signers_are_left_alone() -> None:
    """A witness's line, or a malformed one, neither helps nor harms."""
    more = NOTE + "\u2014 witness.example/w1 AAAA\n\u2014 PeterNeumann !!!\n".encode()
    assert open_note(more, name=NAME, public_key=PUBLIC) == TEXT.encode()


@pytest.mark.parametrize(
    "note", [b"", b"text\n", TEXT.encode() + b"\n", NOTE[:-20]], ids=["empty", "text", "unsigned", "cut"]
)
def test_what_is_not_signed_is_refused(note: bytes) -> None:
    """No signature line of this key means no text."""
    with pytest.raises(NotVerified):
        open_note(note, name=NAME, public_key=PUBLIC)


@pytest.mark.parametrize(
    "note",
    [
        NOTE.replace(b"\n\n", b"\n"),
        NOTE.replace(b"\n\n", b"\n\n\n"),
        b"\n" + NOTE,
        NOTE.replace("\u2014".encode(), b"-"),
        NOTE.replace("\u2014 ".encode(), "\u2014".encode()),
        NOTE.replace(b"PeterNeumann ", b"PeterNeuman "),
        NOTE.replace(b"x08go/", b"x08gp/"),
        NOTE.replace(b"JnAM=", b"JnAN="),
        NOTE.replace(b"JnAM=", b"JnAM"),
        NOTE.replace(
            b"x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=", b"x08go/Y="
        ),
        NOTE.replace(b"\n\n", b"\n\n" + TEXT.encode() + b"\n"),
    ],
    ids=[
        "no empty line",
        "two empty lines",
        "a line before",
        "hyphen for dash",
        "no space",
        "another name",
        "another key hash",
        "unused bits",
        "no padding",
        "short signature",
        "text twice",
    ],
)
def test_a_note_that_deviates_from_the_specification_is_refused(note: bytes) -> None:
    """Each part of the published note is there for a reason: with any of them changed it is nobody's word."""
    assert note != NOTE
    with pytest.raises(NotVerified):
        open_note(note, name=NAME, public_key=PUBLIC)
