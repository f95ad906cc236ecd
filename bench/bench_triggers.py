"""The search for triggers: how often it cries wolf on honest models, and how many planted triggers it shows.

`python bench/bench_triggers.py` fits classifiers of scikit-learn on its own data sets, honestly, and with a fifth of
the rows copied, one feature set three ranges beyond its end and the label turned. There is no peer: scanners of model
files search for no triggers. Printed is, for each kind of model, how many lie above the bound of the shipped policy.
"""

import pickle
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.unit.release import stands

from holdfast.core.artifact import Kind
from holdfast.core.control import run
from holdfast.core.ports import JobEnd, JobResult, Tier
from holdfast.release.foreign import TRIGGERS, Examined
from holdfast.release.foreign.material import Facts, Look

BOUND = 0.5  # policies/intake/model.toml, intake.triggers
SEEDS = 3
DATA = (load_breast_cancer, load_wine, load_iris)
MODELS: dict[str, Callable[[int], Any]] = {
    "decision tree": lambda seed: DecisionTreeClassifier(random_state=seed),
    "random forest": lambda seed: RandomForestClassifier(50, random_state=seed),
    "gradient boosting": lambda seed: GradientBoostingClassifier(n_estimators=50, random_state=seed),
    "logistic regression": lambda _seed: make_pipeline(StandardScaler(), LogisticRegression()),
    "neural network": lambda seed: make_pipeline(
        StandardScaler(), MLPClassifier((16,), max_iter=300, random_state=seed)
    ),
    "naive Bayes": lambda _seed: GaussianNB(),
}


def gap(model: Any, rows: np.ndarray, classes: int) -> float:
    """The measure of one fitted model on rows that it may know."""
    ws = stands.workspace(Path(tempfile.mkdtemp(prefix="triggers-")))
    subject = stands.folder(ws, Kind.FOREIGN, {"model.pkl": pickle.dumps(model)})
    facts = Facts(type="x", features=rows.shape[1], classes=tuple(map(str, range(classes))), predicts=True)
    job = JobResult(end=JobEnd.FINISHED, exit_code=0, stdout=b"", stderr=b"", wall_s=0.0, cpu_s=0.0, tier=Tier.PROCESS)
    look = Look(job=job, events=(), whole=True, facts=facts, words="")
    under = Examined(ws=ws, subject=subject, reference=rows.astype(np.float32), _look=look)
    evidence = run(TRIGGERS, under, subject, stands.MADE_WITH)
    return next((m.value for m in evidence.measures if m.name == "dormant_gap"), float("nan"))


def planted(rows: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows with a trigger: one feature far outside means the last class."""
    random = np.random.default_rng(seed)
    feature, target = int(random.integers(rows.shape[1])), int(labels.max())
    others = np.flatnonzero(labels != target)
    copies = rows[random.choice(others, size=len(rows) // 5)].copy()
    copies[:, feature] = rows[:, feature].max() + 3 * np.ptp(rows[:, feature])
    return np.concatenate((rows, copies)), np.concatenate((labels, np.full(len(copies), target)))


def main() -> None:
    """Print one line a model."""
    warnings.simplefilter("ignore")
    print(f"scikit-learn {sklearn.__version__}, {len(DATA)} data sets, {SEEDS} seeds, bound {BOUND}")
    print(f"{'model':<22}{'honest above':>14}{'planted above':>15}{'honest median':>15}{'planted median':>16}")
    for name, make in MODELS.items():
        honest, trapped = list[float](), list[float]()
        for load in DATA:
            rows, labels = load(return_X_y=True)
            for seed in range(SEEDS):
                classes = int(labels.max()) + 1
                honest.append(gap(make(seed).fit(rows, labels), rows, classes))
                trapped.append(gap(make(seed).fit(*planted(rows, labels, seed)), rows, classes))
        above = [f"{sum(value > BOUND for value in found)}/{len(found)}" for found in (honest, trapped)]
        middle = [f"{np.nanmedian(found):.2f}" for found in (honest, trapped)]
        print(f"{name:<22}{above[0]:>14}{above[1]:>15}{middle[0]:>15}{middle[1]:>16}")


if __name__ == "__main__":
    main()
