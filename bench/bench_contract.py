"""Contract: 28 checks over 1M x 20, beside hand-written Polars, dataframely and pandera; CPU seconds, interleaved."""

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import dataframely as dy
import numpy as np
import pandera.polars as pa
import polars as pl

from holdfast.core.checks import Check
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.ingest.checking import Contract, judge

ROWS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
ROUNDS = 5
NUMBERS = [f"n{i}" for i in range(12)]
WHOLES = [f"w{i}" for i in range(5)]
TEXTS = [f"t{i}" for i in range(3)]
LETTERS = ("a", "b", "c")


def table() -> pl.DataFrame:
    """A table in which about one row in a hundred breaks something."""
    rng = np.random.default_rng(0)
    columns: dict[str, pl.Series] = {}
    for name in NUMBERS:
        values = pl.Series(name, rng.normal(0, 1, ROWS))
        columns[name] = values.set(pl.Series(rng.random(ROWS) < 0.0001), None)
    for name in WHOLES:
        columns[name] = pl.Series(name, rng.integers(0, 100_000, ROWS))
    for name in TEXTS:
        columns[name] = pl.Series(name, rng.choice([*LETTERS, "d"], ROWS, p=[0.4, 0.4, 0.1999, 0.0001]))
    return pl.DataFrame(columns)


# 12 ranges' lower and 5 wholes' lower bounds are one check each; with nulls, sets, patterns and rules: 28.
DECLARED = {
    **{name: Column(type=ColumnType.FLOAT, minimum=-4.5, nullable=index >= 6) for index, name in enumerate(NUMBERS)},
    **{name: Column(type=ColumnType.INTEGER, minimum=1, nullable=True) for name in WHOLES},
    **{name: Column(type=ColumnType.CATEGORY, use=Use.SLICE, allowed=LETTERS, nullable=True) for name in TEXTS},
}
CHECKS = (
    Check(name="r", kind="rule", rule="n0 is missing or n1 is missing or n0 + n1 < 9"),
    Check(name="p", kind="pattern", columns=("t0",), pattern="[a-d]"),
)
CONTRACT = Contract(columns=DECLARED, checks=CHECKS)


def ours(frame: pl.DataFrame) -> int:
    """The contract, with every fault named."""
    return frame.filter(judge(frame, pl.int_range(frame.height, eager=True), CONTRACT).good).height


def by_hand(frame: pl.DataFrame) -> int:
    """What a careful person would write: each check once, a count of each, and the good rows."""
    fails = [pl.col(n).is_null() for n in NUMBERS[:6]] + [pl.col(n) < -4.5 for n in NUMBERS]
    fails += [pl.col(n) < 1 for n in WHOLES] + [~pl.col(n).is_in(list(LETTERS)) for n in TEXTS]
    fails += [~(pl.col("n0").is_null() | pl.col("n1").is_null() | (pl.col("n0") + pl.col("n1") < 9))]
    fails += [~pl.col("t0").str.contains("^(?:[a-d])$")]
    masks = frame.select(f.fill_null(value=False).alias(str(i)) for i, f in enumerate(fails))
    masks.select(pl.all().sum()).row(0)
    return frame.filter(~masks.select(pl.any_horizontal(pl.all())).to_series()).height


_BODY: dict[str, Any] = {
    n: dy.Float64(nullable=i >= 6, min=-4.5, allow_inf=True, allow_nan=True) for i, n in enumerate(NUMBERS)
}
_BODY |= {n: dy.Int64(nullable=True, min=1) for n in WHOLES}
_BODY |= {n: dy.String(nullable=True, check=lambda c: c.is_in(list(LETTERS))) for n in TEXTS[1:]}
_BODY |= {TEXTS[0]: dy.String(nullable=True, regex="^(?:[a-d])$", check=lambda c: c.is_in(list(LETTERS)))}
_BODY["rule"] = dy.rule()(
    lambda cls: pl.col("n0").is_null() | pl.col("n1").is_null() | (pl.col("n0") + pl.col("n1") < 9)  # noqa: ARG005
)
THEIRS: Any = type("Theirs", (dy.Schema,), _BODY)
PANDERA = pa.DataFrameSchema(
    {
        **{n: pa.Column(pl.Float64, pa.Check.ge(-4.5), nullable=i >= 6) for i, n in enumerate(NUMBERS)},
        **{n: pa.Column(pl.Int64, pa.Check.ge(1), nullable=True) for n in WHOLES},
        **{n: pa.Column(pl.String, pa.Check.isin(LETTERS), nullable=True) for n in TEXTS[1:]},
        TEXTS[0]: pa.Column(pl.String, [pa.Check.isin(LETTERS), pa.Check.str_matches("^[a-d]$")], nullable=True),
    },
    checks=pa.Check(
        lambda d: d.lazyframe.select(
            pl.col("n0").is_null() | pl.col("n1").is_null() | (pl.col("n0") + pl.col("n1") < 9)
        )
    ),
)


def dataframely(frame: pl.DataFrame) -> int:
    """Dataframely's filter: good rows, and which rules each other row breaks."""
    return int(THEIRS.filter(frame)[0].height)


def pandera(frame: pl.DataFrame) -> int:
    """Pandera's lazy validation: every failure collected; it does not give the good rows."""
    try:
        return PANDERA.validate(frame, lazy=True).height
    except pa.errors.SchemaErrors as error:
        return len(error.schema_errors)


def main() -> None:
    """Print CPU seconds of each and the ratio to what was written by hand."""
    frame = table()
    contenders: dict[str, Callable[[pl.DataFrame], int]] = {
        "by hand": by_hand,
        "holdfast": ours,
        "dataframely": dataframely,
        "pandera": pandera,
    }
    assert by_hand(frame) == ours(frame) == dataframely(frame)
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            began = time.process_time()
            run(frame)
            seconds[name].append(time.process_time() - began)
    base = statistics.median(seconds["by hand"])
    print(
        f"28 checks, {ROWS:,} x 20, {ROUNDS} rounds interleaved; polars {pl.__version__}, dataframely {dy.__version__}"
    )
    for name, each in seconds.items():
        print(
            f"{name:12} {statistics.median(each):8.3f} CPU s  [{min(each):.3f}, {max(each):.3f}]"
            f"  {statistics.median(each) / base:6.2f} x by hand"
        )


if __name__ == "__main__":
    main()
