"""Real rows for attacks on a gateway: what models learn from, what honest clients send, and models to attack.

The rows are shared public data (`HOLDFAST_DATA`, by default `../shared/data` beside a checkout). A quarter of each set
is what honest clients send: neither a model nor the gateway's measure of nearness has seen it.
"""

import csv
import gzip
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DATA: Final = Path(os.environ.get("HOLDFAST_DATA", Path(__file__).parents[2] / "shared" / "data"))
SETS: Final = ("elec", "spambase", "adult", "mnist")
_FILES: Final = {"elec": "elec.csv", "spambase": "spambase.csv", "adult": "adult-train.csv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attacked:
    """A model and its rows: `known` is what the gateway's measure may be fitted on, `sent` what honest clients send."""

    name: str
    document: bytes  # ONNX
    classes: int
    learned: NDArray[np.float32]
    learned_labels: NDArray[np.int64]
    known: NDArray[np.float32]
    known_answers: NDArray[np.int64]
    sent: NDArray[np.float32]
    sent_answers: NDArray[np.int64]
    sent_labels: NDArray[np.int64]
    ordered: bool  # the rows were recorded one after the other


def rows_of(name: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return rows and labels in their stored order; words become numbers by their alphabetical order."""
    if name == "mnist":
        images = gzip.decompress((DATA / "mnist-10k-images-idx3-ubyte.gz").read_bytes())
        labels = gzip.decompress((DATA / "mnist-10k-labels-idx1-ubyte.gz").read_bytes())
        pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 784).astype(np.float32) / np.float32(255)
        return pixels, np.frombuffer(labels, np.uint8, offset=8).astype(np.int64)
    with (DATA / _FILES[name]).open(encoding="utf-8", newline="") as file:
        table = [[value.strip() for value in row] for row in csv.reader(file) if row][1:]
    columns = [_numbers(column) for column in zip(*table, strict=True)]
    return np.stack(columns[:-1], axis=1).astype(np.float32), columns[-1].astype(np.int64)


def _numbers(column: tuple[str, ...]) -> NDArray[np.float64]:
    try:
        return np.array([float(value) for value in column])
    except ValueError:
        return np.unique(np.array(column), return_inverse=True)[1].astype(np.float64)


def attacked(name: str, seed: int = 0) -> Attacked:
    """Train a model on half of a set, and split the rest: what is known of it, and what honest clients send."""
    rows, labels = rows_of(name)
    ordered = name == "elec"
    if not ordered:
        order = np.random.default_rng(seed).permutation(len(rows))
        rows, labels = rows[order], labels[order]
    half, most = len(rows) // 2, 3 * len(rows) // 4
    fitted = _model(name, rows[:half], labels[:half], seed)
    known, sent = rows[half:most], rows[most:]
    return Attacked(
        name=name,
        document=_onnx(fitted, rows.shape[1]),
        classes=len(np.unique(labels)),
        learned=rows[:half],
        learned_labels=labels[:half],
        known=known,
        known_answers=fitted.predict(known).astype(np.int64),
        sent=sent,
        sent_answers=fitted.predict(sent).astype(np.int64),
        sent_labels=labels[most:],
        ordered=ordered,
    )


def _model(name: str, rows: NDArray[np.float32], labels: NDArray[np.int64], seed: int) -> Any:
    if name == "mnist":
        from sklearn.neural_network import MLPClassifier

        return MLPClassifier((100,), max_iter=30, random_state=seed).fit(rows, labels)
    from sklearn.ensemble import GradientBoostingClassifier

    draw = np.random.default_rng(seed).permutation(len(rows))[:6000]
    return GradientBoostingClassifier(n_estimators=60, random_state=seed).fit(rows[draw], labels[draw])


def _onnx(fitted: Any, columns: int) -> bytes:
    from skl2onnx import to_onnx

    made = to_onnx(fitted, np.zeros((1, columns), np.float32), options={"zipmap": False}, target_opset=17)
    names = {made.graph.input[0].name: "input", made.graph.output[0].name: "label"}
    names[made.graph.output[1].name] = "probabilities"
    for node in made.graph.node:
        node.input[:] = [names.get(each, each) for each in node.input]
        node.output[:] = [names.get(each, each) for each in node.output]
    for entry in (*made.graph.input, *made.graph.output):
        entry.name = names[entry.name]
    return bytes(made.SerializeToString())
