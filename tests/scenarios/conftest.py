"""Finished projects for scenario tests: one real run, or two, copied for each test that changes something."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast import app
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import copy_project, example
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.runner import run


@pytest.fixture(scope="session")
def finished(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example project, run to a release that nobody has promoted yet."""
    folder = tmp_path_factory.mktemp("finished")
    source = example()
    copy_project(source, folder)
    write_data(source, folder)
    app.init(folder)
    with app.open_plant(folder) as plant:
        run(plant)
    return folder


@pytest.fixture(scope="session")
def finished_twice(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example project with two releases, both promoted: the second answers, the first can be gone back to."""
    folder = tmp_path_factory.mktemp("twice") / "project"
    shutil.copytree(finished, folder)
    with app.open_plant(folder) as plant:
        promote(plant, reason="The first.")
        reseed(folder, 8)
        run(plant)
        promote(plant, reason="The second.")
    return folder


def reseed(folder: Path, seed: int) -> None:
    """Give the project another seed, so that the next run makes another release."""
    path = folder / "holdfast.toml"
    before = path.read_text(encoding="utf-8")
    lines = [f"seed = {seed}" if line.startswith("seed = ") else line for line in before.splitlines()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    return folder


@pytest.fixture
def plant(project: Path) -> Iterator[Plant]:
    """The control plane of a copy of the finished project."""
    with app.open_plant(project) as opened:
        yield opened


@pytest.fixture
def producing(finished_twice: Path, tmp_path: Path) -> Iterator[Plant]:
    """The control plane of a copy of the project with two releases, the second in production."""
    folder = tmp_path / "project"
    shutil.copytree(finished_twice, folder)
    with app.open_plant(folder) as opened:
        yield opened


@pytest.fixture
def bare(unlocking: Path, tmp_path: Path) -> Path:
    """A workspace without a project."""
    folder = tmp_path / "bare"
    folder.mkdir()
    app.init(folder, owner="ada")
    return folder
