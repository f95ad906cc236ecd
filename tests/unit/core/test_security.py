"""The taxonomy of security events: nothing falls through, gaps are seen, and a SIEM can read what is told."""

from datetime import UTC, datetime
from typing import Any

import pytest

from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import GENESIS, Draft, Entry, link
from holdfast.core.security import CLASSES, ORDINARY, TAXONOMY, Sort, happenings, ocsf, row_of

NOW = datetime(2026, 11, 26, 21, tzinfo=UTC)


def entries(*drafts: tuple[str, str, dict[str, Any]]) -> list[Entry]:
    """Entries of these kinds, streams and bodies."""
    found = []
    for position, (kind, stream, body) in enumerate(drafts):
        draft = Draft(kind=kind, actor="ada", stream=stream, body=body)
        found.append(link(draft, position=position, previous=GENESIS, head=(0, GENESIS), now=NOW)[0])
    return found


def told(sequence: int, kind: str = "refused.authenticated.HF400", count: int = 1) -> tuple[str, str, dict[str, Any]]:
    """What a gateway wrote, as the ledger holds it."""
    body = {
        "sequence": sequence,
        "time": NOW.isoformat(),
        "kind": kind,
        "caller": "10.0.0.7",
        "model": "m",
        "count": count,
        "detail": "no key",
    }
    return ("security.event", "events/0", body)


def test_an_unknown_kind_is_kept_as_a_security_event() -> None:
    """What is new must not be lost because a list was not kept."""
    row = row_of("something.new")
    assert row is not None
    assert row.sort is Sort.UNKNOWN
    assert row_of("stage.finished") is None


def test_the_longest_beginning_counts() -> None:
    """A refusal by the access guard is about authentication, one by another guard is a refusal."""
    assert (row_of("gateway/refused.authenticated.x") or TAXONOMY[0]).sort is Sort.AUTHENTICATION
    assert (row_of("gateway/refused.valid-input.x") or TAXONOMY[1]).sort is Sort.REFUSAL


def test_no_beginning_is_given_twice_and_every_sort_has_a_class() -> None:
    """The table says one thing about each kind."""
    begins = [row.begins for row in TAXONOMY]
    assert len(begins) == len(set(begins))
    assert not set(begins) & set(ORDINARY)
    assert set(CLASSES) == set(Sort)
    assert all(1 <= row.severity <= 5 for row in TAXONOMY)


def test_events_are_numbered_and_a_gap_in_a_gateways_chain_is_an_event() -> None:
    """Three events of which one never came: the gap is told where it is, and every line has a number."""
    found = list(happenings(iter(entries(told(0), ("stage.finished", "x", {}), told(1, count=9), told(3)))))
    assert [event.number for event in found] == [1, 2, 3, 4]
    assert [event.sort for event in found] == [Sort.AUTHENTICATION, Sort.AUTHENTICATION, Sort.GAP, Sort.AUTHENTICATION]
    assert "2 to 2" in found[2].words
    assert sum(event.count for event in found) == 12


@pytest.mark.parametrize("row", TAXONOMY, ids=lambda row: row.begins)
def test_each_sort_is_told_with_what_its_class_demands(row: Any) -> None:
    """The attributes that OCSF 1.3 requires of the class, and identity, action, object and time in each line."""
    kind = row.begins + ("x" if row.begins.endswith(".") else "")
    draft = (
        told(0, kind.removeprefix("gateway/")) if kind.startswith("gateway/") else (kind, "about", {"reason": "why"})
    )
    (event,) = happenings(iter(entries(draft)))
    document = ocsf(event, origin="log", version="0")
    assert document["type_uid"] == document["class_uid"] * 100 + document["activity_id"]
    assert document["class_uid"] // 1000 == document["category_uid"]
    assert document["metadata"]["sequence"] == 1
    assert document["metadata"]["event_code"] == kind
    assert document["time"] == int(NOW.timestamp() * 1000)
    assert document["actor"]["user"]["name"]
    assert document["unmapped"]["subject"]
    demanded = {
        2003: {"finding_info", "compliance"},
        2004: {"finding_info"},
        3002: {"user"},
        3004: {"entity"},
        6003: {"api", "src_endpoint"},
    }
    assert demanded[document["class_uid"]] <= document.keys()


@pytest.mark.parametrize("missing", ["actor", "kind", "stream"])
def test_an_entry_that_does_not_say_who_did_what_to_what_is_refused(missing: str) -> None:
    """Identity, action and object are no options; the time is the ledger's own."""
    parts = {"actor": "ada", "kind": "note", "stream": "notes"} | {missing: ""}
    with pytest.raises(InvalidInput, match="identity"):
        link(Draft(**parts, body={}), position=0, previous=GENESIS, head=(0, GENESIS), now=NOW)
