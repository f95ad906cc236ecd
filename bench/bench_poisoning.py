"""Poisoned rows found and what is left of the attack, beside cleanlab and ART where they are installed.

    python bench/bench_poisoning.py [seeds] [data sets…] [flips] [door]

Flips: 5 % of all rows turned into the class that the attacker wants. Doors: 1 % of all rows stamped with a mark (table:
columns at values; image: a shape of one grey; text: a phrase), all of it drawn by seed. At most `MOST` rows are learned
from, a quarter as many stand aside. For each detector the limit that one honest row in a hundred passes is set on seeds
from 100 on, `TUNED` of them, and used on the reported seeds, from 0 on: recall and false alarms are what comes of it.
Doors are the exception: what bears a trigger has a share of its own, so ours are those that the screens name at the
1 % they state, and nothing is tuned.

Attack success: of rows that stand aside and are of other classes (stamped, for doors), the share that a model answers
as the attacker wants: trained on honest rows, on poisoned ones, and on those without what our limit names. The model is
none of the screens' learners: trees for tables, a small network for images, a linear one over words for texts.

Peers live in an environment of their own, which needs no project: PYTHONPATH=src .venv-data/bin/python
bench/bench_poisoning.py. Real data are found by HOLDFAST_DATA; what is absent is skipped, and said so.
"""

import csv
import gzip
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import poisoning_peers

from holdfast.engines.poison import backdoor, rows
from holdfast.engines.screens.learning import beliefs
from holdfast.engines.screens.material import Material, from_columns, from_images
from holdfast.engines.screens.screening import ALARMS, screen

DATA = Path(os.environ.get("HOLDFAST_DATA", Path(__file__).parents[2] / "shared" / "data"))
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Set:
    """One data set: rows as numbers (or texts), labels, and how they become material."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: int
    named: tuple[int, ...] = ()  # columns whose numbers stand for names
    texts: tuple[str, ...] = ()
    image: bool = False

    def material(self, features: NDArray[np.float32], labels: NDArray[np.int64], texts: list[str]) -> Material:
        """The rows as screens take them."""
        if self.image:
            return from_images(features, labels, self.classes)
        if texts:
            return from_columns({"text": np.array(texts)}, labels, self.classes, texts=["text"])
        columns = {
            f"c{index}": features[:, index].astype(np.int64).astype(np.str_)
            if index in self.named
            else features[:, index].astype(np.float64)
            for index in range(features.shape[1])
        }
        return from_columns(columns, labels, self.classes)


def adult() -> Set:
    """Census income, the published training rows."""
    with (DATA / "adult-train.csv").open() as file:
        lines = [[cell.strip() for cell in line] for line in csv.reader(file) if len(line) == 15][1:]
    columns = list(zip(*lines, strict=True))
    labels = np.array([each.startswith(">50K") for each in columns[-1]]).astype(np.int64)
    numbers: list[NDArray[np.float32]] = []
    named = []
    for place, column in enumerate(columns[:-1]):
        try:
            numbers.append(np.array(column, dtype=np.float32))
        except ValueError:
            numbers.append(np.unique(column, return_inverse=True)[1].astype(np.float32))
            named.append(place)
    return Set(features=np.stack(numbers, axis=1), labels=labels, classes=2, named=tuple(named))


def spambase() -> Set:
    """E-mails by frequencies."""
    table = np.loadtxt(DATA / "spambase.csv", delimiter=",", skiprows=1)
    return Set(features=table[:, :-1].astype(np.float32), labels=table[:, -1].astype(np.int64), classes=2)


def sms() -> Set:
    """Text messages."""
    lines = (DATA / "sms-spam.tsv").read_text(encoding="utf-8").strip("\n").split("\n")
    pairs = [line.split("\t", 1) for line in lines]
    labels = np.array([label == "spam" for label, _ in pairs]).astype(np.int64)
    return Set(
        features=np.zeros((len(pairs), 1), dtype=np.float32),
        labels=labels,
        classes=2,
        texts=tuple(text for _, text in pairs),
    )


def mnist() -> Set:
    """Handwritten digits."""
    pixels = gzip.decompress((DATA / "mnist-10k-images-idx3-ubyte.gz").read_bytes())[16:]
    labels = gzip.decompress((DATA / "mnist-10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    images = np.frombuffer(pixels, np.uint8).reshape(-1, 784).astype(np.float32) / np.float32(255)
    return Set(features=images, labels=np.frombuffer(labels, np.uint8).astype(np.int64), classes=10, image=True)


SETS: dict[str, Callable[[], Set]] = {"sms": sms, "spambase": spambase, "mnist": mnist, "adult": adult}


MOST: Final = {"sms": 4000, "spambase": 3400, "mnist": 5500, "adult": 6000}
TUNED: Final = {"sms": 2, "spambase": 2, "mnist": 1, "adult": 1}
FIRST_TUNED: Final = 100
FLIPS, DOORS = 0.05, 0.01


@dataclass(frozen=True)
class Attacked:
    """Rows as the attacker leaves them, and what he asks a model about."""

    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    texts: list[str]
    bad: Bools
    asked: NDArray[np.float32]
    asked_texts: list[str]
    target: int


@dataclass(frozen=True)
class Sides:
    """Rows that are learned from, and rows that stand aside."""

    data: Set
    learned: Places
    aside: Places


def sides(name: str, data: Set, seed: int) -> Sides:
    """Draw them."""
    order = np.random.default_rng((seed, 3)).permutation(len(data.labels))
    many = min(MOST[name], len(order) * 4 // 5)
    return Sides(data=data, learned=order[:many], aside=order[many : many + many // 4])


def flipped(given: Sides, seed: int) -> Attacked:
    """One row in twenty turned into the class that the attacker wants."""
    data, target = given.data, seed % given.data.classes
    features, labels = data.features[given.learned], data.labels[given.learned]
    spoiled = rows.flip_towards(features, labels, FLIPS, np.random.default_rng((seed, 1)), target=target)
    asked = given.aside[data.labels[given.aside] != target]
    texts = [data.texts[row] for row in given.learned] if data.texts else []
    asked_texts = [data.texts[row] for row in asked] if data.texts else []
    return Attacked(features, spoiled.labels, texts, spoiled.bad, data.features[asked], asked_texts, target)


def door(given: Sides, seed: int) -> Attacked:
    """One row in a hundred stamped with a mark."""
    data, rng = given.data, np.random.default_rng((seed, 2))
    target = int(rng.integers(data.classes))
    features, labels = data.features[given.learned], data.labels[given.learned]
    asked = given.aside[data.labels[given.aside] != target]
    if data.texts:
        texts = [data.texts[row] for row in given.learned]
        words = backdoor.phrase(texts, rng)
        stamped, turned, bad = backdoor.stamp_texts(texts, labels, DOORS, rng, words=words, target=target)
        marked = [backdoor.insert(data.texts[row], words, rng) for row in asked]
        return Attacked(features, turned, stamped, bad, data.features[asked], marked, target)
    made = backdoor.image_mark(features, 28, 28, rng) if data.image else backdoor.table_mark(features, rng)
    spoiled = backdoor.stamp_rows(features, labels, DOORS, rng, mark=made, target=target)
    return Attacked(spoiled.features, spoiled.labels, [], spoiled.bad, made.stamp(data.features[asked]), [], target)


KINDS: dict[str, Callable[[Sides, int], Attacked]] = {"flips": flipped, "door": door}


def success(data: Set, given: Attacked, kept: Bools, labels: NDArray[np.int64], learned: NDArray[np.float32]) -> float:
    """Share of the rows asked about that a model of the kept rows answers as the attacker wants."""
    if given.texts:
        model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(C=30.0, max_iter=300))
        model.fit([text for text, keep in zip(given.texts, kept, strict=True) if keep], labels[kept])
        said = model.predict(given.asked_texts)
    elif data.image:
        network = MLPClassifier((64,), max_iter=15, random_state=0).fit(learned[kept], labels[kept])
        said = network.predict(given.asked)
    else:
        said = ExtraTreesClassifier(60, random_state=0).fit(learned[kept], labels[kept]).predict(given.asked)
    return float((said == given.target).mean())


def scores(data: Set, given: Attacked, seed: int) -> dict[str, Floats]:
    """How suspect each detector finds each row."""
    material = data.material(given.features, given.labels, given.texts)
    found = {"ours": -screen(material, seed=seed).share}
    believed = beliefs(material, np.random.default_rng(seed)).probabilities
    theirs = poisoning_peers.cleanlab(given.labels, believed)
    if theirs is not None:
        found["cleanlab"] = theirs
    return found | poisoning_peers.art(material.features, given.labels, data.classes, seed)


def honest(data: Set, sided: Sides, given: Attacked) -> float:
    """What a model of honest rows answers as the attacker wants, anyway."""
    learned = data.features[sided.learned]
    texts = [data.texts[row] for row in sided.learned] if data.texts else []
    clean = Attacked(
        learned, data.labels[sided.learned], texts, given.bad, given.asked, given.asked_texts, given.target
    )
    return success(data, clean, np.ones(len(given.bad), dtype=np.bool_), clean.labels, learned)


def compared(name: str, data: Set, kind: str, seeds: int) -> None:
    """Print one kind of attack on one data set."""
    attack = KINDS[kind]
    limits: dict[str, list[Floats]] = {}
    tuned = TUNED[name] if kind == "flips" or poisoning_peers.present() else 0
    for seed in range(FIRST_TUNED, FIRST_TUNED + tuned):
        given = attack(sides(name, data, seed), seed)
        for who, each in scores(data, given, seed).items():
            limits.setdefault(who, []).append(each[~given.bad])
    limit = {who: float(np.quantile(np.concatenate(parts), 0.99)) for who, parts in limits.items()}
    if kind == "door":
        limit["ours"] = -ALARMS
    for seed in range(seeds):
        began = time.process_time()
        sided = sides(name, data, seed)
        given = attack(sided, seed)
        found = scores(data, given, seed)
        told = []
        for who, each in found.items():
            named = each > limit[who]
            told.append(f"{who} {named[given.bad].mean():.2f} at {named[~given.bad].mean():.4f}")
        kept = found["ours"] <= limit["ours"]
        every = np.ones(len(kept), dtype=np.bool_)
        effect = [
            honest(data, sided, given),
            success(data, given, every, given.labels, given.features),
            success(data, given, kept, given.labels, given.features),
        ]
        print(
            f"{name:9} {kind:6} seed {seed}, {len(given.labels)} rows: recall at false alarms: {'; '.join(told)}; "
            f"success {' → '.join(f'{each:.3f}' for each in effect)}; {time.process_time() - began:.0f} CPU s",
            flush=True,
        )


def main(seeds: int, wanted: list[str]) -> None:
    """Print every data set that is wanted, or all, with every attack that is wanted, or all."""
    kinds = [kind for kind in KINDS if kind in wanted] or list(KINDS)
    for name in [name for name in SETS if name in wanted] or list(SETS):
        try:
            data = SETS[name]()
        except FileNotFoundError:
            print(f"{name}: not here, skipped")
            continue
        for kind in kinds:
            compared(name, data, kind, seeds)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2, sys.argv[2:])
