"""The circuit breaker: its table, and that nothing passes while it is open, whatever happens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from holdfast.core.errors import Conflict
from holdfast.core.resilience import BreakerSettings
from holdfast.serve.breaker import BREAKER, Breaker, Signal, Standing


def test_the_table_is_whole() -> None:
    """Every state is reached, and none is final; what is not in the table is refused."""
    assert BREAKER.states() == set(Standing)
    assert {state for state, _ in BREAKER.table} == set(Standing)
    impossible = [(state, signal) for state in Standing for signal in Signal if (state, signal) not in BREAKER.table]
    assert len(impossible) == len(Standing) * len(Signal) - 4
    for state, signal in impossible:
        with pytest.raises(Conflict):
            BREAKER.step(state, signal)


def test_it_opens_is_probed_and_closes() -> None:
    """Two failures of four open it for 10 s; then one probe at a time, and two good ones close it."""
    breaker = Breaker(settings=BreakerSettings(failures=2, window=4, open_s=10, probes=2))
    for second, failed in enumerate([True, False, True]):
        assert breaker.lets(second)
        breaker.tell(second, failed=failed, seconds=0.01)
    assert breaker.standing == "open"
    assert not breaker.lets(11.9)
    assert breaker.wait_s(11.0) == 1.0
    assert breaker.lets(12.0)
    assert not breaker.lets(12.1)  # one probe is under way
    breaker.tell(12.2, failed=False, seconds=0.01)
    assert breaker.standing == "half-open"
    assert breaker.lets(12.3)
    breaker.tell(12.4, failed=False, seconds=0.01)
    assert breaker.standing == "closed"


def test_more_probes_than_the_window_has_calls() -> None:
    """The window is about calls before it opened."""
    breaker = Breaker(settings=BreakerSettings(failures=1, window=1, open_s=5, probes=3))
    assert breaker.lets(0)
    breaker.tell(0, failed=True, seconds=0)
    for second in (5, 6, 7):
        assert breaker.standing is not Standing.CLOSED
        assert breaker.lets(second)
        breaker.tell(second, failed=False, seconds=0)
    assert breaker.standing is Standing.CLOSED


def test_slow_answers_count_as_failures() -> None:
    """Only where a limit is set."""
    settings = BreakerSettings(failures=2, window=2, latency_ms=100)
    breaker, patient = Breaker(settings=settings), Breaker(settings=BreakerSettings(failures=2, window=2))
    for each in (breaker, patient):
        for second in range(2):
            assert each.lets(second)
            each.tell(second, failed=False, seconds=0.2)
    assert (breaker.standing, patient.standing) == (Standing.OPEN, Standing.CLOSED)


def test_a_probe_that_nobody_ended_does_not_block_for_ever() -> None:
    """The worker's thread was lost in the middle of it."""
    breaker = Breaker(settings=BreakerSettings(failures=1, window=1, open_s=5))
    assert breaker.lets(0)
    breaker.tell(0, failed=True, seconds=0)
    assert breaker.lets(5)
    assert not breaker.lets(9)
    assert breaker.lets(10.1)


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 6), st.integers(0, 6))
def test_it_opens_exactly_when_the_window_holds_too_many_failures(failed: list[bool], most: int, more: int) -> None:
    """Against a plain count over the last calls."""
    window = most + more
    breaker = Breaker(settings=BreakerSettings(failures=most, window=window, open_s=1000))
    for number, bad in enumerate(failed):
        assert breaker.lets(number)
        breaker.tell(number, failed=bad, seconds=0)
        tripped = sum(failed[max(0, number + 1 - window) : number + 1]) >= most
        assert (breaker.standing is Standing.OPEN) == tripped
        if tripped:
            break


class AnyBreaker(RuleBasedStateMachine):
    """Calls that begin, go well, fail and are lost, at any times."""

    @initialize(failures=st.integers(1, 4), more=st.integers(0, 4), open_s=st.floats(1, 50), probes=st.integers(1, 4))
    def begin(self, failures: int, more: int, open_s: float, probes: int) -> None:
        """A breaker of some settings."""
        settings = BreakerSettings(failures=failures, window=failures + more, open_s=open_s, probes=probes)
        self.breaker, self.now, self.under_way = Breaker(settings=settings), 0.0, 0
        self.opened_at = -1.0
        self.good_in_a_row = 0

    @rule(seconds=st.floats(0, 60))
    def time_passes(self, seconds: float) -> None:
        """The clock moves."""
        self.now += seconds

    @rule()
    def call_begins(self) -> None:
        """While it is open, and until its time is over, nothing passes."""
        before = self.breaker.standing
        passed = self.breaker.lets(self.now)
        if before is Standing.OPEN:
            assert passed == (self.now >= self.opened_at + self.breaker.settings.open_s)
        if before is Standing.CLOSED:
            assert passed
        if before is not self.breaker.standing:
            self.good_in_a_row = 0
        self.under_way += passed

    @precondition(lambda self: self.under_way)
    @rule(failed=st.booleans())
    def call_ends(self, failed: bool) -> None:
        """A failed probe opens it at once; it closes after enough good ones and not before."""
        before = self.breaker.standing
        self.under_way -= 1
        self.breaker.tell(self.now, failed=failed, seconds=0.0)
        after = self.breaker.standing
        if before is Standing.HALF_OPEN:
            self.good_in_a_row = 0 if failed else self.good_in_a_row + 1
            enough = self.good_in_a_row >= self.breaker.settings.probes
            assert after is (Standing.OPEN if failed else Standing.CLOSED if enough else Standing.HALF_OPEN)
        if before is Standing.OPEN:
            assert after is Standing.OPEN
        if after is Standing.OPEN and before is not Standing.OPEN:
            self.opened_at = self.now

    @invariant()
    def counts_add_up(self) -> None:
        """What is counted is what is held."""
        if hasattr(self, "breaker"):
            assert self.breaker._failures == sum(self.breaker._bad)
            assert len(self.breaker._bad) <= max(self.breaker.settings.window, self.breaker.settings.probes)


TestAnyBreaker = pytest.mark.requirement("ROLL-10", by="holdfast.serve.breaker:Breaker.lets")(AnyBreaker.TestCase)
