"""SLSA provenance v1 of a release: what was built, from what, by whom, as an in-toto Statement.

Written unsigned into the package: the model signature covers it like every other file. Its subjects are the other
files, because a folder cannot name its own digest.
"""

from typing import Any, Final

from holdfast.core.artifact import Artifact, File, Kind, digest_json
from holdfast.core.intoto import statement
from holdfast.release.material import Material, utc

PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "https://holdfast.dev/build/model/v1"
MEDIA_TYPES: Final = {
    Kind.PROJECT: "application/toml",
    Kind.SOURCE: "application/octet-stream",
}
BESIDE: Final = (Kind.BASELINE, Kind.METRICS, Kind.QUARANTINE)  # made on the way, and nothing the model rests on
_FOLDER: Final = "application/vnd.holdfast.manifest+json"


def provenance(material: Material, files: tuple[File, ...]) -> bytes:
    """Return the statement about a release's files, as canonical JSON.

    Fields follow SLSA provenance v1, "Schema": what the owner asked for stands in `externalParameters`, what the
    platform chose in `internalParameters`, and everything the model was derived from in `resolvedDependencies`.
    """
    project, built = material.project, material.built
    metadata = {
        "invocationId": digest_json({"model": material.model.digest, "built": [built.code, material.started]}),
        "startedOn": material.started,
    }
    if built.finished:
        metadata["finishedOn"] = utc(built.finished)
    predicate = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "project": project.project.name,
                "recipe": project.train.recipe,
                "parameters": dict(project.train.params),
                "policy": project.gates.policy,
                "digests": {a.kind: a.digest for a in material.of(Kind.PROJECT, Kind.RECIPE, Kind.FEATURES)},
            },
            "internalParameters": {
                "seed": project.train.seed,
                "tier": project.train.tier,
                "configuration": material.made_with.configuration,
            },
            "resolvedDependencies": [_descriptor(a) for a in material.derivation if a.kind not in BESIDE],
        },
        "runDetails": {
            "builder": {"id": _uri("builder", built.builder), "version": {"holdfast": built.code}},
            "metadata": metadata,
            "byproducts": [_descriptor(a) for a in (material.model, *material.of(*BESIDE))],
        },
    }
    return statement(((file.path, file.digest) for file in files), PREDICATE_TYPE, predicate)


def _descriptor(artifact: Artifact) -> dict[str, Any]:
    """Return an in-toto ResourceDescriptor; a folder's digest is that of its manifest, which the media type says."""
    return {
        "name": artifact.kind,
        "uri": _uri(artifact.kind, artifact.digest),
        "digest": {"sha256": _hex(artifact.digest)},
        "mediaType": MEDIA_TYPES.get(artifact.kind, _FOLDER),
    }


def _uri(kind: str, name: str) -> str:
    """Return a name as the absolute URI that the specification asks for."""
    return f"holdfast:{kind}/{name}"


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
