"""What a release depends on, held against a snapshot of advisories: evidence that can fail anew when more is known.

An advisory at or above the severity that the project refuses, and that no signed statement accepts, makes the control
`failed`: a failure is superseded once the finding is answered, whereas a bad measurement would stay with the release
for ever. What is below, or accepted, is measured and listed. A stale snapshot fails it, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from holdfast.core import advisories
from holdfast.core.advisories import Snapshot
from holdfast.core.control import Control, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import SEVERITIES, Finding, Severity, exactly
from holdfast.engines.advisories.listing import check_covered
from holdfast.engines.advisories.matching import Dependency, Match, by_severity
from holdfast.engines.advisories.snapshot import check_fresh

MAX_NAMED: Final = 10  # of what is refused, in one reason; the count says the rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the control looks at: what is there, what was matched, what was accepted, by which snapshot."""

    snapshot: Snapshot
    dependencies: Sequence[Dependency]
    matches: Sequence[Match]
    accepted: Sequence[tuple[Match, str]]
    refuse: Severity
    longest: timedelta  # how old the snapshot may be
    now: datetime


def refused(matches: Sequence[Match], refuse: Severity) -> tuple[Match, ...]:
    """Return those at or above a severity."""
    bound = SEVERITIES.index(refuse)
    return tuple(match for match in matches if SEVERITIES.index(match.severity) >= bound)


def words_of(match: Match) -> str:
    """Return a match in words: what, in which version, how bad, and where it is fixed."""
    fixed = f"fixed in {match.fixed[0]}" if match.fixed else "no fix is known"
    unsure = "" if match.exact else ", its version could not be compared"
    return f"{match.id} ({match.severity}) in {match.dependency.name} {match.dependency.version}, {fixed}{unsure}"


def finding(match: Match, reason: str = "") -> Finding:
    """Return a match as a finding; an accepted one is for information."""
    severity = Severity.INFO if reason else match.severity
    said = f"{words_of(match)}; {match.summary}" + (f"; accepted as {reason}" if reason else "")
    place = f"{match.dependency.ecosystem}/{match.dependency.name}@{match.dependency.version}"
    return Finding(place=place, severity=severity, rule=f"advisory.{match.id}", message=said[:1000])


def _measure(held: Held) -> Report:
    check_fresh(held.snapshot, held.now, held.longest)
    check_covered(held.dependencies, held.snapshot.ecosystems)
    if not held.dependencies:  # empty means no
        raise StageFailed("the bill of materials names no library that could be held against an advisory")
    bad = refused(held.matches, held.refuse)
    if bad:
        named = "; ".join(words_of(match) for match in bad[:MAX_NAMED])
        raise StageFailed(f"{len(bad)} advisories are neither fixed nor accepted: {named}")
    counted = [exactly(f"advisories_{name}", count) for name, count in by_severity(held.matches).items()]
    return Report(
        measures=(
            exactly("dependencies", len(held.dependencies)),
            exactly("advisories_open", len(held.matches)),
            exactly("advisories_accepted", len(held.accepted)),
            exactly("snapshot_age_days", max(0.0, held.snapshot.age_days(held.now)), unit="day"),
            *counted,
        ),
        findings=tuple(
            [finding(match) for match in held.matches] + [finding(match, reason) for match, reason in held.accepted]
        ),
        facts={"snapshot": held.snapshot.digest, "date": held.snapshot.date.isoformat()},
    )


DEPENDENCIES: Final[Control[Held]] = Control(name=advisories.DEPENDENCIES, measure=_measure)
