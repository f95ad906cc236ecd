"""Quarantine: what comes from outside is stored as it came, recorded, and may be used once it was admitted.

Decides nothing about it: `foreign` measures, `admission` lets it out. Whoever would use the bytes (a run that is given
them as its rows or its recipe) asks here first.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

from holdfast.core.artifact import Artifact, Digest, File, Kind, manifest, parse_digest
from holdfast.core.errors import InvalidInput, NotFound, Refused, UsageError
from holdfast.core.ledger import Draft, Entry
from holdfast.core.passport import RECORDED
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import short

ARTIFACTS_KEY: Final = "artifacts"  # the data key of what holds no rows: recipes, models, releases
Sort = Literal["model", "data", "code"]
SORTS: Final[tuple[Sort, ...]] = ("model", "data", "code")
OPENED: Final = "intake.opened"
ADMITTED: Final = "intake.admitted"
DENIED: Final = "intake.denied"
STREAM: Final = "intake"  # all that came in, one entry each
MAX_FILES: Final = 2000  # of one thing; sharded models have a hundred
MAX_BYTES: Final = 64 << 30  # of one thing
SKIPPED: Final = frozenset({".git", ".hg", ".svn", "__pycache__", ".venv"})


def take(plant: Plant, path: Path, sort: Sort) -> Artifact:
    """Store a file or folder as it is, and record it as lying in quarantine; what lies there already stays there.

    Raises:
        UsageError: There is nothing at this path.
        InvalidInput: It holds links or devices, too many files, or too many bytes.
        Refused: The same bytes came in as something of another sort.
    """
    if not path.exists():
        raise UsageError("there is nothing of this name", place=str(path), expected="a file or a folder")
    found = sorted(_files(path))
    if not found or len(found) > MAX_FILES:
        raise InvalidInput(f"it holds {len(found)} files", place=str(path), expected=f"1 to {MAX_FILES}")
    size = sum(file.stat().st_size for _, file in found)
    if size > MAX_BYTES:
        raise InvalidInput(f"it holds {size} bytes", place=str(path), expected=f"at most {MAX_BYTES}")
    blobs = plant.sealed(ARTIFACTS_KEY)
    files = manifest(File(path=name, digest=blobs.put_file(file), size=file.stat().st_size) for name, file in found)
    subject = Artifact(kind=Kind.FOREIGN, digest=plant.blobs.put(files.document), size=files.size)
    opened = plant.last(subject.digest, OPENED)
    if opened is not None:
        if opened.body["sort"] != sort:
            raise Refused(f"these very bytes came in as {opened.body['sort']}", place=subject.digest)
        return subject
    body = {"sort": sort, "name": path.name[:200], "files": len(files.files)}
    drafts = [
        plant.record(subject, (), plant.actor),
        Draft(kind=OPENED, actor=plant.actor, stream=subject.digest, body=body),
        Draft(kind=OPENED, actor=plant.actor, stream=STREAM, body=body | {"subject": subject.digest}),
    ]
    drafts += [
        Draft(kind=OPENED, actor=plant.actor, stream=_bytes(file.digest), body={"subject": subject.digest})
        for file in files.files
    ]
    plant.ledger.append(drafts)
    return subject


def _files(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield each file with its path inside; a link could mean another file to the next reader."""
    if path.is_file():
        yield path.name, path
        return
    for folder, folders, names in os.walk(path):
        folders[:] = sorted(set(folders) - SKIPPED)
        for name in (*names, *(each for each in folders if (Path(folder) / each).is_symlink())):
            file = Path(folder) / name
            if file.is_symlink() or not file.is_file():
                raise InvalidInput("a link or a device lies in it", place=str(file), expected="regular files only")
            yield file.relative_to(path).as_posix(), file


def opened(plant: Plant) -> tuple[Entry, ...]:
    """Return the entries of all that ever came in, oldest first."""
    return tuple(entry for entry in plant.ledger.stream(STREAM) if entry.kind == OPENED)


def named(plant: Plant, wanted: str) -> tuple[Artifact, Sort]:
    """Return what came in and has a digest that begins so, and its sort.

    Raises:
        NotFound: Nothing does, or more than one thing.
    """
    begin = wanted.removeprefix("sha256:")
    found = [entry for entry in opened(plant) if begin and entry.body["subject"][7:].startswith(begin)]
    if len(found) != 1:
        words = f"{len(found)} digests from outside begin with {wanted[:80]!r}"
        raise NotFound(words, expected="the digest of one", remedy="`holdfast intake list` shows all of them.")
    digest = parse_digest(str(found[0].body["subject"]))
    recorded = plant.last(digest, RECORDED)
    if recorded is None:
        raise NotFound("nothing records what this is", place=digest)
    sort: Sort = next(each for each in SORTS if each == found[0].body["sort"])
    return Artifact(kind=Kind.FOREIGN, digest=digest, size=int(recorded.body["size"])), sort


def state(plant: Plant, subject: str) -> Literal["admitted", "quarantined", "revoked"]:
    """Return whether something foreign may be used: the newest word counts, and a revocation for ever."""
    entries = plant.ledger.stream(subject)
    if any(entry.kind == "artifact.revoked" for entry in entries):
        return "revoked"
    said = [entry.kind for entry in entries if entry.kind in {ADMITTED, DENIED}]
    return "admitted" if said[-1:] == [ADMITTED] else "quarantined"


def check_free(plant: Plant, digest: Digest, what: str) -> None:
    """Check that bytes do not lie in quarantine; those that never came in through the intake are free.

    Raises:
        Refused: They do.
    """
    for entry in plant.ledger.stream(_bytes(digest)):
        subject = str(entry.body["subject"])
        now = state(plant, subject)
        if now != "admitted":
            raise Refused(
                f"{what} came from outside and is {now}",
                place=subject,
                remedy=f"Have it admitted: holdfast intake admit {short(subject)} --reason …",
            )


def _bytes(digest: str) -> str:
    return f"{STREAM}/{digest}"
