"""The recipe of the breast-cancer example: what `holdfast run` trains inside the sandbox.

A recipe is one function `train(data, params, seed)`. It gets the rows to learn from (`data.train.features`, float64,
one column per name in `data.feature_names`, and `data.train.labels`, an index into `data.classes`), the rows to choose
by (`data.validation`), never the test rows, and returns a fitted scikit-learn classifier that skl2onnx can convert.
"""

from collections.abc import Mapping
from typing import Any

from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier


def train(data: Any, params: Mapping[str, Any], seed: int) -> Pipeline:
    """Return the candidate that `params["kind"]` asks for, fitted to the training rows.

    `weak` is one yes-or-no question about the texture alone: what a hasty first try looks like, and what the policy
    denies. `strong` is the mean of a logistic regression and a calibrated support vector machine, both held smooth, so
    that small errors of measurement do not change the answer; `params["c"]` says how far the machine may bend to single
    patients. Both candidates put the median of the training rows where a value is missing.
    """
    if params["kind"] == "weak":
        texture = data.feature_names.index("mean_texture")
        model = make_pipeline(
            ColumnTransformer([("texture", SimpleImputer(strategy="median"), [texture])]),
            DecisionTreeClassifier(max_depth=1, random_state=seed),
        )
    elif params["kind"] == "strong":
        linear = LogisticRegression(C=0.5, random_state=seed)
        bend = SVC(C=params.get("c", 5.0), gamma=0.01, random_state=seed)
        machine = CalibratedClassifierCV(bend, ensemble=False, cv=5)
        model = make_pipeline(
            SimpleImputer(strategy="median"),
            StandardScaler(),
            # skl2onnx exports soft votes that are not flattened.
            VotingClassifier([("linear", linear), ("machine", machine)], voting="soft", flatten_transform=False),
        )
    else:
        raise ValueError(f"params.kind is {params['kind']!r}; this recipe knows weak and strong")
    return model.fit(data.train.features, data.train.labels)
