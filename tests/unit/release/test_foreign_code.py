"""Code from outside, read as text."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.release import stands

from holdfast.core.artifact import Kind
from holdfast.core.control import run
from holdfast.core.evidence import Evidence, Outcome
from holdfast.release.foreign.code import CODE, Read
from holdfast.release.foreign.notebooks import NotNotebookError, module_of

TOKEN = "AKIA" + "Q3EGRZPX7LBN5WTV"  # the shape of a key that opens nothing


def read(place: Path, files: dict[str, str]) -> Evidence:
    """The evidence on a folder of code."""
    ws = stands.workspace(place)
    subject = stands.folder(ws, Kind.FOREIGN, {name: text.encode() for name, text in files.items()})
    return run(CODE, Read(ws=ws, subject=subject), subject, stands.MADE_WITH)


def values(evidence: Evidence) -> dict[str, float]:
    """Measures by name."""
    assert evidence.outcome is Outcome.MEASURED, evidence.reason
    return {measure.name: measure.value for measure in evidence.measures}


def test_code_that_asks_for_nothing_shows_nothing(tmp_path: Path) -> None:
    """The control group."""
    evidence = read(
        tmp_path,
        {
            "LICENSE": "Apache-2.0\n",
            "requirements.txt": "# pinned\nnumpy==2.2.0\nscipy[dev]==1.15.0 ; python_version > '3.10'\n",
            "model.py": "import re\nPATTERN = re.compile('a')\ndef compile_it(x):\n    return x.eval()\n",
        },
    )
    found = values(evidence)
    assert (found["licence_files"], found["requirements"], found["unpinned"]) == (1, 2, 0)
    assert found["dangerous_calls"] == found["secrets"] == found["unread"] == found["binaries"] == 0
    assert evidence.findings == ()


@pytest.mark.parametrize(
    ("source", "rule"),
    [
        ("eval('1')", "code.execution"),
        ("import subprocess as s\ns.run(['ls'])", "code.process"),
        ("from os import system as quiet\nquiet('ls')", "code.process"),
        ("import pickle\npickle.loads(b'')", "code.objects"),
        ("import numpy as np\nnp.load('f', allow_pickle=True)", "code.objects"),
        ("import urllib.request\nurllib.request.urlopen('http://example.org')", "code.network"),
        ("import importlib\nimportlib.import_module('os')", "code.native"),
        ("def f(:", "code.unread"),
    ],
)
@pytest.mark.requirement("SUP-01", by="holdfast.release.foreign.code_worker:_read")
def test_what_reaches_out_of_the_program_is_found_under_any_name(tmp_path: Path, source: str, rule: str) -> None:
    """Imports under other names change nothing; what cannot be parsed was not reviewed."""
    evidence = read(tmp_path, {"train.py": source})
    assert [finding.rule for finding in evidence.findings] == [rule]


def test_secrets_binaries_and_loose_pins_are_found(tmp_path: Path) -> None:
    """Each has a place in the folder."""
    project = '[project]\nname = "x"\ndependencies = ["numpy>=2", "scipy==1.15.0"]\n'
    evidence = read(
        tmp_path, {"settings.py": f'aws_access_key_id = "{TOKEN}"\n', "fast.so": "x", "pyproject.toml": project}
    )
    found = values(evidence)
    assert found["unpinned"] == found["binaries"] == 1
    assert found["licence_files"] == 0
    assert {"code.binary", "code.unpinned"} <= {finding.rule for finding in evidence.findings}


def notebook(*cells: str | tuple[str, str], language: str = "python") -> str:
    """A notebook with code cells; a pair is a cell with a tag."""
    made: list[dict[str, Any]] = [{"cell_type": "markdown", "metadata": {}, "source": ["# Words"]}]
    for cell in cells:
        source, tags = (cell, []) if isinstance(cell, str) else (cell[0], [cell[1]])
        made.append({"cell_type": "code", "metadata": {"tags": tags}, "source": source.splitlines(keepends=True)})
    about = {"language_info": {"name": language}}
    return json.dumps({"cells": made, "metadata": about, "nbformat": 4, "nbformat_minor": 5})


@pytest.mark.requirement("TRN-09", by="holdfast.release.foreign.code_worker:_notebook")
@pytest.mark.parametrize(
    ("cells", "rule"),
    [
        (["import os as quiet", "x = 1\nquiet.system('ls')"], "code.process"),
        (["!curl example.org | sh"], "code.process"),
        (["%%bash\nrm -rf data"], "code.process"),
        (["%run other.py"], "code.execution"),
        (["%pip install pandas"], "code.unpinned"),
        (["%%R\nlibrary(x)"], "code.unread"),
        (["def f(:"], "code.unread"),
    ],
    ids=["call", "shell", "bash", "run", "pip", "other", "broken"],
)
def test_a_notebook_is_read_by_its_cells(tmp_path: Path, cells: list[str], rule: str) -> None:
    """An import in one cell is known in the next; what IPython alone would do is found as well."""
    evidence = read(tmp_path, {"LICENSE": "Apache-2.0\n", "a.ipynb": notebook(*cells)})
    assert rule in {finding.rule for finding in evidence.findings}
    assert all(finding.place.startswith("a.ipynb") for finding in evidence.findings)


@pytest.mark.requirement("TRN-09", by="holdfast.release.foreign.notebooks:_line")
def test_a_notebook_becomes_a_module_without_anybody_rewriting_it() -> None:
    """Its cells as they are, magics as comments; tagged cells alone where there are any."""
    step = "def train(data, params):\n    if params:\n        %time\n    return data"
    module = module_of(notebook("%matplotlib inline\nimport math", step, "%%time\ny = math.pi").encode())
    scope: dict[str, Any] = {}
    exec(compile(module.text, "a.py", "exec"), scope)  # noqa: S102 - it is ours
    assert scope["train"](7, {}) == 7
    assert scope["y"] > 3
    assert (module.magics, module.needs, module.broken) == ((), (), ())
    only = module_of(notebook("raise SystemExit", (step, "step")).encode())
    assert "SystemExit" not in only.text
    assert "def train" in only.text


@pytest.mark.parametrize(
    "document", ["", "[]", '{"cells": 3}', '{"cells": [{}]}', notebook("x <- 1", language="R")], ids=str
)
def test_what_is_no_notebook_of_python_is_unread(tmp_path: Path, document: str) -> None:
    """And is said to be."""
    with pytest.raises(NotNotebookError):
        module_of(document.encode())
    assert values(read(tmp_path, {"a.ipynb": document}))["unread"] == 1
