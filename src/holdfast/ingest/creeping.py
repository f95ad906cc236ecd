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
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.engines.screens.history import ALARMS, EVERYBODY, Creep, creeping
from holdfast.engines.screens.learning import beliefs
from holdfast.ingest.screening import SEED, tabulate

TRUSTED_LEAST: Final = 200  # labelled rows of the trusted version; of fewer no rate is known well enough
MAX_TRUSTED: Final = 8_000
MAX_LATER: Final = 16_000  # rows, drawn evenly from what all later versions brought
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
    versions: Sequence[pl.DataFrame], label: str, features: Sequence[str], by: Sequence[str], *, alarms: float = ALARMS
) -> Crept | NotApplicable:
    """Return which labels crept over versions, the first of which is trusted.

    Args:
        versions: Whole tables, the trusted one first, then the later ones in order. What a version brought are rows
            that none before it had, cell by cell: a row whose label was changed counts as brought.
        label: The column of labels.
        features: The columns that learners may see.
        by: Columns of sources or annotators; a column of another kind is left out.
        alarms: Chance that anything is named where nothing crept.

    Raises:
        InvalidData: There is no such label, or it is no class.
    """
    rows, number = _brought(versions, [label, *features, *by])
    labelled = rows[label].is_not_null().to_numpy()
    first, later = int((labelled & (number == 0)).sum()), int((labelled & (number > 0)).sum())
    if first < TRUSTED_LEAST or not later:
        few = f"the trusted version has {first} labelled rows, at least {TRUSTED_LEAST} are needed"
        return NotApplicable(reason=few if first < TRUSTED_LEAST else "no later version brought a labelled row")
    rows, number = _some(rows, number)
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


def _brought(versions: Sequence[pl.DataFrame], wanted: Sequence[str]) -> tuple[pl.DataFrame, np.ndarray]:
    """Return the rows that each version brought, and which version it was, shape (n,)."""
    shared = [name for name in dict.fromkeys(wanted) if all(name in each.columns for each in versions)]
    seen = versions[0].select(shared)
    parts, numbers = [seen], [np.zeros(len(seen), dtype=np.int64)]
    for place, whole in enumerate(versions[1:], 1):
        new = whole.select(shared).cast(seen.schema).join(seen, on=shared, how="anti", nulls_equal=True)
        seen = pl.concat([seen, new])
        parts.append(new)
        numbers.append(np.full(len(new), place, dtype=np.int64))
    return pl.concat(parts), np.concatenate(numbers)


def _some(rows: pl.DataFrame, number: np.ndarray) -> tuple[pl.DataFrame, np.ndarray]:
    """Return no more rows than can be looked at, drawn evenly."""
    order = np.random.default_rng(SEED).permutation(len(number))
    first, later = order[number[order] == 0][:MAX_TRUSTED], order[number[order] > 0][:MAX_LATER]
    kept = np.sort(np.concatenate((first, later)))
    return rows[kept.tolist()], number[kept]


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
