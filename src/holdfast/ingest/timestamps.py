"""Timestamps: declared formats to moments in UTC; what fits none, or means two different moments, is not guessed.

Decides what a value means only where the declared formats leave one meaning. A format without a zone means the declared
one, UTC where none is: an hour that its clock shows twice has two meanings, one that it skips has none. A two-digit
year means nothing, so `%y` is no directive.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast.core.errors import InvalidProject

UTC: Final = pl.Datetime("us", "UTC")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DIRECTIVES: Final = {
    "Y": r"(?P<Y>[0-9]{4})",
    "m": r"(?P<m>0?[1-9]|1[0-2])",
    "b": rf"(?P<b>{'|'.join(_MONTHS)})",
    "d": r"(?P<d>0?[1-9]|[12][0-9]|3[01])",
    "H": r"(?P<H>[01]?[0-9]|2[0-3])",
    "I": r"(?P<I>0?[1-9]|1[0-2])",
    "p": r"(?P<p>AM|PM|am|pm)",
    "M": r"(?P<M>[0-5][0-9])",
    "S": r"(?P<S>[0-5][0-9])",
    "f": r"(?P<f>[0-9]{1,6})",
    "z": r"(?P<z>Z|[+-](?:0[0-9]|1[0-4]):?[0-5][0-9])",
    "s": r"(?P<s>[0-9]{1,11})",
    "%": "%",
}
"""What each directive matches: those of C's strftime that mean one thing everywhere, and `%s`, seconds since 1970."""

_DAY_US: Final = 86_400_000_000
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999  # years 1 to 9999, which every reader can hold


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Parsed timestamps, one per value: the moment in UTC or missing, and why it is missing where text was there."""

    values: pl.Series
    unreadable: pl.Series
    ambiguous: pl.Series


@dataclass(frozen=True, slots=True, kw_only=True)
class _Format:
    """A compiled format: a pattern for Polars' regex engine with a group for each directive."""

    pattern: str
    names: frozenset[str]


def parse(texts: pl.Series, formats: Sequence[str], *, place: str, zone: str = "") -> Moments:
    """Return what timestamps mean under all declared formats together.

    Args:
        texts: Trimmed text, missing where there is none.
        formats: Declared formats; see `DIRECTIVES`.
        place: The column, for the error about a format.
        zone: The zone that formats without one mean, such as Europe/Berlin; UTC if left out.

    Raises:
        InvalidProject: No formats are declared, one cannot mean a moment, or nobody knows the zone.
    """
    if not formats:
        raise InvalidProject("a timestamp column, but no formats", place=place, expected="[data].timestamp_formats")
    compiled = [_compile(text) for text in formats]
    readings = np.stack([each for known in compiled for each in _meant(_read(texts, known), known, zone)])
    # Shape (readings, n); NaT where a format does not fit, or where its clock never showed that time.
    fits = ~np.isnat(readings)
    numbers = readings.astype(np.int64)
    low = np.where(fits, numbers, np.iinfo(np.int64).max).min(axis=0)
    high = np.where(fits, numbers, np.iinfo(np.int64).min).max(axis=0)
    present, any_fits = texts.is_not_null().to_numpy(), fits.any(axis=0)
    same = any_fits & (low == high)
    values = pl.Series(texts.name, np.where(same, low, 0), dtype=pl.Int64).set(pl.Series(~same), None)
    return Moments(
        values=values.cast(UTC),
        unreadable=pl.Series(present & ~any_fits),
        ambiguous=pl.Series(any_fits & (low != high)),
    )


def _compile(text: str) -> _Format:
    place = f"[data].timestamp_formats, {text!r}"
    parts, names = [], list[str]()
    for literal, directive in re.findall(r"([^%]+)|%(.?)", text, flags=re.DOTALL):
        if literal:
            parts.append(re.escape(literal))
            continue
        if directive not in DIRECTIVES:
            known = " ".join(f"%{name}" for name in DIRECTIVES)
            raise InvalidProject(f"%{directive} is no directive of a timestamp format", place=place, expected=known)
        parts.append(DIRECTIVES[directive])
        names += [directive] if directive != "%" else []
    found = frozenset(names)
    if len(found) != len(names):
        raise InvalidProject("a directive appears twice", place=place)
    date = {"Y", "d"} <= found and len(found & {"m", "b"}) == 1
    hours = "H" in found or {"I", "p"} <= found
    clock = len(found & {"H", "I"}) <= 1 and ("p" in found) == ("I" in found) and (hours or not found & {"M", "S", "f"})
    if found != {"s"} and not (date and clock and ("S" in found or "f" not in found) and "s" not in found):
        raise InvalidProject(
            "this format does not say which moment it means",
            place=place,
            expected="%s alone, or %Y, %d and one of %m and %b, then hours (%H, or %I and %p) where there are minutes",
        )
    return _Format(pattern=f"^(?:{''.join(parts)})$", names=found)


def _read(texts: pl.Series, wanted: _Format) -> NDArray[np.datetime64]:
    """Return what each text means in one format, shape (n,), datetime64[us]; NaT where it does not fit."""
    groups = texts.to_frame("text").select(pl.col("text").str.extract_groups(wanted.pattern)).unnest("text")
    fits = groups.get_column(min(wanted.names)).is_not_null().to_numpy().copy()
    part = {name: _numbers(groups.get_column(name), name) for name in wanted.names}
    zero = np.zeros(len(fits), dtype=np.int64)
    if "s" in part:
        microseconds = part["s"] * 1_000_000
    else:
        year, month, day = part["Y"], part.get("m", part.get("b", zero)), part["d"]
        first = ((year - 1970) * 12 + month - 1).astype("datetime64[M]")
        in_month = ((first + 1).astype("datetime64[D]") - first.astype("datetime64[D]")).astype(np.int64)
        fits &= (year >= 1) & (day <= in_month)
        days = first.astype("datetime64[D]").astype(np.int64) + day - 1
        hour = part["H"] if "H" in part else part.get("I", zero) % 12 + part.get("p", zero)
        seconds = (hour * 60 + part.get("M", zero) - part.get("z", zero)) * 60 + part.get("S", zero)
        microseconds = days * _DAY_US + seconds * 1_000_000 + part.get("f", zero)
    fits &= (microseconds >= _FIRST) & (microseconds <= _LAST)
    result = microseconds.astype("datetime64[us]")
    result[~fits] = np.datetime64("NaT")
    return result


def _meant(local: NDArray[np.datetime64], known: _Format, zone: str) -> list[NDArray[np.datetime64]]:
    """Return what clock times mean in UTC: of an hour that the clock shows twice, both; of one that it skips, none."""
    if not zone or known.names & {"s", "z"}:
        return [local]
    naive = pl.Series(local)
    try:
        both = [
            naive.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null"),
            naive.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null"),
        ]
    except pl.exceptions.PolarsError as error:
        words = f"nobody knows the time zone {zone[:60]!r}"
        raise InvalidProject(words, place="[data].timestamp_zone", expected="a name such as Europe/Berlin") from error
    return [each.dt.convert_time_zone("UTC").dt.replace_time_zone(None).to_numpy() for each in both]


def _numbers(group: pl.Series, directive: str) -> NDArray[np.int64]:
    """Return one directive's values as integers: months 1–12, `p` as hours to add, `f` in µs, `z` in minutes east."""
    match directive:
        case "b":
            group = group.replace_strict(dict(zip(_MONTHS, range(1, 13), strict=True)), default=None)
        case "p":
            group = group.str.to_lowercase().replace_strict({"am": 0, "pm": 12}, default=None)
        case "f":
            group = group.str.pad_end(6, "0")
        case "z":
            digits = group.str.replace_all(r"[^0-9]", "").str.zfill(4)
            minutes = digits.str.slice(0, 2).cast(pl.Int64) * 60 + digits.str.slice(2, 2).cast(pl.Int64)
            group = minutes * group.str.starts_with("-").cast(pl.Int64).replace_strict({0: 1, 1: -1}, default=None)
    return group.cast(pl.Int64).fill_null(0).to_numpy().copy()
