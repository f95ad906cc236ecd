"""Outliers: what a project declares of their triage, what may be decided of one, and the statement of who decided it.

Decides which decisions there are. Whether a value lies out, and what speaks for or against it, is left to `ingest`;
whose word counts is an access decision made before anything is signed.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from holdfast.core.artifact import Moment
from holdfast.core.errors import InvalidInput
from holdfast.core.schema import Column, is_held

Action: TypeAlias = Literal["keep", "correct", "quarantine"]
ACTIONS: Final[tuple[Action, ...]] = ("keep", "correct", "quarantine")
MAX_VALUE: Final = 1_000  # characters of a corrected value: what is longer is no value of a table
MAX_DECISIONS: Final = 10_000  # in force for one data set; more are a rule that nobody has written down


class Outliers(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How outliers are sorted: which columns, how far out, and what becomes of rows until somebody has decided."""

    columns: tuple[str, ...] = ()  # where none is named, all of numbers or names that may be shown and are of use
    bound: float = 5.0  # robust standard deviations from the median
    by: str = ""  # the column that says whom a row is about: what one repeats is no slip
    likely_error: Literal["set-aside", "keep"] = "set-aside"
    doubtful: Literal["set-aside", "keep"] = "keep"


class Decided(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which decisions a run applied, added to a project file when it is read: the list's digest, and how many."""

    listed: str
    count: int


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One person's word on one value: `document` is the sealed, salted document with the row and the value."""

    data: str  # the data set by name
    dataset: str  # the version's rows in which the value stood, or from which it was set aside
    source: str  # digest of the SOURCE that it came with, under whose key the document lies
    row: int  # of the source, from 1
    column: str
    action: Action
    document: str
    by: str
    reason: str
    time: Moment


class Subject(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a decision is about, sealed: the row by a digest of its texts, the value, and what replaces it."""

    print: str  # of all texts of the row
    column: str
    value: str
    replacement: str = ""
    salt: str


def outlier_faults(declared: Outliers | None, columns: Mapping[str, Column]) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the declaration: the key, how, and what would be right."""
    if declared is None:
        return
    for name in (*declared.columns, *([declared.by] if declared.by else [])):
        if name not in columns or not is_held(columns[name]):
            yield "data.outliers", f"there is no column {name[:80]!r} that is read", "columns of [data.columns]"
    if not 3 <= declared.bound <= 100:  # noqa: PLR2004 - below three every column of numbers has many
        yield "data.outliers.bound", f"a bound of {declared.bound:g}", "3 to 100 robust standard deviations"


def check_action(action: str, value: str | None) -> Action:
    """Return what is decided, if it can be.

    Raises:
        InvalidInput: There is no such decision, or a value where none is meant, or none where one is.
    """
    chosen = next((each for each in ACTIONS if each == action), None)
    if chosen is None:
        raise InvalidInput(f"nobody can {action[:40]!r} a value", expected=", ".join(ACTIONS))
    if (value is not None) != (chosen == "correct"):
        words = "a corrected value is missing" if value is None else f"a value where the decision is to {chosen} it"
        raise InvalidInput(words, place="--value", expected="a value where the decision is `correct`")
    if value is not None and not (0 < len(value) <= MAX_VALUE and value.isprintable()):
        raise InvalidInput("the corrected value is empty, too long or not printable", place="--value")
    return chosen
