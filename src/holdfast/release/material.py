"""What a release is told about its model: everything that card, bill of materials and provenance are written from.

One value, so that the three documents cannot disagree. Nothing is read here but the model's own signature; nothing is
measured, and nothing is left out because it is bad.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from holdfast.core.artifact import Artifact, Digest, File, Kind, Manifest, parse_manifest
from holdfast.core.errors import InvalidInput, StageFailed
from holdfast.core.evidence import Evidence, MadeWith, Measure, Outcome
from holdfast.core.ports import Blobs
from holdfast.core.project import Project
from holdfast.core.schema import Signature
from holdfast.release.environment import Library, installed

T = TypeVar("T")

MODEL_FILE: Final = "model.onnx"
SIGNATURE_FILE: Final = "signature.json"
PROFILE_FILE: Final = "profile.json"
MODEL_FILES: Final = (MODEL_FILE, SIGNATURE_FILE, PROFILE_FILE)
MAX_SIGNATURE: Final = 8 << 20  # bytes; ten thousand inputs with their ranges take one
ENVIRONMENT_FILE: Final = "environment.json"  # of METRICS: what training says it ran in
MAX_ENVIRONMENT: Final = 1 << 20  # bytes; the versions of ten thousand packages take half of it
SCAN_CONTROL: Final = "release.scan/1"
TIER_CONTROL: Final = "train.foreign/1"  # of a model from outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    """Who made the release, when, with what: the part of it that does not follow from its inputs.

    Times are the ledger's, ISO 8601 with an offset, so that making a release again gives the same bytes.
    """

    code: str  # digest of the code that ran, or its commit
    started: str
    builder: str  # an identity, for example the workspace that ran it
    finished: str = ""
    libraries: tuple[Library, ...] = field(default_factory=installed)


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What training recorded of the environment it ran in, as far as a release repeats it."""

    python: str = ""
    machine: str = ""
    packages: dict[str, str] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """Everything a release says."""

    project: Project
    model: Artifact
    files: tuple[File, ...]  # of the model
    signature: Signature
    latest: Mapping[str, Evidence]  # the newest measured evidence of each control
    derivation: tuple[Artifact, ...]  # everything the model derives from, without the model, by kind and digest
    environment: Environment
    built: Build
    made_with: MadeWith

    @property
    def started(self) -> str:
        """When the release was begun, UTC, to the second."""
        return utc(self.built.started)

    @property
    def outside(self) -> bool:
        """Whether the model came from outside and was not trained here."""
        return any(artifact.kind is Kind.FOREIGN for artifact in self.derivation)

    def measures(self, control: str) -> tuple[Measure, ...]:
        """Return what a control measured, timings last; nothing where it did not."""
        evidence = self.latest.get(control)
        return evidence.measures + evidence.timings if evidence else ()

    def fact(self, control: str, name: str) -> str:
        """Return one fact a control stated, or nothing."""
        evidence = self.latest.get(control)
        return evidence.facts.get(name, "") if evidence else ""

    def of(self, *kinds: Kind) -> tuple[Artifact, ...]:
        """Return the sources of these kinds, in the order of the kinds."""
        return tuple(artifact for kind in kinds for artifact in self.derivation if artifact.kind is kind)

    def file(self, path: str) -> File:
        """Return one file of the model."""
        return next(file for file in self.files if file.path == path)


def gather(
    blobs: Blobs,
    project: Project,
    model: Artifact,
    evidence: tuple[Evidence, ...],
    derivation: tuple[Artifact, ...],
    made_with: MadeWith,
    built: Build,
) -> Material:
    """Return the material of a release.

    Raises:
        StageFailed: The model lacks a file or was never scanned, or the evidence is about something else.
        InvalidInput: A time is malformed.
    """
    sources = tuple(sorted({a for a in derivation if a.digest != model.digest}, key=lambda a: (a.kind, a.digest)))
    known = {model.digest, *(artifact.digest for artifact in sources)}
    strangers = [item for item in evidence if item.subject not in known]
    if strangers:
        raise StageFailed(
            f"{strangers[0].control} is about something the model does not derive from", place=strangers[0].subject
        )
    latest = {item.control: item for item in evidence if item.outcome is Outcome.MEASURED}
    if SCAN_CONTROL not in latest:
        raise StageFailed("the model has not been scanned", place=model.digest, expected=f"evidence of {SCAN_CONTROL}")
    utc(built.started)
    files = parse_manifest(blobs.get(model.digest))
    return Material(
        project=project,
        model=model,
        files=files.files,
        signature=_signature(blobs, files),
        latest=MappingProxyType(latest),
        derivation=sources,
        environment=_environment(blobs, sources),
        built=built,
        made_with=made_with,
    )


def utc(moment: str) -> str:
    """Return an ISO 8601 moment in UTC to the second, as the three documents write it.

    >>> utc("2025-01-31T13:00:00.250000+01:00")
    '2025-01-31T12:00:00Z'

    Raises:
        InvalidInput: It is no moment, or has no offset.
    """
    try:
        parsed = datetime.fromisoformat(moment)
    except ValueError as error:
        raise InvalidInput(f"{moment[:80]!r} is not a time", expected="ISO 8601 with an offset") from error
    if parsed.tzinfo is None:
        raise InvalidInput(f"{moment!r} does not say its offset", expected="ISO 8601 with an offset")
    return parsed.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _signature(blobs: Blobs, files: Manifest) -> Signature:
    missing = set(MODEL_FILES) - {file.path for file in files.files}
    if missing:
        raise StageFailed(f"the model has no {', '.join(sorted(missing))}", place=files.digest)
    entry = files.file(SIGNATURE_FILE)
    return _read(blobs, entry, Signature, MAX_SIGNATURE)


def _environment(blobs: Blobs, sources: tuple[Artifact, ...]) -> Environment:
    """Return what the training beside this model recorded, or nothing where it recorded nothing."""
    for artifact in sources:
        if artifact.kind is Kind.METRICS:
            for file in parse_manifest(blobs.get(artifact.digest)).files:
                if file.path == ENVIRONMENT_FILE:
                    return _read(blobs, file, Environment, MAX_ENVIRONMENT)
    return Environment()


def _read(blobs: Blobs, file: File, expected: type[T], limit: int) -> T:
    """Return a JSON file that came out of the sandbox, within its limit and of its type."""
    if file.size > limit:
        raise StageFailed(f"{file.path} has {file.size} bytes", place=file.digest, expected=f"at most {limit}")
    try:
        return msgspec.json.decode(blobs.get(Digest(file.digest)), type=expected)
    except (ValueError, RecursionError) as error:
        raise StageFailed(f"{file.path} cannot be read: {error}", place=file.digest) from error
