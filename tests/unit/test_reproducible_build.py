"""The package itself: two builds of the same sources, in two places and at two times, are the same bytes."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PARTS = ("src", "policies", "evidence", "examples", "pyproject.toml", "README.md", "LICENSE")


def build(folder: Path, target: str) -> str:
    """Build in a fresh copy of the sources, and return the digest of what was built."""
    for part in PARTS:
        source, copy = REPOSITORY / part, folder / part
        copy.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", "*.csv"))
        else:
            shutil.copyfile(source, copy)
    words = (sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder / "out"))
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    subprocess.run(words, cwd=folder, env=environment, check=True, capture_output=True)
    (built,) = (folder / "out").iterdir()
    return hashlib.sha256(built.read_bytes()).hexdigest()


@pytest.mark.parametrize("target", ["wheel", "sdist"])
def test_two_builds_of_one_source_are_the_same_bytes(tmp_path: Path, target: str) -> None:
    """Neither the place nor the moment nor the order of files on the disk is in them."""
    pytest.importorskip("hatchling")
    first = build(tmp_path / "one", target)
    time.sleep(1.1)  # an archive's times have a resolution of one or two seconds
    assert build(tmp_path / "another" / "place", target) == first
