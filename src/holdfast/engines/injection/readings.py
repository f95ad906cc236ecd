"""Readings of a text: as it would be read without disguise, each character still known by its place.

1. `plain`: compatible forms folded (NFKC), letters that look like Latin ones taken for them, marks, zero-width and
bidirectional characters left out, the invisible tag characters (U+E0020 to U+E007E) taken for what they spell, lower
case. 2. `spelt`: single letters with one mark or blank between them joined, digits within words taken for letters.
3. `decoded`: runs of base64, of hexadecimal digits and of URL escapes decoded, once.

Linear in the text. The table of look-alikes is a part of Unicode's (UTS 39, confusables), those of letters that are
drawn like basic Latin in Cyrillic, Greek and Armenian.
"""

import base64
import binascii
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

_LOOKS: Final = (
    "аaеeоoрpсcхxуyіiјjѕsһhԁdԛqԝwгrкkмmтtвbнhзzпnьb"  # noqa: RUF001 - Cyrillic beside Latin
    "αaεeοoρpχxυuνvιiκkτtηnγyωwβbςcσo"  # noqa: RUF001 - Greek
    "օoսuցgհhոnզqѵvℓlıiɑaɡgɩiʏy"  # noqa: RUF001 - Armenian and others
)
LOOKALIKES: Final = {ord(_LOOKS[at]): _LOOKS[at + 1] for at in range(0, len(_LOOKS), 2)}
_TAGS: Final = range(0xE0020, 0xE007F)
_DIGITS: Final = str.maketrans("013457@$", "oieastas")
_SPELT: Final = re.compile(r"(?<![a-z0-9])(?:[a-z0-9@$][ ._*|-]){3,200}[a-z0-9@$](?![a-z0-9])")
_MIXED: Final = re.compile(r"[a-z@$]{0,32}[013457@$]{1,8}[a-z@$]{1,32}[a-z013457@$]{0,32}")
_BASE64: Final = re.compile(r"(?<![A-Za-z0-9+/_-])[A-Za-z0-9+/_-]{24,20000}={0,2}(?![A-Za-z0-9+/_=-])")
_HEX: Final = re.compile(r"(?<![0-9A-Za-z])(?:(?:0x|\\x)?[0-9A-Fa-f]{2}[ ,:]?){16,20000}(?![0-9A-Za-z])")
_ESCAPED: Final = re.compile(r"[^\s%]{0,200}(?:%[0-9A-Fa-f]{2}[^\s%]{0,200}){3,2000}")
_HEX_MARKS: Final = re.compile(r"0x|\\x|[ ,:]")
MOST_RUNS: Final = 32  # of each code that are decoded; more are no text with something hidden in it
LEAST: Final = 12  # characters of what was decoded
PRINTABLE: Final = 0.9  # share of them that people can read


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One reading: its text, and the places of its characters in the text that was given.

    Attributes:
        name: `plain`, `spelt` or `decoded`.
        text: In lower case.
        places: Of each character; None where they are the same.
        span: Of all of it, where it stands for one run.
        hidden: Characters that cannot be seen, which were left out or taken for what they spell.
        foreign: Letters of another script that stood within Latin words.
    """

    name: str
    text: str
    places: tuple[int, ...] | None = None
    span: tuple[int, int] | None = None
    hidden: int = 0
    foreign: int = 0

    def where(self, start: int, stop: int) -> tuple[int, int]:
        """Return the span in the text that was given of a span in this reading."""
        if self.span is not None:
            return self.span
        if self.places is None:
            return start, stop
        return self.places[start], self.places[stop - 1] + 1


def readings(text: str) -> Iterator[Reading]:
    """Yield the readings of a text, the plain one first; others only where they differ."""
    plain = _plain(text)
    yield plain
    spelt = _spelt(plain)
    if spelt is not None:
        yield spelt
    for start, stop, inner in decoded(text):
        yield Reading(name="decoded", text=_plain(inner).text, span=(start, stop))


def _plain(text: str) -> Reading:
    if text.isascii():
        return Reading(name="plain", text=text.lower())
    found, places, hidden, foreign, before = list[str](), list[int](), 0, 0, ""
    for at, char in enumerate(text):
        code = ord(char)
        if code < 0x80:
            made = char.lower()
        elif code in _TAGS:
            made, hidden = chr(code - 0xE0000).lower(), hidden + 1
        elif unicodedata.category(char) in {"Cf", "Mn", "Me", "Cc"}:
            hidden += unicodedata.category(char) == "Cf" and code != 0x200D
            continue
        else:
            folded = unicodedata.normalize("NFKD", char).lower()[:8]
            base = "".join(each for each in folded if not unicodedata.combining(each))
            made = base.translate(LOOKALIKES)
            foreign += made != base and before.isascii() and before.isalpha()
        found += made
        places += [at] * len(made)
        before = char
    return Reading(name="plain", text="".join(found), places=tuple(places), hidden=hidden, foreign=foreign)


def _spelt(plain: Reading) -> Reading | None:
    """Return the reading in which what was spelt out is joined; None where nothing was."""
    parts, places, end, changed = list[str](), list[int](), 0, False
    for run in _SPELT.finditer(plain.text):
        parts.append(plain.text[end : run.start()])
        places += range(end, run.start())
        parts.append(run[0][::2])
        places += range(run.start(), run.end(), 2)
        end, changed = run.end(), True
    parts.append(plain.text[end:])
    places += range(end, len(plain.text))
    joined = "".join(parts)
    letters = _MIXED.sub(lambda word: word[0].translate(_DIGITS), joined)
    if not changed and letters == joined:
        return None
    mapped = tuple(places) if plain.places is None else tuple(plain.places[at] for at in places)
    return Reading(name="spelt", text=letters, places=mapped)


def decoded(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield each run that is a text in base64, hexadecimal or URL escapes: where it stands, and what it says."""
    for shape, decode in ((_BASE64, _from_base64), (_HEX, _from_hex), (_ESCAPED, unquote_to_bytes)):
        if shape is _ESCAPED and "%" not in text:
            continue
        for number, run in enumerate(shape.finditer(text)):
            if number == MOST_RUNS:
                break
            inner = _readable(decode(run[0]))
            if inner and inner != run[0]:
                yield run.start(), run.end(), inner


def _from_base64(run: str) -> bytes:
    bare = run.rstrip("=")
    try:
        return base64.b64decode(bare.translate(str.maketrans("-_", "+/")) + "=" * (-len(bare) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _from_hex(run: str) -> bytes:
    digits = _HEX_MARKS.sub("", run)
    try:
        return bytes.fromhex(digits)
    except ValueError:
        return b""


def _readable(data: bytes) -> str:
    """Return bytes as a text if they are one that people can read."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return ""
    printable = sum(char.isprintable() or char in "\n\r\t" for char in text)
    return text if len(text) >= LEAST and printable >= PRINTABLE * len(text) else ""
