"""The arithmetic of limits: what a cell held, and what it holds once a call was charged. Pure, without a clock.

A cell is five numbers, all zero at first. A rule takes them with the time and an amount and returns how long to wait
(0: the call passes; infinity: waiting does not help) and the numbers to keep, or None where nothing changes. The last
number is not the rules' own: what other machines had used when they were last asked (`serve.sharing`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

Values: TypeAlias = tuple[float, float, float, float, float]
Charge: TypeAlias = Callable[[Values, float, float], tuple[float, Values | None]]

EMPTY: Final[Values] = (0.0, 0.0, 0.0, 0.0, 0.0)
_SLACK: Final = 1e-7  # of an interval: what adding up intervals leaves is no haste
_ROUNDING: Final = 1e-9  # of a sum of budgets: what floating-point addition leaves is no excess


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """The generic cell rate algorithm (ITU-T I.371, annex A, virtual scheduling), in seconds of one clock.

    A call conforms if it comes no earlier than the tolerance before its theoretical arrival time, the first number of
    its cell. A refused call moves nothing, so that waiting always helps. The arrival time is never believed to be
    farther away than this rule itself can put it: neither a clock that was set back or began anew, nor a slower rule of
    before, keeps anybody out for longer than this one.
    """

    interval_s: float  # between calls at the sustained rate
    tolerance_s: float  # how early a call may be: burst - 1 intervals
    debt_s: float = 0.0  # how much farther away it may be put by what other machines let pass

    def charge(self, values: Values, now: float, amount: float) -> tuple[float, Values | None]:
        """Charge so many calls at once if the first conforms."""
        arrival, farthest = max(now, values[0]), now + self.tolerance_s + self.interval_s + self.debt_s
        early = min(arrival, farthest) - now - self.tolerance_s
        if early > self.interval_s * _SLACK:
            return early, (farthest, 0.0, 0.0, 0.0, values[4]) if arrival > farthest else None
        return 0.0, (arrival + amount * self.interval_s, 0.0, 0.0, 0.0, values[4])

    def learn(self, values: Values, now: float, amount: float) -> tuple[float, Values | None]:
        """Take in what other machines have let pass: charged whatever it leads to."""
        arrival = max(now, values[0]) + amount * self.interval_s
        return 0.0, (arrival, 0.0, 0.0, 0.0, values[4])


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """An amount for each period and one for ever: of rows, of cost, of privacy loss.

    The cell holds the number of the period, what was used in it, what was used in all, and the period of which an alert
    was told. A clock that is set back counts on in the newer period. An amount that does not fit is refused whole and
    uses nothing.
    """

    per_period: float = math.inf
    period_s: float = 86400.0
    total: float = math.inf

    def charge(self, values: Values, now: float, amount: float) -> tuple[float, Values | None]:
        """Charge an amount if it still fits; the wait is until the next period, if that helps."""
        period, used, ever, told, seen = values
        current = now // self.period_s
        if current > period:
            period, used = current, 0.0
        if not ever + amount <= self.total * (1 + _ROUNDING):  # so that what is no number is refused
            return math.inf, None
        if not used + amount <= self.per_period * (1 + _ROUNDING):
            helps = amount <= self.per_period
            return ((period + 1) * self.period_s - now if helps else math.inf), None
        return 0.0, (period, used + amount, ever + amount, told, seen)

    def learn(self, values: Values, now: float, amount: float) -> tuple[float, Values | None]:
        """Take in what other machines have let pass: charged whatever it leads to."""
        period, used, ever, told, seen = values
        current = now // self.period_s
        if current > period:
            period, used = current, 0.0
        return 0.0, (period, used + amount, ever + amount, told, seen)

    def join(self, values: Values, now: float, in_period: float, ever: float) -> Values:
        """Return the cell with what other machines used before this one knew of them: in this period, and in all."""
        period, used, own, told, seen = values
        current = now // self.period_s
        if current > period:
            period, used = current, 0.0
        return period, used + in_period, own + ever, told, seen

    def alert(self, values: Values, now: float, amount: float) -> tuple[float, Values | None]:  # noqa: ARG002 - a rule's signature
        """Say (by a wait of 1) that an alert of this period was told already; else write down that it is now."""
        period, used, ever, told, seen = values
        return (1.0, None) if told == period + 1 else (0.0, (period, used, ever, period + 1, seen))
