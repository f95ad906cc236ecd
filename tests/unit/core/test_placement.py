"""Placement: what is confidential or personal stays in the regions that its project allows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.plan.world import HEAD, project

from holdfast.core.errors import Refused
from holdfast.core.placement import check_placed, common, inside, model_in, rows_in
from holdfast.core.planning import Sensitivity

RESIDENT = HEAD + '[residency]\nallowed = ["eu", "ch"]\n'
REGIONS = st.lists(st.sampled_from(["eu", "eu-west", "eu-west-1", "us", "ch"]), max_size=4)


@pytest.mark.parametrize("sensitivity", Sensitivity)
def test_the_class_decides_whether_a_region_matters(sensitivity: Sensitivity) -> None:
    """Confidential and personal things stay; others may be anywhere, as may everything where no region is declared."""
    declared = project(RESIDENT, sensitivity=f'"{sensitivity.value}"')
    wanted = ("eu", "ch") if sensitivity in {Sensitivity.CONFIDENTIAL, Sensitivity.PERSONAL} else ()
    assert rows_in(declared) == model_in(declared) == wanted
    assert rows_in(project(HEAD, sensitivity=f'"{sensitivity.value}"')) == ()


def test_one_sensitive_column_is_enough() -> None:
    """The data set is as sensitive as its most sensitive column, and is placed so."""
    text = RESIDENT.replace('y = { type = "float" }', 'y = { type = "float", sensitivity = "personal" }')
    assert rows_in(project(text)) == ("eu", "ch")
    assert rows_in(project(RESIDENT)) == ()


@pytest.mark.parametrize("region", ["us-east-1", "europe", "", "EU", "e"])
def test_a_place_elsewhere_or_unsaid_is_refused(region: str) -> None:
    """Named, with what is expected; one good place does not excuse another."""
    check_placed(("eu",), {"this machine": "eu-central-1"})
    check_placed((), {"this machine": region})
    with pytest.raises(Refused, match="the object store") as refused:
        check_placed(("eu",), {"this machine": "eu-central-1", "the object store": region})
    assert "HOLDFAST_REGION" in refused.value.remedy


@given(first=REGIONS, second=REGIONS, region=st.sampled_from(["eu", "eu-west-1", "us", "us-east", "ch", ""]))
def test_what_two_allow_in_common_is_allowed_by_both(first: list[str], second: list[str], region: str) -> None:
    """And by nobody else; a restriction with nothing in common with another one allows nothing."""
    allowed = [each for each in (first, second) if each]
    both = common(first, second)
    if allowed:
        assert inside(region, both) == all(inside(region, each) for each in allowed)
    else:
        assert both == ()
