"""The scanner against the `onnx` package: both must see the same model."""

from typing import Any

import numpy as np
import onnx
import pytest
from tests.unit.scan import models

from holdfast.engines.scan.schema import ELEMENT_BITS, MESSAGES, STRING
from holdfast.engines.scan.wire import FIXED32, FIXED64, LEN, VARINT

WIRES = {
    "TYPE_INT64": VARINT,
    "TYPE_INT32": VARINT,
    "TYPE_UINT64": VARINT,
    "TYPE_ENUM": VARINT,
    "TYPE_FLOAT": FIXED32,
    "TYPE_DOUBLE": FIXED64,
    "TYPE_STRING": LEN,
    "TYPE_BYTES": LEN,
    "TYPE_MESSAGE": LEN,
}


def described(descriptor: Any, found: dict[str, dict[int, tuple]] | None = None) -> dict[str, dict[int, tuple]]:
    """Every message below one, as the installed `onnx` describes it."""
    found = {} if found is None else found
    name = descriptor.full_name.removeprefix("onnx.")
    if name not in found:
        found[name] = {}
        for field in descriptor.fields:
            child = field.message_type.full_name.removeprefix("onnx.") if field.message_type else ""
            found[name][field.number] = (field.name, _wire(field), child, bool(field.is_repeated))
            if field.message_type:
                described(field.message_type, found)
    return found


def _wire(field: Any) -> int:
    return next(wire for name, wire in WIRES.items() if getattr(field, name) == field.type)


def test_the_table_of_messages_is_that_of_the_onnx_package() -> None:
    """Each message and field, by number, name, wire type, child and repetition: nothing missing, nothing invented."""
    table = {
        name: {number: (f.name, f.wire, f.child, f.repeated) for number, f in fields.items()}
        for name, fields in MESSAGES.items()
    }
    assert table == described(onnx.ModelProto.DESCRIPTOR)


def test_every_element_type_has_its_width() -> None:
    """Types of the `onnx` package that the table does not know would go unchecked."""
    known = set(ELEMENT_BITS) | {STRING, onnx.TensorProto.UNDEFINED}
    assert known == set(onnx.TensorProto.DataType.values())


@pytest.mark.parametrize("name", sorted(models.honest()))
def test_an_honest_model_has_no_finding_and_the_same_operators(name: str) -> None:
    """Exporters' models are clean, and the operator counts are those that `onnx` reports, subgraphs included."""
    data = models.honest()[name]
    onnx.checker.check_model(onnx.load_model_from_string(data), full_check=False)
    structure, findings = models.scan(data)
    assert findings == []
    assert models.counted(structure) == models.operators(data)
    assert structure.nodes == sum(models.operators(data).values())
    assert structure.producer.startswith("holdfast-tests") or name == "nested"


@pytest.mark.parametrize("kind", ["forest", "boosting", "linear", "network", "pipeline"])
def test_models_exported_by_skl2onnx_are_clean_and_seen_whole(kind: str) -> None:
    """What the shipped recipes export passes: a scanner that cries wolf would be switched off."""
    pytest.importorskip("skl2onnx")
    data = _exported(kind)
    structure, findings = models.scan(data)
    assert findings == []
    assert models.counted(structure) == models.operators(data)
    assert structure.opsets


def _exported(kind: str) -> bytes:
    from skl2onnx import to_onnx
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    generator = np.random.default_rng(0)
    rows = generator.normal(size=(80, 5)).astype(np.float32)
    labels = (rows[:, 0] + rows[:, 1] > 0).astype(np.int64)
    estimator = {
        "forest": RandomForestClassifier(5, random_state=0),
        "boosting": GradientBoostingClassifier(n_estimators=5, random_state=0),
        "linear": LogisticRegression(),
        "network": MLPClassifier((4,), solver="lbfgs", max_iter=400, random_state=0),
        "pipeline": make_pipeline(StandardScaler(), LogisticRegression()),
    }[kind].fit(rows, labels)
    return to_onnx(estimator, rows[:1], options={"zipmap": False}).SerializeToString()


def test_structure_says_what_the_model_holds() -> None:
    """Operator sets, IR version, tensors and parameters, as the model declares them."""
    structure, _ = models.scan(models.model().SerializeToString())
    assert structure.opsets == (("", 18), ("ai.onnx.ml", 3))
    assert (structure.ir_version, structure.tensors, structure.parameters) == (10, 2, 8)


def test_packed_and_unpacked_numbers_are_read_alike() -> None:
    """A writer may pack what ONNX leaves unpacked; a shape hidden that way is still a shape."""
    data = models.model(
        [onnx.helper.make_node("RandomNormal", [], ["y"], shape=[1 << 15, 1 << 15])]
    ).SerializeToString()
    unpacked = b"\x40\x80\x80\x02" * 2
    assert unpacked in data
    packed = b"\x42\x06" + b"\x80\x80\x02" * 2
    for written in (data, data.replace(unpacked, packed)):
        _, findings = models.scan(written)
        assert [finding.rule for finding in findings] == ["onnx.resources"]
