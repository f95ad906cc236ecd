"""What poisoned rows reach against one model, and against models of disjoint subsets that vote.

    python -m bench.bench_subsets [seeds] [data sets…]

The attacker knows all rows, the hash and the learner, and has one victim: a row of another class than the one he wants
it to be answered with. Against one model he turns the labels of the R rows of other classes that lie nearest to the
victim. Against votes he turns, in each of R subsets, the rows nearest to the victim there, one a subset: the subsets
that would still vote for the victim's answer and whose nearest row is nearest. Told are the shares of victims turned,
and the share that the certificate rules out. Learners grow until each leaf is pure (a decision tree) or answer as the
nearest row does; nothing here was tuned, so no seeds are set aside. Real data are found by HOLDFAST_DATA.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from bench.bench_poisoning import SETS, Set
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from holdfast.maths.votes import certified_parts
from holdfast.train.subsets import subset_of

ROWS: Final = 4000  # that are learned from; the certificate grows with the number of subsets they can fill
VICTIMS: Final = 60
SUBSETS: Final = 50
POISONED: Final = (1, 2, 5, 10)
LEARNERS: Final[dict[str, Callable[[], Any]]] = {
    "tree": lambda: DecisionTreeClassifier(random_state=0),
    "nearest": lambda: KNeighborsClassifier(1),
}
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def scaled(data: Set, rng: np.random.Generator) -> tuple[Floats, Ints, Floats, Ints]:
    """Rows to learn from and victims, each column with spread 1."""
    order = rng.permutation(len(data.labels))[: ROWS + VICTIMS]
    features = data.features[order]
    spread = features.std(axis=0)
    features = (features / np.where(spread > 0, spread, 1)).astype(np.float32)
    return features[VICTIMS:], data.labels[order][VICTIMS:], features[:VICTIMS], data.labels[order][:VICTIMS]


class Votes:
    """Models of disjoint subsets; turned labels retrain the subsets that they are in."""

    def __init__(self, learner: Callable[[], Any], rows: Floats, labels: Ints, classes: int) -> None:
        self.learner, self.rows, self.labels, self.classes = learner, rows, labels, classes
        self.where = subset_of(rows, SUBSETS)
        self.models = [self.fit(number, labels) for number in range(SUBSETS)]

    def fit(self, number: int, labels: Ints) -> Any:
        """The model of one subset."""
        own = self.where == number
        return self.learner().fit(self.rows[own], labels[own])

    def said(self, victims: Floats) -> Ints:
        """Each model's answers, shape (subsets, n)."""
        return np.stack([model.predict(victims) for model in self.models])

    def counted(self, said: Ints) -> Ints:
        """Votes, shape (n, classes)."""
        return np.stack([(said == c).sum(axis=0) for c in range(self.classes)], axis=1)

    def attacked(self, victim: Floats, said: Ints, wanted: int, many: int) -> int:
        """The answer to a victim once so many labels are turned."""
        answer = int(np.bincount(said, minlength=self.classes).argmax())
        distance = ((self.rows - victim) ** 2).sum(axis=1)
        distance[self.labels == wanted] = np.inf
        ways = []
        for number in np.flatnonzero(said == answer).tolist():
            own = np.flatnonzero(self.where == number)
            near = own[distance[own].argmin()]
            ways.append((float(distance[near]), number, int(near)))
        after = said.copy()
        for _, number, near in sorted(ways)[:many]:
            labels = self.labels.copy()
            labels[near] = wanted
            after[number] = self.fit(number, labels).predict(victim[None])[0]
        return int(np.bincount(after, minlength=self.classes).argmax())


def alone(learner: Callable[[], Any], rows: Floats, labels: Ints, victim: Floats, wanted: int, many: int) -> int:
    """The answer of one model to a victim once the labels nearest to it are turned."""
    distance = ((rows - victim) ** 2).sum(axis=1)
    distance[labels == wanted] = np.inf
    turned = labels.copy()
    turned[np.argsort(distance)[:many]] = wanted
    return int(learner().fit(rows, turned).predict(victim[None])[0])


def compared(name: str, data: Set, kind: str, seed: int) -> None:
    """Print one data set, one learner, one seed."""
    rng = np.random.default_rng((seed, 9))
    rows, labels, victims, truth = scaled(data, rng)
    learner = LEARNERS[kind]
    one = learner().fit(rows, labels).predict(victims)
    votes = Votes(learner, rows, labels, data.classes)
    said = votes.said(victims)
    counted = votes.counted(said)
    radius, answers = certified_parts(counted), counted.argmax(axis=1)
    wanted = np.array([(c + 1 + rng.integers(data.classes - 1)) % data.classes for c in truth])
    able = (one != wanted) & (answers != wanted)
    right = f"right {np.mean(one == truth):.2f} alone, {np.mean(answers == truth):.2f} by votes"
    print(f"{name:9} {kind:8} seed {seed}: {right}")
    for many in POISONED:
        singles, together = [], []
        for v in np.flatnonzero(able):
            singles.append(alone(learner, rows, labels, victims[v], int(wanted[v]), many) == wanted[v])
            got = votes.attacked(victims[v], said[:, v], int(wanted[v]), many)
            together.append(got == wanted[v])
            assert many > radius[v] or got == answers[v], "a certificate was broken"
        ruled = float((radius[able] >= many).mean())
        print(
            f"    {many:3} rows: {np.mean(singles):.2f} of {able.sum()} victims turned alone, {np.mean(together):.2f} "
            f"by votes; ruled out for {ruled:.2f}",
            flush=True,
        )


def main(seeds: int, names: list[str]) -> None:
    """Print every data set with every learner."""
    for name in names:
        try:
            data = SETS[name]()
        except FileNotFoundError:
            print(f"{name}: not here, skipped")
            continue
        began = time.process_time()
        for kind in LEARNERS:
            for seed in range(seeds):
                compared(name, data, kind, seed)
        print(f"{name:9} {time.process_time() - began:.0f} CPU s", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1, sys.argv[2:] or ["spambase", "mnist", "adult"])
