"""Rows from outside: what planted labels, copies, far values and missing origins look like in numbers."""

import numpy as np
import polars as pl
import pytest

from holdfast.core.control import Report
from holdfast.core.errors import InvalidData
from holdfast.ingest.vetting import profile, read_table

ROWS = 400


def honest(seed: int = 7) -> pl.DataFrame:
    """Two clouds far enough from each other, each row with its source."""
    random = np.random.default_rng(seed)
    labels = np.repeat(["no", "yes"], ROWS // 2)
    shift = np.where(labels == "yes", 3.0, 0.0)[:, None]
    values = random.normal(size=(ROWS, 4)) + shift
    columns = {f"x{index}": [f"{value:.6f}" for value in values[:, index]] for index in range(4)}
    return pl.DataFrame(columns | {"label": labels, "source_url": [f"https://example.org/{n}" for n in range(ROWS)]})


def values(report: Report) -> dict[str, float]:
    """Measures by name."""
    return {measure.name: measure.value for measure in report.measures}


def test_honest_rows_show_nothing() -> None:
    """The control group."""
    found = values(profile(honest(), "label", honest(8)))
    shares = ("duplicate", "conflicting", "near_conflicting", "outlier", "rows_without_source")
    assert {found[f"{name}_share"] for name in shares} == {0.0}
    assert found["label_shift"] == 0
    assert found["rows"] == ROWS


@pytest.mark.requirement("SUP-04", by="holdfast.ingest.vetting:_conflicts")
@pytest.mark.requirement("SUP-04", by="holdfast.ingest.vetting:_near_key")
def test_flipped_copies_are_seen_also_when_they_were_moved_a_little() -> None:
    """Whoever plants labels copies rows and turns the label; a little noise hides them from a search for copies."""
    table = honest()
    copies = table[:60].with_columns(pl.lit("yes").alias("label"))
    assert values(profile(pl.concat([table, copies]), "label", None))["conflicting_share"] >= 2 * 60 / 460 - 1e-9
    moved = copies.with_columns((pl.col("x0").cast(pl.Float64) + 0.001).cast(pl.String))
    found = values(profile(pl.concat([table, moved]), "label", None))
    assert found["conflicting_share"] == 0
    assert found["near_conflicting_share"] > 0.15


@pytest.mark.requirement("SUP-04", by="holdfast.ingest.vetting:_far")
@pytest.mark.requirement("SUP-04", by="holdfast.ingest.vetting:_told")
@pytest.mark.requirement("SUP-04", by="holdfast.ingest.vetting:_shift")
def test_far_values_missing_sources_and_shifted_labels_are_counted() -> None:
    """One in eight rows has a value a thousand deviations away; a quarter tells no source; labels are nine to one."""
    far = pl.when(pl.int_range(pl.len()) % 8 == 0).then(pl.lit("1000")).otherwise(pl.col("x1")).alias("x1")
    silent = pl.when(pl.int_range(pl.len()) % 4 == 0).then(pl.lit(" ")).otherwise(pl.col("source_url"))
    table = honest().with_columns(far, silent.alias("source_url"))
    found = profile(table, "label", honest()[: ROWS // 2 + 20])
    assert values(found)["outlier_share"] == 1 / 8
    assert values(found)["rows_without_source_share"] == 1 / 4
    assert values(found)["label_shift"] > 0.25
    assert {finding.rule for finding in found.findings} == {"vetting.outlier"}
    bare = profile(table.drop("source_url"), "label", None)
    assert values(bare)["rows_without_source_share"] == 1
    assert "vetting.origin" in {finding.rule for finding in bare.findings}
    assert "label_shift" not in values(bare)  # it was not compared, and a policy that asks for it denies


def test_tables_that_cannot_be_judged_say_why() -> None:
    """Nothing, noise, a label that is not there."""
    with pytest.raises(InvalidData):
        read_table(b"", "empty.csv")
    with pytest.raises(InvalidData):
        read_table(b"PAR1 and no more", "broken.parquet")
    with pytest.raises(InvalidData, match="trusted rows"):
        profile(honest(), "label", honest().drop("label"))
    with pytest.raises(InvalidData, match="no column"):
        profile(honest().select("label"), "label", None)
