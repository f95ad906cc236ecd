"""Models of disjoint subsets that vote: what each learns from, what is served, and what poison can reach."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from tests.unit.train.small_project import (
    FOREST,
    LOGISTIC,
    PROJECT,
    SmallProject,
    evidence_of,
    make_project,
    rows,
    value_of,
)
from tests.unit.train.test_train_stage import ONNX

from holdfast.core.artifact import Kind
from holdfast.core.errors import InvalidData, InvalidProject
from holdfast.core.evidence import Outcome
from holdfast.core.project import Project, parse_project
from holdfast.engines.canonical_onnx import Shape, canonical_model
from holdfast.maths.votes import certified_parts, votes_of
from holdfast.testing.sandbox import UnsafeInProcessSandbox
from holdfast.train.sides import split
from holdfast.train.subsets import subset_of, vote
from holdfast.train.training import run_jobs
from holdfast.train.voting import voting_model

NEAREST = """
from sklearn.neighbors import KNeighborsClassifier

def train(data, params, seed):
    return KNeighborsClassifier(1).fit(data.train.features, data.train.labels)
"""


def voting(folder: Path, subsets: int = 5, table: pl.DataFrame | None = None) -> SmallProject:
    """A small project whose model votes over so many subsets."""
    return make_project(folder, table=table, edit=("seed = 11", f"seed = 11\nsubsets = {subsets}"))


def answers(document: bytes, given: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """What a runtime that knows nothing of votes answers."""
    session = onnxruntime.InferenceSession(document, providers=["CPUExecutionProvider"])
    label, probabilities = session.run(["label", "probabilities"], {"input": given})
    return label, probabilities


def test_a_rows_subset_depends_on_its_features_alone() -> None:
    """No other row and no label moves it; about as many rows fall into each, and changed features move it."""
    values = np.random.default_rng(0).normal(size=(5000, 4)).astype(np.float32)
    found = subset_of(values, 10)
    assert np.array_equal(subset_of(values[::-1], 10), found[::-1])
    assert np.bincount(found, minlength=10).min() > 400
    assert (subset_of(values + np.float32(1), 10) != found).mean() > 0.8


@pytest.mark.requirement("VAL-24", by="holdfast.train.subsets:vote")
def test_each_job_sees_its_own_subset_and_nothing_of_the_others(tmp_path: Path) -> None:
    """No learned, tuned or parity row of another subset lies in a recipe's folder: the certificate rests on it."""
    project = voting(tmp_path)
    project.train()
    sandbox = project.ws.sandbox
    assert isinstance(sandbox, UnsafeInProcessSandbox)
    seen = 0
    for number in range(5):
        given = project.ws.scratch / f"recipe-{number}" / "given"
        assert any(given in readable for _, readable, _ in sandbox.declared)
        arrays = [np.load(path) for path in given.glob("*.npy") if "labels" not in path.name]
        assert len(arrays) == 3
        whole = np.concatenate([each[~np.isnan(each).any(axis=1)] for each in arrays])
        assert set(subset_of(whole, 5).tolist()) == {number}
        seen += len(np.load(given / "train-labels.npy")) + len(np.load(given / "validation-labels.npy"))
    assert seen == 180


@pytest.mark.requirement("VAL-24", by="holdfast.train.subsets:vote")
def test_one_onnx_model_answers_as_the_votes_do(tmp_path: Path) -> None:
    """What is served is one graph of standard operators; its votes are counted again outside of it."""
    project = voting(tmp_path)
    result = project.train(FOREST)
    document = project.file(result.one(Kind.MODEL), "model.onnx")
    assert {item.domain for item in onnx.load_from_string(document).opset_import} <= {"", "ai.onnx.ml"}
    given = np.random.default_rng(1).normal(size=(200, 4)).astype(np.float32)
    label, told = answers(document, given)
    votes = votes_of(told.astype(np.float64), 5)
    assert len(np.unique(votes[:, 0])) > 2
    assert np.array_equal(label, votes.argmax(axis=1))
    assert len(np.unique(told[:, 0])) > 6  # within equal votes rows are ranked by the models' own probabilities
    export = evidence_of(result, "train.export/1")
    assert value_of(export, "parity_max_abs") < 1e-5
    assert value_of(export, "votes_max_abs") < 1e-6
    assert next(each.n for each in export.measures if each.name == "parity_max_abs") == 180
    parted = evidence_of(result, "train.split/1")
    assert value_of(parted, "subsets") == 5
    assert 0 < value_of(parted, "smallest_subset_rows") <= 36


def test_an_estimator_that_answers_unlike_its_export_is_found_among_the_voters(tmp_path: Path) -> None:
    """Parity is a gate for each of them, not for their votes alone."""
    code = LOGISTIC.replace("    return LogisticRegression(max_iter=1000).fit", "    m = LogisticRegression().fit") + (
        "    honest = m.predict_proba\n    m.predict_proba = lambda rows: honest(rows)[:, ::-1]\n    return m\n"
    )
    assert value_of(evidence_of(voting(tmp_path).train(code), "train.export/1"), "parity_max_abs") > 0.5


def test_recipes_that_return_onnx_vote_too(tmp_path: Path) -> None:
    """There is nothing to compare them with, and that is said; their votes are still counted again."""
    project = voting(tmp_path, 3)
    result = project.train(ONNX.replace("{label}", "ArgMax").replace("{input}", "input"))
    assert evidence_of(result, "train.export/1").outcome is Outcome.NOT_APPLICABLE
    shares = answers(project.file(result.one(Kind.MODEL), "model.onnx"), np.ones((1, 4), dtype=np.float32))[1]
    assert sorted(votes_of(shares.astype(np.float64), 3)[0].tolist()) == [0, 3]


def test_the_same_rows_give_the_same_model_byte_for_byte(tmp_path: Path) -> None:
    """Partition, jobs and votes are functions of rows, recipe and seed."""
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    first, second = (voting(folder).train(FOREST) for folder in folders)
    assert first.one(Kind.MODEL) == second.one(Kind.MODEL)


def test_more_subsets_than_rows_can_fill_are_refused(tmp_path: Path) -> None:
    """A subset without a class would answer for none: refused with the subset, not trained around."""
    with pytest.raises(InvalidData, match=r"subset \d+ of 60 has no row of class") as caught:
        voting(tmp_path, 60).train()
    assert "fewer subsets" in caught.value.remedy


@pytest.mark.requirement("VAL-24", by="holdfast.train.voting:voting_model")
def test_a_poisoned_model_can_do_no_more_than_cast_its_vote() -> None:
    """One of three answers with no number, infinities or a thousand: the two others' class is the label."""
    document = voting_model([_constant(0.6, 0.4), _constant(0.6, 0.4), _constant(0.0, 1.0)], SHAPE)
    assert answers(document, ROW)[0].tolist() == [0]
    for worst in (np.nan, np.inf, 1000.0, -np.inf):
        for pair in ((0.0, worst), (worst, 1.0), (worst, worst)):
            document = voting_model([_constant(0.6, 0.4), _constant(0.6, 0.4), _constant(*pair)], SHAPE)
            label, told = answers(document, ROW)
            assert label.tolist() == [0]
            assert np.isfinite(told).all()


@pytest.mark.requirement("VAL-24", by="holdfast.train.voting:voting_model")
def test_a_tie_goes_to_the_lower_class_however_sure_the_others_are() -> None:
    """Two against two: the certificate counts on it."""
    document = voting_model([_constant(0.51, 0.49)] * 2 + [_constant(0.0, 1.0)] * 2, SHAPE)
    label, told = answers(document, ROW)
    assert label.tolist() == [0]
    assert votes_of(told.astype(np.float64), 4).tolist() == [[2, 2]]


ROW = np.zeros((1, 2), dtype=np.float32)
SHAPE = Shape(features=2, classes=2, graph="voting")


def _constant(*probabilities: float) -> bytes:
    """A model that answers every row with these."""
    made = [
        helper.make_node("Mul", ["input", "none"], ["nothing"]),
        helper.make_node("Add", ["nothing", "these"], ["p"]),
    ]
    constants = {"none": np.zeros(1), "these": np.array([probabilities])}
    graph = helper.make_graph(
        made,
        "constant",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, [None, 2])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return canonical_model(model, "p", SHAPE)


@pytest.mark.parametrize("subsets", [1, 2, 251, -1])
def test_subsets_that_withstand_nothing_are_no_declaration(subsets: int) -> None:
    """One or two votes certify nothing; more than are allowed are refused as well."""
    with pytest.raises(InvalidProject):
        parse_project(PROJECT.replace("seed = 11", f"seed = 11\nsubsets = {subsets}").encode())


def test_the_certificate_stands_in_the_evidence(tmp_path: Path) -> None:
    """Shares of the sealed rows that withstand 1, 2, 5 … poisoned rows, with intervals, never rising."""
    project = voting(tmp_path, 9)
    trained = project.train()
    told = evidence_of(project.assess(trained), "assess.certificate/1")
    assert told.outcome is Outcome.MEASURED
    shares = [value_of(told, f"certified_share:{r}") for r in (1, 2, 5, 10)]
    right = [value_of(told, f"certified_accuracy:{r}") for r in (1, 2, 5, 10)]
    assert shares == sorted(shares, reverse=True)
    assert shares[0] > 0.7
    assert all(a <= b for a, b in zip(right, shares, strict=True))
    assert shares[2] == 0  # nine votes withstand four changed ones at most
    assert next(each.n for each in told.measures if each.name == "certified_share:1") == 60


def test_a_model_of_all_rows_has_no_certificate(tmp_path: Path) -> None:
    """Not applicable with its reason: a policy that demands it denies."""
    project = make_project(tmp_path)
    told = evidence_of(project.assess(project.train()), "assess.certificate/1")
    assert told.outcome is Outcome.NOT_APPLICABLE


def test_a_model_whose_answers_are_no_votes_gets_no_certificate(tmp_path: Path) -> None:
    """Trained without votes and assessed as if it had them: failed, never certified."""
    project = make_project(tmp_path)
    trained = project.train()
    claimed = replace(project, project=voting_project(project))
    assert evidence_of(claimed.assess(trained), "assess.certificate/1").outcome is Outcome.FAILED


def voting_project(project: SmallProject) -> Project:
    """The same project, which says that five models vote."""
    return msgspec.structs.replace(project.project, train=msgspec.structs.replace(project.project.train, subsets=5))


class Attacker:
    """Knows the hash, the recipe and all rows, and turns the labels that lie nearest to one victim."""

    def __init__(self, folder: Path, victim: NDArray[np.float32]) -> None:
        self.folder, self.victim = folder, victim

    def votes(self, count: int) -> NDArray[np.int64]:
        """The votes on the victim, once the nearest label in each of so many subsets is turned."""
        project = voting(self._new(), 9)
        sides = split(project.ws, project.project, project.features)
        where, labels = subset_of(sides.train.features, 9), sides.train.labels.copy()
        distance = ((sides.train.features - self.victim) ** 2).sum(axis=1)
        nearest = [int(np.flatnonzero(where == s)[distance[where == s].argmin()]) for s in range(9)]
        wanted = np.bincount(labels[nearest], minlength=2).argmax()
        for row in [row for row in nearest if labels[row] == wanted][:count]:
            labels[row] = 1 - wanted
        spoiled = replace(sides, train=replace(sides.train, labels=labels))
        made = vote(project.ws, project.project, spoiled, project.recipe(NEAREST), np.random.default_rng(0))
        shares = answers(made.candidate.document, self.victim[None])[1]
        return votes_of(shares.astype(np.float64), 9)[0]

    def turns_one_model(self) -> bool:
        """Whether one turned label turns the answer of one model of all rows."""
        project = make_project(self._new())
        sides = split(project.ws, project.project, project.features)
        nearest = int(((sides.train.features - self.victim) ** 2).sum(axis=1).argmin())
        labels = sides.train.labels.copy()
        labels[nearest] = 1 - labels[nearest]
        spoiled = replace(sides, train=replace(sides.train, labels=labels))
        parity = sides.validation.features
        made = run_jobs(project.ws, project.project, spoiled, project.recipe(NEAREST), parity)
        answered = answers(made.candidate.document, self.victim[None])[0][0]
        return bool(answered == labels[nearest])

    def _new(self) -> Path:
        made = self.folder / str(len(list(self.folder.iterdir())))
        made.mkdir()
        return made


@pytest.mark.requirement("VAL-24", by="holdfast.train.subsets:vote")
@pytest.mark.requirement("VAL-24", by="holdfast.train.voting:voting_model")
@pytest.mark.guarantee("G89")
@pytest.mark.parametrize("victim", [3, 8])
def test_poison_within_the_certificate_changes_no_answer(tmp_path: Path, victim: int) -> None:
    """One turned label turns a model of all rows; nine votes hold up to their certificate, and fall right behind it.

    That they fall shows that the attack is one: the certificate is exact against somebody who knows the hash.
    """
    rows_of_victims = rows(40, seed=77).select("age", "dose", "mass", "span").to_numpy().astype(np.float32)
    attacker = Attacker(tmp_path, rows_of_victims[victim])
    honest = attacker.votes(0)
    withstood = int(certified_parts(honest[None])[0])
    assert withstood >= 1
    assert attacker.turns_one_model()
    assert attacker.votes(withstood).argmax() == honest.argmax()
    assert attacker.votes(withstood + 1).argmax() != honest.argmax()
