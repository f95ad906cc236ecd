"""assess.robustness/1: what small changes of the inputs do to the answers, by chance and on purpose.

The attack is a first one: black-box, without gradients, with a finite budget, and it says so. It finds a lower bound
of what an attacker can do; `attack_success` of 0 means that this search failed, not that none succeeds.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.assess.case import Case, bounded, decided, within
from holdfast.core.control import Report
from holdfast.core.evidence import exactly
from holdfast.core.ports import Predict
from holdfast.maths.intervals import Interval, paired_difference, wilson
from holdfast.maths.squeeze import Squeeze

NAME: Final = "assess.robustness/1"
NOISE: Final = 0.1  # standard deviation of the noise, in standard deviations of each feature
RADIUS: Final = 0.25  # largest change of each feature by the attack (L-infinity), in its standard deviations
MAX_ATTACKED: Final = 200  # rows; a share of 200 has an interval of at most ±7 points
MAX_PROBED: Final = 64  # features probed one by one in each row, two queries each
CORNERS: Final = 64  # corners of the box tried in each row, the guessed one first
FLIPPED: Final = (
    0.05,
    0.15,
    0.3,
    0.5,
)  # shares of features turned round to reach further corners; the last forgets the guess

SQUEEZED: Final = (16, 64, 256)  # levels of each input with a declared range, as the gateway's squeezed-input has them

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attack:
    """How an attack went: which rows fell, and the most queries it asked about one row."""

    fallen: NDArray[np.bool_]
    queries: int


def measure(case: Case) -> Report:
    """Return accuracy under noise, what noise costs, and how many right answers a bounded search can turn.

    `noise_accuracy` is that of each sealed row once, with Gaussian noise of `NOISE` standard deviations on every
    feature (Wilson); `noise_drop` its difference to the accuracy without noise (paired, Newcombe 1998c).
    `squeezed_16_drop` and its like are what the gateway's input transform to so many levels costs on the same rows.
    `attack_success` is the share of rightly answered rows, at most `MAX_ATTACKED` of them, that `search` turns
    (Wilson). Changed rows are held to the declared ranges, since the gateway refuses others. All intervals at 95 %.

    Raises:
        ValueError: The model answers no sealed row rightly, or no feature varies, so that there is nothing to attack.
    """
    rng = case.generator(NAME)
    noisy = case.features + (NOISE * case.spread * rng.normal(size=case.features.shape)).astype(np.float32)
    right = case.predicted == case.labels
    still = decided(case.predict(within(noisy, case.signature))) == case.labels
    noise = wilson(int(still.sum()), still.size)
    drop = _lost(right, still)
    if not right.any() or not case.spread.any():
        raise ValueError("no right answer to turn, or no feature that varies: there is nothing to attack")
    attacked = np.sort(rng.permutation(np.flatnonzero(right))[:MAX_ATTACKED])
    attack = search(case.predict, case, attacked, rng)
    measures = (
        bounded("noise_accuracy", noise),
        bounded("noise_drop", drop),
        *(bounded(f"squeezed_{levels}_drop", _lost(right, squeezed(case, levels))) for levels in SQUEEZED),
        bounded("attack_success", wilson(int(attack.fallen.sum()), attack.fallen.size)),
        exactly("attack_queries", attack.queries, unit="queries/row"),
    )
    facts = {
        "noise": f"Gaussian, {NOISE} sd of each feature",
        "attack": f"coordinate probes, then corners of L-inf {RADIUS} sd",
    }
    return Report(measures=measures, facts=facts)


def squeezed(case: Case, levels: int) -> NDArray[np.bool_]:
    """Return which sealed rows are answered rightly once each input lies on one of so many levels of its range."""
    low, high = (
        within(np.full((1, case.features.shape[1]), end, np.float32), case.signature)[0] for end in (-np.inf, np.inf)
    )
    made = Squeeze(low=low, high=high, clip=True, levels=levels, median=0, height=0, width=0)
    return np.asarray(decided(case.predict(made(case.features))) == case.labels)


def _lost(right: NDArray[np.bool_], still: NDArray[np.bool_]) -> Interval:
    """Return by how much accuracy falls from the one to the other, on the same rows."""
    return paired_difference(
        int((right & still).sum()),
        int((right & ~still).sum()),
        int((~right & still).sum()),
        int((~right & ~still).sum()),
    )


def search(predict: Predict, case: Case, attacked: NDArray[np.intp], rng: np.random.Generator) -> Attack:
    """Return which rows a bounded black-box search turns.

    1. Probe: move one feature at a time by plus and minus the radius and see which way lowers the margin of the right
    class (finite differences as in Bhagoji et al. 2018, Practical black-box attacks, section 3, with the step at its
    largest). 2.
    Guess the corner of the box that all those ways lead to: the worst point of an additive model. 3. Try it, and random
    corners around it (random search over corners, as Square Attack's initialisation: Andriushchenko et al. 2020). A row
    falls if any query is answered with another class.

    Args:
        predict: The model, two batches of queries.
        case: The sealed rows, the spread of the features, the declared ranges.
        attacked: Which rows, shape (m,); all answered rightly.
        rng: Chooses the features to probe where there are many, and the corners.
    """
    rows, labels = case.features[attacked], case.labels[attacked]
    reach = (RADIUS * case.spread).astype(np.float32)
    movable = np.flatnonzero(reach > 0)
    probed = np.sort(rng.permutation(movable)[:MAX_PROBED])
    ways = np.where(rng.random(rows.shape) < 0.5, np.float32(1), np.float32(-1))  # noqa: PLR2004 - a fair coin
    queries, moves = _probes(rows, probed, reach)
    margins, fallen = _ask(predict, case, queries, labels)
    by_feature = margins.reshape(len(rows), probed.size, 2)
    ways[:, probed] = np.where(by_feature[:, :, 0] <= by_feature[:, :, 1], moves[0], moves[1])
    corners = _corners(ways, rng)
    _, fallen_too = _ask(predict, case, rows[:, None, :] + corners * reach, labels)
    return Attack(fallen=fallen | fallen_too, queries=2 * probed.size + CORNERS)


def _probes(rows: Rows, probed: NDArray[np.intp], reach: Rows) -> tuple[Rows, tuple[np.float32, np.float32]]:
    """Return each row moved along each probed feature both ways, shape (m, 2 k, d), and the two ways."""
    moves = np.float32(1), np.float32(-1)
    queries = np.repeat(rows[:, None, :], 2 * probed.size, axis=1)
    for place, feature in enumerate(probed):
        for way, move in enumerate(moves):
            queries[:, 2 * place + way, feature] += move * reach[feature]
    return queries, moves


def _corners(ways: Rows, rng: np.random.Generator) -> Rows:
    """Return corners of the box as signs, shape (m, CORNERS, d): the guessed one, then ever more of it turned round."""
    corners = np.repeat(ways[:, None, :], CORNERS, axis=1)
    shares = np.resize(np.array(FLIPPED), CORNERS - 1)
    turned = rng.random((ways.shape[0], CORNERS - 1, ways.shape[1])) < shares[None, :, None]
    corners[:, 1:] = np.where(turned, -corners[:, 1:], corners[:, 1:])
    return corners


def _ask(
    predict: Predict, case: Case, queries: Rows, labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return each query's margin of the right class, shape (m, q), and which rows some query turned, shape (m,)."""
    m, q, d = queries.shape
    answers = predict(within(queries.reshape(m * q, d), case.signature)).reshape(m, q, -1)
    mine = np.take_along_axis(answers, labels[:, None, None], axis=2)[:, :, 0]
    others = answers.copy()
    np.put_along_axis(others, labels[:, None, None], -np.inf, axis=2)
    turned = answers.argmax(axis=2) != labels[:, None]
    return mine - others.max(axis=2), turned.any(axis=1)
