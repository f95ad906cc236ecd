"""One text, and the secrets that stand in it: formats first, then pairs, addresses and assignments.

The time is linear in the text: literals are searched for, patterns with bounded quantifiers are tried where one stands,
and at most `MAX_TRIES` places of one literal are looked at.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from holdfast.core.evidence import Severity
from holdfast.engines.secrets import checks
from holdfast.engines.secrets.context import KEYWORDS, assigned, is_placeholder, is_random, is_words
from holdfast.engines.secrets.formats import (
    AWS_ANCHORS,
    AWS_ID,
    AWS_REACH,
    AWS_SECRET,
    FORMATS,
    URL_PASSWORD,
    URL_REACH,
    Format,
)

MAX_TRIES: Final = 100_000  # places of one literal that are looked at in one text; a text with more is made for it
MAX_LINE: Final = 5_000  # bytes of a line in which assignments are looked for: a longer one is minified or data
MIN_URL_PASSWORD: Final = 6  # characters
MIN_RUN: Final = 20  # characters: an access key id of AWS, the shortest of all formats
_TOKEN_CHARS: Final = bytes(code < 128 and (chr(code).isalnum() or chr(code) in "_+/=.:-") for code in range(256))
_WORD_CHARS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A secret in a text: bytes `start` to `end`. It never leaves this package with its bytes."""

    rule: str
    says: str
    severity: Severity
    start: int
    end: int


def find(data: bytes) -> tuple[Hit, ...]:
    """Return the secrets in a text, in order, none inside another: what has a format is named by it."""
    taken, runs = list[Hit](), Runs(data)
    for hit in (*_formats(data, runs), *_aws(data, runs), *_urls(data), *_assignments(data)):
        if not any(hit.start < other.end and other.start < hit.end for other in taken):
            taken.append(hit)
    return tuple(sorted(taken, key=lambda hit: hit.start))


def _places(data: bytes, literal: bytes) -> Iterator[int]:
    at = data.find(literal)
    for _ in range(MAX_TRIES):
        if at < 0:
            return
        yield at
        at = data.find(literal, at + 1)


class Runs:
    """The long runs of a text: what can hold a token, apart from all the words and spaces that cannot."""

    def __init__(self, data: bytes) -> None:
        """Find every stretch of at least `MIN_RUN` characters that tokens are made of."""
        inside = np.frombuffer(b"\0" + data.translate(_TOKEN_CHARS) + b"\0", dtype=np.int8)
        edges = np.flatnonzero(inside[1:] != inside[:-1])
        begins, ends = edges[0::2], edges[1::2]
        long = ends - begins >= MIN_RUN
        self._begins = begins[long].tolist()
        runs = [data[begin:end] for begin, end in zip(self._begins, ends[long].tolist(), strict=True)]
        self._joined = b"\n".join(runs)
        offset, self._offsets = 0, list[int]()
        for run in runs:
            self._offsets.append(offset)
            offset += len(run) + 1

    def places(self, literal: bytes) -> Iterator[int]:
        """Yield where a literal stands in the text, if it stands in a run."""
        for at in _places(self._joined, literal):
            number = bisect_right(self._offsets, at) - 1
            yield self._begins[number] + at - self._offsets[number]


def _formats(data: bytes, runs: Runs) -> Iterator[Hit]:
    for form in FORMATS:
        end = 0
        for at in _places(data, form.anchor) if form.spaced else runs.places(form.anchor):
            if at < end or not _begins(data, at, form):
                continue
            found = form.pattern.match(data, at)
            if found and form.check(found[0]):
                end = found.end()
                yield Hit(rule=form.name, says=form.says, severity=form.severity, start=at, end=end)


def _begins(data: bytes, at: int, form: Format) -> bool:
    """Say whether a token can begin here; the middle of a longer word is no beginning, where the anchor is one."""
    inner = form.name.startswith(("stripe", "openai")) or form.anchor[:1] in b":-"
    return inner or at == 0 or data[at - 1] not in _WORD_CHARS or data[max(0, at - 2) : at] in {b"\\n", b"\\t"}


def _aws(data: bytes, runs: Runs) -> Iterator[Hit]:
    """Yield each access key id, and the secret beside it; the id alone opens nothing, but is rarely alone."""
    for anchor in AWS_ANCHORS:
        for at in runs.places(anchor):
            found = AWS_ID.match(data, at)
            if not found or not checks.is_aws_id(found[0]):
                continue
            begin = max(0, at - AWS_REACH)
            near = data[begin : found.end() + AWS_REACH]
            secrets = [each for each in AWS_SECRET.finditer(near) if is_random(each[0]) and b"EXAMPLE" not in each[0]]
            for each in secrets[:1]:
                start, end = begin + each.start(), begin + each.end()
                says = "a secret access key of AWS beside its id"
                yield Hit(rule="aws.secret", says=says, severity=Severity.CRITICAL, start=start, end=end)
            if not secrets:
                says = "an access key id of AWS"
                yield Hit(rule="aws.id", says=says, severity=Severity.MEDIUM, start=at, end=found.end())


def _urls(data: bytes) -> Iterator[Hit]:
    for at in _places(data, b"://"):
        stop = data.find(b"@", at + 3, at + 400)
        if stop < 0:
            continue
        begin = at
        while begin > max(0, at - URL_REACH) and (97 <= data[begin - 1] <= 122 or data[begin - 1] in b"0123456789+-."):
            begin -= 1
        found = URL_PASSWORD.match(data, begin)
        if found and _opens(found[1], found[2]):
            says = "a password in an address"
            yield Hit(rule="url.password", says=says, severity=Severity.HIGH, start=found.start(1), end=found.end(1))


def _opens(password: bytes, host: bytes) -> bool:
    """Say whether a password of an address is one: no placeholder, no plain word, and not for a host of examples."""
    if len(password) < MIN_URL_PASSWORD or is_placeholder(password) or password[:1] in b"$%{[(":
        return False
    shown = host.lower().partition(b":")[0]
    if shown.endswith((b"example.com", b"example.org", b"example.net", b".example", b".test", b".invalid")):
        return False
    mixed = password not in {password.lower(), password.upper()}
    return (not password.isalpha() or (mixed and not is_words(password))) and len(set(password)) > 4


def _assignments(data: bytes) -> Iterator[Hit]:
    lower, seen = data.lower(), set[int]()
    for keyword in KEYWORDS:
        for at in _places(lower, keyword):
            found = assigned(data, at, keyword)
            if found is None or found[0] in seen:
                continue
            seen.add(found[0])
            if _line_length(data, at) <= MAX_LINE:
                says = "a value drawn by chance where a secret stands"
                yield Hit(rule="assigned", says=says, severity=Severity.HIGH, start=found[0], end=found[1])


def _line_length(data: bytes, at: int) -> int:
    begin = data.rfind(b"\n", max(0, at - MAX_LINE), at)
    end = data.find(b"\n", at, at + MAX_LINE)
    if begin < 0 and at > MAX_LINE:
        return MAX_LINE + 1
    if end < 0:
        end = min(len(data), at + MAX_LINE)
    return end - max(0, begin)
