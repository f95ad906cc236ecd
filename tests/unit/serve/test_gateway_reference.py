"""`docs/reference/gateway.md` names everything that a table, an operator or a caller can meet."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from holdfast.edge import EdgeConfig
from holdfast.engines.repository import POLICY_NAME, ROUTES_NAME, TRUST_NAME
from holdfast.serve import GUARDS
from holdfast.serve.exchange import HEADERS_READ
from holdfast.serve.guards import GuardKind
from holdfast.serve.protocol import OUTPUTS
from holdfast.serve.refusals import SAYINGS, Saying
from holdfast.serve.tensors import ELEMENTS

REFERENCE = (Path(__file__).parents[3] / "docs" / "reference" / "gateway.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("saying", SAYINGS, ids=lambda saying: saying.code)
def test_every_refusal_stands_in_the_reference(saying: Saying) -> None:
    """With its code and its status, in one line."""
    assert any(line.startswith(f"| `{saying.code}` | {saying.status} |") for line in REFERENCE.splitlines())


@pytest.mark.parametrize("kind", GUARDS, ids=lambda kind: kind.name)
def test_every_guard_and_setting_stands_in_the_reference(kind: GuardKind[Any]) -> None:
    """With its default, where it has one."""
    assert f"| `{kind.name}` |" in REFERENCE
    for setting in kind.settings.__struct_fields__:
        assert f"| `{setting}` |" in REFERENCE


def test_every_part_of_the_configuration_and_of_the_protocol_stands_in_the_reference() -> None:
    """Fields of `EdgeConfig`, documents, datatypes and outputs."""
    wanted = [field.name for field in fields(EdgeConfig)]
    wanted += [POLICY_NAME, ROUTES_NAME, TRUST_NAME, *ELEMENTS, *OUTPUTS]
    wanted += ["x-correlation-id", "x-holdfast-release", "x-holdfast-stale", "x-holdfast-code", "SIGUSR1"]
    assert [name for name in wanted if f"`{name}`" not in REFERENCE] == []
    assert {b"authorization", b"x-api-key"} <= HEADERS_READ.keys()
