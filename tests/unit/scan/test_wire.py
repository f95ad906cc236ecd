"""The wire format: every position checked, and numbers that no honest writer writes told apart."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.engines.scan import wire
from holdfast.engines.scan.wire import Malformed


def encoded(value: int) -> bytes:
    """A varint as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


@given(st.integers(0, 2**64 - 1), st.binary(max_size=4))
def test_every_number_of_64_bits_comes_back(value: int, rest: bytes) -> None:
    """A varint gives its number, the position after it, and is minimal as written."""
    data = encoded(value)
    assert wire.varint(memoryview(data + rest), 0, len(data) + len(rest)) == (value, len(data), True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "runs past"),
        (b"\x80", "runs past"),
        (b"\x80" * 10 + b"\x01", "longer than 10"),
        (b"\xff" * 9 + b"\x02", "over 64 bits"),
    ],
)
def test_a_varint_that_does_not_end_or_fit_is_malformed(data: bytes, words: str) -> None:
    """Cut off, longer than ten bytes, or over 64 bits: refused, with where it began."""
    with pytest.raises(Malformed, match=words) as caught:
        wire.varint(memoryview(data), 0, len(data))
    assert caught.value.offset == 0


def test_a_padded_varint_is_told_apart() -> None:
    """0x80 0x00 is zero in two bytes: readers take it, writers do not write it."""
    assert wire.varint(memoryview(b"\x80\x00"), 0, 2) == (0, 2, False)
    assert wire.varint(memoryview(b"\x00"), 0, 1) == (0, 1, True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x00", "field number 0"),
        (b"\x0b", "a group"),
        (b"\x0c", "a group"),
        (b"\x0e", "wire type 6"),
        (b"\x0f", "wire type 7"),
        (encoded((1 << 29) << 3), "field number 536870912"),
    ],
)
def test_groups_unknown_wire_types_and_impossible_field_numbers_are_malformed(data: bytes, words: str) -> None:
    """What no ONNX writer produces ends the scan: readers disagree on what follows it."""
    with pytest.raises(Malformed, match=words):
        wire.tag(memoryview(data), 0, len(data))


def test_a_length_beyond_the_message_is_malformed() -> None:
    """A field may not claim one byte more than is left, however much the file holds."""
    view = memoryview(b"\x03ab" + b"c" * 100)
    assert wire.span(view, 0, 4) == (1, 4, True)
    with pytest.raises(Malformed, match="3 bytes where 2"):
        wire.span(view, 0, 3)


@pytest.mark.parametrize(
    ("data", "kind", "good"),
    [
        (b"\x01\x80\x01", wire.VARINT, True),
        (b"", wire.VARINT, True),
        (b"\x01\x80", wire.VARINT, False),
        (b"\x80" * 10 + b"\x01", wire.VARINT, False),
        (b"\0" * 8, wire.FIXED32, True),
        (b"\0" * 7, wire.FIXED32, False),
        (b"\0" * 12, wire.FIXED64, False),
    ],
)
def test_packed_numbers_must_be_whole(data: bytes, kind: int, *, good: bool) -> None:
    """Packed fields are checked without being read: a cut-off or endless number is found."""
    if good:
        wire.check_packed(memoryview(data), 0, len(data), kind)
    else:
        with pytest.raises(Malformed):
            wire.check_packed(memoryview(data), 0, len(data), kind)
