"""The sandboxes that the tests of this folder try, and how they hand them a few lines of Python to run."""

import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pytest

from holdfast.adapters.sandbox import observe, open_sandbox, probe
from holdfast.core.ports import Job, JobResult, Limits, Sandbox, Tier

FIRST_LANDLOCK: Final = "process-with-the-first-landlock"
BARE_NAMESPACES: Final = "namespaces-without-landlock"
TIERS: Final = (str(Tier.PROCESS), str(Tier.NAMESPACES))
SANDBOXES: Final = (*TIERS, FIRST_LANDLOCK, BARE_NAMESPACES)
SEPARATE: Final = (str(Tier.NAMESPACES), BARE_NAMESPACES)
SHORT: Final = Limits(cpu_s=20, wall_s=60.0)


def sandbox_named(name: str) -> Sandbox:
    """The sandbox of a tier; where this machine cannot hold it, the test is skipped (in continuous integration: fails).

    Each tier also runs as on an older kernel. With the first Landlock (5.13) the filter must hold alone against emptied
    files, TCP and signals; with none, the mounts of the namespaces tier must hold alone against everything on disk.
    """
    host = observe()
    tier = Tier(name.partition("-")[0])
    report = next(report for report in probe(host) if report.tier is tier)
    if not report.available:
        message = f"the {tier} tier is absent: {'; '.join(report.missing)}"
        if os.environ.get("HOLDFAST_REQUIRE_SERVICES") == "1":
            pytest.fail(f"{message} (HOLDFAST_REQUIRE_SERVICES=1)", pytrace=False)
        pytest.skip(message)
    if name == FIRST_LANDLOCK:
        host = replace(host, landlock_abi=1)
    if name == BARE_NAMESPACES:
        host = replace(host, landlock_abi=0)
    return open_sandbox(tier, host)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One sandbox, with a folder a job may write, one it may read, and one it knows nothing of."""

    sandbox: Sandbox
    writable: Path
    readable: Path
    secret: Path

    def job(self, code: str, *arguments: object, limits: Limits = SHORT, stdin: bytes = b"") -> Job:
        """The job that runs some lines of Python with arguments in `sys.argv`."""
        return Job(
            argv=(sys.executable, "-s", "-P", "-B", "-c", code, *map(str, arguments)),
            readable=(self.readable,),
            writable=(self.writable,),
            env={"LC_ALL": "C.UTF-8"},
            cwd=self.writable,
            limits=limits,
            stdin=stdin,
        )

    def run(self, code: str, *arguments: object, limits: Limits = SHORT, stdin: bytes = b"") -> JobResult:
        """Run the lines to their end."""
        return self.sandbox.run(self.job(code, *arguments, limits=limits, stdin=stdin))

    def refusals(self, *actions: str, arguments: tuple[object, ...] = ()) -> list[str]:
        """What each action led to: the name of the exception it raised, or `done: …` with what it returned."""
        code = (
            "import ctypes, errno, os, resource, signal, socket, sys\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "def call(*arguments):\n"
            "    value = libc.syscall(*map(ctypes.c_long, arguments))\n"
            "    if value == -1: raise OSError(ctypes.get_errno(), 'refused')\n"
            "    return value\n"
            f"for action in {actions!r}:\n"
            "    try: print('done:', repr(eval(action)))\n"
            "    except OSError as error: print(errno.errorcode[error.errno])\n"
        )
        result = self.run(code, *arguments)
        assert result.exit_code == 0, result.stderr.decode()
        return result.stdout.decode().splitlines()


def make_cell(name: str, folder: Path) -> Cell:
    """A cell in a fresh folder."""
    sandbox = sandbox_named(name)
    writable, readable, secret = folder / "writable", folder / "readable", folder / "secret"
    for place in (writable, readable, secret):
        place.mkdir()
        place.chmod(0o755)
    (readable / "input.csv").write_text("a,b\n1,2\n")
    (secret / "key.pem").write_text("-----BEGIN PRIVATE KEY-----")
    return Cell(sandbox=sandbox, writable=writable, readable=readable, secret=secret)


def processes_with(token: str) -> list[int]:
    """The processes of this machine with a word in their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if token.encode() in command:
                found.append(int(entry.name))
    return found


def parent_of(pid: int) -> int:
    """The parent of a process, as this side of any namespace numbers it."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
