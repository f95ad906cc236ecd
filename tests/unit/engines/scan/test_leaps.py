"""Leaps over plain values change nothing: what is found, where, and what the memo and the stack hold afterwards."""

import pickle
import random
from typing import Any, Final

import numpy as np
import pytest
from tests.unit.engines.scan import long_streams
from tests.unit.engines.scan.read_twice import SIZES, leap_as, leapt, read, read_alike

from holdfast.engines.scan.examination import Content
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.pickles import boundaries, reading
from holdfast.engines.scan.report import Findings
from holdfast.engines.scan.verdict import Verdict, parse_scan_policy
from holdfast.lifecycle.policies import scan_policy_file

SEED: Final = 20261127
POLICY: Final = parse_scan_policy(scan_policy_file().read_bytes())


@pytest.fixture(params=SIZES)
def leaping(request: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaps of several sizes, from the first byte on."""
    leap_as(request.param, monkeypatch)


@pytest.mark.guarantee("G72")
@pytest.mark.requirement("SUP-03", by="holdfast.engines.scan.pickles.stretches:prove")
@pytest.mark.parametrize("batch", range(4))
@pytest.mark.usefixtures("leaping")
def test_leaps_change_nothing(batch: int) -> None:
    """Streams with hidden imports, gets into stretches and damage: the same findings, stack and memo as one by one."""
    rng = random.Random(f"{SEED} {batch}")  # noqa: S311 - a seed for tests
    found = 0
    for _ in range(15):
        found += leapt(read_alike(long_streams.long_stream(rng), rng))
    assert found > 3


@pytest.mark.guarantee("G72")
@pytest.mark.parametrize("at", range(3, 100, 19))
@pytest.mark.parametrize("kind", ["tuples", "lists", "dictionaries", "strings"])
def test_an_import_within_many_values_is_seen(kind: str, at: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the place: between two opcodes of thousands of rows, one import is enough."""
    monkeypatch.setattr(reading, "LEAPS", 0)
    made: dict[str, Any] = {
        "tuples": lambda n: (n, f"name {n}", n / 3),
        "lists": lambda n: [n, f"name {n}"],
        "dictionaries": lambda n: {"id": n, "x": n / 3},
        "strings": lambda n: f"some name {n}",
    }
    stream = pickle.dumps([made[kind](number) for number in range(9000)], 4)
    starts = [place for place in range(len(stream)) if stream[place] == 0x94]  # each ends a value or a string
    place = starts[len(starts) * at // 100] + 1
    payload = b"cposix\nsystem\n\x8c\x04true\x85R0"
    findings = Findings()
    examine(Content(memoryview(stream[:place] + payload + stream[place:]), "rows.pkl"), findings)
    assert POLICY.on(findings.kept) is Verdict.MALICIOUS
    clean = Findings()
    examine(Content(memoryview(stream), "rows.pkl"), clean)
    assert clean.kept == []


def test_names_from_within_many_values_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """The names of an import may be strings of any row: they are read again where they are asked for."""
    monkeypatch.setattr(reading, "LEAPS", 0)
    rows: list[Any] = [(number, f"name {number}", number / 3) for number in range(9000)]
    rows[4100] = (0, "posix", 0.5)
    rows[4101] = ("system", 0, 0.5)
    stream = pickle.dumps(rows, 4)
    entries = 1 + 2 * 4100  # the list, and of each row before its name and itself
    names = b"j" + entries.to_bytes(4, "little") + b"j" + (entries + 2).to_bytes(4, "little")
    findings = Findings()
    examine(Content(memoryview(stream[:-1] + names + b"\x93\x8c\x04true\x85R."), "rows.pkl"), findings)
    assert "pickle.dangerous-call" in {each.rule for each in findings.kept}


@pytest.mark.usefixtures("leaping")
def test_tuples_of_tuples_are_weighed_in_a_stretch() -> None:
    """Rows that each hold the row before twice are no plain values: hashing the last would not end."""
    row = b"\x86\x94"
    stream = b"\x80\x04](K\x01K\x02\x86\x94" + b"".join(
        b"h" + bytes([number]) + b"h" + bytes([number]) + row for number in range(60)
    )
    slow, fast = read(stream + b"e.", leaping=False), read(stream + b"e.", leaping=True)
    assert "pickle.resources" in {rule for rule, _, _ in fast[2]}
    assert fast[1:] == slow[1:]


@pytest.mark.parametrize("seed", range(6))
def test_opcodes_are_found_as_one_by_one(seed: int) -> None:
    """The boundaries of lanes are those of reading byte by byte, for honest streams and for random bytes."""
    rng = random.Random(seed)  # noqa: S311 - a seed for tests
    for _ in range(12):
        texts = ["t" * rng.randrange(900) for _ in range(300)]  # few opcodes in many bytes
        made = texts if rng.random() < 0.3 else long_streams.rows(rng)
        stream = long_streams.without_frames(pickle.dumps(made, 4))[2:]
        data = bytearray(stream)
        for _ in range(rng.choice((0, 0, 1, 9))):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            data = bytearray(rng.choices(b"K\x01N(tJ\x8c\x02X\x00\x94]eGh", k=9000))
        padded = np.frombuffer(bytes(data) + bytes(boundaries.PADDING), np.uint8)
        places, stop = boundaries.opcodes(padded, len(data))
        assert ([int(place) for place in places], stop) == _one_by_one(bytes(data))


def _one_by_one(data: bytes) -> tuple[list[int], int]:
    at, found = 0, list[int]()
    while at < len(data):
        opcode = data[at]
        if opcode in boundaries.WIDTHS:
            width = boundaries.WIDTHS[opcode]
        elif opcode in boundaries.COUNTED and at + 1 < len(data):
            width = 2 + data[at + 1]
        elif opcode in boundaries.COUNTED_LONG and at + 5 <= len(data):
            width = 5 + int.from_bytes(data[at + 1 : at + 5], "little")
        else:
            break
        if at + width > len(data):
            break
        found.append(at)
        at += width
    return found, at
