"""Zip archives: what the directory says against what stands before each member, and every byte between them.

Readers differ: some believe the directory, some the local headers, some walk from the front; some check flags and
checksums, some (torch's among them) do not. A clean scan says that all of them find the same members, and each member
was scanned as each reader would read it.
"""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import zip_records as records
from holdfast.engines.scan.containers.names import Seen, check_link, check_name
from holdfast.engines.scan.containers.zip_layout import check_layout
from holdfast.engines.scan.containers.zip_members import Members
from holdfast.engines.scan.containers.zip_records import End, Header
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.text import MAX_TEXT, looks_executable

MAX_DIRECTORIES: Final = 4  # end records that are followed; one is honest, and each is a reading of the whole archive
_SYMLINK, _KIND = 0o120000, 0o170000
_TAR_MAGIC, _SEVENZIP = b"ustar", b"7z\xbc\xaf\x27\x1c"


def known(view: memoryview) -> bool:
    """Return whether readers of zip archives would open it: it starts with a member, or an end record closes it.

    Python's reader takes an end record with anything after it. Tar and 7z archives end with bytes of their last member,
    which their scanners enter, so such a record inside one of those does not make it a zip archive.
    """
    if bytes(view[:4]) == records.LOCAL:
        return True
    for at in records.ends(view):
        end = records.end_record(view, at)
        if end.after != len(view) and (bytes(view[257:262]) == _TAR_MAGIC or bytes(view[:6]) == _SEVENZIP):
            continue
        if end.count == end.size == 0 or any(
            bytes(view[start : start + 4]) == records.CENTRAL for start in _starts(end)
        ):
            return True
    return False


def _starts(end: End) -> tuple[int, ...]:
    """Return where readers look for the directory: before its end, and where the end record says."""
    near = end.records - end.size
    return tuple(start for start in dict.fromkeys((near, end.offset)) if start >= 0)


def scan(content: Content, examination: Examination) -> None:
    """Report what readers of an archive disagree about, and scan what each of them would read."""
    _Archive(content, examination).scan()


class _Archive:
    """One archive: each directory that readers could find, and the members of all of them."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.examination, self.view = content, examination, content.view
        self.members = Members(content, examination)

    def add(self, severity: Severity, rule: str, at: int, words: str) -> None:
        self.examination.add(severity, rule, self.content.at(at), words)

    def scan(self) -> None:
        """Read the last directory first, as most readers do, then the bytes it leaves, then other directories."""
        found = records.ends(self.view)
        if not found:
            words = "an archive without an end record; its members are scanned as they stand"
            self.add(Severity.MEDIUM, "zip.malformed", len(self.view), words)
            self.members.walk(0, len(self.view), hidden=False)
            return
        end = records.end_record(self.view, found[0])
        start, entries = self._directory(end)
        self.members.read(entries)
        directory = (start, entries[-1].end if entries else start)
        layout = check_layout(self.members, directory, end, self.content, self.examination)
        for gap in layout.gaps:
            self.members.walk(*gap, hidden=True)
            rest = Content(self.view[slice(*gap)], self.content.inside("prefix" if gap[0] == 0 else "gap"))
            self.examination.enter(rest)
        self._after(end)
        others = [at for at in found[1:] if not layout.holds(at)]
        for at in others[: MAX_DIRECTORIES - 1]:
            self._other(at)
        if len(others) >= MAX_DIRECTORIES:
            words = f"{len(others) + 1} end records; {MAX_DIRECTORIES} are followed"
            self.add(Severity.HIGH, "limit.directories", others[-1], words)

    def _directory(self, end: End) -> tuple[int, list[Header]]:
        """Read the directory that an end record names; where two places could be meant, both."""
        if end.disks:
            self.add(Severity.MEDIUM, "zip.unsupported", end.at, "an archive of several parts")
        if end.problem:
            self.add(Severity.HIGH, "zip.directory", end.at, f"{end.problem}: readers find different members")
        near = end.records - end.size
        shift = near - end.offset  # bytes before the archive, where its offsets count from its own start
        start = near if near >= 0 else min(end.offset, end.records)
        entries = self._entries(end, start, shift if near >= 0 else 0)
        if near < 0:
            self.add(Severity.MEDIUM, "zip.malformed", end.at, "a directory larger than what stands before it")
        elif shift and bytes(self.view[end.offset : end.offset + 4]) == records.CENTRAL:
            words = f"a directory at byte {near} by its size, and another at byte {end.offset} by its offset"
            self.add(Severity.HIGH, "zip.directory", end.at, words)
            self.members.read(self._entries(end, end.offset, 0, quiet=True))
        if shift and near >= 0:
            as_written = (self.members.shifted(entry, -shift) for entry in entries)
            self.members.read([each for each in as_written if records.local_header(self.view, each.local)])
        return start, entries

    def _entries(self, end: End, start: int, shift: int, *, quiet: bool = False) -> list[Header]:
        """Return the entries of one directory, checked by name."""
        entries, at = list[Header](), start
        seen = Seen("zip", self.content, self.examination)
        while entry := records.central_header(self.view, at, end.records):
            self.examination.member()
            at = entry.end
            entry = self.members.shifted(entry, shift)
            entries.append(entry)
            if not quiet:
                self._entry(entry, seen)
        if not quiet and len(entries) != end.count:
            words = f"the end record counts {end.count} members, the directory has {len(entries)}"
            self.add(Severity.HIGH, "zip.directory", end.at, words)
        if not quiet and at < end.records:
            words = f"{end.records - at} bytes of the directory are no entry"
            self.add(Severity.MEDIUM, "zip.malformed", at, words)
        return entries

    def _entry(self, entry: Header, seen: Seen) -> None:
        """Check what one entry says by itself."""
        name = entry.text()
        check_name(name, "zip", self.content, self.examination)
        seen.add(name, link=(entry.attributes >> 16) & _KIND == _SYMLINK, folder=name.endswith("/"))
        if entry.unicode_name is not None and entry.unicode_name not in {entry.name, name.encode()}:
            words = (
                f"{shown(name)!r} is also called {shown(entry.unicode_name)!r}, and readers differ in which name counts"
            )
            self.add(Severity.HIGH, "zip.name.ambiguous", entry.at, words)
        if entry.problem:
            self.add(Severity.MEDIUM, "zip.malformed", entry.at, entry.problem)
        if (entry.attributes >> 16) & _KIND == _SYMLINK:
            target = bytes(self.members.raw(entry)[:4096]).decode("utf-8", "replace")
            check_link(name, target, "zip", self.content, self.examination)

    def _after(self, end: End) -> None:
        """Look at what follows the end record: its comment, and what is no comment."""
        if end.after < len(self.view):
            words = f"{len(self.view) - end.after} bytes after the end: some readers do not open this, others do"
            self.add(Severity.HIGH, "zip.trailing", end.after, words)
            self.members.walk(end.after, len(self.view), hidden=True)
            self.examination.enter(Content(self.view[end.after :], self.content.inside("trailing")))
        elif end.after > len(self.view):
            self.add(Severity.MEDIUM, "zip.malformed", end.at, "a comment that is cut off")
        if looks := looks_executable(end.comment[:MAX_TEXT]):
            self.add(Severity.MEDIUM, "zip.comment", end.at, f"the comment looks like {shown(looks)}")

    def _other(self, at: int) -> None:
        """Report an end record that other readers would take, and read its members too."""
        end = records.end_record(self.view, at)
        words = "another end record: readers that find this one see other members"
        self.add(Severity.HIGH, "zip.ends", at, words)
        for start in _starts(end):
            shift = start - end.offset
            self.members.read(self._entries(end, start, shift, quiet=True))
