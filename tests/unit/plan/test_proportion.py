"""Proportion: light work gets the light profile, and what weighs too much on it is warned of."""

import pytest
from tests.unit.plan.world import HEAD, MADE_WITH, SUBJECT, project

from holdfast.core.control import run
from holdfast.core.evidence import Evidence
from holdfast.core.project import Project
from holdfast.plan import PROPORTION, Burden, Load
from holdfast.plan.tier import decide_tier

RISK = HEAD.replace('stakes = "business"', 'stakes = "business"\nwork = "WORK"')
LIGHT = RISK.replace("WORK", "throwaway")
EASY = {"root_threshold": 1, "hardware_keys": False, "policy": "research", "approvals": 1, "persons": 3}


def found(declared: Project, **burden: object) -> Evidence:
    """What is said of a project that carries this."""
    load = Load(project=declared, burden=Burden(**(EASY | burden)))  # type: ignore[arg-type]
    return run(PROPORTION, load, SUBJECT, MADE_WITH)


@pytest.mark.requirement("PLAN-07", by="holdfast.plan.proportion:_too_much")
@pytest.mark.parametrize(
    ("burden", "rule"),
    [
        ({"root_threshold": 2}, "over-control-cryptography"),
        ({"hardware_keys": True}, "over-control-cryptography"),
        ({"policy": "regulated"}, "over-control-governance"),
        ({"approvals": 2}, "over-control-governance"),
        ({"persons": 1}, "over-control-access"),
    ],
)
def test_heavy_controls_on_light_work_are_warned_of(burden: dict[str, object], rule: str) -> None:
    """Heavy cryptography, heavy governance, rules that block others: a warning each, on light work only."""
    for light in (
        project(LIGHT),
        project(RISK.replace("WORK", "exploratory")),
        project(RISK.replace("WORK", "offline"), exposure='"none"'),
        project(HEAD, sensitivity='"synthetic"'),
    ):
        assert decide_tier(light).tier.name == "LIGHT"
        assert [finding.rule for finding in found(light, **burden).findings] == [rule]
        assert found(light).findings == ()
    assert found(project(), **burden).findings == ()


def test_an_isolated_sandbox_is_heavy_on_light_work() -> None:
    """Namespaces where nobody could be harmed."""
    item = found(project(LIGHT.replace('positive = "yes"', 'positive = "yes"\ntier = "namespaces"')))
    assert [finding.rule for finding in item.findings] == ["over-control-cryptography"]


@pytest.mark.parametrize(
    "risk",
    [
        {"sensitivity": '"confidential"'},
        {"sensitivity": '"personal"'},
        {"exposure": '"public"'},
        {"stakes": '"safety"'},
    ],
)
def test_work_that_could_harm_somebody_is_never_light(risk: dict[str, str]) -> None:
    """To call it throwaway lowers nothing."""
    assert decide_tier(project(LIGHT, **risk)).tier.name != "LIGHT"


def test_offline_work_that_somebody_can_ask_is_not_offline() -> None:
    """A word is not believed against the exposure."""
    assert decide_tier(project(RISK.replace("WORK", "offline"))).tier.name == "STANDARD"
