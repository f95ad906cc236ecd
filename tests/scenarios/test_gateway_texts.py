"""Texts at the gateway: taken in every form of the protocol, hashed as in training, refused where they do not fit."""

import json
import struct
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.scenarios.wording import HASHING, PREDICT, SIGNATURE, TEXT, WEIGHTS, infer, reading, say, tensors

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.schema import Signature
from holdfast.engines.texts import hashed
from holdfast.serve import HttpResponse
from holdfast.serve.grpc_face import METHODS
from holdfast.serve.grpc_messages import SERVICE, message
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import INFER, MODEL, WITH_KEY, Serving, World

OTHER = "see you at the lecture"
WON = "You have WON a prize, call now"


@pytest.fixture(scope="module")
def gateway() -> Serving:
    """A gateway whose model takes a number and a text; no test here changes what it serves."""
    return reading()


def probability(texts: list[str], age: float = 40.0) -> list[float]:
    """What the model must say: its arithmetic over the text as training would hash it."""
    rows = np.column_stack([np.full(len(texts), age), hashed(HASHING, texts)]).astype(np.float32)
    scores = rows @ np.array(WEIGHTS, dtype=np.float32)
    return [float(value) for value in 1 / (1 + np.exp(-scores.astype(np.float64)))]


def said(response: HttpResponse) -> list[float]:
    """The second class's probability, row by row, of an answer in the protocol."""
    assert response.status == 200, response.body
    outputs = {each["name"]: each["data"] for each in json.loads(response.body)["outputs"]}
    return [float(value) for value in outputs["probabilities"][1::2]]


@pytest.mark.requirement("FEAT-03")
@pytest.mark.requirement("SERV-01")
def test_a_text_is_answered_from_the_numbers_that_training_would_have_made_of_it(gateway: Serving) -> None:
    """By name, and in the protocol, flat, nested, as a column, in bytes: the same answer, computed here beside it."""
    expected = probability([WON, OTHER])
    plain = json.loads(say(gateway, WON, OTHER).body)["predictions"]
    np.testing.assert_allclose([each["probabilities"]["malignant"] for each in plain], expected, atol=1e-6)
    for body in (
        tensors([WON, OTHER]),
        tensors([WON, OTHER], shape=[2, 1]),
        tensors([[WON], [OTHER]], shape=[2, 1]),
    ):
        np.testing.assert_allclose(said(infer(gateway, body)), expected, atol=1e-6)
    np.testing.assert_allclose(said(binary(gateway, [WON, OTHER])), expected, atol=1e-6)


def packed(texts: list[Any]) -> bytes:
    """Texts as a BYTES tensor."""
    encoded = [text if isinstance(text, bytes) else text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(each)) + each for each in encoded)


def binary(gateway: Serving, texts: list[Any], *, count: int | None = None, data: bytes | None = None) -> HttpResponse:
    """A call whose text comes as bytes behind a head of JSON."""
    n = len(texts) if count is None else count
    behind = packed(texts) if data is None else data
    number = {"name": "age", "shape": [n], "datatype": "FP64", "data": [40.0] * n}
    text = {"name": "message", "shape": [n], "datatype": "BYTES", "parameters": {"binary_data_size": len(behind)}}
    head = json.dumps({"inputs": [number, text]}).encode()
    headers = (*WITH_KEY, (b"inference-header-content-length", str(len(head)).encode()))
    return gateway.call(headers, path=INFER, body=head + behind)


@pytest.mark.requirement("SERV-01")
def test_a_text_comes_by_grpc_too(gateway: Serving) -> None:
    """Among the contents of a tensor, and as raw bytes: the same call to the core, and the same answer."""
    for raw in (False, True):
        asked = message("ModelInferRequest")(model_name=MODEL)
        asked.inputs.add(name="age", datatype="FP64", shape=[1])
        asked.inputs.add(name="message", datatype="BYTES", shape=[1])
        if raw:
            asked.raw_input_contents.extend([struct.pack("<d", 40.0), packed([WON])])
        else:
            asked.inputs[0].contents.fp64_contents.append(40.0)
            asked.inputs[1].contents.bytes_contents.append(WON.encode())
        made = METHODS[f"/{SERVICE}/ModelInfer"].request(asked)
        headers = (*WITH_KEY, (b"inference-header-content-length", str(made.head).encode()))
        response = gateway.call(headers, path=INFER, body=made.body)
        assert response.status == 200, response.body


def and_also(name: str) -> bytes:
    """A good call with one more text."""
    more = {"name": name, "shape": [1], "datatype": "BYTES", "data": ["a"]}
    return tensors([WON])[:-2] + b"," + json.dumps(more).encode() + b"]}"


BAD = [
    pytest.param(json.dumps({"inputs": [{"name": "input", "shape": [1, 9], "datatype": "FP64", "data": [0.5] * 9}]}),
                 id="the numbers that a text becomes"),
    pytest.param(tensors([WON], name="message#0"), id="a bucket by its name"),
    pytest.param(tensors([WON], datatype="FP64"), id="a text that is said to be numbers"),
    pytest.param(tensors([3.5]), id="a number that is said to be a text"),
    pytest.param(tensors([WON, 3.5]), id="a text and a number"),
    pytest.param(tensors([True]), id="a truth value"),
    pytest.param(tensors([None]), id="nothing"),
    pytest.param(tensors([WON], shape=[2]), id="fewer texts than rows"),
    pytest.param(tensors([WON, OTHER], shape=[1]), id="more texts than rows"),
    pytest.param(tensors([WON], shape=[]), id="no shape"),
    pytest.param(tensors([]), id="no rows"),
    pytest.param(tensors(["x" * 2001]), id="a text that is too long"),
    pytest.param(tensors([f"{'x' * 1999}"] * 40), id="too many characters in all"),
    pytest.param(tensors([WON] * 65), id="too many rows"),
    pytest.param(b'{"inputs":[{"name":"message","shape":[1],"datatype":"BYTES","data":["a"]}]}', id="no number"),
    pytest.param(b'{"inputs":[{"name":"age","shape":[1],"datatype":"FP64","data":[1]}]}', id="no text"),
    pytest.param(and_also("x"), id="another text"),
    pytest.param(and_also("message"), id="twice"),
    pytest.param(tensors([WON]).replace(b"40.0", b"400.0"), id="a number out of its range"),
    pytest.param(tensors(["\\ud800"]).replace(b"\\\\ud800", b"\\ud800"), id="half a character"),
]  # fmt: skip


@pytest.mark.guarantee("G90")
@pytest.mark.requirement("GATE-09")
@pytest.mark.parametrize("body", BAD)
def test_what_does_not_fit_the_signature_is_refused(gateway: Serving, body: bytes | str) -> None:
    """A plain 400 that quotes no text; above all, nobody gives the numbers in a text's place."""
    response = infer(gateway, body if isinstance(body, bytes) else body.encode())
    assert response.status == 400
    assert b"WON" not in response.body
    assert b"xxx" not in response.body


@pytest.mark.requirement("GATE-09")
@pytest.mark.parametrize(
    "row",
    [
        {"age": 40, "message": 3},
        {"age": "40", "message": WON},
        {"age": 40, "message": None},
        {"age": 40, "message": [WON]},
        {"age": 40},
        {"message": WON},
        {"age": 40, "message": WON, "message#0": 0.5},
        {"age": 40, "message": "x" * 2001},
    ],
)
def test_a_row_that_does_not_fit_is_refused(gateway: Serving, row: dict[str, Any]) -> None:
    """By name, each input once, each of its kind."""
    response = gateway.call(path=PREDICT, body=json.dumps({"rows": [row]}).encode())
    assert response.status == 400
    assert b"WON" not in response.body


@pytest.mark.requirement("GATE-09")
@pytest.mark.parametrize(
    ("count", "data"),
    [
        (1, b"\x05\0\0\0abc"),
        (1, b"\x03\0\0\0abcd"),
        (1, b"\xff\xff\xff\xffabc"),
        (2, packed(["abc"])),
        (1, packed(["a", "b"])),
        (1, b"\x03\0"),
        (1, packed([b"\xff\xfe"])),
        (1 << 40, packed(["a"])),
    ],
)
def test_bytes_that_are_no_texts_are_refused(gateway: Serving, count: int, data: bytes) -> None:
    """Cut off, too long, too many, no UTF-8, or a count that nothing could hold."""
    behind = {"name": "message", "shape": [count], "datatype": "BYTES", "parameters": {"binary_data_size": len(data)}}
    number = {"name": "age", "shape": [1], "datatype": "FP64", "data": [40.0]}
    head = json.dumps({"inputs": [number, behind]}).encode()
    headers = (*WITH_KEY, (b"inference-header-content-length", str(len(head)).encode()))
    assert gateway.call(headers, path=INFER, body=head + data).status == 400


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=80), min_size=1, max_size=4))
def test_any_text_gets_an_answer_or_a_plain_refusal(gateway: Serving, texts: list[str]) -> None:
    """Whatever characters it holds: the numbers are finite and the same in JSON and in bytes."""
    first, second = infer(gateway, tensors(texts)), binary(gateway, texts)
    assert {first.status, second.status} <= {200, 400}
    if first.status == 200 and second.status == 200:
        assert said(first) == said(second)


@pytest.mark.requirement("SERV-01")
def test_metadata_and_openapi_describe_texts(gateway: Serving) -> None:
    """One input for each number and each text; the numbers that a text becomes are nobody's to give."""
    told = json.loads(gateway.call(path=f"/v2/models/{MODEL}", method="GET", body=b"").body)
    assert told["inputs"] == [
        {"name": "age", "datatype": "FP32", "shape": [-1]},
        {"name": "message", "datatype": "BYTES", "shape": [-1]},
    ]
    assert told["parameters"]["texts"] == [{"name": "message", "most_characters": 2000}]
    assert [each["name"] for each in told["parameters"]["features"]] == ["age"]
    described = json.loads(gateway.call(path=f"/v2/models/{MODEL}/openapi.json", method="GET", body=b"").body)
    row = described["components"]["schemas"]["PredictRequest"]["properties"]["rows"]["items"]
    assert row["properties"]["message"] == {"type": "string", "maxLength": 2000}
    assert sorted(row["properties"]) == ["age", "message"]


@pytest.mark.parametrize(
    "changed",
    [
        {"unicode": "1.1.0"},
        {"at": 2},
        {"at": -1},
        {"name": "age"},
        {"hashing": msgspec.structs.replace(HASHING, buckets=9)},
    ],
)
def test_a_release_whose_texts_cannot_be_hashed_as_promised_is_not_loaded(changed: dict[str, Any]) -> None:
    """Other tables of letters, or places that are not there or another's: nothing is served from it."""
    text = msgspec.structs.replace(TEXT, **changed)
    signature: Signature = msgspec.structs.replace(SIGNATURE, texts=(text,))
    serving = reading(signature=signature)
    assert serving.gateway.state is None
    assert "text" in str(serving.complaints[-1]) or "letters" in str(serving.complaints[-1])
    assert say(serving, WON).status == 503


def test_releases_that_hash_texts_otherwise_do_not_stand_in_for_one_another() -> None:
    """The same inputs by name, other n-grams: where a candidate fails, its rows mean nothing to the baseline."""
    other = msgspec.structs.replace(
        SIGNATURE, texts=(msgspec.structs.replace(TEXT, hashing=msgspec.structs.replace(HASHING, longest=2)),)
    )
    world = World()
    first = world.release(tiny_model(WEIGHTS, 0.0), signature=SIGNATURE)
    second = world.release(tiny_model(WEIGHTS, 1.0), signature=other)
    world.publish(world.table(first, candidate=second, share=0.5))
    serving = world.serving(OnnxRuntime())
    serving.look()
    assert serving.gateway.state is not None
    assert not serving.gateway.state.routes[MODEL].alike
