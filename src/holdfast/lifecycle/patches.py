"""Patches: how long each fix has been there, which are overdue, and the proof that a rebuild cleared a finding.

A fix is taken to be as old as its advisory, for no record says when the fixed version came out. An overdue item is
raised once, as an event, and closed once it is gone. An accepted finding is not due while its acceptance lasts.
"""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Artifact, Digest, Kind, digest_json
from holdfast.core.errors import HoldfastError, UsageError
from holdfast.core.evidence import Severity
from holdfast.core.ledger import Draft
from holdfast.core.policy import seconds
from holdfast.core.project import PATCH_WITHIN, Dependencies
from holdfast.engines.advisories.listing import check_covered, from_bom, from_environment
from holdfast.engines.advisories.matching import Dependency, Match
from holdfast.engines.advisories.snapshot import check_fresh
from holdfast.engines.images.layout import Place, images
from holdfast.engines.images.scan import look_through
from holdfast.lifecycle.advisories import index_of, newest
from holdfast.lifecycle.carrying import carry_out
from holdfast.lifecycle.dependencies import document_of, judged, limit_of, of_release, table_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import resolve_release
from holdfast.lifecycle.publishing import standing
from holdfast.lifecycle.registry_catalogue import releases_of
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import current_project
from holdfast.release.dependencies import refused
from holdfast.release.rebuild import REBUILD, Compared, Rebuilt, compare

STREAM: Final = "patches"
OVERDUE: Final = "dependencies.overdue"
PATCHED: Final = "dependencies.patched"
PROVED: Final = "dependencies.proved"
_BUILT: Final = "%b %d %Y %H:%M:%S"  # how the interpreter writes the moment it was built


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One thing that wants a newer version: where, since when one is there, and by when it must be in place."""

    where: str  # a release, or this installation
    package: str
    version: str
    advisory: str  # empty for a runtime, which is due by its age alone
    severity: str
    fixed: str
    since: datetime
    until: datetime

    @property
    def cause(self) -> str:
        """What an item is known by while it is open."""
        return f"{self.where}:{self.package}:{self.version}:{self.advisory}"


def patches(plant: Plant) -> Reply:
    """List what has a fix and how long that has been there; raise what is overdue, and close what is gone.

    Looked at: what answers now, and this installation with its interpreter.

    Raises:
        Unavailable: There is no snapshot of advisories, or it is too old.
    """
    project, now = current_project(plant), plant.clock.now()
    snapshot = newest(plant)
    check_fresh(snapshot, now, limit_of(project.dependencies))
    index, found = index_of(plant, snapshot), [_interpreter(project.dependencies)]
    for where, listed in _looked_at(plant):
        check_covered(listed, snapshot.ecosystems)
        found += _due(where, judged(plant, index, listed)[0], project.dependencies)
    late = [each for each in found if each.until < now]
    opened, closed = _settle(plant, late)
    rows = [_row(each, now) for each in sorted(found, key=lambda each: each.until)]
    columns = ("where", "package", "version", "advisory", "severity", "fixed in", "days there", "due", "state")
    table = Table(title="Patches", columns=columns, rows=rows)
    says = f"{len(found) - len(late)} in time, {len(late)} OVERDUE; {len(opened)} raised and {len(closed)} closed now."
    document = {
        "items": [_item(each, now) for each in found],
        "overdue": len(late),
        "raised": opened,
        "closed": closed,
        "snapshot": snapshot.digest,
    }
    return Reply(says=says, document=document, tables=(table,), exit_code=1 if late else 0)


def _looked_at(plant: Plant) -> Iterator[tuple[str, tuple[Dependency, ...]]]:
    for release in standing(plant, current_project(plant)).releases:
        yield f"release {short(release)}", of_release(plant, Digest(release))
    yield "this installation", from_environment()


def _due(where: str, matches: Sequence[Match], limits: Dependencies) -> Iterator[Due]:
    within = PATCH_WITHIN | {str(key): value for key, value in limits.patch_within.items()}
    for match in matches:
        if match.fixed and str(match.severity) in within:
            yield Due(
                where=where,
                package=match.dependency.name,
                version=match.dependency.version,
                advisory=match.id,
                severity=str(match.severity),
                fixed=match.fixed[0],
                since=match.published,
                until=match.published + timedelta(seconds=seconds(within[str(match.severity)])),
            )


def _interpreter(limits: Dependencies) -> Due:
    """Return the interpreter as something that is due by its age: it was built when it was patched last."""
    built = _built(platform.python_build()[1])
    return Due(
        where="this installation",
        package="python",
        version=platform.python_version(),
        advisory="",
        severity="",
        fixed="",
        since=built,
        until=built + timedelta(seconds=seconds(limits.runtime_max_age)),
    )


def _built(text: str) -> datetime:
    try:
        return datetime.strptime(" ".join(text.split()), _BUILT).replace(tzinfo=UTC)
    except ValueError:  # a build that does not say when it was made may be of any age
        return datetime(1970, 1, 1, tzinfo=UTC)


def _settle(plant: Plant, late: Sequence[Due]) -> tuple[list[str], list[str]]:
    """Raise each overdue item that is not open, and close each open one that is not overdue any more."""
    there, causes = open_items(plant), {each.cause: each for each in late}
    opened, closed = sorted(set(causes) - set(there)), sorted(set(there) - set(causes))
    drafts = [
        Draft(kind=OVERDUE, actor="release", stream=STREAM, body={"cause": cause, "words": _words(causes[cause])})
        for cause in opened
    ]
    drafts += [Draft(kind=PATCHED, actor="release", stream=STREAM, body={"cause": cause}) for cause in closed]
    if drafts:
        plant.ledger.append(drafts)
    return opened, closed


def open_items(plant: Plant) -> dict[str, str]:
    """Return the overdue items that were raised and not closed, with their words."""
    found: dict[str, str] = {}
    for entry in plant.ledger.stream(STREAM):
        if entry.kind == OVERDUE:
            found[entry.body["cause"]] = entry.body["words"]
        elif entry.kind == PATCHED:
            found.pop(entry.body["cause"], None)
    return found


def _words(item: Due) -> str:
    fix = f"{item.advisory} ({item.severity}) is fixed in {item.fixed} since" if item.advisory else "built on"
    return f"{item.where}: {item.package} {item.version}: {fix} {item.since:%Y-%m-%d}, due {item.until:%Y-%m-%d}"


def _row(item: Due, now: datetime) -> tuple[str, ...]:
    state = "OVERDUE" if item.until < now else "in time"
    age = f"{(now - item.since).days}"
    due = f"{item.until:%Y-%m-%d}"
    return (item.where, item.package, item.version, item.advisory, item.severity, item.fixed, age, due, state)


def _item(item: Due, now: datetime) -> dict[str, Any]:
    return {
        "where": item.where,
        "package": item.package,
        "version": item.version,
        "advisory": item.advisory,
        "severity": item.severity,
        "fixed": item.fixed,
        "since": item.since.isoformat(),
        "due": item.until.isoformat(),
        "days": (now - item.since).days,
        "overdue": item.until < now,
    }


def prove(plant: Plant, *, old: str, new: str, advisory: str | None = None) -> Reply:
    """Prove that a rebuild cleared what was found: in the old one, not in the new one, by the same snapshot.

    Args:
        plant: The workspace.
        old: A release by digest, a CycloneDX document or a container image.
        new: The same of the rebuild; if it is a release, the result is sealed as evidence on it.
        advisory: Which must be cleared; if left out, all that the project refuses, of which there must be some.

    Raises:
        UsageError: One of them is neither a release nor a file.
        Unavailable: There is no snapshot of advisories, or it is too old.
    """
    limits, snapshot = current_project(plant).dependencies, newest(plant)
    check_fresh(snapshot, plant.clock.now(), limit_of(limits))
    before, listed_before, _ = _sides(plant, old)
    after, listed_after, release = _sides(plant, new)
    found = compare(index_of(plant, snapshot), snapshot.ecosystems, listed_before, listed_after)
    proved = _proved(found, advisory, Severity(limits.refuse))
    body = {"old": before, "new": after, "snapshot": snapshot.digest, "proved": proved, "advisory": advisory or ""}
    body |= {"cleared": [match.id for match in found.cleared][:1000], "left": [match.id for match in found.left][:1000]}
    if release is not None:
        plant.unlock()
        artifact = Artifact(kind=Kind.RELEASE, digest=release, size=0)
        rebuilt = Rebuilt(old=before, snapshot=snapshot.digest, compared=found)
        carry_out(plant, REBUILD, rebuilt, artifact, configuration=snapshot.digest)
    plant.ledger.append([Draft(kind=PROVED, actor="release", stream=STREAM, body=body)])
    tables = (
        table_of(found.cleared, "Cleared"),
        table_of(found.left, "Still there"),
        table_of(found.new, "New with the rebuild"),
    )
    what = advisory or f"all of severity {limits.refuse} and worse"
    says = f"{'PROVED' if proved else 'NOT PROVED'}: {what} cleared by {short(after)}, as of {snapshot.date:%Y-%m-%d}"
    says += f"; {len(found.cleared)} cleared, {len(found.left)} still there, {len(found.new)} new."
    document = body | {
        "cleared": [document_of(match) for match in found.cleared],
        "left": [document_of(match) for match in found.left],
        "introduced": [document_of(match) for match in found.new],
    }
    return Reply(says=says, document=document, tables=tables, exit_code=0 if proved else 1)


def _proved(found: Compared, advisory: str | None, refuse: Severity) -> bool:
    """Say whether what was asked for is gone, and nothing as bad came with the rebuild."""
    if refused(found.new, refuse):
        return False
    if advisory is not None:
        gone = any(advisory in match.names for match in found.cleared)
        return gone and not any(advisory in match.names for match in found.left)
    return bool(refused(found.cleared, refuse)) and not refused(found.left, refuse)


def _sides(plant: Plant, named: str) -> tuple[str, tuple[Dependency, ...], Digest | None]:
    """Return the digest of what is named, its packages, and the release that it is, if it is one."""
    path = Path(named)
    if not path.exists():
        release = _release(plant, named)
        return release, of_release(plant, release), release
    if path.is_file() and path.suffix == ".json":
        data = path.read_bytes()
        listed = from_bom(data, named)
    else:
        place = Place(path)
        listed = tuple(sorted({each for image in images(place) for each in look_through(place, image).packages}))
    return digest_json([[each.ecosystem, each.name, each.version] for each in listed]), listed, None


def _release(plant: Plant, named: str) -> Digest:
    try:
        return resolve_release(plant, current_project(plant), named)
    except HoldfastError as error:
        known = ", ".join(short(each) for each in releases_of(plant)[-3:])
        raise UsageError(f"{named[:80]!r} is neither a file nor a release", expected=known) from error
