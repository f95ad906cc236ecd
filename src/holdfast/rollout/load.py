"""Load mixed with attacks: what is sent, when, and what must come back (ROLL-13). Pure; an adapter sends it.

Arrivals are open-loop: when a call is due does not depend on how fast earlier ones are answered, and latency is counted
from then, so that a server that stands still cannot hide the calls that would have come (coordinated omission).
"""

import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

GOOD: Final = "good"
FAR: Final = "out-of-range"
OVERSIZED: Final = 4 << 20  # bytes of a body that no table lets in
BURST: Final = 20  # calls at one moment
NOTHING: Final = 0  # the status of a connection that was closed without an answer
LATE: Final = -1  # of a call that was not answered in time
_CLOSED: Final = frozenset({400, 408, NOTHING})

Status = int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A kind of call, what it is allowed to get, and how much of the attacks it is."""

    name: str
    expected: frozenset[Status]
    weight: float = 1.0
    says: str


PATTERNS: Final = (
    Pattern(name="no-key", expected=frozenset({401}), says="a call without a key"),
    Pattern(name="bad-key", expected=frozenset({401}), says="a key that nobody issued"),
    Pattern(name="other-model", expected=frozenset({403}), says="a model that the key may not call"),
    Pattern(name="malformed", expected=frozenset({400}), says="half a JSON document"),
    Pattern(name="nested", expected=frozenset({400}), says="a document nested ten thousand deep"),
    Pattern(name="wrong-shape", expected=frozenset({400}), says="more values than the shape says"),
    Pattern(name=FAR, expected=frozenset({400}), says="values far outside of every range"),
    Pattern(name="no-number", expected=frozenset({400}), says="NaN where a number belongs"),
    Pattern(name="oversized", expected=frozenset({413, NOTHING}), says="four megabytes", weight=0.2),
    Pattern(name="two-keys", expected=frozenset({400}), says="a header twice"),
    Pattern(name="no-http", expected=_CLOSED, says="bytes that are no HTTP"),
    Pattern(name="half-open", expected=_CLOSED, says="half a request, and then silence", weight=0.2),
    Pattern(name="burst", expected=frozenset({200, 429, 503}), says="twenty good calls at one moment", weight=0.2),
)
"""Every attack; a status that is not expected is one that passed, or a server that broke."""

REPLAY: Final = Pattern(name="replay", expected=frozenset({403}), says="a signed call, sent again")
"""Only where the route table demands signatures: elsewhere a call may be made twice."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """One call: when it is due, in seconds from the beginning, and of which kind."""

    at_s: float
    kind: str


def schedule(
    rng: random.Random, *, rate: float, seconds: float, attack_share: float, patterns: Sequence[Pattern] = PATTERNS
) -> list[Due]:
    """Return calls as a Poisson process: of `rate` a second, of which a share are attacks."""
    due, at = [], rng.expovariate(rate)
    names, weights = [each.name for each in patterns], [each.weight for each in patterns]
    while at < seconds:
        kind = rng.choices(names, weights)[0] if rng.random() < attack_share else GOOD
        due += [Due(at_s=at, kind=kind)] * (BURST if kind == "burst" else 1)
        at += rng.expovariate(rate)
    return due


def rows_body(features: Sequence[Mapping[str, Any]], rng: random.Random, rows: int = 1, *, far: bool = False) -> bytes:
    """Return a call's body with rows inside the declared ranges, or far outside of them."""
    data = [drawn(each, rng, far=far) for _ in range(rows) for each in features]
    tensor = {"name": "input", "shape": [rows, len(features)], "datatype": "FP64", "data": data}
    return json.dumps({"inputs": [tensor]}).encode()


def drawn(feature: Mapping[str, Any], rng: random.Random, *, far: bool = False) -> float:
    """Return a value inside a feature's declared range, or far outside of it."""
    low, high = feature.get("minimum"), feature.get("maximum")
    low = (high - 1.0 if high is not None else 0.0) if low is None else low
    high = low + 1.0 if high is None else high
    if far:
        return float(high + 1e6 * (abs(high - low) + 1))
    return float(rng.randint(math.ceil(low), math.floor(high)) if feature.get("whole") else rng.uniform(low, high))


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of a call."""

    kind: str
    status: Status
    code: str = ""  # the gateway's, of a refusal
    latency_s: float = math.inf  # from when it was due
    service_s: float = math.inf  # from when it was sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """What must hold; exit codes follow from it."""

    p99_ms: float
    goodput: float  # share of good calls that are answered
    attacks_through: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A load test in numbers."""

    seconds: float
    good: int
    answered: int
    latency_ms: dict[str, float]  # of good calls, from when they were due
    service_ms: dict[str, float]  # from when they were sent: what a closed loop would have told
    refused_good: dict[str, int]  # good calls that were not answered, by code
    attacks: dict[str, dict[str, int]]  # by kind: calls, and those that got what they must not
    unexpected: dict[str, int]  # what these got, by kind and status
    breaches: tuple[str, ...] = field(default=())


QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99), ("p99.9", 0.999), ("max", 1.0))


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return quantiles in milliseconds (the smallest value that so many do not exceed); empty of nothing.

    >>> quantiles([0.001, 0.002, 0.003, 0.004])["p50"]
    2.0
    """
    found = sorted(seconds)
    return {
        name: round(found[max(0, math.ceil(share * len(found)) - 1)] * 1000, 3) for name, share in QUANTILES if found
    }


def report(outcomes: Sequence[Outcome], slo: Slo, seconds: float, patterns: Sequence[Pattern] = PATTERNS) -> Report:
    """Return what became of all calls, and which parts of the objective were missed.

    A good call that was not answered counts as infinitely late: leaving calls out would make the rest look faster.
    """
    good = [each for each in outcomes if each.kind == GOOD]
    answered = [each for each in good if each.status == 200]  # noqa: PLR2004
    expected = {each.name: each.expected for each in patterns}
    attacks: dict[str, dict[str, int]] = {}
    unexpected: Counter[str] = Counter()
    for each in outcomes:
        if each.kind == GOOD:
            continue
        counted = attacks.setdefault(each.kind, {"calls": 0, "unexpected": 0})
        counted["calls"] += 1
        if each.status not in expected[each.kind]:
            counted["unexpected"] += 1
            unexpected[f"{each.kind}: {each.status}"] += 1
    refused = Counter(each.code or str(each.status) for each in good if each.status != 200)  # noqa: PLR2004
    all_of = quantiles([each.latency_s if each.status == 200 else math.inf for each in good])  # noqa: PLR2004
    made = Report(
        seconds=seconds,
        good=len(good),
        answered=len(answered),
        latency_ms=all_of,
        service_ms=quantiles([each.service_s for each in answered]),
        refused_good=dict(sorted(refused.items())),
        attacks=dict(sorted(attacks.items())),
        unexpected=dict(sorted(unexpected.items())),
    )
    return Report(**{name: getattr(made, name) for name in _FIELDS}, breaches=tuple(_breaches(made, slo)))


_FIELDS: Final = (
    *("seconds", "good", "answered", "latency_ms", "service_ms", "refused_good", "attacks", "unexpected"),
)


def _breaches(found: Report, slo: Slo) -> Iterator[str]:
    if not found.good:  # empty means no
        yield "no good call was made"
        return
    p99, goodput = found.latency_ms["p99"], found.answered / found.good
    if p99 > slo.p99_ms:
        words = f"is {p99:g} ms" if math.isfinite(p99) else "was not answered"
        yield f"p99 {words}, and {slo.p99_ms:g} ms were promised"
    if goodput < slo.goodput:
        yield f"{goodput:.2%} of good calls were answered, and {slo.goodput:.2%} were promised"
    through = sum(each["unexpected"] for each in found.attacks.values())
    if through > slo.attacks_through:
        what = ", ".join(f"{name} ({count})" for name, count in list(found.unexpected.items())[:4])
        yield f"{through} attacks got what they must not: {what}"
