"""assess.latency/1: how long one row takes the model alone, on this machine, with one thread."""

from typing import Final

from holdfast.assess.case import Case, bounded
from holdfast.core.control import Report
from holdfast.maths.intervals import quantile_interval

NAME: Final = "assess.latency/1"
CALLS: Final = 400  # an interval of the 95th percentile needs at least 73, of a hundred more it is much narrower
MS_PER_S: Final = 1000.0


def measure(case: Case) -> Report:
    """Return the median and the 95th percentile of single-row calls, in milliseconds, as timings.

    Measured inside the sandbox around the model alone, after a warm-up: what the gateway adds is not in it. Intervals
    are by order statistics (Hahn and Meeker 1991, section 5.2), 95 %.
    """
    taken = case.seconds(case.features, CALLS) * MS_PER_S
    return Report(
        timings=(
            bounded("latency_p50_ms", quantile_interval(taken, 0.5), unit="ms"),
            bounded("latency_p95_ms", quantile_interval(taken, 0.95), unit="ms"),
        )
    )
