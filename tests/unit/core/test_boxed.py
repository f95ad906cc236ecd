"""Time-boxed access is a pure function of what is on record and of now."""

from datetime import timedelta
from typing import Any

import pytest

from holdfast.core.access import Principal, Resource
from holdfast.core.boxed import APPROVED, REJECTED, REQUESTED, WAITS, boxed, fold
from holdfast.core.errors import NotVerified
from holdfast.core.ledger import Draft, Entry, link
from holdfast.testing.clock import SettableClock

NOW = SettableClock().now()
BOB = Principal(name="bob", sort="user")
IT = Resource(kind="dataset", name="rows")
ASKED = {"id": "1", "person": "bob", "action": "data.read", "resource": "dataset/rows", "seconds": 3600, "reason": "r"}


def entry(kind: str, body: dict[str, Any]) -> Entry:
    """An entry of the stream."""
    draft = Draft(kind=kind, actor="x", stream="access-requests", body=body)
    return link(draft, position=0, previous="", head=(0, ""), now=NOW)[0]


def answered(by: str = "rita", kind: str = APPROVED, **changes: Any) -> list[Entry]:
    """A request, and what somebody said to it."""
    until = (NOW + timedelta(hours=1)).isoformat()
    return [entry(REQUESTED, ASKED), entry(kind, {"id": "1", "by": by, "until": until} | changes)]


def covers(entries: list[Entry], principal: Principal = BOB, action: str = "data.read", about: Resource = IT) -> bool:
    """Whether what is on record covers this now."""
    return boxed(fold(entries), principal, action, about, NOW) is not None


def test_what_was_approved_by_another_is_in_force_until_it_ends() -> None:
    """And then it is over, although nobody has done anything."""
    boxes = fold(answered())
    assert boxed(boxes, BOB, "data.read", IT, NOW + timedelta(minutes=59, seconds=59)) is not None
    assert boxed(boxes, BOB, "data.read", IT, NOW + timedelta(hours=1)) is None
    assert boxes["1"].state(NOW + timedelta(hours=1)) == "over"


def test_it_covers_just_what_was_asked_for() -> None:
    """Nobody else, no other action, no other asset."""
    assert covers(answered())
    assert not covers(answered(), principal=Principal(name="eve", sort="user"))
    assert not covers(answered(), action="data.write")
    assert not covers(answered(), about=Resource(kind="dataset", name="rows2"))
    assert not covers(answered(), about=Resource(kind="model", name="rows"))


@pytest.mark.parametrize(
    "entries",
    [
        [],
        [entry(REQUESTED, ASKED)],
        answered(kind=REJECTED),
        answered(by="bob"),
        answered(until=None),
        answered()[1:],
        answered(id="2"),
        [*answered(kind=REJECTED), *answered()[1:]],
    ],
    ids=["nothing", "waiting", "rejected", "by oneself", "without end", "unasked", "another", "second answer"],
)
def test_what_nobody_else_approved_is_not_in_force(entries: list[Entry]) -> None:
    """Whatever else is on record: also an entry by which somebody approves for oneself."""
    assert not covers(entries)


def test_a_request_does_not_wait_for_ever() -> None:
    """What nobody has looked at within a day is over."""
    (box,) = fold([entry(REQUESTED, ASKED)]).values()
    assert box.state(NOW + WAITS - timedelta(seconds=1)) == "waiting"
    assert box.state(NOW + WAITS) == "over"


@pytest.mark.parametrize("change", [{"seconds": 0}, {"seconds": 10**9}, {"extra": 1}, {"person": 3}])
def test_a_request_that_cannot_be_read_stops_everything(change: dict[str, Any]) -> None:
    """Rather than granting by mistake."""
    with pytest.raises(NotVerified):
        fold([entry(REQUESTED, ASKED | change)])
