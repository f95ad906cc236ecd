"""Carrying out a control outside of a stage: logged before it starts, sealed by its stage, filed whatever happens.

The runner carries out what belongs to making a release. What is looked at later, at the gate or in a drill, goes this
way, under the same promise: a control that was started and left nothing counts as failed.
"""

from typing import TypeVar

from holdfast.core.artifact import Artifact
from holdfast.core.control import Control
from holdfast.core.control import run as run_control
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.ledger import Draft
from holdfast.core.passport import FILED, STARTED
from holdfast.core.seal import EVIDENCE
from holdfast.lifecycle.plant import Plant

Context = TypeVar("Context")


def carry_out(
    plant: Plant, control: Control[Context], context: Context, subject: Artifact, *, configuration: str
) -> Evidence:
    """Run a control on an artifact and put on record what it found; return the evidence.

    Args:
        plant: The control plane.
        control: The control; the first part of its name is the role whose key seals.
        context: What the control looks at.
        subject: The artifact that it speaks of.
        configuration: Digest of what says how it is done: the project document.
    """
    stage, run = control.name.partition(".")[0], plant.entropy.token(8).hex()
    begun = {"control": control.name, "run": f"{run}/{control.name}"}
    with plant.ledger.lease("route"):  # who renews a lease meanwhile would find a control without a result, and deny
        plant.ledger.append([Draft(kind=STARTED, actor=stage, stream=subject.digest, body=begun)])
        evidence = run_control(control, context, subject, MadeWith(code=plant.code, configuration=configuration))
        plant.ledger.append([filed(plant, evidence, run)])
    return evidence


def filed(plant: Plant, item: Evidence, run: str) -> Draft:
    """Seal evidence with its stage's key, and return the entry that files it."""
    envelope = plant.seal(item, EVIDENCE, item.stage)
    body = {"control": item.control, "run": f"{run}/{item.control}", "envelope": envelope, "outcome": item.outcome}
    return Draft(kind=FILED, actor=item.stage, stream=item.subject, body=body)
