"""The signature of a release, checked as a consumer would: over the files as they are stored now, by name.

A signature that does not verify is measured as such, not `failed`: a failure may be superseded by a later success, and
a wrong signature on a release must be seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.core.artifact import Artifact, Digest, digest_bytes, parse_manifest
from holdfast.core.control import Control, Report, run
from holdfast.core.errors import NotVerified
from holdfast.core.evidence import Evidence, Finding, MadeWith, Severity, exactly
from holdfast.core.ports import Workspace
from holdfast.core.trust import TrustedKey
from holdfast.engines.signing.model_signing import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What the signature control looks at."""

    ws: Workspace
    release: Artifact
    bundle: bytes
    keys: Sequence[TrustedKey]


def check_signature(
    ws: Workspace, release: Artifact, bundle: bytes, keys: Sequence[TrustedKey], made_with: MadeWith
) -> Evidence:
    """Return the evidence about a release's signature.

    Args:
        ws: Where the release is stored.
        release: The release.
        bundle: The model signing bundle.
        keys: The release keys that are trusted now; none means that nothing verifies.
        made_with: What the measurement depends on; release and bundle are put in as its data.
    """
    made_with = msgspec.structs.replace(made_with, data=(release.digest, digest_bytes(bundle)))
    return run(SIGNATURE, Signed(ws=ws, release=release, bundle=bundle, keys=keys), release, made_with)


def _measure(context: Signed) -> Report:
    blobs = context.ws.blobs
    folder = parse_manifest(blobs.get(context.release.digest))
    files = []
    for file in folder.files:
        blobs.check(Digest(file.digest))  # hashed on the way: what is verified is what is stored
        files.append((file.path, Digest(file.digest)))
    facts: dict[str, str] = {"bundle": digest_bytes(context.bundle)}
    try:
        signed = verify(context.bundle, files, context.keys)
    except NotVerified as error:
        finding = Finding(
            place=error.place or "bundle", severity=Severity.CRITICAL, rule="signature.wrong", message=error.message
        )
        return Report(measures=(exactly("verified", 0), exactly("files_covered", 0)), findings=(finding,), facts=facts)
    facts |= {"keyid": signed.keyid, "root": signed.root}
    return Report(measures=(exactly("verified", 1), exactly("files_covered", len(signed.files))), facts=facts)


SIGNATURE: Final[Control[Signed]] = Control(name="release.signature/1", measure=_measure)
