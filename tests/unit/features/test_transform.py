"""Transforms: one arithmetic for training and serving, exact where it has a value, refused where it has none."""

import subprocess
import sys
from typing import Any

import msgspec
import numpy as np
import pytest

from holdfast.core.errors import InvalidData
from holdfast.core.project import Transform
from holdfast.engines.transform import TRANSFORMS, Feature, View, apply

COLUMNS = {"a": np.array([0.0, 3.0, np.nan]), "b": np.array([1.0, 2.0, 4.0])}


@pytest.mark.parametrize(
    ("transform", "of", "expected"),
    [
        ("column", ("a",), [0.0, 3.0, np.nan]),
        ("log1p", ("a",), [0.0, np.log(4.0), np.nan]),
        ("square", ("a",), [0.0, 9.0, np.nan]),
        ("ratio", ("a", "b"), [0.0, 1.5, np.nan]),
        ("difference", ("a", "b"), [-1.0, 1.0, np.nan]),
    ],
)
def test_each_transform_is_its_formula_and_keeps_what_is_missing_missing(
    transform: Any, of: tuple[str, ...], expected: list[float]
) -> None:
    """NaN goes in, NaN comes out; nothing is filled in."""
    values = apply((Feature(name="f", of=of, transform=transform),), COLUMNS)
    np.testing.assert_allclose(values, np.array(expected)[:, None], rtol=1e-15)


def test_features_stand_in_the_order_of_the_view() -> None:
    """A model knows its inputs by position only."""
    features = (Feature(name="second", of=("b",)), Feature(name="first", of=("a",)))
    np.testing.assert_array_equal(apply(features, COLUMNS), np.column_stack([COLUMNS["b"], COLUMNS["a"]]))


@pytest.mark.parametrize(
    ("transform", "columns", "row"),
    [
        ("log1p", {"a": [1.0, -1.0]}, 1),
        ("log1p", {"a": [-2.0]}, 0),
        ("square", {"a": [0.0, 0.0, 1e200]}, 2),
        ("column", {"a": [1e39]}, 0),
        ("column", {"a": [-np.inf]}, 0),
        ("ratio", {"a": [1.0], "b": [0.0]}, 0),
        ("ratio", {"a": [0.0], "b": [0.0]}, 0),
        ("difference", {"a": [3e38], "b": [-3e38]}, 0),
    ],
)
def test_a_row_for_which_a_transform_has_no_value_is_refused_and_named(
    transform: Any, columns: dict[str, list[float]], row: int
) -> None:
    """No infinity, and no NaN that stands for anything but a missing value, reaches a model as a number."""
    feature = Feature(name="f", of=tuple(columns), transform=transform)
    with pytest.raises(InvalidData) as refusal:
        apply((feature,), {name: np.array(values) for name, values in columns.items()})
    assert refusal.value.place == f"feature f, row {row}"


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ((), "without features"),
        ((Feature(name="f", of=("gone",)),), "'gone'"),
        ((Feature(name="f", of=("a", "b"), transform="square"),), "square of 2 columns"),
        ((Feature(name="f", of=("a",), transform="ratio"),), "ratio of 1 columns"),
    ],
)
def test_a_view_that_does_not_fit_the_columns_is_refused(features: tuple[Feature, ...], words: str) -> None:
    """Empty means no; a missing column and a wrong count are named."""
    with pytest.raises(InvalidData, match=words):
        apply(features, COLUMNS)


def test_projects_may_ask_for_exactly_the_transforms_there_are() -> None:
    """The project file's list and the table here are one."""
    declared = next(field for field in msgspec.structs.fields(Transform) if field.name == "transform").type.__args__
    assert {*declared, "column"} == set(TRANSFORMS)


def test_a_views_digest_covers_names_order_transforms_and_classes() -> None:
    """Whatever changes the inputs of a model changes the digest of its view."""
    a, b = Feature(name="a", of=("a",)), Feature(name="b", of=("a",), transform="square")
    views = [
        View(features=(a, b), classes=("no", "yes")),
        View(features=(b, a), classes=("no", "yes")),
        View(features=(a, b), classes=("yes", "no")),
        View(features=(a, msgspec.structs.replace(b, transform="log1p")), classes=("no", "yes")),
    ]
    assert len({view.digest for view in views}) == len(views)
    assert msgspec.json.decode(msgspec.json.encode(views[0]), type=View).digest == views[0].digest


def test_a_gateway_can_use_transforms_without_any_engine() -> None:
    """Serving has no Polars; the arithmetic needs none."""
    code = "import sys, holdfast.engines.transform; sys.exit('polars' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
