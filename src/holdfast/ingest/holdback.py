"""Holding back: columns whose values turn out to be personal do not become part of a data set as they are.

Decides what happens to a column that `engines.personal` caught: what `[dlp]` declares, done by `engines.dlp`; where
nothing is declared it is left out. An id or a label cannot be left out or masked, so that the file is refused. What was
declared personal is never read, so it does not come this far.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from msgspec import structs

from holdfast.core.dlp import KEYED, Action
from holdfast.core.planning import Sensitivity
from holdfast.core.ports import Recogniser, no_recogniser, no_token_key
from holdfast.core.project import Project
from holdfast.core.schema import Use, is_held
from holdfast.core.sensitivity import of_column
from holdfast.engines.dataset import Declared, Schema
from holdfast.engines.dlp import Acted, check_indispensable, check_unblocked, recogniser_of, treat
from holdfast.engines.packed import Packed
from holdfast.engines.personal import Hit, scan
from holdfast.ingest.contract import Batch

INDISPENSABLE: Final = frozenset({Use.ID, Use.LABEL})  # uses without whose columns there is no data set


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """A batch without the columns that were caught, and what was found in which column."""

    batch: Batch
    hits: tuple[Hit, ...]
    columns_searched: int
    classed: tuple[str, ...] = ()  # classed personal, and of no use to anything here
    acted: tuple[Acted, ...] = ()  # what was done to declared columns

    @property
    def caught(self) -> tuple[str, ...]:
        """The columns that hold personal data, declared or not, by name."""
        kept = {each.column for each in self.acted if each.action is not Action.DROP}
        return tuple(sorted({hit.column for hit in self.hits} - kept | set(self.classed)))

    @property
    def replaced(self) -> tuple[str, ...]:
        """The columns in which tokens or pseudonyms stand for values: they may look like such, and are none."""
        return tuple(sorted({each.column for each in self.acted if each.action in KEYED}))


def hold_back(
    batch: Batch,
    beside: Packed,
    project: Project,
    token_key: Callable[[], bytes] = no_token_key,
    recogniser: Recogniser | None = None,
) -> Searched:
    """Return the batch without personal data in it: columns treated as `[dlp]` declares, or left out.

    Args:
        batch: The rows that hold.
        beside: The columns that nobody declared, as they came.
        project: What is declared.
        token_key: Gives the key that tokens are made with; asked for only where any are.
        recogniser: What finds some of it, where one is declared.

    Searched are the cleaned values of rows that hold, because only those could go on, and undeclared columns as they
    are. A stray address in a column of numbers is a fault of its row, not of the column. A column that is classed
    personal and used by nothing is held back whatever stands in it.

    Raises:
        InvalidData: An id or a label is personal data, or `[dlp]` blocks what was found.
        Refused: `[dlp.presidio]` is declared, and no recogniser was handed in.
        Unavailable: It failed.
    """
    recogniser = recogniser or recogniser_of(project.dlp, no_recogniser)
    declared, more = scan(batch.frame, recogniser), scan(beside, recogniser)
    treated = treat(batch.frame, declared, project.dlp, token_key, recogniser)
    hits = tuple(hit for hit in declared + more if project.dlp.on(hit.column, hit.entity) is not Action.ALLOW)
    check_unblocked(treated.block, project.data.source)
    uses = {name: str(column.use) for name, column in project.data.columns.items() if column.use in INDISPENSABLE}
    check_indispensable(hits, uses, treated.drop, project.dlp, project.data.source)
    classed = tuple(
        name
        for name, column in project.data.columns.items()
        if column.use is Use.IGNORED and of_column(column) is Sensitivity.PERSONAL
    )
    kept = treated.frame.drop({*treated.drop, *classed})
    searched = batch.frame.width + beside.width
    return Searched(
        batch=replace(batch, frame=kept),
        hits=hits,
        columns_searched=searched,
        classed=classed,
        acted=treated.acted,
    )


def schema_of(project: Project, searched: Searched) -> Schema:
    """Return the schema of the data set: the declared columns in order, without personal and without caught ones.

    Of a column whose values were replaced, the allowed values that were declared are no longer true, and may be
    personal themselves.
    """
    wanted = [(name, column) for name, column in project.data.columns.items() if is_held(column)]
    changed = {each.column for each in searched.acted if each.action in {Action.MASK, *KEYED}}
    kept = [(name, column) for name, column in wanted if name not in searched.caught]
    return Schema(
        columns=tuple(
            Declared(name=name, column=structs.replace(column, allowed=()) if name in changed else column)
            for name, column in kept
        ),
        held_back=tuple(name for name, _ in wanted if name in searched.caught),
    )
