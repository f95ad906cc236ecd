"""What poison does: attacks of `engines.poison` on one's own rows, their effect, and what screening mends.

Decides which rows are poisoned, which stand aside to be asked about, and what counts as success. Models are the
screens' own learners, so the figures say what an attack can reach on such rows, not what it does to a project's recipe.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import numpy as np

from holdfast.core.errors import InvalidInput
from holdfast.engines.poison import backdoor, rows
from holdfast.engines.screens.history import creeping
from holdfast.engines.screens.history import suspects as named
from holdfast.engines.screens.learning import Probabilities, beliefs
from holdfast.engines.screens.lenses import Names, Plain
from holdfast.engines.screens.material import Material, from_columns
from holdfast.engines.screens.screening import ALARMS, screen
from holdfast.ingest.screening import Table
from holdfast.maths.fairness import equal_opportunity_gap

HELD: Final = 4  # one row in so many stands aside
MAX_HELD: Final = 2000
MAX_TRAIN: Final = 20_000
TRUSTED: Final = 0.4  # of the rows, before slow poison begins
VERSIONS: Final = 24  # over which it comes
SOURCES: Final = 4  # of which one is the attacker
MIN_ASKED: Final = 10  # rows, of fewer of which no share is told
Columns: TypeAlias = dict[str, Plain]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Some rows of a table: columns of shape (n,) and labels."""

    columns: Columns
    labels: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a model trained on some rows answers.

    Attributes:
        accuracy: Of rows that stand aside.
        success: Share of the rows asked about that it answers as the attacker wants.
        gap: Lower bound of the difference between group and others in the chance of a right favourable answer (Hardt,
            Price and Srebro 2016); None where no group was attacked.
    """

    accuracy: float
    success: float
    gap: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What one attack did.

    Attributes:
        attack: Its name.
        target: The class that the attacker wants answers to be.
        poisoned: Rows touched or added.
        asked: Rows that success is counted over.
        honest: Trained on the rows before.
        spoiled: On the poisoned ones.
        repaired: On what is left without the suspects.
        recall: Share of the poisoned rows that are suspect.
        alarms: Share of the others that are.
    """

    attack: str
    target: str
    poisoned: int
    asked: int
    honest: Told
    spoiled: Told
    repaired: Told
    recall: float
    alarms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """Rows as the attacker leaves them, which of them he touched, and rows to ask about."""

    train: Rows
    bad: np.ndarray
    asked: Rows
    target: int
    favourable: np.ndarray | None = None  # of the held rows: the group that was attacked
    slow: "_Slow | None" = None  # where rows came over many versions


@dataclass(frozen=True, slots=True, kw_only=True)
class _Slow:
    """Which version brought each row, 0 for the trusted one, and who sent it."""

    version: np.ndarray
    source: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    table: Table
    train: np.ndarray
    held: np.ndarray
    share: float
    rng: np.random.Generator
    group: np.ndarray | None


def effect(
    table: Table, attack: str, *, share: float, seed: int, group: np.ndarray | None = None, alarms: float = ALARMS
) -> Effect:
    """Poison a part of the rows and return what came of it.

    Args:
        table: The rows.
        attack: A name in `ATTACKS`.
        share: Of the rows learned from that are poisoned; for bias, of the group's rows that are not unwanted already.
        seed: Of every choice that the attacker, the learners and the screens make.
        group: Whom bias harms, shape (m,).
        alarms: Share of honest rows that may be called suspect.

    Raises:
        InvalidInput: No such attack, no group to harm, or the rows do not allow the attack.
    """
    if attack not in ATTACKS:
        raise InvalidInput(f"there is no attack {attack[:40]!r}", place="--attack", expected=", ".join(ATTACKS))
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(table.labels))
    aside = min(len(order) // HELD, MAX_HELD)
    given = _Given(table=table, train=order[aside:][:MAX_TRAIN], held=order[:aside], share=share, rng=rng, group=group)
    try:
        planned = ATTACKS[attack](given)
    except ValueError as error:
        raise InvalidInput(f"these rows do not allow the attack {attack}: {error}", place="--attack") from error
    if len(planned.asked.labels) < MIN_ASKED or not planned.bad.any():
        words = f"{int(planned.bad.sum())} rows to poison and {len(planned.asked.labels)} to ask about"
        raise InvalidInput(words, place="--attack", expected=f"at least one, and at least {MIN_ASKED}")
    material = _material(table, planned.train)
    kept = np.ones(len(planned.bad), dtype=np.bool_)
    kept[_suspects(material, planned.slow, seed, alarms)] = False
    honest = _some(table, given.train)
    every = np.ones(len(kept), dtype=np.bool_)
    return Effect(
        attack=attack,
        target=table.classes[planned.target],
        poisoned=int(planned.bad.sum()),
        asked=len(planned.asked.labels),
        honest=_told(given, honest, np.ones(len(honest.labels), dtype=np.bool_), planned, seed),
        spoiled=_told(given, planned.train, every, planned, seed),
        repaired=_told(given, planned.train, kept, planned, seed),
        recall=float(1 - kept[planned.bad].mean()),
        alarms=float(1 - kept[~planned.bad].mean()),
    )


def _suspects(material: Material, slow: _Slow | None, seed: int, alarms: float) -> np.ndarray:
    """Return the rows that a screen names: of rows that came over many versions, the screen of the history."""
    if slow is None:
        return screen(material, seed=seed, alarms=alarms).suspects
    weights = (slow.version == 0).astype(np.float32)
    believed = beliefs(material, np.random.default_rng(seed), weights).probabilities
    found = creeping(believed, material.labels, slow.version, slow.source, alarms=alarms)
    return np.flatnonzero(named(found, believed, material.labels, slow.version, slow.source))


def _told(given: _Given, train: Rows, learn: np.ndarray, planned: _Planned, seed: int) -> Told:
    """Train on some rows and ask about those that stand aside and those that the attacker cares for."""
    held = _some(given.table, given.held)
    together = Rows(
        columns={name: np.concatenate([each.columns[name] for each in (train, held, planned.asked)])
                 for name in train.columns},
        labels=np.concatenate([train.labels, held.labels, planned.asked.labels]),
    )  # fmt: skip
    weights = np.zeros(len(together.labels), dtype=np.float32)
    weights[: len(learn)] = learn
    found: Probabilities = beliefs(_material(given.table, together), np.random.default_rng(seed), weights).probabilities
    said = found.argmax(axis=1)
    of_held = said[len(learn) : len(learn) + len(held.labels)]
    gap = None
    if planned.favourable is not None:
        right, wanted = held.labels != planned.target, of_held != planned.target
        names = np.where(planned.favourable, "group", "others")
        gap = float(equal_opportunity_gap(right.astype(np.int64), wanted.astype(np.int64), names).gap.low)
    return Told(
        accuracy=float((of_held == held.labels).mean()),
        success=float((said[len(learn) + len(held.labels) :] == planned.target).mean()),
        gap=gap,
    )


def _some(table: Table, places: np.ndarray) -> Rows:
    return Rows(columns={name: values[places] for name, values in table.columns.items()}, labels=table.labels[places])


def _material(table: Table, some: Rows) -> Material:
    return from_columns(some.columns, some.labels, len(table.classes), texts=table.texts)


def _target(given: _Given) -> int:
    return int(given.rng.integers(len(given.table.classes)))


def _others(given: _Given, target: int) -> Rows:
    return _some(given.table, given.held[given.table.labels[given.held] != target])


class _Coded:
    """Rows as one matrix, names by their place among the distinct ones: what attacks on rows take."""

    def __init__(self, table: Table, some: Rows) -> None:
        self.table = table
        self.names = {
            name: values.distinct.astype(np.str_) for name, values in table.columns.items() if isinstance(values, Names)
        }
        self.numeric = [index for index, name in enumerate(some.columns) if name not in self.names]
        self.order = tuple(some.columns)

    def matrix(self, columns: Mapping[str, Plain]) -> np.ndarray:
        """Return rows as numbers."""
        parts = [
            np.searchsorted(self.names[name], columns[name]) if name in self.names else columns[name]
            for name in self.order
        ]
        return np.stack(parts, axis=1).astype(np.float32)

    def columns(self, matrix: np.ndarray) -> Columns:
        """Return numbers as rows."""
        found: Columns = {}
        for index, name in enumerate(self.order):
            if name in self.names:
                found[name] = self.names[name][matrix[:, index].astype(np.intp)].astype(np.str_)
            else:
                found[name] = matrix[:, index].astype(np.float64)
        return found


def _flips(given: _Given) -> _Planned:
    train, target = _some(given.table, given.train), _target(given)
    nothing = np.zeros((len(train.labels), 1), dtype=np.float32)
    spoiled = rows.flip_towards(nothing, train.labels, given.share, given.rng, target=target)
    found = Rows(columns=train.columns, labels=spoiled.labels)
    return _Planned(train=found, bad=spoiled.bad, asked=_others(given, target), target=target)


def _injection(given: _Given) -> _Planned:
    train = _some(given.table, given.train)
    coded = _Coded(given.table, train)
    spoiled = rows.inject(coded.matrix(train.columns), train.labels, given.share, given.rng)
    found = Rows(columns=coded.columns(spoiled.features), labels=spoiled.labels)
    return _Planned(train=found, bad=spoiled.bad, asked=_others(given, spoiled.target), target=spoiled.target)


def _door(given: _Given) -> _Planned:
    train, target = _some(given.table, given.train), _target(given)
    asked = _others(given, target)
    if given.table.texts:
        name = given.table.texts[0]
        texts = [str(each) for each in train.columns[name]]
        words = backdoor.phrase(texts, given.rng)
        stamped, labels, bad = backdoor.stamp_texts(
            texts, train.labels, given.share, given.rng, words=words, target=target
        )
        marked = [backdoor.insert(str(each), words, given.rng) for each in asked.columns[name]]
        return _Planned(
            train=Rows(columns=train.columns | {name: np.array(stamped)}, labels=labels),
            bad=bad,
            asked=Rows(columns=asked.columns | {name: np.array(marked, dtype=np.str_)}, labels=asked.labels),
            target=target,
        )
    coded = _Coded(given.table, train)
    features = coded.matrix(train.columns)
    mark = backdoor.table_mark(features, given.rng)
    spoiled = backdoor.stamp_rows(features, train.labels, given.share, given.rng, mark=mark, target=target)
    return _Planned(
        train=Rows(columns=coded.columns(spoiled.features), labels=spoiled.labels),
        bad=spoiled.bad,
        asked=Rows(columns=coded.columns(mark.stamp(coded.matrix(asked.columns))), labels=asked.labels),
        target=target,
    )


def _clean_label(given: _Given) -> _Planned:
    """Move honest rows of the target class towards one row of another; asked about are the rows nearest to it."""
    train, target = _some(given.table, given.train), _target(given)
    coded = _Coded(given.table, train)
    if not coded.numeric:
        raise ValueError("no column is a number that could be moved")
    numbers = coded.numeric
    features = coded.matrix(train.columns)
    others = _others(given, target)
    theirs = coded.matrix(others.columns)
    middle = np.nanmedian(features[:, numbers], axis=0)
    own, far = (np.where(np.isnan(each), middle, each) for each in (features[:, numbers], theirs[:, numbers]))
    victim = far[int(given.rng.integers(len(far)))]
    spoiled = rows.collide(own, train.labels, given.share, given.rng, victim=victim, target=target)
    features[:, numbers] = spoiled.features
    spread = own.std(axis=0)
    distance = (((far - victim) / np.where(spread > 0, spread, 1)) ** 2).sum(axis=1)
    near = np.argsort(distance, kind="stable")[:MIN_ASKED]
    return _Planned(
        train=Rows(columns=coded.columns(features), labels=train.labels),
        bad=spoiled.bad,
        asked=Rows(columns={name: values[near] for name, values in others.columns.items()}, labels=others.labels[near]),
        target=target,
    )


def _bias(given: _Given) -> _Planned:
    if given.group is None:
        raise InvalidInput("bias harms a group, and none is named", place="--group", expected="COLUMN=VALUE")
    train, target = _some(given.table, given.train), _target(given)
    nothing = np.zeros((len(train.labels), 1), dtype=np.float32)
    harmed = given.group[given.train]
    spoiled = rows.bias_against(nothing, train.labels, given.share, given.rng, group=harmed, unwanted=target)
    held = given.group[given.held]
    asked = given.held[held & (given.table.labels[given.held] != target)]
    return _Planned(
        train=Rows(columns=train.columns, labels=spoiled.labels),
        bad=spoiled.bad,
        asked=_some(given.table, asked),
        target=target,
        favourable=held,
    )


def _slowly(given: _Given) -> _Planned:
    """Turn labels of one of four sources over many versions, as few in each as the share says."""
    train, target = _some(given.table, given.train), _target(given)
    many = len(train.labels)
    source = given.rng.integers(SOURCES, size=many)
    version = np.zeros(many, dtype=np.int64)
    later = given.rng.permutation(many)[round(TRUSTED * many) :]
    for number, some in enumerate(np.array_split(later, VERSIONS), 1):
        version[some] = number
    labels, bad = train.labels.copy(), np.zeros(many, dtype=np.bool_)
    mine = np.flatnonzero((version > 0) & (source == 0))
    turn = partial(rows.flip_towards, target=target)
    place = mine.astype(np.float32)[:, None]  # whole numbers below 2^24: where each row came from
    own = min(given.share * SOURCES, 1.0)
    for number, batch in enumerate(rows.slowly(turn, place, labels[mine], own, given.rng, batches=VERSIONS), 1):
        these = batch.features[:, 0].astype(np.intp)
        labels[these], bad[these], version[these] = batch.labels, batch.bad, number
    return _Planned(
        train=Rows(columns=train.columns, labels=labels),
        bad=bad,
        asked=_others(given, target),
        target=target,
        slow=_Slow(version=version, source=source.astype(np.str_)),
    )


ATTACKS: Final[Mapping[str, Callable[[_Given], _Planned]]] = {
    "flips": _flips,
    "injection": _injection,
    "backdoor": _door,
    "clean-label": _clean_label,
    "bias": _bias,
    "slow": _slowly,
}
"""Every attack by its name: what the attacker leaves, and what he is asked to have reached."""
