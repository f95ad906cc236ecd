"""How an endpoint stands, and what a promotion, a candidate, a step or a rollback makes of it: pure values.

The present standing is the fold of the endpoint's stream in the ledger: each routing carries the whole standing, so the
newest one is the answer and none before it is lost.
"""

from typing import Any

import msgspec

from holdfast.core.errors import Conflict

IDLE = "idle"  # the rollout machine's initial state: no candidate


class Standing(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one endpoint serves, and where it can go back to."""

    epoch: int = 0
    baseline: str = ""
    candidate: str = ""
    share: float = 0.0
    previous: tuple[str, ...] = ()  # earlier baselines that were not withdrawn, newest last
    rollout: str = IDLE
    plan: str = "canary"  # what the candidate is there for
    salt: str = ""  # of the split, for as long as this candidate stands
    segment: dict[str, tuple[str, ...]] = {}
    experiment: str = ""
    mirrored: float = 0.0
    posture: str = "steady"

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases that answer now."""
        return tuple(digest for digest in (self.baseline, self.candidate) if digest)


def promoted(now: Standing, release: str) -> Standing:
    """Return the standing with `release` as the baseline."""
    earlier = tuple(digest for digest in now.previous if digest != release)
    previous = (*earlier, now.baseline) if now.baseline not in {"", release} else earlier
    return Standing(epoch=now.epoch + 1, baseline=release, previous=previous)


def with_candidate(now: Standing, release: str, share: float, state: str, **terms: Any) -> Standing:
    """Return the standing with `release` as the candidate of a share of the traffic.

    Args:
        now: The present standing.
        release: The candidate.
        share: Of the traffic.
        state: Of the plan's machine.
        terms: What else a plan says: `plan`, `salt`, `segment`, `experiment`, `mirrored`; kept as they are if left out.

    Raises:
        Conflict: There is no baseline to return to, or the release is that baseline.
    """
    if not now.baseline:
        raise Conflict(
            "nothing is in production that a canary could return to", remedy="Promote without --canary first."
        )
    if now.baseline == release:
        raise Conflict("this release is already in production", remedy="Nothing needs to be done.")
    return msgspec.structs.replace(now, epoch=now.epoch + 1, candidate=release, share=share, rollout=state, **terms)


def without_candidate(now: Standing, state: str) -> Standing:
    """Return the standing with all traffic on the baseline."""
    return Standing(
        epoch=now.epoch + 1, baseline=now.baseline, previous=now.previous, rollout=state, posture=now.posture
    )


def exchanged(now: Standing, state: str) -> Standing:
    """Return the standing in which baseline and candidate have changed places; the one that leaves can be gone back to.

    Raises:
        Conflict: Nothing stands by.
    """
    if not now.candidate or not now.baseline:
        raise Conflict("nothing stands by", remedy="Prepare a release with `holdfast bluegreen prepare`.")
    earlier = tuple(digest for digest in now.previous if digest not in {now.candidate, now.baseline})
    return msgspec.structs.replace(
        now,
        epoch=now.epoch + 1,
        baseline=now.candidate,
        candidate=now.baseline,
        previous=(*earlier, now.baseline),
        share=0.0,
        rollout=state,
    )


def swapped(now: Standing, release: str, posture: str) -> Standing:
    """Return the standing in which one release alone answers at once; what answered cannot be gone back to by itself.

    Raises:
        Conflict: It answers already, and alone.
    """
    if (now.baseline, now.candidate) == (release, ""):
        raise Conflict("this release answers already", place=release, remedy="Nothing needs to be done.")
    earlier = tuple(digest for digest in now.previous if digest not in {release, *now.releases})
    return Standing(epoch=now.epoch + 1, baseline=release, previous=earlier, posture=posture)


def rolled_back(now: Standing, posture: str, release: str = "") -> tuple[Standing, str]:
    """Return the standing without a release, and the release that was withdrawn.

    A candidate leaves all traffic to the baseline. A baseline makes way for the one before it, and takes a candidate
    with it, whose analysis rests on it; where there is none before, nothing answers: the declared safe state.

    Args:
        now: The present standing.
        posture: The posture afterwards.
        release: What to withdraw; the candidate if there is one, else the baseline, if left out.

    Raises:
        Conflict: Nothing is in production, or not this release.
    """
    release = release or now.candidate or now.baseline
    if not release or release not in now.releases:
        raise Conflict(
            "the release is not in production", place=release, expected=" or ".join(now.releases) or "a release"
        )
    if release == now.candidate:
        return msgspec.structs.replace(without_candidate(now, "returned"), posture=posture), release
    target = now.previous[-1] if now.previous else ""
    after = Standing(epoch=now.epoch + 1, baseline=target, previous=now.previous[:-1], posture=posture)
    return after, now.baseline


def returned_to(now: Standing, release: str) -> Standing:
    """Return the standing with an earlier baseline back in place; what came after it is not gone back to any more.

    Raises:
        Conflict: The release is in production now, or never was.
    """
    if release == now.baseline:
        raise Conflict("this release is in production", place=release, remedy="Nothing needs to be done.")
    if release not in now.previous:
        expected = ", ".join(now.previous) or "none: there is no earlier release"
        raise Conflict("this release was not in production before", place=release, expected=expected)
    previous = now.previous[: now.previous.index(release)]
    return Standing(epoch=now.epoch + 1, baseline=release, previous=previous, posture=now.posture)


def renewed(now: Standing) -> Standing:
    """Return the same standing for a newer route table."""
    return msgspec.structs.replace(now, epoch=now.epoch + 1)
