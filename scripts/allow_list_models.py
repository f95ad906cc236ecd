"""Benign objects of every kind that people keep in model files, as far as the libraries here can make them.

Each maker yields objects; what a library of this environment does not have is left out.
"""

import collections
import datetime as dt
import decimal
import fractions
import importlib
import inspect
import pathlib
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

SEED: Final = 7


def _import(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _tried(makers: "list[Callable[[], Any]]") -> Iterator[Any]:
    """Yield what can be made here: a class of another version is no reason to stop."""
    for make in makers:
        try:
            made = make()
        except Exception:  # noqa: BLE001, S112 - see above
            continue
        yield made


def python_values() -> Iterator[Any]:
    """Values of the standard library that lie in model files: settings, labels, times."""
    yield {
        "text": "ü",
        "bytes": b"\x80\xff",
        "array": bytearray(b"abc"),
        "none": None,
        "truth": [True, False],
        "numbers": [1, -1, 2**31, 2**100, 1.5, complex(1, 2)],
        "nested": {"tuple": (1, 2, 3, 4), "set": {1, 2}, "frozen": frozenset({1})},
        "empty": (b"", bytearray(), set(), frozenset(), (), [], {}),
        "slice": slice(1, 2, 3),
        "range": range(10),
    }
    yield [bytes([byte]) for byte in range(256)] + [b"a" * 300, "a" * 300, "a" * 70000, b"a" * 70000]
    counter = collections.Counter("abca")
    yield [collections.OrderedDict(a=1), collections.OrderedDict(), counter, collections.deque([1, 2], maxlen=3)]
    yield [collections.deque([1]), collections.deque(), collections.Counter()]
    yield [collections.defaultdict(list, a=[1]), collections.defaultdict(int), collections.defaultdict(dict)]
    yield [collections.defaultdict(set), collections.defaultdict(float), collections.defaultdict(str)]
    yield [
        dt.datetime(2024, 1, 2, 3, 4, 5, 6),  # noqa: DTZ001 - models hold such
        dt.date(2024, 1, 2),
        dt.time(1, 2),
    ]
    yield [dt.timedelta(days=1), dt.datetime(2024, 1, 2, tzinfo=dt.UTC), dt.UTC]
    yield [dt.timezone(dt.timedelta(hours=1))]
    yield [decimal.Decimal("1.5"), fractions.Fraction(1, 3), uuid.UUID(int=1)]
    yield [pathlib.PurePosixPath("a/b"), int, float, str, bool, list, dict, tuple, object, bytes, complex, set]


def numpy_values() -> Iterator[Any]:
    """Arrays of every kind, scalars, dtypes, generators."""
    np = _import("numpy")
    if np is None:
        return
    kinds = [*"?bBhHiIlLqQefdgFDGO", "S5", "U5", "V3", "M8[ns]", "m8[s]", "M8[D]"]
    for each in kinds:
        for shape in ((), (0,), (3,), (2, 3)):
            yield from _tried([partial(lambda each, shape: np.zeros(shape, dtype=each), each, shape)])
        yield np.dtype(each)
        yield from _tried([partial(lambda each: np.zeros(1, dtype=each)[0], each)])
        yield from _tried([partial(lambda each: np.asfortranarray(np.zeros((2, 3), dtype=each)), each)])
        yield from _tried([partial(lambda each: np.zeros(2, dtype=np.dtype(each).newbyteorder()), each)])
    record = np.dtype([("a", "<f8"), ("b", "<i4", (2,)), ("c", "S3")])
    yield [np.zeros(3, dtype=record), record, np.zeros(3, dtype=record)[0], np.rec.array([(1, 2.0)], names="a,b")]
    yield np.array(["a", None, 1.5, (1, 2)], dtype=object)
    yield np.array([np.zeros(2), {"a": 1}], dtype=object)
    masked = np.ma.array([1.0, 2.0], mask=[True, False])
    yield [np.ma.masked, masked, np.ma.array([1, 2]), np.ma.array(["a", "b"], mask=[True, False])]
    yield [np.matrix([[1, 2]]), np.random.RandomState(SEED), np.random.default_rng(SEED)]
    bits = ("PCG64", "PCG64DXSM", "Philox", "SFC64", "MT19937")
    generators = [getattr(np.random, each) for each in bits]
    yield from _tried([partial(lambda each: np.random.Generator(each(SEED)), each) for each in generators])
    yield from _tried([partial(each, SEED) for each in generators])
    yield from _tried([lambda: np.random.SeedSequence(SEED)])
    names = (
        "float64 float32 float16 int64 int32 int16 int8 uint8 uint16 uint32 uint64 bool_ str_ bytes_ object_ ndarray"
    )
    yield [getattr(np, name) for name in names.split()]
    functions = ["mean", "median", "sum", "max", "min", "std", "exp", "log", "log1p", "expm1", "sqrt", "abs", "tanh"]
    yield [getattr(np, name) for name in functions]
    yield [np.poly1d([1, 2]), np.polynomial.Polynomial([1, 2]), np.arange(3)[::-1], np.broadcast_to(1.0, (2, 2))]


def scipy_values() -> Iterator[Any]:
    """Sparse matrices and arrays, interpolators, distributions, rotations."""
    sparse, np = _import("scipy.sparse"), _import("numpy")
    if sparse is None:
        return
    dense = np.eye(4)
    for kind in ("csr", "csc", "coo", "lil", "dok", "dia", "bsr"):
        for suffix in ("matrix", "array"):
            for data in (dense, dense.astype("float32"), dense.astype("int64"), np.zeros((2, 3))):
                yield from _tried(
                    [partial(lambda kind, suffix, data: getattr(sparse, f"{kind}_{suffix}")(data), kind, suffix, data)]
                )
    interpolate, spatial, stats = (_import(f"scipy.{name}") for name in ("interpolate", "spatial", "stats"))
    x, y = np.arange(8.0), np.arange(8.0) ** 2
    yield from _tried(
        [
            lambda: interpolate.interp1d(x, y),
            lambda: interpolate.CubicSpline(x, y),
            lambda: interpolate.PchipInterpolator(x, y),
            lambda: interpolate.BSpline(x, y[:4], 3),
            lambda: interpolate.make_interp_spline(x, y),
            lambda: interpolate.UnivariateSpline(x, y),
            lambda: interpolate.RegularGridInterpolator((x, x), np.outer(y, y)),
            lambda: interpolate.PPoly.from_spline(interpolate.splrep(x, y)),
            lambda: spatial.cKDTree(dense),
            lambda: spatial.KDTree(dense),
            lambda: spatial.transform.Rotation.from_euler("x", 1.0),
            lambda: stats.norm(0, 1),
            lambda: stats.gaussian_kde(y),
            lambda: stats.randint(1, 5),
            lambda: stats.uniform(0, 1),
            stats.expon,
            lambda: _import("scipy.optimize").OptimizeResult(x=x, success=True),
        ]
    )


def pandas_values() -> Iterator[Any]:
    """Frames, series and indices of every dtype."""
    pd, np = _import("pandas"), _import("numpy")
    if pd is None:
        return
    times = pd.date_range("2024-01-01", periods=3)
    columns: dict[str, Callable[[], Any]] = {
        "int": lambda: [1, 2, 3],
        "float": lambda: [1.0, None, 3.0],
        "text": lambda: ["a", "b", None],
        "truth": lambda: [True, False, True],
        "category": lambda: pd.Categorical(["a", "b", "a"]),
        "ordered": lambda: pd.Categorical([1, 2, 1], ordered=True),
        "time": lambda: times,
        "zone": lambda: times.tz_localize("UTC"),
        "delta": lambda: pd.to_timedelta([1, 2, 3], unit="D"),
        "nullable": lambda: pd.array([1, None, 3], dtype="Int64"),
        "nullable float": lambda: pd.array([1.5, None, 3], dtype="Float64"),
        "boolean": lambda: pd.array([True, None, False], dtype="boolean"),
        "string": lambda: pd.array(["a", None, "b"], dtype="string"),
        "period": lambda: pd.period_range("2024-01", periods=3, freq="M"),
        "interval": lambda: pd.interval_range(0, 3),
        "sparse": lambda: pd.arrays.SparseArray([0, 0, 1]),
    }
    whole = {}
    for name, make in columns.items():
        for made in _tried([make]):
            whole[name] = made
            yield from _tried([partial(pd.Series, made), partial(pd.Index, made)])
            yield from _tried(
                [partial(lambda made, name: pd.DataFrame({name: made}), made, name), partial(lambda made: made, made)]
            )
    yield from _tried([lambda: pd.DataFrame(whole), pd.DataFrame, lambda: pd.Series(dtype=float)])
    yield from _tried(
        [
            lambda: pd.DataFrame(np.eye(3), columns=list("abc"), index=times),
            lambda: pd.DataFrame(np.eye(3)).set_index([0, 1]),
            lambda: pd.MultiIndex.from_product([["a", "b"], [1, 2]]),
            lambda: pd.RangeIndex(5),
            lambda: pd.Timestamp("2024-01-01"),
            lambda: pd.Timestamp("2024-01-01", tz="UTC"),
            lambda: pd.Timedelta(days=1),
            lambda: pd.Period("2024-01"),
            lambda: pd.Interval(0, 1),
            lambda: [pd.NA, pd.NaT],
            lambda: pd.CategoricalDtype(["a"]),
            lambda: [pd.Int64Dtype(), pd.StringDtype(), pd.BooleanDtype(), pd.Float32Dtype()],
            pd.offsets.Day,
            pd.offsets.MonthEnd,
        ]
    )


def sklearn_models() -> Iterator[Any]:
    """Every estimator that can be fitted on a few rows, unfitted ones, and what contains others."""
    if _import("sklearn") is None:
        return
    import numpy as np
    from sklearn.base import clone
    from sklearn.datasets import make_classification, make_regression
    from sklearn.utils import all_estimators

    inputs, labels = make_classification(n_samples=60, n_features=6, n_informative=4, n_classes=3, random_state=SEED)
    _, numbers = make_regression(n_samples=60, n_features=6, random_state=SEED)
    inputs = np.abs(inputs)
    targets: list[tuple[Any, Any]] = [
        (inputs, labels),
        (inputs, numbers),
        (inputs.astype("float32"), labels == 0),
        (inputs, labels.astype(str)),
        (inputs, None),
        (inputs, np.column_stack([numbers, numbers])),
        (["a b c", "b c d", "a d"] * 20, labels),
        ([{"a": 1, "b": "x"}, {"a": 2.5}] * 30, labels),
        (labels, None),
        (labels.astype(str), None),
        (numbers, numbers),
        ([(1, 2), (3,)] * 30, None),
        (inputs[:, :1], numbers),
        (inputs.round(), labels),
    ]
    for _, cls in all_estimators():
        for made in _tried([cls, partial(_wrapping, cls)]):
            yield made
            for x, y in targets:
                yield from _tried(
                    [
                        partial(
                            lambda made, x, y: clone(made).fit(x, y) if y is not None else clone(made).fit(x),
                            made,
                            x,
                            y,
                        )
                    ]
                )
    yield from _tried(_compositions(inputs, labels, numbers))


def _wrapping(cls: Any) -> Any:
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.preprocessing import StandardScaler

    named = inspect.signature(cls).parameters
    one = Ridge() if "Regress" in cls.__name__ else LogisticRegression()
    if "estimators" in named:
        return cls([("a", one), ("b", clone_of(one))])
    if "transformers" in named:
        return cls([("a", StandardScaler(), [0, 1])])
    if "transformer_list" in named:
        return cls([("a", StandardScaler())])
    if "steps" in named:
        return cls([("a", StandardScaler()), ("b", one)])
    if "param_grid" in named:
        return cls(one, {"alpha" if "Regress" in cls.__name__ else "C": [0.5, 1.0]})
    return cls(one)


def clone_of(estimator: Any) -> Any:
    """Return an unfitted copy."""
    from sklearn.base import clone

    return clone(estimator)


def _compositions(x: Any, labels: Any, numbers: Any) -> "list[Callable[[], Any]]":
    import numpy as np
    from sklearn import (
        compose,
        ensemble,
        feature_selection,
        gaussian_process,
        impute,
        linear_model,
        model_selection,
        neighbors,
        neural_network,
        pipeline,
        preprocessing,
        svm,
        tree,
    )

    scale, forest = preprocessing.StandardScaler, ensemble.RandomForestClassifier
    grid = {"logisticregression__C": [0.1, 1.0]}
    piped = pipeline.make_pipeline(scale(), linear_model.LogisticRegression())
    kernels = gaussian_process.kernels
    kernel = kernels.ConstantKernel() * kernels.RBF() + kernels.WhiteKernel() + kernels.Matern() * kernels.DotProduct()
    return [
        lambda: piped.fit(x, labels),
        lambda: model_selection.GridSearchCV(piped, grid, cv=3).fit(x, labels),
        lambda: model_selection.GridSearchCV(piped, grid, cv=model_selection.StratifiedKFold(3)).fit(x, labels),
        lambda: model_selection.GridSearchCV(piped, grid, scoring="roc_auc_ovr").fit(x, labels),
        lambda: model_selection.RandomizedSearchCV(piped, grid, n_iter=2, random_state=np.random.RandomState(1)).fit(
            x, labels
        ),
        lambda: compose.make_column_transformer((scale(), [0, 1]), (preprocessing.OneHotEncoder(), [2])).fit(x.round()),
        lambda: compose.make_column_transformer((scale(), slice(0, 2)), ("passthrough", [2]), remainder="drop").fit(x),
        lambda: compose.ColumnTransformer([("a", scale(), compose.make_column_selector(dtype_include=np.number))]),
        lambda: compose.TransformedTargetRegressor(linear_model.Ridge(), func=np.log1p, inverse_func=np.expm1).fit(
            x, np.abs(numbers)
        ),
        lambda: preprocessing.FunctionTransformer(np.log1p).fit(x),
        lambda: pipeline.make_union(scale(), impute.SimpleImputer()).fit(x),
        lambda: forest(n_estimators=3, max_depth=3, class_weight="balanced", random_state=np.random.RandomState(0)).fit(
            x, labels
        ),
        lambda: forest(n_estimators=3, oob_score=True, warm_start=True).fit(x, labels),
        lambda: ensemble.GradientBoostingClassifier(n_estimators=3, subsample=0.5, n_iter_no_change=2).fit(x, labels),
        lambda: ensemble.HistGradientBoostingClassifier(max_iter=3, categorical_features=[0], early_stopping=True).fit(
            x.round(), labels
        ),
        lambda: ensemble.HistGradientBoostingRegressor(max_iter=3, loss="poisson").fit(x, np.abs(numbers)),
        lambda: ensemble.StackingClassifier([("a", forest(2)), ("b", svm.SVC())]).fit(x, labels),
        lambda: ensemble.IsolationForest(n_estimators=2).fit(x),
        lambda: tree.DecisionTreeRegressor(max_depth=2).fit(x, numbers),
        lambda: svm.SVC(probability=True, kernel="linear").fit(x, labels),
        lambda: neighbors.KNeighborsClassifier(algorithm="kd_tree").fit(x, labels),
        lambda: neighbors.KNeighborsClassifier(algorithm="ball_tree", metric="manhattan").fit(x, labels),
        lambda: neighbors.KernelDensity().fit(x),
        lambda: neural_network.MLPClassifier((4,), max_iter=3, early_stopping=True).fit(x, labels),
        lambda: neural_network.MLPRegressor((4,), max_iter=3, solver="sgd").fit(x, numbers),
        lambda: neural_network.MLPRegressor((4,), max_iter=3, solver="lbfgs").fit(x, numbers),
        lambda: gaussian_process.GaussianProcessRegressor(kernel).fit(x, numbers),
        lambda: gaussian_process.GaussianProcessClassifier(kernels.RationalQuadratic()).fit(x, labels),
        lambda: gaussian_process.GaussianProcessRegressor(
            kernels.ExpSineSquared() + kernels.CompoundKernel([kernels.RBF()])
        ),
        lambda: gaussian_process.GaussianProcessRegressor(
            kernels.Exponentiation(kernels.RBF(), 2) + kernels.PairwiseKernel()
        ),
        lambda: feature_selection.SelectKBest(feature_selection.f_classif, k=2).fit(x, labels),
        lambda: feature_selection.SelectKBest(feature_selection.chi2, k=2).fit(x, labels),
        lambda: feature_selection.SelectKBest(feature_selection.mutual_info_classif, k=2).fit(x, labels),
        lambda: feature_selection.SelectKBest(feature_selection.f_regression, k=2).fit(x, numbers),
        lambda: feature_selection.RFE(linear_model.LogisticRegression()).fit(x, labels),
        lambda: linear_model.SGDClassifier(loss="log_loss").fit(x, labels),
        lambda: linear_model.SGDClassifier(loss="modified_huber", learning_rate="adaptive", eta0=0.1).fit(x, labels),
        lambda: linear_model.SGDRegressor(loss="huber").fit(x, numbers),
        lambda: linear_model.SGDRegressor(loss="epsilon_insensitive").fit(x, numbers),
        lambda: linear_model.SGDClassifier(loss="squared_hinge", early_stopping=True).fit(x, labels),
        lambda: linear_model.SGDClassifier(loss="perceptron", average=True).fit(x, labels),
        lambda: linear_model.LogisticRegressionCV(cv=3).fit(x, labels),
        lambda: linear_model.RidgeCV().fit(x, numbers),
        lambda: preprocessing.KBinsDiscretizer(3, encode="onehot").fit(x),
        lambda: preprocessing.SplineTransformer().fit(x),
        lambda: [model_selection.KFold(3), model_selection.TimeSeriesSplit(3), model_selection.ShuffleSplit(3)],
        lambda: [_import("sklearn.metrics").make_scorer(_import("sklearn.metrics").f1_score, average="macro")],
        lambda: _import("sklearn.datasets").load_iris(),
        lambda: _import("sklearn.utils").Bunch(a=1, b=x),
    ]


def boosted_models() -> Iterator[Any]:
    """XGBoost and LightGBM: boosters, estimators of each task, data sets that can be stored."""
    xgboost, lightgbm, np = _import("xgboost"), _import("lightgbm"), _import("numpy")
    if np is None:
        return
    rng = np.random.default_rng(SEED)
    x, y = rng.random((80, 5)), rng.integers(0, 3, 80)
    if xgboost is not None:
        yield from _tried(
            [
                lambda: xgboost.train({"max_depth": 2}, xgboost.DMatrix(x, y), 3),
                lambda: xgboost.train({"booster": "gblinear"}, xgboost.DMatrix(x, y), 3),
                lambda: xgboost.train({"booster": "dart"}, xgboost.DMatrix(x, y), 3),
                lambda: xgboost.XGBClassifier(n_estimators=3).fit(x, y),
                lambda: xgboost.XGBClassifier(n_estimators=3).fit(x, y == 0),
                lambda: xgboost.XGBClassifier(n_estimators=3, early_stopping_rounds=2).fit(
                    x, y, eval_set=[(x, y)], verbose=False
                ),
                lambda: xgboost.XGBRegressor(n_estimators=3).fit(x, y),
                lambda: xgboost.XGBRegressor(n_estimators=3, random_state=np.random.RandomState(1)).fit(x, y),
                lambda: xgboost.XGBRFClassifier(n_estimators=3).fit(x, y),
                lambda: xgboost.XGBRFRegressor(n_estimators=3).fit(x, y),
                lambda: xgboost.XGBRanker(n_estimators=3).fit(x, y, group=[40, 40]),
                xgboost.XGBClassifier,
                lambda: xgboost.XGBRegressor(callbacks=[xgboost.callback.EarlyStopping(3)]),
            ]
        )
    if lightgbm is not None:
        quiet = {"verbose": -1, "num_leaves": 4}
        yield from _tried(
            [
                lambda: lightgbm.train({**quiet, "objective": "regression"}, lightgbm.Dataset(x, y), 3),
                lambda: lightgbm.train({**quiet, "objective": "multiclass", "num_class": 3}, lightgbm.Dataset(x, y), 3),
                lambda: lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(x, y),
                lambda: lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(x, y == 0),
                lambda: lightgbm.LGBMClassifier(n_estimators=3, verbose=-1, class_weight="balanced").fit(
                    x, y.astype(str)
                ),
                lambda: lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(x, y, eval_set=[(x, y)]),
                lambda: lightgbm.LGBMRegressor(n_estimators=3, verbose=-1).fit(x, y),
                lambda: lightgbm.LGBMRanker(n_estimators=3, verbose=-1).fit(x, y, group=[40, 40]),
                lightgbm.LGBMClassifier,
            ]
        )


def torch_values() -> Iterator[Any]:
    """Tensors of every dtype, parameters, states, modules, optimisers."""
    torch = _import("torch")
    if torch is None:
        return
    torch.manual_seed(SEED)
    dtypes = [each for each in vars(torch).values() if isinstance(each, torch.dtype)]
    for dtype in dtypes:
        yield from _tried([partial(torch.zeros, 3, dtype=dtype), partial(dict, dtype=dtype)])
    yield from _tried(
        [
            lambda: torch.zeros(()),
            lambda: torch.zeros(2, 3).t(),
            lambda: torch.zeros(2, requires_grad=True),
            lambda: torch.nn.Parameter(torch.zeros(2)),
            lambda: torch.nn.Parameter(torch.zeros(2, dtype=torch.int8), requires_grad=False),
            lambda: torch.nn.Buffer(torch.zeros(2)),
            lambda: torch.eye(3).to_sparse(),
            lambda: torch.eye(3).to_sparse_csr(),
            lambda: torch.quantize_per_tensor(torch.zeros(3), 0.1, 0, torch.quint8),
            lambda: torch.quantize_per_channel(torch.zeros(2, 3), torch.ones(2), torch.zeros(2), 0, torch.qint8),
            lambda: torch.zeros(3, dtype=torch.complex64).conj(),
            lambda: torch.zeros(2, device="meta"),
            lambda: torch.Size([1, 2]),
            lambda: [torch.device("cpu"), torch.strided, torch.contiguous_format, torch.get_rng_state()],
            lambda: torch.zeros(3).numpy(),
            lambda: torch.zeros(3).untyped_storage(),
            lambda: collections.OrderedDict(weight=torch.zeros(2)),
        ]
    )
    nn = torch.nn
    for cls in sorted(
        {cls for cls in vars(nn).values() if inspect.isclass(cls) and issubclass(cls, nn.Module)},
        key=lambda c: c.__name__,
    ):
        arguments: list[tuple[Any, ...]] = [(), (4,), (4, 4), (4, 4, 3), (2, 4), (4, 4, 4), (1, 4, 4)]
        for made in list(_tried([partial(lambda cls, given: cls(*given), cls, given) for given in arguments]))[:2]:
            yield made
            yield from _tried([partial(lambda made: made.state_dict(), made), partial(lambda made: made.eval(), made)])
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 2))
    nested = nn.ModuleDict({"a": net, "b": nn.ModuleList([nn.LSTM(4, 4), nn.TransformerEncoderLayer(4, 2)])})
    yield [net, nested, nested.state_dict()]
    yield from _tried([lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)).state_dict()])
    for cls in vars(torch.optim).values():
        if inspect.isclass(cls) and cls is not torch.optim.Optimizer:
            yield from _tried(
                [
                    partial(lambda cls: _stepped(torch, cls, net).state_dict(), cls),
                    partial(lambda cls: _stepped(torch, cls, net), cls),
                ]
            )
    optimiser = torch.optim.SGD(net.parameters(), lr=0.1)
    schedules = torch.optim.lr_scheduler
    yield from _tried(
        [
            lambda: schedules.StepLR(optimiser, 2).state_dict(),
            lambda: schedules.CosineAnnealingLR(optimiser, 2).state_dict(),
        ]
    )
    yield {
        "epoch": 1,
        "model": net.state_dict(),
        "optimizer": optimiser.state_dict(),
        "loss": torch.tensor(0.5),
        "best": 0.5,
    }


def _stepped(torch: Any, cls: Any, net: Any) -> Any:
    optimiser = cls(net.parameters(), lr=0.1)
    net(torch.zeros(2, 4)).sum().backward()
    optimiser.step()
    return optimiser


MAKERS: Final = (
    python_values,
    numpy_values,
    scipy_values,
    pandas_values,
    sklearn_models,
    boosted_models,
    torch_values,
)
