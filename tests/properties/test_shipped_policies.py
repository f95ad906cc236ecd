"""The shipped policies: each rule of each of them is needed, asks for what a control leaves, and names who denies."""

from pathlib import Path

import pytest

from holdfast.core.artifact import Artifact, Kind
from holdfast.core.authorship import AUTHORSHIP
from holdfast.core.evidence import Evidence, exactly
from holdfast.core.policy import Denial, Rule, parse_policy
from holdfast.lifecycle import OUTSIDE, STAGES
from holdfast.lifecycle.lineage import LINEAGE
from holdfast.lifecycle.probes import DRILL
from holdfast.lifecycle.readiness import READINESS
from holdfast.release.dependencies import DEPENDENCIES
from holdfast.release.foreign import MODEL_CONTROLS
from holdfast.release.foreign.origin import ORIGIN
from holdfast.testing.chronicle import AUTHOR, Chronicle, fulfil, measured

SHIPPED = {path.stem: path.read_bytes() for path in sorted((Path(__file__).parents[2] / "policies").glob("*.toml"))}
RULES = [(name, rule) for name, text in SHIPPED.items() for rule in parse_policy(text)[0].rule]
CONTROLS = sorted({(name, rule.control) for name, rule in RULES if rule.control is not None})
ABOUT = {control: stage.about for stage in (*STAGES, *OUTSIDE) for control in stage.leaves}
ABOUT |= dict.fromkeys((*(control.name for control in MODEL_CONTROLS), ORIGIN.name), Kind.FOREIGN)
ABOUT |= dict.fromkeys((*READINESS, DRILL.name, DEPENDENCIES.name), Kind.RELEASE) | {
    LINEAGE.name: Kind.FEATURES,
    AUTHORSHIP: Kind.MODEL,
}


def denies(name: str, *, but: tuple[str, ...] = (), spoilt: Rule | None = None) -> set[str]:
    """The rules that deny a release which just meets every rule, but for what is left out or spoilt."""
    text = SHIPPED[name]
    policy, _ = parse_policy(text)
    roles = {role for rule in policy.rule if rule.approved_by is not None for role in rule.approved_by.roles}
    chronicle = Chronicle(text, persons=("alice", "bob"), roles=roles)
    made = fulfil(chronicle, text, but=but)
    if spoilt is not None and spoilt.control is not None and spoilt.measure is not None:
        bound = spoilt.at_least if spoilt.at_least is not None else spoilt.at_most
        assert bound is not None
        beyond = bound - 1e-6 if spoilt.at_least is not None else bound + 1e-6
        chronicle.file(_worse(spoilt, beyond, made[spoilt.on], policy.rule))
    where = policy.environments[0] if policy.environments else "production"
    found = chronicle.decide(text, made[Kind.RELEASE], environment=where)
    return {reason.rule for reason in found.reasons} if isinstance(found, Denial) else set()


def _worse(spoilt: Rule, value: float, subject: Artifact, rules: tuple[Rule, ...]) -> Evidence:
    """Evidence of a rule's control in which everything just holds but this one measure."""
    measures = {str(spoilt.measure): value}
    for rule in rules:
        if rule.control == spoilt.control and rule.measure is not None and rule.measure not in measures:
            measures[rule.measure] = float(rule.at_least if rule.at_least is not None else rule.at_most or 0)
    facts = {"authors": f'["{AUTHOR}"]'} if spoilt.control == AUTHORSHIP else {}
    return measured(
        str(spoilt.control),
        subject,
        *(exactly(name, each) for name, each in measures.items()),
        facts=facts,
    )


@pytest.mark.parametrize("name", SHIPPED)
def test_what_just_meets_every_rule_is_permitted(name: str) -> None:
    """The control group."""
    assert denies(name) == set()


@pytest.mark.guarantee("G04")
@pytest.mark.parametrize(("name", "control"), CONTROLS)
def test_a_control_that_left_nothing_denies_by_exactly_its_rules(name: str, control: str) -> None:
    """Switched off, it is missed: by every rule that rests on it, and by no other."""
    expected = {rule.id for rule in parse_policy(SHIPPED[name])[0].rule if rule.control == control}
    if control == AUTHORSHIP:  # who may approve rests on it too
        expected |= {"approval.owner", "approval.second"}
    assert denies(name, but=(control,)) == expected


@pytest.mark.parametrize(
    ("name", "rule"),
    [(name, rule) for name, rule in RULES if rule.measure is not None],
    ids=[f"{name}-{rule.id}" for name, rule in RULES if rule.measure is not None],
)
def test_a_hair_beyond_one_bound_denies_by_exactly_that_rule(name: str, rule: Rule) -> None:
    """And by the approvals, where nobody is known to have written it."""
    expected = {rule.id} | ({"approval.owner", "approval.second"} if rule.measure == "known" else set())
    assert denies(name, spoilt=rule) == expected


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[f"{name}-{rule.id}" for name, rule in RULES])
def test_a_rule_asks_for_a_control_that_exists_on_the_kind_it_speaks_of(name: str, rule: Rule) -> None:
    """A rule on a control that nothing carries out would deny for ever."""
    assert rule.control is None or ABOUT[rule.control] is rule.on
    assert rule.because.strip()
