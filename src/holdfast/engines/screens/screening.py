"""One look at rows: every screen, one combined score in one currency, and the rows that are suspect.

The currency is the share of honest rows that would look as bad. Labels are held against labels drawn from what the
learners believe of honest ones; the rank within the class stands for spectral signatures, where it is that share by
construction; what bears a trigger has a fixed share, well within the alarms. A row is suspect if its share is at most
`alarms`, which is therefore the stated rate of false alarms.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.labels import Suspicion, channel_odds, suspect
from holdfast.engines.screens.learning import Probabilities, scaled
from holdfast.engines.screens.material import Material
from holdfast.engines.screens.spectral import signatures
from holdfast.engines.screens.triggers import Trigger, find_triggers

ALARMS: Final = 0.01  # share of honest rows that may be called suspect
FOR_LABELS: Final = 0.75  # part of the alarms that labels may cause
FOR_SPECTRA: Final = (
    0.05  # and spectral signatures; the rest is for honest rows that bear a trigger, and for what is not exact
)
OF_TRIGGER: Final = 0.25  # of the alarms is the share of whatever bears a trigger: behind labels that are surely wrong
DRAWS: Final = 10  # times that labels are drawn for each row
PART: Final = 40_000  # rows that are looked at together: 2 GB at most
LEAST: Final = 50  # rows, below which nothing can be learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What was found of each row.

    Attributes:
        share: Share of honest rows that would look as bad, shape (n,); small is bad.
        suspects: Rows whose share is at most the alarms.
        by: For each row the screen that speaks loudest: `label`, `spectrum`, `trigger`.
        margin: Class-adjusted margin of confident learning.
        disagreement: Share of neighbours that bear another label.
        odds: That the label came through the channel.
        spectrum: Spectral signature.
        triggers: Patterns that bring a label along, with the rows they mark.
        believed: Class probabilities out of fold, shape (n, classes).
        channel: Share of each given label among those surest of each class, of the part with the most turned labels.
    """

    share: NDArray[np.float64]
    suspects: NDArray[np.intp]
    by: NDArray[np.str_]
    margin: NDArray[np.float64]
    disagreement: NDArray[np.float64]
    odds: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    triggers: tuple[Trigger, ...]
    believed: Probabilities
    channel: NDArray[np.float64]
    alarms: float


def screen(
    material: Material, *, seed: int, alarms: float = ALARMS, trusted: NDArray[np.bool_] | None = None
) -> Screened:
    """Return what the screens find in rows; many rows are looked at in parts.

    Args:
        material: The rows.
        seed: Of folds, random features, drawn labels, and of what belongs to which part.
        alarms: Share of honest rows that may be called suspect.
        trusted: Shape (n,): rows known to be honest, mixed with the others. Where there are any, the labels' scores are
            held against theirs, and no labels are drawn.

    Raises:
        ValueError: Too few rows, or one class only.
    """
    n = len(material.labels)
    if n < LEAST or len(np.unique(material.labels)) < 2:
        raise ValueError(f"{n} rows of {len(np.unique(material.labels))} classes are too few to screen")
    rng = np.random.default_rng(seed)
    order = rng.permutation(n)
    parts = [np.sort(each) for each in np.array_split(order, -(-n // PART))]
    known = np.zeros(n, dtype=np.bool_) if trusted is None else trusted
    return _together(material, parts, [_part(material.part(rows), rng, known[rows], alarms) for rows in parts], alarms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    share: NDArray[np.float64]
    by: NDArray[np.str_]
    suspicion: Suspicion
    spectrum: NDArray[np.float64]
    triggers: tuple[Trigger, ...]


def _part(material: Material, rng: np.random.Generator, trusted: NDArray[np.bool_], alarms: float) -> _Part:
    suspicion = suspect(material, rng)
    if trusted.any():
        of_label = tail(suspicion.odds, suspicion.odds[trusted])
    else:  # the worse of two: the second look is sharper, and may be too sure of itself
        null = [_drawn(p, suspicion, material, rng) for p in suspicion.honest]
        of_label = np.maximum(*(tail(suspicion.odds, scores) for scores in null))
    spectrum = signatures(scaled(material.features), material.labels, material.classes)
    rank = (-spectrum).argsort().argsort() + 0.5
    shares = {
        "label": of_label / FOR_LABELS,
        "spectrum": rank / len(rank) / FOR_SPECTRA,
        "trigger": np.ones(len(rank)),
    }
    triggers = find_triggers(material)
    for each in triggers:
        shares["trigger"][each.rows] = alarms * OF_TRIGGER
    names = np.array(list(shares))
    table = np.stack(list(shares.values()))
    return _Part(
        share=np.minimum(table.min(axis=0), 1.0),
        by=names[table.argmin(axis=0)],
        suspicion=suspicion,
        spectrum=spectrum,
        triggers=triggers,
    )


def _drawn(p: Probabilities, suspicion: Suspicion, material: Material, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return scores of labels drawn from what is believed of each row, which are honest by construction."""
    sums = p.cumsum(axis=1)
    scores = []
    for _ in range(DRAWS):
        labels = (rng.random((len(p), 1)) * sums[:, -1:] > sums).sum(axis=1)
        labels = np.minimum(labels, material.classes - 1).astype(np.int64)
        scores.append(channel_odds(suspicion.believed, labels, suspicion.channel))
    return np.concatenate(scores)


def tail(scores: NDArray[np.float64], null: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the null at or above each score, never 0; beyond all of the null it falls with the score.

    >>> tail(np.array([0.5, 2.0, 4.0]), np.array([0.0, 1.0, 2.0])).tolist()
    [0.75, 0.5, 0.125]
    """
    ordered = np.sort(null)
    above = len(ordered) - np.searchsorted(ordered, scores, side="left")
    beyond = ordered[-1] / np.where((above == 0) & (ordered[-1] > 0), scores, ordered[-1] or 1.0)
    return np.asarray((above + 1) / (len(ordered) + 1) * beyond)


def _together(material: Material, parts: Sequence[NDArray[np.intp]], done: Sequence[_Part], alarms: float) -> Screened:
    n = len(material.labels)

    def placed(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
        whole = np.zeros((n, *values[0].shape[1:]))
        for rows, each in zip(parts, values, strict=True):
            whole[rows] = each
        return whole

    by = np.empty(n, dtype="<U8")
    for rows, each in zip(parts, done, strict=True):
        by[rows] = each.by
    share = placed([each.share for each in done])
    suspects = np.flatnonzero(share <= alarms)
    turned = [1 - np.diag(each.suspicion.channel).min() for each in done]
    return Screened(
        share=share,
        suspects=suspects[np.argsort(share[suspects], kind="stable")],
        by=by,
        margin=placed([each.suspicion.margin for each in done]),
        disagreement=placed([each.suspicion.disagreement for each in done]),
        odds=placed([each.suspicion.odds for each in done]),
        spectrum=placed([each.spectrum for each in done]),
        triggers=_merged([(rows, each.triggers) for rows, each in zip(parts, done, strict=True)]),
        believed=placed([each.suspicion.believed for each in done]),
        channel=done[int(np.argmax(turned))].suspicion.channel,
        alarms=alarms,
    )


def _merged(found: Sequence[tuple[NDArray[np.intp], tuple[Trigger, ...]]]) -> tuple[Trigger, ...]:
    """Return the triggers of all parts with their rows counted through."""
    merged = [
        Trigger(
            facts=each.facts,
            label=each.label,
            rows=rows[each.rows],
            holders=each.holders,
            purity=each.purity,
            expected=each.expected,
            z=each.z,
        )
        for rows, triggers in found
        for each in triggers
    ]
    return tuple(sorted(merged, key=lambda each: -each.z))
