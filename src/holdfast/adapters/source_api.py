"""Records out of an HTTP API, page by page (port `Puller`), within the limit that its owner declared.

What fails is asked for again: after a time that the server names (`Retry-After`, RFC 9110, 10.2.3), or else after a
random time below a bound that doubles (full jitter), so often and so long as declared. A page counts once it was read
whole. The credential goes into one header, to one host: an answer that leads elsewhere is refused, and so is an address
inside a network that the declaration does not name as private. Nothing is unfolded: a small answer stays small.
"""

import http.client
import ipaddress
import random
import re
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urljoin, urlsplit, urlunsplit

from holdfast.adapters.source_database import inside
from holdfast.adapters.throttle import Throttle
from holdfast.core.errors import InvalidData, Refused, Unavailable
from holdfast.core.exposure import is_local
from holdfast.core.flat_json import flattened, parse
from holdfast.core.ports import Asking, Page
from holdfast.core.sources import ApiPlace

TIMEOUT_S: Final = 30.0  # for a connection, and for each part of an answer
WHOLE_S: Final = 120.0  # for a whole answer, however slowly it drips
MAX_BODY: Final = 32 << 20  # bytes of a page; ten thousand records have a tenth of it
CHUNK: Final = 1 << 16
MAX_PAGES: Final = 1_000_000  # of one pull
BASE_S: Final = 0.5  # the bound of the first wait
CAP_S: Final = 60.0  # the bound that no wait without Retry-After exceeds
HOPS: Final = 3  # redirections on one host
_LINK: Final = re.compile(r"<([^<>]*)>([^<>]*)")
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
GONE: Final = frozenset({400, 404, 410, 416, 422})  # what servers say of a place that they no longer know


class _Passing(Exception):
    """Something that may be better the next time."""

    def __init__(self, words: str, after_s: float | None = None) -> None:
        super().__init__(words)
        self.after_s = after_s


class _Gone(Exception):
    """The server does not know this place any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(slots=True, kw_only=True)
class ApiSource:
    """An API that is asked for records."""

    place: ApiPlace
    asking: Asking
    throttle: Throttle = field(init=False)
    _seen: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Count on from the requests of earlier processes."""
        self.throttle = Throttle(limit=self.place.limit, file=self.asking.state / f"{self.asking.name}.requests.json")

    def pages(self, position: Mapping[str, Any]) -> Iterator[Page]:
        """Yield the pages from a place to the end; the next pull begins at the beginning again.

        Raises:
            Unavailable: It does not answer however often it is asked, or wants to be left alone for long.
            Refused: It takes the credential for none, or leads to another host.
            InvalidData: It answers something that holds no records, or its pages go in a circle.
        """
        at = str(position.get("next", ""))
        try:
            yield from self._from(at)
        except _Gone as error:
            if not at:
                raise Unavailable(str(error), place=self.asking.name) from error
            yield from self._again()

    def _again(self) -> Iterator[Page]:
        self._seen.clear()
        try:
            yield from self._from("")  # what was read before is known, and left out
        except _Gone as error:
            raise Unavailable(str(error), place=self.asking.name) from error

    def may_repeat(self, stored: Mapping[str, Any], now: Mapping[str, Any], age_s: float) -> bool:
        """Say that everything may: pages are read from the beginning, and a server may repeat some."""
        del stored, now, age_s
        return True

    def _from(self, at: str) -> Iterator[Page]:
        before: list[Any] = []
        if self.place.paging == "page" and at:
            at = str(max(1, int(at) - 1))  # one that was read already, to know it if it is answered for the next
        for _ in range(MAX_PAGES):
            if at in self._seen:
                raise InvalidData("the pages go in a circle", place=self.asking.name, expected="an end")
            self._seen.add(at)
            answer, value, listed = self._page(at, before if self.place.paging == "page" else [])
            before = listed
            records, broken = self._records(listed)
            at = self._next(at, value, answer, any_records=bool(listed))
            yield Page(records=records, position={"next": at} if at else {}, broken=broken)
            if not at:
                return
        raise InvalidData(f"more than {MAX_PAGES} pages", place=self.asking.name)

    def _page(self, at: str, before: list[Any]) -> tuple[_Answer, Any, list[Any]]:
        """Return a page that is not the one before it: where pages have numbers, that one would hide this one.

        Raises:
            Unavailable: However often it is asked for, the page before comes.
            InvalidData: The answer holds no list of records.
        """
        for attempt in range(self.place.tries):
            answer = self._ask(self._address(at))
            value = self._read(answer)
            listed = _at(value, self.place.records)
            if listed is None and answer.status == http.client.NO_CONTENT:
                listed = []
            if not isinstance(listed, list):
                where = self.place.records or "the answer itself"
                raise InvalidData(f"{where} is no list", place=self.asking.name, expected="records as declared")
            if not listed or listed != before:
                return answer, value, listed
            self._wait(attempt, _Passing("it answers the page before"))
        raise Unavailable(f"it answers the page before, {self.place.tries} times", place=self.asking.name)

    def _address(self, at: str) -> str:
        """Return the address of a page."""
        if self.place.paging == "link" and at:
            return self._same_host(at)
        if self.place.paging in {"cursor", "page"} and (at or self.place.paging == "page"):
            parts = urlsplit(self.place.url)
            query = [(key, value) for key, value in parse_qsl(parts.query, keep_blank_values=True)
                     if key != self.place.parameter]  # fmt: skip
            return urlunsplit(parts._replace(query=urlencode([*query, (self.place.parameter, at or "1")])))
        return self.place.url

    def _next(self, at: str, value: Any, answer: _Answer, *, any_records: bool) -> str:
        match self.place.paging:
            case "page":
                return str(int(at or "1") + 1) if any_records else ""
            case "cursor":
                cursor = _at(value, self.place.next)
                return str(cursor) if cursor else ""
            case "link":
                link = _at(value, self.place.next) if self.place.next else _linked(answer.headers.get("link", ""))
                return urljoin(self.place.url, str(link)) if link else ""
            case _:
                return ""

    def _same_host(self, url: str) -> str:
        """Return an address that a server has named, if it is one of its own.

        Raises:
            Refused: It leads elsewhere, where the credential must not go.
        """
        here, there = urlsplit(self.place.url), urlsplit(url)
        try:
            alike = (here.scheme, here.hostname, here.port) == (there.scheme, there.hostname, there.port)
        except ValueError:
            alike = False
        if not alike or there.username or there.password:
            where = (there.hostname or "nowhere")[:80]
            raise Refused(
                f"the answer leads to {where}",
                place=self.asking.name,
                expected=f"an address of {here.hostname}",
                remedy="Declare that host as a source of its own, if it is meant.",
            )
        return url

    def _records(self, listed: list[Any]) -> tuple[list[dict[str, str | None]], list[tuple[str, bytes]]]:
        wanted = set(self.asking.columns)
        records, broken = list[dict[str, str | None]](), list[tuple[str, bytes]]()
        for each in listed:
            try:
                if not isinstance(each, dict):
                    raise ValueError("not an object")  # noqa: TRY004, TRY301 - the record is wrong
                found = flattened(each)
                records.append({name: value for name, value in found.items() if name in wanted})
            except ValueError as error:
                broken.append((str(error), repr(each)[:1000].encode(errors="replace")))
        return records, broken

    def _read(self, answer: _Answer) -> Any:
        if answer.status == http.client.NO_CONTENT:
            return None
        try:
            return parse(answer.body.decode())
        except (UnicodeDecodeError, ValueError) as error:
            raise InvalidData(f"the answer is no JSON: {error}"[:200], place=self.asking.name) from error

    def _ask(self, url: str) -> _Answer:
        """Return the answer to a request, asked for again while there is hope.

        Raises:
            Unavailable: There is none.
            Refused: The server knows who asks, and says no.
        """
        words = ""
        for attempt in range(self.place.tries):
            try:
                return self._once(url, HOPS)
            except _Passing as error:
                words = str(error)
                self._wait(attempt, error)
        raise Unavailable(f"{words}, {self.place.tries} times", place=self.asking.name,
                          remedy="Pull again later: what came before is kept, and it goes on there.")  # fmt: skip

    def _wait(self, attempt: int, error: _Passing) -> None:
        if attempt + 1 >= self.place.tries:
            return
        jitter = random.uniform(0, min(CAP_S, BASE_S * 2.0**attempt))  # noqa: S311 - spreads load, hides nothing
        wanted = jitter if error.after_s is None else error.after_s + min(jitter, 1.0)
        if wanted > self.place.patience_s:
            raise Unavailable(
                f"{error}, and wants to be left alone for {wanted:.0f} s",
                place=self.asking.name,
                expected=f"at most {self.place.patience_s:.0f} s",
                remedy="Pull again after that time.",
            )
        self.throttle.sleep(wanted)

    def _once(self, url: str, hops: int) -> _Answer:
        parts = urlsplit(url)
        path = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        headers = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "holdfast"}
        if self.asking.credential:
            words = f"{self.place.scheme} " if self.place.scheme else ""
            headers[self.place.header] = words + self.asking.credential.decode("latin-1")
        self.throttle.wait()
        try:
            with closing(self._connection(parts.hostname or "", parts.port, secure=parts.scheme == "https")) as line:
                line.request("GET", path, headers=headers)
                answer = self._whole(line.getresponse())
        except ssl.SSLCertVerificationError as error:
            raise Unavailable(
                f"its certificate does not hold: {error.verify_message}", place=self.asking.name
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Passing(f"it does not answer ({type(error).__name__})") from error
        except ValueError as error:
            raise InvalidData("the credential or the address cannot be sent", place=self.asking.name) from error
        finally:
            self.throttle.answered()
        return self._judged(url, answer, hops)

    def _judged(self, url: str, answer: _Answer, hops: int) -> _Answer:
        status = answer.status
        if status in {http.client.OK, http.client.NO_CONTENT}:
            return answer
        if 300 <= status < 400 and (to := answer.headers.get("location")):  # noqa: PLR2004 - the class of statuses
            if not hops:
                raise InvalidData("it redirects without end", place=self.asking.name)
            return self._once(self._same_host(urljoin(url, to)), hops - 1)
        if status in {http.client.UNAUTHORIZED, http.client.FORBIDDEN}:
            raise Refused(f"it answers {status}: the credential is not accepted", place=self.asking.name,
                          remedy="Store the right one: holdfast secret put.")  # fmt: skip
        if status in PASSING:
            raise _Passing(f"it answers {status}", _retry_after(answer.headers.get("retry-after", "")))
        if status in GONE:
            raise _Gone(f"it answers {status}")
        raise Unavailable(f"it answers {status}", place=self.asking.name)

    def _whole(self, response: http.client.HTTPResponse) -> _Answer:
        headers = {name.lower(): value for name, value in response.getheaders()}
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise InvalidData("it answers compressed, though asked not to", place=self.asking.name)
        body, ends = bytearray(), time.monotonic() + WHOLE_S
        while part := response.read(CHUNK):
            body += part
            if len(body) > MAX_BODY:
                raise InvalidData("the page is too long", place=self.asking.name, expected=f"at most {MAX_BODY} bytes")
            if time.monotonic() > ends:
                raise _Passing("its answer takes too long")
        if response.length:  # it promised more: `read` with a size does not say so
            raise _Passing("it was cut off in the middle of an answer")
        return _Answer(status=response.status, headers=headers, body=bytes(body))

    def _connection(self, host: str, port: int | None, *, secure: bool) -> http.client.HTTPConnection:
        address = self._resolved(host, port or (443 if secure else 80))
        if not secure:
            return _Pinned(host, port, timeout=TIMEOUT_S, to=address)
        authority = str(inside(self.asking.root, self.place.authority)) if self.place.authority else None
        context = ssl.create_default_context(cafile=authority)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return _PinnedSecure(host, port, timeout=TIMEOUT_S, to=address, context=context)

    def _resolved(self, host: str, port: int) -> str:
        """Return the address to connect to, the same that was judged.

        Raises:
            Refused: It lies in a private network, and the declaration does not say so.
        """
        try:
            found = [str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise _Passing(f"its name is not known ({type(error).__name__})") from error
        if is_local(host):
            return next(each for each in found if ipaddress.ip_address(each).is_loopback)
        for text in found:
            address = ipaddress.ip_address(text.partition("%")[0])
            private = address.is_private and not (address.is_loopback or address.is_link_local)
            if not address.is_global and not (private and self.place.private):
                raise Refused(
                    f"{host[:80]} is {text}, an address of a private network",
                    place=self.asking.name,
                    expected="a public address, or private = true where one of your own is meant",
                    remedy="Correct the address, or say private = true under [sources.NAME.api].",
                )
        return found[0]


class _Pinned(http.client.HTTPConnection):
    """A connection to the very address that was judged, whatever a name server says next."""

    def __init__(self, host: str, port: int | None, *, timeout: float, to: str) -> None:
        super().__init__(host, port, timeout=timeout)
        self._to = to

    def connect(self) -> None:
        self.sock = socket.create_connection((self._to, self.port), self.timeout)


class _PinnedSecure(http.client.HTTPSConnection):
    """The same over TLS, for the name that was declared."""

    def __init__(self, host: str, port: int | None, *, timeout: float, to: str, context: ssl.SSLContext) -> None:
        super().__init__(host, port, timeout=timeout, context=context)
        self._to, self._tls = to, context

    def connect(self) -> None:
        line = socket.create_connection((self._to, self.port), self.timeout)
        self.sock = self._tls.wrap_socket(line, server_hostname=self.host)


def _at(value: Any, path: str) -> Any:
    """Return what stands at a place in an answer; None where nothing does."""
    for name in path.split(".") if path else ():
        if not isinstance(value, dict):
            return None
        value = value.get(name)
    return value


def _linked(header: str) -> str:
    """Return the address of rel="next" in a Link header (RFC 8288); empty where there is none."""
    for target, parameters in _LINK.findall(header):
        for parameter in parameters.split(";"):
            name, _, said = parameter.strip(" ,").partition("=")
            if name.strip().lower() == "rel" and "next" in said.strip().strip('"').lower().split():
                return str(target)
    return ""


def _retry_after(text: str) -> float | None:
    """Return the seconds that a server wants to be left alone for, from either form; None where it names none.

    >>> _retry_after("120"), _retry_after(""), _retry_after("soon")
    (120.0, None, None)
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return float(text[:12])
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return max(0.0, (aware - datetime.now(UTC)).total_seconds())
