"""The evidence pack of a release: the same bytes each time, verified by strangers without Holdfast, tampering found."""

import hashlib
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.stand import releases

from holdfast import app, outside
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.lifecycle.pack import pack_make, zipped
from holdfast.lifecycle.plant import Plant


@pytest.fixture(scope="module")
def packed(
    finished_twice: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, bytes], str, Path, dict[str, Any]]:
    """The files of the pack of the release in production, the root's fingerprint, the pack, and what was said."""
    folder = tmp_path_factory.mktemp("pack")
    shutil.copytree(finished_twice, folder / "project")
    with app.open_plant(folder / "project") as plant:
        document = pack_make(plant, release=releases(plant)[-1], out=folder / "pack.zip").document
    with zipfile.ZipFile(folder / "pack.zip") as archive:
        files = {info.filename: archive.read(info) for info in archive.infolist()}
    return files, str(document["root"]), folder / "pack.zip", dict(document)


def unpacked(files: dict[str, bytes], folder: Path) -> Path:
    """The files in a folder, as a stranger has them."""
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def strange(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The pack's own verifier, run by a plain Python that sees nothing of ours."""
    command = [sys.executable, "-I", "-S", str(folder / "verify.py"), *arguments]
    environment = {"PATH": os.environ["PATH"]}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)


def listing(files: dict[str, bytes]) -> bytes:
    """A list of files that somebody else has written."""
    listed = sorted((name, data) for name, data in files.items() if not name.startswith("MANIFEST"))
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in listed).encode()


def ours(files: dict[str, bytes], root: str, folder: Path) -> int:
    """Holdfast's own reading of the same files."""
    (folder / "ours.zip").write_bytes(zipped(files))
    return outside.pack_verify(file=folder / "ours.zip", fingerprint=root, tell=lambda _: None).exit_code


@pytest.mark.guarantee("G47")
def test_a_stranger_verifies_the_pack_offline_in_time(
    packed: tuple[dict[str, bytes], str, Path, dict[str, Any]], tmp_path: Path, require_program: Any, record: Any
) -> None:
    """Standard library and openssl, no network, no Holdfast: they agree, as Holdfast does; the time is recorded."""
    require_program("openssl")
    files, root, _, _ = packed
    folder = unpacked(files, tmp_path / "unpacked")
    begun = time.perf_counter()
    done = strange(folder, "--fingerprint", root)
    took = time.perf_counter() - begun
    assert done.returncode == 0, done.stdout + done.stderr
    record.save("evidence-pack", seed=None, result={"files": len(files), "verify_s": round(took, 2)})
    assert strange(folder).returncode == 3  # nobody vouches for the root
    assert strange(folder, "--fingerprint", "sha256:" + "0" * 64).returncode == 1
    assert ours(files, root, tmp_path) == 0
    assert ours(files, "sha256:" + "0" * 64, tmp_path) == 4


@pytest.mark.requirement("REG-11", by="holdfast.lifecycle.pack:pack_make")
def test_the_pack_holds_registry_lineage_signatures_and_audit_log(
    packed: tuple[dict[str, bytes], str, Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Everything that an auditor asks for is in it by name, it verifies, and what was changed does not."""
    files, root, _, _ = packed
    assert ours(files, root, tmp_path) == 0
    for name in ("summary.json", "ledger/entries.jsonl", "release/model.onnx", "model.sig"):
        assert ours(files | {name: files[name][:-2] + b"x\n"}, root, tmp_path) == 4
    wanted = {
        "README.md",
        "verify.py",
        "summary.json",
        "trust.dsse.json",
        "root.json",
        "passport.json",
        "project.toml",
        "model.sig",
        "release.pub",
        "ledger/checkpoint",
        "ledger/entries.jsonl",
        "ledger/proofs.json",
        "release/card.md",
        "release/bom.cdx.json",
        "release/model.onnx",
    }
    assert wanted <= files.keys()
    assert b"authorization.filed" in files["ledger/entries.jsonl"]
    assert b"endpoint.routed" in files["ledger/entries.jsonl"]
    assert any(name.startswith("policies/") for name in files)
    assert packed[1].encode() in files["README.md"]
    assert b"PRIVATE" not in b"".join(files.values())


@pytest.mark.guarantee("G47")
def test_every_class_of_changed_byte_is_found_by_both_readings(
    packed: tuple[dict[str, bytes], str, Path, dict[str, Any]], tmp_path: Path, require_program: Any
) -> None:
    """One byte of one file of each sort, also where whoever changed it has written a new list of files."""
    require_program("openssl")
    files, root, _, _ = packed
    assert ours(files, root, tmp_path) == 0
    chosen = {name.partition("/")[0] + Path(name).suffix: name for name in sorted(files)}
    for number, name in enumerate(sorted(chosen.values())):
        changed = dict(files)
        data = bytearray(changed[name])
        data[len(data) // 2] ^= 1
        changed[name] = bytes(data)
        for relisted in (False, True):
            if relisted and not name.startswith("MANIFEST"):
                changed["MANIFEST.sha256"] = listing(changed)
            assert ours(changed, root, tmp_path) == 4, name
            if name != "verify.py":
                found = strange(unpacked(changed, tmp_path / f"flip-{number}"), "--fingerprint", root)
                assert found.returncode == 1, (name, found.stdout)
        shutil.rmtree(tmp_path / f"flip-{number}", ignore_errors=True)


@pytest.mark.guarantee("G47")
def test_what_is_left_out_or_added_is_found(
    packed: tuple[dict[str, bytes], str, Path, dict[str, Any]], tmp_path: Path
) -> None:
    """A file less, a file more, an entry less, the last statement less."""
    files, root, _, _ = packed
    for name in files:
        lacking = {each: data for each, data in files.items() if each != name}
        assert ours(lacking, root, tmp_path) == 4, name
    assert ours(files | {"extra": b""}, root, tmp_path) == 4
    lines = files["ledger/entries.jsonl"].splitlines(keepends=True)
    for number in range(0, len(lines), 7):
        short = b"".join(lines[:number] + lines[number + 1 :])
        assert ours(files | {"ledger/entries.jsonl": short}, root, tmp_path) == 4


def test_the_same_ledger_gives_the_same_pack(producing: Plant, tmp_path: Path) -> None:
    """Byte for byte, because nothing was said meanwhile."""
    pack_make(producing, out=tmp_path / "one.zip")
    pack_make(producing, out=tmp_path / "two.zip")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_a_release_that_nobody_knows_has_no_pack(plant: Plant, tmp_path: Path) -> None:
    """Nor has one that could be two."""
    for begins in ("", "sha256:", "zz"):
        with pytest.raises(NotFound):
            pack_make(plant, release=begins, out=tmp_path / "x.zip")
    with pytest.raises(InvalidInput):
        pack_make(plant, out=tmp_path / "no" / "x.zip")


@pytest.mark.parametrize("names", [["../out"], ["/etc/x"], ["a//b"], ["a", "a"], ["a\\b"]], ids=str)
def test_a_pack_that_leads_out_of_itself_is_refused(names: list[str], tmp_path: Path) -> None:
    """Names are plain, and each is given once."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, pytest.warns() if len(names) > 1 else nullcontext():
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), b"x")
    (tmp_path / "bad.zip").write_bytes(buffer.getvalue())
    with pytest.raises(InvalidInput):
        outside.pack_verify(file=tmp_path / "bad.zip", fingerprint="sha256:0", tell=lambda _: None)


def test_what_is_no_pack_is_refused(tmp_path: Path) -> None:
    """Text, nothing, a compressed file, and half a pack."""
    with zipfile.ZipFile(tmp_path / "deflated.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", b"x" * 1000)
    (tmp_path / "text.zip").write_bytes(b"hello")
    (tmp_path / "empty.zip").write_bytes(b"")
    (tmp_path / "half.zip").write_bytes(zipped({"a": b"x" * 500})[:300])
    for name in ("deflated", "text", "empty", "half", "missing"):
        with pytest.raises(InvalidInput):
            outside.pack_verify(file=tmp_path / f"{name}.zip", fingerprint="sha256:0", tell=lambda _: None)


@pytest.mark.guarantee("G47")
def test_sha256sum_and_model_signing_verify_a_pack_and_find_a_changed_model(
    packed: tuple[dict[str, bytes], str, Path, dict[str, Any]], tmp_path: Path, peers: Path, require_program: Any
) -> None:
    """The steps that its page names, by the public tools alone; after one changed byte of the model both refuse."""
    digests = require_program("sha256sum")
    folder = unpacked(packed[0], tmp_path / "pack")
    signed = ("verify", "key", "release", "--signature", "model.sig", "--public_key", "release.pub")

    def verify() -> tuple[bool, bool]:
        commands = ([digests, "-c", "MANIFEST.sha256"], [peers / "model_signing", *signed, "--no-ignore-git-paths"])
        ended = [
            subprocess.run(list(map(str, each)), cwd=folder, capture_output=True, check=False) for each in commands
        ]
        return ended[0].returncode == 0, ended[1].returncode == 0

    assert verify() == (True, True)
    model = folder / "release" / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    assert verify() == (False, False)
