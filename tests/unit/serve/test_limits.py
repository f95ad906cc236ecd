"""Limits of clients: rates, quotas, spending, and how many workers one may keep busy."""

import math
import socket
from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.adapters.redis_totals import RedisTotals
from holdfast.core.allowances import EMPTY, Quota, Rate
from holdfast.core.errors import HoldfastError, InvalidInput, Unavailable
from holdfast.core.guard import Call, Refusal
from holdfast.serve.credentials import CredentialTable
from holdfast.serve.ground import Ground
from holdfast.serve.guards.limits import (
    RateOf,
    WithinConcurrencySettings,
    WithinQuotaSettings,
    WithinRateSettings,
    WithinSpendSettings,
    within_concurrency,
    within_quota,
    within_rate,
    within_spend,
)
from holdfast.serve.guards.surroundings import LocalCells, LocalNonces, Surroundings
from holdfast.serve.identities import Identities
from holdfast.testing import SettableClock


class Place:
    """What guards are built into: one clock, one memory, and what they tell."""

    def __init__(self) -> None:
        self.clock, self.told = SettableClock(), list[tuple[str, str, str]]()
        self.cells = LocalCells()

    @property
    def surroundings(self) -> Surroundings:
        return Surroundings(
            credentials=CredentialTable(bytes(32), ()),
            signatures={},
            cells=self.cells,
            nonces=LocalNonces(since=0.0),
            clock=self.clock,
            monotonic=lambda: self.clock.now().timestamp() % 1e6,
            tell=lambda kind, client, detail, _: self.told.append((kind, client, detail)),
        )


@pytest.fixture
def place() -> Place:
    """A clock and a memory."""
    return Place()


def call(client: str = "bob", rows: int = 1) -> Call:
    """A valid call."""
    data = np.zeros((rows, 2), dtype=np.float32)
    return Call(model="m", headers={}, body=b"", correlation="c", received_s=0.0, client=client, rows=data)


@pytest.mark.requirement("GATE-05", by="holdfast.serve.guards.limits:within_rate")
def test_a_known_client_may_burst_further_than_strangers(place: Place) -> None:
    """The table gives it a limit of its own; everybody else keeps the common one."""
    own = {"partner": RateOf(rate_per_s=5.0, burst=20)}
    guard = within_rate(WithinRateSettings(rate_per_s=1.0, burst=2, clients=own), place.surroundings)
    for client, expected in (("partner", 20), ("bob", 2)):
        assert sum(isinstance(guard.admit(call(client)), Call) for _ in range(40)) == expected


@given(start=st.floats(0, 1e9), back=st.floats(0, 1e9), burst=st.integers(1, 50))
def test_a_clock_that_begins_anew_keeps_nobody_out_for_longer_than_one_interval(
    start: float, back: float, burst: int
) -> None:
    """After a restart of the machine its monotonic clock is smaller: the wait stays bounded, and no burst is new."""
    rate = Rate(interval_s=0.5, tolerance_s=(burst - 1) * 0.5)
    values = EMPTY
    for _ in range(burst):
        wait, after = rate.charge(values, start + back, 1.0)
        assert after is not None
        assert wait == 0
        values = after
    wait, after = rate.charge(values, start, 1.0)
    assert 0 < wait <= 0.5 * (1 + 1e-6)
    _, after = rate.charge(after or values, start + wait * (1 + 1e-6) + 1e-6, 1.0)
    assert after is not None  # whoever waited is let in
    assert rate.charge(after, start + wait * (1 + 1e-6) + 1e-6, 1.0)[0] > 0  # alone


@pytest.mark.requirement("GATE-04", by="holdfast.serve.guards.limits:WithinQuota.admit")
def test_a_quota_counts_rows_and_comes_back_with_the_next_period(place: Place) -> None:
    """A call of many rows is as many queries; one that does not fit whole uses nothing."""
    guard = within_quota(WithinQuotaSettings(rows=10, period_s=3600.0), place.surroundings)
    assert isinstance(guard.admit(call(rows=7)), Call)
    refused = guard.admit(call(rows=4))
    assert isinstance(refused, Refusal)
    assert refused.status == 429
    assert refused.retry_after_s is not None
    assert 0 < refused.retry_after_s <= 3600
    assert isinstance(guard.admit(call(rows=3)), Call)
    assert isinstance(guard.admit(call("carol", rows=10)), Call)
    place.clock.advance(timedelta(seconds=refused.retry_after_s + 1))
    assert isinstance(guard.admit(call(rows=10)), Call)


@pytest.mark.requirement("GATE-04", by="holdfast.core.allowances:Quota.charge")
def test_a_total_never_comes_back_and_too_large_a_call_is_told_not_to_wait(place: Place) -> None:
    """Waiting helps neither."""
    guard = within_quota(WithinQuotaSettings(rows=10, rows_ever=15, period_s=60.0), place.surroundings)
    too_large = guard.admit(call(rows=11))
    assert isinstance(too_large, Refusal)
    assert too_large.retry_after_s is None
    assert isinstance(guard.admit(call(rows=10)), Call)
    place.clock.advance(timedelta(days=1))
    over = guard.admit(call(rows=6))
    assert isinstance(over, Refusal)
    assert over.retry_after_s is None
    assert isinstance(guard.admit(call(rows=5)), Call)
    place.clock.advance(timedelta(days=400))
    assert isinstance(guard.admit(call(rows=1)), Refusal)


@given(amounts=st.lists(st.tuples(st.floats(-3, 3), st.integers(1, 9)), max_size=60))
def test_no_period_ever_gives_more_than_the_quota_whatever_the_clock_does(amounts: Sequence[tuple[float, int]]) -> None:
    """Steps of the clock in both directions: what is let pass between two new periods is at most the quota."""
    quota, values, now = Quota(per_period=20, period_s=1.0), EMPTY, 100.0
    used: dict[float, float] = {}
    for step, amount in amounts:
        now += step
        wait, after = quota.charge(values, now, amount)
        if after is not None:
            assert wait == 0
            values = after
            used[after[0]] = used.get(after[0], 0.0) + amount
    assert all(total <= 20 for total in used.values())


@pytest.mark.requirement("GATE-21", by="holdfast.serve.guards.limits:WithinSpend.admit")
def test_a_client_stops_at_its_cap_and_somebody_is_told_once_that_it_comes_near(place: Place) -> None:
    """Calls and rows have a price; one alert in each period, then refusals until the next one."""
    settings = WithinSpendSettings(per_call=1.0, per_row=0.5, cap=10.0, period_s=3600.0, clients={"partner": 100.0})
    guard = within_spend(settings, place.surroundings)
    answers = [guard.admit(call(rows=2)) for _ in range(7)]  # 2 each
    assert [isinstance(answer, Call) for answer in answers] == [True] * 5 + [False] * 2
    assert [(kind, client) for kind, client, _ in place.told] == [("spend.near", "bob")]
    assert all(isinstance(guard.admit(call("partner", rows=2)), Call) for _ in range(20))
    place.clock.advance(timedelta(hours=1))
    assert [isinstance(guard.admit(call(rows=2)), Call) for _ in range(6)] == [True] * 5 + [False]
    assert len(place.told) == 2


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (within_quota, WithinQuotaSettings()),
        (within_quota, WithinQuotaSettings(rows=1, period_s=0.0)),
        (within_quota, WithinQuotaSettings(rows=-1)),
        (within_spend, WithinSpendSettings(cap=1.0)),
        (within_spend, WithinSpendSettings(cap=math.inf, per_call=1.0)),
        (within_spend, WithinSpendSettings(cap=1.0, per_call=-1.0, per_row=1.0)),
        (within_concurrency, WithinConcurrencySettings(most=0)),
        (within_rate, WithinRateSettings(rate_per_s=math.nan)),
    ],
    ids=["no limit", "no period", "negative", "nothing costs", "no cap", "a gift", "nobody", "no rate"],
)
def test_a_limit_that_means_nothing_is_refused(build: object, settings: object, place: Place) -> None:
    """It would look like a control and be none."""
    with pytest.raises(InvalidInput):
        build(settings, place.surroundings)  # type: ignore[operator]


@pytest.mark.requirement("GATE-04", by="holdfast.core.allowances:Quota.charge")
@pytest.mark.parametrize("at", [1, 2], ids=["period", "ever"])
def test_a_count_that_is_no_number_lets_nobody_pass(at: int) -> None:
    """Every comparison with it is false, and so must be the one that lets pass."""
    held = [0.0] * 5
    held[at] = math.nan
    wait, after = Quota(per_period=10.0, total=100.0).charge(tuple(held), 5.0, 1.0)  # type: ignore[arg-type]
    assert wait > 0
    assert after is None


@pytest.mark.parametrize("said", ["nan", "inf", "-inf", "many"])
def test_a_total_of_other_machines_that_is_no_number_counts_as_no_answer(said: str) -> None:
    """A store that errs or lies cannot lift a limit: it is out of reach, and the even share holds."""
    totals, (ours, theirs) = RedisTotals(url="redis://127.0.0.1/0", prefix="w", key=b"k"), socket.socketpair()
    with ours, theirs:
        totals._line._socket = ours
        theirs.sendall(f"${len(said)}\r\n{said}\r\n:1\r\n".encode())
        with pytest.raises(HoldfastError) as error:
            totals.add({"quota": 1.0})
        assert isinstance(error.value, Unavailable)


def test_no_secret_stands_in_what_an_object_says_of_itself() -> None:
    """Whatever prints one by mistake, into a log or an error, prints no key."""
    secret = "s3cret-of-somebody"
    raw = ((b"x-api-key", secret.encode()),)
    call_of = Call(
        model="m", headers={"x-api-key": secret}, body=b"", correlation="c", received_s=0.0, raw=raw, proof=secret
    )
    totals = RedisTotals(url="redis://127.0.0.1/0", prefix="w", key=secret.encode(), password=secret)
    ground = Ground(
        clock=SettableClock(),
        monotonic=lambda: 0.0,
        credential_key=secret.encode(),
        terminator_key=secret.encode(),
        version="1",
    )
    for each in (call_of, totals, ground, Identities(terminator_key=secret.encode())):
        assert secret not in repr(each)
