"""Columns: every distinct value of a column is looked at, and what share of them is what decides.

Whole values are told by `whole`, all at once; what is left, text with digits or addresses in it, is read by `text`. The
share of valid values among those of a shape tells telephone numbers from part numbers: of the first nearly all are
valid, of the second as many as chance makes so. Where the name of the column says what stands in it, half is enough.
"""

from collections.abc import Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import polars as pl

from holdfast.core.dlp import Entity
from holdfast.core.ports import Recogniser
from holdfast.engines.packed import Columns, counted
from holdfast.engines.personal import births, credentials, national, phones, recognised, whole
from holdfast.engines.personal.context import about, words_of
from holdfast.engines.personal.digit_sums import could_meet
from holdfast.engines.personal.entities import Hit
from holdfast.engines.personal.text import look

SHARES: Final[dict[str, float]] = {  # of the values of a shape that must be valid, where no name says anything
    Entity.EMAIL: 0.0,
    Entity.URL: 0.0,
    Entity.IBAN: 0.5,  # a wrong one passes by chance once in 97 times
    Entity.CARD: 0.5,  # a number of this length passes by chance once in fifty times
    Entity.SSN: 0.985,  # of random digits in this shape 89 % are valid
    Entity.IP: 0.9,  # versions of four numbers have this shape, and most have only small numbers
    Entity.PHONE: 0.6,  # in a text; columns of numbers have rules of their own
    Entity.BIRTH: 0.0,  # in a text: a word before it has said so
}
NAMED_SHARE: Final = 0.5  # of distinct values; a column called `mobile` that mostly holds counts is not one of numbers
NATIONAL_SHARE: Final = 0.9  # of all values: check digits of one in ten or eleven pass by chance in a tenth
PERSON: Final = "person"  # of a recogniser's kinds the one beside which a day may be one of birth
MIN_NATIONAL: Final = 20  # distinct values, where no name says what they are
_CARD_DIGITS: Final = (10**11, 10**19)  # whole numbers that could be cards


@dataclass(slots=True)
class Tally:
    """What was seen of one column: for each entity distinct values of its shape, valid ones, and rows of those."""

    shaped: dict[str, int] = field(default_factory=dict)
    valid: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)

    def add(self, entity: str, *, shaped: int, valid: int, rows: int) -> None:
        """Count values of one entity."""
        for counts, more in ((self.shaped, shaped), (self.valid, valid), (self.rows, rows)):
            counts[entity] = counts.get(entity, 0) + more


@dataclass(frozen=True, slots=True, kw_only=True)
class Distinct:
    """A column's distinct values as text, how many rows each stands in, and what the column's name is about."""

    name: str
    texts: pl.Series
    rows: pl.Series
    about: frozenset[str]
    digits: bool = False  # of a column of numbers: bare digits, and nothing else
    mails: bool = True  # whether any value has an @ in it
    links: bool = True  # whether any value may hold an address of the web

    def where(self, mask: pl.Series) -> "Distinct":
        """Return only some of the values."""
        return replace(self, texts=self.texts.filter(mask), rows=self.rows.filter(mask))

    def hit(self, entity: str, mask: pl.Series, rests_on: str = "values") -> Hit:
        """Return the hit that these values are."""
        rows = int(self.rows.filter(mask).sum())
        return Hit(column=self.name, entity=entity, values=int(mask.sum()), rows=rows, rests_on=rests_on)


def scan(frame: Columns, recogniser: Recogniser | None = None) -> tuple[Hit, ...]:
    """Return the personal data found in a table, by column, looking at every distinct value of every column.

    Text, whole numbers and days are read; booleans, moments and fractions cannot hold any of the entities. A recogniser
    reads columns of text, too, and what it finds counts where no pattern has found it.

    Raises:
        Unavailable: The recogniser failed.
    """
    hits = [hit for name in frame.columns for hit in scan_column(frame.get_column(name))]
    personal = {hit.column for hit in hits if hit.entity not in {Entity.URL, Entity.IP, Entity.SECRET}}
    if recogniser is not None:
        known = {(hit.column, hit.entity) for hit in hits}
        more = [hit for name in frame.columns for hit in recognised.hits(frame.get_column(name), recogniser)]
        hits += [hit for hit in more if (hit.column, hit.entity) not in known]
        personal |= {hit.column for hit in more if hit.entity == PERSON}
    if personal:
        hits += [hit for name in frame.columns if name not in personal for hit in _beside(frame.get_column(name))]
    return tuple(sorted(hits, key=lambda hit: frame.columns.index(hit.column)))


def scan_column(column: pl.Series) -> Iterator[Hit]:
    """Yield the kinds of personal data in one column."""
    means = about(words_of(column.name))
    if column.dtype in {pl.Date, pl.Datetime}:
        if Entity.BIRTH in means and column.null_count() < len(column):
            yield Hit(column=column.name, entity=Entity.BIRTH, values=column.drop_nulls().n_unique(),
                      rows=len(column) - column.null_count(), rests_on="name")  # fmt: skip
        return
    distinct = _distinct(column, means)
    del column  # of packed rows it is held here only, and its distinct values may be as many
    if distinct is None or not len(distinct.texts):
        return
    if distinct.digits:
        yield from _bare(distinct)
        return
    links, mails = whole.linked(distinct.texts), distinct.texts.str.contains("@", literal=True)
    distinct = replace(distinct, links=bool(links.any()), mails=bool(mails.any()))
    worth = (
        ~whole.has(distinct.texts, whole.PLAIN) | links if distinct.links else ~whole.has(distinct.texts, whole.PLAIN)
    )
    some = distinct if Entity.SECRET in means else distinct.where(worth)
    yield from credentials.secrets(some.name, some.texts, some.rows, named=Entity.SECRET in means)
    named = not means.isdisjoint({Entity.PHONE, Entity.SSN, "national-id"})
    if not named and not worth.any():
        return
    yield from _values(distinct, distinct if named else distinct.where(worth))


def _bare(every: Distinct) -> Iterator[Hit]:
    """Yield what a column of whole numbers is: cards, ids, or telephone numbers."""
    tally = Tally()
    shaped, valid = whole.cards(every.texts, named=Entity.CARD in every.about)
    tally.add(Entity.CARD, shaped=int(shaped.sum()), valid=int(valid.sum()), rows=int(every.rows.filter(valid).sum()))
    decided = tuple(_decided(every, tally))
    yield from decided or _ids_or_telephones(every, every)


def _values(every: Distinct, worth: Distinct) -> Iterator[Hit]:
    """Yield what whole values and texts are, from those that are worth reading."""
    tally, left = Tally(), worth
    told = ((Entity.EMAIL, whole.is_email, worth.mails), (Entity.URL, whole.is_url, worth.links))
    for entity, mask in ((entity, mask) for entity, mask, may in told if may):
        found = mask(left.texts)
        if found.any():
            tally.add(entity, shaped=int(found.sum()), valid=int(found.sum()), rows=int(left.rows.filter(found).sum()))
            left = left.where(~found)
    numeric = whole.has(left.texts, whole.NUMERIC)
    if numeric.any():
        yield from _numbers(every, left.where(numeric), tally)
        left = left.where(~numeric)
    left = yield from _words(every, left, tally)
    for value, rows in zip(left.texts.to_list(), left.rows.to_list(), strict=True):
        _read(value, rows, tally)
    yield from _decided(every, tally)


def _read(value: str, rows: int, tally: Tally) -> None:
    found: dict[str, bool] = {}
    for seen in look(value):
        found[seen.entity] = found.get(seen.entity, False) or seen.valid
    for entity, valid in found.items():
        tally.add(entity, shaped=1, valid=int(valid), rows=rows if valid else 0)


def _decided(every: Distinct, tally: Tally) -> Iterator[Hit]:
    for entity, valid in tally.valid.items():
        named = entity in every.about or (entity.startswith("national-id") and "national-id" in every.about)
        share = min(SHARES.get(entity, 0.0), NAMED_SHARE if named else 1.0)
        if valid and valid >= share * tally.shaped[entity]:
            rests_on = "name" if named else "values"
            yield Hit(column=every.name, entity=entity, values=valid, rows=tally.rows[entity], rests_on=rests_on)


def _numbers(every: Distinct, some: Distinct, tally: Tally) -> Iterator[Hit]:
    """Yield what values of digits and signs are: addresses, cards, days, ids and telephone numbers, in this order."""
    means = every.about
    for entity, (shaped, valid) in (
        (Entity.IP, whole.addresses(some.texts, named=Entity.IP in means)),
        (Entity.CARD, whole.cards(some.texts, named=Entity.CARD in means)),
        (Entity.SSN, whole.security_numbers(some.texts)),
    ):
        if not shaped.any():
            continue
        of_shape, right = int(shaped.sum()), int(valid.sum())
        tally.add(entity, shaped=of_shape, valid=right, rows=int(some.rows.filter(valid).sum()))
        if right and right >= SHARES[entity] * of_shape:
            some = some.where(~valid)
    days = whole.is_date(some.texts)
    if days.any():
        if Entity.BIRTH in means and days.sum() >= NAMED_SHARE * len(every.texts):
            yield every.hit(Entity.BIRTH, whole.is_date(every.texts), "name")
        some = some.where(~days)
    if len(some.texts):
        yield from _ids_or_telephones(every, some)


def _ids_or_telephones(every: Distinct, some: Distinct) -> Iterator[Hit]:
    if Entity.SSN in every.about:
        bare = whole.has(some.texts, r"^[0-9]{9}$")
        if bare.sum() >= NAMED_SHARE * len(every.texts):
            yield some.hit(Entity.SSN, bare, "name")
            return
    known = _national(every, some)
    if known is not None:
        yield known
        return
    telephone = _telephones(every, some)
    if telephone is not None:
        yield telephone


def _telephones(every: Distinct, some: Distinct) -> Hit | None:
    """Return the telephone numbers of a column, if it is one of them, by how sure the forms of its values are."""
    classes = whole.telephones(some.texts)
    count = {name: int(mask.sum()) for name, mask in classes.items()}
    like = classes["strong"] | classes["medium"] | classes["weak"] | classes["bare"]
    all_like, everything = int(like.sum()), len(every.texts)
    if not all_like:
        return None
    if Entity.PHONE in every.about and all_like >= NAMED_SHARE * everything:
        return some.hit(Entity.PHONE, like, "name")
    if "else" in every.about:
        certain = classes["strong"] & some.texts.str.starts_with("+")
        return some.hit(Entity.PHONE, certain) if certain.sum() >= NAMED_SHARE * len(some.texts) else None
    formed, grouped = count["strong"] + count["medium"], all_like - count["bare"]
    shaped = len(some.texts) - count["bare"]
    if count["strong"] >= 0.5 * len(some.texts) or (formed and formed >= 0.9 * shaped and formed >= 0.3 * all_like):
        return some.hit(Entity.PHONE, like)
    if formed >= 0.4 * everything and all_like >= 0.98 * everything and grouped >= 0.5 * everything:
        return some.hit(Entity.PHONE, like)
    return some.hit(Entity.PHONE, like) if _planned(some, everything) else None


def _planned(some: Distinct, everything: int) -> bool:
    """Say whether bare digits are numbers of one national plan, all of them, and spread over it."""
    if len(some.texts) < max(phones.MIN_PLANNED, 0.98 * everything):
        return False
    fits = any(whole.has(some.texts, f"^{plan}$").mean() == 1.0 for plan in phones.PLANS)
    return fits and some.texts.str.slice(0, 4).n_unique() >= 0.2 * phones.MIN_PLANNED


def _national(every: Distinct, some: Distinct) -> Hit | None:
    """Return the national ids of a column, if it is one of them: nearly every value, or half where its name says so."""
    named = "national-id" in every.about
    if not named and ("else" in every.about or len(some.texts) < max(MIN_NATIONAL, NATIONAL_SHARE * len(every.texts))):
        return None
    share = NAMED_SHARE if named else NATIONAL_SHARE
    if whole.has(some.texts, national.ANY).sum() < share * len(every.texts):  # then no one kind has as many
        return None
    best: Hit | None = None
    for kind in national.NATIONALS:
        shaped = whole.has(some.texts, f"^(?:{kind.shape})$")
        if shaped.sum() < share * len(every.texts):
            continue
        may = could_meet(kind.module, some.texts.filter(shaped))
        if may is not None and may.sum() < share * len(every.texts):
            continue
        valid = _valid(kind, some.texts, shaped, allowed=int((1 - share) * len(every.texts)))
        if valid is not None and (best is None or int(valid.sum()) > best.values):
            best = some.hit(kind.name, valid, "name" if named else "values")
    return best


def _valid(kind: national.National, texts: pl.Series, shaped: pl.Series, *, allowed: int) -> pl.Series | None:
    """Return which values pass a kind's checks; None as soon as more than `allowed` of them do not."""
    passed, wrong = np.zeros(len(texts), dtype=np.bool_), 0
    for place, value in zip(shaped.arg_true().to_list(), texts.filter(shaped).to_list(), strict=True):
        if national.is_valid(kind, value):
            passed[place] = True
        else:
            wrong += 1
            if wrong > allowed:
                return None
    return pl.Series(passed) if passed.any() else None


def _words(every: Distinct, left: Distinct, tally: Tally) -> Generator[Hit, None, Distinct]:
    """Yield what single words are (IBANs, ids, addresses of version 6), and return what is worth reading as text."""
    shaped, valid = whole.ibans(left.texts)
    if shaped.any():
        rows = int(left.rows.filter(valid).sum())
        tally.add(Entity.IBAN, shaped=int(shaped.sum()), valid=int(valid.sum()), rows=rows)
        left = left.where(~valid)
    shaped, valid = whole.addresses(left.texts, named=True)
    if shaped.any():
        rows = int(left.rows.filter(valid).sum())
        tally.add(Entity.IP, shaped=int(shaped.sum()), valid=int(valid.sum()), rows=rows)
        left = left.where(~shaped)
    days = whole.is_date(left.texts)
    if days.any():
        if Entity.BIRTH in every.about and days.sum() >= NAMED_SHARE * len(every.texts):
            yield left.hit(Entity.BIRTH, days, "name")
        left = left.where(~days)
    candidates = whole.has(left.texts, national.CANDIDATE)
    if candidates.any():
        some = left.where(candidates)
        known = _national(every, some)
        if known is not None:
            yield known
            left = left.where(~candidates)
    token = whole.is_token(left.texts)
    spaced = left.texts.str.contains(" ", literal=True)
    inside = whole.has(left.texts, whole.IN_TEXT) & spaced | ~token & ~spaced & whole.has(left.texts, whole.IN_WORD)
    if left.mails:
        inside |= left.texts.str.contains("@", literal=True)
    return left.where(inside | whole.linked(left.texts) if left.links else inside)


def _beside(column: pl.Series) -> Iterator[Hit]:
    """Yield days of birth that only the table gives away: beside personal columns, over more than a generation."""
    distinct = _days(column)
    if distinct is not None and "else" not in distinct.about:
        years = births.years_of(distinct.texts)
        if births.could_be(years):
            yield distinct.hit(Entity.BIRTH, years.is_not_null(), "neighbours")


def _days(column: pl.Series) -> Distinct | None:
    """Return a column's days as text, if it holds nothing else and its name does not say what they are."""
    means = about(words_of(column.name))
    if Entity.BIRTH in means or column.dtype not in {pl.Date, pl.String}:
        return None
    first = column.drop_nulls().head(1).cast(pl.String)
    if not len(first) or not whole.is_date(first).all():  # refuted by one value: all must be days
        return None
    distinct = _distinct(column.cast(pl.String), means)
    if distinct is None or len(distinct.texts) < births.MIN_VALUES:
        return None
    return distinct if whole.is_date(distinct.texts).all() else None


def _distinct(column: pl.Series, means: frozenset[str]) -> Distinct | None:
    """Return a column's distinct values, or None where its type, or the size of its numbers, can hold nothing."""
    texts = _as_text(column)
    if texts is None:
        return None
    found = counted(texts.drop_nulls())
    digits = texts.dtype.is_integer()
    return Distinct(name=column.name, texts=found["text"].cast(pl.String), rows=found["rows"], about=means,
                    digits=digits)  # fmt: skip


def _as_text(column: pl.Series) -> pl.Series | None:
    if column.dtype in {pl.String, pl.Categorical, pl.Enum}:
        return column
    if column.dtype.is_float():  # a card number read as a float is still a card number
        whole_ones = (column == column.floor()) & (column.abs() < 2**63)
        column = column.set(~whole_ones.fill_null(value=False), None).cast(pl.Int64)
    if not column.dtype.is_integer():
        return None
    largest = column.max()
    if not isinstance(largest, int) or largest < 10**6:
        return None
    return column
