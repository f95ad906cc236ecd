"""Keras configurations: what a loader would import, call or unpickle is found, in each spelling and each container."""

import base64
import json
import marshal
from typing import Any

import pytest
from tests.unit.engines.scan.honest import above_low, found, keras, keras_2, keras_metadata, layer, saved_model, scan
from tests.unit.engines.scan.honest import field as protobuf

from holdfast.core.evidence import Severity

CRITICAL, HIGH, MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM
CODE = base64.encodebytes(marshal.dumps((lambda x: x).__code__)).decode()
LAMBDA_3 = {"class_name": "__lambda__", "config": {"code": CODE, "defaults": None, "closure": None}}


def reference(module: str, name: str) -> dict[str, Any]:
    """A function that a configuration names."""
    return {"module": module, "class_name": "function", "config": name, "registered_name": name}


ATTACKS = [
    (layer("Lambda", {"function": LAMBDA_3}), "keras.lambda", CRITICAL),
    (layer("Dense", {"activation": LAMBDA_3}), "keras.lambda", CRITICAL),
    (
        {"class_name": "Lambda", "config": {"function": [CODE, None, None], "function_type": "lambda"}},
        "keras.lambda",
        CRITICAL,
    ),
    ({"class_name": "Lambda", "config": {"function": "system", "module": "os"}}, "keras.lambda", CRITICAL),
    ({"class_name": "Lambda", "config": {"function": "mine", "function_type": "function"}}, "keras.lambda", HIGH),
    (layer("Dense", {"activation": CODE}), "keras.code", CRITICAL),
    (layer("system", {}, "os"), "keras.module", CRITICAL),  # CVE-2025-1550
    (layer("Popen", {"args": ["id"]}, "subprocess"), "keras.module", CRITICAL),
    (layer("Dense", {"activation": reference("os", "system")}), "keras.module", CRITICAL),
    (layer("Dense", {"activation": reference("builtins", "exec")}), "keras.module", CRITICAL),
    (layer("Dense", {"activation": reference("keras.utils", "get_file")}), "keras.module", CRITICAL),  # CVE-2025-8747
    (layer("Dense", {"activation": reference("keras.src.saving.saving_lib", "load_model")}), "keras.module", CRITICAL),
    (layer("Dense", {"activation": reference("numpy", "frombuffer")}), "keras.module", HIGH),
    (layer("Thing", {}, "their.package"), "keras.module", HIGH),
    (layer("Sequence", {}, "keras.utils"), "keras.module", HIGH),
    (layer("Thing", {}, "keras.layers"), "keras.custom-object", MEDIUM),
    (layer("My", {}, None, registered_name="Custom>My"), "keras.custom-object", MEDIUM),
    (layer("Dense", {}, registered_name="Custom>Dense"), "keras.custom-object", MEDIUM),
    (layer("Dense", {"activation": reference("builtins", "mine")}), "keras.custom-object", MEDIUM),
    (layer("TorchModuleWrapper", {"module": "gAJ9Lg=="}), "keras.pickled", CRITICAL),
    (layer("StringLookup", {"vocabulary": "/etc/passwd"}), "keras.file", HIGH),
    (layer("TextVectorization", {"vocabulary": "words.txt"}), "keras.file", HIGH),
    (layer("TFSMLayer", {"filepath": "/tmp/other"}), "keras.file", HIGH),
    ({"class_name": "__typespec__", "module": "their.types", "config": []}, "keras.module", HIGH),
    ({"class_name": "TFOpLambda", "config": {"function": "io.write_file"}}, "keras.operation", HIGH),
    ({"class_name": "TFOpLambda", "config": {"function": "their.thing"}}, "keras.operation", MEDIUM),
    (layer("Dense", {"safe_mode": False}) | {"safe_mode": False}, "keras.unsafe", HIGH),
]


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.models.keras:config")
@pytest.mark.parametrize(("attack", "rule", "severity"), ATTACKS)
def test_what_a_file_must_not_name_is_found(attack: dict[str, Any], rule: str, severity: Severity) -> None:
    """In a configuration of either version, under a wrapper, and in the metadata of a SavedModel."""
    wrapped = layer("TimeDistributed", {"layer": attack})
    saved = protobuf(1, protobuf(4, protobuf(1, "_tf_keras_layer") + protobuf(3, keras_2(attack))))
    for data in (
        keras(attack),
        keras(wrapped),
        keras_2(attack),
        keras_metadata(keras_2(), keras(attack)),
        saved_model(objects=saved),
        json.dumps({"compile_config": {"loss": attack}, "class_name": "Sequential", "config": {}}).encode(),
    ):
        assert (rule, severity) in found(data)


SPELLINGS = [
    lambda raw: b"\xef\xbb\xbf" + raw,
    lambda raw: b" \r\n\t" + raw,
    lambda raw: raw.replace(b'"class_name"', b'"class\\u005fname"'),
    lambda raw: raw.replace(b'"__lambda__"', b'"\\u005f_lambda__"').replace(b'"config":', b'"c\\u006Fnfig"\n:'),
    lambda raw: raw[:-1] + b', "x": NaN, "y": -Infinity}',
    lambda raw: raw[:-1] + b', "x": "a\tb"}',
    lambda raw: b'{"class_name": "Sequential",' + raw[1:],
]


@pytest.mark.parametrize("spelling", range(len(SPELLINGS)))
def test_no_spelling_of_json_hides_a_lambda(spelling: int) -> None:
    """What Python's reader takes is taken: marks, spaces, escapes, NaN, tabs in strings and keys that stand twice."""
    data = SPELLINGS[spelling](keras(ATTACKS[0][0]))
    assert json.loads(data.decode("utf-8-sig"), strict=False)
    assert ("keras.lambda", CRITICAL) in found(data)


def test_the_first_of_two_keys_is_judged_too() -> None:
    """Readers differ in which one counts, so both count."""
    data = keras()[:-1] + b', "config": ' + json.dumps(ATTACKS[0][0]).encode() + b', "config": {}}'
    assert {("keras.lambda", CRITICAL), ("keras.duplicate-key", HIGH)} <= found(data)


def test_depth_and_damage_are_findings() -> None:
    """Nothing is clean that was not read to its end."""
    deep = b'{"class_name": "Sequential", "config": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001
    assert ("keras.malformed", MEDIUM) in found(deep)
    assert ("keras.malformed", MEDIUM) in found(keras()[:-1])
    assert ("keras.malformed", MEDIUM) in found(keras() + b" {}")


HARMLESS = [
    layer("StringLookup", {"vocabulary": ["a", "b"], "vocabulary_file": ""}),
    layer("TextVectorization", {"vocabulary": None, "standardize": "lower"}),
    layer("Dense", {"activation": reference("builtins", "relu")}),
    layer("Dense", {"activation": reference("keras.activations", "softmax")}),
    layer("Einsum", {"subscripts": "ab,bc"}, "keras.src.ops.numpy", registered_name="Einsum"),
    layer("DTypePolicy", {"name": "float32"}, "keras"),
    {"class_name": "TFOpLambda", "config": {"function": "math.multiply"}},
    {"class_name": "TFOpLambda", "config": {"function": "__operators__.getitem"}},
    {"class_name": "__typespec__", "module": "tensorflow.python.framework.tensor_spec", "config": []},
]


@pytest.mark.parametrize("harmless", HARMLESS)
def test_what_keras_itself_has_is_clean(harmless: dict[str, Any]) -> None:
    """Layers, functions, operations and types as both versions write them."""
    assert above_low(keras(harmless)) == []
    assert above_low(keras_2(harmless)) == []


def test_a_finding_names_object_module_and_place() -> None:
    """A reader can look it up in the file."""
    data = keras(layer("system", {}, "os"))
    (finding,) = (each for each in scan(data)[1] if each.rule == "keras.module")
    assert "'system'" in finding.message
    assert "'os'" in finding.message
    assert data[int(finding.place.rpartition(" ")[2]) :].startswith(b'{"module": "os"')
