"""Approvals and waivers: whose word counts, once, and what it can never cover."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.approval import Approvals, Waivers, check_waivers
from holdfast.core.artifact import Kind
from holdfast.core.authorship import AUTHORSHIP, same_person
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import exactly, failed
from holdfast.core.policy import Denial, Permit, parse_policy
from holdfast.testing.chronicle import AUTHOR, MADE_WITH, Chronicle, fulfil, measured
from holdfast.testing.memory import MemorySigner

FOUR_EYES = b"""
name = "four eyes"
version = 1
permit_lasts = "24h"
covers = 4

[derivation]
release = ["model", "project"]
model = ["project"]

[waivers]
role = "risk"
count = 2
longest = "10d"

[[rule]]
id = "quality"
because = "it must be right"
on = "model"
control = "assess.quality/1"
measure = "accuracy"
at_least = 0.9
fresh_within = "30d"
waivable = true

[[rule]]
id = "scan"
because = "it may carry no code"
on = "model"
control = "release.scan/1"
none_of = ["high", "critical"]

[[rule]]
id = "owner"
because = "a person answers for it"
approved_by = { role = "owner", not_author = true }

[[rule]]
id = "second"
because = "another person has looked at it"
approved_by = { role = ["reviewer", "security"], not_author = true }
"""
PERSONS = ("alice", "bob", "carol", "Mallory <mallory@example.org>")
MALLORY = PERSONS[-1]
ROLES = ("owner", "reviewer", "security", "risk")


class Gate:
    """A release that lacks nothing but approvals."""

    def __init__(self, policy: bytes = FOUR_EYES, *, but: tuple[str, ...] = ()) -> None:
        self.policy = policy
        self.chronicle = Chronicle(policy, persons=PERSONS, roles=ROLES)
        asking = policy.replace(b'approved_by = { role = "owner"', b'approved_by = { role = "nobody"')
        self.made = fulfil(self.chronicle, asking.replace(b'["reviewer", "security"]', b'["nobody"]'), but=but)
        self.release, self.model = self.made[Kind.RELEASE], self.made[Kind.MODEL]

    def says(self, person: str, role: str = "owner", **how: Any) -> None:
        """A person's approval."""
        self.chronicle.authorize(person, self.release, role=role, **how)

    def waive(self, person: str, rule: str = "quality", **how: Any) -> None:
        """A person's waiver."""
        said: dict[str, Any] = {"role": "risk", "lasts": timedelta(days=5)} | how
        self.chronicle.authorize(person, self.release, "waive", rule=rule, **said)

    def spoil(self) -> None:
        """A measurement below the bound."""
        self.chronicle.file(measured("assess.quality/1", self.model, exactly("accuracy", 0.5)))

    def decide(self, after: timedelta = timedelta()) -> Permit | Denial:
        """The decision, so much later."""
        return self.chronicle.decide(self.policy, self.release, now=self.chronicle.clock.now() + after)

    def denies(self, after: timedelta = timedelta()) -> set[str]:
        """The rules that deny; none for a permit."""
        found = self.decide(after)
        return {reason.rule for reason in found.reasons} if isinstance(found, Denial) else set()

    def words(self) -> str:
        """A denial in words."""
        found = self.decide()
        assert isinstance(found, Denial)
        return "; ".join(map(str, found.reasons))


@pytest.fixture
def gate() -> Gate:
    """A release that lacks its approvals."""
    return Gate()


@pytest.fixture
def approved(gate: Gate) -> Gate:
    """A release that lacks nothing."""
    gate.says("alice")
    gate.says("bob", "reviewer")
    assert gate.denies() == set()
    return gate


def test_two_persons_in_two_roles_approve(gate: Gate) -> None:
    """One of them is not enough; which of them came first does not matter."""
    assert gate.denies() == {"owner", "second"}
    gate.says("bob", "security")
    assert gate.denies() == {"owner"}
    gate.says("alice")
    assert gate.denies() == set()


@pytest.mark.guarantee("G33")
def test_nobody_approves_what_they_wrote(gate: Gate) -> None:
    """The author's approval does not count, by whatever of name and address the person is known here."""
    gate.says(MALLORY)
    gate.says("bob", "reviewer")
    assert gate.denies() == {"owner"}
    assert "wrote the training code" in gate.words()


@pytest.mark.guarantee("G33")
def test_one_person_in_two_roles_is_one_person(gate: Gate) -> None:
    """Somebody who holds every role cannot be both the owner and the second pair of eyes."""
    gate.says("alice")
    gate.says("alice", "reviewer")
    assert len(gate.denies() & {"owner", "second"}) == 1
    assert "one person takes one seat" in gate.words()
    gate.says("carol", "owner")  # alice then reviews
    assert gate.denies() == set()


@pytest.mark.guarantee("G33")
def test_one_person_with_two_keys_is_one_person(gate: Gate) -> None:
    """A threshold counts persons: a second key of the same owner adds nobody."""
    second = MemorySigner("person", owner="another key", start=gate.chronicle.start - timedelta(days=1))
    second.public = msgspec.structs.replace(second.public, owner="alice")
    gate.chronicle.signers["alice's other"] = second
    trust = gate.chronicle.trust
    gate.chronicle.trust = msgspec.structs.replace(trust, keys=(*trust.keys, second.public))
    gate.says("alice")
    gate.says("alice", "security", signer="alice's other")
    assert len(gate.denies() & {"owner", "second"}) == 1


@pytest.mark.guarantee("G33")
@pytest.mark.parametrize("known", ["nothing", "nobody named", "unreadable", "failed"])
def test_unknown_authorship_lets_nobody_approve(known: str) -> None:
    """Where nobody can tell who wrote it, nobody can be told not to have."""
    gate = Gate(but=(AUTHORSHIP,))
    match known:
        case "nobody named":
            gate.chronicle.wrote(gate.model, "alice", known=0)
        case "unreadable":
            gate.chronicle.file(measured(AUTHORSHIP, gate.model, exactly("known", 1), facts={"authors": "Mallory"}))
        case "failed":
            gate.chronicle.file(failed(AUTHORSHIP, gate.model.digest, Kind.MODEL, MADE_WITH, "git crashed"))
        case _:
            pass
    gate.says("alice")
    gate.says("bob", "reviewer")
    assert gate.denies() == {"owner", "second"}
    assert "not on record" in gate.words()


def test_a_later_author_is_an_author_too(approved: Gate) -> None:
    """Evidence that somebody else wrote it as well takes that person's seat; nobody leaves the list."""
    approved.chronicle.wrote(approved.model, "Bob <bob@example.org>")
    assert approved.denies() == {"second"}
    approved.chronicle.wrote(approved.model, "carol")
    assert approved.denies() == {"second"}


def test_an_expired_approval_is_none(approved: Gate) -> None:
    """The permit ends with the first approval that it needs, and then the denial says whose ended."""
    before = approved.decide()
    assert isinstance(before, Permit)
    approved.says("carol", "security", lasts=timedelta(minutes=5))
    after = approved.decide()
    assert isinstance(after, Permit)
    assert after.expires == before.expires  # a short approval beside a long one shortens nothing
    assert approved.denies(after=timedelta(days=30)) >= {"owner", "second"}


def test_an_approval_of_another_release_is_none(gate: Gate) -> None:
    """A word is about one digest: filed in another release's history it makes that history unreadable."""
    other = gate.chronicle.record(Kind.RELEASE, gate.model, gate.made[Kind.PROJECT], content=b"other")
    gate.chronicle.authorize("alice", other)
    gate.chronicle.authorize("bob", other, role="reviewer")
    assert gate.denies() == {"owner", "second"}
    envelope = gate.chronicle.authorize("alice", other)
    gate.chronicle.write("authorization.filed", gate.release.digest, {"envelope": envelope})
    with pytest.raises(NotVerified, match="about something else"):
        gate.decide()


def test_an_approval_by_a_revoked_key_counts_for_nothing(approved: Gate) -> None:
    """Nothing that a revoked key ever signed is believed."""
    assert approved.denies() == set()
    approved.chronicle.distrust(approved.chronicle.signers["bob"].keyid)
    assert approved.denies() == {"second"}


@given(
    given_by=st.lists(
        st.tuples(st.sampled_from(PERSONS), st.sampled_from(ROLES), st.integers(1, 40)), max_size=6, unique=True
    )
)
def test_seats_are_filled_if_and_only_if_they_can_be(given_by: list[tuple[str, str, int]]) -> None:
    """Against the plain meaning: some two distinct persons, none the author, one an owner, one of the second roles.

    And the permit ends no earlier than the best such pair.
    """
    gate = Gate()
    for person, role, days in given_by:
        gate.says(person, role, lasts=timedelta(days=days, hours=1))
    pairs = [
        min(one[2], two[2])
        for one in given_by
        for two in given_by
        if one[0] != two[0]
        and MALLORY not in {one[0], two[0]}
        and one[1] == "owner"
        and two[1] in {"reviewer", "security"}
    ]
    found = gate.decide()
    assert isinstance(found, Permit) == bool(pairs)
    for after in range(0, 41, 5) if pairs else ():
        later = gate.denies(after=timedelta(days=after)) & {"owner", "second"}
        assert bool(later) == (after > max(pairs))


# Waivers


@pytest.mark.guarantee("G34")
def test_a_waiver_covers_the_named_rule_until_it_ends(approved: Gate) -> None:
    """Two persons of the role, neither the author: the permit names what was waived and ends with the waiver."""
    approved.spoil()
    assert approved.denies() == {"quality"}
    approved.waive("alice")
    assert approved.denies() == {"quality"}
    approved.waive("carol", lasts=timedelta(hours=3))
    found = approved.decide()
    assert isinstance(found, Permit)
    assert found.waived == ("quality",)
    assert found.expires == approved.chronicle.clock.now() + timedelta(hours=3)
    assert approved.denies(after=timedelta(hours=3)) == {"quality"}


@pytest.mark.guarantee("G34")
@pytest.mark.parametrize(
    "how",
    [
        {"role": "owner"},
        {"rule": "scan"},
        {"rule": "quality "},
        {"lasts": timedelta(days=11)},
    ],
    ids=str,
)
def test_a_waiver_that_does_not_fit_covers_nothing(approved: Gate, how: dict[str, Any]) -> None:
    """Another role, another rule, or more time than the policy allows."""
    approved.spoil()
    approved.waive("alice")
    approved.waive("carol", **how)
    assert approved.denies() == {"quality"}


@pytest.mark.guarantee("G34")
def test_an_author_waives_nothing(approved: Gate) -> None:
    """The author's word is not part of the quorum."""
    approved.spoil()
    approved.waive("alice")
    approved.waive(MALLORY)
    assert approved.denies() == {"quality"}


@pytest.mark.guarantee("G34")
def test_an_approval_is_no_waiver_and_a_waiver_no_approval(gate: Gate) -> None:
    """Each word says one thing."""
    gate.spoil()
    for person in ("alice", "carol"):
        gate.says(person, "risk", rule="quality")
        gate.waive(person, "owner", role="owner")
    assert gate.denies() == {"quality", "owner", "second"}


@pytest.mark.guarantee("G34")
@pytest.mark.parametrize("id_", ["scan", "owner", "second"])
def test_what_is_not_waivable_stays(approved: Gate, id_: str) -> None:
    """Everybody waives a rule that does not say that it can be waived, and the precondition of its name."""
    for person in PERSONS:
        approved.waive(person, id_)
    approved.chronicle.authorize("bob", approved.release, "reject")
    approved.chronicle.file(failed("release.scan/1", approved.model.digest, Kind.MODEL, MADE_WITH, "it crashed"))
    assert id_ in approved.denies()


SPOILED: dict[str, Callable[[Gate], Any]] = {
    "revoked": lambda made: made.chronicle.revoke(made.model),
    "completeness": lambda made: made.chronicle.begin("assess.quality/1", made.model, "lost"),
    "derivation": lambda made: made.chronicle.record(Kind.RELEASE, made.chronicle.record(Kind.MODEL, content=b"x")),
    "policy": lambda made: setattr(made.chronicle, "trust", msgspec.structs.replace(made.chronicle.trust, policies=())),
}


@pytest.mark.guarantee("G34")
@pytest.mark.parametrize("rule", SPOILED)
def test_revocation_derivation_completeness_and_policy_cannot_be_waived(approved: Gate, rule: str) -> None:
    """Whoever waives them, by their names, covers nothing: these are not rules of a policy."""
    for person in PERSONS:
        approved.waive(person, rule)
    SPOILED[rule](approved)
    if rule == "derivation":  # a second release cannot be this one; its own parents are incomplete
        approved.chronicle.record(Kind.RELEASE, approved.chronicle.record(Kind.MODEL, content=b"x"))
    assert rule in approved.denies()


WORDS: dict[str, Callable[[Gate], Any]] = {
    "approval": lambda made: made.says("alice"),
    "second approval": lambda made: made.says("bob", "reviewer"),
    "waiver": lambda made: made.waive("alice"),
    "second waiver": lambda made: made.waive("carol"),
    "waiver of the scan": lambda made: made.waive("alice", "scan"),
    "second waiver of the scan": lambda made: made.waive("carol", "scan"),
    "good": lambda made: made.chronicle.file(measured("assess.quality/1", made.model, exactly("accuracy", 0.95))),
}
NEWS: dict[str, Callable[[Gate], Any]] = {
    "worse": Gate.spoil,
    "failed": lambda made: made.chronicle.file(
        failed("assess.quality/1", made.model.digest, Kind.MODEL, MADE_WITH, "it crashed")
    ),
    "failed scan": lambda made: made.chronicle.file(
        failed("release.scan/1", made.model.digest, Kind.MODEL, MADE_WITH, "it crashed")
    ),
    "revoked": SPOILED["revoked"],
    "unfinished": SPOILED["completeness"],
    "policy": SPOILED["policy"],
    "rejected": lambda made: made.chronicle.authorize("carol", made.release, "reject"),
    "alice wrote it": lambda made: made.chronicle.wrote(made.model, "alice"),
    "nobody knows who wrote it": lambda made: made.chronicle.wrote(made.model, known=0),
}


@pytest.mark.guarantee("G05")
@given(
    history=st.lists(st.sampled_from(sorted(WORDS)) | st.sampled_from(sorted(NEWS)), max_size=6),
    news=st.lists(st.sampled_from(sorted(NEWS)), min_size=1, max_size=3),
)
def test_under_the_same_waivers_bad_news_never_turns_a_denial_into_a_permit(
    history: list[str], news: list[str]
) -> None:
    """Persons' words are no news: whatever they said before, what is bad only adds reasons."""
    made = Gate()
    for name in history:
        (WORDS | NEWS)[name](made)
    before = made.denies()
    for name in news:
        NEWS[name](made)
        after = made.denies()
        assert before <= after or before - after <= {"owner", "second"}  # another of the two seats may stay empty
        assert bool(after) >= bool(before)
        before = after


@pytest.mark.parametrize(
    "change",
    [
        (b'control = "release.scan/1"', b'waivable = true\ncontrol = "release.signature/1"'),
        (b'none_of = ["high", "critical"]', b'waivable = true\nsigned_by = "release"'),
        (b'because = "a person answers for it"', b'because = "x"\nwaivable = true'),
        (b'control = "assess.quality/1"', b'control = "ingest.provenance/2"'),
        (b"count = 2", b"count = 0"),
        (b'longest = "10d"', b'longest = "for ever"'),
        (b'role = "risk"', b"role = []"),
        (b"covers = 4", b"covers = 5"),
        (b'role = ["reviewer", "security"]', b"role = []"),
    ],
    ids=lambda pair: pair[1].decode()[:40],
)
def test_a_policy_that_would_waive_too_much_is_refused(change: tuple[bytes, bytes]) -> None:
    """Signatures, provenance and approvals are never waivable, and waivers take persons and end."""
    assert change[0] in FOUR_EYES
    with pytest.raises(InvalidInput):
        parse_policy(FOUR_EYES.replace(*change))


def test_waivers_need_a_quorum_unless_the_policy_says_otherwise() -> None:
    """Two persons, where nothing is said."""
    check_waivers(Waivers(role="risk"), "here")
    assert Waivers(role="risk").count == 2
    assert Approvals(role=("a", "b")).roles == ("a", "b")


# Tiers


@pytest.mark.guarantee("G35")
@pytest.mark.parametrize(("tier", "covers", "permitted"), [(1, 1, True), (2, 1, False), (3, 3, True), (4, 3, False)])
def test_a_policy_decides_only_about_tiers_that_it_is_strict_enough_for(
    tier: int, covers: int, permitted: bool
) -> None:
    """A project's signed control tier says which policy is the least it may name."""
    gate = Gate(FOUR_EYES.replace(b"covers = 4", b"covers = %d" % covers))
    gate.says("alice")
    gate.says("bob", "reviewer")
    gate.chronicle.file(measured("plan.tier/1", gate.made[Kind.PROJECT], exactly("tier", tier)))
    assert gate.denies() == (set() if permitted else {"tier"})


@pytest.mark.guarantee("G35")
def test_a_project_without_a_tier_is_for_the_strictest_policy(approved: Gate) -> None:
    """No tier on record: only a policy for every tier may decide."""
    assert approved.denies() == set()
    lax = Gate(FOUR_EYES.replace(b"covers = 4", b""))
    lax.says("alice")
    lax.says("bob", "reviewer")
    assert lax.denies() == {"tier"}


# Who is who


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Ada <ada@example.org>", "ada lovelace <ADA@Example.org>", True),
        ("Ada  Lovelace", "ada lovelace <x@example.org>", True),
        ("ada", "Ada Lovelace <ada@example.org>", True),
        ("ada@example.org", "Ada Lovelace <ada@example.org>", True),
        ("Ada Lovelace <home@example.net>", "Ada Lovelace <work@example.org>", True),
        ("Ada <ada@example.org>", "Bob <bob@example.org>", False),
        ("ada", "Bob <bob@ada.org>", False),
        ("", "", False),
    ],
)
def test_persons_are_recognised_by_name_or_address(one: str, other: str, same: bool) -> None:
    """Case and spacing make no difference; a doubt makes somebody an author."""
    assert same_person(one, other) is same
    assert same_person(other, one) is same


def test_the_author_of_the_shipped_chronicle_is_nobody_of_the_persons() -> None:
    """Else every test above would show less than it says."""
    assert not any(same_person(person, AUTHOR) for person in PERSONS[:3])
