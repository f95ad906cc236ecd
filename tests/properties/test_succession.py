"""Whatever happens to keys: their states follow the table, windows only shrink, and a reader finds today's root."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.errors import HoldfastError, NotVerified
from holdfast.core.keystate import KEYS, KeySignal, KeyState, due_keys, signing, state_of
from holdfast.core.seal import TRUST, seal
from holdfast.core.succession import (
    Links,
    changes,
    check_successor,
    differs_in_root,
    follow,
    open_change,
    parse_links,
    successor,
)
from holdfast.core.trust import Grant, Trust, TrustedKey
from holdfast.testing.memory import MemorySigner

START = datetime.fromisoformat("2026-01-01T00:00:00+00:00")
YEAR = timedelta(days=365)


def signer(role: str, owner: str, start: datetime = START) -> MemorySigner:
    """A key in memory; another owner has another key."""
    return MemorySigner(role, owner=owner, start=start)


def first(*signers: MemorySigner, threshold: int = 1) -> Trust:
    """The first trust of a workspace."""
    return Trust(
        workspace="w",
        version=1,
        expires=START + YEAR,
        root_threshold=threshold,
        keys=tuple(each.public for each in signers),
        policies=(),
    )


STEPS = {
    (KeyState.PENDING, KeyState.ACTIVE): KeySignal.TRUSTED,
    (KeyState.ACTIVE, KeyState.RETIRING): KeySignal.SUCCEEDED,
    (KeyState.ACTIVE, KeyState.RETIRED): KeySignal.ENDED,
    (KeyState.RETIRING, KeyState.RETIRED): KeySignal.ENDED,
    (KeyState.RETIRING, KeyState.ACTIVE): KeySignal.RESTORED,
}


@given(
    st.lists(
        st.tuples(st.integers(0, 40), st.sampled_from(["rotate", "revoke", "wait"]), st.integers(0, 20)), max_size=12
    )
)
def test_the_state_of_every_key_moves_as_the_table_says(steps: list[tuple[int, str, int]]) -> None:
    """A random history of rotations and revocations, looked at after each day: no key ever moves otherwise.

    `revoked` is final, a retired key never comes back, and at most one key of a role and owner is active.
    """
    trust, now = first(signer("train", "a-0")), START
    trust = msgspec.structs.replace(trust, keys=tuple(msgspec.structs.replace(k, owner="a") for k in trust.keys))
    before = {key.keyid: KeyState.PENDING for key in trust.keys}
    for number, (wait, what, overlap) in enumerate(steps, 1):
        for _ in range(wait + 1):
            _observe(trust, now, before)
            now += timedelta(days=1)
        newer = trust
        if what == "rotate":
            new = msgspec.structs.replace(signer("train", f"a-{number}", now).public, owner="a")
            ends = now + timedelta(days=overlap)
            cut = [
                msgspec.structs.replace(key, not_after=min(key.not_after, max(ends, key.not_before)))
                for key in trust.keys
            ]
            newer = successor(trust, keys=(*cut, new))
            before[new.keyid] = KeyState.PENDING
        elif what == "revoke":
            newer = successor(trust, revoked=(*trust.revoked, trust.keys[number % len(trust.keys)].keyid))
        trust = newer
        _observe(trust, now, before)


def _observe(trust: Trust, now: datetime, before: dict[str, KeyState]) -> None:
    found = {key.keyid: state_of(key, trust, now) for key in trust.keys}
    assert sum(state is KeyState.ACTIVE for state in found.values()) <= 1
    for keyid, state in found.items():
        for signal in _path(before[keyid], state):
            before[keyid], _ = KEYS.step(before[keyid], signal)
        assert before[keyid] is state
    chosen = signing(trust, "train", set(found), now)
    active = [keyid for keyid, state in found.items() if state is KeyState.ACTIVE]
    assert [chosen.keyid] * bool(chosen) == active if chosen else not active


def _path(start: KeyState, end: KeyState) -> Sequence[KeySignal]:
    """The signals that lead from one state to another in one look; a day may hold several."""
    if start is end:
        return ()
    if end is KeyState.REVOKED:
        return (KeySignal.REVOKED,)
    if (start, end) in STEPS:
        return (STEPS[start, end],)
    if start is KeyState.PENDING and end in {KeyState.RETIRING, KeyState.RETIRED}:
        return (KeySignal.TRUSTED, *_path(KeyState.ACTIVE, end))
    raise AssertionError((start, end))


def test_every_state_and_signal_is_in_the_table() -> None:
    """Exhaustively: what is not in the table is refused; nothing leads out of `revoked` or back from `retired`."""
    assert KEYS.states() == set(KeyState)
    for state in KeyState:
        for signal in KeySignal:
            if (state, signal) not in KEYS.table:
                with pytest.raises(HoldfastError):
                    KEYS.step(state, signal)
    assert not [signal for state, signal in KEYS.table if state is KeyState.REVOKED]
    ends = {end for (state, _), (end, _) in KEYS.table.items() if state is KeyState.RETIRED}
    assert ends == {KeyState.REVOKED}


@given(st.integers(1, 6), st.data())
def test_a_reader_with_any_old_pin_finds_todays_root(rotations: int, data: st.DataObject) -> None:
    """Whichever version was pinned, the links lead on; with one link missing they lead nowhere."""
    root = signer("root", "r-0")
    trust, links, holders = first(root), list[bytes](), [root]
    versions = [trust]
    for number in range(1, rotations + 1):
        new = signer("root", f"r-{number}")
        end = START + timedelta(hours=number)
        ends = tuple(msgspec.structs.replace(key, not_after=min(key.not_after, end)) for key in trust.keys)
        newer = successor(trust, keys=(*ends, new.public))
        document = seal(newer, TRUST, [holders[-1], new])
        open_change(document, trust, at=START)
        assert differs_in_root(trust, newer)
        links.append(document)
        holders.append(new)
        trust = newer
        versions.append(trust)
    last = seal(successor(trust), TRUST, [holders[-1]])
    now = START + timedelta(days=300)
    for pinned in versions:
        assert follow(pinned, links, last, now=now).value.version == trust.version + 1
        assert follow(pinned, links[pinned.version - 1 :], last, now=now).value.version == trust.version + 1
    missing = data.draw(st.integers(0, rotations - 1))
    with pytest.raises(NotVerified):
        follow(versions[0], links[:missing] + links[missing + 1 :], last, now=now)
    stored = msgspec.json.encode(Links(links=tuple(link.decode() for link in links)))
    assert list(parse_links(stored)) == links


def test_an_old_root_key_cannot_lead_a_reader_elsewhere() -> None:
    """After a rotation the old key alone signs neither a document nor a link that a reader would follow."""
    old, new, thief = signer("root", "r-0"), signer("root", "r-1"), signer("root", "thief")
    trust = first(old)
    newer = successor(trust, keys=(msgspec.structs.replace(old.public, not_after=START + YEAR / 2), new.public))
    newer = msgspec.structs.replace(newer, revoked=(old.keyid,))
    link = seal(newer, TRUST, [old, new])
    forged = seal(successor(newer, policies=("sha256:" + "0" * 64,)), TRUST, [old])
    fork = seal(successor(newer, keys=(*newer.keys, thief.public)), TRUST, [old, thief])
    for links, document in (([link], forged), ([link, fork], fork)):
        with pytest.raises(NotVerified):
            follow(trust, links, document, now=START)


def test_new_keys_alone_and_old_keys_alone_change_no_root() -> None:
    """A change of the root needs a threshold of both: else thieves could enter themselves, or holders lock all out."""
    old, new = signer("root", "r-0"), signer("root", "r-1")
    trust = first(old)
    moved = successor(trust, keys=(msgspec.structs.replace(old.public, not_after=START), new.public), root_threshold=1)
    for signers in ([old], [new]):
        with pytest.raises(NotVerified):
            open_change(seal(moved, TRUST, signers), trust, at=START + timedelta(seconds=1))
    with pytest.raises(NotVerified):
        open_change(seal(successor(trust), TRUST, [new]), trust, at=START)


def test_what_a_newer_trust_changes_is_told_from_both() -> None:
    """Keys added, cut and revoked, grants given and taken, policies and threshold: nothing is left out."""
    a, b, root = signer("person", "a"), signer("person", "b"), signer("root", "r")
    grant = Grant(person="a", role="owner", not_after=START + YEAR)
    trust = msgspec.structs.replace(first(a, root, signer("root", "s")), grants=(grant,), policies=("p",))
    other = Grant(person="b", role="security", not_after=START + YEAR)
    cut = msgspec.structs.replace(a.public, not_after=START + YEAR / 2)
    newer = successor(
        trust,
        keys=(cut, *trust.keys[1:], b.public),
        grants=(other,),
        policies=("q",),
        revoked=(a.keyid,),
        root_threshold=2,
    )
    check_successor(trust, newer)
    assert {each["what"] for each in changes(trust, newer)} == {
        "key-added",
        "key-cut",
        "key-revoked",
        "grant-added",
        "grant-removed",
        "policy-added",
        "policy-removed",
        "threshold",
    }
    assert changes(trust, successor(trust)) == []


def test_what_is_due_says_why() -> None:
    """By age, or because the window ends; what is retired or revoked is nobody's duty any more."""
    key: TrustedKey = signer("registry", "a").public
    short = msgspec.structs.replace(signer("train", "b").public, not_after=START + timedelta(days=20))
    trust = first()
    trust = msgspec.structs.replace(trust, keys=(key, short))
    assert [each.role for each, _ in due_keys(trust, START)] == ["train"]
    assert {each.role for each, _ in due_keys(trust, START + timedelta(days=95))} == {"registry"}
    revoked = msgspec.structs.replace(trust, revoked=(key.keyid, short.keyid))
    assert due_keys(revoked, START + timedelta(days=95)) == ()
