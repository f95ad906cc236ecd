"""Decisions about outliers as they are in force: read from the ledger, verified, and handed to the next ingest.

Each is sealed by the role that makes data sets, and names its person. What it is about (the row's print, the value,
what replaces it) lies under the key of the source that it came with: whoever erases the source erases it, and the row,
should it come again, comes to review again. A run writes the list of what it applied out at the end of its project
document, whose digest every version of the data set names.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from holdfast.core.artifact import Digest, canonical, digest_json
from holdfast.core.errors import InvalidProject, NotVerified
from holdfast.core.ledger import Draft, Entry
from holdfast.core.outliers import MAX_DECISIONS, Action, Decision, Subject
from holdfast.core.project import Project, parse_project
from holdfast.core.seal import OUTLIER
from holdfast.core.versions import stream_of
from holdfast.lifecycle.plant import Plant

if TYPE_CHECKING:
    from holdfast.ingest.review import Ruling

DECIDED: Final = "data.decided"  # body: envelope, decision (its digest), dataset, action, row, column
LISTED: Final = "data.decisions-listed"  # body: listed (a document), project, count; in the stream of the data set


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One decision in a list of those that a run applies: nothing in it is a value."""

    envelope: str
    document: str
    action: Action
    row: int
    column: str
    by: str
    reason: str
    time: str


class List(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The decisions that a run applies."""

    decisions: tuple[Line, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InForce:
    """A decision that verified, with what it is about."""

    entry: Entry
    decision: Decision
    subject: Subject


def decisions(plant: Plant, name: str) -> Sequence[InForce]:
    """Return the decisions in force about a data set, oldest first: of one value the newest, none of erased rows.

    Raises:
        NotVerified: One is not signed by whoever may sign it, or says something else than its entry.
    """
    found: dict[tuple[str, str], InForce] = {}
    for entry in plant.ledger.stream(stream_of(name)):
        if entry.kind != DECIDED:
            continue
        said = _opened(plant, entry)
        if not plant.blobs.has(Digest(said.document)):
            continue  # erased with its source: nobody knows any more what it was about
        subject = msgspec.json.decode(plant.blobs.get(Digest(said.document)), type=Subject)
        key = subject.print, subject.column
        found.pop(key, None)
        found[key] = InForce(entry=entry, decision=said, subject=subject)
    return tuple(found.values())


def _opened(plant: Plant, entry: Entry) -> Decision:
    said = plant.believe(Digest(entry.body["envelope"]), OUTLIER, at=entry.moment, stream=entry.stream).value
    if entry.body["decision"] != digest_json(said) or stream_of(said.data) != entry.stream:
        raise NotVerified(
            "the ledger's entry says something else than the decision that was signed", place=entry.stream
        )
    return said


def with_decisions(
    plant: Plant, text: bytes, project: Project, digest: Digest
) -> tuple[bytes, Project, Digest, list[Draft]]:
    """Return a project document with the decisions that a run applies listed at its end, and what to put on record.

    Raises:
        InvalidProject: The file declares decisions itself, or so many are in force that they are a rule.
        NotVerified: A decision on record does not verify: nothing is ingested on it.
    """
    if project.data.decisions is not None:
        words = "decisions are made with `holdfast data review decide`, and are not declared"
        raise InvalidProject(words, place="holdfast.toml: data.decisions", expected="nothing there")
    if project.data.outliers is None:
        return text, project, digest, []
    found = decisions(plant, project.project.name)
    if not found:
        return text, project, digest, []
    if len(found) > MAX_DECISIONS:
        words = f"{len(found)} decisions about single values are in force"
        raise InvalidProject(words, place="[data]", expected=f"at most {MAX_DECISIONS}; write a rule in [[data.clean]]")
    listed = plant.blobs.put(canonical(List(decisions=tuple(_line(each) for each in found))))
    tail = f'\n[data.decisions]\nlisted = "{listed}"\ncount = {len(found)}\n'
    text = text.rstrip(b"\n") + b"\n" + tail.encode()
    project, digest = parse_project(text)
    stream, body = stream_of(project.project.name), {"listed": listed, "project": digest, "count": len(found)}
    last = plant.last(stream, LISTED)
    drafts = [] if last is not None and last.body == body else [_draft(stream, body)]
    return text, project, digest, drafts


def _draft(stream: str, body: dict[str, object]) -> Draft:
    return Draft(kind=LISTED, actor="ingest", stream=stream, body=body)


def _line(found: InForce) -> Line:
    said = found.decision
    return Line(
        envelope=found.entry.body["envelope"],
        document=said.document,
        action=said.action,
        row=said.row,
        column=said.column,
        by=said.by,
        reason=said.reason,
        time=said.time.isoformat(),
    )


def listed_of(plant: Plant, project: Project | None) -> tuple[Line, ...]:
    """Return the decisions that the document of a project lists: those that were applied by it."""
    if project is None or project.data.decisions is None:
        return ()
    document = plant.blobs.get(Digest(project.data.decisions.listed))
    return msgspec.json.decode(document, type=List).decisions


def rulings_of(plant: Plant, project: Project) -> "Sequence[Ruling]":
    """Return what an ingest by this project document applies; what was erased meanwhile is about nothing any more."""
    from holdfast.ingest.review import Ruling

    found = []
    for line in listed_of(plant, project):
        if plant.blobs.has(Digest(line.document)):
            subject = msgspec.json.decode(plant.blobs.get(Digest(line.document)), type=Subject)
            found.append(Ruling(action=line.action, subject=subject))
    return found
