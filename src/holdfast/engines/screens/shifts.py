"""Jumps: columns and labels distributed unlike those of earlier rows, and groups whose labels are unlike the others'.

A group is a source or an annotator. What is counted is by how much its labels differ from what is believed of its very
rows by learners that did not see them, so that a source of other rows is not mistaken for a source of other labels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.lenses import Plain
from holdfast.maths.distances import population_stability_index, psi_from_counts, psi_limit
from holdfast.maths.intervals import normal_quantile

CELLS: Final = 10
ALARMS: Final = 0.01  # chance that any column, or any group, is named although nothing changed
LEAST_BORNE: Final = 3  # labels; one or two are no habit
VALUES: Final = 50  # distinct texts that are told apart; the rest are one cell


Bools: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Jump:
    """One column's distance from earlier rows, and the largest that chance explains."""

    column: str
    distance: float
    limit: float

    @property
    def far(self) -> bool:
        """Whether it is more than chance."""
        return self.distance > self.limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """How often a group bears a label that its rows are not believed to have, and how often was to be expected."""

    name: str
    label: int
    rows: int
    borne: int
    expected: float
    z: float
    far: bool


def jumps(before: Mapping[str, Plain], now: Mapping[str, Plain]) -> tuple[Jump, ...]:
    """Return the distance of each column that both have (population stability index), the farthest first."""
    shared = [name for name in now if name in before]
    found = []
    for name in shared:
        old, new = before[name], now[name]
        if old.dtype.kind == "f" and new.dtype.kind == "f":
            old, new = old[np.isfinite(old)], new[np.isfinite(new)]
            if not old.size or not new.size:
                continue
            distance, cells = float(population_stability_index(old, new, bins=CELLS)), CELLS
        else:
            counts = _counted(old.astype(np.str_), new.astype(np.str_))
            distance, cells = float(psi_from_counts(*counts)), len(counts[0])
        limit = psi_limit(len(old), len(new), max(cells, 2), false_alarm_rate=ALARMS / len(shared))
        found.append(Jump(column=name, distance=distance, limit=limit))
    return tuple(sorted(found, key=lambda each: each.limit - each.distance))


def _counted(old: NDArray[np.str_], new: NDArray[np.str_]) -> tuple[list[int], list[int]]:
    values, counts = np.unique(np.concatenate((old, new)), return_counts=True)
    kept = set(values[np.argsort(-counts, kind="stable")][:VALUES].tolist())
    tallies = []
    for side in (old, new):
        seen = dict(zip(*(part.tolist() for part in np.unique(side, return_counts=True)), strict=True))
        rest = sum(count for value, count in seen.items() if value not in kept)
        tallies.append([*(seen.get(value, 0) for value in sorted(kept)), rest])
    return tallies[0], tallies[1]


def by_group(believed: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.str_]) -> tuple[Group, ...]:
    """Return for each group the label that it bears most where nobody would expect it, the farthest group first.

    Looked at are rows that are believed to be of another class: how many of them bear the label nevertheless, beside
    the share in all other groups. Limits hold for all groups and labels at once (Bonferroni), on a
    normal approximation.
    """
    names, code = np.unique(groups, return_inverse=True)
    classes, thought = believed.shape[1], believed.argmax(axis=1)
    limit = normal_quantile(1 - ALARMS / (len(names) * classes))
    found = []
    for place, name in enumerate(names):
        mine = code == place
        each_label = [_beside(mine, thought != label, labels == label) for label in range(classes)]
        worst = int(np.argmax([z for *_, z in each_label]))
        borne, expected, z = each_label[worst]
        far = z > limit and borne >= LEAST_BORNE
        rows = int(mine.sum())
        found.append(Group(name=str(name), label=worst, rows=rows, borne=borne, expected=expected, z=z, far=far))
    return tuple(sorted(found, key=lambda each: -each.z))


def _beside(mine: Bools, other: Bools, bears: Bools) -> tuple[int, float, float]:
    """Return how often a group's rows that are thought otherwise bear a label, how often was to be expected, and z."""
    many, borne = int((mine & other).sum()), int((mine & other & bears).sum())
    elsewhere = int((~mine & other).sum())
    share = (int((~mine & other & bears).sum()) + 0.5) / (elsewhere + 1)
    expected = many * share
    return borne, expected, float((borne - expected) / np.sqrt(expected * (1 - share) + 0.5))
