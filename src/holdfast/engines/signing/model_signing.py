"""OpenSSF Model Signing: one signature over every file of a folder, names included, in a Sigstore bundle.

Emits and verifies what the public `model_signing` package does (predicate `https://model_signing/signature/v1.0`,
bundle v0.3): whole files or shards of them, SHA-256, an elliptic-curve key; models and data sets alike. Whose key that
may be, and what it may sign, is left to the caller, who holds the trust document.

The predicate's root digest covers contents only: two files may swap names under it. So `verify` never compares roots
with the folder: it compares name by name.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

from holdfast.core.artifact import Digest, Manifest, canonical, from_base64
from holdfast.core.dsse import PAYLOAD_TYPE, STATEMENT_TYPE, SigningKey, pae
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.seal import open_envelope
from holdfast.core.trust import TrustedKey, check_key, check_signature, keyid_of
from holdfast.engines.signing.bundle import (
    MAX_BUNDLE,
    MEDIA_TYPE,
    PREDICATE_TYPE,
    listed,
    read_bundle,
    read_statement,
    shard_size_of,
)

__all__ = [
    "DATA_ROLE",
    "MAX_BUNDLE",
    "MEDIA_TYPE",
    "PREDICATE_TYPE",
    "ROLE",
    "SignedModel",
    "as_bundle",
    "bundle",
    "compare",
    "from_pem",
    "hint",
    "open_bundle",
    "payload",
    "pem",
    "sign",
    "sign_listed",
    "verify",
]

ROLE: Final = "release"  # the one role whose keys sign models
DATA_ROLE: Final = "ingest"  # and the one whose keys sign data sets
_PEM_LINE: Final = 64  # characters of base64 a line, RFC 7468 section 2
_NAMED: Final = 5  # files of a sort that a refusal names


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedModel:
    """What a verified bundle says: the signed name, the root digest, and each file or shard, in the order signed."""

    name: str
    root: Digest
    files: tuple[tuple[str, Digest], ...]
    keyid: str
    shard_size: int = 0  # bytes; 0: whole files


def payload(folder: Manifest, name: str) -> bytes:
    """Return the in-toto statement to sign for a folder, as canonical JSON."""
    return _statement([(file.path, Digest(file.digest)) for file in folder.files], name, 0)


def _statement(files: Iterable[tuple[str, Digest]], name: str, shard_size: int) -> bytes:
    """Return the statement over files, or over shards `path:start:end` of them.

    Resources stand in the order of the public package: path segment by path segment, so `d/b` before `d.txt`, and the
    shards of a file by their start.
    """
    ordered = sorted(files, key=lambda item: _order(item[0], shard_size))
    algorithm = f"sha256-sharded-{shard_size}" if shard_size else "sha256"
    serialization: dict[str, Any] = {
        "method": "shards" if shard_size else "files",
        "hash_type": "sha256",
        "allow_symlinks": False,
        "ignore_paths": [],  # said, not left out: nothing in the folder is exempt
    }
    if shard_size:
        serialization["shard_size"] = shard_size
    resources = [
        {"name": each, "algorithm": algorithm, "digest": digest.removeprefix("sha256:")} for each, digest in ordered
    ]
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": _root(digest for _, digest in ordered)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {"serialization": serialization, "resources": resources},
        }
    )


def _order(name: str, shard_size: int) -> tuple[tuple[str, ...], int]:
    if not shard_size:
        return PurePosixPath(name).parts, 0
    path, start, _ = name.rsplit(":", 2)
    return PurePosixPath(path).parts, int(start)


def bundle(statement: bytes, signature: bytes, key: TrustedKey) -> bytes:
    """Return the Sigstore bundle of a statement and the DER signature over its DSSE encoding."""
    return canonical(
        {
            "mediaType": MEDIA_TYPE,
            "verificationMaterial": {"publicKey": {"hint": hint(key)}, "tlogEntries": []},
            "dsseEnvelope": {
                "payload": base64.b64encode(statement).decode(),
                "payloadType": PAYLOAD_TYPE,
                "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": key.keyid}],
            },
        }
    )


def as_bundle(envelope: bytes, keys: Iterable[TrustedKey]) -> bytes:
    """Return the Sigstore bundle of a statement that one key has signed in a DSSE envelope.

    Args:
        envelope: As it is on record.
        keys: Public keys, the signer's among them.

    Raises:
        NotVerified: It is no envelope with exactly one signature, by one of these keys.
    """
    statement, signatures = open_envelope(envelope)
    signed = [(key, from_base64(each.sig)) for key in keys for each in signatures if each.keyid == key.keyid]
    if len(signatures) != 1 or len(signed) != 1:
        raise NotVerified(f"{len(signatures)} signatures", place="envelope", expected="one, by a known key")
    return bundle(statement, signed[0][1], signed[0][0])


def sign(folder: Manifest, name: str, signer: SigningKey, keys: Sequence[TrustedKey], *, role: str = ROLE) -> bytes:
    """Return the bundle in which a key signs a folder; it is verified before it is handed out.

    Nothing of the folder is read: of files whose digests are known, only what changed has to be hashed again.

    Args:
        folder: What to sign.
        name: The model's name as the statement's subject; a label, which no verifier relies on.
        signer: The door to the private key.
        keys: Trusted public keys, the signer's among them: verifiers will know it by that one.
        role: Whose keys sign this: `ROLE` for a model, `DATA_ROLE` for a data set.

    Raises:
        NotVerified: The signer is none of these keys, may not sign this, or signs wrongly.
    """
    files = [(file.path, Digest(file.digest)) for file in folder.files]
    return sign_listed(files, name, signer, keys, role=role)


def sign_listed(
    files: Sequence[tuple[str, Digest]],
    name: str,
    signer: SigningKey,
    keys: Sequence[TrustedKey],
    *,
    role: str = ROLE,
    shard_size: int = 0,
    at: datetime | None = None,
) -> bytes:
    """Return the bundle over files as `read_files` found them; see `sign`."""
    key = next((key for key in keys if key.keyid == signer.keyid), None)
    if key is None:
        raise NotVerified("the signer is not a trusted key", place=f"key {signer.keyid[:16]}")
    statement = _statement(files, name, shard_size)
    made = bundle(statement, signer.sign(pae(PAYLOAD_TYPE, statement)), key)
    verify(made, files, keys, role=role, at=at)  # a faulty signature never leaves
    return made


def verify(
    document: bytes,
    files: Iterable[tuple[str, Digest]],
    keys: Sequence[TrustedKey],
    *,
    role: str = ROLE,
    at: datetime | None = None,
) -> SignedModel:
    """Return what a bundle says about a folder, if it says it about exactly these files.

    1. to 7. are `open_bundle`. 8. The listed names and digests are the folder's, one for one.

    Args:
        document: The bundle's bytes.
        files: Path and digest of every file that is there, hashed just now.
        keys: The public keys of which one must have signed; several during a rotation, none refuses everything.
        role: The role that key must have.
        at: When the signature was made, as somebody else has witnessed; see `open_bundle`.

    Raises:
        NotVerified: Any step fails; the message names the files concerned.
    """
    signed = open_bundle(document, keys, role=role, at=at)
    compare(dict(signed.files), files)  # 8.
    return signed


def open_bundle(
    document: bytes, keys: Sequence[TrustedKey], *, role: str = ROLE, at: datetime | None = None
) -> SignedModel:
    """Return what a bundle says, signed by one of these keys; of which files that holds is not looked at.

    1. Parse the bundle, within limits; its media type is v0.3. 2. Find the key that the bundle names among those that
    are trusted (a revoked one is not); it may sign this. 3. Its window holds the witnessed time. 4. Exactly one
    signature, over the received payload bytes, by that key. 5. Only then parse the statement: its type, its predicate,
    one subject. 6. The serialization is whole files, or shards of one size, by SHA-256 without links. Its
    `ignore_paths` are not honoured: what is ignored is not signed. 7. The subject's root is the hash of the listed
    digests.

    Args:
        document: The bundle's bytes.
        keys: The public keys of which one must have signed.
        role: The role that key must have.
        at: When the signature was made, by a time that is not the signer's own: of the ledger's entry about it, or now.
            None where nobody knows of a window, as for a bare public key, or where the caller has judged it.

    Raises:
        NotVerified: Any step fails.
    """
    named, statement_bytes, signature = read_bundle(document)  # 1.
    key = next((key for key in keys if hint(key) == named), None)  # 2.
    if key is None:
        known = ", ".join(key.keyid[:16] for key in keys) or "none"
        raise NotVerified("the bundle names a key that is not trusted here", place="bundle", expected=f"keys {known}")
    place = f"key {key.keyid[:16]}"
    if key.role != role or key.algorithm != "ecdsa-p256":
        words = f"a {key.algorithm} key of role {key.role} may not sign this"
        raise NotVerified(words, place=place, expected=f"an ecdsa-p256 key of role {role}")
    if at is not None and not key.not_before <= at < key.not_after:  # 3.
        window = f"{key.not_before.isoformat()} to {key.not_after.isoformat()}"
        words = f"the signature is witnessed at {at.isoformat()}, outside the key's validity"
        raise NotVerified(words, place=place, expected=window)
    check_signature(key, pae(PAYLOAD_TYPE, statement_bytes), signature)  # 4.
    statement = read_statement(statement_bytes)  # 5.
    shard_size = shard_size_of(statement)  # 6.
    signed = listed(statement, shard_size)
    root = statement.subject[0].digest.get("sha256", "")
    if root != _root(digest for _, digest in signed):  # 7.
        raise NotVerified("the root digest is not that of the listed files", place="bundle")
    return SignedModel(
        name=statement.subject[0].name,
        root=Digest("sha256:" + root),
        files=signed,
        keyid=key.keyid,
        shard_size=shard_size,
    )


def hint(key: TrustedKey) -> str:
    """Return how a bundle names its key: SHA-256 of the PEM SubjectPublicKeyInfo, hex, as the public package does."""
    return hashlib.sha256(pem(key)).hexdigest()


def pem(key: TrustedKey) -> bytes:
    """Return a public key as PEM (RFC 7468): what the public command line reads."""
    lines = [key.public[start : start + _PEM_LINE] for start in range(0, len(key.public), _PEM_LINE)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]).encode()


def from_pem(document: bytes, *, owner: str) -> TrustedKey:
    """Return the key in a PEM file that somebody handed over: it may sign anything, at any time.

    Its window is without end, because the file states none: whoever wants one asks a workspace's trust.

    Args:
        document: A PEM SubjectPublicKeyInfo.
        owner: Who vouches for it, in words: the file's name.

    Raises:
        NotVerified: It is not the public half of a P-256 key.
    """
    begins, _, rest = document.decode(errors="replace").partition("-----BEGIN PUBLIC KEY-----")
    body, ends, _ = rest.partition("-----END PUBLIC KEY-----")
    try:
        der = from_base64("".join(body.split()))
    except InvalidInput as error:
        raise NotVerified("this is not a public key in PEM", place=owner) from error
    if not ends or "PRIVATE" in begins or not der:
        raise NotVerified("this is not a public key in PEM", place=owner, expected="-----BEGIN PUBLIC KEY-----")
    key = TrustedKey(
        keyid=keyid_of(der),
        algorithm="ecdsa-p256",
        public=base64.b64encode(der).decode(),
        role=ROLE,
        not_before=datetime.min.replace(tzinfo=UTC),
        not_after=datetime.max.replace(tzinfo=UTC),
        owner=owner,
    )
    check_key(key)
    return key


def _root(digests: Iterable[str]) -> str:
    hasher = hashlib.sha256()
    for digest in digests:
        hasher.update(bytes.fromhex(digest.removeprefix("sha256:")))
    return hasher.hexdigest()


def compare(signed: Mapping[str, Digest], files: Iterable[tuple[str, Digest]]) -> None:
    """Check that files are the signed ones, name by name.

    Raises:
        NotVerified: One was changed, is missing, was renamed, is not signed, or is listed twice; it is named.
    """
    found: dict[str, Digest] = {}
    for path, digest in files:
        if path in found:
            raise NotVerified("a file is listed twice", place=path)
        found[path] = digest
    missing, foreign = sorted(signed.keys() - found.keys()), sorted(found.keys() - signed.keys())
    renamed = _renamed({signed[path]: path for path in missing}, {path: found[path] for path in foreign})
    wrong = {
        "changed": [repr(path) for path in sorted(signed.keys() & found.keys()) if signed[path] != found[path]],
        "renamed": [f"{before!r} to {after!r}" for before, after in renamed.items()],
        "missing": [repr(path) for path in missing if path not in renamed],
        "not signed": [repr(path) for path in foreign if path not in renamed.values()],
    }
    words = "; ".join(f"{what}: {', '.join(paths[:_NAMED])}" for what, paths in wrong.items() if paths)
    if words:
        raise NotVerified(f"the files are not the signed ones: {words}", place="folder")


def _renamed(missing: Mapping[Digest, str], foreign: Mapping[str, Digest]) -> dict[str, str]:
    """Return which missing file stands under which other name, where the bytes say so."""
    found: dict[str, str] = {}
    for path, digest in foreign.items():
        if digest in missing and missing[digest] not in found:
            found[missing[digest]] = path
    return found
