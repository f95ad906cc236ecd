"""Limits that gateways on several machines share: what each holds while it knows of the others, and while not."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from holdfast.core.allowances import Charge, Quota, Rate, Values
from holdfast.core.errors import InvalidInput
from holdfast.core.ports import Clock
from holdfast.serve.guards.surroundings import Cells, Surroundings

Apart: TypeAlias = Literal["share", "refuse"]

MOST_MACHINES: Final = 1000
DEBT_S: Final = 60.0  # of a rate that others may have used before it is forgotten
_FOREVER: Final = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A limit of one client that machines count together: see `serve.sharing`."""

    name: str  # of its cell
    learn: Charge
    now: Callable[[], float]
    keep_until: float
    period_s: float = 0.0  # of a limit that begins anew with each; 0: none does
    join: Callable[[Values, float, float, float], Values] | None = None  # takes in what others used before it knew them

    @property
    def in_period(self) -> str:
        """The name under which the use of this period alone is told; "" where there are no periods."""
        return f"{self.name}\0{self.now() // self.period_s:.0f}" if self.period_s else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """How many machines share a limit, and what holds while they cannot be reached."""

    count: int
    apart: Apart
    cells: Cells
    monotonic: Callable[[], float]

    def alone(self) -> bool:
        """Say whether this machine knows nothing of the others now."""
        return self.count > 1 and not self.cells.together(self.monotonic())


def machines_of(count: int, apart: Apart, surroundings: Surroundings) -> Machines:
    """Return who shares a limit.

    Raises:
        InvalidInput: Nobody, or more than there are.
    """
    if not 1 <= count <= MOST_MACHINES:
        raise InvalidInput(f"a limit of {count} machines", place="routes", expected=f"1 to {MOST_MACHINES}")
    return Machines(count=count, apart=apart, cells=surroundings.cells, monotonic=surroundings.monotonic)


def share_of_rate(rate: Rate, count: int) -> Rate:
    """Return one machine's even share of a rate and of its burst."""
    burst = max(1, round(rate.tolerance_s / rate.interval_s + 1) // count)
    interval_s = rate.interval_s * count
    return Rate(interval_s=interval_s, tolerance_s=(burst - 1) * interval_s, debt_s=rate.debt_s)


def share_of_quota(quota: Quota, count: int) -> Quota:
    """Return one machine's even share of a quota."""
    return Quota(per_period=quota.per_period / count, period_s=quota.period_s, total=quota.total / count)


def shared_quota(kind: str, client: str, quota: Quota, clock: Clock) -> Shared:
    """Return a client's quota, for other machines."""

    def now() -> float:
        return clock.now().timestamp()

    return Shared(
        name=f"{kind}\0{client}",
        learn=quota.learn,
        now=now,
        keep_until=kept_until(quota, now()),
        period_s=quota.period_s,
        join=quota.join,
    )


def kept_until(quota: Quota, now: float) -> float:
    """Return until when a quota's cell must be kept: for ever where it counts what was used in all."""
    return _FOREVER if quota.total < math.inf else now + 2 * quota.period_s
