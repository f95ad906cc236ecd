"""The control tier follows from what a project declares about its risk, with every reason."""

import re

import pytest
from tests.unit.ingest.world import COLUMNS, MADE_WITH, PROJECT

from holdfast.core.artifact import Artifact, Kind, digest_bytes
from holdfast.core.errors import InvalidProject
from holdfast.core.evidence import Evidence, Outcome
from holdfast.core.project import Project, parse_project
from holdfast.plan import Burden, plan

PERSONAL = 'mail = { type = "string", use = "personal" }\n'


def declared(columns: str = COLUMNS, **risk: str) -> Project:
    """A project with this risk."""
    text = PROJECT.format(columns=columns, data="", features="", format="csv")
    for key, value in risk.items():
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {value}", text)
        if not count:
            text = text.replace("[risk]\n", f"[risk]\n{key} = {value}\n")
    return parse_project(text.encode())[0]


def planned(project: Project) -> Evidence:
    """The evidence of planning it."""
    subject = Artifact(kind=Kind.PROJECT, digest=digest_bytes(b"project"), size=7)
    burden = Burden(root_threshold=1, hardware_keys=False, policy="baseline", approvals=1, persons=2)
    result = plan(project, burden, subject, MADE_WITH)
    evidence = result.evidence[0]
    assert result.artifacts == ()
    assert (evidence.control, evidence.subject, evidence.kind) == ("plan.tier/1", subject.digest, Kind.PROJECT)
    assert evidence.outcome is Outcome.MEASURED
    assert evidence.made_with.data == (subject.digest,)
    return evidence


@pytest.mark.requirement("PLAN-06", by="holdfast.plan.tier:decide_tier")
@pytest.mark.parametrize(
    ("risk", "tier", "brings", "rule"),
    [
        ({"sensitivity": '"personal"', "exposure": '"public"'}, "full", "full stack", "personal-and-external"),
        ({"sensitivity": '"personal"', "exposure": '"partner"'}, "full", "full stack", "personal-and-external"),
        ({"stakes": '"money"'}, "strict", "strict controls and runbooks", "money-or-safety"),
        ({"stakes": '"safety"'}, "strict", "strict controls and runbooks", "money-or-safety"),
        (
            {"sensitivity": '"synthetic"', "stakes": '"experimental"'},
            "light",
            "light controls and audit",
            "experimental-and-synthetic",
        ),
        ({"regulated": "true"}, "standard", "legal review and governance first", "regulated"),
    ],
)
def test_each_of_the_four_rules_gives_its_tier_and_its_reason(
    risk: dict[str, str], tier: str, brings: str, rule: str
) -> None:
    """PII and external: full stack; money or safety: strict; experimental, synthetic: light; regulated: legal first."""
    evidence = planned(declared(**risk))
    number = {"light": 1, "standard": 2, "strict": 3, "full": 4}[tier]
    assert evidence.facts["tier"] == tier
    assert [(m.name, m.value, m.low, m.high) for m in evidence.measures] == [("tier", number, number, number)]
    assert brings in evidence.facts["brings"]
    finding = next(finding for finding in evidence.findings if finding.rule == rule)
    assert brings in finding.message
    assert evidence.facts["reasons"]


def test_the_strictest_rule_counts_and_every_reason_is_kept() -> None:
    """Rules add up: a regulated public model about persons where lives depend on it names all three reasons."""
    evidence = planned(declared(sensitivity='"personal"', exposure='"public"', stakes='"safety"', regulated="true"))
    assert evidence.facts["tier"] == "full"
    assert [finding.rule for finding in evidence.findings] == ["personal-and-external", "money-or-safety", "regulated"]


def test_an_experiment_that_is_regulated_is_not_light() -> None:
    """No rule lowers what another asks for."""
    evidence = planned(declared(sensitivity='"synthetic"', stakes='"experimental"', regulated="true"))
    assert evidence.facts["tier"] == "standard"


def test_an_ordinary_project_is_standard_and_says_why() -> None:
    """A project that no rule speaks of gets the tier between light and strict."""
    evidence = planned(declared())
    assert evidence.facts["tier"] == "standard"
    assert [finding.rule for finding in evidence.findings] == ["ordinary"]


def test_a_personal_column_counts_as_personal_data_whatever_the_sensitivity_says() -> None:
    """A project that declares a personal column and calls itself public contradicts itself; the stricter counts."""
    evidence = planned(declared(COLUMNS + PERSONAL, sensitivity='"public"', exposure='"public"'))
    assert evidence.facts["tier"] == "full"
    assert "contradiction" in [finding.rule for finding in evidence.findings]


def test_facts_for_policies_are_those_of_the_project() -> None:
    """Policies excuse a control by signed facts: owner, risk and protected columns are among them."""
    assert (
        planned(declared()).facts.items()
        >= {
            "owner": "Ada Example",
            "sensitivity": "internal",
            "exposure": "internal",
            "stakes": "business",
            "regulated": "false",
            "protected": "none",
        }.items()
    )
    group = 'group = { type = "category", use = "protected" }\n'
    assert planned(declared(COLUMNS + group)).facts["protected"] == "group"


@pytest.mark.requirement("REG-07", by="holdfast.core.project:_faults")
@pytest.mark.parametrize("owner", ['""', '"  "'])
def test_a_project_without_an_owner_is_refused_before_anything_is_planned(owner: str) -> None:
    """Nobody answers for it, so it has no project, no plan, and nothing that could ever be promoted."""
    with pytest.raises(InvalidProject, match="no owner") as refusal:
        declared(owner=owner)
    assert refusal.value.place.startswith("holdfast.toml:")
