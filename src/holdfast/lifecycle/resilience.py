"""What a project declares about its model's labels and inputs, held against each release before it is signed."""

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
        check_resilience(declared, signature_of(plant, release))
    return declared


def check_commands(plant: Plant, terms: Project, releases: Iterable[str]) -> None:
    """Check that what the classes of a project's model command fits each release, as its gateways will.

    Raises:
        InvalidInput: A class without a value, an interlock on an input that is none, or bounds that mean nothing: no
            gateway would load such a table.
    """
    if terms.serving.commands is None:
        return
    from holdfast.serve.guards.commands import WithinBoundsSettings, bounds_of  # few projects drive anything

    settings = msgspec.convert(msgspec.to_builtins(terms.serving.commands), WithinBoundsSettings)
    for release in releases:
        bounds_of(settings, signature_of(plant, release))


def signature_of(plant: Plant, release: str) -> Signature:
    """Return what the model of a release takes and gives."""
    files = parse_manifest(plant.blobs.get(Digest(release)))
    document = plant.blobs.get(Digest(files.file("signature.json").digest))
    return msgspec.json.decode(document, type=Signature)
