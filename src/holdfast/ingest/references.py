"""References: tables that checks compare a batch with, cleaned by the same rules as the batch itself."""

import polars as pl

from holdfast.core.project import Data
from holdfast.core.schema import is_held
from holdfast.ingest.cleaning import clean
from holdfast.ingest.vetting import read_table


def typed(document: bytes, name: str, data: Data) -> pl.DataFrame:
    """Return the declared columns of a reference, of the types that the batch's columns have.

    Raises:
        InvalidData: It cannot be read as CSV or Parquet.
    """
    table = read_table(document, name)
    wanted = [column for column in table.columns if column in data.columns and is_held(data.columns[column])]
    return pl.DataFrame([clean(table.get_column(each), data.columns[each], data).values.alias(each) for each in wanted])
