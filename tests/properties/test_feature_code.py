"""Feature code: the same value over tables and over single rows, and nothing but what the language has."""

import math
import struct

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.errors import InvalidInput
from holdfast.core.feature import FeatureCode, FeatureView
from holdfast.engines.as_of_views import as_of
from holdfast.engines.events import Events, compile_view, computed
from holdfast.engines.expressions import FUNCTIONS, Value, parse
from holdfast.engines.expressions_frames import MEANT, TYPES, compiled
from holdfast.engines.online import decode_record, encode_record, lookup_of, values_at
from holdfast.engines.records import records_of

COLUMNS = {"x": "float", "y": "float", "n": "int", "b": "bool", "s": "string", "t": "timestamp", "u": "timestamp"}
CODE = (
    "log1p(x)", "log(x)", "exp(x)", "sqrt(x)", "x / y", "x / 3", "1 / x", "n / 1000000.0", "x * y - 1", "floor(x)",
    "x < y", "x == y", "-x", "abs(x)", "where(x > y, x, 0.5)", "fill(y, 3)", "smaller(x, y)", "larger(x, n)", "n + n",
    "n", "n == 9223372036854775807", "not (x > 1 and y > 2) or is_missing(y)", "b and x > 0", "s == 'a'", "s != ''",
    "length(s)", "s", "t", "b", "x", "seconds_between(t, u)", "hour(t)", "minute(t)", "weekday(t)", "day(t)",
    "month(t)", "weekend(t)", "lunch_break(t)", "time_between(t, '22:00', '06:00')",
    "time_between(t, '09:00', '17:30')", "last_friday(t)", "payday_friday(t, 25)", "payday_friday(t, 31)",
)  # fmt: skip
FLOATS = st.none() | st.floats() | st.sampled_from([0.0, -0.0, -1.0, math.nan, math.inf, -math.inf, 5e-324, 1e308])
INTS = st.none() | st.integers(-(1 << 63), (1 << 63) - 1) | st.sampled_from([-(1 << 63), (1 << 63) - 1, 0])
TIMES = st.none() | st.integers(-(10**15), 4 * 10**15)
ROWS = st.fixed_dictionaries(
    {"x": FLOATS, "y": FLOATS, "n": INTS, "b": st.none() | st.booleans(), "s": st.none() | st.text(max_size=5),
     "t": TIMES, "u": TIMES}
)  # fmt: skip


def bits(value: Value) -> object:
    """A value that is equal only to itself, bit by bit; every NaN is one."""
    if isinstance(value, float):
        return "NaN" if math.isnan(value) else struct.pack("<d", value)
    return (type(value), value)


@pytest.mark.requirement("FEAT-03", by="holdfast.engines.expressions:Expression.evaluate")
@given(st.lists(ROWS, min_size=1, max_size=8), st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns"]))
@settings(max_examples=20, deadline=None)
def test_code_gives_one_row_what_it_gives_a_table(rows: list[dict[str, Value]], zone: str) -> None:
    """Bit for bit: NaN, both zeros, missing values, the limits of 64 bits, text, and clocks that are put back."""
    frame = pl.DataFrame(rows, schema={name: TYPES[sort] for name, sort in COLUMNS.items()})
    for code in CODE:
        expression = parse(code, COLUMNS)  # type: ignore[arg-type]
        table = frame.select(compiled(expression, zone).alias("v")).get_column("v").to_list()
        single = [expression.evaluate(row, zone) for row in rows]
        assert list(map(bits, single)) == list(map(bits, table)), code


def test_every_function_has_a_meaning_over_tables_and_is_compared() -> None:
    """A function of one side alone would be a difference that waits."""
    assert FUNCTIONS.keys() <= MEANT
    assert all(any(f"{name}(" in code for code in CODE) for name in FUNCTIONS)


@pytest.mark.requirement("FEAT-01", by="holdfast.engines.expressions:parse")
@pytest.mark.parametrize(
    "code",
    [
        "", "x +", "open('f')", "x.real", "__import__('os')", "[x for x in y]", "lambda: x", "x if b else y", "x ** 2",
        "x[0]", "z", "x + s", "hour(x)", "log1p(x, y)", "s < 'a'", "1 + 1", "x and y", "time_between(t, s, '10:00')",
        "time_between(t, '9', '10:00')", "payday_friday(t, 0)", "x < y < n", "f'{x}'", "(x := 1)",
        "x + earlier_events()",
        "fill(x, 'a')", "-" * 100 + "x", "x" + " + x" * 1200, "\x00", "True", "b'x' == s",
    ],
)  # fmt: skip
def test_what_is_no_code_of_the_language_is_refused(code: str) -> None:
    """Attributes, calls of anything else, loops, wrong types, mixed moments, and depth without end: one error each."""
    with pytest.raises(InvalidInput):
        parse(code, COLUMNS)  # type: ignore[arg-type]


VIEW = FeatureView(
    owner="Dana",
    description="clicks",
    source="clicks.csv",
    entity=("user",),
    event_time="at",
    created="seen",
    ttl="20s",
    zone="Europe/Berlin",
    columns={"user": "string", "at": "timestamp", "seen": "timestamp", "x": "float", "s": "string", "n": "int"},
    features={
        "x": FeatureCode(code="x", type="float"),
        "ratio": FeatureCode(code="x / n", type="float"),
        "s": FeatureCode(code="s", type="string"),
        "n": FeatureCode(code="n", type="int"),
        "views": FeatureCode(code="earlier_events()", type="int"),
        "since": FeatureCode(code="seconds_since_last_event()", type="float"),
        "hour": FeatureCode(code="hour(event_time)", type="int"),
    },
)
CLICKS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.integers(-2, 9), FLOATS, st.none() | st.text(), INTS),
    min_size=1, max_size=45,
)  # fmt: skip


@pytest.mark.requirement("FEAT-03")
@given(CLICKS, st.integers(0, 70))
@settings(max_examples=60, deadline=None)
def test_a_record_says_what_the_join_says_or_that_it_cannot_tell(
    clicks: list[tuple[str, int, int, float | None, str | None, int | None]], moment: int
) -> None:
    """At every moment, also before the newest event: the very value, or none; from the newest event on, always one."""
    compiled_view = compile_view("clicks", VIEW)
    rows = [(who, at * 10**6, (at + late) * 10**6, x, s, n) for who, at, late, x, s, n in clicks]
    typed = pl.DataFrame(rows, schema={k: TYPES[v] for k, v in VIEW.columns.items()}, orient="row")
    events = Events(compiled=compiled_view, rows=computed(compiled_view, typed))
    asks = pl.DataFrame({"user": ["a", "b", "c"], "t": [moment * 10**6] * 3}, schema={"user": pl.String, "t": pl.Int64})
    offline = as_of(events, asks, "t").rename(lambda name: name.partition(".")[2])
    records = {who: decode_record(encode_record(record), who) for who, record in records_of(events, 0)}
    lookup = lookup_of("clicks", VIEW, tuple(VIEW.features))
    newest = max(max(at, at + late) for _, at, late, *_ in clicks) < moment
    for who, expected in zip("abc", offline.iter_rows(named=True), strict=True):
        values, lacking = values_at(lookup, records.get(who), moment * 10**6)
        for name, value in values.items():
            told = lacking.get(name) != "before-record"
            assert not told or bits(value) == bits(expected[name]), name
            assert told or not newest
