"""A witness remembers what it has cosigned, and refuses whatever does not extend it."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.adapter_kit import ORIGIN, MemorySigner, history, note, open_ledger

from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.witness import SEEN, WitnessFolder, create_witness
from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified
from holdfast.core.trust import raw_ed25519
from holdfast.core.witness import (
    LOG,
    Declined,
    NoteKey,
    Witnessing,
    check_quorum,
    open_cosignature,
    parse_note_key,
)
from holdfast.testing.clock import SettableClock

KEY = NoteKey(name=ORIGIN, sort=LOG, public=raw_ed25519(MemorySigner("ledger").public))


@dataclass
class Pair:
    """A log and a witness that knows it."""

    folder: Path
    ledger: SqlLedger
    witness: WitnessFolder
    notes: list[bytes] = field(default_factory=list)

    def asked(self, old: int, ledger: SqlLedger | None = None) -> bytes | Declined:
        log = ledger or self.ledger
        signed = log.checkpoint().note
        self.notes.append(signed)
        size = log.size()
        proof = log.consistency(old, size) if old <= size else ()
        return self.witness.answer(Witnessing(old=old, proof=proof, note=signed).document)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """A ledger with a short history, and a witness that was told of its key."""
    ledger = open_ledger(tmp_path / "ledger.db")
    ledger.append(history())
    clock = SettableClock(datetime(2026, 11, 26, tzinfo=UTC))
    witness = create_witness(tmp_path / "witness", "example.org/w1", clock)
    witness.know(KEY)
    return Pair(folder=tmp_path, ledger=ledger, witness=witness)


def declined(answer: bytes | Declined) -> Declined:
    """The refusal that an answer is."""
    assert isinstance(answer, Declined), answer
    return answer


def test_a_log_that_only_grows_is_cosigned_each_time(pair: Pair) -> None:
    """From nothing, from where it was, and again at the same size; the cosignature opens with the witness's key."""
    old = 0
    for number in range(3):
        line = pair.asked(old)
        assert isinstance(line, bytes)
        said = open_cosignature(pair.notes[-1] + line, pair.witness.key)
        assert (said.witness, said.time) == ("example.org/w1", datetime(2026, 11, 26, tzinfo=UTC))
        old = pair.ledger.size()
        assert isinstance(pair.asked(old), bytes)
        pair.ledger.append([note(f"more {number}")])


@pytest.mark.guarantee("G46")
def test_a_log_rolled_back_is_not_cosigned(pair: Pair) -> None:
    """Its key signs a shorter tree: the witness says what it has seen, also after a restart."""
    older = open_ledger(pair.folder / "older.db")
    older.append(history()[:5])
    assert isinstance(pair.asked(0), bytes)
    again = WitnessFolder(pair.folder / "witness", SettableClock())
    pair.witness = again
    for old in (0, 5):
        refused = declined(pair.asked(old, older))
        assert (refused.status, refused.size) == (409, pair.ledger.size())
    assert declined(pair.asked(pair.ledger.size(), older)).status == 400


@pytest.mark.guarantee("G46")
def test_a_forked_log_is_not_cosigned(pair: Pair) -> None:
    """Of the same size with other entries, or longer without a proof that leads there."""
    assert isinstance(pair.asked(0), bytes)
    size = pair.ledger.size()
    fork = open_ledger(pair.folder / "fork.db")
    fork.append([note(f"lie {number}") for number in range(size)])
    same = declined(pair.asked(size, fork))
    assert (same.status, "forked" in same.words) == (409, True)
    fork.append([note("one more lie")])
    assert declined(pair.asked(size, fork)).status == 422
    assert isinstance(pair.asked(size), bytes)  # the honest log goes on


def test_a_stranger_is_told_so(pair: Pair) -> None:
    """A log that nobody introduced, a checkpoint that its key did not sign, and what is no request at all."""
    other = open_ledger(pair.folder / "other.db", key="another")
    other.append(history())
    assert declined(pair.asked(0, other)).status == 403
    unknown = pair.ledger.checkpoint().note.replace(ORIGIN.encode(), b"elsewhere.example")
    assert declined(pair.witness.answer(Witnessing(old=0, proof=(), note=unknown).document)).status == 404
    assert declined(pair.witness.answer(b"old 0\n\nnothing\n")).status == 400
    assert declined(pair.witness.answer(b"")).status == 400


def test_a_witness_without_memory_says_nothing(pair: Pair) -> None:
    """A memory that cannot be read, or is gone, ends in an error, not in a fresh start."""
    assert isinstance(pair.asked(0), bytes)
    memory = pair.folder / "witness" / SEEN
    memory.write_bytes(b"{")
    with pytest.raises(NotVerified):
        pair.asked(0)
    memory.unlink()
    with pytest.raises(NotFound):
        pair.asked(0)


def test_a_quorum_counts_witnesses_not_lines(pair: Pair) -> None:
    """Two keys make two witnesses; one line twice, or one key under two names, is one."""
    second = create_witness(pair.folder / "second", "example.org/w2", SettableClock())
    second.know(KEY)
    first = pair.asked(0)
    assert isinstance(first, bytes)
    signed = pair.notes[-1]
    assert len(check_quorum(signed + first, [pair.witness.key, second.key], 1)) == 1
    with pytest.raises(NotVerified, match="1 of the trusted"):
        check_quorum(signed + first + first, [pair.witness.key, second.key], 2)
    line = second.answer(Witnessing(old=0, proof=(), note=signed).document)
    assert isinstance(line, bytes)
    assert len(check_quorum(signed + first + line, [pair.witness.key, second.key], 2)) == 2
    alias = NoteKey(name="example.org/alias", sort=pair.witness.key.sort, public=pair.witness.key.public)
    for witnesses, quorum in (([], 0), ([], 1), ([pair.witness.key], 0), ([pair.witness.key, alias], 2)):
        with pytest.raises(NotVerified, match="a quorum"):
            check_quorum(signed + first, witnesses, quorum)


def test_a_cosignature_is_bound_to_text_time_and_witness(pair: Pair) -> None:
    """Any bit of it changed, or moved to another checkpoint, and it is nobody's word."""
    line = pair.asked(0)
    assert isinstance(line, bytes)
    signed = pair.notes[-1]
    open_cosignature(signed + line, pair.witness.key)
    pair.ledger.append([note("later")])
    with pytest.raises(NotVerified):
        open_cosignature(pair.ledger.checkpoint().note + line, pair.witness.key)
    import base64

    name, blob = line.decode().rsplit(" ", 1)
    data = bytearray(base64.b64decode(blob))
    for place in (0, 6, 11, 20, 75):
        spoilt = data.copy()
        spoilt[place] ^= 1
        with pytest.raises(NotVerified):
            open_cosignature(signed + f"{name} {base64.b64encode(spoilt).decode()}\n".encode(), pair.witness.key)


def test_a_witness_is_made_once_and_named_plainly(pair: Pair) -> None:
    """Its folder is not taken over, and its name fits into a note."""
    with pytest.raises(Conflict):
        create_witness(pair.folder / "witness", "example.org/w1", SettableClock())
    for name in ("", "two words", "a+b", "x\n"):
        with pytest.raises(InvalidInput):
            create_witness(pair.folder / "third", name, SettableClock())
    with pytest.raises(InvalidInput, match="witness's key"):
        pair.witness.know(parse_note_key(str(pair.witness.key)))
    assert parse_note_key(str(pair.witness.key)) == pair.witness.key
