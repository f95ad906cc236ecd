"""Bills of materials handed out: as CycloneDX, as SPDX, or signed so that a stranger can verify them alone."""

from pathlib import Path
from typing import Final

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import InvalidInput, NotVerified, Unavailable, UsageError
from holdfast.core.ledger import Draft
from holdfast.core.seal import seal_payload
from holdfast.lifecycle.boms import bytes_of, document_of
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import current_project
from holdfast.release.bom import completeness
from holdfast.release.bom_statement import MAX_PEM, MAX_STATEMENT, Stated, keys_in, pem_of, statement, verify_statement
from holdfast.release.spdx import spdx

EXPORTED: Final = "bom.exported"  # in the release's stream; body: envelope, form
FORMS: Final = ("cyclonedx", "spdx", "signed")
BUFFER: Final = 1 << 20  # bytes read at once


def export(plant: Plant, *, release: str | None = None, form: str = "signed", out: Path) -> Reply:
    """Write the bill of materials of a release into a file.

    Args:
        plant: The control plane.
        release: Which; the newest if left out.
        form: `cyclonedx` as it lies in the release; `spdx`; or `signed`: an in-toto statement about the release's files
            whose predicate is the CycloneDX document, signed by the release key. What is signed is put on record.
        out: The file.

    Raises:
        UsageError: There is no such form.
        NotFound: There is no such release, or its bytes are gone.
        Unavailable: The file cannot be written, or the key cannot be had.
    """
    if form not in FORMS:
        raise UsageError(f"there is no form {form[:80]!r}", expected=", ".join(FORMS))
    subject = meant(plant, current_project(plant), release)
    keys: list[str] = []
    if form == "signed":
        written, keys = _signed(plant, subject), [pem_of(key) for key in plant.trust.of_role("release")]
    else:
        written = bytes_of(plant, subject) if form == "cyclonedx" else spdx(document_of(plant, subject))
    try:
        out.write_bytes(written)
    except OSError as error:
        raise Unavailable(f"the file cannot be written: {error.strerror}", place=str(out)) from error
    says = f"The bill of materials of release {short(subject)} is in {out}."
    if keys:
        says += " Who is to verify it needs the release key's public half:\n" + "".join(keys).strip()
    return Reply(says=says, document={"release": subject, "form": form, "keys": keys})


def _signed(plant: Plant, release: Digest) -> bytes:
    """Sign the bill, and put on record that it was: at that time the key was good, whatever becomes of it later."""
    plant.unlock()
    payload = statement(parse_manifest(plant.blobs.get(release)), bytes_of(plant, release))
    envelope = seal_payload(payload, [plant.keys.signer("release")])
    body = {"envelope": plant.blobs.put(envelope), "form": "signed"}
    plant.ledger.append([Draft(kind=EXPORTED, actor=plant.actor, stream=release, body=body)])
    return envelope


def verify(file: Path, key: Path, folder: Path | None = None) -> Reply:
    """Verify a signed bill of materials with public keys alone, and the files it is about where they are at hand.

    Raises:
        NotVerified: No such key has signed it, or a file is missing or another.
        InvalidInput: A file cannot be read.
    """
    envelope = read_given(file, limit=MAX_STATEMENT + 1, what="the bill of materials")
    keys = keys_in(read_given(key, limit=MAX_PEM + 1, what="the public key"), str(key))
    stated = verify_statement(envelope, keys)
    checked = _check_files(stated, folder) if folder is not None else 0
    try:
        name, parts = stated.document["metadata"]["component"]["name"], len(stated.document["components"])
        lacks = completeness(stated.document)
    except (KeyError, TypeError, AttributeError) as error:
        raise NotVerified(f"the bill of materials lacks {error}", place=str(file)) from error
    says = f"Verified: the bill of materials of {name}, {parts} components, signed by key {stated.keyid[:16]}."
    says += f" {checked} files are those it is about." if folder is not None else ""
    rows = [(name, digest) for name, digest in stated.subjects]
    document = {
        "model": name,
        "components": parts,
        "lacks": list(lacks),
        "keyid": stated.keyid,
        "files_checked": checked,
        "subjects": dict(stated.subjects),
    }
    return Reply(says=says, document=document, tables=(Table(title="About", columns=("file", "SHA-256"), rows=rows),))


def _check_files(stated: Stated, folder: Path) -> int:
    """Check that a folder holds just the files that the bill is about: one more is none of the release's."""
    import hashlib

    if not folder.is_dir():
        raise InvalidInput("there is no such folder", place=str(folder), expected="the files of the release")
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()} - {"model.sig"}
    for name in sorted(there ^ {name for name, _ in stated.subjects}):
        words = "a file that the bill does not name" if name in there else "a file is missing"
        raise NotVerified(words, place=name)
    for name, digest in stated.subjects:
        hashed = hashlib.sha256()
        with (folder / name).open("rb") as opened:
            while chunk := opened.read(BUFFER):
                hashed.update(chunk)
        if hashed.hexdigest() != digest:
            raise NotVerified("the file is another than the bill is about", place=name)
    return len(stated.subjects)
