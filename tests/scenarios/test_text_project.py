"""A project whose model reads messages: from its rows to answers of the gateway, which are those of training."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tests.scenarios.stand import Gateway, check_rehearsal, releases
from tests.scenarios.wording import write_messages

from holdfast import app
from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.text import Hashing
from holdfast.edge import batch, config_of
from holdfast.engines.texts import hashed
from holdfast.lifecycle.features import feature_list
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.runner import run
from holdfast.serve import HttpRequest, HttpResponse


@pytest.fixture(scope="session")
def messages_made(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, with a release in production."""
    folder = tmp_path_factory.mktemp("messages")
    write_messages(folder)
    app.init(folder)
    with app.open_plant(folder) as plant:
        run(plant)
        promote(plant, reason="The first.")
    return folder


@pytest.fixture
def messages(messages_made: Path, tmp_path: Path) -> Iterator[Plant]:
    """The control plane of a copy of it."""
    folder = tmp_path / "messages"
    shutil.copytree(messages_made, folder)
    with app.open_plant(folder) as plant:
        yield plant


def predict(edge: Gateway, rows: list[dict[str, object]]) -> HttpResponse:
    """A plain call."""
    headers = ((b"x-api-key", edge.key.encode()), (b"content-type", b"application/json"))
    body = json.dumps({"rows": rows}).encode()
    return edge.gateway.handle(
        HttpRequest(method="POST", path="/predict/messages", headers=headers, body=body, peer="127.0.0.1")
    )


@pytest.mark.requirement("FEAT-03")
@pytest.mark.requirement("SERV-01")
def test_messages_are_answered_as_the_model_was_trained(messages: Plant) -> None:
    """The gateway's probabilities are those of the released model over the numbers that training made of the texts."""
    with (messages.home.root / "messages.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[:40]
    edge = Gateway(messages)
    response = predict(edge, [{"length": int(row["length"]), "message": row["message"]} for row in rows])
    assert response.status == 200, response.body
    told = [each["probabilities"]["spam"] for each in json.loads(response.body)["predictions"]]
    files = parse_manifest(messages.blobs.get(releases(messages)[0]))
    model = OnnxRuntime().load(messages.blobs.get(Digest(files.file("model.onnx").digest)), features=33, classes=2)
    texts = hashed(Hashing(buckets=32, most_characters=400), [row["message"] for row in rows])
    inputs = np.column_stack([[float(row["length"]) for row in rows], texts]).astype(np.float32)
    _, expected = model.run(inputs)
    np.testing.assert_allclose(told, expected[:, 1], atol=0.0051)  # the endpoint rounds to two decimals
    right = [(value > 0.5) == (row["label"] == "spam") for value, row in zip(told, rows, strict=True)]
    assert sum(right) >= 34
    assert predict(edge, [{"length": 12, "message": "x" * 401}]).status == 400


@pytest.mark.requirement("GATE-09", by="holdfast.train.packaging:_field")
def test_a_column_declared_whole_takes_no_fraction_in_production(messages: Plant) -> None:
    """The contract's word on a column holds at the gateway, too, and stands on the card."""
    edge = Gateway(messages)
    assert predict(edge, [{"length": 12.0, "message": "call me"}]).status == 200
    refused = predict(edge, [{"length": 12.5, "message": "call me"}])
    assert (refused.status, b"'length' of row 0 takes whole numbers only" in refused.body) == (400, True)
    files = parse_manifest(messages.blobs.get(releases(messages)[0]))
    assert "| length | whole number |" in messages.blobs.get(Digest(files.file("card.md").digest)).decode()


@pytest.mark.requirement("FEAT-01")
def test_a_text_stands_in_the_catalogue_and_on_the_card(messages: Plant) -> None:
    """Who looks for what a model sees finds the text, how it is hashed, and how long it may be."""
    listed = {each["feature"]: each for each in feature_list(messages).document["features"]}
    assert (listed["message"]["code"], listed["message"]["used"]) == ("hashed words of 1 to 2", True)
    files = parse_manifest(messages.blobs.get(releases(messages)[0]))
    card = messages.blobs.get(Digest(files.file("card.md").digest)).decode()
    assert "32 of them are a text's words, hashed: message, up to 400 characters." in card
    assert "message#3" not in card
    made = [entry for entry in messages.ledger.entries() if entry.kind == "artifact.recorded"]
    assert any(entry.body["kind"] == Kind.FEATURES for entry in made)


@pytest.mark.requirement("SERV-02")
@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_a_batch_scores_texts_as_calls_do(messages: Plant, tmp_path: Path, form: str) -> None:
    """One row out for each row in, with the probabilities that a call is told; what does not fit is refused by row."""
    texts = ["win a cash prize now", "see you at home after dinner", "", "x" * 401, "call, then meet; \u00e4 'quote'"]
    frame = pl.DataFrame({"length": [20, 28, 0, 401, 30], "message": texts, "note": ["a", "b", "c", "d", "e"]})
    source, output = tmp_path / f"rows.{form}", tmp_path / "out"
    frame.write_csv(source) if form == "csv" else frame.write_parquet(source)
    edge = Gateway(messages)
    manifest = batch.run(
        config_of(messages.home.root, environment="production"),
        model="messages",
        source=source,
        output=output,
        key=edge.key,
        keep=("note",),
    )
    assert (manifest.rows, manifest.outcomes) == (5, {"answered": 4, "refused": 1})
    part = next(output.glob(f"part-*.{form}"))
    scored = (pl.read_csv(part) if form == "csv" else pl.read_parquet(part)).to_dicts()
    assert [row["note"] for row in scored] == ["a", "b", "c", "d", "e"]
    assert scored[3]["code"] == "HF245"
    assert not any("message" in name for name in scored[0])
    for at in (0, 1, 2, 4):
        told = predict(edge, [{"length": frame["length"][at], "message": texts[at]}])
        expected = json.loads(told.body)["predictions"][0]["probabilities"]["spam"]
        assert scored[at]["probability spam"] == pytest.approx(expected)


def test_calls_of_a_batch_hold_no_more_characters_than_a_call_may(messages: Plant, tmp_path: Path) -> None:
    """A thousand long texts: each is answered, and none costs a refusal on record."""
    source = tmp_path / "rows.csv"
    pl.DataFrame({"length": [390] * 600, "message": ["ab cd ef " * 43] * 600}).write_csv(source)
    edge = Gateway(messages)
    manifest = batch.run(
        config_of(messages.home.root, environment="production"),
        model="messages",
        source=source,
        output=tmp_path / "out",
        key=edge.key,
    )
    assert manifest.outcomes == {"answered": 600}
    assert manifest.reasons == {}


def test_a_release_that_reads_texts_is_rehearsed_under_load_and_attack(messages: Plant) -> None:
    """Calls with made-up texts are answered, and every attack is refused: a row that is too wide, too."""
    check_rehearsal(messages, releases(messages)[0])
