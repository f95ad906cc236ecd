"""Lineage: computes a release's features again from the recorded data set, and compares what comes out.

An edge on record says what features were derived from; that they really follow from it shows only by doing it again.
"""

from dataclasses import dataclass, replace
from typing import Final

from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.control import Control, Report
from holdfast.core.errors import NotFound
from holdfast.core.evidence import Finding, MadeWith, Severity, exactly
from holdfast.core.passport import RECORDED
from holdfast.features import build
from holdfast.lifecycle.dlp_tokens import token_key
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.premises import workspace
from holdfast.lifecycle.protected import sealing_key
from holdfast.lifecycle.routing import project_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Lineage:
    """A release, and the features that its model learned from."""

    plant: Plant
    subject: Digest
    features: Artifact


def features_of(plant: Plant, subject: Digest) -> Artifact:
    """Return the features that a release's model was made from, by its recorded derivation.

    Raises:
        NotFound: There are none on record.
    """
    return parent_of(plant, parent_of(plant, subject, Kind.MODEL).digest, Kind.FEATURES)


def parent_of(plant: Plant, artifact: str, kind: Kind) -> Artifact:
    """Return the artifact of a kind that another is recorded to derive from.

    Raises:
        NotFound: There is none on record.
    """
    found = _parent(plant, artifact, kind)
    if found is None:
        raise NotFound(f"no {kind} is on record that this derives from", place=artifact)
    return found


def _parent(plant: Plant, artifact: str, kind: Kind) -> Artifact | None:
    recorded = plant.last(artifact, RECORDED)
    parents = recorded.body["parents"] if recorded else ()
    digest = next((str(each["digest"]) for each in parents if each["kind"] == kind), None)
    return Artifact(kind=kind, digest=Digest(digest), size=0) if digest is not None else None


def _measure(lineage: Lineage) -> Report:
    """Compute the features again, from the data set, the views and the project document on record for them."""
    plant, features = lineage.plant, lineage.features
    dataset = parent_of(plant, features.digest, Kind.DATASET)
    parent_of(plant, dataset.digest, Kind.SOURCE)
    project = project_of(plant, features.digest)
    configuration = parent_of(plant, features.digest, Kind.PROJECT)
    with workspace(plant, project) as bare:
        ws = replace(
            bare,
            protected_key=lambda: sealing_key(plant, project),  # only to seal them once more
            token_key=lambda: token_key(plant, project.project.name),  # for what the views' sources hold
            open_recogniser=plant.open_recogniser,
        )
        made_with = MadeWith(code=plant.code, configuration=configuration.digest)
        result = build(ws, project, dataset, made_with, _parent(plant, features.digest, Kind.VIEWS))
    made = result.one(Kind.FEATURES)
    equal = made.digest == features.digest
    words = f"the features on record do not follow from their data set: computed again they are {made.digest[:19]}"
    wrong = Finding(place=features.digest, severity=Severity.CRITICAL, rule="lineage", message=words)
    facts = {"dataset": dataset.digest, "recomputed": made.digest}
    measures = (exactly("recomputed_equal", float(equal)),)
    return Report(measures=measures, findings=() if equal else (wrong,), facts=facts)


LINEAGE: Final = Control(name="features.lineage/1", measure=_measure)
