"""Which rows lie closer to earlier ones than rows of the training data lie to one another.

An attacker who only sees answers asks about many rows that differ by little. Here is what tells such rows from honest
ones, in three parts. `fit_space` looks at training rows once and keeps no row: for each column a centre and a width,
and one `radius`, the largest at which no run of stored rows (a client who sends them one by one, in their order or
shuffled) would have raised an alarm. `Projection` takes rows into at most `DIMENSIONS` numbers that keep distances
(Johnson and Lindenstrauss 1984), under a key that an attacker does not know, as in Blacklight (Li et al., USENIX
Security 2022). `Neighbours` finds the nearest of many earlier rows by cells of random projections (Datar et al., SCG
2004), in time that does not grow with how many there are, and in memory that does not grow at all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.maths.cusum import Coin
from holdfast.maths.spread import Spread, fit_spread
from holdfast.maths.typical import Typical, fit_typical

DIMENSIONS: Final = 24  # distances of rows in more columns are kept within about 15 %
NARROWEST: Final = 0.2  # of a column's range: a width below it would make rare values count for everything
BLOCK: Final = 1000  # rows that one client sends, when a radius is looked for
BLOCKS: Final = 16
MANY: Final = 8192  # rows of everybody together, when a radius is looked for
HONEST: Final = 1000  # different rows of an honest client, of which
FALSE_ALARMS: Final = 0.001  # is the chance to be suspected
CHAIN: Final = 16  # changes of the answer along near rows that close a place
RADII: Final = (
    0.9,
    0.75,
    0.5,
    0.35,
    0.2,
    0.1,
    0.05,
    0.02,
    0.01,
    0.005,
    0.002,
    0.001,
)  # quantiles of distances that are tried, widest first
CROWDING: Final = Coin(usual=0.1, suspect=0.6)  # shares of rows that lie in a crowd of the same client's rows
RECENT: Final = 32  # rows of a client among which a crowd is looked for
CROWD: Final = 16  # of them closer than `crowd`
KEPT: Final = 0.85  # of a distance at least, under another key than the one that is shown, where columns are many
TURNING: Final = Coin(usual=0.02, suspect=0.25)  # shares of near rows with another answer: honest clients', attackers'
SPARE: Final = 0.5  # of an alarm's height: what honest clients may reach when a radius is chosen
SPARE_PLACE: Final = 0.25  # of a chain's changes, the same: a gateway remembers more rows than `MANY`
LINE: Final = Coin(usual=0.02, suspect=0.4)  # shares of rows that go on along the line of the two before
ALIGNED: Final = 0.999  # cosine of two steps on one line
FEWEST_COLUMNS: Final = 4  # below it, three rows lie on one line too often
CHUNK: Final = 64  # rows of one call that are compared with one another
TABLES: Final = 10
TURNS: Final = 5  # projections that make up one cell
WIDTH: Final = 4.0  # of a cell, in radii: two rows one radius apart share it in 80 % of projections
_SMALLEST: Final = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Space:
    """How training rows lie: what distances are measured in, and which are small."""

    centre: tuple[float, ...]
    weight: tuple[float, ...]  # one over the width of a column; 0 for a column that never changes
    radius: float  # two different rows closer than this are near; 0 where no radius would do
    crowd: float  # a row with `CROWD` of one client's last `RECENT` rows closer than this lies in a crowd; 0: none does
    lines: bool  # whether rows that go on along one line are strange
    rows: int  # that were looked at
    spread: Spread | None = None  # of a client's distances
    typical: Typical | None = None  # where the classes lie, in the projection that is shown

    def __post_init__(self) -> None:
        """Refuse what `fit_space` cannot have made: it is read back from files."""
        if len(self.centre) != len(self.weight) or not self.centre:
            raise ValueError("a space has a centre and a weight for each column")
        numbers = (*self.centre, *self.weight, self.radius, self.crowd)
        if not all(np.isfinite(numbers)) or min(*self.weight, self.radius, self.crowd) < 0:
            raise ValueError("a space is made of finite numbers, and no weight or radius is negative")


@dataclass(frozen=True, slots=True)
class Projection:
    """Rows into coordinates whose distances are those of the space."""

    centre: NDArray[np.float32]  # shape (columns,)
    matrix: NDArray[np.float32]  # shape (columns, dimensions), weights included

    @classmethod
    def of(cls, space: Space, draw: np.random.Generator) -> "Projection":
        """Return a projection; `draw` is its key."""
        weight = np.array(space.weight, dtype=np.float64)
        width = min(len(weight), DIMENSIONS)
        turned = draw.standard_normal((len(weight), width))
        if len(weight) == width:
            turned = np.linalg.qr(turned)[0]  # a rotation: distances stay as they are
        else:
            turned /= np.sqrt(width)
        matrix = weight[:, None] * turned
        return cls(np.array(space.centre, dtype=np.float32), matrix.astype(np.float32))

    @classmethod
    def shown(cls, space: Space) -> "Projection":
        """Return the projection under the key that everybody knows, in which a space was fitted."""
        return cls.of(space, np.random.default_rng(0))

    def __call__(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return coordinates, shape (n, dimensions), of rows, shape (n, columns)."""
        with np.errstate(over="ignore", invalid="ignore"):  # an input without bounds may be any float32
            found = (rows - self.centre) @ self.matrix
        bounded: NDArray[np.float32] = np.nan_to_num(found, nan=0.0, posinf=1e18, neginf=-1e18)
        return bounded


class Neighbours:
    """The last rows that were asked about, by where they lie."""

    def __init__(self, *, dimensions: int, radius: float, capacity: int, draw: np.random.Generator) -> None:
        """Remember at most `capacity` rows, the latest; `draw` is the key of the cells."""
        size = 1 << (2 * capacity - 1).bit_length()
        self.radius, self.capacity, self.count = radius, capacity, 0
        self._turn = draw.standard_normal((dimensions, TABLES * TURNS)).astype(np.float32) / (WIDTH * radius)
        self._shift = draw.random(TABLES * TURNS).astype(np.float32)
        self._mix = draw.integers(1, 1 << 62, (TABLES, TURNS), dtype=np.int64) | 1
        self._places = np.zeros((capacity, dimensions), dtype=np.float32)
        self._cells = np.full((TABLES, size), -1, dtype=np.int32)
        self._tables, self._bits = np.arange(TABLES), 63 - (size.bit_length() - 1)

    def visit(self, places: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Remember places, shape (n, dimensions), n at most the capacity, the oldest forgotten where there is no room.

        Returns:
            The slot of each, and the slot of the nearest earlier place within the radius, -1 if there is none.
        """
        turned = places @ self._turn + self._shift
        whole = np.clip(np.floor(turned), -1e9, 1e9).astype(np.int64).reshape(-1, TABLES, TURNS)
        mixed = (whole * self._mix).sum(axis=2)
        mixed ^= mixed >> 29
        mixed *= -7046029254386353131  # splitmix64's odd constant; integers of numpy wrap around in silence
        cells = (mixed >> self._bits) & (self._cells.shape[1] - 1)
        slots = self._cells[self._tables, cells]
        apart = self._places[slots] - places[:, None, :]
        squares = np.einsum("ijk,ijk->ij", apart, apart)
        squares[slots < 0] = np.inf
        row, best = np.arange(len(places)), squares.argmin(axis=1)
        nearest, square = slots[row, best].astype(np.int64), squares[row, best]
        own = (self.count + row) % self.capacity
        if len(places) > 1:
            self._among(places, own, nearest, square)
        nearest[square >= self.radius**2] = -1
        self._places[own] = places
        self._cells[self._tables, cells] = own[:, None]
        self.count += len(places)
        return own, nearest

    @staticmethod
    def _among(
        places: NDArray[np.float32], own: NDArray[np.int64], nearest: NDArray[np.int64], square: NDArray[np.float32]
    ) -> None:
        """Let places of one call be neighbours of one another, those within `CHUNK` of each other."""
        for start in range(0, len(places), CHUNK):
            part = slice(start, start + CHUNK)
            apart = places[part, None, :] - places[None, part, :]
            squares = np.einsum("ijk,ijk->ij", apart, apart)
            squares[np.triu_indices(len(squares))] = np.inf
            row, best = np.arange(len(squares)), squares.argmin(axis=1)
            closer = squares[row, best] < square[part]
            nearest[part][closer], square[part][closer] = own[part][best][closer], squares[row, best][closer]


def fit_space(rows: NDArray[np.float32], labels: NDArray[np.int64], *, classes: int, alarm: float, chain: int) -> Space:
    """Return the space of training rows in their stored order.

    1. The radius is the largest of several quantiles of the distance to the nearest row before, at which no run of
    `BLOCK` rows, in stored or in shuffled order, comes to half of an alarm, and no chain of near rows among `MANY` rows
    to a quarter of `chain` changes of the label. 2. The crowd is the largest at which no run comes to half of an alarm.
    3. Lines count where no run comes to half of an alarm by them. Rows that repeat another exactly tell nothing.

    Args:
        rows: Shape (n, columns).
        labels: Shape (n,), what the model answers about them; the truth, which changes more often, if nobody knows.
        classes: How many there are.
        alarm: Height of a cumulative sum at which a client is suspected.
        chain: Near rows with another answer, one leading to the next, at which a place is, whoever asks.

    >>> rows = np.array([[0, 0], [1, 2], [2, 4], [3, 0]], dtype=np.float32)
    >>> found = fit_space(rows, np.array([0, 0, 1, 1]), classes=2, alarm=13.8, chain=16)
    >>> found.centre, [round(weight, 3) for weight in found.weight], found.lines
    ((1.5, 1.5), [0.894, 0.603], False)
    """
    x = np.asarray(rows, dtype=np.float64)
    absent = np.isnan(x)
    if absent.any():  # where training had no value, the column's mean says the least
        known = np.maximum((~absent).sum(axis=0), 1)
        x = np.where(absent, np.where(absent, 0.0, x).sum(axis=0) / known, x)
    centre, span = x.mean(axis=0), x.max(axis=0) - x.min(axis=0)
    width = np.maximum(x.std(axis=0), NARROWEST * span)
    weight = np.where(span > 0, 1 / np.maximum(width, _SMALLEST), 0.0)
    bare = Space(centre=_short(centre), weight=_short(weight), radius=0.0, crowd=0.0, lines=False, rows=len(x))
    places = Projection.shown(bare)(x.astype(np.float32))
    runs = [_Run.of(places[run], labels[run]) for run in _runs(len(x))]
    mixed = np.random.default_rng(2).permutation(len(x))[:MANY]
    everybody = _Run.of(places[mixed], labels[mixed])

    def quiet(size: float) -> bool:  # 1.
        each = all(TURNING.highest((run.near < size) & run.turned) <= SPARE * alarm for run in runs)
        return each and everybody.turns(size) <= SPARE_PLACE * chain

    def loose(size: float) -> bool:  # 2.
        return all(CROWDING.highest(run.crowded < size) <= SPARE * alarm for run in runs)

    radius, crowd = _largest([run.near for run in runs], quiet), _largest([run.crowded for run in runs], loose)
    few = min(1.0, len(x) / BLOCK)  # a client of more rows than were looked at has them closer together
    few *= KEPT if x.shape[1] > DIMENSIONS else 1.0
    radius, crowd = _short(np.array([few * radius, few * crowd]))
    lines = places.shape[1] >= FEWEST_COLUMNS and all(LINE.highest(run.aligned) <= SPARE * alarm for run in runs)  # 3.
    return Space(
        centre=bare.centre,
        weight=bare.weight,
        radius=radius,
        crowd=crowd,
        lines=lines,
        rows=len(x),
        spread=fit_spread([places[run] for run in _runs(len(x))[:: BLOCKS // 4]]),
        typical=fit_typical(places, labels, classes),
    )


def _runs(rows: int) -> list[NDArray[np.int64]]:
    """Return the rows that clients of `BLOCK` rows would send: some in stored order, as many drawn at random."""
    starts = np.linspace(0, max(rows - BLOCK, 0), BLOCKS).astype(np.int64)
    draw, size = np.random.default_rng(1), min(BLOCK, rows)
    return [np.arange(start, start + size) for start in sorted(set(starts.tolist()))] + [
        draw.permutation(rows)[:size] for _ in range(BLOCKS)
    ]


@dataclass(frozen=True, slots=True)
class _Run:
    """Rows as they come in: how each lies to those before."""

    nearest: NDArray[np.int64]
    near: NDArray[np.float64]  # distance to the nearest of all rows before
    turned: NDArray[np.bool_]  # whether its label is another than the nearest's
    crowded: NDArray[np.float64]  # distance to the `CROWD`th nearest of the `RECENT` rows before
    aligned: NDArray[np.bool_]  # whether it goes on along the line of the two before

    @classmethod
    def of(cls, places: NDArray[np.float32], labels: NDArray[np.int64]) -> "_Run":
        unique = np.sort(np.unique(places, axis=0, return_index=True)[1])
        x, y = places[unique].astype(np.float64), labels[unique]
        nearest, near = np.zeros(len(x), dtype=np.int64), np.full(len(x), np.inf)
        square = (x * x).sum(axis=1)
        for start in range(0, len(x), BLOCK):
            part = slice(start, min(start + BLOCK, len(x)))
            found = square[part, None] + square[None, : part.stop] - 2 * x[part] @ x[: part.stop].T
            found[:, part][np.triu_indices(part.stop - start)] = np.inf
            nearest[part] = found.argmin(axis=1)
            near[part] = np.sqrt(np.maximum(found[np.arange(part.stop - start), nearest[part]], 0.0))
        late = np.full((len(x), RECENT), np.inf)
        for back in range(1, min(RECENT, len(x) - 1) + 1):
            late[back:, back - 1] = np.linalg.norm(x[back:] - x[:-back], axis=1)
        crowded = np.partition(late, CROWD - 1, axis=1)[:, CROWD - 1]
        steps = np.diff(x, axis=0)
        along, length = (steps[1:] * steps[:-1]).sum(axis=1), (steps * steps).sum(axis=1)
        aligned = along**2 > ALIGNED**2 * length[1:] * length[:-1]
        return cls(nearest, near, y != y[nearest], crowded, aligned)

    def turns(self, radius: float) -> int:
        """Return the most changes of the label along one chain of near rows."""
        near = self.near < radius
        chains, turns = np.arange(len(near)), np.zeros(len(near), dtype=np.int64)
        for row in np.flatnonzero(near).tolist():
            chains[row] = chains[self.nearest[row]]
            turns[chains[row]] += int(self.turned[row])
        return int(turns.max(initial=0))


def _largest(distances: list[NDArray[np.float64]], holds: Callable[[float], bool]) -> float:
    """Return the largest of some quantiles of distances at which something holds; 0 if at none."""
    known = np.concatenate(distances)
    known = known[np.isfinite(known) & (known > 0)]
    for quantile in RADII if known.size else ():
        size = float(np.quantile(known, quantile))
        if holds(size):
            return size
    return 0.0


def _short(values: NDArray[np.float64]) -> tuple[float, ...]:
    """Return numbers of five digits: what differs by less between two processors is the same."""
    return tuple(float(f"{value:.5g}") for value in values.tolist())
