"""Rows out of a database, a few at a time behind a watermark (port `Puller`), through SQLAlchemy.

A query asks for the rows behind a place, in the order of watermark and key, so many at most: a transaction of its own,
read-only, with a time limit that the server enforces. Between two queries this side waits, so that queries take no more
than the declared share of the time. A pull begins an overlap before the newest watermark, because a transaction may
commit late with an earlier one; what then comes again is known by its digest, which is not this module's concern.

Every name comes from the declaration and is quoted by SQLAlchemy, every value is a bound parameter; nothing that a
database says becomes part of a query.
"""

import decimal
import ssl
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    URL,
    ColumnElement,
    Engine,
    TableClause,
    and_,
    column,
    create_engine,
    event,
    or_,
    select,
    table,
)
from sqlalchemy.exc import DBAPIError, NoSuchModuleError
from sqlalchemy.pool import QueuePool
from sqlalchemy.sql import quoted_name

from holdfast.core.errors import InvalidData, InvalidInput, MissingExtra, Unavailable
from holdfast.core.exposure import is_local
from holdfast.core.flat_json import as_text
from holdfast.core.policy import seconds
from holdfast.core.ports import Asking, Page
from holdfast.core.sources import DatabasePlace

CONNECT_S: Final = 10
DRIVERS: Final = {"postgresql": "postgresql+psycopg", "mariadb": "mariadb+pymysql"}
EXTRAS: Final = {"postgresql": "postgres", "mariadb": "mysql"}
MOMENT: Final = "%Y-%m-%dT%H:%M:%S.%fZ"  # how moments are written; declare "%Y-%m-%dT%H:%M:%S.%f%z" to read them
MAX_PAUSE_S: Final = 600.0  # after one query, however slow it was
WORDS: Final = 200  # characters of what a server says

Mark = int | decimal.Decimal | datetime | date
"""What a watermark can be."""


@dataclass(slots=True, kw_only=True)
class DatabaseSource:
    """A table or view that is asked for rows."""

    place: DatabasePlace
    key: Sequence[str]
    asking: Asking

    def pages(self, position: Mapping[str, Any]) -> Iterator[Page]:
        """Yield the rows behind a place, in the order of watermark and key.

        Raises:
            Unavailable: The server does not answer, or says no.
            InvalidData: The watermark is no number and no moment, or a column holds what no table of text can.
            MissingExtra: The driver is not installed.
        """
        engine = self._engine()
        at: Mapping[str, Any] = dict(position)
        after, strictly = self._start(position)
        counted = 0
        try:
            while True:
                begun = time.monotonic()
                rows = self._rows(engine, after, strictly=strictly)
                took = time.monotonic() - begun
                if not rows:
                    return
                last = rows[-1]
                after, strictly = [last[name] for name in (self.place.watermark, *self.key)], True
                fresh = at.get("watermark") is None or after[0] >= _unpacked(at["watermark"])
                counted += len(rows) if fresh else 0
                at = {"watermark": _packed(after[0]), "key": [_packed_key(each) for each in after[1:]]} if fresh else at
                yield Page(records=[self._record(row) for row in rows], position=at)
                full = len(rows) == self.place.rows_per_query
                if not full or (self.place.rows_per_pull and counted >= self.place.rows_per_pull):
                    return
                time.sleep(min(MAX_PAUSE_S, max(self.place.pause_s, took * (1 / self.place.share - 1))))
        finally:
            engine.dispose()

    def may_repeat(self, stored: Mapping[str, Any], now: Mapping[str, Any], age_s: float) -> bool:
        """Say whether rows that were stored with a place may lie in the overlap."""
        del age_s
        if stored.get("watermark") is None or now.get("watermark") is None:
            return True
        begins = self._overlapped(_unpacked(now["watermark"]))
        return bool(_unpacked(stored["watermark"]) >= begins)

    def _start(self, position: Mapping[str, Any]) -> tuple[list[Any], bool]:
        """Return where to begin, and whether strictly behind it."""
        if position.get("watermark") is None:
            return [], True
        mark = _unpacked(position["watermark"])
        begins = self._overlapped(mark)
        if begins == mark:
            return [mark, *(_unpacked(each) for each in position["key"])], True
        return [begins], False

    def _overlapped(self, mark: Any) -> Any:
        """Return a watermark less the declared overlap."""
        said = self.place.overlap
        if said == "0":
            return mark
        if isinstance(mark, date):
            if said.isdigit():
                raise InvalidData("a watermark of moments, and an overlap without a unit", place=self.asking.name,
                                  expected='an overlap such as "10m"')  # fmt: skip
            return mark - timedelta(seconds=seconds(said))
        if not said.isdigit():
            raise InvalidData("a watermark of numbers, and an overlap of time", place=self.asking.name,
                              expected='an overlap such as "1000"')  # fmt: skip
        return mark - int(said)

    def _rows(self, engine: Engine, after: Sequence[Any], *, strictly: bool) -> list[dict[str, Any]]:
        columns = list(dict.fromkeys((self.place.watermark, *self.key, *self.asking.columns)))
        named: dict[str, ColumnElement[Any]] = {name: column(quoted_name(name, quote=True)) for name in columns}
        where = self._table(named)
        order = [named[self.place.watermark], *(named[name] for name in self.key)]
        query = select(*named.values()).select_from(where).order_by(*order).limit(self.place.rows_per_query)
        query = query.where(order[0].is_not(None))
        if after:
            query = query.where(_behind(order, after) if strictly else order[0] >= after[0])
        with _asked(self.asking.name), engine.connect() as connection, connection.begin():
            found = connection.execute(query)
            return [dict(zip(columns, row, strict=True)) for row in found]

    def _table(self, named: Mapping[str, Any]) -> TableClause:
        schema = quoted_name(self.place.schema, quote=True) if self.place.schema else None
        return table(quoted_name(self.place.table, quote=True), *named.values(), schema=schema)

    def _record(self, row: Mapping[str, Any]) -> dict[str, str | None]:
        wanted = dict.fromkeys((*self.key, self.place.watermark, *self.asking.columns))
        return {name: _text(row[name], name) for name in wanted}

    def _engine(self) -> Engine:
        place = self.place
        url = URL.create(
            DRIVERS[place.dialect],
            username=place.user,
            password=self.asking.credential.decode(errors="surrogateescape") or None,
            host=place.host,
            port=place.port or None,
            database=place.database,
        )
        authority = str(inside(self.asking.root, place.authority)) if place.authority else None
        options = self._postgresql(authority) if place.dialect == "postgresql" else self._mariadb(authority)
        try:
            engine = create_engine(url, connect_args=options, poolclass=QueuePool, pool_size=1, max_overflow=0)
        except (ImportError, NoSuchModuleError) as error:
            extra = EXTRAS[place.dialect]
            raise MissingExtra(f"{place.dialect} needs a driver", remedy=f"pip install 'holdfast[{extra}]'") from error
        if place.dialect == "mariadb":
            event.listen(engine, "connect", self._limit)
        return engine

    def _postgresql(self, authority: str | None) -> dict[str, Any]:
        limit = int(self.place.statement_timeout_s * 1000)
        options = f"-c default_transaction_read_only=on -c statement_timeout={limit} -c timezone=UTC"
        said: dict[str, Any] = {"connect_timeout": CONNECT_S, "options": options, "application_name": "holdfast"}
        said |= {"tcp_user_timeout": (limit + 10_000), "keepalives_idle": 30}
        if not is_local(self.place.host):  # beyond this machine nobody is spoken to in clear, and the name must fit
            said |= {"sslmode": "verify-full", "sslrootcert": authority or "system"}
        return said

    def _mariadb(self, authority: str | None) -> dict[str, Any]:
        limit = int(self.place.statement_timeout_s) + 10
        said: dict[str, Any] = {"connect_timeout": CONNECT_S, "read_timeout": limit, "write_timeout": limit}
        if not is_local(self.place.host):
            said["ssl"] = ssl.create_default_context(cafile=authority)
        return said

    def _limit(self, connection: Any, _: object) -> None:
        """Let MariaDB end a query that takes too long, write nothing, and tell moments in UTC."""
        with connection.cursor() as cursor:
            cursor.execute("SET SESSION TRANSACTION READ ONLY")
            cursor.execute("SET SESSION max_statement_time = %s", (self.place.statement_timeout_s,))
            cursor.execute("SET SESSION time_zone = '+00:00'")


def inside(root: Path, name: str) -> Path:
    """Return a file under the project's folder.

    Raises:
        InvalidInput: It lies elsewhere, or is not there.
    """
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()) or not path.is_file():
        raise InvalidInput(f"the file {name[:80]!r} is not under the project's folder", expected="a PEM file there")
    return path


def _behind(order: Sequence[ColumnElement[Any]], after: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a row stands behind a place in the order of its columns.

    Written out, because not every engine uses an index for a comparison of tuples.
    """
    steps = [
        and_(*(each == value for each, value in zip(order[:depth], after[:depth], strict=True)), order[depth] > mark)
        for depth, mark in enumerate(after)
    ]
    return and_(order[0] >= after[0], or_(*steps))


@contextmanager
def _asked(name: str) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        said = str(error.orig).strip().splitlines()
        words = said[0][:WORDS] if said else type(error.orig).__name__
        raise Unavailable(f"the database does not answer: {words}", place=name) from error
    except ImportError as error:
        raise MissingExtra("the database's driver is not installed", place=name,
                           remedy="pip install 'holdfast[postgres]' or 'holdfast[mysql]'") from error  # fmt: skip


def _packed(mark: Any) -> dict[str, str]:
    """Return a watermark as plain JSON.

    Raises:
        InvalidData: It is no number and no moment.
    """
    match mark:
        case bool() | None:
            pass
        case int():
            return {"type": "int", "value": str(mark)}
        case decimal.Decimal():
            return {"type": "decimal", "value": str(mark)}
        case datetime():
            return {"type": "moment", "value": mark.isoformat()}
        case date():
            return {"type": "date", "value": mark.isoformat()}
        case _:
            pass
    raise InvalidData(f"a watermark of type {type(mark).__name__}", expected="a whole number, a decimal or a moment")


def _packed_key(value: Any) -> dict[str, str]:
    """Return the value of a key's column as plain JSON."""
    if isinstance(value, str):
        return {"type": "text", "value": value}
    if isinstance(value, uuid.UUID):
        return {"type": "uuid", "value": str(value)}
    return _packed(value)


def _unpacked(said: Mapping[str, str]) -> Any:
    value = said["value"]
    match said["type"]:
        case "int":
            return int(value)
        case "decimal":
            return decimal.Decimal(value)
        case "moment":
            return datetime.fromisoformat(value)
        case "date":
            return date.fromisoformat(value)
        case "uuid":
            return uuid.UUID(value)
        case _:
            return value


def _text(value: Any, name: str) -> str | None:
    """Return a value as the text that CSV would hold.

    Raises:
        InvalidData: It is bytes.
    """
    match value:
        case datetime():
            aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
            return aware.strftime(MOMENT)
        case date():
            return value.isoformat()
        case decimal.Decimal():
            return format(value, "f")
        case float():
            return repr(value)
        case bytes() | bytearray() | memoryview():
            raise InvalidData(f"column {name!r} holds bytes", expected="text, numbers or moments; leave it out")
        case str() | int() | bool() | list() | dict() | None:
            return as_text(value)
        case _:
            return str(value)
