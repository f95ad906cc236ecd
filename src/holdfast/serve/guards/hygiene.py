"""Web attacks at the edge: requests that no honest caller of a model sends.

Most of what such rules look for elsewhere cannot happen here: a path is one of five, or there is nothing; no query, no
form, no cookie is read; a body is decoded into fields that are all named. What is left is what a request could do to
whoever stands in front of us or reads our records, and what tells that somebody is trying. Few rules, each with a name.
"""

import re
from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.refusals import NOT_CLEAN

_HEAD: Final = "inference-header-content-length"
MOST_HEADERS: Final = 64
OVERRIDES: Final = frozenset(
    {b"x-http-method-override", b"x-http-method", b"x-method-override", b"x-original-url", b"x-rewrite-url"}
)
"""Headers by which one request pretends to be another to whoever stands behind."""

BODY_TYPES: Final = ("application/json", "application/octet-stream", "application/vnd.holdfast")
FORM_TYPES: Final = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data")
"""What `curl --data` says unless it is told otherwise, and what a browser sends to other sites without asking them."""
FORM: Final = "form"

_TRAVERSAL: Final = (
    rb"""(?:\.\./|\.\.\\|%2e%2e(?:%2f|%5c|/)|%252e){2}|\.\./(?:etc|proc|windows)/|/etc/(?:passwd|shadow)\b"""
)
_LOOKUP: Final = rb"""\$\{(?:[^}]{0,40}[:-])?(?:jndi|lower|upper|env|sys|java|ctx|date)\b"""
_SCRIPT: Final = (
    rb"""<\s*(?:script|iframe|svg|img|object|embed)\b[^>]{0,100}(?:>|on\w{3,20}\s*=|src\s*=)|javascript:\s*\w"""
)
_SQL: Final = (
    rb"""(?:'|")\s*(?:or|and)\s+(?:'[^']{0,20}'|"[^"]{0,20}"|\d+)\s*(?:=|<|>|like)"""
    rb"""|\bunion\s+(?:all\s+)?select\b.{0,200}\bfrom\b"""
    rb"""|(?:'|\d)\s*;\s*(?:drop|delete|insert|update|exec|shutdown)\s"""
    rb"""|(?:'|;)[^'\n]{0,80}\b(?:sleep|benchmark|pg_sleep|waitfor\s+delay)\s*\(?\s*['"]?\d"""
)
_PROGRAM: Final = rb"""\s*(?:cat|ls|id|whoami|wget|curl|nc|bash|sh|python\d?|powershell|ping)\b"""
_COMMAND: Final = rb"""(?:;|\||&&|`)""" + _PROGRAM + rb"""\s*(?:[-/`|;&]|$|\w+\.|https?:)|\$\(""" + _PROGRAM
_TEMPLATE: Final = (
    rb"""\{\{\s*(?:\d+\s*\*\s*\d+|[^}]{0,60}(?:__class__|__globals__|config|self\.|request\.))"""
    rb"""|<%=?\s*\w|#\{\s*\d+\s*\*"""
)
RULES: Final = (
    ("traversal", _TRAVERSAL),
    ("lookup", _LOOKUP),
    ("script", _SCRIPT),
    ("sql", _SQL),
    ("command", _COMMAND),
    ("template", _TEMPLATE),
    ("entity", rb"<!(?:DOCTYPE|ENTITY)\b[^>]{0,200}(?:SYSTEM|PUBLIC|ENTITY)"),
    ("null", rb"%00|\\u0000|\x00"),
)
"""Name and pattern; each names an attack by what it must contain to work, not by words that people use."""

_ANY: Final = re.compile(
    b"|".join(b"(?P<%s>%s)" % (name.encode(), rule) for name, rule in RULES), re.IGNORECASE | re.DOTALL
)
_PRINTABLE: Final = b"\t" + bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))  # RFC 9110 5.5
_PORT: Final = re.compile(rb":\d*\Z")
_ESCAPES: Final = re.compile(rb"\\u00([0-7][0-9a-f])|%([2-7][0-9a-f])", re.IGNORECASE)


def _suspicious(data: bytes) -> bool:
    """Say whether bytes hold a character that every rule needs one of: a body of numbers holds none, and is done.

    Each is one pass of `memchr`, at some 20 GB/s; a loop over a table, or a pattern, takes a hundred times as long.
    """
    return (
        b"/" in data
        or b"'" in data
        or b";" in data
        or b"<" in data
        or b"$" in data
        or b"(" in data
        or b"\\" in data
        or b"%" in data
        or b"|" in data
        or b"`" in data
        or b"#" in data
        or b"\x00" in data
    )


def found(data: bytes) -> str:
    """Return the name of the first rule that bytes break; "" where there is none.

    >>> found(b'{"id": "${jndi:ldap://x/a}"}')
    'lookup'
    """
    if not _suspicious(data):
        return ""
    match = _ANY.search(data)
    if match is None and (b"%" in data or b"\\u" in data):  # as whoever reads it once more would see it
        match = _ANY.search(_ESCAPES.sub(lambda escape: bytes([int(escape[1] or escape[2], 16)]), data))
    return match.lastgroup or "" if match else ""


_WORDS: Final = {
    "query": "there is no query here",
    "headers": "there are too many headers",
    "content-type": "the content type is not accepted: send Content-Type: application/json",
    FORM: "a form cannot be sent with a certificate: send Content-Type: application/json",
    "override": "a request cannot pretend to be another",
    "host": "this host is not served here",
    "control": "a header holds control characters",
}
"""What a caller is told of a rule; of an attack nothing, so that nobody learns how to write it otherwise."""


class CleanRequestSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Under which names callers may reach this gateway; none listed: any."""

    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CleanRequest:
    """A request has the headers of a call and no more tricks.

    1. Not more headers than anybody needs. 2. No header that says it is another request. 3. Exactly one host, and a
    known one. 4. No query. 5. A body of a type that is spoken here, or at
    least no form where a browser's certificate would do for a key. 6. No value with control characters. 7. None of
    `RULES` in a header's value or in the body.
    """

    name: str = "clean-request"
    one_way: ClassVar[bool] = True
    together: ClassVar[bool] = True
    hosts: frozenset[bytes]

    def admit(self, call: Call) -> Call | Refusal:
        """Let a clean request pass."""
        if call.query:  # 4.
            return self._no("query", _WORDS["query"])
        seen = call.seen
        rule = seen.get(self.hosts) if seen is not None else None
        if rule is None:
            rule = self._headers(call.raw)
            if seen is not None:
                seen[self.hosts] = rule
        if rule == FORM:  # a browser sends one for any page, with its certificate, but with no key of its own accord
            rule = FORM if call.certificate or "client-cert" in call.headers else ""
        if rule:
            return self._no(rule, _WORDS.get(rule, NOT_CLEAN.public))
        head = call.headers.get(_HEAD, "")  # what follows it are tensors as bytes, in which any byte is honest
        rule = found(call.body[: int(head)] if head.isdecimal() else call.body)  # 7.
        return self._no(rule, NOT_CLEAN.public) if rule else call

    def _headers(self, raw: tuple[tuple[bytes, bytes], ...]) -> str:
        """Return the name of the first rule that headers break; "" where there is none."""
        if len(raw) > MOST_HEADERS:  # 1.
            return "headers"
        hosts, form = [], ""
        for name, value in raw:
            if name == b"host":
                hosts.append(_PORT.sub(b"", value).lower())
            elif name == b"content-type":
                kind = value.lower().decode("latin-1")  # 5.
                if not kind.startswith(BODY_TYPES + FORM_TYPES):
                    return "content-type"
                form = FORM if kind.startswith(FORM_TYPES) else ""
            elif name in OVERRIDES:  # 2.
                return "override"
        if len(hosts) > 1 or (self.hosts and (not hosts or hosts[0] not in self.hosts)):  # 3.
            return "host"
        values = b"\t".join([value for name, value in raw if name != b"authorization"])
        if values.translate(None, _PRINTABLE):  # 6.
            return "control"
        return found(values) or form  # 7.

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out: it holds nothing that a caller sent, but an id of bounded length."""
        return answer

    def _no(self, rule: str, public: str) -> Refusal:
        return NOT_CLEAN.refusal(self.name, f"rule {rule}", public=public)


def clean_request(settings: CleanRequestSettings, surroundings: Surroundings) -> CleanRequest:  # noqa: ARG001 - one signature for all
    """Build the guard.

    Raises:
        InvalidInput: A host that is none.
    """
    if not all(re.fullmatch(r"[A-Za-z0-9.:\[\]-]{1,253}", host) for host in settings.hosts):
        raise InvalidInput("clean-request names a host that is none", place="routes", expected="host names")
    return CleanRequest(hosts=frozenset(_PORT.sub(b"", host.lower().encode()) for host in settings.hosts))
