"""Verify before use: what a stage is handed, a release that is about to answer, whatever is deployed or taken out.

1. Every byte has its digest; a damaged blob is replaced by a good copy first, or nothing goes on. 2. Somebody entitled
has signed it: a data set by the role that makes data sets, a release by the role that signs models, over the files by
name; features and a model by the sealed evidence of the stage that made them. Files that a person hands in are on
record, and are what they were when they were recorded.
"""

from collections.abc import Iterator
from typing import Final

from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.errors import NotVerified
from holdfast.core.passport import FILED
from holdfast.core.seal import EVIDENCE
from holdfast.lifecycle import DERIVES, FOLDERS, Stage
from holdfast.lifecycle.data_record import check_provenance
from holdfast.lifecycle.mending import sound
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.signing import DATASET_SIGNED, RELEASE_SIGNED, check_signed

VOUCHES: Final = {Kind.FEATURES: "features", Kind.MODEL: "train"}
"""The role whose sealed evidence must be there of what a stage has made, where no signature over files is."""

SIGNED: Final = {Kind.DATASET: DATASET_SIGNED, Kind.RELEASE: RELEASE_SIGNED}
"""The kind of entry that names the signature over an artifact's files."""


def check_inputs(plant: Plant, stage: Stage, held: dict[Kind, Artifact]) -> None:
    """Verify everything that a stage is about to use, and the data set beneath it: it learns from nothing unsigned.

    Nor from a data set of which nobody can say where it comes from.

    Raises:
        NotVerified: Something was changed and no good copy is left, or is not signed by whoever may sign it.
        NotFound: Something is gone.
    """
    for kind in dict.fromkeys((*stage.takes, *_beneath(stage.takes))):
        if kind in held:
            consume(plant, held[kind].digest, kind)
    if Kind.SPLIT in stage.gives:  # it is about to learn
        check_provenance(plant, held[Kind.DATASET].digest)


def _beneath(kinds: tuple[Kind, ...]) -> Iterator[Kind]:
    """Yield the signed kinds that these derive from."""
    for kind in kinds:
        for parent in DERIVES[kind]:
            if parent in SIGNED:
                yield parent
            yield from _beneath((parent,))


def consume(plant: Plant, digest: Digest, kind: Kind) -> None:
    """Verify one artifact, bytes and signature, before it is used.

    Raises:
        NotVerified: It was changed and no good copy is left, or is not signed by whoever may sign it.
        NotFound: It is gone.
    """
    sound(plant, digest)  # 1.
    if kind not in FOLDERS:
        return
    folder = parse_manifest(plant.blobs.get(digest))
    for file in folder.files:
        sound(plant, Digest(file.digest))
    if kind in SIGNED:  # 2.
        check_signed(plant, digest, folder, SIGNED[kind])
    elif kind in VOUCHES:
        check_vouched(plant, digest, VOUCHES[kind])


def check_vouched(plant: Plant, digest: Digest, role: str) -> None:
    """Check that the stage that makes this has sealed evidence about it, at the time at which the ledger took it in."""
    for entry in reversed(plant.ledger.stream(digest)):
        if entry.kind == FILED and entry.actor == role:
            said = plant.believe(Digest(entry.body["envelope"]), EVIDENCE, at=entry.moment, stream=digest)
            if said.value.subject == digest and said.value.stage == role:
                return
    raise NotVerified(f"the {role} stage has signed nothing about this", place=digest)
