"""Downloads: the verified bytes of a release, handed to somebody entitled, and every attempt on record.

Nothing is handed out before the ledger holds who took what. Who is entitled is said by the root keys: a person needs a
granted role. Over the network the access rules decide first (`artifacts.download`); this check stands behind them.
"""

import os
import shutil
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind, Manifest, parse_manifest
from holdfast.core.errors import Conflict, InvalidInput, Refused, Unavailable
from holdfast.core.ledger import Draft
from holdfast.core.project import Project
from holdfast.core.signals import Raised, Signal
from holdfast.lifecycle.consuming import consume
from holdfast.lifecycle.incidents import record_incident
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.registry_record import record_of
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project, project_of
from holdfast.lifecycle.signing import BUNDLE_FILE, signature_of
from holdfast.registry.states import State
from holdfast.respond import Command

DOWNLOADED: Final = "release.downloaded"
REFUSED: Final = "security.refused"
SECURITY: Final = "security"  # the stream of security events
ACTION: Final = "artifacts.download"
UNSAFE: Final = frozenset({State.QUARANTINED, State.REVOKED, State.PURGED})


def download(plant: Plant, *, release: str | None = None, into: Path) -> Reply:
    """Write the verified files of a release and the signature over them into a new folder.

    Raises:
        Refused: The person holds no role here, or the release may not be used; the attempt is on record.
        Conflict: There is something at that place already.
        NotVerified: A file or the signature does not check out; nothing was written.
    """
    project = current_project(plant)
    subject = meant(plant, project, release)
    _check_entitled(plant, project, subject)
    if into.exists() or into.is_symlink():
        raise Conflict("there is something at this place already", place=str(into), remedy="Name a new folder.")
    consume(plant, subject, Kind.RELEASE)
    files = parse_manifest(plant.blobs.get(subject))
    _, bundle = signature_of(plant, subject)
    beside = into.with_name(f".{into.name}.{os.getpid()}")
    try:
        _write(plant, beside, files, bundle)
        body = {"release": subject, "files": len(files.files), "bytes": files.size, "action": ACTION}
        plant.ledger.append([Draft(kind=DOWNLOADED, actor=plant.person, stream=f"downloads/{subject}", body=body)])
        beside.rename(into)
    except OSError as error:
        raise Unavailable(f"the folder cannot be written: {error.strerror}", place=str(into)) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    rows = [(file.path, short(file.digest), str(file.size)) for file in files.files]
    table = Table(title="Files", columns=("file", "digest", "bytes"), rows=rows)
    says = f"{counted(len(rows), 'file')} of release {short(subject)} and the signature over them are in {into}."
    document = {"release": subject, "into": str(into), "files": {file.path: file.digest for file in files.files}}
    return Reply(says=says, document=document, tables=(table,))


def _check_entitled(plant: Plant, project: Project, release: Digest) -> None:
    """Refuse who holds no role, and what may not be used; put the refusal on record and open an incident for it."""
    words = ""
    if not entitled(plant):
        words = f"{plant.person} holds no role that the root keys have granted"
    record = record_of(plant, project_of(plant, release).project.name, release)
    if record.state in UNSAFE:
        words = words or f"the release is {record.state}: {record.reason}"
    if not words:
        return
    body: dict[str, Any] = {"action": ACTION, "resource": release, "reason": words}
    plant.ledger.append([Draft(kind=REFUSED, actor=plant.person, stream=SECURITY, body=body)])
    if not entitled(plant):
        raised = Raised(signal=Signal.UNAUTHORISED, subject=release, words=f"refused download: {words}")
        record_incident(plant, project, Command.OPEN_INCIDENT, raised, ())
    raise Refused(f"this download is refused: {words}", place=release)


def entitled(plant: Plant) -> bool:
    """Say whether the person at work holds any role now; nobody does where the trust grants none."""
    trust, now = plant.trust, plant.clock.now()
    roles = {grant.role for grant in trust.grants if grant.person == plant.person}
    return any(trust.granted(plant.person, role, now) is not None for role in roles)


def _write(plant: Plant, folder: Path, files: Manifest, bundle: bytes) -> None:
    if any(file.path == BUNDLE_FILE for file in files.files):
        raise InvalidInput(f"the release holds a file {BUNDLE_FILE!r} of its own", expected="no such file")
    folder.mkdir(mode=0o700, parents=True)
    for file in files.files:
        path = folder / file.path  # plain and relative: `parse_manifest` lets no other through
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(plant.blobs.get(Digest(file.digest)))  # these very bytes were verified
    (folder / BUNDLE_FILE).write_bytes(bundle)
