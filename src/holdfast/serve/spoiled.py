"""What is wrong with the inputs of a call: values that are missing, of another type, or out of their declared range.

Decides nothing: guards refuse or flag, this says which input it was about, for the counts of data quality. Only calls
that are refused or flagged are looked at again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.telemetry import Spoiled

SPOILED: Final = "spoiled-inputs"  # the note on a call
MAX_ROWS: Final = 1024  # rows of a refused call that are looked at; those beyond say nothing new


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is wrong with the inputs of one call, and how many rows it has."""

    inputs: Spoiled
    rows: int


def of_rows(rows: NDArray[np.float32], inside: NDArray[np.bool_], names: Sequence[str]) -> Found:
    """Return what is wrong with numbers: NaN is a missing value, every other one that is not inside is out of range."""
    missing = np.isnan(rows)
    lacks, outside = missing.sum(axis=0).tolist(), (~inside & ~missing).sum(axis=0).tolist()
    counted = zip(names, lacks, outside, strict=True)
    return Found(inputs={name: (gone, 0, out) for name, gone, out in counted if gone or out}, rows=len(rows))


def of_fractions(fractions: NDArray[np.bool_], names: Sequence[str]) -> Found:
    """Return what is wrong with rows some of whose numbers are fractions where whole ones belong: of another type."""
    counted = zip(names, fractions.sum(axis=0).tolist(), strict=True)
    return Found(inputs={name: (0, number, 0) for name, number in counted if number}, rows=len(fractions))


def of_body(body: bytes, names: Sequence[str]) -> Found | None:
    """Return what is wrong with the values of a refused body of plain rows; None where it holds no rows at all."""
    try:
        rows = msgspec.json.decode(body).get("rows")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, AttributeError):
        return None
    if not isinstance(rows, list):
        return None
    found: dict[str, tuple[int, int, int]] = {}
    looked = [row for row in rows[:MAX_ROWS] if isinstance(row, dict)]
    for row in looked:
        for name in names:
            gone, mistyped = _wrong(row.get(name))
            if gone or mistyped:
                before = found.get(name, (0, 0, 0))
                found[name] = (before[0] + gone, before[1] + mistyped, 0)
    return Found(inputs=found, rows=len(looked)) if looked else None


def _wrong(value: Any) -> tuple[int, int]:
    """Return whether a value is missing, and whether it is of another type than a number."""
    if value is None:
        return 1, 0
    return 0, int(isinstance(value, bool) or not isinstance(value, int | float))
