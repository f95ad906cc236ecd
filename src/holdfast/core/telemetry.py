"""What a gateway tells about one release in one window: counts only, never a row.

`Window` is the body of a `seal.Telemetry` statement; the gateway writes it, watching reads it, and windows add up.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

DRAINED: Final = "telemetry.drained"  # kind of an entry: a window was taken in; body: release, envelope, …
MEASURED: Final = "traffic.measured"  # kind of an entry: what windows came to, as evidence
LATENCY_EDGES_MS: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0)
"""Inner edges of the latency cells, in milliseconds; the outer cells are open."""


def traffic_stream(release: str) -> str:
    """Return the name of the stream that holds what was measured on a release's traffic."""
    return f"traffic/{release}"


SHADOW_EDGES: Final = (0.001, 0.01, 0.05, 0.1, 0.2, 0.5)
"""Inner edges of the cells in which a shadow's distance from the answered score is counted."""
Spoiled: TypeAlias = Mapping[str, tuple[int, int, int]]
"""Of inputs, by name: values that are missing, of another type, out of range; an input without any is left out."""
Exposed: TypeAlias = Mapping[str, tuple[str, ...]]
Reads: TypeAlias = Mapping[str, Mapping[str, int]]
PSEUDONYM: Final = 24  # hexadecimal digits by which a unit of an experiment is known


class Shadowed(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a shadow did with its copies of the calls that the baseline answered; its failures are the window's."""

    rows: int  # of copied calls that it answered too
    agreed: int  # of them, with the baseline's label
    dropped: int  # calls for whose copy there was no room: the live path never waits
    distance: tuple[int, ...]  # rows per cell of SHADOW_EDGES, one more than edges: how far apart the scores were


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
    refused: int = 0  # calls of known callers for this release that a guard refused
    marked: int = 0  # calls with a flagged row
    exposed: dict[str, tuple[str, ...]] = {}  # by experiment: pseudonyms of the units it answered in this window
    unexposed: int = 0  # exposures for which there was no room; what is said about the experiment says so
    reads: dict[str, dict[str, int]] = {}  # of online features: by feature and client, how often
    shadow: Shadowed | None = None  # where it is the shadow of another
    spoiled: dict[str, tuple[int, int, int]] = {}  # of calls answered and refused; see `Spoiled`
    turned_away: int = 0  # rows of calls that were refused for their inputs


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
        refused=first.refused + second.refused,
        marked=first.marked + second.marked,
        exposed=_joined(first.exposed, second.exposed),
        unexposed=first.unexposed + second.unexposed,
        reads=add_reads(first.reads, second.reads),
        shadow=add_shadows(first.shadow, second.shadow),
        spoiled=add_spoiled(first.spoiled, second.spoiled),
        turned_away=first.turned_away + second.turned_away,
    )


def add_shadows(first: Shadowed | None, second: Shadowed | None) -> Shadowed | None:
    """Return the sum of what a shadow did in two windows."""
    if first is None or second is None:
        return first or second
    return Shadowed(
        rows=first.rows + second.rows,
        agreed=first.agreed + second.agreed,
        dropped=first.dropped + second.dropped,
        distance=_add(first.distance, second.distance),
    )


def add_spoiled(first: Spoiled, second: Spoiled) -> dict[str, tuple[int, int, int]]:
    """Return the sum of what was wrong with inputs."""
    found = dict(first)
    for name, (missing, mistyped, outside) in second.items():
        before = found.get(name, (0, 0, 0))
        found[name] = (before[0] + missing, before[1] + mistyped, before[2] + outside)
    return found


def add_reads(first: Reads, second: Reads) -> dict[str, dict[str, int]]:
    """Return the sum of two counts of reads by feature and client."""
    found = {feature: dict(by) for feature, by in first.items()}
    for feature, by in second.items():
        mine = found.setdefault(feature, {})
        for client, number in by.items():
            mine[client] = mine.get(client, 0) + number
    return found


def _joined(first: Exposed, second: Exposed) -> dict[str, tuple[str, ...]]:
    names = dict.fromkeys((*first, *second))
    return {name: tuple(dict.fromkeys((*first.get(name, ()), *second.get(name, ())))) for name in names}


def _add(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(a + b for a, b in zip(first, second, strict=True))
