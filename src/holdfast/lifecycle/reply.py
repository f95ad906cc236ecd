"""What a command answers: data first, and how a person may want to see it; faces render it, nothing here prints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows under columns."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer to a command: `document` is what `--json` prints, the rest is for people.

    Where `page` is set, the document is also to be written there as a self-contained page. Where `text` is set, it is
    what was asked for (a format of somebody else's) and is printed as it is, instead of tables and words.
    """

    says: str
    document: Mapping[str, Any] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    page: Path | None = None
    exit_code: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One step of a running command."""

    stage: str
    state: Literal["started", "finished", "reused", "failed", "heading", "shown"]
    words: str


def silent(_: Progress) -> None:
    """Tell nobody: for programs, which read the reply."""


def short(digest: str) -> str:
    """Return the part of a digest that people compare: twelve hexadecimal digits."""
    return digest.removeprefix("sha256:")[:12]


def counted(count: int, one: str, many: str = "") -> str:
    """Return a number and what it counts, in words that agree with it.

    >>> counted(1, "gateway"), counted(2, "gateway"), counted(0, "key is due", "keys are due")
    ('1 gateway', '2 gateways', '0 keys are due')
    """
    return f"{count} {one if count == 1 else many or f'{one}s'}"
