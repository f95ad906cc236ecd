"""Erasing some rows: a new version without them, and the keys of every older one that has them destroyed.

Rows of one source lie under one key, so what held the erased rows goes as a whole; the new version, made of a source
without them, stays. Models are not their rows: which must be trained again is said and on record.
"""

from pathlib import Path
from typing import Final

import polars as pl

from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.errors import NotFound, Refused
from holdfast.core.ledger import Draft
from holdfast.core.passport import RECORDED
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.core.versions import stream_of
from holdfast.engines.dataset import open_dataset
from holdfast.lifecycle.erasure import data_erase
from holdfast.lifecycle.inputs import check_reason, rows_key
from holdfast.lifecycle.learned import SEPARATOR, Affected, affected, check_asked, document_of, keys_in, words_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import carry
from holdfast.lifecycle.versions import Note, commit_dataset

ROWS_ERASED: Final = "data.rows-erased"  # body: reason, rows, sources, version, models, releases, answering


def data_erase_rows(plant: Plant, *, request: Path, reason: str) -> Reply:
    """Erase the rows that a request names: commit the source without them, destroy the keys of older ones.

    1. Find what the request touches, while that can still be found out. 2. Ingest the project's source, which must not
    have the rows any more, and commit it. 3. Put on record what is erased and which models must be trained again. 4.
    Destroy the key of each older source that has any of the rows.

    Raises:
        NotFound: No row of the request is known here.
        Refused: The project's source still has some of the rows; nothing is changed.
        HoldfastError: Whatever goes wrong while rows are taken in; nothing is erased then.
    """
    check_reason(reason)
    project = current_project(plant)
    keys = keys_in(project, request)
    plant.unlock()
    found = affected(plant, project, keys)  # 1.
    older = _sources_with(plant, keys)
    if not older:
        check_asked(found)
    made: list[str] = []

    def without(newer: Project, held: dict[Kind, Artifact]) -> None:
        source = held[Kind.SOURCE].digest
        left = _ids(plant, held[Kind.DATASET].digest) & set(keys)
        if left or source in older:
            words = f"the source still has {counted(len(left), 'of the rows', 'of the rows')}"
            remedy = "Take them out of the file, and out of wherever it comes from; then do this again."
            raise Refused(words, place=newer.data.source, remedy=remedy)
        note = Note(message=f"without {counted(len(keys), 'row')} erased on request")
        version = commit_dataset(plant, newer, held, note)
        made.append(version.digest if version else "")

    carry(plant, "ingest", without)  # 2.
    body = {
        "reason": reason,
        "rows": found.known,
        "sources": sorted(older),
        "version": made[0],
        "models": [each["model"] for each in found.models if each["retrain"]],
        "releases": list(found.releases),
        "answering": list(found.answering),
    }
    stream = stream_of(project.project.name)
    plant.ledger.append([Draft(kind=ROWS_ERASED, actor=plant.actor, stream=stream, body=body)])  # 3.
    erased = [data_erase(plant, data=source, reason=reason) for source in sorted(older)]  # 4.
    return _said(found, older, made[0], sorted({name for each in erased for name in each.document["tokens_remain"]}))


def _said(found: Affected, older: set[str], version: str, tokens: list[str]) -> Reply:
    keys = counted(len(older), "older source's key is", "older sources' keys are")
    says = f"{keys} destroyed: nothing that held the rows can be read. {words_of(found)}"
    says += f" The newest version, {short(version)}, has none of them." if version else ""
    says += f" Tokens of {', '.join(tokens)} can still be turned back until `holdfast dlp forget`." if tokens else ""
    document = document_of(found) | {"sources": sorted(older), "version": version, "tokens_remain": tokens}
    return Reply(says=says, document=document)


def _sources_with(plant: Plant, keys: list[str]) -> set[str]:
    """Return the sources that can be read and whose data sets have any of the rows."""
    wanted, found = set(keys), set()
    there = set(plant.data_keys())
    for entry in plant.ledger.entries():
        if entry.kind != RECORDED or entry.body["kind"] != Kind.DATASET:
            continue
        source = next((str(each["digest"]) for each in entry.body["parents"] if each["kind"] == Kind.SOURCE), "")
        if source not in found and rows_key(source) in there and _ids(plant, entry.stream) & wanted:
            found.add(source)
    return found


def _ids(plant: Plant, dataset: str) -> set[str]:
    """Return the keys of a data set's rows; none where it was erased."""
    try:
        data = open_dataset(plant.blobs, Artifact(kind=Kind.DATASET, digest=Digest(dataset), size=0))
    except NotFound:
        return set()
    ids = data.schema.of(Use.ID)
    if not ids:
        return {f"row {number}" for number in range(1, data.rows.height + 1)}
    texts = [pl.col(name).cast(pl.String) for name in ids]
    return set(data.rows.select(pl.concat_str(texts, separator=SEPARATOR).alias("id")).get_column("id").to_list())
