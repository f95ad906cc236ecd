"""The binary tensor extension, versions and the repository index: honest bytes are answered, crooked ones refused."""

import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.routes import GuardSpec
from holdfast.serve import HttpResponse
from holdfast.serve.tensors import ELEMENTS
from holdfast.testing.tiny import tiny_model
from holdfast.testing.world import API_KEY, GUARDS, INFER, MODEL, WITH_KEY, Serving, World, with_key

HEAD = b"inference-header-content-length"
ROW = (50, 15, 1)


@pytest.fixture(scope="module")
def gateway() -> Serving:
    """A gateway whose calls are not limited; no test here changes what it serves."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 1e6, "burst": 1_000_000})
    return World().serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))


def tensor(size: float, **changes: Any) -> dict[str, Any]:
    """The head of an input that comes as bytes."""
    parts = {"name": "input", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": size}}
    return parts | changes


def ask(gateway: Serving, inputs: Sequence[dict[str, Any]], data: bytes, **changes: Any) -> HttpResponse:
    """Make a call with bytes behind its head."""
    head = json.dumps({"inputs": list(inputs)} | changes).encode()
    return gateway.call((*WITH_KEY, (HEAD, str(len(head)).encode())), body=head + data)


def outputs(response: HttpResponse) -> dict[str, Any]:
    """Return the outputs in a response, whether they came as JSON or as bytes."""
    assert response.status == 200, response.body
    length = int(response.header(HEAD) or len(response.body))
    document, rest = json.loads(response.body[:length]), response.body[length:]
    found = {}
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found[output["name"]] = output["data"]
            continue
        part, rest = rest[:size], rest[size:]
        found[output["name"]] = _texts(part) if output["datatype"] == "BYTES" else np.frombuffer(part, "<f8").tolist()
    assert rest == b""
    return found


def _texts(data: bytes) -> list[str]:
    found = []
    while data:
        (length,) = struct.unpack_from("<I", data)
        found.append(data[4 : 4 + length].decode())
        data = data[4 + length :]
    return found


def plain(gateway: Serving, row: Iterable[float] = ROW) -> dict[str, Any]:
    """Return the answer to the same row as JSON."""
    named = {"name": "input", "shape": [1, 3], "datatype": "FP64", "data": [float(value) for value in row]}
    return outputs(gateway.call(body=json.dumps({"inputs": [named]}).encode()))


@pytest.mark.requirement("SERV-01", by="holdfast.serve.tensors:from_bytes")
@pytest.mark.parametrize("datatype", [name for name in ELEMENTS if name not in {"BOOL", "BF16"}])
def test_every_datatype_of_numbers_is_answered_as_json_is(gateway: Serving, datatype: str) -> None:
    """Little-endian elements of each width mean what the same numbers mean in JSON."""
    data = np.array(ROW).astype(ELEMENTS[datatype]).tobytes()
    assert outputs(ask(gateway, [tensor(len(data), datatype=datatype)], data)) == plain(gateway)


def test_truth_values_and_halves_of_float32_are_answered_too(gateway: Serving) -> None:
    """BOOL is one byte of 0 or 1; BF16 is the upper half of a float32."""
    columns: list[dict[str, Any]] = [
        {"name": "age", "shape": [1], "datatype": "FP32", "parameters": {"binary_data_size": 4}},
        {"name": "trend", "shape": [1], "datatype": "BOOL", "parameters": {"binary_data_size": 1}},
        {"name": "mean radius", "shape": [1, 1], "datatype": "BF16", "parameters": {"binary_data_size": 2}},
    ]
    data = struct.pack("<f", 50.0) + b"\x01" + struct.pack("<f", 15.0)[2:]
    assert outputs(ask(gateway, columns, data)) == plain(gateway)


def test_some_inputs_may_come_as_bytes_and_others_as_json(gateway: Serving) -> None:
    """The bytes belong to the inputs that say so, in their order."""
    columns: list[dict[str, Any]] = [
        {"name": "trend", "shape": [1], "datatype": "BOOL", "data": [True]},
        {"name": "mean radius", "shape": [1], "datatype": "FP64", "parameters": {"binary_data_size": 8}},
        {"name": "age", "shape": [1], "datatype": "INT8", "parameters": {"binary_data_size": 1}},
    ]
    assert outputs(ask(gateway, columns, struct.pack("<d", 15.0) + b"\x32")) == plain(gateway)


@pytest.mark.requirement("SERV-01", by="holdfast.serve.protocol:wanted")
@pytest.mark.parametrize(
    ("changes", "binary"),
    [
        pytest.param({}, set(), id="nothing said"),
        pytest.param({"parameters": {"binary_data_output": True}}, {"label", "probabilities"}, id="all"),
        pytest.param(
            {"outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "probabilities"}]},
            {"label"},
            id="one",
        ),
        pytest.param(
            {
                "parameters": {"binary_data_output": True},
                "outputs": [{"name": "label", "parameters": {"binary_data": False}}, {"name": "probabilities"}],
            },
            {"probabilities"},
            id="all but one",
        ),
    ],
)
def test_outputs_come_as_bytes_where_they_are_wanted_so(
    gateway: Serving, changes: dict[str, Any], binary: set[str]
) -> None:
    """`binary_data_output` speaks for all, `binary_data` for one; a request in JSON may ask for bytes."""
    named = {"name": "input", "shape": [1, 3], "datatype": "FP64", "data": list(ROW)}
    response = gateway.call(body=json.dumps({"inputs": [named]} | changes).encode())
    length = int(response.header(HEAD) or len(response.body))
    found = {output["name"] for output in json.loads(response.body[:length])["outputs"] if "data" not in output}
    assert found == binary
    assert (response.header(b"content-type") == b"application/octet-stream") is bool(binary)
    assert outputs(response) == plain(gateway)


FLOATS = np.array(ROW, "<f4").tobytes()
CROOKED = [
    pytest.param([tensor(11)], FLOATS, id="a size below the shape's"),
    pytest.param([tensor(13)], FLOATS + b"\0", id="a size above the shape's"),
    pytest.param([tensor(12)], FLOATS[:-1], id="fewer bytes than the size"),
    pytest.param([tensor(12)], FLOATS + b"\0", id="a byte behind the last tensor"),
    pytest.param([tensor(12)], b"", id="no bytes"),
    pytest.param([tensor(-12)], FLOATS, id="a negative size"),
    pytest.param([tensor(12.0)], FLOATS, id="a size that is a float"),
    pytest.param([tensor(4, shape=[1, 1], parameters={"binary_data_size": True})], FLOATS, id="a size that is true"),
    pytest.param([tensor(2**70)], FLOATS, id="a size beyond 64 bits"),
    pytest.param([tensor(12, shape=[2**62, 12])], FLOATS, id="a shape that overflows 64 bits"),
    pytest.param([tensor(12, shape=[-1, -3])], FLOATS, id="two negatives"),
    pytest.param([tensor(12, shape=[1] * 2000)], FLOATS, id="two thousand dimensions"),
    pytest.param([tensor(0, shape=[0, 3])], b"", id="no rows"),
    pytest.param([tensor(12, shape=[3])], FLOATS, id="one dimension"),
    pytest.param([tensor(12, datatype="FP64")], FLOATS, id="another width"),
    pytest.param([tensor(12, datatype="BYTES")], FLOATS, id="texts"),
    pytest.param([tensor(12, datatype="fp32")], FLOATS, id="a datatype in small letters"),
    pytest.param([tensor(3, datatype="BOOL")], b"\0\1\2", id="a truth value of 2"),
    pytest.param([tensor(12)], np.array([50.1, 15, 1], ">f4").tobytes(), id="big-endian"),
    pytest.param([tensor(12)], np.array([50, np.nan, 0], "<f4").tobytes(), id="NaN"),
    pytest.param([tensor(12)], np.array([50, np.inf, 0], "<f4").tobytes(), id="infinity"),
    pytest.param([tensor(24, datatype="FP64")], np.array([1e300, 15, 0], "<f8").tobytes(), id="beyond float32"),
    pytest.param([tensor(12, data=[50, 15, 0.1])], FLOATS, id="data and bytes"),
    pytest.param([tensor(12, parameters={})], FLOATS, id="neither data nor bytes"),
    pytest.param([tensor(12), tensor(12)], FLOATS * 2, id="the tensor twice"),
    pytest.param([], FLOATS, id="no inputs"),
]


@pytest.mark.requirement("GATE-09", by="holdfast.serve.protocol:decode_binary")
@pytest.mark.parametrize(("inputs", "data"), CROOKED)
def test_bytes_that_are_not_the_tensor_they_claim_are_refused(
    gateway: Serving, inputs: list[dict[str, Any]], data: bytes
) -> None:
    """Every length must follow from shape and datatype, and every byte belong to a tensor: a 400 in the error form."""
    response = ask(gateway, inputs, data)
    assert response.status == 400, response.body
    assert list(json.loads(response.body)) == ["error"]


@pytest.mark.parametrize("said", ["", "0", "-1", "1e2", " 12", "12 ", "0x10", "9" * 5000, "99999", "\u0663"])
def test_a_head_length_that_is_none_is_refused(gateway: Serving, said: str) -> None:
    """Only a plain number that lies inside the body is the length of a head."""
    response = gateway.call((*WITH_KEY, (HEAD, said.encode())))
    assert response.status == 400


def test_a_head_given_twice_and_a_head_for_named_columns_are_refused(gateway: Serving) -> None:
    """Two lengths are two stories, and `/predict` knows no bytes."""
    assert gateway.call((*WITH_KEY, (HEAD, b"10"), (HEAD, b"20"))).status == 400
    rows = b'{"rows":[{"age":50,"mean radius":15,"trend":0.1}]}'
    length = str(len(rows)).encode()
    assert gateway.call((*WITH_KEY, (HEAD, length)), path=f"/predict/{MODEL}", body=rows).status == 400


def test_a_member_of_the_head_given_twice_is_refused(gateway: Serving) -> None:
    """Here too nobody knows which one was meant."""
    head = json.dumps({"inputs": [tensor(12)]}).encode().replace(b'"shape"', b'"shape": [2, 3], "shape"')
    response = gateway.call((*WITH_KEY, (HEAD, str(len(head)).encode())), body=head + FLOATS)
    assert response.status == 400


@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.size:WithinSize.admit")
def test_brackets_in_the_bytes_of_a_tensor_are_no_nesting(gateway: Serving) -> None:
    """A float may hold the bytes of brackets; only the head is measured for its depth."""
    row = np.frombuffer(b"[[HB" + struct.pack("<2f", 15.0, 0.1), "<f4")  # 50.09: in range, and two opening brackets
    data = row.tobytes() * 8
    assert outputs(ask(gateway, [tensor(len(data), shape=[8, 3])], data))["label"] == plain(gateway, row)["label"] * 8


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_bytes_crash_the_gateway_or_are_guessed(gateway: Serving, data: st.DataObject) -> None:
    """Whatever shape, datatype, size and bytes are combined: a prediction of a whole tensor, or a 4xx."""
    datatype = data.draw(st.sampled_from([*ELEMENTS, "BYTES", ""]))
    shape = data.draw(st.lists(st.integers(-1, 4), max_size=3) | st.just([1, 3]))
    body = data.draw(st.binary(max_size=40) | st.just(FLOATS) | st.just(FLOATS * 2))
    size = data.draw(st.integers(-1, 48) | st.just(len(body)))
    cut = data.draw(st.integers(-3, 3) | st.just(0))
    head = json.dumps({"inputs": [tensor(size, datatype=datatype, shape=shape)]}).encode()
    response = gateway.call((*WITH_KEY, (HEAD, str(len(head) + cut).encode())), body=head + body)
    assert response.status in {200, 400}
    if response.status == 200:
        assert (size, len(body), len(shape), cut) == (size, size, 2, 0)
        assert shape[1] == 3
        assert shape[0] * 3 * ELEMENTS[datatype].itemsize == size


# ── versions ────────────────────────────────────────────────────────────────────────────────────────────────────────


def two_versions() -> tuple[Serving, str, str]:
    """A gateway with a baseline and a candidate that gets no call by its share, and the version of each."""
    world = World()
    baseline, candidate = world.release(), world.release(tiny_model(bias=0.5))
    world.publish(world.table(baseline, candidate=candidate, share=0.0))
    serving = world.serving(OnnxRuntime())
    serving.look()
    return serving, _version(baseline.digest), _version(candidate.digest)


def _version(digest: str) -> str:
    return digest.removeprefix("sha256:")[:12]


@pytest.mark.requirement("SERV-01", by="holdfast.serve.state:Route.versioned")
def test_each_version_is_ready_and_described_and_no_other_is_there() -> None:
    """The version is the one that answers name; another one is a 404, whatever it looks like."""
    serving, baseline, candidate = two_versions()
    for version in (baseline, candidate):
        path = f"/v2/models/{MODEL}/versions/{version}"
        assert serving.call(method="GET", path=f"{path}/ready", body=b"").status == 200
        assert json.loads(serving.call(method="GET", path=path, body=b"").body)["versions"] == [version]
    for version in ("1", baseline[:11], baseline + "0"):
        path = f"/v2/models/{MODEL}/versions/{version}"
        assert [serving.call(method="GET", path=p, body=b"").status for p in (path, f"{path}/ready")] == [404, 404]
        assert serving.call(path=f"{path}/infer").status == 404


def test_a_caller_may_ask_for_the_baseline_and_not_its_way_into_a_candidate() -> None:
    """A candidate answers the calls that its share gives it: asking for its version gives nobody more of them."""
    serving, baseline, candidate = two_versions()
    answered = serving.call(path=f"/v2/models/{MODEL}/versions/{baseline}/infer")
    assert (answered.status, answered.header(b"x-holdfast-release")) == (200, baseline.encode())
    assert serving.call(path=f"/v2/models/{MODEL}/versions/{candidate}/infer").status == 404


# ── the repository index ────────────────────────────────────────────────────────────────────────────────────────────

INDEX = "/v2/repository/index"


@pytest.mark.requirement("SERV-01", by="holdfast.serve.metadata:index")
@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready":true}', b'{"ready":false,"repository_name":""}'])
def test_the_index_lists_what_the_caller_may_call(gateway: Serving, body: bytes) -> None:
    """Name, version and state of each model, in the form of the model repository extension."""
    response = gateway.call(path=INDEX, body=body)
    version = outputs_version(gateway)
    assert json.loads(response.body) == [{"name": MODEL, "version": version, "state": "READY", "reason": ""}]


def outputs_version(gateway: Serving) -> str:
    """Return the version of the model, as its metadata says."""
    (version,) = json.loads(gateway.call(method="GET", path=f"/v2/models/{MODEL}", body=b"").body)["versions"]
    return str(version)


@pytest.mark.requirement("GATE-02", by="holdfast.serve.guards.access:Authenticated.admit")
def test_the_index_shows_a_stranger_nothing_and_others_only_what_is_theirs() -> None:
    """Without a key it is refused; with a key for another model the list is empty."""
    world = World()
    other = "hf_" + "B" * 43
    credentials = (world.credential(), world.credential(other, client="eve", models=("another",)))
    serving = world.serve(OnnxRuntime(), credentials=credentials)
    assert serving.call((), path=INDEX, body=b"").status == 401
    assert json.loads(serving.call(with_key(other), path=INDEX, body=b"").body) == []
    assert len(json.loads(serving.call(with_key(API_KEY), path=INDEX, body=b"").body)) == 1


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"ready":1}', b'{"unknown":true}', b"\xff"])
def test_an_index_is_asked_for_in_one_form(gateway: Serving, body: bytes) -> None:
    """Anything else is a 400, as for every body."""
    assert gateway.call(path=INDEX, body=body).status == 400


def test_what_was_withdrawn_is_listed_as_such() -> None:
    """A release that a newer table revoked is named UNAVAILABLE, and left out where only ready ones are wanted."""
    world = World()
    release = world.release()
    world.publish(world.table(release))
    serving = world.serving(OnnxRuntime())
    serving.look()
    serving.gateway.narrow(frozenset({release.digest}), None)
    (row,) = json.loads(serving.call(path=INDEX, body=b"").body)
    assert (row["state"], row["reason"]) == ("UNAVAILABLE", "the model may no longer answer")
    assert json.loads(serving.call(path=INDEX, body=b'{"ready":true}').body) == []
    assert serving.call(path=INFER).status == 503
