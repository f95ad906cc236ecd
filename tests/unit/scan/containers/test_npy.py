"""Arrays of numpy: every type's bytes are accounted for, objects are entered, and no literal is evaluated."""

import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.scan.containers.files import FOUND, PAYLOAD, SEEDS, rules, scan, seeded, severities

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import npy_header

TYPES = [
    "?", "b", "<u2", ">i4", "<i8", "<f2", "<f8", "<c16", "S5", "S0", "<U3", "V7", "M8[ns]", "m8[25s]", "M8",
    [("a", "<i4"), ("b", "<f8", (2, 3))],
    [(("title", "name"), "<f4")],
    [("nested", [("x", "<i2"), ("y", "S3")]), ("ü 'quoted'", "?")],
    {"names": ["a", "b"], "formats": ["i1", "i8"], "offsets": [0, 16], "itemsize": 40},
]  # fmt: skip


def saved(array: np.ndarray, *, objects: bool = False) -> bytes:
    """Return an array as numpy writes it."""
    out = io.BytesIO()
    np.save(out, array, allow_pickle=objects)
    return out.getvalue()


def raw(header: bytes, body: bytes = b"") -> bytes:
    """Return a file with a header of one's own."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + body


@pytest.mark.parametrize("kind", TYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 1, 4)], ids=str)
@pytest.mark.filterwarnings("ignore:Stored array in format:UserWarning")
def test_every_type_of_numpy_is_accounted_for(kind: object, shape: tuple[int, ...]) -> None:
    """The bytes behind the header are exactly those of the array, so one byte more or less is a finding."""
    data = saved(np.zeros(shape, dtype=kind, order="F"))  # type: ignore[call-overload]
    assert not scan(data)
    assert rules(data + b"\x01") >= {"npy.trailing"}
    if np.prod(shape) * np.dtype(kind).itemsize:  # type: ignore[call-overload]
        assert rules(data[:-1]) == {"npy.malformed"}


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.containers.npy:scan")
@pytest.mark.parametrize("seed", SEEDS)
def test_bytes_behind_an_array_are_scanned_and_another_array_is_none(seed: int) -> None:
    """`numpy.save` twice into one file is honest; anything else behind an array is not."""
    rng = seeded(seed)
    data = saved(np.arange(rng.randint(0, 9)))
    assert not scan(data * 3)
    found = scan(data * rng.randint(1, 3) + PAYLOAD)
    assert severities(found) == {"npy.trailing": Severity.HIGH, FOUND: Severity.CRITICAL}


def test_objects_are_entered_as_what_they_are() -> None:
    """An array of objects is a pickle behind a header."""
    data = saved(np.array([1, "a", None], dtype=object), objects=True)
    assert severities(scan(data))["npy.objects"] == Severity.LOW
    header = npy_header.read(memoryview(data), 0)
    found = scan(data[: header.end] + PAYLOAD)
    assert [each.place for each in found if each.rule == FOUND] == ["file!/objects byte 0"]


@pytest.mark.parametrize(
    "header",
    [
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,), 'extra': 1}",
        b"{'descr': '<f8', 'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': 1}",
        b"{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': ('a',)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1,)} + {}",
        b"{'descr': __import__('os'), 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': 'os.system', 'fortran_order': False, 'shape': (1,)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999, 9999999999)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"1," * 100 + b")}",
        b"{'descr': " + b"[('a', " * 60 + b"'<f8'" + b")]" * 60 + b", 'fortran_order': False, 'shape': (1,)}",
        b"[" * 5000,
        b"{'descr': '<f8'",
        b"",
    ],
)
def test_a_header_that_numpy_does_not_write_is_refused_and_what_follows_is_scanned(header: bytes) -> None:
    """A reader that evaluates more than ours would go on to the bytes behind."""
    assert rules(raw(header + b"\n", PAYLOAD)) == {"npy.malformed", FOUND}


@pytest.mark.parametrize("version", [(0, 0), (1, 1), (9, 0)])
def test_a_version_nobody_has_is_refused(version: tuple[int, int]) -> None:
    """As is a header cut off, or longer than any."""
    data = saved(np.zeros(1))
    assert rules(data[:6] + bytes(version) + data[8:]) >= {"npy.malformed"}
    assert rules(data[:30]) == {"npy.malformed"}
    assert rules(b"\x93NUMPY\x02\x00" + struct.pack("<L", 1 << 30)) == {"npy.malformed"}


@given(st.text(alphabet="{}()[],:'\"\\ 0123456789LTrueFalsdc<f|O", max_size=80))
def test_any_header_is_read_or_refused(text: str) -> None:
    """Nothing else comes out of the parser."""
    data = raw(text.encode())
    try:
        header = npy_header.read(memoryview(data), 0)
    except npy_header.Refused:
        return
    assert header.item >= 0
    assert header.count >= 0
