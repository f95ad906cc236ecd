"""The port of sources that are asked: rows come in pages, each with the place behind it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Some records as text, and the place behind them; what is stored together, or not at all."""

    records: Sequence[Mapping[str, str | None]]
    position: Mapping[str, Any]  # plain JSON; what the next pull is handed
    late: frozenset[int] = frozenset()  # which of the records are late
    ids: Sequence[str] = ()  # what names each record where its columns do not
    broken: Sequence[tuple[str, bytes]] = ()  # what is no record: why, and its bytes
    missing: str = ""  # what the source had and no longer has, in words


class Puller(Protocol):
    """One source, asked."""

    def pages(self, position: Mapping[str, Any]) -> Iterator[Page]:
        """Yield what there is behind a place; an empty place is the beginning. What was yielded before may come again.

        Raises:
            Unavailable: It does not answer, or has asked to be left alone for long.
            InvalidData: It answers something that holds no records.
            Refused: It takes the credential for none.
        """
        ...

    def may_repeat(self, stored: Mapping[str, Any], now: Mapping[str, Any], age_s: float) -> bool:
        """Say whether what was stored with one place may come again when it goes on from another."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """What an adapter needs beside the declaration."""

    name: str
    columns: tuple[str, ...]  # to be read, by the source's own names
    root: Path  # the project's folder, under which files are named
    state: Path  # a folder in which it may keep what it must remember between processes
    credential: bytes = b""
