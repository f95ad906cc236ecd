"""What `holdfast init` writes for somebody who has no project yet: a project file to fill in, and a recipe that trains."""

from typing import Final

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
