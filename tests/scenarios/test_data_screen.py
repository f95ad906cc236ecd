"""`holdfast data screen`: a person's rows are held against the screens, and parted without losing one."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from holdfast import app
from holdfast.core.errors import HoldfastError, InvalidData, InvalidInput, NotFound
from holdfast.faces.cli import invoke
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.poison_rehearsal import data_rehearse
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.screening import data_screen
from holdfast.lifecycle.trail import steps


@pytest.fixture
def plant(bare: Path) -> Iterator[Plant]:
    """The control plane of a workspace without a project."""
    with app.open_plant(bare) as opened:
        yield opened


def table(flipped: int) -> pl.DataFrame:
    """Reviews with a score each; one of three sources turned some of its verdicts."""
    rng = np.random.default_rng(8)
    good = rng.random(600) < 0.5
    source = np.array(["shop", "forum", "partner"])[rng.integers(0, 3, size=600)]
    turned = good.copy()
    turned[np.flatnonzero(~good & (source == "partner"))[:flipped]] = True
    return pl.DataFrame(
        {
            "stars": np.round(np.where(good, 4.0, 2.0) + 0.5 * rng.normal(size=600), 1),
            "length": np.round(np.where(good, 80.0, 140.0) + 20 * rng.normal(size=600)),
            "source": source,
            "verdict": np.where(turned, "good", "bad"),
        }
    )


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Reviews of which thirty were turned."""
    path = tmp_path / "reviews.csv"
    table(30).write_csv(path)
    return path


@pytest.mark.requirement("VAL-23", by="holdfast.lifecycle.screening:data_screen")
def test_suspects_and_the_source_that_turned_them_are_named(plant: Plant, reviews: Path, tmp_path: Path) -> None:
    """And against honest rows of before, the label's own distribution is what jumped."""
    before = tmp_path / "before.csv"
    table(0).write_csv(before)
    said = data_screen(plant, data=str(reviews), label="verdict", by="source", history=before, alarms=0.02)
    assert [each["group"] for each in said.document["groups"] if each["far"]] == ["partner"]
    assert {each["column"] for each in said.document["jumps"] if each["far"]} <= {"verdict"}
    suspects = said.document["suspects"]
    sources = table(30)["source"].to_list()
    assert len(suspects) >= 15
    assert sum(sources[each["row"] - 1] == "partner" for each in suspects) >= 0.7 * len(suspects)


def test_a_stored_data_set_is_screened_on_record_and_written_out_for_a_reason(project: Path, tmp_path: Path) -> None:
    """Else its rows could be had in the clear, and nobody would know."""
    with app.open_plant(project) as plant:
        name = current_project(plant).project.name
        (dataset,) = {step.dataset for step in steps(plant, name) if step.change}
        with pytest.raises(InvalidInput, match="reason"):
            data_screen(plant, data=dataset, out=tmp_path / "parted")
        assert not (tmp_path / "parted").exists()
        data_screen(plant, data=dataset)
        data_screen(plant, data=dataset, out=tmp_path / "parted", reason="somebody looks at them")
        done = [step.did for step in steps(plant, name)][-2:]
    assert done == ["read it: screen", "read it: screen, its rows written to files (somebody looks at them)"]


def test_rows_are_parted_and_none_is_lost(plant: Plant, reviews: Path, tmp_path: Path) -> None:
    """What is not kept is suspect, with the screen that spoke; a folder that is there already is not written into."""
    out = tmp_path / "parted"
    data_screen(plant, data=str(reviews), label="verdict", columns="stars,length", out=out)
    kept, suspect = pl.read_csv(out / "kept.csv"), pl.read_csv(out / "suspects.csv")
    assert len(kept) + len(suspect) == 600
    assert set(suspect["screen"]) <= {"label", "spectrum", "trigger"}
    both = pl.concat([kept, suspect.select(kept.columns)])
    assert both.sort(both.columns).equals(pl.read_csv(reviews).sort(both.columns))
    with pytest.raises(InvalidInput, match="something already"):
        data_screen(plant, data=str(reviews), label="verdict", out=out)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({}, InvalidInput, "does not say which column is the label"),
        ({"label": "nobody"}, InvalidData, "no column 'nobody'"),
        ({"label": "verdict", "alarms": 0.5}, InvalidInput, "alarms of 0.5"),
        ({"label": "verdict", "by": "nobody"}, InvalidInput, "no column 'nobody'"),
        ({"label": "verdict", "columns": "stars,nobody"}, InvalidInput, "no column 'nobody'"),
        ({"label": "stars"}, InvalidData, "classes"),
        ({"label": "verdict", "data": "0123abcd"}, NotFound, "0 of kind dataset"),
        ({"label": "verdict", "data": "missing.csv"}, InvalidInput, "is missing"),
    ],
)
def test_what_cannot_be_screened_is_said_in_one_line(
    plant: Plant, tmp_path: Path, options: dict[str, Any], error: type[HoldfastError], said: str
) -> None:
    """No label, a wrong name, an unreadable share, a data set that is not there."""
    few = tmp_path / "few.csv"
    table(0).head(40).write_csv(few)
    with pytest.raises(error, match=said):
        data_screen(plant, **({"data": str(few)} | options))


def test_the_command_answers_as_a_document(bare: Path, reviews: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """For programs: measures by name, suspects by row."""
    assert invoke(["data", "screen", str(reviews), "--label", "verdict", "--root", str(bare), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["measures"]["screened_rows"] == 600
    assert {"row", "label", "believed", "screen", "honest_share"} <= said["suspects"][0].keys()


def test_a_rehearsal_tells_each_stage_and_changes_nothing(plant: Plant, reviews: Path) -> None:
    """Honest, poisoned, screened; what the rows do not allow is left out with its reason."""
    before = reviews.read_bytes()
    said = data_rehearse(plant, data=str(reviews), label="verdict", attack="flips", share=0.1)
    (found,) = said.document["effects"]
    assert found["spoiled"]["success"] >= found["honest"]["success"]
    assert found["poisoned"] == 45
    assert reviews.read_bytes() == before
    with pytest.raises(InvalidInput, match="no group"):
        data_rehearse(plant, data=str(reviews), label="verdict", attack="bias", group="sex=f")
    with pytest.raises(InvalidInput, match="share"):
        data_rehearse(plant, data=str(reviews), label="verdict", share=0.9)
