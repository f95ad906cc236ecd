"""A scan for secrets over files and folders: what was found where, what was accepted, what was not read."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.secrets.baseline import Baseline, excuse
from holdfast.engines.secrets.sources import Part, Unread, parts
from holdfast.engines.secrets.text import find

MAX_LEAKS: Final = 10_000  # kept one by one; a folder with more is a dump of secrets, and the count says so
SHOWN: Final = 4  # characters of a secret that a mask shows at most
SHORT: Final = 12  # digits of a commit's name that a place shows
LONG: Final = 16  # characters from which on a mask shows any
_LEFT_OUT: Final = frozenset(
    {".git", "__pycache__", "node_modules", ".tox", ".nox", ".mypy_cache", ".ruff_cache", ".pytest_cache"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One secret: where it stands, what it is, and a mask of it; never the secret itself."""

    path: str
    inside: str
    line: int
    column: int
    rule: str
    says: str
    severity: Severity
    masked: str
    commit: str = ""  # that brought it, where it was found in a history
    mark: str = ""  # the salted hash that a baseline knows it by
    reason: str = ""  # why it is accepted; empty where it is not

    @property
    def place(self) -> str:
        """Return file, commit, place inside it, line and column as one text."""
        inside = f"!{self.inside}" if self.inside else ""
        return f"{self.path}{f'@{self.commit[:SHORT]}' if self.commit else ''}{inside}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """The result of one scan. `clean` is what a build may pass on."""

    leaks: tuple[Leak, ...]
    accepted: tuple[Leak, ...]
    unread: tuple[tuple[str, str], ...]  # place and why
    files: int
    bytes: int
    left_out: tuple[str, ...] = ()  # folders that were not entered

    @property
    def clean(self) -> bool:
        """Say whether nothing was found and everything was read."""
        return not self.leaks and not self.unread


class Collector:
    """Collects what the texts of one scan hold."""

    def __init__(self, baseline: Baseline | None = None) -> None:
        """Begin empty; with a baseline, finds are held against it."""
        self._baseline, self._marks, self._seen = baseline, dict[bytes, str](), set[bytes]()
        self.leaks, self.accepted = list[Leak](), list[Leak]()
        self.unread, self.files, self.bytes = list[tuple[str, str]](), 0, 0

    def take(self, path: str, found: Part | Unread, *, commit: str = "") -> None:
        """Look at one part of a file; what came with a commit is told once, however many bring it again."""
        if isinstance(found, Unread):
            place = f"{path}@{commit[:SHORT]}" if commit else path
            self.unread.append((f"{place}!{found.inside}" if found.inside else place, found.why))
            return
        data, line, last = found.data, found.lines + 1, 0
        self.bytes += len(data)
        for hit in find(data):
            if found.until is not None and hit.start >= found.until:
                break
            line, last = line + data.count(b"\n", last, hit.start), hit.start
            secret = data[hit.start : hit.end]
            if commit:
                if secret in self._seen:
                    continue
                self._seen.add(secret)
            mark = self._mark(secret)
            reason = excuse(data, hit.start) or (self._baseline.reason(mark) if self._baseline else "")
            kept = self.accepted if reason else self.leaks
            if len(kept) < MAX_LEAKS:
                leak = Leak(
                    path=path,
                    inside=found.inside,
                    line=line,
                    column=hit.start - data.rfind(b"\n", 0, hit.start),
                    rule=hit.rule,
                    says=hit.says,
                    severity=hit.severity,
                    masked=masked(secret),
                    commit=commit,
                    mark=mark,
                    reason=reason,
                )
                kept.append(leak)

    def _mark(self, secret: bytes) -> str:
        if self._baseline is None:
            return ""
        if secret not in self._marks:
            self._marks[secret] = self._baseline.mark(secret)
        return self._marks[secret]

    def result(self, left_out: Iterable[str] = ()) -> Scan:
        """Return all of it."""
        return Scan(
            leaks=tuple(self.leaks),
            accepted=tuple(self.accepted),
            unread=tuple(self.unread),
            files=self.files,
            bytes=self.bytes,
            left_out=tuple(left_out),
        )


def masked(secret: bytes) -> str:
    """Return what may be shown of a secret: four characters at most of a long one, and how long it is.

    >>> masked(b"ghp_" + b"x" * 36), masked(b"S3cr3t!pw")
    ('ghp_… (40 characters)', '… (9 characters)')
    """
    head = secret[:SHOWN].decode("ascii", "replace") if len(secret) >= LONG else ""
    head = "".join(char if char.isprintable() else "?" for char in head)
    return f"{head}… ({len(secret)} characters)"


def scan(paths: Iterable[Path], *, baseline: Baseline | None = None) -> Scan:
    """Scan files and folders; links are not followed, and nothing is written.

    Args:
        paths: Files and folders that exist.
        baseline: Secrets that were accepted before.
    """
    into = Collector(baseline)
    return into.result(collect(paths, into))


def collect(paths: Iterable[Path], into: Collector) -> tuple[str, ...]:
    """Look at files and folders as `scan` does, and return the folders that were left out.

    Args:
        paths: Files and folders that exist.
        into: Takes what they hold.
    """
    left_out = list[str]()
    for path in paths:
        for file in _files(path, left_out):
            into.files += 1
            try:
                for found in parts(file):
                    into.take(file.as_posix(), found)
            except OSError as error:
                into.unread.append((file.as_posix(), f"it cannot be read: {error.strerror}"))
    return tuple(left_out)


def scan_bytes(named: Iterable[tuple[str, bytes]]) -> Scan:
    """Scan texts that are in memory already, by the names they go by."""
    into = Collector()
    for name, data in named:
        into.files += 1
        into.take(name, Part(inside="", data=data))
    return into.result()


def _files(path: Path, left_out: list[str]) -> Iterator[Path]:
    """Yield the plain files below a path in order; environments and caches are left out unless they are named."""
    if not path.is_dir():
        yield path
        return
    for folder, below, names in os.walk(path):
        here = Path(folder)
        skipped = {name for name in below if name in _LEFT_OUT or (here / name / "pyvenv.cfg").is_file()}
        left_out.extend((here / name).as_posix() for name in sorted(skipped))
        below[:] = sorted(set(below) - skipped)
        if (here / ".git" / "config").is_file():
            yield here / ".git" / "config"  # where addresses with passwords lie; history is read apart
        for name in sorted(names):
            file = here / name
            if file.is_file() and not file.is_symlink():
                yield file
