"""Opcodes that arrange values: marks, tuples, lists, dictionaries, sets; and those that mean nothing."""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import LimitReached
from holdfast.engines.scan.pickles import runs
from holdfast.engines.scan.pickles.machine import NO_FENCE, Break, Handler, Machine, Stop
from holdfast.engines.scan.pickles.memo import Part
from holdfast.engines.scan.pickles.runs import Run
from holdfast.engines.scan.pickles.values import (
    FROZENSET,
    LIST,
    MAX_ENTRIES,
    SET,
    Mapping,
    Opaque,
    Tuple,
    Value,
    tuple_of,
)

HIGHEST_PROTOCOL: Final = 5
MAX_WEIGHT: Final = 1_000_000  # elements of a tuple written out; hashing it visits each
MARK_DEPTH: Final = 1_000_000  # marks that are open; each takes its reader memory


def mark(machine: Machine, position: int) -> int:
    """`(`: what follows belongs together; a run of plain values is stepped over."""
    if len(machine.marks) >= MARK_DEPTH:
        raise LimitReached("limit.marks", f"more than {MARK_DEPTH} open marks of a pickle")
    machine.marks.append(machine.stack)
    machine.stack = []
    return _step_over(machine, position)


def _step_over(machine: Machine, position: int) -> int:
    if machine.one_by_one:
        return position
    position = machine.leap(position)
    while (run := runs.match(machine.view, position, memo=machine.memo.dense)) is not None:
        if position < machine.fence < run.end:
            return position  # an item of it may go on behind its frame: one by one
        machine.memo.add_run(run)
        machine.stack.append(run)
        machine.examination.step((run.end - position) // 4)
        machine.release(run.end)
        position = run.end
    return position


def stop(machine: Machine, position: int) -> int:
    """`.`: the end; CPython returns the top of the stack."""
    machine.pop(position - 1)
    raise Stop(position)


def pop(machine: Machine, position: int) -> int:
    """`0`: drop the top, or an open mark."""
    if machine.stack:
        machine.pop(position - 1)
    else:
        machine.to_mark(position - 1)
    return position


def pop_mark(machine: Machine, position: int) -> int:
    """`1`: drop everything to the mark."""
    machine.to_mark(position - 1)
    return position


def dup(machine: Machine, position: int) -> int:
    """`2`: the top once more."""
    machine.stack.append(machine.top(position - 1))
    return position


def empty_dict(machine: Machine, position: int) -> int:
    """`}`: a new dictionary."""
    machine.stack.append(Mapping())
    return position


def list_(machine: Machine, position: int) -> int:
    """`l`: a list of everything to the mark."""
    machine.to_mark(position - 1)
    machine.stack.append(LIST)
    return position


def dict_(machine: Machine, position: int) -> int:
    """`d`: a dictionary of everything to the mark."""
    items = machine.opened(machine.to_mark(position - 1))
    found = Mapping()
    _enter_pairs(machine, found, items, position - 1)
    machine.stack.append(found)
    return position


def tuple_(machine: Machine, position: int) -> int:
    """`t`: a tuple of everything to the mark."""
    items = machine.opened(machine.to_mark(position - 1))
    machine.stack.append(tuple_from(machine, items, position - 1))
    return position


def tuples(count: int) -> Handler:
    """TUPLE1 to TUPLE3: a tuple of the topmost."""

    def push(machine: Machine, position: int) -> int:
        items = [machine.pop(position - 1) for _ in range(count)]
        machine.stack.append(tuple_from(machine, items[::-1], position - 1))
        return position

    return push


def tuple_from(machine: Machine, items: list[Value], at: int) -> Tuple:
    """Return a tuple; one that does not end when it is hashed is reported."""
    found = tuple_of(items)
    if found.weight > MAX_WEIGHT and found.weight > 2 * found.length:
        words = f"a tuple of tuples with {found.weight:.3g} elements when written out: hashing it does not end"
        machine.add(Severity.MEDIUM, "pickle.resources", at, words)
    return found


def frozenset_(machine: Machine, position: int) -> int:
    """FROZENSET: of everything to the mark."""
    machine.to_mark(position - 1)
    machine.stack.append(FROZENSET)
    return position


def append(machine: Machine, position: int) -> int:
    """`a`: into the list below."""
    machine.pop(position - 1)
    _fill(machine, machine.top(position - 1), LIST, "APPEND", position - 1)
    return position


def appends(machine: Machine, position: int) -> int:
    """`e`: everything to the mark into the list below."""
    items = machine.to_mark(position - 1)
    target = machine.top(position - 1)
    if items or target is not LIST:
        _fill(machine, target, LIST, "APPENDS", position - 1)
    return position


def additems(machine: Machine, position: int) -> int:
    """ADDITEMS: everything to the mark into the set below."""
    machine.to_mark(position - 1)
    _fill(machine, machine.top(position - 1), SET, "ADDITEMS", position - 1)
    return position


def setitem(machine: Machine, position: int) -> int:
    """`s`: one pair into the dictionary below."""
    value = machine.pop(position - 1)
    key = machine.pop(position - 1)
    _enter_pairs(machine, machine.top(position - 1), [key, value], position - 1)
    return position


def setitems(machine: Machine, position: int) -> int:
    """`u`: pairs to the mark into the dictionary below."""
    items = machine.to_mark(position - 1)
    target = machine.top(position - 1)
    if isinstance(target, Mapping) and items and all(isinstance(item, Run | Part) for item in items):
        target.whole = False  # plain values only: whoever asks for them is told that they are not known
        return position
    _enter_pairs(machine, target, machine.opened(items), position - 1)
    return position


def _enter_pairs(machine: Machine, target: Value, items: list[Value], at: int) -> None:
    if not isinstance(target, Mapping):
        machine.judge.fills(target, "SETITEMS", at)
        return
    for key, value in zip(items[::2], items[1::2], strict=False):
        if len(target.entries) >= MAX_ENTRIES:
            return
        if isinstance(key, str):
            target.entries[key] = value


def _fill(machine: Machine, target: Value, honest: Opaque, opcode: str, at: int) -> None:
    if target is not honest:
        machine.judge.fills(target, opcode, at)


def proto(machine: Machine, position: int) -> int:
    """PROTO: which protocol is used."""
    number, after = machine.number(position, 1)
    if number > HIGHEST_PROTOCOL:
        raise Break(position - 1, f"protocol {number}; the highest is {HIGHEST_PROTOCOL}")
    machine.protocol = number
    return after


def frame(machine: Machine, position: int) -> int:
    """FRAME: how much to read ahead. Readers differ in whether they mind a wrong length."""
    length, after = machine.number(position, 8)
    if length > machine.end - after:
        words = f"a frame of {length} bytes, of which {machine.end - after} are there"
        machine.add(Severity.MEDIUM, "pickle.malformed", position - 1, words)
    _read_ahead(machine, after, length)
    return _step_over(machine, after) if machine.stack and isinstance(machine.stack[-1], Run | Part) else after


def _read_ahead(machine: Machine, start: int, length: int) -> None:
    """Set the end of what readers of a file have read ahead: a frame inside another changes nothing, if it fits."""
    if start < machine.frames_from:
        return
    inside = start <= machine.fence < NO_FENCE
    if inside and start + length <= machine.fence:
        return
    if inside and start < machine.fence:
        machine.crossed(start)
    machine.fence = start + length


def readonly_buffer(machine: Machine, position: int) -> int:
    """READONLY_BUFFER: the top, but not to be changed."""
    machine.top(position - 1)
    return position


def unknown(machine: Machine, position: int) -> int:
    """Any byte that is no opcode."""
    raise Break(position - 1, f"{machine.view[position - 1]:#04x} is no opcode")
