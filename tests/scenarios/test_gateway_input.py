"""Malformed, oversized and hostile bodies: each a plain 4xx, never a crash, never a prediction."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.routes import GuardSpec
from holdfast.rollout.load import rows_body
from holdfast.serve import HttpRequest, HttpResponse
from holdfast.serve.metadata import EXTENSIONS
from holdfast.serve.refusals import SAYINGS
from holdfast.testing.tiny import SIGNATURE, tiny_model
from holdfast.testing.world import GUARDS, INFER, MODEL, ROW, WITH_KEY, Serving, World

PREDICT = f"/predict/{MODEL}"


@pytest.fixture(scope="module")
def gateway() -> Serving:
    """A gateway whose calls are not limited; no test here changes what it serves."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 1e6, "burst": 1_000_000})
    return World().serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))


def tensor(**changes: Any) -> dict[str, Any]:
    """A good input tensor, with changes."""
    return {"name": "input", "shape": [1, 3], "datatype": "FP64", "data": [50, 15, 0.1]} | changes


def request(*inputs: dict[str, Any], **changes: Any) -> bytes:
    """A request with these inputs."""
    return json.dumps({"inputs": list(inputs)} | changes).encode()


def columns(**values: Any) -> list[dict[str, Any]]:
    """One tensor for each input, each of one row."""
    names = {"age": 50.0, "mean radius": 15.0, "trend": 0.1} | values
    return [{"name": name, "shape": [1], "datatype": "FP32", "data": [value]} for name, value in names.items()]


GOOD = [
    pytest.param(request(tensor()), id="one tensor, flat"),
    pytest.param(request(tensor(data=[[50, 15, 0.1]])), id="one tensor, rows"),
    pytest.param(request(tensor(datatype="FP32")), id="FP32"),
    pytest.param(request(tensor(datatype="INT64", data=[50, 15, 1])), id="INT64"),
    pytest.param(request(tensor(datatype="UINT8", data=[50, 15, 1])), id="UINT8"),
    pytest.param(request(tensor(), outputs=[{"name": "label"}], id=": \\u003a", parameters={"a": "b:c"}), id="colons"),
    pytest.param(request(tensor(), id=None, parameters=None), id="nulls"),
    pytest.param(request(tensor(), model_name=MODEL), id="the model again"),
    pytest.param(request(tensor(shape=[2, 3], data=[50, 15, 0.1] * 2)), id="two rows"),
    pytest.param(request(*columns()), id="a tensor for each input"),
    pytest.param(request(*reversed(columns())), id="in another order"),
    pytest.param(request(*[one | {"shape": [1, 1]} for one in columns()]), id="as columns"),
    pytest.param(
        request(*[one | {"data": [one["data"]], "shape": [1, 1]} for one in columns()]), id="as nested columns"
    ),
    pytest.param(
        request(tensor(parameters={"binary_data": False}), id="a", parameters={"priority": 1}), id="parameters"
    ),
    pytest.param(request(tensor(), outputs=[{"name": "label"}]), id="one output"),
    pytest.param(b" \n" + request(tensor()) + b"\n ", id="white space"),
]


@pytest.mark.requirement("SERV-01", by="holdfast.serve.protocol:decode_infer")
@pytest.mark.parametrize("body", GOOD)
def test_every_honest_way_of_asking_is_answered(gateway: Serving, body: bytes) -> None:
    """Open Inference Protocol v2 lets a client choose; the answer is the same."""
    response = gateway.call(body=body)
    assert response.status == 200, response.body
    document = json.loads(response.body)
    assert document["model_name"] == MODEL
    assert document["outputs"][0]["data"][0] in {"benign", "malignant"}


MALFORMED = [
    pytest.param(b"", id="nothing"),
    pytest.param(b"{", id="cut off"),
    pytest.param(b"[]", id="a list"),
    pytest.param(b"null", id="null"),
    pytest.param(b"\xff\xfe\x00", id="no text"),
    pytest.param(b'{"inputs":[{"name":"\xff","shape":[1,3],"datatype":"FP64","data":[1,2,3]}]}', id="no UTF-8"),
    pytest.param(request(), id="no inputs"),
    pytest.param(request(tensor(), tensor()), id="the tensor twice"),
    pytest.param(request(*columns(), columns()[0]), id="an input twice"),
    pytest.param(request(*columns()[:2]), id="an input missing"),
    pytest.param(request(*columns(extra=1.0)), id="an unknown input"),
    pytest.param(request(tensor(name="output")), id="another tensor's name"),
    pytest.param(request(tensor(name="")), id="no name"),
    pytest.param(request(tensor(shape=[1, 2], data=[50, 15])), id="too narrow"),
    pytest.param(request(tensor(shape=[1, 4], data=[50, 15, 0, 0])), id="too wide"),
    pytest.param(request(tensor(shape=[3])), id="one dimension"),
    pytest.param(request(tensor(shape=[1, 1, 3])), id="three dimensions"),
    pytest.param(request(tensor(shape=[])), id="no dimension"),
    pytest.param(request(tensor(shape=[0, 3], data=[])), id="no rows"),
    pytest.param(request(tensor(shape=[-1, 3])), id="a negative shape"),
    pytest.param(request(tensor(shape=[-1, -3], data=[50, 15, 0.1])), id="two negatives"),
    pytest.param(request(tensor(shape=[2**63, 3])), id="a shape that overflows 64 bits"),
    pytest.param(request(tensor(shape=[2**64 + 1, 3])), id="a shape that wraps around to one row"),
    pytest.param(request(tensor(shape=[1] * 10_000)), id="ten thousand dimensions"),
    pytest.param(request(tensor(shape=[1.5, 3])), id="a fraction of a row"),
    pytest.param(request(tensor(shape="1,3")), id="a shape in words"),
    pytest.param(request(tensor(shape=[2, 3])), id="fewer values than the shape"),
    pytest.param(request(tensor(data=[50, 15, 0.1, 7])), id="more values than the shape"),
    pytest.param(request(tensor(shape=[2, 3], data=[[50, 15, 0.1], [50, 15]])), id="ragged"),
    pytest.param(request(tensor(data=[[[50, 15, 0.1]]])), id="nested too deeply for the shape"),
    pytest.param(request(tensor(data=[["50", "15", "0.1"]])), id="numbers in quotes"),
    pytest.param(request(tensor(data=["50", 15, 0.1])), id="one number in quotes"),
    pytest.param(request(tensor(data=[True, 15, 0.1])), id="true"),
    pytest.param(request(tensor(data=[None, 15, 0.1])), id="null as a number"),
    pytest.param(request(tensor(data={"0": 50})), id="an object as data"),
    pytest.param(request(tensor(data="UNSAFE")), id="text as data"),
    pytest.param(request(tensor(datatype="BYTES")), id="datatype BYTES"),
    pytest.param(request(tensor(datatype="FP16")), id="datatype FP16"),
    pytest.param(request(tensor(datatype="fp64")), id="a datatype in small letters"),
    pytest.param(request(tensor(datatype="INT64", data=[50, 15, 0.1])), id="a fraction as INT64"),
    pytest.param(request(tensor(datatype=None)), id="no datatype"),
    pytest.param(request({key: value for key, value in tensor().items() if key != "shape"}), id="a shape left out"),
    pytest.param(request(tensor(extra=1)), id="an unknown member of a tensor"),
    pytest.param(request(tensor(), model="other"), id="an unknown member of the request"),
    pytest.param(request(tensor(), id=7), id="a number as id"),
    pytest.param(request(tensor(), model_name="another"), id="another model than the path's"),
    pytest.param(request(tensor(), id="x" * 129), id="an endless id"),
    pytest.param(request(tensor(), outputs=[{"name": "weights"}]), id="an output that is none"),
    pytest.param(request(tensor(), outputs=[{"name": "label"}, {"name": "label"}]), id="an output twice"),
    pytest.param(request(tensor(parameters={"a": {"b": {}}})), id="nested parameters"),
    pytest.param(ROW.replace(b'"inputs"', b'"inputs":[],"inputs"'), id="inputs given twice"),
    pytest.param(ROW.replace(b'"data"', b'"data":[1,2,3],"data"'), id="data given twice"),
    pytest.param(ROW.replace(b'"data"', b'"d\\u0061ta":[1,2,3],"data"'), id="data given twice, once in escapes"),
    pytest.param(ROW.replace(b'"data"', b'"parameters":{"a":1,"a":2},"data"'), id="a parameter twice"),
    pytest.param(request(tensor(datatype="BOOL")), id="numbers as BOOL"),
    pytest.param(request(tensor(datatype="UINT8", data=[50, 256, 0])), id="256 as UINT8"),
    pytest.param(request(tensor(datatype="UINT64", data=[50, -1, 0])), id="-1 as UINT64"),
    pytest.param(request(tensor(datatype="BF16")), id="datatype BF16 in JSON"),
    pytest.param(request(tensor(data=[[50, 15], 0.1])), id="half nested"),
    pytest.param(request(tensor(), parameters={"binary_data_output": 1}), id="1 as a flag"),
    pytest.param(request(tensor(), outputs=[{"name": "label", "parameters": {"classification": 2}}]), id="top-k"),
    pytest.param(
        request(tensor(), outputs=[{"name": "label", "parameters": {"shared_memory_region": "r"}}]), id="shared memory"
    ),
    pytest.param(request(tensor(parameters={"binary_data_size": 24})), id="a size of bytes beside data"),
    pytest.param(ROW.replace(b"50", b"NaN"), id="NaN"),
    pytest.param(ROW.replace(b"50", b"Infinity"), id="Infinity"),
    pytest.param(ROW.replace(b"50", b"-Infinity"), id="-Infinity"),
    pytest.param(ROW.replace(b"50", b"1e400"), id="beyond double"),
    pytest.param(ROW.replace(b"0.1", b"1e39"), id="beyond float32"),
    pytest.param(ROW.replace(b"0.1", b"-1e300"), id="far beyond float32"),
    pytest.param(ROW.replace(b"50", b"9" * 5000), id="five thousand digits"),
    pytest.param(ROW.replace(b"[1,3]", b"[" + b"9" * 5000 + b",3]"), id="a shape of five thousand digits"),
    pytest.param(ROW.replace(b"50", b"0x32"), id="hexadecimal"),
    pytest.param(ROW.replace(b"50", b"050"), id="a leading zero"),
    pytest.param(ROW + ROW, id="two documents"),
    pytest.param(ROW.replace(b"50", b"50 // fifty"), id="a comment"),
    pytest.param(b"[" * 50_000, id="brackets without end"),
    pytest.param(b'{"inputs":' + b"[" * 20_000 + b"]" * 20_000 + b"}", id="a tower of lists"),
    pytest.param(b'{"inputs":[],"id":' + b'{"a":' * 8_000 + b"1" + b"}" * 8_000 + b"}", id="a tower of objects"),
    pytest.param(request(tensor(shape=[65, 3], data=[50, 15, 0.1] * 65)), id="too many rows"),
]


@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.inputs:ValidInput.admit")
@pytest.mark.parametrize("body", MALFORMED)
@pytest.mark.guarantee("G11")
def test_a_malformed_tensor_is_refused_before_the_model_sees_it(gateway: Serving, body: bytes) -> None:
    """Wrong schema, type, shape or size: a 400 in the protocol's error form, and the model is not called."""
    assert gateway.gateway.state is not None
    meter = gateway.gateway._meters[gateway.gateway.state.routes[MODEL].baseline.digest]
    before = meter.requests
    response = gateway.call(body=body)
    assert response.status == 400, response.body
    assert list(json.loads(response.body)) == ["error"]
    assert meter.requests == before


@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.size:WithinSize.admit")
@pytest.mark.parametrize("size", [65_537, 10 << 20])
def test_a_body_beyond_the_limit_is_refused(gateway: Serving, size: int) -> None:
    """A ten-megabyte body is turned away by its length alone, whatever is in it."""
    response = gateway.call(body=ROW + b" " * (size - len(ROW)))
    assert (response.status, response.body) == (413, b'{"error":"the request is too large"}')


def test_a_body_at_the_limit_is_answered(gateway: Serving) -> None:
    """The limit is the last length that is allowed."""
    assert gateway.call(body=ROW + b" " * (65_536 - len(ROW))).status == 200


@pytest.mark.parametrize(
    ("row", "status"),
    [
        ({"age": 50, "mean radius": 15, "trend": 0.1}, 200),
        ({"trend": 0.1, "age": 50, "mean radius": 15}, 200),
        ({"age": 50, "mean radius": 15}, 400),
        ({"age": 50, "mean radius": 15, "trend": 0.1, "more": 1}, 400),
        ({"age": "50", "mean radius": 15, "trend": 0.1}, 400),
        ({"age": None, "mean radius": 15, "trend": 0.1}, 400),
        ({"age": True, "mean radius": 15, "trend": 0.1}, 400),
        ({"Age": 50, "mean radius": 15, "trend": 0.1}, 400),
        ([50, 15, 0.1], 400),
        ("50,15,0.1", 400),
    ],
)
def test_plain_rows_must_have_exactly_the_models_inputs(gateway: Serving, row: object, status: int) -> None:
    """`/predict` takes named columns; a missing, unknown or misspelt one is refused."""
    assert gateway.call(path=PREDICT, body=json.dumps({"rows": [row]}).encode()).status == status


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "in row 1, 'age' is null: no value may be missing"),
        ("50", "in row 1, 'age' is not a number"),
        (True, "in row 1, 'age' is not a number"),
        ([50], "in row 1, 'age' is not a number"),
    ],
)
def test_a_refusal_names_the_input_and_the_row_that_hold_no_number(gateway: Serving, value: object, words: str) -> None:
    """A caller with a missing value or a number in quotes learns where it is."""
    good = {"age": 50, "mean radius": 15, "trend": 0.1}
    answer = gateway.call(path=PREDICT, body=json.dumps({"rows": [good, good | {"age": value}]}).encode())
    assert json.loads(answer.body)["error"] == words


@pytest.mark.parametrize(
    "body",
    [
        b'{"rows":[]}',
        b'{"rows":{}}',
        b"{}",
        b'{"rows":[{"age":50,"mean radius":15,"trend":0.1,"age":20}]}',
        b'{"rows":[{"age":50,"mean radius":15,"trend":0.1,"\\u0061ge":20}]}',
        b'{"rows":[{"age":50,"mean radius":15,"trend":' + b"9" * 5000 + b"}]}",
        b'{"rows":[],"rows":[{"age":50,"mean radius":15,"trend":0.1}]}',
        b'{"rows":[{"age":50,"mean radius":15,"trend":0.1}],"more":1}',
    ],
)
def test_plain_rows_with_a_key_given_twice_or_none_at_all_are_refused(gateway: Serving, body: bytes) -> None:
    """Of two values for one input nobody knows which one was meant, however the second is spelt."""
    assert gateway.call(path=PREDICT, body=body).status == 400


def test_what_is_answered_plainly_says_what_it_is(gateway: Serving) -> None:
    """A person reads label and probabilities by name, and which release said so."""
    body = b'{"rows":[{"age":50,"mean radius":15,"trend":0.1},{"age":1,"mean radius":1,"trend":-1}]}'
    document = json.loads(gateway.call(path=PREDICT, body=body).body)
    assert document["model"] == MODEL
    assert document["predictions"] == [
        {"label": "malignant", "probabilities": {"benign": 0.35, "malignant": 0.65}},
        {"label": "benign", "probabilities": {"benign": 0.95, "malignant": 0.05}},
    ]


@pytest.mark.parametrize(
    ("value", "status", "flagged"),
    [
        (0.0, 200, False),
        (100.0, 200, False),
        (100.01, 200, True),
        (-49.9, 200, True),
        (150.0, 200, True),
        (150.1, 400, False),
    ],
)
@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.inputs:ValidInput._outside")
def test_a_value_out_of_range_is_flagged_within_the_margin_and_refused_beyond_it(
    gateway: Serving, value: float, status: int, flagged: bool
) -> None:
    """Declared 0 to 100 with a margin of half the range: up to 150 is answered with a flag, above it is refused."""
    response = gateway.call(body=request(tensor(data=[value, 15, 0.1])))
    assert response.status == status
    assert ("out-of-range" in str(json.loads(response.body).get("parameters"))) is flagged


@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.inputs:ValidInput._outside")
def test_an_answer_names_the_rows_that_are_out_of_range() -> None:
    """Of several rows, up to a thousand, a header says which; of one, the flag alone does."""
    named = b"x-holdfast-out-of-range-rows"
    guard = GuardSpec(name="valid-input", configuration={"max_rows": 2000, "margin": 1.0})
    found = World().serve(OnnxRuntime(), guards=(*GUARDS[:3], guard, *GUARDS[4:]))

    def asked(ages: list[float]) -> HttpResponse:
        data = [value for age in ages for value in (age, 15, 0.1)]
        return found.call(body=request(tensor(shape=[len(ages), 3], data=data)))

    assert asked([120, 50, 120, 120, 50]).header(named) == b"0,2-3"
    assert asked([50, 50]).header(named) is None
    assert asked([120]).header(named) is None
    assert asked([120, *[50] * 999]).header(named) == b"0"
    assert asked([120, *[50] * 1000]).header(named) is None


@pytest.mark.parametrize(("value", "status"), [(1e6, 200), (3.4e38, 200), (1e39, 400)])
def test_a_margin_policy_of_flag_refuses_only_what_is_no_number(value: float, status: int) -> None:
    """Where the table says `flag`, any finite float32 is answered and flagged."""
    guard = GuardSpec(name="valid-input", configuration={"max_rows": 4, "margin": 0.1, "outside": "flag"})
    found = World().serve(OnnxRuntime(), guards=(*GUARDS[:3], guard, *GUARDS[4:]))
    response = found.call(body=request(tensor(data=[value, 15, 0.1])))
    assert response.status == status
    assert (b"out-of-range" in response.body) is (status == 200)


@pytest.fixture(scope="module")
def in_years() -> Serving:
    """A gateway whose model counts ages in whole years."""
    inputs = (msgspec.structs.replace(SIGNATURE.inputs[0], whole=True), *SIGNATURE.inputs[1:])
    world = World()
    release = world.release(tiny_model(), signature=msgspec.structs.replace(SIGNATURE, inputs=inputs))
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 1e6, "burst": 1_000_000})
    world.publish(world.table(release, guards=(*GUARDS[:2], limit, *GUARDS[3:])))
    found = world.serving(OnnxRuntime())
    found.look()
    return found


@pytest.mark.requirement("GATE-09", by="holdfast.serve.guards.inputs:ValidInput._fractional")
@pytest.mark.parametrize(
    ("body", "status"),
    [
        (request(tensor(data=[50, 15.5, 0.1])), 200),
        (request(tensor(data=[50.0, 15, 0.1])), 200),
        (request(tensor(data=[120, 15, 0.1])), 200),
        (request(tensor(data=[50.5, 15, 0.1])), 400),
        (request(tensor(data=[120.5, 15, 0.1])), 400),
        (request(tensor(shape=[2, 3], data=[50, 15, 0.1, 0.25, 15, 0.1])), 400),
        (request(tensor(shape=[64, 3], data=[50, 15, 0.1] * 63 + [49.5, 15, 0.1])), 400),
        (request(*columns(age=0.001)), 400),
    ],
)
def test_an_input_of_whole_numbers_takes_no_fraction(in_years: Serving, body: bytes, status: int) -> None:
    """Within the range or within its margin; the refusal names the input, and the others take what they took."""
    response = in_years.call(body=body)
    assert response.status == status, response.body
    assert (b"'age' of row" in response.body and b"takes whole numbers only" in response.body) is (status == 400)


def test_calls_that_are_answered_together_are_refused_alone(in_years: Serving) -> None:
    """A fraction in one call of several is nobody else's, and is counted as a value of another type."""
    calls = [request(tensor()), request(tensor(data=[50.5, 15, 0.1])), request(tensor())]
    asked = [HttpRequest(method="POST", path=INFER, headers=WITH_KEY, body=body, peer="127.0.0.1") for body in calls]
    found = in_years.gateway.handle_together(asked)
    assert [each.status for each in found] == [200, 400, 200]
    text = in_years.call(method="GET", path="/metrics", body=b"").body.decode()
    mistyped = [line for line in text.splitlines() if 'kind="type_mismatch"' in line and 'input="age"' in line]
    assert float(mistyped[0].split()[-1]) >= 1


def test_what_takes_whole_numbers_says_so(in_years: Serving) -> None:
    """In the model's metadata, from which load tests draw their rows, and in its description by OpenAPI."""
    said = json.loads(in_years.call(method="GET", path=f"/v2/models/{MODEL}", body=b"").body)
    assert [each.get("whole", False) for each in said["parameters"]["features"]] == [True, False, False]
    described = json.loads(in_years.call(method="GET", path=f"/v2/models/{MODEL}/openapi.json", body=b"").body)
    columns = described["components"]["schemas"]["PredictRequest"]["properties"]["rows"]["items"]["properties"]
    assert [columns[name]["type"] for name in ("age", "mean radius", "trend")] == ["integer", "number", "number"]
    draw = random.Random(0)  # noqa: S311 - rows of a load test
    drawn = json.loads(rows_body(said["parameters"]["features"], draw, rows=20))["inputs"][0]["data"]
    assert all(value.is_integer() for value in drawn[::3])
    assert not all(value.is_integer() for value in drawn[1::3])


def test_encoded_bodies_are_refused_not_guessed(gateway: Serving) -> None:
    """A compressed body could be a bomb."""
    response = gateway.call((*WITH_KEY, (b"content-encoding", b"gzip")))
    assert response.status == 415


@pytest.mark.requirement("SERV-01", by="holdfast.serve.encoding:encode_infer")
def test_the_answer_follows_the_protocol(gateway: Serving) -> None:
    """Names, datatypes and shapes of the outputs are those that the metadata promises; the id comes back."""
    metadata = json.loads(gateway.call(path=f"/v2/models/{MODEL}", method="GET", body=b"").body)
    document = json.loads(gateway.call(body=request(tensor(shape=[2, 3], data=[50, 15, 0.1] * 2), id="42")).body)
    assert document["id"] == "42"
    assert [document["model_version"]] == metadata["versions"]
    promised = {output["name"]: (output["datatype"], output["shape"][1:]) for output in metadata["outputs"]}
    for output in document["outputs"]:
        assert (output["datatype"], output["shape"][1:]) == promised[output["name"]]
        assert output["shape"][0] == 2
    assert metadata["inputs"] == [{"name": "input", "datatype": "FP32", "shape": [-1, 3]}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2", {"name": "holdfast", "version": "0", "extensions": list(EXTENSIONS)}),
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"live": True, "ready": True}),
        (f"/v2/models/{MODEL}/ready", {"name": MODEL, "ready": True}),
    ],
)
def test_health_readiness_and_metadata_answer_as_the_protocol_says(
    gateway: Serving, path: str, body: dict[str, Any]
) -> None:
    """GET answers; POST is refused with the method that is allowed."""
    response = gateway.call(path=path, method="GET", body=b"")
    assert (response.status, json.loads(response.body)) == (200, body)
    refused = gateway.call(path=path)
    assert (refused.status, refused.header(b"allow")) == (405, b"GET")


DECLARED = {saying.status for saying in SAYINGS} | {200}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
ALMOST = st.fixed_dictionaries(
    {
        "inputs": st.lists(
            st.fixed_dictionaries(
                {
                    "name": st.sampled_from(["input", "age", "mean radius", "trend", ""]) | st.text(max_size=4),
                    "shape": st.lists(st.integers(-2, 5) | st.integers(), max_size=3),
                    "datatype": st.sampled_from(["FP32", "FP64", "INT64", "BYTES"]),
                    "data": st.lists(st.floats(width=32) | st.integers(-300, 300), max_size=9) | JSON,
                },
                optional={"parameters": JSON},
            ),
            max_size=4,
        )
    },
    optional={"id": JSON, "outputs": JSON},
)


@given(body=st.binary(max_size=400) | st.one_of(JSON, ALMOST).map(lambda value: json.dumps(value).encode()))
def test_no_body_crashes_the_gateway(gateway: Serving, body: bytes) -> None:
    """Random bytes, random JSON, and almost good requests: a declared status and a JSON object, whatever comes."""
    for path in (INFER, PREDICT):
        response = gateway.call(path=path, body=body)
        assert response.status in {200, 400}
        assert isinstance(json.loads(response.body), dict)


@given(
    method=st.sampled_from(["GET", "POST"]) | st.text(max_size=8),
    path=st.sampled_from([INFER, PREDICT, "/v2", "/metrics", "/v2/health/ready"]) | st.text(max_size=60),
    headers=st.lists(
        st.tuples(
            st.sampled_from([b"authorization", b"x-api-key", b"x-correlation-id", b"content-encoding", b"host"])
            | st.binary(max_size=12),
            st.binary(max_size=40) | st.just(WITH_KEY[0][1]),
        ),
        max_size=5,
    ),
    body=st.binary(max_size=60),
    peer=st.text(max_size=20),
)
def test_no_request_crashes_the_gateway(
    gateway: Serving, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes, peer: str
) -> None:
    """Any method, path, headers and address: a declared status below 500."""
    request = HttpRequest(method=method, path=path, headers=tuple(headers), body=body, peer=peer)
    response = gateway.gateway.handle(request)
    assert response.status in DECLARED
    assert response.status < 500
