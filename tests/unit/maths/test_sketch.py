"""Profiles: of ordinary columns, of degenerate ones, and of files somebody has edited."""

import json
from dataclasses import asdict
from typing import Any

import msgspec
import numpy as np
import pytest

from holdfast.maths.distances import ks_from_counts, population_stability_index, psi_from_counts
from holdfast.maths.sketch import Binning, CategoricalProfile, Profile, add_counts, categorical_profile, profile

NAN = float("nan")


def test_a_profile_counts_every_row_once() -> None:
    """Cells and missing rows add up, and binning the same column gives the same counts."""
    x = np.append(np.random.default_rng(0).normal(size=997), [NAN] * 3)
    p = profile(x)
    assert (p.n, p.missing, len(p.counts)) == (1000, 3, 32)
    assert p.bin(x) == p.cells == (*p.counts, 3)
    assert (p.minimum, p.maximum) == (np.nanmin(x), np.nanmax(x))


def test_drift_measured_on_a_profile_is_drift_measured_on_the_rows() -> None:
    """PSI from kept counts equals PSI from the samples, cut into the same cells."""
    rng = np.random.default_rng(1)
    reference, live = rng.normal(size=3000), rng.normal(0.3, 1, size=500)
    p = profile(reference, bins=10)
    assert psi_from_counts(p.counts, p.bin(live)[:-1]) == population_stability_index(reference, live, bins=10)


def test_a_column_that_starts_to_lose_values_drifts() -> None:
    """Missing rows are a cell, so that a broken feed shows although every value that is left looks right."""
    x = np.random.default_rng(2).normal(size=2000)
    p = profile(x)
    broken = np.where(np.arange(2000) % 3 == 0, NAN, x)
    assert psi_from_counts(p.cells, p.bin(broken)) > 1
    assert ks_from_counts(p.counts, p.bin(broken)[:-1]).p_value > 0.5


def test_a_column_without_any_value_notices_the_first_one() -> None:
    """All missing: one cell, no minimum; values that come later stand against the missing ones."""
    p = profile([NAN, NAN])
    assert (p.cells, p.minimum, p.maximum, p.n) == ((0, 2), None, None, 2)
    assert p.bin([1.0, 7.0, NAN]) == (2, 1)


def test_infinite_live_values_fall_in_the_outer_cells() -> None:
    """A live window is counted whole, whatever it holds."""
    p = profile([1.0, 2.0, 3.0], 4)
    live = p.bin([-np.inf, np.inf])
    assert (live[0], live[-2], sum(live)) == (1, 1, 2)


@pytest.mark.parametrize("seed", range(20))
def test_columns_that_are_counted_at_once_are_counted_as_each_alone(seed: int) -> None:
    """Also at the edges themselves, at the float32 beside each, at NaN and infinities, and from several windows."""
    rng = np.random.default_rng(seed)
    references = [rng.normal(0, 10.0**size, size=200) for size in (-40, -3, 0, 5, 30)]
    references += [
        rng.integers(0, 3, size=200).astype(float),
        np.full(200, NAN),
        np.array([1e300, -1e300, 3.4e38, 0.0]),
    ]
    profiles = [profile(each, bins=int(rng.integers(2, 33))) for each in references]
    columns = []
    with np.errstate(over="ignore"):
        for each in profiles:
            near = np.array([0.0, *each.edges, each.minimum or 0.0, each.maximum or 0.0]).astype(np.float32)
            beside = [np.nextafter(near, np.float32(to)) for to in (-np.inf, np.inf)]
            columns.append(
                rng.choice(
                    np.concatenate([near, *beside, np.array([NAN, np.inf, -np.inf], dtype=np.float32)]), size=300
                )
            )
    rows = np.stack(columns, axis=1)
    binning = Binning(profiles)
    for window in np.split(rows, [0, 1, 100]):
        binning.add(window)
    assert binning.counts == [each.bin(rows[:, number]) for number, each in enumerate(profiles)]


def test_an_infinite_reference_value_is_refused() -> None:
    """Training data with infinities has no quantiles to speak of."""
    with pytest.raises(ValueError, match="infinity"):
        profile([1.0, np.inf])


@pytest.mark.parametrize("values", [[], ["a"], [[1.0]], 3.0])
def test_what_is_no_column_has_no_profile(values: Any) -> None:
    """No rows, text or a table: an error, not an empty profile."""
    with pytest.raises(ValueError, match="values "):
        profile(values)


def test_a_window_without_traffic_adds_nothing() -> None:
    """An empty window is a count of zeros, in either kind of profile."""
    p = profile([1.0, 2.0])
    assert add_counts(p.cells, p.bin([])) == p.cells
    c = categorical_profile(["a"])
    assert add_counts(c.cells, c.bin([])) == c.cells


def test_booleans_and_integers_are_columns_too() -> None:
    """They get a cell for each value."""
    assert sorted(profile(np.array([True, False, True])).counts)[-2:] == [1, 2]
    assert sorted(profile(np.array([3, 3, 4], dtype=np.int32)).counts)[-2:] == [1, 2]


@pytest.mark.parametrize("column", [[1.5, 2.5, NAN, 3.5] * 20, [5.0], [NAN]])
def test_a_profile_survives_json(column: list[float]) -> None:
    """Written as JSON and read back it is the same value."""
    p = profile(column, 8)
    assert msgspec.convert(json.loads(json.dumps(asdict(p))), Profile) == p
    c = categorical_profile(["é", "b", None])
    assert msgspec.convert(json.loads(json.dumps(asdict(c))), CategoricalProfile) == c


@pytest.mark.parametrize(
    "edit",
    [
        {"edges": (2.0, 1.0)},
        {"edges": (1.0, NAN)},
        {"counts": (1, 2)},
        {"counts": (1, -1, 3)},
        {"counts": (0, 0, 0), "minimum": None, "maximum": None},
        {"minimum": None},
        {"minimum": None, "maximum": None},
        {"counts": (0, 0, 0), "missing": 4},
        {"minimum": 9.0},
        {"maximum": np.inf},
        {"maximum": NAN},
        {"missing": -1},
    ],
)
def test_an_edited_profile_is_refused(edit: dict[str, Any]) -> None:
    """What `profile` cannot have made cannot be loaded either."""
    parts: dict[str, Any] = {"edges": (1.0, 2.0), "counts": (1, 1, 1), "missing": 0, "minimum": 0.0, "maximum": 5.0}
    assert Profile(**parts).n == 3
    with pytest.raises(ValueError, match="profile"):
        Profile(**(parts | edit))


def test_categories_beyond_the_limit_share_a_cell() -> None:
    """The most frequent keep their own, ties in alphabetical order; new ones join the others."""
    c = categorical_profile(["b", "a", "c", "c", None, "d"], limit=2)
    assert (c.categories, c.cells, c.n) == (("c", "a"), (2, 1, 2, 1), 6)
    assert c.bin(["new", "c", "b", None, None]) == (1, 0, 2, 2)


@pytest.mark.parametrize(("values", "limit"), [([], 2), ([1, "a"], 2), ([NAN], 2), (["a"], 0)])
def test_what_is_no_text_column_has_no_profile(values: list[Any], limit: int) -> None:
    """Numbers, NaN among text, no rows, no categories: an error each."""
    with pytest.raises(ValueError, match=r"text or None|at least one"):
        categorical_profile(values, limit)


@pytest.mark.parametrize(
    "edit", [{"categories": ("a", "a")}, {"counts": (1,)}, {"other": -1}, {"counts": (0, 0), "other": 0}]
)
def test_an_edited_categorical_profile_is_refused(edit: dict[str, Any]) -> None:
    """Doubled categories, missing or negative counts, or no rows at all."""
    parts: dict[str, Any] = {"categories": ("a", "b"), "counts": (2, 1), "other": 1, "missing": 0}
    assert CategoricalProfile(**parts).n == 4
    with pytest.raises(ValueError, match="profile"):
        CategoricalProfile(**(parts | edit))


def test_counts_of_different_profiles_do_not_add_up() -> None:
    """Cells of another profile are other cells."""
    with pytest.raises(ValueError, match="cannot add"):
        add_counts((1, 2), (1, 2, 3))
