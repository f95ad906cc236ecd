"""Zip archives: each trick by which two readers see two archives is a finding, and the payload is found anyway."""

import io
import random
import shutil
import struct
import subprocess
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.scan.containers.files import FOUND, PAYLOAD, SEEDS, name, rules, scan, seeded, severities, text

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import zips
from holdfast.engines.scan.examination import Limits


def honest(rng: random.Random, *, method: int = zipfile.ZIP_DEFLATED, payload: bytes = b"") -> bytes:
    """Return an archive of three members by Python's own writer; the payload is the second."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("first/" + name(rng), text(rng))
        archive.writestr("weights.txt", payload or text(rng))
        archive.writestr("last/" + name(rng), text(rng))
    return out.getvalue()


def stored(rng: random.Random) -> bytes:
    """Return an archive with the payload as it stands."""
    return honest(rng, method=zipfile.ZIP_STORED, payload=PAYLOAD)


def entry(data: bytes, index: int = 1) -> int:
    """Return where an entry of the directory stands."""
    at = -1
    for _ in range(index + 1):
        at = data.index(b"PK\x01\x02", at + 1)
    return at


def local(data: bytes, index: int = 1) -> int:
    """Return where a member's local header stands."""
    return struct.unpack_from("<L", data, entry(data, index) + 42)[0]


def patched(data: bytes, at: int, layout: str, *values: object) -> bytes:
    """Return the archive with other values at an offset."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, at, *values)
    return bytes(changed)


def local_name(rng: random.Random) -> bytes:
    """The local header has another name."""
    data = stored(rng)
    return patched(data, local(data) + 30, "7s", b"another")


def local_size(rng: random.Random) -> bytes:
    """The local header has another size."""
    data = stored(rng)
    return patched(data, local(data) + 18, "<L", rng.randint(1, 30))


def local_crc(rng: random.Random) -> bytes:
    """The local header has another checksum."""
    data = stored(rng)
    return patched(data, local(data) + 14, "<L", rng.getrandbits(32))


def local_flags(rng: random.Random) -> bytes:
    """A flag of encryption in one header only: Python's reader stops, torch's does not look."""
    data = stored(rng)
    return patched(data, local(data) + 6, "<H", 1)


def local_method(rng: random.Random) -> bytes:
    """The directory says stored, the local header says deflated, and deflated it is."""
    data = honest(rng, payload=PAYLOAD)
    return patched(data, entry(data) + 10, "<H", 0)


def local_offset(rng: random.Random) -> bytes:
    """Two entries of the directory lead to one member."""
    data = stored(rng)
    return patched(data, entry(data, 2) + 42, "<L", local(data, 1))


def wrong_crc(rng: random.Random) -> bytes:
    """Both headers agree on a checksum that is wrong: Python's reader stops at the end, torch's does not look."""
    data, crc = stored(rng), rng.getrandbits(32)
    return patched(patched(data, local(data) + 14, "<L", crc), entry(data) + 16, "<L", crc)


def wrong_size(rng: random.Random) -> bytes:
    """Both headers agree on a size that is wrong."""
    data, size = honest(rng, payload=PAYLOAD), rng.randint(1, 20)
    return patched(patched(data, local(data) + 22, "<L", size), entry(data) + 24, "<L", size)


def slack(rng: random.Random) -> bytes:
    """A deflated member with bytes behind the end of its stream."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        step = zlib.compressobj(9, zlib.DEFLATED, -15)
        packed = step.compress(PAYLOAD) + step.flush()
        archive.writestr("weights.txt", packed + text(rng))
    data = out.getvalue()
    for at in (local(data, 0) + 8, entry(data, 0) + 10):
        data = patched(data, at, "<H", 8)
    for at in (local(data, 0) + 14, entry(data, 0) + 16):
        data = patched(data, at, "<L", zlib.crc32(PAYLOAD))
    for at in (local(data, 0) + 22, entry(data, 0) + 24):
        data = patched(data, at, "<L", len(PAYLOAD))
    return data


def duplicate(rng: random.Random) -> bytes:
    """One name, two members."""
    out = io.BytesIO()
    both = [PAYLOAD, text(rng)]
    rng.shuffle(both)
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("weights.txt", both[0])
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("weights.txt", both[1])
    return out.getvalue()


def alike(rng: random.Random) -> bytes:
    """Two names that are one file when unpacked."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("folder/weights.txt", PAYLOAD)
        archive.writestr(rng.choice(["folder//weights.txt", "./folder/weights.txt"]), text(rng))
    return out.getvalue()


def prefix(rng: random.Random) -> bytes:
    """Bytes before the first member."""
    return text(rng) + stored(rng)


def _counted(before: bytes, data: bytes) -> bytes:
    """Return an archive behind other bytes, with offsets that know of them: strict readers open this too."""
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<L", data, end + 16)[0]
    changed = bytearray(before + data)
    struct.pack_into("<L", changed, len(before) + end + 16, start + len(before))
    at = len(before) + start
    while changed[at : at + 4] == b"PK\x01\x02":
        struct.pack_into("<L", changed, at + 42, struct.unpack_from("<L", changed, at + 42)[0] + len(before))
        at += 46 + sum(struct.unpack_from("<3H", changed, at + 28))
    return bytes(changed)


def unlisted(rng: random.Random) -> bytes:
    """A member between the others that the directory leaves out; readers that walk from the front find it."""
    data = stored(rng)
    end, gone = data.rindex(b"PK\x05\x06"), entry(data)
    size, start = struct.unpack_from("<2L", data, end + 12)
    length = entry(data, 2) - gone
    changed = bytearray(data)
    struct.pack_into("<2H2L", changed, end + 8, 2, 2, size - length, start)
    del changed[gone : gone + length]
    return bytes(changed)


def gap(rng: random.Random) -> bytes:
    """Bytes between the last member and the directory."""
    data, extra = stored(rng), text(rng)
    end = data.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<L", data, end + 16)[0]
    return patched(data[:start] + extra + data[start:], end + len(extra) + 16, "<L", start + len(extra))


def trailing(rng: random.Random) -> bytes:
    """Bytes behind the end."""
    return stored(rng) + text(rng)


def two_ends(rng: random.Random) -> bytes:
    """An archive in the comment of another: which one is read depends on how the end is looked for."""
    inner, outer = honest(rng), stored(rng)
    length = len(inner)
    return outer[:-2] + struct.pack("<H", length) + inner


def end_in_comment(rng: random.Random) -> bytes:
    """A second end record in the comment of the first, for a directory that follows nothing."""
    data = stored(rng)
    empty = b"PK\x05\x06" + bytes(18)
    return data[:-2] + struct.pack("<H", len(empty)) + empty


def wrong_count(rng: random.Random) -> bytes:
    """The end record counts other members than there are."""
    data, count = stored(rng), rng.choice([1, 2, 4, 9])
    return patched(data, data.rindex(b"PK\x05\x06") + 8, "<2H", count, count)


def two_directories(rng: random.Random) -> bytes:
    """A directory before the end record, and another where the end record's offset points."""
    hidden, shown = stored(rng), honest(rng)
    end = hidden.rindex(b"PK\x05\x06")
    start = struct.unpack_from("<L", hidden, end + 16)[0]
    whole = hidden[:end] + _counted(hidden[:end], shown)[end:]
    return patched(whole, whole.rindex(b"PK\x05\x06") + 16, "<L", start)


def locator(rng: random.Random) -> bytes:
    """A zip64 record that counts other members than the end record."""
    data = stored(rng)
    end = data.rindex(b"PK\x05\x06")
    size, start = struct.unpack_from("<2L", data, end + 12)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, size, start)
    jump = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    return data[:end] + record + jump + patched(data[end:], 12, "<L", size - rng.randint(1, 40))


def descriptor(rng: random.Random) -> bytes:
    """A member whose size follows its data, and says something else than the directory."""
    data = stored(rng)
    for at in (local(data) + 6, entry(data) + 8):
        data = patched(data, at, "<H", 8)
    return data


ATTACKS: dict[str, tuple[Callable[[random.Random], bytes], Severity]] = {
    "zip.header": (local_name, Severity.HIGH),
    "zip.header size": (local_size, Severity.HIGH),
    "zip.header crc": (local_crc, Severity.HIGH),
    "zip.header flags": (local_flags, Severity.HIGH),
    "zip.header method": (local_method, Severity.HIGH),
    "zip.overlap": (local_offset, Severity.HIGH),
    "zip.crc": (wrong_crc, Severity.HIGH),
    "zip.size": (wrong_size, Severity.HIGH),
    "zip.slack": (slack, Severity.HIGH),
    "zip.duplicate": (duplicate, Severity.HIGH),
    "zip.duplicate alike": (alike, Severity.HIGH),
    "zip.prefix": (prefix, Severity.HIGH),
    "zip.prefix counted": (lambda rng: _counted(text(rng), stored(rng)), Severity.HIGH),
    "zip.hidden": (unlisted, Severity.HIGH),
    "zip.gap": (gap, Severity.MEDIUM),
    "zip.trailing": (trailing, Severity.HIGH),
    "zip.ends": (two_ends, Severity.HIGH),
    "zip.ends comment": (end_in_comment, Severity.HIGH),
    "zip.directory": (wrong_count, Severity.HIGH),
    "zip.directory twice": (two_directories, Severity.HIGH),
    "zip.directory zip64": (locator, Severity.HIGH),
    "zip.descriptor": (descriptor, Severity.HIGH),
}


@pytest.mark.guarantee("G70")
@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.containers.zips:scan")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_readers_disagree_about_is_a_finding_and_the_payload_is_found(attack: str, seed: int) -> None:
    """Whichever archive a reader would see, its members were scanned."""
    make, severity = ATTACKS[attack]
    found = scan(make(seeded(seed)))
    assert severities(found)[attack.partition(" ")[0]] == severity, found
    assert FOUND in severities(found), found


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_an_honest_archive_is_clean_and_read_with_every_method(method: int, seed: int) -> None:
    """Python's writer, its four methods; the same archive with the payload shows that its members were read."""
    assert not scan(honest(seeded(seed), method=method))
    assert rules(honest(seeded(seed), method=method, payload=PAYLOAD)) == {FOUND}


class _Pipe(io.RawIOBase):
    """A stream that cannot go back, so that sizes follow the data."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override] # one type of buffer is enough here
        self.data += data
        return len(data)


@pytest.mark.parametrize("wide", [False, True])
def test_honest_archives_written_to_pipes_with_zip64_and_with_folders_are_clean(wide: bool) -> None:
    """Descriptors behind the data, zip64 fields, empty members, folders and a comment are what honest tools write."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("member.txt", "w", force_zip64=wide) as member:
            member.write(PAYLOAD)
        archive.writestr("folder/", b"")
        archive.writestr("folder/empty", b"")
        archive.comment = b"made on a Friday"
    assert rules(bytes(pipe.data)) == {FOUND}


@pytest.mark.parametrize("options", [("-r",), ("-r", "-fz"), ("-r0",), ("-ry",), ("-rX",)])
def test_archives_of_the_zip_command_are_clean(options: tuple[str, ...], tmp_path: Path) -> None:
    """Info-ZIP writes extra fields, links and zip64 in its own way."""
    if shutil.which("zip") is None:
        pytest.skip("the zip command is not installed")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.txt").write_bytes(b"words\n" * 500)
    (tmp_path / "folder" / "link").symlink_to("a.txt")
    subprocess.run(["zip", "-q", *options, "made.zip", "folder"], cwd=tmp_path, check=True)
    assert not rules((tmp_path / "made.zip").read_bytes())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_zip_in_a_zip_in_a_zip_is_read_to_its_end(seed: int) -> None:
    """The path to the payload names each archive; beyond eight levels nothing is read and a finding says so."""
    rng, data = seeded(seed), PAYLOAD
    for level in range(3):
        data = honest(rng, method=rng.choice([0, 8]), payload=data)
        assert all("weights.txt" in found.place for found in scan(data)), level
    (found,) = scan(data)
    assert found.rule == FOUND
    assert found.place == "file!/weights.txt!/weights.txt!/weights.txt byte 0"
    for _ in range(9):
        data = honest(rng, method=0, payload=data)
    assert "limit.depth" in rules(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_member_before_a_break_is_scanned(seed: int) -> None:
    """An archive cut off anywhere behind the payload still shows it, with or without its directory."""
    data, rng = stored(seeded(seed)), seeded(seed)
    cut = rng.randint(data.index(PAYLOAD) + len(PAYLOAD), len(data) - 1)
    assert rules(data[:cut]) >= {FOUND, "zip.malformed"} or rules(data[:cut]) >= {FOUND, "zip.trailing"}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_each_member_of_a_stream_that_is_cut_off_is_scanned(method: int) -> None:
    """No directory, and no size before the data: where a member ends is told by its data, or by the next header."""
    pipe = _Pipe()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        for index in range(12):
            archive.writestr(f"{index}.txt", PAYLOAD)
    found = scan(bytes(pipe.data[: pipe.data.index(b"PK\x01\x02")]))
    assert {each.place for each in found if each.rule == FOUND} == {f"file!/{index}.txt byte 0" for index in range(12)}


def test_a_damaged_stream_is_scanned_up_to_the_damage() -> None:
    """The payload comes first, then a byte that no decompressor takes."""
    step = zlib.compressobj(0, zlib.DEFLATED, -15)
    packed = step.compress(PAYLOAD) + step.flush(zlib.Z_FULL_FLUSH) + b"\x07\xff\xff"
    data = b"".join(
        (
            struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, 1, len(packed), len(PAYLOAD), 1, 0),
            b"w",
            packed,
        )
    )
    assert rules(data) >= {FOUND, "zip.malformed"}


@pytest.mark.parametrize(
    ("member", "rule", "severity"),
    [
        ("../outside.txt", "zip.name.outside", Severity.CRITICAL),
        ("a/../../outside.txt", "zip.name.outside", Severity.CRITICAL),
        ("/etc/cron.d/job", "zip.name.outside", Severity.CRITICAL),
        ("C:\\boot.txt", "zip.name.outside", Severity.CRITICAL),
        ("..\\outside.txt", "zip.name.outside", Severity.CRITICAL),
        ("a/../inside.txt", "zip.name.ambiguous", Severity.MEDIUM),
        ("a\\b.txt", "zip.name.ambiguous", Severity.MEDIUM),
        ("line\nbreak.txt", "zip.name.ambiguous", Severity.MEDIUM),
        ("folder/nul.txt", "zip.name.ambiguous", Severity.MEDIUM),
    ],
)
def test_a_name_that_leads_elsewhere_is_a_finding(member: str, rule: str, severity: Severity) -> None:
    """Critical when it leaves the folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo(member), b"text")
    assert severities(scan(out.getvalue())).items() >= {(rule, severity)}


def test_a_zero_byte_in_a_name_is_a_finding() -> None:
    """Some readers end the name there."""
    data = stored(seeded(1)).replace(b"weights.txt", b"weights\0txt")
    assert severities(scan(data))["zip.name.ambiguous"] == Severity.HIGH


@pytest.mark.parametrize(
    ("target", "rule", "severity"),
    [
        ("../../etc/passwd", "zip.link.outside", Severity.CRITICAL),
        ("/etc/passwd", "zip.link.outside", Severity.CRITICAL),
        ("../sibling.txt", "zip.link", Severity.LOW),
        ("a/../b", "zip.link.through", Severity.HIGH),
    ],
)
def test_a_link_in_an_archive_is_judged_by_where_it_leads(target: str, rule: str, severity: Severity) -> None:
    """A member that is written through a link is a finding too."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("folder/link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, target)
    assert severities(scan(out.getvalue()))[rule] == severity


def test_a_member_written_through_a_link_is_a_finding() -> None:
    """The link is unpacked first, and the next member follows it."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "folder")
        archive.writestr("link/weights.txt", b"text")
    assert severities(scan(out.getvalue()))["zip.link.through"] == Severity.HIGH


def test_a_unicode_name_beside_the_name_is_a_finding() -> None:
    """Some readers take the name in the extra field (0x7075), others the one in the header."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        info = zipfile.ZipInfo("harmless.txt")
        value = b"\x01" + struct.pack("<L", zlib.crc32(b"harmless.txt")) + b"model.pkl"
        info.extra = struct.pack("<2H", 0x7075, len(value)) + value
        archive.writestr(info, b"text")
    assert severities(scan(out.getvalue()))["zip.name.ambiguous"] == Severity.HIGH


def test_encryption_and_methods_that_are_not_read_are_named() -> None:
    """What cannot be read is never taken for clean; what is only marked as encrypted is read."""
    rng = seeded(2)
    data = stored(rng)
    marked = patched(patched(data, local(data) + 6, "<H", 1), entry(data) + 8, "<H", 1)
    assert rules(marked) == {"zip.encrypted", FOUND}
    for method, rule in (
        (9, "zip.unsupported"),
        (98, "zip.unsupported"),
        (99, "zip.encrypted"),
        (1234, "zip.unsupported"),
    ):
        packed = patched(patched(data, local(data) + 8, "<H", method), entry(data) + 10, "<H", method)
        assert rules(packed) == {rule}


def test_a_comment_that_holds_code_is_a_finding() -> None:
    """Nothing runs a comment, and yet a payload must lie somewhere."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a.txt", b"text")
        archive.comment = b"__import__('os')"
    assert rules(out.getvalue()) == {"zip.comment"}


def test_a_bomb_ends_at_the_limit() -> None:
    """What may be expanded is counted over all members together."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for index in range(3):
            archive.writestr(f"{index}.txt", bytes(1 << 20))
    assert "limit.expanded" in {found.rule for found in scan(out.getvalue(), Limits(expanded_bytes=2 << 20))}
    assert "limit.members" in {found.rule for found in scan(out.getvalue(), Limits(members=2))}


def test_members_that_share_their_bytes_are_not_read_for_ever() -> None:
    """A thousand entries of the directory for one large member: a few are read, a finding says the rest was not."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("big.txt", b"a" * 100_000)
    data = out.getvalue()
    end, start = data.rindex(b"PK\x05\x06"), entry(data, 0)
    one, entries = data[start:end], b""
    for index in range(1000):
        said = 100_000 - index
        entries += one[:20] + struct.pack("<2L", said, said) + one[28:46] + f"{index:07}".encode()
    whole = data[:start] + entries + data[end : end + 8] + struct.pack("<2H2LH", 1000, 1000, len(entries), start, 0)
    found = scan(whole)
    assert any(each.rule == "zip.overlap" and "not scanned" in each.message for each in found)


@pytest.mark.parametrize(("size", "start"), [(1 << 40, 0), (0, 1 << 63), (1 << 63, 1 << 63), ((1 << 64) - 1, 5)])
def test_a_directory_far_outside_the_file_is_a_finding(size: int, start: int) -> None:
    """Sizes and offsets of 64 bits are never positions before the bytes are there."""
    data = stored(seeded(5))
    end = data.rindex(b"PK\x05\x06")
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 3, 3, size, start)
    jump = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    wide = data[end : end + 8] + b"\xff" * 12 + bytes(2)
    assert rules(data[:end] + record + jump + wide) >= {"zip.directory", FOUND}


def test_other_containers_that_end_with_a_zip_member_are_not_taken_for_one() -> None:
    """Nor is noise with the four bytes of an end record."""
    assert not zips.known(memoryview(b"PK\x05\x06" + bytes(3)))
    assert not zips.known(memoryview(b"x" * 100 + b"PK\x05\x06" + b"y" * 40))
    assert zips.known(memoryview(b"x" * 100 + stored(seeded(3))))
    assert zips.known(memoryview(b"PK\x05\x06" + bytes(18)))
