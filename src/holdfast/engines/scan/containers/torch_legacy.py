"""The files of `torch.save` before zip archives: five pickles, then raw numbers, and nothing else.

After `torch.serialization._legacy_save`: a magic number, a protocol, facts about the system, the object, the list of
storage keys; then for each storage eight bytes with its count of elements, and the elements.
"""

import struct
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.pickles import TORCH_START, Dialect, walk

PICKLES: Final = 5
ELEMENT_SIZES: Final = (4, 2, 8, 1, 16)  # bytes; the likeliest first
MAX_TRIED: Final = 200_000  # places where a storage could begin; each is tried once, honest files need few


def known(view: memoryview) -> bool:
    """Return whether a content begins with the pickle of torch's magic number."""
    return TORCH_START.match(view) is not None


def scan(content: Content, examination: Examination) -> None:
    """Scan the pickles one by one, as torch unpickles each, and account for the bytes behind them."""
    at, view = 0, content.view
    for _ in range(PICKLES):
        if at >= len(view):
            words = "it ends before all five pickles"
            examination.add(Severity.MEDIUM, "torch.malformed", content.at(at), words)
            return
        at = walk(content, examination, start=at, dialect=Dialect.TORCH)
        if at < 0:
            return  # and the walk has said why
    end = _storages(view, at)
    if end == len(view):
        return
    words = f"{len(view) - end} bytes that are no storage of the list"
    examination.add(Severity.HIGH, "torch.trailing", content.at(end), words)
    examination.enter(Content(view[end:], content.inside("trailing")))


def _storages(view: memoryview, start: int) -> int:
    """Return the end of the file if storages of some element sizes fill it, else how far they come.

    The pickles name the element sizes, but any that fit will do: raw numbers are raw numbers.
    """
    waiting, tried, furthest = [start], {start}, start
    while waiting and len(tried) < MAX_TRIED:
        at = waiting.pop()
        if at == len(view):
            return at
        if at + 8 > len(view):
            continue
        (count,) = struct.unpack_from("<q", view, at)
        for size in reversed(ELEMENT_SIZES):
            after = at + 8 + count * size
            if count >= 0 and after <= len(view) and after not in tried:
                tried.add(after)
                waiting.append(after)
                furthest = max(furthest, after)
    return furthest
