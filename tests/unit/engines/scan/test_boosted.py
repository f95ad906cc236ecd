"""Boosted trees: counts and indices that a reader in C++ would believe are held against what is there."""

import json
from typing import Any

import pytest
from tests.unit.engines.scan.honest import above_low, found, scan
from tests.unit.engines.scan.honest_trees import (
    catboost,
    lightgbm,
    lightgbm_tree,
    xgboost,
    xgboost_json,
    xgboost_tree,
    xgboost_ubjson,
)

from holdfast.core.evidence import Severity

HIGH, MEDIUM = Severity.HIGH, Severity.MEDIUM
TREES = [
    {"left_children": [3, -1, -1]},  # beyond the end
    {"left_children": [0, -1, -1]},  # the root again: a walk without an end
    {"left_children": [2, -1, -1]},  # two ways to one node
    {"left_children": [1, 1, -1]},  # a circle
    {"left_children": [-2, -1, -1]},
    {"left_children": [1, -1]},
    {"split_indices": [2, 0, 0]},  # a feature that there is not
    {"split_conditions": [0.5]},
    {"tree_param": {"num_nodes": "4"}},
]


@pytest.mark.parametrize("write", [xgboost_json, xgboost_ubjson])
@pytest.mark.parametrize("changes", TREES)
def test_a_tree_of_xgboost_that_lies_is_found(write: Any, changes: dict[str, Any]) -> None:
    """In either writing, behind a tree that is honest."""
    assert ("xgboost.shape", HIGH) in found(write(xgboost_tree(), xgboost_tree(**changes)))


@pytest.mark.parametrize("write", [xgboost_json, xgboost_ubjson])
def test_what_xgboost_does_not_have_is_found(write: Any) -> None:
    """Objectives, boosters, fields, a wrong number of trees, a program in an attribute, and a tree that is none."""
    assert ("xgboost.unknown-name", MEDIUM) in found(write(objective={"name": "their:objective"}))
    assert ("xgboost.unknown-name", MEDIUM) in found(write(gradient_booster={"name": "their", "model": {}}))
    assert ("xgboost.unknown-field", MEDIUM) in found(write(callback="x"))
    assert ("xgboost.shape", HIGH) in found(write(count=2))
    assert ("xgboost.attribute.executable", HIGH) in found(write(attributes={"a": "__import__('os')"}))
    assert ("xgboost.attribute.long", MEDIUM) in found(write(attributes={"a": "word " * 20_000}))
    assert ("xgboost.malformed", MEDIUM) in found(write(xgboost_tree(left_children="x")))
    assert ("xgboost.malformed", MEDIUM) in found(write()[:-1])


def test_a_booster_that_drops_trees_and_one_in_a_state_are_read() -> None:
    """The trees stand one level deeper."""
    bad = xgboost(xgboost_tree(left_children=[3, -1, -1]))
    booster = {"name": "dart", "weight_drop": [1.0], "gbtree": bad["learner"]["gradient_booster"]}
    assert ("xgboost.shape", HIGH) in found(xgboost_json(gradient_booster=booster))
    state = {"Config": {"learner": {"generic_param": {}, "gradient_booster": {}}, "version": [3, 0, 0]}, "Model": bad}
    assert ("xgboost.shape", HIGH) in found(json.dumps(state).encode())


def test_a_key_that_stands_twice_is_found() -> None:
    """In both writings."""
    assert ("xgboost.duplicate-key", HIGH) in found(xgboost_json()[:-1] + b',"version":[1]}')
    twice = xgboost_ubjson()[:-1] + b"L" + (7).to_bytes(8, "big") + b"versionZ}"
    assert ("xgboost.duplicate-key", HIGH) in found(twice)


@pytest.mark.parametrize(
    "data",
    [
        b"{L\0\0\0\0\0\0\0\x07learner{" + b"L\0\0\0\0\0\0\0\x01a[$d#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{L\0\0\0\0\0\0\0\x07learner{" + b"L\xff\xff\xff\xff\xff\xff\xff\xffa",
        b"{L\0\0\0\0\0\0\0\x07learner{" + b"L\0\0\0\0\0\0\0\x01a" + b"[" * 2000,
        b"{L\0\0\0\0\0\0\0\x07learner{" + b"L\0\0\0\0\0\0\0\x01a[#L\x7f\xff\xff\xff\xff\xff\xff\xff",
        b"{L\0\0\0\0\0\0\0\x07learner{" + b"L\0\0\0\0\0\0\0\x01aQ",
    ],
)
def test_ubjson_that_asks_for_too_much_is_malformed(data: bytes) -> None:
    """Counts without bytes, lengths below zero, depth, and values of no kind."""
    assert ("xgboost.malformed", MEDIUM) in found(data)


@pytest.mark.parametrize("head", [b"binf", b"bs64", b"CONFIG-offset:"])
def test_the_binary_form_of_old_versions_is_not_judged(head: bytes) -> None:
    """Unscannable, not clean."""
    assert ("xgboost.unsupported", MEDIUM) in found(head + bytes(200))


@pytest.mark.parametrize(
    "changes",
    [
        {"left_child": "1 2"},
        {"left_child": "0 -1"},
        {"left_child": "1 -4"},
        {"left_child": "1 -2"},
        {"right_child": "1 -3"},
        {"left_child": "1"},
        {"leaf_value": "1 2"},
        {"num_leaves": "4"},
        {"split_feature": "2 0"},
        {"threshold": "1 2 3"},
        {"num_cat": "1", "cat_boundaries": "0 9", "cat_threshold": "1 2"},
        {"num_cat": "2", "cat_boundaries": "0 1", "cat_threshold": "1"},
    ],
)
def test_a_tree_of_lightgbm_that_lies_is_found(changes: dict[str, str]) -> None:
    """Children, counts, features and sets of categories."""
    assert ("lightgbm.shape", HIGH) in found(lightgbm(lightgbm_tree(0), lightgbm_tree(1, **changes)))


def test_what_lightgbm_does_not_write_is_found() -> None:
    """Sizes by which a reader would look elsewhere, fields, keys that stand twice, and damage."""
    assert ("lightgbm.shape", HIGH) in found(lightgbm(sizes="10 20"))
    assert ("lightgbm.shape", HIGH) in found(lightgbm(sizes="10"))
    assert ("lightgbm.unknown-field", MEDIUM) in found(lightgbm(header="parser_config_str={}\n"))
    assert ("lightgbm.unknown-field", MEDIUM) in found(lightgbm(lightgbm_tree(0, code="x")))
    assert ("lightgbm.duplicate-key", HIGH) in found(lightgbm(header="num_class=3\n"))
    assert ("lightgbm.malformed", MEDIUM) in found(lightgbm(lightgbm_tree(0, num_leaves="many")))
    assert ("lightgbm.malformed", MEDIUM) in found(lightgbm(lightgbm_tree(0, num_leaves="99999999999")))
    assert ("lightgbm.malformed", MEDIUM) in found(lightgbm().replace(b"end of trees", b""))


@pytest.mark.parametrize("cut", ["version=v4\n", "num_class=1\n", "max_feature_idx=1\n"])
def test_no_missing_field_hides_a_model_of_lightgbm(cut: str) -> None:
    """Its reader asks for few of them."""
    data = (
        lightgbm(lightgbm_tree(0, left_child="9 9")).decode().replace(cut, "").replace("tree\n", "tree\r\n", 1).encode()
    )
    assert scan(data)[0][0] == "LightGBM"
    assert ("lightgbm.shape", HIGH) in found(data)


def test_stumps_and_categories_of_lightgbm_are_clean() -> None:
    """A tree of one leaf has no children; sets of categories lie where they are said to; a model may have no trees."""
    assert above_low(b"tree\nversion=v4\nnum_class=1\n\nend of trees\n") == []
    stump = "Tree=0\nnum_leaves=1\nnum_cat=0\nleaf_value=0.5\nis_linear=0\nshrinkage=1\n\n\n"
    assert above_low(lightgbm(stump)) == []
    sets = lightgbm_tree(0, num_cat="1", cat_boundaries="0 2", cat_threshold="1 2")
    assert above_low(lightgbm(sets)) == []


@pytest.mark.parametrize(
    ("data", "rule", "severity"),
    [
        (catboost(sizes=(2, 3)), "catboost.shape", HIGH),  # splits beyond the end
        (catboost(starts=(0, -1)), "catboost.shape", HIGH),
        (catboost(sizes=(2, 1, 1)), "catboost.shape", HIGH),
        (catboost(leaves=5), "catboost.shape", HIGH),
        (catboost(parts=("their_part",), tail=b"x"), "catboost.part", HIGH),
        (catboost(tail=b"more"), "catboost.trailing", HIGH),
        (catboost(notes={"x": "/bin/sh -c id"}), "catboost.metadata.executable", HIGH),
        (catboost(notes={"x": "word " * 20_000}), "catboost.metadata.long", MEDIUM),
        (catboost(version="Other"), "catboost.unsupported", MEDIUM),
        (catboost()[:60], "catboost.malformed", MEDIUM),
        (b"CBM1\x10\0\0\0" + b"\xff" * 16, "catboost.malformed", MEDIUM),
    ],
)
def test_a_model_of_catboost_that_lies_is_found(data: bytes, rule: str, severity: Severity) -> None:
    """Trees, parts, notes and what stands behind the buffer."""
    assert (rule, severity) in found(data)


def test_parts_of_catboost_are_known_by_name() -> None:
    """They are padded with zeros."""
    assert above_low(catboost(parts=("static_provider_v1",), tail=b"statistics")) == []
    assert above_low(catboost(parts=("text_process_v2\0",), tail=b"words")) == []
    assert scan(catboost())[0] == ("CatBoost",)
