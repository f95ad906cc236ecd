"""The pickle machine, read instead of run: every opcode of protocols 0 to 5 with its effect on stack and memo.

After `pickle.py` and `_pickle.c` of CPython (PSF licence) and PEPs 307, 3154 and 574. Where the two differ, and where
versions differ, this reader takes what any of them takes: a stream goes on here at least as far as in CPython. Nothing
is imported, built or called; whatever would be is handed to a `Judge`. Runs of plain numbers are stepped over by one
regular expression.
"""

import mmap
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import partial
from types import MethodType
from typing import Final, Protocol, TypeAlias, cast

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.pickles import runs
from holdfast.engines.scan.pickles.memo import Memo, Part, Recall
from holdfast.engines.scan.pickles.runs import Run
from holdfast.engines.scan.pickles.values import MAX_TEXT, Global, Tuple, Value

TORCH_START: Final = re.compile(rb"\x80[\x00-\x05](?:\x95[\x00-\xff]{8})?\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19\.")
"""The integer with which `torch.save` began before it wrote zip archives, as any protocol pickles it."""
MAX_DIGITS: Final = 4300  # CPython refuses to read a longer number in decimal
STRIDE: Final = 16 << 20  # bytes after which pages that were read are given back
BATCH: Final = 65536  # opcodes between two looks at the limits

NO_FENCE: Final = 1 << 63  # behind every byte

_LINE: Final = re.compile(rb"[^\n]*+\n?")
Item: TypeAlias = Value | Run | Part | Recall
Again: TypeAlias = "Callable[[Machine, Memo, Part], list[Item]]"
Handler: TypeAlias = "Callable[[Machine, int], int]"
"""What an opcode does: takes the machine and the position after the opcode, returns the position of the next."""


class Dialect(StrEnum):
    """Who reads the stream: what persistent ids mean, and what lies between opcodes."""

    PLAIN = "plain"
    JOBLIB = "joblib"
    TORCH = "torch"


class How(StrEnum):
    """What loading does with a callable."""

    CALL = "call"  # REDUCE, INST and OBJ: callable(*args)
    NEW = "new"  # NEWOBJ and NEWOBJ_EX: class.__new__(class, *args)


class Judge(Protocol):
    """Who decides what the stream's imports and calls mean."""

    def imports(self, found: Global) -> None:
        """Take notice of an import."""

    def calls(self, how: How, callee: Value, args: Tuple, at: int) -> Value:
        """Judge a call and return what it would give back."""

    def builds(self, target: Value, state: Value, at: int) -> Value:
        """Judge BUILD and return the target as it is afterwards."""

    def fills(self, target: Value, opcode: str, at: int) -> None:
        """Judge that something which is no list, dictionary or set is filled like one."""

    def elsewhere(self, content: Content) -> "Judge":
        """Return a judge of other bytes that remembers imports together with this one."""

    def constant(self, start: int, end: int) -> None:
        """Look at a string of bytes that is long enough to hold a pickle of its own."""


class Break(Exception):
    """CPython stops here with an error: what lies behind is not executed."""

    def __init__(self, at: int, words: str) -> None:
        """Keep the place."""
        super().__init__(words)
        self.at, self.words = at, words


class Stop(Exception):
    """The stream's own end."""

    def __init__(self, after: int) -> None:
        """Keep the offset after it."""
        super().__init__()
        self.after = after


class Machine:
    """One reader of one stream; its memo begins empty with each pickle."""

    def __init__(
        self,
        content: Content,
        examination: Examination,
        judge: Judge,
        table: "Sequence[Handler]",
        again: "Again",
        dialect: Dialect = Dialect.PLAIN,
    ) -> None:
        """Start with an empty stack; `table` says what each of the 256 bytes does, `again` reads parts once more."""
        self.view, self.content, self.examination = content.view, content, examination
        self.judge, self.dialect = judge, dialect
        self.end = len(content.view)
        self.stack: list[Item] = []
        self.marks: list[list[Item]] = []
        self._again = again
        self.memo = Memo(content.view, partial(again, self))
        self.protocol = 0
        self.fence = NO_FENCE  # where the frame ends that was read ahead
        self.frames_from = 0  # frames before it are over
        self.crossed: Callable[[int], None] = _nothing
        self.arrays: Callable[[Value, int], int] = no_arrays
        self.identities: list[Value] | None = None  # persistent ids met, for whoever knows what they stand for
        self.leap: Callable[[int], int] = _stay  # over a stretch of plain values
        self.one_by_one = False  # whether runs are not stepped over
        self.released = 0
        self._table = table
        self._handlers = [MethodType(handler, self) for handler in table]

    def run(self, start: int) -> int:
        """Read one pickle and return the offset after its STOP.

        Raises:
            Break: CPython would stop with an error.
            LimitReached: The examination has read enough.
        """
        view, handlers, position = self.view, self._handlers, start
        try:
            while True:
                for _ in range(BATCH):
                    position = handlers[view[position]](position + 1)
                self.examination.step(BATCH)
                self.release(position)
        except Stop as stop:
            return stop.after
        except IndexError:  # of the view, past its end; the stack is checked where it is popped
            raise Break(position, "the stream ends without STOP") from None

    def step(self, position: int) -> int:
        """Read one opcode and return the position of the next."""
        return self._table[self.view[position]](self, position + 1)

    def apart(self, judge: Judge, memo: Memo) -> "Machine":
        """Return a machine of its own for a part of the stream, which reads opcode by opcode."""
        other = Machine(self.content, self.examination, judge, self._table, self._again)
        other.memo, other.one_by_one = memo, True
        return other

    def fork(self, examination: Examination, judge: Judge) -> "Machine":
        """Return a machine in the same state that reads on as CPython's own unpickler would."""
        other = Machine(self.content, examination, judge, self._table, self._again)
        other.stack, other.marks = list(self.stack), [list(each) for each in self.marks]
        other.memo, other.protocol = self.memo.copy(), self.protocol
        return other

    def add(self, severity: Severity, rule: str, at: int, words: str) -> None:
        """Report a finding at a byte."""
        self.examination.add(severity, rule, self.content.at(at), words)

    def release(self, position: int) -> None:
        """Give pages that were read back to the system, so that a large file does not fill the memory."""
        whole = self.view.obj
        if position - self.released < STRIDE or not isinstance(whole, mmap.mmap) or len(whole) != self.end:
            return
        start = self.released // mmap.PAGESIZE * mmap.PAGESIZE
        whole.madvise(mmap.MADV_DONTNEED, start, position - start)
        self.released = position

    # -- reading arguments

    def take(self, position: int, length: int) -> int:
        """Return the end of an argument of a length that stands in the stream."""
        if length > self.end - position:
            raise Break(position, f"an argument of {length} bytes, of which {self.end - position} are there")
        if position < self.fence < position + length:
            self.crossed(position)
        return position + length

    def number(self, position: int, width: int) -> tuple[int, int]:
        """Return an unsigned number of a width, and the position after it."""
        after = self.take(position, width)
        return int.from_bytes(self.view[position:after], "little"), after

    def line(self, position: int) -> tuple[bytes, int]:
        """Return a line without its end, and the position after it.

        At the end of the data CPython drops the last byte, whatever it is.
        """
        found = _LINE.match(self.view, position)
        after = found.end() if found else position
        if after - position < 1:
            raise Break(position, "the stream ends where a line should be")
        if position < self.fence < after:
            self.crossed(position)
        return bytes(self.view[position : min(after - 1, position + MAX_TEXT + MAX_DIGITS)]), after

    # -- the stack

    def pop(self, at: int) -> Value:
        """Take the top."""
        if not self.stack:
            raise Break(at, "the stack is empty")
        found = self.stack.pop()
        if isinstance(found, Run | Part | Recall):
            self.stack += self._unfolded(found)
            return self.pop(at)  # a run has at least one item, or nothing but a frame
        return found

    def top(self, at: int) -> Value:
        """Look at the top."""
        found = self.pop(at)
        self.stack.append(found)
        return found

    def to_mark(self, at: int) -> "list[Item]":
        """Take everything to the mark, runs unopened."""
        if not self.marks:
            raise Break(at, "there is no mark")
        items, self.stack = self.stack, self.marks.pop()
        return items

    def opened(self, items: "list[Item]") -> list[Value]:
        """Return items with those of runs in their place."""
        found = list[Value]()
        for item in items:
            if isinstance(item, Run | Part | Recall):
                found += self.opened(self._unfolded(item))
            else:
                found.append(item)
        return found

    def _unfolded(self, item: Run | Part | Recall) -> list[Item]:
        """Return the values that were stepped over, or the one that was got."""
        if isinstance(item, Run):
            return [*runs.items(self.view, item)]
        if isinstance(item, Recall):
            return [cast("Value", self.memo.resolved(item))]
        return self._again(self, self.memo, item)


def _stay(position: int) -> int:
    """Leap nowhere."""
    return position


def _nothing(_position: int) -> None:
    """Take no notice of an argument that goes on behind its frame."""


def no_arrays(_built: Value, position: int) -> int:
    """Leave the position: nothing but opcodes is expected."""
    return position
