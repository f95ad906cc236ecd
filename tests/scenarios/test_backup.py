"""Backup and restore: the whole workspace comes back, verified, and what was lost is on record."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.scenarios.stand import releases

from holdfast import app
from holdfast.core.artifact import Kind
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, Unavailable
from holdfast.core.ledger import Draft
from holdfast.core.passport import RECORDED
from holdfast.edge import assemble, config_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.publishing import present_table, standing
from holdfast.lifecycle.records import ledger_checkpoint
from holdfast.lifecycle.restoring import RESTORED, backup
from holdfast.lifecycle.revocation import renew_lease
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.verification import ledger_verify, verify

REASON = "The disk broke."


def moved(plant: Plant, to: Path) -> Path:
    """The project's own files in a new folder: its workspace is gone."""
    shutil.copytree(plant.home.root, to, ignore=shutil.ignore_patterns(".holdfast"))
    return to


@pytest.mark.guarantee("G50")
def test_a_backup_restores_history_bytes_and_keys(producing: Plant, tmp_path: Path) -> None:
    """In another folder, with nothing but the backup and the unlock secret: everything verifies, and it goes on."""
    made = backup(producing, out=tmp_path / "backup")
    root = moved(producing, tmp_path / "again")
    reply = app.restore(root, file=tmp_path / "backup", reason=REASON)
    assert reply.document == {"workspace": producing.origin, "kept": made.document["size"], "lost": 0}
    with app.open_plant(root) as plant:
        assert verify(plant).exit_code == 0, verify(plant).document
        assert why(plant).document
        for entry in producing.ledger.entries():
            if entry.kind == RECORDED and entry.body["kind"] == Kind.SOURCE:
                assert plant.blobs.get(entry.stream) == producing.blobs.get(entry.stream)  # type: ignore[arg-type]
        plant.ledger.append([Draft(kind="note", actor="owner", stream="anything", body={})])
    before = {p.relative_to(producing.home.workspace) for p in producing.home.workspace.rglob("*") if p.is_file()}
    after = {p.relative_to(root / ".holdfast") for p in (root / ".holdfast").rglob("*") if p.is_file()}
    gone = {str(path) for path in before - after if "spool" not in path.parts}
    assert not {path for path in gone if not path.endswith(("-wal", "-shm", ".lock"))}
    for path in (root / ".holdfast").rglob("*"):
        assert path.lstat().st_mode & 0o022 == 0


def test_a_backup_shows_nothing_of_what_it_holds(producing: Plant, tmp_path: Path) -> None:
    """It is encrypted: not even a document of the workspace can be read from it, and others may not read the file."""
    backup(producing, out=tmp_path / "backup")
    data = (tmp_path / "backup").read_bytes()
    assert releases(producing)[0].encode() not in data
    assert b"intoto" not in data
    assert b"SQLite" not in data
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0


@pytest.mark.guarantee("G50")
def test_what_a_restore_lost_is_signed_for_and_a_cut_off_end_is_not_excused(producing: Plant, tmp_path: Path) -> None:
    """A newer checkpoint knows of three more entries: they are named. A checkpoint beyond these still fails."""
    size = int(backup(producing, out=tmp_path / "backup").document["size"])
    for number in range(3):
        producing.ledger.append([Draft(kind="note", actor="owner", stream="lost", body={"number": number})])
    ledger_checkpoint(producing, out=tmp_path / "newer.txt")
    for number in range(9):
        producing.ledger.append([Draft(kind="note", actor="owner", stream="lost", body={"number": number})])
    ledger_checkpoint(producing, out=tmp_path / "newest.txt")
    root = moved(producing, tmp_path / "again")
    reply = app.restore(root, file=tmp_path / "backup", checkpoint=tmp_path / "newer.txt", reason=REASON)
    assert reply.document["lost"] == 3
    with app.open_plant(root) as plant:
        (entry,) = [e for e in plant.ledger.stream("trust") if e.kind == RESTORED]
        assert entry.body["kept"] == size
        assert f"entries {size} to {size + 2} were lost" in ledger_verify(plant, checkpoint=tmp_path / "newer.txt").says
        with pytest.raises(NotVerified):
            ledger_verify(plant, checkpoint=tmp_path / "newest.txt")


@pytest.mark.guarantee("G50")
def test_gateways_obey_a_restored_control_plane_although_they_have_seen_newer_tables(
    producing: Plant, tmp_path: Path
) -> None:
    """Its next table passes every epoch that was published after the backup, with or without a newer checkpoint."""
    backup(producing, out=tmp_path / "backup")
    for _ in range(4):
        renew_lease(producing)
    seen = standing(producing, current_project(producing)).epoch
    ledger_checkpoint(producing, out=tmp_path / "newer.txt")
    for name, checkpoint in (("with", tmp_path / "newer.txt"), ("without", None)):
        root = moved(producing, tmp_path / name)
        app.restore(root, file=tmp_path / "backup", checkpoint=checkpoint, reason=REASON)
        shutil.copytree(producing.home.gateway, root / ".holdfast" / "gateway", dirs_exist_ok=True)
        with app.open_plant(root) as plant:
            renew_lease(plant)
            table = present_table(plant, current_project(plant))
            assert table is not None
            assert table.epoch > seen
            assert verify(plant).exit_code == 0, verify(plant).document
            _, loader, _ = assemble(config_of(root), 0)
            loader.refresh()


def cut(data: bytes) -> bytes:
    """The end is missing."""
    return data[:-100]


def flipped(data: bytes) -> bytes:
    """One bit in the middle."""
    changed = bytearray(data)
    changed[len(changed) // 2] ^= 1
    return bytes(changed)


def another_head(data: bytes) -> bytes:
    """It says that it is another workspace's."""
    return data.replace(b'"workspace":"holdfast/', b'"workspace":"holdfasu/', 1)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (cut, NotVerified),
        (flipped, NotVerified),
        (another_head, Unavailable),
        (lambda data: b"hello" + data, InvalidInput),
        (lambda data: data[:40], NotVerified),
        (lambda _: b"", InvalidInput),
    ],
)
def test_a_backup_that_was_changed_changes_nothing(
    producing: Plant, tmp_path: Path, change: Callable[[bytes], bytes], refusal: type[Exception]
) -> None:
    """It is refused before anything of it is used, and no folder is left behind."""
    backup(producing, out=tmp_path / "backup")
    (tmp_path / "changed").write_bytes(change((tmp_path / "backup").read_bytes()))
    root = moved(producing, tmp_path / "again")
    before = sorted(root.iterdir())
    with pytest.raises(refusal):
        app.restore(root, file=tmp_path / "changed", reason=REASON)
    assert sorted(root.iterdir()) == before


def test_a_backup_never_overwrites_and_neither_does_a_restore(producing: Plant, tmp_path: Path) -> None:
    """There is a file, or a workspace: refused in words, and both stay as they are."""
    (tmp_path / "backup").write_bytes(b"precious")
    with pytest.raises(Conflict, match="something already"):
        backup(producing, out=tmp_path / "backup")
    assert (tmp_path / "backup").read_bytes() == b"precious"
    backup(producing, out=tmp_path / "other")
    with pytest.raises(Conflict, match="workspace here"):
        app.restore(producing.home.root, file=tmp_path / "other", reason=REASON)
    with pytest.raises(InvalidInput, match="reason"):
        app.restore(tmp_path, file=tmp_path / "other", reason="")
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_without_the_secret_nothing_comes_back(
    producing: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stolen backup is worth nothing by itself."""
    backup(producing, out=tmp_path / "backup")
    root = moved(producing, tmp_path / "again")
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(Unavailable, match="stays closed"):
        app.restore(root, file=tmp_path / "backup", reason=REASON)
    assert not (root / ".holdfast").exists()


def test_a_full_disk_leaves_no_half_backup(producing: Plant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name appears last."""

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(Unavailable, match="No space left"):
        backup(producing, out=tmp_path / "backup")
    assert list(tmp_path.glob("*backup*")) == []
