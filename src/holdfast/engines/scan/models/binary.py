"""Numbers and texts of binary formats, read where they are and never past the end."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.text import MAX_TEXT, looks_executable
from holdfast.engines.scan.wire import Malformed

MAX_PRODUCT: Final = 1 << 62  # elements of a tensor; beyond, no file could hold it


def number(view: memoryview, at: int, size: int) -> int:
    """Return the little-endian number of `size` bytes at an offset.

    Raises:
        Malformed: It lies outside the content.
    """
    if at < 0 or at + size > len(view):
        raise Malformed(max(at, 0), f"a number of {size} bytes at {at}, in a content of {len(view)}")
    return int.from_bytes(view[at : at + size], "little")


def piece(view: memoryview, at: int, size: int) -> memoryview:
    """Return `size` bytes at an offset, without a copy.

    Raises:
        Malformed: They lie outside the content.
    """
    if at < 0 or size < 0 or at + size > len(view):
        raise Malformed(max(at, 0), f"{size} bytes at {at}, in a content of {len(view)}")
    return view[at : at + size]


def elements(shape: list[int]) -> int:
    """Return how many elements a shape has, at most `MAX_PRODUCT`; negative sizes count as impossible."""
    product = 1
    if 0 in shape:
        return 0
    for size in shape:
        product *= size if size > 0 else MAX_PRODUCT
        if product >= MAX_PRODUCT:
            return MAX_PRODUCT
    return product


@contextmanager
def damage(rule: str, content: Content, examination: Examination) -> Iterator[None]:
    """Report what is read inside as damaged where it is: no part of the content behind that place was judged."""
    try:
        yield
    except Malformed as error:
        examination.add(Severity.MEDIUM, rule, content.at(error.offset), error.words)


def note(rule: str, name: str, text: memoryview | bytes, place: str, examination: Examination) -> None:
    """Look at words for people, where an attacker can keep a program."""
    if len(text) > MAX_TEXT:
        words = f"{shown(name)} of {len(text)} bytes; notes are at most {MAX_TEXT}"
        examination.add(Severity.MEDIUM, f"{rule}.long", place, words)
    if looks := looks_executable(bytes(text[:MAX_TEXT])):
        examination.add(Severity.HIGH, f"{rule}.executable", place, f"{shown(name)} looks like {shown(looks)}")
