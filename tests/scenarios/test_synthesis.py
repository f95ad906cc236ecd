"""Synthetic data of a stored data set: labelled, on record, without anything personal."""

import json
from pathlib import Path

import polars as pl
import pytest

from holdfast.core.artifact import Digest, Kind
from holdfast.core.errors import InvalidInput
from holdfast.core.passport import RECORDED
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.synthesis import SYNTHESISED, data_synthesise

REASON = "Rows for a test environment."


@pytest.mark.requirement("DATA-17")
@pytest.mark.requirement("ACC-02")
def test_rows_for_other_places_are_labelled_synthetic_and_hold_no_id(plant: Plant, tmp_path: Path) -> None:
    """What it was made of, with which seed, how real, how new; and the ledger says so too."""
    entries = [e for e in plant.ledger.entries() if e.kind == RECORDED and e.body["kind"] == Kind.DATASET]
    dataset = Digest(entries[-1].stream)
    reply = data_synthesise(plant, data=dataset[:20], out=tmp_path / "out", reason=REASON, rows=400, seed=5)
    told = json.loads((tmp_path / "out" / "provenance.json").read_text("utf-8"))
    made = pl.read_parquet(tmp_path / "out" / "data.parquet")
    assert made.height == 400
    assert (told["origin"], told["made_from"], told["sensitivity"]) == ("synthetic", dataset, "synthetic")
    assert told["copies"]["passed"]
    assert told["realism"]["score"] > 0.3
    assert set(told["left_out"]).isdisjoint(made.columns)
    assert "patient_id" not in made.columns
    (entry,) = [e for e in plant.ledger.stream(dataset) if e.kind == SYNTHESISED]
    assert (entry.body["reason"], entry.body["seed"], entry.body["copied"]) == (REASON, 5, False)
    again = data_synthesise(plant, data=dataset, out=tmp_path / "again", reason=REASON, rows=400, seed=5)
    assert (tmp_path / "again" / "data.parquet").read_bytes() == (tmp_path / "out" / "data.parquet").read_bytes()
    assert reply.exit_code == again.exit_code == 0
    with pytest.raises(InvalidInput, match="something already"):
        data_synthesise(plant, data=dataset, out=tmp_path / "out", reason=REASON)
