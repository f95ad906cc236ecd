"""Secrets in what goes out and in what it was made by: recipe, project file, and every text of the release.

Decides nothing: each find is a finding with a mask of the secret, and their count is a measure that policies bound.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.control import Control, Report, run
from holdfast.core.evidence import Evidence, Finding, MadeWith, exactly
from holdfast.core.ports import Blobs
from holdfast.engines.secrets.scan import Collector
from holdfast.engines.secrets.sources import unpacked

LOOKED_AT: Final = (
    Kind.PROJECT,
    Kind.RECIPE,
)  # of what a release derives from: what people wrote; rows are `personal`'s


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """What the control looks at: the release, and what it derives from."""

    blobs: Blobs
    release: Artifact
    derivation: tuple[Artifact, ...]


def check_secrets(blobs: Blobs, release: Artifact, derivation: tuple[Artifact, ...], made_with: MadeWith) -> Evidence:
    """Return the evidence about secrets in a release, its recipe and its project file."""
    sources = [artifact for artifact in derivation if artifact.kind in LOOKED_AT]
    data = (release.digest, *sorted(artifact.digest for artifact in sources))
    made_with = msgspec.structs.replace(made_with, data=data)
    return run(SECRETS, Outgoing(blobs=blobs, release=release, derivation=tuple(sources)), release, made_with)


def _texts(context: Outgoing) -> Iterator[tuple[str, Digest]]:
    for artifact in (*context.derivation, context.release):
        if artifact.kind is Kind.PROJECT:
            yield "holdfast.toml", Digest(artifact.digest)
            continue
        for file in parse_manifest(context.blobs.get(artifact.digest)).files:
            yield f"{artifact.kind}/{file.path}", Digest(file.digest)


def _measure(context: Outgoing) -> Report:
    found = Collector()
    for name, digest in _texts(context):
        found.files += 1
        for part in unpacked(io.BytesIO(context.blobs.get(digest))):
            found.take(name, part)
    scan = found.result()
    findings = [
        Finding(
            place=leak.place, severity=leak.severity, rule=f"secret.{leak.rule}", message=f"{leak.says}: {leak.masked}"
        )
        for leak in scan.leaks
    ]
    return Report(
        measures=(
            exactly("secrets", len(scan.leaks)),
            exactly("unread", len(scan.unread)),
            exactly("secrets_accepted", len(scan.accepted)),
            exactly("files", scan.files),
        ),
        findings=tuple(findings),
        facts={f"unread:{where}"[:200]: why for where, why in scan.unread[:20]},
    )


SECRETS: Final[Control[Outgoing]] = Control(name="release.secrets/1", measure=_measure)
