"""Where text is: notebooks, archives in archives, other encodings; and what is too much is said, not passed over."""

import gzip
import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest
from bench.secret_corpus import TOKENS, Draw

from holdfast.core.errors import InvalidInput
from holdfast.engines.secrets import sources
from holdfast.engines.secrets.baseline import Accepted, Baseline, excuse, read_baseline, written
from holdfast.engines.secrets.scan import Scan, scan

TOKEN = TOKENS["github-classic"](Draw(5))


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    """Return a tar of these files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    """Return a zip of these files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return out.getvalue()


def looked(tmp_path: Path, data: bytes, name: str = "file") -> Scan:
    """Return the scan of one file."""
    (tmp_path / name).write_bytes(data)
    return scan([tmp_path / name])


LINE = f"x = 1\nvalue = {TOKEN}\n".encode()


@pytest.mark.requirement("ACC-09", by="holdfast.engines.secrets.sources:parts")
@pytest.mark.parametrize(
    ("data", "inside"),
    [
        (LINE, ""),
        (gzip.compress(LINE, mtime=0), ""),
        (zipped({"a/b.txt": LINE}), "a/b.txt"),
        (tarred({"etc/app.conf": LINE}, "w:gz"), "etc/app.conf"),
        (tarred({"layer.tar": tarred({"root/.env": LINE})}), "layer.tar!root/.env"),
        (zipped({"x.whl": zipped({"p.py": LINE})}), "x.whl!p.py"),
        (LINE.decode().encode("utf-16"), ""),
    ],
    ids=["text", "gzip", "zip", "tar.gz", "image layer", "nested zip", "utf-16"],
)
def test_a_token_is_found_wherever_it_is_packed(tmp_path: Path, data: bytes, inside: str) -> None:
    """By content and not by name, with its line and its place inside."""
    found = looked(tmp_path, data)
    assert [(leak.inside, leak.line) for leak in found.leaks] == [(inside, 2)]
    assert found.unread == ()


def test_cells_and_outputs_of_notebooks_are_read_and_pictures_are_not(tmp_path: Path) -> None:
    """A find names its cell; base64 of a picture is data."""
    picture = {"output_type": "display_data", "data": {"image/png": "token='" + "aB3dE5gH7jK9mN1p" * 4 + "'"}}
    cells = [
        {"cell_type": "code", "source": ["plot()\n"], "outputs": [picture]},
        {"cell_type": "code", "source": "show()", "outputs": [{"output_type": "stream", "text": ["a\n", TOKEN]}]},
    ]
    found = looked(tmp_path, json.dumps({"cells": cells, "nbformat": 4}).encode(), "n.ipynb")
    assert [(leak.inside, leak.line) for leak in found.leaks] == [("cell 2, output", 2)]


def test_a_token_across_two_windows_is_found_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows overlap by more than a secret is long, and each find belongs to one of them."""
    monkeypatch.setattr(sources, "WINDOW", 4096)
    monkeypatch.setattr(sources, "OVERLAP", 512)
    for before in (3000, 3560, 3580, 4060, 4090, 7600, 7640):
        lines = b"-\n" * (before // 2)
        found = looked(tmp_path, lines + LINE + b"-\n" * 3000)
        assert [leak.line for leak in found.leaks] == [before // 2 + 2]


def test_binary_files_are_skipped_by_content(tmp_path: Path) -> None:
    """A name says nothing: bytes with zeros in them are no text."""
    assert looked(tmp_path, b"\0\1\2" + LINE, "x.txt").clean


def test_what_unpacks_without_end_or_is_damaged_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bomb, too many members, archives too deep, a cut end, an encrypted member: none passes in silence."""
    monkeypatch.setattr(sources, "MAX_UNPACKED", 1 << 20)
    bomb = looked(tmp_path, gzip.compress(b"a\n" * (4 << 20)))
    assert not bomb.clean
    assert "unpacks to more" in bomb.unread[0][1]
    monkeypatch.setattr(sources, "MAX_MEMBERS", 3)
    assert "members" in looked(tmp_path, tarred({str(n): b"x" for n in range(9)})).unread[0][1]
    monkeypatch.undo()
    deep = LINE
    for _ in range(8):
        deep = tarred({"t": deep})
    assert "nested" in looked(tmp_path, deep).unread[0][1]
    assert not looked(tmp_path, zipped({"a": LINE})[:60]).clean
    assert not looked(tmp_path, tarred({"a": LINE}, "w:gz")[:80]).clean
    assert "method" in looked(tmp_path, b"\x28\xb5\x2f\xfd" + b"rest").unread[0][1]


def test_environments_and_history_are_left_out_unless_named(tmp_path: Path) -> None:
    """What is left out is listed; the address in git's own configuration is read."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "pyvenv.cfg").write_text("home = /usr")
    (tmp_path / ".venv" / "x.py").write_bytes(LINE)
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text(f"url = https://me:{TOKEN[8:20]}@git.internal/a.git\n")
    (tmp_path / "link").symlink_to(tmp_path / ".venv" / "x.py")
    found = scan([tmp_path])
    assert [leak.rule for leak in found.leaks] == ["url.password"]
    assert len(found.left_out) == 2
    assert len(scan([tmp_path / ".venv"]).leaks) == 1


def test_a_comment_excuses_with_a_reason_only(tmp_path: Path) -> None:
    """Beside the find or on the line before it; one word is no reason, and two lines away is elsewhere."""
    ok = f"value = {TOKEN}  # holdfast:allow-secret: revoked, kept as a test vector\n"
    before = f"# holdfast:allow-secret: revoked, kept as a test vector\nvalue = {TOKEN}\n"
    bare, far = f"value = {TOKEN}  # holdfast:allow-secret: ok\n", f"{before.splitlines()[0]}\n\n{TOKEN}"
    for text in (ok, before):
        found = looked(tmp_path, text.encode())
        assert not found.leaks
        assert found.accepted[0].reason == "revoked, kept as a test vector"
    for text in (bare, far):
        assert looked(tmp_path, text.encode()).leaks
    assert excuse(b"", 0) == ""


@pytest.mark.requirement("ACC-09", by="holdfast.engines.secrets.baseline:Baseline.mark")
def test_a_baseline_knows_secrets_by_salted_hashes(tmp_path: Path) -> None:
    """The same secret anywhere is accepted, another one is not, and another salt knows neither."""
    salt = "00112233445566778899aabbccddeeff"
    known = Baseline(version=1, salt=salt)
    known = Baseline(
        version=1,
        salt=salt,
        accepted=(Accepted(mark=known.mark(TOKEN.encode()), rule="github.ghp", where="x", reason="revoked in 2025"),),
    )
    path = tmp_path / "baseline.json"
    path.write_bytes(written(known))
    assert TOKEN[4:20].encode() not in path.read_bytes()
    read = read_baseline(path)
    assert read == known
    other = TOKENS["github-classic"](Draw(6))
    (tmp_path / "code.py").write_text(f"a = '{TOKEN}'\nb = '{other}'\n")
    found = scan([tmp_path / "code.py"], baseline=read)
    assert [leak.line for leak in found.leaks] == [2]
    assert [leak.line for leak in found.accepted] == [1]
    salted = Baseline(version=1, salt=salt[::-1], accepted=known.accepted)
    assert len(scan([tmp_path / "code.py"], baseline=salted).leaks) == 2


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"version":2,"salt":"00112233445566778899aabbccddeeff","accepted":[]}',
        '{"version":1,"salt":"00","accepted":[]}',
        '{"version":1,"salt":"00112233445566778899aabbccddeeff","accepted":[{"mark":"a","rule":"b","where":"c","reason":""}]}',
    ],
)
def test_a_malformed_baseline_is_refused(tmp_path: Path, text: str) -> None:
    """No version, too short a salt, an entry without a reason: it accepts nothing."""
    (tmp_path / "b.json").write_text(text)
    with pytest.raises(InvalidInput):
        read_baseline(tmp_path / "b.json")
