"""Batches afterwards: that a folder holds exactly what a gateway of this workspace has signed."""

import hashlib
from pathlib import Path

from holdfast.core.batch import MANIFEST, check_whole, part_name
from holdfast.core.errors import NotFound, NotVerified
from holdfast.core.seal import BATCH, MAX_ENVELOPE, unseal
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, short
from holdfast.serve.batch import check_parts


def verify(plant: Plant, *, output: Path, input: Path | None = None) -> Reply:  # noqa: A002 - as the command calls it
    """Verify a scored batch: the gateway's signature, each part's digest, one row for each row of the input.

    Args:
        plant: The control plane, whose trust says which gateways may speak.
        output: What `batch run` wrote.
        input: The file that was scored; it must still be that one.

    Raises:
        NotFound: There is no manifest: the batch has not ended.
        NotVerified: Something does not check out, or something else lies in the folder.
    """
    document = _read(output, MANIFEST)
    if document is None:
        raise NotFound(
            "there is no manifest: the batch has not ended",
            place=str(output),
            remedy="Run `holdfast batch run` again; it goes on where it ended.",
        )
    sealed = unseal(document, BATCH, plant.trust, at=plant.clock.now())
    manifest = sealed.value
    if manifest.plan.workspace != plant.trust.workspace:
        raise NotVerified("the batch is of another workspace", place=manifest.plan.workspace)
    check_whole(manifest)
    check_parts(manifest, lambda name: _read(output, name))
    listed = {part_name(part.number, manifest.plan.form) for part in manifest.parts}
    strays = sorted(path.name for path in output.glob(f"part-*.{manifest.plan.form}") if path.name not in listed)
    if strays:
        raise NotVerified("a part that nobody signed lies in the folder", place=strays[0])
    if input is not None and _digest(input) != manifest.plan.input:
        raise NotVerified("the input is not the one that was scored", place=str(input), expected=manifest.plan.input)
    said = ", ".join(f"{count} {name}" for name, count in manifest.outcomes.items())
    says = f"{manifest.rows} rows in {len(manifest.parts)} parts are those that release {short(manifest.plan.release)}"
    facts = {
        "rows": manifest.rows,
        "parts": len(manifest.parts),
        "release": manifest.plan.release,
        "input": manifest.plan.input,
        "outcomes": manifest.outcomes,
        "reasons": manifest.reasons,
        "keyid": sealed.signers[0].keyid,
        "manifest": sealed.envelope,
        "finished": manifest.finished.isoformat(),
    }
    return Reply(says=f"{says} answered ({said or 'none'}), signed by {sealed.signers[0].owner}.", document=facts)


def _read(folder: Path, name: str) -> bytes | None:
    limit = MAX_ENVELOPE if name == MANIFEST else 1 << 30
    try:
        with (folder / name).open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        return None
    if len(data) > limit:
        raise NotVerified("a file of the batch is too long", place=name, expected=f"at most {limit} bytes")
    return data


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
    except FileNotFoundError:
        raise NotFound("there is no such file", place=str(path), remedy="Name the file that was scored.") from None
