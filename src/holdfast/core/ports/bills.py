"""Port of the index over bills of materials: what impact questions read, a projection of the ledger."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import msgspec

from holdfast.core.bill import Part


@dataclass(frozen=True, slots=True, kw_only=True)
class Sought:
    """Which parts are looked for: those that are one of these, or have one of these digests or licences."""

    whole: tuple[tuple[str, str, str], ...] = ()  # kind, ecosystem and name: every version
    parts: tuple[Part, ...] = ()  # by kind, ecosystem, name and version
    digests: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()


class Holder(msgspec.Struct, frozen=True, gc=False):  # in no cycle, and there may be ten thousand
    """A release whose bill lists something that is looked for: how many such parts, and one of them in words."""

    release: str
    parts: int
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a hit is told with, as the ledger's tables have it, nothing of it proved."""

    releases: int  # on record, all of them
    models: Mapping[str, str]  # release to its model's name, as its bill has it; empty where none was listed
    marks: Mapping[str, Mapping[str, int]]  # artifact to kind of entry to the newest entry's position
    endpoints: Sequence[tuple[str, str, str, float]]  # stream, place, release, share of the calls
    pointers: Mapping[str, str]  # name to digest
    outside: frozenset[str] = frozenset()  # which of `models` came from outside: their bills are their suppliers' word


class Bills(Protocol):
    """The index over the bills of materials of all releases."""

    def variants(self, names: Sequence[str]) -> tuple[Part, ...]:
        """Return every part of these names that some bill lists, each once."""
        ...

    def holders(self, sought: Sought) -> Sequence[Holder]:
        """Return the releases whose bills list something that is looked for."""
        ...

    def licences(self) -> tuple[str, ...]:
        """Return every licence that some part has, each once."""
        ...

    def descent(self, roots: Iterable[str]) -> Sequence[tuple[str, str, str]]:
        """Return every edge, child, parent and the parent's kind, on the ways down to all that derives from some."""
        ...

    def bases(self, releases: Collection[str]) -> Sequence[tuple[str, str]]:
        """Return those of these releases from whose model another was made, each with that model."""
        ...

    def outside(self, names: Collection[str]) -> frozenset[str]:
        """Return which of these came from outside and have their supplier's bill on record."""
        ...

    def meant(self, beginning: str) -> tuple[str, ...]:
        """Return the artifacts on record whose digest begins so, three at most."""
        ...

    def surroundings(self, around: Collection[str]) -> Surroundings:
        """Return what hits are told with: which of these artifacts are releases, and what is said of them."""
        ...

    def parts_of(self, release: str) -> tuple[Part, ...]:
        """Return what a release consists of; nothing where no bill of it was listed."""
        ...

    def listed(self) -> Mapping[str, str]:
        """Return every release on record, oldest first, and its bill's serial number; empty where none was listed."""
        ...
