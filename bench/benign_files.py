"""Benign model files for the scan's benchmark: `python bench/benign_files.py FOLDER [ROUNDS]`.

Uses whatever the interpreter that runs it has of scikit-learn, numpy, scipy, pandas, XGBoost, LightGBM and torch, with
rows, settings and combinations drawn by seed: not the objects from which `scripts/allow_list.py` makes the allow-list.
"""

import importlib
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

SEED: Final = 4242
COMPRESSORS: Final = (0, ("zlib", 3), ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1), ("lz4", 3))


def library(name: str) -> Any:
    """Return a library, or nothing where this environment lacks it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _sklearn(rng: Any) -> Iterator[Any]:
    from sklearn import (
        cluster,
        decomposition,
        ensemble,
        feature_selection,
        gaussian_process,
        impute,
        linear_model,
        naive_bayes,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )

    x = rng.normal(size=(int(rng.integers(60, 200)), int(rng.integers(3, 12))))
    y, t = rng.integers(0, int(rng.integers(2, 5)), len(x)), rng.normal(size=len(x))
    few, depth = int(rng.integers(2, 12)), int(rng.integers(2, 8))
    scaler = rng.choice([preprocessing.StandardScaler, preprocessing.MinMaxScaler, preprocessing.RobustScaler])
    voters = [("a", tree.DecisionTreeClassifier()), ("b", naive_bayes.GaussianNB())]
    makers: list[Callable[[], Any]] = [
        lambda: ensemble.RandomForestClassifier(few, max_depth=depth).fit(x, y),
        lambda: ensemble.ExtraTreesRegressor(few, max_depth=depth).fit(x, t),
        lambda: ensemble.GradientBoostingClassifier(n_estimators=few).fit(x, y),
        lambda: ensemble.HistGradientBoostingRegressor(max_iter=few).fit(x, t),
        lambda: ensemble.BaggingClassifier(svm.LinearSVC(), n_estimators=few).fit(x, y),
        lambda: ensemble.VotingClassifier(voters).fit(x, y),
        lambda: ensemble.IsolationForest(n_estimators=few).fit(x),
        lambda: pipeline.make_pipeline(scaler(), decomposition.PCA(2), linear_model.LogisticRegression()).fit(x, y),
        lambda: pipeline.make_pipeline(impute.SimpleImputer(), scaler(), svm.SVR(C=2.5)).fit(x, t),
        lambda: neighbors.KNeighborsClassifier(few).fit(x, y),
        lambda: neural_network.MLPClassifier((few, depth), max_iter=5).fit(x, y),
        lambda: gaussian_process.GaussianProcessRegressor(gaussian_process.kernels.RBF(depth)).fit(x, t),
        lambda: cluster.KMeans(3, n_init=2).fit(x),
        lambda: decomposition.TruncatedSVD(2).fit(x),
        lambda: linear_model.SGDRegressor(loss="huber").fit(x, t),
        lambda: feature_selection.SelectPercentile(feature_selection.f_classif, percentile=40).fit(x, y),
        lambda: preprocessing.QuantileTransformer(n_quantiles=few).fit(x),
        lambda: {"model": linear_model.Lasso(0.1).fit(x, t), "columns": ["c1", "c2"], "at": t[:5]},
    ]
    for make in makers:
        yield make()


def _arrays(rng: Any) -> Iterator[Any]:
    np, sparse, pd = library("numpy"), library("scipy.sparse"), library("pandas")
    yield rng.normal(size=(50, int(rng.integers(1, 9)))).astype(rng.choice(["f4", "f8", "i8"]))
    yield {"weights": [rng.normal(size=4) for _ in range(5)], "names": np.array(["a", "bc", None], dtype=object)}
    yield np.array([("x", 1.5)], dtype=[("name", "U8"), ("value", "f8")])
    if sparse is not None:
        yield sparse.random(40, 30, 0.1, format=str(rng.choice(["csr", "csc", "coo"])))
    if pd is not None:
        frame = pd.DataFrame(rng.normal(size=(30, 3)), columns=list("xyz"))
        kind, when = pd.Categorical(rng.choice(["p", "q"], 30)), pd.date_range("2025-05-01", periods=30)
        yield frame.assign(kind=kind, when=when)
        yield frame["x"].rolling(3).mean()


def _boosted(rng: Any) -> Iterator[Any]:
    xgboost, lightgbm = library("xgboost"), library("lightgbm")
    x, y = rng.normal(size=(120, 6)), rng.integers(0, 2, 120)
    few, depth = int(rng.integers(2, 12)), int(rng.integers(2, 6))
    if xgboost is not None:
        yield xgboost.XGBClassifier(n_estimators=few, max_depth=depth).fit(x, y)
        yield xgboost.XGBRegressor(n_estimators=few, subsample=0.7).fit(x, x[:, 0])
        yield xgboost.train({"max_depth": depth, "objective": "binary:logistic"}, xgboost.DMatrix(x, y), few)
    if lightgbm is not None:
        yield lightgbm.LGBMClassifier(n_estimators=few, num_leaves=5, verbose=-1).fit(x, y)
        yield lightgbm.train({"num_leaves": 4, "verbose": -1}, lightgbm.Dataset(x, y), few)


def _torch(rng: Any) -> Iterator[Any]:
    torch = library("torch")
    if torch is None:
        return
    nn, width = torch.nn, int(rng.integers(3, 30))
    net = nn.Sequential(nn.Linear(4, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, 2))
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net(torch.zeros(3, 4)).sum().backward()
    optimiser.step()
    yield net.state_dict()
    yield net
    yield {"epoch": 3, "state": net.state_dict(), "optimizer": optimiser.state_dict(), "best": 0.7}
    yield nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).half()
    yield torch.nn.Parameter(torch.randn(width))


def write(folder: Path, rounds: int) -> int:
    """Write files of every kind and return how many."""
    import numpy as np

    joblib, torch, count = library("joblib"), library("torch"), 0
    for number in range(rounds):
        rng = np.random.default_rng(SEED + number)
        for make in (_sklearn, _arrays, _boosted, _torch):
            for index, thing in enumerate(make(rng)):
                name = f"{number:03d}-{make.__name__[1:]}-{index:02d}"
                protocol = int(rng.integers(0, 6))
                (folder / f"{name}.pkl").write_bytes(pickle.dumps(thing, protocol))
                count += 1
                if joblib is not None and make is not _torch:
                    how = COMPRESSORS[int(rng.integers(len(COMPRESSORS)))]
                    if how == 0 or library("lz4") or how[0] != "lz4":  # type: ignore[index]
                        joblib.dump(thing, folder / f"{name}.joblib", compress=how)
                        count += 1
                if torch is not None and make is _torch:
                    torch.save(thing, folder / f"{name}.pt", _use_new_zipfile_serialization=bool(number % 4))
                    count += 1
        np.savez(folder / f"{number:03d}.npz", a=rng.normal(size=5), b=np.array(["x", None], dtype=object))
        np.save(folder / f"{number:03d}.npy", rng.normal(size=(3, 4)))
        count += 2
    return count


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    print(write(where, int(sys.argv[2]) if len(sys.argv) > 2 else 20))
