"""`holdfast batch` on a real project: killed, gone on with, verified, and on record."""

import json
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.scenarios.stand import Gateway, now

from holdfast import app
from holdfast.faces.cli import invoke
from holdfast.lifecycle.loop import watch
from holdfast.lifecycle.promotion import issue_key, promote
from holdfast.lifecycle.routing import current_project

ROWS = 6000


@pytest.fixture(scope="module")
def served(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A project whose model answers, with a table of its rows and a file with a key; and the model's name."""
    folder = tmp_path_factory.mktemp("served") / "project"
    shutil.copytree(finished, folder)
    with app.open_plant(folder) as plant:
        promote(plant, reason="The first.")
        key = str(issue_key(plant, client="nightly").document["key"])
        rows = Gateway(plant).rows(now(plant).baseline)
        signature = json.loads(plant.blobs.get(_signature(plant)))
        names = [each["name"] for each in signature["inputs"]]
        model = current_project(plant).project.name
    table = pl.DataFrame({name: rows[:, at] for at, name in enumerate(names)})
    table = pl.concat([table] * (ROWS // len(table) + 1)).head(ROWS).with_row_index("case")
    table.write_csv(folder / "cases.csv")
    (folder / "nightly.key").write_text(key)
    (folder / "nightly.key").chmod(0o600)
    return folder, model


def _signature(plant: Any) -> Any:
    from holdfast.core.artifact import Digest, parse_manifest

    files = parse_manifest(plant.blobs.get(Digest(now(plant).baseline)))
    return Digest(files.file("signature.json").digest)


def words(folder: Path, model: str, output: str) -> list[str]:
    """The command line of a batch."""
    return [
        *("batch", "run", model, str(folder / "cases.csv"), str(folder / output)),
        *("--key-file", str(folder / "nightly.key"), "--keep", "case", "--part-rows", "500", "--root", str(folder)),
    ]


@pytest.mark.requirement("SERV-02", by="holdfast.lifecycle.batches:verify")
def test_a_batch_killed_at_any_moment_is_whole_in_the_end(
    served: tuple[Path, str], effort: Callable[..., int], record: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL at drawn moments, until a run ends by itself: each case is there once, and the workspace verifies it."""
    folder, model = served
    batches, kills = effort(ci=1, record=40), 0
    chance = random.Random(11)  # noqa: S311 - moments, no secrets
    for batch in range(batches):
        command = [sys.executable, "-m", "holdfast", *words(folder, model, f"out-{batch}")]
        ended = False
        while not ended:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            try:
                process.wait(timeout=chance.uniform(1.5, 5.0) if kills < 3 * (batch + 1) else 300)
                ended = True
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
            _, said = process.communicate()
            assert process.returncode in {0, -signal.SIGKILL}, said
        parts = sorted((folder / f"out-{batch}").glob("part-*.csv"))
        assert pl.concat([pl.read_csv(part) for part in parts])["case"].to_list() == list(range(ROWS))
        arguments = ["batch", "verify", str(folder / f"out-{batch}"), "--input", str(folder / "cases.csv")]
        assert invoke([*arguments, "--root", str(folder)]) == 0, capsys.readouterr()
    record.save("batch-killed", seed=11, result={"batches": batches, "kills": kills, "rows": ROWS * batches})


def test_the_ledger_learns_of_it_and_damage_is_found(
    served: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Telemetry and the batch's manifest reach the ledger as those of requests do; a changed label is found."""
    folder, model = served
    assert invoke([*words(folder, model, "noted"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["rows"] == ROWS
    with app.open_plant(folder) as plant:
        watch(plant)
        entries = [entry for entry in plant.ledger.entries() if entry.kind == "security.event"]
        told = [str(entry.body) for entry in entries if "batch.finished" in str(entry.body)]
        assert told
        assert str(ROWS) in told[-1]
        assert now(plant).baseline == answer["release"]
    first = folder / "noted" / "part-000000.csv"
    text = first.read_text()
    first.chmod(0o600)
    first.write_text(text.replace("answered", "answer3d", 1))
    assert invoke(["batch", "verify", str(folder / "noted"), "--root", str(folder)]) == 4
    (folder / "noted" / "manifest.dsse.json").unlink()
    assert invoke(["batch", "verify", str(folder / "noted"), "--root", str(folder)]) == 3
