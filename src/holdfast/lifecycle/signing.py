"""Signatures over files by a workspace's own keys: made, put on record, proved to others, and demanded of what is used.

Models are signed by the role `release`, data sets by the role `ingest`: neither key can vouch for the other's. A
signature is judged at the time at which the ledger took it in, so one made inside its key's window verifies for ever.
"""

from pathlib import Path
from typing import Final

from holdfast.core.artifact import Digest, File, Manifest, manifest
from holdfast.core.errors import NotFound, NotVerified, Unavailable
from holdfast.core.inclusion import proof_document
from holdfast.core.ledger import Checkpoint, Draft, Entry
from holdfast.engines.signing import model_signing
from holdfast.engines.signing.folder import read_files
from holdfast.engines.signing.model_signing import DATA_ROLE, ROLE, SignedModel
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, short

RELEASE_SIGNED: Final = "release.signed"
DATASET_SIGNED: Final = "dataset.signed"
FILES_SIGNED: Final = "files.signed"
BUNDLE_FILE: Final = "model.sig"  # in a folder; see `holdfast.files`


def signature_of(plant: Plant, subject: Digest, kind: str = RELEASE_SIGNED) -> tuple[Entry, bytes]:
    """Return the newest signature over an artifact that the ledger holds, and the entry that names it.

    Raises:
        NotVerified: Nobody has signed it.
    """
    entry = plant.last(subject, kind)
    if entry is None:
        words = "nobody has signed this data set" if kind == DATASET_SIGNED else "nobody has signed this release"
        raise NotVerified(words, place=subject, remedy="Run again: `holdfast run` signs what it makes.")
    return entry, plant.blobs.get(Digest(entry.body["bundle"]))


def check_signed(plant: Plant, subject: Digest, files: Manifest, kind: str = RELEASE_SIGNED) -> SignedModel:
    """Verify the signature over an artifact's files, at the time at which the ledger took it in.

    Raises:
        NotVerified: There is none, or it does not verify: by its key, its role, its window, or the files it names.
    """
    entry, bundle = signature_of(plant, subject, kind)
    role = DATA_ROLE if kind == DATASET_SIGNED else ROLE
    named = [(file.path, Digest(file.digest)) for file in files.files]
    return model_signing.verify(bundle, named, plant.trust.of_role(role), role=role, at=entry.moment)


def sign_dataset(plant: Plant, dataset: Digest, files: Manifest, name: str) -> Draft:
    """Sign a data set with the key of the role that makes data sets; return the entry that says so."""
    keys = plant.trust.of_role(DATA_ROLE)
    bundle = model_signing.sign(files, name, plant.keys.signer(DATA_ROLE), keys, role=DATA_ROLE)
    return Draft(kind=DATASET_SIGNED, actor=DATA_ROLE, stream=dataset, body={"bundle": plant.blobs.put(bundle)})


def proof_of(plant: Plant, entry: Entry) -> bytes:
    """Return the proof that the ledger holds an entry, under its newest checkpoint, or one signed now.

    Raises:
        NotFound: The entry is not there.
    """
    kept = plant.ledger.checkpoints()
    signed = kept[-1] if kept and Checkpoint.size_of(kept[-1]) > entry.position else None
    if signed is None:
        plant.unlock()
        signed = plant.ledger.checkpoint()
    size = Checkpoint.size_of(signed)
    return proof_document(entry, plant.ledger.inclusion(entry.position, size), signed)


def sign_files(
    plant: Plant, *, path: Path, signature: Path | None = None, proof: Path | None = None, name: str | None = None
) -> Reply:
    """Sign any folder or file with the release key; the ledger takes the signature in, and a proof of that is written.

    Raises:
        NotFound: There is no such folder or file.
        NotVerified: The folder holds a link or something else that is no plain file.
        Unavailable: A file cannot be written.
    """
    if not path.exists():
        raise NotFound("there is no such folder or file", place=str(path))
    plant.unlock()
    out = signature or (path / BUNDLE_FILE if path.is_dir() else path.with_name(path.name + ".sig"))
    left_out = [each.absolute() for each in (out, proof) if each is not None]
    files = read_files(path, leave=left_out)
    called = name or path.resolve().name
    keys = plant.trust.of_role(ROLE)
    bundle = model_signing.sign_listed(files, called, plant.keys.signer(ROLE), keys, at=plant.clock.now())
    subject = _digest_of(files, called)
    body = {"bundle": plant.blobs.put(bundle), "name": called, "files": len(files)}
    (entry,) = plant.ledger.append([Draft(kind=FILES_SIGNED, actor=ROLE, stream=subject, body=body)])
    try:
        out.write_bytes(bundle)
        if proof is not None:
            proof.write_bytes(proof_of(plant, entry))
    except OSError as error:
        raise Unavailable(f"the signature cannot be written: {error.strerror}", place=str(out)) from error
    says = (
        f"{len(files)} files of {called} ({short(subject)}) are signed and on record as entry {entry.position}: {out}."
    )
    document = {"signature": str(out), "entry": entry.position, "files": len(files), "subject": subject}
    return Reply(says=says, document=document)


def _digest_of(files: tuple[tuple[str, Digest], ...], name: str) -> Digest:
    """Return the digest by which the ledger knows what was signed: of a folder's manifest, sizes left out."""
    paths = [(name if path == "." else path, digest) for path, digest in files]
    return manifest(File(path=path, digest=digest, size=0) for path, digest in paths).digest
