"""Pickles whose values are mostly entries of the memo, made by seed: what attacks could hide in such runs among them.

Columns, lists, records with fields that may be missing and rows, in the opcodes of protocols 2 to 5. Entries are put
anew within a run, by numbers that are not the next, as names of imports and as imports; they are got before and used
afterwards.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

NAMES: Final = ("posix", "system", "collections", "OrderedDict")
WORDS: Final = (*NAMES, "Straße", "", "x" * 20, "日本", "gA" * 9, "c" * 30, "ab")
NEVER: Final = 70_000  # a number that no entry has


@dataclass(slots=True)
class _Writer:
    """Opcodes of one protocol, and how many entries they made."""

    rng: random.Random
    protocol: int
    count: int = 0
    few: int = field(default=9)

    def put(self, index: int = -1) -> bytes:
        """Remember the top, under the next number or a given one."""
        number = self.count if index < 0 else index
        self.count += index < 0
        if index < 0 and self.protocol >= 4:
            return b"\x94"
        return b"q" + bytes([number]) if number < 256 else b"r" + number.to_bytes(4, "little")

    def get(self, index: int) -> bytes:
        """Get an entry, now and then by a longer number than needed."""
        short = index < 256 and self.rng.random() < 0.9
        return b"h" + bytes([index]) if short else b"j" + index.to_bytes(4, "little")

    def text(self, word: str) -> bytes:
        """A string that is not remembered."""
        data = word.encode()
        short = self.protocol >= 4 and self.rng.random() < 0.97
        return (b"\x8c" + bytes([len(data)]) if short else b"X" + len(data).to_bytes(4, "little")) + data

    def new(self) -> bytes:
        """A string that is."""
        rng = self.rng
        word = rng.choice(WORDS) if rng.random() < 0.3 else f"word {rng.randrange(10**6)}" + "z" * rng.choice((0, 0, 9))
        return self.text(word) + self.put()

    def any(self) -> int:
        """The number of an entry; mostly one of the first, which are strings."""
        far = self.rng.random() < 0.4
        return self.rng.randrange(max(1, self.count if far else min(self.count, self.few)))

    def value(self) -> bytes:
        """An entry, a new string or a number."""
        kind = self.rng.random()
        if kind < 0.75:
            return self.get(self.rng.randrange(self.few) if kind < 0.7 else self.any())
        if kind < 0.85:
            return self.new()
        return self.rng.choice((b"N", b"\x88", b"K\x07", b"M\x01\x02", b"J(eu]", b"Gjh]\x94(e\x00\x01", b"\x8a\x02e("))


def _row(writer: _Writer, layout: str) -> bytes:
    """One value of a layout."""
    rng, value = writer.rng, writer.value
    if layout == "column":
        return value()
    if layout == "lists":
        head, count = b"]" + writer.put(), rng.choice((0, 1, 2, 3, 5, 9, 20))
        items = b"".join(value() for _ in range(count))
        return head + (items + b"a" if count == 1 else b"(" + items + b"e" if count else b"")
    if layout == "records":
        head, count = b"}" + writer.put(), rng.choice((0, 1, 2, 3, 4))
        items = b"".join(writer.get(rng.randrange(writer.few)) + value() for _ in range(count))
        return head + (items + b"s" if count == 1 else b"(" + items + b"u" if count else b"")
    if layout == "pairs":
        return value() + value() + b"\x86" + writer.put()
    return b"]" + writer.put() + b"(" + value() + b"(" + value() + value() + b"t" + writer.put() + value() + b"e"


LAYOUTS: Final = ("column", "lists", "records", "pairs", "nested")


def _trick(writer: _Writer) -> bytes:
    """What somebody may have put between two values."""
    rng, some = writer.rng, [writer.get(writer.any()) for _ in range(3)]
    again = writer.any()
    tricks: tuple[Callable[[], bytes], ...] = (
        lambda: writer.text(rng.choice(WORDS)) + writer.put(again),
        lambda: b"cposix\nsystem\n" + writer.put(again),
        lambda: b"cposix\nsystem\n" + writer.put(),
        lambda: some[0] + some[1] + writer.text(rng.choice(WORDS)) + writer.put(again) + b"0\x93",
        lambda: some[0] + b"cposix\nsystem\n" + writer.put(again) + b"0" + some[1] + b"\x93",
        lambda: some[0] + some[1] + b"\x93",
        lambda: some[0] + some[1] + b"\x85R",
        lambda: some[0] + b"(" + some[1] + some[2] + b"u",
        lambda: some[0] + b"(" + some[1] + some[2] + b"e",
        lambda: some[0] + some[1] + b"a",
        lambda: some[0] + writer.put(),
        lambda: some[0] + writer.put(again),
        lambda: some[0] + b"20" + some[1] + b"\x85" + writer.put(),
        lambda: writer.get(NEVER),
        lambda: writer.get(writer.count),
        lambda: writer.get(writer.count) + writer.put(),
        lambda: b"K\x01" + writer.put(),
        lambda: b"K\x01" + writer.put(writer.count + 1),
        writer.put,
        lambda: b"K\x01K\x02\x86" + writer.put(again),
        lambda: writer.text("\x80\x04cposix\nsystem\n(tR.x") + writer.put(),
        lambda: b"\x8c\x02\xff\xfe\x94",
        lambda: b"\x95\x05\x00\x00\x00\x00\x00\x00\x00",
        *(lambda each=each: each for each in (b"e(", b"u(", b"e", b"(", b"a", b"0", b"2", b"\x94", b"t", b"(1", b".")),
    )
    return rng.choice(tricks)()


def shared(rng: random.Random, layout: str = "", tricks: int = -1, rows: int = 0) -> bytes:
    """A stream of many values that share strings.

    Args:
        rng: The seed.
        layout: One of `LAYOUTS`, or any.
        tricks: How many things are hidden in it; any number if negative.
        rows: How many values; any number if none.
    """
    writer = _Writer(rng, rng.choice((2, 3, 4, 4, 5)))
    layout = layout or rng.choice(LAYOUTS)
    rows = rows or rng.choice((60, 200, 500))
    tricks = rng.choice((0, 0, 1, 1, 2, 4)) if tricks < 0 else tricks
    keyed = rng.random() < 0.2
    head = (b"}" if keyed else b"]") + writer.put() + b"("
    head += b"".join(writer.text(word) + writer.put() + (b"N" if keyed else b"") for word in WORDS)
    writer.few = writer.count
    hidden = {rng.randrange(rows) for _ in range(tricks)}
    close, body = (b"u" if keyed else b"e"), list[bytes]()
    for number in range(rows):
        body.append(_trick(writer) if number in hidden else b"")
        body.append((writer.get(rng.randrange(1, writer.few)) if keyed else b"") + _row(writer, layout))
        if rng.random() < 0.02:
            body.append(close + b"(")
    end = _end(writer) if rng.random() < 0.6 else b""
    return b"\x80" + bytes([writer.protocol]) + head + b"".join(body) + end + close + b"."


def _end(writer: _Writer) -> bytes:
    """Entries that are got, put anew, and then used."""
    rng, some = writer.rng, [writer.any() for _ in range(2)]
    got = writer.get(some[0]) + writer.get(some[1])
    anew = b"".join(
        writer.text(rng.choice(WORDS)) + writer.put(rng.choice((*some, writer.any()))) + b"0"
        for _ in range(rng.randrange(3))
    )
    uses = (b"\x93", b"\x93)R", b"\x86\x94", b"\x94", b"", b"2\x93", b"b", b"R")
    return got + anew + rng.choice(uses) + b"".join(_row(writer, "column") for _ in range(rng.choice((0, 30))))
