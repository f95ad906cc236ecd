"""Backups: one file that holds a whole workspace, opened by the secret that opens the workspace itself.

Layout: a line that names the format, the length and bytes of the storage master key (encrypted by the unlock secret, as
it lies in the workspace), and an age file to that key: a tar archive whose first member lists all others with their
digests. So what was written is whole and unchanged, or is refused before anything of it is used.

What a gateway wrote and has not handed over yet is not part of it, and neither are the gateway's log files.
"""

import base64
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any, BinaryIO, Final

import msgspec

from holdfast.adapters.blobs import READ_ONLY
from holdfast.adapters.durable import PRIVATE_DIRECTORY, PRIVATE_FILE, sync_directory
from holdfast.adapters.sealed_blobs import Hashing
from holdfast.adapters.unlock import Unlock
from holdfast.adapters.use_notes import FOLDER as USES
from holdfast.adapters.vault import MASTER_FILE, MAX_FILE, Master, decrypt_stream, open_master
from holdfast.core.artifact import Moment, from_base64
from holdfast.core.errors import Conflict, InvalidInput, NotVerified, Unavailable

FORMAT: Final = b"holdfast-backup-1\n"
LISTING: Final = "listing.json"
MAX_LISTING: Final = 256 << 20  # bytes; a million files take half of it
MAX_FILES: Final = 2_000_000
SKIPPED: Final = frozenset({"scratch", "spool", "incoming", "gateway.log", "ready.json", USES})
"""Names that are not part of a backup: what is being made just now, and what will be handed over by itself."""

_DATABASE: Final = "ledger.db"
_BESIDE: Final = ("-wal", "-shm", "-journal")  # SQLite's own files, which a consistent copy does not need


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file: where it belongs in the workspace, and what it must be."""

    path: str
    size: int
    digest: str
    mode: int


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a backup says in the clear: whose it is, and the key that opens it, encrypted by the unlock secret."""

    workspace: str
    master: Master


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a backup holds."""

    workspace: str
    made: Moment
    checkpoint: str  # the signed note of the history it holds, base64
    files: tuple[Member, ...]


def write_backup(out: Path, workspace: Path, *, name: str, made: datetime, checkpoint: bytes) -> int:
    """Write a workspace into a new file that only its owner may read; return how many files it holds.

    Args:
        out: The file to make.
        workspace: The workspace's folder.
        name: The workspace's name.
        made: The present moment.
        checkpoint: The signed note of its ledger.

    Raises:
        Conflict: There is something of this name.
        Unavailable: It cannot be written.
    """
    from pyrage import encrypt_io, x25519

    master = msgspec.json.decode((workspace / "storage" / MASTER_FILE).read_bytes(), type=Master)
    recipient = x25519.Recipient.from_str(master.recipient)
    head = msgspec.json.encode(Head(workspace=name, master=master))
    if out.exists():
        raise Conflict("there is something already where the backup would lie", place=str(out))
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        with tempfile.TemporaryDirectory(dir=workspace) as room:
            copy = Path(room) / _DATABASE
            _copy_database(workspace / _DATABASE, copy)
            archive = Path(room) / "archive"
            members = _archive(archive, workspace, copy, Path(room).name, name, made, checkpoint)
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, PRIVATE_FILE)
            with os.fdopen(descriptor, "wb") as file, archive.open("rb") as source:
                file.write(FORMAT + len(head).to_bytes(4, "big") + head)
                encrypt_io(source, file, [recipient])
                file.flush()
                os.fsync(file.fileno())
        os.link(partial, out)
        sync_directory(out.parent)
    except FileExistsError as error:
        raise Conflict("there is something already where the backup would lie", place=str(out)) from error
    except OSError as error:
        raise Unavailable(f"the backup cannot be written: {error.strerror}", place=str(out)) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return members


def _copy_database(source: Path, target: Path) -> None:
    """Copy an SQLite file as it is at one moment, also while others write to it."""
    with (
        closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as here,
        closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there)


def _archive(
    archive: Path, workspace: Path, database: Path, room: str, name: str, made: datetime, checkpoint: bytes
) -> int:
    """Write the tar archive, listing first; a file that comes or goes meanwhile is written by the next backup."""
    found = {_DATABASE: database}
    for path in _files(workspace):
        inside = path.relative_to(workspace).as_posix()
        if not inside.startswith((room, _DATABASE)):
            found[inside] = path
    members = []
    with tempfile.TemporaryFile(dir=archive.parent) as body:
        with tarfile.open(fileobj=body, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for inside in sorted(found):
                with suppress(FileNotFoundError):
                    members.append(_add(tar, inside, found[inside]))
        note = base64.b64encode(checkpoint).decode()
        listing = Listing(workspace=name, made=made, checkpoint=note, files=tuple(members))
        document = msgspec.json.encode(listing)
        body.seek(0)
        with archive.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
            tar.addfile(_info(LISTING, len(document), PRIVATE_FILE), io.BytesIO(document))
            tar.addfile(_info("files.tar", body.seek(0, os.SEEK_END), PRIVATE_FILE), _rewound(body))
    return len(members)


def _rewound(file: Any) -> Any:
    file.seek(0)
    return file


def _add(tar: tarfile.TarFile, inside: str, path: Path) -> Member:
    with path.open("rb") as file:
        status, hashed = os.fstat(file.fileno()), Hashing(file)
        info = _info(inside, status.st_size, status.st_mode & 0o700)
        tar.addfile(info, hashed)
    return Member(path=inside, size=info.size, digest=hashed.digest(), mode=info.mode)


def _info(name: str, size: int, mode: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, mode
    return info


def _files(workspace: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(workspace):
        folders[:] = sorted(name for name in folders if name not in SKIPPED)
        for name in sorted(files):
            path = Path(folder) / name
            if name not in SKIPPED and not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


def read_backup(file: Path, unlock: Unlock, building: Path) -> Listing:
    """Write the workspace that a backup holds into a new folder; return what is listed in it.

    1. The format is known, and the secret opens its key. 2. The archive decrypts whole. 3. The listing comes first, and
    names each file once, inside the folder. 4. Each file is the one listed, and none is missing or left over.

    Raises:
        InvalidInput: This is not a backup.
        NotVerified: It was changed, cut off, or holds what it does not list; the folder is not to be used.
        Unavailable: The secret does not open it, or the folder cannot be written.
    """
    try:
        with file.open("rb") as source, tempfile.TemporaryFile(dir=building.parent) as archive:
            head = _head(source, str(file))  # 1.
            decrypt_stream(open_master(head.master, unlock), source, archive)  # 2.
            archive.seek(0)
            return _unpack(archive, building, str(file))
    except tarfile.TarError as error:
        raise NotVerified(f"the backup's archive cannot be read: {error}", place=str(file)) from error
    except OSError as error:
        raise Unavailable(f"the backup cannot be restored: {error.strerror}", place=str(file)) from error


def workspace_of(file: Path) -> str:
    """Return whose backup this is, as it says itself: enough to look for the secret that opens it.

    Raises:
        InvalidInput: This is not a backup, or cannot be read.
        NotVerified: What it says of itself cannot be read.
    """
    try:
        with file.open("rb") as source:
            return _head(source, str(file)).workspace
    except OSError as error:
        raise InvalidInput(f"the backup cannot be read: {error.strerror}", place=str(file)) from error


def _head(source: BinaryIO, place: str) -> Head:
    if source.read(len(FORMAT)) != FORMAT:
        raise InvalidInput("this is not a backup", place=place, expected="what `holdfast backup` wrote")
    length = int.from_bytes(source.read(4), "big")
    if length > MAX_FILE:
        raise NotVerified("the backup's head is too long", place=place, expected=f"at most {MAX_FILE} bytes")
    try:
        return msgspec.json.decode(source.read(length), type=Head)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the backup's head cannot be read: {error}", place=place) from error


def _unpack(archive: Any, building: Path, place: str) -> Listing:
    with tarfile.open(fileobj=archive, mode="r:") as outer:
        first, second = outer.next(), outer.next()
        if first is None or second is None or first.name != LISTING or first.size > MAX_LISTING:
            raise NotVerified("the backup does not begin with its listing", place=place)
        listing = _listing(outer.extractfile(first), place)  # 3.
        wanted = {member.path: member for member in listing.files}
        if len(wanted) != len(listing.files) or len(wanted) > MAX_FILES:
            raise NotVerified("the backup lists a file twice, or too many", place=place)
        building.mkdir(mode=PRIVATE_DIRECTORY)
        with tarfile.open(fileobj=outer.extractfile(second), mode="r:") as tar:
            for info in tar:
                member = wanted.pop(info.name, None)
                source = tar.extractfile(info) if info.isreg() and member else None
                if member is None or source is None or info.size != member.size:
                    raise NotVerified("the backup holds something that it does not list", place=info.name[:200])
                _write(building, member, source)  # 4.
        if wanted:
            raise NotVerified(f"the backup lacks {len(wanted)} files that it lists", place=min(wanted)[:200])
    return listing


def _listing(source: Any, place: str) -> Listing:
    try:
        listing = msgspec.json.decode(source.read(), type=Listing)
        from_base64(listing.checkpoint)
    except (msgspec.MsgspecError, UnicodeDecodeError, InvalidInput, AttributeError) as error:
        raise NotVerified(f"the backup's listing cannot be read: {error}", place=place) from error
    return listing


def _write(building: Path, member: Member, source: IO[bytes]) -> None:
    parts = PurePosixPath(member.path)
    if parts.is_absolute() or ".." in parts.parts or not parts.parts:
        raise NotVerified("the backup names a file outside the workspace", place=member.path[:200])
    path = building / parts
    for folder in reversed(path.relative_to(building).parents[:-1]):
        (building / folder).mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
    mode = (
        READ_ONLY if member.mode == READ_ONLY & 0o700 else member.mode
    )  # blobs are read-only to all, in folders that are ours alone
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
    with os.fdopen(descriptor, "wb") as target:
        hashed = Hashing(target)
        shutil.copyfileobj(source, hashed)
        if hashed.digest() != member.digest:
            raise NotVerified("a file in the backup is not the one it lists", place=member.path[:200])
        os.fchmod(target.fileno(), mode)
        target.flush()
        os.fsync(target.fileno())
