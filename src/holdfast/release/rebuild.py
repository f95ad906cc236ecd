"""Whether a rebuild cleared what was found: two lists of packages, one snapshot, and what is gone, left or new.

What somebody has accepted is not cleared by that: both sides are matched as they are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from holdfast.core.control import Control, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import exactly
from holdfast.engines.advisories.listing import check_covered
from holdfast.engines.advisories.matching import Dependency, Index, Match
from holdfast.release.dependencies import finding


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What two lists of packages have and have not in common, by one snapshot."""

    cleared: tuple[Match, ...]
    left: tuple[Match, ...]
    new: tuple[Match, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rebuilt:
    """What the control looks at."""

    old: str  # digest of what was rebuilt
    snapshot: str  # digest of the snapshot
    compared: Compared


def compare(index: Index, ecosystems: Sequence[str], old: Sequence[Dependency], new: Sequence[Dependency]) -> Compared:
    """Compare two lists of packages by one snapshot.

    Raises:
        StageFailed: One of them is empty: nothing is cleared by listing nothing.
        Unavailable: The snapshot is silent about an ecosystem of either.
    """
    if not old or not new:  # empty means no
        raise StageFailed("a list without packages proves nothing")
    check_covered((*old, *new), ecosystems)
    before, after = index.match(old), index.match(new)
    return Compared(
        cleared=tuple(match for match in before if not _among(match, after)),
        left=tuple(match for match in before if _among(match, after)),
        new=tuple(match for match in after if not _among(match, before)),
    )


def _among(match: Match, others: Iterable[Match]) -> bool:
    """Say whether the same advisory touches the same package elsewhere, in whatever version."""
    this = match.dependency
    return any(
        match.names & other.names and (this.ecosystem, this.name) == (other.dependency.ecosystem, other.dependency.name)
        for other in others
    )


def _measure(rebuilt: Rebuilt) -> Report:
    found = rebuilt.compared
    return Report(
        measures=(
            exactly("cleared", len(found.cleared)),
            exactly("left", len(found.left)),
            exactly("introduced", len(found.new)),
        ),
        findings=tuple(
            [finding(match, "cleared") for match in found.cleared]
            + [finding(match) for match in (*found.left, *found.new)]
        ),
        facts={"old": rebuilt.old, "snapshot": rebuilt.snapshot},
    )


REBUILD: Final[Control[Rebuilt]] = Control(name="release.rebuild/1", measure=_measure)
