"""One examination: contents inside contents, recognised by their bytes, within limits that all of them share.

`Examination.enter` is how every scanner hands on what it found inside: it recognises the content, keeps count of depth,
members and expanded bytes, and reports whatever it may not read. Names decide nothing, except that a name which claims
to be a pickle makes the pickle scanner look where nothing else would have.
"""

import mmap
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.report import Findings, shown

IN_MEMORY: Final = 8 << 20  # bytes of an expanded member that are kept in memory; a longer one is a mapped file


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one scanned file may ask for; beyond each there is a finding, never a wider limit."""

    depth: int = 8  # contents inside one another; a torch archive in a zip in a layer is three
    members: int = 100_000  # of all archives together; the largest sharded checkpoints have a few thousand
    expanded_bytes: int = 8 << 30  # of everything decompressed
    steps: int = 400_000_000  # opcodes, fields and nodes of all formats together


@dataclass(frozen=True, slots=True)
class Content:
    """Bytes to scan and the path to them: `model.zip!/archive/data.pkl` is a member of a file."""

    view: memoryview
    path: str

    def at(self, offset: int) -> str:
        """Return where in this content something was found."""
        return f"{self.path} byte {offset}"

    def inside(self, name: str) -> str:
        """Return the path of a member with a foreign name."""
        return f"{self.path}!/{shown(name.lstrip('/'))}"


class LimitReached(Exception):
    """A limit of the whole examination: nothing more of the file is read, and a finding says so."""

    def __init__(self, rule: str, words: str) -> None:
        """Keep what the finding will say."""
        super().__init__(words)
        self.rule, self.words = rule, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format: how its bytes are known, and what scans them.

    `known` looks at the content and says whether readers of this format would take it; `scan` reports.
    """

    name: str
    known: Callable[[memoryview], bool]
    scan: Callable[[Content, "Examination"], None]


@dataclass(slots=True)
class Used:
    """What an examination has used up of its limits."""

    depth: int = 0
    members: int = 0
    expanded: int = 0
    steps: int = 0


class Examination:
    """The scan of one file: where its scanners report, and what they have used up together."""

    def __init__(
        self,
        findings: Findings,
        recognise: "Callable[[Content, Examination], Iterable[Format]]",
        limits: Limits,
    ) -> None:
        """Start with nothing used."""
        self.findings, self.limits = findings, limits
        self.formats: list[str] = []  # of the file and what is inside it, in the order met, each once
        self._recognise = recognise
        self._used = Used()

    def aside(self) -> "Examination":
        """Return an examination that uses up the same limits and reports for itself: for looking before believing."""
        other = Examination(Findings(), self._recognise, self.limits)
        other._used = self._used
        return other

    def absorb(self, other: "Examination") -> None:
        """Take over what was found aside."""
        for found in other.findings.kept:
            self.findings.add(found.severity, found.rule, found.place, found.message)
        for name in other.formats:
            self.note(name)

    def add(self, severity: Severity, rule: str, place: str, words: str) -> None:
        """Report a finding."""
        self.findings.add(severity, rule, place, words)

    def file(self, content: Content) -> None:
        """Scan a whole file; a limit that is reached ends the scan with a finding."""
        try:
            self.enter(content)
        except LimitReached as reached:
            self.add(Severity.HIGH, reached.rule, content.path, f"{reached.words}; the rest was not scanned")

    def enter(self, content: Content, known_as: Format | None = None) -> None:
        """Scan a content with every format that its bytes could be, or with the one it was found to be."""
        if self._used.depth >= self.limits.depth:
            words = f"contents nested deeper than {self.limits.depth}"
            self.add(Severity.HIGH, "limit.depth", content.path, f"{words}; this one was not scanned")
            return
        self._used.depth += 1
        try:
            for each in (known_as,) if known_as else self._recognise(content, self):
                self.note(each.name)
                each.scan(content, self)
        finally:
            self._used.depth -= 1

    def note(self, name: str) -> None:
        """Take down that a content of a format was met."""
        if name and name not in self.formats:
            self.formats.append(name)

    def member(self) -> None:
        """Count one member of an archive.

        Raises:
            LimitReached: There were too many.
        """
        self._used.members += 1
        if self._used.members > self.limits.members:
            raise LimitReached("limit.members", f"more than {self.limits.members} members of archives")

    def step(self, count: int) -> None:
        """Count work that was done.

        Raises:
            LimitReached: It was too much.
        """
        self._used.steps += count
        if self._used.steps > self.limits.steps:
            raise LimitReached("limit.steps", f"more than {self.limits.steps} steps")

    def expand(self, pieces: Iterable[bytes]) -> memoryview:
        """Return decompressed pieces as one view, in memory while they are few, in an unnamed file beyond.

        Whatever the iterable raises for damaged data comes through.

        Raises:
            LimitReached: All that was expanded in this examination is too much.
        """
        kept, size, spilled = list[bytes](), 0, None
        for piece in pieces:
            self._used.expanded += len(piece)
            if self._used.expanded > self.limits.expanded_bytes:
                raise LimitReached("limit.expanded", f"more than {self.limits.expanded_bytes} bytes when decompressed")
            kept.append(piece)
            size += len(piece)
            if spilled is None and size > IN_MEMORY:
                spilled = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the map's end
            if spilled is not None:
                spilled.writelines(kept)
                kept.clear()
        if spilled is None:
            return memoryview(b"".join(kept))
        with spilled:
            spilled.flush()
            return memoryview(mmap.mmap(spilled.fileno(), 0, access=mmap.ACCESS_READ))
