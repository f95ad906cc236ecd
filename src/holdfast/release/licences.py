"""Licences of what a release consists of: libraries and data, by its bill of materials.

Decides nothing about which may be used: each licence is a finding by its name, with the parts that have it, and a
policy says which of them must not be there (`none_of_rules`). A part whose licence nobody understands is `unknown`.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, parse_manifest
from holdfast.core.bill import Part
from holdfast.core.control import Control, Report, run
from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import Evidence, Finding, MadeWith, Severity, exactly
from holdfast.core.ports import Blobs
from holdfast.engines.licences import UNKNOWN, named
from holdfast.release.bom_parts import parts_in
from holdfast.release.packaging import BOM_FILE

RULE: Final = "licence."
JUDGED: Final = ("library", "data")
SHOWN: Final = 5  # parts of one licence that a finding names


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What the control looks at: the release with its bill."""

    blobs: Blobs
    release: Artifact


def check_licences(blobs: Blobs, release: Artifact, made_with: MadeWith) -> Evidence:
    """Return the evidence about the licences of a release's parts."""
    made_with = msgspec.structs.replace(made_with, data=(release.digest,))
    return run(LICENCES, Listed(blobs=blobs, release=release), release, made_with)


def by_licence(parts: Iterable[Part]) -> dict[str, list[str]]:
    """Return each licence with the libraries and data that have it, both in order."""
    found: dict[str, set[str]] = {}
    for part in parts:
        if part.kind in JUDGED:
            for licence in named(part.licence):
                found.setdefault(licence, set()).add(f"{part.kind} {part.name} {part.version}".strip())
    return {licence: sorted(found[licence]) for licence in sorted(found)}


def _measure(context: Listed) -> Report:
    bill = parse_manifest(context.blobs.get(context.release.digest)).file(BOM_FILE)
    document = msgspec.json.decode(context.blobs.get(Digest(bill.digest)))
    if not isinstance(document, dict):
        raise InvalidInput("the bill of materials is no object", place=context.release.digest)
    parts = [part for part in parts_in(document) if part.kind in JUDGED]
    found = by_licence(parts)
    findings = [
        Finding(
            place=", ".join(some[:SHOWN]) + (f" and {len(some) - SHOWN} more" if len(some) > SHOWN else ""),
            severity=Severity.LOW if licence == UNKNOWN else Severity.INFO,
            rule=RULE + licence,
            message="nobody says under which licence, or in words that say none" if licence == UNKNOWN else licence,
        )
        for licence, some in found.items()
    ]
    return Report(
        measures=(
            exactly("parts", len({(part.kind, part.name, part.version) for part in parts})),
            exactly("licences", len(found.keys() - {UNKNOWN})),
            exactly("unknown", len(found.get(UNKNOWN, ()))),
        ),
        findings=tuple(findings),
    )


LICENCES: Final[Control[Listed]] = Control(name="release.licences/1", measure=_measure)
