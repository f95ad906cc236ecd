"""Attacks on whoever opens a model file, each found by its structure alone."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tests.unit.scan import models
from tests.unit.scan.models import field, model, scan, tensor

from holdfast.core.evidence import Severity
from holdfast.engines.scan import onnx as scanner
from holdfast.engines.scan import rules
from holdfast.engines.scan.report import Findings
from holdfast.engines.scan.rules import MAX_NAME, MAX_OPERATORS
from holdfast.engines.scan.text import MAX_TEXT

GOOD = model().SerializeToString()


def found(data: bytes, rule: str) -> Severity:
    """The worst severity with which a rule reported; fails where it did not."""
    _, findings = scan(data)
    hits = [finding for finding in findings if finding.rule == rule]
    assert hits, findings
    assert all(finding.place.startswith("model.onnx") for finding in hits)
    severity = models.worst(hits)
    assert severity is not None
    return severity


def external(location: str) -> bytes:
    """A weight that is read from another file."""
    made = model()
    weight = made.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value=location)
    return made.SerializeToString()


@pytest.mark.parametrize(
    ("location", "severity"),
    [
        ("../../etc/passwd", Severity.CRITICAL),
        ("/etc/passwd", Severity.CRITICAL),
        ("..\\..\\secrets", Severity.CRITICAL),
        ("C:\\secrets", Severity.CRITICAL),
        ("weights.bin", Severity.HIGH),
        ("", Severity.HIGH),
    ],
)
def test_weights_in_another_file_are_found(location: str, severity: Severity) -> None:
    """External data reads files of whoever loads a model; a path out of its folder is worst (CVE-2022-25882)."""
    assert found(external(location), "onnx.external-data") == severity


def test_external_data_is_found_wherever_a_tensor_may_stand() -> None:
    """Also in a constant inside a subgraph, with the location flag left out or overridden by a second one."""
    hidden = tensor("", np.ones(3, np.float32))
    hidden.external_data.add(key="location", value="../x")
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=hidden)],
        "branch",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [3])],
    )
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch)
    assert found(model([node]).SerializeToString(), "onnx.external-data") == Severity.CRITICAL
    twice = field(7, field(1, field(4, b"Relu")) + field(5, field(2, 1) + field(14, 1) + field(14, 0)))
    assert found(field(1, 10) + twice, "onnx.external-data") == Severity.HIGH


@pytest.mark.parametrize("domain", ["com.microsoft", "ai.onnx.contrib", "evil", "ai.onnx.ml.x"])
def test_operators_from_outside_the_standard_are_found(domain: str) -> None:
    """A foreign operator is code somewhere else: `PyOp` and its like run whatever they are given."""
    made = model([helper.make_node("PyOp", ["x"], ["y"], domain=domain)]).SerializeToString()
    assert found(made, "onnx.custom-operator") == Severity.HIGH


@pytest.mark.parametrize("domain", ["", "ai.onnx", "ai.onnx.ml"])
def test_operators_that_no_version_of_the_standard_has_are_found(domain: str) -> None:
    """Runtimes take libraries for the standard's own domain too; what was removed from it later is still known."""
    made = model([helper.make_node("Evil", ["x"], ["y"], domain=domain)]).SerializeToString()
    assert found(made, "onnx.custom-operator") == Severity.HIGH
    old = model([helper.make_node("Upsample", ["x"], ["y"])]).SerializeToString()
    assert "onnx.custom-operator" not in models.rules(scan(old)[1])


def test_a_foreign_operator_inside_a_local_function_or_subgraph_is_found() -> None:
    """Hiding it one level deeper changes nothing."""
    body = helper.make_node("Evil", ["a"], ["c"], domain="evil")
    function = helper.make_function("local", "F", ["a"], ["c"], [body], [models.OPSETS[0]])
    call = helper.make_node("F", ["x"], ["y"], domain="local")
    opsets = (*models.OPSETS, helper.make_opsetid("local", 1))
    made = model([call], functions=[function], opset_imports=opsets).SerializeToString()
    assert found(made, "onnx.custom-operator") == Severity.HIGH


def test_a_domain_that_is_only_imported_is_found() -> None:
    """An import nobody uses today loads a library tomorrow."""
    made = model(opset_imports=(*models.OPSETS, helper.make_opsetid("evil", 1))).SerializeToString()
    assert found(made, "onnx.custom-domain") == Severity.HIGH


def test_a_local_function_may_not_take_the_place_of_a_standard_operator() -> None:
    """A function called Relu in the standard's own domain would mean two things to two readers."""
    body = helper.make_node("Neg", ["a"], ["c"])
    function = helper.make_function("", "Relu", ["a"], ["c"], [body], [models.OPSETS[0]])
    made = model([helper.make_node("Relu", ["x"], ["y"])], functions=[function]).SerializeToString()
    assert found(made, "onnx.function.shadow") == Severity.HIGH


def functions(calls: dict[str, list[str]]) -> bytes:
    """Local functions that call one another, as raw bytes: the checker of `onnx` would refuse to make them."""
    domain = b"local"
    data = b"".join(
        field(
            25,
            b"".join(field(7, field(4, callee.encode()) + field(7, domain)) for callee in callees)
            + field(1, name.encode())
            + field(10, domain),
        )
        for name, callees in calls.items()
    )
    return GOOD + data


def test_functions_that_call_themselves_are_found() -> None:
    """Inlining them never ends."""
    assert found(functions({"a": ["b"], "b": ["c"], "c": ["a"]}), "onnx.function.recursion") == Severity.HIGH
    assert found(functions({"a": ["a"]}), "onnx.function.recursion") == Severity.HIGH


def test_functions_that_unfold_without_measure_are_found() -> None:
    """Thirty functions that call the next one twice are a billion nodes (the billion-laughs attack)."""
    chain = {f"f{i}": [f"f{i + 1}"] * 2 for i in range(30)} | {"f30": []}
    assert found(functions(chain), "onnx.function.expansion") == Severity.HIGH
    short = {f"f{i}": [f"f{i + 1}"] * 2 for i in range(10)} | {"f10": []}
    assert "onnx.function.expansion" not in models.rules(scan(functions(short))[1])


def sized(op: str, inputs: list[str], **literals: Any) -> bytes:
    """A node whose size comes from constants."""
    made = tuple(tensor(name, value) for name, value in literals.items())
    return model([helper.make_node(op, inputs, ["y"])], initializers=made).SerializeToString()


BIG = np.array([1 << 15, 1 << 15], np.int64)


@pytest.mark.parametrize(
    "data",
    [
        sized("ConstantOfShape", ["s"], s=BIG),
        sized("Expand", ["x", "s"], s=BIG),
        sized("Tile", ["x", "s"], s=BIG),
        sized("Resize", ["x", "", "", "s"], s=BIG),
        sized("Range", ["a", "b", "c"], a=np.int64(0), b=np.int64(1 << 40), c=np.int64(1)),
        sized("OneHot", ["x", "s", "v"], s=np.int64(1 << 40), v=np.array([0, 1], np.int64)),
        sized("Pad", ["x", "s"], s=np.array([0, 0, 0, 1 << 40], np.int64)),
        sized("HannWindow", ["s"], s=np.int32(1 << 30)),
        model([helper.make_node("RandomUniform", [], ["y"], shape=[1 << 20, 1 << 20])]).SerializeToString(),
        model(
            [
                helper.make_node("Constant", [], ["s"], value_ints=[1 << 20, 1 << 20]),
                helper.make_node("ConstantOfShape", ["s"], ["y"]),
            ]
        ).SerializeToString(),
    ],
    ids=["ConstantOfShape", "Expand", "Tile", "Resize", "Range", "OneHot", "Pad", "HannWindow", "Random", "Constant"],
)
def test_a_small_file_that_asks_for_gigabytes_is_found(data: bytes) -> None:
    """Literal shapes decide at load or first call how much memory a model takes; the file itself is small."""
    assert len(data) < 1000
    assert found(data, "onnx.resources") == Severity.HIGH


def test_the_larger_of_two_constants_of_one_name_counts() -> None:
    """Hiding the large one behind a small one of the same name, in either order, does not help."""
    small = np.array([1, 1], np.int64)
    for first, second in ((small, BIG), (BIG, small)):
        made = model(
            [helper.make_node("ConstantOfShape", ["s"], ["y"])], initializers=(tensor("s", first), tensor("s", second))
        )
        assert found(made.SerializeToString(), "onnx.resources") == Severity.HIGH


def test_a_loop_of_very_many_trips_is_found() -> None:
    """A constant trip count in the millions is reported; ten is nobody's business."""
    made = onnx.load_model_from_string(models.honest()["loop"])
    made.graph.initializer[0].CopyFrom(tensor("trips", np.int64(2**62)))
    assert found(made.SerializeToString(), "onnx.resources") == Severity.MEDIUM


def test_a_sparse_tensor_that_unfolds_into_gigabytes_is_found() -> None:
    """Runtimes make sparse initializers dense when they load: two values may stand for 2**40."""
    sparse = field(1, field(1, 1) + field(2, 1) + field(9, b"\0" * 4)) + field(3, 1 << 20) + field(3, 1 << 20)
    assert found(GOOD + field(7, field(15, sparse)), "onnx.resources") == Severity.HIGH


@pytest.mark.parametrize("shape", [[4], [1 << 40], [1]], ids=["one more", "very many", "one less"])
def test_a_tensor_that_carries_other_data_than_it_declares_is_found(shape: list[int]) -> None:
    """A reader that trusts the shape reads past the data; one that trusts the data sees another model."""
    made = model()
    del made.graph.initializer[1].dims[:]
    made.graph.initializer[1].dims.extend(shape)
    assert found(made.SerializeToString(), "onnx.tensor.size") == Severity.HIGH


def test_a_tensor_that_declares_elements_and_carries_none_is_found() -> None:
    """A trillion elements in a dozen bytes: allocated by whoever believes the shape."""
    made = field(7, field(1, field(4, b"Relu")) + field(5, field(1, 1 << 40) + field(2, 1)))
    assert found(made, "onnx.tensor.size") == Severity.HIGH


def test_a_negative_or_endless_shape_is_found() -> None:
    """Sizes below zero and hundreds of dimensions are no shape."""
    for dims in (field(1, 2**64 - 5), field(1, 1) * 40):
        made = field(7, field(1, field(4, b"Relu")) + field(5, dims + field(2, 1) + field(9, b"")))
        assert found(made, "onnx.tensor.shape") == Severity.HIGH


@pytest.mark.parametrize(
    "note",
    [
        b"__import__('os').system('id')",
        b"#!/bin/sh\nrm -rf /",
        b"\x80\x04\x95",
        b"cposix\nsystem\n(S'id'\ntR.",
        b"MZ\x90\x00",
        b"\x7fELF\x02",
        b"PK\x03\x04",
        b"<script>alert(1)</script>",
        b"eval (x)",
        b"QUJD" * 1000,
        b"import ctypes",
    ],
)
def test_code_in_the_notes_of_a_model_is_found(note: bytes) -> None:
    """Metadata is where a payload waits to be fetched; words about training are not code."""
    assert found(GOOD + field(14, field(1, b"k") + field(2, note)), "onnx.text.executable") == Severity.HIGH
    assert found(GOOD + field(14, field(1, note) + field(2, b"v")), "onnx.text.executable") == Severity.HIGH
    assert found(GOOD + field(7, field(10, note)), "onnx.text.executable") == Severity.MEDIUM


def test_the_byte_before_a_note_cannot_hide_what_it_begins_with() -> None:
    """`eval(` after a length byte that is itself a letter is still a word of its own."""
    note = b"eval(x)" + b" " * (ord("e") - 7)
    assert found(GOOD + field(14, field(1, b"k") + field(2, note)), "onnx.text.executable") == Severity.HIGH


@pytest.mark.parametrize(
    "note", [b"model.eval() was called", b"executed on 3 machines", b"compiled for x86", b"a" * 200]
)
def test_innocent_notes_are_left_alone(note: bytes) -> None:
    """A scanner that cries wolf is switched off."""
    assert scan(GOOD + field(14, field(1, b"k") + field(2, note)))[1] == []


def test_a_note_of_a_megabyte_is_found() -> None:
    """Nobody writes that much about a model."""
    note = b"word " * (MAX_TEXT // 5 + 1)
    assert found(GOOD + field(14, field(1, b"k") + field(2, note)), "onnx.text.long") == Severity.MEDIUM


def test_an_unknown_field_is_found_by_where_and_how_large_it_is() -> None:
    """Readers skip what they do not know: room for a payload, or a newer version of the format."""
    assert found(GOOD + field(99, b"x"), "onnx.unknown-field") == Severity.MEDIUM
    assert found(GOOD + field(7, field(99, 1)), "onnx.unknown-field") == Severity.LOW
    assert found(GOOD + field(7, field(99, b"x" * 2000)), "onnx.unknown-field") == Severity.MEDIUM


def test_a_field_that_may_stand_once_and_stands_twice_is_found() -> None:
    """Protobuf merges or takes the last; another reader takes the first: two models in one file."""
    assert found(GOOD + field(7, field(1, field(4, b"Relu"))), "onnx.duplicate") == Severity.HIGH
    node = field(4, b"Relu") + field(4, b"Sigmoid")
    assert found(field(7, field(1, node)), "onnx.duplicate") == Severity.HIGH


def test_a_field_of_another_wire_type_is_found() -> None:
    """Protobuf skips it as unknown, a laxer reader takes it."""
    assert found(GOOD + field(2, 7), "onnx.wire-type") == Severity.HIGH
    assert found(GOOD + field(1, b"\x0a"), "onnx.wire-type") == Severity.HIGH


def test_padded_numbers_are_found() -> None:
    """Empty bytes in numbers are room for another message, or for evading a comparison of bytes."""
    padded = GOOD.replace(b"\x08\x0a", b"\x08\x8a\x00", 1)
    assert onnx.load_model_from_string(padded).ir_version == 10
    assert found(padded, "onnx.padded") == Severity.MEDIUM


@pytest.mark.parametrize(
    "damage",
    [
        lambda _: b"",
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data + b"\x0b",
        lambda data: data + b"\x80" * 11,
        lambda data: b"PK\x03\x04" + data,
        lambda data: b"\x80\x04\x95" + data,
    ],
    ids=["empty", "cut", "zero", "group", "endless", "zip", "pickle"],
)
def test_what_is_not_a_message_is_refused(damage: Callable[[bytes], bytes]) -> None:
    """Truncated, padded, or something else altogether: the worst there is, or no graph at all."""
    _, findings = scan(damage(GOOD))
    assert models.worst(findings) in {Severity.HIGH, Severity.CRITICAL}


def test_a_cut_model_is_malformed_and_not_merely_empty() -> None:
    """The place of the damage is named."""
    _, findings = scan(GOOD[:-1])
    malformed = [finding for finding in findings if finding.rule == "onnx.malformed"]
    assert malformed
    assert malformed[0].severity == Severity.HIGH
    assert "byte" in malformed[0].place


def test_messages_nested_without_end_are_refused() -> None:
    """A stack overflow in a recursive reader is a crash; here depth is a number with a limit."""
    assert scan(models.nested(18))[1] == []
    graph = b""
    for _ in range(40):
        graph = field(1, field(5, field(6, graph)))
    assert found(field(7, graph), "onnx.malformed") == Severity.HIGH


def test_a_graph_that_is_missing_or_empty_is_found() -> None:
    """A model without nodes answers nothing."""
    assert found(field(1, 10), "onnx.no-graph") == Severity.HIGH
    assert found(field(1, 10) + field(7, b""), "onnx.no-graph") == Severity.HIGH
    assert found(field(7, field(1, field(4, b"Relu"))), "onnx.no-opset") == Severity.MEDIUM
    assert found(field(7, field(1, b"")), "onnx.no-operator") == Severity.HIGH


def test_a_file_that_a_zip_reader_opens_too_is_found() -> None:
    """Zip is read from its end: appended to a model inside an unknown field, it is a second file for another reader."""
    end = b"PK\x05\x06" + b"\0" * 16 + (0).to_bytes(2, "little")
    assert found(GOOD + field(99, b"PK\x03\x04data" + end), "onnx.polyglot") == Severity.HIGH
    commented = b"PK\x05\x06" + b"\0" * 16 + (5).to_bytes(2, "little") + b"hello"
    assert found(GOOD + field(99, commented), "onnx.polyglot") == Severity.HIGH
    assert "onnx.polyglot" not in models.rules(scan(field(99, end) + GOOD)[1])


def test_a_training_graph_is_found() -> None:
    """No service needs one, and it is a second graph that nobody reviews."""
    assert found(GOOD + field(20, b""), "onnx.training") == Severity.MEDIUM


def test_an_element_type_that_nobody_knows_is_found() -> None:
    """Its size cannot be checked."""
    unknown = field(7, field(1, field(4, b"Relu")) + field(5, field(1, 1) + field(2, 99) + field(9, b"x")))
    assert found(unknown, "onnx.tensor.type") == Severity.MEDIUM


def test_counts_have_limits_that_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """More operators, nodes, functions, fields or longer names than any model has: found, and memory stays bounded."""
    names = [field(1, field(4, f"Op{i}".encode())) for i in range(MAX_OPERATORS + 1)]
    assert found(GOOD + field(7, b"".join(names)), "limit.operators") == Severity.HIGH
    assert found(GOOD + field(7, field(1, field(4, b"n" * (MAX_NAME + 1)))), "limit.name") == Severity.MEDIUM
    monkeypatch.setattr(rules, "MAX_NODES", 3)
    assert found(GOOD + field(7, names[0] * 3), "limit.nodes") == Severity.HIGH
    monkeypatch.setattr(rules, "MAX_FUNCTIONS", 3)
    assert found(functions({f"f{i}": [] for i in range(4)}), "limit.functions") == Severity.HIGH
    monkeypatch.setattr(rules, "MAX_CALLS", 2)
    assert found(functions({"f": ["a", "b", "c"]}), "limit.functions") == Severity.HIGH
    monkeypatch.setattr(rules, "MAX_LITERALS", 1)
    literals = (tensor("a", np.int64(1)), tensor("b", np.int64(1)))
    assert found(model(initializers=literals).SerializeToString(), "limit.literals") == Severity.MEDIUM
    monkeypatch.setattr(rules, "MAX_WATCHED", 0)
    assert found(sized("Expand", ["x", "s"], s=np.array([1], np.int64)), "limit.watched") == Severity.MEDIUM


def test_a_scan_ends_after_a_bounded_number_of_fields(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of numbers count as well: the budget bounds the time, whatever the file holds."""
    monkeypatch.setattr(scanner, "MAX_FIELDS", 500)
    assert found(models.forest(), "limit.fields") == Severity.HIGH
    assert scan(GOOD)[1] == []


def test_a_file_beyond_what_readers_take_is_not_scanned(monkeypatch: pytest.MonkeyPatch) -> None:
    """No protobuf reader takes two gigabytes; what it would do with them is nobody's guess."""
    monkeypatch.setattr(scanner, "MAX_MODEL", len(GOOD) - 1)
    assert found(GOOD, "limit.size") == Severity.HIGH


def test_one_rule_cannot_crowd_out_another() -> None:
    """Thousands of findings of one kind are counted; the one of another kind is still listed."""
    findings = Findings()
    noise = field(7, b"".join(field(99, 1) for _ in range(5000)))
    scanner.scan(memoryview(GOOD + noise + field(99, b"x" * 2000)), "model.onnx", findings)
    assert findings.total > 5000
    assert len(findings.kept) < 100
    assert {"onnx.duplicate", "onnx.unknown-field"} <= models.rules(findings.kept)
    assert any("2002" in finding.message for finding in findings.kept if finding.severity == Severity.MEDIUM)
