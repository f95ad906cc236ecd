"""Packaging: the folder that is released, and the check that it says everything it must.

Same inputs, same bytes: nothing here reads a clock, a path or the order of a dictionary. Every file of the model goes
in as it was scanned and assessed, by digest, never re-written.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, File, Kind, manifest, parse_manifest
from holdfast.core.control import Control, Report, run
from holdfast.core.evidence import Evidence, Finding, MadeWith, Severity, exactly
from holdfast.core.ports import Workspace
from holdfast.release.bom import bom, completeness
from holdfast.release.card import card
from holdfast.release.material import MODEL_FILES, Material
from holdfast.release.provenance import provenance

BOM_FILE: Final = "bom.cdx.json"
PROVENANCE_FILE: Final = "provenance.intoto.json"
DOCUMENTS: Final[tuple[tuple[str, Callable[[Material], bytes]], ...]] = (("card.md", card), (BOM_FILE, bom))
"""What is written about a model, beside its provenance, which comes last because it names the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Packaged:
    """What the package control looks at."""

    ws: Workspace
    release: Artifact


def build_package(ws: Workspace, material: Material) -> Artifact:
    """Store a release's folder and return it."""
    files = [material.file(path) for path in MODEL_FILES]
    for path, write in DOCUMENTS:
        files.append(_stored(ws, path, write(material)))
    files.append(_stored(ws, PROVENANCE_FILE, provenance(material, tuple(files))))
    return ws.store_folder(Kind.RELEASE, manifest(files))


def check_package(ws: Workspace, release: Artifact, made_with: MadeWith) -> Evidence:
    """Return the evidence about a stored release: what is in it, read back from the store."""
    return run(PACKAGE, Packaged(ws=ws, release=release), release, made_with)


def _measure(context: Packaged) -> Report:
    blobs = context.ws.blobs
    folder = parse_manifest(blobs.get(context.release.digest))
    document = msgspec.json.decode(blobs.get(Digest(folder.file(BOM_FILE).digest)))
    for file in folder.files:
        blobs.check(Digest(file.digest))  # verified on the way: a damaged file fails the control
    lacking = completeness(document)
    return Report(
        measures=(
            exactly("files", len(folder.files)),
            exactly("bom_components", 1 + len(document["components"])),
            exactly("bom_complete", not lacking),
        ),
        findings=tuple(
            Finding(place=BOM_FILE, severity=Severity.HIGH, rule="bom.incomplete", message=f"no {kind}")
            for kind in lacking
        ),
        facts={"bom": document["serialNumber"], "root": folder.digest},
    )


PACKAGE: Final[Control[Packaged]] = Control(name="release.package/1", measure=_measure)


def _stored(ws: Workspace, path: str, data: bytes) -> File:
    return File(path=path, digest=ws.blobs.put(data), size=len(data))
