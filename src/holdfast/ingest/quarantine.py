"""The quarantine: every row that was set aside, by its number in the source, with all reasons in codes and in words.

Decides what of a refused row may be kept for those who repair it: the offending values, never the rest of the row, and
nothing that is personal. Whoever needs the whole row looks into the source, whose digest the data set names.
"""

from collections.abc import Collection
from typing import Final

import msgspec
import polars as pl

from holdfast.core.ports import Recogniser
from holdfast.engines.personal import redact
from holdfast.engines.personal.recognised import redacted
from holdfast.ingest.reasons import STRUCTURAL, WORDS, Reason

ROWS: Final = "rows.jsonl"
MAX_SHOWN: Final = 80  # characters of an offending value; enough to recognise it, too few to store documents
WITHHELD: Final = "[withheld: the column holds personal or confidential data]"


class Why(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One reason: its code, the column where there is one, the code in words, and what was found."""

    code: str
    column: str
    words: str
    found: str


class SetAside(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One row of the source, by number from 1 (the header has none), and every reason against it."""

    row: int
    reasons: tuple[Why, ...]


def document(faults: pl.DataFrame, withheld: Collection[str], recogniser: Recogniser | None = None) -> bytes:
    """Return the quarantined rows as JSON Lines, by row number.

    Args:
        faults: Every fault; several may concern one row.
        withheld: Columns whose values must not be shown.
        recogniser: What looks through texts beside our patterns, where one is declared.
    """
    details = faults.get_column("detail").unique().sort().to_list() if recogniser is not None else []
    masked = dict(zip(details, redacted(details, recogniser), strict=True)) if recogniser is not None else {}
    lines, encoder = list[bytes](), msgspec.json.Encoder(order="deterministic")
    for group in faults.partition_by("row", maintain_order=True):
        reasons = tuple(
            _why(code, column, masked.get(detail, detail), withheld) for _, code, column, detail in group.iter_rows()
        )
        lines.append(encoder.encode(SetAside(row=group.item(0, "row"), reasons=reasons)))
    return b"".join(line + b"\n" for line in lines)


def parse(document: bytes) -> tuple[SetAside, ...]:
    """Return the rows in a quarantine's document."""
    decoder = msgspec.json.Decoder(SetAside)
    return tuple(decoder.decode(line) for line in document.splitlines())


def _why(code: str, column: str, detail: str, withheld: Collection[str]) -> Why:
    reason = Reason(code)
    found = WITHHELD if column in withheld and reason not in STRUCTURAL else shown(detail)
    return Why(code=code, column=column, words=WORDS[reason], found=found)


def shown(text: str) -> str:
    """Return a value as it may be shown: personal values masked, control characters visible, cut to `MAX_SHOWN`."""
    masked = redact(text)
    visible = "".join(char if char.isprintable() else ascii(char)[1:-1] for char in masked[: MAX_SHOWN + 1])
    return visible if len(visible) <= MAX_SHOWN else visible[: MAX_SHOWN - 1] + "…"
