"""The threat model: four areas, every link held against what exists; and when it must be looked at again."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from holdfast.core.errors import InvalidInput
from holdfast.lifecycle import planning_threats
from holdfast.lifecycle.home import Home
from holdfast.lifecycle.planning import KNOWN
from holdfast.lifecycle.plant import Plant
from holdfast.plan.freshness import MATERIAL, Present, Review, due, moves
from holdfast.plan.matrix import SHIPPED_TESTS
from holdfast.plan.threats import AREAS, faults, parse_threats

EXAMPLE = (Path(__file__).parents[3] / "examples" / "breast-cancer" / "threats.toml").read_text(encoding="utf-8")
NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)


def found(text: str, *, model: str = "breast-cancer", tests: bool = True) -> set[str]:
    """The rules that a threat model breaks."""
    threats = parse_threats(text.encode())
    return {each.rule for each in faults(threats, model=model, controls=KNOWN, is_test=lambda _: tests)}


@pytest.mark.requirement("PLAN-09", by="holdfast.plan.threats:faults")
def test_a_threat_model_is_whole_only_with_four_areas_and_links_that_lead_somewhere() -> None:
    """Infrastructure, data pipeline, model API, provenance of every artifact; each threat with control and test."""
    assert found(EXAMPLE) == set()
    for area in AREAS:
        other = "model-api" if area != "model-api" else "infrastructure"
        assert "missing-area" in found(EXAMPLE.replace(f'area = "{area}"', f'area = "{other}"'))
    assert found(EXAMPLE.replace('"train.split/1"', '"train.spilt/1"')) == {"dangling-control"}
    assert found(EXAMPLE, tests=False) == {"dangling-test"}
    assert found(EXAMPLE.replace('controls = ["ledger:chain"]', "controls = []")) == {"no-control"}
    assert found(EXAMPLE.replace('tests = ["tests/unit/ingest/test_contract.py"]', "tests = []")) == {"no-test"}
    assert found(EXAMPLE.replace('"recipe", ', "")) == {"unproven-artifact"}
    assert found(EXAMPLE.replace('"poisoning"', '"bad luck"')) == {"unknown-category"}
    assert found(EXAMPLE, model="another") == {"other-model"}


@pytest.mark.parametrize("text", ["", "model = 1", "[", 'model = "a"\nthreat = [{}]', "\xff", "x" * (1 << 19)])
def test_what_is_no_threat_model_is_refused_in_words(text: str) -> None:
    """Malformed, incomplete, too long: one message with the file's name."""
    with pytest.raises(InvalidInput) as refused:
        parse_threats(text.encode("latin-1"))
    assert refused.value.place == "threats.toml"


def test_the_example_names_only_tests_that_every_installation_knows() -> None:
    """The demo works from a wheel too, where there is no folder of tests."""
    threats = parse_threats(EXAMPLE.encode())
    assert {test for threat in threats.threat for test in threat.tests} <= SHIPPED_TESTS


def test_without_a_checkout_the_shipped_list_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed wheel names the tests that the package lists, and no others."""
    monkeypatch.setattr(planning_threats, "_CHECKOUT", tmp_path / "site-packages")
    plant = cast("Plant", SimpleNamespace(home=Home(root=tmp_path)))
    shipped = min(SHIPPED_TESTS)
    assert planning_threats.is_test(plant, shipped)
    assert not planning_threats.is_test(plant, "tests/scenarios/test_planning.py")
    monkeypatch.undo()
    assert planning_threats.is_test(plant, "tests/scenarios/test_planning.py")


FACTS = dict.fromkeys(MATERIAL, "as it was")
REVIEW = Review(moment=NOW, document="d", facts=FACTS)


def present(after: timedelta = timedelta(hours=1), **changed: object) -> Present:
    """What is true a while after the review."""
    return Present(**({"moment": NOW + after, "document": "d", "facts": FACTS} | changed))  # type: ignore[arg-type]


def test_a_review_stands_until_the_month_ends_or_something_happens() -> None:
    """Never, another month, an incident since, another document, and each material change: a cause each."""
    assert due(REVIEW, present()) == {}
    assert set(due(None, present())) == {"never"}
    assert set(due(REVIEW, present(timedelta(days=12)))) == {"month"}
    assert set(due(REVIEW, present(incidents=(NOW + timedelta(minutes=1),)))) == {"incident"}
    assert due(REVIEW, present(incidents=(NOW - timedelta(minutes=1),))) == {}
    assert set(due(REVIEW, present(document="e"))) == {"document"}
    for name in MATERIAL:
        assert set(due(REVIEW, present(facts=FACTS | {name: "another"}))) == {name}


def test_the_same_month_of_another_year_is_another_month() -> None:
    """A calendar is not a clock face."""
    assert set(due(REVIEW, present(timedelta(days=365)))) == {"month"}


def test_tickets_are_opened_once_and_closed_when_their_cause_is_gone() -> None:
    """An open ticket is not opened again; one without a cause is closed."""
    assert moves((), {"month": "w"}) == ({"month": "w"}, ())
    assert moves(("month",), {"month": "w"}) == ({}, ())
    assert moves(("month", "incident"), {"incident": "w"}) == ({}, ("month",))
