"""Secrets in columns: keys, tokens and passwords, by their format, by what is assigned to what, by the column's name.

The formats and the tests of chance are those of `engines.secrets`; this module only finds the few values of a column
that are worth showing to them.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

import numpy as np
import polars as pl

from holdfast.core.dlp import Entity
from holdfast.engines.personal.entities import Hit
from holdfast.engines.personal.stretches import places_in
from holdfast.engines.secrets.context import KEYWORDS, is_password, is_placeholder, is_random
from holdfast.engines.secrets.formats import AWS_ANCHORS, FORMATS

NAMED_SHARE: Final = 0.5  # of distinct values that look drawn by chance, in a column whose name says password or key
_MIN: Final = 16  # characters of a text that can hold a format


@cache
def _anchors() -> tuple[str, ...]:
    literals = {form.anchor for form in FORMATS} | set(AWS_ANCHORS)
    return tuple(sorted(each.decode() for each in literals if len(each) >= 3))


@cache
def _assigned() -> str:
    """Return the pattern of a name, a sign of assignment and a value, loosely; `secrets` looks closer."""
    return (
        "(?i)(?:"
        + "|".join(word.decode().strip() for word in KEYWORDS)
        + r")[\w\"' .-]{0,40}[:=>]|bearer |://[^/@\s]*:[^/@\s]+@"
    )


def may_hold(texts: pl.Series) -> pl.Series:
    """Return which texts may hold a secret: long enough, with a literal that a format begins with, or an assignment."""
    mask = np.zeros(len(texts), dtype=np.bool_)
    long = (texts.str.len_bytes() >= _MIN).arg_true()
    if len(long):
        some = texts.gather(long)
        anchored = some.str.contains_any(list(_anchors()))
        named = some.str.contains_any([*(word.decode() for word in KEYWORDS), "://"], ascii_case_insensitive=True)
        places = (named & ~anchored).arg_true()
        mask[long.filter(anchored).to_numpy()] = True
        if len(places):
            mask[long.gather(places).filter(some.gather(places).str.contains(_assigned())).to_numpy()] = True
    return pl.Series(mask)


def is_secret(value: str) -> bool:
    """Say whether a value of a column of secrets is one, and no placeholder."""
    data = value.encode()
    return not is_placeholder(data) and (is_random(data) or is_password(data))


def secrets(name: str, texts: pl.Series, rows: pl.Series, *, named: bool) -> Iterator[Hit]:
    """Yield the secrets of one column, if there are any."""
    worth = may_hold(texts)
    pairs = zip(worth.arg_true().to_list(), texts.filter(worth).to_list(), strict=True)
    found = {at for at, text in pairs if places_in(text)}
    rests_on = "values"
    if named:
        by_chance = {at for at, text in enumerate(texts.to_list()) if is_secret(text)}
        if len(by_chance) >= NAMED_SHARE * len(texts):
            found, rests_on = found | by_chance, "name"
    if found:
        counted = int(rows.gather(sorted(found)).sum())
        yield Hit(column=name, entity=Entity.SECRET, values=len(found), rows=counted, rests_on=rests_on)
