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


def long_stream(rng: random.Random) -> bytes:
    """A stream of many plain values: as CPython writes it, or with something hidden in it, or damaged."""
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
