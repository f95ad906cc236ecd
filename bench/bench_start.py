"""How long a person waits: `import holdfast`, `holdfast --help`, and the whole demo.

    python bench/bench_start.py [--demo]

Each is a process of its own, interleaved with an empty interpreter, whose time is the floor.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS = 15
CASES = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import holdfast": [sys.executable, "-c", "import holdfast"],
    "holdfast --help": [sys.executable, "-m", "holdfast", "--help"],
    "holdfast --version": [sys.executable, "-m", "holdfast", "--version"],
}
TARGETS_MS = {"import holdfast": 150, "holdfast --help": 300}


def wall_ms(command: list[str]) -> float:
    """Return how long a command took, in milliseconds."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return 1000 * (time.perf_counter() - begun)


def main() -> None:
    """Time every case in turn, several times over, and print medians and ranges."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", action="store_true", help="also run the demo once")
    arguments = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in CASES}
    for _ in range(ROUNDS):
        for name, command in CASES.items():
            times[name].append(wall_ms(command))
    print(f"python {sys.version.split()[0]}, {ROUNDS} rounds, wall ms")
    for name, found in times.items():
        target = f"  (at most {TARGETS_MS[name]})" if name in TARGETS_MS else ""
        print(f"{name:<20} median {statistics.median(found):7.1f}  range {min(found):.1f} to {max(found):.1f}{target}")
    if arguments.demo:
        with tempfile.TemporaryDirectory() as folder:
            seconds = wall_ms([sys.executable, "-m", "holdfast", "demo", "--into", str(Path(folder) / "demo")]) / 1000
        print(f"holdfast demo        {seconds:.1f} s  (at most 60)")


if __name__ == "__main__":
    main()
