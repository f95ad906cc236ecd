"""One look at rows: every screen, one combined score in one currency, and the rows that are suspect.

The currency is the share of honest rows that would look as bad. Labels are held against labels drawn from what the
learners believe of honest ones; the rank within the class stands for spectral signatures, where it is that share by
construction; what bears a trigger has a fixed share, well within the alarms. A row is suspect if its share is at most
`alarms`, which is therefore the stated rate of false alarms.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from holdfast.engines.screens.labels import Suspicion, channel_odds, suspect
from holdfast.engines.screens.learning import TREES, Probabilities, scaled
from holdfast.engines.screens.material import Material
from holdfast.engines.screens.spectral import signatures
from holdfast.engines.screens.triggers import Trigger, find_triggers

ALARMS: Final = 0.01  # share of honest rows that may be called suspect
FOR_LABELS: Final = 0.75  # part of the alarms that labels may cause
BY_TREES: Final = (
    0.5  # the same where trees speak: they are surer, and honest labels surprise them more often than drawn
)
FOR_SPECTRA: Final = (
    0.05  # and spectral signatures; the rest is for honest rows that bear a trigger, and for what is not exact
)
OF_TRIGGER: Final = 0.25  # of the alarms is the share of whatever bears a trigger: behind labels that are surely wrong
DRAWS: Final = 10  # times that labels are drawn for each row
PART: Final = 40_000  # rows that are looked at together: some 600 MB, of columns of texts up to 2 GB
SCREENS: Final = ("label", "spectrum", "trigger")
LEAST: Final = 50  # rows, below which nothing can be learned


@dataclass(frozen=True, slots=True, kw_only=True)
class Screened:
    """What was found of each row.

    Attributes:
        share: Share of honest rows that would look as bad, shape (n,); small is bad.
        suspects: Rows whose share is at most the alarms.
        loudest: For each row the place of the screen among `SCREENS` that speaks loudest, shape (n,).
        triggers: Patterns that bring a label along, with the rows they mark.
        channel: Share of each given label among those surest of each class, of the part with the most turned labels.
        details: What was found of every row, where that was asked for.
    """

    share: NDArray[np.float64]
    suspects: NDArray[np.intp]
    loudest: NDArray[np.uint8]
    triggers: tuple[Trigger, ...]
    channel: NDArray[np.float64]
    alarms: float
    details: "Details | None" = None

    def by(self, row: int) -> str:
        """Return the screen that speaks loudest of a row."""
        return SCREENS[int(self.loudest[row])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What each screen says of each row, shape (n,) where nothing else is said: fifty bytes a row.

    Attributes:
        margin: Class-adjusted margin of confident learning.
        disagreement: Share of neighbours that bear another label.
        odds: That the label came through the channel.
        spectrum: Spectral signature.
        believed: Class probabilities out of fold, shape (n, classes).
    """

    margin: NDArray[np.float64]
    disagreement: NDArray[np.float64]
    odds: NDArray[np.float64]
    spectrum: NDArray[np.float64]
    believed: Probabilities


class Rows(Protocol):
    """Rows to be screened: a material, or a table of which parts are made into one."""

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class indices, shape (n,)."""
        ...

    def parts(self, wanted: Sequence[NDArray[np.intp]]) -> Iterator[Material]:
        """Yield the material of some rows after the other."""
        ...


def screen(
    material: Rows,
    *,
    seed: int,
    alarms: float = ALARMS,
    trusted: NDArray[np.bool_] | None = None,
    details: bool = True,
) -> Screened:
    """Return what the screens find in rows; many rows are looked at in parts, of which one is held at a time.

    Args:
        material: The rows.
        seed: Of folds, random features, drawn labels, and of what belongs to which part.
        alarms: Share of honest rows that may be called suspect.
        trusted: Shape (n,): rows known to be honest, mixed with the others. Where there are any, the labels' scores are
            held against theirs, and no labels are drawn.
        details: Whether to say of each row what each screen makes of it.

    Raises:
        ValueError: Too few rows, or one class only.
    """
    n = len(material.labels)
    if n < LEAST or len(np.unique(material.labels)) < 2:
        raise ValueError(f"{n} rows of {len(np.unique(material.labels))} classes are too few to screen")
    rng = np.random.default_rng(seed)
    parts = [np.sort(each) for each in np.array_split(rng.permutation(n), -(-n // PART))]
    known = np.zeros(n, dtype=np.bool_) if trusted is None else trusted
    found = _Found.of(n, details=details)
    for rows, some in zip(parts, material.parts(parts), strict=True):
        found.add(rows, _part(some, rng, known[rows], alarms))
    return found.screened(alarms)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    share: NDArray[np.float64]
    loudest: NDArray[np.uint8]
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
        "label": of_label / (BY_TREES if TREES in suspicion.used else FOR_LABELS),
        "spectrum": rank / len(rank) / FOR_SPECTRA,
        "trigger": np.ones(len(rank)),
    }
    triggers = find_triggers(material)
    for each in triggers:
        shares["trigger"][each.rows] = alarms * OF_TRIGGER
    table = np.stack([shares[name] for name in SCREENS])
    return _Part(
        share=np.minimum(table.min(axis=0), 1.0),
        loudest=table.argmin(axis=0).astype(np.uint8),
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


@dataclass(slots=True, kw_only=True)
class _Found:
    """What was found so far, of all rows."""

    share: NDArray[np.float64]
    loudest: NDArray[np.uint8]
    details: dict[str, NDArray[np.float64]] | None
    triggers: list[tuple[NDArray[np.intp], tuple[Trigger, ...]]] = field(default_factory=list)
    channels: list[NDArray[np.float64]] = field(default_factory=list)

    @classmethod
    def of(cls, rows: int, *, details: bool) -> Self:
        """Begin."""
        return cls(share=np.zeros(rows), loudest=np.zeros(rows, dtype=np.uint8), details={} if details else None)

    def add(self, rows: NDArray[np.intp], part: _Part) -> None:
        """Put a part's rows in their places."""
        self.share[rows] = part.share
        self.loudest[rows] = part.loudest
        self.triggers.append((rows, part.triggers))
        self.channels.append(part.suspicion.channel)
        if self.details is not None:
            said = {
                "margin": part.suspicion.margin,
                "disagreement": part.suspicion.disagreement,
                "odds": part.suspicion.odds,
                "spectrum": part.spectrum,
                "believed": part.suspicion.believed,
            }
            for name, values in said.items():
                whole = self.details.setdefault(name, np.zeros((len(self.share), *values.shape[1:])))
                whole[rows] = values

    def screened(self, alarms: float) -> Screened:
        """Return it all."""
        suspects = np.flatnonzero(self.share <= alarms)
        turned = [1 - np.diag(each).min() for each in self.channels]
        return Screened(
            share=self.share,
            suspects=suspects[np.argsort(self.share[suspects], kind="stable")],
            loudest=self.loudest,
            triggers=_merged(self.triggers),
            channel=self.channels[int(np.argmax(turned))],
            alarms=alarms,
            details=None if self.details is None else Details(**self.details),
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
