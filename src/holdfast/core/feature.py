"""Feature views: what somebody declares once and training and serving both compute, versioned by its digest.

A view is over one source of events about an entity. Its features are code over the event's columns, or over the moment
of a request and the entity's earlier events. Decides what a declaration must say and what its version is; leaves the
meaning of the code to `engines.expressions`.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from holdfast.core.approval import seconds
from holdfast.core.artifact import Digest, Moment, digest_json
from holdfast.core.errors import HoldfastError, InvalidInput

MAX_VIEWS: Final = 1_000  # of one project; more is several projects
MAX_FEATURES: Final = 1_000  # of one view; a row of them is one record of the online store
REGISTERED: Final = "feature.registered"  # kind of an entry: a version of a view; body: name, version, digest, spec
STORED: Final = "feature.materialised"  # kind of an entry: values went into the online store
READ: Final = "feature.read"  # kind of an entry: somebody read values; body: features, consumer, model, reads
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,62}")

Words: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]
Default: TypeAlias = Annotated[float, Meta(ge=-1e12, le=1e12)]
ColumnSort: TypeAlias = Literal["float", "int", "bool", "string", "timestamp"]
Missing: TypeAlias = Literal["refuse", "fallback", "degrade"]


class FeatureCode(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One feature of a view: its code, the type it gives, and what stands in for it in a degraded answer."""

    code: Words
    type: ColumnSort
    description: str = ""
    default: Default | None = None


class FeatureView(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One view: whose features, of which events, how old they may get, and the code of each."""

    owner: Words
    description: Words
    source: Words  # a file of the project
    format: Literal["csv", "parquet"] = "csv"
    entity: Annotated[tuple[Words, ...], Meta(min_length=1, max_length=8)]
    event_time: Words
    created: str = ""  # the column that says when an event came to be known; empty: when it happened
    columns: dict[str, ColumnSort]
    features: Annotated[dict[str, FeatureCode], Meta(min_length=1, max_length=MAX_FEATURES)]
    ttl: str = ""  # after which a value is missing; empty: never
    fresh: str = "1d"  # age of the newest online value beyond which somebody is alerted
    zone: str = "UTC"  # in which calendar functions read a time
    timestamp_formats: tuple[str, ...] = ("%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%d %H:%M:%S")

    @property
    def digest(self) -> Digest:
        """Its version: the digest of all that changes a value. Words about it, and its source's place, do not."""
        return digest_json(
            {
                "columns": dict(self.columns),
                "created": self.created,
                "entity": self.entity,
                "event_time": self.event_time,
                "features": {name: [each.code, each.type] for name, each in self.features.items()},
                "language": LANGUAGE,
                "ttl": self.ttl,
                "zone": self.zone,
            }
        )

    @property
    def ttl_us(self) -> int:
        """How long a value lives, in microseconds; 0: for ever."""
        return seconds(self.ttl) * 1_000_000 if self.ttl else 0

    @property
    def fresh_s(self) -> int:
        """The freshness limit in seconds."""
        return seconds(self.fresh)


LANGUAGE: Final = 1
"""Version of the meaning of feature code: it rises when some code would give other values."""


class ViewSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A registered view: its declaration under its name, numbered."""

    name: str
    version: int
    digest: str
    spec: FeatureView


class Registration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A version as the registry tells it, with when and by whom it came in."""

    view: ViewSpec
    time: Moment
    actor: str


def stream_of(name: str) -> str:
    """Return the name of the stream that holds all that is on record of a view."""
    return f"feature/{name}"


def full_name(view: str, feature: str) -> str:
    """Return the name under which a feature is known outside its view."""
    return f"{view}.{feature}"


def view_faults(views: Mapping[str, FeatureView]) -> Iterator[tuple[str, str, str]]:
    """Yield what types cannot say of views: the key that is wrong, how, and what would be right."""
    if len(views) > MAX_VIEWS:
        yield "features.views", f"{len(views)} views", f"at most {MAX_VIEWS}"
    for name, view in views.items():
        key = f"features.views.{name}"
        if not _NAME.fullmatch(name):
            yield key, f"a view cannot be called {name[:80]!r}", "a-z, 0-9 and _, beginning with a letter, up to 63"
        for words, expected in _faults(view):
            yield key, f"view {name}: {words}", expected


def check_view(name: str, view: FeatureView) -> None:
    """Check one declaration.

    Raises:
        InvalidInput: The first thing that is wrong with it.
    """
    for key, words, expected in view_faults({name: view}):
        raise InvalidInput(words, place=f"[{key}]", expected=expected)


def _faults(view: FeatureView) -> Iterator[tuple[str, str]]:
    needed = (*view.entity, view.event_time, *((view.created,) if view.created else ()))
    for column in needed:
        if column not in view.columns:
            yield f"{column!r} is not among its columns", ", ".join(sorted(view.columns))[:300]
    for column in (view.event_time, view.created):
        if column and view.columns.get(column, "timestamp") != "timestamp":
            yield f"{column!r} is a {view.columns[column]}", "a timestamp"
    for column in view.entity:
        if view.columns.get(column, "string") not in {"string", "int"}:
            yield f"the entity {column!r} is a {view.columns[column]}", "a string or an int"
    if len(set(view.entity)) != len(view.entity):
        yield "an entity column stands twice", "each once"
    for feature in view.features:
        if not _NAME.fullmatch(feature):
            yield f"a feature cannot be called {feature[:80]!r}", "a-z, 0-9 and _, beginning with a letter, up to 63"
    for term in (view.fresh, *((view.ttl,) if view.ttl else ())):
        try:
            seconds(term)
        except HoldfastError as error:
            yield error.message, error.expected or "a duration such as 1h"
