"""What a request may look like, before anybody reads what it means: pure checks of its head and its content.

Two parsers that read one request differently are how requests are smuggled past a check. So whatever could be read in
two ways is refused: repeated headers, encoded slashes, duplicate keys, other charsets, compressed content.
"""

import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from holdfast.core.errors import InvalidRequest, NotJson, TooLarge

MAX_BODY: Final = 1 << 20  # bytes: the longest policy is a quarter of it
MAX_HEADERS: Final = 64  # of one request; honest ones have ten
MAX_HEADER: Final = 8 << 10  # bytes of one header's name and value: a token with its certificate chain fits
MAX_TARGET: Final = 4 << 10  # bytes of path and query
MAX_DEPTH: Final = 16  # of brackets in a document; ours need three
MAX_NUMBER: Final = 1 << 53  # beyond it JSON's readers disagree (RFC 8259, 6)
SINGLE: Final = frozenset(
    {
        b"host",
        b"authorization",
        b"content-type",
        b"content-length",
        b"content-encoding",
        b"transfer-encoding",
        b"idempotency-key",
        b"x-correlation-id",
        b"x-nonce",
        b"dpop",
        b"expect",
    }
)
"""Headers of which the first and the last could be meant: two are refused."""
_TOKEN: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_VALUE: Final = re.compile(rb"[\t\x20-\x7e]*")  # RFC 9110, 5.5, without obs-text: nothing of ours needs it
_PATH: Final = re.compile(rb"/[A-Za-z0-9._~@:/-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9._~@:/-]*)*")
_HOST: Final = re.compile(r"(?P<name>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?")
_HIDDEN: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")  # control characters, lone surrogates

Headers = Iterable[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """A request's head that can be read in one way only."""

    headers: dict[str, str]
    path: str

    def get(self, name: str) -> str:
        """Return a header's value, or "" where there is none."""
        return self.headers.get(name, "")


def check_head(*, raw_path: bytes, query: bytes, headers: Headers, hosts: frozenset[str]) -> Head:
    """Return the head of a request if nothing in it is ambiguous.

    Raises:
        InvalidRequest: Something is, or the host is not one of ours.
        TooLarge: It is longer than heads are.
    """
    return Head(path=check_target(raw_path, query), headers=check_headers(list(headers), hosts))


def check_target(raw_path: bytes, query: bytes) -> str:
    """Return the path if it is written as it is meant: no dots to climb, no slash or zero byte in disguise."""
    if len(raw_path) + len(query) > MAX_TARGET:
        raise TooLarge("the request's target is too long", expected=f"at most {MAX_TARGET} bytes")
    decoded = unquote_to_bytes(raw_path)
    parts = decoded.split(b"/")
    disguised = b"%2f" in raw_path.lower() or b"%" in decoded or b"\\" in decoded
    climbing = any(part in {b".", b".."} for part in parts) or b"//" in decoded
    if not _PATH.fullmatch(raw_path) or disguised or climbing:
        raise InvalidRequest("the path is not written as paths are here")
    query_text = _text(unquote_to_bytes(query.replace(b"+", b" ")), "the query")
    if query_text and not query_text.isprintable():
        raise InvalidRequest("the query holds control characters")
    names = [unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")) for pair in query.split(b"&") if pair]
    if len(names) != len(set(names)):
        raise InvalidRequest("a parameter stands twice in the query")
    path = _text(decoded, "the path")
    if not path.isprintable():
        raise InvalidRequest("the path holds control characters")
    return path


def check_headers(headers: list[tuple[bytes, bytes]], hosts: frozenset[str]) -> dict[str, str]:
    """Return the headers if each can be read in one way only, and the host is ours."""
    if len(headers) > MAX_HEADERS or any(len(name) + len(value) > MAX_HEADER for name, value in headers):
        raise TooLarge("the request has too many headers, or too long ones", expected=f"at most {MAX_HEADERS}")
    found: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise InvalidRequest("a header holds what headers may not")
        if key in SINGLE and key.decode() in found:
            raise InvalidRequest(f"{key.decode()} stands twice")
        found[key.decode()] = value.decode()
    if "content-length" in found and "transfer-encoding" in found:  # RFC 9112, 6.1
        raise InvalidRequest("content-length and transfer-encoding both say how long the content is")
    if found.get("transfer-encoding", "chunked").lower() != "chunked":
        raise InvalidRequest("a transfer encoding other than chunked")
    host = _HOST.fullmatch(found.get("host", "").lower())
    if host is None or (host["name"] not in hosts and "*" not in hosts):
        raise InvalidRequest("the host is not this server", expected="the name it is known by")
    return found


def check_content_type(head: Head) -> None:
    """Check that content is JSON in UTF-8, as it is.

    Raises:
        NotJson: It says otherwise.
    """
    kind, _, parameters = head.get("content-type").lower().partition(";")
    charset = parameters.strip().replace('"', "")
    if kind.strip() != "application/json" or charset not in {"", "charset=utf-8"}:
        raise NotJson("the content's type is not taken", expected="application/json")
    if head.get("content-encoding").lower() not in {"", "identity"}:
        raise NotJson("the content is compressed", expected="content as it is")


def parse(content: bytes) -> dict[str, Any]:
    """Return a JSON object in which no key stands twice and nothing is deeper, larger or stranger than ours are.

    Raises:
        TooLarge: It is deeper than `MAX_DEPTH`.
        InvalidRequest: It is no such object.
    """
    text = _text(content, "the content")
    if depth_of(text) > MAX_DEPTH:
        raise TooLarge("the document is too deep", expected=f"at most {MAX_DEPTH} brackets within one another")
    try:
        document = json.loads(
            text, object_pairs_hook=_once, parse_constant=_no_constant, parse_float=_float, parse_int=_integer
        )
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("the content is not a JSON document", expected="RFC 8259, each key once") from error
    if not isinstance(document, dict):
        raise InvalidRequest("the content is not a JSON object")
    _check_texts(document)
    return document


def depth_of(text: str) -> int:
    """Return how deep brackets stand within one another, by one pass that recurses nowhere.

    >>> depth_of('{"a": [[1], "]]]["]}')
    3
    """
    depth = deepest = 0
    in_text = escaped = False
    for char in text:
        if in_text:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_text = False
        elif char == '"':
            in_text = True
        elif char in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "]}":
            depth -= 1
    return deepest


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("a number beyond what JSON's readers agree on")
    return value


def _integer(text: str) -> int:
    if len(text) > len(str(MAX_NUMBER)) + 1 or abs(int(text)) > MAX_NUMBER:
        raise ValueError("a number beyond what JSON's readers agree on")
    return int(text)


def _check_texts(value: object) -> None:
    if isinstance(value, str):
        if _HIDDEN.search(value):
            raise InvalidRequest("a text holds control characters")
    elif isinstance(value, dict):
        for key, each in value.items():
            _check_texts(key)
            _check_texts(each)
    elif isinstance(value, list):
        for each in value:
            _check_texts(each)


def _text(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"{what} is not UTF-8") from error
