"""What a request may look like: whatever two parsers could read in two ways is refused before anybody reads it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError, InvalidRequest, NotJson, TooLarge, TooMany, Unavailable
from holdfast.faces.http import strict
from holdfast.faces.http.allowance import Allowance
from holdfast.faces.http.known import BLIND_S, KEPT_S, Known
from holdfast.testing.carried import Ticks

HOSTS = frozenset({"here.example", "[::1]"})
HOST = (b"host", b"here.example")


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/../etc/passwd",
        b"/v1/./log",
        b"/v1//log",
        b"/v1/%2e%2e/log",
        b"/v1/%2E%2E%2Flog",
        b"/v1%2flog",
        b"/v1/%252e%252e/log",
        b"/v1\\..\\log",
        b"/v1/%5c..%5c",
        b"/v1/log%00.json",
        b"/v1/%c0%ae%c0%ae/log",
        b"/v1/\xff",
        b"/v1/%ff",
        b"/v1/log%0d%0aX-A:b",
        b"/v1/%e2%80%ae",
        b"v1/log",
        b"",
        b"/v1/log;jsessionid=1",
        b"/v1/%",
    ],
)
def test_a_path_in_disguise_is_refused(path: bytes) -> None:
    """Climbing, doubly encoded, overlong, zero bytes, line breaks, other slashes: no path is written so here."""
    with pytest.raises(InvalidRequest):
        strict.check_target(path, b"")


@pytest.mark.parametrize("query", [b"a=1&a=2", b"a=1&%61=2", b"a=%00", b"a=%ff", b"a=%0d%0a", b"a=%ed%a0%80"])
def test_a_query_that_says_two_things_is_refused(query: bytes) -> None:
    """A parameter given twice, also in disguise; control characters and what is not UTF-8."""
    with pytest.raises(InvalidRequest):
        strict.check_target(b"/v1/log", query)


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_target_is_a_plain_path_or_refused(raw_path: bytes, query: bytes) -> None:
    """Whatever bytes arrive, what gets through has no dots to climb and nothing hidden, and nothing else is raised."""
    try:
        path = strict.check_target(raw_path, query)
    except HoldfastError:
        return
    assert path.startswith("/")
    assert path.isprintable()
    assert not {"..", "."} & set(path.split("/"))


@pytest.mark.parametrize(
    "headers",
    [
        [HOST, HOST],
        [(b"host", b"evil.example")],
        [(b"host", b"here.example@evil.example")],
        [(b"host", b"here.example:80:80")],
        [],
        [HOST, (b"content-length", b"1"), (b"content-length", b"1")],
        [HOST, (b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [HOST, (b"transfer-encoding", b"gzip, chunked")],
        [HOST, (b"Authorization", b"a"), (b"authorization", b"b")],
        [HOST, (b"idempotency-key", b"a"), (b"idempotency-key", b"b")],
        [HOST, (b"x-a", b"b\r\nx-c: d")],
        [HOST, (b"x-a", b"b\x00")],
        [HOST, (b"x-a", b"\xff")],
        [HOST, (b"x a", b"b")],
        [HOST, (b"", b"b")],
    ],
)
def test_a_head_that_can_be_read_in_two_ways_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    """Repeated, contradicting, foreign or broken headers."""
    with pytest.raises(InvalidRequest):
        strict.check_headers(headers, HOSTS)


def test_too_many_headers_and_too_long_ones_are_refused() -> None:
    """Limits with a name, checked before anything is read."""
    with pytest.raises(TooLarge):
        strict.check_headers([HOST, *((b"x", b"y") for _ in range(strict.MAX_HEADERS))], HOSTS)
    with pytest.raises(TooLarge):
        strict.check_headers([HOST, (b"x", b"y" * strict.MAX_HEADER)], HOSTS)
    with pytest.raises(TooLarge):
        strict.check_target(b"/" + b"a" * strict.MAX_TARGET, b"")


@pytest.mark.parametrize("host", [b"here.example", b"HERE.example:8440", b"[::1]:8440"])
def test_our_own_names_are_taken(host: bytes) -> None:
    """With and without a port, in any case."""
    assert strict.check_headers([(b"host", host)], HOSTS)["host"]


@pytest.mark.parametrize(
    "content",
    [
        b'{"a": 1, "a": 2}',
        b'{"b": {"a": 1, "\\u0061": 2}}',
        b"[]",
        b'"text"',
        b"{",
        b"{} {}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": 123456789012345678901234567890}',
        b'{"a": "\\u0000"}',
        b'{"a": "\\ud800"}',
        b'{"\\u001b": 1}',
        b"\xef\xbb\xbf{}",
        b'{"a": "\xff"}',
        '{"a": 1}'.encode("utf-16"),
        b"\x1f\x8b\x08\x00",
    ],
)
def test_a_document_that_readers_disagree_about_is_refused(content: bytes) -> None:
    """Duplicate keys, numbers beyond agreement, hidden characters, other encodings, other documents."""
    with pytest.raises(InvalidRequest):
        strict.parse(content)


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_a_deeply_nested_document_is_refused_before_it_is_parsed(opening: str) -> None:
    """A hundred thousand brackets exhaust no stack."""
    with pytest.raises(TooLarge):
        strict.parse(('{"a":' + opening * 100_000).encode())


def test_brackets_in_text_are_not_depth() -> None:
    """A policy's text may hold as many as it likes."""
    assert strict.parse(b'{"a": "' + b"[" * 500 + b'\\"{{{"}')


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/plain"},
        {"content-type": "application/json; charset=utf-7"},
        {"content-type": "application/json; charset=utf-16"},
        {"content-type": "application/json", "content-encoding": "gzip"},
        {"content-type": "multipart/form-data; boundary=x"},
    ],
)
def test_other_content_is_refused(headers: dict[str, str]) -> None:
    """Confused charsets, compressed content, forms."""
    with pytest.raises(NotJson):
        strict.check_content_type(strict.Head(headers=headers, path="/"))


def test_an_allowance_is_spent_and_refills() -> None:
    """A burst, then as many as the rate gives, each name for itself."""
    ticks = Ticks()
    allowance = Allowance(rate_per_s=2, burst=3, monotonic=ticks)
    for _ in range(3):
        allowance.spend("ada")
    with pytest.raises(TooMany):
        allowance.spend("ada")
    allowance.spend("bob")
    ticks.seconds += 0.5
    allowance.spend("ada")
    with pytest.raises(TooMany):
        allowance.check("ada")


def test_what_is_known_ends_with_the_next_entry_with_time_and_with_blindness() -> None:
    """An answer holds for one state of the ledger, for a second, and only while somebody looks."""
    ticks, sizes = Ticks(), [7]

    def size() -> int:
        if not sizes:
            raise Unavailable("no database")
        return sizes[0]

    known = Known(size, ticks)
    known.keep("a", 1, known.state())
    assert known.recall("a") is None  # nobody has looked yet
    known.look()
    known.keep("a", 1, known.state())
    assert known.recall("a") == 1
    known.keep("b", 2, 6)  # found out for another state
    assert known.recall("b") is None
    sizes[0] = 8
    known.look()
    assert known.recall("a") is None
    known.keep("a", 1, known.state())
    ticks.seconds += KEPT_S
    known.look()
    assert known.recall("a") is None
    known.keep("a", 1, known.state())
    sizes.clear()
    ticks.seconds += BLIND_S
    known.look()
    assert known.state() is None
    assert known.recall("a") is None
