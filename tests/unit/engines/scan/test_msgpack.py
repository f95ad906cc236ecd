"""MessagePack: arrays fit their bytes, and nothing else has a meaning."""

import pickle

import msgspec
import pytest
from tests.unit.engines.scan.honest import above_low, found, scan
from tests.unit.engines.scan.honest_graphs import array, flax, pack

from holdfast.core.evidence import Severity

CRITICAL, HIGH, MEDIUM = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM


@pytest.mark.parametrize(
    ("data", "rule", "severity"),
    [
        (flax(x=(42, b"abc")), "msgpack.extension", HIGH),
        (flax(x={"y": [(-5, b"abc")]}), "msgpack.extension", HIGH),
        (flax(x=array([2, 3])), "msgpack.size", HIGH),
        (flax(x=array([1, 1], data=bytes(3))), "msgpack.size", HIGH),
        (flax(x=array([4], kind="object")), "msgpack.type", MEDIUM),
        (flax(x=(1, b"\xc1")), "msgpack.malformed", MEDIUM),
        (flax(x=(1, pack([1, 2]))), "msgpack.malformed", MEDIUM),
        (flax(x={b"nd": 1, b"type": b"O", b"kind": b"O", b"data": b"x"}), "msgpack.pickled", CRITICAL),
        (flax(x="import os; os.system('id')"), "msgpack.text.executable", HIGH),
        (b"\x82" + 2 * (pack("a") + b"\x01"), "msgpack.duplicate-key", HIGH),
        (flax() + b"\x01", "msgpack.trailing", HIGH),
        (flax()[:-1], "msgpack.malformed", MEDIUM),
        (b"\x81\xa1a" + b"\x91" * 2000 + b"\x01", "msgpack.malformed", MEDIUM),
        (b"\x81\xa1a\xdd\xff\xff\xff\xff", "msgpack.malformed", MEDIUM),
        (b"\x81\xa1a\xc1", "msgpack.malformed", MEDIUM),
    ],
)
def test_what_flax_does_not_write_is_found(data: bytes, rule: str, severity: Severity) -> None:
    """Foreign extensions, arrays that lie, pickles, programs, keys that stand twice, and damage."""
    assert (rule, severity) in found(data)


def test_bytes_that_are_a_pickle_are_scanned_as_one() -> None:
    """Wherever they lie."""
    formats, _ = scan(flax(x=pickle.dumps({"a": 1})))
    assert formats == ("MessagePack", "pickle")


def test_what_another_writer_writes_is_read() -> None:
    """Every width of every kind, by the encoder of msgspec."""
    value = {"params": [None, True, 1, -1, 300, 1 << 40, -(1 << 40), 0.5, "x" * 40, "y" * 300, b"z" * 70000, [1] * 20]}
    assert above_low(msgspec.msgpack.encode(value)) == []
    assert scan(msgspec.msgpack.encode(value))[0] == ("MessagePack",)
