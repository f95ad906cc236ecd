"""Train: a recipe in the sandbox turns features into a candidate, beside a linear baseline; the test rows stay sealed.

Decides how rows are split, what a training job may see, and what is taken of what it leaves: ONNX bytes and nothing
else that is believed. Leaves to `release.scan` whether the bytes are harmless, to `assess` how good the model is, and
to policies whether that is enough.
"""

from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np

from holdfast.core.artifact import Artifact
from holdfast.core.control import Control, Result, run
from holdfast.core.evidence import MadeWith
from holdfast.core.ports import Workspace
from holdfast.core.project import Project
from holdfast.train import controls

CONTROLS: Final = (
    Control(name="train.sandbox/1", measure=controls.sandbox),
    Control(name="train.split/1", measure=controls.split),
    Control(name="train.baseline/1", measure=controls.baseline),
    Control(name="train.export/1", measure=controls.export),
)


TAKEN: Final = (Control(name="train.foreign/1", measure=controls.foreign), *CONTROLS[1:3])
"""The controls on a model from outside that stands in the place of one trained here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A model from outside that was admitted: what it was converted into, and what it said of itself."""

    foreign: Artifact
    document: bytes
    features: int
    classes: tuple[str, ...]  # in the order of its answers


def train(ws: Workspace, project: Project, features: Artifact, recipe: Artifact, made_with: MadeWith) -> Result:
    """Split the features, train candidate and baseline in the sandbox, and return them with the evidence.

    The split, the recipe and the baseline are seeded by the project; `made_with.seed` only chooses which values are
    left out of the rows on which the export is checked. With `[train].subsets` one candidate is trained on each
    disjoint subset and they vote (`train.subsets`). The same features, recipe and project give the same artifacts,
    byte for byte, on one image and CPU class.

    Args:
        ws: Where things are stored, the sandbox to train in, and an empty scratch folder.
        project: Recipe, parameters, seed and shares of the split.
        features: What `features` made.
        recipe: The folder with the training code.
        made_with: Digests of code and configuration; the artifacts are added as the data.

    Raises:
        InvalidData: The rows cannot be split.
        InvalidRecipe: The recipe cannot be used, or what it made is not a model that keeps the contract.
        MissingExtra: A package that training needs is not installed.
        StageFailed: A job was ended by the sandbox, or did not leave what it must.
        SandboxUnavailable: The sandbox cannot be had.
    """
    # Imported here: the jobs inside the sandbox load this package too, and need no tables.
    from holdfast.train import packaging, sides
    from holdfast.train.subsets import vote
    from holdfast.train.training import run_jobs

    rows = sides.split(ws, project, features)
    if project.train.subsets:
        training = vote(ws, project, rows, recipe, np.random.default_rng(made_with.seed))
    else:
        parity = sides.parity_rows(rows.validation.features, np.random.default_rng(made_with.seed))
        training = run_jobs(ws, project, rows, recipe, parity)
    model = packaging.store_model(ws, training)
    artifacts = (rows.artifact, model, packaging.store_baseline(ws, training), packaging.store_metrics(ws, training))
    used = msgspec.structs.replace(made_with, data=(features.digest, recipe.digest, rows.artifact.digest))
    return Result(artifacts=artifacts, evidence=tuple(run(control, training, model, used) for control in CONTROLS))


def take(ws: Workspace, project: Project, features: Artifact, admitted: Admitted, made_with: MadeWith) -> Result:
    """Split the features, train the baseline, and put a model from outside in the candidate's place.

    Its classes are those of the project by name, or as `[train].params` says with `"class:NAME" = "label"`; where they
    stand in another order, its answers are put into ours by one operator more, in the sandbox.

    Args:
        ws: Where things are stored, the sandbox, and an empty scratch folder.
        project: Which class is which, the seed and shares of the split.
        features: What `features` made.
        admitted: The model.
        made_with: Digests of code and configuration; the artifacts are added as the data.

    Raises:
        InvalidData: The rows cannot be split.
        InvalidRecipe: It takes other features or has other classes than the project, or breaks the contract.
        StageFailed: A job was ended by the sandbox, or did not leave what it must.
    """
    from holdfast.train import packaging, sides
    from holdfast.train.outside import answer_beside

    rows = sides.split(ws, project, features)
    training = answer_beside(ws, project, rows, admitted)
    model = packaging.store_model(ws, training)
    artifacts = (rows.artifact, model, packaging.store_baseline(ws, training), packaging.store_metrics(ws, training))
    used = msgspec.structs.replace(made_with, data=(features.digest, admitted.foreign.digest, rows.artifact.digest))
    return Result(artifacts=artifacts, evidence=tuple(run(control, training, model, used) for control in TAKEN))
