"""Plan: whether, how strictly and within which limits a model is made, decided from evidence before and after the work.

Decides the control tier, the classes of the data, whether an intake is answered and how much of its budget a model
uses, each with reasons; leaves to policies what is demanded. A project without an owner never comes this far:
`core.project` refuses it.
"""

from typing import Final

from msgspec.structs import replace

from holdfast.core.artifact import Artifact
from holdfast.core.control import Control, Result, run
from holdfast.core.evidence import MadeWith
from holdfast.core.project import Project
from holdfast.plan import budget, classes, flags, intake, proportion, tier
from holdfast.plan.budget import Known
from holdfast.plan.intake import Closed, Held, Open, gate
from holdfast.plan.proportion import Burden, Load

__all__ = ["CONTROLS", "Burden", "Closed", "Held", "Known", "Load", "Open", "admit", "gate", "plan", "spend"]

TIER: Final = Control(name="plan.tier/1", measure=tier.measure)
SENSITIVITY: Final = Control(name=classes.NAME, measure=classes.measure)
PROPORTION: Final = Control(name=proportion.NAME, measure=proportion.measure)
INTAKE: Final = Control(name=intake.NAME, measure=intake.measure)
FLAGS: Final = Control(name=flags.NAME, measure=flags.measure)
BUDGET: Final = Control(name=budget.NAME, measure=budget.measure)
CONTROLS: Final = (TIER, SENSITIVITY)
"""What follows from the project alone; the others also look at what it carries, its rows, or what was measured."""


def plan(project: Project, burden: Burden, subject: Artifact, made_with: MadeWith) -> Result:
    """Return the evidence of how strictly this project is controlled, and whether that is in proportion.

    Args:
        project: The parsed project file.
        burden: What stands in the way of the work as things are now.
        subject: The project file as an artifact.
        made_with: Digests of code and configuration; the subject is added as the data.
    """
    made_with = replace(made_with, data=(subject.digest,))
    declared = tuple(run(control, project, subject, made_with) for control in CONTROLS)
    carried = run(PROPORTION, Load(project=project, burden=burden), subject, made_with)
    return Result(evidence=(*declared, carried))


def admit(held: Held, subject: Artifact, made_with: MadeWith) -> Result:
    """Return the evidence of the intake: its three questions, and the traps the project has walked into."""
    return Result(evidence=tuple(run(control, held, subject, made_with) for control in (INTAKE, FLAGS)))


def spend(known: Known, subject: Artifact, made_with: MadeWith) -> Result:
    """Return the evidence of how much of its budget a model uses."""
    return Result(evidence=(run(BUDGET, known, subject, made_with),))
