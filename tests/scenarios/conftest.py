"""A finished project for scenario tests: one real run, copied for each test that changes something."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast import app
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import copy_project, example
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.runner import run


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example project, run to a release that nobody has promoted yet."""
    folder = tmp_path_factory.mktemp("finished")
    unlock = tmp_path_factory.mktemp("unlock")
    patch = pytest.MonkeyPatch()
    patch.setenv("HOLDFAST_UNLOCK_DIR", str(unlock))
    source = example()
    copy_project(source, folder)
    write_data(source, folder)
    app.init(folder, tell=lambda _: None)
    with app.open_plant(folder, tell=lambda _: None) as plant:
        run(plant)
    yield folder
    patch.undo()


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    return folder


@pytest.fixture
def plant(project: Path) -> Iterator[Plant]:
    """The control plane of a copy of the finished project."""
    with app.open_plant(project, tell=lambda _: None) as opened:
        yield opened


@pytest.fixture
def told() -> Callable[..., None]:
    """A listener that keeps nothing."""
    return lambda _: None
