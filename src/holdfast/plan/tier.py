"""The control tier: a table of rules over what the project declares about its risk.

Every rule that applies adds its reason and what it brings; the strictest tier among them counts. Tiers never lower each
other: an experiment with somebody's personal data is not light because it is an experiment.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from holdfast.core.control import Report
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.core.planning import Sensitivity
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.core.sensitivity import WITHHELD, of_dataset

EXTERNAL: Final = frozenset({"partner", "public"})  # exposures where somebody outside the house can ask the model


class ControlTier(IntEnum):
    """How strictly a model is controlled; the number is the measure `tier`."""

    LIGHT = 1
    STANDARD = 2
    STRICT = 3
    FULL = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class TierRule:
    """When it applies, the least tier it asks for, what it brings, and why."""

    id: str
    applies: Callable[[Project], bool]
    tier: ControlTier
    brings: str
    because: str


def holds_personal_data(project: Project) -> bool:
    """Say whether personal data comes in, by the class of the data set."""
    return of_dataset(project) is Sensitivity.PERSONAL


RULES: Final = (
    TierRule(
        id="personal-and-external",
        applies=lambda project: holds_personal_data(project) and project.risk.exposure in EXTERNAL,
        tier=ControlTier.FULL,
        brings="full stack",
        because="personal data comes in and people outside can ask the model",
    ),
    TierRule(
        id="money-or-safety",
        applies=lambda project: project.risk.stakes in {"money", "safety"},
        tier=ControlTier.STRICT,
        brings="strict controls and runbooks",
        because="a wrong answer costs money or endangers people",
    ),
    TierRule(
        id="personal-inside",
        applies=lambda project: holds_personal_data(project) and project.risk.exposure not in EXTERNAL,
        tier=ControlTier.STRICT,
        brings="strict data controls",
        because="personal data comes in, though only the house can ask the model",
    ),
    TierRule(
        id="regulated",
        applies=lambda project: project.risk.regulated,
        tier=ControlTier.STANDARD,
        brings="legal review and governance first",
        because="a regulation applies, so legal and governance come before the work, not after it",
    ),
    TierRule(
        id="experimental-and-synthetic",
        applies=lambda project: project.risk.stakes == "experimental" and project.risk.sensitivity == "synthetic",
        tier=ControlTier.LIGHT,
        brings="light controls and audit",
        because="an experiment on synthetic data can harm nobody; what it does is still on record",
    ),
)
"""PLAN-06 as a table; a project that neither it nor `LIGHT_WORK` speaks of gets `OTHERWISE`."""


def _harmless(project: Project) -> bool:
    """Say whether nothing but the work itself could suffer: no sensitive data, nobody outside, no law."""
    outside = project.risk.exposure in EXTERNAL or project.risk.regulated
    return of_dataset(project) not in WITHHELD and not outside


LIGHT_WORK: Final = tuple(
    TierRule(id=name, applies=applies, tier=ControlTier.LIGHT, brings="light controls and audit", because=because)
    for name, applies, because in (
        (
            "throwaway",
            lambda project: project.risk.work == "throwaway" and _harmless(project),
            "what is thrown away needs no more than a record of it",
        ),
        (
            "synthetic",
            lambda project: of_dataset(project) is Sensitivity.SYNTHETIC and _harmless(project),
            "synthetic rows are about nobody",
        ),
        (
            "exploratory",
            lambda project: project.risk.work == "exploratory" and _harmless(project),
            "whoever explores must be able to turn round quickly",
        ),
        (
            "small-offline",
            lambda project: project.risk.work == "offline" and project.risk.exposure == "none" and _harmless(project),
            "offline work that nobody can ask reaches only those who do it",
        ),
    )
)
"""PLAN-07: work that gets the light profile, unless a stricter rule applies too."""

OTHERWISE: Final = TierRule(
    id="ordinary",
    applies=lambda _: True,
    tier=ControlTier.STANDARD,
    brings="standard controls",
    because="nothing it declares calls for more, or allows less",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """The tier and the rules that led to it, strictest first."""

    tier: ControlTier
    rules: tuple[TierRule, ...]


def decide_tier(project: Project) -> Decision:
    """Return the strictest tier that any applicable rule asks for, with every applicable rule as a reason."""
    applicable = [rule for rule in (*RULES, *LIGHT_WORK) if rule.applies(project)] or [OTHERWISE]
    ordered = tuple(sorted(applicable, key=lambda rule: -rule.tier))
    return Decision(tier=ordered[0].tier, rules=ordered)


def measure(project: Project) -> Report:
    """Return the tier as a measure, its reasons, and the facts that policies may ask for."""
    decision, risk = decide_tier(project), project.risk
    facts = {
        "tier": decision.tier.name.lower(),
        "sensitivity": risk.sensitivity,
        "exposure": risk.exposure,
        "stakes": risk.stakes,
        "regulated": str(risk.regulated).lower(),
        "owner": project.project.owner,
        "intake": _owed(decision.tier, declared=project.intake is not None),
        "budget": _owed(decision.tier, declared=project.budget is not None),
        "signoff": "required" if decision.tier is ControlTier.FULL else "none",
        "protected": ", ".join(project.columns_of(Use.PROTECTED)) or "none",
        "brings": "; ".join(rule.brings for rule in decision.rules),
        "reasons": "; ".join(rule.because for rule in decision.rules),
    }
    findings = tuple(
        Finding(place="[risk]", severity=Severity.INFO, rule=rule.id, message=f"{rule.because}: {rule.brings}")
        for rule in decision.rules
    )
    return Report(measures=(exactly("tier", decision.tier),), findings=findings + _doubts(project), facts=facts)


def _owed(tier: ControlTier, *, declared: bool) -> str:
    """Say how an optional declaration stands: only `none` excuses its control, and no strict tier may say so."""
    if declared:
        return "declared"
    return "owed" if tier >= ControlTier.STRICT else "none"


def _doubts(project: Project) -> tuple[Finding, ...]:
    """Return where the project file contradicts itself."""
    declared = project.columns_of(Use.PERSONAL)
    if not declared or project.risk.sensitivity == "personal":
        return ()
    words = (
        f'{declared[0]} is declared personal, but sensitivity is "{project.risk.sensitivity}"; it counts as personal'
    )
    return (Finding(place="[risk]", severity=Severity.MEDIUM, rule="contradiction", message=words),)
