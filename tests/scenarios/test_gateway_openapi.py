"""Each model's OpenAPI description, asked by schemathesis: what it allows is answered, and nothing is a defect."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.conftest import Effort

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.core.routes import GuardSpec
from holdfast.serve.refusals import SAYINGS
from holdfast.testing.world import GUARDS, MODEL, WITH_KEY, Serving, World

schemathesis = pytest.importorskip("schemathesis")
jsonschema = pytest.importorskip("jsonschema")
PATH = f"/v2/models/{MODEL}/openapi.json"


@pytest.fixture(scope="module")
def gateway() -> Serving:
    """A gateway whose calls are not limited; no test here changes what it serves."""
    limit = GuardSpec(name="within-rate", configuration={"rate_per_s": 1e6, "burst": 1_000_000})
    return World().serve(OnnxRuntime(), guards=(*GUARDS[:2], limit, *GUARDS[3:]))


@pytest.fixture(scope="module")
def description(gateway: Serving) -> dict[str, Any]:
    """The description that the gateway hands out."""
    found: dict[str, Any] = json.loads(gateway.call(method="GET", path=PATH, body=b"").body)
    return found


def test_who_may_not_look_is_shown_nothing(gateway: Serving) -> None:
    """Columns and classes are the model's inside to a stranger."""
    assert gateway.call((), method="GET", path=PATH, body=b"").status == 401
    assert gateway.call(method="GET", path="/v2/models/other/openapi.json", body=b"").status == 403


@pytest.mark.requirement("SERV-01", by="holdfast.serve.openapi:describe")
def test_a_description_names_the_models_own_columns_and_classes(gateway: Serving, description: dict[str, Any]) -> None:
    """With the margin that is answered, and the range that is answered without a flag."""
    version = json.loads(gateway.call().body)["model_version"]
    assert description["info"] == {"title": MODEL, "version": version}
    rows = description["components"]["schemas"]["PredictRequest"]["properties"]["rows"]
    age = rows["items"]["properties"]["age"]
    assert (age["minimum"], age["maximum"], rows["maxItems"]) == (-50.0, 150.0, 64)
    assert "from 0.0 to 100.0" in age["description"]
    at = f"/v2/models/{MODEL}/versions/{version}/openapi.json"
    assert json.loads(gateway.call(method="GET", path=at, body=b"").body) == description


def test_every_refusal_of_the_core_is_described(description: dict[str, Any]) -> None:
    """A status that no client was told of is a surprise."""
    responses = description["paths"][f"/predict/{MODEL}"]["post"]["responses"]
    assert {str(saying.status) for saying in SAYINGS} <= responses.keys()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("mode", ["POSITIVE", "NEGATIVE"])
def test_whatever_is_asked_the_answer_is_as_described(
    gateway: Serving, description: dict[str, Any], effort: Effort, mode: str
) -> None:
    """Documented status and shape for good and bad requests; named columns within the schema are always answered."""
    asked: set[tuple[str, int]] = set()
    for result in schemathesis.openapi.from_dict(description).get_all_operations():
        operation = result.ok()
        if operation.method != "post":  # of the others, nothing but their path can be chosen
            continue
        asked |= ask(gateway, description, operation, mode, effort(ci=25, record=500))
    assert (f"/predict/{MODEL}", 200 if mode == "POSITIVE" else 400) in asked


def ask(gateway: Serving, description: dict[str, Any], operation: Any, mode: str, count: int) -> set[tuple[str, int]]:
    """Ask an operation so many times, look at each answer, and return the statuses."""
    responses = description["paths"][operation.path][operation.method]["responses"]
    body = description["paths"][operation.path][operation.method]["requestBody"]["content"]["application/json"]
    wanted = jsonschema.Draft202012Validator({**description, **body["schema"]})
    asked: set[tuple[str, int]] = set()

    @settings(
        max_examples=count,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=getattr(schemathesis.GenerationMode, mode)))
    def once(case) -> None:  # noqa: ANN001 - schemathesis makes its own types
        body = case.body if isinstance(case.body, bytes) else json.dumps(case.body, default=str).encode()
        response = gateway.call(WITH_KEY, method="POST", path=operation.path, body=body)
        described = responses[str(response.status)]["content"]["application/json"]["schema"]
        jsonschema.validate(json.loads(response.body), {**description, **described})
        asked.add((operation.path, response.status))
        assert response.status < 500
        fits = wanted.is_valid(case.body)  # what is made wrong may also be a header that nobody reads
        if operation.path.startswith("/predict/"):
            assert response.status == (200 if fits else 400), (response.body, body)
        elif not fits:
            assert response.status == 400, (response.body, body)

    once()
    return asked
