"""The structures of an HDF5 file, each read on its own and checked against the file's end.

Section numbers are those of the HDF5 File Format Specification, version 3.0.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from holdfast.engines.scan.examination import Examination
from holdfast.engines.scan.models.binary import MAX_PRODUCT, elements, number, piece
from holdfast.engines.scan.wire import Malformed

MAX_BLOCKS: Final = 10_000  # continuations of one object header
MAX_MESSAGES: Final = 1_000_000  # of one object header
MAX_NODES: Final = 200_000  # of one group's tree
MAX_NAME: Final = 1 << 16  # bytes of a name
MAX_TEXTS: Final = 1_000_000  # texts of one attribute
LINK_INFO, LINK, EXTERNAL_FILES, LAYOUT, FILTERS, ATTRIBUTE = 0x02, 0x06, 0x07, 0x08, 0x0B, 0x0C
CONTINUATION, SYMBOL_TABLE, ATTRIBUTE_INFO = 0x10, 0x11, 0x15
HARD, SOFT, EXTERNAL = 0, 1, 64
CONTIGUOUS, VIRTUAL = 1, 3
STRING_CLASS, VARIABLE_CLASS = 3, 9


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """The bytes of a file, where its addresses begin, and the sizes of its offsets and lengths."""

    view: memoryview
    base: int
    offsets: int
    lengths: int

    def offset(self, at: int) -> int | None:
        """Return the address at a place as an offset in the bytes, or nothing where it is undefined."""
        value = number(self.view, at, self.offsets)
        return None if value == (1 << 8 * self.offsets) - 1 else value + self.base

    def address(self, at: int) -> int:
        """Return the address at a place.

        Raises:
            Malformed: It is undefined.
        """
        value = self.offset(at)
        if value is None:
            raise Malformed(at, "an address that leads nowhere")
        return value

    def signature(self, at: int, wanted: bytes) -> int:
        """Return the offset behind a signature.

        Raises:
            Malformed: Something else stands there.
        """
        if bytes(self.view[at : at + len(wanted)]) != wanted:
            raise Malformed(min(at, len(self.view)), f"no {wanted.decode()} where one should begin")
        return at + len(wanted)


class Message(NamedTuple):
    """A message of an object header: its kind, where its body lies, and whether it only points elsewhere."""

    kind: int
    at: int
    size: int
    shared: bool


class Link(NamedTuple):
    """A link of a group: hard with an address, soft or external with a value."""

    name: bytes
    kind: int
    address: int
    value: bytes
    at: int


class Attribute(NamedTuple):
    """An attribute: its name, and how its texts are kept, or nothing where it holds no texts."""

    name: bytes
    texts: str | None  # "fixed" or "variable"
    many: int
    width: int
    at: int


def superblock(view: memoryview, begin: int) -> tuple[File, int]:
    """Read the superblock (II.A) and return the file and the offset of the root group's object header.

    Raises:
        Malformed: A version that is not known, sizes that are none, or an end before it.
    """
    version = number(view, begin + 8, 1)
    if version in {0, 1}:
        sizes, at = begin + 13, begin + (24 if version == 0 else 28)
    elif version in {2, 3}:
        sizes, at = begin + 9, begin + 12
    else:
        raise Malformed(begin + 8, f"a superblock of version {version}")
    offsets, lengths = number(view, sizes, 1), number(view, sizes + 1, 1)
    if offsets not in {2, 4, 8} or lengths not in {2, 4, 8}:
        raise Malformed(sizes, f"offsets of {offsets} bytes and lengths of {lengths}")
    base = number(view, at, offsets)
    file = File(view=view, base=base, offsets=offsets, lengths=lengths)
    return file, file.address(at + offsets * (5 if version < 2 else 3))


def header(file: File, address: int, examination: Examination) -> list[Message]:
    """Return the messages of an object header (IV.A.1), in all of its blocks.

    Raises:
        Malformed: The header is none, or goes round in a circle.
    """
    if bytes(file.view[address : address + 4]) == b"OHDR":
        blocks, width = _second(file, address)
    else:
        if number(file.view, address, 1) != 1:
            raise Malformed(min(address, len(file.view)), "no object header where one should begin")
        blocks, width = [(address + 16, number(file.view, address + 8, 4))], 0
    found, seen = list[Message](), set[int]()
    while blocks:
        start, size = blocks.pop(0)
        if start in seen or len(seen) > MAX_BLOCKS or len(found) > MAX_MESSAGES:
            raise Malformed(start, "an object header that goes round in a circle, or has too many blocks")
        seen.add(start)
        piece(file.view, start, size)
        for message in _messages(file, start, start + size, width):
            examination.step(1)
            found.append(message)
            if message.kind == CONTINUATION:
                blocks.append(_continuation(file, message, width))
    return found


def _second(file: File, address: int) -> tuple[list[tuple[int, int]], int]:
    """Return the first block of a header of version 2 (IV.A.1.b), and the bytes before each message's body."""
    flags = number(file.view, address + 5, 1)
    at = address + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    return [(at + width, number(file.view, at, width))], 6 if flags & 4 else 4


def _continuation(file: File, message: Message, width: int) -> tuple[int, int]:
    start, size = file.address(message.at), number(file.view, message.at + file.offsets, file.lengths)
    if width:  # of version 2: between a signature and a checksum
        return file.signature(start, b"OCHK"), size - 8
    return start, size


def _messages(file: File, at: int, end: int, width: int) -> Iterator[Message]:
    view, ahead = file.view, width or 8
    while at + ahead <= end:
        if width:
            kind, size, flags = view[at], number(view, at + 1, 2), view[at + 3]
        else:
            kind, size, flags = number(view, at, 2), number(view, at + 2, 2), view[at + 4]
        if at + ahead + size > end:
            raise Malformed(at, f"a message of {size} bytes that runs past its block")
        yield Message(kind, at + ahead, size, bool(flags & 2))
        at += ahead + size


def symbol_table(file: File, message: Message, examination: Examination) -> Iterator[Link]:
    """Yield the links of a group of the old kind (IV.A.2.r): a tree whose leaves name objects (III.A.1, III.B, III.D).

    Raises:
        Malformed: The tree is none, or goes round in a circle.
    """
    heap = file.signature(file.address(message.at + file.offsets), b"HEAP") + 4
    size, data = number(file.view, heap, file.lengths), file.address(heap + 2 * file.lengths)
    names = piece(file.view, data, size)
    waiting, seen = [file.address(message.at)], set[int]()
    while waiting:
        node = waiting.pop()
        examination.step(1)
        if node in seen or len(seen) > MAX_NODES:
            raise Malformed(node, "a tree that goes round in a circle, or has too many nodes")
        seen.add(node)
        if bytes(file.view[node : node + 4]) == b"TREE":
            first = node + 8 + 2 * file.offsets + file.lengths
            step = file.offsets + file.lengths
            waiting += [file.address(first + step * each) for each in range(number(file.view, node + 6, 2))]
            continue
        at = file.signature(node, b"SNOD") + 4
        for each in range(number(file.view, node + 6, 2)):
            yield _symbol(file, at + each * (2 * file.offsets + 24), names)


def _symbol(file: File, at: int, names: memoryview) -> Link:
    name = _terminated(names, number(file.view, at, file.offsets), at)
    after = at + 2 * file.offsets
    if number(file.view, after, 4) == 2:
        return Link(name, SOFT, 0, _terminated(names, number(file.view, after + 8, 4), at), at)
    return Link(name, HARD, file.address(at + file.offsets), b"", at)


def _terminated(names: memoryview, start: int, at: int) -> bytes:
    if start > len(names):
        raise Malformed(at, "a name outside of its heap")
    return bytes(names[start : start + MAX_NAME]).split(b"\0", 1)[0]


def link(file: File, message: Message) -> Link:
    """Return a link that stands in an object header (IV.A.2.g).

    Raises:
        Malformed: It is none.
    """
    view, at = file.view, message.at + 2
    flags, kind = number(view, message.at + 1, 1), HARD
    if flags & 8:
        kind, at = number(view, at, 1), at + 1
    at += (8 if flags & 4 else 0) + (1 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    size, at = number(view, at, width), at + width
    name, at = bytes(piece(view, at, size)[:MAX_NAME]), at + size
    if kind == HARD:
        return Link(name, HARD, file.address(at), b"", message.at)
    value = bytes(piece(view, at + 2, number(view, at, 2)))
    return Link(name, kind, 0, value[1:].replace(b"\0", b" ") if kind == EXTERNAL else value, message.at)


def dense(file: File, message: Message) -> bool:
    """Return whether links (IV.A.2.c) or attributes (IV.A.2.v) are kept in a heap beside the header."""
    flags = number(file.view, message.at + 1, 1)
    ahead = 2 if message.kind == ATTRIBUTE_INFO else 8
    return file.offset(message.at + 2 + (ahead if flags & 1 else 0)) is not None


def layout(file: File, message: Message) -> tuple[int, int]:
    """Return the class of a dataset's layout (IV.A.2.i), and the version of the message."""
    version = number(file.view, message.at, 1)
    return number(file.view, message.at + (1 if version > 2 else 2), 1), version


def filters(file: File, message: Message) -> Iterator[int]:
    """Yield the numbers of the filters through which a dataset's bytes go (IV.A.2.l).

    Raises:
        Malformed: The message is none.
    """
    view, at = file.view, message.at
    version, count = number(view, at, 1), number(view, at + 1, 1)
    at += 8 if version == 1 else 2
    for _ in range(count):
        name = number(view, at, 2)
        yield name
        named = version == 1 or name >= 256
        size, at = (number(view, at + 2, 2), at + 4) if named else (0, at + 2)
        values = number(view, at + 2, 2)
        padded = (size + 7) // 8 * 8 + 4 * (values % 2) if version == 1 else size
        at += 4 + padded + 4 * values


def attribute(file: File, message: Message) -> Attribute:
    """Return an attribute's name and where its texts are (IV.A.2.m).

    Raises:
        Malformed: It is none.
    """
    view, at = file.view, message.at
    version = number(view, at, 1)
    if version not in {1, 2, 3}:
        raise Malformed(at, f"an attribute of version {version}")
    flags = number(view, at + 1, 1) if version > 1 else 0
    sizes = [number(view, at + 2 + 2 * each, 2) for each in range(3)]
    start = at + (8 if version < 3 else 9)
    name = bytes(piece(view, start, sizes[0])).rstrip(b"\0")
    padded = [(size + 7) // 8 * 8 for size in sizes] if version == 1 else sizes
    kind, space = start + padded[0], start + padded[0] + padded[1]
    data = space + padded[2]
    if flags & 3:  # a type or a shape that stands elsewhere
        return Attribute(name, None, 0, 0, data)
    count = _count(file, space)
    described, width = number(view, kind, 1) & 15, number(view, kind + 4, 4)
    if described == STRING_CLASS:
        return Attribute(name, "fixed", count, width, data)
    if described == VARIABLE_CLASS and number(view, kind + 1, 1) & 15 == 1:
        return Attribute(name, "variable", count, file.offsets + 8, data)
    return Attribute(name, None, count, width, data)


def _count(file: File, at: int) -> int:
    """Return how many elements a dataspace has (IV.A.2.b)."""
    version, rank = number(file.view, at, 1), number(file.view, at + 1, 1)
    if version == 2 and number(file.view, at + 3, 1) == 2:
        return 0
    first = at + (8 if version == 1 else 4)
    return elements([number(file.view, first + each * file.lengths, file.lengths) for each in range(rank)])


def texts(file: File, attribute: Attribute, examination: Examination) -> Iterator[memoryview]:
    """Yield the texts of an attribute, those of variable length from the global heap (III.E).

    Raises:
        Malformed: They lie outside of the file, or are too many.
    """
    if attribute.many > MAX_TEXTS or attribute.many >= MAX_PRODUCT:
        raise Malformed(attribute.at, f"an attribute of {attribute.many} texts")
    heaps = dict[int, dict[int, memoryview]]()
    for each in range(attribute.many):
        at = attribute.at + each * attribute.width
        if attribute.texts == "fixed":
            yield piece(file.view, at, attribute.width)
            continue
        address = file.offset(at + 4)
        if not number(file.view, at, 4) or address is None:
            continue
        if address not in heaps:
            objects = list(_global(file, address, examination))
            heaps[address] = dict(objects)
            if len(heaps[address]) != len(objects):
                raise Malformed(address, "two texts of one number in a heap")
        text = heaps[address].get(number(file.view, at + 4 + file.offsets, 4))
        if text is None:
            raise Malformed(at, "a text that its heap does not have")
        yield text


def _global(file: File, address: int, examination: Examination) -> Iterator[tuple[int, memoryview]]:
    """Yield index and bytes of each object of a collection of the global heap."""
    at = file.signature(address, b"GCOL") + 4
    end = address + number(file.view, at, file.lengths)
    at += file.lengths
    while at + 8 + file.lengths <= min(end, len(file.view)):
        examination.step(1)
        index, size = number(file.view, at, 2), number(file.view, at + 8, file.lengths)
        if index == 0:
            return
        yield index, piece(file.view, at + 8 + file.lengths, size)
        at += 8 + file.lengths + (size + 7) // 8 * 8
