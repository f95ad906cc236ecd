"""Contracts beside other people's engines: the same rows are accepted, whatever the rows are."""

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.core.checks import Check
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.ingest.checking import Contract, judge

pandera = pytest.importorskip("pandera.polars")
dataframely = pytest.importorskip("dataframely")

COLUMNS = {
    "i": Column(type=ColumnType.INTEGER, minimum=-3, maximum=5, nullable=True),
    "f": Column(type=ColumnType.FLOAT, minimum=0.5, nullable=False),
    "c": Column(type=ColumnType.CATEGORY, use=Use.SLICE, allowed=("a", "b"), nullable=True),
    "s": Column(type=ColumnType.STRING, use=Use.IGNORED, nullable=True),
}
CHECKS = (
    Check(name="pattern", kind="pattern", columns=("s",), pattern="[xy]+[0-9]?"),
    Check(name="length", kind="length", columns=("s",), at_least=1, at_most=3),
    Check(name="unique", kind="unique", columns=("i", "c")),
    Check(name="rule", kind="rule", rule="i is missing or f * 2 > i"),
)
CONTRACT = Contract(columns=COLUMNS, checks=CHECKS)
SCHEMA = {"i": pl.Int64, "f": pl.Float64, "c": pl.String, "s": pl.String}
ROWS = st.lists(
    st.tuples(
        st.none() | st.integers(-5, 7),
        st.none() | st.sampled_from([0.0, 0.5, 1.0, 2.5, 1e300]),
        st.none() | st.sampled_from(["a", "b", "c", ""]),
        st.none() | st.sampled_from(["x", "xy1", "xyxy", "", "x1x", "y9", "\n", "x\n"]),
    ),
    max_size=12,
)


class Theirs(dataframely.Schema):  # type: ignore[name-defined]
    """The same contract in dataframely."""

    i = dataframely.Int64(nullable=True, min=-3, max=5)
    f = dataframely.Float64(nullable=False, min=0.5)
    c = dataframely.String(nullable=True, check=lambda col: col.is_in(["a", "b"]))
    s = dataframely.String(nullable=True, regex="^[xy]+[0-9]?$", min_length=1, max_length=3)

    @dataframely.rule()
    def holds(cls) -> pl.Expr:  # noqa: N805 - their way
        return (pl.col("i").is_null() | (pl.col("f") * 2 > pl.col("i"))).fill_null(value=False)

    @dataframely.rule()
    def alone(cls) -> pl.Expr:  # noqa: N805 - their way
        whole = pl.col("i").is_not_null() & pl.col("c").is_not_null()
        return ~(pl.struct("i", "c").is_duplicated() & whole)


@pytest.mark.requirement("DATA-11")
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_the_same_rows_hold_as_in_dataframely(rows: list[tuple[object, ...]]) -> None:
    """Every kind of check of rows, on rows that are made to be at the edges."""
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    good = judge(frame, pl.int_range(frame.height, eager=True), CONTRACT).good
    kept, _ = Theirs.filter(frame)
    assert frame.filter(good).equals(pl.DataFrame(kept))


@pytest.mark.requirement("DATA-11")
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS)
def test_a_table_holds_as_a_whole_exactly_where_pandera_says_so(rows: list[tuple[object, ...]]) -> None:
    """Of an eager table: their check of lazy ones looks at the types only, unless it is told otherwise."""
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row")
    check, column = pandera.Check, pandera.Column
    theirs = pandera.DataFrameSchema(
        {
            "i": column(pl.Int64, check.in_range(-3, 5), nullable=True),
            "f": column(pl.Float64, check.ge(0.5)),
            "c": column(pl.String, check.isin(["a", "b"]), nullable=True),
            "s": column(pl.String, [check.str_matches("^[xy]+[0-9]?$"), check.str_length(1, 3)], nullable=True),
        }
    )
    without = Contract(columns=COLUMNS, checks=CHECKS[:2])
    ours = bool(judge(frame, pl.int_range(frame.height, eager=True), without).good.all())
    try:
        theirs.validate(frame)
        says = True
    except (pandera.errors.SchemaError, pandera.errors.SchemaErrors):
        says = False
    assert ours == says
