"""Rows of a loose shape: where one has a number, the next may have a string, or an entry of the memo.

Rows are found as in `varied`: wherever one may begin, one is read, and those count that form a chain from the first
byte on. How many entries a row makes depends on how many strings it has, so the entries are counted row by row, and
what a row gets from the memo may have been made in the same piece. An entry that all rows get, such as a key of their
dictionaries, is looked at once.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from holdfast.engines.scan.pickles.boundaries import (
    COUNTED,
    WIDTHS,
    Bytes,
    Flags,
    Places,
    distinct,
    flatnonzero,
    places_of,
    without,
)
from holdfast.engines.scan.pickles.shapes import (
    KINDS,
    LONG,
    LOOSE,
    MEMOIZE,
    RECALL,
    TEXT,
    VALUE,
    Shape,
    between,
    concealing,
    most_rows,
)
from holdfast.engines.scan.pickles.stretches import APART, Memory, Stretch, ascii_only, first_broken
from holdfast.engines.scan.pickles.varied import beginning, behind_others, chain, ending, some_of

_GET, _LONG_GET = ord("h"), ord("j")
_FEW: Final = 4  # one row in so many
_SAMPLE: Final = 64  # rows that are looked at to see whether most have the same opcode


def _table() -> Places:
    """Return the bytes of a value by its opcode; 0 where that does not tell, and for any other opcode."""
    table = np.zeros(256, np.int64)
    for opcode, kind in enumerate(KINDS):
        if kind in {ord("K"), RECALL}:
            table[opcode] = WIDTHS.get(opcode, 0)
    return table


_TABLE: Final = _table()
_IS_VALUE: Final[Flags] = np.equal(np.frombuffer(LOOSE, np.uint8), VALUE)
_HEADS: Final = {TEXT: 3, LONG: 2}
"""Bytes of a value besides those that its second byte counts; a string with what remembers it."""


def prove(shape: Shape, data: Bytes, size: int, cuts: Places, memory: Memory, closing: int) -> Stretch | None:
    """Return the stretch of rows from the first byte on, or nothing; as `stretches.prove`."""
    places, parted = behind_others(shape, data, size, closing)
    if not len(places):
        return None
    read = _Read(shape, data, places, memory.plain)
    chosen, batches = chain(read, data, size, between(closing))
    chosen = chosen[: most_rows(shape, memory)]
    if not len(chosen):
        return None
    read.choose(chosen)
    entries = _Entries(shape, read, memory)
    count = min(read.ended(parted), read.framed(cuts), entries.recalled(), read.constants())
    if not count:
        return None
    starts, end = read.starts[:count], int(read.ends[count - 1])
    batches = batches[batches < count]
    grid = np.searchsorted(starts, np.arange(0, end, APART))
    grid = distinct(grid[grid < count])
    begins = shape.begins(data.data, int(starts[-1]), size)[:-1]
    puts = int(entries.before(np.array([count]))[0])
    return Stretch(
        end=end,
        last=bytes(data[begins[-2:]]) if len(begins) > 1 else bytes(data[begins * 2]),
        puts=puts,
        tuples=entries.tuples[:puts],
        starts=starts[grid],
        counts=entries.before(grid).astype(np.int32),
        batch=int(starts[batches[-1]]) if len(batches) else -1,
        batch_count=int(entries.before(batches[-1:])[0]) if len(batches) else 0,
    )


@dataclass(slots=True)
class _Slot:
    """One value of all rows, or one constant that is no value."""

    kind: int
    opcodes: Bytes
    at: Places
    ahead: int
    """Bytes from all these places to where values begin: what rows have in common is not added to each."""
    ends: Places
    behind: int
    """The same for where they end, strings among values behind what remembers them."""
    texts: Places
    """Rows in which it is a string, in order."""

    def of(self, rows: Places) -> "_Slot":
        """Return the slot of some rows."""
        if len(rows) and rows[-1] == len(rows) - 1:
            texts = self.texts[: np.searchsorted(self.texts, len(rows))]
        else:
            texts = np.searchsorted(rows, self.texts)
            texts = texts[rows.take(texts, mode="clip") == self.texts]
        at, ends = some_of(self.at, rows), some_of(self.ends, rows)
        return _Slot(self.kind, some_of(self.opcodes, rows), at, self.ahead, ends, self.behind, texts)

    def is_text(self, rows: Places) -> Flags:
        """Return in which of some rows it is a string."""
        if not len(self.texts):
            return np.zeros(len(rows), np.bool_)
        return np.equal(self.texts.take(np.searchsorted(self.texts, rows), mode="clip"), rows)

    def strings(self) -> tuple[Places, Places, Places]:
        """Return the rows in which it is a string or bytes, and where these begin and end."""
        if self.kind != VALUE:
            return np.arange(len(self.at)), self.at + (self.ahead + 2), self.ends + self.behind
        rows = self.texts
        return rows, some_of(self.at, rows) + (self.ahead + 2), some_of(self.ends, rows) + (self.behind - 1)


class _Read:
    """Places read as rows: where each ends, whether it is one, and what it holds."""

    def __init__(self, shape: Shape, data: Bytes, places: Places, plain: int) -> None:
        """Read the rows; entries below `plain` are there and no tuples."""
        opcodes = data.take(places)
        if shape.kinds[0] == VALUE:
            others = places_of(opcodes != opcodes[0])
            wrong = others[~_IS_VALUE.take(opcodes.take(others))]
            places, opcodes = without(places, wrong), without(opcodes, wrong)
        self.data, self.starts, self.plain = data, places, plain
        self.fits: Flags = np.ones(len(places), np.bool_)
        self.slots = list[_Slot | None]()  # nothing where all rows get the same
        self._same = list[tuple[Places, int]]()  # where they do, and how far behind these places
        self._at, self._ahead = places, 0  # where all rows are being read
        self._ending = ending(shape.kinds)
        known = min(beginning(shape.kinds), len(shape.kinds) - len(self._ending))
        self.fits[0] = data[:known].tobytes() == shape.kinds[:known]  # all other places were found by these opcodes
        self._ahead = known
        for number, kind in enumerate(shape.kinds[known : len(shape.kinds) - len(self._ending)], known):
            opcodes = self._bytes(self._ahead) if number else opcodes
            if kind == VALUE:
                self.slots.append(None if self._is_the_same_get(opcodes) else self._value(opcodes))
            else:
                self.fits &= opcodes == kind
                if kind in COUNTED:
                    self.slots.append(self._constant(kind, opcodes))
                else:
                    self._ahead += 1
        self.ends = self._at + (self._ahead + len(self._ending))

    def _bytes(self, ahead: int) -> Bytes:
        """Return the byte so far behind where each row is being read."""
        return self.data[ahead:].take(self._at, mode="clip")

    def _is_the_same_get(self, opcodes: Bytes) -> bool:
        """Step over a get of one entry that may be got, if all rows have it here."""
        if opcodes[0] != _GET or np.any(self.fits & (opcodes != _GET)):
            return False
        numbers = self._bytes(self._ahead + 1)
        if numbers[0] >= self.plain or np.any(self.fits & (numbers != numbers[0])):
            return False
        self._same.append((self._at, self._ahead))
        self._ahead += 2
        return True

    def _value(self, opcodes: Bytes) -> _Slot:
        at, ahead, most = self._at, self._ahead, int(opcodes[0])
        sample = opcodes[:: max(1, len(opcodes) // _SAMPLE)]
        several = np.count_nonzero(sample != most) * _FEW > len(sample)
        others = at[:0] if several else places_of(opcodes != most)
        if several or not (_TABLE[most] or most == TEXT):
            wide = _TABLE.take(opcodes)
            ends, fixed = at + wide, 0
            others = at[:0] if wide.all() else flatnonzero(wide == 0)
        elif most == TEXT:
            ends, fixed = at + self._bytes(ahead + 1), _HEADS[TEXT]
        else:
            ends, fixed = at.copy() if len(others) else at, int(_TABLE[most])
        texts = others[:0]
        if len(others):
            found = opcodes.take(others)
            ends[others] = at.take(others) + (self._wide(others, found) - fixed)
            texts = others[found == TEXT]
        if fixed and most == TEXT:
            texts = flatnonzero(opcodes == TEXT)
        if len(texts):
            remembered = self.data.take(some_of(ends, texts) + (ahead + fixed - 1), mode="clip") == MEMOIZE
            if not np.all(remembered):
                self.fits[texts[~remembered]] = False
        self._at, self._ahead = ends, ahead + fixed
        return _Slot(VALUE, opcodes, at, ahead, ends, self._ahead, texts)

    def _wide(self, rows: Places, opcodes: Bytes) -> Places:
        """Return the bytes of values in some rows; those that have none are no rows."""
        wide = _TABLE.take(opcodes)
        for opcode, head in _HEADS.items():
            those = flatnonzero(opcodes == opcode)
            wide[those] = self.data[self._ahead + 1 :].take(self._at.take(rows.take(those)), mode="clip")
            wide[those] += head
        self.fits[rows[wide == 0]] = False
        return wide

    def _constant(self, kind: int, opcodes: Bytes) -> _Slot:
        at, ahead = self._at, self._ahead
        self._at, self._ahead = at + self._bytes(ahead + 1), ahead + 2
        return _Slot(kind, opcodes, at, ahead, self._at, self._ahead, at[:0])

    def choose(self, rows: Places) -> None:
        """Keep some of the rows."""
        if len(rows) == len(self.starts):
            return
        self.starts, self.ends = some_of(self.starts, rows), some_of(self.ends, rows)
        self.slots = [each and each.of(rows) for each in self.slots]
        self._same = [(some_of(at, rows), ahead) for at, ahead in self._same]

    def ended(self, parted: Places) -> int:
        """Return how many rows come before one that does not end as all do.

        Behind a row begins the next, and those were found by what stands before them, but for the first row of a batch.
        """
        rows = np.searchsorted(self.starts, parted, "right") - 1
        rows = np.append(rows[rows > 0] - 1, len(self.starts) - 1)
        wrong: Flags = np.zeros(len(rows), np.bool_)
        for back, opcode in enumerate(reversed(self._ending), 1):
            wrong |= self.data.take(self.ends.take(rows) - back) != opcode
        return int(rows[wrong].min()) if wrong.any() else len(self.starts)

    def framed(self, cuts: Places) -> int:
        """Return how many rows come before one with an argument that goes on behind its frame."""
        rows = np.searchsorted(self.starts, cuts, "right") - 1
        within: Flags = np.zeros(len(rows), np.bool_)
        for at, ahead in self._same:
            within |= at[rows] + (ahead + 1) == cuts
        for slot in self.slots:
            if slot is not None:  # what remembers a string may stand in the next frame
                ends = slot.ends[rows] + slot.behind - slot.is_text(rows)
                within |= (slot.at[rows] + slot.ahead < cuts) & (cuts < ends)
        wrong = rows[within]
        return int(wrong[0]) if len(wrong) else len(self.starts)

    def constants(self) -> int:
        """Return how many rows come before one with a string that could be a pickle, or is not UTF-8."""
        count, texts = len(self.starts), list[tuple[Places, Places]]()
        for slot in self.slots:
            if slot is None or (slot.kind == VALUE and not len(slot.texts)):
                continue
            rows, starts, ends = slot.strings()
            first = concealing(self.data, starts, ends)
            count = min(count, int(rows[first])) if first < len(rows) else count
            if slot.kind in {VALUE, TEXT}:
                texts.append((starts, ends))
        if not texts:
            return count
        starts, ends = (np.concatenate(each) for each in zip(*texts, strict=True))
        if ascii_only(self.data, starts, ends):
            return count
        starts, ends = np.sort(starts), np.sort(ends)
        broken = first_broken(self.data, starts, ends)
        if broken == len(starts):
            return count
        return min(count, int(np.searchsorted(self.starts, starts[broken], "right")) - 1)


class _Entries:
    """The entries that rows make, and those that they get."""

    def __init__(self, shape: Shape, read: _Read, memory: Memory) -> None:
        self.memory, self.read = memory, read
        self._slots = list[tuple[_Slot, Places | int]]()  # values, and how many entries a row made before
        self._rows = len(read.starts)
        made: Places | int = 0
        tuples, slots, may_be = list[Places | int](), iter(read.slots), iter(shape.tuples)
        for kind in shape.kinds:
            if kind in COUNTED:
                next(slots)
            elif kind == VALUE:
                slot, _ = next(slots), next(may_be)
                if slot is not None:
                    self._slots.append((slot, made))
                    made = self._with_texts(made, slot.texts)
            elif kind == MEMOIZE:
                if next(may_be):
                    tuples.append(made)
                made = made + 1
        self._each = made if isinstance(made, int) else 0
        self._before: Places = np.zeros(0, np.int64)
        """How many entries are made before each row, and by all, where not every row makes as many."""
        if not isinstance(made, int):
            self._before = np.concatenate((np.zeros(1, np.int64), np.cumsum(made)))
        self.tuples: Flags = self._tuples(tuples)

    def _with_texts(self, made: Places | int, texts: Places) -> Places | int:
        """Return how many entries each row made when those with a string have made one more."""
        if len(texts) in {0, self._rows}:
            return made + bool(len(texts))
        more = np.zeros(self._rows, np.int64)
        more[texts] = 1
        return more + made

    def _tuples(self, made: list[Places | int]) -> Flags:
        """Return which entries may be tuples: those before which a row made so many."""
        if not len(self._before):
            of_row = np.zeros(self._each, np.bool_)
            for each in made:
                of_row[each] = True
            return np.tile(of_row, self._rows)
        found: Flags = np.zeros(int(self._before[-1]), np.bool_)
        for each in made:
            found[self._before[:-1] + each] = True
        return found

    def before(self, rows: Places) -> Places:
        """Return how many entries are made before some rows; the last of all rows is followed by one more."""
        return self._before[rows] if len(self._before) else rows * self._each

    def recalled(self) -> int:
        """Return how many rows come before one that gets an entry that is not there, or that may be a tuple."""
        count = self._rows
        for slot, made in self._slots:
            for opcode in (_GET, _LONG_GET):
                rows, numbers = self._doubtful(slot, opcode)
                if not len(rows) or int(numbers.max()) < self.memory.plain:
                    continue
                bad = self._bad(numbers, rows, made)
                first = int(bad.argmax())
                count = min(count, int(rows[first])) if bad[first] else count
        return count

    def _doubtful(self, slot: _Slot, opcode: int) -> tuple[Places, Places]:
        """Return rows that get an entry by an opcode, and which; some are left out that may be got by all means."""
        plain, data = self.memory.plain, self.read.data[slot.ahead + 1 :]
        gets = slot.opcodes == opcode
        if not np.any(gets):
            return slot.at[:0], slot.at[:0]
        if opcode == _GET:
            rows = places_of(gets)
            return rows, data.take(some_of(slot.at, rows)).astype(np.int64)
        highest, high = data[3:].take(slot.at, mode="clip"), data[2:].take(slot.at, mode="clip")
        gets &= highest >= plain >> 24 if plain >> 24 else (high >= plain >> 16) | (highest > 0)
        if not np.any(gets):
            return slot.at[:0], slot.at[:0]
        others = places_of(~gets)
        if not plain or len(others) * _FEW > len(gets):
            rows, others = flatnonzero(gets), others[:0]
        else:  # all are looked up: those that get nothing as if they got what may be got
            rows = np.arange(len(gets))
        numbers, at = np.empty((len(rows), 4), np.uint8), some_of(slot.at, rows)
        for byte, found in enumerate((data.take(at), data[1:].take(at), some_of(high, rows), some_of(highest, rows))):
            numbers[:, byte] = found
        wanted = numbers.view("<u4")[:, 0].astype(np.int64)
        wanted[others] = plain - 1
        return rows, wanted

    def _bad(self, numbers: Places, rows: Places, made: Places | int) -> Flags:
        """Return which entries may not be got in these rows, each of which made some before."""
        if numbers.max() < self.memory.count:
            return self.memory.tuples(numbers)
        own = numbers - self.memory.count
        bad: Flags = own >= self.before(rows) + (made if isinstance(made, int) else made[rows])
        old = flatnonzero(own < 0)
        bad[old] = self.memory.tuples(numbers[old])
        new = flatnonzero((own >= 0) & ~bad)
        bad[new] = self.tuples[own[new]]
        return bad
