"""Opcodes of the memo: what puts a value under a number, and what gets it back."""

from typing import Final, cast

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import LimitReached
from holdfast.engines.scan.pickles.constants import integer
from holdfast.engines.scan.pickles.machine import Break, Handler, Item, Machine
from holdfast.engines.scan.pickles.memo import MAX_MEMO, MISSING

SPARSE_MEMO: Final = 1 << 20  # indices beyond all that were used, and this many more, make CPython reserve memory


def _remember(machine: Machine, index: int, at: int) -> None:
    count = machine.memo.count
    if index > 2 * count + SPARSE_MEMO:
        words = f"entry {index} of the memo, of which {count} are used: CPython reserves memory for all"
        machine.add(Severity.MEDIUM, "pickle.resources", at, words)
    if count >= MAX_MEMO:
        raise LimitReached("limit.memo", f"more than {MAX_MEMO} entries of a pickle's memo")
    machine.memo.put(index, machine.top(at))


def put(machine: Machine, position: int) -> int:
    """`p`: remember the top under a decimal number."""
    line, after = machine.line(position)
    index = integer(line, position - 1)
    if not isinstance(index, int) or index < 0:
        raise Break(position - 1, "a negative entry of the memo")
    _remember(machine, index, position - 1)
    return after


def binput(width: int) -> Handler:
    """BINPUT and LONG_BINPUT."""

    def remember(machine: Machine, position: int) -> int:
        index, after = machine.number(position, width)
        _remember(machine, index, position - 1)
        return after

    return remember


def memoize(machine: Machine, position: int) -> int:
    """MEMOIZE: remember the top under the next number."""
    _remember(machine, machine.memo.count, position - 1)
    return position


def get(machine: Machine, position: int) -> int:
    """`g`: what was remembered under a decimal number."""
    line, after = machine.line(position)
    index = integer(line, position - 1)
    _recall(machine, index if isinstance(index, int) else -1, position - 1)
    return after


def binget(width: int) -> Handler:
    """BINGET and LONG_BINGET."""

    def recall(machine: Machine, position: int) -> int:
        index, after = machine.number(position, width)
        _recall(machine, index, position - 1)
        return after

    return recall


def _recall(machine: Machine, index: int, at: int) -> None:
    found = machine.memo.got(index)
    if found is MISSING:
        raise Break(at, f"entry {index} of the memo was never made")
    machine.stack.append(cast("Item", found))
