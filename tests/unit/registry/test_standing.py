"""How an endpoint stands after any sequence of promotions, canaries and returns."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import Conflict
from holdfast.registry import Standing, promoted, renewed, rolled_back, with_candidate, without_candidate

RELEASES = ("a", "b", "c")
steps = st.lists(
    st.tuples(st.sampled_from(["promote", "try", "give up", "roll back", "renew"]), st.sampled_from(RELEASES)),
    max_size=30,
)


def after(now: Standing, step: str, release: str) -> Standing:
    """One thing that may happen to an endpoint."""
    match step:
        case "promote":
            return promoted(now, release)
        case "try":
            return with_candidate(now, release, 0.1, "step-0")
        case "give up":
            return without_candidate(now, "returned")
        case "renew":
            return renewed(now)
        case _:
            return rolled_back(now, "contained")[0]


@given(steps)
def test_whatever_happens_an_endpoint_stands_in_one_piece(happened: list[tuple[str, str]]) -> None:
    """The epoch rises by one each time, nothing answers in two roles, and nothing that answers is also gone back to."""
    now = Standing()
    for step, release in happened:
        try:
            following = after(now, step, release)
        except Conflict:
            continue
        assert following.epoch == now.epoch + 1
        assert following.candidate == "" or following.candidate != following.baseline
        assert (following.share > 0) == bool(following.candidate)
        assert following.baseline not in following.previous
        assert len(set(following.previous)) == len(following.previous)
        assert following.baseline or not following.candidate
        now = following


@given(steps)
def test_a_rollback_withdraws_what_answers_and_never_goes_back_to_it(happened: list[tuple[str, str]]) -> None:
    """The withdrawn release answers no longer, and later rollbacks do not come back to it."""
    now = Standing()
    for step, release in happened:
        try:
            now = after(now, step, release)
        except Conflict:
            continue
    if not now.baseline:
        with pytest.raises(Conflict):
            rolled_back(now, "contained")
        return
    following, withdrawn = rolled_back(now, "contained")
    assert withdrawn in now.releases
    assert withdrawn not in following.releases
    if withdrawn == now.baseline:
        assert withdrawn not in following.previous


def test_a_rollback_of_something_that_does_not_answer_is_refused() -> None:
    """By name, too."""
    now = promoted(promoted(Standing(), "a"), "b")
    with pytest.raises(Conflict, match="not in production"):
        rolled_back(now, "contained", "a")


def test_a_baseline_takes_its_candidate_with_it() -> None:
    """The candidate's analysis rests on the baseline."""
    now = with_candidate(promoted(promoted(Standing(), "a"), "b"), "c", 0.1, "step-0")
    following, withdrawn = rolled_back(now, "contained", "b")
    assert (withdrawn, following.baseline, following.candidate) == ("b", "a", "")


def test_promoting_what_answers_already_keeps_the_way_back() -> None:
    """A second promotion of the same release does not make it its own predecessor."""
    now = promoted(promoted(promoted(Standing(), "a"), "b"), "b")
    assert (now.baseline, now.previous) == ("b", ("a",))


def test_a_canary_of_what_answers_already_is_refused() -> None:
    """There is nothing to compare."""
    with pytest.raises(Conflict, match="already in production"):
        with_candidate(promoted(Standing(), "a"), "a", 0.1, "step-0")
