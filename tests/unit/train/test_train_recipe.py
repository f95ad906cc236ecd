import re
from pathlib import Path

import pytest
from tests.unit.train.small_project import LOGISTIC, SmallProject, evidence_of, make_project, value_of

from holdfast.core.artifact import Kind
from holdfast.core.errors import InvalidRecipe, MissingExtra


@pytest.fixture
def project(tmp_path: Path) -> SmallProject:
    """A small project whose jobs run in this process."""
    return make_project(tmp_path)


RAISES = """
def helper(data):
    return {}["weights"]

def train(data, params, seed):
    return helper(data)
"""

UNUSABLE = {
    "does not parse": ("def train(data, params, seed)\n    pass", "SyntaxError", "train.py:1"),
    "raises when loaded": ("import math\nmath.sqrt(-1)", "ValueError: ", "train.py:2"),
    "needs what is not there": ("import a_package_nobody_has", "No module named 'a_package_nobody_has'", "train.py:1"),
    "has another function": ("def fit(data, params, seed): pass", "no function 'train'", "train.py"),
    "takes other arguments": ("def train(data): pass", "takes 1 positional argument but 3 were given", ""),
    "raises": (RAISES, "the recipe failed: KeyError: 'weights'", "train.py:3"),
    "leaves the process": ("import sys\ndef train(*_): sys.exit(0)", "called exit(0)", "train.py:2"),
    "returns nothing": ("def train(*_): pass", "returned nothing", "train.py"),
    "returns a number": ("def train(*_): return 7", "returned a int, which has no predict_proba", "train.py"),
    "returns a class": (
        "from sklearn.linear_model import LogisticRegression\ndef train(*_): return LogisticRegression",
        "returned the class LogisticRegression",
        "train.py",
    ),
    "returns what is not fitted": (
        "from sklearn.linear_model import LogisticRegression\ndef train(*_): return LogisticRegression()",
        "not fitted",
        "train.py",
    ),
    "returns what cannot be exported": (
        "class Mine:\n  classes_ = [0, 1]\n  def predict_proba(self, x): return x[:, :2]\ndef train(*_): return Mine()",
        "cannot be exported to ONNX",
        "train.py",
    ),
    "returns bytes that are no model": ("def train(*_): return b'weights'", "cannot be loaded", "model.onnx"),
    "shouts at the terminal": (
        "def train(*_): raise ValueError('\\x1b[2J\\x07' + 'a' * 5000)",
        "the recipe failed: ValueError: [2J aaa",
        "train.py:1",
    ),
}


@pytest.mark.parametrize(("code", "words", "place"), UNUSABLE.values(), ids=UNUSABLE)
def test_a_recipe_that_cannot_be_used_is_refused_with_its_place(
    project: SmallProject, code: str, words: str, place: str
) -> None:
    """Whatever is wrong with a recipe is one clear error with the line of its own file, short and printable."""
    with pytest.raises(InvalidRecipe) as caught:
        project.train(code)
    assert words in caught.value.message
    assert place in caught.value.place
    assert len(str(caught.value)) < 1000
    assert str(caught.value).isprintable()


def test_a_recipe_may_import_what_lies_beside_it(project: SmallProject) -> None:
    """Modules of the recipe's folder are found; nothing of them stays behind in the path."""
    code = "from parts import make\ndef train(data, *_): return make().fit(data.train.features, data.train.labels)"
    parts = "from sklearn.linear_model import LogisticRegression\ndef make(): return LogisticRegression()"
    assert project.train(code, parts=parts).one(Kind.MODEL).size


def test_a_recipe_that_is_not_in_its_folder_is_refused(tmp_path: Path) -> None:
    """The project names a file that the recipe does not hold: it is named before anything runs."""
    project = make_project(tmp_path, edit=("code/train.py:train", "code/other.py:train"))
    with pytest.raises(InvalidRecipe, match=r"no file 'other\.py'"):
        project.train()


def test_a_recipe_sees_names_classes_parameters_and_seed(project: SmallProject) -> None:
    """What the contract promises is there: arrays of these types, names in order, read-only parameters, the seed."""
    code = """
import numpy, random
from sklearn.linear_model import LogisticRegression

def train(data, params, seed):
    assert data.feature_names == ("age", "dose", "mass", "span")
    assert data.classes == ("ill", "well") and data.positive == 0
    assert data.train.features.dtype == "float64" and data.train.labels.dtype == "int64"
    assert (data.train.features == data.train.features.astype("float32")).all()
    assert len(data.validation.features) == len(data.validation.labels) > 0
    assert dict(params) == {"trees": 10} and not hasattr(params, "update")
    assert seed == 11
    assert numpy.random.random() == numpy.random.RandomState(11).random_sample()
    assert random.random() == random.Random(11).random()
    assert not hasattr(data, "test")
    return LogisticRegression().fit(data.train.features, data.train.labels)
"""
    assert project.train(code).one(Kind.MODEL).size


def test_a_missing_package_of_ours_is_not_blamed_on_the_recipe(
    project: SmallProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the exporter the error says what to install, instead of calling the recipe wrong."""
    monkeypatch.setitem(__import__("sys").modules, "skl2onnx", None)
    with pytest.raises(MissingExtra, match="skl2onnx") as caught:
        project.train(LOGISTIC)
    assert "pip install" in caught.value.remedy


DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "recipe.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("code", BLOCKS, ids=range(len(BLOCKS)))
def test_the_recipes_in_the_reference_train(project: SmallProject, code: str) -> None:
    """Each recipe that the reference shows is a recipe: it trains, and its export answers as it does."""
    told = evidence_of(project.train(code), "train.export/1")
    assert value_of(told, "parity_max_abs") < 1e-5
