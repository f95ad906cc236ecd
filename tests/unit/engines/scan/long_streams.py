"""Pickles of many plain values, made by seed: rows of every kind, with what attacks hide in them, and broken ones."""

import pickle
import pickletools
import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

Rows = list[Any] | dict[Any, Any] | set[Any] | tuple[Any, ...]
WORDS: Final = ("red", "green", "Straße", "", "x" * 20, "posix", "system", "日本", "gA" * 9, "c" * 30, "line\n" * 5)


def _number(rng: random.Random) -> Any:
    return rng.choice(
        (
            lambda: rng.randrange(256),
            lambda: rng.randrange(70_000),
            lambda: rng.randrange(-(2**31), 2**31),
            lambda: rng.randrange(2**40),
            rng.random,
            lambda: None,
            lambda: rng.random() < 0.5,
        )
    )()


def _word(rng: random.Random) -> str:
    if rng.random() < 0.3:
        return rng.choice(WORDS)
    return f"{rng.choice(('name', 'ключ', 'k'))} {rng.randrange(10**6)}" + "z" * rng.choice((0, 0, 0, 9, 300))


def _row(rng: random.Random) -> Callable[[int], Any]:
    kinds: tuple[Callable[[int], Any], ...] = (
        lambda number: (number, f"name {number}", number / 7),
        lambda number: [number, _word(rng)],
        lambda number: {"id": number, "name": _word(rng), "x": _number(rng)},
        lambda _: tuple(_number(rng) for _ in range(rng.randrange(7))),
        lambda _: [_number(rng) for _ in range(rng.randrange(5))],
        lambda number: {number: [(_word(rng), _number(rng))]},
        lambda _: {_word(rng): _number(rng)},
        lambda _: [(), [], {}, [[1]], ((1,),), b"ab" * rng.randrange(20)],
        lambda _: _word(rng),
        lambda _: _number(rng),
        lambda _: rng.randrange(-5, 2 ** rng.choice((8, 16, 31, 40, 90))),
        lambda _: (rng.choice(WORDS), _number(rng)),
        lambda number: {"id": number, "of": rng.choice(WORDS), "x": rng.choice((None, 0.5, 7, _word(rng)))},
        lambda _: [rng.randrange(2 ** rng.choice((8, 16, 31))) for _ in range(rng.choice((0, 1, 2, 5, 9, 9, 9)))],
        lambda number: [_number(rng), (rng.choice(WORDS), f"name {number % 40}")],
    )
    return rng.choice(kinds)


def rows(rng: random.Random) -> Rows:
    """Many values in a container."""
    make, count = _row(rng), rng.choice((30, 200, 200, 1200))
    shared = [make(number) for number in range(5)]
    found = [rng.choice(shared) if rng.random() < 0.05 else make(number) for number in range(count)]
    shape = rng.randrange(5)
    if shape == 0:
        return {f"key {number}": value for number, value in enumerate(found)}
    if shape == 1:
        return dict(enumerate(found))
    if shape == 2:
        return tuple(found)
    return found if shape == 3 else [found, _word(rng), found[:9]]


def opcode_starts(stream: bytes) -> list[int]:
    """Where opcodes begin."""
    return [at for _, _, at in pickletools.genops(stream) if at is not None]


def without_frames(stream: bytes) -> bytes:
    """The same opcodes without FRAME."""
    starts = [*opcode_starts(stream), len(stream)]
    pieces = (stream[a:b] for a, b in pairwise(starts))
    return b"".join(piece for piece in pieces if piece[:1] != b"\x95")


def _entry(number: int) -> bytes:
    return b"h" + bytes([number]) if number < 256 else b"j" + number.to_bytes(4, "little")


def hidden(rng: random.Random, entries: int) -> bytes:
    """Opcodes that somebody may have put among values."""
    some = [_entry(rng.randrange(max(entries, 1) + 2)) for _ in range(3)]
    return rng.choice(
        (
            b"cposix\nsystem\n",
            b"cposix\nsystem\n\x8c\x04true\x85R",
            b"(iposix\nsystem\n",
            b"\x8c\x05posix\x8c\x06system\x93",
            b"\x8c\x05posix\x94\x8c\x06system\x94\x93",
            some[0] + some[1] + b"\x93",
            some[0] + some[1] + b"\x86\x94",
            some[0] + b"R",
            some[0] + some[1] + b"b",
            some[0] + b"(" + some[1] + some[2] + b"u",
            some[0] + b"(" + some[1] + b"e0",
            b"e(",
            b"u(",
            b"e",
            b"(",
            b"1(",
            b"0",
            b"2",
            b"\x94",
            b"\x87",
            b"a",
            b"s",
            b"t",
            b"\x8c\x02\xff\xfe",
            b"r\x01\x00\x00\x00",
            b"q\x00",
            b"\x8c\x14\x80\x04cposix\nsystem\n(tR.x",
            b"C\x14\x80\x04cposix\nsystem\n(tR.x",
            b"\x95\x05\x00\x00\x00\x00\x00\x00\x00",
            b".",
        )
    )


def aliased(rng: random.Random) -> bytes:
    """Rows that put what they get from the memo under new numbers; old ones are given away, and some are imported."""
    words = ("posix", "system", "collections", "OrderedDict", *WORDS[:3])

    def text(word: str) -> bytes:
        return b"\x8c" + bytes([len(word.encode())]) + word.encode()

    makers: tuple[Callable[[], bytes], ...] = (
        lambda: _entry(rng.randrange(1, 8)) + b"\x94",
        lambda: text(rng.choice(words)) + b"\x94",
        lambda: b"K" + bytes([rng.randrange(256)]),
        lambda: _entry(rng.randrange(1, 8)),
    )
    ends = (b"", b"\x86\x94", b"K\x01\x87\x94")[rng.randrange(3)]
    row = rng.choices(makers, k=2)

    def many() -> bytes:
        return b"".join(row[0]() + (rng.choice(makers) if rng.random() < 0.2 else row[1])() + ends for _ in range(200))

    first, second = rng.randrange(1, 8), rng.randrange(1, 8)
    given = text(rng.choice(words)) + b"q" + bytes([first]) + text(rng.choice(words)) + b"q" + bytes([second])
    body = b"".join(text(word) + b"\x94" for word in words) + many() + (given + many() if rng.random() < 0.7 else b"")
    got = (_entry(rng.choice((first, second, rng.randrange(8, 1 + max(9, body.count(b"\x94")))))) for _ in range(2))
    return b"\x80\x04]\x94(" + body + b"".join(got) + b"\x93" + (many() if rng.random() < 0.5 else b"") + b"e."


def long_stream(rng: random.Random) -> bytes:
    """A stream of many plain values: as CPython writes it, or with something hidden in it, or damaged."""
    if rng.random() < 0.1:
        return aliased(rng)
    stream = pickle.dumps(rows(rng), rng.choice((2, 3, 4, 4, 4, 5)))
    if rng.random() < 0.3:
        stream = without_frames(stream)
    fate = rng.randrange(4)
    if fate == 0:
        return stream
    entries = stream.count(b"\x94")
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.choice(opcode_starts(stream)) if fate < 3 else rng.randrange(len(stream))
        if fate == 1 or rng.random() < 0.7:
            return stream[:at] + hidden(rng, entries) + stream[at:]
        data = bytearray(stream)
        data[at] = rng.randrange(256)
        stream = bytes(data)
        if fate == 2:
            break
    return stream
