"""What a sandbox costs: the same job bare, in each tier, and under sandlock, one after another in every round.

    python bench/bench_sandbox.py [rounds]

Target: a tier adds at most 300 ms to a job. sandlock (Landlock, seccomp and a supervisor that answers for opened files
and mapped memory) is the peer; where it is not installed its column is left out.
"""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from holdfast.adapters.sandbox import observe, open_sandbox, probe
from holdfast.adapters.sandbox.jobs import PYTHON_ENVIRONMENT, runtime_paths
from holdfast.core.ports import Job, JobEnd, Sandbox

ROUNDS: Final = 15
TARGET_MS: Final = 300
WORKLOADS: Final = {
    "an interpreter that starts and ends": "pass",
    "import of scikit-learn, and a forest fitted": (
        "from sklearn.datasets import load_breast_cancer\n"
        "from sklearn.ensemble import RandomForestClassifier\n"
        "RandomForestClassifier(20, random_state=0).fit(*load_breast_cancer(return_X_y=True))\n"
    ),
    "200 large arrays made and dropped": "import numpy\nfor _ in range(200): numpy.ones(1_000_000) * 2",
    "50 processes, one after another": (
        "import os\nfor _ in range(50):\n    if os.fork() == 0: os._exit(0)\n    os.wait()\n"
    ),
}

Way = Callable[[str], None]


def bare(code: str) -> None:
    """Run the lines as an ordinary child process."""
    subprocess.run(_command(code), env=dict(PYTHON_ENVIRONMENT), capture_output=True, check=True)


def confined(sandbox: Sandbox, folder: Path) -> Way:
    """Return the way of running lines in a sandbox of ours."""

    def run(code: str) -> None:
        job = Job(argv=_command(code), readable=(), writable=(folder,), env=PYTHON_ENVIRONMENT, cwd=folder)
        result = sandbox.run(job)
        if result.end is not JobEnd.FINISHED:
            raise SystemExit(f"the job did not finish: {result}")

    return run


def peer(folder: Path) -> Way:
    """Return the way of running lines under sandlock, with the same files and limits as far as it has them."""
    import sandlock

    readable = [str(path) for path in runtime_paths() if not path.is_relative_to("/proc")]

    def run(code: str) -> None:
        box = sandlock.Sandbox(
            fs_readable=[*readable, "/dev/null", "/dev/urandom"],
            fs_writable=[str(folder)],
            clean_env=True,
            env=dict(PYTHON_ENVIRONMENT),
            cwd=str(folder),
            max_memory=4 << 30,
            max_processes=64,
        )
        result = box.run(list(_command(code)))
        if not result.success:
            raise SystemExit(f"the job did not finish under sandlock: {result}")

    return run


def _command(code: str) -> tuple[str, ...]:
    return (sys.executable, "-s", "-P", "-B", "-c", code)


def _ways(folder: Path) -> dict[str, Way]:
    ways: dict[str, Way] = {"bare": bare}
    host = observe()
    for report in probe(host):
        if report.available:
            ways[report.tier] = confined(open_sandbox(report.tier, host), folder)
        else:
            print(f"left out: {report.tier}, for want of {'; '.join(report.missing)}")
    if importlib.util.find_spec("sandlock"):
        ways["sandlock"] = peer(folder)
    return ways


def _versions() -> str:
    parts = [f"Python {platform.python_version()}", f"Linux {platform.release()}", f"{os.cpu_count()} processors"]
    if shutil.which("bwrap"):
        parts.append(subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=True).stdout.strip())
    if importlib.util.find_spec("sandlock"):
        parts.append(f"sandlock {importlib.metadata.version('sandlock')}")
    return ", ".join(parts)


def main(rounds: int) -> None:
    """Print a table for each workload: median, quartiles, and what was added to the bare job."""
    print(_versions())
    print(f"{rounds} rounds, interleaved; times of one job in ms; target: at most {TARGET_MS} ms added by a tier")
    with tempfile.TemporaryDirectory() as name:
        ways = _ways(Path(name))
        for title, code in WORKLOADS.items():
            times: dict[str, list[float]] = {way: [] for way in ways}
            for number in range(rounds + 1):
                for way, run in ways.items():
                    started = time.perf_counter()
                    run(code)
                    if number:  # the first round warms caches
                        times[way].append((time.perf_counter() - started) * 1000)
            _table(title, times)


def _table(title: str, times: dict[str, list[float]]) -> None:
    print(f"\n{title}\n{'':12} {'median':>8} {'quartiles':>17} {'added':>8} {'ratio':>7}")
    base = statistics.median(times["bare"])
    for way, measured in times.items():
        low, median, high = statistics.quantiles(measured, n=4)
        print(f"{way:12} {median:8.1f} {low:8.1f} {high:8.1f} {median - base:8.1f} {median / base:7.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
