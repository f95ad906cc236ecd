"""The tutorial is executed, block by block, as a reader would type it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.services
def test_every_command_of_the_tutorial_works(tmp_path: Path) -> None:
    """All blocks of docs/tutorial.md run in one shell, in order, and none fails."""
    blocks = BLOCK.findall((REPOSITORY / "docs" / "tutorial.md").read_text(encoding="utf-8"))
    assert len(blocks) >= 10
    script = "set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n" + "\n".join(
        f"echo '--- block {n}'\n{block}" for n, block in enumerate(blocks, 1)
    )
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, words in {"python": "", "holdfast": "-m holdfast"}.items():
        wrapper = commands / name
        wrapper.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
    environment = {
        "PATH": f"{commands}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "HOLDFAST_UNLOCK_DIR": str(tmp_path / "unlock"),
        "REPOSITORY": str(REPOSITORY),
    }
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    assert "labels=" in done.stdout
    assert (tmp_path / "clinic" / "why.html").read_text(encoding="utf-8").startswith("<!doctype html>")
