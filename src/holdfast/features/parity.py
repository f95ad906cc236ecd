"""Parity: training and serving compute the same features, bit for bit, or the gate stays closed.

Two comparisons. Each view's records are made, written as bytes and read again as a gateway reads them, and what they
say of an entity at a moment is held against the point-in-time join at that moment: values, their types, and whether
they are missing. And rows of the table are computed once more, each alone, as a single call's row is.
"""

import struct
from typing import TYPE_CHECKING, Final

import numpy as np
import polars as pl

from holdfast.core.control import Report
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.engines.as_of_views import as_of
from holdfast.engines.events import CREATED, EVENT, Events, entity_text
from holdfast.engines.expressions import Value
from holdfast.engines.online import Record, decode_record, encode_record, lookup_of, values_at
from holdfast.engines.records import records_of
from holdfast.engines.transform import HASHED, Floats, View, apply, text_columns
from holdfast.features.table import texts_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holdfast.features.evidence import Built

MAX_ENTITIES: Final = 2_000  # of one view that are compared, spread over all: a defect of code shows on any of them
MAX_ROWS: Final = 1_000  # of the table that are computed again, spread over all
MAX_FINDINGS: Final = 20  # that are told one by one


def measure_parity(built: "Built") -> Report:
    """Compare both sides, and count the values that differ."""
    compared, different = 0, list[Finding]()
    for opened in built.views:
        number, findings = _view(opened.events)
        compared, different = compared + number, different + findings
    number, findings = _rows(built)
    compared, different = compared + number, different + findings
    measures = (
        exactly("values_compared", compared),
        exactly("mismatches", len(different), n=compared),
    )
    return Report(measures=measures, findings=tuple(different[:MAX_FINDINGS]))


def same(first: Value, second: Value) -> bool:
    """Say whether two values are one: of one type, and equal in every bit."""
    if type(first) is not type(second):
        return False
    if isinstance(first, float) and isinstance(second, float):
        return struct.pack("<d", first) == struct.pack("<d", second) or (first != first and second != second)  # noqa: PLR0124
    return first == second


def compare(
    events: Events, records: "Mapping[str, Record | None]", asks: pl.DataFrame, moment: int
) -> tuple[int, list[Finding]]:
    """Compare records of entities with the point-in-time join at one moment; return how many values, and what differs.

    Args:
        events: The view's events.
        records: What lies online, by entity.
        asks: The entities, one row each.
        moment: In microseconds since 1970, when everything in the source is known.
    """
    view, name = events.compiled.view, events.compiled.name
    lookup = lookup_of(name, view, tuple(view.features))
    offline = as_of(events, asks.with_columns(pl.lit(moment, dtype=pl.Int64).alias("__moment")), "__moment")
    findings: list[Finding] = []
    for key, row in zip(asks.iter_rows(), offline.iter_rows(), strict=True):
        online, _ = values_at(lookup, records.get(entity_text(key)), moment)
        for feature, value in zip(view.features, row, strict=True):
            declared = _as_declared(online[feature], view.features[feature].type)
            if not same(value, declared):
                findings.append(_differs(f"{name}.{feature}", value, declared))
    return offline.height * offline.width, findings


def moment_of(events: Events) -> int:
    """Return a moment at which every event of a view has happened and is known."""
    newest = events.rows.select(pl.max_horizontal(pl.col(EVENT).max(), pl.col(CREATED).max())).item()
    return int(newest or 0) + 1


def sample(events: Events, most: int = MAX_ENTITIES) -> pl.DataFrame:
    """Return entities of a view, spread over all of them."""
    entities = events.rows.select(events.compiled.view.entity).unique(maintain_order=True)
    return entities.gather_every(max(1, -(-entities.height // most)))


def _view(events: Events) -> tuple[int, list[Finding]]:
    chosen = sample(events)
    few = events.rows.join(chosen, on=list(events.compiled.view.entity), how="semi", maintain_order="left")
    moment = moment_of(events)
    records: dict[str, Record | None] = {
        entity: decode_record(encode_record(record), entity)
        for entity, record in records_of(Events(compiled=events.compiled, rows=few), moment)
    }
    return compare(events, records, chosen, moment)


def _as_declared(value: Value, declared: str) -> Value:
    return (
        float(value)
        if declared == "float" and isinstance(value, int)
        else (int(value) if declared == "int" and isinstance(value, bool) else value)
    )


def _rows(built: "Built") -> tuple[int, list[Finding]]:
    """Compute rows of the table again, each alone, from the data set."""
    own = [feature for feature in built.view.features if all(name in built.columns for name in feature.of)]
    step = max(1, -(-built.rows.height // MAX_ROWS))
    columns = {
        name: built.data.rows.get_column(name).cast(pl.Float64).fill_null(float("nan")).to_numpy()[::step].copy()
        for name in {name for feature in own if feature.transform != HASHED for name in feature.of}
    }
    texts = {name: column[::step] for name, column in texts_of(built.view, built.data.rows).items()}
    if not own:
        return 0, []
    stored = np.stack([built.rows.get_column(feature.name).to_numpy()[::step].copy() for feature in own], axis=1)
    alone = np.concatenate([apply(own, _alone(built.view, columns, texts, row)) for row in range(len(stored))])
    differs = (alone.view(np.int64) != np.ascontiguousarray(stored).view(np.int64)) & ~(
        np.isnan(alone) & np.isnan(stored)
    )
    places = [(int(row), own[int(column)].name) for row, column in np.argwhere(differs)]
    return stored.size, [_differs(name, float(stored[row, 0]), None) for row, name in places]


def _alone(
    view: View, columns: "Mapping[str, Floats]", texts: "Mapping[str, Sequence[str | None]]", row: int
) -> dict[str, Floats]:
    """Return the columns of one row, its texts hashed as a call's are."""
    numbers = {name: values[row : row + 1] for name, values in columns.items()}
    return numbers | text_columns(view.hashings, {name: [each[row]] for name, each in texts.items()})


def _differs(feature: str, offline: Value, online: Value) -> Finding:
    kinds = f"{type(offline).__name__} offline and {type(online).__name__} online"
    words = f"{kinds}" if type(offline) is not type(online) else "another value online than offline"
    return Finding(place=feature, severity=Severity.HIGH, rule="parity-mismatch", message=words)
