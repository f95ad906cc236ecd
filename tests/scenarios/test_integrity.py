"""The integrity sidecar: what a running gateway consists of is looked at from beside it, and a change stops it."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.scenarios.disk_world import DiskWorld
from tests.scenarios.test_gateway_process import Process, eventually

from holdfast.adapters.integrity import PACKAGE, Integrity
from holdfast.adapters.posts import Post
from holdfast.core.errors import NotFound, NotVerified
from holdfast.core.resilience import SafeState
from holdfast.edge.assembly import assemble
from holdfast.edge.sidecar import SelfCheck, integrity_of, integrity_site, look
from holdfast.serve.known_answers import KnownAnswers
from holdfast.testing.world import API_KEY, INFER, ROW


@pytest.fixture
def installed(tmp_path: Path) -> Integrity:
    """A gateway's folder, and a package of three files."""
    package, home = tmp_path / "package", tmp_path / "home"
    for folder in (package / "serve", home):
        folder.mkdir(parents=True)
    for name in ("__init__.py", "serve/gateway.py", "serve/fast.so"):
        (package / name).write_text(f"# {name}\n")
    (tmp_path / "root.json").write_text("{}")
    (home / "state.json").write_text('{"epoch": 4, "trust_version": 2}')
    found = Integrity(home=home, root=tmp_path / "root.json", workers=list, verify=lambda _: None, package=package)
    found.begin()
    assert found.look() == []
    return found


def changes() -> dict[str, tuple[Callable[[Integrity], object], str]]:
    """What somebody does to the files of a running gateway, and what is said of it."""
    return {
        "code": (lambda it: (it.package / "serve" / "gateway.py").write_text("evil = 1\n"), "was changed"),
        "new": (lambda it: (it.package / "sitecustomize.py").write_text("evil = 1\n"), "a new file"),
        "gone": (lambda it: (it.package / "serve" / "fast.so").unlink(), "lost the file"),
        "root": (lambda it: it.root.write_text('{"keys": []}'), "pinned root keys"),
        "memory": (lambda it: (it.home / "state.json").write_text('{"epoch": 3, "trust_version": 2}'), "fell"),
        "memory-gone": (lambda it: (it.home / "state.json").unlink(), "gone or cannot be read"),
    }


def test_what_is_found_before_any_table_was_obeyed_is_left_by_the_first_one(installed: Integrity) -> None:
    """A gateway that waits for its first table is not safe for ever; one whose memory somebody took away is."""
    (installed.home / "state.json").unlink()
    assert installed.epoch() is None
    waits = Integrity(home=installed.home, root=installed.root, workers=list, verify=lambda _: None, package=PACKAGE)
    waits.begin()
    epoch = waits.epoch()
    assert epoch is not None
    assert not SafeState(epoch=epoch).holds(1)


def test_a_sidecar_that_is_started_anew_knows_how_high_the_memory_stood(installed: Integrity, tmp_path: Path) -> None:
    """An older memory put in while nobody looked is found by the next one, which has only its predecessor's word."""
    told = tmp_path / "integrity.json"
    told.write_text(json.dumps({"height": installed.height}))
    (installed.home / "state.json").write_text('{"epoch": 3, "trust_version": 2}')
    anew = Integrity(home=installed.home, root=installed.root, workers=list, verify=lambda _: None, package=PACKAGE)
    anew.begin()
    anew.recall(told)
    assert [each for each in anew.look() if "fell from epoch 4 to 3" in each]
    for nonsense in ("", "[]", '{"height": 7}', '{"height": ["a", 1]}'):
        told.write_text(nonsense)
        anew.recall(told)
    assert anew.height == (4, 2)


@pytest.mark.requirement("SERV-19", by="holdfast.adapters.integrity:Integrity.look")
@pytest.mark.parametrize("name", ["code", "new", "gone", "root", "memory", "memory-gone"])
def test_whatever_changes_is_found(installed: Integrity, name: str) -> None:
    """And goes on being found."""
    act, words = changes()[name]
    act(installed)
    for _ in range(2):
        (found,) = installed.look()
        assert words in found


def test_what_may_change_is_no_finding(installed: Integrity) -> None:
    """A newer epoch, compiled files that Python leaves, a control plane that is away."""
    (installed.home / "state.json").write_text('{"epoch": 5, "trust_version": 2}')
    (installed.package / "__pycache__").mkdir()
    (installed.package / "__pycache__" / "gateway.pyc").write_bytes(b"x")
    (installed.home / "loaded-0.json").write_text('{"worker": 0, "models": ["sha256:00"], "calls": 7}')

    def away(_digest: str) -> None:
        raise NotFound("it is away")

    installed.verify = away
    assert installed.look() == []
    assert installed.calls() == {"0": 7}

    def changed(_digest: str) -> None:
        raise NotVerified("it was changed")

    installed.verify = changed
    assert "not as it was loaded" in installed.look()[0]


LIBRARY = """
import ctypes, sys
ctypes.CDLL(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.requirement("SERV-19", by="holdfast.adapters.integrity:Integrity._memory")
def test_code_that_was_brought_into_a_worker_is_found(installed: Integrity, tmp_path: Path) -> None:
    """A library from elsewhere; one that was exchanged on disk; one whose file is gone."""
    real = next(Path(sys.modules[name].__file__ or "") for name in ("_ctypes",))
    brought = tmp_path / "brought.so"
    shutil.copy(real, brought)
    arguments = [sys.executable, "-c", LIBRARY, str(brought)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        installed.workers = lambda: [process.pid]
        (found,) = installed.look()
        assert "outside of its installation" in found
        brought.unlink()
        (found,) = installed.look()
        assert "which no file holds" in found
        process.kill()
    installed.workers = lambda: [os.getpid()]
    assert [each for each in installed.look() if "library" in each] == []


class Drifting:
    """A model in memory whose numbers somebody can change."""

    def __init__(self, real: Any) -> None:
        self.real, self.off = real, 0.0

    def run(self, rows: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Answer."""
        labels, probabilities = self.real.run(rows)
        return labels, probabilities + self.off


@pytest.mark.requirement("SERV-19", by="holdfast.serve.known_answers:KnownAnswers.changed")
def test_a_model_that_changes_in_memory_is_found(tmp_path: Path) -> None:
    """One bit of an answer is enough, and leads into the safe state."""
    world = DiskWorld(tmp_path / "world")
    gateway, loader, _ = assemble(world.config, 0)
    loader.refresh()
    check = SelfCheck(world.config, 0, gateway)
    check.look()
    told = json.loads((world.config.home / "loaded-0.json").read_text())
    assert (told["worker"], told["known_answers"], len(told["models"])) == (0, 1, 1)
    assert gateway.state is not None
    (release,) = gateway.state.releases.values()
    answers, drifting = KnownAnswers(), Drifting(release.model)
    assert answers.changed(gateway.state) == ""
    object.__setattr__(release, "model", drifting)
    assert answers.changed(gateway.state) == ""
    drifting.off = 2**-52
    assert answers.changed(gateway.state) == release.short
    check._due_s = 0.0
    check.look()
    assert gateway.is_safe
    assert "answers otherwise" in gateway.safe.reason


@pytest.mark.requirement("SERV-19", by="holdfast.edge.sidecar:look")
def test_the_sidecar_of_a_real_gateway_finds_a_changed_model_on_disk(tmp_path: Path) -> None:
    """The encrypted bytes of the model that answers are changed: a restart would not load them, so nothing answers."""
    world = DiskWorld(tmp_path / "world")
    gateway, loader, _ = assemble(world.config, 0)
    loader.refresh()
    SelfCheck(world.config, 0, gateway).look()
    integrity = integrity_of(world.config)
    integrity.workers = list
    integrity.begin()
    assert look(world.config, integrity) == []
    for path in (world.config.published / "blobs").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            changed = bytearray(path.read_bytes())
            changed[len(changed) // 2] ^= 1
            path.write_bytes(changed)
    (found,) = look(world.config, integrity)
    assert "not as it was loaded" in found
    safe = json.loads((world.config.home / "safe-state.json").read_text())
    assert safe["epoch"] == 1
    status = json.loads((world.config.home / "integrity.json").read_text())
    assert (status["checks"], status["found"]) == (2, [found])


@pytest.mark.requirement("SERV-19", by="holdfast.edge.sidecar:integrity_site")
def test_a_sidecar_that_is_started_anew_compares_with_the_same_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who ends it, and changes something before the next one begins, has changed it all the same."""
    world = DiskWorld(tmp_path / "world")
    site = integrity_site(world.config)
    world.config.root.write_text("{}")

    class Enough(Exception):
        """It has looked once."""

    pauses = iter((None, Enough()))

    def pause(_seconds: float) -> None:
        if (end := next(pauses)) is not None:
            raise end

    monkeypatch.setattr("holdfast.edge.sidecar.time.sleep", pause)
    with socket.socket() as listening, pytest.raises(Enough):
        site.work(0, Post.alone(listening), lambda: None)
    found = json.loads((world.config.home / "integrity.json").read_text())["found"]
    assert "the pinned root keys were changed" in found


@pytest.mark.guarantee("G83")
@pytest.mark.requirement("SERV-19", by="holdfast.edge.sidecar:watch")
def test_a_running_gateway_stops_when_what_it_rests_on_changes(tmp_path: Path) -> None:
    """Two workers over real sockets; the pinned root keys are exchanged under them; a newer table does not hide it."""
    process = Process(tmp_path, workers=2, check_every_s=0.3).ready()
    try:
        process.infer()
        (tmp_path / "root.json").write_text("{}")
        eventually(lambda: all(refused(process) for _ in range(8)))  # on whichever worker
    finally:
        assert process.end() == 0


def refused(process: Process) -> bool:
    """Whether a good call is refused, and by the safe state."""
    with closing(http.client.HTTPConnection(*process.address)) as connection:
        connection.request("POST", INFER, ROW, {"x-api-key": API_KEY, "content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        return (response.status, response.headers["x-holdfast-code"]) == (503, "HF766")
