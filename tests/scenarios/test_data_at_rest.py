"""Data at rest: nothing of a data set can be read from the disk, and nothing at all once its key is destroyed."""

from pathlib import Path

import polars as pl
import pytest

from holdfast import app
from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.passport import RECORDED
from holdfast.lifecycle.erasure import ERASED, EXPORTED, data_erase, data_export, data_list
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verification import verify

REASON = "The patients withdrew their consent."


def recorded(plant: Plant, kind: Kind) -> Digest:
    """The newest artifact of a kind."""
    entries = [e for e in plant.ledger.entries() if e.kind == RECORDED and e.body["kind"] == kind]
    return Digest(entries[-1].stream)


def on_disk(plant: Plant) -> bytes:
    """Every byte of the workspace's files, the ledger's database among them."""
    return b"".join(path.read_bytes() for path in sorted(plant.home.workspace.rglob("*")) if path.is_file())


@pytest.mark.guarantee("G48")
def test_the_disk_shows_no_row_and_no_weight(plant: Plant) -> None:
    """Rows came in, went through every stage and were quarantined: no id and no address of theirs lies in any file.

    Neither does a Parquet or ONNX file of them; and the ledger holds no value either.
    """
    rows = (plant.home.root / "patients.csv").read_bytes().splitlines()
    header = rows[0].split(b",")
    personal = header.index(b"contact_email")
    values = {row.split(b",")[personal] for row in rows[1:200] if row.count(b",") == len(header) - 1} - {b""}
    held = on_disk(plant)
    assert len(values) > 50
    assert not [value for value in values if value in held]
    assert rows[5] not in held
    assert b"PAR1" not in held
    assert b"ir_version" not in held
    assert plant.blobs.get(recorded(plant, Kind.SOURCE)).splitlines()[5] == rows[5]
    assert not plant.scratch.exists()


def test_an_export_is_on_record_before_it_is_on_the_disk(plant: Plant, tmp_path: Path) -> None:
    """Other programs read Parquet; who took it, when and why can be looked up."""
    dataset = recorded(plant, Kind.DATASET)
    reply = data_export(plant, data=dataset[:20], out=tmp_path / "out", reason="A study in another tool.")
    frame = pl.read_parquet(tmp_path / "out" / "data.parquet")
    assert frame.height > 500
    assert reply.document["digest"] == dataset
    (entry,) = [e for e in plant.ledger.stream(dataset) if e.kind == EXPORTED]
    assert entry.body["reason"] == "A study in another tool."
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0
    with pytest.raises(InvalidInput, match="something already"):
        data_export(plant, data=dataset, out=tmp_path / "out", reason="Again.")
    with pytest.raises(InvalidInput, match="reason"):
        data_export(plant, data=dataset, out=tmp_path / "other", reason=" ")
    with pytest.raises(NotFound, match="0 of kind"):
        data_export(plant, data="sha256:ffff", out=tmp_path / "other", reason="Why not.")


@pytest.mark.guarantee("G49")
def test_erasing_destroys_the_rows_and_keeps_the_record(plant: Plant) -> None:
    """Every copy made from the source goes with its key; digests stay, `verify` and `why` say that it was erased."""
    source, dataset = recorded(plant, Kind.SOURCE), recorded(plant, Kind.DATASET)
    release = recorded(plant, Kind.RELEASE)
    reply = data_erase(plant, data=source, reason=REASON)
    assert reply.document["releases"] == [release]
    for digest in (source, recorded(plant, Kind.MODEL)):
        assert digest == source or plant.blobs.has(digest)  # a manifest is a document
    with app.open_plant(plant.home.root) as again:
        with pytest.raises(NotFound, match="erased"):
            again.blobs.get(source)
        with pytest.raises(NotFound, match="erased"):
            data_export(again, data=dataset, out=again.home.root / "out", reason="Too late.")
        (entry,) = [e for e in again.ledger.entries() if e.kind == ERASED]
        assert entry.body["reason"] == REASON
        assert "erased, which is on record" in str(verify(again).document)
        assert verify(again).exit_code == 0
        assert [row["state"] for row in data_list(again).document["sources"]] == ["erased"]
        with pytest.raises(NotFound, match="erased before"):
            data_erase(again, data=source, reason=REASON)


def test_what_is_missing_and_was_not_erased_is_damage(plant: Plant) -> None:
    """Somebody deletes the key file by hand: no entry says so, and `verify` does not look away."""
    for key in (plant.home.workspace / "storage" / "keys").iterdir():
        key.unlink()
    with app.open_plant(plant.home.root) as again:
        assert verify(again).exit_code != 0
        assert "BROKEN" in str(verify(again).document)


def test_a_model_outlives_its_rows_and_rows_may_come_again(plant: Plant) -> None:
    """A release holds no row, and still proves where it came from; taking the rows in again makes all anew."""
    data_erase(plant, data=recorded(plant, Kind.SOURCE), reason=REASON)
    release = recorded(plant, Kind.RELEASE)
    with app.open_plant(plant.home.root) as again:
        assert run(again).document["release"] == release
        assert [row["state"] for row in data_list(again).document["sources"]] == ["readable"]
        assert why(again).document


def test_without_the_secret_everything_is_checked_but_only_in_encrypted_form(
    plant: Plant, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever only reads needs no secret: damage shows all the same, in whichever of the files it is."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nowhere"))
    with app.open_plant(plant.home.root) as locked:
        reply = verify(locked)
        assert "in encrypted form only" in str(reply.document)
        every = [path for path in (plant.home.workspace / "sealed" / "bytes").rglob("*") if path.is_file()]
        assert len(every) > 10
        for sealed in every:
            sealed.chmod(0o600)
            whole = sealed.read_bytes()
            sealed.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            assert "BROKEN" in str(verify(locked).document), sealed.name
            sealed.write_bytes(whole)
        assert "BROKEN" not in str(verify(locked).document)
