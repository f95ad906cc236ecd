"""Pushing: a file that somebody brings is let in only with a source's own signature, and once.

1. Whose it is, that nobody changed it and that it is new are verified over its bytes as they lie there. 2. Only then is
it parsed. 3. What happened is on record, whether it was let in or not: the digest, who it claims to be from, and why.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from holdfast.core.errors import HoldfastError, InvalidInput, NotVerified, Refused
from holdfast.core.ledger import Draft
from holdfast.core.placement import check_placed, rows_in
from holdfast.core.project import Project
from holdfast.core.sources import Source
from holdfast.core.submission import MAX_SUBMISSION, Submission, parse_submission, verify
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.pulling import unusual
from holdfast.lifecycle.reply import Reply, counted
from holdfast.lifecycle.source_state import REFUSED, chosen, declared, state_of, stream_of
from holdfast.lifecycle.taking import Taken, digest_of, take_file

SUFFIX: Final = ".submission.json"
WORDS: Final = 300  # characters of a reason


def push(plant: Plant, *, source: str, file: Path, submission: Path | None = None, signed: str | None = None) -> Reply:
    """Take a signed file in for a source.

    Args:
        plant: The control plane.
        source: The source's name.
        file: The file.
        submission: What its sender has signed; FILE.submission.json if left out.
        signed: The same as text, for who asks over the network.

    Raises:
        NotFound: There is no such source.
        NotVerified: It is not from the source, or was changed; on record.
        Refused: It was handed in before, or nothing is pushed to this source; on record.
        InvalidData: It cannot be read as declared; on record.
    """
    project = declared(plant)
    declaration = chosen(project, source)[source]
    check_placed(rows_in(project), plant.regions)
    plant.unlock()
    if not file.is_file():
        raise InvalidInput("there is no such file", place=str(file), expected="a regular file")
    with plant.ledger.lease(f"source {source}"):
        digest, size = digest_of(file)
        claimed: Submission | None = None
        try:
            if not declaration.pushed:
                remedy = "Leave out the file's path, and declare who signs, to have it pushed."
                raise Refused("this source is fetched; nothing is pushed to it", place=source, remedy=remedy)
            claimed = parse_submission(_said(file, submission, signed))
            heads = plant.ledger.heads([stream_of(source)])
            last = state_of(plant, source).sequence
            verify(claimed, source=source, signed_by=declaration.signed_by, digest=digest, size=size, last=last,
                   now=plant.clock.now())  # fmt: skip  # 1.
            taken = _taken(plant, project, source, declaration, file, digest)  # 2.
            body: Mapping[str, Any] = {"by": "push", "sequence": claimed.sequence, "key": claimed.key}
            plant.ledger.append([taken.draft(plant, source, **body)], expect=heads)  # 3.
        except HoldfastError as error:
            _refuse(plant, source, digest, size, claimed, error)
            raise
    notes = (*taken.notes, *unusual(declaration, taken.body["rows"]))
    says = f"{counted(taken.body['rows'], 'row')} of {source} taken in, submission {claimed.sequence}."
    says += "".join(f" {note}." for note in notes)
    document = {"source": source, "digest": digest, "rows": taken.body["rows"], "sequence": claimed.sequence}
    return Reply(says=says, document=document | {"notes": list(notes)})


def _said(file: Path, submission: Path | None, signed: str | None) -> bytes:
    if signed is not None:
        return signed.encode()
    path = submission or file.with_name(file.name + SUFFIX)
    if not path.exists():
        remedy = "Let its sender sign it: holdfast source sign FILE --source NAME --sequence N --key FOLDER."
        raise Refused("nobody has signed this file", place=str(path), expected="a signed submission", remedy=remedy)
    return read_given(path, limit=MAX_SUBMISSION + 1, what="the submission")


def _taken(plant: Plant, project: Project, name: str, source: Source, file: Path, digest: str) -> Taken:
    taken = take_file(plant, project, name, source, file)
    if taken is None or taken.body["batch"] != digest:
        raise NotVerified("the file was written to after it was verified", place=name)
    return taken


def _refuse(plant: Plant, name: str, digest: str, size: int, claimed: Submission | None, error: HoldfastError) -> None:
    """Put on record that something was not let in."""
    body: dict[str, Any] = {"code": error.code, "reason": error.message[:WORDS], "digest": digest, "bytes": size}
    if claimed is not None:
        body |= {"claims": {"source": claimed.source[:80], "sequence": claimed.sequence, "key": claimed.key[:80]}}
    plant.ledger.append([Draft(kind=REFUSED, actor=plant.actor, stream=stream_of(name), body=body)])
