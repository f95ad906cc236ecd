"""Kinds of personal data, and what a search says of them: where in a text, and how often in a column."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One entity in one text: characters `start` to `stop`."""

    entity: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One kind of personal data in one column: in how many distinct values, in how many rows, and what it rests on."""

    column: str
    entity: str
    values: int
    rows: int
    rests_on: str = "values"  # values, name (of the column), neighbours (other columns of the table), recogniser
    alone: int | None = None  # rows that hold little beside it, where that was counted

    @property
    def mostly(self) -> int:
        """Rows that are of the kind as a whole, as far as that is known."""
        return self.rows if self.alone is None else self.alone
