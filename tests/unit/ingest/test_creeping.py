"""Versions of a table held against the first: what each brought, and which label crept by whom."""

import numpy as np
import polars as pl
import pytest

from holdfast.core.control import NotApplicable, Report
from holdfast.engines import packed
from holdfast.engines.packed import Packed, pack
from holdfast.ingest import creeping
from holdfast.ingest.creeping import crept, report
from holdfast.ingest.effects import effect
from holdfast.ingest.screening import tabulate

FIRST, EACH, LATER = 800, 80, 22
FEATURES = [f"x{index}" for index in range(5)]


def versions(seed: int = 0, *, turned: int = 0, relabelled: bool = False) -> list[Packed]:
    """Whole tables, each with all rows of the one before; one of three labellers turns a few labels in each."""
    rng = np.random.default_rng((seed, 6))
    many = FIRST + LATER * EACH
    good = rng.random(many) < 0.5
    values = {
        name: np.round(rng.normal(size=many) + 1.6 * good * (place < 3), 2) for place, name in enumerate(FEATURES)
    }
    who = np.array(["ann", "bob", "eve"])[rng.integers(3, size=many)]
    label = good.copy()
    ends = [FIRST + number * EACH for number in range(LATER + 1)]
    turns = []
    for start in ends[:-1]:
        able = start + np.flatnonzero(~good[start : start + EACH] & (who[start : start + EACH] == "eve"))
        turns.append(able[:turned])
        if not relabelled:
            label[able[:turned]] = True
    tables = []
    for number, end in enumerate(ends):
        told = label.copy()
        if relabelled:  # rows that were there from the start are changed in place
            old = np.flatnonzero(~good[:FIRST] & (who[:FIRST] == "eve"))[: turned * number]
            told[old] = True
        frame = pl.DataFrame({**values, "who": who, "verdict": np.where(told, "good", "bad")})
        tables.append(pack([frame.head(end)]))
    return tables


@pytest.mark.requirement("VAL-22", by="holdfast.ingest.creeping:crept")
@pytest.mark.parametrize("relabelled", [False, True])
def test_a_labeller_who_turns_few_labels_in_each_version_is_named(relabelled: bool) -> None:
    """Three of eighty in each of 22 versions, in new rows or in old ones; with the version at which it was enough."""
    found = crept(versions(turned=3, relabelled=relabelled), "verdict", FEATURES, ["who"])
    assert not isinstance(found, NotApplicable)
    assert {(column, each.group, found.classes[each.label]) for column, each in found.far} >= {("who", "eve", "good")}
    assert {each.group for _, each in found.far} <= {"eve", ""}
    told = report(found)
    assert isinstance(told, Report)
    assert next(each.value for each in told.measures if each.name == "creeping_labels") == len(found.far)
    assert "who eve" in [each.place for each in told.findings]
    assert found.later == LATER * EACH or relabelled


@pytest.mark.parametrize("seed", range(3))
def test_honest_versions_name_nobody(seed: int) -> None:
    """The same history without the attacker."""
    found = crept(versions(seed), "verdict", FEATURES, ["who"])
    assert not isinstance(found, NotApplicable)
    assert not found.far


def test_a_history_of_which_nothing_is_known_is_not_called_clean() -> None:
    """No later rows, or too few trusted ones: said, with the reason."""
    tables = versions()
    same = crept([tables[0], tables[0]], "verdict", FEATURES, ["who"])
    few = crept([pack([tables[0].open().head(50)]), tables[1]], "verdict", FEATURES, ["who"])
    assert isinstance(same, NotApplicable)
    assert "no later version" in same.reason
    assert isinstance(few, NotApplicable)
    assert "50 labelled rows" in few.reason
    assert report(few) is few


def odd_versions() -> list[Packed]:
    """Rows with nulls, NaN, both zeros, some of them twice; later versions repeat, change, take out and bring rows."""
    rng = np.random.default_rng(3)
    values = [None, float("nan"), 0.0, -0.0, 1.5, 2.5]
    tables = []
    for number in range(4):
        many = 400 + 200 * number
        columns = {
            "label": [["yes", "no", None][at] for at in rng.integers(3, size=many)],
            "x": [values[at] for at in rng.integers(6, size=many)],
            "y": pl.Series(rng.integers(4, size=many), dtype=pl.Int32 if number == 2 else pl.Int64),
            "who": [["ann", "bob", None][at] for at in rng.integers(3, size=many)],
        }
        tables.append(pack([pl.DataFrame(columns)[: many // 2], pl.DataFrame(columns)[many // 2 :]]))
    return tables


@pytest.mark.parametrize("tables", [odd_versions(), versions(turned=3, relabelled=True)], ids=["odd", "relabelled"])
def test_rows_in_buckets_are_those_of_whole_tables(monkeypatch: pytest.MonkeyPatch, tables: list[Packed]) -> None:
    """What each version brought is what a join of tables that are open whole finds, and so is what follows from it."""
    shared = tables[0].columns
    seen = tables[0].open()
    whole = [seen]
    for table in tables[1:]:
        new = table.open().cast(seen.schema).join(seen, on=shared, how="anti", nulls_equal=True)
        whole.append(new)
        seen = pl.concat([seen, new])
    label, (*features, by) = shared[0], shared[1:]
    if label != "label":
        label, features, by = "verdict", FEATURES, "who"
    at_once = crept(tables, label, features, [by])
    monkeypatch.setattr(creeping, "OPEN", tables[-1].height * tables[-1].width // 4)
    monkeypatch.setattr(packed, "PART", 301)
    assert creeping._several(tables, tables[0].types) > 2
    found = creeping._brought(tables, shared)
    for table, places, expected in zip(tables, found, whole, strict=True):
        assert table.open()[places.tolist()].cast(seen.schema).equals(expected)
    assert any(0 < len(places) < table.height for table, places in zip(tables[1:], found[1:], strict=True))
    assert crept(tables, label, features, [by]) == at_once


@pytest.mark.requirement("VAL-22", by="holdfast.engines.poison.rows:slowly")
@pytest.mark.requirement("VAL-22", by="holdfast.engines.screens.history:suspects")
def test_slow_poison_is_rehearsed_and_mended_by_the_history() -> None:
    """What 24 small batches come to moves answers; without the rows that the history names, less of it is left."""
    rng = np.random.default_rng(5)
    many = 4000
    good = rng.random(many) < 0.5
    columns = {
        name: np.round(rng.normal(size=many) + 1.2 * good * (place < 3), 2) for place, name in enumerate(FEATURES)
    }
    frame = pl.DataFrame({**columns, "verdict": np.where(good, "good", "bad")})
    found = effect(tabulate(frame, "verdict", FEATURES), "slow", share=0.12, seed=2)
    harm = found.spoiled.success - found.honest.success
    assert harm > 0.02
    assert found.recall > 0.6
    assert found.repaired.success - found.honest.success < 0.7 * harm
