"""Sensitivity: classes by column, data set and model, and what acts on them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.ingest import world
from tests.unit.plan.world import HEAD, MADE_WITH, SUBJECT, project

from holdfast.core.control import run
from holdfast.core.planning import CLASSES, Sensitivity
from holdfast.core.sensitivity import most, of_columns, of_dataset, of_model, withheld
from holdfast.lifecycle.guarding import guards_of
from holdfast.plan import SENSITIVITY
from holdfast.plan.tier import decide_tier

CLASSED = HEAD.replace('y = { type = "float" }', 'y = { type = "float", sensitivity = "CLASS" }')


@pytest.mark.requirement("PLAN-05", by="holdfast.core.sensitivity:of_dataset")
@pytest.mark.requirement("PLAN-05", by="holdfast.core.sensitivity:withheld")
def test_classes_are_derived_and_acted_upon_by_search_tier_and_endpoint(tmp_path: Path) -> None:
    """One column classed personal: the data set, the model, the tier, the quarantine and the answers all follow."""
    declared = project(CLASSED.replace("CLASS", "personal") + "[serving]\nround_decimals = 5\n")
    item = run(SENSITIVITY, declared, SUBJECT, MADE_WITH)
    assert item.facts["column:y"] == "personal"
    assert item.facts["column:x"] == "internal"
    assert (item.facts["dataset"], item.facts["model"]) == ("personal", "personal")
    assert decide_tier(declared).tier.name == "STRICT"
    assert decide_tier(project()).tier.name == "STANDARD"
    coarse = next(guard for guard in guards_of(declared) if guard.name == "coarse-output")
    assert coarse.configuration == {"decimals": 2}
    columns = 'id = { type = "string", use = "id" }\nlabel = { type = "category", use = "label", allowed = ["yes"] }\n'
    columns += 'pay = { type = "float", sensitivity = "confidential" }\n'
    columns += 'name = { type = "string", use = "ignored", sensitivity = "personal" }\n'
    made = world.run(tmp_path, "id,label,pay,name\na,yes,1,Bob\nb,yes,seven,Eve\n", world.project(columns))
    assert "withheld" in made.aside[2].reasons[0].found
    assert made.rows.columns == ["id", "label", "pay"]
    assert ("classed-personal", "name") in made.findings("ingest.personal/1")


def test_an_endpoint_of_harmless_data_answers_as_finely_as_declared() -> None:
    """The class bounds the answer, nothing else."""
    declared = project(HEAD + "[serving]\nround_decimals = 5\n")
    coarse = next(guard for guard in guards_of(declared) if guard.name == "coarse-output")
    assert coarse.configuration == {"decimals": 5}


@given(st.sampled_from(CLASSES), st.sampled_from(CLASSES))
def test_nothing_is_less_sensitive_than_what_it_is_made_of(column: Sensitivity, risk: Sensitivity) -> None:
    """A data set is at least as sensitive as each column and as the risk; a model is as sensitive as its data."""
    declared = project(CLASSED.replace("CLASS", column.value), sensitivity=f'"{risk.value}"')
    rank = CLASSES.index(of_dataset(declared))
    assert all(rank >= CLASSES.index(each) for each in (*of_columns(declared).values(), risk))
    assert of_model(declared) is of_dataset(declared)
    assert of_dataset(declared) is most([column, risk])


def test_use_makes_a_column_sensitive_whatever_it_says() -> None:
    """A protected attribute is never public, a personal one never internal."""
    text = HEAD.replace('site = { type = "category", use = "slice"', 'site = { type = "category", use = "protected"')
    assert of_columns(project(text))["site"] is Sensitivity.CONFIDENTIAL
    assert withheld(project(text)) == ("site",)


def test_of_nothing_the_most_is_assumed() -> None:
    """Unknown is not harmless."""
    assert most([]) is Sensitivity.PERSONAL
