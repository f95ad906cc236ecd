"""The demo, run as a user runs it: every step it promises is there, and ends as it should."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `holdfast demo --json` says, and the folder it worked in."""
    folder = tmp_path_factory.mktemp("demo")
    environment = os.environ | {"HOLDFAST_UNLOCK_DIR": str(folder / "unlock")}
    command = [sys.executable, "-m", "holdfast", "demo", "--json", "--into", str(folder / "work")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    document: dict[str, Any] = json.loads(done.stdout)
    return document | {"folder": folder / "work"}


def outcomes(told: dict[str, Any], what: str) -> list[str]:
    """How the steps of this name ended."""
    return [step["outcome"] for step in told["steps"] if re.search(what, step["what"])]


@pytest.mark.requirement("E2E-01", by="holdfast.lifecycle.runner:run")
def test_one_run_goes_from_raw_rows_to_guarded_answers_and_back(told: dict[str, Any]) -> None:
    """Rows, quarantine, a denied and a promoted candidate, an answer, a canary, drift, rollback, incident, why."""
    assert outcomes(told, "rows came in") == ["29 quarantined"]
    assert set(outcomes(told, "first candidate")) == {"denied"}
    assert outcomes(told, "second candidate") == ["promoted"]
    assert outcomes(told, "authenticated prediction")
    assert any("took over" in step["words"] for step in told["steps"])
    assert outcomes(told, "^watch$") == ["drift"]
    assert any("rolled back" in step["words"] for step in told["steps"])
    assert outcomes(told, "^incident") == ["open"]
    assert outcomes(told, "holdfast why") == ["verified"]
    assert all(link["verified"] for link in told["why"]["chain"])


def test_the_denial_says_why_in_words(told: dict[str, Any]) -> None:
    """A reader learns which rule, which figure, which bound and what would have been enough."""
    reasons = [step["words"] for step in told["steps"] if step["outcome"] == "denied"]
    assert any("quality.auc" in reason and "lower bound" in reason and "is required" in reason for reason in reasons)


@pytest.mark.guarantee("G16")
def test_personal_columns_are_kept_out(told: dict[str, Any]) -> None:
    """The declared personal column and the chatty notes are both caught."""
    assert outcomes(told, "personal data in notes") == ["kept out", "kept out"]
    assert outcomes(told, "personal data in contact_email") == ["kept out"]


@pytest.mark.parametrize(
    ("attack", "outcome"),
    [
        ("bit of the model file", "not served"),
        ("nobody signed", "not served"),
        ("without a key", "refused"),
        ("guessed key", "refused"),
        ("malformed tensor", "refused"),
        ("burst", r"\d+ limited"),
        ("ledger is edited", r"found at entry \d+"),
    ],
)
def test_every_attack_fails(told: dict[str, Any], attack: str, outcome: str) -> None:
    """Each attack of the demo ends as told."""
    (found,) = outcomes(told, attack)
    assert re.fullmatch(outcome, found)


def test_the_report_needs_nothing_else(told: dict[str, Any]) -> None:
    """One page without script, address, font or image from elsewhere."""
    page = Path(told["report"]).read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert not re.search(r"<script|src=|href=|@import|url\(|https?://", page)
    assert "Why breast-cancer answers" in page


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("^Rita", "granted"),
        ("the owner alone promotes", "denied"),
        ("the owner approves again", "denied"),
        ("the key that signs routes", "rotated"),
        ("^backup$", "made"),
        ("restored in another folder", "verified"),
    ],
)
def test_chapter_two_ends_as_told(told: dict[str, Any], what: str, outcome: str) -> None:
    """Two persons, a rotation that no caller notices, a backup that verifies elsewhere."""
    assert outcomes(told, what) == [outcome]


def test_a_rotation_costs_no_call(told: dict[str, Any]) -> None:
    """Calls were answered on both sides of it."""
    (words,) = [step["words"] for step in told["steps"] if step["outcome"] == "rotated"]
    answered = re.match(r"(\d+) calls answered meanwhile, none failed", words)
    assert answered
    assert int(answered[1]) >= 170
