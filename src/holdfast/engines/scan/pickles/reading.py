"""Whole files of pickles: one after another, with and without a header, and whatever lies behind the last.

A stream that CPython would stop in is reported with what it has done by then. Bytes that nobody reads are a finding.
"""

import re
from contextlib import suppress
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination, Format
from holdfast.engines.scan.pickles import arrays
from holdfast.engines.scan.pickles.allowed import shipped
from holdfast.engines.scan.pickles.judge import AllowListJudge
from holdfast.engines.scan.pickles.machine import Break, Dialect, Machine
from holdfast.engines.scan.pickles.values import Instance, Value

PROTO: Final = 0x80
FIRST_PROTOCOL, LAST_PROTOCOL = 0, 5
TORCH_MAGIC: Final = b"\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The integer with which `torch.save` began before it wrote zip archives, as any protocol pickles it."""
MAX_PICKLES: Final = 100_000  # in one file, one after another
_NAME: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_PICKLE_NAME: Final = re.compile(
    r"\.(?:p|pk|pkl|pickle|pck|pcl|pt|pth|ckpt|bin|joblib|jl|sav|model|mdl|dat|data|npy|dill|cloudpickle|th|pyt)$",
    re.IGNORECASE,
)


def known(view: memoryview) -> bool:
    """Return whether a content begins as a pickle of protocol 2 or later, and is not torch's older format."""
    if len(view) < 2 or view[0] != PROTO or not FIRST_PROTOCOL <= view[1] <= LAST_PROTOCOL:
        return False
    return bytes(view[2 : 2 + len(TORCH_MAGIC)]) != TORCH_MAGIC


def scan(content: Content, examination: Examination) -> None:
    """Scan a file of one pickle or several, and what lies behind them."""
    position = 0
    for _ in range(MAX_PICKLES):
        position = walk(content, examination, start=position)
        if position < 0 or position == len(content.view):
            return
        rest = content.view[position:]
        if not known(rest):
            break
    _rest(content, position, examination)


def _rest(content: Content, position: int, examination: Examination) -> None:
    """Report bytes behind a pickle, and scan them as whatever they are."""
    rest = content.view[position:]
    words = f"{len(rest)} bytes behind the end of the pickle, which its reader leaves unread"
    examination.add(Severity.MEDIUM, "pickle.trailing", content.at(position), words)
    examination.enter(Content(rest, f"{content.path}!/from byte {position}"))


def walk(content: Content, examination: Examination, *, start: int = 0, dialect: Dialect = Dialect.PLAIN) -> int:
    """Scan one pickle and return the offset after its STOP, or -1 where loading would stop with an error.

    Args:
        content: The bytes; offsets in findings count from their beginning.
        examination: Where to report.
        start: Where the pickle begins.
        dialect: Who will read it.
    """
    judge = AllowListJudge(content, examination, shipped(), HEADERLESS)
    return _walk(Machine(content, examination, judge, dialect), start)


def _walk(machine: Machine, start: int) -> int:
    machine.arrays = _Arrays(machine).skip
    try:
        return machine.run(start)
    except Break as error:
        unread = machine.end - error.at
        words = f"loading stops here ({error.words}), {unread} bytes before the end"
        machine.add(Severity.MEDIUM, "pickle.malformed", error.at, words)
        return -1


class _Arrays:
    """What joblib reads between opcodes, and what others read there."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def skip(self, built: Value, position: int) -> int:
        """Return where opcodes go on after a BUILD: behind the raw bytes of an array, if it was joblib's wrapper."""
        machine = self.machine
        if not isinstance(built, Instance) or built.of != arrays.WRAPPER:
            return position
        self._as_others(position)
        size = arrays.size(built)
        if size == arrays.OBJECTS:
            inner = Machine(machine.content, machine.examination, machine.judge, machine.dialect)
            inner.arrays = self.skip
            return inner.run(position)
        if size == arrays.UNKNOWN_SIZE:
            raise Break(position, "an array whose size is not in the stream")
        if arrays.padded(built):
            if position >= machine.end:
                raise Break(position, "the stream ends within an array")
            position += 1 + machine.view[position]
        if size > machine.end - position:
            raise Break(position, f"an array of {size} bytes, of which {machine.end - position} are there")
        machine.stack[-1] = Instance("numpy.ndarray")
        return position + size

    def _as_others(self, position: int) -> None:
        """Read on as `pickle.load` would, which takes an array's bytes for opcodes: they may have been chosen so."""
        machine = self.machine
        aside = machine.examination.aside()
        judge = AllowListJudge(machine.content, aside, shipped(), HEADERLESS)
        with suppress(Break):
            machine.fork(aside, judge).run(position)
        if judge.imported:
            words = "an array whose bytes are opcodes to anybody but joblib"
            machine.add(Severity.HIGH, "pickle.two-readings", position, words)
            machine.examination.absorb(aside)


def scan_headerless(content: Content, examination: Examination, *, text: bool = True) -> bool:
    """Scan what may be a pickle without a header, or one inside a constant; report and return true only if it is one.

    It is one if it imports something before loading stops, if it is whole, or if its name says so and nothing else
    makes sense of it.

    Args:
        content: The bytes.
        examination: Where to report.
        text: Whether it could be text instead.
    """
    aside = examination.aside()
    judge = AllowListJudge(content, aside, shipped(), HEADERLESS)
    end = _walk(Machine(content, aside, judge), 0)
    imports = any(_NAME.fullmatch(f"{module}.{name}") for module, name in judge.imported)
    named = _PICKLE_NAME.search(content.path) is not None
    if not (imports or 1 < end == len(content.view) or (named and (end > 0 or not text))):
        return False
    aside.formats.append(FORMAT.name)
    examination.absorb(aside)
    if 0 <= end < len(content.view):
        _rest(content, end, examination)
    return True


def _scan_constant(content: Content, examination: Examination) -> None:
    scan_headerless(content, examination)


FORMAT: Final = Format(name="pickle", known=known, scan=scan)
HEADERLESS: Final = Format(name="pickle?", known=lambda _view: False, scan=_scan_constant)
