"""Point-in-time joins: the same as looking at every pair of an asking row and an event."""

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.feature import FeatureCode, FeatureView
from holdfast.engines.as_of_views import as_of
from holdfast.engines.asof import find
from holdfast.engines.events import CREATED, EVENT, Events, compile_view, computed

SECOND = 1_000_000
TIMES = st.integers(0, 12)
EVENTS = st.lists(st.tuples(st.sampled_from("abc"), TIMES, st.integers(-3, 6), st.integers(0, 99)), max_size=25)
ASKS = st.lists(st.tuples(st.sampled_from(["a", "b", "d", None]), st.none() | TIMES), max_size=12)


def view(ttl: str = "") -> FeatureView:
    """A view over clicks of users, known when they arrived."""
    return FeatureView(
        owner="Dana",
        description="clicks",
        source="clicks.csv",
        entity=("user",),
        event_time="at",
        created="arrived",
        ttl=ttl,
        columns={"user": "string", "at": "timestamp", "arrived": "timestamp", "value": "int"},
        features={
            "value": FeatureCode(code="value", type="int"),
            "views": FeatureCode(code="earlier_events()", type="int"),
            "since": FeatureCode(code="seconds_since_last_event()", type="float"),
        },
    )


def oracle(
    events: list[tuple[str, int, int, int]], user: str | None, moment: int | None, ttl: int
) -> tuple[int | None, int | None, float | None]:
    """What is known of one user at one moment, by looking at every event."""
    if user is None or moment is None:
        return None, None, None
    mine = [(at, at + late, row, value) for row, (who, at, late, value) in enumerate(events) if who == user]
    known = [each for each in mine if each[0] <= moment and each[1] <= moment]
    newest = max(known, default=None)
    value = newest[3] if newest is not None and not (ttl and moment - newest[0] > ttl) else None
    before = [each for each in known if each[0] < moment]
    return value, len(before), float(moment - max(before)[0]) if before else None


@pytest.mark.requirement("FEAT-02")
@given(EVENTS, ASKS, st.sampled_from([0, 3]))
@settings(max_examples=300, deadline=None)
def test_what_was_known_then_is_what_every_pair_says(
    events: list[tuple[str, int, int, int]], asks: list[tuple[str | None, int | None]], ttl: int
) -> None:
    """Event time and knowledge time, ties, expiry and counts before; rows in are rows out, in order."""
    compiled = compile_view("clicks", view(f"{ttl}s" if ttl else ""))
    columns = {"user": pl.String, "at": pl.Int64, "arrived": pl.Int64, "value": pl.Int64}
    rows = [(who, at * SECOND, (at + late) * SECOND, value) for who, at, late, value in events]
    typed = pl.DataFrame(rows, schema=columns, orient="row")
    asked = pl.DataFrame(
        [(who, None if at is None else at * SECOND) for who, at in asks],
        schema={"user": pl.String, "t": pl.Int64},
        orient="row",
    )
    found = as_of(Events(compiled=compiled, rows=computed(compiled, typed)), asked, "t")
    assert found.rows() == [oracle(events, who, at, ttl) for who, at in asks]


FAR = st.builds(lambda base, more: base + more, st.sampled_from([-(2**61), -1, 0, 2**40, 2**61]), st.integers(0, 3))
NUMBERS = st.sampled_from([-5, 0, 2**31 - 7, 2**40])  # of which some stand for themselves, and some are too far apart
MOMENTS = st.lists(st.tuples(NUMBERS, FAR, FAR), min_size=1, max_size=25)


@pytest.mark.requirement("FEAT-02")
@given(MOMENTS, st.lists(st.tuples(st.none() | NUMBERS | st.just(3), st.none() | FAR), max_size=12), st.booleans())
@settings(max_examples=300, deadline=None)
@pytest.mark.parametrize("keys", [("user",), ("user", "shop")])
def test_times_and_entities_far_apart_are_told_from_each_other(
    keys: tuple[str, ...], events: list[tuple[int, int, int]], asks: list[tuple[int | None, int | None]], strictly: bool
) -> None:
    """Entity and time make one number of 64 bits: what is cut off of a time still decides, to the microsecond."""
    rows = pl.DataFrame(events, schema={"user": pl.Int64, EVENT: pl.Int64, CREATED: pl.Int64}, orient="row")
    asked = pl.DataFrame(asks, schema={"user": pl.Int64, "t": pl.Int64}, orient="row")
    shop = pl.when(pl.col("user") > 0).then(pl.lit("b")).otherwise(pl.lit("a")).alias("shop")
    found = find(rows.with_columns(shop), asked.with_columns(shop), keys, "t", strictly_before=strictly)
    for (user, moment), position, count in zip(asks, found.position.tolist(), found.count.tolist(), strict=True):
        mine = [(at, known, row) for row, (who, at, known) in enumerate(events) if who == user]
        known = [each for each in mine if moment is not None and max(each[0] + strictly, each[1]) <= moment]
        assert count == len(known)
        assert position == max(known, default=(0, 0, -1))[2]
