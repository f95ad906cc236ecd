"""From events to online records: what `materialise` writes, one record for each entity."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from holdfast.engines.events import CREATED, EVENT, Events, entity_text
from holdfast.engines.online import LAST, Record

_ROW, _FROM, _PLACE = "__row", "__from", "__place"
_OLDER: Final = "__older"


def records_of(events: Events, written: int) -> Iterator[tuple[str, Record]]:
    """Yield each entity's name and record, as known when everything in the source is known.

    The newest event by (event time, knowledge time, row) gives the row features. Of the events, ordered by the moment
    from which they count, the last few are kept one by one, and the older ones as a count with what bounds them.
    """
    code = events.compiled
    keys = list(code.view.entity)
    if not events.rows.height:
        return
    columns = [f"{code.name}.{name}" for name in sorted(code.row)]
    rows = events.rows.with_row_index(_ROW)
    newest = rows.sort(EVENT, CREATED, _ROW).group_by(keys, maintain_order=True).last()
    history = (
        rows.select(*keys, EVENT, pl.max_horizontal(pl.col(EVENT) + 1, CREATED).alias(_FROM))
        .sort(_FROM, EVENT)
        .with_columns(pl.len().over(keys).cast(pl.Int64).alias(_OLDER), pl.int_range(pl.len()).over(keys).alias(_PLACE))
        .with_columns((pl.col(_OLDER) - LAST).clip(lower_bound=0).alias(_OLDER))
    )
    is_older = pl.col(_PLACE) < pl.col(_OLDER)
    folded = history.group_by(keys, maintain_order=True).agg(
        pl.col(_OLDER).first(),
        pl.col(EVENT).filter(is_older).max().fill_null(0).alias("__older_event"),
        pl.col(_FROM).filter(is_older).max().fill_null(0).alias("__older_from"),
        pl.col(EVENT).filter(~is_older).alias("__events"),
        pl.col(_FROM).filter(~is_older).alias("__froms"),
    )
    for row in newest.join(folded, on=keys, how="inner").iter_rows(named=True):
        yield (
            entity_text([row[key] for key in keys]),
            Record(
                written=written,
                event=row[EVENT],
                created=row[CREATED],
                values=tuple(row[name] for name in columns),
                older=row[_OLDER],
                older_event=row["__older_event"],
                older_from=row["__older_from"],
                last=tuple(zip(row["__events"], row["__froms"], strict=True)),
            ),
        )
