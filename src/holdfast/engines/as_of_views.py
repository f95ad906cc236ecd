"""A view's features as of given moments: the offline side, for training sets and for whatever checks the online one."""

import numpy as np
import polars as pl

from holdfast.engines.asof import find, taken
from holdfast.engines.events import EVENT, Events
from holdfast.engines.expressions import EARLIER, EVENT_TIME, SINCE
from holdfast.engines.expressions_frames import TYPES, compiled, seconds


def as_of(events: Events, asks: pl.DataFrame, moment: str) -> pl.DataFrame:
    """Return every feature of a view for rows that name an entity and a moment: rows in, rows out, in order.

    Args:
        events: The view's events.
        asks: Entity columns in the types that the view declares, and moments in microseconds since 1970.
        moment: Name of the column of moments.
    """
    code, view = events.compiled, events.compiled.view
    moments = asks.get_column(moment)
    columns: list[pl.Series] = []
    if code.row:
        found = find(events.rows, asks, view.entity, moment)
        alive = found.position >= 0
        if view.ttl_us and events.rows.height:
            happened = events.rows.get_column(EVENT).to_numpy()[np.maximum(found.position, 0)]
            alive &= moments.fill_null(0).to_numpy() - happened <= view.ttl_us
        columns += [
            taken(events.rows.get_column(f"{code.name}.{name}"), found.position, alive).alias(f"{code.name}.{name}")
            for name in code.row
        ]
    if code.request:
        context = pl.DataFrame([moments.alias(EVENT_TIME), *_history(events, asks, moment)])
        columns += context.select(
            compiled(each, view.zone).cast(TYPES[view.features[name].type]).alias(f"{code.name}.{name}")
            for name, each in code.request.items()
        ).get_columns()
    order = [f"{code.name}.{name}" for name in view.features]
    return pl.DataFrame(columns).select(order) if columns else pl.DataFrame()


def _history(events: Events, asks: pl.DataFrame, moment: str) -> list[pl.Series]:
    """Return how many events came before each moment and how long ago the last one was: strictly before, and known."""
    if not events.compiled.strict_history:
        return []
    found = find(events.rows, asks, events.compiled.view.entity, moment, strictly_before=True)
    moments = asks.get_column(moment)
    nobody = asks.select(pl.any_horizontal(pl.col(name).is_null() for name in events.compiled.view.entity)).to_series()
    unknown = nobody | moments.is_null()
    count = pl.Series(EARLIER, found.count, dtype=pl.Int64).set(unknown, None)
    happened = taken(events.rows.get_column(EVENT), found.position, found.position >= 0)
    apart = (moments - happened).cast(pl.Float64).alias(SINCE)
    since = apart.to_frame().select(seconds(pl.col(SINCE)).alias(SINCE)).to_series()
    return [count, since]
