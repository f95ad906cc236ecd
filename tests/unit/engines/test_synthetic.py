"""Synthetic rows: like the real ones, and copies of none."""

import numpy as np
import polars as pl
import pytest

from holdfast.core.errors import InvalidData
from holdfast.engines.synthetic import draw, halves, learn, newness, realism

ROWS = 1200


def table(seed: int = 1) -> pl.DataFrame:
    """Columns of every kind, two of which go together."""
    rng = np.random.default_rng(seed)
    x = rng.gamma(2, 1, ROWS)
    count = [None if rng.random() < 0.1 else int(each) for each in rng.poisson(3, ROWS)]
    return pl.DataFrame(
        {
            "x": x,
            "y": 0.7 * x + rng.normal(0, 1, ROWS),
            "count": count,
            "kind": rng.choice(["a", "b", "c"], ROWS, p=[0.6, 0.3, 0.1]),
            "flag": x > 2,
            "name": [f"person {n}" for n in range(ROWS)],
        }
    )


@pytest.mark.requirement("DATA-17")
def test_made_rows_are_like_rows_that_the_model_never_saw_and_none_is_a_copy() -> None:
    """Distributions, missing values and dependence; a classifier hardly tells them apart."""
    rng = np.random.default_rng(2)
    learned, holdout = halves(table(), rng)
    model = learn(learned)
    made = draw(model, ROWS, rng)
    like, new = realism(holdout, made, rng), newness(learned, holdout, made, rng)
    assert like.score > 0.7
    assert max(like.distances.values()) < 0.1
    assert abs(made.get_column("count").null_count() / ROWS - 0.1) < 0.05
    assert made.select(pl.corr("x", "y")).item() > 0.5
    assert (new.passed, new.exact) == (True, 0)
    assert model.left_out == ("name",)
    assert made.columns == ["x", "y", "count", "kind", "flag"]


@pytest.mark.requirement("DATA-17")
def test_copies_and_near_copies_are_found() -> None:
    """Rows handed on as they are, and rows moved by a hair: neither passes."""
    rng = np.random.default_rng(3)
    learned, holdout = halves(table().drop("name"), rng)
    copied = newness(learned, holdout, learned, rng)
    assert not copied.passed
    assert copied.exact == copied.compared
    moved = newness(learned, holdout, learned.with_columns(pl.col("x") + 1e-4, pl.col("y") + 1e-4), rng)
    assert (moved.exact, moved.passed) == (0, False)


def test_realism_falls_where_columns_no_longer_go_together() -> None:
    """Each column alone is perfect, and still a classifier tells."""
    rng = np.random.default_rng(4)
    learned, holdout = halves(table().drop("name"), rng)
    apart = pl.DataFrame([learned.get_column(name).shuffle(seed=n) for n, name in enumerate(learned.columns)])
    assert realism(holdout, apart, rng).score < 0.6
    assert realism(holdout, learned, rng).score > 0.85


def test_a_rare_category_is_never_drawn_and_a_seed_repeats_its_rows() -> None:
    """A value of four rows could point at somebody."""
    frame = table().with_columns(pl.Series("kind", ["rare"] * 3 + ["usual"] * (ROWS - 3)))
    made = [draw(learn(frame), 500, np.random.default_rng(7)) for _ in range(2)]
    assert made[0].equals(made[1])
    assert made[0].get_column("kind").unique().to_list() == ["usual"]


def test_too_few_rows_are_refused() -> None:
    """Of a handful, whatever is drawn is a copy."""
    with pytest.raises(InvalidData, match="20 rows"):
        halves(table().head(20), np.random.default_rng(0))
    with pytest.raises(InvalidData, match="no column"):
        learn(table().select("name"))
