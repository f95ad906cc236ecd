"""The ledger shown to witnesses and strangers: tiles, cosignatures by file and HTTP, copies verified without a key."""

import shutil
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from holdfast import app, outside
from holdfast.adapters.clock import SystemClock
from holdfast.adapters.witness import WitnessFolder, serve_witness
from holdfast.core.errors import InvalidInput, LedgerBroken, NotFound, NotVerified, Refused, Unavailable
from holdfast.core.ledger import Draft
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.tiling import ledger_tiles
from holdfast.lifecycle.verification import ledger_verify
from holdfast.lifecycle.witnessing import WITNESSED, accept_witness, ask_witness, ledger_key, take_cosignature


def note(plant: Plant, text: str) -> None:
    """One more entry."""
    plant.ledger.append([Draft(kind="note", actor="test", stream="notes", body={"text": text})])


def quiet(_: object) -> None:
    """Tell nobody."""


@pytest.fixture
def witness(tmp_path: Path, plant: Plant) -> tuple[Path, str]:
    """A witness that knows the workspace's ledger: its folder and its key."""
    folder = tmp_path / "witness"
    key = str(outside.witness_init(folder, name="example.org/w1", tell=quiet).document["key"])
    outside.witness_know(folder, key=str(ledger_key(plant).document["keys"][0]), tell=quiet)
    return folder, key


@pytest.fixture
def kept(tmp_path: Path, plant: Plant, witness: tuple[Path, str]) -> Path:
    """The ledger's checkpoint, cosigned by way of files, as it is kept elsewhere."""
    folder, key = witness
    ask_witness(plant, witness=key, out=tmp_path / "request")
    outside.witness_cosign(folder, request=tmp_path / "request", out=tmp_path / "cosigned", tell=quiet)
    take_cosignature(plant, file=tmp_path / "cosigned", witness=key, keep=tmp_path / "kept")
    return tmp_path / "kept"


def verify(plant: Plant, kept: Path, **given: Any) -> Any:
    """Verify a copy as a stranger: with the ledger's key and the witnessed checkpoint, and no workspace."""
    if "trust" not in given:
        given = {"key": ledger_key(plant).document["keys"][0]} | given
    return outside.verify_copy(tell=quiet, checkpoint=kept, **given)


@pytest.mark.guarantee("G46")
def test_a_copy_verifies_with_public_keys_alone_and_tampering_is_located(
    plant: Plant, project: Path, tmp_path: Path, kept: Path, witness: tuple[Path, str]
) -> None:
    """The database as it was copied; with an entry edited; and as it was before, against what the witness saw."""
    names = tmp_path / "witnesses"
    names.write_text(f"# those we trust\n{witness[1]}\n", encoding="utf-8")
    copied = shutil.copyfile(project / ".holdfast" / "ledger.db", tmp_path / "copy.db")
    wal = project / ".holdfast" / "ledger.db-wal"
    if wal.exists():
        shutil.copyfile(wal, tmp_path / "copy.db-wal")
    before = copied.read_bytes()
    found = verify(plant, kept, database=copied, witnesses=names, quorum=1).document
    assert [each["witness"] for each in found["witnesses"]] == ["example.org/w1"]
    assert copied.read_bytes() == before  # evidence stays as it was found
    home = project / ".holdfast"
    with_trust = verify(plant, kept, database=copied, trust=home / "trust.dsse.json", pinned=home / "root.json")
    assert with_trust.document["anchored"] == found["anchored"]
    with closing(sqlite3.connect(copied)) as connection, connection:
        connection.execute("UPDATE entries SET document = replace(document, 'e', 'f') WHERE position = 7")
    with pytest.raises(LedgerBroken) as caught:
        verify(plant, kept, database=copied)
    assert caught.value.place == "entry 7"
    with closing(sqlite3.connect(project / ".holdfast" / "ledger.db")) as connection:
        connection.execute("DELETE FROM checkpoints")
        connection.execute("DELETE FROM entries WHERE position >= 9")
        connection.commit()
        connection.execute("VACUUM INTO ?", (str(tmp_path / "rolled-back.db"),))
    with pytest.raises(LedgerBroken, match="cut off") as caught:
        verify(plant, kept, database=tmp_path / "rolled-back.db")
    assert caught.value.place == "entry 9"


def test_tiles_are_written_as_the_ledger_grows_and_verify_without_it(plant: Plant, tmp_path: Path) -> None:
    """A second export adds what is new; a stranger verifies the folder; a changed tile is refused, not built upon."""
    out = tmp_path / "tiles"
    first = ledger_tiles(plant, out=out).document
    assert ledger_tiles(plant, out=out).document["size"] == first["size"]
    for number in range(300):
        note(plant, f"entry {number}")
    second = ledger_tiles(plant, out=out).document
    assert (second["had"], second["size"]) == (first["size"], first["size"] + 300)
    fresh = tmp_path / "fresh"
    ledger_tiles(plant, out=fresh)
    for path in (each for each in fresh.rglob("*") if each.is_file() and each.name != "checkpoint"):
        assert (out / path.relative_to(fresh)).read_bytes() == path.read_bytes()
    found = verify(plant, out / "checkpoint", tiles=out).document
    assert found["size"] == second["size"]
    tile = out / "tile" / "0" / "000"
    spoilt = bytearray(tile.read_bytes())
    spoilt[40] ^= 1
    tile.write_bytes(spoilt)
    with pytest.raises(LedgerBroken, match="tile/0/000"):
        verify(plant, out / "checkpoint", tiles=out)
    with pytest.raises(LedgerBroken, match="says something else"):
        ledger_tiles(plant, out=out)
    assert tile.read_bytes() == bytes(spoilt)  # evidence is not overwritten
    note(plant, "one more")
    with pytest.raises(LedgerBroken, match="another history"):
        ledger_tiles(plant, out=out)


def test_tiles_up_to_what_a_witness_saw_carry_its_word(
    plant: Plant, tmp_path: Path, kept: Path, witness: tuple[Path, str]
) -> None:
    """The checkpoint beside the tiles is the cosigned one, though the ledger has grown since."""
    note(plant, "later")
    out = tmp_path / "tiles"
    ledger_tiles(plant, out=out, witnessed=True)
    assert (out / "checkpoint").read_bytes() == kept.read_bytes()
    names = tmp_path / "witnesses"
    names.write_text(witness[1], encoding="utf-8")
    assert verify(plant, out / "checkpoint", tiles=out, witnesses=names).document["witnesses"]


@pytest.mark.guarantee("G46")
def test_a_witness_answers_over_http_and_refuses_a_ledger_that_was_put_back(
    plant: Plant, project: Path, tmp_path: Path, witness: tuple[Path, str]
) -> None:
    """What it cosigned is on record; a workspace restored to before that cannot get another cosignature."""
    folder, key = witness
    shutil.copytree(project, tmp_path / "before")
    bound: list[int] = []
    started = threading.Event()

    def ready(port: int) -> None:
        bound.append(port)
        started.set()

    serving = threading.Thread(target=serve_witness, args=(WitnessFolder(folder, SystemClock()), 0, ready), daemon=True)
    serving.start()
    assert started.wait(10)
    url = f"http://127.0.0.1:{bound[0]}"
    for text in ("one", "two"):
        note(plant, text)
        done = ask_witness(plant, witness=key, url=url, keep=tmp_path / "kept")
        assert done.document["size"] == plant.ledger.size() - 1
    said = [entry for entry in plant.ledger.stream("witnesses") if entry.kind == WITNESSED]
    assert [entry.actor for entry in said] == ["example.org/w1"] * 2
    (folder / "seen.json").rename(folder / "gone.json")
    with pytest.raises(Unavailable, match="500"):
        ask_witness(plant, witness=key, url=url)
    (folder / "gone.json").rename(folder / "seen.json")
    with app.open_plant(tmp_path / "before") as back:
        note(back, "another story")
        with pytest.raises(NotVerified):
            ask_witness(back, witness=key, url=url)
        assert not back.ledger.stream("witnesses")


@pytest.mark.guarantee("G46")
def test_a_checkpoint_without_the_witnesses_that_the_root_demands_is_refused(
    plant: Plant, project: Path, tmp_path: Path, kept: Path, witness: tuple[Path, str]
) -> None:
    """Once the root keys have accepted a witness, a checkpoint that only the ledger's key signed anchors nothing."""
    home = project / ".holdfast"
    given = {"database": home / "ledger.db", "trust": home / "trust.dsse.json", "pinned": home / "root.json"}
    bare = tmp_path / "bare"
    bare.write_bytes(plant.ledger.checkpoint().note)
    assert verify(plant, bare, **given).document["witnesses"] == []
    accept_witness(plant, key=witness[1], quorum=1)
    with pytest.raises(NotVerified, match="0 of the trusted witnesses"):
        verify(plant, bare, **given)
    with pytest.raises(NotVerified, match="0 of the trusted witnesses"):
        ledger_verify(plant, checkpoint=bare)
    assert verify(plant, kept, **given).document["witnesses"][0]["witness"] == "example.org/w1"
    assert ledger_verify(plant, checkpoint=kept).document["anchored"] is not None
    for wrong in ({"key": witness[1], "quorum": 2}, {"key": str(ledger_key(plant).document["keys"][0])}):
        with pytest.raises(InvalidInput):
            accept_witness(plant, **wrong)


def test_a_refusal_by_file_is_an_error_and_writes_nothing(
    plant: Plant, project: Path, tmp_path: Path, witness: tuple[Path, str], kept: Path
) -> None:
    """The very request that was answered already starts from a size that is no longer the newest."""
    note(plant, "more")
    with pytest.raises(Refused, match="another size was seen"):
        outside.witness_cosign(witness[0], request=tmp_path / "request", out=tmp_path / "second", tell=quiet)
    assert not (tmp_path / "second").exists()


def test_what_is_not_given_right_is_said(plant: Plant, tmp_path: Path, kept: Path) -> None:
    """Neither copy nor key, both of them, a strange key, and cosignatures that are not there."""
    with pytest.raises(InvalidInput):
        verify(plant, kept)
    with pytest.raises(InvalidInput):
        verify(plant, kept, tiles=tmp_path, database=tmp_path / "x.db")
    with pytest.raises(InvalidInput):
        verify(plant, kept, tiles=tmp_path, key=None)
    with pytest.raises(NotFound):
        verify(plant, kept, database=tmp_path / "x.db")
    with pytest.raises(InvalidInput):
        verify(plant, kept, tiles=tmp_path, quorum=1)
    with pytest.raises(InvalidInput):
        ask_witness(plant, witness="nobody", url="http://127.0.0.1:1")
