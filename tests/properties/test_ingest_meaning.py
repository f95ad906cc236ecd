"""What a text means: moments and numbers as Python itself reads them, and masks that leave nothing to find."""

from datetime import UTC, datetime, timedelta, timezone

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.core.project import Data
from holdfast.core.schema import Column, ColumnType
from holdfast.engines.personal import redact, scan
from holdfast.ingest.cleaning import clean
from holdfast.ingest.timestamps import parse

FORMATS = st.sampled_from(
    [
        "%Y-%m-%dT%H:%M:%S%z",
        "%d/%m/%Y %H:%M:%S %z",
        "%b %d, %Y %I:%M:%S %p %z",
        "%Y%m%d%H%M%S%z",
        "%Y-%m-%d %H:%M:%S.%f%z",
    ]
)
zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
moments = st.datetimes(min_value=datetime(1000, 1, 2), max_value=datetime(9999, 12, 30), timezones=zones)  # noqa: DTZ001


@given(moments, FORMATS)
def test_what_a_format_writes_it_reads(moment: datetime, form: str) -> None:
    """Any moment in any zone, to the second or finer, comes back in UTC."""
    wanted = moment if "%f" in form else moment.replace(microsecond=0)
    found = parse(pl.Series("t", [moment.strftime(form)]), (form,), place="t")
    assert found.values.to_list() == [wanted.astimezone(UTC)]


@given(st.from_regex(r"[0-9]{1,2}/[0-9]{1,2}/[0-9]{4}", fullmatch=True))
def test_a_date_is_read_as_pythons_calendar_reads_it_and_doubt_is_doubt(text: str) -> None:
    """Day/month and month/day together: one meaning is taken, two are not, and none is none."""
    readings = set()
    for form in ("%d/%m/%Y", "%m/%d/%Y"):
        try:
            readings.add(datetime.strptime(text, form).replace(tzinfo=UTC))
        except ValueError:
            continue
    found = parse(pl.Series("t", [text]), ("%d/%m/%Y", "%m/%d/%Y"), place="t")
    assert found.values.to_list() == (list(readings) if len(readings) == 1 else [None])
    assert found.unreadable.to_list() == [len(readings) == 0]
    assert found.ambiguous.to_list() == [len(readings) == 2]


DATA = Data(source="s", format="csv", origin="o", licence="l", columns={})


@given(st.one_of(st.floats().map(repr), st.integers().map(str), st.text("0123456789.eE+-_ nif", max_size=12)))
def test_a_number_is_what_python_calls_one_within_64_bits_and_plain_ascii(text: str) -> None:
    """No number that Python reads differently, and none that it does not read at all."""
    found = clean(pl.Series("x", [text]), Column(type=ColumnType.FLOAT), DATA)
    if found.values[0] is not None:
        assert found.values[0] == float(text)
    elif found.texts[0] is not None:
        assert "_" in text or not _is_finite(text)


def _is_finite(text: str) -> bool:
    try:
        return abs(float(text)) != float("inf") and float(text) == float(text)
    except ValueError:
        return False


@given(st.integers(-(2**70), 2**70))
def test_an_integer_is_exact_or_no_integer(number: int) -> None:
    """Beyond 64 bits it is set aside, never rounded."""
    found = clean(pl.Series("x", [str(number)]), Column(type=ColumnType.INTEGER), DATA)
    assert found.values[0] == (number if -(2**63) <= number < 2**63 else None)


PERSONAL = st.sampled_from(
    [
        "ada@example.org",
        "4111 1111 1111 1111",
        "GB29NWBK60161331926819",
        "203.0.113.77",
        "123-45-6789",
        "+1 202-555-0143",
    ]
)
around = st.text(
    st.characters(codec="ascii", exclude_categories=["N", "Cc"], exclude_characters="+-.@_%/()"), max_size=10
)


@settings(max_examples=150)
@given(st.lists(st.tuples(around, PERSONAL), min_size=1, max_size=4))
def test_a_masked_text_holds_nothing_that_a_search_finds(parts: list[tuple[str, str]]) -> None:
    """Whatever stands around the values: what people read is clean, and masking it again changes nothing."""
    text = "".join(f"{before} {value} " for before, value in parts)
    masked = redact(text)
    assert scan(pl.DataFrame({"text": [masked]})) == ()
    assert redact(masked) == masked
    assert not any(value in masked for _, value in parts)
