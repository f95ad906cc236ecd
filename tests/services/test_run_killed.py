"""`holdfast run` killed with SIGKILL at random moments: the next run goes on, and nothing acknowledged is lost."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
ROWS = 240
RECIPE = """
from sklearn.linear_model import LogisticRegression

def train(data, params, seed):
    return LogisticRegression(random_state=seed).fit(data.train.features, data.train.labels)
"""
PROJECT = """
[project]
name = "killed"
owner = "Ada"
[risk]
sensitivity = "synthetic"
exposure = "none"
stakes = "experimental"
[data]
source = "rows.csv"
format = "csv"
origin = "made by this test"
licence = "none"
[data.columns]
id = { type = "string", use = "id" }
a = { type = "float" }
b = { type = "float" }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
[train]
recipe = "train.py:train"
positive = "yes"
seed = 1
[gates]
policy = "baseline"
"""


def make_project(folder: Path, seed: int) -> None:
    """Write a small project of two features."""
    chance = random.Random(seed)  # noqa: S311 - data, not secrets
    lines = ["id,a,b,label"]
    for number in range(ROWS):
        a, b = chance.gauss(0, 1), chance.gauss(0, 1)
        lines.append(f"r{number},{a:.6f},{b:.6f},{'yes' if a + b + chance.gauss(0, 0.2) > 0 else 'no'}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "train.py").write_text(RECIPE, encoding="utf-8")
    (folder / "holdfast.toml").write_text(PROJECT, encoding="utf-8")


def command(folder: Path, unlock: Path, *words: str) -> subprocess.Popen[str]:
    """Start a command of Holdfast on a project."""
    environment = {"HOLDFAST_UNLOCK_DIR": str(unlock), "PATH": "/usr/bin:/bin", "HOME": str(unlock)}
    return subprocess.Popen(
        [sys.executable, "-m", "holdfast", *words, "--json", "--root", str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def answer(folder: Path, unlock: Path, *words: str) -> dict[str, Any]:
    """Run a command to its end; it must succeed."""
    process = command(folder, unlock, *words)
    out, complaint = process.communicate(timeout=300)
    assert process.returncode == 0, out + complaint
    document: dict[str, Any] = json.loads(out)
    return document


def entries(folder: Path, unlock: Path) -> list[dict[str, Any]]:
    """Return the whole ledger as the log tells it."""
    found: list[dict[str, Any]] = answer(folder, unlock, "log", "--last", "100000")["entries"]
    return found


@pytest.mark.services
@pytest.mark.guarantee("G18")
def test_a_run_killed_at_any_moment_is_finished_by_the_next(
    tmp_path: Path, effort: Callable[..., int], record: Any
) -> None:
    """Kill `run` at random moments; after each, history only grew and verifies; at the end a release is there."""
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    kills, releases, wanted = 0, set[str](), effort(ci=12, record=1000)
    unlock = tmp_path / "unlock"
    unlock.mkdir()
    folder = tmp_path / "project-0"
    before: list[dict[str, Any]] = []
    while kills < wanted:
        if not folder.exists():
            folder.mkdir()
            make_project(folder, seed=1)
            answer(folder, unlock, "init")
            before = entries(folder, unlock)
        process = command(folder, unlock, "run")
        try:
            process.wait(timeout=chance.uniform(0.1, 6.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
        after = entries(folder, unlock)
        assert after[: len(before)] == before, f"seed {seed}: acknowledged history was changed"
        assert answer(folder, unlock, "ledger", "verify")["size"] == len(after)
        before = after
        if process.returncode == 0:
            releases.add(finish(folder, unlock, seed))
            shutil.rmtree(folder)
            folder = tmp_path / f"project-{kills}-{len(releases)}-{time.monotonic_ns()}"
    releases.add(finish(folder, unlock, seed))
    assert releases
    record.save("run-killed", seed=seed, result={"kills": kills, "finished": len(releases)})


def finish(folder: Path, unlock: Path, seed: int) -> str:
    """Run to the end; everything verifies, every started run has an end, and no half-made thing is left."""
    if not folder.exists():
        return "nothing to finish"
    release = str(answer(folder, unlock, "run")["release"])
    checks = answer(folder, unlock, "verify")["checks"]
    assert {check["result"] for check in checks} == {"ok"}, f"seed {seed}: {checks}"
    history = entries(folder, unlock)
    begun = {entry["body"]["run"] for entry in history if entry["kind"] == "stage.started"}
    ended = {entry["body"]["run"] for entry in history if entry["kind"] in {"stage.finished", "stage.failed"}}
    assert begun == ended, f"seed {seed}: a run was forgotten"
    scratch = folder / ".holdfast" / "scratch"
    assert not scratch.exists() or not list(scratch.iterdir()), f"seed {seed}: half-made files were left"
    return release
