"""`holdfast labels`: several people label, some turn labels; the outcome is written, on record, or a person's."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from holdfast import app
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import HoldfastError, InvalidData, InvalidInput
from holdfast.faces.cli import invoke
from holdfast.lifecycle.labels import AGREED, labels_agree, labels_consensus
from holdfast.lifecycle.plant import Plant


@pytest.fixture
def plant(bare: Path) -> Iterator[Plant]:
    """The control plane of a workspace without a project."""
    with app.open_plant(bare) as opened:
        yield opened


@pytest.fixture
def truth() -> dict[str, str]:
    """What three hundred reviews really say."""
    rng = np.random.default_rng(1)
    return {f"review-{n:03}": str(each) for n, each in enumerate(rng.choice(["bad", "good"], size=300))}


@pytest.fixture
def file(tmp_path: Path, truth: dict[str, str]) -> Path:
    """Nine people label them, right on 85 %; the last three turn every label."""
    rng = np.random.default_rng(2)
    turned = {"bad": "good", "good": "bad"}
    rows = [
        (item, f"person-{person}", said if (rng.random() < 0.85) != (person >= 6) else turned[said])
        for item, said in truth.items()
        for person in range(9)
    ]
    path = tmp_path / "labels.csv"
    pl.DataFrame(rows, schema=["item", "annotator", "label"], orient="row").write_csv(path)
    return path


@pytest.mark.requirement("DATA-15", by="holdfast.lifecycle.labels:labels_consensus")
def test_the_consensus_is_right_the_three_are_named_and_it_is_on_record(
    plant: Plant, file: Path, tmp_path: Path, truth: dict[str, str]
) -> None:
    """Every item is settled or a conflict; the files are those whose digests are on record."""
    out = tmp_path / "agreed"
    said = labels_consensus(plant, file=file, out=out)
    labels, conflicts = pl.read_csv(out / "labels.csv"), pl.read_csv(out / "conflicts.csv")
    assert set(labels["item"]) | set(conflicts["item"]) == set(truth)
    assert len(labels) + len(conflicts) == 300
    assert len(labels) > 270
    right = [truth[item] == label for item, label in labels.select("item", "label").iter_rows()]
    assert sum(right) / len(right) >= 0.97
    assert labels["confidence"].min() >= 0.9  # type: ignore[operator]  # a column of numbers
    assert said.document["flagged"] == ["person-6", "person-7", "person-8"]
    assert "Flagged: person-6, person-7, person-8." in said.says
    assert json.loads((out / "report.json").read_bytes()) == said.document
    (entry,) = plant.ledger.stream(digest_bytes(file.read_bytes()))
    assert entry.kind == AGREED
    assert (entry.body["flagged"], entry.body["left_out"]) == (["person-6", "person-7", "person-8"], 3)
    assert plant.blobs.get(Digest(entry.body["report"])) == (out / "report.json").read_bytes()
    assert entry.body["digests"]["labels.csv"] == digest_bytes((out / "labels.csv").read_bytes())


@pytest.mark.requirement("DATA-15", by="holdfast.ingest.annotators:read_decisions")
def test_a_person_decides_conflicts_and_stands_on_record_by_name(plant: Plant, file: Path, tmp_path: Path) -> None:
    """What was a conflict has her label; where she says otherwise than the consensus, that is counted."""
    labels_consensus(plant, file=file, out=tmp_path / "first")
    open_ = pl.read_csv(tmp_path / "first" / "conflicts.csv")["item"].to_list()
    sure = pl.read_csv(tmp_path / "first" / "labels.csv").row(0, named=True)
    other = "bad" if sure["label"] == "good" else "good"
    decisions = tmp_path / "decisions.csv"
    rows = [*[(item, "good", "Eve Adler") for item in open_], (sure["item"], other, "Sam Ode")]
    pl.DataFrame(rows, schema=["item", "label", "by"], orient="row").write_csv(decisions)
    said = labels_consensus(plant, file=file, out=tmp_path / "second", adjudicated=decisions)
    labels = {row["item"]: row for row in pl.read_csv(tmp_path / "second" / "labels.csv").to_dicts()}
    assert len(labels) == 300
    assert all((labels[item]["label"], labels[item]["by"]) == ("good", "Eve Adler") for item in open_)
    assert labels[sure["item"]]["label"] == other
    assert (said.document["conflicts"], said.document["overruled"]) == (0, 1)
    *_, entry = plant.ledger.stream(digest_bytes(file.read_bytes()))
    assert entry.body["decided_by"] == {"Eve Adler": len(open_), "Sam Ode": 1}
    assert entry.body["digests"]["adjudicated"] == digest_bytes(decisions.read_bytes())


def test_agreement_is_told_for_people_and_programs(
    plant: Plant, bare: Path, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is written; Parquet and named columns do as well as CSV."""
    before = plant.ledger.size()
    said = labels_agree(plant, file=file)
    assert said.document["alpha"] < 0.3
    assert len(said.document["pairs"]) == 36
    assert plant.ledger.size() == before
    other = file.with_suffix(".parquet")
    pl.read_csv(file).rename({"item": "text", "annotator": "who", "label": "verdict"}).write_parquet(other)
    again = labels_agree(plant, file=other, item="text", annotator="who", label="verdict", labels="bad,good",
                         metric="ordinal")  # fmt: skip
    assert again.document["alpha"] == pytest.approx(said.document["alpha"])  # of two labels every metric is one
    assert invoke(["labels", "agree", str(file), "--root", str(bare), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["flagged"] == said.document["flagged"]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"confidence": 0.4}, InvalidInput, "confidence of 0.4"),
        ({"confidence": float("nan")}, InvalidInput, "confidence of nan"),
        ({"metric": "ratio"}, InvalidInput, "no metric 'ratio'"),
        ({"metric": "ordinal"}, InvalidInput, "order of the labels"),
        ({"metric": "interval"}, InvalidData, "a label is no number"),
        ({"labels": "good,fine"}, InvalidData, "'bad' is unknown"),
        ({"annotator": "who"}, InvalidData, "no column 'who'"),
        ({"file": Path("missing.csv")}, InvalidInput, "is missing"),
        ({"adjudicated": Path("missing.csv")}, InvalidInput, "is missing"),
    ],
)
def test_what_cannot_be_agreed_on_is_said_and_nothing_is_written(
    plant: Plant, file: Path, tmp_path: Path, options: dict[str, Any], error: type[HoldfastError], said: str
) -> None:
    """One clear message; no folder, no part of one, no entry."""
    before = plant.ledger.size()
    with pytest.raises(error, match=said):
        labels_consensus(plant, **({"file": file, "out": tmp_path / "agreed"} | options))
    assert [each.name for each in tmp_path.iterdir() if "agreed" in each.name] == []
    assert plant.ledger.size() == before


def test_a_folder_that_is_there_is_not_written_into_and_an_empty_table_is_none(
    plant: Plant, file: Path, tmp_path: Path
) -> None:
    """Both are said before anything happens."""
    with pytest.raises(InvalidInput, match="something already"):
        labels_consensus(plant, file=file, out=tmp_path)
    empty = tmp_path / "empty.csv"
    empty.write_text("item,annotator,label\n")
    with pytest.raises(InvalidData, match="0 rows"):
        labels_agree(plant, file=empty)


def test_however_many_people_there_are_an_entry_has_room(plant: Plant, tmp_path: Path) -> None:
    """Hundreds of people with long names decide: the entry names some, the report that it points to all."""
    rng = np.random.default_rng(4)
    rows = [(f"item-{n}", f"{person}", str(rng.integers(2))) for n in range(400) for person in range(3)]
    file, decisions = tmp_path / "labels.csv", tmp_path / "decisions.csv"
    pl.DataFrame(rows, schema=["item", "annotator", "label"], orient="row").write_csv(file)
    people = [(f"item-{n}", "1", f"{n:03}" + "é" * 190) for n in range(400)]
    pl.DataFrame(people, schema=["item", "label", "by"], orient="row").write_csv(decisions)
    said = labels_consensus(plant, file=file, out=tmp_path / "agreed", adjudicated=decisions)
    (entry,) = plant.ledger.stream(digest_bytes(file.read_bytes()))
    assert len(entry.body["decided_by"]) == 20
    assert len(said.document["decided_by"]) == 400
