"""What a Python job finds in a sandbox: its libraries, this package, and the same conditions every time."""

import json
from pathlib import Path

import pytest
from tests.services.sandbox_tiers import SANDBOXES, Cell, make_cell

from holdfast.adapters.sandbox import python_job
from holdfast.core.ports import JobEnd

PYTHON_JOB = "holdfast.adapters.sandbox.jobs:python_job"
FIT = """
import sys
import numpy, sklearn
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
rows, labels = load_breast_cancer(return_X_y=True)
for model in (LogisticRegression(max_iter=5000), RandomForestClassifier(10, random_state=0)):
    score = model.fit(rows, labels).score(rows, labels)
    numpy.save(type(model).__name__, model.predict_proba(rows))
    print(score > 0.9)
"""


@pytest.fixture(params=SANDBOXES)
def cell(request: pytest.FixtureRequest, tmp_path: Path) -> Cell:
    """A cell in each tier."""
    return make_cell(request.param, tmp_path)


def python(cell: Cell, code: str) -> str:
    """The output of some lines of Python that run as a training job would: as a module, found among declared files."""
    (cell.readable / "lines.py").write_text(code)
    job = python_job(
        "lines", [], readable=[cell.readable], writable=cell.writable, env={"PYTHONPATH": str(cell.readable)}
    )
    result = cell.sandbox.run(job)
    assert (result.end, result.stderr) == (JobEnd.FINISHED, b"")
    return result.stdout.decode()


def test_model_is_trained_in_the_sandbox(cell: Cell) -> None:
    """Libraries of numerics and learning import, fit and save, without a warning and to the same bytes each time."""
    assert python(cell, FIT) == "True\nTrue\n"
    first = {path.name: path.read_bytes() for path in cell.writable.iterdir()}
    assert sorted(first) == ["LogisticRegression.npy", "RandomForestClassifier.npy"]
    python(cell, FIT)
    assert {path.name: path.read_bytes() for path in cell.writable.iterdir()} == first


def test_job_runs_a_module_by_name(cell: Cell) -> None:
    """The port's `python` runs a module with arguments, in the folder it may write."""
    source = cell.readable / "input.json"
    source.write_text('{"b": 1, "a": 2}')
    arguments = ["--sort-keys", "--compact", str(source), "output.json"]
    result = cell.sandbox.python("json.tool", arguments, readable=[cell.readable], writable=cell.writable)
    assert result.end is JobEnd.FINISHED, result.stderr
    assert json.loads((cell.writable / "output.json").read_text()) == {"a": 2, "b": 1}


def test_job_can_import_this_package(cell: Cell) -> None:
    """The training worker is part of Holdfast, which may be installed or run from a checkout."""
    result = cell.sandbox.python("holdfast.core.errors", [], readable=[], writable=cell.writable)
    assert result.end is JobEnd.FINISHED, result.stderr


def test_conditions_are_the_same_every_time(cell: Cell) -> None:
    """Hashes, time zone, encoding, threads and temporary folder do not depend on who starts the job."""
    code = (
        "import os, sys, tempfile, time\n"
        "print(hash('holdfast'), sys.flags.hash_randomization, time.tzname[0], sys.flags.safe_path,\n"
        "      sys.flags.no_user_site, sys.flags.dont_write_bytecode, sys.stdout.encoding, os.getcwd(),\n"
        "      tempfile.gettempdir(), os.environ['OMP_NUM_THREADS'], os.environ['HOME'])\n"
    )
    first = python(cell, code)
    assert first == python(cell, code)
    expected = ["0", "UTC", "True", "1", "1", "utf-8", str(cell.writable), str(cell.writable), "1", "/nonexistent"]
    assert first.split()[1:] == expected


def test_thread_pools_of_libraries_have_one_thread(cell: Cell) -> None:
    """Sums in another order are other numbers, so nothing may be split among threads unasked."""
    code = (
        "import json, sklearn.linear_model, threadpoolctl\n"
        "print(json.dumps([pool['num_threads'] for pool in threadpoolctl.threadpool_info()]))\n"
    )
    counts = json.loads(python(cell, code))
    assert counts
    assert set(counts) == {1}
