"""Outliers: slips put into real tables by seed, and how many of them triage finds, beside an isolation forest.

A row is spoiled in one cell of a column of numbers. What counts as found is the row: as a likely error (set aside), or
as that or doubtful (a person is asked). Alarms are rows that nobody spoiled; some of them are errors all the same. The
forest gets the same number of rows to name, the most isolated ones.
"""

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from holdfast.core.outliers import Outliers
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.ingest.outliers import Sorted, Verdict, sort_outliers

SHARED = Path(os.environ.get("HOLDFAST_DATA", "../shared/data"))
SHARE = 0.01  # of the rows that are spoiled
ADULT = ("age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week")

Slip = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def _turned(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    del rng
    texts = [str(int(value)) for value in values]
    return np.array([float(text[1] + text[0] + text[2:]) if len(text) > 1 else float(text) for text in texts])


SLIPS: Mapping[str, Slip] = {
    "x 10": lambda values, _: values * 10,
    "x 100": lambda values, _: values * 100,
    "x 1000": lambda values, _: values * 1000,
    "/ 10": lambda values, _: np.floor(values / 10) if (values == np.round(values)).all() else values / 10,
    "/ 100": lambda values, _: values / 100,
    "sign": lambda values, _: -values,
    "-1, -999": lambda values, rng: rng.choice([-1.0, -999.0], size=len(values)),
    "9999": lambda values, _: np.full(len(values), 9999.0),
    "digits": _turned,
}


@dataclass(frozen=True)
class Table:
    """A table of numbers and names, what is declared of it, and the columns that are spoiled."""

    frame: pl.DataFrame
    columns: Mapping[str, Column]
    spoiled: tuple[str, ...]


def adult() -> Table:
    """Adult, training part: census rows."""
    return _table(pl.read_csv(SHARED / "adult-train.csv", infer_schema=False), ADULT)


def spambase() -> Table:
    """Spambase: shares of words, most of them nothing, and lengths of runs of capitals."""
    raw = pl.read_csv(SHARED / "spambase.csv", infer_schema=False)
    return _table(raw, tuple(raw.columns[:-1]))


def _table(raw: pl.DataFrame, numbers: tuple[str, ...]) -> Table:
    texts = raw.select(pl.all().str.strip_chars())
    texts = texts.select(pl.when(pl.all() == "?").then(None).otherwise(pl.all()).name.keep())
    frame = texts.with_columns(pl.col(numbers).cast(pl.Float64)).drop_nulls(numbers)
    kinds = {name: ColumnType.FLOAT if name in numbers else ColumnType.CATEGORY for name in frame.columns}
    columns = {name: Column(type=kind, use=Use.IGNORED) for name, kind in kinds.items()}
    return Table(frame=frame, columns=columns, spoiled=numbers)


def spoil(table: Table, slip: Slip, rng: np.random.Generator) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the rows with one cell spoiled in some, and which."""
    frame, bad = table.frame, np.zeros(table.frame.height, dtype=np.bool_)
    each = max(1, int(SHARE * frame.height) // len(table.spoiled))
    for name in table.spoiled:
        values = frame.get_column(name).to_numpy().copy()
        told = np.flatnonzero((values != 0) & ~bad)  # nothing times ten is nothing
        places = rng.permutation(told)[:each]
        if places.size:
            changed = slip(values[places], rng)
            bad[places[changed != values[places]]] = True
            values[places] = changed
            frame = frame.with_columns(pl.Series(name, values))
    return frame, bad


def forest(frame: pl.DataFrame, numbers: tuple[str, ...], count: int, seed: int) -> np.ndarray:
    """Return the rows that an isolation forest finds the most isolated, as many as are asked for."""
    from sklearn.ensemble import IsolationForest

    values = frame.select(numbers).to_numpy()
    scores = IsolationForest(random_state=seed, n_jobs=1).fit(values).score_samples(values)
    found = np.zeros(len(values), dtype=np.bool_)
    found[np.argsort(scores)[:count]] = True
    return found


def rows(found: Sorted, height: int, *verdicts: Verdict) -> np.ndarray:
    """Return the rows with an outlier of one of these verdicts."""
    named = np.zeros(height, dtype=np.bool_)
    named[[each.place for each in found.outliers if each.verdict in verdicts]] = True
    return named


def hospital() -> str:
    """Return how many of the hospital table's wrong cells triage names, and how many of its words are right."""
    dirty, clean = (pl.read_csv(SHARED / f"hospital-{name}.csv", infer_schema=False) for name in ("dirty", "clean"))
    columns = {name: Column(type=ColumnType.CATEGORY, use=Use.IGNORED) for name in dirty.columns}
    found = sort_outliers(dirty, columns, Outliers())
    wrong = sum(int(dirty[name].ne_missing(clean[name]).sum()) for name in dirty.columns)
    likely = [each for each in found.outliers if each.verdict is Verdict.LIKELY_ERROR]
    asked = [each for each in found.outliers if each.verdict is not Verdict.RARE]
    right = sum(clean[each.column][each.place] != each.value for each in likely)
    meant = sum(clean[each.column][each.place] == each.suggested for each in likely)
    reviewed = sum(clean[each.column][each.place] != each.value for each in asked)
    return (
        f"hospital, {wrong} wrong cells of {dirty.height * dirty.width}: {len(likely)} likely errors, precision "
        f"{right / len(likely):.3f}, recall {right / wrong:.3f}, {meant} said what was meant; with doubtful ones "
        f"precision {reviewed / len(asked):.3f}, recall {reviewed / wrong:.3f}"
    )


def main() -> None:
    """Print what is found of each slip in each table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=100, help="the rules were written while looking at 0 to 9")
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    print(hospital())
    for name, table in {"adult": adult(), "spambase": spambase()}.items():
        begun = time.process_time()
        clean = sort_outliers(table.frame, table.columns, Outliers())
        spent = time.process_time() - begun
        counted = {verdict.value: int(rows(clean, table.frame.height, verdict).sum()) for verdict in Verdict}
        print(f"{name}, {table.frame.height} rows as they are: {counted} ({spent:.2f} CPU s; rare ones: listed rows)")
        print(f"  {'slip':10} {'spoiled':>7}  precision  recall  asked   forest precision  recall")
        totals: list[tuple[float, ...]] = []
        for kind, slip in SLIPS.items():
            got = [_one(table, slip, seed) for seed in range(asked.first_seed, asked.first_seed + asked.seeds)]
            mean = [statistics.mean(each) for each in zip(*got, strict=True)]
            totals.append(tuple(mean))
            print(_line(kind, mean))
        mean = [statistics.mean(each) for each in zip(*totals, strict=True)]
        print(_line("mean", mean))


def _line(kind: str, mean: Sequence[float]) -> str:
    ours = f"  {kind:10} {mean[0]:7.0f}  {mean[1]:9.3f}  {mean[2]:6.3f}  {mean[3]:5.3f}"
    return f"{ours}   {mean[4]:16.3f}  {mean[5]:6.3f}"


def _one(table: Table, slip: Slip, seed: int) -> tuple[float, ...]:
    frame, bad = spoil(table, slip, np.random.default_rng(seed))
    found = sort_outliers(frame, table.columns, Outliers())
    likely = rows(found, frame.height, Verdict.LIKELY_ERROR)
    asked = rows(found, frame.height, Verdict.LIKELY_ERROR, Verdict.DOUBTFUL)
    theirs = forest(frame, table.spoiled, max(1, int(likely.sum())), seed)
    return (
        float(bad.sum()),
        float((likely & bad).sum() / max(1, likely.sum())),
        float((likely & bad).sum() / max(1, bad.sum())),
        float((asked & bad).sum() / max(1, bad.sum())),
        float((theirs & bad).sum() / max(1, theirs.sum())),
        float((theirs & bad).sum() / max(1, bad.sum())),
    )


if __name__ == "__main__":
    main()
