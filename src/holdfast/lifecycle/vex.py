"""Accepted findings: OpenVEX documents, taken in with the owner's signed word and an end.

A document alone accepts nothing. What counts is a word, signed by a person who still holds the role of owner, about
just these bytes, and not past its end.
"""

from datetime import timedelta
from pathlib import Path
from typing import Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import Draft
from holdfast.core.policy import seconds
from holdfast.core.seal import AUTHORIZATION, Authorization, unseal
from holdfast.engines.advisories.vex import MAX_VEX, Statement, parse_vex
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.routing import current_project

STREAM: Final = "dependencies"
ACCEPTED: Final = "dependencies.accepted"
RULE: Final = "vex"
_ROLE: Final = "owner"


def accept(plant: Plant, *, file: Path, reason: str, lasts: str = "30d") -> Reply:
    """Take in an OpenVEX document with the owner's signed word, for a time.

    Raises:
        InvalidInput: It is no such document, excuses without a justification, or would last too long.
    """
    check_reason(reason)
    longest = current_project(plant).dependencies.accepted_longest
    if seconds(lasts) > seconds(longest):
        raise InvalidInput(f"accepted for {lasts}", expected=f"at most {longest}, as [dependencies] says")
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_VEX + 1)
    except OSError as error:
        raise InvalidInput(f"the document cannot be read: {error.strerror}", place=str(file)) from error
    document = parse_vex(data, str(file))
    plant.unlock()
    now, digest = plant.clock.now(), plant.blobs.put(data)
    until = now + timedelta(seconds=seconds(lasts))
    word = Authorization(
        person=plant.person,
        role=_ROLE,
        action="waive",
        subject=digest,
        rule=RULE,
        until=until,
        reason=reason,
        issued=now,
    )
    envelope = plant.seal(word, AUTHORIZATION, "person")
    body = {
        "document": digest,
        "envelope": envelope,
        "person": plant.person,
        "until": until.isoformat(),
        "reason": reason,
    }
    plant.ledger.append([Draft(kind=ACCEPTED, actor=plant.person, stream=STREAM, body=body)])
    rows = [
        (
            each.vulnerability.name,
            each.status,
            each.justification or "",
            ", ".join(product.id for product in each.products),
        )
        for each in document.statements
    ]
    table = Table(title="Statements", columns=("advisory", "status", "justification", "products"), rows=rows)
    says = f"{counted(len(rows), 'statement')} until {until:%Y-%m-%d}; scan again for them to be seen."
    return Reply(says=says, document={"document": digest, "until": until.isoformat()}, tables=(table,))


def statements_of(plant: Plant) -> tuple[Statement, ...]:
    """Return the statements that count now, oldest first.

    Raises:
        NotVerified: A word or a document is not what was taken in.
    """
    now, trust, found = plant.clock.now(), plant.trust, list[Statement]()
    for entry in plant.ledger.stream(STREAM):
        if entry.kind != ACCEPTED:
            continue
        envelope = Digest(entry.body["envelope"])
        word = unseal(plant.blobs.get(envelope), AUTHORIZATION, trust, at=entry.moment).value
        if (word.action, word.rule, word.subject) != ("waive", RULE, entry.body["document"]):
            continue  # a word about something else accepts nothing
        if now >= word.until or trust.granted(word.person, word.role, now) is None or word.role != _ROLE:
            continue
        found += parse_vex(plant.blobs.get(Digest(word.subject)), word.subject).statements
    return tuple(found)
