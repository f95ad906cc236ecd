"""Policies: what is missing, stale, failed or bad denies, and no bad news ever turns a denial into a permit."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core import policy as policies
from holdfast.core.artifact import Artifact, Kind, digest_bytes
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import Evidence, Finding, Measure, Outcome, Severity, exactly, failed
from holdfast.core.passport import current
from holdfast.core.policy import Action, Denial, Permit, Policy, Request, decide, parse_policy, seconds
from holdfast.core.prohibition import MAX_CEL
from holdfast.testing.chronicle import MADE_WITH, Chronicle, fulfil, measured

BASELINE = (Path(__file__).parents[2] / "policies" / "baseline.toml").read_bytes()
SMALL = b"""
name = "small"
version = 1
covers = 4
permit_lasts = "24h"

[derivation]
release = ["model", "project"]
model = ["project"]

[[rule]]
id = "tier"
because = "it follows from a recorded decision"
on = "project"
control = "plan.tier/1"
measure = "tier"
at_least = 1

[[rule]]
id = "quality"
because = "it must be right"
on = "model"
control = "assess.quality/1"
measure = "accuracy"
at_least = 0.9
fresh_within = "30d"

[[rule]]
id = "scan"
because = "it may carry no code"
on = "model"
control = "release.scan/1"
none_of = ["high", "critical"]

[[rule]]
id = "fairness"
because = "it must be fair"
on = "model"
control = "assess.fairness/1"
measure = "gap"
at_most = 0.2
not_applicable_if = "protected=none"

[[rule]]
id = "owner"
because = "a person answers for it"
approved_by = { role = "owner", count = 1 }
"""


def reasons(decision: Permit | Denial) -> set[str]:
    """The rules that a denial names; empty for a permit."""
    return {reason.rule for reason in decision.reasons} if isinstance(decision, Denial) else set()


def words(decision: Permit | Denial) -> str:
    """A denial in words."""
    assert isinstance(decision, Denial)
    return "; ".join(map(str, decision.reasons))


class Case:
    """A release under the small policy, good in every way until a test says otherwise."""

    def __init__(
        self, policy: bytes = SMALL, *, but: tuple[str, ...] = (), persons: tuple[str, ...] = ("alice", "bob")
    ) -> None:
        self.policy = policy
        self.chronicle = Chronicle(policy, persons=persons)
        self.made = fulfil(self.chronicle, policy, but=but)
        self.model, self.release, self.project = (self.made[kind] for kind in (Kind.MODEL, Kind.RELEASE, Kind.PROJECT))

    def decide(self, action: Action = Action.PROMOTE, *, after: timedelta = timedelta()) -> Permit | Denial:
        """The decision, so much later."""
        return self.chronicle.decide(self.policy, self.release, action=action, now=self.chronicle.clock.now() + after)

    def denied(self) -> dict[Action, set[str]]:
        """The rules that deny each action now, over one dossier."""
        rules, digest = parse_policy(self.policy)
        dossier, now = self.chronicle.dossier(self.release), self.chronicle.clock.now()
        requests = [Request(action=action, environment="production", now=now, nonce="nonce") for action in Action]
        return {request.action: reasons(decide(rules, digest, dossier, request)) for request in requests}

    def permit(self, action: Action = Action.PROMOTE, *, after: timedelta = timedelta()) -> Permit:
        """The decision, which must be a permit."""
        decision = self.decide(action, after=after)
        assert isinstance(decision, Permit), words(decision)
        return decision

    def quality(self, low: float, value: float = 0.95, high: float = 1.0) -> None:
        """Another measurement of quality."""
        measure = Measure(name="accuracy", value=value, low=low, high=high, n=100)
        self.chronicle.file(measured("assess.quality/1", self.model, measure))

    def fail(self, control: str = "assess.quality/1") -> None:
        """A control that crashed."""
        self.chronicle.file(failed(control, self.model.digest, self.model.kind, MADE_WITH, "out of memory"))

    def excuse(self, control: str = "assess.fairness/1") -> None:
        """A control that says it does not apply."""
        excused = failed(control, self.model.digest, self.model.kind, MADE_WITH, "no protected column")
        self.chronicle.file(msgspec.structs.replace(excused, outcome=Outcome.NOT_APPLICABLE))

    def state(self, protected: str, control: str = "plan.tier/1", *, on: Artifact | None = None) -> None:
        """The plan states which columns are protected."""
        item = measured(control, on or self.project, exactly("tier", 2), facts={"protected": protected})
        self.chronicle.file(item)

    def find(self, severity: Severity) -> None:
        """A scan that found something."""
        found = Finding(place="model.onnx", severity=severity, rule="op", message="a foreign operator")
        self.chronicle.file(measured("release.scan/1", self.model, exactly("files", 1), findings=(found,)))


@pytest.fixture
def case() -> Case:
    """A release that is permitted."""
    made = Case()
    made.permit()
    return made


# Empty, missing, unknown


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize(
    "policy",
    [
        Policy(name="empty", version=1, permit_lasts="1h", derivation={}, rule=()),
        Policy(name="no rule", version=1, permit_lasts="1h", derivation={Kind.RELEASE: (Kind.MODEL,)}, rule=()),
        msgspec.structs.replace(parse_policy(SMALL)[0], derivation={}),
    ],
    ids=lambda policy: policy.name,
)
def test_an_empty_policy_denies(case: Case, policy: Policy) -> None:
    """A policy that asks for nothing allows nothing, also where the root keys accept it."""
    request = Request(action=Action.PROMOTE, environment="e", now=case.chronicle.start, nonce="1")
    decision = decide(policy, digest_bytes(SMALL), case.chronicle.dossier(case.release), request)
    assert "empty" in reasons(decision)


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize("control", sorted({rule.control for rule in parse_policy(BASELINE)[0].rule if rule.control}))
def test_a_missing_control_denies(control: str) -> None:
    """Under the shipped policy each control is needed: where it left nothing, the release is denied and told so."""
    lacking = Case(BASELINE, but=(control,)).decide()
    assert reasons(lacking) == {rule.id for rule in parse_policy(BASELINE)[0].rule if rule.control == control}
    assert f"{control} has left no evidence" in words(lacking)


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize("kind", sorted(parse_policy(BASELINE)[0].derivation))
def test_a_missing_edge_denies(kind: Kind) -> None:
    """Where an artifact does not derive from what its kind must derive from, the release is denied."""
    chronicle = Chronicle(BASELINE)
    rules, _ = parse_policy(BASELINE)
    shorter = {other: parents for other, parents in rules.derivation.items() if other is not kind}
    made = fulfil(chronicle, b"".join([HEAD, *map(derivation, shorter.items())]))
    for wanted in (*rules.derivation[kind],):
        assert re.search(f"{kind} \\S+ has no recorded {wanted}", words(chronicle.decide(BASELINE, made[Kind.RELEASE])))


HEAD = b'name = "n"\nversion = 1\npermit_lasts = "1h"\nrule = []\n[derivation]\n'


def derivation(item: tuple[Kind, tuple[Kind, ...]]) -> bytes:
    """One line of a policy's derivation."""
    return f"{item[0]} = {[str(kind) for kind in item[1]]}\n".encode()


@pytest.mark.guarantee("G04")
def test_a_policy_that_the_root_keys_did_not_accept_denies(case: Case) -> None:
    """Rules of one's own permit nothing: their digest must stand in the trust."""
    foreign = SMALL.replace(b"0.9", b"0.1")
    decision = case.chronicle.decide(foreign, case.release)
    assert reasons(decision) == {"policy"}
    assert "not one the root keys accept" in words(decision)


@pytest.mark.guarantee("G04")
def test_expired_trust_denies(case: Case) -> None:
    """From the moment the trust document ends nothing is permitted under it, also no rollback."""
    left = case.chronicle.trust.expires - case.chronicle.start
    case.chronicle.authorize("alice", case.release, lasts=2 * left)
    case.permit(Action.ROLLBACK, after=left - timedelta(microseconds=1))
    for action in Action:
        assert "trust" in reasons(case.decide(action, after=left))


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize("kind", [Kind.MODEL, Kind.PROJECT])
def test_only_a_release_is_permitted(case: Case, kind: Kind) -> None:
    """A model is not served as it is; and one that derives from a release does not borrow that release's approvals."""
    assert "subject" in reasons(case.chronicle.decide(SMALL, case.made[kind]))
    child = case.chronicle.record(Kind.MODEL, case.release, case.project, content=b"fine-tuned")
    for item in (
        measured("assess.quality/1", child, exactly("accuracy", 1)),
        measured("release.scan/1", child, exactly("f", 1)),
    ):
        case.chronicle.file(item)
    case.chronicle.file(measured("assess.fairness/1", child, exactly("gap", 0)))
    assert reasons(case.chronicle.decide(SMALL, child)) == {"subject"}


# Measures and their bounds


@pytest.mark.guarantee("G04")
@given(low=st.floats(0, 1), above=st.floats(0, 1), beyond=st.floats(0, 1))
def test_the_bound_of_the_interval_is_compared_not_the_value(low: float, above: float, beyond: float) -> None:
    """`at_least` looks at the lower bound and `at_most` at the upper one: luck with a small sample is no pass."""
    value = low + above
    made = Case(but=("assess.quality/1", "assess.fairness/1"))
    made.quality(low, value, value + beyond)
    interval = Measure(name="gap", value=value, low=low, high=value + beyond, n=7)
    made.chronicle.file(measured("assess.fairness/1", made.model, interval))
    wanted = ({"quality"} if low < 0.9 else set()) | ({"fairness"} if value + beyond > 0.2 else set())
    assert reasons(made.decide()) == wanted


@pytest.mark.guarantee("G04")
def test_a_measure_that_is_not_reported_denies(case: Case) -> None:
    """A control that ran and left out the very number the rule asks for has not answered."""
    made = Case(but=("assess.quality/1",))
    made.chronicle.file(measured("assess.quality/1", made.model, exactly("accuracy_of_something", 1)))
    assert "does not report accuracy" in words(made.decide())


@pytest.mark.guarantee("G05")
@given(values=st.lists(st.sampled_from([0.5, 0.89, 0.9, 0.95]), min_size=1, max_size=5))
def test_the_worst_measurement_counts(values: list[float]) -> None:
    """Measuring again until a number fits does not help: every measurement stands, in whatever order."""
    made = Case(but=("assess.quality/1",))
    for value in values:
        made.quality(value)
    assert reasons(made.decide()) == ({"quality"} if min(values) < 0.9 else set())


@pytest.mark.guarantee("G04")
@given(history=st.lists(st.sampled_from(["failed", "good", "bad"]), min_size=1, max_size=5))
def test_a_failure_is_superseded_by_a_later_result_only(history: list[str]) -> None:
    """What crashed may be run again; what was measured before the crash does not make up for it."""
    made = Case(but=("assess.quality/1",))
    for outcome in history:
        made.fail() if outcome == "failed" else made.quality(0.95 if outcome == "good" else 0.5)
    denied = "bad" in history or history[-1] == "failed"
    assert made.denied()[Action.PROMOTE] == ({"quality"} if denied else set())
    counted = current(made.chronicle.dossier(made.release).nodes[made.model.digest], "assess.quality/1")
    last = max((place for place, outcome in enumerate(history) if outcome != "failed"), default=-1)
    assert len(counted) == sum(outcome != "failed" or place > last for place, outcome in enumerate(history))


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize("severity", Severity)
def test_a_finding_of_a_forbidden_severity_denies(case: Case, severity: Severity) -> None:
    """The rule names severities; a finding of one of them denies and is told with its place, whatever else is fine."""
    case.find(severity)
    decision = case.decide()
    assert reasons(decision) == ({"scan"} if severity in {Severity.HIGH, Severity.CRITICAL} else set())
    if isinstance(decision, Denial):
        assert f"the worst {severity}: a foreign operator at model.onnx" in words(decision)


# Not applicable


@pytest.mark.guarantee("G04")
def test_not_applicable_denies_without_a_signed_property() -> None:
    """That a control does not apply is believed only where the plan has signed the property that makes it so."""
    made = Case(but=("assess.fairness/1",))
    made.excuse()
    assert "no signed property of the project excuses it" in words(made.decide())
    made.state("none")
    made.permit()


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize("also", ["age", "none, age", "", "None"])
def test_two_plans_that_disagree_excuse_nothing(also: str) -> None:
    """A second statement with another value takes the excuse away, whichever came first."""
    for order in (("none", also), (also, "none")):
        made = Case(but=("assess.fairness/1",))
        made.excuse()
        for protected in order:
            made.state(protected)
        assert reasons(made.decide()) == {"fairness"}


@pytest.mark.guarantee("G03")
def test_nobody_but_the_plan_states_a_property_of_the_project() -> None:
    """Facts about the model or release, by whichever stage, excuse nothing: they are no property of the project."""
    made = Case(but=("assess.fairness/1",))
    made.excuse()
    facts = {"protected": "none", "plan.tier/1:protected": "none"}
    made.chronicle.file(measured("assess.quality/1", made.model, exactly("accuracy", 0.95), facts=facts))
    made.chronicle.file(measured("release.package/1", made.release, exactly("files", 1), facts=facts))
    made.chronicle.file(measured("registry.thing/1", made.release, exactly("files", 1), facts=facts))
    assert reasons(made.decide()) == {"fairness"}


@pytest.mark.guarantee("G04")
def test_every_project_in_the_closure_must_state_the_property() -> None:
    """A second project, from which part of the release derives, is asked too; its silence is no consent."""
    made = Case(but=("assess.fairness/1",))
    made.excuse()
    made.state("none")
    made.permit()
    second = made.chronicle.record(Kind.PROJECT, content=b"another project")
    made.chronicle.record(Kind.RELEASE, made.model, second)
    made.chronicle.file(measured("plan.tier/1", second, exactly("tier", 1)))
    assert reasons(made.decide()) == {"fairness"}
    made.state("none", on=second)
    made.permit()


@pytest.mark.guarantee("G04")
def test_only_the_rule_that_says_so_excuses() -> None:
    """A rule without `not_applicable_if` takes no excuse, and an excuse needs a project at all."""
    made = Case(but=("assess.quality/1",))
    made.excuse("assess.quality/1")
    made.state("none")
    assert reasons(made.decide()) == {"quality"}


@pytest.mark.guarantee("G05")
def test_an_excuse_does_not_hide_an_earlier_measurement() -> None:
    """Once measured, a control applies: a later "not applicable" does not take the bad number back."""
    made = Case(but=("assess.fairness/1",))
    made.state("none")
    made.chronicle.file(measured("assess.fairness/1", made.model, exactly("gap", 0.9)))
    made.excuse()
    assert reasons(made.decide()) == {"fairness"}


def test_a_crash_before_an_excuse_does_not_bind_a_project_for_ever() -> None:
    """A run that was killed leaves `failed` for each control; where one does not apply, its next run says so."""
    made = Case(but=("assess.fairness/1",))
    made.state("none")
    made.fail("assess.fairness/1")
    assert reasons(made.decide()) == {"fairness"}
    made.excuse()
    made.permit()


# Age


@pytest.mark.guarantee("G04")
def test_stale_evidence_denies_and_is_excused_for_a_rollback_only(case: Case) -> None:
    """After thirty days quality must be measured again to promote or serve; going back must be possible at any time."""
    case.chronicle.authorize("alice", case.release, lasts=timedelta(days=99))
    last = timedelta(days=30) - timedelta(microseconds=1)
    for action in set(Action) - {Action.ADMIT}:  # which speaks of what comes from outside
        case.permit(action, after=last)
    late = timedelta(days=30)
    for action in (Action.PROMOTE, Action.SERVE):
        assert "assess.quality/1 is older than 30d" in words(case.decide(action, after=late))
    case.permit(Action.ROLLBACK, after=late)


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize("news", ["finding", "bound", "failure", "revoked", "rejected", "unfinished", "unapproved"])
def test_a_rollback_excuses_nothing_but_age(case: Case, news: str) -> None:
    """A release with a finding, a bad number, a failure, a revocation or a rejection is nowhere to go back to."""
    after = timedelta(days=29)
    match news:
        case "finding":
            case.find(Severity.HIGH)
        case "bound":
            case.quality(0.5)
        case "failure":
            case.fail()
        case "revoked":
            case.chronicle.revoke(case.model)
        case "rejected":
            case.chronicle.authorize("bob", case.release, "reject")
        case "unfinished":
            case.chronicle.begin("assess.quality/1", case.model, "1")
        case "unapproved":
            after = timedelta(days=31)
    assert isinstance(case.decide(Action.ROLLBACK, after=after), Denial)


def test_measuring_again_makes_fresh_and_forgets_nothing(case: Case) -> None:
    """Age is that of the newest result; the older ones still count for what they measured."""
    case.chronicle.authorize("alice", case.release, lasts=timedelta(days=99))
    case.chronicle.clock.advance(timedelta(days=40))
    assert reasons(case.decide()) == {"quality"}
    case.quality(0.92)
    assert case.permit().expires == case.chronicle.clock.now() + timedelta(hours=24)
    worse = Case(but=("assess.quality/1",))
    worse.quality(0.5)
    worse.chronicle.clock.advance(timedelta(days=20))
    worse.quality(0.95)
    assert reasons(worse.decide()) == {"quality"}


@pytest.mark.guarantee("G04")
def test_evidence_from_the_future_is_not_fresh(case: Case) -> None:
    """A ledger whose clock ran ahead would keep evidence fresh for too long; a minute is forgiven."""
    case.permit(after=-policies.MAX_SKEW)
    ahead = case.decide(after=-policies.MAX_SKEW - timedelta(seconds=1))
    assert reasons(ahead) == {"quality"}
    assert "from the future" in words(ahead)


# Approvals


APPROVED = SMALL.replace(b"count = 1", b"count = 2")


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize(
    ("given_by", "enough"),
    [
        ((), False),
        ((("alice", "approve", "owner"),), False),
        ((("alice", "approve", "owner"), ("alice", "approve", "owner")), False),
        ((("alice", "approve", "owner"), ("bob", "approve", "auditor")), False),
        ((("alice", "approve", "owner"), ("bob", "waive", "owner")), False),
        ((("alice", "approve", "owner"), ("bob", "grant", "owner")), False),
        ((("alice", "approve", "owner"), ("bob", "approve", "owner")), True),
        ((("alice", "approve", "owner"), ("bob", "approve", "owner"), ("carol", "reject", "intern")), False),
        ((("alice", "approve", "owner"), ("bob", "reject", "owner"), ("bob", "approve", "owner")), False),
        ((("alice", "approve", "owner"), ("bob", "reject", "owner"), ("carol", "approve", "owner")), False),
    ],
    ids=str,
)
def test_approvals_count_persons_in_the_role_and_one_rejection_stands(
    given_by: tuple[tuple[str, Any, str], ...], enough: bool
) -> None:
    """Two approvals are two persons' in the role asked for; whoever once rejected it, in any role, has stopped it."""
    chronicle = Chronicle(APPROVED, persons=("alice", "bob", "carol"))
    made = fulfil(chronicle, SMALL.replace(b'role = "owner", count = 1', b'role = "nobody", count = 1'))
    for person, action, role in given_by:
        chronicle.authorize(person, made[Kind.RELEASE], action, role=role)
    assert reasons(chronicle.decide(APPROVED, made[Kind.RELEASE])) == (set() if enough else {"owner"})


@pytest.mark.guarantee("G04")
def test_an_approval_ends_when_it_says(case: Case) -> None:
    """At its last moment an approval is over, and with it the permit that it carries."""
    later = timedelta(days=29, hours=23)
    assert case.permit(after=later).expires == case.chronicle.start + timedelta(days=30)
    assert reasons(case.decide(Action.ROLLBACK, after=timedelta(days=30))) == {"owner"}


def test_an_old_approval_does_not_shorten_a_new_one(case: Case) -> None:
    """A permit rests on the approvals that last longest, as many as are asked for."""
    case.chronicle.clock.advance(timedelta(days=25))
    case.quality(0.95)
    case.chronicle.authorize("bob", case.release, lasts=timedelta(minutes=5))
    case.chronicle.authorize("alice", case.release, lasts=timedelta(days=90))
    case.chronicle.authorize("bob", case.release, role="auditor", lasts=timedelta(minutes=1))
    assert case.permit().expires == case.chronicle.clock.now() + timedelta(hours=24)


# The permit


@pytest.mark.guarantee("G02")
def test_a_permit_binds_everything_it_was_given_for(case: Case) -> None:
    """Subject, action, environment, policy, heads, checkpoint, moment and nonce are those of the decision."""
    permit = case.permit(Action.SERVE)
    dossier = case.chronicle.dossier(case.release)
    assert (permit.subject, permit.action, permit.environment) == (case.release.digest, Action.SERVE, "production")
    assert (permit.policy, permit.heads, permit.nonce) == (digest_bytes(SMALL), dossier.heads, "nonce")
    assert (permit.checkpoint_size, permit.issued) == (case.chronicle.ledger.size(), case.chronicle.start)
    assert set(permit.heads) == {artifact.digest for artifact in case.made.values()}


@pytest.mark.guarantee("G02")
@pytest.mark.parametrize(
    ("deviation", "said"),
    [
        ({"subject": digest_bytes(b"another")}, "something else"),
        ({"action": Action.PROMOTE}, "something else"),
        ({"action": Action.ROLLBACK}, "something else"),
        ({"environment": "staging"}, "something else"),
        ({"environment": ""}, "something else"),
        ({"now": timedelta(hours=24)}, "expired"),
        ({"now": timedelta(days=400)}, "expired"),
        ({"now": -timedelta(microseconds=1)}, "expired"),
    ],
    ids=str,
)
def test_a_permit_covers_nothing_but_what_it_is_for(case: Case, deviation: dict[str, Any], said: str) -> None:
    """Another release, another action, another environment, before or after its time: each alone is refused."""
    permit = case.permit(Action.SERVE)
    asked: dict[str, Any] = {"subject": permit.subject, "action": Action.SERVE, "environment": "production"}
    asked |= {"now": timedelta()} | deviation
    asked["now"] = permit.issued + asked["now"]
    with pytest.raises(NotVerified, match=said):
        permit.covers(**asked)
    permit.covers(
        **asked | {"subject": permit.subject, "action": Action.SERVE, "environment": "production", "now": permit.issued}
    )


@pytest.mark.guarantee("G02")
def test_a_permit_cannot_be_turned_into_another(case: Case) -> None:
    """Who holds a permit for one release cannot make one for the next out of it."""
    permit = case.permit()
    with pytest.raises((TypeError, ValueError)):
        dataclasses.replace(permit, subject=case.model.digest)  # type: ignore[call-arg] # the token that it does not have
    with pytest.raises(NotVerified):
        dataclasses.replace(permit, subject=case.model.digest, maker=permit)
    with pytest.raises(dataclasses.FrozenInstanceError):
        permit.expires = datetime.max  # type: ignore[misc] # noqa: DTZ901 - a forger's choice


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize(
    ("shorten", "ends"),
    [
        (lambda _: None, timedelta(hours=24)),
        (lambda made: trusted_until(made, timedelta(hours=5)), timedelta(hours=5)),
        (lambda made: made.chronicle.authorize("alice", made.release, lasts=timedelta(days=31)), timedelta(hours=24)),
        (lambda made: made.chronicle.clock.advance(timedelta(days=29, hours=20)), timedelta(hours=4)),
    ],
    ids=["permit_lasts", "trust", "longer approval", "evidence and approval"],
)
def test_a_permit_ends_with_the_first_thing_it_rests_on(shorten: Callable[[Case], Any], ends: timedelta) -> None:
    """No permit outlives its policy's patience, the trust, an approval or the freshness of evidence beneath it."""
    made = Case()
    shorten(made)
    assert made.permit().expires == made.chronicle.clock.now() + ends


def trusted_until(made: Case, lasts: timedelta) -> None:
    """Let the trust document end so soon."""
    ends = made.chronicle.clock.now() + lasts
    made.chronicle.trust = msgspec.structs.replace(made.chronicle.trust, expires=ends)


# Monotony


Move = Callable[[Case], Any]
GOOD: dict[str, Move] = {
    "nothing": lambda _: None,
    "quality": lambda made: made.quality(0.95),
    "fairness": lambda made: made.chronicle.file(measured("assess.fairness/1", made.model, exactly("gap", 0.1))),
    "scan": lambda made: made.find(Severity.LOW),
    "none protected": lambda made: made.state("none"),
    "approval": lambda made: made.chronicle.authorize("alice", made.release),
    "excuse": lambda made: made.excuse(),
    "day": lambda made: made.chronicle.clock.advance(timedelta(days=1)),
}
BAD: dict[str, Move] = {
    "failed quality": lambda made: made.fail(),
    "failed scan": lambda made: made.fail("release.scan/1"),
    "failed fairness": lambda made: made.fail("assess.fairness/1"),
    "worse quality": lambda made: made.quality(0.5),
    "uncertain quality": lambda made: made.quality(0.89, 0.99),
    "worse fairness": lambda made: made.chronicle.file(measured("assess.fairness/1", made.model, exactly("gap", 0.5))),
    "finding": lambda made: made.find(Severity.CRITICAL),
    "revoked model": lambda made: made.chronicle.revoke(made.model),
    "revoked project": lambda made: made.chronicle.revoke(made.project),
    "revoked release": lambda made: made.chronicle.revoke(made.release),
    "unfinished": lambda made: made.chronicle.begin("assess.quality/1", made.model, "run"),
    "unfinished and unknown": lambda made: made.chronicle.begin("train.extra/1", made.model, "run"),
    "rejected": lambda made: made.chronicle.authorize("bob", made.release, "reject"),
    "rejected by an intern": lambda made: made.chronicle.authorize("bob", made.release, "reject", role="intern"),
    "distrusted": lambda made: setattr(
        made.chronicle, "trust", msgspec.structs.replace(made.chronicle.trust, policies=())
    ),
}


@pytest.mark.guarantee("G05")
@given(
    but=st.sets(
        st.sampled_from(["assess.quality/1", "assess.fairness/1", "release.scan/1", "plan.tier/1"]), max_size=1
    ),
    history=st.lists(st.sampled_from(sorted(GOOD)) | st.sampled_from(sorted(BAD)), max_size=3),
    news=st.lists(st.sampled_from(sorted(BAD)), min_size=1, max_size=2),
)
def test_bad_news_never_turns_a_denial_into_a_permit(but: set[str], history: list[str], news: list[str]) -> None:
    """Whatever was on record before: after a failure, a worse number, a finding, a revocation … the answer is no."""
    made = Case(but=tuple(but))
    for name in history:
        (GOOD | BAD)[name](made)
    before = made.denied()
    for name in news:
        BAD[name](made)
    after = made.denied()
    assert all(after.values()), (history, news, before)
    assert all(before[action] - {"quality", "fairness", "scan"} <= after[action] for action in Action), (
        "bad news cures nothing"
    )


@pytest.mark.guarantee("G05")
@pytest.mark.parametrize("news", BAD)
def test_each_piece_of_bad_news_turns_a_permit_into_a_denial(case: Case, news: str) -> None:
    """Bad news is heard: a release that was permitted a moment ago is denied, for promotion, service and rollback."""
    BAD[news](case)
    for action in Action:
        assert isinstance(case.decide(action), Denial)


@pytest.mark.guarantee("G05")
@given(data=st.data())
def test_an_unknown_controls_evidence_changes_nothing_for_the_better(data: st.DataObject) -> None:
    """Evidence that no rule asks for neither permits nor denies."""
    lacking = data.draw(st.sampled_from(["assess.quality/1", "assess.fairness/1", "release.scan/1"]))
    made = Case(but=(lacking,))
    before = made.decide()
    for name in data.draw(
        st.lists(st.sampled_from(["assess.extra/1", "assess.quality/2", "release.scan/9"]), max_size=3)
    ):
        made.chronicle.file(measured(name, made.model, exactly("accuracy", 1), exactly("gap", 0)))
    assert reasons(made.decide()) == reasons(before) != set()


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize("kind", [Kind.MODEL, Kind.PROJECT, Kind.RELEASE])
def test_every_artifact_of_a_kind_must_meet_its_rules(case: Case, kind: Kind) -> None:
    """A second model beside a good one, of which nothing is measured, denies: there is no first among them."""
    second = case.chronicle.record(kind, *([case.project] if kind is Kind.MODEL else []), content=b"second")
    if kind is Kind.RELEASE:
        case.chronicle.record(Kind.RELEASE, second)
        case.chronicle.record(Kind.MODEL, case.project, second)
    else:
        case.chronicle.record(Kind.RELEASE, second)
    assert reasons(case.decide()) - {"derivation"}


@pytest.mark.guarantee("G03")
def test_a_rule_may_name_who_must_have_signed() -> None:
    """`signed_by` a role whose control it is not can never hold: it denies, and says who did not sign."""
    text = SMALL.replace(b'none_of = ["high", "critical"]', b'signed_by = "assess"')
    assert "release.scan/1 is not signed by assess" in words(Case(text).decide())
    Case(SMALL.replace(b'none_of = ["high", "critical"]', b'signed_by = "release"')).permit()


@pytest.mark.guarantee("G04")
def test_a_rule_on_what_the_closure_does_not_hold_denies() -> None:
    """That every data set is clean is not true of a release without data set."""
    text = (
        SMALL
        + b'[[rule]]\nid = "data"\nbecause = "b"\non = "dataset"\ncontrol = "ingest.x/1"\nmeasure = "m"\nat_most = 0\n'
    )
    chronicle = Chronicle(text)
    made = fulfil(chronicle, SMALL)
    assert "nothing of kind dataset is in the closure" in words(chronicle.decide(text, made[Kind.RELEASE]))


# CEL


def with_cel(expression: str) -> bytes:
    """The small policy with one prohibition."""
    return SMALL + f"[[forbid]]\nid = 'cel'\nbecause = 'said so'\ncel = '''{expression}'''\n".encode()


@pytest.mark.guarantee("G05")
@pytest.mark.parametrize(
    ("expression", "forbids"),
    [
        ("false", False),
        ("true", True),
        ("1", True),
        ("'false'", True),
        ("null", True),
        ("unknown == 1", True),
        ("1 / 0 == 1", True),
        ("measures['no.such/1']['x'].low < 0.0", True),
        ("(", True),
        ("measures['assess.quality/1']['accuracy'].low < 0.9", False),
        ("measures['assess.quality/1']['accuracy'].low < 0.99", True),
        ("facts['plan.tier/1:stakes'] == 'safety'", True),
        ("facts['plan.tier/1:stakes'] == 'money'", False),
        ("'plan.tier/1:nothing' in facts", False),
        ("['a', 'b'].exists(x, x == subject)", False),
    ],
)
def test_an_expression_can_only_forbid(expression: str, forbids: bool) -> None:
    """True forbids, false says nothing, and an error or anything else forbids too."""
    pytest.importorskip("cel")
    text = with_cel(expression)
    made = Case(text, but=("plan.tier/1",))
    made.chronicle.file(measured("plan.tier/1", made.project, exactly("tier", 1), facts={"stakes": "safety"}))
    assert reasons(made.decide()) == ({"cel"} if forbids else set())
    assert "said so" in words(made.decide()) if forbids else True


@pytest.mark.guarantee("G05")
def test_an_expression_cannot_lift_a_denial() -> None:
    """Whatever an expression says, what the rules deny stays denied."""
    pytest.importorskip("cel")
    made = Case(with_cel("false"), but=("assess.quality/1",))
    assert reasons(made.decide()) == {"quality"}


@pytest.mark.guarantee("G05")
@pytest.mark.parametrize("order", [("safety", "none"), ("none", "safety")])
def test_a_later_fact_does_not_hide_an_earlier_one(order: tuple[str, str]) -> None:
    """Where two pieces of evidence state a fact differently, a prohibition that either of them meets applies."""
    pytest.importorskip("cel")
    made = Case(with_cel("facts['plan.tier/1:stakes'] == 'safety'"), but=("plan.tier/1",))
    for stakes in order:
        made.chronicle.file(measured("plan.tier/1", made.project, exactly("tier", 1), facts={"stakes": stakes}))
    assert reasons(made.decide()) == {"cel"}


def test_an_expression_without_an_engine_forbids(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without holdfast[cel] cannot evaluate a prohibition, and does not skip it."""
    monkeypatch.setitem(__import__("sys").modules, "cel", None)
    decision = Case(with_cel("false")).decide()
    assert reasons(decision) == {"cel"}
    assert "holdfast[cel] is not installed" in words(decision)
    Case(SMALL).permit()


@pytest.mark.parametrize(
    "expression",
    [
        "[1].all(x, [2].all(y, true))",
        "[1].map(x, x).filter(x, true) == []",
        "[1] . exists ( x , [2].exists_one(y, true))",
        "[1].// a comment\nall(x, [2].all\n(y, true))",
        "true" + " " * MAX_CEL,
    ],
)
def test_a_costly_expression_is_refused_before_it_runs(expression: str) -> None:
    """One loop over the evidence is enough; loops in loops, however they are spaced, are refused at reading."""
    with pytest.raises(InvalidInput, match="too costly"):
        parse_policy(with_cel(expression))
    parse_policy(with_cel("measures.all(x, true)"))


# The document


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'name = "small"', b'name = "small"\nallow = true', "unknown field"),
        (b'id = "quality"', b'id = "quality"\nwaive = true', "unknown field"),
        (b"count = 1", b"count = 1, any = true", "unknown field"),
        (b'id = "quality"', b'id = "tier"', "share an id"),
        (b'measure = "accuracy"\nat_least = 0.9\nfresh_within = "30d"\n', b"", "bounds nothing"),
        (b'measure = "accuracy"\n', b"", "a bound needs a measure"),
        (b"at_least = 0.9\n", b"", "a bound needs a measure"),
        (b'control = "assess.quality/1"\n', b"", "names no control"),
        (b'approved_by = { role = "owner", count = 1 }\n', b"", "demands nothing"),
        (b"count = 1", b"count = 0", "by nobody"),
        (b"count = 1", b"count = -1", "by nobody"),
        (b"at_least = 0.9", b"at_least = nan", "no number"),
        (b"at_least = 0.9", b"at_least = -inf", "no number"),
        (b"at_most = 0.2", b"at_most = inf", "no number"),
        (b"at_least = 0.9", b'at_least = "0.9"', "cannot be read"),
        (b'"30d"', b'"30 days"', "not a duration"),
        (b'"30d"', b'"0d"', "not a duration"),
        (b'"24h"', b'"forever"', "not a duration"),
        (b'"24h"', b'"-1h"', "not a duration"),
        (b'"protected=none"', b'"protected"', "not key=value"),
        (b'on = "project"', b'on = "anything"', "cannot be read"),
        (b'"high", "critical"', b'"bad"', "cannot be read"),
        (b'release = ["model", "project"]', b'release = ["thing"]', "cannot be read"),
        (b"version = 1", b"", "missing required field"),
        (b'because = "it must be fair"\n', b"", "missing required field"),
    ],
)
def test_a_policy_with_a_mistake_is_refused(old: bytes, new: bytes, said: str) -> None:
    """Unknown keys, rules that ask for nothing, and bounds that bound nothing are mistakes, not permissions."""
    assert SMALL.count(old)
    with pytest.raises(InvalidInput, match=said):
        parse_policy(SMALL.replace(old, new))


@pytest.mark.parametrize(
    "text",
    [b"", b"\xff", b"rule = 3", b"name =", b"a = " + b"[" * 100_000, b"x" * (policies.MAX_POLICY + 1)],
    ids=lambda t: t[:9],
)
def test_a_document_that_is_no_policy_is_refused_in_words(text: bytes) -> None:
    """Noise, nesting without end and endless text are one error."""
    with pytest.raises(InvalidInput, match="polic"):
        parse_policy(text)


@pytest.mark.parametrize(("text", "length"), [("1s", 1), ("90s", 90), ("15m", 900), ("12h", 43200), ("30d", 2592000)])
def test_durations_are_whole_numbers_with_a_unit(text: str, length: int) -> None:
    """Seconds, minutes, hours and days."""
    assert seconds(text) == length


@given(text=st.text(max_size=8))
def test_no_other_text_is_a_duration(text: str) -> None:
    """What is not a positive whole number and one letter is refused."""
    if not re.fullmatch("[1-9][0-9]{0,5}[smhd]", text):
        with pytest.raises(InvalidInput, match="not a duration"):
            seconds(text)


# The shipped policy


CONTRACT: Mapping[str, tuple[Kind, frozenset[str]]] = {
    "plan.tier/1": (Kind.PROJECT, frozenset({"tier"})),
    "ingest.contract/1": (
        Kind.DATASET,
        frozenset(
            {
                "rows_in",
                "rows_out",
                "rows_quarantined",
                "quarantined_share",
                "null_literals",
                "timestamps_normalised",
                "duplicate_ids",
            }
        ),
    ),
    "ingest.checks/1": (Kind.DATASET, frozenset({"checks", "hard_breaches", "soft_breaches"})),
    "ingest.personal/1": (
        Kind.DATASET,
        frozenset({"columns_scanned", "personal_columns_caught", "personal_values_left"}),
    ),
    "ingest.provenance/1": (Kind.DATASET, frozenset({"source_bytes"})),
    "ingest.screening/1": (Kind.DATASET, frozenset({"screened_rows", "suspect_share", "triggers"})),
    "features.view/1": (Kind.FEATURES, frozenset({"features", "rows", "missing_share", "constant_features"})),
    "features.personal/1": (
        Kind.FEATURES,
        frozenset({"columns_scanned", "personal_columns_caught", "personal_values_left"}),
    ),
    "features.parity/1": (Kind.FEATURES, frozenset({"values_compared", "mismatches"})),
    "features.links/1": (Kind.FEATURES, frozenset({"features_linked", "missing_links"})),
    "train.sandbox/1": (Kind.MODEL, frozenset({"tier_rank", "network_denied", "undeclared_paths_readable"})),
    "train.split/1": (Kind.MODEL, frozenset({"test_rows", "overlap_ids", "duplicate_rows_across"})),
    "train.baseline/1": (Kind.MODEL, frozenset({"baseline_trained"})),
    "train.export/1": (Kind.MODEL, frozenset({"parity_max_abs"})),
    "release.scan/1": (Kind.MODEL, frozenset({"files_scanned", "bytes_scanned", "operators"})),
    "assess.quality/1": (
        Kind.MODEL,
        frozenset({"accuracy", "balanced_accuracy", "auc", "brier", "recall", "precision"}),
    ),
    "assess.slices/1": (Kind.MODEL, frozenset({"worst_slice_accuracy"})),
    "assess.baseline/1": (Kind.MODEL, frozenset({"auc_gain", "accuracy_gain"})),
    "assess.robustness/1": (Kind.MODEL, frozenset({"noise_accuracy", "noise_drop", "attack_success"})),
    "assess.fairness/1": (
        Kind.MODEL,
        frozenset({"demographic_parity_gap", "equal_opportunity_gap", "smallest_group"}),
    ),
    "assess.latency/1": (Kind.MODEL, frozenset({"latency_p50_ms", "latency_p95_ms"})),
    "plan.intake/1": (Kind.PROJECT, frozenset({"questions_open"})),
    "plan.sensitivity/1": (Kind.PROJECT, frozenset({"columns"})),
    "plan.budget/1": (Kind.MODEL, frozenset({"worst_use", "obligations_unmet"})),
    "release.package/1": (Kind.RELEASE, frozenset({"files", "bom_components", "bom_complete"})),
    "release.signature/1": (Kind.RELEASE, frozenset({"verified", "files_covered"})),
    "release.version/1": (Kind.RELEASE, frozenset({"version_kinds"})),
    "release.secrets/1": (Kind.RELEASE, frozenset({"secrets", "unread", "secrets_accepted", "files"})),
}
"""What each control measures on what: the words that the stages and the shipped policies share."""


def test_the_shipped_policy_asks_for_what_the_stages_measure() -> None:
    """Each rule names a control that exists, on the kind it measures, and a measure that it reports."""
    rules, _ = parse_policy(BASELINE)
    asked = [rule for rule in rules.rule if rule.control is not None]
    for rule in asked:
        kind, measures = CONTRACT[str(rule.control)]
        assert rule.on is kind
        assert rule.measure is None or rule.measure in measures, rule.id
    assert {rule.control for rule in asked} == set(CONTRACT)
    assert {reason for rule in rules.rule for reason in [rule.because.strip()]}


def test_the_shipped_policy_permits_what_just_meets_it_and_nothing_less() -> None:
    """Evidence exactly at every bound is permitted; a hair beyond any single bound is denied, and that rule named."""
    Case(BASELINE).permit()
    for rule in parse_policy(BASELINE)[0].rule:
        if rule.measure is None or rule.control is None:
            continue
        bound = rule.at_least if rule.at_least is not None else rule.at_most
        assert bound is not None
        beyond = bound - 1e-6 if rule.at_least is not None else bound + 1e-6
        made = Case(BASELINE)
        made.chronicle.file(measured(rule.control, made.made[rule.on], exactly(rule.measure, beyond)))
        assert rule.id in reasons(made.decide()), rule.id


def spoil(control: str, **changes: Any) -> Callable[[Case], None]:
    """Bad news of one control."""

    def apply(made: Case) -> None:
        kind, _ = CONTRACT[control]
        measures = [exactly(name, value) for name, value in changes.get("measures", {"files": 1}).items()]
        made.chronicle.file(measured(control, made.made[kind], *measures, findings=changes.get("findings", ())))

    return apply


@pytest.mark.requirement("CICD-09", by="holdfast.core.policy:decide")
@pytest.mark.parametrize(
    ("rule", "because", "news"),
    [
        ("release.signature", "verified is 0", spoil("release.signature/1", measures={"verified": 0})),
        ("release.secrets", "secrets is 1", spoil("release.secrets/1", measures={"secrets": 1, "unread": 0})),
        ("release.package", "bom_complete is 0", spoil("release.package/1", measures={"bom_complete": 0})),
        (
            "release.scan",
            "a file that runs code",
            spoil(
                "release.scan/1",
                findings=(Finding(place="f", severity=Severity.HIGH, rule="r", message="a file that runs code"),),
            ),
        ),
        ("quality.auc", "auc is 0.7", spoil("assess.quality/1", measures={"auc": 0.7, "balanced_accuracy": 1})),
        (
            "robustness.attack",
            "attack_success is 0.9",
            spoil("assess.robustness/1", measures={"attack_success": 0.9, "noise_drop": 0}),
        ),
        ("approval.owner", "bob rejected it", lambda made: made.chronicle.authorize("bob", made.release, "reject")),
        ("plan.tier", "tier is 0", spoil("plan.tier/1", measures={"tier": 0})),
    ],
    ids=[
        "signature",
        "secrets",
        "bill of materials",
        "scan",
        "test of quality",
        "test of robustness",
        "approval",
        "tier",
    ],
)
def test_versioned_rules_are_evaluated_and_each_denial_explained(
    rule: str, because: str, news: Callable[[Case], None]
) -> None:
    """Signature, bill of materials, scan, tests, approvals and tier: the shipped policy looks at each of them.

    The denial names the rule, what was found, and the rule's own reason; and the decision names the exact version of
    the rules by digest, so that the same policy with one changed byte is another one, which nobody has accepted.
    """
    made = Case(BASELINE)
    permitted = made.permit()
    news(made)
    denied = made.decide()
    assert isinstance(denied, Denial)
    rules, digest = parse_policy(BASELINE)
    (explained,) = [reason for reason in denied.reasons if reason.rule == rule]
    assert because in explained.words
    assert (
        next(known.because for known in rules.rule if known.id == rule) in explained.words or rule == "approval.owner"
    )
    assert {each for each in reasons(denied) if not each.startswith("signoff.")} == {rule}  # a rejection denies each
    assert (permitted.policy, denied.policy, rules.version) == (digest, digest, 1)
    newer = BASELINE.replace(b"version = 1", b"version = 2")
    assert "policy" in reasons(made.chronicle.decide(newer, made.release))


def test_decisions_do_not_depend_on_the_order_of_rules(case: Case) -> None:
    """A policy is a set of conditions: turned around it permits and denies the same."""
    rules, digest = parse_policy(SMALL)
    turned = msgspec.structs.replace(rules, rule=tuple(reversed(rules.rule)))
    case.fail()
    case.find(Severity.HIGH)
    dossier = case.chronicle.dossier(case.release)
    request = Request(action=Action.PROMOTE, environment="production", now=case.chronicle.start, nonce="n")
    decisions = [decide(one, digest, dossier, request) for one in (rules, turned)]
    assert reasons(decisions[0]) == reasons(decisions[1]) == {"quality", "scan"}


def test_deciding_twice_gives_the_same_answer(case: Case) -> None:
    """A decision is a function of policy, evidence and moment: the gateway comes to the registry's answer."""
    assert case.permit() == case.permit()
    case.fail()
    assert case.decide() == case.decide()


def evidence_of(case: Case) -> tuple[Evidence, ...]:
    """All evidence in a case."""
    return tuple(item.evidence for node in case.chronicle.dossier(case.release).nodes.values() for item in node.filed)


def test_a_reason_reads_as_one_line(case: Case) -> None:
    """What is shown to people is the rule's id and a sentence."""
    case.quality(0.5, 0.7, 0.8)
    assert words(case.decide()) == (
        "[quality] accuracy is 0.7 with lower bound 0.5 on 100 samples; at least 0.9 is required (it must be right)"
    )
    assert all(item.outcome is Outcome.MEASURED for item in evidence_of(case))


def test_a_role_that_a_person_claims_and_nobody_granted_does_not_count(case: Case) -> None:
    """The approval is well signed, and its role is the wanted one; only the root keys say who holds a role."""
    case.permit()
    case.chronicle.trust = msgspec.structs.replace(case.chronicle.trust, grants=())
    assert reasons(case.decide()) == {"owner"}


def test_a_permit_ends_with_the_grant_that_its_approval_rests_on(case: Case) -> None:
    """No permit outlives what is beneath it, and an ended grant approves nothing."""
    trust, soon = case.chronicle.trust, case.chronicle.clock.now() + timedelta(minutes=5)
    grants = tuple(msgspec.structs.replace(grant, not_after=soon) for grant in trust.grants)
    case.chronicle.trust = msgspec.structs.replace(trust, grants=grants)
    assert case.permit().expires == soon
    assert reasons(case.decide(after=timedelta(minutes=5))) == {"owner"}
