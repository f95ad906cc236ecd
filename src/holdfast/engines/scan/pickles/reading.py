"""Whole files of pickles: one after another, with and without a header, and whatever lies behind the last.

A stream that CPython would stop in is reported with what it has done by then. Bytes that nobody reads are a finding.
"""

import re
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination, Format
from holdfast.engines.scan.pickles import arrays
from holdfast.engines.scan.pickles.allowed import shipped
from holdfast.engines.scan.pickles.judge import AllowListJudge
from holdfast.engines.scan.pickles.machine import TORCH_START, Break, Dialect, Machine
from holdfast.engines.scan.pickles.table import new_machine
from holdfast.engines.scan.pickles.values import Instance, Value

PROTO: Final = 0x80
FIRST_PROTOCOL, LAST_PROTOCOL = 0, 5
MAX_PICKLES: Final = 100_000  # in one file, one after another
MAX_CROSSED: Final = 5  # arguments behind their frames that are followed; no honest stream has one
MAX_SPLICED: Final = 64 << 20  # bytes of a stream that is put together as a reader of a file sees it
LEAPS: Final = 1 << 20  # bytes of a stream for which numpy is loaded
DELIBERATE: Final = frozenset(
    f"pickle.{rule}"
    for rule in (
        "dangerous-import",
        "unknown-import",
        "dangerous-call",
        "unknown-call",
        "unknown-shape",
        "extension",
        "build-on-import",
    )
)
"""What numbers that are read as opcodes do not come to by chance: they would have to name something."""
NEVER_BY_CHANCE: Final = frozenset({"pickle.dangerous-import", "pickle.dangerous-call", "pickle.extension"})
"""The same for an array of objects: its pickle counts its memo from zero, and who goes on with the memo of the stream
around it takes other strings of the file for names."""
_NAME: Final = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*")
_PICKLE_NAME: Final = re.compile(
    r"\.(?:p|pk|pkl|pickle|pck|pcl|pt|pth|ckpt|bin|joblib|jl|sav|model|mdl|dat|data|npy|dill|cloudpickle|th|pyt)$",
    re.IGNORECASE,
)


def known(view: memoryview) -> bool:
    """Return whether a content begins as a pickle of protocol 2 or later, and is not torch's older format."""
    if len(view) < 2 or view[0] != PROTO or not FIRST_PROTOCOL <= view[1] <= LAST_PROTOCOL:
        return False
    return not TORCH_START.match(view)


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


def walk(
    content: Content,
    examination: Examination,
    *,
    start: int = 0,
    dialect: Dialect = Dialect.PLAIN,
    judge: AllowListJudge | None = None,
    identities: list[Value] | None = None,
) -> int:
    """Scan one pickle and return the offset after its STOP, or -1 where loading would stop with an error.

    Args:
        content: The bytes; offsets in findings count from their beginning.
        examination: Where to report.
        start: Where the pickle begins.
        dialect: Who will read it.
        judge: Who judges imports and calls, where a reader resolves some of them by itself.
        identities: Where to keep the persistent ids that it names.
    """
    machine = new_machine(content, examination, judge or judge_of(content, examination), dialect)
    machine.identities = identities
    return read_pickle(machine, start)


def judge_of(content: Content, examination: Examination) -> AllowListJudge:
    """Return the judge of a content by the allow-list that comes with Holdfast."""
    return AllowListJudge(content, examination, shipped(), HEADERLESS)


def read_pickle(machine: Machine, start: int) -> int:
    """Let a machine read one pickle and return the offset after its STOP, or -1 where loading would stop."""
    machine.arrays = joblib_arrays(machine)
    machine.crossed = _Frames(machine, start).crossed
    if machine.end - start >= LEAPS:
        machine.leap = import_module("holdfast.engines.scan.pickles.leaps").Leaps(machine).over
    try:
        return machine.run(start)
    except Break as error:
        unread = machine.end - error.at
        words = f"loading stops here ({error.words}), {unread} bytes before the end"
        machine.add(Severity.MEDIUM, "pickle.malformed", error.at, words)
        return -1


class _Frames:
    """What readers of a file see where an argument goes on behind its frame.

    `_pickle.c` has read the frame ahead. Where an argument needs more, it drops what is left of the frame and reads the
    argument from behind it; `pickle.loads`, which has all bytes, reads on. So a name can be two names.
    """

    def __init__(self, machine: Machine, start: int, seen: int = 0) -> None:
        self.machine, self.start, self.seen = machine, start, seen

    def crossed(self, position: int) -> None:
        """Report an argument that goes on behind its frame, and scan the stream as readers of a file see it."""
        machine, self.seen = self.machine, self.seen + 1
        words = "an argument goes on behind its frame: readers of files and of bytes see other values"
        machine.add(Severity.HIGH, "pickle.two-readings", position, words)
        if self.seen > MAX_CROSSED or machine.end > MAX_SPLICED:
            return
        seen = memoryview(bytes(machine.view[:position]) + bytes(machine.view[machine.fence :]))
        content = Content(seen, f"{machine.content.path} from byte {position} as a file")
        judge = machine.judge.elsewhere(content)
        other = new_machine(content, machine.examination, judge, machine.dialect)
        other.frames_from = position
        other.crossed = _Frames(other, self.start, self.seen).crossed
        with suppress(Break):
            other.run(self.start)


def joblib_arrays(machine: Machine) -> Callable[[Value, int], int]:
    """Return what makes a machine step over the raw arrays that joblib writes between opcodes."""
    return _Arrays(machine).skip


class _Arrays:
    """What joblib reads between opcodes, and what others read there."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine

    def skip(self, built: Value, position: int) -> int:
        """Return where opcodes go on after a BUILD: behind the raw bytes of an array, if it was joblib's wrapper."""
        machine = self.machine
        if not isinstance(built, Instance) or built.of != arrays.WRAPPER:
            return position
        size = arrays.size(built)
        self._as_others(position, NEVER_BY_CHANCE if size == arrays.OBJECTS else DELIBERATE)
        if size == arrays.OBJECTS:
            inner = new_machine(machine.content, machine.examination, machine.judge, machine.dialect)
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

    def _as_others(self, position: int, telling: frozenset[str]) -> None:
        """Read on as `pickle.load` would, which takes an array's bytes for opcodes: they may have been chosen so."""
        machine = self.machine
        if machine.dialect is Dialect.JOBLIB:
            return  # whoever says so reads it with joblib
        aside = machine.examination.aside()
        judge = AllowListJudge(machine.content, aside, shipped(), HEADERLESS)
        with suppress(Break):
            machine.fork(aside, judge).run(position)
        if any(found.rule in telling for found in aside.findings.kept):
            words = "an array whose bytes are opcodes to anybody but joblib"
            machine.add(Severity.HIGH, "pickle.two-readings", position, words)
            machine.examination.absorb(aside)


def scan_headerless(content: Content, examination: Examination, *, known_as_other: bool = False) -> bool:
    """Scan what may be a pickle without a header, or one inside a constant; report and return true only if it is one.

    It is one if it imports something before loading stops, if it is whole, or if it ends somewhere and its name says
    that it is one. What readers of another format take as well is one only if it imports or calls what the allow-list
    does not have: an honest archive may hold a pickle that its own first bytes lead to by chance.
    """
    aside = examination.aside()
    judge = AllowListJudge(content, aside, shipped(), HEADERLESS)
    end = read_pickle(new_machine(content, aside, judge), 0)
    imports = any(_NAME.fullmatch(f"{module}.{name}") for module, name in judge.imported)
    named = _PICKLE_NAME.search(content.path) is not None
    by_itself = imports or 1 < end == len(content.view) or (named and end > 0)
    harms = imports and any(found.rule in DELIBERATE for found in aside.findings.kept)
    if not (harms if known_as_other else by_itself):
        return False
    aside.note(FORMAT.name)
    examination.absorb(aside)
    if 0 <= end < len(content.view):
        _rest(content, end, examination)
    return True


def _scan_constant(content: Content, examination: Examination) -> None:
    scan_headerless(content, examination)


FORMAT: Final = Format(name="pickle", known=known, scan=scan)
HEADERLESS: Final = Format(name="", known=lambda _view: False, scan=_scan_constant)
