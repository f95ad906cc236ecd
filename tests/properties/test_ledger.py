"""The ledger against whoever edits, deletes, inserts, moves, cuts, forks or rewrites it."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.core.artifact import canonical
from holdfast.core.errors import InvalidInput, LedgerBroken, NotVerified
from holdfast.core.ledger import (
    GENESIS,
    MAX_CHECKPOINT,
    MAX_ENTRY,
    Checkpoint,
    Draft,
    Entry,
    SignedCheckpoint,
    audit,
    entry_hash,
    link,
    note_keyid,
    open_checkpoint,
    parse_entry,
    sign_checkpoint,
)
from holdfast.core.merkle import Tree, leaf_hash
from holdfast.testing.memory import MemorySigner

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SIGNER = MemorySigner("ledger", owner="ledger", start=NOW)
ORIGIN = "ledger.example"
Rows = list[tuple[bytes, str]]


def written(count: int, word: str = "entry", *, before: Rows | None = None) -> Rows:
    """A ledger of `count` entries on three streams, as an adapter stores it; it goes on where another one ends."""
    rows: Rows = list(before or [])
    heads: dict[str, tuple[int, str]] = {}
    for document, hashed in rows:
        entry = parse_entry(document)
        heads[entry.stream] = (entry.stream_position + 1, hashed)
    for position in range(len(rows), count):
        draft = Draft(kind="note", actor="test", stream=f"s{position * position % 3}", body={word: position})
        previous = rows[-1][1] if rows else GENESIS
        head = heads.get(draft.stream, (0, GENESIS))
        _, document = link(
            draft, position=position, previous=previous, head=head, now=NOW + timedelta(seconds=position)
        )
        rows.append((document, entry_hash(document)))
        heads[draft.stream] = (head[0] + 1, entry_hash(document))
    return rows


def witnessed(rows: Rows, size: int | None = None) -> Checkpoint:
    """What somebody elsewhere keeps of a ledger: its size and root."""
    size = len(rows) if size is None else size
    tree = Tree(leaf_hash(document) for document, _ in rows[:size])
    return Checkpoint(origin=ORIGIN, size=size, root=tree.root(), time=NOW)


def relinked(rows: Rows) -> Rows:
    """The same entries with positions, chain and streams made to fit: what a thorough forger would leave."""
    made: Rows = []
    heads: dict[str, tuple[int, str]] = {}
    for document, _ in rows:
        entry = parse_entry(document)
        head = heads.get(entry.stream, (0, GENESIS))
        previous = made[-1][1] if made else GENESIS
        draft = Draft(kind=entry.kind, actor=entry.actor, stream=entry.stream, body=entry.body)
        _, again = link(draft, position=len(made), previous=previous, head=head, now=entry.moment)
        made.append((again, entry_hash(again)))
        heads[entry.stream] = (head[0] + 1, entry_hash(again))
    return made


def broken(rows: Rows, *checkpoints: Checkpoint) -> str:
    """The place that an audit names."""
    with pytest.raises(LedgerBroken) as caught:
        audit(rows, checkpoints)
    return caught.value.place


def edited(rows: Rows, place: int, **changes: Any) -> Rows:
    """A ledger in which somebody changed one entry, its hash beside it included."""
    document = canonical(msgspec.structs.replace(parse_entry(rows[place][0]), **changes))
    return [*rows[:place], (document, entry_hash(document)), *rows[place + 1 :]]


ROWS = written(24)
places = st.integers(0, len(ROWS) - 1)


@given(count=st.integers(0, 24), sizes=st.lists(st.integers(0, 24), max_size=4))
def test_a_ledger_nobody_touched_is_found_whole(count: int, sizes: list[int]) -> None:
    """Size, root and head are reported, and how much of it an outside checkpoint has witnessed: no more than that."""
    rows = ROWS[:count]
    kept = [witnessed(rows, size) for size in sizes if size <= count]
    found = audit(rows, kept)
    tree = Tree(leaf_hash(document) for document, _ in rows)
    assert (found.size, found.root, found.head) == (count, tree.root(), rows[-1][1] if rows else GENESIS)
    assert found.anchored == (max((checkpoint.size for checkpoint in kept), default=0) or None)


@pytest.mark.guarantee("G06")
@given(place=places, byte=st.integers(min_value=0), bit=st.integers(0, 7))
def test_an_edited_entry_is_found_and_located(place: int, byte: int, bit: int) -> None:
    """One flipped bit of one entry: the audit names that entry."""
    document, hashed = ROWS[place]
    changed = bytearray(document)
    changed[byte % len(changed)] ^= 1 << bit
    assert broken([*ROWS[:place], (bytes(changed), hashed), *ROWS[place + 1 :]]) == f"entry {place}"


@pytest.mark.guarantee("G06")
@given(place=st.integers(0, len(ROWS) - 2))
def test_an_edit_with_its_hash_recomputed_is_found_at_the_next_entry(place: int) -> None:
    """Who also changes the stored hash breaks the chain, because the next entry names the old one."""
    assert broken(edited(ROWS, place, body={"edited": True})) == f"entry {place + 1}"


@pytest.mark.guarantee("G06")
def test_an_edit_of_the_last_entry_needs_a_checkpoint() -> None:
    """Nothing comes after the last entry: an outside checkpoint over it tells; one before it says how far all holds."""
    rows = edited(ROWS, len(ROWS) - 1, body={"edited": True})
    assert audit(rows).anchored is None
    assert audit(rows, [witnessed(ROWS, 20)]).anchored == 20
    assert broken(rows, witnessed(ROWS), witnessed(ROWS, 20)) == "entries 20 to 24"


@pytest.mark.guarantee("G06")
@given(start=places, count=st.integers(1, 5))
def test_deleted_entries_are_found_and_located(start: int, count: int) -> None:
    """Entries that are missing in the middle leave a gap at their place."""
    rest = ROWS[:start] + ROWS[start + count :]
    if start + count < len(ROWS):
        assert broken(rest) == f"entry {start}"
    else:  # at the end only an outside checkpoint knows
        assert broken(rest, witnessed(ROWS)) == f"entry {start}"


@pytest.mark.guarantee("G06")
@given(place=places, source=places)
def test_an_inserted_entry_is_found_and_located(place: int, source: int) -> None:
    """An old entry repeated, or a new one pushed in, stands at a number that is not its own."""
    again = [*ROWS[:place], ROWS[source], *ROWS[place:]]
    assert broken(again) in {f"entry {place}", f"entry {place + 1}"}
    forged = written(place + 1, "forged", before=ROWS[:place])[-1]
    assert broken([*ROWS[:place], forged, *ROWS[place:]]) == f"entry {place + 1}"


@pytest.mark.guarantee("G06")
@given(first=places, second=places)
def test_entries_in_another_order_are_found_and_located(first: int, second: int) -> None:
    """Two entries that changed places are found at the first of them."""
    rows = list(ROWS)
    rows[first], rows[second] = rows[second], rows[first]
    if first != second:
        assert broken(rows) == f"entry {min(first, second)}"


@pytest.mark.guarantee("G06")
@given(size=st.integers(0, len(ROWS) - 1), kept=st.integers(1, len(ROWS)))
def test_a_cut_off_end_is_found_where_a_checkpoint_was_kept(size: int, kept: int) -> None:
    """Without a checkpoint a shortened ledger is merely unanchored; with one over the lost entries it is broken."""
    rows = ROWS[:size]
    assert audit(rows).anchored is None
    if kept > size:
        assert broken(rows, witnessed(ROWS, kept)) == f"entry {size}"
    else:
        assert audit(rows, [witnessed(ROWS, kept)]).anchored == kept


@pytest.mark.guarantee("G06")
@given(place=places, kept=st.lists(st.integers(1, len(ROWS)), min_size=1, max_size=3))
def test_a_rewritten_history_is_located_between_two_checkpoints(place: int, kept: list[int]) -> None:
    """A forger who makes every hash fit again is caught by a checkpoint kept elsewhere, after the one before it."""
    rows = relinked(edited(ROWS, place, body={"rewritten": True}))
    assert audit(rows).anchored is None
    checkpoints = [witnessed(ROWS, size) for size in kept]
    above = [size for size in kept if size > place]
    if above:
        below = max((size for size in kept if size <= place), default=0)
        assert broken(rows, *checkpoints) == f"entries {below} to {min(above)}"
    else:
        assert audit(rows, checkpoints).anchored == max(kept)


@pytest.mark.guarantee("G06")
@given(base=st.integers(0, 20), more=st.integers(1, 4))
def test_a_fork_is_found_by_comparing_what_two_witnesses_were_shown(base: int, more: int) -> None:
    """One history for one witness and another for the next: no ledger fits both, also where they are of one size."""
    one = written(base + more, "one", before=ROWS[:base])
    other = written(base + more, "other", before=ROWS[:base])
    shown = [witnessed(one), witnessed(other)]
    assert broken(one, *shown) == broken(other, *shown) == f"entries 0 to {base + more}"
    assert audit(one, shown[:1]).anchored == audit(other, shown[1:]).anchored == base + more


@given(place=places)
def test_a_stream_with_a_gap_is_found_and_located(place: int) -> None:
    """An entry that leaves out its stream's newest one is refused, also where the chain of all entries fits."""
    entry = parse_entry(ROWS[place][0])
    for wrong in (
        {"stream_position": entry.stream_position + 1},
        {"stream_previous": "f" * 64},
        {"stream": "elsewhere"},
    ):
        if wrong.get("stream") and entry.stream_position == 0:
            continue  # the first of one stream could as well be the first of another
        assert broken(edited(ROWS, place, **wrong)) == f"entry {place}"


@given(place=places, size=st.integers(1, 24))
def test_the_chain_and_the_position_are_checked_by_themselves(place: int, size: int) -> None:
    """Either of the two would be enough to find most changes; both are looked at."""
    assert broken(edited(ROWS, place, position=place + size)) == f"entry {place}"
    assert broken(edited(ROWS, place, previous="e" * 64)) == f"entry {place}"


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"null",
        b"\xff",
        b"{}",
        b"[" * 60_000,
        b'{"body":' * 8_000,
        b" " * (MAX_ENTRY + 1),
        canonical(msgspec.structs.replace(parse_entry(ROWS[0][0]), time="yesterday")),
        canonical(msgspec.structs.replace(parse_entry(ROWS[0][0]), time="2030-01-01T00:00:00.000000")),
        canonical(msgspec.structs.replace(parse_entry(ROWS[0][0]), time="2030-01-01T00:00:00.000000+01:00")),
        canonical(json.loads(ROWS[0][0]) | {"extra": 1}),
        canonical(json.loads(ROWS[0][0]) | {"position": "0"}),
        ROWS[0][0].replace(b'"test"', b'"te\xffst"'),
    ],
    ids=lambda document: repr(document[:20]),
)
def test_a_planted_row_is_found_and_located(document: bytes) -> None:
    """Rows that are no entries, and times without zone, break the ledger at their place and nothing else."""
    assert broken([(document, entry_hash(document)), *ROWS[1:]]) == "entry 0"


@given(place=places, offset=st.integers(-23, 23))
def test_an_entry_reads_back_as_it_was_linked(place: int, offset: int) -> None:
    """The document is canonical, its time is UTC whatever zone the clock spoke, and its hash is its bytes'."""
    zone = timezone(timedelta(hours=offset))
    draft = Draft(kind="k", actor="a", stream="s", body={"n": place})
    entry, document = link(draft, position=place, previous=GENESIS, head=(0, GENESIS), now=NOW.astimezone(zone))
    assert parse_entry(document) == entry
    assert (entry.document, entry.moment, entry.moment.utcoffset()) == (document, NOW, timedelta())
    assert isinstance(entry, Entry)


@pytest.mark.parametrize("body", [{"a": float("nan")}, {"a": 2**60}, {"a": "\ud800"}, {"a": "x" * MAX_ENTRY}], ids=str)
def test_what_cannot_be_hashed_by_others_is_not_recorded(body: dict[str, Any]) -> None:
    """A body without canonical form, or one that belongs into a blob, is refused before it is written."""
    with pytest.raises(InvalidInput):
        link(
            Draft(kind="k", actor="a", stream="s", body=body), position=0, previous=GENESIS, head=(0, GENESIS), now=NOW
        )


# Checkpoints


def signed(checkpoint: Checkpoint) -> SignedCheckpoint:
    """A checkpoint as the ledger signs it."""
    return sign_checkpoint(checkpoint, public_key=SIGNER.raw(), signature=SIGNER.sign(checkpoint.body))


NOTE = signed(witnessed(ROWS)).note


def opened(note: bytes) -> Checkpoint:
    """A note as somebody elsewhere opens it."""
    return open_checkpoint(SignedCheckpoint(note=note), origin=ORIGIN, public_key=SIGNER.raw())


@given(size=st.integers(0, 2**53), root=st.binary(min_size=32, max_size=32), time=st.datetimes(timezones=st.just(UTC)))
def test_a_checkpoint_opens_as_it_was_signed(size: int, root: bytes, time: datetime) -> None:
    """Origin, size, root and time come out of the signed note as they went in."""
    checkpoint = Checkpoint(origin=ORIGIN, size=size, root=root, time=time)
    assert opened(signed(checkpoint).note) == checkpoint
    assert Checkpoint.size_of(signed(checkpoint)) == size


@pytest.mark.guarantee("G06")
@given(where=st.integers(0, len(NOTE) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_of_a_checkpoint_is_refused(where: int, bit: int) -> None:
    """Text, name, key hash and signature: no bit of a note is without meaning."""
    changed = bytearray(NOTE)
    changed[where] ^= 1 << bit
    with pytest.raises(NotVerified):
        opened(bytes(changed))


@given(start=st.integers(0, len(NOTE)), length=st.integers(1, 40))
def test_a_checkpoint_with_a_piece_cut_out_is_refused(start: int, length: int) -> None:
    """A shortened note is another note; only the newline after its last line means nothing."""
    changed = NOTE[:start] + NOTE[start + length :]
    if changed not in {NOTE, NOTE[:-1]}:
        with pytest.raises(NotVerified):
            opened(changed)


def test_a_checkpoint_of_another_key_or_ledger_is_refused() -> None:
    """A note is opened with the key and the name that were pinned, not with those it carries."""
    other = MemorySigner("ledger", owner="mallory", start=NOW)
    with pytest.raises(NotVerified, match="not signed by this key"):
        open_checkpoint(SignedCheckpoint(note=NOTE), origin=ORIGIN, public_key=other.raw())
    with pytest.raises(NotVerified, match="not signed by this key"):
        open_checkpoint(SignedCheckpoint(note=NOTE), origin="another.example", public_key=SIGNER.raw())


def test_a_checkpoint_under_another_ledgers_name_is_refused() -> None:
    """The key signs for one ledger: a text that begins with another name is refused although the signature is good."""
    foreign = Checkpoint(origin="other.example", size=1, root=bytes(32), time=NOW)
    blob = base64.b64encode(note_keyid(ORIGIN, SIGNER.raw()) + SIGNER.sign(foreign.body)).decode()
    with pytest.raises(NotVerified, match="canonical form"):
        opened(foreign.body + f"\n\u2014 {ORIGIN} {blob}\n".encode())


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n-1\n{base64.b64encode(bytes(32)).decode()}\ntime 2030-01-01T00:00:00.000000+00:00\n",
        f"{ORIGIN}\n01\n{base64.b64encode(bytes(32)).decode()}\ntime 2030-01-01T00:00:00.000000+00:00\n",
        f"{ORIGIN}\n1\n{base64.b64encode(bytes(31)).decode()}\ntime 2030-01-01T00:00:00.000000+00:00\n",
        f"{ORIGIN}\n1\n\ntime 2030-01-01T00:00:00.000000+00:00\n",
        f"{ORIGIN}\n1\n{base64.b64encode(bytes(32)).decode()}\ntime 2030-01-01T00:00:00.000000\n",
        f"{ORIGIN}\n1\n{base64.b64encode(bytes(32)).decode()}\ntime tomorrow\n",
        f"{ORIGIN}\n1\n{base64.b64encode(bytes(32)).decode()}\n",
        f"{ORIGIN}\n1\n{base64.b64encode(bytes(32)).decode()}\ntime 2030-01-01T00:00:00.000000+00:00\nmore\n",
        f"{ORIGIN}\none\n{base64.b64encode(bytes(32)).decode()}\ntime 2030-01-01T00:00:00.000000+00:00\n",
        "",
    ],
    ids=[
        "below zero",
        "zeros",
        "short root",
        "no root",
        "no zone",
        "no time",
        "no line",
        "a line more",
        "words",
        "empty",
    ],
)
def test_a_signed_text_that_is_no_checkpoint_is_refused(text: str) -> None:
    """What the ledger's key was made to sign is still read strictly: one form for one state."""
    blob = base64.b64encode(note_keyid(ORIGIN, SIGNER.raw()) + SIGNER.sign(text.encode())).decode()
    with pytest.raises(NotVerified):
        opened(text.encode() + f"\n\u2014 {ORIGIN} {blob}\n".encode())


def test_a_note_beyond_its_limit_is_refused_unread() -> None:
    """A checkpoint is a few lines; nobody has to hash megabytes to find out."""
    with pytest.raises(NotVerified, match="not a signed note"):
        opened(b"x" * MAX_CHECKPOINT + NOTE)


def test_a_note_without_size_states_none() -> None:
    """Even the unverified size of a note is read in words."""
    for note in (b"", b"origin", b"origin\nmany\n"):
        with pytest.raises(NotVerified, match="states no size"):
            Checkpoint.size_of(SignedCheckpoint(note=note))
