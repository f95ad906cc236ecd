"""`holdfast data creep` and `ingest.history/1`: what versions on record bring, held against the trusted one."""

import json
from pathlib import Path

import pytest

from holdfast import app
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.core.evidence import Outcome, Severity
from holdfast.faces.cli import invoke
from holdfast.lifecycle.creeping import data_creep
from holdfast.lifecycle.data_versions import data_commit
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.trail import steps
from holdfast.lifecycle.verbs import newest_on
from holdfast.lifecycle.versions import version_of


def turn(plant: Plant, count: int) -> None:
    """Turn so many malignant rows of one clinic into benign ones, in the project's source."""
    path = plant.home.root / "patients.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    theirs = [place for place, line in enumerate(lines) if b"north" in line and b"malignant" in line]
    assert len(theirs) >= count
    for place in theirs[:count]:
        lines[place] = lines[place].replace(b"malignant", b"benign")
    path.write_bytes(b"".join(lines))


@pytest.mark.requirement("VAL-22", by="holdfast.lifecycle.creeping:history")
@pytest.mark.requirement("VAL-22", by="holdfast.lifecycle.creeping:data_creep")
def test_labels_that_creep_are_found_at_ingest_and_on_a_persons_word(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each version turns two labels of one clinic; the evidence of the newest names clinic and class, as signed."""
    with app.open_plant(project) as plant:
        first = newest_on(plant, version_of(plant, "main").commit.dataset)["ingest.history/1"]
        assert first.outcome is Outcome.NOT_APPLICABLE
        for number in range(6):
            turn(plant, 2)
            data_commit(plant, message=f"month {number}")
        told = newest_on(plant, version_of(plant, "main").commit.dataset)["ingest.history/1"]
        found = {each.name: each.value for each in told.measures}
        assert found["later_versions"] == 6
        assert found["creeping_labels"] >= 1
        assert {each.severity for each in told.findings} == {Severity.HIGH}
        assert any("clinic north" in each.place and "'benign'" in each.message for each in told.findings)
        assert len(told.made_with.data) == 6
        said = data_creep(plant, trusted="main~6", by="clinic")
        (worst, *_) = [each for each in said.document["creeps"] if each["far"] and each["group"]]
        assert (worst["group"], worst["label"]) == ("north", "benign")
        assert worst["since"]
        name = current_project(plant).project.name
        assert [step.did for step in steps(plant, name)][-1] == "read it: screen of the history"
        with pytest.raises(InvalidInput, match="no later version"):
            data_creep(plant, trusted="main")
        with pytest.raises(InvalidInput, match="column"):
            data_creep(plant, by="nobody")
        with pytest.raises(NotFound):
            data_creep(plant, version="nothing")
        with pytest.raises(InvalidInput, match="alarms"):
            data_creep(plant, alarms=0.5)
    assert invoke(["data", "creep", "--by", "clinic", "--root", str(project), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["versions"] == 6
