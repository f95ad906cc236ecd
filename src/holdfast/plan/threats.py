"""The threat model of one model, `threats.toml`: four areas, each threat linked to a control and its test.

A link is a claim. `faults` holds every one against the names that exist; whether a control is in force is judged from
live facts like everything else.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final, Literal, get_args

import msgspec

from holdfast.core.artifact import Kind
from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import Finding, Severity
from holdfast.core.planning import Words
from holdfast.plan.lines import Line
from holdfast.plan.matrix import LANDSCAPE

MAX_THREATS: Final = 256 * 1024  # bytes; a hundred threats in words
Area = Literal["infrastructure", "data-pipeline", "model-api", "provenance"]
AREAS: Final[tuple[str, ...]] = get_args(Area)
PROVEN: Final = (Kind.SOURCE, Kind.DATASET, Kind.FEATURES, Kind.RECIPE, Kind.MODEL, Kind.RELEASE)
"""Artifacts whose origin the area `provenance` must speak of: all that a release rests on."""


class Threat(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One threat: what could happen to what, and the controls and tests that stand against it."""

    id: Words
    area: Area
    category: Words  # one of the landscape
    asset: Words
    vector: Words
    impact: Words
    controls: tuple[Words, ...]
    tests: tuple[Words, ...]
    artifacts: tuple[Kind, ...] = ()  # whose provenance it is about


class ThreatModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of `threats.toml`."""

    model: Words
    threat: tuple[Threat, ...]

    def lines(self) -> tuple[Line, ...]:
        """Return one line for each threat: what it needs to be held off."""
        return tuple(
            Line(group=threat.area, claim=threat.id, needs=threat.controls, tests=threat.tests)
            for threat in self.threat
        )


def parse_threats(text: bytes, *, place: str = "threats.toml") -> ThreatModel:
    """Return the threat model in a TOML document.

    Raises:
        InvalidInput: It is too long, not TOML, or holds keys or words that it may not.
    """
    if len(text) > MAX_THREATS:
        raise InvalidInput(f"{len(text)} bytes", place=place, expected=f"at most {MAX_THREATS}")
    try:
        return msgspec.toml.decode(text, type=ThreatModel)
    except (ValueError, RecursionError) as error:  # ValueError: not UTF-8, not TOML, not a threat model
        raise InvalidInput(f"the threat model cannot be read: {error}", place=place) from error


def faults(
    threats: ThreatModel, *, model: str, controls: Collection[str], is_test: Callable[[str], bool]
) -> Iterator[Finding]:
    """Yield everything that is missing or leads nowhere.

    Args:
        threats: The threat model.
        model: The model that it must be about.
        controls: Names of the controls that exist here.
        is_test: Says whether a test of this name exists.
    """
    if threats.model != model:
        yield _finding("model", "other-model", f"it is about {threats.model!r}, the project is {model!r}")
    there = {threat.area for threat in threats.threat}
    for area in AREAS:
        if area not in there:
            yield _finding(area, "missing-area", f"no threat to the {area} is on record")
    spoken = {kind for threat in threats.threat if threat.area == "provenance" for kind in threat.artifacts}
    for kind in PROVEN:
        if kind not in spoken:
            yield _finding("provenance", "unproven-artifact", f"nothing is said of where the {kind} comes from")
    known = {entry.category for entry in LANDSCAPE}
    for threat in threats.threat:
        if threat.category not in known:
            yield _finding(threat.id, "unknown-category", f"{threat.category!r} is none of {', '.join(sorted(known))}")
        for name, links, exists in (
            ("control", threat.controls, controls.__contains__),
            ("test", threat.tests, is_test),
        ):
            if not links:
                yield _finding(threat.id, f"no-{name}", f"no {name} stands against it")
            for link in links:
                if not exists(link):
                    yield _finding(threat.id, f"dangling-{name}", f"the {name} {link!r} does not exist")


def _finding(place: str, rule: str, words: str) -> Finding:
    return Finding(place=f"threats.toml: {place}", severity=Severity.HIGH, rule=rule, message=words)
