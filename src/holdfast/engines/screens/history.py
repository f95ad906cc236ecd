"""Slow poison: labels that creep over many versions, each batch of which is within every limit by itself.

Held against the oldest version that is trusted, never against the last one, which the poison is already part of:

1. what learners of the trusted rows alone believe of each later row is calibrated on the trusted rows themselves, fold
   by fold: how often does a row of such a belief bear the label?
2. a season may bring more of one class. Its share in each batch is estimated from beliefs, not from labels (Saerens,
   Latinne and Decaestecker, Neural Computation 14, 2002), and chances are raised accordingly, never lowered: whoever
   turns labels cannot move it.
3. all may err as often as on the trusted rows, by an upper bound; a source that erred oftener then may go on so.
4. over all later batches, bets are laid that a label is borne more often than these chances (`maths.bets`): by all
   rows, and by each source. They can be looked at after each batch; the rate of alarms holds over the whole history,
   as far as the calibration does.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.maths.bets import ln_evidence

ALARMS: Final = 0.01  # chance that any label of any source is named over the whole history
CELLS: Final = 8  # of beliefs on each side, of equally many trusted rows
OPEN: Final = 0.1  # odd labels that a cell is given beside those it has; the bound of the rate makes up for few
SURE: Final = 2.33  # standard deviations that a rate of the trusted rows may be off: one in a hundred
DRAWN: Final = 3.0  # odd labels of a source that would be like all others, added to its own
LEAST: Final = 1e-3  # chance that any row bears any label
RISES: Final = 6.0  # times by which the odds of a class may rise with a season
ROUNDS: Final = 30  # of the estimate of a class's share
EVERYBODY: Final = ""
Bools: TypeAlias = NDArray[np.bool_]
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Creep:
    """How a label came to be borne by a source's rows since the trusted version.

    Attributes:
        group: The source or annotator; empty for all rows.
        label: Index of the class.
        rows: Later rows of the group.
        borne: Those that bear the label although something else is believed.
        expected: How many of them honest chances allow, on average.
        ln_e: Logarithm of the evidence, at its highest.
        since: The version, counted from 1 after the trusted one, at which it was enough; 0 where it never was.
    """

    group: str
    label: int
    rows: int
    borne: int
    expected: float
    ln_e: float
    since: int

    @property
    def far(self) -> bool:
        """Whether it is more than chance."""
        return self.since > 0


def creeping(
    believed: Floats,
    labels: NDArray[np.int64],
    version: NDArray[np.int64],
    groups: NDArray[np.str_],
    *,
    alarms: float = ALARMS,
) -> tuple[Creep, ...]:
    """Return for each group, and for all rows together, the label that crept most; the worst first.

    Args:
        believed: Shape (n, classes), by learners of the trusted rows that did not see the row itself.
        labels: Shape (n,).
        version: Shape (n,): 0 for trusted rows, else the version that brought the row.
        groups: Shape (n,): each row's source or annotator.
        alarms: Chance that anything is named where nothing crept.

    Raises:
        ValueError: No trusted row, or none after them.
    """
    trusted = version == 0
    if not trusted.any() or trusted.all():
        raise ValueError("there is nothing to compare: no trusted row, or no later one")
    classes = believed.shape[1]
    names = [EVERYBODY, *np.unique(groups[~trusted]).tolist()] if len(np.unique(groups)) > 1 else [EVERYBODY]
    enough = float(np.log(len(names) * classes / alarms))
    found = []
    for name in names:
        mine = np.ones(len(labels), dtype=np.bool_) if name == EVERYBODY else groups == name
        each = [_creep(name, c, believed, labels, version, mine, enough) for c in range(classes)]
        found.append(max(each, key=lambda one: one.ln_e))
    return tuple(sorted(found, key=lambda one: -one.ln_e))


def suspects(
    creeps: tuple[Creep, ...],
    believed: Floats,
    labels: NDArray[np.int64],
    version: NDArray[np.int64],
    groups: NDArray[np.str_],
) -> Bools:
    """Return which later rows bear a label that crept, of a source by which it did, though something else is believed.

    Shape (n,). Where sources are named, the find about all rows together names no further ones.
    """
    far = [each for each in creeps if each.far]
    named = [each for each in far if each.group != EVERYBODY] or far
    found = np.zeros(len(labels), dtype=np.bool_)
    for each in named:
        mine = (groups == each.group) | (each.group == EVERYBODY)
        found |= mine & (version > 0) & (labels == each.label) & (believed.argmax(axis=1) != each.label)
    return found


def _creep(
    name: str,
    label: int,
    believed: Floats,
    labels: NDArray[np.int64],
    version: NDArray[np.int64],
    mine: Bools,
    enough: float,
) -> Creep:
    trusted, bears = version == 0, labels == label
    other = believed.argmax(axis=1) != label  # rows that have no business to bear it
    chances = _calibrated(believed[:, label], bears, trusted, other)
    usual = _errs(bears, chances, trusted & other, trusted & other & mine)
    batches, looked = [], np.zeros(len(labels), dtype=np.bool_)
    for number in np.unique(version[~trusted]):
        now = version == number
        raised = _odds(chances, _season(chances[now], float(bears[trusted].mean())) * usual)
        rows = now & mine & other
        looked |= rows
        batches.append((bears[rows], raised[rows], int(number)))
    evidence = ln_evidence([(happened, held) for happened, held, _ in batches])
    over = np.flatnonzero(evidence >= enough)
    return Creep(
        group=name,
        label=label,
        rows=int((mine & ~trusted).sum()),
        borne=int((looked & bears).sum()),
        expected=float(sum(held.sum() for _, held, _ in batches)),
        ln_e=float(evidence.max()),
        since=batches[int(over[0])][2] if over.size else 0,
    )


def _calibrated(belief: Floats, bears: Bools, trusted: Bools, other: Bools) -> Floats:
    """Return how often trusted rows of such a belief bear the label, shape (n,): rises with the belief.

    Rows that are believed to be of another class have cells of their own: a cell on both sides of the border would
    lend them the chances of those beyond it.
    """
    found = np.full(len(belief), LEAST)
    for side in (other, ~other):
        if not (trusted & side).any():
            continue
        edges = np.quantile(belief[trusted & side], np.linspace(0, 1, CELLS + 1)[1:-1])
        cell = np.searchsorted(edges, belief, side="right")
        many = np.bincount(cell[trusted & side], minlength=CELLS)
        borne = np.bincount(cell[trusted & side & bears], minlength=CELLS)
        shares = _rising((borne + OPEN) / (many + 2 * OPEN), many + 1)
        found[side] = np.clip(shares, LEAST, 1 - LEAST)[cell[side]]
    return found


def _rising(shares: Floats, weights: NDArray[np.int64]) -> Floats:
    """Return the nearest shares that never fall (pool adjacent violators; Ayer et al. 1955)."""
    blocks: list[list[float]] = []
    for share, weight in zip(shares.tolist(), weights.tolist(), strict=True):
        blocks.append([share, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            late, early = blocks.pop(), blocks.pop()
            total = early[1] + late[1]
            blocks.append([(early[0] * early[1] + late[0] * late[1]) / total, total, early[2] + late[2]])
    return np.array([share for share, _, count in blocks for _ in range(int(count))])


def _errs(bears: Bools, chances: Floats, before: Bools, own: Bools) -> float:
    """Return by what odds are multiplied for what trusted rows leave open.

    That is the upper bound of the rate of all, times how much oftener than all a group used to err, its few rows drawn
    towards all others'.
    """
    happened, expected = float(bears[before].sum()), float(chances[before].sum())
    bound = (happened + SURE * np.sqrt(happened + 1)) / max(expected, 1.0)
    own_rate = (float(bears[own].sum()) + DRAWN) / (float(chances[own].sum()) + DRAWN)
    return float(max(bound, 1.0) * max(own_rate, 1.0))


def _season(chances: Floats, usual: float) -> float:
    """Return by what the odds of a class rose in a batch, from beliefs alone (Saerens et al. 2002), at least 1."""
    share = usual = min(max(usual, LEAST), 1 - LEAST)
    for _ in range(ROUNDS):
        share = float(_odds(chances, share / (1 - share) * (1 - usual) / usual).mean())
        share = min(max(share, LEAST), 1 - LEAST)
    return min(max(share / (1 - share) * (1 - usual) / usual, 1.0), RISES)


def _odds(chances: Floats, times: float) -> Floats:
    raised = times * chances / (1 - chances + times * chances)
    return np.clip(raised, LEAST, 1 - LEAST)
