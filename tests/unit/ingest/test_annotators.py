"""Labels by several people: who is flagged, what is settled, what is left to a person, and what is refused."""

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import InvalidData
from holdfast.ingest.annotators import Labels, alpha, fit, judged, pairs, read_decisions, read_labels, settle

COLUMNS = ("item", "annotator", "label")


def made(seed: int, accuracy: Sequence[float], items: int = 500, k: int = 2) -> tuple[pl.DataFrame, list[int]]:
    """Labels of every item by annotators of these accuracies (errors are drawn evenly), and the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, k, size=items)
    rows = []
    for number, each in enumerate(accuracy):
        wrong = (truth + rng.integers(1, k, size=items)) % k
        said = np.where(rng.random(items) < each, truth, wrong)
        rows += [(f"i{i:04}", f"a{number}", str(label)) for i, label in enumerate(said)]
    return pl.DataFrame(rows, schema=list(COLUMNS), orient="row"), truth.tolist()


def table(*rows: tuple[str | None, str | None, str | None]) -> pl.DataFrame:
    """A long table of these rows."""
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


@pytest.mark.requirement("DATA-15", by="holdfast.ingest.annotators:settle")
@pytest.mark.parametrize("seed", range(4))
def test_a_minority_that_turns_labels_is_outvoted_and_named(seed: int) -> None:
    """Of nine annotators who are right on 85 %, three turn every label; the majority of votes is 85 % right."""
    rows, truth = made(seed, [0.85] * 6 + [0.15] * 3)
    labels = read_labels(rows, COLUMNS)
    fitted = fit(labels)
    standing = judged(labels, fitted)
    assert [(each.name, each.standing) for each in standing if each.flagged] == [
        (name, "against") for name in ("a6", "a7", "a8")
    ]
    settled = settle(labels, fitted, standing, 0.9)
    assert settled.left_out == ("a6", "a7", "a8")
    sure, right = np.array(settled.certain), settled.best == truth
    votes = np.bincount(labels.item, weights=labels.label) * 2 > 9
    assert right[sure].mean() >= 0.97
    assert right[sure].mean() > (votes == truth)[sure].mean()
    assert right.mean() > (votes == truth).mean() + 0.1
    assert sure.mean() > 0.9


def test_those_who_look_away_are_flagged_and_those_of_whom_little_is_known_are_not() -> None:
    """Guesses lie at chance; four labels are too few to say anything, however wrong they are."""
    rows, _ = made(5, [0.85] * 5 + [0.5])
    few = table(*[(f"i{i:04}", "new", "0") for i in range(4)])
    labels = read_labels(pl.concat([rows, few]), COLUMNS)
    standing = {each.name: each.standing for each in judged(labels, fit(labels))}
    assert standing == {**dict.fromkeys(["a0", "a1", "a2", "a3", "a4"], "agrees"), "a5": "at chance"} | {
        "new": "too few labels"
    }


def test_nothing_is_settled_where_the_flagged_are_no_minority() -> None:
    """Four of six guess: whom to believe cannot be told, so every item is for a person."""
    rows, _ = made(6, [0.95, 0.95, 0.5, 0.5, 0.5, 0.5])
    labels = read_labels(rows, COLUMNS)
    fitted = fit(labels)
    standing = judged(labels, fitted)
    assert sum(each.flagged for each in standing) >= 3
    settled = settle(labels, fitted, standing, 0.9)
    assert not settled.majority
    assert not any(settled.certain)


def test_an_item_that_only_a_flagged_annotator_labelled_is_a_conflict() -> None:
    """It has no label that counts, and gets none."""
    rows, _ = made(7, [0.9] * 5 + [0.1])
    labels = read_labels(pl.concat([rows, table(("only", "a5", "1"))]), COLUMNS)
    fitted = fit(labels)
    settled = settle(labels, fitted, judged(labels, fitted), 0.9)
    place = labels.items.index("only")
    assert (settled.best[place], settled.certain[place]) == (-1, False)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**16), k=st.integers(2, 4), data=st.data())
def test_the_order_and_the_names_of_annotators_and_items_change_nothing(seed: int, k: int, data: st.DataObject) -> None:
    """Rows in another order give the very same; renamed annotators and items the same under their new names."""
    rows, _ = made(seed, [0.9, 0.8, 0.7, 0.6, 0.2], items=40, k=k)
    shuffled = rows.sample(fraction=1, shuffle=True, seed=seed)
    one, other = read_labels(rows, COLUMNS), read_labels(shuffled, COLUMNS)
    assert np.array_equal(fit(one).posterior, fit(other).posterior)
    people = data.draw(st.permutations(one.annotators))
    things = data.draw(st.permutations(one.items))
    renamed = rows.with_columns(
        pl.col("annotator").replace_strict(one.annotators, people), pl.col("item").replace_strict(one.items, things)
    )
    third = read_labels(renamed, COLUMNS)
    first, again = fit(one), fit(third)
    assert np.allclose(again.posterior[[third.items.index(each) for each in things]], first.posterior, atol=1e-6)
    by = {each.name: each.standing for each in judged(third, again)}
    assert [by[name] for name in people] == [each.standing for each in judged(one, first)]
    for metric in ("nominal", "interval"):
        assert alpha(third, metric) == pytest.approx(alpha(one, metric))
    assert sorted(each.kappa for each in pairs(third)) == pytest.approx([each.kappa for each in pairs(one)])


@pytest.mark.parametrize(
    ("rows", "allowed", "said"),
    [
        (lambda: table(("i", "a", "x"), ("i", "a", "y"), ("i", "b", "x")), (), "'a' gave 'i' two different labels"),
        (lambda: table(("i", "a", "x"), ("i", "b", "z")), ("x", "y"), "label 'z' is unknown"),
        (lambda: table(("i", "a", "x"), ("j", "a", "y")), (), "'a' is the only annotator"),
        (lambda: table(("i", "a", "x"), ("i", "b", "x")), (), "every label is 'x'"),
        (lambda: table(("i", "a", "x"), ("i", None, "x")), (), "missing or too long"),
        (lambda: table(("i", "a", "x"), (" ", "b", "x")), (), "missing or too long"),
        (lambda: table(("i", "a", "x" * 201), ("i", "b", "x")), (), "missing or too long"),
        (lambda: table(*[("i", f"a{n}", str(n)) for n in range(51)]), (), "at most 2000 annotators, 50 labels"),
        (lambda: table(("i", "a", "x")).rename({"annotator": "who"}), (), "no column 'annotator'"),
    ],
)
def test_what_is_no_table_of_labels_is_refused(
    rows: Callable[[], pl.DataFrame], allowed: Sequence[str], said: str
) -> None:
    """One clear message each."""
    with pytest.raises(InvalidData) as refused:
        read_labels(rows(), COLUMNS, allowed)
    assert said in str(refused.value)


def test_the_same_said_twice_is_said_once_and_numbers_are_ordered_as_numbers() -> None:
    """A repeated row is no second opinion; 10 comes after 9."""
    labels = read_labels(table(("i", "a", "10"), ("i", "a", "10"), ("i", "b", "9")), COLUMNS)
    assert (len(labels.item), labels.classes) == (2, ["9", "10"])
    assert alpha(read_labels(table(("i", "a", "x"), ("j", "b", "y")), COLUMNS), "nominal") is None


@pytest.fixture
def small() -> Labels:
    """Two items, two annotators."""
    return read_labels(table(("i", "a", "x"), ("i", "b", "y"), ("j", "a", "x"), ("j", "b", "x")), COLUMNS)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("k", "x", "eve")], "item 'k' is unknown"),
        ([("i", "z", "eve")], "label 'z' is unknown"),
        ([("i", "x", " ")], "nobody is named"),
        ([("i", "x", "b")], "'b' is flagged"),
        ([("i", "x", "eve"), ("i", "y", "eve")], "decided twice"),
    ],
)
def test_decisions_need_a_known_item_and_label_and_a_name(
    small: Labels, rows: list[tuple[str, str, str]], said: str
) -> None:
    """And nobody who is flagged decides."""
    with pytest.raises(InvalidData) as refused:
        read_decisions(pl.DataFrame(rows, schema=["item", "label", "by"], orient="row"), small, ["b"])
    assert said in str(refused.value)
    with pytest.raises(InvalidData, match="no column 'by'"):
        read_decisions(pl.DataFrame({"item": ["i"], "label": ["x"]}), small, [])
