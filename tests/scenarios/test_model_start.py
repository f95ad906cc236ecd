"""Before a model answers: the machine offers what it needs, and its start does nothing but arithmetic."""

import os
import platform
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from tests.scenarios.disk_world import DiskWorld

from holdfast.adapters.here import offered
from holdfast.adapters.onnx_needs import check_runs_here
from holdfast.adapters.runtime import OnnxModel, OnnxRuntime
from holdfast.adapters.side_effects import CleanRuntime
from holdfast.core.errors import InvalidInput, NotVerified, Unavailable
from holdfast.core.needs import Needs, Offered, check_needs, unmet
from holdfast.edge.assembly import assemble
from holdfast.testing.tiny import tiny_model

HERE = Offered(
    python="3.11.7", libraries={"onnxruntime": "1.31.1"}, machine="x86_64", cpu=frozenset({"avx2"}), memory_mb=4000
)


@pytest.mark.requirement("SERV-10", by="holdfast.core.needs:unmet")
@pytest.mark.parametrize(
    ("needs", "words"),
    [
        (Needs(python="3.12"), "python 3.12 or newer is needed, and 3.11.7 is here"),
        (Needs(python="==3.10"), "python exactly 3.10 is needed"),
        (Needs(libraries={"onnxruntime": "1.32"}), "onnxruntime 1.32 or newer"),
        (Needs(libraries={"onnxruntime": "==1.3"}), "onnxruntime exactly 1.3 is needed, and 1.31.1 is here"),
        (Needs(libraries={"cupy": "13"}), "cupy 13 or newer is needed, and none is here"),
        (Needs(machine=("aarch64",)), "a machine of aarch64 is needed, and this one is x86_64"),
        (Needs(cpu=("avx2", "avx512_vnni")), "the processor lacks avx512_vnni"),
        (Needs(memory_mb=8000), "8000 MB of memory are needed, and 4000 are here"),
    ],
    ids=["python", "python-exact", "library", "library-exact", "missing", "machine", "cpu", "memory"],
)
def test_what_a_machine_lacks_is_said(needs: Needs, words: str) -> None:
    """Version by version; 1.31 is no 1.3."""
    assert [words in each for each in unmet(needs, HERE)] == [True]


def test_what_a_machine_has_is_enough() -> None:
    """Lowest versions, exact beginnings, one of the machines, all flags."""
    libraries = {"onnxruntime": "==1.31"}
    needs = Needs(python="3.9", libraries=libraries, machine=("aarch64", "x86_64"), cpu=("avx2",), memory_mb=4000)
    assert unmet(needs, HERE) == ()
    assert unmet(Needs(), HERE) == ()
    with pytest.raises(InvalidInput, match="version"):
        check_needs(Needs(python=">=3.11"))


def test_this_machine_is_looked_at() -> None:
    """Python, installed versions, processor and memory as they are."""
    found = offered(["onnxruntime", "no-such-library"])
    assert found.python == platform.python_version()
    assert set(found.libraries) == {"onnxruntime"}
    assert found.memory_mb > 100
    assert unmet(Needs(machine=(platform.machine(),)), found) == ()


@pytest.mark.requirement("SERV-10", by="holdfast.serve.loader:Loader._check_needs")
def test_a_gateway_loads_no_model_that_its_machine_cannot_run(tmp_path: Path) -> None:
    """It says so before a byte of the model is read, and goes on with what it served."""
    world = DiskWorld(tmp_path / "world")
    gateway, loader, _ = assemble(world.config, 0)
    loader.refresh()
    served = gateway.state
    table = world.world.table(world.world.release(tiny_model(bias=5.0)))
    needs = Needs(libraries={"onnxruntime": "99"})
    world.publish(msgspec.structs.replace(table, models=(msgspec.structs.replace(table.models[0], needs=needs),)))
    with pytest.raises(Unavailable, match="onnxruntime 99 or newer is needed"):
        loader.refresh()
    assert served is not None
    assert gateway.state is not None
    assert gateway.state.releases.keys() == served.releases.keys()
    assert gateway.stale
    loader.offered = None
    with pytest.raises(Unavailable, match="not compared"):
        loader.refresh()


@pytest.mark.requirement("SERV-10", by="holdfast.adapters.onnx_needs:check_runs_here")
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: setattr(model.opset_import[0], "version", 99), "operator set 99 of ai.onnx"),
        (lambda model: model.opset_import.append(onnx.helper.make_opsetid("org.example", 1)), "operator set 1 of org"),
        (lambda model: setattr(model.graph.node[0], "op_type", "MatMulOfTomorrow"), "the operator MatMulOfTomorrow"),
    ],
    ids=["opset", "domain", "operator"],
)
def test_a_runtime_that_is_too_old_is_named_before_it_tries(change: Callable[[Any], None], words: str) -> None:
    """What the file needs, and what is here."""
    model = onnx.load_from_string(tiny_model())
    check_runs_here(model.SerializeToString())
    change(model)
    with pytest.raises(Unavailable, match=words):
        CleanRuntime(OnnxRuntime()).load(model.SerializeToString(), features=3, classes=2)


@pytest.mark.parametrize("length", [0, 1, 7, 100, -3])
def test_what_is_no_model_is_left_to_whoever_loads_it(length: int) -> None:
    """Cut-off bytes are refused as before."""
    with pytest.raises(NotVerified):
        CleanRuntime(OnnxRuntime()).load(tiny_model()[:length], features=3, classes=2)


class Acting(OnnxRuntime):
    """A runtime whose models do something when they start, or when they are first asked."""

    __slots__ = ("act", "late")

    def __init__(self, act: Callable[[], object], *, late: bool) -> None:
        super().__init__()
        self.act, self.late = act, late

    def load(self, model: bytes, *, features: int, classes: int) -> OnnxModel:
        """Load it, and act now or at the first call."""
        loaded = super().load(model, features=features, classes=classes)
        if not self.late:
            self.act()
            return loaded
        act = self.act

        class Late:
            """Acts when it is asked."""

            def run(self, rows: NDArray[np.float32]) -> Any:
                """Act, and answer."""
                act()
                return loaded.run(rows)

        return Late()  # type: ignore[return-value]


def actions(folder: Path) -> dict[str, Callable[[], object]]:
    """Things that no start of a model does."""
    (folder / "there").write_text("x")

    def child() -> None:
        pid = os.fork()
        if not pid:
            os._exit(0)
        os.waitpid(pid, 0)

    return {
        "writes": lambda: (folder / "left").write_text("x"),
        "removes": lambda: (folder / "there").unlink(missing_ok=True),
        "renames": lambda: (folder / "there").rename(folder / "elsewhere"),
        "socket": lambda: socket.socket().close(),
        "asks": lambda: socket.getaddrinfo("127.0.0.1", 80),
        "process": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
        "fork": child,
        "environment": lambda: os.environ.update(HOLDFAST_LEFT="1"),
        "folder": lambda: os.chdir(folder),
        "library": lambda: __import__("ctypes").CDLL("libm.so.6"),
    }


@pytest.mark.requirement("SERV-28", by="holdfast.adapters.side_effects:watched")
@pytest.mark.parametrize("late", [False, True], ids=["load", "first-call"])
@pytest.mark.parametrize(
    "name",
    ["writes", "removes", "renames", "socket", "asks", "process", "fork", "environment", "folder", "library"],
)
def test_a_start_that_does_more_than_arithmetic_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, late: bool
) -> None:
    """While it loads, or when it is asked for the first time."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_LEFT", raising=False)
    runtime = CleanRuntime(Acting(actions(tmp_path)[name], late=late))
    with pytest.raises(NotVerified, match="more than arithmetic"):
        runtime.load(tiny_model(), features=3, classes=2)
    os.environ.pop("HOLDFAST_LEFT", None)


def test_a_clean_start_passes_whatever_other_threads_do(tmp_path: Path) -> None:
    """Records are written and callers connect while a model is swapped in."""
    stop = threading.Event()

    def busy() -> None:
        while not stop.wait(0.001):
            (tmp_path / "log").write_text("x")
            socket.socket().close()

    thread = threading.Thread(target=busy)
    thread.start()
    try:
        for bias in range(20):
            CleanRuntime(OnnxRuntime()).load(tiny_model(bias=bias), features=3, classes=2)
    finally:
        stop.set()
        thread.join()


@pytest.mark.requirement("SERV-27", by="holdfast.serve.loading:warm")
def test_a_model_is_warm_before_it_is_swapped_in(tmp_path: Path) -> None:
    """The first caller meets a model that has answered already."""
    world = DiskWorld(tmp_path / "world")
    gateway, loader, _ = assemble(world.config, 0)
    asked: list[tuple[bool, int]] = []

    class Counting(OnnxRuntime):
        """Notes whether the gateway has a state when a model is asked."""

        def load(self, model: bytes, *, features: int, classes: int) -> OnnxModel:
            """Load it, and count its calls."""
            loaded = super().load(model, features=features, classes=classes)

            class Model:
                """The model, counted."""

                def run(self, rows: NDArray[np.float32]) -> Any:
                    """Answer."""
                    asked.append((gateway.state is None, len(rows)))
                    return loaded.run(rows)

            return Model()  # type: ignore[return-value]

    loader.runtime = Counting()
    loader.refresh()
    assert asked[0] == (True, 2)  # before it is compared with itself in groups
    assert all(before for before, _ in asked)
    assert gateway.state is not None
