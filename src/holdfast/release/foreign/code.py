"""Code from outside, read as text in the sandbox: dangerous calls, secrets, licence, pinned dependencies, binaries.

A list of names finds what is written plainly. Code that hides what it calls is not found out by reading it: the sandbox
in which training code runs is what holds it, and a person who has read it is what admits it.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, parse_manifest
from holdfast.core.control import Control, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import exactly
from holdfast.core.ports import MIB, Workspace
from holdfast.engines.jobs import collect, demand_finished, make_room, printable
from holdfast.release.foreign.code_worker import RESULT, CodeReport

WORKER: Final = "holdfast.release.foreign.code_worker"
MAX_REPORT: Final = 4 * MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What the control looks at."""

    ws: Workspace
    subject: Artifact


def _measure(context: Read) -> Report:
    ws = context.ws
    room = make_room(Path(tempfile.mkdtemp(prefix="code-", dir=ws.scratch)), "code")
    for file in parse_manifest(ws.blobs.get(context.subject.digest)).files:
        path = room.given / file.path  # plain and relative: `parse_manifest` lets no other through
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ws.blobs.get(Digest(file.digest)))
    job = ws.sandbox.python(WORKER, (str(room.given), str(room.left)), readable=(room.given,), writable=room.left)
    demand_finished(job, "reading the code")
    try:
        found = msgspec.json.decode(collect(room, {RESULT: MAX_REPORT}).files.get(RESULT, b""), type=CodeReport)
    except msgspec.MsgspecError as error:
        raise StageFailed(f"the report cannot be read: {error}", place=WORKER) from error
    return Report(
        measures=(
            exactly("files", found.files),
            exactly("python_files", found.python_files),
            exactly("dangerous_calls", found.dangerous),
            exactly("secrets", found.secrets),
            exactly("binaries", found.binaries),
            exactly("unread", len(found.unread)),
            exactly("licence_files", len(found.licences)),
            exactly("requirements", found.requirements),
            exactly("unpinned", found.unpinned),
        ),
        findings=found.findings,
        facts={"licences": printable(", ".join(found.licences))},
    )


CODE: Final[Control[Read]] = Control(name="release.code/1", measure=_measure)
