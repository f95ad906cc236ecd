"""Context from bare click events: lunch break, payday Friday, how many views before, on the wall clock of the zone."""

from collections.abc import Mapping
from datetime import UTC, datetime

import polars as pl
import pytest

from holdfast.core.feature import FeatureCode, FeatureView
from holdfast.engines.as_of_views import as_of
from holdfast.engines.events import compile_view, read_events
from holdfast.engines.online import lookup_of, values_at
from holdfast.engines.records import records_of

CODE = {
    "lunch": ("lunch_break(event_time)", "bool"),
    "morning": ("time_between(event_time, '06:00', '11:30')", "bool"),
    "payday": ("payday_friday(event_time, 25)", "bool"),
    "last_friday": ("last_friday(event_time)", "bool"),
    "weekend": ("weekend(event_time)", "bool"),
    "weekday": ("weekday(event_time)", "int"),
    "views": ("earlier_events()", "int"),
    "since": ("seconds_since_last_event()", "float"),
}
CLICKS = """user,at
anna,2026-07-24T09:00:00+02:00
anna,2026-07-24T13:00:00+02:00
bert,2026-07-24T13:00:00+02:00
anna,2026-07-24T14:46:59+02:00
anna,2026-07-24T14:47:00+02:00
anna,2026-07-24T18:00:00+02:00
"""


def context(user: str, moment: str) -> Mapping[str, object]:
    """What a click says, offline and online: the same."""
    features = {name: FeatureCode(code=code, type=sort) for name, (code, sort) in CODE.items()}  # type: ignore[arg-type]
    view = FeatureView(
        owner="Dana",
        description="clicks",
        source="clicks.csv",
        entity=("user",),
        event_time="at",
        zone="Europe/Berlin",
        columns={"user": "string", "at": "timestamp"},
        features=features,
    )
    events = read_events(compile_view("clicks", view), CLICKS.encode())
    at = round((datetime.fromisoformat(moment) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)
    offline = as_of(events, pl.DataFrame({"user": [user], "t": [at]}), "t").row(0, named=True)
    online, _ = values_at(lookup_of("clicks", view, tuple(CODE)), dict(records_of(events, 0)).get(user), at)
    assert {f"clicks.{name}": value for name, value in online.items()} == offline
    return online


@pytest.mark.requirement("FEAT-08")
def test_a_click_at_14_47_is_in_the_lunch_break_on_payday_friday_after_three_views() -> None:
    """The 25th of July 2026 is a Saturday, so wages come on Friday the 24th; the click itself is not before itself."""
    assert context("anna", "2026-07-24T14:47:00+02:00") == {
        "lunch": True,
        "morning": False,
        "payday": True,
        "last_friday": False,
        "weekend": False,
        "weekday": 5,
        "views": 3,
        "since": 1.0,
    }


@pytest.mark.requirement("FEAT-08")
def test_the_clock_is_that_of_the_views_zone_whatever_the_event_is_written_in() -> None:
    """12:47 in UTC is 14:47 in Berlin in summer; half past midnight there is another weekday than in UTC."""
    assert context("anna", "2026-07-24T12:47:00+00:00") == context("anna", "2026-07-24T14:47:00+02:00")
    late = context("bert", "2026-07-24T22:30:00+00:00")
    assert (late["weekday"], late["weekend"], late["lunch"]) == (6, True, False)
    assert (late["views"], late["since"]) == (1, 41_400.0)


@pytest.mark.requirement("FEAT-08")
def test_who_was_never_seen_has_no_view_before() -> None:
    """None is a count; the time since the last one is missing."""
    found = context("carl", "2026-07-31T10:59:00+02:00")
    assert (found["views"], found["since"], found["last_friday"], found["payday"]) == (0, None, True, False)
