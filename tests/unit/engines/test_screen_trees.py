"""Boosted trees of the screens: what they see that sums do not, and that no row has a say in its own score."""

import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.engines.poison import rows
from holdfast.engines.screens.learning import TREES, beliefs
from holdfast.engines.screens.lenses import Steps
from holdfast.engines.screens.material import Material, from_columns
from holdfast.engines.screens.screening import screen
from holdfast.engines.screens.trees import CELLS, boosted

ROWS = 1500


def numbers(values: NDArray[np.floating]) -> Steps:
    """A column of numbers from 0 to 1."""
    return Steps(values=(values * (CELLS - 1)).astype(np.int32), ordered=True)


def folds(many: int) -> NDArray[np.intp]:
    """Five folds."""
    return np.arange(many) % 5


def scored(
    columns: list[Steps], labels: NDArray[np.int64], weights: NDArray[np.float32] | None = None
) -> NDArray[np.float64]:
    """Out-of-fold scores of two classes or three."""
    given = np.ones(len(labels), dtype=np.float32) if weights is None else weights
    return boosted(columns, labels, int(labels.max()) + 1, folds(len(labels)), given)


def of_parts(seed: int) -> tuple[dict[str, NDArray[np.float64] | NDArray[np.str_]], NDArray[np.int64]]:
    """A table whose label hangs on thresholds and names together, as people's decisions do, beside columns of noise."""
    rng = np.random.default_rng(seed)
    age, pay, place = rng.random(ROWS), rng.random(ROWS), rng.choice(["north", "south", "east", "west"], ROWS)
    granted = ((age > 0.7) & (pay > 0.4)) | ((place == "south") & (pay > 0.8)) | ((age < 0.2) & (place == "west"))
    columns = {"age": age, "pay": pay, "place": place} | {f"noise {each}": rng.random(ROWS) for each in range(6)}
    return columns, granted.astype(np.int64)


@pytest.mark.requirement("VAL-23", by="holdfast.engines.screens.trees:boosted")
def test_values_that_mean_something_only_together_are_seen() -> None:
    """Either of two columns alone says nothing of an exclusive or."""
    rng = np.random.default_rng(0)
    a, b = rng.random(ROWS), rng.random(ROWS)
    labels = ((a > 0.45) ^ (b > 0.6)).astype(np.int64)
    found = scored([numbers(a), numbers(b), numbers(rng.random(ROWS))], labels)
    assert ((found[:, 1] > found[:, 0]) == (labels == 1)).mean() > 0.95


def test_names_are_ordered_by_what_they_say_of_the_label() -> None:
    """Their codes mean nothing: every third of sixty is of the other class, and one never learned from is average."""
    rng = np.random.default_rng(1)
    codes = rng.integers(0, 60, ROWS).astype(np.int32)
    labels = (codes % 3 == 0).astype(np.int64)
    found = scored([Steps(values=codes, ordered=False)], labels)
    assert ((found[:, 1] > 0) == (labels == 1)).mean() > 0.98
    unknown = codes.copy()
    unknown[folds(ROWS) == 0] = 60
    lone = scored([Steps(values=unknown, ordered=False)], labels)[folds(ROWS) == 0, 1]
    assert np.ptp(lone) == 0


def test_of_three_classes_each_is_told_from_the_others() -> None:
    """By a column that cuts a line in three."""
    x = np.random.default_rng(2).random(ROWS)
    labels = np.digitize(x, [0.3, 0.7])
    assert (scored([numbers(x)], labels).argmax(axis=1) == labels).mean() > 0.95


def test_no_row_has_a_say_in_its_own_score() -> None:
    """Whatever the labels of a fold are, its rows are scored the same; nobody learns from rows without weight."""
    rng = np.random.default_rng(3)
    columns = [numbers(rng.random(ROWS)) for _ in range(4)]
    labels = rng.integers(0, 2, ROWS)
    other = np.where(folds(ROWS) == 2, 1 - labels, labels)
    held = folds(ROWS) == 2
    assert (scored(columns, labels)[held] == scored(columns, other)[held]).all()
    weights = (rng.random(ROWS) > 0.3).astype(np.float32)
    spoiled = np.where(weights > 0, labels, 1 - labels)
    assert (scored(columns, labels, weights) == scored(columns, spoiled, weights)).all()


def test_few_rows_and_columns_that_never_change_are_no_error() -> None:
    """Then the share of the label is all that is known."""
    labels = np.array([0, 1] * 30)
    found = scored([numbers(np.zeros(60)), Steps(values=np.zeros(60, dtype=np.int32), ordered=False)], labels)
    assert np.abs(found).max() < 1e-6


@pytest.mark.requirement("VAL-23", by="holdfast.engines.screens.learning:beliefs")
def test_trees_speak_where_they_know_more_and_are_not_asked_elsewhere() -> None:
    """Of thresholds and names they do; sentences they do not see."""
    columns, labels = of_parts(0)
    material = from_columns(columns, labels, 2)
    assert beliefs(material, np.random.default_rng(0), trees=None).used == (TREES,)
    assert TREES not in beliefs(material, np.random.default_rng(0)).used
    words = np.array([f"{'yes' if label else 'no'} {row % 7} word" for row, label in enumerate(labels)])
    assert from_columns({"text": words}, labels, 2, texts=["text"]).steps == ()


@pytest.mark.parametrize("target", [0, 1])
def test_turned_labels_of_a_table_of_decisions_are_named_at_the_stated_rate(target: int) -> None:
    """Four in ten by the screens' own limit; the learners that add up columns name two in ten at most."""
    columns, labels = of_parts(5)
    spoiled = rows.flip_towards(np.zeros((ROWS, 1), np.float32), labels, 0.05, np.random.default_rng(5), target=target)
    found: Material = from_columns(columns, spoiled.labels, 2)
    named = np.zeros(ROWS, dtype=np.bool_)
    named[screen(found, seed=5).suspects] = True
    assert named[spoiled.bad].mean() >= 0.4
    assert named[~spoiled.bad].mean() <= 0.02
