"""7z archives: read by a reader of our own, bounded, each byte of them accounted for."""

import lzma
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.scan.containers.files import FOUND, PAYLOAD, SEEDS, name, rules, scan, seeded, severities, text
from tests.unit.scan.containers.sevenzip_maker import COPY, LZMA2, Archive, coder, lzma2, number

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import sevenzip_headers
from holdfast.engines.scan.examination import Content, Limits
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.report import Findings

VECTORS = Path(__file__).parents[3] / "vectors" / "sevenzip"
READ = ["copy", "lzma", "lzma2", "x86-lzma", "x86-lzma2", "arm-lzma", "delta-lzma2", "bzip2", "deflate", "zstd"]
UNREAD = {
    "ppmd": "sevenzip.unsupported",
    "encrypted": "sevenzip.encrypted",
    "encrypted-header": "sevenzip.encrypted",
}


@pytest.mark.parametrize("method", READ)
def test_archives_of_py7zr_are_read_with_every_method(method: str) -> None:
    """Checksums fit, so each filter did what it should; the array in it was recognised."""
    findings = Findings()
    formats = examine(Content(memoryview((VECTORS / f"{method}.7z").read_bytes()), "file"), findings)
    assert not findings.kept
    assert "npy" in formats


@pytest.mark.parametrize("method", UNREAD)
def test_what_cannot_be_unpacked_is_named(method: str) -> None:
    """It is never taken for clean."""
    assert rules((VECTORS / f"{method}.7z").read_bytes()) == {UNREAD[method]}


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.containers.sevenzips:scan")
@pytest.mark.parametrize("seed", SEEDS)
def test_files_are_scanned_each_by_itself(seed: int) -> None:
    """Copied and compressed, in one run of bytes."""
    rng = seeded(seed)
    files = [(name(rng), text(rng)), ("payload.txt", PAYLOAD), ("last.txt", text(rng))]
    run = b"".join(content for _, content in files)
    for archive in (Archive(files=files), Archive(files=files, coders=[LZMA2], packed=lzma2(run), empty=("empty",))):
        (found,) = scan(archive.data())
        assert (found.rule, found.place) == (FOUND, "file!/payload.txt byte 0")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    ("changes", "rule", "severity"),
    [
        ({"after": PAYLOAD}, "sevenzip.trailing", Severity.HIGH),
        ({"before": PAYLOAD}, "sevenzip.gap", Severity.MEDIUM),
        ({"crc": 1}, "sevenzip.crc", Severity.HIGH),
        ({"names": ["a.txt", "a.txt"]}, "sevenzip.duplicate", Severity.HIGH),
        ({"names": ["a.txt", "../a.txt"]}, "sevenzip.name.outside", Severity.CRITICAL),
        ({"names": ["/a.txt", "b.txt"]}, "sevenzip.name.outside", Severity.CRITICAL),
        ({"names": ["a.txt", "a\\b.txt"]}, "sevenzip.name.ambiguous", Severity.MEDIUM),
        ({"attributes": [0o100644 << 16 | 0x8000, 0o120777 << 16 | 0x8000]}, "sevenzip.link", Severity.LOW),
        ({"empty": ("gone",), "anti": True}, "sevenzip.anti", Severity.HIGH),
        ({"size": 1000}, "sevenzip.malformed", Severity.MEDIUM),
        ({"start": 5}, "sevenzip.overlap", Severity.HIGH),
    ],
    ids=str,
)
def test_what_is_not_as_it_should_be_is_a_finding(
    changes: dict[str, object], rule: str, severity: Severity, seed: int
) -> None:
    """And the payload is found all the same."""
    files = [("payload.txt", PAYLOAD), ("b.txt", text(seeded(seed)))]
    found = scan(Archive(files=files, **changes).data())  # type: ignore[arg-type]
    assert severities(found)[rule] == severity
    if rule != "sevenzip.overlap":  # which moves the files
        assert FOUND in severities(found)


def test_a_link_that_leads_out_is_critical() -> None:
    """Its target is its content."""
    files = [("a.txt", b"../../etc/passwd")]
    archive = Archive(files=files, attributes=[0o120777 << 16 | 0x8000])
    assert severities(scan(archive.data()))["sevenzip.link.outside"] == Severity.CRITICAL


def test_a_stream_before_a_break_is_scanned() -> None:
    """Damage in the middle of a run of bytes leaves the files before it."""
    noise = seeded(1).randbytes(50_000).hex().encode()
    packed = bytearray(lzma2(PAYLOAD + noise))
    packed[len(packed) // 2 :] = b"\xee" * (len(packed) - len(packed) // 2)
    archive = Archive(files=[("a.txt", PAYLOAD), ("b.txt", noise)], coders=[LZMA2], packed=bytes(packed))
    assert rules(archive.data()) >= {FOUND, "sevenzip.malformed"}


@pytest.mark.parametrize(
    ("coders", "rule"),
    [
        ([coder(b"\x03\x03\x01\x1b")], "sevenzip.unsupported"),
        ([coder(b"\x09\x09")], "sevenzip.unsupported"),
        ([coder(b"\x21", b"\x29")], "sevenzip.unsupported"),
        ([coder(b"\x06\xf1\x07\x01", b"\x13")], "sevenzip.encrypted"),
        ([b"\x11\x00" + number(2) + number(1)], "sevenzip.malformed"),
    ],
)
def test_coders_that_are_not_known_are_named(coders: list[bytes], rule: str) -> None:
    """The files that they would make were not scanned."""
    assert rules(Archive(files=[("a.txt", PAYLOAD)], coders=coders).data()) >= {rule}


def test_two_coders_are_a_chain() -> None:
    """A filter before a compressor, as archives of programs have it."""
    run = PAYLOAD + bytes(range(1, 9))
    packed = lzma.compress(
        run,
        lzma.FORMAT_RAW,
        filters=[{"id": lzma.FILTER_DELTA, "dist": 1}, {"id": lzma.FILTER_LZMA2, "dict_size": 65536}],
    )
    chain = Archive(
        files=[("a.txt", run[:-8]), ("b", run[-8:])], coders=[LZMA2, coder(b"\x03", b"\x00")], packed=packed
    )
    assert FOUND in rules(chain.data())
    assert "sevenzip.crc" not in rules(chain.data())


def test_a_packed_header_is_unpacked_and_a_bomb_of_one_is_not() -> None:
    """A header of a terabyte is refused before it is made."""
    inner = Archive(files=[("a.txt", PAYLOAD)])
    made = inner.header()
    start = len(PAYLOAD)

    def packed(size: int) -> bytes:
        return (
            b"\x17\x06" + number(start) + number(1) + b"\x09" + number(len(made)) + b"\x00"
            b"\x07\x0b" + number(1) + b"\x00" + number(1) + COPY + b"\x0c" + number(size) + b"\x00\x00"
        )  # fmt: skip

    honest = Archive(files=inner.files, before=made)
    assert rules(honest.data(packed(len(made)))) == {FOUND}
    assert rules(honest.data(packed(1 << 40))) >= {"sevenzip.malformed"}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x01",
        b"\x02",
        b"\x01\x05" + number(1 << 60),
        b"\x01\x05" + number(9) + b"\x11" + number(3) + b"\0ab",
        b"\x01\x04\x06\x00" + number(1 << 50),
        b"\x01\x04\x07\x0b" + number(1) + b"\x00" + number(0),
        b"\x01\x04\x07\x0b" + number(1) + b"\x01",
        b"\x01\x04\x07\x0b" + number(1) + b"\x00" + number(1) + b"\x8f",
    ],
)
def test_a_header_that_does_not_add_up_is_refused(header: bytes) -> None:
    """Nothing is believed before the bytes are there."""
    archive = Archive(files=[("a.txt", b"text")])
    assert rules(archive.data(header)) >= ({"sevenzip.malformed"} if header else {"sevenzip.gap"})


def test_a_start_that_is_cut_off_or_wrong_is_a_finding() -> None:
    """The first checksum is looked at, and the rest is read all the same."""
    data = Archive(files=[("a.txt", PAYLOAD)]).data()
    assert rules(data[:20]) == {"sevenzip.malformed"}
    assert rules(data[:60]) == {"sevenzip.malformed"}
    assert rules(data[:8] + bytes(4) + data[12:]) == {"sevenzip.malformed", FOUND}
    wrong = data[:12] + struct.pack("<2QL", *struct.unpack("<2Q", data[12:28]), zlib.crc32(b"x")) + data[32:]
    assert rules(wrong) == {"sevenzip.malformed", FOUND}


def test_members_are_counted() -> None:
    """Beyond the limit nothing is scanned."""
    data = Archive(files=[(str(index), b"a") for index in range(20)]).data()
    assert "limit.members" in {found.rule for found in scan(data, Limits(members=10))}


@given(st.integers(0, (1 << 64) - 1))
@settings(max_examples=50)
def test_numbers_are_read_as_they_are_written(value: int) -> None:
    """One to nine bytes."""
    assert sevenzip_headers.Reader(number(value)).number() == value
