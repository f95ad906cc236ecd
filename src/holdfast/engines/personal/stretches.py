"""One text, and all in it that is personal or secret: what is found, and what people may read of it."""

from typing import Final

from holdfast.core.dlp import Entity
from holdfast.engines.personal import text as texts
from holdfast.engines.personal.entities import Span
from holdfast.engines.secrets.text import find as find_secrets

SHOWN: Final = frozenset({Entity.URL})
"""Kinds that people may read in what is shown of a refused row."""
_MAX: Final = 16_384  # characters of one value that are looked at for secrets
MAX_EXAMINED: Final = 4096  # characters of one value that `redact` looks at, far beyond what is shown afterwards


def places_in(text: str) -> tuple[tuple[int, int], ...]:
    """Return where secrets stand in a text, in characters."""
    data = text[:_MAX].encode("utf-8", "replace")
    hits = find_secrets(data)
    if not hits:
        return ()
    return tuple((_chars(data, hit.start), _chars(data, hit.end)) for hit in hits)


def _chars(data: bytes, at: int) -> int:
    return len(data[:at].decode(errors="replace"))


def spans(text: str, *, national_ids: bool = True) -> tuple[Span, ...]:
    """Return the personal data and the secrets in a text, in order, none inside another: a secret comes first."""
    secrets = [Span(entity=Entity.SECRET, start=start, stop=stop) for start, stop in places_in(text)]
    found = texts.find(text, national_ids=national_ids)
    rest = [span for span in found if not any(_meets(span, secret) for secret in secrets)]
    return tuple(sorted([*secrets, *rest], key=lambda span: span.start))


def _meets(span: Span, other: Span) -> bool:
    return span.start < other.stop and other.start < span.stop


def redact(text: str) -> str:
    """Return a text for people to read, each personal value in it replaced by its kind.

    >>> redact("write to ada@example.org, +44 20 7946 0958")
    'write to [email], [phone]'
    """
    text = text[:MAX_EXAMINED]
    parts, end = [], 0
    for span in spans(text):
        if span.entity in SHOWN:
            continue
        parts += [text[end : span.start], f"[{span.entity}]"]
        end = span.stop
    return "".join([*parts, text[end:]])
