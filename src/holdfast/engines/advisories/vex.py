"""OpenVEX: what somebody says of a finding, and for which products; read strictly, since it makes findings go away.

Only `not_affected` with a justification and `fixed` accept a finding. Who said so, and until when it counts, is not in
the document but in the signed word that took it in.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Final, Literal

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.engines.advisories.listing import from_purl
from holdfast.engines.advisories.matching import Match

MAX_VEX: Final = 4 << 20  # bytes
CONTEXT: Final = "https://openvex.dev/ns"
Justification = Literal[
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
]


class Vulnerability(msgspec.Struct, frozen=True, kw_only=True):
    """Which vulnerability a statement is about."""

    name: str
    aliases: tuple[str, ...] = ()


class Product(msgspec.Struct, frozen=True, kw_only=True, rename={"id": "@id"}):
    """Which package: by package URL, in one version, or in all where it names none."""

    id: str


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement."""

    vulnerability: Vulnerability
    status: Literal["not_affected", "affected", "fixed", "under_investigation"]
    products: tuple[Product, ...] = ()
    justification: Justification | None = None
    impact_statement: str = ""
    action_statement: str = ""


class Document(msgspec.Struct, frozen=True, kw_only=True, rename={"context": "@context", "id": "@id"}):
    """An OpenVEX document (v0.2.0)."""

    context: str
    id: str
    author: str
    timestamp: datetime
    version: int
    statements: tuple[Statement, ...]


def parse_vex(data: bytes, place: str) -> Document:
    """Return the document.

    Raises:
        InvalidInput: It is none, says nothing, or excuses something without a justification or a product.
    """
    if len(data) > MAX_VEX:
        raise InvalidInput(f"{len(data)} bytes", place=place, expected=f"at most {MAX_VEX}")
    try:
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInput(f"this is no OpenVEX document: {error}", place=place) from error
    if not document.context.startswith(CONTEXT) or not document.statements or document.timestamp.tzinfo is None:
        raise InvalidInput("this is no OpenVEX document with a date and a statement", place=place, expected=CONTEXT)
    for each in document.statements:
        if each.status == "not_affected" and each.justification is None:
            raise InvalidInput(
                f"{each.vulnerability.name} is said not to matter, without a justification",
                place=place,
                expected="one of OpenVEX's five justifications",
            )
        if not each.products:
            raise InvalidInput(f"{each.vulnerability.name} is said of no product", place=place, expected="package URLs")
    return document


def acceptance(match: Match, statements: Iterable[Statement]) -> str:
    """Return why a match is accepted, or nothing: the last statement that is about it decides."""
    said = [each for each in statements if _about(each, match)]
    if not said or said[-1].status not in {"not_affected", "fixed"}:
        return ""
    return f"{said[-1].status}: {said[-1].justification or 'fixed'}"


def _about(statement: Statement, match: Match) -> bool:
    named = {statement.vulnerability.name, *statement.vulnerability.aliases}
    return bool(named & match.names) and any(_is(product.id, match) for product in statement.products)


def _is(purl: str, match: Match) -> bool:
    version = "@" in purl.rpartition("/")[2]
    found = from_purl(purl if version else f"{purl}@0")
    wanted: Any = match.dependency
    if found is None or found.name != wanted.name:
        return False
    same = found.ecosystem.partition(":")[0] == wanted.ecosystem.partition(":")[0]
    return same and (not version or found.version == wanted.version)
