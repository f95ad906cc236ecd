"""Clean initialisation: a model that starts does arithmetic, and nothing else (SERV-28).

While a model is loaded and asked for the first time, two things are watched: what this thread does, by Python's audit
events (files opened for writing, files removed or renamed, sockets, processes, libraries loaded); and what is different
of the process afterwards (children, executable code that was mapped, working directory, environment, caught signals),
which native code cannot hide from the kernel. Anything of it, and the model is not used.

Not seen: a socket or a file that native code opens and closes without Python. An ONNX file can name neither.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from holdfast.adapters.onnx_needs import check_runs_here
from holdfast.adapters.runtime import OnnxModel, OnnxRuntime
from holdfast.core.errors import NotVerified

WATCHED: Final = ("socket.", "subprocess.", "os.fork", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "shutil.")
CHANGING: Final = frozenset(
    {"os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.chmod", "os.chown", "os.link", "os.symlink", "os.truncate"}
    | {"os.chdir", "os.putenv", "os.unsetenv", "os.kill", "ctypes.dlopen", "ctypes.dlsym", "mmap.__new__", "pty.spawn"}
)
MOST: Final = 8  # effects that are told
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


@dataclass(slots=True)
class Effects:
    """What a model's start has done beside arithmetic."""

    found: list[str] = field(default_factory=list)

    def note(self, what: str) -> None:
        """Take note of one."""
        if len(self.found) < MOST and what not in self.found:
            self.found.append(what)


_here = threading.local()  # `effects` of the thread that is watched now
_hooked = threading.Lock()


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    effects = getattr(_here, "effects", None)
    if effects is None:
        return
    if event == "open":
        path, mode, flags = (*arguments, None, None, None)[:3]
        writing = (isinstance(mode, str) and set(mode) & set("wax+")) or (isinstance(flags, int) and flags & _WRITING)
        if writing:
            effects.note(f"open {str(path)[:80]} for writing")
    elif event in CHANGING or event.startswith(WATCHED):
        effects.note(f"{event} {str(arguments[:1])[:80]}")


def _install() -> None:
    """Install the audit hook, once in a process: none can be removed."""
    if _hooked.acquire(blocking=False):
        sys.addaudithook(_hook)


@contextmanager
def watched() -> Iterator[Effects]:
    """Watch this thread and this process until the block ends; what was found is complete then."""
    _install()
    effects, before = Effects(), _process()
    _here.effects = effects
    try:
        yield effects
    finally:
        _here.effects = None
        for name, now in _process().items():
            for each in sorted(now - before[name]):
                effects.note(f"{name} {each}")


def _process() -> dict[str, set[str]]:
    """Return what native code cannot change without its being seen."""
    children = {each for task in Path("/proc/self/task").iterdir() for each in _words(task / "children")}
    code = set()
    for line in _lines(Path("/proc/self/maps")):
        parts = line.split(maxsplit=5)
        if "x" in parts[1] and len(parts) > 5:  # noqa: PLR2004 - six columns where a file is mapped
            code.add(parts[5])
    caught = {line for line in _lines(Path("/proc/self/status")) if line.startswith("SigCgt")}
    environment = {f"{name} ({hash(value) & 0xFFFF:04x})" for name, value in os.environ.items()}  # no value is told
    return {
        "a child": children,
        "code of": code,
        "signals": caught,
        "the folder": {str(Path.cwd())},
        "the environment": environment,
    }


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # a thread that has just ended
        return []


class CleanRuntime:
    """ONNX Runtime whose models are used only if they start cleanly (port `Runtime` of `holdfast.serve`)."""

    __slots__ = ("_inner", "_ready")

    def __init__(self, inner: OnnxRuntime) -> None:
        """Watch over another runtime."""
        self._inner, self._ready = inner, False

    def load(self, model: bytes, *, features: int, classes: int) -> OnnxModel:
        """Return the model in these bytes, once it has been loaded and asked under watch.

        Raises:
            Unavailable: The runtime here lacks what the model needs.
            NotVerified: The bytes are no such model, or its start did something beside arithmetic.
        """
        check_runs_here(model)
        if not self._ready:  # what the library does when it is first imported is no model's doing
            import onnxruntime

            onnxruntime.get_available_providers()
            self._ready = True
        rows: NDArray[np.float32] = np.zeros((1, features), dtype=np.float32)
        with watched() as effects:
            loaded = self._inner.load(model, features=features, classes=classes)
            try:
                loaded.run(rows)
            except Exception as error:
                raise NotVerified(f"the model cannot be asked: {type(error).__name__}") from error
        if effects.found:
            raise NotVerified(
                f"the model's start did more than arithmetic: {'; '.join(effects.found)}",
                expected="nothing written, opened, started or loaded",
            )
        return loaded
