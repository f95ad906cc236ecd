"""Bills of materials as the ledger knows them: what a release consists of, as lists of parts that releases share.

A bill of a hundred libraries for each of ten thousand releases is a million rows that nearly all say the same. So parts
come in lists that are named by their content: libraries fall into eight lists by a hash of their names, and another
version of one library makes one new list and leaves seven as they are. Decides how a list is named and what may stand
in it; what a table makes of it is an adapter's, what a question makes of it the registry's.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, Literal, TypeAlias, TypeVar, get_args

import msgspec

from holdfast.core.artifact import canonical, digest_bytes, parse_digest
from holdfast.core.errors import InvalidInput

LISTED: Final = "bom.listed"  # in a release's stream; body: model, serial, lists
SUPPLIED: Final = "bom.supplied"  # in the stream of what came from outside; body: as `bom.listed`, form, document
PARTS: Final = "bom.parts"  # in the list's own stream; body: parts
SHELVES: Final = 8  # lists over which the libraries of one bill are spread
MAX_LIST_BYTES: Final = 48 << 10  # of one list: its entry stays below what the ledger takes
MAX_LISTS: Final = 700  # of one bill: its entry, of names of 64 digits, stays below that too
MAX_TEXT: Final = (
    256  # characters of a name, a version or a licence; longer ones are cut, and then equal only by digest
)

PartKind: TypeAlias = Literal["library", "data", "model", "code", "other"]
KINDS: Final[tuple[str, ...]] = get_args(PartKind)
_LIST: Final = re.compile(r"[0-9a-f]{64}")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True, order=True):
    """One part of a bill: what it is, from where, which one."""

    kind: PartKind
    ecosystem: str  # the type of its package URL, as `pypi`; empty where it has none
    name: str  # as its ecosystem compares names
    version: str = ""
    digest: str = ""
    licence: str = ""


def part(kind: PartKind, ecosystem: str, name: str, version: str = "", digest: str = "", licence: str = "") -> Part:
    """Return a part whose texts can stand in a table: one line each, cut where they are longer than `MAX_TEXT`."""
    texts = ("".join(char if char.isprintable() else " " for char in text)[:MAX_TEXT].strip() for text in
             (ecosystem.lower(), comparable(ecosystem, name), version, digest, licence))  # fmt: skip
    return Part(kind, *texts)


def comparable(ecosystem: str, name: str) -> str:
    """Return a name as its ecosystem compares names: PyPI takes `-`, `_` and `.` for one, and case for nothing.

    >>> comparable("pypi", "Scikit_Learn")
    'scikit-learn'
    >>> comparable("npm", "@Scope/Some_Package")
    '@scope/some_package'
    """
    return re.sub(r"[-_.]+", "-", name).lower() if ecosystem == "pypi" else name.lower()


def list_name(parts: Sequence[Part]) -> str:
    """Return the name of a list: a hash of what stands in it. It is no blob's digest, and is not written like one."""
    return digest_bytes(canonical(parts)).removeprefix("sha256:")


def list_stream(name: str) -> str:
    """Return the ledger's stream that says what stands in a list."""
    return f"parts/{name}"


def lists_of(parts: Iterable[Part]) -> tuple[tuple[Part, ...], ...]:
    """Return the lists of a bill: sorted, without repetition, none longer than an entry of the ledger.

    Raises:
        InvalidInput: There are more than one bill may have.
    """
    shelves: dict[tuple[str, int], set[Part]] = {}
    for each in parts:
        shelf = sha256(each.name.encode()).digest()[0] % SHELVES if each.kind == "library" else 0
        shelves.setdefault((each.kind, shelf), set()).add(each)
    found = tuple(piece for _, shelf in sorted(shelves.items()) for piece in _pieces(sorted(shelf)))
    if len(found) > MAX_LISTS:
        raise InvalidInput(f"a bill of {len(found)} lists of parts", expected=f"at most {MAX_LISTS}")
    return found


def _pieces(parts: Sequence[Part]) -> Iterator[tuple[Part, ...]]:
    piece: list[Part] = []
    size = 0
    for each in parts:
        length = len(canonical(each)) + 1
        if piece and size + length > MAX_LIST_BYTES:
            yield tuple(piece)
            piece, size = [], 0
        piece.append(each)
        size += length
    if piece:
        yield tuple(piece)


def read_parts(stream: str, body: dict[str, Any]) -> tuple[Part, ...]:
    """Return what stands in a list.

    Raises:
        InvalidInput: It is no list of parts, or not the one that the stream is named after.
    """
    try:
        parts = msgspec.convert(body.get("parts"), tuple[Part, ...])
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"a list of parts cannot be read: {error}", place=stream[:80]) from error
    if not parts or stream != list_stream(list_name(parts)):
        raise InvalidInput("a list of parts under another name than its own", place=stream[:80])
    for text in (
        text for each in parts for text in (each.ecosystem, each.name, each.version, each.digest, each.licence)
    ):
        if len(text) > MAX_TEXT or not text.isprintable():
            raise InvalidInput(f"a part says {text[:40]!r}", expected=f"up to {MAX_TEXT} printable characters")
    return parts


class Bill(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """That a bill was listed: of which model, under which serial number, in which lists."""

    model: str
    serial: str
    lists: tuple[str, ...]


def read_bill(stream: str, body: dict[str, Any]) -> Bill:
    """Return what a release's entry says about its bill.

    Raises:
        InvalidInput: It cannot be read, or its stream is no artifact's.
    """
    return _checked(stream, body, Bill)


class Supplied(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """That a supplier's bill was taken in: of what, in which format, which lists it comes to, and the document."""

    model: str
    serial: str
    lists: tuple[str, ...]
    form: str
    document: str


def read_supplied(stream: str, body: dict[str, Any]) -> Supplied:
    """Return what the entry of something from outside says about its supplier's bill.

    Raises:
        InvalidInput: It cannot be read, or its stream is no artifact's.
    """
    supplied = _checked(stream, body, Supplied)
    parse_digest(supplied.document)
    return supplied


_Read = TypeVar("_Read", Bill, Supplied)


def _checked(stream: str, body: dict[str, Any], kind: type[_Read]) -> _Read:
    parse_digest(stream)
    try:
        bill = msgspec.convert(body, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InvalidInput(f"a bill of materials cannot be read: {error}", place=stream[:80]) from error
    if not all(_LIST.fullmatch(name) for name in bill.lists) or len(bill.lists) > MAX_LISTS:
        raise InvalidInput("a bill that names something else than lists", expected="64 hexadecimal digits each")
    for text in (bill.model, bill.serial):
        if not 0 < len(text) <= MAX_TEXT or not text.isprintable():
            raise InvalidInput(f"a bill says {text[:40]!r}", expected=f"1 to {MAX_TEXT} printable characters")
    return bill
