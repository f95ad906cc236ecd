"""Which packages are affected by which advisories: OSV's own procedure, aliases taken together, fixes named.

A version that its ecosystem's order cannot read is affected wherever a range is about its package: what cannot be
compared must not pass for good.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast.core.evidence import SEVERITIES, Severity
from holdfast.engines.advisories.osv import Affected, Range, Record, folded
from holdfast.engines.advisories.versions import order_of

_PREFERRED: Final = ("CVE-", "GHSA-", "PYSEC-")


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Dependency:
    """A package in one version; `place` says where it is listed or lies."""

    ecosystem: str
    name: str
    version: str
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A package that is affected: by what, how badly, since when that is known, and which versions are fixed."""

    dependency: Dependency
    id: str
    aliases: tuple[str, ...]
    severity: Severity
    summary: str
    published: datetime
    fixed: tuple[str, ...]  # versions in which it is fixed, in the ecosystem's order; none where there is no fix
    exact: bool = True  # False where the version could not be compared, and so counts as affected

    @property
    def names(self) -> frozenset[str]:
        """Every identifier that the advisory goes by."""
        return frozenset((self.id, *self.aliases))


class Index:
    """Records by package, for many look-ups."""

    def __init__(self, records: Iterable[Record]) -> None:
        """Index what is not withdrawn."""
        self._by: dict[tuple[str, str], list[tuple[Record, Affected]]] = {}
        for record in records:
            if record.withdrawn is not None:
                continue
            for part in record.affected:
                if part.package is not None:
                    ecosystem = part.package.ecosystem
                    self._by.setdefault((ecosystem, folded(ecosystem, part.package.name)), []).append((record, part))

    def match(self, dependencies: Iterable[Dependency]) -> tuple[Match, ...]:
        """Return what affects these packages, the worst first; aliases of one another are one match."""
        found: list[Match] = []
        for dependency in sorted(set(dependencies)):
            key = dependency.ecosystem, folded(dependency.ecosystem, dependency.name)
            hits = [
                hit for record, part in self._by.get(key, ()) if (hit := _hit(dependency, record, part)) is not None
            ]
            found += _merged(hits)
        return tuple(sorted(found, key=lambda match: (-SEVERITIES.index(match.severity), match.dependency, match.id)))


def _hit(dependency: Dependency, record: Record, part: Affected) -> Match | None:
    affected, exact = is_affected(dependency.version, part, dependency.ecosystem)
    if not affected:
        return None
    return Match(
        dependency=dependency,
        id=record.id,
        aliases=tuple(sorted({*record.aliases, *record.upstream})),
        severity=record.rated(part),
        summary=record.summary[:300],
        published=record.published or record.modified,
        fixed=fixes(dependency.version, part, dependency.ecosystem),
        exact=exact,
    )


def is_affected(version: str, part: Affected, ecosystem: str) -> tuple[bool, bool]:
    """Say whether a version is affected, and whether that was compared (OSV schema, "Evaluation").

    1. A version that is listed is affected. 2. Otherwise each range is walked through in the order of its versions:
    `introduced` begins, `fixed` and what follows `last_affected` end. 3. Ranges of commits say nothing about versions.
    """
    if version in part.versions:  # 1.
        return True, True
    order, exact = order_of(ecosystem), True
    for each in part.ranges:  # 2.
        if each.type == "GIT":  # 3.
            continue
        if order is None:
            return True, False
        try:
            if _inside(version, each, order_of("SEMVER") if each.type == "SEMVER" else order):
                return True, True
        except ValueError:
            exact = False
    if part.versions and exact:
        return _listed(version, part.versions, order), True
    return not exact, exact


def _listed(version: str, versions: Sequence[str], order: object) -> bool:
    """Say whether a version is among those listed, also spelt otherwise: 1.0 and 1.0.0 are one version of PyPI."""
    if not callable(order):
        return False
    try:
        key = order(version)
    except ValueError:
        return True  # it cannot be compared with what is listed
    for each in versions:
        try:
            if order(each) == key:
                return True
        except ValueError:
            continue
    return False


def _inside(version: str, each: Range, order: object) -> bool:
    assert callable(order)  # noqa: S101 - narrows the type; the caller has looked
    key, events = order(version), []
    for event in each.events:
        for sort, value in event.items():
            if sort in {"introduced", "fixed", "last_affected"}:
                events.append(((0,) if value == "0" else (1, order(value)), sort))
    affected = False
    rank = {"introduced": 0, "fixed": 1, "last_affected": 2}
    for at, sort in sorted(events, key=lambda item: (item[0], rank[item[1]])):
        if sort == "introduced" and at <= (1, key):
            affected = True
        elif (sort == "fixed" and at <= (1, key)) or (sort == "last_affected" and at < (1, key)):
            affected = False
    return affected


def fixes(version: str, part: Affected, ecosystem: str) -> tuple[str, ...]:
    """Return the versions above this one in which it is fixed, the nearest first."""
    order = order_of(ecosystem)
    named = {value for each in part.ranges if each.type != "GIT" for event in each.events
             for sort, value in event.items() if sort == "fixed"}  # fmt: skip
    if order is None:
        return tuple(sorted(named))
    try:
        key = order(version)
        return tuple(sorted((each for each in named if order(each) > key), key=order))
    except ValueError:
        return tuple(sorted(named))


def _merged(hits: Sequence[Match]) -> list[Match]:
    """Take matches together that are aliases of one another: the worst severity, the earliest date, all names."""
    groups: list[list[Match]] = []
    for hit in hits:
        joined = [group for group in groups if any(hit.names & other.names for other in group)]
        rest = [group for group in groups if group not in joined]
        groups = [*rest, [hit, *(other for group in joined for other in group)]]
    return [_one(group) for group in groups]


def _one(group: Sequence[Match]) -> Match:
    names = sorted({name for match in group for name in match.names}, key=lambda name: (_preference(name), name))
    worst = max(group, key=lambda match: SEVERITIES.index(match.severity))
    fixed = {version: None for match in group for version in match.fixed}
    order = order_of(worst.dependency.ecosystem)
    try:
        ordered = tuple(sorted(fixed, key=order))
    except ValueError:
        ordered = tuple(sorted(fixed))
    return Match(
        dependency=worst.dependency,
        id=names[0],
        aliases=tuple(names[1:]),
        severity=worst.severity,
        summary=worst.summary or next((match.summary for match in group if match.summary), ""),
        published=min(match.published for match in group),
        fixed=ordered,
        exact=all(match.exact for match in group),
    )


def _preference(name: str) -> int:
    return next((place for place, prefix in enumerate(_PREFERRED) if name.startswith(prefix)), len(_PREFERRED))


def by_severity(matches: Iterable[Match]) -> Mapping[str, int]:
    """Return how many matches there are of each severity, the worst first, nought included."""
    found = list(matches)
    return {str(severity): sum(match.severity is severity for match in found) for severity in reversed(SEVERITIES)}
