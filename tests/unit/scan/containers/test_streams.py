"""Compressed streams: what they hold is scanned, and so is everything that stands around their data."""

import bz2
import gzip
import io
import lzma
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import joblib
import numpy as np
import pytest
import zstandard
from tests.unit.scan.containers.files import FOUND, PAYLOAD, SEEDS, rules, scan, seeded, severities, text

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import lz4, streams
from holdfast.engines.scan.examination import Limits


def lz4_frame(data: bytes, *, flags: int = 0x60, blocks: int = 4) -> bytes:
    """Return a frame of stored blocks."""
    out = lz4.MAGIC + bytes([flags, blocks << 4, 0])
    for at in range(0, len(data), 65536):
        block = data[at : at + 65536]
        out += struct.pack("<L", len(block) | 1 << 31) + block
    return out + bytes(4)


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "bzip2": lambda data: bz2.compress(data, 1),  # blocks of 100 kB
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "zlib fast": lambda data: zlib.compress(data, 2),
    "lz4": lz4_frame,
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress,
}


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.containers.streams:Codec.scan")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PACK)
def test_what_a_stream_holds_is_scanned(name: str, seed: int) -> None:
    """Alone, and inside another stream; innocent text is clean."""
    rng = seeded(seed)
    assert not scan(PACK[name](text(rng)))
    assert rules(PACK[name](text(rng) + PAYLOAD)) == {FOUND}
    inner = rng.choice(sorted(PACK))
    found = scan(PACK[name](PACK[inner](PAYLOAD)))
    assert found[0].place == "file!/unpacked!/unpacked byte 0"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PACK)
def test_bytes_behind_a_stream_are_a_finding_and_are_scanned(name: str, seed: int) -> None:
    """Readers that stop at the end of the data never see them; others refuse the file."""
    rng = seeded(seed)
    found = scan(PACK[name](text(rng)) + PAYLOAD)
    assert severities(found)[f"{name.partition(' ')[0]}.trailing"] == Severity.HIGH
    assert {each.rule for each in found if "trailing" in each.place} == {FOUND}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(set(PACK) - {"lzma"}))
def test_a_second_stream_is_a_finding_and_is_scanned(name: str, seed: int) -> None:
    """Some readers join streams, others stop after the first."""
    rng = seeded(seed)
    found = scan(PACK[name](text(rng)) + PACK[name](PAYLOAD))
    assert severities(found) == {f"{name.partition(' ')[0]}.streams": Severity.MEDIUM, FOUND: Severity.CRITICAL}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", PACK)
def test_what_comes_before_a_break_is_scanned(name: str, seed: int) -> None:
    """A reader has used the beginning before it notices the end: cut off, and damaged."""
    rng = seeded(seed)
    whole = PACK[name](PAYLOAD + rng.randbytes(200_000).hex().encode())
    cut = whole[: rng.randint(len(whole) // 2, len(whole) - 20)]
    damaged = bytearray(whole)
    damaged[len(whole) * 2 // 3 :] = b"\xff" * 64
    for data in (cut, bytes(damaged)) if name != "lz4" else (cut,):  # lz4 keeps no checksum
        assert rules(data) >= {f"{name.partition(' ')[0]}.malformed", FOUND}


def test_a_break_right_behind_the_payload_hides_nothing() -> None:
    """The decompressor raises in the very step that held the payload."""
    step = zlib.compressobj(9, zlib.DEFLATED, 15)
    packed = step.compress(PAYLOAD) + step.flush(zlib.Z_FULL_FLUSH) + b"\x07\xff\xff"
    assert rules(packed + bytes(5000)) == {FOUND, "zlib.malformed"}


def header(flags: int, fields: bytes) -> bytes:
    """Return a gzip member with other fields."""
    member = gzip.compress(PAYLOAD, mtime=0)
    return member[:3] + bytes([flags]) + member[4:10] + fields + member[10:]


@pytest.mark.parametrize(
    ("data", "rule", "severity"),
    [
        (header(4, struct.pack("<H", 200) + b"x" * 200), "gzip.extra", Severity.MEDIUM),
        (header(4, struct.pack("<H", 20) + b"__import__('os').sys"), "gzip.extra", Severity.MEDIUM),
        (header(8, b"../../outside\0"), "gzip.name.outside", Severity.CRITICAL),
        (header(16, b"eval('1')\0"), "gzip.comment", Severity.MEDIUM),
        (header(2, b"\x01\x02"), "gzip.malformed", Severity.MEDIUM),
        (header(0x80, b""), "gzip.malformed", Severity.MEDIUM),
        (gzip.compress(PAYLOAD, mtime=0)[:-8] + bytes(8), "gzip.checksum", Severity.HIGH),
    ],
)
def test_fields_beside_the_data_of_gzip_are_looked_at(data: bytes, rule: str, severity: Severity) -> None:
    """And the data is scanned all the same."""
    assert severities(scan(data)) == {rule: severity, FOUND: Severity.CRITICAL}


def test_honest_fields_of_gzip_are_clean() -> None:
    """A name, a checksum of the header, the index of block-gzipped files, padding with zeros."""
    index = header(4, struct.pack("<H2sHH", 6, b"BC", 2, 100))
    named = io.BytesIO()
    with gzip.GzipFile("folder.txt", "wb", fileobj=named) as file:
        file.write(PAYLOAD)
    for data in (index, named.getvalue(), index + bytes(512)):
        assert rules(data) == {FOUND}


@pytest.mark.parametrize("frame", [b"\x50\x2a\x4d\x18", b"\x5f\x2a\x4d\x18"])
def test_a_frame_that_readers_step_over_is_looked_into(frame: bytes) -> None:
    """Skippable frames of lz4 hold anything; a short one, as some writers put it there, is no finding."""
    hidden = frame + struct.pack("<L", len(PAYLOAD)) + PAYLOAD
    assert rules(hidden + lz4_frame(b"text" * 9)) == {"lz4.skippable", FOUND}
    assert not scan(frame + struct.pack("<L", 4) + b"size" + lz4_frame(b"text" * 9))


@pytest.mark.parametrize("package", ["lz4.block", "no_such_package"])
@pytest.mark.parametrize("seed", SEEDS)
def test_lz4_blocks_are_decoded(seed: int, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Literals, matches that overlap themselves, long lengths, blocks linked to the one before."""
    monkeypatch.setattr(lz4, "PACKAGE", package)
    rng = seeded(seed)
    repeat = rng.randint(1, 400)
    tail = b"\x50" + b"\nabcd"  # five literals end a block
    match = b"\x1f" + b"x" + b"\x01\x00" + b"\xff" * (repeat // 255) + bytes([repeat % 255])
    block = match + tail
    expected = b"x" + b"x" * (repeat + 19) + b"\nabcd"
    linked = b"\x00" + struct.pack("<H", 5) + tail  # four bytes of the block before
    data = lz4.MAGIC + b"\x40\x40\x00" + b"".join(struct.pack("<L", len(b)) + b for b in (block, linked)) + bytes(4)
    frame = lz4.Frame(memoryview(data), 0)
    assert b"".join(frame.pieces()) == expected + b"\nabc" + b"\nabcd"
    assert not frame.broken
    assert frame.at == len(data)


@pytest.mark.parametrize(
    ("block", "why"),
    [
        (b"\xf0\xff\xff", "a length that runs past its block"),
        (b"\x50ab", "literals that run past their block"),
        (b"\x10x\x09\x00", "a match that reaches outside"),
        (b"\x10x\x00\x00", "a match that reaches outside"),
        (b"\x1fx\x01\x00" + b"\xff" * 300 + b"\0", "a match that reaches outside"),
    ],
)
def test_lz4_blocks_that_no_decoder_takes_are_refused(block: bytes, why: str) -> None:
    """And never written beyond the size that the frame allows."""
    frame = lz4.Frame(memoryview(lz4.MAGIC + b"\x60\x40\x00" + struct.pack("<L", len(block)) + block), 0)
    assert sum(map(len, frame.pieces())) <= 65536
    assert frame.broken == why


@pytest.mark.parametrize(
    "tool", ["lz4", "lz4 -9", "lz4 -l", "lz4 -BD -B4", "xz", "xz --format=lzma", "bzip2", "gzip", "zstd"]
)
def test_streams_of_the_tools_are_clean(tool: str, tmp_path: Path) -> None:
    """What the commands write is read to its end."""
    command = tool.split()
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    words = b"".join(text(seeded(index)) for index in range(400)) + PAYLOAD
    done = subprocess.run([*command, "-q", "-c"], input=words, capture_output=True, check=True)
    assert rules(done.stdout) == {FOUND}


@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.reading:walk")
@pytest.mark.parametrize("compressor", ["", "zlib", "gzip", "bz2", "lzma", "xz", "lz4"])
def test_dumps_of_joblib_are_clean_and_their_arrays_of_objects_are_entered(compressor: str, tmp_path: Path) -> None:
    """Raw arrays are stepped over; a pickle inside an array of objects is scanned like any other."""
    objects = np.array([1, "a", None, {"b": np.float32(2)}], dtype=object)
    model = {"weights": np.arange(1000.0), "names": objects, "more": np.zeros((3, 4), order="F"), "again": objects}
    joblib.dump(model, tmp_path / "honest", compress=(compressor, 3) if compressor else 0)
    assert not rules((tmp_path / "honest").read_bytes())
    model["names"] = np.array([_Call()], dtype=object)
    joblib.dump(model, tmp_path / "attack", compress=(compressor, 3) if compressor else 0)
    assert "pickle.dangerous-call" in rules((tmp_path / "attack").read_bytes())


class _Call:
    """Something that calls a function when it is loaded."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return eval, ("None",)


def test_zstandard_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """A content that cannot be read is never taken for clean."""
    monkeypatch.setattr("holdfast.engines.scan.containers.unpacking.ZSTANDARD", "no_such_package")
    (found,) = scan(b"\x28\xb5\x2f\xfd" + bytes(20))
    assert found.rule == "zstd.unsupported"
    assert "pip install 'holdfast[scan]'" in found.message


def test_text_that_begins_like_a_stream_is_text() -> None:
    """Two letters are a valid zlib header."""
    assert not streams._begins_lzma(memoryview(b"\x01\0\0\1\0" + bytes(9) + b"\xff" * 50))
    for begin in (b"x^2 + y^2 = 1\n", b"hC\n", b"BZh: three letters\n", b"]\0"):
        assert not {each.name for each in streams.CODECS if each.known(memoryview(begin * 20))}


def test_bombs_end_at_the_limit() -> None:
    """Layers of compression count together."""
    bomb = zlib.compress(zlib.compress(bytes(64 << 20), 9), 9)
    found = scan(bomb, Limits(expanded_bytes=8 << 20))
    assert "limit.expanded" in {each.rule for each in found}


def test_a_stream_that_asks_for_much_memory_is_refused() -> None:
    """A dictionary of 1.5 GiB is a bomb of its own."""
    big = lzma.compress(b"text", lzma.FORMAT_ALONE)
    data = big[:1] + (3 << 29).to_bytes(4, "little") + big[5:]
    assert rules(data) == {"lzma.malformed"}
