"""A contract whose file changes between two runs: each version says which one it was checked against."""

import re
from pathlib import Path

import pytest

from holdfast.core.artifact import digest_bytes
from holdfast.lifecycle.contracts import exported
from holdfast.lifecycle.data_record import data_show
from holdfast.lifecycle.data_versions import data_commit
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.verbs import newest_on
from holdfast.lifecycle.versions import version_of


def by_contract(root: Path) -> Path:
    """Let a contract declare the columns that the project file declared."""
    contract = root / "patients.odcs.yaml"
    contract.write_text(exported(root).text, encoding="utf-8")
    file = root / "holdfast.toml"
    text = re.sub(r"(?ms)^\[data\.columns\]\n.*?(?=^\[)", "", file.read_text(encoding="utf-8"))
    file.write_text(text.replace('format = "csv"\n', f'format = "csv"\ncontract = "{contract.name}"\n'), "utf-8")
    return contract


def drop(plant: Plant, row: int) -> None:
    """Take some rows out of the project's source."""
    path = plant.home.root / "patients.csv"
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join(lines[:row] + lines[row + 3 :]))


@pytest.mark.requirement("DATA-11", by="holdfast.lifecycle.contract_files:written_out")
def test_each_version_says_which_contract_it_was_checked_against_and_that_it_changed(plant: Plant) -> None:
    """The digest of the file's bytes, in evidence and with the version; a word where it is another than before."""
    contract = by_contract(plant.home.root)
    first = digest_bytes(contract.read_bytes())
    drop(plant, 30)
    data_commit(plant, message="By a contract")
    text = contract.read_text(encoding="utf-8")
    contract.write_text(text.replace("1.0.0", "1.0.1", 1), encoding="utf-8")
    second = digest_bytes(contract.read_bytes())
    assert second != first
    drop(plant, 40)
    data_commit(plant, message="By the next one")
    told = data_show(plant)
    assert told.document["contract"]["digest"] == second
    assert f"from {short(first)} to {short(second)}" in told.says
    before = data_show(plant, version="main~1").document["contract"]
    assert before["digest"] == first
    assert "from none to" in before["changed"]
    facts = newest_on(plant, version_of(plant, "main").commit.dataset)["ingest.checks/1"].facts
    assert facts["contract"] == f"{contract.name} {second}"
