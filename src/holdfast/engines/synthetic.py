"""Synthetic rows: a Gaussian copula over each column's own distribution, and how real and how new what it makes is.

Decides how rows are drawn, what is left out, and what the measures say; leaves to the caller which rows may be learned
from, and what a result is called. Learned is from one half of the rows; the other half is what realism and newness are
measured against, and nothing of it is in the model. (Nelsen, An Introduction to Copulas, 2006, 2.9; the distance to the
closest record against a holdout: Platzer and Reutterer, Frontiers in Big Data 4, 2021.)
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast.core.errors import InvalidData
from holdfast.maths.copula import correlation_of_scores, normal_cdf, normal_scores
from holdfast.maths.two_samples import separability

Matrix: TypeAlias = NDArray[np.float64]

MIN_ROWS: Final = 40  # of each half: with fewer neither a distribution nor a distance says anything
MAX_CATEGORIES: Final = 100  # of a column of text; more are names of things, and would be copies
MIN_OF_CATEGORY: Final = 5  # rows: a rarer value could point at somebody, and is never drawn
SHRINK: Final = 0.01  # of correlations towards none, so that the matrix can be inverted
COMPARED: Final = 2_000  # rows of each side that distances are reckoned between
_CHUNK: Final = 256  # rows whose distances are held at once
MARGIN: Final = 0.05  # by which more than half of the rows may lie nearer to what was learned from than to the holdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Marginal:
    """One column: sorted values of a number, or categories with their shares; and the share that is missing."""

    name: str
    dtype: pl.DataType
    values: Matrix | None
    categories: tuple[str, ...]
    shares: Matrix | None
    missing: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What was learned: the columns, and how they go together."""

    marginals: tuple[Marginal, ...]
    factor: Matrix  # of the correlation of normal scores (Cholesky)
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Realism:
    """How like the real rows: an AUC of 0.5 is none to tell apart; distances are 0 where columns are alike."""

    auc: float
    distances: dict[str, float]
    correlation: float  # largest difference of two columns' correlation

    @property
    def score(self) -> float:
        """1 where no classifier tells the rows apart, 0 where one always does."""
        return 1 - 2 * abs(self.auc - 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Newness:
    """Whether rows were copied: exact ones beside those of a holdout, and on which side the closest record lies."""

    exact: int
    exact_holdout: int
    nearer: float  # share of rows that lie nearer to a row learned from than to one of the holdout
    compared: int

    @property
    def passed(self) -> bool:
        """No more exact rows than chance makes among real ones, and no leaning towards what was learned from."""
        error = 1.645 * 0.5 / np.sqrt(max(1, self.compared))  # one-sided, 95 %
        return bool(self.exact <= self.exact_holdout and self.nearer <= 0.5 + MARGIN + error)


def halves(frame: pl.DataFrame, rng: np.random.Generator) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the rows to learn from and the holdout, by chance.

    Raises:
        InvalidData: There are too few rows.
    """
    if frame.height < 2 * MIN_ROWS:
        raise InvalidData(f"{frame.height} rows", expected=f"at least {2 * MIN_ROWS} to learn from")
    order = rng.permutation(frame.height)
    half = frame.height // 2
    return frame[order[:half]], frame[order[half : 2 * half]]


def learn(frame: pl.DataFrame) -> Model:
    """Return the model of some rows; columns of which nothing may be drawn are left out.

    Raises:
        InvalidData: No column is left.
    """
    marginals = [each for each in map(_marginal, frame.get_columns()) if each is not None]
    if not marginals:
        raise InvalidData("no column has a distribution to learn", expected="numbers, categories or times")
    scores = np.column_stack([normal_scores(_latent(frame.get_column(each.name), each)) for each in marginals])
    correlation = (1 - SHRINK) * correlation_of_scores(scores) + SHRINK * np.eye(len(marginals))
    kept = {each.name for each in marginals}
    return Model(
        marginals=tuple(marginals),
        factor=np.asarray(np.linalg.cholesky(correlation), dtype=np.float64),
        left_out=tuple(name for name in frame.columns if name not in kept),
    )


def draw(model: Model, rows: int, rng: np.random.Generator) -> pl.DataFrame:
    """Return so many new rows."""
    normal = rng.standard_normal((rows, len(model.marginals))) @ model.factor.T
    uniform = normal_cdf(normal)
    return pl.DataFrame([_drawn(each, uniform[:, at], rng) for at, each in enumerate(model.marginals)])


def _marginal(column: pl.Series) -> Marginal | None:
    known = column.drop_nulls()
    if len(known) < MIN_ROWS // 2:
        return None
    missing = column.null_count() / len(column)
    if column.dtype in {pl.String, pl.Categorical, pl.Boolean}:
        counts = known.cast(pl.String).alias("v").value_counts(sort=True, name="n")
        counts = counts.sort(["n", "v"], descending=[True, False]).filter(pl.col("n") >= MIN_OF_CATEGORY)
        if not 0 < counts.height <= MAX_CATEGORIES:
            return None
        share = counts["n"].to_numpy().astype(np.float64)
        return Marginal(name=column.name, dtype=column.dtype, values=None, categories=tuple(counts["v"].to_list()),
                        shares=share / share.sum(), missing=missing)  # fmt: skip
    if not (column.dtype.is_numeric() or column.dtype.is_temporal()):
        return None
    values = np.sort(known.to_physical().cast(pl.Float64).to_numpy())
    return Marginal(name=column.name, dtype=column.dtype, values=values[np.isfinite(values)], categories=(),
                    shares=None, missing=missing)  # fmt: skip


def _latent(column: pl.Series, of: Marginal) -> Matrix:
    """Return a column as numbers whose order is the one that the marginal draws in; missing ones in the middle."""
    if of.values is not None:
        numbers = column.to_physical().cast(pl.Float64)
        return np.asarray(np.nan_to_num(numbers.fill_null(float(np.median(of.values))).to_numpy()), dtype=np.float64)
    places = {value: float(at) for at, value in enumerate(of.categories)}
    middle = (len(places) - 1) / 2
    return np.array([places.get(str(v), middle) for v in column.cast(pl.String).to_list()], dtype=np.float64)


def _drawn(of: Marginal, uniform: Matrix, rng: np.random.Generator) -> pl.Series:
    if of.values is not None:
        values = np.interp(uniform, np.linspace(0, 1, len(of.values)), of.values)  # between two real ones, not on one
        made = pl.Series(of.name, values)
        made = made.cast(of.dtype) if of.dtype.is_float() else made.round().cast(pl.Int64).cast(of.dtype)
    else:
        edges = np.cumsum(of.shares)[:-1] if of.shares is not None else np.empty(0)
        taken = [of.categories[at] for at in np.searchsorted(edges, uniform, side="right")]
        made = pl.Series(of.name, taken)
        made = made == "true" if of.dtype == pl.Boolean else made
    gone = pl.Series(rng.random(len(uniform)) < of.missing)
    return made.set(gone, None) if gone.any() else made


def realism(real: pl.DataFrame, made: pl.DataFrame, rng: np.random.Generator) -> Realism:
    """Return how like real rows, which the model has not seen, the made ones are."""
    shared = real.select(made.columns)
    one, other = _numbers(shared, shared), _numbers(made, shared)
    distances = {name: _distance(shared.get_column(name), made.get_column(name)) for name in made.columns}
    gap = np.zeros(1)
    if one.shape[1] > 1:
        gap = np.abs(np.nan_to_num(np.corrcoef(one.T)) - np.nan_to_num(np.corrcoef(other.T)))
    return Realism(auc=separability(one, other, rng), distances=distances, correlation=float(gap.max()))


def newness(learned: pl.DataFrame, holdout: pl.DataFrame, made: pl.DataFrame, rng: np.random.Generator) -> Newness:
    """Return whether made rows are copies of those that were learned from, beside rows that were not."""
    columns = made.columns
    rows = set(learned.select(columns).rows())
    some = made[rng.permutation(made.height)[: min(COMPARED, holdout.height)]]
    beside = holdout.select(columns)[rng.permutation(holdout.height)[: some.height]]
    near = _numbers(some, learned)
    to_learned = _closest(near, _numbers(learned.select(columns)[:COMPARED], learned))
    to_holdout = _closest(near, _numbers(holdout.select(columns)[:COMPARED], learned))
    return Newness(
        exact=sum(row in rows for row in some.rows()),
        exact_holdout=sum(row in rows for row in beside.rows()),
        nearer=float((to_learned < to_holdout).mean() + (to_learned == to_holdout).mean() / 2),
        compared=some.height,
    )


def _numbers(frame: pl.DataFrame, scale: pl.DataFrame) -> Matrix:
    """Return rows as numbers of one scale: ranks of numbers among `scale`, categories as indicators."""
    parts = list[Matrix]()
    for column in frame.get_columns():
        known = scale.get_column(column.name)
        if column.dtype in {pl.String, pl.Categorical, pl.Boolean}:
            texts = column.cast(pl.String)
            for value in known.cast(pl.String).drop_nulls().value_counts(sort=True).to_series(0).head(20).sort():
                parts.append((texts == value).fill_null(value=False).to_numpy().astype(np.float64) * np.sqrt(0.5))
        else:
            ordered = np.sort(known.to_physical().cast(pl.Float64).drop_nulls().to_numpy())
            numbers = column.to_physical().cast(pl.Float64)
            places = np.searchsorted(ordered, numbers.fill_null(0).to_numpy()) / max(1, len(ordered))
            parts.append(np.where(numbers.is_null().to_numpy(), 0.5, places))
            if known.null_count():
                parts.append(numbers.is_null().to_numpy().astype(np.float64))
    return np.column_stack(parts)


def _closest(rows: Matrix, others: Matrix) -> Matrix:
    squares = (others**2).sum(axis=1)
    nearest = []
    for chunk in np.array_split(rows, max(1, len(rows) // _CHUNK)):
        apart = (chunk**2).sum(axis=1)[:, None] + squares - 2 * chunk @ others.T
        nearest.append(np.maximum(apart, 0).min(axis=1))
    return np.concatenate(nearest).round(12)


def _distance(real: pl.Series, made: pl.Series) -> float:
    """Return the Kolmogorov–Smirnov distance of two columns of numbers, the total variation of two of categories."""
    if real.dtype in {pl.String, pl.Categorical, pl.Boolean}:
        shares = [each.cast(pl.String).alias("v").value_counts(normalize=True, name="n") for each in (real, made)]
        both = shares[0].join(shares[1], on="v", how="full", coalesce=True).fill_null(0)
        return float((both["n"] - both["n_right"]).abs().sum()) / 2
    one, other = (np.sort(each.to_physical().cast(pl.Float64).drop_nulls().to_numpy()) for each in (real, made))
    every = np.concatenate([one, other])
    steps = np.searchsorted(one, every, "right") / len(one) - np.searchsorted(other, every, "right") / len(other)
    return float(np.abs(steps).max())
