"""Repairs: declared cleaning rules under `[[data.clean]]`, by name and version, in their order.

A repair changes text before it is read as a value. All of them together are applied until nothing changes, so that what
is clean stays as it is. Each change is counted by rule and column; what a rule does is left to `ingest`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.schema import Column, is_held

Kind: TypeAlias = Literal["lower", "upper", "spaces", "missing", "replace", "typo", "dependency", "scale"]

MAX_REPAIRS: Final = 200  # of one project
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,60}/[1-9][0-9]{0,3}")


class Repair(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One cleaning rule.

    `lower`, `upper` and `spaces` (runs of white space become one blank) concern how a text is written; `missing` turns
    `values` into missing ones; `replace` turns one text into another, by `pairs`; `typo` turns a rare value into the
    one frequent value that it nearly is, or the one of `values`; `dependency` gives all rows that agree in `by` the
    value of their majority; `scale` multiplies numbers beyond `above` by `factor`, where that brings them back.
    """

    name: str  # with its version: city-typos/1
    kind: Kind
    columns: tuple[str, ...]
    by: tuple[str, ...] = ()
    values: tuple[str, ...] = ()
    pairs: dict[str, str] = {}
    above: float | None = None
    factor: float | None = None
    share: float = 0.5  # of a group's rows beyond which a value is its majority
    at_least: int = 2  # rows that the majority, or a frequent value, must have
    fill: bool = False  # whether a missing value gets the majority's, too
    because: str = ""


def repair_faults(repairs: tuple[Repair, ...], columns: Mapping[str, Column]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with cleaning rules: the key, how, and what would be right."""
    if len(repairs) > MAX_REPAIRS:
        yield "data.clean", f"{len(repairs)} rules", f"at most {MAX_REPAIRS}"
    names = [repair.name.partition("/")[0] for repair in repairs]
    for name, repair in zip(names, repairs, strict=True):
        try:
            _check(repair, columns)
        except InvalidInput as error:
            yield "data.clean", f"rule {repair.name[:80]!r}: {error.message}", error.expected
        if names.count(name) > 1:
            yield "data.clean", f"two rules are called {name!r}", "a name for each"


def _check(repair: Repair, columns: Mapping[str, Column]) -> None:
    if not _NAME.fullmatch(repair.name):
        raise InvalidInput("its name cannot be one", expected="a name and a version: city-typos/1")
    if not repair.columns:  # empty means no
        raise InvalidInput("it concerns no column", expected="at least one")
    for name in (*repair.columns, *repair.by):
        if name not in columns or not is_held(columns[name]):
            raise InvalidInput(f"there is no column {name!r} that is read", expected="columns of [data.columns]")
    needs = {"missing": "values", "replace": "pairs", "dependency": "by", "scale": "factor"}
    for kind, part in needs.items():
        if bool(getattr(repair, part)) != (repair.kind == kind) and not (part == "values" and repair.kind == "typo"):
            has = "lacks" if repair.kind == kind else "has"
            raise InvalidInput(f"a {repair.kind} {has} {part}", expected=f"{part} where it means something")
    if set(repair.by) & set(repair.columns):
        raise InvalidInput("a column depends on itself", expected="other columns in `by`")
    if set(repair.pairs.values()) & repair.pairs.keys():
        raise InvalidInput("a text is replaced by one that is replaced itself", expected="pairs that end somewhere")
    if repair.kind == "scale" and (repair.above is None or not 0 < (repair.factor or 0) < 1):
        raise InvalidInput("numbers are scaled without end", expected="above, and a factor between 0 and 1")
    if not 0.5 <= repair.share < 1 or repair.at_least < 1:  # noqa: PLR2004 - half of a group
        raise InvalidInput("no majority is meant", expected="a share of 0.5 to 1, and rows of at least 1")
