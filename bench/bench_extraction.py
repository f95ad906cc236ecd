"""Copying a model by asking: how far a surrogate comes until the gateway's detectors raise an alarm; strange rows.

    python bench/bench_extraction.py [--sets elec,mnist] [--attackers 5] [--only near]

Four ways to choose rows: real rows of the same kind (which an honest client sends too), rows drawn evenly over the
ranges, rows drawn column by column from a normal distribution with the right means and widths, and a hundred real rows
that are moved along random patterns of signs (Jacobian augmentation, Papernot et al. 2017, without a Jacobian).
A surrogate is a gradient boosting or, for images, a small network, trained on what was answered; its agreement with the
model is measured on rows that neither has seen. `query-sequence` and `extraction` only alert, in one process.

Then `adversarial-input` on rows that a search along lines put just across the boundary, and what squeezing costs.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.attack_data import SETS, Attacked, attacked
from bench.attack_server import assemble, key
from bench.bench_attacks import ALERT, describe

from holdfast.adapters.runtime import OnnxRuntime
from holdfast.maths.cusum import alarm_at
from holdfast.maths.nearness import CHAIN, FALSE_ALARMS, HONEST, Projection, fit_space
from holdfast.maths.squeeze import Squeeze

BUDGET: Final = 1000
LOOKS: Final = (25, 50, 100, 150, 200, 300, 400, 600, 800, 1000)  # queries after which a surrogate is trained
ENOUGH: Final = 0.6  # of agreement
WATCH: Final = (ALERT, {"name": "extraction", "configuration": {"reaction": {"action": "alert"}}})
Rows = NDArray[np.float32]
Answers = NDArray[np.int64]


def surrogate(data: Attacked, rows: Rows, answers: Answers) -> Callable[[Rows], Answers]:
    """Train a surrogate on what was answered."""
    if len(np.unique(answers)) == 1:
        only = int(answers[0])
        return lambda asked: np.full(len(asked), only)
    if data.name == "mnist":
        from sklearn.neural_network import MLPClassifier

        made: Any = MLPClassifier((50,), max_iter=60, random_state=0)
    else:
        from sklearn.ensemble import GradientBoostingClassifier

        made = GradientBoostingClassifier(n_estimators=30, random_state=0)
    fitted = made.fit(rows, answers)
    return lambda asked: np.asarray(fitted.predict(asked), dtype=np.int64)


def chosen(way: str, data: Attacked, draw: np.random.Generator) -> Iterator[Rows]:
    """Yield the rows to ask about, batch by batch; a batch is sent the answers to all before it."""
    low, high = data.learned.min(axis=0), data.learned.max(axis=0)
    if way == "real rows":
        yield data.known[draw.permutation(len(data.known))[:BUDGET]]
    elif way == "even":
        yield draw.uniform(low, high, (BUDGET, len(low))).astype(np.float32)
    elif way == "normal":
        drawn = draw.normal(data.learned.mean(axis=0), data.learned.std(axis=0), (BUDGET, len(low)))
        yield np.clip(drawn, low, high).astype(np.float32)
    else:
        rows = data.known[draw.permutation(len(data.known))[:100]]
        yield rows
        while len(rows) < BUDGET:  # each row again, moved a tenth of the range along a random sign pattern
            moved = rows + 0.1 * (high - low) * draw.choice([-1, 1], (len(rows), len(low)))
            made = np.clip(moved, low, high).astype(np.float32)[: BUDGET - len(rows)]
            rows = np.concatenate([rows, made])
            yield made


def copy(data: Attacked, folder: Path, way: str, seed: int) -> tuple[int | None, int | None, float]:
    """Return after how many queries the first alarm came, after how many the surrogate agreed enough, and the best."""
    draw, serving = np.random.default_rng(seed), assemble(folder)
    asked: list[Rows] = []
    answers: list[int] = []
    alarm: int | None = None
    enough, best = None, 0.0
    headers = ((b"authorization", b"Bearer " + key(0).encode()),)
    for batch in chosen(way, data, draw):
        for row in batch:
            tensor = {"name": "input", "shape": [1, len(row)], "datatype": "FP64", "data": row.tolist()}
            response = serving.call(headers, body=msgspec.json.encode({"inputs": [tensor]}))
            asked.append(row)
            answers.append(int(msgspec.json.decode(response.body)["outputs"][0]["data"][0][1:]))
            serving.loader.ground.watched.work(lambda: 0.0)
            if alarm is None and serving.loader.ground.watched.counts:
                alarm = len(asked)
            if len(asked) in LOOKS:
                said = surrogate(data, np.stack(asked), np.array(answers))(data.sent[:2000])
                agreement = float((said == data.sent_answers[:2000]).mean())
                best = max(best, agreement)
                enough = len(asked) if enough is None and agreement >= ENOUGH else enough
    return alarm, enough, best


def strange(data: Attacked) -> None:
    """Tell what `adversarial-input` and `squeezed-input` do to rows just across the boundary, and to honest ones."""
    model = OnnxRuntime().load(data.document, features=data.sent.shape[1], classes=data.classes)
    space = fit_space(
        data.known, data.known_answers, classes=data.classes, alarm=alarm_at(FALSE_ALARMS, HONEST), chain=CHAIN
    )
    assert space.typical is not None
    project, draw = Projection.shown(space), np.random.default_rng(5)
    right = np.flatnonzero(data.sent_answers == data.sent_labels)[:500]
    start, label = data.sent[right], data.sent_answers[right]
    end = np.stack([data.known[draw.choice(np.flatnonzero(data.known_answers != each))] for each in label])
    low, high = np.zeros(len(start)), np.ones(len(start))
    for _ in range(12):
        middle = (low + high) / 2
        said = model.run((start + middle[:, None] * (end - start)).astype(np.float32))[0]
        low, high = np.where(said == label, middle, low), np.where(said == label, high, middle)
    across = (start + high[:, None] * (end - start)).astype(np.float32)
    answered = model.run(across)[0]
    for level in (0.05, 0.01):
        honest = space.typical.strange(project(data.sent), data.sent_answers, level).mean()
        found = space.typical.strange(project(across), answered, level).mean()
        print(
            f"{data.name:9} adversarial-input at {level:.0%}: honest {honest:.2%}, just across {found:.1%}", flush=True
        )
    bottom, top = data.learned.min(axis=0), data.learned.max(axis=0)
    clean = float((data.sent_answers == data.sent_labels).mean())
    for levels in (16, 64, 256):
        squeeze = Squeeze(low=bottom, high=top, clip=True, levels=levels, median=0, height=0, width=0)
        kept = float((model.run(squeeze(data.sent))[0] == data.sent_labels).mean())
        back = float((model.run(squeeze(across))[0] == label).mean())
        print(f"{data.name:9} {levels} levels: accuracy {clean:.4f} to {kept:.4f}, turned back {back:.1%}", flush=True)


def near(data: Attacked) -> None:
    """Tell how near is near, and how near it would be if no client sent rows in the order they were recorded in."""
    alarm, mixed = alarm_at(FALSE_ALARMS, HONEST), np.random.default_rng(6).permutation(len(data.known))
    stored, shuffled = (
        fit_space(data.known[order], data.known_answers[order], classes=data.classes, alarm=alarm, chain=CHAIN).radius
        for order in (np.arange(len(mixed)), mixed)
    )
    print(f"{data.name:9} radius {stored:.4f} as recorded, {shuffled:.4f} shuffled", flush=True)


def main() -> None:
    """Run what was asked for."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--sets", default=",".join(SETS))
    asked.add_argument("--attackers", type=int, default=5)
    asked.add_argument("--only", choices=("near",), help="how near is near, and nothing else")
    given = asked.parse_args()
    for name in given.sets.split(","):
        data = attacked(name)
        common = float(np.bincount(data.sent_answers).max() / len(data.sent_answers))
        print(f"{name}: the commonest answer alone agrees with {common:.1%}", flush=True)
        near(data)
        if given.only:
            continue
        strange(data)
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            describe(folder, data, WATCH, 1)
            for way in ("real rows", "even", "normal", "augmented"):
                found = [copy(data, folder, way, seed) for seed in range(given.attackers)]
                alarms = [alarm for alarm, _, _ in found]
                enough = [each for _, each, _ in found]
                best = float(np.mean([each for _, _, each in found]))
                print(
                    f"{name:9} {way:10} alarm after {alarms}, 60 % after {enough}, best agreement {best:.1%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
