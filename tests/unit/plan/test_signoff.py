"""Approvals that name what they are about: one is never taken for another, and only a signed fact excuses one."""

import pytest

from holdfast.core.artifact import Kind
from holdfast.core.evidence import exactly
from holdfast.core.policy import Denial, Permit
from holdfast.testing.chronicle import Chronicle, fulfil, measured

FILES = exactly("files", 1)
RULES = b"""
name = "reviewed"
version = 1
covers = 4
permit_lasts = "1h"
[derivation]
release = ["project"]
[[rule]]
id = "package"
because = "a release is a package"
control = "release.package/1"
measure = "files"
at_least = 1
[[rule]]
id = "approval"
because = "a person answers"
approved_by = { role = "owner" }
[[rule]]
id = "signoff.design"
because = "it was reviewed"
approved_by = { role = "owner", rule = "signoff.design" }
not_applicable_if = "signoff=none"
"""


class Told:
    """A release that is a package, and what is said of it."""

    def __init__(self, policy: bytes = RULES, *facts: str) -> None:
        self.policy = policy
        self.chronicle = Chronicle(policy, persons=("ada", "bob", "cara"), roles=("owner",))
        self.project = self.chronicle.record(Kind.PROJECT)
        self.release = self.chronicle.record(Kind.RELEASE, self.project)
        made = measured("release.package/1", self.release, FILES)
        self.chronicle.file(made)
        for fact in facts:
            item = measured("plan.tier/1", self.project, FILES, facts={"signoff": fact})
            self.chronicle.file(item)

    def decided(self) -> set[str]:
        """The rules that deny; none for a permit."""
        decision = self.chronicle.decide(self.policy, self.release)
        if isinstance(decision, Permit):
            return set()
        assert isinstance(decision, Denial)
        return {reason.rule for reason in decision.reasons}


def test_a_word_about_one_thing_is_not_taken_for_another() -> None:
    """The approval of a release is no review, and a review no approval."""
    told = Told()
    assert told.decided() == {"approval", "signoff.design"}
    told.chronicle.authorize("ada", told.release)
    assert told.decided() == {"signoff.design"}
    told.chronicle.authorize("ada", told.release, rule="signoff.pipeline")
    assert told.decided() == {"signoff.design"}
    told.chronicle.authorize("bob", told.release, rule="signoff.design")
    assert told.decided() == set()


@pytest.mark.parametrize(
    ("facts", "denied"),
    [((), True), (("none",), False), (("required",), True), (("none", "required"), True), (("required", "none"), True)],
)
def test_only_a_signed_fact_excuses_a_review(facts: tuple[str, ...], denied: bool) -> None:
    """Silence excuses nothing, and neither do two statements that contradict each other."""
    told = Told(RULES, *facts)
    told.chronicle.authorize("ada", told.release)
    assert ("signoff.design" in told.decided()) is denied


def test_a_rejection_counts_whatever_it_is_about() -> None:
    """Bad news turns no denial into a permit, and a permit into a denial."""
    told = Told()
    told.chronicle.authorize("ada", told.release)
    told.chronicle.authorize("ada", told.release, rule="signoff.design")
    assert told.decided() == set()
    told.chronicle.authorize("bob", told.release, "reject", rule="signoff.runtime")
    assert told.decided() == {"approval", "signoff.design"}


def test_the_excuse_of_a_control_excuses_no_person() -> None:
    """A rule that asks for a measurement and a word asks for the word also where the measurement does not apply."""
    mixed = RULES.replace(
        b"at_least = 1\n",
        b'at_least = 1\nnot_applicable_if = "signoff=none"\napproved_by = { role = "owner", count = 2 }\n',
        1,
    )
    told = Told(mixed, "none")
    told.chronicle.authorize("ada", told.release)
    assert told.decided() == {"approval", "package"}
    told.chronicle.authorize("bob", told.release)
    assert told.decided() == {"approval"}  # three persons are asked for in all, and each takes one seat
    told.chronicle.authorize("cara", told.release)
    assert told.decided() == set()


def test_the_whole_example_of_words_is_fulfilled_by_the_chronicle() -> None:
    """The test kit gives each word that a policy asks for, in the words that it asks for."""
    chronicle = Chronicle(RULES)
    made = fulfil(chronicle, RULES)
    assert isinstance(chronicle.decide(RULES, made[Kind.RELEASE]), Permit)
