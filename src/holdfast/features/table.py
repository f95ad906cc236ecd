"""The table of features: one row per row of the data set, in its order.

Columns: `id` (text), each feature (float64, NaN where missing), `label` (index into the view's classes), then
`slice:<column>` and `protected:<column>` as text, by which quality and fairness are reported.
"""

from typing import Final

import polars as pl

from holdfast.core.project import Project
from holdfast.core.schema import Use
from holdfast.engines.dataset import Dataset
from holdfast.engines.transform import View, apply
from holdfast.features.view import label_texts

UNKNOWN: Final = "(missing)"  # the group of rows whose slice or protected value is missing: they are a group too
ID_SEPARATOR: Final = "\x1f"  # joins the parts of an id of several columns; cleaned text cannot hold it


def compute(project: Project, view: View, data: Dataset) -> pl.DataFrame:
    """Return the table of features of a data set.

    Raises:
        InvalidData: A transform has no finite value for a row.
    """
    needed = {name for feature in view.features for name in feature.of}
    columns = {
        name: data.rows.get_column(name).cast(pl.Float64).fill_null(float("nan")).to_numpy() for name in sorted(needed)
    }
    values = apply(view.features, columns)
    index = {name: number for number, name in enumerate(view.classes)}
    return pl.DataFrame(
        [
            _ids(data),
            *(pl.Series(name, values[:, number]) for number, name in enumerate(view.names)),
            label_texts(project, data).replace_strict(index, return_dtype=pl.Int64).alias("label"),
            *_groups(data, Use.SLICE),
            *_groups(data, Use.PROTECTED),
        ]
    )


def _ids(data: Dataset) -> pl.Series:
    """Return each row's entity; without an id column each row is its own."""
    ids = data.schema.of(Use.ID)
    if not ids:
        return pl.Series("id", [f"row {number}" for number in range(1, data.rows.height + 1)])
    texts = [pl.col(name).cast(pl.String) for name in ids]
    return data.rows.select(pl.concat_str(texts, separator=ID_SEPARATOR).alias("id")).get_column("id")


def _groups(data: Dataset, use: Use) -> list[pl.Series]:
    return [
        data.rows.get_column(name).cast(pl.String).fill_null(UNKNOWN).alias(f"{use}:{name}")
        for name in data.schema.of(use)
    ]
