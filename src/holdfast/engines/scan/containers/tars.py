"""Tar archives: members, links and devices, each block accounted for.

Data is entered whatever type a member claims, and headers behind the end are followed too: readers differ there.
"""

import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines import tar_headers as headers
from holdfast.engines.scan.containers import tar_sparse
from holdfast.engines.scan.containers.names import Seen, check_link, check_name, leads_out, plain
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown
from holdfast.engines.tar_headers import BLOCK, Extended, TarHeader

_EXTENSIONS: Final = frozenset({headers.LONG_NAME, headers.LONG_LINK, headers.PAX, headers.PAX_GLOBAL, headers.PAX_SUN})
_PLAIN_TYPES: Final = headers.REGULAR | headers.EMPTY_TYPES
_EMPTY: Final = frozenset({2 * BLOCK, 20 * BLOCK})  # bytes of an archive without members, as writers make it
_CHECKSUM: Final = re.compile(rb"[ 0-7]{1,7}[ \0]{0,7}")
_LARGE_ZERO: Final = bytes(1 << 16)


def known(view: memoryview) -> bool:
    """Return whether a content begins with a header whose checksum fits, or is an archive of nothing."""
    return headers.checksum_fits(bytes(view[:BLOCK])) or (len(view) in _EMPTY and not any(view))


def scan(content: Content, examination: Examination) -> None:
    """Scan the members of an archive, and what stands behind its end."""
    _Tar(content, examination).scan()


class _Tar:
    """One archive, read from front to back."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.examination, self.view = content, examination, content.view
        self.seen = Seen("tar", content, examination)
        self.extended, self.ended, self.at = Extended(), -1, 0

    def add(self, severity: Severity, rule: str, at: int, words: str) -> None:
        self.examination.add(severity, f"tar.{rule}", self.content.at(at), words)

    def scan(self) -> None:
        """Read block after block; after the end, only headers and what is not zero matter."""
        while self.at < len(self.view):
            block = bytes(self.view[self.at : self.at + BLOCK])
            if not any(block):
                self._zeros()
                continue
            if not headers.checksum_fits(block):
                self._noise()
                continue
            if self.ended >= 0:
                words = "a member behind the end of the archive, which some readers find and others do not"
                self.add(Severity.HIGH, "trailing", self.at, words)
                self.ended = -1
            self.examination.member()
            self._header(headers.read(block))
        if self.ended < 0:
            self.add(Severity.LOW, "unended", len(self.view), "no mark of the end")

    def _zeros(self) -> None:
        """Step over blocks of zeros, which end an archive."""
        if self.ended < 0:
            self.ended = self.at
        step = len(_LARGE_ZERO)
        while self.at + step <= len(self.view) and self.view[self.at : self.at + step] == _LARGE_ZERO:
            self.at += step
        self.at += BLOCK

    def _noise(self) -> None:
        """Report and enter bytes that are no header, up to the next: some readers stop, others look for it."""
        start = self.at
        while self.at < len(self.view) and not self._is_header(self.at):
            self.at += BLOCK
        self.examination.step((self.at - start) // BLOCK)
        noise = self.view[start : self.at]
        if self.ended >= 0:
            self.add(Severity.HIGH, "trailing", start, f"{len(noise)} bytes behind the end of the archive")
        else:
            self.add(
                Severity.MEDIUM, "malformed", start, "no header where a member should begin: some readers stop here"
            )
        self.examination.enter(Content(noise, self.content.inside("trailing")))

    def _is_header(self, at: int) -> bool:
        window = self.view[at + 148 : at + 156]
        return bool(_CHECKSUM.fullmatch(window)) and headers.checksum_fits(bytes(self.view[at : at + BLOCK]))

    def _header(self, header: TarHeader) -> None:
        start, at = self.at, self.at + BLOCK
        size = max(header.size, 0)
        if header.kind in _EXTENSIONS:
            self._extension(header, at, min(size, len(self.view) - at))
            self.at = at + _padded(size)
            return
        extended, self.extended = self.extended, Extended()
        given = extended.sparse.get(b"GNU.sparse.name", extended.path)
        name = (given if given is not None else header.name).rstrip(b"\0").decode("utf-8", "replace")
        for problem in (*header.problems, *extended.problems):
            self.add(Severity.HIGH, "ambiguous", start, f"{problem}: readers differ")
        if extended.size is not None:
            size = self._pax_size(header, extended.size, start)
        folder = header.kind == headers.FOLDER or (header.kind == 0 and name.endswith("/"))
        check_name(name, "tar", self.content, self.examination)
        self.seen.add(name, link=header.kind == headers.SYMLINK, folder=folder)
        self._kind(header, extended, name, start)
        if header.kind == headers.SPARSE or extended.sparse:
            at = self._sparse(header, extended, at, size, name)
        self._data(header, at, size, name, folder=folder)

    def _sparse(self, header: TarHeader, extended: Extended, at: int, size: int, name: str) -> int:
        """Scan the file that readers make of a sparse member, and return where its parts begin."""
        words = "a sparse member: readers that do not know them see its parts without the holes"
        self.add(Severity.MEDIUM, "sparse", self.at, words)
        try:
            if header.kind == headers.SPARSE:
                parts, whole, at = tar_sparse.from_header(self.view, at - BLOCK)
                data = self.view[at : at + size]
            else:
                parts, whole, skip = _described(extended, self.view[at : at + size])
                data = self.view[at + skip : at + size]
            made = self.examination.expand(tar_sparse.pieces(data, parts, whole))
            self.examination.enter(Content(made, self.content.inside(name)))
        except tar_sparse.Refused as refused:
            self.add(Severity.MEDIUM, "malformed", at, f"a sparse member that cannot be put together: {refused}")
        return at

    def _extension(self, header: TarHeader, at: int, size: int) -> None:
        """Read a header that speaks of the next member."""
        if size > headers.MAX_LONG:
            words = f"{size} bytes about one member; at most {headers.MAX_LONG} are read"
            self.add(Severity.HIGH, "ambiguous", at, words)
        data = bytes(self.view[at : at + min(size, headers.MAX_LONG)])
        self.extended.problems += header.problems
        if header.kind == headers.LONG_NAME:
            self.extended.set_path(data.partition(b"\0")[0])
        elif header.kind == headers.LONG_LINK:
            self.extended.set_link(data.partition(b"\0")[0])
        elif header.kind == headers.PAX_GLOBAL:
            everywhere = Extended()
            headers.pax_records(data, everywhere)
            if everywhere.path is not None or everywhere.link is not None or everywhere.size is not None:
                words = "a global header with a name or size for every member: readers differ"
                self.add(Severity.HIGH, "ambiguous", at, words)
            self.extended.problems += everywhere.problems
        else:
            headers.pax_records(data, self.extended)

    def _pax_size(self, header: TarHeader, size: int, start: int) -> int:
        """Return the size that a pax header gives; one that the header itself could have given is a trick."""
        if size != header.size and size < headers.MAX_OCTAL:
            words = f"{size} bytes by the pax header, {header.size} by the header: readers find other members"
            self.add(Severity.HIGH, "size", start, words)
        return size

    def _kind(self, header: TarHeader, extended: Extended, name: str, start: int) -> None:
        """Report members that are more, or less, than files and folders."""
        target = (extended.link if extended.link is not None else header.link).decode("utf-8", "replace")
        place = self.content.inside(name)
        match header.kind:
            case headers.SYMLINK:
                check_link(name, target, "tar", self.content, self.examination)
            case headers.HARD_LINK if leads_out(target):
                words = f"a link to the file {shown(target)!r}, outside the folder"
                self.examination.add(Severity.CRITICAL, "tar.link.outside", place, words)
            case headers.HARD_LINK if self.seen.behind(plain(target)):
                words = f"a link to the file {shown(target)!r}, which is a link itself"
                self.examination.add(Severity.HIGH, "tar.link.through", place, words)
            case headers.HARD_LINK:
                self.examination.add(Severity.LOW, "tar.link", place, f"a link to the file {shown(target)!r}")
            case headers.CHARACTER | headers.BLOCK_DEVICE | headers.FIFO:
                self.examination.add(Severity.HIGH, "tar.device", place, "a device or pipe, which no model needs")
            case kind if kind not in _PLAIN_TYPES and kind != headers.SPARSE:
                words = f"a member of type {bytes([kind])!r}, which is scanned as a file"
                self.add(Severity.MEDIUM, "unsupported", start, words)

    def _data(self, header: TarHeader, at: int, size: int, name: str, *, folder: bool) -> None:
        """Enter a member's bytes, and step behind them as readers do."""
        self.at = at
        if folder or header.kind in headers.EMPTY_TYPES:
            if not size:
                return
            words = f"{shown(name)!r} has no data by its type and {size} bytes by its size: readers differ"
            self.add(Severity.HIGH, "size", at - BLOCK, words)
            self.examination.enter(Content(self.view[at : at + size], self.content.inside(name)))
            if not self._is_header(at):  # Python's reader goes on right here, others behind the data
                self.at = at + _padded(size)
            return
        data = self.view[at : at + size]
        if len(data) < size:
            words = f"{shown(name)!r} is cut off: {len(data)} bytes of {size}"
            self.add(Severity.MEDIUM, "malformed", at, words)
        padding = self.view[at + size : at + _padded(size)]
        if any(padding):
            words = f"bytes that belong to no member, behind {shown(name)!r}"
            self.add(Severity.MEDIUM, "padding", at + size, words)
        self.examination.enter(Content(data, self.content.inside(name)))
        self.at = at + _padded(size)


def _described(extended: Extended, data: memoryview) -> tuple[list[tuple[int, int]], int, int]:
    """Return the parts, the size of the file, and how many bytes of the data are the map, of pax records."""
    said = extended.sparse
    size = said.get(b"GNU.sparse.realsize", said.get(b"GNU.sparse.size", b""))
    if not size.isdigit() or len(size) > 19:
        raise tar_sparse.Refused("no size of the file")
    if b"GNU.sparse.map" in said:
        return tar_sparse.from_text(said[b"GNU.sparse.map"]), int(size), 0
    if extended.parts:
        return tar_sparse.from_text(b",".join(extended.parts)), int(size), 0
    parts, skip = tar_sparse.from_data(data)
    return parts, int(size), skip


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK
