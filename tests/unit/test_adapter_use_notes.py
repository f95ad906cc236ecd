"""Notes of uses: each on record once, whoever dies when."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from holdfast.adapters.use_notes import ROLE, Use, UseNotes
from holdfast.core.errors import Unavailable


class Ledger:
    """What a ledger does with them; it may die after an entry, or refuse one."""

    def __init__(self) -> None:
        self.batches: dict[str, list[dict[str, str | int]]] = {}
        self.dies = self.refuses = False
        self.scanned = 0

    def append(self, batch: str, uses: list[dict[str, str | int]]) -> None:
        if self.refuses:
            raise Unavailable("the disk is full")
        assert batch not in self.batches
        self.batches[batch] = uses
        if self.dies:
            raise KeyboardInterrupt

    def appended(self, batch: str) -> bool:
        self.scanned += 1
        return batch in self.batches

    def counted(self) -> Counter[tuple[str, str]]:
        counted = Counter[tuple[str, str]]()
        for use in (each for uses in self.batches.values() for each in uses):
            assert use["role"] == ROLE
            counted[str(use["keyid"]), str(use["purpose"])] += int(use["count"])
        return counted


@pytest.fixture
def notes(tmp_path: Path) -> UseNotes:
    """Of a workspace that has none."""
    return UseNotes(tmp_path / "uses")


def test_every_use_is_handed_over_once(notes: UseNotes, tmp_path: Path) -> None:
    """By key and purpose; nothing twice, and without notes there is no entry and no search for one."""
    ledger = Ledger()
    notes.hand_over(ledger.append, ledger.appended)
    assert not (tmp_path / "uses").exists()
    for key, purpose in (("a", "unlock keys"), ("a", "unlock keys"), ("a", "wrap"), ("b", "unlock data")):
        notes.note(Use(key=key, purpose=purpose))
    for _ in range(2):
        notes.hand_over(ledger.append, ledger.appended)
    assert ledger.counted() == {("a", "unlock keys"): 2, ("a", "wrap"): 1, ("b", "unlock data"): 1}
    assert len(ledger.batches) == 1
    assert ledger.scanned == 0
    assert [path.name for path in (tmp_path / "uses").iterdir()] == ["lock"]


def test_a_process_that_dies_after_the_entry_tells_nothing_twice(notes: UseNotes) -> None:
    """The batch it leaves is named in the ledger already, and goes; what was noted since is told."""
    ledger = Ledger()
    notes.note(Use(key="a", purpose="wrap"))
    ledger.dies = True
    with pytest.raises(KeyboardInterrupt):
        notes.hand_over(ledger.append, ledger.appended)
    ledger.dies = False
    notes.note(Use(key="b", purpose="wrap"))
    notes.hand_over(ledger.append, ledger.appended)
    assert ledger.counted() == {("a", "wrap"): 1, ("b", "wrap"): 1}


def test_a_ledger_that_takes_no_entry_loses_no_use(notes: UseNotes) -> None:
    """What it refused it gets again."""
    ledger = Ledger()
    notes.note(Use(key="a", purpose="wrap"))
    ledger.refuses = True
    with pytest.raises(Unavailable):
        notes.hand_over(ledger.append, ledger.appended)
    ledger.refuses = False
    notes.hand_over(ledger.append, ledger.appended)
    assert ledger.counted() == {("a", "wrap"): 1}


def test_a_note_that_was_spoilt_is_still_a_use(notes: UseNotes, tmp_path: Path) -> None:
    """Whoever can write there may spoil what it says, and not that there was one."""
    ledger = Ledger()
    notes.note(Use(key="a", purpose="wrap"))
    (note,) = (tmp_path / "uses").glob("use-*.json")
    for name, content in ((note.name, b"{"), ("use-long.json", b"x" * 10_000), ("use-link.json", b"")):
        (tmp_path / "uses" / name).write_bytes(content)
    notes.hand_over(ledger.append, ledger.appended)
    assert ledger.counted() == {("unknown", "unreadable note"): 3}


def test_a_use_that_cannot_be_noted_is_told_before_it_is_made(notes: UseNotes, tmp_path: Path) -> None:
    """A file in the folder's place: no note, so no use."""
    (tmp_path / "uses").write_text("in the way")
    with pytest.raises(Unavailable, match="noted"):
        notes.note(Use(key="a", purpose="wrap"))
    (tmp_path / "uses").unlink()
    notes.note(Use(key="a", purpose="wrap"))
    shutil.rmtree(tmp_path / "uses")
