"""Events of a view: the rows of its source in the types that it declares, and its row features over them.

Decides what a source must hold to be read at all: every declared column, entity and times in every row, values of their
types. What does not fit is refused with its row, because an event that was passed over would be missing from counts.
And personal data: columns are searched and treated as `[dlp]` declares before anything is computed of them.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from holdfast.core.dlp import KEYED, Action, Dlp
from holdfast.core.errors import InvalidData, InvalidInput, without_values
from holdfast.core.feature import FeatureView, check_view
from holdfast.core.ports import Recogniser, no_recogniser, no_token_key
from holdfast.engines.dlp import Acted, check_indispensable, check_unblocked, recogniser_of, searched_with, treat
from holdfast.engines.expressions import EVENT_TIME, HISTORY, Expression, check_zone, parse
from holdfast.engines.expressions_frames import TYPES, compiled
from holdfast.engines.personal import SHOWN, Hit, scan

MAX_SOURCE: Final = 2 << 30  # bytes of one source; more is extracted by time range
MAX_EVENTS: Final = 200_000_000  # rows; positions stay far below what 32 bits hold
KEY: Final = "\x1f"  # joins the parts of an entity's name; cleaned text cannot hold it
EVENT, CREATED = "__event", "__created"  # of an events frame, beside entity columns and features
UNDECLARED: Final = Dlp()  # the strictest: what holds personal data is dropped
_RESERVED: Final = frozenset({EVENT, CREATED, EVENT_TIME, *HISTORY})
_LITERALS: Final = ("", "NULL", "null", "N/A")  # that mean a missing value in a CSV source
_TRUE, _FALSE = ("true", "True", "1"), ("false", "False", "0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """A view with its code checked: what can be computed from events, and what only when it is asked for."""

    name: str
    view: FeatureView
    row: dict[str, Expression]
    request: dict[str, Expression]

    @property
    def strict_history(self) -> bool:
        """Whether some feature looks at the entity's earlier events."""
        return any(name in repr(each.root) for each in self.request.values() for name in HISTORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """What was searched for personal data in a view's source, what was found and done, and what is left in it."""

    columns: int = 0
    hits: tuple[Hit, ...] = ()  # that `[dlp]` does not allow; of undeclared columns too
    acted: tuple[Acted, ...] = ()  # what was done to declared columns
    caught: tuple[str, ...] = ()  # columns that are not read
    left: int = 0  # rows of columns that are read in which something is found still
    made_with: Mapping[str, str] = field(default_factory=dict)  # what the search rested on beside our own code


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """The events of a view, in the source's order: entity columns, both times in microseconds, row features."""

    compiled: Compiled
    rows: pl.DataFrame
    searched: Searched = Searched()


def compile_view(name: str, view: FeatureView) -> Compiled:
    """Return a view with its code checked.

    Raises:
        InvalidInput: The declaration, a piece of code, or the type that it is said to give.
    """
    check_view(name, view)
    check_zone(view.zone)
    reserved = sorted(_RESERVED & (view.columns.keys() | view.features.keys()))
    if reserved:
        raise InvalidInput(f"{reserved[0]!r} cannot be a column or a feature", place=f"[features.views.{name}]")
    row: dict[str, Expression] = {}
    request: dict[str, Expression] = {}
    for feature, declared in view.features.items():
        place = f"[features.views.{name}.features.{feature}]"
        found = parse(declared.code, view.columns, place=place)
        if found.type != declared.type and not (found.type in {"int", "bool"} and declared.type in {"int", "float"}):
            raise InvalidInput(f"the code gives a {found.type}", place=place, expected=f"a {declared.type}")
        (row if found.sort == "row" else request)[feature] = found
    return Compiled(name=name, view=view, row=row, request=request)


def read_events(
    compiled_view: Compiled,
    data: bytes,
    dlp: Dlp = UNDECLARED,
    token_key: Callable[[], bytes] = no_token_key,
    recogniser: Recogniser | None = None,
) -> Events:
    """Return the events in a source's bytes without personal data in them, with every row feature computed.

    Args:
        compiled_view: The view.
        data: Its source's bytes.
        dlp: What the project declares of personal data; nothing declared drops the column that holds any.
        token_key: The key of the project's tokens; asked for only where something needs it.
        recogniser: What looks through texts, where `[dlp.presidio]` declares it.

    Raises:
        Refused: It is declared and not handed in.
        Unavailable: It failed.
        InvalidData: The source cannot be read, lacks a column, or a row does not fit; with column and row. Or `[dlp]`
            blocks what it holds, or a column that a feature, the entity or the time is of holds personal data.
    """
    view, place = compiled_view.view, compiled_view.view.source
    recogniser = recogniser or recogniser_of(dlp, no_recogniser)
    raw = _table(view, data, place)
    typed = pl.DataFrame([_typed(raw.get_column(name), sort, view, place) for name, sort in view.columns.items()])
    if typed.height > MAX_EVENTS:
        raise InvalidData(f"{typed.height} events", place=place, expected=f"at most {MAX_EVENTS}")
    for name in dict.fromkeys((*view.entity, view.event_time, *((view.created,) if view.created else ()))):
        if typed.get_column(name).null_count():
            row = typed.get_column(name).is_null().arg_max()
            raise InvalidData(f"no {name!r} in row {(row or 0) + 1}", place=place, expected="it in every event")
    treated, found = searched(compiled_view, typed, raw.drop(list(view.columns)), dlp, token_key, recogniser)
    return Events(compiled=compiled_view, rows=computed(compiled_view, treated), searched=found)


def searched(
    compiled_view: Compiled,
    typed: pl.DataFrame,
    undeclared: pl.DataFrame,
    dlp: Dlp,
    token_key: Callable[[], bytes],
    recogniser: Recogniser | None = None,
) -> tuple[pl.DataFrame, Searched]:
    """Return a source's columns with personal data treated as declared, and what was found; of undeclared ones too.

    A column that is to go and that a feature is computed of costs the view: a feature that is not there would be
    another feature's place in the model.

    Raises:
        InvalidData: `[dlp]` blocks what was found, or an indispensable column holds it.
    """
    view, place = compiled_view.view, compiled_view.view.source
    moments = [name for name, sort in view.columns.items() if sort == "timestamp"]
    looked = typed.with_columns(pl.col(name).cast(pl.Datetime("us")) for name in moments)
    declared, beside = scan(looked, recogniser), scan(undeclared, recogniser)
    treated = treat(looked, declared, dlp, token_key, recogniser)
    hits = tuple(hit for hit in declared + beside if dlp.on(hit.column, hit.entity) is not Action.ALLOW)
    check_unblocked(treated.block, place)
    uses = {view.created or view.event_time: "time", view.event_time: "time"} | dict.fromkeys(view.entity, "entity")
    check_indispensable(hits, uses, treated.drop, dlp, place)
    for name, code in {**compiled_view.row, **compiled_view.request}.items():
        for column in sorted(code.columns & set(treated.drop)):
            raise InvalidData(
                f"column {column!r} was held back: its values are personal data, and {name!r} is computed of it",
                place=place,
                expected="features of columns that hold no personal data, or another action in [dlp]",
            )
    replaced = [each.column for each in treated.acted if each.action in KEYED]
    # Where nothing was done the rows are the very ones that were searched: what is left in them is known.
    kept = treated.frame.drop({*treated.drop, *replaced})
    left = scan(kept, recogniser) if treated.acted else declared
    found = Searched(
        columns=typed.width + undeclared.width,
        hits=hits,
        acted=treated.acted,
        caught=tuple(sorted({*treated.drop, *(hit.column for hit in hits if hit.column in undeclared.columns)})),
        left=sum(hit.rows for hit in left if hit.entity not in SHOWN),
        made_with=searched_with(recogniser),
    )
    return treated.frame.with_columns(pl.col(name).cast(pl.Int64) for name in moments), found


def computed(compiled_view: Compiled, typed: pl.DataFrame) -> pl.DataFrame:
    """Return entity, times and row features of events whose columns have their declared types."""
    view = compiled_view.view
    return typed.select(
        *(pl.col(name) for name in view.entity),
        pl.col(view.event_time).alias(EVENT),
        pl.col(view.created or view.event_time).alias(CREATED),
        *(
            compiled(code, view.zone).cast(TYPES[view.features[name].type]).alias(f"{compiled_view.name}.{name}")
            for name, code in compiled_view.row.items()
        ),
    )


def entity_text(values: Sequence[str | int]) -> str:
    """Return the one name by which an entity is known, of the values of its columns."""
    return KEY.join(str(value) for value in values)


def _table(view: FeatureView, data: bytes, place: str) -> pl.DataFrame:
    if len(data) > MAX_SOURCE:
        raise InvalidData(f"{len(data)} bytes", place=place, expected=f"at most {MAX_SOURCE}")
    try:
        if view.format == "parquet":
            frame = pl.read_parquet(io.BytesIO(data))
        else:
            frame = pl.read_csv(io.BytesIO(data), infer_schema=False, null_values=list(_LITERALS))
    except (pl.exceptions.PolarsError, OSError, ValueError) as error:
        raise InvalidData(f"the source cannot be read: {without_values(error)}", place=place) from error
    missing = [name for name in view.columns if name not in frame.columns]
    if missing:
        found = ", ".join(frame.columns)[:300]
        raise InvalidData(f"the source has no column {missing[0]!r}", place=place, expected=f"it among {found}")
    return frame


def _typed(column: pl.Series, sort: str, view: FeatureView, place: str) -> pl.Series:
    text = column.dtype == pl.String
    if sort == "timestamp":
        found = _moments(column, view.timestamp_formats) if text else _instant(column, place)
    elif sort == "bool" and text:
        found = column.replace_strict(
            {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}, default=None, return_dtype=pl.Boolean
        )
    else:
        found = column.cast(TYPES[sort], strict=False)
    unfit = found.is_null() & column.is_not_null()
    if unfit.any():
        row = unfit.arg_max() or 0
        words = f"the value in column {column.name!r}, row {row + 1}, is no {sort}"  # it may be personal
        raise InvalidData(words, place=place, expected=f"a {sort}; {unfit.sum() - 1} more rows do not fit")
    return found.alias(column.name)


def _instant(column: pl.Series, place: str) -> pl.Series:
    if not isinstance(column.dtype, pl.Datetime):
        raise InvalidData(f"column {column.name!r} is a {column.dtype}", place=place, expected="a timestamp")
    return (
        column.dt.cast_time_unit("us").dt.replace_time_zone(None).cast(pl.Int64)
        if (column.dtype.time_zone is None)
        else column.dt.convert_time_zone("UTC").dt.cast_time_unit("us").cast(pl.Int64)
    )


def _moments(texts: pl.Series, formats: Sequence[str]) -> pl.Series:
    """Return moments in microseconds; a format without a zone means UTC, and the first format that fits is taken."""
    found = pl.Series(texts.name, [None], dtype=pl.Int64).new_from_index(0, len(texts))
    plain = texts.str.replace(r"Z$", "+00:00")
    for each in formats:
        try:
            read = plain.str.to_datetime(each, time_unit="us", strict=False)
        except pl.exceptions.PolarsError as error:
            raise InvalidData(f"the format {each!r} means no moment", place="timestamp_formats") from error
        if isinstance(read.dtype, pl.Datetime) and read.dtype.time_zone is not None:
            read = read.dt.convert_time_zone("UTC")
        found = found.fill_null(read.cast(pl.Int64))
    return found
