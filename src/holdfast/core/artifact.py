"""Artifacts: everything that flows is bytes with a kind and a digest.

Decides what a digest covers. A folder is one digest over its sorted manifest, names included, so that a renamed file is
as visible as a changed one. Names of artifacts are pointers kept by ledger events, never part of the artifact.
"""

import base64
import hashlib
import json
import re
import sys
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any, Final, NewType, TypeAlias

import msgspec
import rfc8785

from holdfast.core.errors import InvalidInput, NotVerified

Digest = NewType("Digest", str)
"""`sha256:` and 64 lower-case hexadecimal digits."""

Moment: TypeAlias = Annotated[datetime, msgspec.Meta(tz=True)]
"""A moment with its zone, in a document; without one it would be another moment for each reader, and is refused."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")
MAX_MANIFEST_FILES: Final = 100_000  # more files than any model or data set folder seen; a longer list is an attack
MAX_PATH: Final = 1024  # characters of one path; Linux allows 4096, portable archives far less
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs"})  # Unicode: control, format (turns reading direction around), surrogate


class Kind(StrEnum):
    """What an artifact is; each role of a key may sign only some kinds."""

    PROJECT = "project"
    SOURCE = "source"
    DATASET = "dataset"
    QUARANTINE = "quarantine"
    VIEWS = "views"  # declared feature views with the rows of their sources
    FEATURES = "features"
    SPLIT = "split"
    RECIPE = "recipe"
    MODEL = "model"
    BASELINE = "baseline"
    METRICS = "metrics"
    RELEASE = "release"
    POLICY = "policy"
    ROUTES = "routes"
    TELEMETRY = "telemetry"
    INCIDENT = "incident"
    FOREIGN = "foreign"  # what came from outside: a model, data or code, as it came


def parse_digest(text: str) -> Digest:
    """Return `text` as a digest.

    Raises:
        InvalidInput: It is not `sha256:` and 64 lower-case hexadecimal digits.
    """
    if not _DIGEST.fullmatch(text):
        raise InvalidInput(f"{text[:80]!r} is not a digest", expected="sha256: and 64 lower-case hexadecimal digits")
    return Digest(text)


def digest_bytes(data: bytes | memoryview) -> Digest:
    """Return the digest of bytes.

    >>> digest_bytes(b"")
    'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    return Digest("sha256:" + hashlib.sha256(data).hexdigest())


def canonical(value: Any) -> bytes:
    """Return a JSON value's canonical bytes (RFC 8785, JSON Canonicalization Scheme).

    Structs and dataclasses are taken as their JSON documents.

    Raises:
        InvalidInput: The value has no canonical form: NaN, infinity, an integer beyond 2**53, a lone surrogate,
            or nesting without end.

    >>> canonical({"b": 1.0, "a": "\u20ac"}).decode()
    '{"a":"€","b":1}'
    """
    try:
        built = msgspec.to_builtins(value, str_keys=True, order="deterministic")
        return _plain(built) or rfc8785.dumps(built)
    except (rfc8785.CanonicalizationError, UnicodeEncodeError, TypeError, RecursionError) as error:
        raise InvalidInput(
            f"this value has no canonical JSON form: {error}", expected="RFC 8785 (I-JSON) data"
        ) from error


def is_canonical(document: bytes) -> bool:
    r"""Say whether a document is the canonical form of what it says, every number read as a double (RFC 8785).

    Raises:
        ValueError: It is not JSON.
        RecursionError: It is nested without end.
        InvalidInput: What it says has no canonical form.

    >>> is_canonical(b'{"a":1}'), is_canonical(b'{"a":1.0}'), is_canonical(b'{"a":1,"a":1}')
    (True, False, False)
    """
    try:
        if _ENCODER.encode(_DECODER.decode(document.decode("ascii"))).encode() == document:
            return True
    except (_OddNumberError, ValueError):  # or not ASCII, or not JSON: the longer way says so
        pass
    return canonical(json.loads(document, parse_int=float)) == document


class _OddNumberError(Exception):
    """A number that Python writes otherwise than RFC 8785, or that a double does not hold."""


def _int(text: str) -> int:
    if len(text) > sys.float_info.dig:
        raise _OddNumberError
    return int(text)


def _float(text: str) -> float:
    if text.endswith(".0") or "e" in text or "E" in text:
        raise _OddNumberError
    return float(text)


_DECODER: Final = json.JSONDecoder(parse_int=_int, parse_float=_float)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
# The same in a text that Python has written. A text within it that looks so takes the longer way too, which is no harm.
_ODD_NUMBER: Final = re.compile(r"[:,\[]-?[0-9]+(?:[0-9]{15}|(?:\.[0-9]+)?[eE][+-]?[0-9]+|\.0)[,\]}]")


def _plain(built: Any) -> bytes | None:
    """Return the canonical bytes of builtins, in a third of the time; None where only the longer way gets them right.

    Python's encoder sorts by code points where RFC 8785 sorts by UTF-16, which is the same for ASCII; its escapes are
    those of RFC 8785, section 3.2.2.2.
    """
    if not isinstance(built, dict | list):
        return None
    try:
        text = _ENCODER.encode(built)
    except ValueError:  # NaN, infinity: the longer way says so
        return None
    return text.encode() if text.isascii() and _ODD_NUMBER.search(text) is None else None


def from_base64(text: str | bytes) -> bytes:
    """Return the bytes that a text is the one canonical base64 form of (RFC 4648, section 3.5).

    Raises:
        InvalidInput: Foreign characters, or bits that decoders throw away, so that two texts would mean the same.

    >>> from_base64("aGk=")
    b'hi'
    """
    try:
        encoded = text.encode() if isinstance(text, str) else text
        data = base64.b64decode(encoded, validate=True)
    except ValueError as error:
        raise InvalidInput(f"this is not base64: {error}", expected="RFC 4648 base64 with padding") from error
    if base64.b64encode(data) != encoded:
        raise InvalidInput("this is not the canonical base64 of its bytes", expected="no bits set that mean nothing")
    return data


def digest_json(value: Any) -> Digest:
    """Return the digest of a JSON value's canonical bytes."""
    return digest_bytes(canonical(value))


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """Some bytes that flow: what they are, which they are, and how many.

    For a folder, `digest` is its manifest's and `size` the sum of its files' bytes.
    """

    kind: Kind
    digest: Digest
    size: int


class File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file of a folder."""

    path: str
    digest: str
    size: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A folder as data: its files, sorted by path, each with digest and size."""

    files: tuple[File, ...]

    @property
    def document(self) -> bytes:
        """The canonical bytes that are stored and hashed."""
        return canonical(self)

    @property
    def digest(self) -> Digest:
        """The folder's digest: names, sizes and contents."""
        return digest_bytes(self.document)

    @property
    def size(self) -> int:
        """The sum of the files' bytes."""
        return sum(file.size for file in self.files)

    def file(self, path: str) -> File:
        """Return one file's entry.

        Raises:
            NotVerified: The folder has no such file.
        """
        for file in self.files:
            if file.path == path:
                return file
        raise NotVerified(f"the folder holds no file {path!r}", place=self.digest)


def manifest(files: Iterable[File]) -> Manifest:
    """Return the manifest of files in any order.

    Raises:
        InvalidInput: No files, too many, a path that two systems could read differently, one that appears twice or is
            both a file and a folder, or a size below zero.
    """
    listed = tuple(files)
    if not listed:  # empty means no: a folder without files proves nothing
        raise InvalidInput("a folder artifact has no files", expected="at least one file")
    if len(listed) > MAX_MANIFEST_FILES:
        raise InvalidInput(f"the folder holds {len(listed)} files", expected=f"at most {MAX_MANIFEST_FILES}")
    seen: set[str] = set()
    folders: set[str] = set()
    for file in listed:
        _check_path(file.path)
        parse_digest(file.digest)
        if file.size < 0:
            raise InvalidInput(f"{file.path!r} has a size of {file.size}", expected="at least 0")
        folded = file.path.casefold()
        if folded in seen:
            raise InvalidInput(f"{file.path!r} appears twice (letter case apart)", expected="distinct paths")
        seen.add(folded)
        folders.update(folded[:end] for end, char in enumerate(folded) if char == "/")
    if both := sorted(seen & folders):
        raise InvalidInput(f"{both[0]!r} is a file and a folder", expected="one of them")
    return Manifest(files=tuple(sorted(listed, key=lambda file: file.path.encode())))


def parse_manifest(document: bytes) -> Manifest:
    """Return the manifest that these bytes are the canonical form of.

    Raises:
        NotVerified: The bytes are not a canonical manifest.
    """
    try:
        read = msgspec.json.decode(document, type=Manifest)
        again = manifest(read.files).document
    except (ValueError, RecursionError, InvalidInput) as error:  # ValueError: not UTF-8, not JSON, not a manifest
        raise NotVerified(f"this is not a folder manifest: {error}", place=digest_bytes(document)) from error
    if again != document:
        raise NotVerified("the manifest is not in canonical form", place=digest_bytes(document))
    return read


def _check_path(path: str) -> None:
    """Refuse every path whose meaning depends on where it is unpacked."""
    parts = PurePosixPath(path).parts
    plain = bool(path) and len(path) <= MAX_PATH and not path.startswith("/") and "/".join(parts) == path
    odd = (
        any(part in {".", ".."} for part in parts)
        or "\\" in path
        or any(unicodedata.category(char) in _HIDDEN for char in path)
    )
    if not plain or odd or unicodedata.normalize("NFC", path) != path:
        raise InvalidInput(f"{path[:80]!r} is not a plain relative path", expected="NFC, forward slashes, no . or ..")
