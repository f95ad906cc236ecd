"""Profiles of unknown tables: what each column seems to hold, and a draft of what could be declared of it.

Decides nothing for good: a draft's columns are held out of training until a person has said what they hold. What looks
personal is drafted as such, and shown values are masked.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import polars as pl

from holdfast.core.ports import Recogniser
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.engines.personal import Hit, redact, scan
from holdfast.engines.personal.context import words_of
from holdfast.ingest import timestamps
from holdfast.ingest.cleaning import INTEGER, NUMBER

NULL_LIKE: Final = ("NULL", "null", "Null", "N/A", "n/a", "NA", "None", "none", "nan", "NaN", "-", "?", "#N/A", "")
FORMATS: Final = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d-%m-%Y",
    "%b %d, %Y",
    "%d %b %Y",
    "%Y%m%d",
)
"""Formats that are tried; `%s` is not, because any whole number would be one."""
SENTINELS: Final = (-1.0, -9.0, -99.0, -999.0, -9999.0, 99.0, 999.0, 9999.0, 99999.0, 999999.0)
MOSTLY: Final = 0.98  # share of the values that must be of a type for the column to be called of it
MAX_CATEGORIES: Final = 50  # distinct values of a category, and
CATEGORY_SHARE: Final = 0.2  # their share of the rows at most
REPEATED: Final = 3  # rows in which each value of a category stands that is listed in a draft
MAX_CODE: Final = 40  # characters of such a value; a longer one is a sentence
FREE_WORDS: Final = 4  # blanks between words, from which on it is one, too
_FULL_NAME: Final = r"^\p{Lu}[\p{Ll}'’-]+(?:,? (?:\p{Lu}\.|\p{Lu}[\p{Ll}'’-]+|von|van|de|di|da|el|al|bin)){1,3}$"
_PEOPLE: Final = (  # and what is written about them, as columns are called
    "name names surname forename firstname lastname fullname givenname familyname vorname nachname nom prenom nombre "
    "apellido cognome naam person customer client patient employee contact owner author user username driver agent "
    "manager seller doctor physician teacher address street adresse strasse note notes comment comments remark "
    "remarks description message text"
)
_NAMING: Final = frozenset(_PEOPLE.split())
SENTINEL_SHARE: Final = 0.002  # of the rows, from which a value outside all others is called a sentinel
KEY_COLUMNS: Final = 12  # columns that are tried in pairs as keys: all pairs of a wide table would take for ever
SHOWN: Final = 3  # shapes and values that are shown of one column
QUANTILES: Final = (0.01, 0.25, 0.5, 0.75, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiled:
    """What one column seems to hold."""

    name: str
    type: ColumnType
    rows: int
    missing: int
    null_like: Mapping[str, int]  # literals that may mean missing, and how often
    distinct: int
    misfits: int  # values that are not of the type
    formats: tuple[str, ...] = ()  # that all timestamps fit; two mean that somebody must say which
    low: str = ""
    high: str = ""
    quantiles: tuple[float, ...] = ()
    sentinels: tuple[float, ...] = ()
    shapes: tuple[tuple[str, int], ...] = ()
    values: tuple[str, ...] = ()  # all of a category's, where they may be listed
    unlisted: str = ""  # why they are not
    personal: tuple[str, ...] = ()
    key: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What a table seems to hold: its columns, and pairs of columns that tell rows apart where no column does."""

    rows: int
    columns: tuple[Profiled, ...]
    pairs: tuple[tuple[str, str], ...]

    @property
    def formats(self) -> tuple[str, ...]:
        """Every format that a column of timestamps has."""
        return tuple(dict.fromkeys(known for column in self.columns for known in column.formats))

    @property
    def null_literals(self) -> tuple[str, ...]:
        """Every literal that seems to mean missing."""
        found = dict.fromkeys(literal for column in self.columns for literal in column.null_like)
        return (*found, "") if "" not in found else tuple(found)

    def draft(self) -> dict[str, Column]:
        """Return a declaration for each column, held out until somebody describes it."""
        return {each.name: _draft(each) for each in self.columns}


def profile(table: pl.DataFrame, recogniser: Recogniser | None = None) -> Profile:
    """Return what a table of texts seems to hold.

    Args:
        table: The rows.
        recogniser: What looks through texts for what no pattern knows, where one is declared.

    Raises:
        Unavailable: The recogniser failed.
    """
    table = table.rename({name: name.strip() or f"column-{number}" for number, name in enumerate(table.columns, 1)})
    hits = scan(table, recogniser)
    columns = tuple(_profiled(table.get_column(name), hits) for name in table.columns)
    keys = any(column.key for column in columns)
    return Profile(rows=table.height, columns=columns, pairs=() if keys else tuple(_pairs(table, columns)))


def _profiled(raw: pl.Series, hits: tuple[Hit, ...]) -> Profiled:
    texts = raw.str.strip_chars()
    counts = texts.drop_nulls().value_counts(name="rows")
    name = raw.name
    literal = counts.filter(pl.col(name).is_in(list(NULL_LIKE)))
    null_like = {str(value): int(rows) for value, rows in literal.sort(name).iter_rows() if value != ""}
    values = counts.filter(~pl.col(name).is_in(list(NULL_LIKE)))
    kind, formats, misfits = _kind(values, raw.len())
    distinct = values.height
    present = int(values.get_column("rows").sum())
    low, high, quantiles, sentinels = _range(texts, kind)
    personal = tuple(dict.fromkeys(str(hit.entity) for hit in hits if hit.column == name))
    unlisted = _unlisted(name, values, personal) if kind is ColumnType.CATEGORY else ""
    listed = kind is ColumnType.CATEGORY and not unlisted
    return Profiled(
        name=name,
        type=kind,
        rows=raw.len(),
        missing=raw.len() - present,
        null_like=null_like,
        distinct=distinct,
        misfits=misfits,
        formats=formats,
        low=low,
        high=high,
        quantiles=quantiles,
        sentinels=sentinels,
        shapes=_shapes(values, name),
        values=tuple(sorted(values.get_column(name).to_list())) if listed else (),
        unlisted=unlisted,
        personal=personal,
        key=distinct == raw.len() and raw.len() > 0,
    )


def _unlisted(name: str, values: pl.DataFrame, personal: tuple[str, ...]) -> str:
    """Return why the values of a category may not stand in a declaration; empty where they may.

    A declaration is shown, kept and copied: it lists codes that rows repeat, never what may name or describe a person.
    """
    texts = values.get_column(name)
    if personal:
        return "they are personal"
    if not _NAMING.isdisjoint(words_of(name)):
        return "the column's name says that they name people"
    if (texts.str.contains(_FULL_NAME).sum() * 2 > texts.len()) and texts.len() > 1:
        return "most look like people's names"
    if (texts.str.len_chars() > MAX_CODE).any() or (texts.str.count_matches(r"\s+") >= FREE_WORDS).any():
        return "they are free text"
    if (values.get_column("rows") < REPEATED).any():
        return f"some stand in fewer than {REPEATED} rows"
    return ""


def _kind(values: pl.DataFrame, rows: int) -> tuple[ColumnType, tuple[str, ...], int]:
    """Return a column's type, the formats of its timestamps, and how many rows are not of the type."""
    name = values.columns[0]
    texts, weights = values.get_column(name), values.get_column("rows")
    present = int(weights.sum())
    if present == 0:
        return ColumnType.STRING, (), 0

    def fit(mask: pl.Series) -> int:
        return int(weights.filter(mask.fill_null(value=False)).sum())

    if fit(texts.str.to_lowercase().is_in(["true", "false"])) == present:
        return ColumnType.BOOLEAN, (), 0
    formats, dated = _dates(texts, weights)
    whole, number = fit(texts.str.contains(INTEGER)), fit(texts.str.contains(NUMBER))
    if formats and dated >= MOSTLY * present and (dated > number or formats == ("%Y%m%d",)):
        return ColumnType.TIMESTAMP, formats, present - dated
    if number >= MOSTLY * present:
        padded = fit(texts.str.contains(r"^0[0-9]+$"))  # codes such as 00123 lose their beginning as numbers
        if not padded:
            return (
                (ColumnType.INTEGER, (), present - whole)
                if whole == number
                else (ColumnType.FLOAT, (), present - number)
            )
    if texts.len() <= MAX_CATEGORIES and texts.len() <= CATEGORY_SHARE * rows:
        return ColumnType.CATEGORY, (), 0
    return ColumnType.STRING, (), 0


def _dates(texts: pl.Series, weights: pl.Series) -> tuple[tuple[str, ...], int]:
    """Return the formats that are needed to read a column's moments, and how many rows are then read."""
    fits = {known: timestamps.parse(texts, [known], place=texts.name).values.is_not_null() for known in FORMATS}
    best = sorted(FORMATS, key=lambda known: -int(weights.filter(fits[known]).sum()))
    chosen, read = list[str](), pl.repeat(value=False, n=texts.len(), eager=True, dtype=pl.Boolean)
    for known in best:
        if (fits[known] & ~read).any() or (chosen and fits[known].any() and fits[known].equals(fits[chosen[0]])):
            chosen.append(known)
            read |= fits[known]
    return tuple(chosen), int(weights.filter(read).sum())


def _range(texts: pl.Series, kind: ColumnType) -> tuple[str, str, tuple[float, ...], tuple[float, ...]]:
    if kind not in {ColumnType.FLOAT, ColumnType.INTEGER}:
        return "", "", (), ()
    numbers = texts.cast(pl.Float64, strict=False).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    if numbers.is_empty():
        return "", "", (), ()
    quantiles = tuple(float(numbers.quantile(share) or 0.0) for share in QUANTILES)
    ends = numbers.sort()
    low, high = float(ends.item(0)), float(ends.item(-1))
    return f"{low:.6g}", f"{high:.6g}", quantiles, sentinels_of(numbers)


def sentinels_of(numbers: pl.Series) -> tuple[float, ...]:
    """Return numbers such as -999 that stand far outside of all others and too often for chance: they mean missing."""
    found = []
    for value in SENTINELS:
        times = int((numbers == value).sum())
        if times < max(2.0, SENTINEL_SHARE * numbers.len()):
            continue
        others = numbers.filter(~numbers.is_in(list(SENTINELS)))
        if others.len() and _apart(value, others):
            found.append(value)
    return tuple(found)


def _apart(value: float, others: pl.Series) -> bool:
    low, high = (float(others.quantile(share) or 0.0) for share in (0.005, 0.995))
    if value < 0:
        return low >= 0
    return value > high + (high - low)


def _shapes(values: pl.DataFrame, name: str) -> tuple[tuple[str, int], ...]:
    """Return the most frequent shapes of values: 9 for digits, a and A for letters, runs as one."""
    text = pl.col(name).str.slice(0, 60)
    shape = text.str.replace_all(r"\p{Lu}+", "A").str.replace_all(r"\p{Ll}+", "a").str.replace_all(r"[0-9]+", "9")
    found = (
        values.group_by(shape.alias("shape"))
        .agg(pl.col("rows").sum())
        .sort(["rows", "shape"], descending=[True, False])
    )
    return tuple((redact(str(each)), int(rows)) for each, rows in found.head(SHOWN).iter_rows())


def _pairs(table: pl.DataFrame, columns: tuple[Profiled, ...]) -> Iterator[tuple[str, str]]:
    """Yield pairs of columns whose values together tell all rows apart."""
    likely = sorted((c for c in columns if c.missing == 0 and c.distinct > 1), key=lambda c: -c.distinct)[:KEY_COLUMNS]
    for one, other in combinations(likely, 2):
        if (
            one.distinct * other.distinct >= table.height
            and not table.select(one.name, other.name).is_duplicated().any()
        ):
            yield one.name, other.name


def _draft(column: Profiled) -> Column:
    use = Use.IGNORED
    if column.personal:
        use = Use.PERSONAL
    elif column.key and column.type in {ColumnType.INTEGER, ColumnType.STRING}:
        use = Use.ID
    elif column.type is ColumnType.TIMESTAMP:
        use = Use.TIME
    elif column.type in {ColumnType.FLOAT, ColumnType.INTEGER, ColumnType.BOOLEAN}:
        use = Use.FEATURE
    elif column.type is ColumnType.CATEGORY:
        use = Use.SLICE
    return Column(
        type=column.type,
        use=use,
        nullable=column.missing > 0 and use is not Use.ID,
        allowed=column.values if use is not Use.PERSONAL else (),
        draft=True,
    )
