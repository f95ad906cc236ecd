"""Carrying out a control outside of a stage: logged before it starts, sealed by its stage, filed whatever happens.

The runner carries out what belongs to making a release. What is looked at later, at the gate or in a drill, goes this
way, under the same promise: a control that was started and left nothing counts as failed.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, TypeVar

from holdfast.core.artifact import Artifact
from holdfast.core.control import Control
from holdfast.core.control import run as run_control
from holdfast.core.errors import Conflict
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.ledger import Draft
from holdfast.core.passport import FILED, STARTED
from holdfast.core.seal import EVIDENCE
from holdfast.lifecycle.plant import Plant

Context = TypeVar("Context")

ATTEMPTS: Final = 40  # to get the lease: ten seconds, a hundred times what a look at the traffic takes
WAIT_S: Final = 0.25  # between two of them


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
    with _undisturbed(plant):
        plant.ledger.append([Draft(kind=STARTED, actor=stage, stream=subject.digest, body=begun)])
        evidence = run_control(control, context, subject, MadeWith(code=plant.code, configuration=configuration))
        plant.ledger.append([filed(plant, evidence, run)])
    return evidence


@contextmanager
def _undisturbed(plant: Plant) -> Iterator[None]:
    """Hold the lease of those who route: whoever renewed meanwhile would find a control without a result, and deny.

    They hold it for moments only, so it is tried again for a while.

    Raises:
        Conflict: Somebody holds it for longer.
    """
    with ExitStack() as held:
        for left in range(ATTEMPTS - 1, -1, -1):
            try:
                held.enter_context(plant.ledger.lease("route"))
                break
            except Conflict:
                if not left:
                    raise
                time.sleep(WAIT_S)
        yield


def filed(plant: Plant, item: Evidence, run: str) -> Draft:
    """Seal evidence with its stage's key, and return the entry that files it."""
    envelope = plant.seal(item, EVIDENCE, item.stage)
    body = {"control": item.control, "run": f"{run}/{item.control}", "envelope": envelope, "outcome": item.outcome}
    return Draft(kind=FILED, actor=item.stage, stream=item.subject, body=body)
