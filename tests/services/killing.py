"""A pull that is killed at random moments and begun again until it ends by itself."""

import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
WHOLE_S: Final = 300.0


def started(folder: Path) -> subprocess.Popen[bytes]:
    """A pull in a process of its own."""
    command = [sys.executable, "-m", "tests.services.source_work", str(folder)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=dict(os.environ))


def pulled(folder: Path) -> None:
    """Pull to the end."""
    process = started(folder)
    said, _ = process.communicate(timeout=WHOLE_S)
    assert process.returncode == 0, said.decode()


def pulled_through_kills(folder: Path, kills: int, seed: int, longest_s: float) -> int:
    """Pull, killed so many times after a random while; then to the end. Return how many kills hit a living process."""
    rng, hit = random.Random(seed), 0  # noqa: S311 - moments, no secrets
    for _ in range(kills):
        process = started(folder)
        try:
            process.communicate(timeout=rng.uniform(0.3, longest_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            hit += 1
            process.communicate()
    pulled(folder)
    return hit
