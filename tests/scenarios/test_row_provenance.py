"""Row provenance: which models learned from a row, what an erasure request touches, and what is left afterwards."""

from pathlib import Path

import pytest
from tests.scenarios.conftest import reseed
from tests.scenarios.stand import now

from holdfast import app
from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import InvalidInput, NotFound, Refused
from holdfast.core.ledger import Draft
from holdfast.lifecycle.learned import data_affected, data_learned
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.row_erasure import ROWS_ERASED, data_erase_rows
from holdfast.lifecycle.row_index import INDEXED, STREAM, ids_of, indexed, load
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.trail import data_trail
from holdfast.lifecycle.verification import verify
from holdfast.lifecycle.versions import version_of

WHY = "Article 17, request 12."


def sides(plant: Plant) -> dict[str, list[str]]:
    """The keys on each side of the only split."""
    (split,) = indexed(plant)
    return ids_of(plant, split)


def request(plant: Plant, *keys: str) -> Path:
    """A request about some rows."""
    path = plant.home.root / "request.txt"
    path.write_text("\n".join(keys) + "\n", encoding="utf-8")
    return path


def remove(plant: Plant, *keys: str) -> None:
    """Take rows out of the project's source."""
    path = plant.home.root / "patients.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(line for line in lines if line.split(b",")[0].decode() not in keys))


def test_a_model_knows_which_rows_it_learned_from(plant: Plant) -> None:
    """A row of each side is told apart; the release that answers is named; nobody is in no model."""
    promote(plant, reason="The first.")
    held = sides(plant)
    for side, counts in (("train", 1), ("validation", 0), ("test", 0)):
        document = data_learned(plant, key=held[side][3]).document
        assert {each["side"] for each in document["models"]} == {side}
        models = [each for each in document["models"] if each["kind"] == Kind.MODEL]
        assert models[0]["releases"] == [now(plant).baseline]
        assert document["learned"] == counts * len(document["models"])
    assert data_learned(plant, key="nobody").document["models"] == []
    assert "answers now" in data_learned(plant, key=held["train"][0]).tables[0].rows[0][3]


def test_the_ledger_holds_no_key_and_the_index_follows_from_the_splits(plant: Plant) -> None:
    """Digests and counts alone are on record; made anew from the rows, the index says the same."""
    (entry,) = [each for each in plant.ledger.stream(STREAM) if each.kind == INDEXED]
    held = sides(plant)
    assert entry.body["counts"] == {side: len(set(keys)) for side, keys in held.items()}
    assert not [key for keys in held.values() for key in keys if key.encode() in entry.document]
    stored, gone = load(plant)
    again, _ = load(plant, anew=True)
    assert not gone
    assert again.order == stored.order == tuple(indexed(plant))
    for keys in held.values():
        assert list(again.sides_of(keys[0])) == list(stored.sides_of(keys[0])) != []
    key = held["train"][0]
    forged = {**entry.body, "split": "sha256:" + "0" * 64}
    plant.ledger.append([Draft(kind=INDEXED, actor="mallory", stream=STREAM, body=forged)])
    assert [side for _, side in load(plant)[0].sides_of(key)] == ["train"], "a split that was never made says nothing"


def test_two_models_of_one_table_share_its_roster(plant: Plant) -> None:
    """Another seed, another split of the same rows: both are asked, and each answers for itself."""
    first = load(plant)[0].order
    reseed(plant.home.root, 8)
    run(plant)
    index, _ = load(plant)
    assert len(index.order) == len(first) + 1
    assert len(index.rosters) == 1
    assert len(list(index.sides_of(sides_of_all(plant)[0]))) == len(index.order)


def sides_of_all(plant: Plant) -> list[str]:
    """Every key of the first split."""
    return [key for keys in ids_of(plant, next(iter(indexed(plant)))).values() for key in keys]


def test_a_request_says_what_it_touches_and_changes_nothing(plant: Plant) -> None:
    """Counts by side, the models to retrain, the releases that answer; a line each or CSV by the id columns."""
    promote(plant, reason="The first.")
    held = sides(plant)
    path = request(plant, held["train"][0], held["test"][0], "nobody")
    size = plant.ledger.size()
    document = data_affected(plant, request=path).document
    assert (document["keys"], document["known"]) == (3, 2)
    (model,) = [each for each in document["models"] if each["kind"] == Kind.MODEL]
    assert (model["train"], model["validation"], model["test"], model["retrain"]) == (1, 0, 1, True)
    assert document["answering"] == [now(plant).baseline]
    assert plant.ledger.size() == size
    path.write_text(f"name,patient_id\nAda,{held['test'][0]}\n", encoding="utf-8")
    only_tested = data_affected(plant, request=path).document
    assert not [each for each in only_tested["models"] if each["retrain"]]
    assert only_tested["answering"] == []
    for bad in ("", "\n\n"):
        path.write_text(bad, encoding="utf-8")
        with pytest.raises(InvalidInput, match="names nobody"):
            data_affected(plant, request=path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InvalidInput, match="cannot be read"):
        data_affected(plant, request=path)


def test_erased_rows_are_in_no_version_and_the_models_to_retrain_are_on_record(plant: Plant) -> None:
    """The source is refused while it has the rows; then the old versions go as a whole, and the new one has none."""
    promote(plant, reason="The first.")
    held = sides(plant)
    person, kept = held["train"][0], held["train"][1]
    path = request(plant, person)
    before = version_of(plant, "main")
    with pytest.raises(Refused, match="still has 1 of the rows"):
        data_erase_rows(plant, request=path, reason=WHY)
    assert plant.blobs.has(Digest(before.commit.source))
    assert version_of(plant, "main").digest == before.digest
    remove(plant, person)
    reply = data_erase_rows(plant, request=path, reason=WHY)
    assert reply.document["sources"] == [before.commit.source]
    assert reply.document["answering"] == [now(plant).baseline]
    with app.open_plant(plant.home.root) as again:
        assert version_of(again, "main").commit.rows == before.commit.rows - 1
        assert not again.blobs.has(Digest(before.commit.source))
        (entry,) = [each for each in again.ledger.entries() if each.kind == ROWS_ERASED]
        assert entry.body["reason"] == WHY
        assert entry.body["models"] == [each["model"] for each in reply.document["models"]]
        assert person.encode() not in b"".join(each.document for each in again.ledger.entries())
        assert data_learned(again, key=kept).document["erased_splits"], "nobody can say any more who was in it"
        assert WHY in str([step["did"] for step in data_trail(again).document["steps"]])
        assert verify(again).exit_code == 0
        assert data_learned(again, key=person).document["models"] == []
        with pytest.raises(NotFound, match="no row of the request"):
            data_erase_rows(again, request=request(again, "nobody"), reason=WHY)
