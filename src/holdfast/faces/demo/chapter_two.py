"""Chapter two: who decides, with which keys, and what comes back when all is lost.

1. A second person with a key of her own. 2. A policy that asks for both; going round it fails. 3. Both approve.
4. A key is rotated while callers are answered. 5. A backup, restored in another folder, with everything verified.
"""

import re
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast import app
from holdfast.client import Client
from holdfast.core.errors import HoldfastError, PolicyDenied
from holdfast.edge import start
from holdfast.faces.demo.chapter_one import candidate, model_of, release_of, rows_of
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import Stage, copy_project, example
from holdfast.lifecycle.approvals import approve
from holdfast.lifecycle.persons import add
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import accept_policy, issue_key, promote
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.restoring import backup
from holdfast.lifecycle.rotation import rotate
from holdfast.lifecycle.verification import verify

PERSONS: Final = "5. Two persons"
KEYS: Final = "6. Keys and backups"
REVIEWER: Final = "Rita Reviewer <rita@example.org>"
POLICY: Final = "two-persons.toml"
SECOND: Final = """
[[rule]]
id = "approval.second"
because = "somebody else has looked at it"
on = "release"
approved_by = { role = "reviewer" }
"""
PACE_S: Final = 0.01  # between two calls while a key is rotated
CALLS: Final = 20  # before the rotation
CALLS_AFTER: Final = 150  # two seconds and more: the gateway looks for a newer table every second
PATIENCE_S: Final = 30.0


def stewardship(stage: Stage) -> None:
    """Tell the chapter; whatever does not happen as told raises."""
    if not (stage.root / ".holdfast").exists():  # told alone
        copy_project(example(), stage.root)
        write_data(example(), stage.root)
        app.init(stage.root, tell=stage.tell)
    with app.open_plant(stage.root, tell=stage.tell) as plant:
        rita = _second_person(stage, plant)
        rows = _two_approve(stage, plant, rita)
        _rotation(stage, plant, rows)
        _restored(stage, plant)


def _second_person(stage: Stage, plant: Plant) -> Path:
    """Make a reviewer's own keys, away from the workspace, and let the root key vouch for her."""
    folder = stage.root / "rita"
    app.person_new(name=REVIEWER, out=folder)
    add(plant, file=folder / "public.json", role="reviewer")
    stage.show(PERSONS, REVIEWER, "granted", "the role reviewer, by the root key; her own key never leaves her folder")
    return folder


def _two_approve(stage: Stage, plant: Plant, rita: Path) -> NDArray[np.float64]:
    """Promote under a policy that asks for two persons: not with one, not with one in two roles, with both."""
    _, _, baseline = plant.load_policy("baseline")
    text = re.sub(r'(?m)^name = ".*"$', 'name = "two-persons"', baseline.decode(), count=1)
    (stage.root / POLICY).write_text(text + SECOND, encoding="utf-8")
    accept_policy(plant, file=stage.root / POLICY)
    file = plant.home.project_file
    project = file.read_text(encoding="utf-8")
    file.write_text(re.sub(r'(?m)^policy = ".*?"', f'policy = "{POLICY}"', project), encoding="utf-8")
    made = candidate(stage, plant, PERSONS, kind="strong", c=4.0)
    for what in ("the owner alone promotes", "the owner approves again, as reviewer"):
        try:
            if what.endswith("reviewer"):
                approve(plant, reason="I am two persons.", role="reviewer")
            promote(plant, reason="Nobody else is awake.")
        except PolicyDenied as denied:
            (words,) = denied.reasons
            stage.show(PERSONS, what, "denied", words)
        except HoldfastError as refused:
            stage.show(PERSONS, what, "denied", refused.message)
        else:
            stage.expect(holds=False, what=f"the policy denies when {what}")
    approve(plant, reason="Looked at data, code and figures.", role="reviewer", key=rita)
    promote(plant, reason="Two persons have looked at it.")
    stage.show(
        PERSONS, f"release {short(release_of(made))}", "promoted", "approved by two persons, each with an own key"
    )
    return rows_of(plant, made)


@dataclass(slots=True)
class _Caller:
    """Somebody who calls and calls, and counts."""

    url: str
    key: str
    model: str
    rows: NDArray[np.float64]
    answered: int = 0
    failed: int = 0
    ended: threading.Event = field(default_factory=threading.Event)

    def call(self) -> None:
        """Call until told to stop."""
        with Client(self.url, self.key, retries=0) as client:
            while not self.ended.wait(PACE_S):
                try:
                    client.infer(self.model, self.rows[:1])
                    self.answered += 1
                except HoldfastError:
                    self.failed += 1

    def until(self, answered: int) -> int:
        """Wait until so many calls were answered, or for half a minute; return how many were."""
        end = time.monotonic() + PATIENCE_S
        while self.answered < answered and time.monotonic() < end:
            time.sleep(PACE_S)
        return self.answered


def _rotation(stage: Stage, plant: Plant, rows: NDArray[np.float64]) -> None:
    """Rotate the key that signs routes while a caller is answered: not one call fails."""
    key = str(issue_key(plant, client="ward-7").document["key"])
    with start(stage.root) as gateway:
        caller = _Caller(gateway.url, key, model_of(plant), rows)
        thread = threading.Thread(target=caller.call)
        thread.start()
        try:
            before = caller.until(CALLS)
            rotate(plant, role="registry")
            rotated = caller.answered
            after = caller.until(rotated + CALLS_AFTER) - rotated
        finally:
            caller.ended.set()
            thread.join()
    stage.expect(before >= CALLS and after >= CALLS_AFTER and not caller.failed, "no call fails during a rotation")
    words = f"{caller.answered} calls answered meanwhile, none failed; the old key verifies for its overlap"
    stage.show(KEYS, "the key that signs routes", "rotated", words)


def _restored(stage: Stage, plant: Plant) -> None:
    """Back the workspace up, restore it elsewhere, and verify all of it there."""
    file, elsewhere = stage.root / "monday.hfb", stage.root / "elsewhere"
    made = backup(plant, out=file).document
    words = f"{made['files']} files, {made['size']} entries; encrypted, opened by the workspace's own secret"
    stage.show(KEYS, "backup", "made", words)
    elsewhere.mkdir()
    for path in (plant.home.project_file, *stage.root.glob("*.py"), *stage.root.glob("*.toml")):
        shutil.copyfile(path, elsewhere / path.name)
    back = app.restore(elsewhere, file=file, reason="The disk broke.")
    with app.open_plant(elsewhere) as other:
        checked = verify(other)
    stage.expect(checked.exit_code == 0, "everything verifies after a restore")
    stage.show(KEYS, "restored in another folder", "verified", f"{back.document['kept']} entries; {checked.says}")
    shutil.rmtree(elsewhere)
