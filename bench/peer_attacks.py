"""Attacks by others on a real endpoint: `peer_attacks.py CONFIG`, in the environment of the peers.

Foolbox and the Adversarial Robustness Toolbox know nothing of the gateway: they ask a function for labels, and each row
they ask about is one HTTP request. `adaptive` is ours, after OARS (Feng et al., CCS 2023): told that it was refused, it
takes larger steps and another identity. Prints one line of JSON for each target. A distance is the L2 norm over columns
scaled to their range.
"""

import contextlib
import http.client
import json
import sys
import warnings
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

warnings.simplefilter("ignore")


Rows = NDArray[np.float64]


class Stopped(Exception):
    """The gateway has refused, or the budget is used up."""


class Oracle:
    """One target's endpoint: labels for rows of columns in 0 to 1."""

    def __init__(self, config: dict[str, Any], original: Rows, label: int) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", config["port"])
        self.low, self.high = np.array(config["low"]), np.array(config["high"])
        self.keys, self.turn, self.each = config["keys"], 0, config["rows_for_each_key"]
        self.budget, self.patient = config["budget"], False
        self.original, self.label = original, label
        self.queries, self.refused, self.best = 0, 0, float("inf")

    def ask(self, row: Rows) -> int | None:
        """Return the label of one row, or None if it was refused."""
        if self.queries >= self.budget:
            raise Stopped("budget")
        self.queries += 1
        if self.each and self.queries % self.each == 0:
            self.turn = (self.turn + 1) % len(self.keys)
        flat = np.clip(np.asarray(row, dtype=np.float64).ravel(), 0, 1)
        values = (self.low + flat * (self.high - self.low)).tolist()
        tensor = {"name": "input", "shape": [1, len(values)], "datatype": "FP64", "data": values}
        headers = {"Authorization": "Bearer " + self.keys[self.turn]}
        self.connection.request("POST", "/v2/models/tiny/infer", json.dumps({"inputs": [tensor]}), headers)
        response = self.connection.getresponse()
        document = json.loads(response.read())
        if response.status != 200:
            self.refused += 1
            if not self.patient:
                raise Stopped(document["error"])
            return None
        label = int(document["outputs"][0]["data"][0][1:])
        if label != self.label:
            self.best = min(self.best, float(np.linalg.norm(flat - self.original.ravel())))
        return label

    def labels(self, rows: Rows) -> NDArray[np.int64]:
        """Return the labels of rows."""
        return np.array([self.ask(row) for row in rows])


def foolbox_attack(name: str, oracle: Oracle, original: Rows, label: int, classes: int) -> None:
    """Run one of foolbox's attacks that ask for labels only."""
    foolbox, attacks = import_module("foolbox"), import_module("foolbox.attacks")

    def scores(inputs: Any) -> Any:
        found = oracle.labels(np.asarray(getattr(inputs, "raw", inputs)))
        return np.eye(classes, dtype=np.float32)[found]

    model = foolbox.models.NumPyModel(scores, bounds=(0, 1))
    start = attacks.LinearSearchBlendedUniformNoiseAttack(directions=200, steps=20)
    made = {
        "boundary": lambda: attacks.BoundaryAttack(init_attack=start, steps=5000),
        "hopskipjump": lambda: attacks.HopSkipJumpAttack(init_attack=start, steps=40),
        "pointwise": lambda: attacks.PointwiseAttack(init_attack=start),
        "blended-noise": lambda: start,
        "salt-and-pepper": lambda: attacks.SaltAndPepperNoiseAttack(steps=500),
        "gaussian-noise": lambda: attacks.L2RepeatedAdditiveGaussianNoiseAttack(repeats=500),
    }[name]()
    inputs = original[None].astype(np.float32)
    if name == "salt-and-pepper":
        side = int(len(original.ravel()) ** 0.5)
        if side * side != original.size:
            raise NotImplementedError("for images")
        inputs = original.reshape(1, 1, side, side).astype(np.float32)
    made(
        model,
        inputs,
        foolbox.criteria.Misclassification(np.array([label])),
        epsilons=[1.0] if name == "gaussian-noise" else None,
    )


def art_attack(name: str, oracle: Oracle, original: Rows, label: int, classes: int) -> None:
    """Run one of ART's attacks that ask for labels only."""
    evasion = import_module("art.attacks.evasion")
    estimators = import_module("art.estimators.classification")

    def predict(rows: Rows) -> Any:
        return np.eye(classes, dtype=np.float32)[oracle.labels(rows)]

    model = estimators.BlackBoxClassifierNeuralNetwork(
        predict, original.shape, classes, clip_values=(0, 1), channels_first=True
    )
    made = {
        "hopskipjump": lambda: evasion.HopSkipJump(model, targeted=False, max_iter=40, verbose=False),
        "boundary": lambda: evasion.BoundaryAttack(model, targeted=False, max_iter=500, verbose=False),
        "sign-opt": lambda: evasion.SignOPTAttack(model, targeted=False, verbose=False),
        "geoda": lambda: evasion.GeoDA(model, max_iter=2000, verbose=False),
        "square": lambda: evasion.SquareAttack(model, norm=2, eps=1.0, max_iter=1000, verbose=False),
        "zoo": lambda: evasion.ZooAttack(
            model, max_iter=10, nb_parallel=1, use_resize=False, use_importance=False, verbose=False
        ),
        "simba": lambda: evasion.SimBA(model, attack="px", max_iter=1000, verbose=False),
    }[name]()
    rows = original[None].astype(np.float32)
    side = int(original.size**0.5)
    if name in {"geoda", "square", "simba"}:  # they take images
        if side * side != original.size:
            raise NotImplementedError("for images")
        rows = rows.reshape(1, 1, side, side)
    made.generate(rows, np.eye(classes)[[label]])


def adaptive(oracle: Oracle, original: Rows, label: int, draw: np.random.Generator, starts: Rows) -> None:  # noqa: C901 - an attack in one piece
    """Walk along the boundary with steps as large as the gateway makes them: refused, take larger ones."""
    oracle.patient = True
    # An honest-looking start: a real row of another class, which an attacker has.
    best = starts[int(np.linalg.norm(starts - original, axis=1).argmin())]
    size, losses = 0.02, 0

    def ask(row: Rows) -> int | None:
        nonlocal losses
        for _ in range(2):
            found = oracle.ask(row)
            if found is not None:
                losses = 0
                return found
            oracle.turn = (oracle.turn + 1) % len(oracle.keys)
            losses += 1
            if losses > 6 * max(2, len(oracle.keys)):
                raise Stopped("every identity is refused")
        return None

    while ask(best) is None:
        best = starts[draw.integers(len(starts))]
    while True:
        gap = float(np.linalg.norm(best - original))
        low, high = 0.0, 1.0  # towards the original, no finer than the steps that pass
        while (high - low) * gap > max(size, 0.01 * gap):
            middle = (low + high) / 2
            found = ask(original + middle * (best - original))
            if found is None:
                size *= 1.5
                break
            low, high = (middle, high) if found == label else (low, middle)
        best = original + high * (best - original)
        gap = float(np.linalg.norm(best - original))
        votes = np.zeros_like(original)
        for _ in range(40):
            turned = draw.standard_normal(original.shape)
            turned *= size / np.linalg.norm(turned)
            found = ask(best + turned)
            if found is None:
                size *= 1.5
                continue
            votes += turned if found != label else -turned
        if not votes.any():
            continue
        step = gap / 2
        while step > size / 2:
            proposed = np.clip(best + step * votes / np.linalg.norm(votes), 0, 1)
            found = ask(proposed)
            if found is not None and found != label:
                best = proposed
                break
            step /= 2


def main() -> None:
    """Attack each target in turn, and tell what became of it."""
    with open(sys.argv[1], encoding="utf-8") as file:  # noqa: PTH123
        config = json.load(file)
    targets = np.load(config["targets"])
    for number in config["numbers"]:
        original, label = targets["rows"][number].astype(np.float64), int(targets["labels"][number])
        oracle = Oracle({**config, "keys": config["keys"][number % len(config["keys"])]}, original, label)
        np.random.seed(number)  # noqa: NPY002 - the libraries draw from it
        library, _, name = config["attack"].partition("/")
        ended, others = "finished", targets["others"][targets["other_labels"] != label]
        start = float(np.linalg.norm(others - original, axis=1).min())
        try:
            if library == "adaptive":
                adaptive(oracle, original, label, np.random.default_rng(number), others)
            else:
                run = foolbox_attack if library == "foolbox" else art_attack
                with contextlib.redirect_stdout(sys.stderr):
                    run(name, oracle, original, label, config["classes"])
        except Stopped as stopped:
            ended = "budget" if str(stopped) == "budget" else "stopped"
        except Exception as error:  # noqa: BLE001 - a library's own defect is told, not hidden
            ended = f"{type(error).__name__}: {error}"[:150]
        told = {
            "queries": oracle.queries,
            "refused": oracle.refused,
            "best": oracle.best,
            "ended": ended,
            "start": start,
        }
        sys.stdout.write(json.dumps(told) + "\n")
        sys.stdout.flush()
        sys.stdin.readline()  # go on when told to


if __name__ == "__main__":
    main()
