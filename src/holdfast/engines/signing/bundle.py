"""The Sigstore bundle of a model's signature as it lies in a file: its fields, and how it is read within limits.

Nothing here is believed: `model_signing` says in which order signature, key and statement are checked.
"""

from typing import Final, Literal

import msgspec

from holdfast.core.artifact import Digest, File, from_base64, manifest, parse_digest
from holdfast.core.dsse import PAYLOAD_TYPE, STATEMENT_TYPE
from holdfast.core.errors import InvalidInput, NotVerified

PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MEDIA_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
MAX_BUNDLE: Final = 48 << 20  # bytes; 100,000 files with long names stay below it
MAX_SHARD: Final = 1 << 50  # bytes; beyond it a double, in which the public package writes the size, is not exact
WHOLE: Final = "."  # what the format calls the one file of a model that is no folder


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
    shard_size: float = 0.0  # bytes; a double in what the public package writes


class _Predicate(msgspec.Struct, frozen=True, kw_only=True):
    serialization: _Serialization
    resources: tuple[_Resource, ...]


class _Head(msgspec.Struct, frozen=True, kw_only=True, rename={"type_": "_type", "predicate_type": "predicateType"}):
    type_: str
    predicate_type: str


class Statement(_Head, frozen=True, kw_only=True):
    """The signed in-toto statement: one subject, which is the model, and its files in the predicate."""

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


class Bundle(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The file: how the key is named, and the signed envelope."""

    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope


def read_bundle(document: bytes) -> tuple[str, bytes, bytes]:
    """Return how a bundle names its key, its payload and its one signature, nothing believed yet.

    Raises:
        NotVerified: It is no bundle of this version, too large, or has not exactly one signature.
    """
    if len(document) > MAX_BUNDLE:
        raise NotVerified(f"a bundle of {len(document)} bytes", place="bundle", expected=f"at most {MAX_BUNDLE}")
    try:
        parsed = msgspec.json.decode(document, type=Bundle)
        envelope = parsed.dsse_envelope
        if envelope.payload_type != PAYLOAD_TYPE:
            raise NotVerified(f"the payload type is {envelope.payload_type[:80]!r}", place="bundle")
        if len(envelope.signatures) != 1:  # the bundle format allows one; none proves nothing
            raise NotVerified(f"{len(envelope.signatures)} signatures", place="bundle", expected="exactly one")
        named = parsed.verification_material.public_key.hint
        return named, from_base64(envelope.payload), from_base64(envelope.signatures[0].sig)
    except (ValueError, RecursionError, InvalidInput) as error:  # ValueError: not UTF-8, not JSON, not a bundle
        raise NotVerified(f"this is not a model signing bundle: {error}", place="bundle") from error


def read_statement(document: bytes) -> Statement:
    """Return the statement in a payload whose signature was checked.

    Raises:
        NotVerified: It is of another type or predicate, or has not exactly one subject.
    """
    try:
        head = msgspec.json.decode(document, type=_Head)
        if (head.type_, head.predicate_type) != (STATEMENT_TYPE, PREDICATE_TYPE):
            found = f"a statement {head.predicate_type[:80]!r}"
            raise NotVerified(found, place="bundle", expected=PREDICATE_TYPE)
        statement = msgspec.json.decode(document, type=Statement)
    except (ValueError, RecursionError) as error:
        raise NotVerified(f"the signed statement cannot be read: {error}", place="bundle") from error
    if len(statement.subject) != 1:
        raise NotVerified(f"{len(statement.subject)} subjects", place="bundle", expected="exactly one")
    return statement


def shard_size_of(statement: Statement) -> int:
    """Return into how large parts the signer cut files, in bytes; 0 for whole files.

    Raises:
        NotVerified: It was serialized in a way that this verifier does not know.
    """
    how = statement.predicate.serialization
    size = int(how.shard_size) if 0 <= how.shard_size <= MAX_SHARD else -1
    known = {"files": True, "shards": size > 0 and size == how.shard_size}
    if not known.get(how.method) or how.hash_type != "sha256" or how.allow_symlinks:
        raise NotVerified(
            f"the model was serialized by {how.method[:40]!r} and {how.hash_type[:40]!r}",
            place="bundle",
            expected="whole files, or shards of them, by sha256, without links",
        )
    return size if how.method == "shards" else 0


def listed(statement: Statement, shard_size: int) -> tuple[tuple[str, Digest], ...]:
    """Return the signed names and digests, in the order signed.

    Raises:
        NotVerified: A name is no plain relative path, is given twice, or is hashed by another algorithm; or there is
            none.
    """
    resources = statement.predicate.resources
    algorithm = f"sha256-sharded-{shard_size}" if shard_size else "sha256"
    strange = [resource for resource in resources if resource.algorithm != algorithm]
    if strange:
        raise NotVerified(f"{strange[0].name[:80]!r} is not hashed by SHA-256", place="bundle")
    found = [(resource.name, Digest("sha256:" + resource.digest)) for resource in resources]
    names = [name for name, _ in found]
    if len(set(names)) != len(names):
        raise NotVerified("the signed list of files is malformed: a name appears twice", place="bundle")
    try:  # plain relative paths, well-formed digests, at least one; sizes play no part here
        for digest in dict(found).values():
            parse_digest(digest)
        paths = list(dict.fromkeys(map(_path_of, names))) if shard_size else names
        if paths != [WHOLE]:
            manifest(File(path=path, digest=found[0][1], size=0) for path in paths)
    except InvalidInput as error:
        raise NotVerified(f"the signed list of files is malformed: {error.message}", place="bundle") from error
    return tuple(found)


def _path_of(shard: str) -> str:
    """Return the file in the name of a shard, `path:start:end`."""
    path, _, _ = shard.rpartition(":")[0].rpartition(":")
    return path
