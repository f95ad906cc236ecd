"""Tar archives: what readers disagree about is a finding, and the payload is found whatever reader one thinks of."""

import io
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.scan.containers.files import FOUND, PAYLOAD, SEEDS, name, rules, scan, seeded, severities, text

from holdfast.core.evidence import Severity
from holdfast.engines import tar_headers
from holdfast.engines.scan.examination import Content, Examination, Format, Limits

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]


def member(
    name: str, data: bytes = b"", *, kind: bytes = b"0", link: str = "", pax: dict[str, str] | None = None
) -> bytes:
    """Return one member by Python's writer, whose size is that of the data whatever the type."""
    info = tarfile.TarInfo(name)
    info.size, info.type, info.linkname = len(data), kind, link
    info.pax_headers = pax or {}
    return info.tobuf(tarfile.PAX_FORMAT if pax else tarfile.GNU_FORMAT) + data + bytes(-len(data) % 512)


def whole(*members: bytes) -> bytes:
    """Return an archive with its end."""
    joined = b"".join(members) + bytes(1024)
    return joined + bytes(-len(joined) % 10240)


def honest(rng: random.Random, kind: int = tarfile.PAX_FORMAT) -> bytes:
    """Return an archive by Python's own writer, with links, folders and names of more than 100 characters."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=kind) as archive:
        folder = tarfile.TarInfo("folder")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        link = tarfile.TarInfo("folder/link")
        link.type, link.linkname = tarfile.SYMTYPE, "../other.txt"
        archive.addfile(link)
        for each in (name(rng), "folder/" + "long" * 20 + "/" + "name" * 20, "größe.txt"):
            data = text(rng, 2000)
            info = tarfile.TarInfo(each)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def fixed(block: bytes) -> bytes:
    """Return a header block with the checksum that its bytes have."""
    plain = block[:148] + b" " * 8 + block[156:512]
    return block[:148] + f"{sum(plain):06o}\0 ".encode() + block[156:]


def with_size(data: bytes, field: bytes) -> bytes:
    """Return a member whose header has other bytes for its size."""
    return fixed(data[:124] + field + data[136:512]) + data[512:]


ATTACKS: dict[str, tuple[Callable[[random.Random], bytes], Severity]] = {
    "tar.duplicate": (lambda rng: whole(member("a", PAYLOAD), member("a", text(rng))), Severity.HIGH),
    "tar.duplicate alike": (lambda rng: whole(member("a", text(rng)), member("./a", PAYLOAD)), Severity.HIGH),
    "tar.trailing": (lambda rng: whole(member("a", text(rng))) + PAYLOAD, Severity.HIGH),
    "tar.trailing member": (lambda rng: whole(member("a", text(rng))) + whole(member("b", PAYLOAD)), Severity.HIGH),
    "tar.trailing one zero block": (
        lambda rng: member("a", text(rng)) + bytes(512) + whole(member("b", PAYLOAD)),
        Severity.HIGH,
    ),
    "tar.padding": (lambda rng: whole(member("a", PAYLOAD)[:-4] + text(rng)[:4]), Severity.MEDIUM),
    "tar.size pax": (
        lambda rng: whole(_pax_size(rng)),
        Severity.HIGH,
    ),
    "tar.size of a link": (
        lambda rng: whole(member("a", member("b", PAYLOAD), kind=b"2", link="c"), member("d", text(rng))),
        Severity.HIGH,
    ),
    "tar.size of a folder": (lambda _rng: whole(member("a/", PAYLOAD, kind=b"5"), member("b")), Severity.HIGH),
    "tar.ambiguous octal": (
        lambda _rng: whole(with_size(member("a", PAYLOAD), f"0o{len(PAYLOAD):o}".encode().ljust(12))),
        Severity.HIGH,
    ),
    "tar.ambiguous base 256": (
        lambda _rng: whole(with_size(member("a", PAYLOAD), b"\x80" + len(PAYLOAD).to_bytes(11, "big"))),
        Severity.HIGH,
    ),
    "tar.ambiguous global": (
        lambda _rng: whole(_records(b"14 path=other\n", kind=b"g"), member("a", PAYLOAD)),
        Severity.HIGH,
    ),
    "tar.ambiguous twice": (
        lambda _rng: whole(_records(b"14 path=other\n" + b"14 path=again\n"), member("a", PAYLOAD)),
        Severity.HIGH,
    ),
    "tar.ambiguous two ways": (
        lambda _rng: whole(_records(b"long\0", kind=b"L"), _records(b"14 path=other\n"), member("a", PAYLOAD)),
        Severity.HIGH,
    ),
    "tar.ambiguous records": (lambda _rng: whole(_records(b"99 path=other\n"), member("a", PAYLOAD)), Severity.HIGH),
    "tar.ambiguous name": (
        lambda _rng: whole(_behind_name(member("a", PAYLOAD))),
        Severity.HIGH,
    ),
    "tar.device": (lambda _rng: whole(member("a", kind=b"3"), member("b", PAYLOAD)), Severity.HIGH),
    "tar.unsupported type": (lambda _rng: whole(member("a", PAYLOAD, kind=b"Q")), Severity.MEDIUM),
    "tar.sparse": (
        lambda _rng: whole(_records(b"22 GNU.sparse.major=1\n"), member("a", PAYLOAD)),
        Severity.MEDIUM,
    ),
    "tar.malformed": (
        lambda rng: whole(member("a", text(rng)), b"noise".ljust(1024, b"!"), member("b", PAYLOAD)),
        Severity.MEDIUM,
    ),
}


def _records(data: bytes, kind: bytes = b"x") -> bytes:
    return member("header", data, kind=kind)


def _pax_size(rng: random.Random) -> bytes:
    """One reader finds the payload as a member, another as the data of the member before it."""
    inner = member("b", PAYLOAD)
    records = b"12 size=" + str(len(inner)).encode() + b"\n"
    records = str(len(records)).encode() + records[2:]
    return _records(records) + with_size(member(name(rng), inner), b"00000000000\0")


def _behind_name(data: bytes) -> bytes:
    return fixed(data[:50] + b"hidden" + data[56:512]) + data[512:]


@pytest.mark.guarantee("G70")
@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.containers.tars:scan")
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_what_readers_disagree_about_is_a_finding_and_the_payload_is_found(attack: str, seed: int) -> None:
    """Whichever archive a reader would see, its members were scanned."""
    make, severity = ATTACKS[attack]
    found = scan(make(seeded(seed)))
    assert severities(found)[attack.partition(" ")[0]] == severity, found
    assert FOUND in severities(found), found


@pytest.mark.parametrize(
    "options", [("--format=gnu",), *((f"--sparse-version={v}", "--format=pax") for v in ("0.0", "0.1", "1.0"))]
)
def test_a_payload_with_a_hole_in_it_is_found(options: tuple[str, ...], tmp_path: Path) -> None:
    """Four ways to write a sparse member: what readers make of its parts is scanned."""
    if shutil.which("tar") is None:
        pytest.skip("tar is not installed")
    with (tmp_path / "weights.txt").open("wb") as file:
        file.write(b"\x80\x02" + b"]" * 4094)  # a pickle that goes on behind each hole
        for _ in range(12):
            file.seek(1 << 20, 1)
            file.write(b"x" * 4096)
    subprocess.run(["tar", "-S", *options, "-cf", "made.tar", "weights.txt"], cwd=tmp_path, check=True)
    data = (tmp_path / "made.tar").read_bytes()
    with tarfile.open(tmp_path / "made.tar") as archive:
        whole_file = archive.extractfile("weights.txt")
        assert whole_file is not None
        expected = whole_file.read()
    assert len(data) < 1 << 20
    seen = list[bytes]()
    real = Examination.enter

    def note(self: Examination, content: Content, known_as: Format | None = None) -> None:
        seen.append(bytes(content.view))
        real(self, content, known_as)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Examination, "enter", note)
        assert "tar.sparse" in rules(data)
    assert expected in seen


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", FORMATS)
def test_an_honest_archive_is_clean(kind: int, seed: int) -> None:
    """Python's writer in its three formats."""
    assert not rules(honest(seeded(seed), kind))


@pytest.mark.parametrize("format_", ["gnu", "pax", "ustar", "oldgnu", "v7"])
def test_archives_of_the_tar_command_are_clean(format_: str, tmp_path: Path) -> None:
    """Symbolic and hard links, empty files, long names, in every format that GNU tar has."""
    if shutil.which("tar") is None:
        pytest.skip("tar is not installed")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_bytes(PAYLOAD * 300)
    (folder / "empty").touch()
    (folder / "link").symlink_to("a.txt")
    (folder / "hard").hardlink_to(folder / "a.txt")
    if format_ in {"gnu", "pax"}:
        (folder / ("long" * 20)).mkdir()
        (folder / ("long" * 20) / ("name" * 40)).write_bytes(b"text")
    subprocess.run(["tar", f"--format={format_}", "-cf", "made.tar", "folder"], cwd=tmp_path, check=True)
    assert rules((tmp_path / "made.tar").read_bytes()) == {FOUND}
    subprocess.run(["tar", f"--format={format_}", "-cf", "empty.tar", "-T", "/dev/null"], cwd=tmp_path, check=True)
    assert not rules((tmp_path / "empty.tar").read_bytes())


@pytest.mark.parametrize(
    ("entry", "rule", "severity"),
    [
        (member("../outside", PAYLOAD), "tar.name.outside", Severity.CRITICAL),
        (member("/etc/cron.d/job", PAYLOAD), "tar.name.outside", Severity.CRITICAL),
        (member("a", PAYLOAD, pax={"path": "../outside"}), "tar.name.outside", Severity.CRITICAL),
        (member("a" * 99 + "/../../" + "b" * 99, PAYLOAD), "tar.name.outside", Severity.CRITICAL),
        (member("a", kind=b"2", link="../../etc"), "tar.link.outside", Severity.CRITICAL),
        (member("a", kind=b"2", link="/etc"), "tar.link.outside", Severity.CRITICAL),
        (member("a", kind=b"1", link="/etc/passwd"), "tar.link.outside", Severity.CRITICAL),
        (member("a", kind=b"1", link="../passwd"), "tar.link.outside", Severity.CRITICAL),
        (member("a", kind=b"2", link="b/../c"), "tar.link.through", Severity.HIGH),
        (member("a", kind=b"2", link="b") + member("a/b", PAYLOAD), "tar.link.through", Severity.HIGH),
        (member("a", kind=b"2", link="b") + member("a", PAYLOAD), "tar.link.through", Severity.HIGH),
        (member("a", kind=b"2", link="b") + member("c", kind=b"1", link="a"), "tar.link.through", Severity.HIGH),
        (member("a", kind=b"6"), "tar.device", Severity.HIGH),
    ],
)
def test_a_member_that_leads_elsewhere_is_a_finding(entry: bytes, rule: str, severity: Severity) -> None:
    """Critical when it leaves the folder by name or by link."""
    assert severities(scan(whole(entry))).items() >= {(rule, severity)}


@pytest.mark.parametrize("seed", SEEDS)
def test_a_member_before_a_break_is_scanned(seed: int) -> None:
    """An archive that is cut off in a later member, or in this one."""
    rng = seeded(seed)
    data = whole(member("a", PAYLOAD + text(rng, 3000)), member("b", text(rng, 3000)))
    cut = rng.randint(512 + len(PAYLOAD), data.index(b"b\0", 512) + 400)
    assert FOUND in rules(data[:cut])
    assert "tar.malformed" in rules(data[: 512 + len(PAYLOAD)])


def test_a_long_tail_of_zeros_and_a_huge_size_cost_nothing() -> None:
    """Sizes are never believed before the bytes are there."""
    assert not rules(whole(member("a", b"text")) + bytes(1 << 22))
    assert "tar.malformed" in rules(whole(with_size(member("a", PAYLOAD), b"\x80" + b"\x7f" * 11)))
    assert "limit.members" in rules_within(whole(*(member(str(index)) for index in range(9))), Limits(members=5))


def rules_within(data: bytes, limits: Limits) -> set[str]:
    """Return the rules of the findings within other limits."""
    return {found.rule for found in scan(data, limits)}


def test_noise_is_no_archive() -> None:
    """Without a checksum that fits there is none."""
    assert not tar_headers.checksum_fits(b"x" * 512)
    assert not tar_headers.checksum_fits(b"")
