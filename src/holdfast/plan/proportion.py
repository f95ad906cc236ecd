"""plan.proportion/1: warns when light work carries what only heavy work needs.

Over-control is a risk of its own: people go round what stands in their way. Warnings only; nothing is ever loosened.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.core.control import Report
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.core.ports import Tier
from holdfast.core.project import Project
from holdfast.plan.tier import ControlTier, decide_tier

NAME: Final = "plan.proportion/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Burden:
    """What stands in the way of the work as things are now: trust, custody of keys and the policy that decides."""

    root_threshold: int
    hardware_keys: bool
    policy: str
    approvals: int  # words of persons that the policy asks for, one promotion
    persons: int  # who holds any of the roles that these words need


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """A project and what it carries."""

    project: Project
    burden: Burden


def measure(load: Load) -> Report:
    """Return a warning for each burden that is out of proportion to the tier."""
    tier = decide_tier(load.project).tier
    findings = tuple(_too_much(load)) if tier is ControlTier.LIGHT else ()
    facts = {"tier": tier.name.lower(), "policy": load.burden.policy}
    measures = (exactly("over_controls", len(findings)), exactly("approvals_asked", load.burden.approvals))
    return Report(measures=measures, findings=findings, facts=facts)


def _too_much(load: Load) -> Iterator[Finding]:
    burden, train = load.burden, load.project.train
    if burden.root_threshold > 1 or burden.hardware_keys or train.tier is Tier.NAMESPACES:
        what = "several root keys" if burden.root_threshold > 1 else "keys in hardware" if burden.hardware_keys else ""
        yield _warning("cryptography", "[train] tier", f"{what or 'namespaces'} for work that the light profile covers")
    if burden.policy == "regulated" or burden.approvals > 1:
        words = f"policy {burden.policy!r} asks for {burden.approvals} approvals of work that nobody can be harmed by"
        yield _warning("governance", "[gates] policy", words)
    if burden.persons < max(2, burden.approvals):
        words = f"{burden.persons} persons may approve; whoever else works on this can only wait for them"
        yield _warning("access", "trust: grants", words)


def _warning(what: str, place: str, words: str) -> Finding:
    return Finding(place=place, severity=Severity.LOW, rule=f"over-control-{what}", message=words)
