"""Release: from a trained model to a package that a stranger can verify.

Decides what goes into a release and what its signature covers; leaves to policies whether findings are acceptable, and
to the lifecycle whose key signs. Three verbs in the order they are used: `scan` (before anything outside the sandbox
opens the model), `package`, and, once signed, `check_signature`; `check_version` says what it is
exactly, `check_secrets` whether it gives any away, and `check_licences` under which terms its parts are had.
"""

from typing import Any, Final

import msgspec

from holdfast.core.artifact import Artifact
from holdfast.core.control import Control, Result
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.ports import Workspace
from holdfast.core.project import Project
from holdfast.release.dependencies import DEPENDENCIES
from holdfast.release.environment import Library, installed
from holdfast.release.leaks import SECRETS, check_secrets
from holdfast.release.licences import LICENCES, check_licences
from holdfast.release.material import Build, gather
from holdfast.release.packaging import PACKAGE, build_package, check_package
from holdfast.release.rebuild import REBUILD
from holdfast.release.scanning import SCAN, scan_model
from holdfast.release.signature import SIGNATURE, check_signature
from holdfast.release.version import VERSION, Derived, check_version

CONTROLS: Final[tuple[Control[Any], ...]] = (
    SCAN,
    PACKAGE,
    SIGNATURE,
    VERSION,
    SECRETS,
    LICENCES,
    DEPENDENCIES,
    REBUILD,
)

__all__ = [
    "CONTROLS",
    "Build",
    "Derived",
    "Library",
    "check_licences",
    "check_secrets",
    "check_signature",
    "check_version",
    "installed",
    "package",
    "scan",
]


def scan(ws: Workspace, model: Artifact, made_with: MadeWith) -> Result:
    """Scan a model's files inside the sandbox; the result is evidence on the model.

    Args:
        ws: The workspace; its sandbox runs the scanner.
        model: The MODEL folder.
        made_with: Digests of code and configuration; the model is put in as the data.
    """
    return Result(evidence=(scan_model(ws, model, made_with),))


def package(
    ws: Workspace,
    project: Project,
    model: Artifact,
    evidence: tuple[Evidence, ...],
    derivation: tuple[Artifact, ...],
    made_with: MadeWith,
    built: Build,
) -> Result:
    """Make the release of a scanned model: its files, card, bill of materials and provenance.

    Args:
        ws: The workspace.
        project: The parsed project file.
        model: The MODEL folder.
        evidence: What is known about the model and what it derives from, oldest first; of each control the newest
            measurement is written down.
        derivation: Every artifact the model derives from.
        made_with: Digests of code and configuration; model and derivation are put in as the data.
        built: Who builds, when, with which libraries.

    Raises:
        StageFailed: The model lacks a file or was never scanned, or evidence is about something else.
        InvalidInput: A time in `built` is malformed.
    """
    sources = sorted({artifact.digest for artifact in derivation} - {model.digest})
    made_with = msgspec.structs.replace(made_with, data=(model.digest, *sources))
    material = gather(ws.blobs, project, model, evidence, derivation, made_with, built)
    release = build_package(ws, material)
    return Result(artifacts=(release,), evidence=(check_package(ws, release, made_with),))
