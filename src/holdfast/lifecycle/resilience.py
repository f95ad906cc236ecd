"""What the route table says is done when a model fails: the project's own declaration, held against each release."""

from collections.abc import Iterable

import msgspec

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.project import Project
from holdfast.core.resilience import Resilience, check_resilience
from holdfast.core.schema import Signature
from holdfast.lifecycle.plant import Plant


def resilience_of(plant: Plant, terms: Project, releases: Iterable[str]) -> Resilience | None:
    """Return what a project declares for the failure of its model; None where it declares nothing.

    Raises:
        InvalidInput: It does not fit a release: a rule names a label or an input that the model does not have.
    """
    declared = terms.resilience
    if declared == Resilience():
        return None
    for release in releases:
        files = parse_manifest(plant.blobs.get(Digest(release)))
        document = plant.blobs.get(Digest(files.file("signature.json").digest))
        check_resilience(declared, msgspec.json.decode(document, type=Signature))
    return declared
