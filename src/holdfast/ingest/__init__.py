"""Ingest: bytes from outside become a data set, and every row that may not be part of it stands in a quarantine.

Decides which rows and columns go on; leaves to policies whether that is good enough. Nothing is dropped in silence:
rows in equals rows out plus rows set aside, and what cleaning changed is counted by rule.
"""

from typing import Final

from msgspec.structs import replace

from holdfast.core.artifact import Artifact, Kind, manifest
from holdfast.core.control import Control, Result, run
from holdfast.core.evidence import MadeWith
from holdfast.core.ports import Workspace
from holdfast.core.project import Project
from holdfast.core.sensitivity import withheld
from holdfast.engines.dataset import open_dataset, store_dataset, store_file
from holdfast.ingest import evidence, quarantine
from holdfast.ingest.contract import check_left, hold, resolve_duplicates
from holdfast.ingest.holdback import hold_back, schema_of
from holdfast.ingest.sources import read

CONTROLS: Final = (
    Control(name="ingest.contract/1", measure=evidence.contract),
    Control(name="ingest.personal/1", measure=evidence.personal),
    Control(name="ingest.provenance/1", measure=evidence.provenance),
)


def ingest(ws: Workspace, project: Project, source: Artifact, made_with: MadeWith) -> Result:
    """Return the data set and the quarantine made from a source file, with the evidence about them.

    1. Read the file as text. 2. Clean each column and hold its values against the declaration. 3. Hold back columns
    whose values are personal. 4. Resolve duplicate ids. 5. Store what holds, and what does not with its reasons. 6.
    Measure both as stored.

    Args:
        ws: Where the source is stored and the results go.
        project: The declaration of the columns.
        source: The raw file.
        made_with: Digests of code and configuration; the source is added as the data.

    Raises:
        InvalidData: The file cannot be read, an id or a label is personal data, or not one row holds.
        InvalidProject: A declared timestamp format cannot mean a moment.
    """
    raw = read(ws.blobs.path(source.digest), project)  # 1.
    searched = hold_back(hold(raw, project), raw, project)  # 2. and 3.
    batch = resolve_duplicates(searched.batch, project)  # 4.
    check_left(batch, raw, project)
    dataset = store_dataset(ws, schema_of(project, searched.caught), batch.frame)  # 5.
    rows = quarantine.document(batch.faults, {*searched.caught, *withheld(project)})
    set_aside = ws.store_folder(Kind.QUARANTINE, manifest([store_file(ws.blobs, quarantine.ROWS, rows)]))
    seen = evidence.Ingested(
        project=project,
        source=source,
        raw=raw,
        batch=batch,
        searched=searched,
        dataset=open_dataset(ws.blobs, dataset),
        quarantine=quarantine.parse(rows),
    )
    made_with = replace(made_with, data=(source.digest,))
    measured = tuple(run(control, seen, dataset, made_with) for control in CONTROLS)  # 6.
    return Result(artifacts=(dataset, set_aside), evidence=measured)
