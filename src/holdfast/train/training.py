"""The three sandboxed jobs of a training: the recipe, the reference beside it, and the scoring of what the recipe left.

The recipe's job is believed in nothing. The reference runs none of its code; the scoring job runs the candidate's
bytes and no other code of the project. What each may see is in the `given` folder made here, and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Artifact, Digest, parse_manifest
from holdfast.core.errors import InvalidRecipe, MissingExtra, NotVerified, StageFailed
from holdfast.core.ports import JobResult, Workspace
from holdfast.core.project import Project
from holdfast.engines.jobs import Left, Room, collect, demand_finished, last_words, make_room, printable
from holdfast.engines.scoring import Answers, Questions, ask, read_probabilities
from holdfast.train import exchange
from holdfast.train.confinement import Confinement
from holdfast.train.recipe import Fault, Task
from holdfast.train.secrets import given_secrets, hidden, masked
from holdfast.train.sides import Rows, Sides

RECIPE_JOB: Final = "holdfast.train.worker"
REFERENCE_JOB: Final = "holdfast.train.reference"
CANARY: Final = "undeclared"  # a file beside the jobs' folders that none of them is given


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What the recipe's job left: the model's bytes, and the estimator's own answers to the parity rows, if any."""

    document: bytes
    estimated: NDArray[np.float64] | None
    ignored: tuple[str, ...]
    ignored_count: int
    job: JobResult | None  # None where nothing was trained here


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one recipe's job learns from, the rows on which its export is held against it, and its folder's name."""

    train: Rows
    validation: Rows
    parity: NDArray[np.float32]
    room: str = "recipe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Voters:
    """What is known of models that learned from disjoint subsets and vote."""

    rows: tuple[int, ...]  # that each learned from or chose by
    documents: tuple[str, ...]  # digests of their ONNX
    gap: float  # largest distance between what the one model answers and the same counted outside of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What is known of a model from outside that stands in a candidate's place."""

    foreign: str  # digest of what came in
    admitted: str  # digest of what it was converted into
    order: tuple[int, ...]  # the place among its own classes of each of ours
    answered: NDArray[np.float64]  # by what it was converted into, in our order, to the validation rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """What the job beside it left: baseline, environment, and what the sandbox lets a job do."""

    document: bytes
    scores: NDArray[np.float64]  # of train rows, then validation rows; shape (n, classes)
    environment: bytes
    confinement: Confinement


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """Everything that a training made, as the controls look at it."""

    project: Project
    sides: Sides
    parity: NDArray[np.float32]
    candidate: Candidate
    reference: Reference
    train_scores: NDArray[np.float64]
    validation_scores: NDArray[np.float64]
    exported: NDArray[np.float64]  # what the export answers to the parity rows that the estimator answered
    taken: Taken | None = None  # of a model from outside
    voters: Voters | None = None  # of a model that votes

    @property
    def whole(self) -> int:
        """How many of the parity rows, the first ones, are as they came: each of them stands again with holes."""
        return len(self.parity) // 2

    @property
    def answered(self) -> NDArray[np.bool_]:
        """Which parity rows the estimator answered: none where the recipe returned ONNX itself."""
        return answered(self.candidate, len(self.parity))


def run_jobs(ws: Workspace, project: Project, sides: Sides, recipe: Artifact, parity: NDArray[np.float32]) -> Training:
    """Train candidate and baseline, each in a job of its own, and let a third answer rows with the candidate.

    Raises:
        InvalidRecipe: The recipe cannot be used, or what it made is not a model that keeps the contract.
        MissingExtra: A package that training needs is not installed.
        StageFailed: A job was ended by the sandbox, or did not leave what it must.
    """
    task = task_of(project, sides)
    beside = reference(ws, task, sides)
    secrets = {name: ws.secret(name) for name in project.train.secrets}
    lesson = Lesson(train=sides.train, validation=sides.validation, parity=parity)
    candidate = learn(ws, task, lesson, recipe, secrets)
    n, m = len(sides.train.features), len(sides.validation.features)
    asked = parity[answered(candidate, len(parity))]  # a row the estimator refuses need not have an answer
    rows = np.concatenate((sides.train.features, sides.validation.features, asked))
    answers = score(ws, candidate.document, Questions(rows=rows, classes=len(task.classes)))
    train, validation, exported = np.split(answers.probabilities, [n, n + m])
    return Training(
        project=project,
        sides=sides,
        parity=parity,
        candidate=candidate,
        reference=beside,
        train_scores=train,
        validation_scores=validation,
        exported=exported,
    )


def answered(candidate: Candidate, rows: int) -> NDArray[np.bool_]:
    """Return which of the parity rows the estimator answered, shape (rows,)."""
    if candidate.estimated is None:
        return np.zeros(rows, dtype=np.bool_)
    return np.asarray(np.isfinite(candidate.estimated).all(axis=1))


def task_of(project: Project, sides: Sides) -> Task:
    """Return what both jobs are told.

    Raises:
        NotVerified: The project's positive class is none of the data's.
    """
    file, _, function = project.train.recipe.partition(":")
    if project.train.positive not in sides.view.classes:
        raise NotVerified(f"no class is called {project.train.positive!r}", place="view.json")
    return Task(
        file=PurePosixPath(file).name,
        function=function,
        params=project.train.params,
        seed=project.train.seed,
        feature_names=sides.view.names,
        classes=sides.view.classes,
        positive=sides.view.classes.index(project.train.positive),
    )


def _give(room: Room, task: Task, sides: Sides | Lesson) -> None:
    """Write what both jobs are given: the task, and features and labels of the rows to learn from and to tune on."""
    (room.given / exchange.TASK).write_bytes(msgspec.json.encode(task))
    given: dict[str, Rows] = {"train": sides.train, "validation": sides.validation}
    for name, rows in given.items():
        exchange.write_rows(room.given, name, rows.features, rows.labels)


def reference(ws: Workspace, task: Task, sides: Sides) -> Reference:
    """Train the linear baseline in a job of its own, which tries the sandbox as well.

    Raises:
        MissingExtra: A package that it needs is not installed.
        StageFailed: It was ended by the sandbox, or did not leave what it must.
    """
    room = make_room(ws.scratch, "reference")
    _give(room, task, sides)
    canary = ws.scratch / CANARY
    canary.write_bytes(b"not for jobs")
    undeclared = [str(canary), str(ws.blobs.path(sides.sealed))]
    args = [str(room.given), str(room.left), *undeclared]
    result = ws.sandbox.python(REFERENCE_JOB, args, readable=(room.given,), writable=room.left)
    _demand_packages(result)
    demand_finished(result, "training the linear baseline")
    left = collect(room, exchange.FROM_REFERENCE).files
    if exchange.FROM_REFERENCE.keys() - left.keys():
        missing = min(exchange.FROM_REFERENCE.keys() - left.keys())
        raise StageFailed(f"the linear baseline's job left no {missing}", place=REFERENCE_JOB)
    rows = len(sides.train.features) + len(sides.validation.features)
    return Reference(
        document=left[exchange.BASELINE],
        scores=read_probabilities(left[exchange.BASELINE_SCORES], rows, len(task.classes)),
        environment=left[exchange.ENVIRONMENT],
        confinement=msgspec.json.decode(left[exchange.CONFINEMENT], type=Confinement),
    )


def learn(ws: Workspace, task: Task, lesson: Lesson, recipe: Artifact, secrets: Mapping[str, bytes]) -> Candidate:
    """Let the recipe learn in a job of its own, which sees no other rows than the lesson's.

    Raises:
        InvalidRecipe: The recipe cannot be used.
        MissingExtra: A package that it needs is not installed.
        StageFailed: It was ended by the sandbox, or did not leave what it must.
    """
    room = make_room(ws.scratch, lesson.room)
    _give(room, task, lesson)
    np.save(room.given / exchange.PARITY, lesson.parity)
    _give_recipe(ws, room.given / exchange.RECIPE_FOLDER, recipe, task.file)
    args = [str(room.given), str(room.left)]
    with given_secrets(room, secrets):
        result = ws.sandbox.python(RECIPE_JOB, args, readable=(room.given,), writable=room.left)
    result = masked(result, secrets)
    left = collect(room, exchange.FROM_RECIPE)
    if result.exit_code == exchange.EXIT_RECIPE:
        raise _invalid(left, task, secrets)
    _demand_packages(result)
    demand_finished(result, "the recipe")
    if exchange.CANDIDATE not in left.files:
        raise InvalidRecipe(
            "the recipe ended its process without leaving a model",
            place=task.file,
            expected="a function that returns; the exported model is then written for it",
        )
    return Candidate(
        document=left.files[exchange.CANDIDATE],
        estimated=_estimated(left.files, len(lesson.parity), len(task.classes)),
        ignored=left.ignored,
        ignored_count=left.ignored_count,
        job=result,
    )


def _give_recipe(ws: Workspace, folder: Path, recipe: Artifact, wanted: str) -> None:
    files = parse_manifest(ws.blobs.get(recipe.digest)).files
    if wanted not in {file.path for file in files}:
        raise InvalidRecipe(f"the recipe holds no file {wanted!r}", place="[train].recipe")
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ws.blobs.get(Digest(file.digest)))


def _invalid(left: Left, task: Task, secrets: Mapping[str, bytes]) -> InvalidRecipe:
    """Return the error that a recipe's job described; its words are the recipe's own, so they are bounded and plain."""
    try:
        fault = msgspec.json.decode(left.files.get(exchange.FAULT, b""), type=Fault)
    except msgspec.MsgspecError:
        fault = Fault(message="the recipe failed and did not say why")
    message, place, expected = (
        hidden(text.encode(errors="replace"), secrets).decode(errors="replace")
        for text in (fault.message, fault.place, fault.expected)
    )
    return InvalidRecipe(printable(message), place=printable(place, 120) or task.file, expected=printable(expected))


def _demand_packages(result: JobResult) -> None:
    if result.exit_code == exchange.EXIT_MISSING:
        raise MissingExtra(
            f"training needs the package {last_words(result) or 'it could not import'}",
            place="sandbox",
            remedy="Install it: pip install 'holdfast[lifecycle,sklearn]'.",
        )


def _estimated(files: Mapping[str, bytes], rows: int, classes: int) -> NDArray[np.float64] | None:
    data = files.get(exchange.ESTIMATED)
    if data is None:
        return None
    if len(data) != 4 * rows * classes:
        raise StageFailed("the recipe's job left answers of another size", place=exchange.ESTIMATED)
    return np.frombuffer(data, "<f4").astype(np.float64).reshape(rows, classes)


def score(ws: Workspace, document: bytes, questions: Questions, *, room: str = "score") -> Answers:
    """Return a model's answers, if its labels are the classes of highest probability; `room` names the job's folder.

    Raises:
        InvalidRecipe: They are not, or the model does not keep the contract.
    """
    model = ws.scratch / "model.onnx"
    model.write_bytes(document)
    answers = ask(ws.sandbox, model, questions, make_room(ws.scratch, room))
    other = int((answers.labels != answers.probabilities.argmax(axis=1)).sum())
    if other:
        raise InvalidRecipe(
            f"for {other} of {len(answers.labels)} rows the label is not the class of highest probability",
            place="model.onnx",
            expected="label = the first class of highest probability",
        )
    return answers
