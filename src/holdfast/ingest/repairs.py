"""Repairs applied: declared rules over the texts of a table, together and until nothing changes.

Decides what each kind of rule makes of a table; which rules there are is the project's word. Applied to what they gave,
the rules change nothing, and rules that undo each other are refused. Nothing is invented: a value comes from the rule,
or from other rows of the same table, and where these leave a doubt it stays as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from holdfast.core.errors import InvalidProject
from holdfast.core.repairs import Repair
from holdfast.ingest.typos import corrections

MAX_PASSES: Final = 20  # over all rules; more means that two of them undo each other
_MARK: Final = "\0"  # no header can hold one


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One value that a rule changed: where it stands in the source, what it was, and what it is."""

    rule: str
    column: str
    row: int
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """A table after all repairs, and how many values each rule changed of each column."""

    table: pl.DataFrame
    counts: Mapping[tuple[str, str], int]


def repaired(table: pl.DataFrame, repairs: Sequence[Repair]) -> Repaired:
    """Return a table of texts after all repairs.

    Raises:
        InvalidProject: Two rules undo each other.
    """
    counts: dict[tuple[str, str], int] = {}
    for _ in range(MAX_PASSES):
        changed = 0
        for repair in repairs:
            for column in repair.columns:
                before = table.get_column(column)
                after = _applied(table, repair, column).alias(column)
                count = int(before.ne_missing(after).sum())
                if count:
                    counts[repair.name, column] = counts.get((repair.name, column), 0) + count
                    table = table.with_columns(after)
                    changed += count
        if not changed:
            return Repaired(table=table, counts=counts)
    names = ", ".join(repair.name for repair in repairs)
    words = f"the rules never come to an end: {names}"
    raise InvalidProject(words, place="[[data.clean]]", expected="rules of which none undoes another")


def changes(before: pl.DataFrame, after: pl.DataFrame, rows: pl.Series, rule: str = "") -> list[Change]:
    """Return every value that differs between two states of a table."""
    found = list[Change]()
    for name in before.columns:
        old, new = before.get_column(name), after.get_column(name)
        where = old.ne_missing(new)
        if where.any():
            cells = zip(rows.filter(where), old.filter(where), new.filter(where), strict=True)
            found += [Change(rule=rule, column=name, row=row, before=one, after=two) for row, one, two in cells]
    return found


def _applied(table: pl.DataFrame, repair: Repair, column: str) -> pl.Series:
    texts = table.get_column(column)
    match repair.kind:
        case "lower":
            return texts.str.to_lowercase()
        case "upper":
            return texts.str.to_uppercase()
        case "spaces":
            return texts.str.replace_all(r"\s+", " ").str.strip_chars()
        case "missing":
            return texts.set(texts.is_in(list(repair.values)).fill_null(value=False), None)
        case "replace":
            return texts.replace(dict(repair.pairs))
        case "typo":
            return texts.replace(corrections(texts, repair.values, at_least=repair.at_least))
        case "scale":
            return _scaled(texts, repair)
    return _majority(table, repair, column)


def _scaled(texts: pl.Series, repair: Repair) -> pl.Series:
    """Return numbers beyond a limit brought back by a factor, written as short as they can be."""
    numbers = texts.cast(pl.Float64, strict=False)
    back = numbers * (repair.factor or 1.0)
    wanted = ((numbers > repair.above) & (back <= repair.above)).fill_null(value=False)
    return back.cast(pl.String).str.replace(r"\.0$", "").zip_with(wanted, texts)


def _majority(table: pl.DataFrame, repair: Repair, column: str) -> pl.Series:
    """Return a column in which rows that agree in `by` have the value of their majority, where there is one."""
    by = list(repair.by)
    votes = table.select(*by, column).drop_nulls().group_by([*by, column]).len("votes")
    total = pl.col("votes").sum().over(by)
    won = votes.filter((pl.col("votes") > repair.share * total) & (pl.col("votes") >= repair.at_least))
    found = table.select(by).join(won.rename({column: _MARK}).drop("votes"), on=by, how="left", maintain_order="left")
    winner, texts = found.get_column(_MARK), table.get_column(column)
    wanted = winner.is_not_null() & (texts.is_not_null() | repair.fill)
    return winner.zip_with(wanted, texts)
