"""Undoing merges: the rows of a data set as they were before rows of one entity became one, from its ingest's trail."""

from pathlib import Path

from holdfast.core.artifact import Artifact, Digest, Kind, parse_digest, parse_manifest
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.ledger import Draft
from holdfast.lifecycle.erasure import EXPORTED
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, counted, short
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream


def unmerge(plant: Plant, *, out: Path, reason: str, data: str = "") -> Reply:
    """Write the rows of a data set as they were before any was merged or got another id, as Parquet; on record.

    Args:
        plant: The control plane.
        out: The file to make.
        reason: Why, on record.
        data: The beginning of the data set's digest; the newest if left out.

    Raises:
        InvalidInput: There is something where the file would lie, or no reason is given.
        NotFound: There is no such data set, or nothing of it was merged.
    """
    check_reason(reason)
    if out.exists():
        raise InvalidInput("there is something already where the rows would lie", place=str(out))
    dataset, quarantine = _made_together(plant, data)
    from holdfast.engines.dataset import from_parquet, open_dataset, to_parquet
    from holdfast.ingest.entities import PLACES, TRAIL, restored

    folder = parse_manifest(plant.blobs.get(quarantine.digest))
    if TRAIL not in {file.path for file in folder.files}:
        raise NotFound("nothing of this data set was merged", place=short(dataset.digest))
    trail, places = (from_parquet(plant.blobs.get(parse_digest(folder.file(name).digest))) for name in (TRAIL, PLACES))
    before = restored(open_dataset(plant.blobs, dataset).rows, trail, places)
    body = {"reason": reason, "files": {"unmerged.parquet": dataset.digest}, "kind": Kind.DATASET}
    plant.ledger.append([Draft(kind=EXPORTED, actor=plant.person, stream=dataset.digest, body=body)])
    out.touch(mode=0o600)
    out.write_bytes(to_parquet(before))
    says = f"{counted(before.height, 'row')} as they were lie in {out}; {trail.height} had been merged or renamed."
    return Reply(says=says, document={"dataset": dataset.digest, "rows": before.height, "touched": trail.height})


def _made_together(plant: Plant, data: str) -> tuple[Artifact, Artifact]:
    """Return a data set and the quarantine of the same ingest, the newest that fits."""
    for entry in reversed(plant.ledger.stream(project_stream(current_project(plant)))):
        if entry.kind != "stage.finished" or entry.body["stage"] != "ingest":
            continue
        made = {
            Kind(item["kind"]): Artifact(kind=Kind(item["kind"]), digest=Digest(item["digest"]), size=item["size"])
            for item in entry.body["artifacts"]
        }
        if made[Kind.DATASET].digest.removeprefix("sha256:").startswith(data.removeprefix("sha256:")):
            return made[Kind.DATASET], made[Kind.QUARANTINE]
    raise NotFound("there is no such data set of this project", place=data[:80])
