"""A sandbox that confines nothing, for tests of what happens around a job."""

import contextlib
import importlib
import io
import sys
import time
import traceback
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.core.ports import Job, JobEnd, JobResult, Tier


class UnsafeSandboxWarning(UserWarning):
    """Jobs run in this very process: whatever they do, they do to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnsafeInProcessSandbox:
    """Calls a job's `main(args)` in this process, unconfined. It says so with a warning, each time one is made.

    What a job is declared to read and write is kept in `declared`, so that a test can look at it; nothing enforces it.
    `run` starts nothing: a command line cannot be run in this process.
    """

    tier: Tier = Tier.PROCESS
    declared: list[tuple[str, tuple[Path, ...], Path]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Warn."""
        warnings.warn("jobs run in this process, without any confinement", UnsafeSandboxWarning, stacklevel=3)

    def run(self, job: Job) -> JobResult:
        """Refuse: only Python jobs can be simulated.

        Raises:
            NotImplementedError: Always.
        """
        raise NotImplementedError(f"{job.argv[0]} cannot be run in this process")

    def python(self, module: str, args: Sequence[str], *, readable: Sequence[Path], writable: Path) -> JobResult:
        """Call `module.main(args)` here and return how it ended, with what it wrote to standard output and error."""
        self.declared.append((module, tuple(readable), writable))
        out, err = io.StringIO(), io.StringIO()
        path, modules = list(sys.path), set(sys.modules)
        started = time.perf_counter()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a job's warnings are its own
            code = _call(module, args)
        sys.path[:] = path
        for name in {"recipe"} & set(sys.modules) - modules:
            del sys.modules[name]
        return JobResult(
            end=JobEnd.FAILED if code else JobEnd.FINISHED,
            exit_code=code,
            stdout=out.getvalue().encode(errors="replace"),
            stderr=err.getvalue().encode(errors="replace"),
            wall_s=time.perf_counter() - started,
            cpu_s=None,
            tier=self.tier,
        )


def _call(module: str, args: Sequence[str]) -> int:
    try:
        return int(importlib.import_module(module).main(list(args)))
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 1
    except Exception:  # noqa: BLE001 - as an interpreter would: print it, and end with 1
        traceback.print_exc()
        return 1
