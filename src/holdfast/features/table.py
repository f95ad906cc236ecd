"""The table of features: one row per row of the data set, in its order.

Columns: `id` (text), each feature (float64, NaN where missing), `label` (index into the view's classes), then
`slice:<column>` as text, by which quality is reported, and `protected:<column>` in sealed cells, which only the
assessment of fairness opens.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Final

import polars as pl

from holdfast.core.errors import InvalidData
from holdfast.core.ports import no_protected_key
from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.engines.as_of_views import as_of
from holdfast.engines.dataset import Stored
from holdfast.engines.expressions_frames import TYPES
from holdfast.engines.packed import Columns, Packed, pack
from holdfast.engines.protected import Protected
from holdfast.engines.transform import HASHED, View, apply, text_columns
from holdfast.features.stored import Opened
from holdfast.features.view import label_texts

UNKNOWN: Final = "(missing)"  # the group of rows whose slice or protected value is missing: they are a group too
ID_SEPARATOR: Final = "\x1f"  # joins the parts of an id of several columns; cleaned text cannot hold it


def compute(
    project: Project,
    view: View,
    data: Stored,
    views: tuple[Opened, ...] = (),
    protected_key: Callable[[], bytes] = no_protected_key,
    *,
    first: int = 0,
) -> pl.DataFrame:
    """Return the table of features of a data set; features of views are as of each row's own moment.

    Args:
        project: What is declared.
        view: The features.
        data: The rows.
        views: The registered views that are used.
        protected_key: Under which protected attributes are sealed; asked for only where there are any.
        first: How many rows of the data set came before these.

    Raises:
        InvalidData: A transform has no finite value for a row, or an entity's column has another type than in the view.
    """
    joined = [column for opened in views for column in _as_of(project, data, opened)]
    found = {column.name: column for column in joined}
    needed = {name for feature in view.features if feature.transform != HASHED for name in feature.of}
    columns = {
        name: (found[name] if name in found else data.rows.get_column(name))
        .cast(pl.Float64)
        .fill_null(float("nan"))
        .to_numpy()
        for name in sorted(needed)
    }
    columns |= text_columns(view.hashings, texts_of(view, data.rows))
    values = apply(view.features, columns)
    index = {name: number for number, name in enumerate(view.classes)}
    return pl.DataFrame(
        [
            _ids(data, first),
            *(pl.Series(name, values[:, number]) for number, name in enumerate(view.names)),
            label_texts(project, data).replace_strict(index, return_dtype=pl.Int64).alias("label"),
            *_groups(data, Use.SLICE),
            *_sealed(_groups(data, Use.PROTECTED), protected_key, first),
        ]
    )


def computed(
    project: Project,
    view: View,
    data: Stored,
    views: tuple[Opened, ...],
    protected_key: Callable[[], bytes],
    folder: Path,
) -> Packed:
    """Return the same table packed, made some rows at a time: each row is computed by itself.

    Raises:
        InvalidData: As in `compute`.
    """
    key = cache(protected_key)  # asked for once, as it is put on record who asks

    def some() -> Iterator[pl.DataFrame]:
        first = 0
        for frame in data.rows.slices(data.rows.columns):
            yield compute(project, view, replace(data, rows=pack([frame])), views, key, first=first)
            first += frame.height

    try:
        return pack(some(), folder)
    except InvalidData:
        compute(project, view, data, views, key)  # which row of all it is, and how many more are like it
        raise


def texts_of(view: View, rows: Columns) -> dict[str, list[str | None]]:
    """Return the texts that a view hashes, by column."""
    return {name: rows.get_column(name).to_list() for name in view.hashings if name in rows.columns}


def _as_of(project: Project, data: Stored, opened: Opened) -> list[pl.Series]:
    """Return a view's features for every row, as known at the row's moment."""
    view, moment = opened.spec.spec, project.columns_of(Use.TIME)[0]
    asks = [data.rows.get_column(moment).cast(pl.Int64).alias("__moment")]
    for key in view.entity:
        if key in data.schema.held_back:
            words = f"column {key!r} was held back as personal data, and the view {opened.name} is joined by it"
            raise InvalidData(words, place="[features].use", expected="pseudonyms or tokens, by [dlp]")
        column = data.rows.get_column(key)
        if column.dtype in (pl.Categorical, pl.Enum):
            column = column.cast(pl.String)
        if column.dtype != TYPES[view.columns[key]]:
            words = f"column {key!r} is {column.dtype} here and a {view.columns[key]} in the view {opened.name}"
            raise InvalidData(words, place="[features].use", expected="one type on both sides")
        asks.append(column)
    return as_of(opened.events, pl.DataFrame(asks), "__moment").get_columns()


def _ids(data: Stored, first: int) -> pl.Series:
    """Return each row's entity; without an id column each row is its own."""
    ids = data.schema.of(Use.ID)
    if not ids:
        return pl.Series("id", [f"row {first + number}" for number in range(1, data.rows.height + 1)])
    texts = [pl.col(name).cast(pl.String) for name in ids]
    return data.rows.pick(ids).select(pl.concat_str(texts, separator=ID_SEPARATOR).alias("id")).get_column("id")


def _sealed(groups: list[pl.Series], protected_key: Callable[[], bytes], first: int) -> list[pl.Series]:
    """Return the columns with every cell sealed; the key is asked for only where there are any."""
    if not groups:
        return []
    protected = Protected(protected_key())
    return [pl.Series(each.name, protected.seal(each.name, each.to_list(), first), dtype=pl.Binary) for each in groups]


def _groups(data: Stored, use: Use) -> list[pl.Series]:
    return [
        data.rows.get_column(name).cast(pl.String).fill_null(UNKNOWN).alias(f"{use}:{name}")
        for name in data.schema.of(use)
    ]
