"""Opcodes that push numbers, strings and bytes."""

import codecs
import re
import warnings
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.pickles.machine import MAX_DIGITS, Break, Handler, Machine
from holdfast.engines.scan.pickles.nested import HIDING
from holdfast.engines.scan.pickles.values import FLOAT, INT, MAX_TEXT, TEXT, Constant, Value

MAX_LONG: Final = 1 << 16  # bytes of one integer; a longer one is work for whoever prints it
_INT: Final = ord("I")
_DECIMAL: Final = re.compile(r"\s*[+-]?(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+|[0-9_]+)\s*[lL]?\s*")


def constant(value: Value) -> Handler:
    """Opcodes without argument that push one value."""

    def push(machine: Machine, position: int) -> int:
        machine.stack.append(value)
        return position

    return push


def fixed(width: int, value: Value) -> Handler:
    """Opcodes with an argument of fixed width whose value nobody needs."""

    def push(machine: Machine, position: int) -> int:
        after = machine.take(position, width)
        machine.stack.append(value)
        return after

    return push


def small(width: int, *, signed: bool = False) -> Handler:
    """BININT, BININT1 and BININT2: small integers, which are sizes more often than anything else."""

    def push(machine: Machine, position: int) -> int:
        after = machine.take(position, width)
        machine.stack.append(int.from_bytes(machine.view[position:after], "little", signed=signed))
        return after

    return push


def decimal(machine: Machine, position: int) -> int:
    """`I` and `L`: a number in digits, in any base that CPython reads; `00` and `01` are booleans."""
    at = position - 1
    line, after = machine.line(position)
    opcode = machine.view[at]
    if opcode == _INT and line in {b"00", b"01"}:
        machine.stack.append(line == b"01")
        return after
    if opcode == _INT and line[:1] == b"\0":  # C reads nothing, finds its end of a string, and is content with 0
        machine.stack.append(0)
        return after
    if len(line) > MAX_DIGITS:
        words = f"a number of {after - position} digits, which takes long to read"
        machine.add(Severity.MEDIUM, "pickle.resources", at, words)
        machine.stack.append(INT)
        return after
    machine.stack.append(integer(line, at))
    return after


def decimal_float(machine: Machine, position: int) -> int:
    """`F`: a float in digits."""
    line, after = machine.line(position)
    try:
        float(line.partition(b"\0")[0])
    except ValueError:
        raise Break(position - 1, "not a float") from None
    machine.stack.append(FLOAT)
    return after


def long(width: int) -> Handler:
    """LONG1 and LONG4: an integer of any length, little-endian."""

    def push(machine: Machine, position: int) -> int:
        length, start = machine.number(position, width)
        if width == 4 and length >> 31:
            raise Break(position, "a negative length")
        after = machine.take(start, length)
        if length > MAX_LONG:
            words = f"an integer of {length} bytes, which takes long to print"
            machine.add(Severity.MEDIUM, "pickle.resources", position - 1, words)
        machine.stack.append(int.from_bytes(machine.view[start:after], "little", signed=True) if length <= 8 else INT)
        return after

    return push


def quoted(machine: Machine, position: int) -> int:
    """`S`: a string in quotes with backslashes, as Python 2 wrote it."""
    at = position - 1
    line, after = machine.line(position)
    line = line.strip() if after - position <= MAX_TEXT else line
    if after - position <= MAX_TEXT and not (len(line) >= 2 and line[0] == line[-1] and line[0] in b"\"'"):
        raise Break(at, "a string without quotes")
    _string(machine, position + 1, after - 2)
    machine.stack.append(_unescaped(line[1:-1], at) if after - position <= MAX_TEXT else TEXT)
    return after


def unicode_line(machine: Machine, position: int) -> int:
    """`V`: a string in raw-unicode-escape."""
    line, after = machine.line(position)
    _string(machine, position, after - 1)
    if after - position > MAX_TEXT:
        machine.stack.append(Constant("str", position, after - 1, "raw-unicode-escape"))
        return after
    try:
        machine.stack.append(line.decode("raw-unicode-escape"))
    except UnicodeDecodeError:
        raise Break(position - 1, "a string that cannot be decoded") from None
    return after


def text(width: int, encoding: str = "utf-8") -> Handler:
    """BINUNICODE in its widths, and the binary strings of Python 2."""

    def push(machine: Machine, position: int) -> int:
        length, start = machine.number(position, width)
        if encoding != "utf-8" and width == 4 and length >> 31:
            raise Break(position, "a negative length")
        after = machine.take(start, length)
        if length > MAX_TEXT:
            _string(machine, start, after)
            machine.stack.append(Constant("str", start, after, encoding))
            return after
        if length >= HIDING:
            _string(machine, start, after)
        try:
            machine.stack.append(str(machine.view[start:after], encoding, "surrogatepass"))
        except UnicodeDecodeError:
            raise Break(position - 1, "a string that is not UTF-8") from None
        return after

    return push


def short_text(machine: Machine, position: int) -> int:
    """SHORT_BINUNICODE: the most frequent opcode of all."""
    start = position + 1
    after = machine.take(start, machine.view[position])
    if after - start >= HIDING:
        _string(machine, start, after)
    try:
        machine.stack.append(str(machine.view[start:after], "utf-8", "surrogatepass"))
    except UnicodeDecodeError:
        raise Break(position - 1, "a string that is not UTF-8") from None
    return after


def octets(width: int, kind: str) -> Handler:
    """BINBYTES in its widths, and BYTEARRAY8."""

    def push(machine: Machine, position: int) -> int:
        length, start = machine.number(position, width)
        after = machine.take(start, length)
        if length >= HIDING:
            _string(machine, start, after)
        machine.stack.append(Constant(kind, start, after))
        return after

    return push


def integer(line: bytes, at: int) -> Value:
    """Return a number in digits as CPython reads it: to a zero byte, which ends a string of C."""
    text = line.partition(b"\0")[0].decode("latin-1")
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


def _unescaped(quoted: bytes, at: int) -> Value:
    """Return a quoted string as `pickle` reads it: escapes of bytes, not of text."""
    if b"\\" not in quoted:
        return quoted.decode("latin-1")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an escape that nobody knows stands for itself
            return bytes(codecs.escape_decode(quoted)[0]).decode("latin-1")
    except ValueError:
        raise Break(at, "a string with a broken escape") from None


def _string(machine: Machine, start: int, end: int) -> None:
    if end - start >= HIDING:
        machine.judge.constant(start, end)
