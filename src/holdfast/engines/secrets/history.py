"""Secrets that only a history holds: what came new with each commit is looked through as a file is.

Each secret is named once, with the first commit that brought it, the oldest first: a token that a hundred versions of a
file carry on is one token to be changed. Pure; the history itself is read by an adapter.
"""

import io
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.engines.secrets.scan import Collector
from holdfast.engines.secrets.sources import Unread, unpacked


@dataclass(frozen=True, slots=True, kw_only=True)
class Appeared:
    """Content that came new with a commit, or why it was not read."""

    commit: str  # empty where what was not read belongs to no one commit
    path: str
    data: bytes = b""
    why: str = ""


def look_through(history: Iterable[Appeared], into: Collector) -> None:
    """Look at all that ever came new."""
    for each in history:
        if each.why:
            into.take(each.path, Unread(inside="", why=each.why), commit=each.commit)
            continue
        into.files += 1
        for part in unpacked(io.BytesIO(each.data)):
            into.take(each.path, part, commit=each.commit)
