"""Records of OSV (schema 1.x): what of them matters, read strictly enough to match and loosely enough to last.

A record is foreign data: its size is bounded, unknown fields are passed over, and one that lacks what matching needs is
refused as a whole snapshot would be, so that nothing is silently missing.
"""

import re
from datetime import datetime
from typing import Any, Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import Severity
from holdfast.engines.advisories.cvss import severity_of

MAX_RECORD: Final = 4 << 20  # bytes; kernel advisories with ten thousand versions have one
_FOLDED: Final = re.compile(r"[-_.]+")


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """Where versions are affected: events in the order of the record."""

    type: str
    events: tuple[dict[str, str], ...] = ()


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """Which package a part of a record is about."""

    ecosystem: str
    name: str


class Affected(msgspec.Struct, frozen=True, kw_only=True):
    """One affected package: ranges, listed versions."""

    package: Package | None = None
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()
    severity: tuple[dict[str, str], ...] = ()
    ecosystem_specific: Any = None
    database_specific: Any = None


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One advisory as OSV writes it, without what is only for people."""

    id: str
    modified: datetime
    published: datetime | None = None
    withdrawn: datetime | None = None
    aliases: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    summary: str = ""
    severity: tuple[dict[str, str], ...] = ()
    affected: tuple[Affected, ...] = ()
    database_specific: Any = None

    def rated(self, part: Affected) -> Severity:
        """Return how bad this is for one of its packages."""
        given = [(str(each.get("type", "")), str(each.get("score", ""))) for each in part.severity or self.severity]
        words = (part.ecosystem_specific, part.database_specific, self.database_specific)
        word = next((str(each["severity"]) for each in words if isinstance(each, dict) and each.get("severity")), "")
        return severity_of(given, word)


def parse_record(data: bytes, place: str) -> Record:
    """Return the record in a document.

    Raises:
        InvalidInput: It is no OSV record.
    """
    if len(data) > MAX_RECORD:
        raise InvalidInput(f"{len(data)} bytes", place=place, expected=f"at most {MAX_RECORD}")
    try:
        record = msgspec.json.decode(data, type=Record)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise InvalidInput(f"this is no OSV record: {error}", place=place) from error
    if record.modified.tzinfo is None:
        raise InvalidInput("the record does not say in which zone it was modified", place=place)
    return record


def folded(ecosystem: str, name: str) -> str:
    """Return a package's name as it is compared in its ecosystem: PyPI folds case and separators (PEP 503).

    >>> folded("PyPI", "Scikit_Learn"), folded("npm", "@Scope/Name")
    ('scikit-learn', '@Scope/Name')
    """
    return _FOLDED.sub("-", name).lower() if ecosystem.partition(":")[0] == "PyPI" else name
