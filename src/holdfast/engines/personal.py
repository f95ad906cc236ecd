"""Personal data in columns: distinct values → pattern → checksum → share of the column.

Decides whether a column holds e-mail addresses, phone numbers, payment cards, IBANs, US social security numbers or IP
addresses, and masks them in what people read. Plain numbers, ids, timestamps, versions and hashes are none of these.
Names and addresses have no shape that a pattern could know: columns with those must be declared `personal`. Leaves to
`ingest` what happens to a column that was caught.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import polars as pl

from holdfast.engines.checksums import IBAN_SHAPE, is_card, is_iban, is_ip, is_nanp, is_phone, is_ssn


class Entity(StrEnum):
    """What a value may give away."""

    EMAIL = "email"
    IBAN = "iban"
    CARD = "card"
    SSN = "us-ssn"
    IP = "ip"
    PHONE = "phone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Detector:
    """A shape, a check on what has it, and how much of what has the shape must pass for the column to count.

    `share` tells telephone numbers from part numbers of the same shape: nearly all of a column of telephone numbers is
    valid, of a column of anything else only what chance makes so.
    """

    entity: Entity
    shape: re.Pattern[str]
    valid: Callable[[str], bool]
    share: float


_CARD_GROUPS: Final = r"[0-9](?:[ -]?[0-9]){12,18}"
_NANP: Final = r"(?:\+?1[-. ]?)?(?:\([0-9]{3}\) ?|[0-9]{3}[-. ])[0-9]{3}[-. ][0-9]{4}"
_INTERNATIONAL: Final = r"\+(?:[ ().\-/]{0,2}[0-9]){8,15}"
_GROUPS: Final = r"\(?[0-9]{2,6}\)?[ \-/.](?:[0-9][ \-/.]?){4,14}[0-9]"
_NAMED: Final = r"(?i:\b(?:tel|phone|mobile|call|fon|fax)\b)[^0-9+\n]{0,10}\+?[0-9]{7,15}"

DETECTORS: Final = (
    Detector(
        entity=Entity.EMAIL,
        shape=re.compile(r"(?<![\w.+-])[\w.%+-]{1,64}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}(?![\w-])"),
        valid=lambda _: True,
        share=0.0,
    ),
    Detector(
        entity=Entity.IBAN,
        shape=re.compile(rf"(?<![A-Za-z0-9])(?:{IBAN_SHAPE})(?![A-Za-z0-9])"),
        valid=is_iban,
        share=0.5,  # a wrong one passes by chance once in 97 times
    ),
    Detector(
        entity=Entity.CARD,
        shape=re.compile(rf"(?<![\w.-])(?<![0-9][ ]){_CARD_GROUPS}(?![\w-]|\.[0-9]|[ ][0-9])"),
        valid=is_card,
        share=0.5,  # a number of this length passes by chance once in fifty times
    ),
    Detector(
        entity=Entity.SSN,
        shape=re.compile(r"(?<![\w.-])[0-9]{3}-[0-9]{2}-[0-9]{4}(?![\w-])"),
        valid=is_ssn,
        share=0.95,  # of random digits in this shape 89 % are valid
    ),
    Detector(
        entity=Entity.IP,
        shape=re.compile(
            r"(?<![\w.:])(?:[0-9]{1,6}(?:\.[0-9]{1,6}){3}(?!\w|\.[0-9])|[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3,7}(?![\w:]))"
        ),
        valid=is_ip,
        share=0.9,  # versions of four numbers have this shape, and most have only small numbers
    ),
    Detector(
        entity=Entity.PHONE,
        shape=re.compile(rf"(?<![\w.+(-]){_NANP}(?![\w-])"),
        valid=is_nanp,
        share=0.9,  # of random digits in this shape 58 % are valid
    ),
    Detector(
        entity=Entity.PHONE,
        shape=re.compile(rf"(?<![\w.+(-])(?:{_INTERNATIONAL}|{_GROUPS})(?!\w)|{_NAMED}(?!\w)"),
        valid=is_phone,
        share=0.5,  # of random groups of digits about a quarter hold one that starts as national numbers do
    ),
)
"""Every detector, most certain first: what one has claimed, a later one does not see."""

_DATE: Final = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d)"
    r"(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[ ]?[+-]\d\d:?\d\d)?)?(?!\d)"
)
_WORTH_READING: Final = (  # for Polars' regex engine: everything a detector could claim has this, most values do not
    r"@|(?:[0-9][^0-9]{0,3}){7}|[0-9](?:\.[0-9]{1,6}|[0-9]){3,}|[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){3}|[A-Z]{2}[0-9]{2}"
)
_PLAIN: Final = (  # decimal numbers, short integers and whole timestamps, which no detector needs to look at
    r"^(?:[+-]?[0-9]*\.[0-9]*(?:[eE][+-]?[0-9]+)?|[+-]?[0-9]{1,12}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]+(?:Z|[+-][0-9:]{5})?)?)$"
)
_NAMES: Final = {
    Entity.PHONE: (frozenset({"phone", "telephone", "tel", "mobile", "fax", "msisdn"}), r"^\+?[0-9]{7,15}$"),
    Entity.SSN: (frozenset({"ssn"}), r"^[0-9]{9}$"),
}
"""Columns whose name says what bare digits in them are."""
_NAMED_SHARE: Final = 0.5  # of distinct values; a column called `mobile` that mostly holds counts is not one of numbers
_MAX_EXAMINED: Final = 4096  # characters of one value that `redact` looks at, far beyond what is shown afterwards


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One kind of personal data in one column: in how many distinct values, and in how many rows."""

    column: str
    entity: Entity
    values: int
    rows: int


def scan(frame: pl.DataFrame) -> tuple[Hit, ...]:
    """Return the personal data found in a table, by column, looking at every distinct value.

    Text and whole numbers are read; booleans, timestamps and fractions cannot hold any of the entities.
    """
    return tuple(hit for name in frame.columns for hit in _scan_column(frame.get_column(name)))


def redact(text: str) -> str:
    """Return a text for people to read, each personal value in it replaced by its kind.

    >>> redact("write to ada@example.org, +44 20 7946 0958")
    'write to [email], [phone]'
    """
    text = text[:_MAX_EXAMINED]
    claimed = sorted((match for match in _matches(text) if match.valid), key=lambda match: match.start)
    parts, end = [], 0
    for match in claimed:
        parts += [text[end : match.start], f"[{DETECTORS[match.detector].entity}]"]
        end = match.stop
    return "".join([*parts, text[end:]])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    """Something of a detector's shape in a text; `detector` is its place in `DETECTORS`."""

    detector: int
    start: int
    stop: int
    valid: bool


def _matches(text: str) -> Iterator[_Match]:
    """Yield what has the shape of an entity; what one detector found valid is blanked for those after it."""
    for number, detector in enumerate(DETECTORS):
        if detector.entity is Entity.PHONE:
            text = _DATE.sub(lambda date: "\0" * len(date[0]), text)
        for found in detector.shape.finditer(text):
            valid = detector.valid(found[0])
            yield _Match(detector=number, start=found.start(), stop=found.end(), valid=valid)
            if valid:
                text = text[: found.start()] + "\0" * len(found[0]) + text[found.end() :]


def _scan_column(column: pl.Series) -> Iterator[Hit]:
    texts = _as_text(column)
    if texts is None:
        return
    counted = pl.DataFrame({"text": texts.drop_nulls()}).group_by("text").len("rows")
    named = _by_name(column.name, counted)
    if named is not None:
        yield named
    text = pl.col("text")
    worth = counted.filter(text.str.contains(_WORTH_READING) & ~text.str.contains(_PLAIN))
    tallies = [_Tally() for _ in DETECTORS]
    for value, rows in worth.iter_rows():
        found: dict[int, bool] = {}
        for match in _matches(value):
            found[match.detector] = found.get(match.detector, False) or match.valid
        for detector, valid in found.items():
            tallies[detector].add(rows, valid=valid)
    sums: dict[Entity, tuple[int, int]] = {}
    for known, tally in zip(DETECTORS, tallies, strict=True):
        if tally.valid and tally.valid >= known.share * tally.shaped:
            values, rows = sums.get(known.entity, (0, 0))
            sums[known.entity] = (values + tally.valid, rows + tally.rows)
    for entity, (values, rows) in sums.items():
        yield Hit(column=column.name, entity=entity, values=values, rows=rows)


class _Tally:
    """What one detector saw of one column: values of its shape, valid ones, and the rows of those."""

    __slots__ = ("rows", "shaped", "valid")

    def __init__(self) -> None:
        self.shaped = self.valid = self.rows = 0

    def add(self, rows: int, *, valid: bool) -> None:
        """Count one distinct value that stands in so many rows."""
        self.shaped += 1
        if valid:
            self.valid += 1
            self.rows += rows


def _by_name(name: str, counted: pl.DataFrame) -> Hit | None:
    """Return what a column's name makes of its bare digits, if anything."""
    words = set(re.split(r"[^a-z]+", name.lower()))
    for entity, (names, pattern) in _NAMES.items():
        if names & words:
            bare = counted.filter(pl.col("text").str.contains(pattern))
            if bare.height and bare.height >= _NAMED_SHARE * counted.height:
                return Hit(column=name, entity=entity, values=bare.height, rows=int(bare["rows"].sum()))
    return None


def _as_text(column: pl.Series) -> pl.Series | None:
    """Return a column's values as text, or None where its type cannot hold personal data."""
    if column.dtype == pl.String:
        return column
    if column.dtype.is_integer():
        return column.cast(pl.String)
    if column.dtype.is_float():  # a card number read as a float is still a card number
        whole = (column == column.floor()) & (column.abs() < 2**63)
        return column.set(~whole.fill_null(value=False), None).cast(pl.Int64).cast(pl.String)
    return None
