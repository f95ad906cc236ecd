"""What a gateway tells about one release in one window: counts only, never a row.

`Window` is the body of a `seal.Telemetry` statement; the gateway writes it, watching reads it, and windows add up.
"""

from typing import Final

import msgspec

DRAINED: Final = "telemetry.drained"  # kind of an entry: a window was taken in; body: release, envelope, …
MEASURED: Final = "traffic.measured"  # kind of an entry: what windows came to, as evidence
LATENCY_EDGES_MS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
"""Inner edges of the latency cells, in milliseconds; the outer cells are open."""


def traffic_stream(release: str) -> str:
    """Return the name of the stream that holds what was measured on a release's traffic."""
    return f"traffic/{release}"


class Window(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What one release did in one window.

    `inputs` and `scores` hold cell counts laid out as `maths.sketch.Profile.bin` returns them, missing values last.
    """

    requests: int  # calls that reached this release
    rows: int
    failures: int  # calls that ended in a 5xx
    flagged: int  # rows with an input outside the declared range, answered but marked
    latency: tuple[int, ...]  # calls per cell of LATENCY_EDGES_MS, one more than edges
    inputs: dict[str, tuple[int, ...]]
    scores: tuple[int, ...]


def add_windows(first: Window, second: Window) -> Window:
    """Return the sum of two windows of one release.

    Raises:
        ValueError: Their cells differ, so they are not of one release.
    """
    if first.inputs.keys() != second.inputs.keys():
        raise ValueError("windows of different inputs do not add up")
    return Window(
        requests=first.requests + second.requests,
        rows=first.rows + second.rows,
        failures=first.failures + second.failures,
        flagged=first.flagged + second.flagged,
        latency=_add(first.latency, second.latency),
        inputs={name: _add(cells, second.inputs[name]) for name, cells in first.inputs.items()},
        scores=_add(first.scores, second.scores),
    )


def _add(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))
