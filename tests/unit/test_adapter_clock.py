"""Clocks and entropy: the system's, and the one that tests set."""

from datetime import UTC, datetime, timedelta, timezone

from holdfast.adapters.clock import SystemClock, SystemEntropy
from holdfast.core.ports import Clock, Entropy
from holdfast.testing import SettableClock


def test_the_system_clock_tells_utc_and_goes_on() -> None:
    """Two readings are zone-aware, in UTC, and in order."""
    clock: Clock = SystemClock()
    first, second = clock.now(), clock.now()
    assert first.utcoffset() == timedelta(0)
    assert first <= second


def test_entropy_gives_as_many_bytes_as_asked_and_never_the_same() -> None:
    """A token of 32 bytes comes twice with a chance of 2**-256."""
    entropy: Entropy = SystemEntropy()
    assert [len(entropy.token(n)) for n in (0, 1, 32)] == [0, 1, 32]
    assert entropy.token(32) != entropy.token(32)


def test_a_settable_clock_stands_still_until_told_and_answers_in_utc() -> None:
    """It moves by what it is told, backwards too, and translates what it is set to."""
    clock = SettableClock(datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=2))))
    assert clock.now() == clock.now() == datetime(2026, 1, 1, 10, tzinfo=UTC)
    assert clock.now().utcoffset() == timedelta(0)
    clock.advance(timedelta(minutes=1))
    assert clock.now() == datetime(2026, 1, 1, 10, 1, tzinfo=UTC)
    clock.set(datetime(2025, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2025, 1, 1, tzinfo=UTC)
