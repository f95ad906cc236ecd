"""The nouns and the numerics do no I/O: an audit hook listens in a process of its own while they work."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]


def heard(what: str) -> str:
    """What the hook heard."""
    command = [sys.executable, "-m", "tests.unit.core.quiet_work", what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.guarantee("G02")
@pytest.mark.parametrize("what", ["importing", "deciding", "counting"])
def test_core_and_maths_open_no_file_no_socket_and_no_process(what: str) -> None:
    """Importing them loads code; deciding, unsealing, auditing and counting need their arguments only."""
    assert heard(what) == "nothing was heard"
