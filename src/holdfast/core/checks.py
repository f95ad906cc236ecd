"""Checks: what a contract demands beyond single columns, as declared under `[[data.checks]]`.

A check says something of each row (`rule`, `pattern`, `length`, `unique`, `reference`), or of the batch as a whole. Its
limit is hard unless it says `soft`: a row that breaks a hard one is set aside, and a batch that breaks one stops the
pipeline; a soft one warns. What is measured and how is left to `ingest`.
"""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Final, Literal, TypeAlias

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.row_rules import Sort, parse_rule
from holdfast.core.schema import Column, ColumnType, is_held

OfRow: TypeAlias = Literal["rule", "pattern", "length", "unique", "reference"]
OfBatch: TypeAlias = Literal[
    "rows",
    "nulls",
    "null_share",
    "missing",
    "missing_share",
    "invalid",
    "invalid_share",
    "duplicates",
    "duplicate_share",
    "distinct",
    "minimum",
    "maximum",
    "mean",
    "age_h",
    "psi",
    "ks",
]

ROW_KINDS: Final[frozenset[str]] = frozenset({"rule", "pattern", "length", "unique", "reference"})
NUMERIC: Final[frozenset[str]] = frozenset({"minimum", "maximum", "mean", "ks"})
REFERRING: Final[frozenset[str]] = frozenset({"reference", "psi", "ks"})
MAX_CHECKS: Final = 500  # of one project
MAX_PATTERN: Final = 500  # characters
MAX_VALUES: Final = 10_000  # values of one list
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
SORTS: Final[Mapping[ColumnType, Sort]] = {
    ColumnType.FLOAT: "number",
    ColumnType.INTEGER: "number",
    ColumnType.STRING: "text",
    ColumnType.CATEGORY: "text",
    ColumnType.BOOLEAN: "truth",
    ColumnType.TIMESTAMP: "moment",
}


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One check: its name, what it looks at, and between what bounds the result must lie.

    `at_least` and `at_most` include their bound, `above` and `below` do not; `never` excludes a span, ends included.
    """

    name: str
    kind: OfRow | OfBatch
    columns: tuple[str, ...] = ()
    rule: str = ""
    pattern: str = ""
    values: tuple[str, ...] = ()  # what counts as missing or as valid
    against: str = ""  # a CSV or Parquet file of the project with the reference
    at_least: float | None = None
    at_most: float | None = None
    above: float | None = None
    below: float | None = None
    never: tuple[float, float] | None = None
    soft: bool = False
    because: str = ""

    @property
    def of_row(self) -> bool:
        """Say whether it is about each row, and not about the batch."""
        return self.kind in ROW_KINDS

    @property
    def bounds(self) -> tuple[float, ...]:
        """Every bound that is set."""
        single = (self.at_least, self.at_most, self.above, self.below)
        return (*(bound for bound in single if bound is not None), *(self.never or ()))

    def holds(self, value: float | None) -> bool:
        """Say whether a measured value is within the bounds; one that could not be measured is not."""
        if value is None or not math.isfinite(value):
            return False
        return not (
            (self.at_least is not None and value < self.at_least)
            or (self.at_most is not None and value > self.at_most)
            or (self.above is not None and value <= self.above)
            or (self.below is not None and value >= self.below)
            or (self.never is not None and self.never[0] <= value <= self.never[1])
        )

    def limits(self) -> str:
        """Return the bounds in words."""
        named = ("at_least", "at_most", "above", "below")
        words = [
            f"{name.replace('_', ' ')} {getattr(self, name):g}" for name in named if getattr(self, name) is not None
        ]
        words += [f"not {self.never[0]:g} to {self.never[1]:g}"] if self.never else []
        return " and ".join(words)


class Onboarding(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """New clients whose rows are warned about, not refused, until a day: who, and by which column they are known.

    What no client may break stays hard: types, required values, ids and labels.
    """

    column: str
    clients: tuple[str, ...]
    until: date  # the last day on which this holds
    because: str = ""


def check_faults(checks: tuple[Check, ...], columns: Mapping[str, Column]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with checks: the key, how, and what would be right."""
    if len(checks) > MAX_CHECKS:
        yield "data.checks", f"{len(checks)} checks", f"at most {MAX_CHECKS}"
    names = [check.name for check in checks]
    for check in checks:
        try:
            _check(check, columns)
        except InvalidInput as error:
            yield "data.checks", f"check {check.name[:80]!r}: {error.message}", error.expected
        if names.count(check.name) > 1:
            yield "data.checks", f"two checks are called {check.name[:80]!r}", "a name for each"


def _check(check: Check, columns: Mapping[str, Column]) -> None:
    if not _NAME.fullmatch(check.name):
        raise InvalidInput("its name cannot be one", expected="letters, digits, _, . and -, up to 100")
    for name in check.columns:
        if name not in columns:
            raise InvalidInput(f"there is no column {name!r}", expected="columns of [data.columns]")
        if not is_held(columns[name]):
            raise InvalidInput(f"the column {name!r} is personal or not described, and is not read", expected="another")
    if not all(math.isfinite(bound) for bound in check.bounds):
        raise InvalidInput("a bound that is no number", expected="finite bounds")
    if len(check.values) > MAX_VALUES:
        raise InvalidInput(f"{len(check.values)} values", expected=f"at most {MAX_VALUES}")
    _check_parts(check)
    for name in check.columns:
        _check_type(check, name, columns[name].type)
    if check.kind == "rule":
        parse_rule(check.rule, {name: SORTS[column.type] for name, column in columns.items() if is_held(column)})


def _check_parts(check: Check) -> None:
    """Refuse a check that lacks a part of its kind, or has one that means nothing there."""
    kind = check.kind
    many, one = kind in {"unique", "duplicates", "duplicate_share"}, kind not in {"rows", "rule"}
    if one and (not check.columns or (len(check.columns) > 1 and not many)):
        raise InvalidInput(f"{len(check.columns)} columns of a {kind}", expected="columns" if many else "one column")
    if not one and check.columns:
        raise InvalidInput(f"columns of a {kind}", expected="none")
    invalid = kind in {"invalid", "invalid_share"}
    if bool(check.pattern) != (kind == "pattern" or (invalid and not check.values)):
        raise InvalidInput(
            f"a {kind} {'has' if check.pattern else 'lacks'} a pattern", expected="a pattern where it is used"
        )
    _compile(check.pattern)
    needs = kind in {"missing", "missing_share"} or (invalid and not check.pattern)
    if bool(check.values) != needs:
        raise InvalidInput(
            f"a {kind} {'has' if check.values else 'lacks'} values", expected="values where they are used"
        )
    for has, part, where in (
        (bool(check.rule), "rule", kind == "rule"),
        (bool(check.against), "against", kind in REFERRING),
        (bool(check.bounds), "bounds", kind not in {"rule", "pattern", "unique", "reference"}),
    ):
        if has != where:
            raise InvalidInput(
                f"a {kind} {'has' if has else 'lacks'} {part}", expected=f"{part} where it means something"
            )


def _check_type(check: Check, name: str, kind: ColumnType) -> None:
    sort = SORTS[kind]
    if check.kind in NUMERIC and sort != "number":
        raise InvalidInput(f"the {check.kind} of {name!r}, which is a {kind}", expected="a column of numbers")
    if check.kind in {"pattern", "length"} and sort != "text":
        raise InvalidInput(f"the {check.kind} of {name!r}, which is a {kind}", expected="a column of text")
    if check.kind == "age_h" and sort != "moment":
        raise InvalidInput(f"the age of {name!r}, which is a {kind}", expected="a column of timestamps")
    if check.kind == "psi" and sort == "moment":
        raise InvalidInput(f"the distribution of {name!r}, which is a {kind}", expected="numbers, texts or truths")


def _compile(pattern: str) -> None:
    """Refuse what engines of finite automata do not read: look-around and back-references."""
    if len(pattern) > MAX_PATTERN:
        raise InvalidInput(f"a pattern of {len(pattern)} characters", expected=f"at most {MAX_PATTERN}")
    if re.search(r"\(\?[=!<]|\\[1-9]", pattern):
        raise InvalidInput(
            "a pattern with look-around or back-references", expected="a regular expression without them"
        )
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidInput(f"the pattern is not one: {error}", expected="a regular expression") from error
