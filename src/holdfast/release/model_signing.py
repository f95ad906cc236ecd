"""OpenSSF Model Signing: one signature over every file of a model's folder, names included, in a Sigstore bundle.

Emits and verifies what the public `model_signing` package does (predicate `https://model_signing/signature/v1.0`,
bundle v0.3), for one method: whole files, SHA-256, an elliptic-curve key. Whose key that may be, and when, is left to
the caller, who holds the trust document.

The predicate's root digest covers contents only: two files may swap names under it. So `verify` never compares roots
with the folder: it compares name by name.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final, Literal

import msgspec

from holdfast.core.artifact import Digest, File, Manifest, canonical, from_base64, manifest
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.seal import PAYLOAD_TYPE, STATEMENT_TYPE, SigningKey, pae
from holdfast.core.trust import TrustedKey, check_signature

PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
ROLE: Final = "release"  # the one role whose keys sign models
MAX_BUNDLE: Final = 48 << 20  # bytes; 100,000 files with long names stay below it
_PEM_LINE: Final = 64  # characters of base64 a line, RFC 7468 section 2


class _Subject(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    digest: dict[str, str]


class _Resource(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    algorithm: str
    digest: str


class _Serialization(msgspec.Struct, frozen=True, kw_only=True):
    method: str
    hash_type: str
    allow_symlinks: bool
    ignore_paths: tuple[str, ...] = ()


class _Predicate(msgspec.Struct, frozen=True, kw_only=True):
    serialization: _Serialization
    resources: tuple[_Resource, ...]


class _Head(msgspec.Struct, frozen=True, kw_only=True, rename={"type_": "_type", "predicate_type": "predicateType"}):
    type_: str
    predicate_type: str


class _Statement(_Head, frozen=True, kw_only=True):
    subject: tuple[_Subject, ...]
    predicate: _Predicate


class _Signature(msgspec.Struct, frozen=True, kw_only=True):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[_Signature, ...]


class _PublicKey(msgspec.Struct, frozen=True, kw_only=True):
    hint: str


class _Material(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    public_key: _PublicKey


class _Bundle(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedModel:
    """What a verified bundle says: the signed name, the root digest, and each file, in the order signed."""

    name: str
    root: Digest
    files: tuple[tuple[str, Digest], ...]
    keyid: str


def payload(folder: Manifest, name: str) -> bytes:
    """Return the in-toto statement to sign for a folder, as canonical JSON.

    Resources stand in the order of the public package: path segment by path segment, so `d/b` before `d.txt`.
    """
    files = sorted(folder.files, key=lambda file: PurePosixPath(file.path).parts)
    resources = [{"name": f.path, "algorithm": "sha256", "digest": f.digest.removeprefix("sha256:")} for f in files]
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": name, "digest": {"sha256": _root(file.digest for file in files)}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "serialization": {
                    "method": "files",
                    "hash_type": "sha256",
                    "allow_symlinks": False,
                    "ignore_paths": [],  # said, not left out: nothing in the folder is exempt
                },
                "resources": resources,
            },
        }
    )


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


def sign(folder: Manifest, name: str, signer: SigningKey, keys: Sequence[TrustedKey]) -> bytes:
    """Return the bundle in which the release key signs a folder; it is verified before it is handed out.

    Args:
        folder: What to sign.
        name: The model's name as the statement's subject; a label, which no verifier relies on.
        signer: The door to the private key.
        keys: Trusted public keys, the signer's among them: verifiers will know it by that one.

    Raises:
        NotVerified: The signer is none of these keys, may not sign models, or signs wrongly.
    """
    key = next((key for key in keys if key.keyid == signer.keyid), None)
    if key is None:
        raise NotVerified("the signer is not a trusted key", place=f"key {signer.keyid[:16]}")
    statement = payload(folder, name)
    made = bundle(statement, signer.sign(pae(PAYLOAD_TYPE, statement)), key)
    verify(made, ((file.path, Digest(file.digest)) for file in folder.files), keys)  # a faulty signature never leaves
    return made


def verify(document: bytes, files: Iterable[tuple[str, Digest]], keys: Sequence[TrustedKey]) -> SignedModel:
    """Return what a bundle says about a folder, if it says it about exactly these files.

    1. Parse the bundle, within limits; its media type is v0.3. 2. Find the key that the bundle names among those that
    are trusted; it may sign models. That the keys are unrevoked and inside their windows is left to the caller, who
    holds the trust document and the witnessed time. 3. Exactly one signature, over the received payload bytes, by that
    key. 4. Only then parse the statement: its type, its predicate, one subject. 5. The serialization is whole files by
    SHA-256 without links. Its `ignore_paths` are not honoured: what is ignored is not signed. 6. The subject's root is
    the hash of the listed digests. 7. The listed names and digests are the folder's, one for one.

    Args:
        document: The bundle's bytes.
        files: Path and digest of every file that is there, hashed just now.
        keys: The public keys of which one must have signed; several during a rotation, none refuses everything.

    Raises:
        NotVerified: Any step fails; the message names the files concerned.
    """
    parsed, statement_bytes, signature = _open(document)  # 1.
    key = next((key for key in keys if hint(key) == parsed.verification_material.public_key.hint), None)  # 2.
    if key is None:
        known = ", ".join(key.keyid[:16] for key in keys) or "none"
        raise NotVerified("the bundle names a key that is not trusted here", place="bundle", expected=f"keys {known}")
    if key.role != ROLE or key.algorithm != "ecdsa-p256":
        words = f"a {key.algorithm} key of role {key.role} may not sign models"
        raise NotVerified(words, place=f"key {key.keyid[:16]}", expected=f"an ecdsa-p256 key of role {ROLE}")
    check_signature(key, pae(PAYLOAD_TYPE, statement_bytes), signature)  # 3.
    statement = _parse(statement_bytes)  # 4.
    signed = _resources(statement.predicate)  # 5.
    root = statement.subject[0].digest.get("sha256", "")
    if root != _root(digest for _, digest in signed):  # 6.
        raise NotVerified("the root digest is not that of the listed files", place="bundle")
    _compare(dict(signed), files)  # 7.
    return SignedModel(name=statement.subject[0].name, root=Digest("sha256:" + root), files=signed, keyid=key.keyid)


def hint(key: TrustedKey) -> str:
    """Return how a bundle names its key: SHA-256 of the PEM SubjectPublicKeyInfo, hex, as the public package does."""
    return hashlib.sha256(pem(key)).hexdigest()


def pem(key: TrustedKey) -> bytes:
    """Return a public key as PEM (RFC 7468): what the public command line reads."""
    lines = [key.public[start : start + _PEM_LINE] for start in range(0, len(key.public), _PEM_LINE)]
    return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""]).encode()


def _root(digests: Iterable[str]) -> str:
    hasher = hashlib.sha256()
    for digest in digests:
        hasher.update(bytes.fromhex(digest.removeprefix("sha256:")))
    return hasher.hexdigest()


def _open(document: bytes) -> tuple[_Bundle, bytes, bytes]:
    """Return the parsed bundle with its payload and its one signature, nothing believed yet."""
    if len(document) > MAX_BUNDLE:
        raise NotVerified(f"a bundle of {len(document)} bytes", place="bundle", expected=f"at most {MAX_BUNDLE}")
    try:
        parsed = msgspec.json.decode(document, type=_Bundle)
        envelope = parsed.dsse_envelope
        if envelope.payload_type != PAYLOAD_TYPE:
            raise NotVerified(f"the payload type is {envelope.payload_type[:80]!r}", place="bundle")
        if len(envelope.signatures) != 1:  # the bundle format allows one; none proves nothing
            raise NotVerified(f"{len(envelope.signatures)} signatures", place="bundle", expected="exactly one")
        return parsed, from_base64(envelope.payload), from_base64(envelope.signatures[0].sig)
    except (ValueError, RecursionError, InvalidInput) as error:  # ValueError: not UTF-8, not JSON, not a bundle
        raise NotVerified(f"this is not a model signing bundle: {error}", place="bundle") from error


def _parse(document: bytes) -> _Statement:
    try:
        head = msgspec.json.decode(document, type=_Head)
        if (head.type_, head.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE):
            found = f"a statement {head.predicate_type[:80]!r}"
            raise NotVerified(found, place="bundle", expected=PREDICATE_TYPE)
        statement = msgspec.json.decode(document, type=_Statement)
    except (ValueError, RecursionError) as error:
        raise NotVerified(f"the signed statement cannot be read: {error}", place="bundle") from error
    if len(statement.subject) != 1:
        raise NotVerified(f"{len(statement.subject)} subjects", place="bundle", expected="exactly one")
    return statement


def _resources(predicate: _Predicate) -> tuple[tuple[str, Digest], ...]:
    how = predicate.serialization
    if (how.method, how.hash_type) != ("files", "sha256") or how.allow_symlinks:
        raise NotVerified(
            f"the model was serialized by {how.method[:40]!r} and {how.hash_type[:40]!r}",
            place="bundle",
            expected="whole files by sha256, without links",
        )
    strange = [resource for resource in predicate.resources if resource.algorithm != "sha256"]
    if strange:
        raise NotVerified(f"{strange[0].name[:80]!r} is not hashed by SHA-256", place="bundle")
    listed = [(resource.name, Digest("sha256:" + resource.digest)) for resource in predicate.resources]
    try:  # plain relative paths, each once, well-formed digests, at least one; sizes play no part here
        manifest(File(path=name, digest=digest, size=0) for name, digest in listed)
    except InvalidInput as error:
        raise NotVerified(f"the signed list of files is malformed: {error.message}", place="bundle") from error
    return tuple(listed)


def _compare(signed: Mapping[str, Digest], files: Iterable[tuple[str, Digest]]) -> None:
    found: dict[str, Digest] = {}
    for path, digest in files:
        if path in found:
            raise NotVerified("a file is listed twice", place=path)
        found[path] = digest
    wrong = {
        "changed": sorted(path for path in signed.keys() & found.keys() if signed[path] != found[path]),
        "missing": sorted(signed.keys() - found.keys()),
        "not signed": sorted(found.keys() - signed.keys()),
    }
    words = "; ".join(f"{what}: {', '.join(map(repr, paths[:5]))}" for what, paths in wrong.items() if paths)
    if words:
        raise NotVerified(f"the files are not the signed ones: {words}", place="folder")
