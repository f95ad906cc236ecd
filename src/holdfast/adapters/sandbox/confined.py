"""One confined run, seen from the side that asked: start the warden, feed it, read it, stop it in time.

How the job is confined is decided by the caller (a command that ends in the warden, and the grants); how it is
watched is the warden's business. This is the only module of Holdfast that starts processes.
"""

import json
import os
import re
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any, Final

from holdfast.adapters.sandbox.filter import asked_calls, compile_filter
from holdfast.core.errors import SandboxUnavailable
from holdfast.core.ports import Job, JobEnd, JobResult, Tier

HERE: Final = Path(__file__).resolve().parent
GRACE_S: Final = 3.0  # for the warden to end a job that is out of time, before it is ended itself
TRIAL_S: Final = 20.0  # for a program that does nothing: only a machine that cannot run it needs longer
CHUNK: Final = 1 << 16  # bytes moved at once: what a pipe holds
# The last line of a Python or numpy traceback when an allocation failed.
MEMORY_ERROR: Final = re.compile(rb"^(?:[\w.]+\.)?_?(?:Array)?MemoryError\b[^\n]*\s*\Z", re.MULTILINE)

Grant = tuple[str, int]  # a path, and Landlock rights on it


def warden_command() -> tuple[str, ...]:
    """Return the command that runs the warden; the numbers of its three descriptors are still to be added."""
    start = f"import sys; sys.path.append({str(HERE)!r}); from inside.warden import main; main(*map(int, sys.argv[1:]))"
    return (sys.executable, "-I", "-S", "-c", start)


def why_it_fails(command: Sequence[str]) -> str:
    """Run a command that should succeed at once; return why it did not, or nothing.

    Args:
        command: The program, by absolute path, and its arguments.
    """
    try:
        done = subprocess.run(command, env={}, cwd="/", capture_output=True, timeout=TRIAL_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    said = done.stderr.decode(errors="replace").strip()
    return "" if done.returncode == 0 else said or f"exit status {done.returncode}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Walls:
    """What a tier puts around a job beside the filter, the limits and the warden, which every tier has.

    Attributes:
        tier: The tier that these walls make.
        prefix: A command that runs the command after it in namespaces of its own; empty for none.
        landlock_abi: The version of Landlock to use; 0 for no Landlock.
        grants: What Landlock allows.
    """

    tier: Tier
    prefix: tuple[str, ...] = ()
    landlock_abi: int
    grants: tuple[Grant, ...] = ()


def run_confined(job: Job, walls: Walls) -> JobResult:
    """Run one checked job to its end.

    Raises:
        SandboxUnavailable: The job could not be confined; nothing of it ran.
    """
    started = time.monotonic()
    with ExitStack() as held:
        plan = held.enter_context(os.fdopen(os.memfd_create("plan"), "w+b", buffering=0))
        plan.write(json.dumps(_plan(job, walls)).encode())
        plan.seek(0)
        leash_end, leash = _pipe(held)
        told, told_end = _pipe(held)
        descriptors = (plan.fileno(), leash_end.fileno(), told_end.fileno())
        process = subprocess.Popen(
            [*walls.prefix, *warden_command(), *map(str, descriptors)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=descriptors,
            env={"LC_ALL": "C.UTF-8"},  # nothing of ours, since the job may be able to see its warden's
            cwd="/",
            start_new_session=True,
        )
        told_end.close()
        run = _Run(process, leash, told, job, walls.tier)
        try:
            run.follow(ends_at=started + job.limits.wall_s)
        finally:
            run.end()
    return run.result(wall_s=time.monotonic() - started)


def _pipe(held: ExitStack) -> tuple[FileIO, FileIO]:
    reads, writes = os.pipe()
    return held.enter_context(FileIO(reads, "rb")), held.enter_context(FileIO(writes, "wb"))


def _plan(job: Job, walls: Walls) -> dict[str, Any]:
    machine = os.uname().machine
    return {
        "argv": job.argv,
        "env": dict(job.env),
        "cwd": str(job.cwd),
        "landlock_abi": walls.landlock_abi,
        "grants": walls.grants,
        "filter": compile_filter(machine).hex(),
        "asked": asked_calls(machine),
        "processes": job.limits.processes,
        "memory_bytes": job.limits.memory_bytes,
        "cpu_s": job.limits.cpu_s,
        "file_bytes": job.limits.file_bytes,
        "open_files": job.limits.open_files,
    }


class _Run:
    """The pipes of one running job, and what came out of them."""

    def __init__(self, process: "subprocess.Popen[bytes]", leash: FileIO, told: FileIO, job: Job, tier: Tier) -> None:
        self.process = process
        self.leash = leash
        self.told = told
        self.tier = tier
        self.output_limit = job.limits.output_bytes
        self.late = False
        self.unsent = memoryview(job.stdin)
        self.out, self.err, self.report = bytearray(), bytearray(), bytearray()

    def follow(self, *, ends_at: float) -> None:
        """Move bytes until every pipe is closed; have a job ended that is out of time, or whose warden has died."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._pipe("stdout"), selectors.EVENT_READ, (self.out, self.output_limit))
            selector.register(self._pipe("stderr"), selectors.EVENT_READ, (self.err, self.output_limit))
            selector.register(self.told.fileno(), selectors.EVENT_READ, (self.report, CHUNK))
            os.set_blocking(self._pipe("stdin"), False)
            selector.register(self._pipe("stdin"), selectors.EVENT_WRITE)
            while selector.get_map():
                left = ends_at - time.monotonic()
                if left <= 0 and self.late:
                    self._kill()  # the warden does not answer
                    return
                if left <= 0:
                    self.late, ends_at = True, time.monotonic() + GRACE_S
                    self._stop()
                for key, _events in selector.select(max(left, 0.0)):
                    done = self._feed(key.fd) if key.data is None else _drain(key.fd, *key.data)
                    if done:
                        selector.unregister(key.fileobj)
                    if done and key.fd == self.told.fileno() and "status" not in self._reports():
                        self._kill()

    def _pipe(self, name: str) -> int:
        return int(getattr(self.process, name).fileno())

    def _close(self, name: str) -> None:
        getattr(self.process, name).close()

    def _feed(self, pipe: int) -> bool:
        """Write a piece of standard input; close it and say so when nothing is left to write."""
        with suppress(BlockingIOError):
            try:
                self.unsent = self.unsent[os.write(pipe, self.unsent[:CHUNK]) :]
            except BrokenPipeError:
                self.unsent = self.unsent[:0]  # the job does not read it
        if self.unsent:
            return False
        self._close("stdin")
        return True

    def _stop(self) -> None:
        """Tell the warden to end the job. Our death says the same, by closing the pipe."""
        with suppress(BrokenPipeError):  # it has ended already
            self.leash.write(b".")

    def _kill(self) -> None:
        """End the job without its warden."""
        self.process.kill()  # with namespaces, everything in them dies with this
        group = self._reports().get("group")
        if group is not None and self.tier is Tier.PROCESS:  # elsewhere the number means nothing on this side
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, signal.SIGKILL)

    def end(self) -> None:
        """Leave nothing running, whatever state the run is in, and close every pipe."""
        self._stop()
        try:
            self.process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            self._kill()
        for name in ("stdin", "stdout", "stderr"):
            self._close(name)
        self.process.wait()

    def _reports(self) -> dict[str, Any]:
        reports: dict[str, Any] = {}
        for line in self.report.splitlines():
            with suppress(ValueError):  # a line cut short by the warden's own death
                reports |= json.loads(line)
        return reports

    def result(self, *, wall_s: float) -> JobResult:
        """Return how the job ended.

        Raises:
            SandboxUnavailable: It never ran.
        """
        reports = self._reports()
        if "group" not in reports:
            said = reports.get("refused") or self.err.decode(errors="replace").strip() or "it ended without a word"
            raise SandboxUnavailable(
                f"a job could not be confined: {said}",
                place=f"sandbox tier {self.tier}",
                expected="a kernel that grants what `holdfast.adapters.sandbox.probe` found",
            )
        status = reports.get("status")
        code = os.waitstatus_to_exitcode(status) if status is not None else None
        return JobResult(
            end=self._how(reports.get("cause"), code),
            exit_code=code if code is not None and code >= 0 else None,
            stdout=bytes(self.out),
            stderr=bytes(self.err),
            wall_s=wall_s,
            cpu_s=reports.get("cpu_s"),
            tier=self.tier,
            tried=reports.get("tried", {}),
        )

    def _how(self, cause: str | None, code: int | None) -> JobEnd:
        """Name the end of a job from what ended it and its exit code (negative: the signal that killed it)."""
        if self.late or cause == "cpu" or code == -signal.SIGXCPU:
            return JobEnd.TIMED_OUT
        if cause == "memory":
            return JobEnd.OUT_OF_MEMORY
        if code is None or code < 0:
            return JobEnd.KILLED
        if code == 0:
            return JobEnd.FINISHED
        # A refused allocation ends Python with an ordinary failure. Its last words are the job's own, and so could be
        # a lie, but only about why it failed.
        return JobEnd.OUT_OF_MEMORY if MEMORY_ERROR.search(self.err) else JobEnd.FAILED


def _drain(descriptor: int, kept: bytearray, limit: int) -> bool:
    """Read what is there, keep it up to the limit, and say whether the other end is closed."""
    data = os.read(descriptor, CHUNK)
    kept += data[: max(limit - len(kept), 0)]
    return not data
