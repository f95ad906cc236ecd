"""Small honest files of boosted trees: XGBoost, LightGBM, CatBoost, written after what the libraries write."""

import json
import struct
from typing import Any


def xgboost_tree(**changes: Any) -> dict[str, Any]:
    """A tree of one split."""
    arrays = {
        "left_children": [1, -1, -1],
        "right_children": [2, -1, -1],
        "parents": [2147483647, 0, 0],
        "split_indices": [1, 0, 0],
        "split_conditions": [0.5, -0.1, 1e-3],
        "default_left": [0, 0, 0],
        "split_type": [0, 0, 0],
        "categories": [],
    }
    return arrays | {"id": 0, "tree_param": {"num_nodes": "3", "num_feature": "2", "size_leaf_vector": "1"}} | changes


def xgboost(*trees: dict[str, Any], count: int | None = None, **learner: Any) -> dict[str, Any]:
    """A model with its trees, or with one."""
    grown = trees or (xgboost_tree(),)
    parameters = {"num_trees": str(len(grown) if count is None else count), "num_parallel_tree": "1"}
    model = {"gbtree_model_param": parameters, "tree_info": [0] * len(grown), "trees": list(grown)}
    inner = {
        "attributes": {"best_iteration": "3"},
        "feature_names": ["a", "b"],
        "feature_types": [],
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {"num_feature": "2", "num_class": "0"},
        "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
    }
    return {"learner": inner | learner, "version": [3, 0, 1]}


def xgboost_json(*trees: dict[str, Any], **learner: Any) -> bytes:
    """The model in JSON."""
    return json.dumps(xgboost(*trees, **learner), separators=(",", ":")).encode()


def _length(size: int) -> bytes:
    return b"L" + struct.pack(">q", size)


def _ubjson(value: Any) -> bytes:
    if isinstance(value, dict):
        return b"{" + b"".join(_length(len(key)) + key.encode() + _ubjson(each) for key, each in value.items()) + b"}"
    if isinstance(value, list) and value and all(isinstance(each, int) for each in value):
        return b"[$l#" + _length(len(value)) + struct.pack(f">{len(value)}i", *value)
    if isinstance(value, list) and value and all(isinstance(each, float) for each in value):
        return b"[$d#" + _length(len(value)) + struct.pack(f">{len(value)}f", *value)
    if isinstance(value, list):
        return b"[#" + _length(len(value)) + b"".join(map(_ubjson, value))
    if isinstance(value, str):
        return b"S" + _length(len(value)) + value.encode()
    return b"i" + struct.pack(">b", value)


def xgboost_ubjson(*trees: dict[str, Any], **learner: Any) -> bytes:
    """The model in UBJSON."""
    return _ubjson(xgboost(*trees, **learner))


def lightgbm_tree(number: int = 0, **changes: str) -> str:
    """A tree of three leaves."""
    fields = {
        "num_leaves": "3",
        "num_cat": "0",
        "split_feature": "1 0",
        "split_gain": "2.5 1",
        "threshold": "0.5 1.0000000180025095e-35",
        "decision_type": "2 2",
        "left_child": "1 -1",
        "right_child": "-2 -3",
        "leaf_value": "-0.5 0.25 1e-3",
        "leaf_count": "7 8 9",
        "is_linear": "0",
        "shrinkage": "0.1",
    } | changes
    return f"Tree={number}\n" + "".join(f"{key}={value}\n" for key, value in fields.items()) + "\n\n"


def lightgbm(*trees: str, sizes: str | None = None, header: str = "") -> bytes:
    """A model with its trees, or with two."""
    grown = trees or (lightgbm_tree(0), lightgbm_tree(1))
    declared = " ".join(str(len(each)) for each in grown) if sizes is None else sizes
    head = "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=1\n"
    head += (
        f"objective=binary sigmoid:1\nfeature_names=a b\nfeature_infos=[0:1] [0:1]\n{header}tree_sizes={declared}\n\n"
    )
    tail = "end of trees\n\nfeature_importances:\na=2\nb=1\n\nparameters:\n[boosting: gbdt]\nend of parameters\n"
    return (head + "".join(grown) + tail).encode()


def flat(fields: dict[int, Any], identifier: bytes = b"") -> bytes:
    """A FlatBuffer: numbers take four bytes, `(code, [...])` is a vector of numbers, a list one of texts or tables."""
    out = bytearray(4 + len(identifier))
    out[4:] = identifier

    def put(value: Any) -> int:
        out.extend(bytes(-len(out) % 8))
        at = len(out)
        if isinstance(value, dict):
            return table(value)
        if isinstance(value, bytes | str):
            raw = value.encode() if isinstance(value, str) else value
            out.extend(struct.pack("<I", len(raw)) + raw + b"\0")
        elif isinstance(value, tuple):
            out.extend(struct.pack(f"<I{len(value[1])}{value[0]}", len(value[1]), *value[1]))
        else:
            out.extend(struct.pack("<I", len(value)) + bytes(4 * len(value)))
            for index, each in enumerate(value):
                slot = at + 4 + 4 * index
                struct.pack_into("<I", out, slot, put(each) - slot)
        return at

    def table(values: dict[int, Any]) -> int:
        count = max(values, default=-1) + 1
        described = len(out)
        slots = [8 + 8 * index if index in values else 0 for index in range(count)]
        out.extend(struct.pack(f"<HH{count}H", 4 + 2 * count, 8 + 8 * count, *slots))
        out.extend(bytes(-len(out) % 8))
        at = len(out)
        out.extend(struct.pack("<i", at - described) + bytes(4 + 8 * count))
        for index, value in values.items():
            slot = at + slots[index]
            struct.pack_into("<I", out, slot, value if isinstance(value, int) else put(value) - slot)
        return at

    struct.pack_into("<I", out, 0, put(fields))
    return bytes(out)


def catboost(
    sizes: tuple[int, ...] = (2, 1), starts: tuple[int, ...] = (0, 2), leaves: int = 6,
    notes: dict[str, str] | None = None, parts: tuple[str, ...] = (), tail: bytes = b"",
    version: str = "FlabuffersModel_v1",
) -> bytes:  # fmt: skip
    """A model of two symmetric trees."""
    trees = {0: 1, 1: ("i", [0, 1, 0]), 2: ("i", list(sizes)), 3: ("i", list(starts)), 8: ("d", [0.5] * leaves)}
    infos = [{0: key, 1: value} for key, value in ({"params": "{}"} | (notes or {})).items()]
    core = flat({0: version, 1: trees, 2: infos, 3: list(parts)})
    return b"CBM1" + struct.pack("<I", len(core)) + core + tail


HONEST_TREES = {
    "XGBoost JSON": xgboost_json(),
    "XGBoost UBJSON": xgboost_ubjson(),
    "LightGBM": lightgbm(),
    "CatBoost": catboost(),
}
