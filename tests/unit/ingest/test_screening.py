"""Screening at ingest: suspects are named with reasons, nothing is dropped, and too few rows are said to be too few."""

from collections.abc import Callable

import numpy as np
import polars as pl
import pytest

from holdfast.core.errors import InvalidData
from holdfast.engines.screens.screening import ALARMS
from holdfast.ingest.screening import findings, measures, screened, tabulate
from holdfast.ingest.vetting import _screened

ROWS = 800


def table(flipped: int = 0, marked: int = 0) -> pl.DataFrame:
    """Two kinds of parcels, easy to tell apart; some labels turned, some rows marked with a depot of their own."""
    rng = np.random.default_rng(3)
    late = rng.random(ROWS) < 0.4
    depot = rng.choice(["north", "south", "east"], size=ROWS)
    weight = np.where(late, 9.0, 4.0) + rng.normal(size=ROWS)
    distance = np.where(late, 700.0, 200.0) + 120 * rng.normal(size=ROWS)
    honest = np.flatnonzero(~late)
    label = np.where(late, "late", "on time").astype(object)
    label[honest[:flipped]] = "late"
    label[honest[100 : 100 + marked]] = "late"
    depot = depot.astype(object)
    depot[honest[100 : 100 + marked]] = "pier 9"
    return pl.DataFrame(
        {
            "parcel": [f"p{n}" for n in range(ROWS)],
            "weight": [f"{each:.1f}" for each in weight],
            "distance": [f"{each:.0f}" for each in distance],
            "depot": depot.tolist(),
            "outcome": label.tolist(),
        }
    )


@pytest.mark.requirement("VAL-23", by="holdfast.ingest.screening:findings")
def test_turned_labels_are_named_by_row_with_the_reason() -> None:
    """The finding says which row of the table it is, counted from 1, and how few honest rows look as bad."""
    rows = tabulate(table(flipped=30), "outcome", table().columns)
    found = screened(rows)
    said = {each.place: each for each in findings(rows, found) if each.rule == "screen.label"}
    late = np.random.default_rng(3).random(ROWS) < 0.4
    wrong = {f"row {row + 1}" for row in np.flatnonzero(~late)[:30]}
    assert len(wrong & said.keys()) >= 24
    assert len(said.keys() - wrong) <= 2 * ALARMS * ROWS
    assert all("what rows like it bear" in each.message for each in said.values())


def test_a_column_of_names_is_not_learned_from_and_a_label_is_no_feature() -> None:
    """Ids say nothing about honest rows, and learning from the label would find nothing wrong with it."""
    rows = tabulate(table(), "outcome", table().columns)
    assert set(rows.columns) == {"weight", "distance", "depot"}


@pytest.mark.requirement("SUP-04", by="holdfast.ingest.vetting:_screened")
def test_bought_rows_are_screened_for_turned_labels_and_triggers() -> None:
    """What the intake measures of rows from outside: policies say that a trigger is one too many."""
    clean = {each.name: each.value for each in _screened(table(), "outcome").measures}
    spoiled = _screened(table(marked=60), "outcome")
    found = {each.name: each.value for each in spoiled.measures}
    assert clean["suspect_share"] <= 0.02
    assert clean["triggers"] == 0
    assert found["suspect_share"] >= 0.06
    assert found["triggers"] >= 1
    assert any("depot = pier 9" in each.place for each in spoiled.findings if each.rule == "screen.trigger")


def test_measures_add_up() -> None:
    """Each suspect is counted under one screen."""
    rows = tabulate(table(flipped=20), "outcome", table().columns)
    found = {each.name: each.value for each in measures(rows, screened(rows))}
    by = sum(value for name, value in found.items() if name.startswith("suspect_by_"))
    assert by == pytest.approx(found["suspect_share"])


@pytest.mark.parametrize(
    ("rows", "label", "said"),
    [
        (lambda: table().head(20), "outcome", "20 rows"),
        (table, "nothing", "no column 'nothing'"),
        (table, "parcel", "800 values"),
        (lambda: table().select("parcel", "outcome"), "outcome", "no column says anything"),
    ],
)
def test_what_cannot_be_screened_is_refused_in_words(rows: Callable[[], pl.DataFrame], label: str, said: str) -> None:
    """Never an empty answer that looks like a clean one."""
    made = rows()
    with pytest.raises(InvalidData, match=said):
        tabulate(made, label, made.columns)
