"""What an advisory affects, as a question about parts: decided as the scan of dependencies decides it.

A record that affects no package, or was withdrawn, is an error here: an empty file must never be taken for good news.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.core.bill import Part, comparable
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.engines.advisories.matching import is_affected
from holdfast.engines.advisories.osv import Affected, Record

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
    "almalinux": "rpm",
    "azure linux": "rpm",
    "mageia": "rpm",
    "openeuler": "rpm",
    "opensuse": "rpm",
    "photon os": "rpm",
    "red hat": "rpm",
    "rocky linux": "rpm",
    "suse": "rpm",
    "cran": "cran",
}
"""Names of ecosystems as OSV writes them, in small letters, and the type of package URL they have."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One package of an advisory."""

    ecosystem: str  # the type of its package URL
    name: str  # as the ecosystem compares names
    affected: Affected

    def holds(self, part: Part) -> bool:
        """Say whether a part is affected; every version is, where the advisory names none."""
        if part.name != self.name or part.ecosystem not in {"", self.ecosystem}:
            return False
        ranges = [each for each in self.affected.ranges if each.type != "GIT"]
        if self.affected.package is None or not (ranges or self.affected.versions):
            return True
        return is_affected(part.version, self.affected, self.affected.package.ecosystem)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Advisory:
    """What an advisory is called, and which packages it is about."""

    id: str
    targets: tuple[Target, ...]


def advisory_of(records: Sequence[Record], place: str) -> Advisory:
    """Return what records of one advisory affect.

    Raises:
        InvalidInput: They affect no package, or were withdrawn.
    """
    living = [record for record in records if record.withdrawn is None]
    targets = [_target(each) for record in living for each in record.affected if each.package is not None]
    if not targets:
        expected = "a record that was not withdrawn and names a package"
        raise InvalidInput("the advisory affects no package", place=place, expected=expected)
    return Advisory(id=" ".join(sorted({record.id[:80] for record in living})), targets=tuple(targets))


def named(records: Iterable[Record], name: str) -> tuple[Record, ...]:
    """Return the records that go by a name, or by an alias of it.

    Raises:
        NotFound: None does.
    """
    wanted = name.strip().casefold()
    known = tuple(
        each for each in records if wanted in {n.casefold() for n in (each.id, *each.aliases, *each.upstream)}
    )
    if not known:
        remedy = "Take a newer snapshot in with `holdfast advisories take`, or give the record with --file."
        raise NotFound("the newest snapshot knows no such advisory", place=name[:80], remedy=remedy)
    return known


def _target(affected: Affected) -> Target:
    assert affected.package is not None  # noqa: S101 - narrows the type; the caller has looked
    family = affected.package.ecosystem.partition(":")[0].lower()
    ecosystem = ECOSYSTEMS.get(family, family)
    return Target(ecosystem=ecosystem, name=comparable(ecosystem, affected.package.name), affected=affected)
