"""Projections: what an entry means follows from the entry alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.adapter_kit import filed, history, named, note, pointed, recorded

from holdfast.adapters.database import PROJECTIONS, artifacts, edges, evidence, pointers, streams
from holdfast.adapters.projections import ALWAYS, FOLDS, LATEST, Rows, fold
from holdfast.core.artifact import Kind
from holdfast.core.bill import LISTED, PARTS, SUPPLIED
from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import GENESIS, Draft, Entry
from holdfast.core.passport import FILED, RECORDED, REVOKED
from holdfast.registry.record import (
    ARCHIVED,
    CLEARED,
    PURGED,
    QUARANTINED,
    RESTORED,
    RETIRED,
    ROUTED,
    STAGED,
)


def entry(draft: Draft, position: int = 0, stream_position: int = 0) -> Entry:
    """A draft as the ledger would hold it."""
    return Entry(
        position=position,
        time="2030-01-01T00:00:00.000000+00:00",
        kind=draft.kind,
        actor=draft.actor,
        stream=draft.stream,
        stream_position=stream_position,
        stream_previous=GENESIS,
        previous=GENESIS,
        body=draft.body,
    )


def test_an_artifact_becomes_a_row_and_an_edge_to_each_parent() -> None:
    """What it is, how large, where that is recorded, and what it was made from."""
    draft = recorded("model", Kind.MODEL, [(Kind.FEATURES, "f"), (Kind.RECIPE, "r")])
    assert list(fold(entry(draft, 7, 2), "h")) == [
        (streams, (named("model"), 3, "h")),
        (artifacts, (named("model"), "model", 5, 7)),
        (edges, (named("model"), named("f"), "features")),
        (edges, (named("model"), named("r"), "recipe")),
    ]


def test_evidence_becomes_a_row_that_finds_its_envelope() -> None:
    """By subject, control and run."""
    draft = filed("model", "assess.quality/1", "r1")
    row = (4, draft.body["envelope"], "assess.quality/1", named("model"), "r1")
    assert (evidence, row) in list(fold(entry(draft, 4), "h"))


def test_any_event_can_move_a_pointer() -> None:
    """To an artifact, or to nothing; what kind of event it was does not matter."""
    assert (pointers, ("p", named("x"), 9)) in list(fold(entry(pointed("p", "x"), 9), "h"))
    assert (pointers, ("p", "", 9)) in list(fold(entry(pointed("p", ""), 9), "h"))
    both = recorded("x")
    both.body["pointer"] = {"name": "newest", "digest": named("x")}
    assert {table.name for table, _ in fold(entry(both), "h")} == {"streams", "pointers", "artifacts"}


def test_an_event_of_no_meaning_only_lengthens_its_stream() -> None:
    """Kinds that no table knows are history all the same."""
    assert list(fold(entry(note("x", "s"), 3, 3), "h")) == [(streams, ("s", 4, "h"))]


def test_every_table_has_a_fold() -> None:
    """The history of the kit, which has an event of each kind that is folded, leaves rows in each projection."""
    marking = {REVOKED, QUARANTINED, CLEARED, RETIRED, PURGED, ARCHIVED, RESTORED}
    assert set(FOLDS) == {RECORDED, FILED, LISTED, PARTS, SUPPLIED, ROUTED, STAGED, *marking}
    assert len(ALWAYS) == 2
    found = {table.name for draft in history() for table, _ in fold(entry(draft), "h")}
    assert found == {table.name for table in PROJECTIONS}
    assert found > LATEST


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=9), lambda x: st.lists(x, max_size=3)
                    | st.dictionaries(st.sampled_from(["kind", "digest", "name", "size"]), x, max_size=3)),
       st.sampled_from([RECORDED, FILED, "note"]),
       st.sampled_from(["pointer", "parents", "size", "kind", "control", "run", "envelope"]))  # fmt: skip
def test_a_fold_reads_a_body_or_refuses_it(value: Any, kind: str, key: str) -> None:
    """Whatever somebody puts into one part of a body: rows, or an error with a code; and the same every time."""
    draft = {RECORDED: recorded("x"), FILED: filed("x"), "note": note("x")}[kind]
    changed = Draft(kind=draft.kind, actor="ada", stream=draft.stream, body=draft.body | {key: value})
    outcomes: list[object] = []
    for _ in range(2):
        try:
            outcomes.append(list(fold(entry(changed), "h")))
        except InvalidInput as error:
            outcomes.append(str(error))
    assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("table", PROJECTIONS, ids=lambda table: table.name)
def test_tables_begin_with_their_key(table: Any) -> None:
    """Rows are keyed by their first columns: the order of columns is part of how folds are written."""
    keys = [column.name for column in table.primary_key]
    assert [column.name for column in table.columns][: len(keys)] == keys
    assert Rows()._tables.keys() == {each.name for each in PROJECTIONS}
