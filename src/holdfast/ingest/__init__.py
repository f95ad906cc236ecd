"""Ingest: bytes from outside become a data set, and every row that may not be part of it stands in a quarantine.

Decides which rows and columns go on; leaves to policies whether that is good enough. Nothing is dropped in silence:
rows in equals rows out plus rows set aside, and what cleaning changed is counted by rule.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from datetime import datetime
from pathlib import Path
from typing import Final

import polars as pl
from msgspec.structs import replace

from holdfast.core.artifact import Artifact, Kind, manifest
from holdfast.core.control import Control, Result, run
from holdfast.core.evidence import MadeWith
from holdfast.core.ports import Recogniser, Workspace
from holdfast.core.project import Project
from holdfast.core.sensitivity import withheld
from holdfast.engines.dataset import open_stored, store_dataset, store_file, to_parquet
from holdfast.engines.dlp import recogniser_of
from holdfast.ingest import evidence, quarantine, review
from holdfast.ingest.contract import (
    Batch,
    Read,
    References,
    check_breaches,
    check_left,
    hold_pieces,
    resolve_duplicates,
)
from holdfast.ingest.entities import PLACES, TRAIL, entities_of, resolve
from holdfast.ingest.holdback import Searched, hold_back, schema_of
from holdfast.ingest.sources import pieces, read

CONTROLS: Final = (
    Control(name="ingest.contract/1", measure=evidence.contract),
    Control(name="ingest.checks/1", measure=evidence.checks),
    Control(name="ingest.quality/1", measure=evidence.quality),
    Control(name="ingest.personal/1", measure=evidence.personal),
    Control(name="ingest.provenance/1", measure=evidence.provenance),
    Control(name="ingest.screening/1", measure=evidence.screened),
    Control(name="ingest.outliers/1", measure=evidence.outliers),
)


def ingest(
    ws: Workspace,
    project: Project,
    source: Artifact,
    made_with: MadeWith,
    *,
    references: References | None = None,
    now: datetime | None = None,
    sent: tuple[evidence.Sent, ...] = (),
    rulings: Sequence[review.Ruling] = (),
) -> Result:
    """Return the data set and the quarantine made from a source file, with the evidence about them.

    1. Read the file as text, and do what persons have decided about single values. 2. Clean each column, and hold rows
    and batch against the contract: all good rows land and all others are set aside, or nothing lands. 3. Treat columns
    whose values are personal as `[dlp]` declares, or hold them back. 4. Sort what lies out; then resolve entities or
    duplicate ids. 5. Store what holds, and what does not with its reasons. 6. Measure both as stored.

    Args:
        ws: Where the source is stored and the results go.
        project: The declaration of the columns.
        source: The raw file.
        made_with: Digests of code and configuration; the source is added as the data.
        references: The tables that checks refer to, by their names.
        now: The time, for ages and for which clients are new.
        sent: By the project's sources, where the file was put together from them.
        rulings: What persons have decided about values that lie out.

    Raises:
        InvalidData: The file cannot be read, an id or a label is personal data, `[dlp]` blocks what it holds, a check
            of the batch breaks or cannot be evaluated, or not one row holds.
        InvalidProject: A declared timestamp format cannot mean a moment, or `[dlp.presidio]` cannot be had.
        Unavailable: `[dlp.presidio]` is declared, and Presidio is not here or failed.
    """
    recogniser = recogniser_of(project.dlp, ws.open_recogniser)  # before a row is read, or not at all
    with tempfile.TemporaryDirectory(dir=ws.scratch) as folder:  # of rows on their way from the source to the store
        ready = _ready(ws, project, source, recogniser, references, now, rulings, Path(folder))
        dataset, set_aside, seen = _stored(ws, project, source, recogniser, sent, ready)  # 5.
        del ready  # what refers to rows in that folder
    made_with = replace(made_with, data=(source.digest,))
    measured = tuple(run(control, seen, dataset, made_with) for control in CONTROLS)  # 6.
    return Result(artifacts=(dataset, set_aside), evidence=measured)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """Rows that may be stored, and all that was found on the way there."""

    batch: Batch
    more: list[tuple[str, pl.DataFrame]]
    read: Read
    searched: Searched
    applied: review.Applied
    triage: review.Triage


def _ready(
    ws: Workspace,
    project: Project,
    source: Artifact,
    recogniser: Recogniser | None,
    references: References | None,
    now: datetime | None,
    rulings: Sequence[review.Ruling],
    folder: Path,
) -> _Ready:
    """Take the steps 1 to 4 of `ingest`; rows are open whole only where something declared rests on all of them."""
    path = ws.blobs.path(source.digest)
    before = read(path, project) if rulings or project.data.clean or project.data.outliers else None  # 1.
    raw, applied = (None, review.Applied()) if before is None else review.apply(before, rulings, project)
    some = pieces(path, project) if raw is None else [raw]
    held, seen, beside = hold_pieces(some, project, references=references, now=now, folder=folder)  # 2.
    check_breaches(held, project)
    searched = hold_back(held, beside, project, ws.token_key, recogniser)  # 3.
    hidden = {*searched.caught, *searched.replaced}
    triage = review.triage(searched.batch, before, applied, project, hidden)  # 4.
    batch, more = settled(held, triage.batch, project)
    batch = changed(batch, counts=(*applied.counts, *batch.counts))
    check_left(batch, seen, project)
    return _Ready(batch=batch, more=more, read=seen, searched=searched, applied=applied, triage=triage)


def _stored(
    ws: Workspace,
    project: Project,
    source: Artifact,
    recogniser: Recogniser | None,
    sent: tuple[evidence.Sent, ...],
    ready: _Ready,
) -> tuple[Artifact, Artifact, evidence.Ingested]:
    """Take step 5 of `ingest`: return the data set, the quarantine, and what controls look at, rows as stored."""
    dataset = store_dataset(ws, schema_of(project, ready.searched), ready.batch.frame)
    hidden = {*ready.searched.caught, *ready.searched.replaced}
    rows = quarantine.document(ready.batch.faults, hidden.union(withheld(project)), recogniser)
    files = [store_file(ws.blobs, name, to_parquet(table)) for name, table in ready.more]
    if ready.triage.cases:
        files.append(store_file(ws.blobs, review.CASES, review.document(ready.triage.cases)))
    set_aside = ws.store_folder(Kind.QUARANTINE, manifest([store_file(ws.blobs, quarantine.ROWS, rows), *files]))
    stored = open_stored(ws.blobs, dataset)
    batch = changed(ready.batch, frame=stored.rows)  # the same rows, where they lie now
    seen = evidence.Ingested(
        project=project,
        source=source,
        read=ready.read,
        batch=batch,
        searched=changed(ready.searched, batch=batch),
        dataset=stored,
        quarantine=quarantine.parse(rows),
        sent=sent,
        applied=ready.applied,
        triage=changed(ready.triage, batch=batch),
        recogniser=recogniser,
    )
    return dataset, set_aside, seen


def settled(held: Batch, batch: Batch, project: Project) -> tuple[Batch, list[tuple[str, pl.DataFrame]]]:
    """Return a batch in which each id stands once, and what it takes to undo what was merged.

    Args:
        held: All rows that hold, with the columns that tell entities apart.
        batch: Those that go on, without columns that are not stored.
        project: What is declared.
    """
    declared = project.data.entities
    if declared is None:
        return resolve_duplicates(batch, project), []
    staying = held.rows.is_in(batch.rows.implode())
    entity = entities_of(changed(held, frame=held.frame.filter(staying), rows=held.rows.filter(staying)), declared)
    resolved = resolve(batch, entity, project)
    return resolved.batch, [(TRAIL, resolved.trail), (PLACES, resolved.places)]
