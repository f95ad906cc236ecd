"""Dates of birth: what is a date, and when a date is one of birth. Only context can tell.

In a text a word before it must; in a table the column's name, or its neighbours: beside other personal columns, days of
more than a generation, some of them before 1970, are days of birth. Days that business writes down are not.
"""

import re
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:  # a gateway looks at texts, and has no Polars
    import polars as pl

_MONTHS: Final = r"(?:[Jj]an|[Ff]eb|[Mm]ar|[Aa]pr|[Mm]ay|[Jj]un|[Jj]ul|[Aa]ug|[Ss]ep|[Oo]ct|[Nn]ov|[Dd]ec)[a-z]{0,6}\.?"
_YEAR: Final = r"(?:19|20)[0-9]{2}"
WHOLE: Final = (
    rf"(?:{_YEAR}[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12][0-9]|3[01])"
    rf"|(?:0?[1-9]|[12][0-9]|3[01])[-/. ](?:0?[1-9]|[12][0-9]|3[01])[-/. ]{_YEAR}"
    rf"|(?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?\.?[ -](?:of )?{_MONTHS},?[ -]{_YEAR}"
    rf"|{_MONTHS} (?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th)?,? {_YEAR}"
    rf"|(?:0?[1-9]|[12][0-9]|3[01])[./](?:0?[1-9]|1[0-2])[./][0-9]{{2}}"
    rf"|{_YEAR}年[01]?[0-9]月[0-3]?[0-9]日)"
)
"""A day as people write it, without a time of day; Python and Polars read this alike."""
SHAPE: Final = re.compile(rf"(?<![\w.+/-]){WHOLE}(?![\w-]|[./][0-9]|[T ][0-9]{{1,2}}:[0-9]{{2}})")
_CENTURY: Final = re.compile(r"(?:19|20)[0-9]{2}")
GENERATION: Final = 25  # years between the fifth and the ninety-fifth of a hundred values
EPOCH: Final = 1970  # machines' clocks begin then: what is older was not written down as it happened
OLD: Final = 0.05  # least share of values from before
FIRST: Final = 1900  # years of people who may be alive
LAST: Final = 2100
MIN_VALUES: Final = 20  # distinct ones: of fewer, nothing can be said


def could_be(years: "pl.Series") -> bool:
    """Say whether days of these years may be days of birth of grown-up people, by their spread alone.

    >>> import polars as pl
    >>> could_be(pl.Series(range(1930, 2010))), could_be(pl.Series([2023, 2024] * 40))
    (True, False)
    """
    known = years.drop_nulls().to_numpy()
    if len(known) < MIN_VALUES or known.min() < FIRST or known.max() > LAST:
        return False
    low, high = np.quantile(known, (0.05, 0.95))
    return bool(high - low >= GENERATION and (known < EPOCH).mean() >= OLD)


def years_of(texts: "pl.Series") -> "pl.Series":
    """Return the years in texts of days."""
    import polars as pl

    return texts.str.extract(f"({_CENTURY.pattern})", 1).cast(pl.Int32, strict=False)
