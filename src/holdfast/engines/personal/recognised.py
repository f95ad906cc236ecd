"""What a recogniser finds in texts beside our own patterns: in pieces, in batches, and one kind to each character.

Decides who wins where finds meet: ours, which have check digits and context, then whatever the recogniser is surest of,
then the longest; a loser keeps what is left of it, so that a name beside an address does not stay because of it. What
was masked before is nothing to be found. Leaves to the recogniser (port `Recogniser`) how it knows a name.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import Final

import polars as pl

from holdfast.core.dlp import Entity
from holdfast.core.errors import Unavailable
from holdfast.core.ports import Recognised, Recogniser
from holdfast.engines.packed import counted
from holdfast.engines.personal.context import words_of
from holdfast.engines.personal.entities import Hit, Span
from holdfast.engines.personal.national import NATIONALS
from holdfast.engines.personal.stretches import MAX_EXAMINED, SHOWN, spans

RESTS_ON: Final = "recogniser"  # of a hit: not on a pattern or a name of ours
MAX_PIECE: Final = 10_000  # characters that are handed over at once: what a model holds in memory grows with them
OVERLAP: Final = 500  # characters that two pieces share, so that no name is cut in two
BATCH: Final = 256  # pieces of one call
MAX_ROUNDS: Final = 3  # searches of masked texts: a model that still finds more then has not understood them
ALONE: Final = 2 / 3  # of a value's letters and digits: from there on it is a name, and no text with one in it
_EMPTY: Final = (  # what no recogniser of names can find one in: digits, hashes, UUIDs, moments
    r"^(?:[^\p{L}]*|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
    r"|[0-9a-f]{40,128}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+(?:Z|[+-][0-9:]{5})?)$"
)


def found(texts: Sequence[str], recogniser: Recogniser, column: str = "") -> Iterator[tuple[Span, ...]]:
    """Yield for each text what is personal in it, ours and the recogniser's, in order, none inside another.

    Args:
        texts: Of any length.
        recogniser: What is asked.
        column: Whose values they are: the words of its name stand beside each.

    Raises:
        Unavailable: The recogniser failed.
    """
    for text, seen in zip(texts, _recognised(texts, recogniser, words_of(column)), strict=True):
        yield arbitrated(text, spans(text), seen, recogniser.kinds)


def found_with(texts: Sequence[str], recogniser: Recogniser | None, column: str = "") -> Iterator[tuple[Span, ...]]:
    """Yield the same, with a recogniser or without one."""
    if recogniser is None or column in recogniser.skips:
        yield from map(spans, texts)
    else:
        yield from found(texts, recogniser, column)


def arbitrated(text: str, ours: Sequence[Span], seen: Sequence[Recognised], kinds: tuple[str, ...]) -> tuple[Span, ...]:
    """Return our finds, and of a recogniser's what they and its surer ones leave.

    >>> name = Recognised(kind="person", start=0, stop=19, score=0.85)
    >>> mail = Span(entity="email", start=4, stop=19)
    >>> [
    ...     (span.entity, span.start, span.stop)
    ...     for span in arbitrated("Ada ada@example.org", [mail], [name], ("person",))
    ... ]
    [('person', 0, 3), ('email', 4, 19)]
    """
    if not seen:
        return tuple(ours)
    taken, kept = bytearray(len(text)), list(ours)
    for start, stop in (*((span.start, span.stop) for span in ours), *(m.span() for m in _masks(kinds).finditer(text))):
        taken[start:stop] = b"\1" * (stop - start)
    for each in sorted(seen, key=lambda each: (-each.score, each.start - each.stop, each.start, each.kind)):
        whole = not any(taken[each.start : each.stop])
        for start, stop in _free(taken, each.start, each.stop):
            inner = (start, stop) if whole else _trimmed(text, start, stop)
            if inner[0] < inner[1]:
                kept.append(Span(entity=each.kind, start=inner[0], stop=inner[1]))
                taken[inner[0] : inner[1]] = b"\1" * (inner[1] - inner[0])
    return tuple(sorted(kept, key=lambda span: span.start))


def hits(column: pl.Series, recogniser: Recogniser) -> Iterator[Hit]:
    """Yield what a recogniser finds in a column of texts, by kind, over its distinct values; one value is enough.

    Raises:
        Unavailable: The recogniser failed.
    """
    if column.dtype not in {pl.String, pl.Categorical, pl.Enum} or column.name in recogniser.skips:
        return
    distinct = counted(column.cast(pl.String).drop_nulls())
    if not recogniser.reads_digits:
        distinct = distinct.filter(~pl.col("text").str.contains(_EMPTY))
    distinct = distinct.sort("text")  # batches are the same whatever the order of rows
    values, rows, alone = Counter[str](), Counter[str](), Counter[str]()
    texts = distinct["text"].to_list()
    seen = _recognised(texts, recogniser, words_of(column.name))
    for text, times, each in zip(texts, distinct["rows"].to_list(), seen, strict=True):
        for kind, share in _shares(text, each, recogniser.kinds).items() if each else ():
            values[kind] += 1
            rows[kind] += times
            alone[kind] += times if share >= ALONE else 0
    for kind in sorted(values):
        yield Hit(column=column.name, entity=kind, values=values[kind], rows=rows[kind], rests_on=RESTS_ON,
                  alone=alone[kind])  # fmt: skip


def _shares(text: str, seen: Sequence[Recognised], kinds: tuple[str, ...]) -> dict[str, float]:
    """Return the kinds that a recogniser finds in a text, and what share of its letters and digits each is."""
    ours, signs = spans(text), Counter[str]()
    for span in arbitrated(text, ours, seen, kinds):
        if span not in ours:
            signs[span.entity] += _signs(text[span.start : span.stop])
    return {kind: count / max(1, _signs(text)) for kind, count in signs.items()}


def _signs(text: str) -> int:
    return sum(map(str.isalnum, text))


def settled(values: Sequence[str], recogniser: Recogniser | None, column: str) -> list[tuple[Span, ...]] | None:
    """Return what is to be replaced in each text, so that a search of the masked texts finds no more of it.

    A model reads a text as a whole: without one name it may see another. None where it still does after `MAX_ROUNDS`.

    Raises:
        Unavailable: The recogniser failed.
    """
    spotted = list(found_with(values, recogniser, column))
    if recogniser is None or column in recogniser.skips:
        return spotted
    left = [number for number, each in enumerate(spotted) if each]
    for _ in range(MAX_ROUNDS):
        texts = [masked(values[number], spotted[number]) for number in left]
        seen = list(_recognised(texts, recogniser, words_of(column)))
        more = {
            number: new
            for number, text, each in zip(left, texts, seen, strict=True)
            if each and (new := [span for span in arbitrated(text, spans(text), each, recogniser.kinds)
                                 if span.entity in recogniser.kinds])
        }  # fmt: skip
        if not more:
            return spotted
        for number, new in more.items():
            back = [part for span in new for part in _back(span, spotted[number])]
            spotted[number] = tuple(sorted([*spotted[number], *back], key=lambda span: span.start))
        left = list(more)
    return None


def masked(text: str, places: Sequence[Span]) -> str:
    """Return a text in which each find gave way to the name of its kind.

    >>> masked("ask Ada now", [Span(entity="person", start=4, stop=7)])
    'ask [person] now'
    """
    parts, end = [], 0
    for span in places:
        parts += [text[end : span.start], f"[{span.entity}]"]
        end = span.stop
    return "".join([*parts, text[end:]])


def redacted(texts: Sequence[str], recogniser: Recogniser) -> Iterator[str]:
    """Yield texts for people to read, each personal value in them replaced by its kind; long ones are cut.

    Raises:
        Unavailable: The recogniser failed.
    """
    texts = [text[:MAX_EXAMINED] for text in texts]
    for text, places in zip(texts, found(texts, recogniser), strict=True):
        yield masked(text, [span for span in places if span.entity not in SHOWN])


def _back(span: Span, places: Sequence[Span]) -> Iterator[Span]:
    """Yield a find in a masked text as what it is in the text itself, without what was masked."""
    moved, end = 0, 0  # how far the masked text is ahead, and where the last mask ended in the text itself
    for place in (*places, None):
        stop = span.stop - moved if place is None else min(place.start, span.stop - moved)
        start = max(end, span.start - moved)
        if start < stop:
            yield Span(entity=span.entity, start=start, stop=stop)
        if place is not None:
            moved += len(place.entity) + 2 - (place.stop - place.start)
            end = place.stop


def _recognised(texts: Sequence[str], recogniser: Recogniser, about: Sequence[str]) -> Iterator[list[Recognised]]:
    """Yield what a recogniser finds in each text, long ones in pieces, with places in the text itself."""
    pieces = ((number, begin, piece) for number, text in enumerate(texts) for begin, piece in _pieces(text))
    waiting, current = list[Recognised](), 0
    while some := list(islice(pieces, BATCH)):
        answers = recogniser.find([piece for _, _, piece in some], about)
        if len(answers) != len(some):
            words = f"the recogniser answered {len(answers)} of {len(some)} texts"
            raise Unavailable(words, place="[dlp.presidio]", remedy="Report this; until then leave [dlp.presidio] out.")
        for (number, begin, piece), seen in zip(some, answers, strict=True):
            while current < number:
                yield waiting
                waiting, current = [], current + 1
            waiting += [_moved(each, begin) for each in seen if 0 <= each.start < each.stop <= len(piece)]
    if texts:
        yield waiting


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    begin = 0
    while True:
        yield begin, text[begin : begin + MAX_PIECE]
        if begin + MAX_PIECE >= len(text):
            return
        begin += MAX_PIECE - OVERLAP


def _moved(each: Recognised, begin: int) -> Recognised:
    return Recognised(kind=each.kind, start=each.start + begin, stop=each.stop + begin, score=each.score)


def _free(taken: bytearray, start: int, stop: int) -> list[tuple[int, int]]:
    """Return the stretches between two places that nobody has taken."""
    free, begin = [], start
    while begin < stop:
        if taken[begin]:
            begin += 1
            continue
        end = taken.find(1, begin, stop)
        end = stop if end < 0 else end
        free.append((begin, end))
        begin = end
    return free


def _trimmed(text: str, start: int, stop: int) -> tuple[int, int]:
    """Return what is left of a find without the signs at its ends; nothing, where there is nothing else."""
    while start < stop and not text[start].isalnum():
        start += 1
    while start < stop and not text[stop - 1].isalnum():
        stop -= 1
    return start, stop


@lru_cache(maxsize=16)
def _masks(kinds: tuple[str, ...]) -> re.Pattern[str]:
    known = {*map(str, Entity), *(kind.name for kind in NATIONALS), *kinds}
    return re.compile(r"\[(?:" + "|".join(map(re.escape, sorted(known))) + r")\]")
