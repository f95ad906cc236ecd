"""Slow poison in a history of versions: which label crept, by which source, and since which version.

Decides what a version's own rows are and which sources are told apart; the bets are `engines.screens.history`'s. A find
is set before people: a world that changed creeps as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from holdfast.core.control import NotApplicable, Report
from holdfast.core.errors import InvalidData
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.engines.packed import Packed
from holdfast.engines.screens.history import ALARMS, EVERYBODY, Creep, creeping
from holdfast.engines.screens.learning import beliefs
from holdfast.ingest.screening import SEED, tabulate

TRUSTED_LEAST: Final = 200  # labelled rows of the trusted version; of fewer no rate is known well enough
MAX_TRUSTED: Final = 8_000
MAX_LATER: Final = 16_000  # rows, drawn evenly from what all later versions brought
OPEN: Final = 12_000_000  # cells of rows that are compared at a time: with the join's own keys some 300 MB
SAMPLE: Final = 64  # of hashes, one in so many tells how many are distinct
_PLACE: Final = "\0place"
MAX_SOURCES: Final = 50  # values of a column beyond which it names no sources


@dataclass(frozen=True, slots=True, kw_only=True)
class Crept:
    """What was found in a history.

    Attributes:
        classes: The values of the label, in order.
        versions: How many came after the trusted one and brought rows.
        trusted: Rows of the trusted version that were learned from.
        later: Rows that later ones brought and that were looked at.
        creeps: By column of sources ("" for all rows together), the worst first.
        alarms: Chance that anything is named where nothing crept.
    """

    classes: tuple[str, ...]
    versions: int
    trusted: int
    later: int
    creeps: tuple[tuple[str, Creep], ...]
    alarms: float

    @property
    def far(self) -> tuple[tuple[str, Creep], ...]:
        """What is more than chance."""
        return tuple((column, each) for column, each in self.creeps if each.far)


def crept(
    versions: Sequence[Packed], label: str, features: Sequence[str], by: Sequence[str], *, alarms: float = ALARMS
) -> Crept | NotApplicable:
    """Return which labels crept over versions, the first of which is trusted.

    Args:
        versions: Tables, the trusted one first, then the later ones in order. What a version brought are rows that
            none before it had, cell by cell: a row whose label was changed counts as brought. None is opened whole.
        label: The column of labels.
        features: The columns that learners may see.
        by: Columns of sources or annotators; a column of another kind is left out.
        alarms: Chance that anything is named where nothing crept.

    Raises:
        InvalidData: There is no such label, or it is no class.
    """
    shared = [name for name in dict.fromkeys([label, *features, *by]) if all(name in each.columns for each in versions)]
    if label not in shared:
        raise InvalidData(f"not every version has a column {label[:80]!r}", place="--label")
    brought = _brought(versions, shared)
    told = [_labelled(version, label, rows) for version, rows in zip(versions, brought, strict=True)]
    first, later = told[0], sum(told[1:])
    if first < TRUSTED_LEAST or not later:
        few = f"the trusted version has {first} labelled rows, at least {TRUSTED_LEAST} are needed"
        return NotApplicable(reason=few if first < TRUSTED_LEAST else "no later version brought a labelled row")
    rows, number = _some(versions, shared, brought)
    table = tabulate(rows, label, features)
    number = number[table.kept]
    believed = beliefs(table.material, np.random.default_rng(SEED), (number == 0).astype(np.float32)).probabilities
    columns = [name for name in by if 1 < rows[name].n_unique() <= MAX_SOURCES]
    each = alarms / max(len(columns), 1)
    found: list[tuple[str, Creep]] = []
    for name in columns or [EVERYBODY]:
        groups = rows[name].cast(pl.String).fill_null("?").to_numpy() if name else np.zeros(len(rows))
        creeps = creeping(believed, table.labels, number, groups.astype(np.str_)[table.kept], alarms=each)
        found += [(name, one) for one in creeps if one.group != EVERYBODY or name == (columns or [EVERYBODY])[0]]
    return Crept(
        classes=table.classes,
        versions=len(np.unique(number)) - 1,
        trusted=int((number == 0).sum()),
        later=int((number > 0).sum()),
        creeps=tuple(sorted(found, key=lambda pair: -pair[1].ln_e)),
        alarms=alarms,
    )


def _brought(versions: Sequence[Packed], shared: Sequence[str]) -> list[np.ndarray]:
    """Return the places of the rows that each version brought, ascending: all of the first, of others what is new.

    Rows are compared cell by cell, those of one bucket at a time: equal rows are always in the same one.
    """
    types = _types(versions[0], shared)
    several = _several(versions, types)
    new: list[list[np.ndarray]] = [[] for _ in versions]
    for bucket in range(several):
        seen = pl.DataFrame(schema=types)
        for found, version in zip(new, versions, strict=True):
            rows = _of_bucket(version, types, bucket, several)
            if found is not new[0]:
                rows = rows.join(seen, on=list(shared), how="anti", nulls_equal=True)
            found.append(rows.get_column(_PLACE).to_numpy())
            seen = pl.concat([seen, rows.drop(_PLACE)])
    return [np.sort(np.concatenate(found)) for found in new]


def _several(versions: Sequence[Packed], types: pl.Schema) -> int:
    """Return into how many buckets rows go, so that one bucket's distinct rows and those of one version fit `OPEN`.

    How many are distinct is told by one hash in `SAMPLE`.
    """
    if sum(version.height for version in versions) * len(types) <= OPEN:
        return 1
    hashes = np.empty(0, dtype=np.uint64)
    for version in versions:
        for frame in version.slices(types.names()):
            found = _hashes(frame.cast(types))
            hashes = np.union1d(hashes, found[found % SAMPLE == 0])
    rows = len(hashes) * SAMPLE + max(version.height for version in versions)
    return -(-rows * len(types) // OPEN)


def _of_bucket(version: Packed, types: pl.Schema, bucket: int, several: int) -> pl.DataFrame:
    """Return the rows of one bucket, and their places in the version."""
    frames, start = [pl.DataFrame(schema=types).with_row_index(_PLACE)], 0
    for each in version.slices(types.names()):
        frame = each.cast(types).with_row_index(_PLACE, offset=start)
        start += frame.height
        if several > 1:
            frame = frame.filter(pl.Series(_hashes(frame.drop(_PLACE)) // SAMPLE % several == bucket))
        frames.append(frame)
    return pl.concat(frames)


def _hashes(frame: pl.DataFrame) -> np.ndarray:
    """Return a hash of each row; rows that a join takes for equal have the same one, also those with -0.0 or NaN."""
    floats = pl.selectors.float()
    return frame.with_columns(floats.fill_nan(None) + 0.0).hash_rows().to_numpy()


def _types(version: Packed, names: Sequence[str]) -> pl.Schema:
    return pl.Schema({name: version.types[name] for name in names})


def _labelled(version: Packed, label: str, places: np.ndarray) -> int:
    """Return how many of some rows have a label."""
    told = [np.zeros(0, dtype=np.bool_)]
    told += [each.get_column(label).is_not_null().to_numpy() for each in version.slices([label])]
    return int(np.concatenate(told)[places].sum())


def _some(
    versions: Sequence[Packed], shared: Sequence[str], brought: Sequence[np.ndarray]
) -> tuple[pl.DataFrame, np.ndarray]:
    """Return no more rows than can be looked at, drawn evenly, and which version brought each, shape (n,)."""
    number = np.repeat(np.arange(len(brought), dtype=np.int16), [len(each) for each in brought])
    order = np.random.default_rng(SEED).permutation(len(number))
    first, later = order[number[order] == 0][:MAX_TRUSTED], order[number[order] > 0][:MAX_LATER]
    kept = np.sort(np.concatenate((first, later)))
    number = number[kept].astype(np.int64)
    kept = np.concatenate(brought)[kept]
    types = _types(versions[0], shared)
    rows = [_at(version, types, kept[number == place]) for place, version in enumerate(versions)]
    return pl.concat(rows), number


def _at(version: Packed, types: pl.Schema, places: np.ndarray) -> pl.DataFrame:
    """Return the rows at some places, which ascend."""
    frames, start = [pl.DataFrame(schema=types)], 0
    for each in version.slices(types.names()):
        some = places[(places >= start) & (places < start + each.height)] - start
        start += each.height
        frames.append(each[some.tolist()].cast(types))
    return pl.concat(frames)


def words(creep: Creep, classes: Sequence[str]) -> str:
    """Return what was found as a sentence without its place."""
    return (
        f"{creep.borne} rows bear {classes[creep.label]!r} though they are believed to be something else, and at most "
        f"{creep.expected:.0f} would on average; it was enough at version {creep.since} after the trusted one"
    )


def report(found: Crept | NotApplicable) -> Report | NotApplicable:
    """Return what was found as evidence."""
    if isinstance(found, NotApplicable):
        return found
    measures = (
        exactly("creeping_labels", len(found.far)),
        exactly("ln_evidence", max(each.ln_e for _, each in found.creeps)),
        exactly("later_versions", found.versions),
        exactly("trusted_rows", found.trusted),
        exactly("later_rows", found.later),
        exactly("stated_alarm_share", found.alarms),
    )
    findings = tuple(
        Finding(
            place=f"{column} {each.group}"[:300] if each.group else "all rows",
            severity=Severity.HIGH,
            rule="history.creep",
            message=words(each, found.classes),
        )
        for column, each in found.far
    )
    facts = {"against": "the oldest version that can be read", "statistic": "e-process of bets, over all beginnings"}
    return Report(measures=measures, findings=findings, facts=facts)
