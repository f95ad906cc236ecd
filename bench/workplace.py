"""A workspace for benchmarks of the control plane: the example project with a release in production, and its server."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

READY_WITHIN_S: Final = 60.0
LOOK_S: Final = 0.005
MODEL: Final = "breast-cancer"


def make_workspace(folder: Path, *, promoted: bool = True) -> str:
    """Make a workspace in an empty folder, with a release in production, and return an administrator's key."""
    from holdfast import app
    from holdfast.faces.demo.data import write_data
    from holdfast.faces.demo.stage import copy_project, example
    from holdfast.lifecycle.identity import add, issue
    from holdfast.lifecycle.promotion import promote
    from holdfast.lifecycle.runner import run

    source = example()
    copy_project(source, folder)
    write_data(source, folder)
    app.init(folder)
    with app.open_plant(folder) as plant:
        if promoted:
            run(plant)
            promote(plant, reason="For a benchmark.")
        add(plant, name="bench", sort="user", groups="administrators,engineers,operators,reviewers,personal-data")
        return str(issue(plant, name="bench").document["key"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server, and how long it took to be ready."""

    said: dict[str, Any]
    seconds: float
    pid: int


@contextmanager
def running(folder: Path, *arguments: str, command: Sequence[str] = ()) -> Iterator[Running]:
    """Run `holdfast up`, or another command that is ready when the ready file is there; stop it when the block ends."""
    ready = folder / "ready.json"
    begun = time.perf_counter()
    own = (sys.executable, "-m", "holdfast", "up", "-C", str(folder), "--port", "0", "--ready-file", str(ready))
    command = command or own
    with subprocess.Popen([*command, *arguments], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        try:
            while not ready.exists():
                if process.poll() is not None or time.perf_counter() - begun > READY_WITHIN_S:
                    raise SystemExit("holdfast up did not become ready")
                time.sleep(LOOK_S)
            seconds = time.perf_counter() - begun
            yield Running(said=json.loads(ready.read_text()), seconds=seconds, pid=process.pid)
        finally:
            process.terminate()


def memory(pid: int) -> tuple[float, float]:
    """Return what a process and all below it hold, in MB: resident set, and with shared pages counted in parts."""
    total = [0, 0]
    for each in family(pid):
        for line in Path(f"/proc/{each}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            for place, name in enumerate(("Rss:", "Pss:")):
                if line.startswith(name):
                    total[place] += int(line.split()[1])
    return total[0] / 1000, total[1] / 1000


def processor(pid: int) -> float:
    """Return the seconds of the processor that a process and all below it have used."""
    ticks = 0
    for each in family(pid):
        fields = Path(f"/proc/{each}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])  # proc(5): utime and stime
    return ticks / os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """Return a process and all below it."""
    found = [pid]
    for task in (each.name for each in Path(f"/proc/{pid}/task").iterdir()):
        for child in Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="utf-8").split():
            found += family(int(child))
    return found
