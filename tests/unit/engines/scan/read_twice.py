"""One pickle read twice: opcode by opcode, and with leaps; what is found, and what memo and stack hold, is the same."""

import random
from typing import Any

import pytest

from holdfast.engines.scan.examination import Content, Examination, Limits
from holdfast.engines.scan.pickles import leaps, reading
from holdfast.engines.scan.pickles.machine import Break, Machine
from holdfast.engines.scan.pickles.memo import MISSING
from holdfast.engines.scan.pickles.reading import judge_of
from holdfast.engines.scan.pickles.table import new_machine
from holdfast.engines.scan.pickles.values import Mapping, Tuple
from holdfast.engines.scan.report import Findings

SIZES = {"tiny": (64, 512, 16), "small": (700, 8192, 64), "real": (16 << 10, 512 << 10, 512)}
"""Bytes that are looked at the first time and at most, and bytes of a stretch that are worth it."""


def leap_as(size: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make leaps of a size, from the first byte on."""
    small, large, worth = SIZES[size]
    monkeypatch.setattr(leaps, "SMALL", small)
    monkeypatch.setattr(leaps, "LARGE", large)
    monkeypatch.setattr(leaps, "WORTH", worth)
    monkeypatch.setattr(reading, "LEAPS", 0)


def read(stream: bytes, *, leaping: bool) -> tuple[Machine, Any, list[tuple[str, str, str]], set[tuple[str, str]]]:
    """Read a pickle, opcode by opcode or with leaps; the machine, how it ended, what was found and what imported."""
    content = Content(memoryview(stream), "stream.pkl")
    findings = Findings()
    examination = Examination(findings, lambda _content, _examination: (), Limits())
    judge = judge_of(content, examination)
    machine = new_machine(content, examination, judge)
    machine.one_by_one = not leaping
    if leaping:
        machine.leap = leaps.Leaps(machine).over
    ended: Any
    try:
        ended = machine.run(0)
    except Break as error:
        ended = error.at, error.words
    return machine, ended, [(each.rule, each.place, each.message) for each in findings.kept], set(judge.imported)


def plain(value: Any) -> Any:
    """A value as it can be compared: of dictionaries only that they are."""
    if isinstance(value, Tuple):
        return "tuple", tuple(plain(item) for item in value.items), value.length, value.weight
    return "dict" if isinstance(value, Mapping) else value


def read_alike(stream: bytes, rng: random.Random) -> Machine:
    """Read a stream both ways and compare all that can be seen of both; the machine that leapt."""
    slow, fast = read(stream, leaping=False), read(stream, leaping=True)
    assert fast[1:] == slow[1:], stream
    a, b = slow[0], fast[0]
    assert a.memo.count == b.memo.count
    assert [plain(each) for each in a.opened(a.stack)] == [plain(each) for each in b.opened(b.stack)], stream
    assert len(a.marks) == len(b.marks)
    numbers = range(a.memo.count) if a.memo.dense else range(0)
    for number in rng.sample(numbers, min(len(numbers), 60)):
        assert plain(a.memo.get(number)) == plain(b.memo.get(number)), (number, stream)
    assert b.memo.get(a.memo.count + 5) is MISSING or not a.memo.dense
    return b


def leapt(machine: Machine) -> bool:
    """Whether there was a stretch with entries of the memo."""
    return any(hasattr(run, "starts") for run in machine.memo._runs)
