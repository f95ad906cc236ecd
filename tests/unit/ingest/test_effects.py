"""What poison does to models, and that screening takes it back: each attack against the aim that it has."""

import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from holdfast.core.errors import InvalidInput
from holdfast.ingest.effects import effect
from holdfast.ingest.screening import Table, tabulate

ROWS = 1600
BASELINE = Path(__file__).parents[3] / "policies" / "baseline.toml"


def of_people(apart: float = 2.0) -> tuple[Table, np.ndarray]:
    """People of two sizes of loan, some of them in a group that nothing else tells apart."""
    rng = np.random.default_rng(21)
    repaid = rng.random(ROWS) < 0.5
    group = rng.random(ROWS) < 0.4
    frame = pl.DataFrame(
        {
            **{f"x{index}": np.round(rng.normal(size=ROWS) + apart * repaid * (index < 3), 1) for index in range(6)},
            "group": np.where(group, "a", "b"),
            "repaid": np.where(repaid, "yes", "no"),
        }
    )
    return tabulate(frame, "repaid", [name for name in frame.columns if name != "repaid"]), group


@pytest.mark.requirement("VAL-20", by="holdfast.engines.poison.backdoor:stamp_rows")
@pytest.mark.requirement("VAL-23", by="holdfast.engines.screens.triggers:find_triggers")
def test_a_backdoor_opens_with_its_mark_alone_and_is_shut_by_screening() -> None:
    """Accuracy elsewhere stays; rows with the mark are answered as the attacker wants until the suspects are gone."""
    found = effect(of_people()[0], "backdoor", share=0.04, seed=3)
    assert abs(found.spoiled.accuracy - found.honest.accuracy) <= 0.03
    assert found.spoiled.success >= found.honest.success + 0.4
    assert found.recall >= 0.95
    assert found.repaired.success <= found.honest.success + 0.1


@pytest.mark.requirement("VAL-18", by="holdfast.engines.poison.rows:flip_towards")
@pytest.mark.requirement("VAL-23", by="holdfast.engines.screens.labels:suspect")
def test_flips_move_answers_towards_their_class_and_screening_moves_them_back() -> None:
    """A good part of the harm is undone: where classes overlap, flips are what they look like."""
    found = effect(of_people()[0], "flips", share=0.15, seed=4)
    harm = found.spoiled.success - found.honest.success
    assert harm >= 0.05
    assert found.repaired.success - found.honest.success <= 0.7 * harm


@pytest.mark.requirement("VAL-17", by="holdfast.engines.poison.rows:inject")
def test_injected_rows_shift_answers_towards_the_attackers_class() -> None:
    """Fabricated rows that sound like one class and are called the other."""
    found = effect(of_people()[0], "injection", share=0.4, seed=5)
    assert found.poisoned == round(0.4 * ROWS * 3 / 4)
    assert found.spoiled.success >= found.honest.success + 0.05


@pytest.mark.requirement("VAL-19", by="holdfast.engines.poison.rows:collide")
def test_clean_labels_take_a_chosen_row_over() -> None:
    """No label is changed, and rows like the victim are answered as the class that was moved to it."""
    found = [effect(of_people()[0], "clean-label", share=0.1, seed=seed) for seed in range(3)]
    assert np.mean([each.spoiled.success - each.honest.success for each in found]) >= 0.1
    assert np.mean([each.spoiled.accuracy - each.honest.accuracy for each in found]) >= -0.1


@pytest.mark.requirement("VAL-21", by="holdfast.engines.poison.rows:bias_against")
def test_bias_against_a_group_is_denied_by_the_gate_of_fairness() -> None:
    """Even the lower bound of the gap is beyond what the shipped policy lets pass; before, it was far within."""
    rules = tomllib.loads(BASELINE.read_text(encoding="utf-8"))["rule"]
    (limit,) = [rule["at_most"] for rule in rules if rule.get("measure") == "equal_opportunity_gap"]
    table, group = of_people()
    found = effect(table, "bias", share=0.9, seed=6, group=group)
    assert found.honest.gap is not None
    assert found.spoiled.gap is not None
    assert found.honest.gap < limit / 2
    assert found.spoiled.gap > limit


def test_what_rows_do_not_allow_is_said() -> None:
    """No group, no number, no such attack."""
    table, _ = of_people()
    with pytest.raises(InvalidInput, match="no attack"):
        effect(table, "hope", share=0.1, seed=0)
    with pytest.raises(InvalidInput, match="none is named"):
        effect(table, "bias", share=0.1, seed=0)
    rng = np.random.default_rng(1)
    words = pl.DataFrame({"a": rng.choice(["u", "v"], ROWS), "y": rng.choice(["n", "y"], ROWS)})
    with pytest.raises(InvalidInput, match="no column is a number"):
        effect(tabulate(words, "y", ["a"]), "clean-label", share=0.1, seed=0)
