"""Checking: a contract compiled into expressions, evaluated together over the columns, and what came of it.

Decides of each row which checks it breaks, and of each measure of the batch whether it is within its bounds. Closed: a
check that cannot be evaluated does not hold. A new client's rows are warned about where the project says so; what no
client may break (types, required values) is no matter of this. Leaves to `contract` what becomes of rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeAlias

import polars as pl

from holdfast.core.checks import SORTS, Check, Onboarding
from holdfast.core.errors import InvalidData
from holdfast.core.row_rules import parse_rule
from holdfast.core.schema import Column, Use
from holdfast.engines.packed import Packed
from holdfast.ingest import measuring
from holdfast.ingest.reasons import Reason, faults_where, merged
from holdfast.ingest.rules import compiled

REQUIRED: Final = frozenset({Use.ID, Use.LABEL})  # uses whose values are never optional, whatever `nullable` says
Table: TypeAlias = pl.DataFrame | Packed
_CODES: Final = {
    "rule": Reason.RULE,
    "pattern": Reason.PATTERN,
    "length": Reason.LENGTH,
    "unique": Reason.NOT_UNIQUE,
    "reference": Reason.NO_REFERENCE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """One thing that must be true of each row: `fails` is true where it is not."""

    name: str
    code: Reason
    column: str
    fails: pl.Expr
    soft: bool = False
    lenient: bool = True  # whether a new client may break it


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """A check that some rows break, without being set aside for it."""

    name: str
    code: Reason
    column: str
    rows: int
    because: str  # "soft" or "onboarding"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one check of the batch measured; None where nothing could be measured, which never holds."""

    check: Check
    value: float | None
    n: int
    holds: bool
    words: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of a batch: faults of rows, warnings, and what was measured of the whole."""

    faults: pl.DataFrame
    good: pl.Series
    warned: tuple[Warned, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    relaxed: int = 0  # rows of new clients that were warned about and not set aside

    @property
    def breaches(self) -> tuple[Outcome, ...]:
        """The hard checks of the batch that do not hold."""
        return tuple(each for each in self.outcomes if not each.holds and not each.check.soft)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a batch is held against."""

    columns: Mapping[str, Column]
    checks: Sequence[Check] = ()
    onboarding: Onboarding | None = None
    references: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    now: datetime | None = None  # without it no age is known, and nobody is new


def declared(columns: Mapping[str, Column]) -> list[Test]:
    """Return what the declarations of the columns demand of values that are of their type."""
    found = []
    for name, column in columns.items():
        value = pl.col(name)
        if column.use in REQUIRED or not column.nullable:
            missing = value.is_null()
            if column.use in REQUIRED and SORTS[column.type] == "text":
                missing |= value == ""  # where "" is no null literal it is still no name of anything
            found.append(Test(name=name, code=Reason.MISSING, column=name, fails=missing, lenient=False))
        if column.minimum is not None:
            found.append(Test(name=name, code=Reason.BELOW, column=name, fails=value < column.minimum))
        if column.maximum is not None:
            found.append(Test(name=name, code=Reason.ABOVE, column=name, fails=value > column.maximum))
        if column.allowed:
            strange = ~value.is_in(list(column.allowed))
            found.append(Test(name=name, code=Reason.NOT_ALLOWED, column=name, fails=strange))
    return found


def tests_of(contract: Contract) -> tuple[Test, ...]:
    """Return everything that is demanded of each row.

    Raises:
        InvalidData: The table that a check refers to is not there.
    """
    rows = [check for check in contract.checks if check.of_row]
    return (*declared(contract.columns), *(_test(check, contract) for check in rows))


def judge(frame: Table, rows: pl.Series, contract: Contract, *, tests: Sequence[Test] | None = None) -> Judged:
    """Return what a contract makes of a batch; of packed rows a part is opened at a time, or what rests on all of them.

    Args:
        frame: The cleaned columns.
        rows: Their rows' numbers in the source.
        contract: What they are held against.
        tests: What is demanded of rows, where it is compiled already.

    Raises:
        InvalidData: A check cannot be evaluated on these columns.
    """
    tests = tests_of(contract) if tests is None else tests
    failing = [(test, mask) for test, mask in zip(tests, _evaluated(frame, tests), strict=True) if mask.any()]
    new = _new(frame, contract) if failing or contract.onboarding else None
    good, relaxed = pl.repeat(value=True, n=frame.height, eager=True, dtype=pl.Boolean), None
    tables, warned = [], list[Warned]()
    for test, fails in failing:
        mask = fails
        if test.soft:
            warned.append(_warned(test, mask, "soft"))
            continue
        if new is not None and test.lenient and (excused := mask & new).any():
            warned.append(_warned(test, excused, "onboarding"))
            relaxed = excused if relaxed is None else relaxed | excused
            mask &= ~new
        tables.append(_faults(frame, rows, test, mask))
        good &= ~mask
    return Judged(
        faults=merged(tables),
        good=good,
        warned=tuple(warned),
        outcomes=_outcomes(frame, contract, new),
        relaxed=0 if relaxed is None else int((relaxed & good).sum()),
    )


def _evaluated(frame: Table, tests: Sequence[Test]) -> list[pl.Series]:
    """Return where each test fails: what looks at rows one by one part by part, the others over their columns."""
    parts = [frame] if isinstance(frame, pl.DataFrame) else frame.frames()
    alone = [test for test in tests if test.code is not Reason.NOT_UNIQUE]
    found = pl.concat([pl.DataFrame(schema=_named(alone)), *(_failing(part, alone) for part in parts)])
    masks = dict(zip(map(id, alone), found.get_columns(), strict=True))
    for test in tests:
        if id(test) not in masks:
            columns = frame if isinstance(frame, pl.DataFrame) else frame.pick(test.fails.meta.root_names())
            masks[id(test)] = _failing(columns, [test]).to_series()
    return [masks[id(test)] for test in tests]


def _named(tests: Sequence[Test]) -> dict[str, type[pl.Boolean]]:
    return {str(index): pl.Boolean for index in range(len(tests))}


def _failing(frame: pl.DataFrame, tests: Sequence[Test]) -> pl.DataFrame:
    """Return a column for each test, true where it fails, all evaluated in one pass."""
    names = _named(tests)
    try:
        found = frame.with_columns(test.fails.alias(f"\0{name}") for name, test in zip(names, tests, strict=True))
    except pl.exceptions.PolarsError as error:
        for test in tests:
            try:
                frame.select(test.fails.alias("one"))
            except pl.exceptions.PolarsError as one:
                words = f"the check {test.name!r} cannot be evaluated: {str(one).splitlines()[0][:200]}"
                raise InvalidData(words, place=test.column or "[[data.checks]]") from error
        raise
    return found.select(pl.col(f"\0{name}").fill_null(value=False).alias(name) for name in names)


def _test(check: Check, contract: Contract) -> Test:
    code = _CODES[check.kind]
    column = check.columns[0] if len(check.columns) == 1 else ", ".join(check.columns)
    return Test(name=check.name, code=code, column=column, fails=_fails(check, contract), soft=check.soft)


def _fails(check: Check, contract: Contract) -> pl.Expr:
    match check.kind:
        case "rule":
            sorts = {name: SORTS[column.type] for name, column in contract.columns.items()}
            return ~compiled(parse_rule(check.rule, sorts)).fill_null(value=False)  # unknown is no yes
        case "pattern":
            return ~pl.col(check.columns[0]).str.contains(f"^(?:{check.pattern})$")
        case "length":
            return ~_within(pl.col(check.columns[0]).str.len_chars(), check)
        case "unique":
            key = pl.col(check.columns[0]) if len(check.columns) == 1 else pl.struct(check.columns)
            whole = pl.all_horizontal(pl.col(name).is_not_null() for name in check.columns)
            return key.is_duplicated() & whole
    values = reference_of(contract, check).get_column(check.columns[0])
    return ~pl.col(check.columns[0]).is_in(values.drop_nulls().unique().implode())


def reference_of(contract: Contract, check: Check) -> pl.DataFrame:
    """Return the table that a check refers to.

    Raises:
        InvalidData: It is not there, or lacks the column.
    """
    found = contract.references.get(check.against)
    if found is None or check.columns[0] not in found.columns:
        lacks = "is not there" if found is None else f"lacks the column {check.columns[0]!r}"
        words = f"the check {check.name!r} cannot be evaluated: its reference {lacks}"
        raise InvalidData(words, place=check.against, expected="a CSV or Parquet file of the project with that column")
    return found


def _within(value: pl.Expr, check: Check) -> pl.Expr:
    tests = [pl.lit(value=True)]
    tests += [value >= check.at_least] if check.at_least is not None else []
    tests += [value <= check.at_most] if check.at_most is not None else []
    tests += [value > check.above] if check.above is not None else []
    tests += [value < check.below] if check.below is not None else []
    tests += [~value.is_between(*check.never)] if check.never is not None else []
    return pl.when(value.is_not_null()).then(pl.all_horizontal(tests))


def _new(frame: Table, contract: Contract) -> pl.Series | None:
    """Return which rows are a new client's, or None where nobody is new."""
    new, now = contract.onboarding, contract.now
    if new is None or now is None or now.date() > new.until:
        return None
    return frame.get_column(new.column).is_in(list(new.clients)).fill_null(value=False)


def _warned(test: Test, mask: pl.Series, because: str) -> Warned:
    return Warned(name=test.name, code=test.code, column=test.column, rows=int(mask.sum()), because=because)


def _faults(frame: Table, rows: pl.Series, test: Test, mask: pl.Series) -> pl.DataFrame:
    """Return one fault for each row where a test fails: with the value, or the rule's name where columns disagree."""
    where = rows.filter(mask)
    if test.column in frame.columns:
        shown = frame.get_column(test.column).filter(mask).cast(pl.String)
    else:
        shown = pl.repeat(test.name, where.len(), eager=True)
    every = pl.repeat(value=True, n=where.len(), eager=True, dtype=pl.Boolean)
    return faults_where(every, rows=where, code=test.code, column=test.column, values=shown)


def _outcomes(frame: Table, contract: Contract, new: pl.Series | None) -> tuple[Outcome, ...]:
    """Measure the batch: the rows of clients who are not new, against hard limits; and where there are none, all."""
    checks = [check for check in contract.checks if not check.of_row]
    if not checks:
        return ()
    names = {name for check in checks for name in check.columns} or frame.columns[:1]
    every = frame if isinstance(frame, pl.DataFrame) else frame.pick(names)
    known = every.filter(~new) if new is not None else every
    only_new = known.height == 0 and frame.height > 0
    measured = measuring.measure(every if only_new else known, checks, contract.references, contract.now)
    return tuple(
        Outcome(
            check=check,
            value=value,
            n=max(1, frame.height if only_new else known.height),
            holds=check.holds(value) or (only_new and value is not None),
            words=words or ("only new clients" if only_new and not check.holds(value) else ""),
        )
        for check, (value, words) in zip(checks, measured, strict=True)
    )
