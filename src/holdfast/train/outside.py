"""A model from outside in the place of one trained here: its classes put into our order, its answers on our rows.

Nothing is trained and none of its code runs: what is asked is the ONNX that the intake made. A linear baseline is
trained beside it on our rows all the same, so that it is judged as our own would be.
"""

from typing import TYPE_CHECKING, Final

import numpy as np

from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import InvalidRecipe, StageFailed
from holdfast.core.ports import Workspace
from holdfast.core.project import Project
from holdfast.engines.jobs import MAX_MODEL, collect, demand_finished, make_room
from holdfast.engines.scoring import Questions
from holdfast.train.reordering import ORDERED
from holdfast.train.sides import Sides
from holdfast.train.training import Candidate, Taken, Training, reference, score, task_of

if TYPE_CHECKING:
    from holdfast.train import Admitted

REORDERING_JOB: Final = "holdfast.train.reordering"
NAMED: Final = "class:"  # begins the parameters that say which class of theirs is which of ours
PLACE: Final = "holdfast.toml: [train]"


def answer_beside(ws: Workspace, project: Project, sides: Sides, admitted: "Admitted") -> Training:
    """Return what a model from outside and the baseline beside it answer.

    Raises:
        InvalidRecipe: It takes other features or has other classes than the project, or breaks the contract.
        StageFailed: A job was ended by the sandbox, or did not leave what it must.
    """
    names, classes = sides.view.names, len(sides.view.classes)
    if admitted.features != len(names):
        words = f"the model from outside takes {admitted.features} features, and the project has {len(names)}"
        raise InvalidRecipe(words, place=PLACE, expected="the features it was made for, in its own order")
    order = order_of(admitted.classes, sides.view.classes, project)
    task = task_of(project, sides)
    beside = reference(ws, task, sides)
    document = admitted.document
    validation = sides.validation.features
    theirs = score(ws, document, Questions(rows=validation, classes=classes), room="theirs").probabilities[:, order]
    if order != tuple(range(classes)):
        document = _reordered(ws, document, order, admitted.features)
    rows = np.concatenate((sides.train.features, validation))
    answers = score(ws, document, Questions(rows=rows, classes=classes)).probabilities
    taken = Taken(
        foreign=admitted.foreign.digest, admitted=digest_bytes(admitted.document), order=order, answered=theirs
    )
    return Training(
        project=project,
        sides=sides,
        parity=validation,
        candidate=Candidate(document=document, estimated=None, ignored=(), ignored_count=0, job=None),
        reference=beside,
        train_scores=answers[: len(sides.train.features)],
        validation_scores=answers[len(sides.train.features) :],
        exported=answers[:0],
        taken=taken,
    )


def order_of(theirs: tuple[str, ...], ours: tuple[str, ...], project: Project) -> tuple[int, ...]:
    """Return the place among a model's own classes of each of ours.

    Raises:
        InvalidRecipe: They are not the same classes, even by what the parameters say.
    """
    said = {key.removeprefix(NAMED): str(value) for key, value in project.train.params.items() if key.startswith(NAMED)}
    called = [said.get(name, name) for name in theirs]
    if sorted(called) != sorted(ours):
        words = f"with {', '.join(called)[:200]}, and the project with {', '.join(ours)[:200]}"
        raise InvalidRecipe(
            f"the model from outside answers {words}",
            place="holdfast.toml: [train].params",
            expected='which class of its is which of ours, for example "class:0" = "benign"',
        )
    return tuple(called.index(name) for name in ours)


def _reordered(ws: Workspace, document: bytes, order: tuple[int, ...], features: int) -> bytes:
    room = make_room(ws.scratch, "reorder")
    given = room.given / "model.onnx"
    given.write_bytes(document)
    args = (str(given), str(room.left), ",".join(map(str, order)), str(features))
    job = ws.sandbox.python(REORDERING_JOB, args, readable=(room.given,), writable=room.left)
    demand_finished(job, "putting the classes into our order")
    left = collect(room, {ORDERED: MAX_MODEL}).files.get(ORDERED)
    if left is None:
        raise StageFailed("putting the classes into our order left no model", place=REORDERING_JOB)
    return left
