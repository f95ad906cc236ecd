"""Columns in shared memory: one worker writes, any reads, and what is read is whole, whoever dies when."""

import os
from typing import Any

import pytest

from holdfast.core.conventions import over_workers
from holdfast.core.errors import InvalidInput
from holdfast.serve import columns as module
from holdfast.serve.columns import NOTHING, SINK, SPOILED, UNPLACED, Columns, size

HERE = os.getpid()
LOADS, READY, EPOCH = ("holdfast_loads_total",), ("holdfast_ready",), ("holdfast_route_epoch",)
OLD, NEW = ("holdfast_rows_total", "old"), ("holdfast_rows_total", "new")


def made(workers: int = 2, slots: int = 32) -> tuple[Columns, bytearray]:
    """Columns of processes that live, and their memory."""
    memory = bytearray(size(workers, slots))
    return Columns(memory, workers, slots=slots, lives=lambda pid: pid > 0), memory


@pytest.mark.requirement("MON-04", by="holdfast.serve.columns:Columns.read")
def test_one_reading_tells_of_all_workers_as_the_table_says() -> None:
    """Counters are summed; a route epoch is the lowest, because what it takes away must be gone everywhere."""
    columns, _ = made(3)
    for number in range(3):
        column = columns.own(number, HERE)
        column.add(LOADS, number + 1)
        column.put(READY, float(number == 1))
        column.put(EPOCH, NOTHING if number == 0 else 4.0 + number)
    found = columns.read()
    assert (found[LOADS], found[READY], found[EPOCH]) == (6.0, 1.0, 5.0)
    assert columns.read(worker=2)[LOADS] == 3.0
    for none in (-1, 3):
        with pytest.raises(IndexError):
            columns.read(worker=none)


@pytest.mark.requirement("MON-02", by="holdfast.core.conventions:over_workers")
def test_what_the_table_does_not_know_is_put_together_by_nobody() -> None:
    """A name without an entry has no meaning over workers."""
    with pytest.raises(InvalidInput, match="table of conventions"):
        over_workers("holdfast_made_up_total")


@pytest.mark.requirement("MON-04", by="holdfast.serve.columns:Columns.own")
def test_a_successor_counts_on_and_speaks_for_itself() -> None:
    """What a dead worker counted stays; what it said of itself ends with it, and does not begin again with the next."""
    gone: set[int] = set()
    memory = bytearray(size(1, 32))
    columns = Columns(memory, 1, slots=32, lives=lambda pid: pid not in gone)
    first = columns.own(0, 11)
    first.add(LOADS, 5)
    first.put(READY, 1.0)
    gone.add(11)
    assert columns.read() == {LOADS: 5.0, (UNPLACED,): 0.0}
    second = Columns(memory, 1, slots=32).own(0, 12)
    assert columns.read() == {LOADS: 5.0, (UNPLACED,): 0.0}
    second.add(LOADS)
    second.put(READY, 0.0)
    assert columns.read() == {LOADS: 6.0, READY: 0.0, (UNPLACED,): 0.0}


def test_a_name_that_was_half_written_is_no_series_and_its_place_is_used_again() -> None:
    """A worker may die between any two bytes: the checksum does not fit, and nobody reads it."""
    columns, memory = made(1)
    column = columns.own(0, HERE)
    at = column.place(OLD)
    column.cells[at] = 7.0
    begin = 64 + 32 * 8 + at * 192
    memory[begin + 6 + 3] ^= 1
    assert OLD not in Columns(memory, 1, slots=32).read()
    successor = Columns(memory, 1, slots=32).own(0, HERE)
    assert successor.place(NEW) == at
    assert columns.read()[NEW] == 0.0


def test_a_reader_that_is_overtaken_reads_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the names and the values a place has gone to another series: neither gets the other's count."""
    columns, _ = made(1)
    column = columns.own(0, HERE)
    column.add(OLD, 100)
    named, before = columns._named, list[bool]()

    def overtaken(number: int, changes: int) -> list[Any]:
        found = named(number, changes)
        if not before:
            before.append(True)
            column.keep_only({"new"})
            column.add(NEW, 3)
        return found

    monkeypatch.setattr(columns, "_named", overtaken)
    assert columns.read() == {NEW: 3.0, (UNPLACED,): 0.0}


def test_a_reader_that_is_always_overtaken_shows_nothing_of_that_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is better than what never was; no worker announces so often."""
    columns, _ = made(1)
    column, named = columns.own(0, HERE), columns._named

    def overtaken(number: int, changes: int) -> list[Any]:
        column.add(NEW)
        column.keep_only(())
        return named(number, changes)

    monkeypatch.setattr(columns, "_named", overtaken)
    assert columns.read() == {}


def test_a_column_holds_a_fixed_number_of_series_and_says_when_there_are_more() -> None:
    """What finds no place is counted as such and nowhere else; a place that is given back is found."""
    columns, memory = made(1, slots=8)
    column = columns.own(0, HERE)
    for number in range(20):
        column.add(("holdfast_rows_total", str(number)))
    found = columns.read()
    assert len(found) == 7
    assert found[UNPLACED,] == 14.0
    assert len(memory) == size(1, 8)
    column.keep_only({"3"})
    assert column.place(OLD) != SINK
    column.add(OLD, 2)
    assert columns.read() == {("holdfast_rows_total", "3"): 1.0, OLD: 2.0, (UNPLACED,): 14.0}


def test_no_name_is_longer_than_its_room_and_inputs_leave_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model of very many inputs cannot take the places of everything else."""
    monkeypatch.setattr(module, "MOST_SPOILED", 3)
    columns, _ = made(1)
    column = columns.own(0, HERE)
    column.add((SPOILED, "r", "missing", "x" * 300))
    for number in range(9):
        column.add((SPOILED, "r", "missing", f"ö{number}"))
    found = columns.read()
    assert sum(key[0] == SPOILED for key in found) == 3
    assert found[UNPLACED,] == 7.0
    assert found[SPOILED, "r", "missing", "ö2"] == 1.0
