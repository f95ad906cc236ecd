"""Models of disjoint subsets that vote, so that few poisoned rows change few of them (Deep Partition Aggregation).

Levine and Feizi, ICLR 2021, arXiv:2006.14768, with these steps:

1. a row's subset is a hash of its features modulo their number: it depends on no other row, and not on its own label;
2. one recipe's job for each subset, in a sandbox that is given the rows of that subset and nothing of the others, rows
   to choose by included; the same seed for all;
3. the exports vote inside one ONNX model, ties to the lower class (`train.voting`);
4. the votes are counted again outside of it and must agree.

Relabelling, adding or removing one row therefore changes one model. What the certificate is, `assess.certificate` says.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Artifact, digest_bytes
from holdfast.core.errors import InvalidData, InvalidRecipe, StageFailed
from holdfast.core.ports import JobResult, Workspace
from holdfast.core.project import Project
from holdfast.engines.jobs import MAX_LISTED, MAX_MODEL, collect, demand_finished, last_words, make_room
from holdfast.engines.scoring import Questions
from holdfast.maths.votes import shares
from holdfast.train.sides import Rows, Sides, parity_rows
from holdfast.train.split import comparable
from holdfast.train.training import Candidate, Lesson, Training, Voters, answered, learn, reference, score, task_of
from holdfast.train.voting import EXIT_FORM, VOTING

VOTING_JOB: Final = "holdfast.train.voting"
HASHED: Final = 8  # bytes of the hash that are taken modulo the number of subsets
PLACE: Final = "holdfast.toml: [train].subsets"


def subset_of(features: NDArray[np.float32], subsets: int) -> NDArray[np.int64]:
    """Return each row's subset, shape (n,), of features, shape (n, d); equal values are in one, zeros and NaN alike.

    >>> rows = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 1.0]], dtype=np.float32)
    >>> found = subset_of(rows, 250)
    >>> bool(found[0] == found[1]), bool(found[0] == found[2])
    (True, False)
    """
    rows = np.ascontiguousarray(comparable(features).astype("<f4"))
    hashed = (int.from_bytes(hashlib.sha256(row.tobytes()).digest()[:HASHED]) for row in rows)
    return np.array([value % subsets for value in hashed], dtype=np.int64)


def vote(ws: Workspace, project: Project, sides: Sides, recipe: Artifact, rng: np.random.Generator) -> Training:
    """Train one candidate on each subset and the baseline on all rows; return the model in which they vote.

    Raises:
        InvalidData: A subset lacks rows of a class: there are too many subsets for so few rows.
        InvalidRecipe: The recipe cannot be used, or what it made is not a model that keeps the contract.
        MissingExtra: A package that training needs is not installed.
        StageFailed: A job was ended by the sandbox, or did not leave what it must.
    """
    task = task_of(project, sides)
    lessons = _lessons(sides, project.train.subsets, rng)
    beside = reference(ws, task, sides)
    secrets = {name: ws.secret(name) for name in project.train.secrets}
    learned = [learn(ws, task, lesson, recipe, secrets) for lesson in lessons]
    classes, validation = len(task.classes), sides.validation.features
    own = [
        score(
            ws,
            each.document,
            Questions(rows=np.concatenate((validation, _asked(each, lesson))), classes=classes),
            room=f"score-{number}",
        ).probabilities
        for number, (each, lesson) in enumerate(zip(learned, lessons, strict=True))
    ]
    document = _voting(ws, [each.document for each in learned], len(task.feature_names), classes)
    rows = np.concatenate((sides.train.features, validation))
    served = score(ws, document, Questions(rows=rows, classes=classes)).probabilities
    answers = np.stack([each[: len(validation)].argmax(axis=1) for each in own])
    votes = np.stack([(answers == c).sum(axis=0) for c in range(classes)], axis=1)
    counted = shares(votes, np.mean([each[: len(validation)] for each in own], axis=0))
    train, of_validation = served[: len(sides.train.features)], served[len(sides.train.features) :]
    if (votes.argmax(axis=1) != of_validation.argmax(axis=1)).any():
        raise StageFailed("the model that counts votes answers otherwise than the votes", place=VOTING_JOB)
    parity, estimated, exported = _parity(learned, lessons, [each[len(validation) :] for each in own], classes)
    return Training(
        project=project,
        sides=sides,
        parity=parity,
        candidate=_one(document, learned, estimated),
        reference=beside,
        train_scores=train,
        validation_scores=of_validation,
        exported=exported,
        voters=Voters(
            rows=tuple(len(each.train.labels) + len(each.validation.labels) for each in lessons),
            documents=tuple(digest_bytes(each.document) for each in learned),
            gap=float(np.abs(counted - of_validation).max()),
        ),
    )


def _lessons(sides: Sides, subsets: int, rng: np.random.Generator) -> list[Lesson]:
    """Return what each job learns from.

    Its export is checked on its own rows: the rows of others must not lie in its folder, not even without labels.
    """
    places = {name: subset_of(rows.features, subsets) for name, rows in _named(sides)}
    lessons = []
    for number in range(subsets):
        train, validation = (
            Rows(features=rows.features[places[name] == number], labels=rows.labels[places[name] == number])
            for name, rows in _named(sides)
        )
        lacking = np.setdiff1d(np.arange(len(sides.view.classes)), train.labels)
        if lacking.size:
            raise InvalidData(
                f"subset {number} of {subsets} has no row of class {sides.view.classes[int(lacking[0])]!r}",
                place=PLACE,
                expected="rows of each class in each subset",
                remedy="Declare fewer subsets, or bring more rows.",
            )
        parity = parity_rows(np.concatenate((train.features, validation.features)), rng)
        lessons.append(Lesson(train=train, validation=validation, parity=parity, room=f"recipe-{number}"))
    return lessons


def _named(sides: Sides) -> tuple[tuple[str, Rows], ...]:
    return ("train", sides.train), ("validation", sides.validation)


def _asked(candidate: Candidate, lesson: Lesson) -> NDArray[np.float32]:
    return lesson.parity[answered(candidate, len(lesson.parity))]


def _voting(ws: Workspace, documents: Sequence[bytes], features: int, classes: int) -> bytes:
    room = make_room(ws.scratch, "voting")
    for number, document in enumerate(documents):
        (room.given / f"{number}.onnx").write_bytes(document)
    args = [str(room.given), str(room.left), str(len(documents)), str(features), str(classes)]
    result = ws.sandbox.python(VOTING_JOB, args, readable=(room.given,), writable=room.left)
    if result.exit_code == EXIT_FORM:
        words = f"the models of the subsets cannot vote in one: {last_words(result)}"
        raise InvalidRecipe(words, place=PLACE, expected="models of standard ONNX, all of one version")
    demand_finished(result, "putting the models of the subsets into one")
    left = collect(room, {VOTING: MAX_MODEL}).files.get(VOTING)
    if left is None:
        raise StageFailed("putting the models of the subsets into one left no model", place=VOTING_JOB)
    return left


def _parity(
    learned: Sequence[Candidate], lessons: Sequence[Lesson], exported: Sequence[NDArray[np.float64]], classes: int
) -> tuple[NDArray[np.float32], NDArray[np.float64] | None, NDArray[np.float64]]:
    """Return the parity rows of all subsets, what the estimators and what their exports answer: whole rows first."""
    if any(each.estimated is None for each in learned):
        return np.concatenate([each.parity for each in lessons]), None, np.empty((0, classes))
    halves: list[list[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]]] = [[], []]
    for each, lesson, answers in zip(learned, lessons, exported, strict=True):
        if each.estimated is None:
            continue
        there, n = answered(each, len(lesson.parity)), len(lesson.parity) // 2
        cut = int(there[:n].sum())
        halves[0].append((lesson.parity[:n], each.estimated[:n], answers[:cut]))
        halves[1].append((lesson.parity[n:], each.estimated[n:], answers[cut:]))
    parts = [part for half in halves for part in half]
    return (
        np.concatenate([rows for rows, _, _ in parts]),
        np.concatenate([estimated for _, estimated, _ in parts]),
        np.concatenate([answers for _, _, answers in parts]),
    )


def _one(document: bytes, learned: Sequence[Candidate], estimated: NDArray[np.float64] | None) -> Candidate:
    """Return the candidate that all of them are together: what their jobs took is added up."""
    jobs = [each.job for each in learned if each.job is not None]
    return Candidate(
        document=document,
        estimated=estimated,
        ignored=tuple(name for each in learned for name in each.ignored)[:MAX_LISTED],
        ignored_count=sum(each.ignored_count for each in learned),
        job=_together(jobs),
    )


def _together(jobs: Sequence[JobResult]) -> JobResult:
    spent = [job.cpu_s for job in jobs if job.cpu_s is not None]
    return replace(
        jobs[0], wall_s=sum(job.wall_s for job in jobs), cpu_s=sum(spent) if len(spent) == len(jobs) else None
    )
