"""Registry operations killed with SIGKILL at random moments: nothing acknowledged is lost, nothing half is visible."""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import pytest
from tests.services.test_run_killed import make_project

from holdfast import app
from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import HoldfastError
from holdfast.core.ledger import Entry
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.publishing import settle, standing
from holdfast.lifecycle.registry_catalogue import releases_of
from holdfast.lifecycle.registry_record import record_of
from holdfast.lifecycle.registry_retention import archive, collect, restore
from holdfast.lifecycle.registry_staging import stage
from holdfast.lifecycle.registry_states import alias, clear, hold, quarantine, unhold
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verification import verify
from holdfast.registry import Record

LAX = b"""
name = "lax"
version = 1
permit_lasts = "24h"
[derivation]
release = ["model"]
[[rule]]
id = "scan"
because = "b"
on = "model"
control = "release.scan/1"
none_of = ["critical"]
[[rule]]
id = "owner"
because = "b"
approved_by = { role = "owner" }
"""
GRANTED: Final = (0, 1, 1, 2, 4)  # operations that a process may end before it is killed
LONGEST_S: Final = 0.3  # from the last that it is granted to its death: it dies in the midst of another
OPERATIONS: dict[str, Callable[[Plant, str], Any]] = {
    "alias": lambda plant, release: alias(plant, name="champion", release=release, reason="r"),
    "stage": lambda plant, release: stage(plant, release=release, reason="r"),
    "promote": lambda plant, release: promote(plant, release=release, reason="r"),
    "quarantine": lambda plant, release: quarantine(plant, release=release, reason="r"),
    "clear": lambda plant, release: clear(plant, release=release, reason="r"),
    "hold": lambda plant, release: hold(plant, release=release, reason="r"),
    "unhold": lambda plant, release: unhold(plant, release=release, reason="r"),
    "archive": lambda plant, release: archive(plant, release=release, reason="r"),
    "restore": lambda plant, release: restore(plant, release=release, reason="r"),
    "collect": lambda plant, _: collect(plant, grace="1s"),
}


def hammer(folder: Path, acknowledged: int, seed: int) -> None:
    """Do one operation after the other, and say after each how long the ledger is: that much is acknowledged."""
    chance = random.Random(seed)  # noqa: S311 - operations, not secrets
    with app.open_plant(folder) as plant:
        known = releases_of(plant)
        while True:
            name = chance.choice(sorted(OPERATIONS))
            with suppress(HoldfastError):  # what the state does not allow is refused, and that is all
                OPERATIONS[name](plant, chance.choice(known))
            os.write(acknowledged, json.dumps({"did": name, "size": plant.ledger.size()}).encode() + b"\n")


def kill_at(folder: Path, seed: int, granted: int, moment_s: float) -> dict[str, Any]:
    """Let a process do so many operations on the registry, kill it a moment later, and return what it said last.

    One that is granted none dies while it opens the project or in its first operation, whatever the machine's pace.
    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # the child never returns into the test
        try:
            os.close(reader)
            hammer(folder, writer, seed)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        lines = [told.readline() for _ in range(granted)]
        time.sleep(moment_s)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        lines += told.read().splitlines(keepends=True)
    whole = [line for line in lines if line.endswith(b"}\n")]
    assert len(whole) >= granted, f"seed {seed}: the process ended by itself"
    return dict(json.loads(whole[-1])) if whole else {"did": "", "size": 0}


def check(plant: Plant, before: list[Entry], acknowledged: int, told: str) -> list[Entry]:
    """History only grew, holds what was acknowledged, and every release is whole where its record says it is."""
    after = list(plant.ledger.entries())
    assert after[: len(before)] == before, told
    assert len(after) >= acknowledged, f"{told}: acknowledged entries are lost"
    project = current_project(plant)
    for release in releases_of(plant):
        record = record_of(plant, project.project.name, release)
        whole(plant, record, told)
    settle(plant, project)
    now = standing(plant, project)
    for answering in now.releases:
        assert record_of(plant, project.project.name, Digest(answering)).state in {"production", "canary"}, told
    return after


def whole(plant: Plant, record: Record, told: str) -> None:
    """Every byte of a release is here, or in the archive if that is where it is said to be."""
    place = plant.archive if record.archived else plant.blobs
    manifest = parse_manifest(place.get(record.release))
    for file in manifest.files:
        try:
            place.get(Digest(file.digest))
        except HoldfastError:
            assert record.archived, told
            plant.blobs.get(Digest(file.digest))  # shared with a release that is here


@pytest.mark.guarantee("G32")
def test_registry_operations_killed_at_any_moment_lose_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, effort: Callable[..., int], record: Any
) -> None:
    """Kill a process that works on the registry; after each kill, history only grew, and all that it says is there."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "unlock"))
    (tmp_path / "unlock").mkdir()
    folder = tmp_path / "project"
    folder.mkdir()
    make_project(folder, seed=1)
    project = folder / "holdfast.toml"
    project.write_text(project.read_text(encoding="utf-8").replace('"baseline"', '"lax.toml"'), encoding="utf-8")
    (folder / "lax.toml").write_bytes(LAX)
    app.init(folder)
    with app.open_plant(folder) as plant:
        from holdfast.lifecycle.promotion import accept_policy

        accept_policy(plant, file=folder / "lax.toml")
        run(plant)
        project.write_text(project.read_text(encoding="utf-8").replace("seed = 1", "seed = 2"), encoding="utf-8")
        run(plant)
        before = list(plant.ledger.entries())
    seed = random.SystemRandom().randrange(2**32)
    chance = random.Random(seed)  # noqa: S311 - moments, not secrets
    kills = effort(ci=25, record=1000)
    for number in range(kills):
        granted = chance.choice(GRANTED)
        done = kill_at(folder, chance.randrange(2**32), granted, chance.uniform(0, LONGEST_S))
        with app.open_plant(folder) as plant:
            before = check(plant, before, done["size"], f"seed {seed}, kill {number}, after {done['did']}")
            if number % 10 == 0 or number == kills - 1:
                assert verify(plant).exit_code == 0, f"seed {seed}, kill {number}: {verify(plant).says}"
    record.save("registry-killed", seed=seed, result={"kills": kills, "entries": len(before)})
