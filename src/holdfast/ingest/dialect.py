"""Dialects of CSV: which encoding, delimiter and quotes a business file has, found out from its bytes and said.

Decides only where one reading fits and no other does. Where two would give different rows the file is refused, with
what to declare: a guess that is wrong shows up much later, as a column of other people's names.
"""

import codecs
import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.core.errors import InvalidData
from holdfast.ingest.raw import MAX_FIELD, MAX_LINE

SAMPLE: Final = 256 * 1024  # bytes that delimiter and quotes are found out from
RECORDS: Final = 500  # of the sample that are held against each reading
FITS: Final = 0.9  # of the records must have the header's width: some rows are broken, and are set aside later
DELIMITERS: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
QUOTES: Final = {'"': "double", "'": "single"}
_UNDEFINED: Final = frozenset(b"\x81\x8d\x8f\x90\x9d")  # bytes that windows-1252 gives no meaning
_C1: Final = frozenset(range(0x80, 0xA0))  # control characters in ISO 8859-1, letters and signs in windows-1252
_COMPRESSED: Final = {b"PK\x03\x04": "a ZIP archive", b"\x1f\x8b": "compressed by gzip", b"\x28\xb5\x2f\xfd": "zstd",
                      b"BZh": "compressed by bzip2", b"\xfd7zXZ": "compressed by xz"}  # fmt: skip
LINE_END: Final = b"\n"
_PIECE: Final = 1 << 20  # bytes looked at together


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a file is written, and how that is known."""

    encoding: str = "utf-8-sig"
    delimiter: str = ","
    quote: str = '"'
    found: tuple[str, ...] = ()  # which of the three were found out rather than declared
    note: str = ""

    @property
    def words(self) -> str:
        """The dialect as people read it."""
        name = {"utf-8-sig": "utf-8"}.get(self.encoding, self.encoding)
        said = f"{name}, {DELIMITERS[self.delimiter]}, {QUOTES[self.quote]} quotes"
        how = f"found out: {', '.join(self.found)}" if self.found else "as declared"
        return f"{said} ({how}{f'; {self.note}' if self.note else ''})"


PLAIN: Final = Dialect()
"""UTF-8 with or without a mark, commas, double quotes: what a project's own file has."""


def find(path: Path, *, encoding: str, delimiter: str, quote: str, place: str, wanted: Sequence[str] = ()) -> Dialect:
    """Return the dialect of a file; what is not "auto" is taken as declared.

    Args:
        path: The file.
        encoding: As declared, or "auto".
        delimiter: The same.
        quote: The same.
        place: What the file is called, for errors.
        wanted: Columns that must be there, which tell readings apart.

    Raises:
        InvalidData: The file is compressed or binary, or more than one reading fits, or none does.
    """
    with path.open("rb") as stream:
        head = stream.read(SAMPLE)
    for magic, what in _COMPRESSED.items():
        if head.startswith(magic):
            raise InvalidData(f"the file is {what}", place=place, expected="CSV text: unpack it first, within limits")
    found, note = [], ""
    if encoding == "auto":
        (encoding, note), found = find_encoding(path, head, place), ["encoding"]
    codec = _codec(encoding, head, place)
    text = codecs.getincrementaldecoder(codec)(errors="replace").decode(head)
    if delimiter == "auto" or quote == "auto":
        found += [name for name, said in (("delimiter", delimiter), ("quotes", quote)) if said == "auto"]
        delimiter, quote = _find_form(text, delimiter, quote, place, wanted, whole=len(head) < SAMPLE)
    return Dialect(encoding=codec, delimiter=delimiter, quote=quote, found=tuple(found), note=note)


def _codec(encoding: str, head: bytes, place: str) -> str:
    """Return Python's name of an encoding; of UTF-16 with the order of its bytes."""
    if encoding == "utf-8":
        return "utf-8-sig"
    if encoding != "utf-16":
        return encoding
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16-le" if head.startswith(codecs.BOM_UTF16_LE) else "utf-16-be"
    return _order(head, place)


def _order(head: bytes, place: str) -> str:
    """Return UTF-16 with the order in which the zero bytes of its delimiters and digits stand."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if max(even, odd) * 4 < len(head[1::2]) or min(even, odd) * 8 > max(even, odd):
        raise InvalidData("the order of bytes of this UTF-16 cannot be told", place=place, expected="a byte order mark")
    return "utf-16-le" if odd > even else "utf-16-be"


def find_encoding(path: Path, head: bytes, place: str) -> tuple[str, str]:
    """Return a file's encoding and a word on how it is known, from all of its bytes.

    Raises:
        InvalidData: It is binary, or two encodings would read different letters.
    """
    if head.startswith(codecs.BOM_UTF8):
        return "utf-8", "byte order mark"
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise InvalidData("the file is UTF-32", place=place, expected="UTF-8, UTF-16, windows-1252 or ISO 8859-1")
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16", "byte order mark"
    if b"\x00" in head:
        _order(head, place)
        return "utf-16", "without byte order mark"
    seen, multibyte, bad, line = set[int](), 0, 0, 0
    with path.open("rb") as stream:
        number = 0
        while piece := stream.read(_PIECE):
            rest = stream.readline(MAX_LINE + 1)
            if len(rest) > MAX_LINE:
                at = f"{place}:{number + piece.count(LINE_END) + 1}"
                raise InvalidData("the line is too long", place=at, expected=f"at most {MAX_LINE} bytes")
            piece += rest
            if not piece.isascii():
                seen |= {byte for byte in set(piece) if byte >= 0x80}  # noqa: PLR2004 - the first that is not ASCII
                many, wrong, where = _utf8(piece.split(LINE_END))
                multibyte, bad = multibyte + many, bad + wrong
                line = line or (number + where if wrong else 0)
            number += piece.count(LINE_END)
    if not bad:
        return "utf-8", "" if seen else "all of it is ASCII"
    if multibyte:
        words = f"{multibyte} lines are UTF-8 beyond ASCII and {bad} are not"
        raise InvalidData(words, place=f"{place}:{line}", expected='one encoding: declare encoding = "utf-8" to have '
                          'those lines set aside, or "cp1252"')  # fmt: skip
    if seen & _UNDEFINED:
        raise InvalidData(
            "the file is not UTF-8, and holds bytes that windows-1252 has no letter for",
            place=f"{place}:{line}",
            expected='a declared encoding: "latin-1" if control characters are meant',
        )
    return "cp1252", "windows-1252" if seen & _C1 else "latin-1 would read the same"


def _utf8(lines: Sequence[bytes]) -> tuple[int, int, int]:
    """Return how many lines hold letters in UTF-8, how many are none, and the number of the first of these."""
    many = wrong = first = 0
    for number, line in enumerate(lines, 1):
        if line.isascii():
            continue
        try:
            line.decode()
            many += 1
        except UnicodeDecodeError:
            wrong += 1
            first = first or number
    return many, wrong, first


def _find_form(
    text: str, delimiter: str, quote: str, place: str, wanted: Sequence[str], *, whole: bool
) -> tuple[str, str]:
    """Return the delimiter and the quotes with which the sample is a table."""
    delimiters = [delimiter] if delimiter != "auto" else list(DELIMITERS)
    quotes = [quote] if quote != "auto" else list(QUOTES)
    readings: dict[tuple[str, str], list[list[str]]] = {}
    for each in delimiters:
        for mark in quotes:
            if quote == "auto" and mark == "'" and not _stand_around(text, each, mark):
                continue
            records = _read(text, each, mark, whole=whole)
            if records and _fits(records, wanted, single=len(delimiters) == 1):
                readings[each, mark] = records
    alike = _without_alike(readings)
    if len(alike) == 1:
        return next(iter(alike))
    if not alike:
        return _single(text, place, wanted, delimiters, quotes)
    words = " and ".join(f"{DELIMITERS[each]} with {QUOTES[mark]} quotes" for each, mark in alike)
    raise InvalidData(
        f"the file is a table in more than one reading: {words}", place=place, expected="delimiter and quote declared"
    )


def _read(text: str, delimiter: str, quote: str, *, whole: bool) -> list[list[str]]:
    """Return the first records in one reading; nothing where it breaks."""
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, quotechar=quote, strict=True)
    records = list[list[str]]()
    broken = 0
    while len(records) + broken < RECORDS:
        before = reader.line_num
        try:
            record = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            if not whole and records and "end of data" in str(error):  # the sample ends inside quotes
                break
            if reader.line_num - before > 1 or not records:  # a quote that swallows lines is no quote
                return []
            broken += 1
            continue
        if record:
            records.append(record)
    else:
        return records if broken * 10 <= len(records) else []
    if not whole and records:
        records.pop()  # the sample may end in the middle of it
    return records if broken * 10 <= len(records) + 1 else []


def _fits(records: Sequence[Sequence[str]], wanted: Sequence[str], *, single: bool) -> bool:
    width = len(records[0])
    if width < 2 and not single:  # noqa: PLR2004 - with one field nothing is delimited
        return False
    names = {name.strip() for name in records[0]}
    odd = _odd(records)
    few = odd <= max(1, (1 - FITS) * len(records)) and len(records) - odd >= min(2, len(records))
    return few and all(name in names for name in wanted)


def _without_alike(readings: dict[tuple[str, str], list[list[str]]]) -> dict[tuple[str, str], list[list[str]]]:
    """Drop readings that another is as good as or better: the same rows, the other quotes taken off, fewer broken."""
    kept: dict[tuple[str, str], list[list[str]]] = {}
    for form, records in readings.items():
        other = "'" if form[1] == '"' else '"'
        rival = readings.get((form[0], other))
        dressed = _dressed(records, other)
        if rival is not None and ((dressed and not _dressed(rival, form[1])) or _odd(rival) < _odd(records)):
            continue
        if not any(records == earlier for earlier in kept.values()):
            kept[form] = records
    return kept


def _odd(records: Sequence[Sequence[str]]) -> int:
    """Return how many records have another width than the header."""
    return sum(len(record) != len(records[0]) for record in records)


def _dressed(records: Sequence[Sequence[str]], quote: str) -> bool:
    """Say whether every field of some column stands between marks that this reading does not take for quotes."""
    rows = [record for record in records if len(record) == len(records[0])]
    for column in zip(*rows, strict=True):
        told = [field for field in column if field]
        if told and all(len(field) > 1 and field[0] == field[-1] == quote for field in told):
            return True
    return False


def _stand_around(text: str, delimiter: str, quote: str) -> bool:
    """Say whether marks stand where quotes would: before a field, and behind one."""
    edge = re.escape(delimiter)
    before, behind = (
        re.search(rf"(?:^|{edge}){quote}", text, re.MULTILINE),
        re.search(rf"{quote}(?:{edge}|\r?$)", text, re.MULTILINE),
    )
    return before is not None and behind is not None


def _single(
    text: str, place: str, wanted: Sequence[str], delimiters: Sequence[str], quotes: Sequence[str]
) -> tuple[str, str]:
    """Return the reading whose header has what must be there, so that what is broken is told by the line."""
    if wanted:
        for each in delimiters:
            header = [name.strip() for name in next(csv.reader([text.partition("\n")[0]], delimiter=each))]
            if all(name in header for name in wanted):
                return each, quotes[0]
    known = ", ".join(DELIMITERS[each] for each in delimiters)
    missing = f" and a header with {wanted[0]!r}" if wanted else ""
    raise InvalidData(
        f"in no reading is this a table: tried {known}", place=place, expected=f"CSV with one of them{missing}"
    )
