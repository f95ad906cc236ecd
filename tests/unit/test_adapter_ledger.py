"""The ledger in a database: what is appended is what is read, once, in order, or not at all."""

import threading
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, event, select, update
from tests.unit.adapter_kit import MemorySigner, history, named, note, open_ledger, opened, pointed, recorded

from holdfast.adapters import group_commit
from holdfast.adapters.database import checkpoints, entries, nonces, open_database, pointers, reading, streams, writing
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.errors import Conflict, InvalidInput, LedgerBroken, NotFound, Refused, Unavailable
from holdfast.core.ledger import GENESIS, Draft, Entry, Heads, entry_hash
from holdfast.core.merkle import leaf_hash, verify_consistency, verify_inclusion
from holdfast.core.passport import FILED, RECORDED
from holdfast.core.ports import Ledger
from holdfast.testing import SettableClock

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
BODIES = st.dictionaries(st.sampled_from(["text", "n", "x"]), JSON, max_size=3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the ledger lies."""
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> SqlLedger:
    """An empty ledger."""
    return open_ledger(path)


def rows(ledger: SqlLedger) -> int:
    """How many entries the table holds, counted without the adapter's help."""
    with reading(ledger._engine) as connection:
        return len(connection.execute(select(entries.c.position)).all())


@settings(max_examples=25)
@given(groups=st.lists(st.lists(st.tuples(st.sampled_from("abc"), BODIES), min_size=1, max_size=4), max_size=6))
def test_what_is_appended_is_what_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, groups: list[list[tuple[str, dict[str, Any]]]]
) -> None:
    """In the order of appending, in the same words, whole and by stream; and the whole verifies."""
    ledger = open_ledger(tmp_path_factory.mktemp("ledger") / "ledger.db")
    appended: list[Entry] = []
    for group in groups:
        drafts = [Draft(kind="note", actor="ada", stream=stream, body=body) for stream, body in group]
        appended += ledger.append(drafts)
    again: Ledger = open_ledger(Path(str(ledger._engine.url.database)))
    assert list(again.entries()) == appended
    assert [entry.position for entry in appended] == list(range(len(appended)))
    for stream in "abc":
        assert list(again.stream(stream)) == [entry for entry in appended if entry.stream == stream]
    assert again.size() == len(appended) == ledger.verify().size


@pytest.mark.requirement("REG-09", by="holdfast.core.ledger:link")
def test_each_entry_says_who_did_what_to_what_and_when(path: Path) -> None:
    """Identity, action, object and time are in the hashed bytes, and none of them may be left out."""
    clock = SettableClock()
    ledger = open_ledger(path, clock)
    ledger.append([note("first")])
    clock.advance(timedelta(seconds=5))
    (entry,) = ledger.append([Draft(kind="model.approved", actor="ada", stream="model/credit", body={})])
    said = msgspec.json.decode(entry.document)
    assert (said["actor"], said["kind"], said["stream"]) == ("ada", "model.approved", "model/credit")
    assert datetime.fromisoformat(said["time"]) == clock.now()
    for part in ("actor", "kind", "stream"):
        nameless = msgspec.structs.replace(note("x"), **{part: ""})
        with pytest.raises(InvalidInput, match=part):
            ledger.append([nameless])


def test_entries_are_chained_as_a_whole_and_within_their_stream(ledger: SqlLedger) -> None:
    """Each names the hash of the one before it, and of the one before it in its stream."""
    first, second, third = ledger.append([note("1", "a"), note("2", "b"), note("3", "a")])
    assert (first.previous, first.stream_previous) == (GENESIS, GENESIS)
    assert (second.previous, second.stream_previous) == (entry_hash(first.document), GENESIS)
    assert (third.previous, third.stream_previous) == (entry_hash(second.document), entry_hash(first.document))
    assert ledger.heads(["a", "b", "c"]) == {
        "a": (2, entry_hash(third.document)),
        "b": (1, entry_hash(second.document)),
        "c": (0, GENESIS),
    }


def test_entries_can_be_read_from_anywhere_to_anywhere(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """By position, the end excluded, over as many pages as it takes."""
    monkeypatch.setattr("holdfast.adapters.ledger.PAGE", 3)
    appended = ledger.append([note(str(n)) for n in range(10)])
    for start in range(12):
        for stop in (None, *range(12)):
            assert tuple(ledger.entries(start, stop)) == appended[start:stop]


@pytest.mark.parametrize("moved", ["another stream", "the same stream"])
def test_a_decision_on_old_heads_changes_nothing(ledger: SqlLedger, moved: str) -> None:
    """Compare and swap: a head that has moved since is a conflict that names the stream; then nothing was written."""
    ledger.append([note("base", "a"), note("base", "b")])
    heads = ledger.heads(["a", "b"])
    ledger.append([note("meanwhile", "b" if moved == "another stream" else "a")])
    before = rows(ledger)
    with pytest.raises(Conflict, match=f"stream {'b' if moved == 'another stream' else 'a'}"):
        ledger.append([note("mine", "a")], expect=heads)
    assert rows(ledger) == before
    ledger.append([note("mine", "a")], expect=ledger.heads(["a", "b"]))
    assert rows(ledger) == before + 1


def test_a_stream_nobody_wrote_to_can_be_expected(ledger: SqlLedger) -> None:
    """To be the first is a decision too: the second who relies on it is told."""
    expect: Heads = {"a": (0, GENESIS)}
    ledger.append([note("first", "a")], expect=expect)
    with pytest.raises(Conflict):
        ledger.append([note("second", "a")], expect=expect)


def test_of_many_who_decided_on_the_same_heads_one_wins(path: Path) -> None:
    """Threads of two openings of one file: one append, fifteen conflicts."""
    ledgers = [open_ledger(path), open_ledger(path)]
    heads = ledgers[0].heads(["a"])
    outcomes: list[str] = []

    def attempt(number: int) -> None:
        try:
            ledgers[number % 2].append([note(str(number), "a")], expect=heads)
            outcomes.append("won")
        except Conflict:
            outcomes.append("lost")

    run_together([threading.Thread(target=attempt, args=(number,)) for number in range(16)])
    assert sorted(outcomes) == ["lost"] * 15 + ["won"]
    assert rows(ledgers[0]) == 1


def test_a_permit_is_used_once(ledger: SqlLedger) -> None:
    """Its nonce is spent in the transaction that rests on it: again is refused, and a conflict does not spend it."""
    heads = ledger.heads(["a"])
    ledger.append([note("moved on", "a")])
    with pytest.raises(Conflict):
        ledger.append([note("x", "a")], expect=heads, consume_nonce="n1")
    ledger.append([note("x", "a")], consume_nonce="n1")
    before = rows(ledger)
    for again in (ledger, open_ledger(Path(str(ledger._engine.url.database)))):
        with pytest.raises(Refused, match="used before"):
            again.append([note("x", "a")], consume_nonce="n1")
    assert rows(ledger) == before
    ledger.append([note("x", "a")], consume_nonce="n2")


BAD_BODIES = {
    "NaN": {"x": float("nan")},
    "too large a number": {"x": 2**60},
    "half a character": {"x": "\ud800"},
    "too long": {"x": "x" * 70_000},
    "an object that is no JSON": {"x": object()},
    "a pointer that is no object": {"pointer": "release"},
    "a pointer without name": {"pointer": {"digest": named("x")}},
    "a pointer to no digest": {"pointer": {"name": "x", "digest": "latest"}},
}


@pytest.mark.parametrize("body", BAD_BODIES.values(), ids=BAD_BODIES.keys())
def test_what_cannot_be_recorded_is_refused_and_the_rest_of_the_group_with_it(ledger: SqlLedger, body: Any) -> None:
    """One request is one unit: its good entries are not written either, and the ledger goes on."""
    with pytest.raises(InvalidInput):
        ledger.append([note("good"), Draft(kind="note", actor="ada", stream="s", body=body)])
    assert rows(ledger) == 0
    ledger.append([note("good")])
    assert ledger.verify().size == 1


def test_a_body_nested_without_end_is_refused(ledger: SqlLedger) -> None:
    """An error, no crash of the writer."""
    body: dict[str, Any] = {}
    for _ in range(5000):
        body = {"x": body}
    with pytest.raises(InvalidInput):
        ledger.append([Draft(kind="note", actor="ada", stream="s", body=body)])


BAD_EVENTS = [
    (RECORDED, named("x"), {"kind": "model", "size": 1}),
    (RECORDED, named("x"), {"kind": "model", "size": 1, "parents": ["x"]}),
    (RECORDED, named("x"), {"kind": "model", "size": -1, "parents": []}),
    (RECORDED, named("x"), {"kind": "model", "size": True, "parents": []}),
    (RECORDED, named("x"), {"kind": "virus", "size": 1, "parents": []}),
    (RECORDED, "not a digest", {"kind": "model", "size": 1, "parents": []}),
    (RECORDED, named("x"), {"kind": "model", "size": 1, "parents": [{"kind": "model", "digest": "x"}]}),
    (FILED, named("x"), {"control": "a.b/1", "run": "r"}),
    (FILED, named("x"), {"control": "", "run": "r", "envelope": named("e")}),
    (FILED, named("x"), {"control": "a.b/1", "run": "r\x00", "envelope": named("e")}),
]


@pytest.mark.parametrize(("kind", "stream", "body"), BAD_EVENTS)
def test_an_event_that_later_readers_would_stumble_over_is_refused(
    ledger: SqlLedger, kind: str, stream: str, body: dict[str, Any]
) -> None:
    """History cannot be corrected, so a malformed event of a known kind does not become history."""
    with pytest.raises(InvalidInput):
        ledger.append([Draft(kind=kind, actor="ada", stream=stream, body=body)])
    assert rows(ledger) == 0


@pytest.mark.parametrize("text", ["", "x" * 513, "line\nbreak", "nul\x00", "\ud800", "zero\u200bwidth"])
@pytest.mark.parametrize("part", ["kind", "actor", "stream"])
def test_names_that_cannot_be_seen_or_stored_are_refused(ledger: SqlLedger, part: str, text: str) -> None:
    """What PostgreSQL cannot store or a reader cannot see names nobody and nothing."""
    with pytest.raises(InvalidInput, match=part):
        ledger.append([msgspec.structs.replace(note("x"), **{part: text})])


def test_nothing_and_too_much_are_not_appended(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty means no; and one caller cannot hold all others up for minutes."""
    with pytest.raises(InvalidInput, match="nothing to append"):
        ledger.append([])
    monkeypatch.setattr(group_commit, "MAX_GROUP", 3)
    with pytest.raises(InvalidInput, match="4 entries"):
        ledger.append([note("x")] * 4)


def run_together(threads: list[threading.Thread]) -> None:
    """Starts all and waits for all."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def wait_for(condition: Any) -> None:
    """Waits until something is so that will be so soon."""
    while not condition():
        time.sleep(0.001)


def held_up(
    ledger: SqlLedger,
    wishes: list[list[Draft]],
    errors: list[BaseException],
    nonces: list[str | None] | None = None,
) -> int:
    """Appends each wish from a thread of its own while the database is held; returns how many transactions it took."""
    commits: list[int] = []

    def attempt(wish: list[Draft], nonce: str | None) -> None:
        try:
            ledger.append(wish, consume_nonce=nonce)
        except BaseException as error:  # noqa: BLE001 - an interrupt is an outcome too
            errors.append(error)

    each = zip(wishes, nonces or [None] * len(wishes), strict=True)
    threads = [threading.Thread(target=attempt, args=pair) for pair in each]
    with writing(ledger._engine):
        threads[0].start()
        wait_for(lambda: ledger._commits._writing)
        for thread in threads[1:]:
            thread.start()
        wait_for(lambda: len(ledger._commits._waiting) == len(threads) - 1)
        event.listen(ledger._engine, "commit", lambda _: commits.append(1))
    for thread in threads:
        thread.join()
    return len(commits) - 1  # that of this function's own block


def test_callers_that_wait_are_written_in_one_transaction(ledger: SqlLedger) -> None:
    """Twenty callers: the one who came first, and then all others together."""
    errors: list[BaseException] = []
    assert held_up(ledger, [[note(str(n))] for n in range(20)], errors) == 2
    assert not errors
    assert sorted(entry.body["text"] for entry in ledger.entries()) == sorted(str(n) for n in range(20))
    assert ledger.verify().size == 20


def test_one_bad_request_does_not_take_its_neighbours_down(ledger: SqlLedger) -> None:
    """Requests that share a transaction are refused one by one."""
    bad = [note("a good entry of a bad request"), Draft(kind="note", actor="ada", stream="notes", body={"x": 2**60})]
    errors: list[BaseException] = []
    assert held_up(ledger, [[note("1")], [note("2")], bad, [note("3")], bad, [note("4")]], errors) == 2
    assert [type(error) for error in errors] == [InvalidInput] * 2
    assert sorted(entry.body["text"] for entry in ledger.entries()) == ["1", "2", "3", "4"]
    assert ledger.verify().size == 4


def test_a_permit_used_by_several_callers_of_one_transaction_is_used_once(ledger: SqlLedger) -> None:
    """The first of them keeps what it did, each of the others is refused, and their neighbours are not harmed."""
    errors: list[BaseException] = []
    wishes = [[note("first, alone")], *[[note("rests on a permit", "s")]] * 4, [note("neighbour")]]
    assert held_up(ledger, wishes, errors, nonces=[None, "n", "n", "n", "n", "another"]) == 2
    assert [type(error) for error in errors] == [Refused] * 3
    assert (len(ledger.stream("s")), len(ledger.stream("notes"))) == (1, 2)


def test_a_group_is_limited_and_the_rest_follows(ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is forgotten when more wait than one transaction takes."""
    monkeypatch.setattr(group_commit, "MAX_GROUP", 4)
    errors: list[BaseException] = []
    assert held_up(ledger, [[note(str(n))] for n in range(11)], errors) == 4  # 1 + 4 + 4 + 2
    assert not errors
    assert ledger.verify().size == 11


def test_a_database_that_fails_fails_every_waiting_caller_and_none_later(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each caller learns that nothing was written; when the disk is back, so is the ledger."""

    def full(self: object, connection: object) -> None:
        raise Unavailable("the disk is full")

    errors: list[BaseException] = []
    with monkeypatch.context() as broken:
        broken.setattr(group_commit._Group, "write", full)
        held_up(ledger, [[note(str(n))] for n in range(5)], errors)
    assert [str(error) for error in errors] == [str(Unavailable("the disk is full"))] * 5
    assert rows(ledger) == 0
    ledger.append([note("back")])


def test_an_interrupt_hits_one_caller_and_is_told_to_the_others(
    ledger: SqlLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those it did not hit are not left waiting, and not told that their entries are safe."""

    def interrupted(self: object, connection: object) -> None:
        raise KeyboardInterrupt

    errors: list[BaseException] = []
    with monkeypatch.context() as broken:
        broken.setattr(group_commit._Group, "write", interrupted)
        held_up(ledger, [[note(str(n))] for n in range(5)], errors)
    hit = [error for error in errors if isinstance(error, KeyboardInterrupt)]
    assert len(hit) == 2  # who wrote the first group, and who wrote the second
    assert [type(error) for error in errors if error not in hit] == [Unavailable] * 3
    assert rows(ledger) == 0
    ledger.append([note("back")])


def test_a_clock_that_is_set_back_does_not_set_back_witnessed_time(path: Path) -> None:
    """News is never older than what came before it: nobody brings an expired key's window back by setting a clock."""
    clock = SettableClock()
    ledger = open_ledger(path, clock)
    ledger.append([note("later")])
    clock.advance(timedelta(days=-1))
    ledger.append([note("earlier")])
    first, second = ledger.entries()
    assert second.time == first.time
    assert ledger.verify().size == 2


@settings(max_examples=20)
@given(sizes=st.lists(st.integers(1, 7), min_size=1, max_size=6))
def test_every_entry_is_proved_in_every_later_tree_and_every_tree_in_every_later_one(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int]
) -> None:
    """Against roots that were signed on the way, by checks that need nothing but the proofs."""
    ledger = open_ledger(tmp_path_factory.mktemp("ledger") / "ledger.db")
    signed, documents = [], list[bytes]()
    for size in sizes:
        documents += [entry.document for entry in ledger.append([note(str(n)) for n in range(size)])]
        signed.append(opened(ledger.checkpoint()))
    for newer in signed:
        assert newer.root == (ledger.root() if newer is signed[-1] else newer.root)
        for position in range(newer.size):
            path = ledger.inclusion(position, newer.size)
            verify_inclusion(leaf_hash(documents[position]), position, newer.size, path, newer.root)
        for older in signed:
            if older.size <= newer.size:
                proof = ledger.consistency(older.size, newer.size)
                verify_consistency(older.size, newer.size, proof, older.root, newer.root)


def test_a_proof_about_entries_that_are_not_there_is_not_found(ledger: SqlLedger) -> None:
    """An error with a code, not an index out of range."""
    ledger.append([note("x")])
    for attempt in (lambda: ledger.inclusion(1, 1), lambda: ledger.inclusion(0, 2), lambda: ledger.inclusion(-1, 1)):
        with pytest.raises(NotFound):
            attempt()
    for attempt in (lambda: ledger.consistency(0, 2), lambda: ledger.consistency(2, 1)):
        with pytest.raises(NotFound):
            attempt()


def test_two_openings_of_one_file_grow_the_same_tree(path: Path) -> None:
    """What the other one appended is in the root, whoever asks."""
    one, two = open_ledger(path), open_ledger(path)
    for number in range(5):
        (one, two)[number % 2].append([note(str(number))])
        assert one.root() == two.root()
    assert opened(one.checkpoint()).root == opened(two.checkpoint()).root


def test_a_checkpoint_of_the_same_size_replaces_the_older_one(path: Path) -> None:
    """It says the same of a later moment."""
    clock = SettableClock()
    ledger = open_ledger(path, clock)
    ledger.append([note("x")])
    ledger.checkpoint()
    clock.advance(timedelta(hours=1))
    newer = ledger.checkpoint()
    assert ledger.checkpoints() == (newer,)
    assert opened(newer).time == clock.now()


def test_only_checkpoints_from_elsewhere_anchor_the_ledger(ledger: SqlLedger) -> None:
    """Those kept beside it are held against it, but could have been replaced together with it."""
    ledger.append([note("x")])
    first = opened(ledger.checkpoint())
    ledger.append([note("y")])
    ledger.checkpoint()
    assert ledger.verify().anchored is None
    assert ledger.verify([first]).anchored == 1
    assert ledger.verify([first]).root == ledger.root()


def test_an_empty_ledger_verifies_and_is_not_anchored_by_an_empty_checkpoint(ledger: SqlLedger) -> None:
    """Nothing is proved by a promise about nothing."""
    empty = opened(ledger.checkpoint())
    assert ledger.verify([empty]).anchored is None
    assert ledger.verify([empty]).size == 0


def test_checkpoints_of_a_former_key_still_count(path: Path) -> None:
    """After the ledger's key was replaced, what the old one signed is held against the ledger all the same."""
    ledger = open_ledger(path, key="old")
    ledger.append([note("x")])
    ledger.checkpoint()
    with pytest.raises(LedgerBroken, match="checkpoint 1"):
        open_ledger(path, key="new").verify()
    renewed = open_ledger(path, key="new", former="old")
    renewed.append([note("y")])
    renewed.checkpoint()
    assert renewed.verify().size == 2


def test_a_changed_checkpoint_is_found(ledger: SqlLedger) -> None:
    """By its place, whatever it was changed to."""
    ledger.append([note("x")])
    good = ledger.checkpoint().note
    for bad in (good.replace(b"\n1\n", b"\n2\n", 1), b"", good[:-10], "text"):
        with writing(ledger._engine) as connection:
            connection.exec_driver_sql("UPDATE checkpoints SET note = ?", (bad,))
        for attempt in (ledger.verify, ledger.checkpoint):
            with pytest.raises(LedgerBroken, match="checkpoint 1"):
                attempt()


def test_history_that_contradicts_the_last_checkpoint_is_not_signed(path: Path) -> None:
    """A rewritten ledger, consistent in itself, gets no signature of ours as long as the checkpoint is there."""
    ledger = open_ledger(path)
    ledger.append([note("truth")])
    ledger.checkpoint()
    ledger.close()
    forged = open_ledger(path.with_name("forged.db"))
    forged.append([note("lie"), note("lie")])
    with reading(forged._engine) as source, writing(ledger._engine) as target:
        target.execute(delete(entries))
        target.execute(delete(streams))
        for table in (entries, streams):
            target.execute(table.insert(), [row._asdict() for row in source.execute(select(table))])
    with pytest.raises(LedgerBroken, match="entries 0 to 1"):
        open_ledger(path).checkpoint()
    with pytest.raises(LedgerBroken, match="entries 0 to 1"):
        open_ledger(path).verify()


def test_entries_that_vanish_under_an_open_ledger_are_noticed(ledger: SqlLedger) -> None:
    """The next root is refused: this process has seen more."""
    ledger.append([note("x"), note("y")])
    ledger.root()
    with writing(ledger._engine) as connection:
        connection.execute(delete(entries).where(entries.c.position == 1))
    with pytest.raises(LedgerBroken, match="gone"):
        ledger.root()


def test_reading_believes_no_changed_entry(ledger: SqlLedger) -> None:
    """Not only the audit: every way of reading an entry checks it."""
    ledger.append(history())
    with writing(ledger._engine) as connection:
        connection.execute(update(entries).where(entries.c.position == 7).values(actor="eve"))
    for attempt in (lambda: ledger.stream("notes"), lambda: list(ledger.entries()), ledger.root, ledger.rebuild):
        with pytest.raises(LedgerBroken, match="entry 7"):
            attempt()


def test_a_stream_whose_end_was_cut_off_is_not_read_as_whole(ledger: SqlLedger) -> None:
    """A revocation cannot be hidden by deleting it, nor by moving it to another stream."""
    ledger.append([note("good", "a"), note("revoked", "a"), note("other", "b")])
    for change in (
        update(entries).where(entries.c.position == 1).values(stream="c"),
        delete(entries).where(entries.c.position == 1),
    ):
        with writing(ledger._engine) as connection:
            connection.execute(change)
        with pytest.raises(LedgerBroken, match="stream a"):
            ledger.stream("a")
    with pytest.raises(LedgerBroken, match="entry 1: the next entries are missing"):
        list(ledger.entries())


def test_a_row_that_hides_the_newest_entries_of_a_stream_does_not_make_room_for_others(ledger: SqlLedger) -> None:
    """Heads rolled back to an older, genuine entry: the append fails instead of forking the stream."""
    first, *_ = ledger.append([note("1", "a"), note("2", "a"), note("3", "a")])
    with writing(ledger._engine) as connection:
        connection.execute(update(streams).values(length=1, head=entry_hash(first.document)))
    with pytest.raises(LedgerBroken, match="contradict"):
        ledger.append([note("fork", "a")], expect={"a": (1, entry_hash(first.document))})
    with writing(ledger._engine) as connection:
        connection.execute(delete(streams))
    with pytest.raises(LedgerBroken, match="contradict"):
        ledger.append([note("fork", "a")], expect={"a": (0, GENESIS)})
    assert ledger.rebuild().differed == ("streams",)
    ledger.append([note("4", "a")])
    assert ledger.verify().size == 4


def test_a_pointer_is_where_it_was_moved_last(ledger: SqlLedger) -> None:
    """Moved, moved back, and let go."""
    assert ledger.pointer("production") is None
    for to in ("one", "two", "one"):
        ledger.append([pointed("production", to)])
        assert ledger.pointer("production") == named(to)
    ledger.append([pointed("production", "")])
    assert ledger.pointer("production") is None


def test_operational_tables_are_not_history(ledger: SqlLedger) -> None:
    """Spent nonces are no projection: rebuilding leaves them, so that a permit stays used."""
    ledger.append([recorded("x")], consume_nonce="n")
    with writing(ledger._engine) as connection:
        connection.execute(update(pointers).values(digest="x"))
    ledger.rebuild()
    with reading(ledger._engine) as connection:
        assert connection.execute(select(nonces.c.nonce)).scalars().all() == ["n"]
        assert connection.execute(select(checkpoints)).all() == []


def test_the_signer_is_asked_for_checkpoints_only(path: Path) -> None:
    """Appending, reading and verifying need the public half alone, so they work while the keys are locked."""

    class Locked(MemorySigner):
        def sign(self, message: bytes) -> bytes:
            raise Unavailable("the key store is locked")

    engine = open_database(path)
    ledger = SqlLedger(engine, clock=SettableClock(), signer=Locked(), origin="o")
    ledger.append([note("x")])
    assert ledger.verify().size == len(ledger.stream("notes")) == 1
    with pytest.raises(Unavailable, match="locked"):
        ledger.checkpoint()
    assert ledger.checkpoints() == ()
