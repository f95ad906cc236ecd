"""Acting on personal data before a row is stored or used: mask, pseudonym, token, or out with the column.

Decides what each column becomes by what was found in it and what the project declares. A column is treated as a whole
where most of its values are of the kind, else only the stretches of its texts that are; then it is searched again, and
where anything is left that may not be, the column is dropped after all. Values that no token can be made of get a
pseudonym. Only columns of text can hold either: numbers are dropped. The rows of a data set (`ingest`) and those of
feature views (`engines.events`) are treated by this same code, and reported in the same words.
"""

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

import polars as pl

from holdfast.core.dlp import KEYED, Action, Dlp, Presidio, strictest
from holdfast.core.errors import InvalidData, InvalidInput
from holdfast.core.evidence import Finding, Measure, Severity, exactly
from holdfast.core.ports import Recogniser
from holdfast.engines.packed import Packed
from holdfast.engines.personal import SHOWN, Hit, Span, scan
from holdfast.engines.personal.recognised import masked, settled
from holdfast.engines.tokens import Tokens

Rows = TypeVar("Rows", pl.DataFrame, Packed)
_DONE: Final = {
    Action.MASK: "masked",
    Action.PSEUDONYM: "pseudonyms in their place",
    Action.TOKENISE: "tokens in their place",
    Action.ALLOW: "they stay",
}
WHOLE: Final = 0.5  # share of a column's rows from which on all of it is of the kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What was done to one column, for one kind, in how many rows."""

    column: str
    entity: str
    action: Action
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Treated(Generic[Rows]):
    """The table afterwards, what was done, and which columns are to go."""

    frame: Rows
    acted: tuple[Acted, ...]
    drop: tuple[str, ...]
    block: tuple[Hit, ...]


def recogniser_of(dlp: Dlp, open_recogniser: Callable[[Presidio], Recogniser]) -> Recogniser | None:
    """Return what looks through texts where that is declared, ready to; None where it is not.

    Raises:
        MissingExtra: It is declared and not installed.
        InvalidProject: It cannot do what is declared.
    """
    return None if dlp.presidio is None else open_recogniser(dlp.presidio)


def treat(
    frame: Rows,
    hits: tuple[Hit, ...],
    dlp: Dlp,
    key: Callable[[], bytes],
    recogniser: Recogniser | None = None,
) -> Treated[Rows]:
    """Return a table in which what was found is treated as declared; dropping and blocking are left to the caller.

    Args:
        frame: The rows that could go on.
        hits: What was found in them.
        dlp: What is declared.
        key: The data set's token key; asked for only where something needs it.
        recogniser: What found some of it, where one is declared.
    """
    tokens: Tokens | None = None
    acted, drop, block = list[Acted](), list[str](), list[Hit]()
    for name in dict.fromkeys(hit.column for hit in hits):
        found = [hit for hit in hits if hit.column == name]
        action = strictest([dlp.on(name, hit.entity) for hit in found])
        if action is Action.BLOCK:
            block += found
        if action in {Action.MASK, *KEYED}:
            tokens = tokens or (Tokens(key()) if action in KEYED else None)
            made = _treated(frame.get_column(name), found, action, tokens, recogniser)
            action = Action.DROP if made is None else action
            frame = frame if made is None else frame.with_columns(made)
        if action is Action.DROP:
            drop.append(name)
        acted += [Acted(column=name, entity=hit.entity, action=action, rows=hit.rows) for hit in found]
    return Treated(frame=frame, acted=tuple(acted), drop=tuple(drop), block=tuple(block))


def _treated(
    column: pl.Series, hits: list[Hit], action: Action, tokens: Tokens | None, recogniser: Recogniser | None
) -> pl.Series | None:
    """Return a column with its personal values replaced, or None where that cannot be done."""
    if column.dtype not in {pl.String, pl.Categorical}:
        return None
    texts = column.cast(pl.String)
    most = max(hits, key=lambda hit: hit.mostly)
    whole = most.mostly >= WHOLE * max(1, len(texts) - texts.null_count())
    values = texts.drop_nulls().unique().sort().to_list()
    if whole:
        changed = {value: replaced(most.entity, value, action, tokens) for value in values}
    else:
        places = settled(values, recogniser, column.name)
        if places is None:
            return None
        inside = list(zip(values, places, strict=True))
        changed = {value: _inside(value, spans, action, tokens) for value, spans in inside}
        # What a search still finds in texts without what was replaced in them was missed.
        left = scan(pl.DataFrame({column.name: [masked(value, spans) for value, spans in inside]}))
        if {hit.entity for hit in left} & {hit.entity for hit in hits}:
            return None
    return texts.replace_strict(list(changed), list(changed.values()), default=None, return_dtype=pl.String).alias(
        column.name
    )


def _inside(text: str, spans: Iterable[Span], action: Action, tokens: Tokens | None) -> str:
    parts, end = [], 0
    for span in spans:
        parts += [text[end : span.start], replaced(span.entity, text[span.start : span.stop], action, tokens)]
        end = span.stop
    return "".join([*parts, text[end:]])


def replaced(entity: str, value: str, action: Action, tokens: Tokens | None) -> str:
    """Return what stands in a value's place."""
    if tokens is None or action is Action.MASK:
        return f"[{entity}]"
    if action is Action.TOKENISE:
        try:
            return tokens.token(entity, value)
        except InvalidInput:  # too short, or of another script: then nobody can turn it back
            return tokens.pseudonym(entity, value)
    return tokens.pseudonym(entity, value)


def check_unblocked(block: Iterable[Hit], place: str) -> None:
    """Check that nothing was found that `[dlp]` blocks.

    Raises:
        InvalidData: Something was, with its column and kind, and without a value.
    """
    for hit in block:
        raise InvalidData(
            f"column {hit.column!r}: {hit.rows} rows hold personal data ({hit.entity}), which [dlp] blocks",
            place=place,
            expected="a source without it, or another action in [dlp]",
        )


def check_indispensable(hits: Iterable[Hit], uses: dict[str, str], drop: Container[str], dlp: Dlp, place: str) -> None:
    """Check that no column is lost without which there are no rows: an id, a label, what a view is about or when.

    Args:
        hits: What was found.
        uses: What each indispensable column is, by its name.
        drop: Columns that are to go.
        dlp: What is declared: a masked id is none either.
        place: Where the rows came from.

    Raises:
        InvalidData: One holds personal data and would be dropped or masked.
    """
    for hit in hits:
        gone = hit.column in drop or dlp.on(hit.column, hit.entity) is Action.MASK
        if hit.column in uses and gone:
            held = f"{hit.rows} rows of it hold personal data ({hit.entity})"
            raise InvalidData(
                f"column {hit.column!r} is the {uses[hit.column]}, and {held}",
                place=place,
                expected="pseudonyms: values that say nothing about a person by themselves",
            )


def counts_of(acted: Iterable[Acted]) -> tuple[Measure, ...]:
    """Return in how many rows each action was taken."""
    done = tuple(acted)
    return tuple(
        exactly(f"personal_rows_{action}", sum(each.rows for each in done if each.action is action))
        for action in (Action.DROP, Action.MASK, Action.PSEUDONYM, Action.TOKENISE, Action.ALLOW)
    )


def searched_with(recogniser: Recogniser | None) -> dict[str, str]:
    """Return what a search rested on beside our own code, as facts of evidence: enough to repeat it."""
    return {} if recogniser is None else {f"presidio_{name}": said for name, said in recogniser.made_with.items()}


def findings_of(hits: Iterable[Hit], acted: tuple[Acted, ...], prefix: str = "") -> list[Finding]:
    """Return what was found and what was done about it, by column and kind, without a value.

    Args:
        hits: What was found and is not allowed.
        acted: What was done to declared columns.
        prefix: What stands before a column's name: of which rows it is one.
    """
    treated = {each.column: each.action for each in acted if each.action is not Action.DROP}
    return [
        Finding(
            place=f"{prefix}{hit.column}",
            severity=Severity.CRITICAL,
            rule=f"personal-{hit.entity}",
            message=f"{hit.rows} rows hold an undeclared {hit.entity}; the column was held back",
        )
        for hit in hits
        if hit.column not in treated
    ] + [
        Finding(
            place=f"{prefix}{each.column}",
            severity=Severity.LOW,
            rule=f"personal-{each.entity}",
            message=f"{each.rows} rows held personal data ({each.entity}): {_DONE[each.action]}, as [dlp] declares",
        )
        for each in acted
        if each.column in treated and not (each.action is Action.ALLOW and each.entity in SHOWN)
    ]
