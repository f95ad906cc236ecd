"""The pickle machine, read instead of run: every opcode of protocols 0 to 5 with its effect on stack and memo.

After `pickle.py` and `_pickle.c` of CPython (PSF licence) and PEPs 307, 3154 and 574. Where the two differ, and where
versions differ, this reader takes what any of them takes: a stream goes on here at least as far as in CPython. Nothing
is imported, built or called; whatever would be is handed to a `Judge`. Runs of plain numbers are stepped over by one
regular expression.
"""

import mmap
import re
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from enum import StrEnum
from typing import Final, Protocol

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.pickles.values import (
    BUFFER,
    BYTEARRAY,
    BYTES,
    EMPTY,
    FLOAT,
    FROZENSET,
    INT,
    LIST,
    MAX_ENTRIES,
    MAX_TEXT,
    PERSISTENT,
    SET,
    TEXT,
    UNKNOWN,
    Global,
    Instance,
    Mapping,
    Opaque,
    Tuple,
    Value,
    tuple_of,
)

HIGHEST_PROTOCOL: Final = 5
MAX_MEMO: Final = 20_000_000  # entries; each takes its reader memory too
SPARSE_MEMO: Final = 1 << 20  # indices beyond all that were used, and this many more, make CPython reserve memory
MAX_DIGITS: Final = 4300  # CPython refuses to read a longer number in decimal
MAX_LONG: Final = 1 << 16  # bytes of one integer; a longer one is work for whoever prints it
MAX_WEIGHT: Final = 1_000_000  # elements of a tuple written out; hashing it visits each
STRIDE: Final = 16 << 20  # bytes after which pages that were read are given back
BATCH: Final = 65536  # opcodes between two looks at the limits
MARK_DEPTH: Final = 1_000_000  # marks that are open; each takes its reader memory

_LINE: Final = re.compile(rb"[^\n]*+\n?")
_NUMBERS: Final = (
    rb"(?:G[\x00-\xff]{8}|K[\x00-\xff]|J[\x00-\xff]{4}|M[\x00-\xff]{2}|N|\x88|\x89|\x8a\x01[\x00-\xff]|\x8a\x02[\x00-\xff]{2}"
    rb"|\x8a\x03[\x00-\xff]{3}|\x8a\x04[\x00-\xff]{4}|\x8a\x05[\x00-\xff]{5}|\x8a\x06[\x00-\xff]{6}"
    rb"|\x8a\x07[\x00-\xff]{7}|\x8a\x08[\x00-\xff]{8}|\x95[\x00-\xff]{8})"
)
_RUN: Final = re.compile(_NUMBERS + rb"++")
_DECIMAL: Final = re.compile(r"\s*[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9_]+)\s*[lL]?\s*")


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

    def constant(self, start: int, end: int) -> None:
        """Look at a string of bytes that is long enough to hold a pickle of its own."""


class Break(Exception):
    """CPython stops here with an error: what lies behind is not executed."""

    def __init__(self, at: int, words: str) -> None:
        """Keep the place."""
        super().__init__(words)
        self.at, self.words = at, words


class _Stop(Exception):
    """The stream's own end."""


class Machine:
    """One reader of one stream; its memo begins empty with each pickle."""

    def __init__(
        self, content: Content, examination: Examination, judge: Judge, dialect: Dialect = Dialect.PLAIN
    ) -> None:
        """Start with an empty stack."""
        self.view, self.content, self.examination = content.view, content, examination
        self.judge, self.dialect = judge, dialect
        self.end = len(content.view)
        self.stack: list[Value] = []
        self.marks: list[list[Value]] = []
        self.memo: dict[int, Value] = {}
        self.protocol = 0
        self.arrays: Callable[[Value, int], int] = _no_arrays
        self._released = 0
        self._handlers = _handlers(self)

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
                self._release(position)
        except _Stop:
            return position + 1
        except IndexError:  # of the view, past its end; the stack is checked where it is popped
            raise Break(position, "the stream ends without STOP") from None

    def fork(self, examination: Examination, judge: Judge) -> "Machine":
        """Return a machine in the same state that reads on as CPython's own unpickler would."""
        other = Machine(self.content, examination, judge)
        other.stack, other.marks = list(self.stack), [list(each) for each in self.marks]
        other.memo, other.protocol = dict(self.memo), self.protocol
        return other

    def add(self, severity: Severity, rule: str, at: int, words: str) -> None:
        """Report a finding at a byte."""
        self.examination.add(severity, rule, self.content.at(at), words)

    def _release(self, position: int) -> None:
        """Give pages that were read back to the system, so that a large file does not fill the memory."""
        whole = self.view.obj
        if position - self._released < STRIDE or not isinstance(whole, mmap.mmap) or len(whole) != self.end:
            return
        start = self._released // mmap.PAGESIZE * mmap.PAGESIZE
        whole.madvise(mmap.MADV_DONTNEED, start, position - start)
        self._released = position

    # -- reading arguments

    def _take(self, position: int, length: int) -> int:
        """Return the end of an argument of a length that stands in the stream."""
        if length > self.end - position:
            raise Break(position, f"an argument of {length} bytes, of which {self.end - position} are there")
        return position + length

    def _number(self, position: int, width: int) -> tuple[int, int]:
        after = self._take(position, width)
        return int.from_bytes(self.view[position:after], "little"), after

    def _line(self, position: int) -> tuple[bytes, int]:
        """Return a line without its end, and the position after it.

        At the end of the data CPython drops the last byte, whatever it is.
        """
        found = _LINE.match(self.view, position)
        after = found.end() if found else position
        if after - position < 1:
            raise Break(position, "the stream ends where a line should be")
        return bytes(self.view[position : min(after - 1, position + MAX_TEXT + MAX_DIGITS)]), after

    # -- the stack

    def _pop(self, at: int) -> Value:
        if not self.stack:
            raise Break(at, "the stack is empty")
        return self.stack.pop()

    def _top(self, at: int) -> Value:
        if not self.stack:
            raise Break(at, "the stack is empty")
        return self.stack[-1]

    def _to_mark(self, at: int) -> list[Value]:
        if not self.marks:
            raise Break(at, "there is no mark")
        items, self.stack = self.stack, self.marks.pop()
        return items

    # -- opcodes, in the order of pickletools

    def mark(self, position: int) -> int:
        """`(`: what follows belongs together; a run of plain numbers into a list is stepped over."""
        run = _RUN.match(self.view, position)
        if run and run.end() < self.end and self.stack:
            closing, top = self.view[run.end()], self.stack[-1]
            if (closing == _APPENDS and top is LIST) or (closing == _SETITEMS and isinstance(top, Mapping)):
                self.examination.step((run.end() - position) // 4)
                self._release(run.end())
                return run.end() + 1
        if len(self.marks) >= MARK_DEPTH:
            raise Break(position, f"more than {MARK_DEPTH} open marks")
        self.marks.append(self.stack)
        self.stack = []
        return position

    def stop(self, position: int) -> int:
        """`.`: the end; CPython returns the top of the stack."""
        self._pop(position - 1)
        raise _Stop

    def pop(self, position: int) -> int:
        """`0`: drop the top, or an open mark."""
        if self.stack:
            self.stack.pop()
        else:
            self._to_mark(position - 1)
        return position

    def pop_mark(self, position: int) -> int:
        """`1`: drop everything to the mark."""
        self._to_mark(position - 1)
        return position

    def dup(self, position: int) -> int:
        """`2`: the top once more."""
        self.stack.append(self._top(position - 1))
        return position

    def constant(self, value: Value) -> Callable[[int], int]:
        """Opcodes without argument that push one value."""

        def push(position: int) -> int:
            self.stack.append(value)
            return position

        return push

    def fixed(self, width: int, value: Value) -> Callable[[int], int]:
        """Opcodes with an argument of fixed width whose value nobody needs."""

        def push(position: int) -> int:
            if width > self.end - position:
                raise Break(position, "the stream ends within a number")
            self.stack.append(value)
            return position + width

        return push

    def small(self, width: int, *, signed: bool = False) -> Callable[[int], int]:
        """BININT, BININT1 and BININT2: small integers, which are sizes more often than anything else."""

        def push(position: int) -> int:
            after = position + width
            if after > self.end:
                raise Break(position, "the stream ends within a number")
            self.stack.append(int.from_bytes(self.view[position:after], "little", signed=signed))
            return after

        return push

    def empty_dict(self, position: int) -> int:
        """`}`: a new dictionary."""
        self.stack.append(Mapping())
        return position

    def decimal(self, position: int) -> int:
        """`I` and `L`: a number in digits, in any base that CPython reads; `00` and `01` are booleans."""
        at = position - 1
        line, after = self._line(position)
        opcode = self.view[at]
        if opcode == _INT and line in {b"00", b"01"}:
            self.stack.append(line == b"01")
            return after
        if len(line) > MAX_DIGITS:
            words = f"a number of {after - position} digits, which takes long to read"
            self.add(Severity.MEDIUM, "pickle.resources", at, words)
            self.stack.append(INT)
            return after
        self.stack.append(_integer(line, at))
        return after

    def decimal_float(self, position: int) -> int:
        """`F`: a float in digits."""
        line, after = self._line(position)
        try:
            float(line)
        except ValueError:
            raise Break(position - 1, "not a float") from None
        self.stack.append(FLOAT)
        return after

    def long(self, width: int) -> Callable[[int], int]:
        """LONG1 and LONG4: an integer of any length, little-endian."""

        def push(position: int) -> int:
            length, start = self._number(position, width)
            if width == 4 and length >> 31:
                raise Break(position, "a negative length")
            after = self._take(start, length)
            if length > MAX_LONG:
                words = f"an integer of {length} bytes, which takes long to print"
                self.add(Severity.MEDIUM, "pickle.resources", position - 1, words)
            self.stack.append(int.from_bytes(self.view[start:after], "little", signed=True) if length <= 8 else INT)
            return after

        return push

    def quoted(self, position: int) -> int:
        """`S`: a string in quotes with backslashes, as Python 2 wrote it."""
        at = position - 1
        line, after = self._line(position)
        line = line.strip() if after - position <= MAX_TEXT else line
        if after - position <= MAX_TEXT and not (len(line) >= 2 and line[0] == line[-1] and line[0] in b"\"'"):
            raise Break(at, "a string without quotes")
        self._string(position + 1, after - 2)
        self.stack.append(_unescaped(line[1:-1]) if after - position <= MAX_TEXT else TEXT)
        return after

    def unicode_line(self, position: int) -> int:
        """`V`: a string in raw-unicode-escape."""
        line, after = self._line(position)
        self._string(position, after - 1)
        if after - position > MAX_TEXT:
            self.stack.append(TEXT)
            return after
        try:
            self.stack.append(line.decode("raw-unicode-escape"))
        except UnicodeDecodeError:
            raise Break(position - 1, "a string that cannot be decoded") from None
        return after

    def text(self, width: int, encoding: str = "utf-8") -> Callable[[int], int]:
        """BINUNICODE in its widths, and the binary strings of Python 2."""

        def push(position: int) -> int:
            length, start = self._number(position, width)
            if encoding != "utf-8" and width == 4 and length >> 31:
                raise Break(position, "a negative length")
            after = start + length
            if after > self.end:
                raise Break(position, "the stream ends within a string")
            if length > MAX_TEXT:
                self._string(start, after)
                self.stack.append(TEXT)
                return after
            if length >= _HIDING:
                self._string(start, after)
            try:
                self.stack.append(str(self.view[start:after], encoding, "surrogatepass"))
            except UnicodeDecodeError:
                raise Break(position - 1, "a string that is not UTF-8") from None
            return after

        return push

    def short_text(self, position: int) -> int:
        """SHORT_BINUNICODE: the most frequent opcode of all."""
        start = position + 1
        after = start + self.view[position]
        if after > self.end:
            raise Break(position, "the stream ends within a string")
        if after - start >= _HIDING:
            self._string(start, after)
        try:
            self.stack.append(str(self.view[start:after], "utf-8", "surrogatepass"))
        except UnicodeDecodeError:
            raise Break(position - 1, "a string that is not UTF-8") from None
        return after

    def octets(self, width: int, value: Value) -> Callable[[int], int]:
        """BINBYTES in its widths, and BYTEARRAY8."""

        def push(position: int) -> int:
            length, start = self._number(position, width)
            after = self._take(start, length)
            if length >= _HIDING:
                self._string(start, after)
            self.stack.append(value)
            return after

        return push

    def _string(self, start: int, end: int) -> None:
        if end - start >= _HIDING:
            self.judge.constant(start, end)

    def list_(self, position: int) -> int:
        """`l`: a list of everything to the mark."""
        self._to_mark(position - 1)
        self.stack.append(LIST)
        return position

    def dict_(self, position: int) -> int:
        """`d`: a dictionary of everything to the mark."""
        items = self._to_mark(position - 1)
        found = Mapping()
        self._enter_pairs(found, items, position - 1)
        self.stack.append(found)
        return position

    def tuple_(self, position: int) -> int:
        """`t`: a tuple of everything to the mark."""
        items = self._to_mark(position - 1)
        self.stack.append(self._tuple(items, position - 1))
        return position

    def tuples(self, count: int) -> Callable[[int], int]:
        """TUPLE1 to TUPLE3: a tuple of the topmost."""

        def push(position: int) -> int:
            if len(self.stack) < count:
                raise Break(position - 1, "the stack is empty")
            items = self.stack[-count:]
            del self.stack[-count:]
            self.stack.append(self._tuple(items, position - 1))
            return position

        return push

    def _tuple(self, items: list[Value], at: int) -> Tuple:
        found = tuple_of(items)
        if found.weight > MAX_WEIGHT and found.weight > 2 * found.length:
            words = f"a tuple of tuples with {found.weight:.3g} elements when written out: hashing it does not end"
            self.add(Severity.MEDIUM, "pickle.resources", at, words)
        return found

    def frozenset_(self, position: int) -> int:
        """FROZENSET: of everything to the mark."""
        self._to_mark(position - 1)
        self.stack.append(FROZENSET)
        return position

    def append(self, position: int) -> int:
        """`a`: into the list below."""
        self._pop(position - 1)
        self._fill(self._top(position - 1), LIST, "APPEND", position - 1)
        return position

    def appends(self, position: int) -> int:
        """`e`: everything to the mark into the list below."""
        items = self._to_mark(position - 1)
        target = self._top(position - 1)
        if items or target is not LIST:
            self._fill(target, LIST, "APPENDS", position - 1)
        return position

    def additems(self, position: int) -> int:
        """ADDITEMS: everything to the mark into the set below."""
        self._to_mark(position - 1)
        self._fill(self._top(position - 1), SET, "ADDITEMS", position - 1)
        return position

    def setitem(self, position: int) -> int:
        """`s`: one pair into the dictionary below."""
        value = self._pop(position - 1)
        key = self._pop(position - 1)
        self._enter_pairs(self._top(position - 1), [key, value], position - 1)
        return position

    def setitems(self, position: int) -> int:
        """`u`: pairs to the mark into the dictionary below."""
        items = self._to_mark(position - 1)
        self._enter_pairs(self._top(position - 1), items, position - 1)
        return position

    def _enter_pairs(self, target: Value, items: list[Value], at: int) -> None:
        if not isinstance(target, Mapping):
            self.judge.fills(target, "SETITEMS", at)
            return
        for key, value in zip(items[::2], items[1::2], strict=False):
            if len(target.entries) >= MAX_ENTRIES:
                return
            if isinstance(key, str):
                target.entries[key] = value

    def _fill(self, target: Value, honest: Opaque, opcode: str, at: int) -> None:
        if target is not honest:
            self.judge.fills(target, opcode, at)

    # -- the memo

    def _remember(self, index: int, at: int) -> None:
        if index not in self.memo:
            if len(self.memo) >= MAX_MEMO:
                raise Break(at, f"more than {MAX_MEMO} entries of the memo")
            if index > 2 * len(self.memo) + SPARSE_MEMO:
                words = (
                    f"entry {index} of the memo, of which {len(self.memo)} are used: CPython reserves memory for all"
                )
                self.add(Severity.MEDIUM, "pickle.resources", at, words)
        self.memo[index] = self._top(at)

    def put(self, position: int) -> int:
        """`p`: remember the top under a decimal number."""
        line, after = self._line(position)
        index = _integer(line, position - 1)
        if not isinstance(index, int) or index < 0:
            raise Break(position - 1, "a negative entry of the memo")
        self._remember(index, position - 1)
        return after

    def binput(self, width: int) -> Callable[[int], int]:
        """BINPUT and LONG_BINPUT."""

        def remember(position: int) -> int:
            index, after = self._number(position, width)
            self._remember(index, position - 1)
            return after

        return remember

    def memoize(self, position: int) -> int:
        """MEMOIZE: remember the top under the next number."""
        memo = self.memo
        if not self.stack:
            raise Break(position - 1, "the stack is empty")
        if len(memo) >= MAX_MEMO:
            raise Break(position - 1, f"more than {MAX_MEMO} entries of the memo")
        memo[len(memo)] = self.stack[-1]
        return position

    def get(self, position: int) -> int:
        """`g`: what was remembered under a decimal number."""
        line, after = self._line(position)
        index = _integer(line, position - 1)
        self._recall(index if isinstance(index, int) else -1, position - 1)
        return after

    def binget(self, width: int) -> Callable[[int], int]:
        """BINGET and LONG_BINGET."""

        def recall(position: int) -> int:
            index, after = self._number(position, width)
            self._recall(index, position - 1)
            return after

        return recall

    def _recall(self, index: int, at: int) -> None:
        if index not in self.memo:
            raise Break(at, f"entry {index} of the memo was never made")
        self.stack.append(self.memo[index])

    # -- what executes

    def global_(self, position: int) -> int:
        """`c`: import a name."""
        module, after = self._name(position)
        name, after = self._name(after)
        self._import(module, name, position - 1)
        return after

    def stack_global(self, position: int) -> int:
        """STACK_GLOBAL: import a name that lies on the stack, wherever it came from."""
        name, module = self._pop(position - 1), self._pop(position - 1)
        if not isinstance(module, str) or not isinstance(name, str):
            if _may_be_text(module) and _may_be_text(name):
                words = "an import whose name is not in the stream as a short string"
                self.add(Severity.HIGH, "pickle.unknown-callable", position - 1, words)
                self.stack.append(UNKNOWN)
                return position
            raise Break(position - 1, "an import whose name is not a string")
        self._import(module, name, position - 1)
        return position

    def _import(self, module: str, name: str, at: int) -> None:
        found = Global(module, name, at)
        self.judge.imports(found)
        self.stack.append(found)

    def _name(self, position: int) -> tuple[str, int]:
        line, after = self._line(position)
        if after - position > MAX_TEXT:
            words = f"an imported name of {after - position} bytes"
            self.add(Severity.HIGH, "pickle.unknown-callable", position, words)
        try:
            return line.decode("utf-8"), after
        except UnicodeDecodeError:
            raise Break(position, "an imported name that is not UTF-8") from None

    def extension(self, width: int) -> Callable[[int], int]:
        """EXT1, EXT2 and EXT4: an import by a number that each installation assigns."""

        def push(position: int) -> int:
            code, after = self._number(position, width)
            words = f"an import by the number {code}, which copyreg.add_extension gives to any name"
            self.add(Severity.HIGH, "pickle.extension", position - 1, words)
            self.stack.append(UNKNOWN)
            return after

        return push

    def persistent_line(self, position: int) -> int:
        """`P`: an object by a name that the program gives a meaning."""
        line, after = self._line(position)
        self._persistent(line.decode("ascii", "replace"), position - 1)
        return after

    def persistent(self, position: int) -> int:
        """BINPERSID: an object by a value on the stack."""
        self._persistent(self._pop(position - 1), position - 1)
        return position

    def _persistent(self, identity: Value, at: int) -> None:
        if not (self.dialect is Dialect.TORCH and _is_storage(identity)):
            words = "an object that only the program behind this file can make (persistent id)"
            self.add(Severity.MEDIUM, "pickle.persistent-id", at, words)
        self.stack.append(PERSISTENT)

    def reduce(self, position: int) -> int:
        """`R`: call."""
        args, callee = self._pop(position - 1), self._pop(position - 1)
        self.stack.append(self.judge.calls(How.CALL, callee, _arguments(args), position - 1))
        return position

    def newobj(self, position: int) -> int:
        """NEWOBJ: a new object of a class, without its initialiser."""
        args, cls = self._pop(position - 1), self._pop(position - 1)
        self.stack.append(self.judge.calls(How.NEW, cls, _arguments(args), position - 1))
        return position

    def newobj_ex(self, position: int) -> int:
        """NEWOBJ_EX: the same with keyword arguments."""
        named, args, cls = (self._pop(position - 1) for _ in range(3))
        given = _arguments(args)
        items = [*given.items, named]
        both = Tuple(tuple(items), given.length + 1, given.weight + 1)
        self.stack.append(self.judge.calls(How.NEW, cls, both, position - 1))
        return position

    def inst(self, position: int) -> int:
        """`i`: import a class and call it with everything to the mark."""
        module, after = self._name(position)
        name, after = self._name(after)
        args = self._tuple(self._to_mark(position - 1), position - 1)
        found = Global(module, name, position - 1)
        self.judge.imports(found)
        self.stack.append(self.judge.calls(How.CALL, found, args, position - 1))
        return after

    def obj(self, position: int) -> int:
        """`o`: call the first after the mark with the others."""
        items = self._to_mark(position - 1)
        if not items:
            raise Break(position - 1, "nothing to call")
        self.stack.append(self.judge.calls(How.CALL, items[0], self._tuple(items[1:], position - 1), position - 1))
        return position

    def build(self, position: int) -> int:
        """`b`: set the state of the object below; joblib writes an array's raw bytes after it."""
        state = self._pop(position - 1)
        target = self._pop(position - 1)
        built = self.judge.builds(target, state, position - 1)
        self.stack.append(built)
        return self.arrays(built, position)

    # -- what carries no meaning

    def proto(self, position: int) -> int:
        """PROTO: which protocol is used."""
        number, after = self._number(position, 1)
        if number > HIGHEST_PROTOCOL:
            raise Break(position - 1, f"protocol {number}; the highest is {HIGHEST_PROTOCOL}")
        self.protocol = number
        return after

    def frame(self, position: int) -> int:
        """FRAME: how much to read ahead. Readers differ in whether they mind a wrong length."""
        length, after = self._number(position, 8)
        if length > self.end - after:
            words = f"a frame of {length} bytes, of which {self.end - after} are there"
            self.add(Severity.MEDIUM, "pickle.malformed", position - 1, words)
        return after

    def readonly_buffer(self, position: int) -> int:
        """READONLY_BUFFER: the top, but not to be changed."""
        self._top(position - 1)
        return position

    def unknown(self, position: int) -> int:
        """Any byte that is no opcode."""
        raise Break(position - 1, f"{self.view[position - 1]:#04x} is no opcode")


def _no_arrays(_built: Value, position: int) -> int:
    return position


_HIDING: Final = 16  # bytes; a shorter pickle cannot import anything and call it
_APPENDS: Final = ord("e")
_SETITEMS: Final = ord("u")
_INT: Final = ord("I")


def _handlers(machine: Machine) -> list[Callable[[int], int]]:
    """Return what each of the 256 bytes does."""
    table: MappingOf[int | str, Callable[[int], int]] = {
        "(": machine.mark,
        ".": machine.stop,
        "0": machine.pop,
        "1": machine.pop_mark,
        "2": machine.dup,
        "F": machine.decimal_float,
        "G": machine.fixed(8, FLOAT),
        "I": machine.decimal,
        "L": machine.decimal,
        "J": machine.small(4, signed=True),
        "K": machine.small(1),
        "M": machine.small(2),
        0x8A: machine.long(1),
        0x8B: machine.long(4),
        "N": machine.constant(None),
        0x88: machine.constant(value=True),
        0x89: machine.constant(value=False),
        "S": machine.quoted,
        "T": machine.text(4, "latin-1"),
        "U": machine.text(1, "latin-1"),
        "V": machine.unicode_line,
        "X": machine.text(4),
        0x8C: machine.short_text,
        0x8D: machine.text(8),
        "B": machine.octets(4, BYTES),
        "C": machine.octets(1, BYTES),
        0x8E: machine.octets(8, BYTES),
        0x96: machine.octets(8, BYTEARRAY),
        0x97: machine.constant(BUFFER),
        0x98: machine.readonly_buffer,
        "]": machine.constant(LIST),
        "l": machine.list_,
        "a": machine.append,
        "e": machine.appends,
        "}": machine.empty_dict,
        "d": machine.dict_,
        "s": machine.setitem,
        "u": machine.setitems,
        ")": machine.constant(EMPTY),
        "t": machine.tuple_,
        0x85: machine.tuples(1),
        0x86: machine.tuples(2),
        0x87: machine.tuples(3),
        0x8F: machine.constant(SET),
        0x90: machine.additems,
        0x91: machine.frozenset_,
        "p": machine.put,
        "q": machine.binput(1),
        "r": machine.binput(4),
        0x94: machine.memoize,
        "g": machine.get,
        "h": machine.binget(1),
        "j": machine.binget(4),
        "c": machine.global_,
        0x93: machine.stack_global,
        0x82: machine.extension(1),
        0x83: machine.extension(2),
        0x84: machine.extension(4),
        "P": machine.persistent_line,
        "Q": machine.persistent,
        "R": machine.reduce,
        0x81: machine.newobj,
        0x92: machine.newobj_ex,
        "i": machine.inst,
        "o": machine.obj,
        "b": machine.build,
        0x80: machine.proto,
        0x95: machine.frame,
    }
    found: list[Callable[[int], int]] = [machine.unknown] * 256
    for opcode, handler in table.items():
        found[opcode if isinstance(opcode, int) else ord(opcode)] = handler
    return found


def _integer(line: bytes, at: int) -> Value:
    text = line.decode("latin-1")
    if len(text) > MAX_DIGITS or not _DECIMAL.fullmatch(text):
        raise Break(at, "not a number")
    digits = text.strip().rstrip("lL")
    try:
        return int(digits, 0)
    except ValueError:
        try:
            return int(digits, 10)  # C reads leading zeros
        except ValueError:
            raise Break(at, "not a number") from None


def _unescaped(quoted: bytes) -> Value:
    try:
        return quoted.decode("unicode-escape")
    except UnicodeDecodeError:
        return TEXT


def _may_be_text(value: Value) -> bool:
    return isinstance(value, str | Instance) or value is TEXT or value is UNKNOWN or value is PERSISTENT


def _arguments(value: Value) -> Tuple:
    return value if isinstance(value, Tuple) else Tuple((value,), -1, 1)


def _is_storage(identity: Value) -> bool:
    """Return whether a persistent id is torch's: ("storage", a storage class, key, device, number of elements)."""
    if not isinstance(identity, Tuple) or identity.length not in {5, 6} or not identity.items:
        return False
    word, storage, key, device, count, *_ = identity.items
    named = isinstance(storage, Global) and storage.module in {"torch", "torch.storage"}
    return word == "storage" and named and all(isinstance(each, str) for each in (key, device)) and type(count) is int
