"""Taking in a source's file: looked through within limits, then stored byte for byte as it came.

Nothing becomes visible here: who asked puts the entry on record, together with whatever else has to be true then.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest
from holdfast.core.errors import Conflict
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.sources import Source
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quarantine import check_free
from holdfast.lifecycle.reply import counted
from holdfast.lifecycle.source_state import ACCEPTED, data_key, stream_of

SHOWN: Final = 20  # names and faults that an entry lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A file that is stored, and what is to be said of it."""

    body: Mapping[str, Any]
    notes: tuple[str, ...]

    def draft(self, plant: Plant, name: str, **more: Any) -> Draft:
        """Return the entry that makes it visible."""
        return Draft(kind=ACCEPTED, actor=plant.actor, stream=stream_of(name), body={**self.body, **more})


def digest_of(path: Path) -> tuple[Digest, int]:
    """Return a file's digest and size, read in one pass."""
    with path.open("rb") as file:
        return Digest("sha256:" + hashlib.file_digest(file, "sha256").hexdigest()), file.tell()


def take_file(
    plant: Plant, project: Project, name: str, source: Source, path: Path, *, newest: str = ""
) -> Taken | None:
    """Look a file through and store it; None where it is the one that was taken in last.

    Args:
        plant: The control plane.
        project: Whose columns it must have.
        name: The source's name.
        source: Its declaration.
        path: The file.
        newest: Digest of what was taken in last.

    Raises:
        InvalidData: It cannot be read, lacks a column, or too many of its rows are broken.
        Conflict: It was written to while it was read; nothing is on record.
        Refused: These bytes came from outside and lie in quarantine.
    """
    from holdfast.ingest.records import look

    digest, size = digest_of(path)
    if digest == newest:
        return None
    check_free(plant, digest, "the file")
    looked = look(path, project, source, path.name)
    if plant.sealed(data_key(name)).put_file(path) != digest:
        raise Conflict("the file was written to while it was read", place=path.name, remedy="Do it again.")
    reasons: dict[str, int] = {}
    for fault in looked.faults:
        reasons[fault.code] = reasons.get(fault.code, 0) + 1
    body: dict[str, Any] = {
        "batch": digest,
        "form": source.kind,
        "bytes": size,
        "rows": looked.rows,
        "unreadable": len(looked.faults),
        "reasons": [f"{code}: {count}" for code, count in sorted(reasons.items())],
        "first": [f"row {fault.row}: {fault.code} {fault.detail}"[:200] for fault in looked.faults[:SHOWN]],
        "identity": source.identity,
        "by": "pull",
        "columns": list(looked.columns[:SHOWN]),
        "undeclared": list(looked.undeclared[:SHOWN]),
    }
    notes = []
    if looked.dialect is not None:
        body["dialect"] = {**msgspec.to_builtins(looked.dialect), "words": looked.dialect.words}
        notes.append(looked.dialect.words)
    if looked.faults:
        why = ", ".join(body["reasons"])
        left = counted(len(looked.faults), "row cannot be read and is", "rows cannot be read and are")
        notes.append(f"{left} left out ({why}): {looked.faults[0].detail}")
    if looked.undeclared:
        notes.append(f"not declared and left out: {', '.join(looked.undeclared[:5])}")
    return Taken(body=body, notes=tuple(notes))
