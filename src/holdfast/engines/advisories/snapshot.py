"""Snapshots of advisories: OSV records of one date in one file, with a signed statement that says which and when.

A snapshot is a zip of two members: the statement, a DSSE envelope, and the records, one JSON document a line and
compressed. What the statement names by digest is what is matched; how old it may be is the project's word, and an older
one is an error, never a pass.
"""

import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.advisories import Snapshot
from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.errors import InvalidInput, NotVerified, Unavailable
from holdfast.engines.advisories.osv import MAX_RECORD, Record, parse_record
from holdfast.engines.advisories.versions import order_of

MAX_RECORDS: Final = 2_000_000  # of one snapshot; all of OSV has half a million
MAX_UNPACKED: Final = 4 << 30  # bytes of all records; PyPI and Debian together have 0.5 GB
MAX_FILE: Final = 1 << 30  # bytes of a snapshot's file
STATEMENT: Final = "statement.dsse.json"
RECORDS: Final = "advisories.jsonl.gz"
_DAMAGED: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    OSError,
    EOFError,
    RuntimeError,  # a password is wanted
    NotImplementedError,
)
"""What Python's reader of zip archives raises for one that it cannot read."""
MAX_SKEW: Final = timedelta(hours=1)  # how far a snapshot's date may be ahead of the clock here


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The two members of a snapshot's file, nothing believed yet."""

    statement: bytes
    records: bytes


def gather(source: Path) -> tuple[bytes, tuple[str, ...], int]:
    """Return the compressed records of a folder or zip of OSV documents, their ecosystems, and how many there are.

    The same documents give the same bytes. Records that name no package of an ecosystem we can order are left out.

    Raises:
        InvalidInput: It holds no record, or one that is none: a snapshot with a hole would let something pass.
    """
    out, ecosystems, count, total = io.BytesIO(), set[str](), 0, 0
    with gzip.GzipFile(fileobj=out, mode="wb", mtime=0, compresslevel=6) as packed:
        for name, data in sorted(_documents(source)):
            record = parse_record(data, name)
            named = {part.package.ecosystem for part in record.affected if part.package is not None}
            known = {each for each in named if order_of(each) is not None}
            if not known:
                continue
            line = msgspec.json.encode(msgspec.json.decode(data)) + b"\n"
            count, total = count + 1, total + len(line)
            if count > MAX_RECORDS or total > MAX_UNPACKED:
                raise InvalidInput("too many advisories", place=str(source), expected=f"at most {MAX_RECORDS}")
            ecosystems |= known
            packed.write(line)
    if not count:  # empty means no
        raise InvalidInput("no advisory was found", place=str(source), expected="a folder or zip of OSV documents")
    return out.getvalue(), tuple(sorted(ecosystems)), count


def _documents(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        for path in source.rglob("*.json"):
            if path.is_file() and not path.is_symlink():
                yield path.relative_to(source).as_posix(), _bounded(path.read_bytes(), str(path))
        return
    try:
        with zipfile.ZipFile(source) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".json"):
                    with archive.open(member) as opened:
                        yield member.filename, _bounded(opened.read(MAX_RECORD + 1), member.filename)
    except _DAMAGED as error:
        raise InvalidInput(f"this is no folder or zip of OSV documents: {error}", place=str(source)) from error


def _bounded(data: bytes, place: str) -> bytes:
    if len(data) > MAX_RECORD:
        raise InvalidInput("a document too large for an advisory", place=place, expected=f"at most {MAX_RECORD} bytes")
    return data


def pack(statement: bytes, records: bytes) -> bytes:
    """Return the file of a snapshot: the same members, the same bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ((STATEMENT, statement), (RECORDS, records)):
            archive.writestr(zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


def unpack(data: bytes, place: str) -> Bundle:
    """Return the members of a snapshot's file.

    Raises:
        InvalidInput: It is none.
    """
    if len(data) > MAX_FILE:
        raise InvalidInput(f"{len(data)} bytes", place=place, expected=f"at most {MAX_FILE}")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if sorted(archive.namelist()) != sorted((STATEMENT, RECORDS)):
                raise InvalidInput(
                    "this is no snapshot of advisories", place=place, expected="what `advisories make` made"
                )
            if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
                raise InvalidInput("the members of a snapshot are not compressed again", place=place)
            return Bundle(statement=archive.read(STATEMENT), records=archive.read(RECORDS))
    except _DAMAGED as error:
        raise InvalidInput(f"this is no snapshot of advisories: {error}", place=place) from error


def read_records(snapshot: Snapshot, records: bytes) -> tuple[Record, ...]:
    """Return the records of a snapshot.

    Raises:
        NotVerified: They are not those that the statement names, or not as many.
    """
    if digest_bytes(records) != Digest(snapshot.digest):
        raise NotVerified("the records are not those that the statement names", place=snapshot.digest)
    found, total = list[Record](), 0
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(records)) as opened:
            while line := opened.readline(MAX_RECORD + 1):
                total += len(line)
                if total > MAX_UNPACKED:
                    raise NotVerified("the records unpack to too much", expected=f"at most {MAX_UNPACKED} bytes")
                found.append(parse_record(line, f"record {len(found) + 1}"))
    except (OSError, EOFError, zlib.error, InvalidInput) as error:
        raise NotVerified(f"the records cannot be read: {error}", place=snapshot.digest) from error
    if len(found) != snapshot.records:
        raise NotVerified(f"{len(found)} records", place=snapshot.digest, expected=f"{snapshot.records}")
    return tuple(found)


def check_fresh(snapshot: Snapshot, now: datetime, longest: timedelta) -> None:
    """Check that a snapshot is not older than it may be, nor from the future.

    Raises:
        Unavailable: It is: what became known since is not in it, and nobody may take silence for safety.
    """
    remedy = "Make a snapshot of today's advisories where there is a network, and take it: `holdfast advisories take`."
    if now - snapshot.date > longest:
        raise Unavailable(
            f"the snapshot of advisories is {snapshot.age_days(now):.1f} days old",
            place=f"advisories of {snapshot.date:%Y-%m-%d}",
            expected=f"at most {longest.total_seconds() / 86400:g} days",
            remedy=remedy,
        )
    if snapshot.date - now > MAX_SKEW:
        raise Unavailable(
            "the snapshot of advisories is from the future",
            place=f"advisories of {snapshot.date:%Y-%m-%d}",
            remedy=remedy,
        )
