"""What lay in a part of the stream that was leapt over: read again, opcode by opcode, where something asks for it."""

from holdfast.engines.scan.examination import Content
from holdfast.engines.scan.pickles.machine import How, Item, Machine
from holdfast.engines.scan.pickles.memo import MISSING, Memo, Part, Recall
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
    """The memo while a part is read again: its entries are kept in the memo of the whole stream when all is read.

    A dictionary that was kept before is taken as it is now: it may have been filled since.
    """

    def __init__(self, whole: Memo, part: Part) -> None:
        self.whole, self.count, self.dense, self.changes = whole, part.first, True, part.changes
        self.made: dict[int, Value] = {}
        self.before: Mapping | None = None  # the dictionary under the number that was put last, if it was kept before

    def put(self, index: int, value: Value) -> None:
        kept = self.whole.kept(index)
        if kept is MISSING:
            self.made[index] = value
        self.before = kept if isinstance(kept, Mapping) else None
        self.count = index + 1

    def got(self, index: int) -> Value | object:
        if index >= self.count:
            return MISSING
        if index in self.made:
            return self.made[index]
        if self.whole.part(index, self.changes) is not None:
            return Recall(index=index, changes=self.changes)
        return self.whole.was(index, self.changes)

    def resolved(self, recall: Recall) -> Value | object:
        if (part := self.whole.part(recall.index, recall.changes)) is not None:
            raise _Absent(part)
        return self.whole.was(recall.index, recall.changes)

    def keep_made(self) -> None:
        """Keep the entries."""
        for index, value in self.made.items():
            self.whole.keep(index, value)


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
    again = _Again(memo, part)
    other = machine.apart(_Silent(), again)
    other.marks = [[Mapping(whole=False) if part.closing == ord("u") else LIST]]
    position, steps, filled = part.start, 0, list[tuple[Mapping, dict[str, Value], bool]]()
    try:
        while position < part.end:
            position = other.step(position)
            steps += 1
            if again.before is not None:
                filled.append((again.before, dict(again.before.entries), again.before.whole))
                other.stack[-1], again.before = again.before, None
        again.keep_made()
    finally:
        machine.examination.step(steps)
        for mapping, entries, whole in filled:  # what this part puts into it, it had before
            mapping.entries, mapping.whole = entries, whole
    return other.stack
