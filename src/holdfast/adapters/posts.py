"""Posts: where the workers of one site stand, what they say of themselves, and whose queue others take over.

Each worker has a listening socket of its own in the port's SO_REUSEPORT group, made by the supervisor and kept by it:
what has connected and waits in a queue outlives the worker. Every worker of the site holds the others' sockets too. It
beats on a board in shared memory, from the loop that answers; the supervisor marks a post as vacant while its worker is
dead, starting, silent or resting, and the others then accept from that queue as well, within a tick of their loops.
A mark costs nobody a call, also where it was wrong: a queue is served by others, and by its own worker once it is back.

Cells of the board have one writer each: a worker its count and whether it rests, the supervisor the marks.
"""

import mmap
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

_COUNT: Final = struct.Struct("<Q")
_CELL: Final = 16  # bytes of a post: its count, whether it rests, whether it is vacant
_RESTS: Final = 8
_VACANT: Final = 9


class Board:
    """What workers say of themselves and what is said to them, in memory that forks share."""

    def __init__(self, posts: int) -> None:
        """Begin with nobody heard and no post vacant."""
        self._memory = mmap.mmap(-1, max(posts, 1) * _CELL)

    def beat(self, post: int, *, rests: bool) -> None:
        """Say that the worker of a post goes on, and whether it wants no new connections."""
        begin = post * _CELL
        (count,) = _COUNT.unpack_from(self._memory, begin)
        self._memory[begin + _RESTS] = rests
        _COUNT.pack_into(self._memory, begin, count + 1)

    def heard(self, post: int) -> tuple[int, bool]:
        """Return how often a post's workers have beaten, and whether its worker rests."""
        begin = post * _CELL
        return _COUNT.unpack_from(self._memory, begin)[0], bool(self._memory[begin + _RESTS])

    def mark(self, post: int, *, vacant: bool) -> None:
        """Say whether others are to take over a post's queue."""
        self._memory[post * _CELL + _VACANT] = vacant

    def vacant(self, post: int) -> bool:
        """Say whether others take over a post's queue."""
        return bool(self._memory[post * _CELL + _VACANT])


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One worker's place among those of its site."""

    sockets: Sequence[socket.socket]  # of the site, by the workers' numbers
    number: int
    board: Board
    first: int = 0  # on the board, of the site's posts

    @classmethod
    def alone(cls, own: socket.socket) -> Self:
        """Return the post of a process that nobody supervises."""
        return cls(sockets=(own,), number=0, board=Board(1))

    @property
    def own(self) -> socket.socket:
        """The worker's own socket; it listens once somebody lets it."""
        return self.sockets[self.number]

    def beat(self, *, rests: bool) -> None:
        """Say that this worker goes on, and whether it wants no new connections."""
        self.board.beat(self.first + self.number, rests=rests)

    @property
    def vacant(self) -> bool:
        """Whether others answer here in this worker's stead."""
        return self.board.vacant(self.first + self.number)

    def wanted(self) -> frozenset[int]:
        """Return the numbers of the posts from whose queues this worker accepts now."""
        if self.vacant:
            return frozenset()
        others = (each for each in range(len(self.sockets)) if self.board.vacant(self.first + each))
        return frozenset((self.number, *others))
