"""Contracts as files: read from and written to the open standard, and compared; no workspace, nothing on record."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from holdfast.core.checks import Check
from holdfast.core.errors import InvalidInput
from holdfast.core.project import parse_project
from holdfast.core.schema import Column
from holdfast.lifecycle.inputs import read_given, read_project_file
from holdfast.lifecycle.reply import Progress, Reply, Table, counted, silent

if TYPE_CHECKING:
    from holdfast.engines.odcs import DataContract

SHOWN: Final = 200  # rows of one table on a screen; the document has all
BOUNDS: Final = ("at_least", "at_most", "above", "below")
TIGHTER: Final = frozenset({"minimum", "maximum", "allowed", "nullable", "type"})  # parts of a column that refuse rows


def imported(*, path: Path, table: str = "", leave_out: str = "", tell: Callable[[Progress], None] = silent) -> Reply:
    """Say as tables of a project file what a contract of the open standard declares.

    Raises:
        InvalidInput: It is no contract, or holds what cannot be checked and was not named as left out.
    """
    del tell
    contract = read_file(path, table, leave_out)
    from holdfast.engines.odcs_writing import write_tables

    document = {"table": contract.table, "columns": contract.columns, "checks": contract.checks, **aside(contract)}
    text = _notes(contract) + write_tables(contract.columns, contract.checks)
    return Reply(says="", document=document, text=text)


def exported(root: Path, *, tell: Callable[[Progress], None] = silent, version: str = "1.0.0") -> Reply:
    """Write the columns and checks of a project as a contract of the open standard.

    Raises:
        InvalidProject: The project file is missing or wrong.
    """
    del tell
    from holdfast.engines.odcs import DataContract
    from holdfast.engines.odcs_writing import write_contract

    project, _ = parse_project(read_project_file(root / "holdfast.toml"))
    contract = DataContract(
        id=project.project.name,
        name=project.project.name,
        version=version,
        status="active",
        table=Path(project.data.source).stem,
        columns=project.data.columns,
        checks=project.data.checks,
        critical=project.data.critical,
    )
    text = write_contract(contract)
    return Reply(says="", document={"contract": text}, text=text)


def diff(*, before: Path, after: Path, table: str = "", tell: Callable[[Progress], None] = silent) -> Reply:
    """Compare two contracts: what became stricter, looser, new or gone, and whether that breaks anybody.

    Raises:
        InvalidInput: One is no contract.
    """
    del tell
    first, second = (read_file(path, table, "*") for path in (before, after))
    changes = [*_column_changes(first.columns, second.columns), *_check_changes(first.checks, second.checks)]
    breaking = [change for change in changes if change[3] == "breaking"]
    says = f"{counted(len(changes), 'difference')}, {len(breaking)} of them breaking."
    if not changes:
        says = "The contracts declare the same."
    document = {"differences": [dict(zip(("kind", "name", "change", "effect"), each, strict=True)) for each in changes]}
    tables = [Table(title="Differences", columns=("kind", "name", "change", "effect"), rows=changes)] if changes else []
    return Reply(says=says, document=document, tables=tables, exit_code=1 if breaking else 0)


def read_file(path: Path, table: str, leave_out: str) -> "DataContract":
    """Return the contract in a file.

    Raises:
        InvalidInput: It is no contract, or holds what cannot be checked and was not named as left out.
    """
    from holdfast.engines.odcs import MAX_CONTRACT, read_contract

    document = read_given(path, limit=MAX_CONTRACT + 1, what="the contract")
    names = _Every() if leave_out == "*" else {name.strip() for name in leave_out.split(",") if name.strip()}
    try:
        return read_contract(document, table=table, leave_out=names)
    except InvalidInput as error:
        remedy = "Correct the contract, or name what shall not be checked with --leave-out."
        raise InvalidInput(error.message, place=path.name, expected=error.expected, remedy=remedy) from error


class _Every(frozenset[str]):
    """Every name there could be."""

    def __contains__(self, _: object) -> bool:
        """Say yes."""
        return True


def aside(contract: "DataContract") -> dict[str, Any]:
    """Return what of a contract is not checked, for a document."""
    return {"left_out": list(contract.left_out), "for_people": list(contract.for_people)}


def said(contract: "DataContract") -> str:
    """Return what of a contract is not checked, in words."""
    words = f" Not checked, as was asked: {', '.join(contract.left_out)}." if contract.left_out else ""
    return words + (f" For people only: {'; '.join(contract.for_people)}." if contract.for_people else "")


def _notes(contract: "DataContract") -> str:
    lines = [f"# From the contract {contract.id} {contract.version}, table {contract.table}."]
    lines += [f"# Not checked, as was asked: {name}" for name in contract.left_out]
    lines += [f"# For people: {each}" for each in contract.for_people]
    formats = list(contract.timestamp_formats)
    lines += [f"# Under [data]: timestamp_formats = {formats}"] if formats else []
    return "".join("".join(char if char.isprintable() else " " for char in line) + "\n" for line in lines)


def limits(check: Check) -> str:
    """Return what a check demands, in words."""
    return check.rule or check.pattern or check.limits() or (f"as in {check.against}" if check.against else "each once")


def weight(check: Check) -> str:
    """Say whether breaking a check refuses or warns."""
    return "warns" if check.soft else "hard"


def _column_changes(before: Mapping[str, Column], after: Mapping[str, Column]) -> Iterator[tuple[str, str, str, str]]:
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield "column", name, "gone", "breaking"
        elif name not in before:
            yield "column", name, "new", "breaking" if not after[name].nullable else "compatible"
        else:
            for field in msgspec.structs.fields(Column):
                old, new = getattr(before[name], field.name), getattr(after[name], field.name)
                if old != new:
                    effect = "breaking" if field.name in TIGHTER and not _wider(field.name, old, new) else "compatible"
                    yield "column", name, f"{field.name}: {_word(old)} → {_word(new)}", effect


def _wider(field: str, old: Any, new: Any) -> bool:
    """Say whether every value that was accepted still is."""
    match field:
        case "nullable":
            return bool(new)
        case "minimum":
            return new is None or (old is not None and new <= old)
        case "maximum":
            return new is None or (old is not None and new >= old)
        case "allowed":
            return not new or (bool(old) and set(old) <= set(new))
    return False


def _check_changes(before: Sequence[Check], after: Sequence[Check]) -> Iterator[tuple[str, str, str, str]]:
    old, new = ({each.name: each for each in checks} for checks in (before, after))
    for name in dict.fromkeys((*old, *new)):
        if name not in new:
            yield "check", name, "gone", "compatible"
        elif name not in old:
            yield (
                "check",
                name,
                f"new: {new[name].kind} {limits(new[name])}",
                "compatible" if new[name].soft else "breaking",
            )
        elif old[name] != new[name]:
            changed = f"{limits(old[name])} ({weight(old[name])}) → {limits(new[name])} ({weight(new[name])})"
            lets = new[name].soft or (not old[name].soft and _looser(old[name], new[name]))
            yield "check", name, changed, "compatible" if lets else "breaking"


def _looser(old: Check, new: Check) -> bool:
    """Say whether whatever held before still does: the same is looked at, and every bound is as wide or wider.

    A span that is never allowed, and values or patterns that are counted, are not compared: another one breaks.
    """
    free = dict.fromkeys(BOUNDS) | {"because": "", "soft": False}
    if msgspec.structs.replace(old, **free) != msgspec.structs.replace(new, **free):
        return False
    lows = (old.at_least, old.above), (new.at_least, new.above)
    highs = (old.at_most, old.below), (new.at_most, new.below)
    return _within(*lows, 1.0) and _within(*highs, -1.0)


def _within(old: tuple[float | None, float | None], new: tuple[float | None, float | None], up: float) -> bool:
    """Say whether a pair of bounds, one with its value and one without, lies no further in than another pair."""
    told = [[(up * bound, strict) for strict, bound in enumerate(pair) if bound is not None] for pair in (old, new)]
    return not told[1] or (bool(told[0]) and max(told[1]) <= max(told[0]))


def _word(value: Any) -> str:
    return (
        "none" if value is None or value in {"", ()} else ", ".join(value) if isinstance(value, tuple) else str(value)
    )
