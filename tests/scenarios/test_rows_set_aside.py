"""Rows that were set aside are counted by the hour, from the evidence on record."""

from pathlib import Path

import pytest

from holdfast.core.errors import InvalidInput, NotFound
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.set_aside import by_hour
from holdfast.lifecycle.unmerging import unmerge


@pytest.mark.requirement("DATA-11", by="holdfast.lifecycle.set_aside:by_hour")
def test_rows_set_aside_are_counted_by_the_hour_with_their_reasons(plant: Plant) -> None:
    """The example's ingest: one hour, one batch, and every row of its quarantine in it."""
    document = by_hour(plant).document
    (hour,) = document["hours"]
    assert hour["batches"] == 1
    assert 0 < hour["set_aside"] < hour["rows_in"]
    assert "timestamp-ambiguous" in hour["reasons"]
    assert by_hour(plant, newest=0).document["hours"] == []


def test_what_was_never_merged_cannot_be_unmerged(plant: Plant, tmp_path: Path) -> None:
    """Nothing is written where there is nothing to undo, and nothing over what is there."""
    out = tmp_path / "before.parquet"
    with pytest.raises(NotFound, match="nothing of this data set was merged"):
        unmerge(plant, out=out, reason="a test")
    with pytest.raises(NotFound, match="no such data set"):
        unmerge(plant, out=out, reason="a test", data="ffff")
    assert not out.exists()
    out.touch()
    with pytest.raises(InvalidInput, match="already"):
        unmerge(plant, out=out, reason="a test")
