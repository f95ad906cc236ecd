"""schemathesis asks everything that the API's description allows, and much that it does not."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.conftest import Effort
from tests.scenarios.api import Api, opened

from holdfast import app

schemathesis = pytest.importorskip("schemathesis")
found = pytest.importorskip("schemathesis.specs.openapi.checks")
CHECKS = [
    found.status_code_conformance,
    found.content_type_conformance,
    found.response_headers_conformance,
    found.response_schema_conformance,
]


@pytest.fixture(scope="module")
def api(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The API of a new workspace."""
    folder = tmp_path_factory.mktemp("fuzzed")
    app.init(folder, owner="Ada")
    with app.open_plant(folder) as plant, opened(plant) as found:
        yield found


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_whatever_is_asked_the_answer_is_as_described_and_never_a_defect(api: Api, effort: Effort) -> None:
    """Good and bad requests for every operation: documented status, content type and shape, and no 500."""
    schema = schemathesis.openapi.from_dict(api.describe())
    modes = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]
    asked: set[int] = set()
    count = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in modes:
            cases = operation.as_strategy(generation_mode=mode)

            @settings(
                max_examples=effort(ci=4, record=200),
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(cases, st.sampled_from(["administrator", "viewer"]))
            def ask(case, role) -> None:  # noqa: ANN001 - schemathesis makes its own types
                nonlocal count
                sent = case.as_transport_kwargs(base_url="http://holdfast.test", headers={})
                sent.pop("cookies", None)
                headers = {name: value for name, value in dict(sent.pop("headers")).items() if value is not None}
                target = sent.pop("url").removeprefix("http://holdfast.test")
                try:
                    answer = api.ask(sent.pop("method"), target, role=role, headers=headers, **_known(sent))
                except (UnicodeEncodeError, ValueError, httpx.InvalidURL):  # what no client could send
                    return
                count += 1
                asked.add(answer.status_code)
                assert answer.status_code != 500, answer.text
                case.validate_response(answer, checks=CHECKS)

            try:
                ask()
            except Exception as error:
                if type(error).__name__ in {"Unsatisfiable", "SkipTest"}:
                    continue
                raise
    assert count > 50
    assert {200, 403} <= asked
    assert {400, 422} & asked


def _known(sent: dict) -> dict:
    """What httpx takes of it."""
    names = {"data": "content"}
    return {names.get(name, name): value for name, value in sent.items() if name in {"json", "data", "params"}}
