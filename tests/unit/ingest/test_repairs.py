"""Declared cleaning rules: what each does and does not, that twice is as once, and what they find of real errors."""

import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ingest.world import COLUMNS, csv, project, run

from holdfast.core.errors import InvalidProject
from holdfast.core.repairs import Repair
from holdfast.ingest.repairs import changes, repaired
from holdfast.ingest.typos import _nearest, corrections, distance

SHARED = Path(os.environ.get("HOLDFAST_DATA", "../shared/data"))


def done(table: dict[str, list[str | None]], *repairs: Repair) -> dict[str, list[Any]]:
    """A table after repairs."""
    return repaired(pl.DataFrame(table, schema=dict.fromkeys(table, pl.String)), repairs).table.to_dict(as_series=False)


def rule(kind: str, **parts: Any) -> Repair:
    """A rule about column `a`."""
    return Repair(**({"name": f"{kind}/1", "kind": kind, "columns": ("a",)} | parts))


@pytest.mark.parametrize(
    ("repair", "before", "after"),
    [
        (rule("lower"), ["Ab", None], ["ab", None]),
        (rule("upper"), ["Ab", None], ["AB", None]),
        (rule("spaces"), [" a \t b ", "c"], ["a b", "c"]),
        (rule("missing", values=("-999",)), ["-999", "1"], [None, "1"]),
        (rule("replace", pairs={"f": "female"}), ["f", "m", None], ["female", "m", None]),
        (rule("scale", above=250.0, factor=0.01), ["180", "17800", "1e9", "x"], ["180", "178", "1e9", "x"]),
        (rule("typo"), ["birmingham"] * 3 + ["birmxngham", "dothan"], ["birmingham"] * 4 + ["dothan"]),
        (rule("typo", values=("north", "south")), ["nroth", "suoth", "east"], ["north", "south", "east"]),
        (rule("typo"), ["AK"] * 9 + ["AL"], ["AK"] * 9 + ["AL"]),  # short codes are all near each other
        (
            rule("typo"),
            ["37 patients"] * 9 + ["36 patients", "3x patients"],
            ["37 patients"] * 9 + ["36 patients", "37 patients"],
        ),
        (
            rule("typo"),
            ["house a"] * 9 + ["house b"] * 9 + ["house c"],
            ["house a"] * 9 + ["house b"] * 9 + ["house c"],
        ),
    ],
)
def test_a_rule_does_what_it_says_and_leaves_what_is_in_doubt(
    repair: Repair, before: list[str | None], after: list[str | None]
) -> None:
    """Two nearest candidates, a number that is another number, a code of two letters: nothing is guessed."""
    assert done({"a": before}, repair)["a"] == after


def test_the_majority_of_rows_that_agree_gives_the_value_where_there_is_one() -> None:
    """A tie stays; a missing value stays unless the rule fills."""
    table: dict[str, list[str | None]] = {"k": ["1", "1", "1", "2", "2", None], "a": ["x", "x", "y", "p", "q", "z"]}
    depends = rule("dependency", by=("k",))
    assert done(table, depends)["a"] == ["x", "x", "x", "p", "q", "z"]
    gap: dict[str, list[str | None]] = {"k": ["1", "1", "1"], "a": ["x", "x", None]}
    assert done(gap, depends)["a"] == ["x", "x", None]
    assert done(gap, rule("dependency", by=("k",), fill=True))["a"] == ["x", "x", "x"]


TEXTS = st.none() | st.sampled_from(["main st", "main sx", "maim st", "Main  St", "9", "90", "900", "-999", "x", "y"])
RULES = st.lists(
    st.sampled_from(
        [
            rule("lower", columns=("a", "b")),
            rule("spaces", columns=("a", "b")),
            rule("missing", values=("-999", "x"), columns=("a", "b")),
            rule("replace", pairs={"y": "x", "9": "90"}, columns=("b",)),
            rule("typo", columns=("a", "b"), at_least=1),
            rule("dependency", by=("b",), columns=("a",)),
            rule("dependency", name="back/1", by=("a",), columns=("b",), fill=True),
            rule("scale", above=100.0, factor=0.1, columns=("a",)),
        ]
    ),
    unique_by=lambda each: each.name,
    max_size=5,
)


@pytest.mark.requirement("DATA-10", by="holdfast.ingest.repairs:repaired")
@settings(max_examples=60)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=14), RULES)
def test_applied_to_what_they_gave_the_rules_change_nothing(rows: list[tuple[Any, Any]], rules: list[Repair]) -> None:
    """Whatever the table and the rules; rules that undo each other are refused, never half applied."""
    table = pl.DataFrame(rows, schema={"a": pl.String, "b": pl.String}, orient="row")
    try:
        once = repaired(table, rules)
    except InvalidProject:
        return
    again = repaired(once.table, rules)
    assert again.table.equals(once.table)
    assert not again.counts
    numbers = pl.int_range(table.height, eager=True)
    assert bool(changes(table, once.table, numbers)) <= bool(once.counts)


@pytest.mark.requirement("DATA-10")
def test_each_rule_counts_what_it_changed_in_evidence(tmp_path: Path) -> None:
    """By name and version; the rows land repaired, and the rules are named with the data set."""
    data = '[[data.clean]]\nname = "labels/2"\nkind = "replace"\ncolumns = ["label"]\npairs = { y = "yes" }\n'
    data += '[[data.clean]]\nname = "sentinel/1"\nkind = "missing"\ncolumns = ["x"]\nvalues = ["-999"]\n'
    plan = project(COLUMNS.replace("minimum", "nullable = true, minimum") + data)
    made = run(tmp_path, csv("id,x,label", "a,1,yes", "b,-999, y", "c,3,y"), plan)
    assert made.rows.rows() == [("a", 1.0, "yes"), ("b", None, "yes"), ("c", 3.0, "yes")]
    seen = made.measures("ingest.contract/1")
    assert (seen["repaired:labels/2"], seen["repaired:sentinel/1"]) == (2, 1)
    assert "labels/2 sentinel/1 trim/1" in made.evidence("ingest.contract/1").facts["cleaning"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('name = "a"\nkind = "lower"\ncolumns = ["x"]', "name cannot be one"),
        ('name = "a/1"\nkind = "lower"\ncolumns = []', "no column"),
        ('name = "a/1"\nkind = "lower"\ncolumns = ["z"]', "no column 'z'"),
        ('name = "a/1"\nkind = "replace"\ncolumns = ["x"]', "lacks pairs"),
        ('name = "a/1"\nkind = "replace"\ncolumns = ["x"]\npairs = { a = "b", b = "a" }', "replaced itself"),
        ('name = "a/1"\nkind = "dependency"\ncolumns = ["x"]\nby = ["x"]', "depends on itself"),
        ('name = "a/1"\nkind = "scale"\ncolumns = ["x"]\nfactor = 2.0\nabove = 1', "without end"),
        ('name = "a/1"\nkind = "typo"\ncolumns = ["x"]\nshare = 0.1', "majority"),
    ],
)
def test_a_rule_that_can_mean_nothing_is_refused_with_the_project(data: str, words: str) -> None:
    """Before any row is read."""
    with pytest.raises(InvalidProject, match=words):
        project(f"{COLUMNS}[[data.clean]]\n{data}\n")


@given(st.text("abc", max_size=7), st.text("abc", max_size=7))
def test_the_distance_is_symmetric_and_bounded(one: str, other: str) -> None:
    """Of one's own to itself it is 0."""
    assert distance(one, other, 9) == distance(other, one, 9) <= max(len(one), len(other))
    assert distance(one, one, 3) == 0


def test_a_column_of_too_many_values_is_no_set_of_names() -> None:
    """Nothing is corrected, and nothing takes for ever."""
    assert corrections(pl.Series("a", [f"name {n}" for n in range(6_000)])) == {}


@pytest.mark.requirement("DATA-10")
@pytest.mark.skipif(not (SHARED / "hospital-dirty.csv").exists(), reason="the hospital table is not here")
def test_of_real_errors_most_are_repaired_and_next_to_nothing_is_spoiled() -> None:
    """The benchmark's table, with rules that somebody who knows hospitals would write; the bench states the figures."""
    import sys

    sys.path.insert(0, str(Path(__file__).parents[3] / "bench"))
    from bench_cleaning import RULES as HOSPITAL  # type: ignore[import-not-found]
    from bench_cleaning import scores

    dirty, clean = (pl.read_csv(SHARED / f"hospital-{name}.csv", infer_schema=False) for name in ("dirty", "clean"))
    precision, recall = scores(dirty, repaired(dirty, HOSPITAL).table, clean)
    assert precision >= 0.95
    assert recall >= 0.85


@given(order=st.permutations(["birmingham", "dothan", "mobile", "burlington", "wilmington"]))
def test_what_was_meant_does_not_depend_on_the_order_of_candidates(order: list[str]) -> None:
    """A candidate that is only known to be further away than it may be makes no tie with the nearest one."""
    assert _nearest("birmxnghxm", order) == "birmingham"
