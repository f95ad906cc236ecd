"""Rules about rows: what the language says, what it refuses, and what missing values make of it."""

from datetime import UTC, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import InvalidInput
from holdfast.core.row_rules import MAX_RULE, Sort, parse_rule
from holdfast.ingest.rules import compiled

SORTS: dict[str, Sort] = {"a": "number", "b": "number", "t": "text", "ok": "truth", "at": "moment", "to": "moment"}
NOON, ONE = datetime(2024, 3, 1, 12, tzinfo=UTC), datetime(2024, 3, 1, 13, 30, tzinfo=UTC)
ROW: dict[str, Any] = {"a": 2.0, "b": 0.0, "t": "It's", "ok": True, "at": NOON, "to": ONE}


def value(rule: str, **row: Any) -> bool | None:
    """What a rule says of one row."""
    frame = pl.DataFrame({name: [each] for name, each in (ROW | row).items()}, schema_overrides={"a": pl.Float64})
    found = frame.select(compiled(parse_rule(rule, SORTS)).alias("x")).item()
    return None if found is None else bool(found)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("a == 2", True),
        ("a * 3 - 1 >= 5 and not a > 2", True),
        ("a + 2 * 3 == 8", True),
        ("(a + 2) * 3 == 12", True),
        ("-a < -1.5e0", True),
        ("t == 'It''s'", True),
        ("length(t) == 4 and lower(t) == 'it''s'", True),
        ("t in ['x', 'It''s']", True),
        ("t not in ['x']", True),
        ("ok", True),
        ("ok == false", False),
        ("a > 100 => b > 100", True),
        ("a > 1 => b > 100", False),
        ("hours(at, to) == 1.5", True),
        ("at < to", True),
        ("abs(-a) == 2", True),
        ("`a` is not missing", True),
        ("a / b > 1", None),  # no number, and therefore unknown: the engine has an order for infinity
        ("b / b == b / b", None),
    ],
)
def test_a_rule_means_what_it_says(rule: str, expected: bool | None) -> None:
    """Precedence as in arithmetic; what is no number is unknown."""
    assert value(rule) is expected


def test_a_comparison_with_a_missing_value_is_unknown_unless_the_rule_speaks_of_it() -> None:
    """Unknown is not yes: who lets missing values through says so."""
    assert value("a > 1", a=None) is None
    assert value("a is missing or a > 1", a=None) is True


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("", "ends too early"),
        ("a", "gives a number"),
        ("a >", "ends too early"),
        ("a = 1", "character"),
        ("c > 1", "no column 'c'"),
        ("a > t", "number is compared with a text"),
        ("a + t > 1", "a text stands where a number should"),
        ("ok > ok", "no order"),
        ("t in [1]", "no text"),
        ("open('x') == 1", "cannot be called"),
        ("__import__('os')", "cannot be called"),
        ("a > 1; drop table x", "character"),
        ("a > 1 b", "belongs to nothing"),
        ("and", "stands where a value should"),
        ("(" * 100 + "a" + ")" * 100 + " > 1", "levels"),
        ("not " * 100 + "ok", "levels"),
        ("ok => " * 100 + "ok", "levels"),
        ("-" * 100 + "a > 1", "levels"),
        ("a > 1 or " * MAX_RULE, "characters"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_place(rule: str, words: str) -> None:
    """Nothing can be called but four functions, and no text exhausts the stack."""
    with pytest.raises(InvalidInput, match=words):
        parse_rule(rule, SORTS)


@given(st.text(max_size=60) | st.text("ab t'()[],<>=!+-*/ 1.`notrandis", max_size=60))
def test_any_text_is_a_rule_or_refused(text: str) -> None:
    """No other exception, whatever it is; and what is a rule can be evaluated."""
    try:
        rule = parse_rule(text, SORTS)
    except InvalidInput:
        return
    pl.DataFrame({name: [each] for name, each in ROW.items()}).select(compiled(rule).alias("x"))
