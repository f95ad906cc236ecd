"""What `holdfast init` writes beside a workspace: a project file to fill in, a recipe that trains, a `.gitignore`."""

import secrets
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.errors import Unavailable
from holdfast.lifecycle.home import Home

PROJECT_FILE: Final = """\
# Every key is explained in docs/reference/project.md.
[project]
name = "my-model"
owner = {owner}
description = "What the model is for, in one sentence."

[risk]
sensitivity = "internal"      # synthetic, public, internal, confidential, personal
exposure = "internal"         # none, internal, partner, public
stakes = "business"           # experimental, business, money, safety

[data]
source = "data.csv"
format = "csv"
origin = "Who made the data, and how it came here."
licence = "internal"

# One table a column; a column that is not declared does not get through.
[data.columns.id]
type = "string"
use = "id"

[data.columns.first_feature]
type = "float"
minimum = 0.0
maximum = 100.0

[data.columns.label]
type = "category"
use = "label"
allowed = ["no", "yes"]

[train]
recipe = "train.py:train"
positive = "yes"
seed = 1

[gates]
policy = "baseline"
"""

RECIPE: Final = '''\
"""How the model is made: runs in the sandbox, without network, and sees only the training and validation rows."""

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


def train(data, params, seed):
    """Return a fitted classifier; it leaves the sandbox as ONNX."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000, random_state=seed))
    return model.fit(data.train.features, data.train.labels)
'''

IGNORED: Final = """\
# Keys, evidence and blobs of the workspace: never source, and never handed out with a clone.
.holdfast/
.holdfast-*/
"""
_NAMED: Final = frozenset({".holdfast", ".holdfast/", "/.holdfast", "/.holdfast/", ".holdfast*", ".holdfast*/", ".*"})


def keep_from_source(home: Home) -> str:
    """Have git leave the workspace alone: write a `.gitignore` where there is none; return what is to be said of it.

    One that is there is somebody's own and is not touched.

    Raises:
        Unavailable: It cannot be read or written.
    """
    path = home.root / ".gitignore"
    try:
        if not path.exists():
            _write_beside(path, IGNORED)
            return "A .gitignore keeps .holdfast/ out of git."
        named = {line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines()}
    except OSError as error:
        raise Unavailable(f"the .gitignore cannot be written: {error.strerror}", place=str(path)) from error
    return "" if named & _NAMED else "Add .holdfast/ to the .gitignore: it does not name the folder with the keys."


def _write_beside(path: Path, content: str) -> None:
    """Write a file whole or not at all."""
    beside = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    beside.write_text(content, encoding="utf-8")
    beside.rename(path)


def write_starter(home: Home, owner: str) -> bool:
    """Write a project file and a recipe where there is no project yet, each of them whole."""
    if home.project_file.exists():
        return False
    text = PROJECT_FILE.format(owner=msgspec.json.encode(owner).decode())
    try:
        for path, content in ((home.root / "train.py", RECIPE), (home.project_file, text)):
            if not path.exists():
                _write_beside(path, content)
    except OSError as error:
        raise Unavailable(f"the project file cannot be written: {error.strerror}", place=str(home.root)) from error
    return True
