"""One text: which stretches of it are personal, by shape, check and the words before, none inside another.

Kinds are asked in order, most certain first, and what one has taken the others do not see. Where a shape alone says too
little (bare digits, groups of digits, dates, ids that chance meets) a word before it must say what it is; a word for
something else (order, version, hash, part) makes a weak shape nothing.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from holdfast.core.dlp import Entity
from holdfast.engines.checksums import IBAN_SHAPE, is_card, is_ean, is_iban, is_ip, is_luhn, is_ssn
from holdfast.engines.personal import births, national, phones
from holdfast.engines.personal.context import cues
from holdfast.engines.personal.entities import Span

EMAIL: Final = r"[\w.%+'-]{1,64}@(?:[A-Za-z0-9][A-Za-z0-9-]{0,62}\.){1,8}[A-Za-z]{2,24}"
URL: Final = r"(?:(?:https?|ftp)://|www\.)[\w.-]{2,253}(?::[0-9]{1,5})?(?:[/?#][^\s<>\"'`\x00]{0,2000})?"
CARD: Final = r"[0-9](?:[ -]?[0-9]){11,18}"
IP: Final = (
    r"(?:[0-9]{1,6}(?:\.[0-9]{1,6}){3}|(?:[0-9A-Fa-f]{1,4}|:):[0-9A-Fa-f:]{2,37}(?:[0-9]{1,3}(?:\.[0-9]{1,3}){3})?)"
)
SSN: Final = r"[0-9]{3}-[0-9]{2}-[0-9]{4}"

_OLD_VISA: Final = 13  # digits; one in a hundred numbers of this length passes for one
_DATE: Final = re.compile(
    r"(?<!\d)(?:(?:19|20)\d\d[-/.]\d{1,2}[-/.]\d{1,2}|\d{1,2}[-/.]\d{1,2}[-/.](?:19|20)\d\d)"
    r"(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[ ]?[+-]\d\d:?\d\d)?)?(?!\d)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Something of a kind's shape; `valid` where its checks, and what stands before, make it one."""

    entity: str
    start: int
    stop: int
    valid: bool
    sure: bool = True  # False: one alone proves nothing, so of a column's values of the shape most must be valid


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    entity: Entity
    shape: re.Pattern[str]
    needs: Callable[[str], bool]  # cheap: could the text hold one at all
    judge: Callable[[str, str, int], bool | None]  # None: not even of the shape


def _judge_ssn(found: str, text: str, at: int) -> bool | None:
    return False if _other(text, at) else is_ssn(found)


def _judge_ip(found: str, text: str, at: int) -> bool | None:
    about = cues(text, at)
    if "else" in about and Entity.IP not in about:
        return False
    return is_ip(found, named=Entity.IP in about)


def _judge_card(found: str, text: str, at: int) -> bool | None:
    if not is_luhn(found.replace(" ", "").replace("-", "")):
        return False
    if Entity.CARD in cues(text, at):
        return is_card(found, named=True)
    old = found[0] == "4" and sum(map(str.isdigit, found)) == _OLD_VISA
    return is_card(found) and not old and not is_ean(found) and not _other(text, at)


def _judge_birth(_: str, text: str, at: int) -> bool | None:
    return Entity.BIRTH in cues(text, at)


def _judge_phone(found: str, text: str, at: int) -> bool | None:
    sure, about = phones.sureness(found), cues(text, at)
    if not sure:
        return Entity.PHONE in about if re.fullmatch(phones.GROUPED_OTHERWISE, found) else None
    if Entity.PHONE in about:
        return True
    if sure == "strong":
        return "else" not in about or found.lstrip("(").startswith("+")
    return sure == "medium" and not about


def _other(text: str, at: int) -> bool:
    about = cues(text, at)
    return "else" in about and about.isdisjoint({Entity.CARD, Entity.SSN, Entity.PHONE, "national-id"})


_DIGITS: Final = re.compile(r"[0-9]{2}")


def _has_digits(text: str) -> bool:
    return _DIGITS.search(text) is not None


KINDS: Final = (
    _Kind(
        entity=Entity.EMAIL,
        shape=re.compile(rf"(?<![\w.+'-]){EMAIL}(?![\w-])"),
        needs=lambda text: "@" in text,
        judge=lambda *_: True,
    ),
    _Kind(
        entity=Entity.URL,
        shape=re.compile(rf"(?<![\w.@]){URL}"),
        needs=lambda text: "://" in text or "www." in text,
        judge=lambda *_: True,
    ),
    _Kind(
        entity=Entity.IBAN,
        shape=re.compile(rf"(?<![A-Za-z0-9])(?:{IBAN_SHAPE})(?![A-Za-z0-9])"),
        needs=_has_digits,
        judge=lambda found, *_: is_iban(found),
    ),
    _Kind(
        entity=Entity.CARD,
        shape=re.compile(rf"(?<![\w.+-])(?<![0-9][ ]){CARD}(?![\w-]|\.[0-9]|[ ][0-9])"),
        needs=_has_digits,
        judge=_judge_card,
    ),
    _Kind(entity=Entity.SSN, shape=re.compile(rf"(?<![\w.-]){SSN}(?![\w-])"), needs=_has_digits, judge=_judge_ssn),
    _Kind(
        entity=Entity.IP,
        shape=re.compile(rf"(?<![\w.:-]){IP}(?![\w:]|\.[0-9])"),
        needs=lambda text: text.count(".") >= 3 or text.count(":") >= 2,
        judge=_judge_ip,
    ),
    _Kind(entity=Entity.BIRTH, shape=births.SHAPE, needs=_has_digits, judge=_judge_birth),
)


def look(text: str, *, national_ids: bool = True) -> Iterator[Seen]:
    """Yield all that has the shape of an entity; what one kind found valid is blanked for those after it."""
    for kind in KINDS:
        if not kind.needs(text):
            continue
        for found in kind.shape.finditer(text):
            start, stop = found.start(), found.start() + len(_trimmed(kind.entity, found[0]))
            valid = kind.judge(text[start:stop], text, start)
            if valid is None:
                continue
            yield Seen(entity=kind.entity, start=start, stop=stop, valid=valid)
            if valid:
                text = text[:start] + "\0" * (stop - start) + text[stop:]
    if not _has_digits(text):
        return
    for seen in (*(_nationals(text) if national_ids else ()), *_phones(text)):
        if not text[seen.start : seen.stop].startswith("\0"):
            yield seen
            if seen.valid:
                text = text[: seen.start] + "\0" * (seen.stop - seen.start) + text[seen.stop :]


def _nationals(text: str) -> Iterator[Seen]:
    for found in national.SHAPE.finditer(text):
        about = cues(text, found.start())
        named = "national-id" in about
        if "else" in about and not named:
            continue
        kinds = national.kinds_of(found[0], strong_only=not named)
        if kinds:
            yield Seen(entity=kinds[0].name, start=found.start(), stop=found.end(), valid=True)


def _phones(text: str) -> Iterator[Seen]:
    text = _DATE.sub(lambda date: "\0" * len(date[0]), text)
    for found in phones.SHAPE.finditer(text):
        valid = _judge_phone(found[0], text, found.start())
        if valid is not None:
            yield Seen(entity=Entity.PHONE, start=found.start(), stop=found.end(), valid=valid)


def _trimmed(entity: Entity, found: str) -> str:
    """Return a match without the marks that end a sentence rather than an address."""
    return found.rstrip(".,;:!?)]}*'") if entity is Entity.URL else found


def find(text: str, *, national_ids: bool = True) -> tuple[Span, ...]:
    """Return the personal data in a text, in order, none inside another; national ids need python-stdnum.

    >>> [(str(span.entity), span.start, span.stop) for span in find("write to ada@example.org")]
    [('email', 9, 24)]
    """
    found = sorted((seen for seen in look(text, national_ids=national_ids) if seen.valid), key=lambda seen: seen.start)
    return tuple(Span(entity=seen.entity, start=seen.start, stop=seen.stop) for seen in found)
