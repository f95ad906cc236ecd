"""Plan: how strictly a model is controlled, decided from its declared risk before anything is read or trained.

Decides the control tier, with reasons; leaves to policies what each tier demands. A project without an owner never
comes this far: `core.project` refuses it.
"""

from typing import Final

from msgspec.structs import replace

from holdfast.core.artifact import Artifact
from holdfast.core.control import Control, Result, run
from holdfast.core.evidence import MadeWith
from holdfast.core.project import Project
from holdfast.plan.tier import measure

CONTROLS: Final = (Control(name="plan.tier/1", measure=measure),)


def plan(project: Project, subject: Artifact, made_with: MadeWith) -> Result:
    """Return the evidence of how strictly this project is controlled.

    Args:
        project: The parsed project file.
        subject: The project file as an artifact.
        made_with: Digests of code and configuration; the subject is added as the data.
    """
    made_with = replace(made_with, data=(subject.digest,))
    return Result(evidence=tuple(run(control, project, subject, made_with) for control in CONTROLS))
