"""Watch: telemetry becomes evidence about what is in production, and evidence beyond the promise becomes signals.

`CONTROLS` measure drift and service levels on a window of traffic; `signals` holds them against the project's promise.
Measuring and judging are apart: the evidence holds no limit.
"""

from holdfast.core.artifact import Artifact
from holdfast.core.control import run
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.watch.controls import CONTROLS, Traffic
from holdfast.watch.detect import signals

__all__ = ["CONTROLS", "Traffic", "signals", "watch"]


def watch(traffic: Traffic, release: Artifact, made_with: MadeWith) -> tuple[Evidence, ...]:
    """Return the evidence of every control on one window of one release's traffic."""
    return tuple(run(control, traffic, release, made_with) for control in CONTROLS)
