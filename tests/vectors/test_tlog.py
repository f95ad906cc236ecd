"""Tiles, cosignatures and requests to witnesses against the examples that the C2SP specifications give."""

import base64

import pytest

from holdfast.core.errors import InvalidInput
from holdfast.core.tiles import Tile
from holdfast.core.witness import (
    COSIGNATURE,
    NoteKey,
    cosignature_line,
    cosigned_message,
    parse_note_key,
    parse_witnessing,
)

# tlog-witness, "add-checkpoint": the example request.
REQUEST = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
\u2014 example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()  # noqa: E501 - as it is published

# tlog-cosignature, its introduction: a witness's line.
LINE = "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"  # noqa: E501 - as it is published


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(level=0, index=0, width=256), "tile/0/000"),
        (Tile(level=0, index=1234067, width=256), "tile/0/x001/x234/067"),
        (Tile(level=1, index=0, width=1), "tile/1/000.p/1"),
        (Tile(level=-1, index=273, width=112), "tile/entries/273.p/112"),
        (Tile(level=-1, index=1000, width=256), "tile/entries/x001/000"),
    ],
)
def test_a_tile_lies_where_the_specification_puts_it(tile: Tile, path: str) -> None:
    """Numbers in groups of three digits, all but the last marked; partial tiles named by their width."""
    assert tile.path == path


def test_the_published_request_is_read_and_written_back() -> None:
    """Old size, four hashes, and the note, byte for byte."""
    asked = parse_witnessing(REQUEST)
    assert (asked.old, len(asked.proof)) == (20852014, 4)
    assert asked.note.startswith(b"example.com/behind-the-sofa\n20852163\n")
    assert asked.document == REQUEST


def test_the_published_cosignature_has_the_layout_that_we_write() -> None:
    """Four bytes of key hash, eight of time (1679315147), sixty-four of signature."""
    blob = base64.b64decode(LINE.rsplit(maxsplit=1)[-1])
    key = NoteKey(name="witness.example.com/w1", sort=COSIGNATURE, public=bytes(32))
    ours = cosignature_line(key, 1679315147, blob[12:])
    assert base64.b64decode(ours.split()[-1])[4:] == blob[4:]
    assert ours.startswith("\u2014 witness.example.com/w1 ".encode())


def test_a_cosignature_is_over_the_text_behind_a_header() -> None:
    """tlog-cosignature, "Format": the version, the time, then the checkpoint's text."""
    assert cosigned_message(b"example.com/log\n1\nroot\n", 1679315147) == (
        b"cosignature/v1\ntime 1679315147\nexample.com/log\n1\nroot\n"
    )


def test_the_published_verifier_key_is_read_and_written_back() -> None:
    """The key of the Go package's example note."""
    text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
    assert str(parse_note_key(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "PeterNeumann",
        "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        "PeterNeumann+c74f20a3+AhpcdQ==",
    ],
)
def test_a_verifier_key_that_deviates_is_refused(text: str) -> None:
    """Its hash binds name, type and bytes."""
    with pytest.raises(InvalidInput):
        parse_note_key(text)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        REQUEST.replace(b"old 20852014", b"old 020852014"),
        REQUEST.replace(b"old ", b"old  "),
        REQUEST.replace(b"old 20852014", b"old -1"),
        REQUEST.replace(b"PlRN", b"PlR!"),
        REQUEST.replace(b"\n\n", b"\n" + b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n" * 60 + b"\n", 1),
        REQUEST.replace(b"PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=", b"PlRN"),
        REQUEST + b"x" * (1 << 20),
    ],
    ids=["empty", "leading zero", "two spaces", "negative", "not base64", "64 hashes", "short hash", "too long"],
)
def test_a_request_that_deviates_is_refused(document: bytes) -> None:
    """Nothing of it is guessed."""
    with pytest.raises(InvalidInput):
        parse_witnessing(document)
