"""Entities: what says whether two rows are about the same one, where ids cannot be trusted."""

from collections.abc import Iterator, Mapping

import msgspec

from holdfast.core.schema import Column, ColumnType, Use, is_held


class Entities(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which columns tell entities apart, and from what probability two rows are called one.

    A column of use `ignored` that is classed personal is read for this, and is in no data set.
    """

    columns: tuple[str, ...]
    threshold: float = 0.95


def entity_faults(entities: Entities | None, columns: Mapping[str, Column]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the declaration: the key, how, and what would be right."""
    if entities is None:
        return
    ids = [column for column in columns.values() if column.use is Use.ID and is_held(column)]
    if len(ids) != 1 or ids[0].type is not ColumnType.STRING:
        yield "data.entities", "ids cannot be given anew", "exactly one id, of type string"
    if len(set(entities.columns)) < 2:  # noqa: PLR2004 - one column is an id, not a description
        yield "data.entities.columns", "one column cannot tell entities apart", "two or more"
    for name in entities.columns:
        if name not in columns or not is_held(columns[name]) or columns[name].use is Use.ID:
            yield "data.entities.columns", f"{name[:80]!r} cannot tell entities apart", "columns that are read, no id"
    if not 0.5 <= entities.threshold < 1:  # noqa: PLR2004 - more likely than not
        yield "data.entities.threshold", "the threshold is no probability beyond doubt", "0.5 to below 1"
