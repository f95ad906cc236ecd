"""Outliers sorted: likely error, rare but real, or doubtful, each with every reason that speaks for or against it.

Decides what lies out: far from the median by robust scores, apart from all others by a gap, at odds with the rest of
its row, or of a number that means missing. Reasons that make an error likely and reasons that make a value real are
kept apart; where both or neither are there, it is doubtful, and a person decides. Nothing is changed or dropped here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import numpy as np
import polars as pl

from holdfast.core.outliers import Outliers
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.ingest.profile import SENTINELS
from holdfast.maths.arrays import Floats
from holdfast.maths.outlying import Conditional, Robust, conditional, islands, robust

MIN_ROWS: Final = 50  # fewer say nothing about what is rare
MIN_DISTINCT: Final = 8  # values; fewer are a code, whose rare values are looked at as names are
GAP: Final = 2.0  # spreads without any value: what lies beyond is apart
APART_SHARE: Final = 0.05  # of the rows at most; more are a second kind of rows, not errors
NEAR: Final = 2.5  # spreads from the centre within which a corrected value must lie
AGREES: Final = 3.0  # standard deviations within which a value is what the rest of its row says
CONTRADICTS: Final = 6.0  # and beyond which the rest of the row says otherwise
WILD: Final = 20.0  # spreads up to which the rest of a row is asked as it is
TELLING: Final = 0.5  # share of a column's variance that the others must explain to be asked about it
TAIL: Final = 0.98  # of the distances from what rows say, by which their tails are measured, and
TAIL_OF_NORMAL: Final = 2.326  # what it is of a normal column
SLIPS: Final = (10.0, 100.0, 1000.0)
SENTINEL_APART: Final = 3.0  # times the largest other value that a positive number such as 999 must be
ONE_SIGN: Final = 0.995  # of the values, from which on the other sign is a slip
LOG_SKEW: Final = 0.25  # of the deciles, beyond which a positive column is looked at by its logarithm
SHOWN: Final = 20  # rare-but-real values of one column that are listed; all are counted


class Verdict(StrEnum):
    """What an outlier is taken for."""

    LIKELY_ERROR = "likely-error"
    RARE = "rare-but-real"
    DOUBTFUL = "doubtful"


class Why(StrEnum):
    """One thing that speaks for an error, for a real value, or only for a look."""

    SLIP = "unit-slip"
    SIGN = "sign-flip"
    DIGITS = "transposed-digits"
    SENTINEL = "sentinel"
    CONTRADICTED = "apart-and-contradicted"
    SPELLING = "nearly-a-frequent-value"
    COMBINATION = "impossible-combination"
    OUT_OF_CONTRACT = "outside-the-contract"
    SMOOTH = "smooth-tail"
    CONSISTENT = "consistent-with-its-row"
    REPEATED = "repeated-by-the-same"
    AGREED = "sources-agree"
    APART = "apart"
    AT_ODDS = "at-odds-with-its-row"
    SELDOM = "seldom-said"


WORDS: Final = {
    Why.SLIP: "by a factor of 10, 100 or 1000 it would be an ordinary value",
    Why.SIGN: "with the other sign it would be an ordinary value",
    Why.DIGITS: "with two digits the other way round it would be what the rest of its row says",
    Why.SENTINEL: "it is a number that means missing elsewhere",
    Why.CONTRADICTED: "it lies apart from all others, and the rest of its row says otherwise",
    Why.SPELLING: "it is written nearly as a frequent value",
    Why.COMBINATION: "nearly all rows with this other value say something else here",
    Why.OUT_OF_CONTRACT: "the contract allows no such value",
    Why.SMOOTH: "values reach up to it without a gap",
    Why.CONSISTENT: "it is what the rest of its row says",
    Why.REPEATED: "other rows about the same say it too",
    Why.AGREED: "rows of several sources about the same say it",
    Why.APART: "it lies apart from all others",
    Why.AT_ODDS: "it lies among the others, and the rest of its row says otherwise",
    Why.SELDOM: "hardly any other row says it",
}
FOR_ERROR: Final = frozenset(
    {Why.SLIP, Why.SIGN, Why.DIGITS, Why.SENTINEL, Why.CONTRADICTED, Why.SPELLING, Why.COMBINATION, Why.OUT_OF_CONTRACT}
)
FOR_REAL: Final = frozenset({Why.SMOOTH, Why.CONSISTENT, Why.REPEATED, Why.AGREED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlier:
    """One value that lies out: its place in the table from 0, what it is taken for, and what it may have been meant."""

    place: int
    column: str
    value: str
    reasons: tuple[Why, ...]
    suggested: str = ""

    @property
    def verdict(self) -> Verdict:
        """What its reasons come to: both kinds, or neither, leave a doubt."""
        error, real = not FOR_ERROR.isdisjoint(self.reasons), not FOR_REAL.isdisjoint(self.reasons)
        if error == real:
            return Verdict.DOUBTFUL
        return Verdict.LIKELY_ERROR if error else Verdict.RARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorted:
    """The outliers of a table: errors and doubts all, of what is rare but real some, and how many of each by column."""

    outliers: tuple[Outlier, ...] = ()
    counts: Mapping[tuple[str, Verdict], int] = field(default_factory=dict)
    examined: tuple[str, ...] = ()
    numbers: "Mapping[str, _Numbers]" = field(default_factory=dict)

    def of(self, verdict: Verdict) -> int:
        """Return how many values were taken for this."""
        return sum(count for (_, each), count in self.counts.items() if each is verdict)

    def meant(self, column: str, text: str) -> str:
        """Return the ordinary number that a slip would have made this text of; empty where there is none."""
        numbers = self.numbers.get(column)
        try:
            value = float(text)
        except ValueError:
            return ""
        if numbers is None or not np.isfinite(value):
            return ""
        likely = [(abs(numbers.score(each)), each) for why, each in _slips(value, whole=numbers.whole)
                  if why is not Why.DIGITS and numbers.ordinary(each)]  # fmt: skip
        return _text(min(likely)[1], whole=numbers.whole) if likely else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Numbers:
    """One column of numbers: its values, their scores, and where its mainland ends, in scores."""

    name: str
    whole: bool
    values: Floats
    log: bool
    usual: float | None  # the value of more than half of the rows, which no score is about
    fit: Robust
    scores: Floats
    ends: tuple[float, float]
    apart: np.ndarray
    sign: int  # that nearly all values have; 0 where they have both

    def score(self, value: float) -> float:
        """Return how far a value lies out; infinite where the column's logarithm has no place for it."""
        if value == self.usual:
            return 0.0
        if self.log and value <= 0:
            return -np.inf
        return float(self.fit.scores(np.log(value) if self.log else value))

    def ordinary(self, value: float) -> bool:
        """Say whether nobody would look at a value of this column."""
        score = self.score(value)
        fits = self.ends[0] <= score <= self.ends[1] and abs(score) <= NEAR
        return fits and not (self.whole and value != round(value)) and not (self.sign and np.sign(value) == -self.sign)


_UNUSED: Final = frozenset({Use.IGNORED, Use.PERSONAL, Use.TEXT})  # looked at only where they are named


def sort_outliers(
    frame: pl.DataFrame,
    columns: Mapping[str, Column],
    declared: Outliers,
    *,
    source: str = "",
    hidden: Sequence[str] = (),
) -> Sorted:
    """Return the outliers of a table of typed values, sorted.

    Args:
        frame: Rows that hold.
        columns: What is declared of them.
        declared: How they are to be sorted.
        source: The column that says which source a row is of, where there is one.
        hidden: Columns of which no value may be shown: they are not looked at.
    """
    from holdfast.ingest.rarities import rarities

    if frame.height < MIN_ROWS:
        return Sorted()
    usual = (name for name, column in columns.items() if column.use not in _UNUSED)
    wanted = [name for name in (declared.columns or usual) if name in frame.columns and name not in hidden]
    wanted = [name for name in wanted if columns[name].use is not Use.ID and name != declared.by]
    kinds = {ColumnType.FLOAT, ColumnType.INTEGER}
    numbers = [_numbers(frame.get_column(name), columns[name]) for name in wanted if columns[name].type in kinds]
    found = [each for each in numbers if each is not None]
    names = [name for name in wanted if columns[name].type in {ColumnType.CATEGORY, ColumnType.STRING}]
    groups = _groups(frame, declared.by), _groups(frame, source)
    listed, counts = list[Outlier](), dict[tuple[str, Verdict], int]()
    for outlier in (*_of_numbers(found, declared.bound, groups), *rarities(frame, names)):
        key = outlier.column, outlier.verdict
        counts[key] = counts.get(key, 0) + 1
        if outlier.verdict is not Verdict.RARE or counts[key] <= SHOWN:
            listed.append(outlier)
    examined = (*(each.name for each in found), *names)
    by_name = {each.name: each for each in found}
    return Sorted(outliers=tuple(listed), counts=counts, examined=examined, numbers=by_name)


def _numbers(column: pl.Series, declared: Column) -> _Numbers | None:
    values = column.cast(pl.Float64).to_numpy().astype(np.float64)
    told = values[np.isfinite(values)]
    if told.size < MIN_ROWS:
        return None
    distinct, times = np.unique(told, return_counts=True)
    if distinct.size < MIN_DISTINCT:
        return None
    most = int(times.argmax())
    usual = float(distinct[most]) if times[most] * 2 > told.size else None
    rest = told if usual is None else told[told != usual]
    if rest.size < MIN_ROWS // 2:
        return None
    sign = next((each for each in (1, -1) if (rest * each > 0).mean() >= ONE_SIGN), 0)
    log = sign == 1 and _skewed(rest[rest > 0])
    with np.errstate(divide="ignore", invalid="ignore"):
        seen = np.where(values > 0, np.log(np.where(values > 0, values, 1.0)), np.nan) if log else values.copy()
    if usual is not None:
        seen[values == usual] = np.nan
    fit = robust(seen)
    if not np.isfinite(fit.below + fit.above):
        fit = Robust(centre=fit.centre, below=min(fit.below, fit.above), above=min(fit.below, fit.above))
    if not np.isfinite(fit.below):
        return None
    scores = fit.scores(seen)
    if log:
        scores[(values <= 0) & (values != usual)] = -np.inf
    low, high = _mainland(scores)
    odd = (np.sign(values) == -sign) if sign else np.zeros(len(values), dtype=np.bool_)
    apart = ((scores < low) | (scores > high) | odd) & np.isfinite(values) & (values != usual)
    return _Numbers(
        name=column.name,
        whole=declared.type is ColumnType.INTEGER or bool((told == np.round(told)).all()),
        values=values,
        log=log,
        usual=usual,
        fit=fit,
        scores=scores,
        ends=(low, high),
        apart=apart,
        sign=sign,
    )


def _skewed(positive: Floats) -> bool:
    """Say whether the logarithm of positive values is more even than they are."""

    def skew(values: Floats) -> float:
        low, middle, high = np.quantile(values, (0.1, 0.5, 0.9))
        return float((high + low - 2 * middle) / (high - low)) if high > low else 0.0

    plain = skew(positive)
    return plain > LOG_SKEW and abs(skew(np.log(positive))) < plain


def _mainland(scores: Floats) -> tuple[float, float]:
    """Return the scores between which values lie without a gap, where few enough lie beyond."""
    ordered = np.sort(scores[np.isfinite(scores)])
    first, behind = islands(ordered, GAP)
    few = APART_SHARE * ordered.size
    low = ordered[first] if first <= few else ordered[0]
    high = ordered[behind - 1] if ordered.size - behind <= few else ordered[-1]
    return float(low), float(high)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """What the rest of each row says of its numbers: expected scores, and how sure that is, by column."""

    expected: tuple[Floats, Floats]  # (n, d) scores: by others within the ordinary, and by others as they are
    unsure: Floats  # (d,) standard deviations of what is left, in scores
    telling: np.ndarray  # (d,) of truth

    def off(self, place: int, index: int, score: float) -> float:
        """Return how far a score is from what the rest of its row says, in whichever way it fits better."""
        away = min(abs(score - float(each[place, index])) for each in self.expected)
        return away / float(self.unsure[index])

    def odd(self, index: int, scores: Floats) -> np.ndarray:
        """Say of each row whether its value is far from what the rest says, in either way."""
        with np.errstate(invalid="ignore"):
            away = np.minimum(*(np.abs(scores - each[:, index]) for each in self.expected))
        return np.asarray(away / self.unsure[index] > CONTRADICTS)


def _rows(numbers: Sequence[_Numbers]) -> _Row:
    matrix = np.stack([each.scores for each in numbers], axis=1)
    matrix = np.where(np.isfinite(matrix), matrix, np.nan)
    said: Conditional = conditional(matrix)
    left = said.size / np.sqrt(np.diag(said.inverse))
    told = np.nan_to_num(matrix)
    off, far = said.residuals(told), said.residuals(told, clip=WILD)
    expected = told - off * left, told - far * left
    wide = np.quantile(np.abs(off), TAIL, axis=0) / TAIL_OF_NORMAL  # heavier tails than a normal column's are no news
    return _Row(expected=expected, unsure=left * np.maximum(1.0, wide), telling=said.explained >= TELLING)


def _of_numbers(
    numbers: Sequence[_Numbers], bound: float, groups: "tuple[np.ndarray | None, np.ndarray | None]"
) -> Iterator[Outlier]:
    if not numbers:
        return
    row = _rows(numbers)
    for index, column in enumerate(numbers):
        far = np.abs(column.scores) > bound
        odd = np.zeros(len(far), dtype=np.bool_)
        if row.telling[index]:
            odd = row.odd(index, column.scores)
        repeated, agreed = _repeats(column, far | column.apart, groups)
        for place in np.flatnonzero(far | column.apart | odd).tolist():
            reasons, suggested = _judged(column, index, place, row, far=bool(far[place]))
            reasons += [Why.REPEATED] * bool(repeated[place]) + [Why.AGREED] * bool(agreed[place])
            value = _text(column.values[place], whole=column.whole)
            yield Outlier(place=place, column=column.name, value=value, reasons=tuple(reasons), suggested=suggested)


def _judged(column: _Numbers, index: int, place: int, row: _Row, *, far: bool) -> tuple[list[Why], str]:
    """Return what speaks for and against one number, and what it may have been meant to be."""
    value, score, apart = float(column.values[place]), float(column.scores[place]), bool(column.apart[place])
    telling = bool(row.telling[index]) and np.isfinite(score)
    off = row.off(place, index, score) if telling else 0.0
    contradicted = off > CONTRADICTS
    reasons, suggested = list[Why](), ""
    if apart and _means_missing(column, value):
        reasons.append(Why.SENTINEL)
    elif apart or contradicted:
        why, suggested = _meant(column, index, place, row, off=off if telling else None)
        reasons += [why] if why else []
    if apart and not reasons:
        reasons.append(Why.CONTRADICTED if contradicted else Why.APART)
    if contradicted and not apart and not reasons:
        reasons.append(Why.AT_ODDS)
    if far and not apart:
        reasons.append(Why.SMOOTH)
    if (far or apart) and telling and off <= AGREES:
        reasons.append(Why.CONSISTENT)
    return reasons, suggested


def _means_missing(column: _Numbers, value: float) -> bool:
    """Say whether a number is one that means missing: -1 and its like among positive ones, 999 far beyond all."""
    if value not in SENTINELS:
        return False
    if value < 0:
        return column.sign == 1
    others = column.values[np.isfinite(column.values) & ~column.apart]
    return bool(others.size) and value >= SENTINEL_APART * float(others.max())


def _meant(column: _Numbers, index: int, place: int, row: _Row, *, off: float | None) -> tuple[Why | None, str]:
    """Return the slip that explains a number best, where one does, and the number without it."""
    best: tuple[float, Why | None, str] = (np.inf, None, "")
    for why, meant in _slips(float(column.values[place]), whole=column.whole):
        if not column.ordinary(meant):
            continue
        away = abs(column.score(meant))
        if off is not None:
            away = row.off(place, index, column.score(meant))
            if away > AGREES:
                continue
        if why is Why.DIGITS and (off is None or off <= CONTRADICTS):
            continue  # nearly every number has a neighbour of the same digits: only its row can say so
        if away < best[0]:
            best = away, why, _text(meant, whole=column.whole)
    return best[1], best[2]


def _slips(value: float, *, whole: bool) -> Iterator[tuple[Why, float]]:
    """Yield what a number may have been meant to be, by what is often done to numbers."""
    if value:
        yield Why.SIGN, -value
    for factor in SLIPS:
        yield Why.SLIP, value / factor
        yield Why.SLIP, value * factor
    if not whole:
        return
    digits = str(int(abs(value)))
    for at in range(len(digits) - 1):
        if digits[at] != digits[at + 1]:
            turned = digits[:at] + digits[at + 1] + digits[at] + digits[at + 2 :]
            if turned[0] != "0":
                yield Why.DIGITS, float(turned) * (1 if value > 0 else -1)


def _text(value: float, *, whole: bool) -> str:
    """Return a number as it would be written."""
    return str(int(value)) if whole else f"{value:.12g}"


def _groups(frame: pl.DataFrame, name: str) -> np.ndarray | None:
    if not name or name not in frame.columns:
        return None
    ranks = frame.get_column(name).cast(pl.String).rank("dense")
    return ranks.fill_null(0).to_numpy().astype(np.int64)


def _repeats(
    column: _Numbers, out: np.ndarray, groups: "tuple[np.ndarray | None, np.ndarray | None]"
) -> tuple[np.ndarray, np.ndarray]:
    """Say of each outlier whether another row about the same says as much, of the same source or of another."""
    entity, source = groups
    repeated, agreed = np.zeros(len(out), dtype=np.bool_), np.zeros(len(out), dtype=np.bool_)
    if entity is None:
        return repeated, agreed
    places = np.flatnonzero(out & (entity > 0))
    by_entity: dict[int, list[int]] = {}
    for place in places.tolist():
        by_entity.setdefault(int(entity[place]), []).append(place)
    for same in by_entity.values():
        for one in same:
            for other in same:
                if other != one and _alike(column.values[one], column.values[other]):
                    repeated[one] = True
                    agreed[one] |= source is not None and bool(source[one] != source[other])
    return repeated, agreed


def _alike(one: float, other: float) -> bool:
    return bool(abs(one - other) <= 0.1 * max(abs(one), abs(other)))  # a tenth: measured twice
