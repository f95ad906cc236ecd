"""Slow poison: found over a history though each batch is within every limit, and seasons are no poison."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray

from holdfast.engines.screens.history import creeping, suspects
from holdfast.engines.screens.shifts import by_group

VERSIONS = 24
FIRST, EACH = 2000, 200


@dataclass(frozen=True)
class History:
    """Rows of a trusted version and later ones, and what is believed of them by whoever knows the truth."""

    believed: NDArray[np.float64]
    labels: NDArray[np.int64]
    version: NDArray[np.int64]
    groups: NDArray[np.str_]
    bad: NDArray[np.bool_]

    def since(self, first: int, last: int) -> "History":
        """The trusted rows and those of some versions."""
        kept = (self.version == 0) | ((self.version >= first) & (self.version <= last))
        return History(*(each[kept] for each in (self.believed, self.labels, self.version, self.groups, self.bad)))

    def creeping(self) -> list[tuple[str, int]]:
        """Which label of whom crept."""
        found = creeping(self.believed, self.labels, self.version, self.groups)
        return [(each.group, each.label) for each in found if each.far]


def history(seed: int, *, turned: int = 0, season: float = 0.0, sloppy: float = 0.0) -> History:
    """Two classes that overlap a little; one of four sources turns labels, up to so many odd ones a version.

    The share of the second class swings with the season; one source errs more often than the others, from the start.
    """
    rng = np.random.default_rng((seed, 5))
    version = np.concatenate([np.zeros(FIRST), np.repeat(np.arange(1, VERSIONS + 1), EACH)]).astype(np.int64)
    logit = np.log(0.3 / 0.7) + season * np.sin(2 * np.pi * version / 12)
    truth = rng.random(len(version)) < 1 / (1 + np.exp(-logit))
    score = rng.normal(size=len(version)) + np.where(truth, 2.5, -2.5)
    p = 1 / (1 + np.exp(-5 * score) * 0.7 / 0.3)  # what the trusted version teaches; the season is not in it
    groups = np.array(["a", "b", "c", "d"])[rng.integers(4, size=len(version))]
    errs = rng.random(len(version)) < np.where(groups == "b", sloppy, 0.01)
    labels = np.where(errs, ~truth, truth).astype(np.int64)
    bad = np.zeros(len(version), dtype=np.bool_)
    for number in range(1, VERSIONS + 1):
        mine = (version == number) & (groups == "c")
        odd = int((mine & (labels == 1) & (p < 0.5)).sum())  # by chance: whoever keeps to a limit counts them
        bad[np.flatnonzero(mine & (labels == 0) & (p < 0.5))[: max(turned - odd, 0)]] = True
    labels[bad] = 1
    return History(np.stack((1 - p, p), axis=1), labels, version, groups, bad)


@pytest.mark.requirement("VAL-22", by="holdfast.engines.screens.history:creeping")
@pytest.mark.requirement("VAL-22", by="holdfast.maths.bets:ln_evidence")
@pytest.mark.parametrize("seed", range(3))
def test_an_attacker_within_every_batchs_limits_is_found_over_the_history(seed: int) -> None:
    """At most two odd labels in 200, in each of 24 versions, by one of four sources, through seasons.

    No version alone shows it: not to the same bets, not as a jump of labels, not as a source unlike the others.
    """
    found = history(seed, turned=2, season=0.5)
    alone = 0
    for number in range(1, VERSIONS + 1):
        one = found.since(number, number)
        alone += bool(one.creeping())
        now = one.version > 0
        assert not [each for each in by_group(one.believed[now], one.labels[now], one.groups[now]) if each.far]
        assert one.bad.sum() <= 2
    assert alone == 0
    assert ("c", 1) in found.creeping()
    assert {group for group, _ in found.creeping()} <= {"c", ""}
    creeps = creeping(found.believed, found.labels, found.version, found.groups)
    named = suspects(creeps, found.believed, found.labels, found.version, found.groups)
    assert named[found.bad].mean() > 0.9
    assert named[~found.bad].mean() < 0.02


@pytest.mark.requirement("VAL-22", by="holdfast.engines.screens.history:creeping")
def test_honest_seasons_and_sloppy_sources_are_no_poison() -> None:
    """Of 100 honest histories whose classes swing threefold and one of whose sources errs four times as often.

    At a stated 1 % at most a few are named; measured here are these 100 seeds.
    """
    named = [seed for seed in range(100) if history(seed, season=0.5, sloppy=0.04).creeping()]
    assert len(named) <= 2


@pytest.mark.requirement("VAL-22", by="holdfast.engines.screens.history:creeping")
def test_it_is_held_against_the_trusted_version_and_not_the_last() -> None:
    """Where half of the poisoned versions are taken for trusted, the source errs no more than it used to."""
    found = history(3, turned=2)
    assert ("c", 1) in found.creeping()
    moved = np.maximum(found.version - 12, 0)
    assert not History(found.believed, found.labels, moved, found.groups, found.bad).creeping()


def test_a_source_that_begins_to_turn_labels_late_is_found_after_that() -> None:
    """Honest for half of the history: bets are laid on every beginning."""
    found = history(4, turned=4)
    honest = found.labels.copy()
    early = found.bad & (found.version <= 12)
    honest[early] = 0
    creeps = creeping(found.believed, honest, found.version, found.groups)
    (one,) = [each for each in creeps if each.far and each.group == "c"]
    assert 12 < one.since <= VERSIONS


def test_nothing_is_said_without_a_trusted_version() -> None:
    """Empty means no."""
    found = history(1)
    with pytest.raises(ValueError, match="nothing to compare"):
        creeping(found.believed, found.labels, found.version + 1, found.groups)
    with pytest.raises(ValueError, match="nothing to compare"):
        creeping(found.believed, found.labels, found.version * 0, found.groups)
