"""An advisory as OSV writes it (schema 1.6), as far as a question about parts needs it: which versions are affected.

Read strictly where it decides: a record without packages affects nothing and says so by an error, so that an empty file
is never taken for good news.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from holdfast.core.bill import Part, comparable
from holdfast.core.errors import InvalidInput
from holdfast.engines.package_url import parse_purl
from holdfast.registry.ranges import Key, key_of

MAX_ADVISORY: Final = 4 << 20  # bytes; the longest records of the public database are a tenth of it
ECOSYSTEMS: Final[Mapping[str, str]] = {
    "pypi": "pypi",
    "npm": "npm",
    "crates.io": "cargo",
    "go": "golang",
    "maven": "maven",
    "nuget": "nuget",
    "rubygems": "gem",
    "packagist": "composer",
    "hex": "hex",
    "pub": "pub",
    "debian": "deb",
    "ubuntu": "deb",
    "alpine": "apk",
    "red hat": "rpm",
    "cran": "cran",
}
"""Names of ecosystems as OSV writes them, in small letters, and the type of package URL they have."""


class _Package(msgspec.Struct, frozen=True):
    name: str = ""
    ecosystem: str = ""
    purl: str = ""


class _Range(msgspec.Struct, frozen=True):
    type: str = ""
    events: tuple[dict[str, Any], ...] = ()


class _Affected(msgspec.Struct, frozen=True):
    package: _Package = _Package()
    ranges: tuple[_Range, ...] = ()
    versions: tuple[str, ...] = ()


class _Record(msgspec.Struct, frozen=True):
    id: str = ""
    summary: str = ""
    withdrawn: str = ""
    affected: tuple[_Affected, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Affected:
    """One package of an advisory, and which of its versions are affected."""

    ecosystem: str
    name: str
    versions: frozenset[str]
    ranges: tuple[tuple[tuple[str, str], ...], ...]  # of each range its events: what begins or ends, at which version

    def holds(self, part: Part) -> bool:
        """Say whether a part is affected.

        Every version is, where the advisory names none; one that cannot be compared is, because nothing shows that it
        is not.
        """
        if part.name != self.name or (part.ecosystem and self.ecosystem and part.ecosystem != self.ecosystem):
            return False
        if part.version in self.versions or not (self.versions or self.ranges):
            return True
        return any(_inside(self.ecosystem or part.ecosystem, part.version, events) for events in self.ranges)


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """What an advisory is called, and what it affects."""

    id: str
    summary: str
    affected: tuple[Affected, ...]


def parse_advisory(document: bytes, place: str) -> Advisory:
    """Return an advisory.

    Raises:
        InvalidInput: It is no OSV record, is too long, affects no package, or was withdrawn.
    """
    if len(document) > MAX_ADVISORY:
        raise InvalidInput("the advisory is too long", place=place, expected=f"at most {MAX_ADVISORY} bytes")
    try:
        record = msgspec.json.decode(document, type=_Record)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"this is no OSV record: {error}", place=place, expected="JSON, OSV schema 1.6") from error
    if not record.id or not record.affected:
        raise InvalidInput(
            "the record names no advisory or affects no package", place=place, expected="id and affected"
        )
    if record.withdrawn:
        raise InvalidInput(f"{record.id[:80]} was withdrawn on {record.withdrawn[:40]}", place=place)
    affected = tuple(_affected(each, place) for each in record.affected)
    return Advisory(id=record.id[:80], summary=record.summary[:500], affected=affected)


def _affected(each: _Affected, place: str) -> Affected:
    if each.package.purl:
        named = parse_purl(each.package.purl)
        ecosystem, name = named.ecosystem, named.name
    else:
        family = each.package.ecosystem.partition(":")[0].lower()
        ecosystem = ECOSYSTEMS.get(family, family)
        name = comparable(ecosystem, each.package.name)
    if not name:
        raise InvalidInput("the record affects a package without a name", place=place)
    ranges = tuple(tuple(_events(each)) for each in each.ranges if each.type in {"ECOSYSTEM", "SEMVER"})
    return Affected(ecosystem=ecosystem, name=name, versions=frozenset(each.versions), ranges=ranges)


def _events(each: _Range) -> Iterator[tuple[str, str]]:
    for event in each.events:
        for what in ("introduced", "fixed", "last_affected"):
            if isinstance(version := event.get(what), str):
                yield what, version


def _inside(ecosystem: str, version: str, events: tuple[tuple[str, str], ...]) -> bool:
    """Return whether a version lies in one range: OSV schema, "Evaluation", over events in the order of versions."""
    ours = key_of(ecosystem, version)
    if ours is None:
        return bool(events)
    known = [(at_key, what) for what, at in events if (at_key := _order(ecosystem, at)) is not None]
    affected = False
    for at_key, what in sorted(known, key=lambda each: each[0]):
        if what == "introduced" and at_key <= ours:
            affected = True
        elif (what == "fixed" and at_key <= ours) or (what == "last_affected" and at_key < ours):
            affected = False
    return affected


def _order(ecosystem: str, version: str) -> Key | None:
    """Return where an event lies; `0` is before everything (OSV schema, "events")."""
    return () if version == "0" else key_of(ecosystem, version)
