"""`[sources.NAME]` of the project file: where rows come from, in which form, how often, by whose word, how reliably.

Decides what may be declared. A source has one kind, and one table that says how it is read; a credential is the name of
a stored secret, never the secret. How rows are fetched is left to adapters, what may go on to `ingest`.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Annotated, Final, Literal, TypeAlias
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from holdfast.core.endpoint import Most, Text
from holdfast.core.errors import InvalidInput
from holdfast.core.exposure import check_secure, is_local
from holdfast.core.policy import seconds
from holdfast.core.secret import is_name

PREFIX: Final = "source:"  # of a source's name where [data] names one
SOURCE_COLUMN: Final = "_source"  # of the record form: the name of the source that a row came from
RESERVED: Final = frozenset({SOURCE_COLUMN, "_key", "_row"})  # columns that the record form adds itself
MAX_SOURCES: Final = 100  # of one project; a longer list is a platform, not a project
MAX_REQUESTS: Final = 10_000  # of a limit, whose moments are kept one by one
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,62}")
_IDENTIFIER: Final = re.compile(r"[^\x00-\x1f\x7f\"`\[\];]{1,63}")  # 63: what PostgreSQL keeps of a name
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_PATH: Final = re.compile(r"[A-Za-z0-9_$@-]+(\.[A-Za-z0-9_$@-]+)*")
_PARAMETER: Final = re.compile(r"[A-Za-z0-9_.\[\]-]{1,64}")
_KEY: Final = "ed25519:"
_KEY_BYTES: Final = 32

Kind: TypeAlias = Literal["csv", "parquet", "jsonl", "database", "api", "stream"]
FILES: Final = frozenset({"csv", "parquet", "jsonl"})
Share: TypeAlias = Annotated[float, Meta(gt=0, le=1)]
Rows: TypeAlias = Annotated[int, Meta(ge=1, le=1_000_000)]


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is usual for a source; what is not usual is told, and stops nothing."""

    rows_at_least: Most = 0  # of one pull or push
    rows_at_most: Most = 0  # 0: any number
    late_after: str = "1h"  # beyond the schedule, before it counts as late
    stale_after: str = ""  # since rows last arrived; empty: never


class FilePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A file under the project's folder; without a path, files are pushed."""

    path: str = ""
    encoding: Literal["auto", "utf-8", "utf-16", "cp1252", "latin-1"] = "auto"
    delimiter: Literal["auto", ",", ";", "\t", "|"] = "auto"
    quote: Literal["auto", '"', "'"] = "auto"


class DatabasePlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A table or view of a database, read a few rows at a time behind a watermark."""

    dialect: Literal["postgresql", "mariadb"]
    host: Text
    port: Annotated[int, Meta(ge=0, le=65535)] = 0  # 0: the dialect's own
    database: Text
    user: Text
    table: Text
    schema: str = ""
    watermark: Text  # a column that rises with each change: a number, or a moment
    overlap: str = "0"  # read again each time, for transactions that commit late: a number, or a time such as "10m"
    rows_per_query: Rows = 5_000
    pause_s: Annotated[float, Meta(ge=0, le=3600)] = 0.0  # between two queries
    share: Share = 0.5  # of the time in which queries may run
    statement_timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 30.0
    rows_per_pull: Most = 0  # 0: all there are
    authority: str = ""  # PEM file under the project's folder, where the system does not know the server's authority


class Limit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many requests a server takes in how many seconds."""

    requests: Annotated[int, Meta(ge=1, le=MAX_REQUESTS)]
    per_s: Annotated[float, Meta(gt=0, le=86_400)] = 1.0


class ApiPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Pages of an HTTP API, each with a list of records."""

    url: Text
    limit: Limit
    paging: Literal["none", "link", "cursor", "page"] = "none"
    records: str = ""  # where the list stands in an answer, with points between; empty: the answer is the list
    next: str = ""  # where the next address (link) or cursor stands; empty with "link": the Link header
    parameter: str = ""  # in which the cursor or the page's number is sent
    header: str = "authorization"  # in which the credential is sent
    scheme: str = "Bearer"  # before the credential; empty: nothing
    private: bool = False  # the host may have an address of a private network
    tries: Annotated[int, Meta(ge=1, le=100)] = 8  # of one page
    patience_s: Annotated[float, Meta(gt=0, le=86_400)] = 300.0  # the longest that one wait may be
    authority: str = ""


class StreamPlace(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Events of a NATS JetStream stream, each a JSON object."""

    url: Text
    stream: Text
    subject: str = ">"
    event_time: str = ""  # the field that says when it happened; empty: when the broker stored it
    lateness: str = "1h"  # how far behind the newest an event may be and still be on time
    late: Literal["with", "apart"] = "with"  # whether late events go on with the others
    events_per_batch: Rows = 1_000
    remember: str = "7d"  # for which an event that was published twice is known again
    authority: str = ""


class Source(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One source, as the project declares it."""

    kind: Kind
    identity: Text  # who speaks here, in words: "CRM of sales, account reporting"
    schedule: str = ""  # how often rows are due: "1d"; empty: whenever they come
    profile: Profile = Profile()
    credential: str = ""  # name of a stored secret
    signed_by: tuple[str, ...] = ()  # public keys of whoever may push: "ed25519:" and 44 characters of base64
    key: tuple[str, ...] = ()  # columns that name a record: of several versions the newest counts
    columns: tuple[str, ...] = ()  # that must be there; empty: every column of [data.columns] that is not personal
    rename: dict[str, str] = {}  # names of the source to names of [data.columns]
    file: FilePlace | None = None
    database: DatabasePlace | None = None
    api: ApiPlace | None = None
    stream: StreamPlace | None = None

    @property
    def pushed(self) -> bool:
        """Whether its files are brought here, rather than fetched."""
        return self.kind in FILES and not (self.file and self.file.path)


def named_in(text: str) -> tuple[str, ...]:
    """Return the sources that `[data].source` names; none where it names a file.

    >>> named_in("source:crm, source:till"), named_in("rows.csv")
    (('crm', 'till'), ())
    """
    if not text.startswith(PREFIX):
        return ()
    return tuple(each.strip().removeprefix(PREFIX) for each in text.split(","))


def source_faults(sources: dict[str, Source]) -> Iterator[tuple[str, str, str]]:
    """Yield what types cannot say: the key that is wrong, how, and what would be right."""
    if len(sources) > MAX_SOURCES:
        yield "sources", f"{len(sources)} sources", f"at most {MAX_SOURCES}"
    for name, source in sources.items():
        if not _NAME.fullmatch(name):
            yield f"sources.{name}", f"source {name[:80]!r}", "a-z, 0-9 and -, beginning with a letter, up to 63"
        for key, words, expected in _faults(source):
            yield f"sources.{name}{key}", f"source {name}: {words}", expected


def _faults(source: Source) -> Iterator[tuple[str, str, str]]:
    wanted = "file" if source.kind in FILES else source.kind
    places = {"file": source.file, "database": source.database, "api": source.api, "stream": source.stream}
    for name, place in places.items():
        if place is not None and name != wanted:
            yield f".{name}", f"a table {name} of a source of kind {source.kind}", f"a table {wanted}"
    if places[wanted] is None and wanted != "file":
        yield ".kind", f"a source of kind {source.kind} without a table {wanted}", f"[sources.NAME.{wanted}]"
    if source.credential and not is_name(source.credential):
        yield ".credential", "a secret whose name cannot be one", "a-z, 0-9, _ and -, beginning with a letter"
    if source.kind in FILES and source.credential:
        yield ".credential", "a credential for a file", "none: a file is fetched from the project's folder, or signed"
    yield from _of_signers(source)
    yield from _of_columns(source)
    yield from _of_terms(source)
    if source.database is not None:
        yield from _of_database(source.database)
    if source.api is not None:
        yield from _of_api(source.api)
    if source.stream is not None:
        yield from _of_stream(source.stream)


def _of_signers(source: Source) -> Iterator[tuple[str, str, str]]:
    if source.pushed and not source.signed_by:  # empty means no: whoever may write here would be everybody
        yield ".signed_by", "files are pushed, and nobody's signature is asked for", "at least one public key"
    if not source.pushed and source.signed_by:
        yield ".signed_by", "signatures are asked for, and nothing is pushed", "a file without a path"
    for key in source.signed_by:
        try:
            public_key(key)
        except InvalidInput as error:
            yield ".signed_by", error.message, error.expected


def public_key(text: str) -> bytes:
    """Return the 32 bytes of a declared public key.

    Raises:
        InvalidInput: It is none.
    """
    try:
        raw = base64.b64decode(text.removeprefix(_KEY), validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    if not text.startswith(_KEY) or len(raw) != _KEY_BYTES:
        expected = "ed25519: and the base64 of 32 bytes; `holdfast source key` prints it"
        raise InvalidInput(f"{text[:60]!r} is no public key", expected=expected)
    return raw


def _of_columns(source: Source) -> Iterator[tuple[str, str, str]]:
    if source.kind in {"database", "api"} and not source.key:
        yield ".key", "nothing names a record, so that one that comes twice cannot be known", 'key = ["id"]'
    names = (*source.key, *source.columns, *source.rename.values())
    for name in names:
        if not name or not name.isprintable() or name in RESERVED:
            yield ".columns", f"a column {name[:80]!r}", f"a printable name other than {', '.join(sorted(RESERVED))}"
    if len(set(source.rename.values())) != len(source.rename):
        yield ".rename", "two columns would get one name", "distinct names"


def _of_terms(source: Source) -> Iterator[tuple[str, str, str]]:
    terms = [
        (".schedule", source.schedule),
        (".profile.late_after", source.profile.late_after),
        (".profile.stale_after", source.profile.stale_after),
    ]
    if source.stream is not None:
        terms += [(".stream.lateness", source.stream.lateness or "0s"), (".stream.remember", source.stream.remember)]
    for key, term in terms:
        try:
            _ = term and seconds(term)
        except InvalidInput as error:
            yield key, error.message, error.expected
    usual = source.profile
    if usual.rows_at_most and usual.rows_at_most < usual.rows_at_least:
        yield ".profile.rows_at_most", "rows_at_most is below rows_at_least", "a larger number"


def _of_database(place: DatabasePlace) -> Iterator[tuple[str, str, str]]:
    for key, name in (("table", place.table), ("schema", place.schema or "x"), ("watermark", place.watermark)):
        if not _IDENTIFIER.fullmatch(name):
            expected = "up to 63 characters without quotes, brackets or ;"
            yield f".database.{key}", f"{name[:80]!r} cannot be a name in a database", expected
    if not place.host.replace(":", "").replace(".", "").replace("-", "").isalnum():
        yield ".database.host", f"host {place.host[:80]!r}", "a name or an address, without scheme and port"
    if not place.overlap.isdigit():
        try:
            seconds(place.overlap)
        except InvalidInput as error:
            yield ".database.overlap", error.message, "a number for a numeric watermark, a time such as 10m for moments"


def _of_api(place: ApiPlace) -> Iterator[tuple[str, str, str]]:
    try:
        check_secure(place.url, "an API")
    except InvalidInput as error:
        yield ".api.url", error.message, error.expected
        return
    if urlsplit(place.url).fragment:
        yield ".api.url", "an address with a fragment", "one without"
    if not _HEADER.fullmatch(place.header) or place.header.lower() in {"host", "content-length", "cookie"}:
        yield ".api.header", f"the credential's header {place.header[:80]!r}", "letters, digits and -"
    if not place.scheme.replace("-", "").isalnum() and place.scheme:
        yield ".api.scheme", f"the scheme {place.scheme[:40]!r}", "a word such as Bearer"
    for key, text in (("records", place.records), ("next", place.next)):
        if text and not _PATH.fullmatch(text):
            yield f".api.{key}", f"{text[:80]!r} is no place in an answer", "names with points between"
    if place.paging == "cursor" and not place.next:
        yield ".api.next", "nothing says where the cursor stands", 'for example next = "meta.cursor"'
    if place.paging in {"cursor", "page"} and not _PARAMETER.fullmatch(place.parameter):
        yield ".api.parameter", "nothing says in which parameter the place is sent", 'for example parameter = "page"'


def _of_stream(place: StreamPlace) -> Iterator[tuple[str, str, str]]:
    parts = urlsplit(place.url)
    if parts.scheme not in {"tls", "nats"} or not parts.hostname or parts.username or parts.password:
        yield ".stream.url", "this is not the address of a NATS server", "tls://host:port"
    elif parts.scheme == "nats" and not is_local(parts.hostname):
        yield ".stream.url", "nats:// speaks in clear", "tls://host:port; nats:// reaches this machine only"
