"""The policy desk over a real workspace: decisions are recorded, explained, and made again with the same answer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.scenarios.stand import MADE_WITH, entrust, evidence, file_evidence, parent, releases

from holdfast.core import policy as policies
from holdfast.core.artifact import Kind, digest_bytes
from holdfast.core.errors import NotFound, NotVerified, PolicyDenied
from holdfast.core.evidence import failed
from holdfast.core.ledger import Draft
from holdfast.lifecycle.decisions import replay_all
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.policy_desk import explain_release, replay
from holdfast.lifecycle.promotion import promote, rollback
from holdfast.lifecycle.routing import current_project, renew


def spoil(plant: Plant) -> None:
    """A control of the newest release's model fails."""
    model = parent(plant, releases(plant)[-1], Kind.MODEL)
    file_evidence(plant, failed("assess.robustness/1", model, Kind.MODEL, MADE_WITH, "the attack crashed"))


@pytest.mark.requirement("CICD-10", by="holdfast.lifecycle.decisions:denial_drafts")
@pytest.mark.parametrize("condition", ["missing", "skipped", "errored"])
def test_a_missing_skipped_or_errored_condition_denies_and_is_a_violation_on_record(
    plant: Plant, condition: str
) -> None:
    """Whichever it is, the rule that needed it denies, and the policy's own history names release and rules."""
    release = releases(plant)[-1]
    model = parent(plant, release, Kind.MODEL)
    match condition:
        case "missing":  # nobody approves
            expected = ["approval.owner"]
        case "skipped":  # it says that it does not apply, and nothing signed excuses it
            skipped = failed("assess.latency/1", model, Kind.MODEL, MADE_WITH, "no time")
            file_evidence(plant, msgspec.structs.replace(skipped, outcome="not-applicable"))
            expected = ["approval.owner", "latency.p95"]
        case _:
            spoil(plant)
            expected = ["approval.owner", "robustness.attack", "robustness.noise"]
    with pytest.raises(PolicyDenied):
        promote(plant, reason="Now.", no_approve=True)
    digest = plant.load_policy("baseline")[1]
    violated = plant.last(f"policy/{digest}", "policy.violated")
    assert violated is not None
    assert violated.body == {"release": release, "action": "promote", "rules": expected}


def test_an_explanation_names_each_rule_with_what_it_rests_on(plant: Plant) -> None:
    """Before the approval one rule denies; every other says which sealed evidence it holds by."""
    told = explain_release(plant)
    assert told.exit_code == 1
    rules = {each["rule"]: each for each in told.document["rules"]}
    assert [name for name, each in rules.items() if each["verdict"] == "denies"] == ["approval.owner"]
    assert "0 of 1 approvals by owner" in rules["approval.owner"]["words"][0]
    for name, each in rules.items():
        assert each["because"]
        assert name == "approval.owner" or each["evidence"], name
    assert "sealed by assess" in rules["quality.auc"]["evidence"][0]
    assert "auc" in rules["quality.auc"]["evidence"][0]
    promote(plant, reason="Now.")
    assert explain_release(plant).exit_code == 0
    spoil(plant)
    later = {each["rule"]: each for each in explain_release(plant).document["rules"]}
    assert "the attack crashed" in later["robustness.noise"]["words"][0]
    other = explain_release(plant, policy="research")  # another policy, only to see what it would say
    assert any(each["rule"] == "tier" for each in other.document["rules"])
    with pytest.raises(NotFound):
        explain_release(plant, policy="nothing")


def test_every_decision_is_made_again_with_the_recorded_answer(producing: Plant) -> None:
    """Promotions, renewals, a denial and a rollback: all are on record with what they were a function of."""
    renew(producing, current_project(producing))
    spoil(producing)
    with pytest.raises(PolicyDenied):
        promote(producing, reason="Once more.")
    rollback(producing, reason="Back.")
    found = list(replay_all(producing))
    answers = [each.decision["answer"] for each in found]
    assert {each.decision["action"] for each in found} == {"promote", "serve", "rollback"}
    assert answers.count("denial") == 1
    assert [each.difference for each in found] == [""] * len(found)
    assert replay(producing).document == {"decisions": len(found)}


@contextmanager
def lax(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An engine that forgot one precondition."""
    with monkeypatch.context() as patched:
        patched.setattr(policies, "_broken_by", lambda *_: iter(()))
        yield


def test_a_decision_that_comes_out_otherwise_is_located(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that decides otherwise than the one of then is found at the entry of the first such decision."""
    promote(plant, reason="Good.")
    spoil(plant)
    with pytest.raises(PolicyDenied):
        promote(plant, reason="Bad.")
    denied = plant.last(releases(plant)[-1], "decision.denied")
    assert denied is not None
    with lax(monkeypatch), pytest.raises(NotVerified, match="then a denial, now a permit") as located:
        replay(plant)
    assert located.value.place == f"entry {denied.position}"
    replay(plant)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"expires": "2000-01-01T00:00:00+00:00"}, "then until"),
        ({"rules": ["x"]}, "then by x"),
        ({"answer": "denial"}, "then a denial, now a permit"),
        ({"size": 3}, "no checkpoint of that size"),
        ({"trust": digest_bytes(b"x")}, "cannot be made again"),
    ],
    ids=str,
)
def test_a_recorded_decision_that_nobody_made_is_found(plant: Plant, change: dict[str, Any], said: str) -> None:
    """Whoever writes another answer into history than the engine gave is told apart."""
    promote(plant, reason="Good.")
    routed = next(entry for entry in reversed(list(plant.ledger.entries())) if entry.kind == "endpoint.routed")
    body = routed.body | {"decisions": [routed.body["decisions"][0] | change]}
    plant.ledger.append([Draft(kind="endpoint.routed", actor="registry", stream=routed.stream, body=body)])
    with pytest.raises(NotVerified, match=said) as located:
        replay(plant)
    assert located.value.place == f"entry {plant.ledger.size() - 1}"


def test_a_later_trust_does_not_change_what_was_decided(plant: Plant) -> None:
    """A policy that is no longer accepted, and a key that is revoked, were believed then: the answer of then stands."""
    promote(plant, reason="Good.")
    trust = plant.trust
    entrust(plant, msgspec.structs.replace(trust, version=trust.version + 1, policies=()))
    assert replay(plant).document["decisions"] == 2
    with pytest.raises(PolicyDenied):
        promote(plant, reason="Again.")


def test_a_bound_beyond_evidence_is_told_in_words(plant: Plant) -> None:
    """The words are those of the denial: measure, value, bound, and the rule's reason."""
    model = parent(plant, releases(plant)[-1], Kind.MODEL)
    file_evidence(plant, evidence(model, "assess.latency/1", latency_p95_ms=51.0))
    rules = {each["rule"]: each for each in explain_release(plant).document["rules"]}
    (words,) = rules["latency.p95"]["words"]
    assert "latency_p95_ms is 51 with upper bound 51" in words
    assert "at most 50 is allowed" in words


def test_explaining_needs_no_key(plant: Plant, tmp_path: Path) -> None:
    """Where a checkpoint of everything is kept, whoever can read may ask."""

    def locked() -> None:
        raise AssertionError("it asked for the keys")

    promote(plant, reason="Good.")
    plant.ledger.checkpoint()
    assert explain_release(replace(plant, unlock=locked)).exit_code == 0
