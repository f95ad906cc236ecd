"""Whatever the bytes are, a scan of a container ends, raises nothing and stays within its limits."""

import gzip
import io
import tarfile
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.containers import sevenzip_maker, test_streams, test_tar, test_zip
from tests.unit.scan.containers.files import PAYLOAD, scan, seeded

from holdfast.core.evidence import MAX_FINDINGS
from holdfast.engines.scan.examination import Limits

LIMITS = Limits(depth=4, members=200, expanded_bytes=1 << 20, steps=100_000)
RNG = seeded(4)
SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "b", "GNU.sparse.realsize": "604"}


def array() -> bytes:
    """Return an npz archive with one array of objects."""
    out = io.BytesIO()
    np.savez_compressed(out, numbers=np.arange(20), objects=np.array(["a", None], dtype=object))
    return out.getvalue()


HONEST: dict[str, bytes] = {
    "zip": test_zip.honest(RNG, payload=PAYLOAD),
    "zip in zip": test_zip.honest(RNG, method=zipfile.ZIP_STORED, payload=test_zip.honest(RNG)),
    "zip lzma": test_zip.honest(RNG, method=zipfile.ZIP_LZMA),
    "npz": array(),
    "tar pax": test_tar.honest(RNG, tarfile.PAX_FORMAT),
    "tar sparse": test_tar.whole(
        test_tar.member("a", b"2\n0\n4\n600\n4\n".ljust(512, b"\0") + b"textmore", pax=SPARSE)
    ),
    "tar gnu": test_tar.honest(RNG, tarfile.GNU_FORMAT),
    "7z": sevenzip_maker.Archive(files=[("a", PAYLOAD), ("b", b"text")], empty=("c",), attributes=[32, 32, 16]).data(),
    "7z lzma": (Path(__file__).parents[3] / "vectors" / "sevenzip" / "x86-lzma.7z").read_bytes(),
    "gzip": gzip.compress(PAYLOAD * 3),
    "lz4": test_streams.lz4_frame(PAYLOAD * 3),
    **{name: pack(PAYLOAD * 3) for name, pack in test_streams.PACK.items()},
}
NUMBERS = [b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f", b"\1\0\0\0", b"\xff" * 8, bytes(7) + b"\x80", bytes(7) + b"\x40"]
MAGICS = [
    b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"\x1f\x8b\x08", b"BZh9", b"\xfd7zXZ\x00", b"\x5d\0\0\x80\0", b"x\x9c",
    b"\x04\x22\x4d\x18", b"\x02\x21\x4c\x18", b"\x50\x2a\x4d\x18", b"\x93NUMPY\x01\x00", b"7z\xbc\xaf\x27\x1c", b"",
]  # fmt: skip


def check(data: bytes) -> None:
    """Scan, and hold the result to what every result must be."""
    found = scan(data, LIMITS)
    assert len(found) <= MAX_FINDINGS
    for finding in found:
        assert finding.message
        assert (finding.message + finding.place).isprintable()


@given(st.sampled_from(MAGICS), st.binary(max_size=600))
@settings(max_examples=300)
def test_any_bytes_behind_a_magic_number_are_scanned_without_an_error(magic: bytes, data: bytes) -> None:
    """Noise is a finding, never an exception."""
    check(magic + data)


@pytest.mark.parametrize("name", sorted(HONEST))
@given(st.data())
@settings(max_examples=60)
def test_a_damaged_container_is_scanned_without_an_error(name: str, data: st.DataObject) -> None:
    """Flips, cuts, repeats, insertions and other numbers, up to eight at once."""
    changed = bytearray(HONEST[name])
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, len(changed)))
        match data.draw(st.sampled_from(["flip", "cut", "insert", "repeat", "number"])):
            case "flip" if at < len(changed):
                changed[at] ^= data.draw(st.integers(1, 255))
            case "cut":
                del changed[at : at + data.draw(st.integers(1, 40))]
            case "insert":
                changed[at:at] = data.draw(st.binary(min_size=1, max_size=20))
            case "number":
                value = data.draw(st.sampled_from(NUMBERS))
                changed[at : at + len(value)] = value
            case _:
                changed[at:at] = changed[max(0, at - 60) : at]
    check(bytes(changed))


def test_a_bomb_takes_no_memory_beyond_its_limit() -> None:
    """64 MiB of zeros in 64 KiB: what is kept is what the limit allows."""
    bomb = zlib.compress(bytes(64 << 20), 9)
    tracemalloc.start()
    check(bomb)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20
