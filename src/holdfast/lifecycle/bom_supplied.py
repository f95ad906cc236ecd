"""Bills of materials that suppliers hand out: taken in beside what they are about, and kept apart from evidence.

What a supplier says is on record as just that: a statement with its document, who took it in and when. It answers
questions of impact, so that a bad component is looked for in what was bought as well; it measures nothing, and no
policy takes it for a measurement of ours.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.bill import PARTS, SUPPLIED, list_name, list_stream, lists_of, read_supplied
from holdfast.core.errors import HoldfastError, NotFound
from holdfast.core.ledger import Draft
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.quarantine import ARTIFACTS_KEY, named, opened
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.release.supplied import MAX_SUPPLIED, lacking
from holdfast.release.supplied import read_supplied as read_document

ROWS: Final = 200  # of the table; the document holds all
NOT_OURS: Final = "What the supplier says: nothing of it was checked."


def take(plant: Plant, *, file: Path, about: str) -> Reply:
    """Take in a supplier's bill of materials of something that came from outside.

    Args:
        plant: The control plane.
        file: CycloneDX 1.4 to 1.7 or SPDX 3.0, as JSON.
        about: The beginning of the digest of what it is about, as `intake list` shows it.

    Raises:
        InvalidInput: The file is no such bill, or breaks its format.
        NotFound: Nothing from outside has this digest.
    """
    document = read_given(file, limit=MAX_SUPPLIED + 1, what="the bill of materials")
    said = read_document(document)
    subject, _ = named(plant, about)
    stored = plant.sealed(ARTIFACTS_KEY).put(document)
    lists = {list_name(parts): parts for parts in lists_of(said.parts)}
    known = plant.ledger.heads([list_stream(name) for name in lists])
    drafts = [
        Draft(kind=PARTS, actor=plant.actor, stream=list_stream(name), body={"parts": msgspec.to_builtins(parts)})
        for name, parts in lists.items()
        if not known[list_stream(name)][0]
    ]
    called = next(str(entry.body["name"]) for entry in opened(plant) if entry.body["subject"] == subject.digest)
    body = {
        "model": called or short(subject.digest),
        "serial": said.serial or stored,
        "lists": sorted(lists),
        "form": said.form,
        "document": stored,
    }
    plant.ledger.append([*drafts, Draft(kind=SUPPLIED, actor=plant.actor, stream=subject.digest, body=body)])
    says = f"{counted(len(said.parts), 'part')} of {called} by a bill in {said.form}. {NOT_OURS}"
    says += f" It lacks {', '.join(said.lacks)}." if said.lacks else ""
    answer = {"subject": subject.digest, "form": said.form, "parts": len(said.parts), "lacks": list(said.lacks)}
    return Reply(says=says, document=answer | {"document": stored})


def show(plant: Plant, subject: Digest) -> Reply:
    """Show what a supplier's newest bill says of something from outside.

    Raises:
        NotFound: None was taken in.
    """
    entry = plant.last(subject, SUPPLIED)
    if entry is None:
        remedy = "Ask the supplier for one, and take it in with `holdfast bom take`."
        raise NotFound("no supplier's bill of this was taken in", place=subject, remedy=remedy)
    said = read_supplied(entry.stream, entry.body)
    found = plant.bills.parts_of(subject)
    rows = [(each.kind, each.name, each.version, each.licence, each.digest[:12]) for each in found]
    table = Table(title="Parts", columns=("kind", "name", "version", "licence", "digest"), rows=rows[:ROWS])
    says = f"{said.model}, by its supplier's bill in {said.form}, taken in {entry.time}. {NOT_OURS}"
    document = {
        "subject": subject,
        "source": "supplier",
        "form": said.form,
        "serial": said.serial,
        "taken": entry.time,
        "document": said.document,
        "parts": [msgspec.structs.asdict(each) for each in found],
        "lacks": list(lacking(found)),
    }
    return Reply(says=says, document=document, tables=(table,))


def outside(plant: Plant) -> list[dict[str, Any]]:
    """Return of each thing that came from outside whether its supplier's bill was taken in, and what that lacks."""
    told = []
    for entry in opened(plant):
        subject = str(entry.body["subject"])
        said = plant.last(subject, SUPPLIED)
        lacks = list(lacking(plant.bills.parts_of(subject))) if said else ["a bill"]
        form = read_supplied(said.stream, said.body).form if said else ""
        told.append({"subject": subject, "name": str(entry.body["name"]), "form": form, "lacks": lacks})
    return told


def table_of(told: Iterable[Mapping[str, Any]]) -> Table:
    """Return the table of what came from outside."""
    rows = [
        (short(each["subject"]), each["name"], each["form"] or "—", ", ".join(each["lacks"]) or "—") for each in told
    ]
    return Table(title="From outside, by what suppliers say", columns=("digest", "name", "bill", "lacks"), rows=rows)


def files_of(plant: Plant, subject: str) -> tuple[str, ...]:
    """Return the digests of the files of something from outside: rows are known by those where they are used."""
    try:
        return tuple(file.digest for file in parse_manifest(plant.blobs.get(Digest(subject))).files)
    except HoldfastError:  # its bytes are gone: what was made of them is told by the ledger's edges alone
        return ()


def is_outside(plant: Plant, wanted: str) -> Digest | None:
    """Return what came from outside and begins so; None where nothing does, or more than one thing."""
    try:
        return named(plant, wanted)[0].digest
    except NotFound:
        return None
