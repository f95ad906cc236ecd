"""Three formats to one: moments in UTC; what fits none, or two with different meanings, is not guessed."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from tests.unit.ingest.world import COLUMNS, csv, project, run

from holdfast.core.errors import InvalidProject
from holdfast.ingest.timestamps import DIRECTIVES, parse

LEGACY = ("%Y-%m-%dT%H:%M:%S%z", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M")


def moments(texts: list[str | None], *formats: str) -> list[datetime | None]:
    """What texts mean."""
    return parse(pl.Series("t", texts, dtype=pl.String), formats, place="t").values.to_list()


def at(*parts: int) -> datetime:
    """A moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.requirement("DATA-06", by="holdfast.ingest.timestamps:parse")
def test_three_legacy_formats_become_one_and_doubtful_values_are_set_aside(tmp_path: Path) -> None:
    """Each format is read as UTC; a value of two meanings or of none stands in the quarantine as it was."""
    columns = COLUMNS + 't = { type = "timestamp", use = "time" }\n'
    formats = ", ".join(f'"{text}"' for text in LEGACY)
    values = (
        "2024-03-15T10:30:00+01:00",
        "15/03/2024 09:30",
        "03/15/2024 09:30",
        "03/04/2024 09:30",
        "31/02/2024 09:30",
        "yesterday",
        "04/04/2024 09:30",
    )
    lines = [f"{number},1,yes,{value}" for number, value in enumerate(values)]
    declared = project(columns, data=f"timestamp_formats = [{formats}]")
    done = run(tmp_path, csv("id,x,label,t", *lines), declared)
    assert done.rows["t"].dtype == pl.Datetime("us", "UTC")
    assert done.rows["t"].to_list() == [at(2024, 3, 15, 9, 30)] * 3 + [at(2024, 4, 4, 9, 30)]
    assert done.codes == {4: ["timestamp-ambiguous"], 5: ["timestamp-unreadable"], 6: ["timestamp-unreadable"]}
    assert done.aside[4].reasons[0].found == "03/04/2024 09:30"
    assert done.measures("ingest.contract/1")["timestamps_normalised"] == 4


@pytest.mark.parametrize(
    ("text", "form", "expected"),
    [
        ("2024-02-29", "%Y-%m-%d", at(2024, 2, 29)),
        ("2023-02-29", "%Y-%m-%d", None),
        ("1900-02-29", "%Y-%m-%d", None),
        ("2000-02-29", "%Y-%m-%d", at(2000, 2, 29)),
        ("2024-04-31", "%Y-%m-%d", None),
        ("24-02-03", "%Y-%m-%d", None),
        ("20240203", "%Y%m%d", at(2024, 2, 3)),
        ("1/2/2024 7:05", "%d/%m/%Y %H:%M", at(2024, 2, 1, 7, 5)),
        ("01/02/2024 24:00", "%d/%m/%Y %H:%M", None),
        ("01/02/2024 10:60", "%d/%m/%Y %H:%M", None),
        ("Mar 5, 2024 12:07 AM", "%b %d, %Y %I:%M %p", at(2024, 3, 5, 0, 7)),
        ("Mar 5, 2024 12:07 pm", "%b %d, %Y %I:%M %p", at(2024, 3, 5, 12, 7)),
        ("Mar 5, 2024 01:07 PM", "%b %d, %Y %I:%M %p", at(2024, 3, 5, 13, 7)),
        ("2024-01-01T00:30:00+01:30", "%Y-%m-%dT%H:%M:%S%z", at(2023, 12, 31, 23, 0)),
        ("2024-01-01T00:30:00-0530", "%Y-%m-%dT%H:%M:%S%z", at(2024, 1, 1, 6, 0)),
        ("2024-01-01T00:30:00Z", "%Y-%m-%dT%H:%M:%S%z", at(2024, 1, 1, 0, 30)),
        ("2024-01-01T00:30:00", "%Y-%m-%dT%H:%M:%S%z", None),
        ("2024-01-01 00:30:00.25", "%Y-%m-%d %H:%M:%S.%f", at(2024, 1, 1, 0, 30, 0, 250_000)),
        ("2024-01-01 00:30:00.000001", "%Y-%m-%d %H:%M:%S.%f", at(2024, 1, 1, 0, 30, 0, 1)),
        ("1709287200", "%s", at(2024, 3, 1, 10)),
        ("1709287200.5", "%s", None),
        ("99999999999", "%s", at(5138, 11, 16, 9, 46, 39)),
        ("0000-01-01", "%Y-%m-%d", None),
        ("0001-01-01T00:00:00+02:00", "%Y-%m-%dT%H:%M:%S%z", None),
        ("9999-12-31T23:59:59-02:00", "%Y-%m-%dT%H:%M:%S%z", None),
        ("2024-03-01\n", "%Y-%m-%d", None),
        ("٢٠٢٤-03-01", "%Y-%m-%d", None),
        ("100% 2024-03-01", "100%% %Y-%m-%d", at(2024, 3, 1)),
        ("2024.03.01", "%Y.%m.%d", at(2024, 3, 1)),
        ("2024x03x01", "%Y.%m.%d", None),
    ],
)
def test_a_value_means_what_its_format_says_or_nothing(text: str, form: str, expected: datetime | None) -> None:
    """Calendar, clock and zone are exact: no day that does not exist, no year of two digits, no leap over limits."""
    assert moments([text], form) == [expected]


def test_two_formats_that_mean_the_same_moment_leave_no_doubt() -> None:
    """A value that several formats read alike is not ambiguous."""
    assert moments(["05/05/2024", "05/06/2024", None], "%d/%m/%Y", "%m/%d/%Y") == [at(2024, 5, 5), None, None]


def test_seconds_since_1970_and_a_compact_date_are_told_apart_or_not_at_all() -> None:
    """Eight digits could be either; ten cannot be a date."""
    found = parse(pl.Series("t", ["20240203", "1709287200"]), ("%Y%m%d", "%s"), place="t")
    assert found.values.to_list() == [None, at(2024, 3, 1, 10)]
    assert found.ambiguous.to_list() == [True, False]


MEANINGLESS = (
    "",
    "%H:%M",
    "%Y-%m",
    "%Y-%Y-%m-%d",
    "%Y-%m-%b-%d",
    "%Y-%m-%d %",
    "%Y-%m-%d %H:%M %p",
    "%Y-%m-%d %I:%M",
    "%Y-%m-%d %M",
    "%Y-%m-%d %Q",
    "%Y-%m-%d %f",
    "%d/%m",
    "%s %Y",
    "%y-%m-%d",
)


@pytest.mark.parametrize("form", MEANINGLESS)
def test_a_format_that_cannot_mean_a_moment_is_refused(form: str) -> None:
    """A declaration that leaves a guess to us is a mistake of the project, named with the format."""
    with pytest.raises(InvalidProject) as refusal:
        moments(["2024-01-01"], form)
    assert refusal.value.place


def test_every_directive_is_read_by_some_test() -> None:
    """The list of directives is a promise; each stands in a format above."""
    text = Path(__file__).read_text(encoding="utf-8")
    assert all(f"%{name}" in text for name in DIRECTIVES)


@pytest.mark.requirement("DATA-06")
def test_a_clock_that_is_put_back_or_forward_has_hours_that_mean_two_moments_or_none() -> None:
    """In its own zone; a format that says its zone is not concerned."""
    texts = pl.Series("t", ["2024-03-31 02:30", "2024-10-27 02:30", "2024-07-01 12:00", "2024-10-27 02:30+0100"])
    found = parse(texts, ["%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M%z"], place="t", zone="Europe/Berlin")
    assert found.unreadable.to_list() == [True, False, False, False]
    assert found.ambiguous.to_list() == [False, True, False, False]
    assert [str(each) for each in found.values[2:]] == ["2024-07-01 10:00:00+00:00", "2024-10-27 01:30:00+00:00"]
    with pytest.raises(InvalidProject, match="nobody knows the time zone"):
        parse(texts, ["%Y-%m-%d %H:%M"], place="t", zone="Mars/Base")
