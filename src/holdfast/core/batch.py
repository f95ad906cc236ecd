"""What a scored batch says of itself: its plan, fixed before the first row; a record for each part; a signed manifest.

Decides whether two of them belong together: whether a run may go on with what an earlier one left, and whether parts
make up a whole with exactly one row out for each row in. Reads and writes nothing.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from holdfast.core.artifact import Moment
from holdfast.core.errors import Conflict, NotVerified

if TYPE_CHECKING:  # who only reads a manifest does without
    import numpy as np
    from numpy.typing import NDArray

PLAN: Final = "plan.json"
MANIFEST: Final = "manifest.dsse.json"
FORMAT: Final = 1

Form = Literal["csv", "parquet"]
Outcome = Literal["answered", "refused", "fallback"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive rows of an input: values of shape (n, features), and the columns that are copied, as text."""

    first: int
    values: "NDArray[np.float64]"  # NaN where the input holds no number
    kept: tuple[tuple[str, ...], ...] = ()  # a tuple a column
    texts: tuple[tuple[str, ...], ...] = ()  # the same, of the texts that a call gives
    broken: "Mapping[int, str]" = field(default_factory=dict)  # rows that are none, and why


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """What became of one row."""

    outcome: Outcome
    label: str = ""
    probabilities: tuple[float, ...] = ()  # empty where the guards let none out
    code: str = ""  # of the refusal
    reason: str = ""  # its words, as a caller reads them
    flags: tuple[str, ...] = ()


class Choice(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the model is run, and the measurement by which that was chosen."""

    runtime: str
    rows_per_call: int
    threads: int
    measured: dict[str, float]  # rows a second, by "rows_per_call x threads"


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is scored by what, and how; a restart that would do anything else is refused."""

    format: int = FORMAT
    run: str  # 16 hexadecimal digits, in the correlation id of each call
    workspace: str
    environment: str
    model: str
    release: str  # digest of the release that answers, all of it
    input: str  # digest of the file's bytes
    form: Form
    inputs: tuple[str, ...]  # columns of numbers that the model takes, in its order
    texts: tuple[str, ...] = ()  # columns of texts that it takes
    entity: tuple[str, ...] = ()  # columns that say whom a row is about, and when, where features are looked up
    keep: tuple[str, ...]  # columns that are copied into the output
    classes: tuple[str, ...]
    part_rows: int
    choice: Choice
    begun: Moment

    def check_same(self, other: "Plan") -> None:
        """Check that a run may go on with what was begun under another plan.

        Raises:
            Conflict: With the first thing that differs: a batch is by one release, over one input.
        """
        for name in ("format", "workspace", "environment", "model", "release", "input", "form", "keep", "part_rows"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine != theirs:
                begun, now = (", ".join(each) if isinstance(each, tuple) else each for each in (theirs, mine))
                raise Conflict(
                    f"this output was begun with {name} {begun or 'nothing'}, and now it is {now or 'nothing'}",
                    place=PLAN,
                    remedy="Go on with what it was begun with, or write into another folder.",
                )


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One part of the output: rows `first` to `first + rows - 1` of the input, in order, one each."""

    number: int
    first: int
    rows: int
    digest: str  # of the part's bytes
    size: int
    outcomes: dict[str, int]  # rows by outcome
    reasons: dict[str, int] = {}  # refused rows by code
    flags: dict[str, int] = {}  # rows by what the guards said of them

    @property
    def name(self) -> str:
        """What its record is called."""
        return part_name(self.number, "json")


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A whole batch; the gateway's identity key signs it."""

    plan: Plan
    rows: int
    parts: tuple[Part, ...]
    outcomes: dict[str, int]
    reasons: dict[str, int]
    flags: dict[str, int]
    finished: Moment


def columns_of(plan: Plan) -> tuple[str, ...]:
    """Return the columns of a part, in order: row number, what is copied, what became of the row.

    Raises:
        Conflict: A copied column is called like one of ours.
    """
    ours = ("row", "outcome", "label", *(f"probability {name}" for name in plan.classes), "code", "reason", "flags")
    doubled = sorted(set(ours) & set(plan.keep))
    if doubled:
        raise Conflict(f"the column {doubled[0]!r} of the input is called as one of the output", place="--keep")
    return ("row", *plan.keep, *ours[1:])


def part_name(number: int, suffix: str) -> str:
    """Return what a part's file is called.

    >>> part_name(3, "csv")
    'part-000003.csv'
    """
    return f"part-{number:06d}.{suffix}"


def whole(plan: Plan, parts: Sequence[Part], rows: int, finished: Moment) -> Manifest:
    """Return the manifest of parts that hold one row for each row of the input, in order.

    Raises:
        NotVerified: One is missing, doubled, out of order, or counts other rows than it holds.
    """
    made = Manifest(
        plan=plan,
        rows=rows,
        parts=tuple(parts),
        outcomes=_summed(part.outcomes for part in parts),
        reasons=_summed(part.reasons for part in parts),
        flags=_summed(part.flags for part in parts),
        finished=finished,
    )
    check_whole(made)
    return made


def check_whole(manifest: Manifest) -> None:
    """Check that a manifest's parts hold each row of the input once, in order.

    Raises:
        NotVerified: They do not.
    """
    at = 0
    for number, part in enumerate(manifest.parts):
        if (part.number, part.first) != (number, at):
            raise NotVerified(f"part {number} begins at row {part.first}", place=part.name, expected=f"row {at}")
        if sum(part.outcomes.values()) != part.rows or part.rows < 1:
            raise NotVerified(f"part {number} counts other rows than it holds", place=part.name)
        at += part.rows
    if at != manifest.rows:
        raise NotVerified(f"the parts hold {at} rows", place=MANIFEST, expected=f"{manifest.rows}")
    if manifest.outcomes != _summed(part.outcomes for part in manifest.parts):
        raise NotVerified("the outcomes do not add up", place=MANIFEST)


def _summed(counts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for each in counts:
        total.update(each)
    return dict(sorted(total.items()))
