"""How much a client may ask: calls a second, at once, rows in a period and in all, and what they may cost.

All workers of a gateway count in the same cells, so limits are exact however the kernel spreads the calls, and survive
whoever is killed. What cannot be counted, because the cells are full, is refused. Clients that the table knows by name
may be given limits of their own.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import ClassVar, Final

import msgspec

from holdfast.core.allowances import Quota, Rate
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.ports import Clock
from holdfast.serve.guards.machines import (
    DEBT_S,
    Apart,
    Machines,
    Shared,
    kept_until,
    machines_of,
    share_of_quota,
    share_of_rate,
    shared_quota,
)
from holdfast.serve.guards.surroundings import Cells, Surroundings
from holdfast.serve.refusals import APART, OVER_QUOTA, OVER_SPEND, TOO_FAST, TOO_MANY

MAX_RATE: Final = 1e6  # calls a second; more than any machine answers, so more is a mistake
SHORTEST_PERIOD_S: Final = 1.0
LONGEST_PERIOD_S: Final = 366 * 86400.0


class RateOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many calls a second one client may make for long, and how many at once."""

    rate_per_s: float
    burst: int = 1


class WithinRateSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many calls a second a client may make for long and at once, and which clients have limits of their own."""

    rate_per_s: float
    burst: int = 1
    clients: dict[str, RateOf] = {}
    machines: int = 1  # that share the limit
    apart: Apart = "share"  # while other machines cannot be reached: an even share, or nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinRate:
    """A client calls no faster than it may, with bursts as allowed: see `allowances.Rate`."""

    name: str = "within-rate"
    one_way: ClassVar[bool] = True
    together: ClassVar[bool] = True
    rate: Rate
    known: Mapping[str, Rate] = field(default_factory=dict)  # clients with limits of their own
    cells: Cells
    monotonic: Callable[[], float]
    behind: float = 0.0  # what to add to the monotonic clock for seconds since 1970
    machines: Machines | None = None  # none: this one alone

    def admit(self, call: Call) -> Call | Refusal:
        """Let the call pass if it conforms."""
        now, client = self.monotonic(), call.client
        rate = self.known.get(client, self.rate) if self.known else self.rate
        if self.machines is not None and self.machines.alone():
            if self.machines.apart == "refuse":
                return APART.refusal(self.name, client, retry_after_s=1.0)
            rate = share_of_rate(rate, self.machines.count)
        kept = now + self.behind + rate.tolerance_s + 2 * rate.interval_s
        early = self.cells.apply("rate\0" + client, rate.charge, now, 1.0, kept)
        if early > 0:
            return TOO_FAST.refusal(self.name, f"{client} is {early:.3f} s early", retry_after_s=_wait(early))
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out: a call was counted when it came in."""
        return answer

    def held(self) -> AbstractContextManager[None]:
        """Keep other workers out while several calls are counted: one lock for all of them."""
        return self.cells.exclusive()

    def shared(self, client: str) -> Shared:
        """Return a client's limit, for other machines."""
        rate = self.known.get(client, self.rate)
        until = self.monotonic() + self.behind + rate.tolerance_s + 2 * rate.interval_s
        return Shared(name="rate\0" + client, learn=rate.learn, now=self.monotonic, keep_until=until)


def within_rate(settings: WithinRateSettings, surroundings: Surroundings) -> WithinRate:
    """Build the guard.

    Raises:
        InvalidInput: A rate or a burst that lets nobody call, or everybody.
    """
    debt_s = DEBT_S if settings.machines > 1 else 0.0
    return WithinRate(
        rate=_rate(settings.rate_per_s, settings.burst, debt_s),
        known={client: _rate(own.rate_per_s, own.burst, debt_s) for client, own in settings.clients.items()},
        cells=surroundings.cells,
        monotonic=surroundings.monotonic,
        behind=surroundings.clock.now().timestamp() - surroundings.monotonic(),
        machines=machines_of(settings.machines, settings.apart, surroundings) if settings.machines != 1 else None,
    )


def _rate(rate_per_s: float, burst: int, debt_s: float) -> Rate:
    if not 0 < rate_per_s <= MAX_RATE or burst < 1:
        raise InvalidInput(
            "within-rate would let nobody call, or everybody", place="routes", expected="rate_per_s, burst > 0"
        )
    return Rate(interval_s=1.0 / rate_per_s, tolerance_s=(burst - 1) / rate_per_s, debt_s=debt_s)


class WithinConcurrencySettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many workers may be busy with calls of one client at one moment."""

    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinConcurrency:
    """A client's calls keep no more workers busy than they may; a worker answers one call at a time."""

    name: str = "within-concurrency"
    one_way: ClassVar[bool] = True
    most: int
    cells: Cells

    def admit(self, call: Call) -> Call | Refusal:
        """Let the call pass if few enough workers are busy with its client."""
        if self.cells.enter(call.client, self.most):
            return call
        return TOO_MANY.refusal(self.name, f"{call.client} keeps {self.most} workers busy", retry_after_s=1.0)

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out; `done` says that the worker is free."""
        return answer

    def done(self) -> None:
        """Say that the call is over, however it ended."""
        self.cells.leave()


def within_concurrency(settings: WithinConcurrencySettings, surroundings: Surroundings) -> WithinConcurrency:
    """Build the guard.

    Raises:
        InvalidInput: A number that lets nobody call.
    """
    if settings.most < 1:
        raise InvalidInput("within-concurrency would let nobody call", place="routes", expected="most > 0")
    return WithinConcurrency(most=settings.most, cells=surroundings.cells)


class QuotaOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many rows a client may have answered in a period, and in all; 0 sets no limit."""

    rows: int = 0
    rows_ever: int = 0


class WithinQuotaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many rows a client may have answered in a period, and in all; 0 sets no limit."""

    rows: int = 0
    rows_ever: int = 0
    period_s: float = 86400.0
    clients: dict[str, QuotaOf] = {}
    machines: int = 1  # that share the limit
    apart: Apart = "share"  # while other machines cannot be reached: an even share, or nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinQuota:
    """A client has no more rows answered than it may: in each period, and in all. Rows count when they are let in."""

    name: str = "within-quota"
    one_way: ClassVar[bool] = True
    together: ClassVar[bool] = True
    quota: Quota
    known: Mapping[str, Quota] = field(default_factory=dict)
    cells: Cells
    clock: Clock
    machines: Machines | None = None

    def shared(self, client: str) -> Shared:
        """Return a client's quota, for other machines."""
        return shared_quota("quota", client, self.known.get(client, self.quota), self.clock)

    def admit(self, call: Call) -> Call | Refusal:
        """Let the call pass if all of its rows still fit."""
        if call.rows is None:  # it stands after valid-input, so this is a defect
            return TOO_MANY.refusal(self.name, "a call without rows")
        quota, now = self.known.get(call.client, self.quota), (call.now or self.clock.now()).timestamp()
        if self.machines is not None and self.machines.alone():
            if self.machines.apart == "refuse":
                return APART.refusal(self.name, call.client, retry_after_s=1.0)
            quota = share_of_quota(quota, self.machines.count)
        wait = self.cells.apply(
            "quota\0" + call.client, quota.charge, now, float(len(call.rows)), kept_until(quota, now)
        )
        if wait > 0:
            return OVER_QUOTA.refusal(
                self.name, f"{call.client} asked for {len(call.rows)} rows more", retry_after_s=_wait(wait)
            )
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out: its rows were counted when they came in."""
        return answer

    def held(self) -> AbstractContextManager[None]:
        """Keep other workers out while several calls are counted: one lock for all of them."""
        return self.cells.exclusive()


def within_quota(settings: WithinQuotaSettings, surroundings: Surroundings) -> WithinQuota:
    """Build the guard.

    Raises:
        InvalidInput: No limit at all, or a period that means nothing.
    """
    period_s = _period(settings.period_s, "within-quota")

    def quota(rows: int, rows_ever: int) -> Quota:
        if rows < 0 or rows_ever < 0 or not (rows or rows_ever):  # a quota without a limit is no control
            raise InvalidInput("within-quota sets no limit", place="routes", expected="rows or rows_ever > 0")
        return Quota(per_period=rows or math.inf, period_s=period_s, total=rows_ever or math.inf)

    return WithinQuota(
        quota=quota(settings.rows, settings.rows_ever),
        known={client: quota(own.rows, own.rows_ever) for client, own in settings.clients.items()},
        cells=surroundings.cells,
        clock=surroundings.clock,
        machines=machines_of(settings.machines, settings.apart, surroundings) if settings.machines != 1 else None,
    )


class WithinSpendSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a call and a row cost, and what a client may spend in a period, in any one currency."""

    per_call: float = 0.0
    per_row: float = 0.0
    cap: float
    period_s: float = 30 * 86400.0
    alert_at: float = 0.8  # of the cap
    clients: dict[str, float] = {}  # caps of clients that have their own
    machines: int = 1  # that share the limit
    apart: Apart = "share"  # while other machines cannot be reached: an even share, or nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinSpend:
    """A client spends no more than it may in a period; that it comes near is told once in each."""

    name: str = "within-spend"
    one_way: ClassVar[bool] = True
    together: ClassVar[bool] = True
    per_call: float
    per_row: float
    alert_at: float
    quota: Quota
    known: Mapping[str, Quota] = field(default_factory=dict)
    cells: Cells
    clock: Clock
    tell: Callable[[str, str, str, str], None]
    machines: Machines | None = None

    def shared(self, client: str) -> Shared:
        """Return a client's spending, for other machines."""
        return shared_quota("spend", client, self.known.get(client, self.quota), self.clock)

    def admit(self, call: Call) -> Call | Refusal:
        """Let the call pass if what it costs still fits."""
        if call.rows is None:
            return OVER_SPEND.refusal(self.name, "a call without rows")
        client, now = call.client, (call.now or self.clock.now()).timestamp()
        quota, cost = self.known.get(client, self.quota), self.per_call + self.per_row * len(call.rows)
        if self.machines is not None and self.machines.alone():
            if self.machines.apart == "refuse":
                return APART.refusal(self.name, client, retry_after_s=1.0)
            quota = share_of_quota(quota, self.machines.count)
        cell, kept = "spend\0" + client, kept_until(quota, now)
        wait = self.cells.apply(cell, quota.charge, now, cost, kept)
        if wait > 0:
            return OVER_SPEND.refusal(self.name, f"{client} may spend {quota.per_period:g}", retry_after_s=_wait(wait))
        period, used, _, told, _ = self.cells.read(cell)
        near = used >= self.alert_at * quota.per_period and told != period + 1
        if near and self.cells.apply(cell, quota.alert, now, 0.0, kept) == 0:  # of several workers one tells
            self.tell("spend.near", client, f"{used:g} of {quota.per_period:g} spent in this period", call.correlation)
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out: it was paid for when its call came in."""
        return answer

    def held(self) -> AbstractContextManager[None]:
        """Keep other workers out while several calls are counted: one lock for all of them."""
        return self.cells.exclusive()


def within_spend(settings: WithinSpendSettings, surroundings: Surroundings) -> WithinSpend:
    """Build the guard.

    Raises:
        InvalidInput: Prices that cost nothing, or a cap that means nothing.
    """
    costs = (settings.per_call, settings.per_row)
    caps = (settings.cap, *settings.clients.values())
    if not all(0 <= cost < math.inf for cost in costs) or not any(costs):
        raise InvalidInput("within-spend where nothing costs anything", place="routes", expected="a price above 0")
    if not all(0 < cap < math.inf for cap in caps) or not 0 < settings.alert_at <= 1:
        raise InvalidInput("within-spend has a cap that means nothing", place="routes", expected="cap > 0")
    period_s = _period(settings.period_s, "within-spend")
    return WithinSpend(
        per_call=settings.per_call,
        per_row=settings.per_row,
        alert_at=settings.alert_at,
        quota=Quota(per_period=settings.cap, period_s=period_s),
        known={client: Quota(per_period=cap, period_s=period_s) for client, cap in settings.clients.items()},
        cells=surroundings.cells,
        clock=surroundings.clock,
        tell=surroundings.tell,
        machines=machines_of(settings.machines, settings.apart, surroundings) if settings.machines != 1 else None,
    )


def _period(period_s: float, name: str) -> float:
    if not SHORTEST_PERIOD_S <= period_s <= LONGEST_PERIOD_S:
        expected = f"{SHORTEST_PERIOD_S:g} to {LONGEST_PERIOD_S:g} s"
        raise InvalidInput(f"{name} with a period of {period_s} s", place="routes", expected=expected)
    return period_s


def _wait(seconds: float) -> float | None:
    """Return how long a caller is told to wait; nothing where waiting does not help."""
    return seconds if seconds < math.inf else None
