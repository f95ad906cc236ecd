"""What lay in a part of the stream that was leapt over: read again, opcode by opcode, where something asks for it."""

from holdfast.engines.scan.examination import Content
from holdfast.engines.scan.pickles.machine import How, Item, Machine
from holdfast.engines.scan.pickles.memo import MISSING, Memo, Part
from holdfast.engines.scan.pickles.values import LIST, UNKNOWN, Global, Mapping, Tuple, Value


class _Absent(Exception):
    """An entry of another part has to be read first."""

    def __init__(self, part: Part) -> None:
        self.part = part


class _Silent:
    """A judge of what was proved to be plain: nothing of it is imported or called."""

    def imports(self, found: Global) -> None:
        """Take no notice."""

    def calls(self, _how: How, _callee: Value, _args: Tuple, _at: int) -> Value:
        """Answer with nothing that is known."""
        return UNKNOWN

    def builds(self, target: Value, _state: Value, _at: int) -> Value:
        """Leave the target."""
        return target

    def fills(self, target: Value, opcode: str, at: int) -> None:
        """Take no notice."""

    def elsewhere(self, _content: Content) -> "_Silent":
        """Stay the same."""
        return self

    def constant(self, start: int, end: int) -> None:
        """Take no notice: it was looked at."""


class _Again(Memo):
    """The memo while a part is read again: its entries are kept in the memo of the whole stream."""

    def __init__(self, whole: Memo, first: int) -> None:
        self.whole, self.count, self.dense = whole, first, True

    def put(self, index: int, value: Value) -> None:
        self.whole.keep(index, value)
        self.count = index + 1

    def get(self, index: int) -> Value | object:
        if index >= self.count:
            return MISSING
        if (part := self.whole.part(index)) is not None:
            raise _Absent(part)
        return self.whole.get(index)


def read_again(machine: Machine, memo: Memo, part: Part) -> list[Item]:
    """Return what a part pushes, with what it remembers kept in the memo.

    A part may take entries that other parts make, and those others': they are read first, without recursion.

    Raises:
        LimitReached: All that takes too many steps.
    """
    waiting = [part]
    while True:
        try:
            pushed = _read(machine, memo, waiting[-1])
        except _Absent as absent:
            waiting.append(absent.part)
            continue
        waiting.pop()
        if not waiting:
            return pushed


def _read(machine: Machine, memo: Memo, part: Part) -> list[Item]:
    other = machine.apart(_Silent(), _Again(memo, part.first))
    other.marks = [[Mapping(whole=False) if part.closing == ord("u") else LIST]]
    position, steps = part.start, 0
    try:
        while position < part.end:
            position = other.step(position)
            steps += 1
    finally:
        machine.examination.step(steps)
    return other.stack
