"""Versions in order, and ranges of them: as the ecosystem orders them, or else numbers and words in turn.

Decides whether a version is one that somebody asks about. A version that cannot be read is outside no range: whoever
asks what is affected must hear of it, not be told that there is nothing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

from holdfast.core.errors import InvalidInput
from holdfast.engines.advisories.versions import order_of

Key: TypeAlias = tuple[Any, ...]

MAX_VERSION: Final = 256  # characters; more is no version
MAX_CLAUSES: Final = 32  # of one range
_ORDERED: Final[Mapping[str, str]] = {"pypi": "PyPI", "deb": "Debian", "apk": "Alpine"}
"""Ecosystems with an order of their own, as the matching of advisories has it."""
_RUNS: Final = re.compile(r"\d+|[a-z]+", re.ASCII)
_CLAUSE: Final = re.compile(r"\s*(~=|===|==|!=|<=|>=|<|>)?\s*([^\s,<>=!~]+)\s*")
_FIRST: Final = (0, 0)  # below every number and every word
_LAST: Final = (3, 0)


@lru_cache(maxsize=20_000)
def key_of(ecosystem: str, version: str) -> Key | None:
    """Return what versions of an ecosystem are compared by; None where this is no version there.

    >>> key_of("pypi", "1.0rc1") < key_of("pypi", "1.0") < key_of("pypi", "1.0.post1")
    True
    >>> key_of("npm", "1.10.0") > key_of("npm", "1.9.3")
    True
    """
    text = version.strip().lower()
    if not text or len(text) > MAX_VERSION:
        return None
    order = order_of(_ORDERED.get(ecosystem, ""))
    if order is None:
        return _runs(text)
    try:
        return (order(text),)
    except ValueError:
        return None


def _runs(text: str) -> Key | None:
    """Return numbers and words in turn; what comes after a hyphen is a pre-release, as in semantic versioning."""
    main, _, later = text.removeprefix("v").partition("+")[0].partition("-")
    numbers = [(2, int(run)) if run.isdigit() else (1, run) for run in _RUNS.findall(main)]
    while len(numbers) > 1 and numbers[-1] == (2, 0):
        numbers.pop()
    if not numbers:
        return None
    ends = tuple((1, int(run), "") if run.isdigit() else (2, 0, run) for run in _RUNS.findall(later)) or (_LAST,)
    return (*numbers, _FIRST), ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Clause:
    """One bound of a range."""

    sign: str
    version: str


def parse_range(text: str) -> tuple[Clause, ...]:
    """Return the bounds that a range is written with, all of which hold: `>=1.0,<2`; a bare version is that one.

    Raises:
        InvalidInput: It cannot be read.
    """
    found: list[Clause] = []
    for piece in text.split(","):
        matched = _CLAUSE.fullmatch(piece)
        if matched is None or len(found) >= MAX_CLAUSES:
            raise InvalidInput(f"{text[:80]!r} is no range of versions", expected="as >=1.0,<2 or ==1.4.* or 1.4.2")
        found.append(Clause(sign=matched[1] or "==", version=matched[2]))
    return tuple(found)


def within(ecosystem: str, version: str, clauses: Sequence[Clause]) -> bool:
    """Say whether a version is in a range; one that cannot be compared is, because nothing shows that it is not."""
    return all(_holds(ecosystem, version, clause) for clause in clauses)


def _holds(ecosystem: str, version: str, clause: Clause) -> bool:
    if clause.version.endswith(".*"):
        stem = clause.version[:-1]
        inside = f"{version}.".startswith(stem)
        return inside if clause.sign == "==" else not inside
    if clause.sign == "===":
        return version == clause.version
    ours, theirs = key_of(ecosystem, version), key_of(ecosystem, clause.version)
    if ours is None or theirs is None:
        return clause.sign == "!=" or version == clause.version or clause.sign not in {"==", "!="}
    if clause.sign == "~=":  # PEP 440: compatible, that is at least this one, and the same but for the last number
        stem = clause.version.rpartition(".")[0]
        return ours >= theirs and f"{version}.".startswith(f"{stem}.")
    return _SIGNS[clause.sign](ours, theirs)


_SIGNS: Final[Mapping[str, Callable[[Key, Key], bool]]] = {
    "<": lambda ours, theirs: ours < theirs,
    "<=": lambda ours, theirs: ours <= theirs,
    ">": lambda ours, theirs: ours > theirs,
    ">=": lambda ours, theirs: ours >= theirs,
    "==": lambda ours, theirs: ours == theirs,
    "!=": lambda ours, theirs: ours != theirs,
}
