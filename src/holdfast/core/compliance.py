"""The control map: which provisions of which framework rest on which evidence, and what of it is live.

Decides from a map and from what is live which lines are shown and which are gaps. It says what there is evidence for;
whether a law is complied with is not a thing that software can say.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from holdfast.core.errors import InvalidInput

MAX_MAP: Final = 1 << 20  # bytes
SORTS: Final = ("control", "guard", "fact")


class Framework(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A law, standard or catalogue, in one edition."""

    id: str
    name: str
    edition: str
    date: str


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One provision, and what shows it: everything in `shown_by`, or else a gap that Holdfast does not close."""

    framework: str
    provision: str
    about: str
    shown_by: tuple[str, ...] = ()
    gap: str = ""


class Unmapped(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A control or guard that no line names, and why."""

    name: str
    because: str


class ControlMap(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of the control map."""

    version: int
    framework: tuple[Framework, ...]
    line: tuple[Line, ...]
    unmapped: tuple[Unmapped, ...] = ()

    @property
    def sources(self) -> frozenset[str]:
        """Everything that some line rests on."""
        return frozenset(source for line in self.line for source in line.shown_by)


def parse_map(text: bytes) -> ControlMap:
    """Return the control map in a TOML document.

    Raises:
        InvalidInput: It is malformed, a line names no known framework or source, or neither evidence nor a gap.
    """
    try:
        found = msgspec.toml.decode(text[:MAX_MAP], type=ControlMap)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"the control map cannot be read: {error}") from error
    known = {framework.id for framework in found.framework}
    seen: set[tuple[str, str]] = set()
    for line in found.line:
        place = f"{line.framework} {line.provision}"
        if line.framework not in known or (line.framework, line.provision) in seen:
            raise InvalidInput("a line of an unknown framework, or a provision given twice", place=place)
        if bool(line.shown_by) == bool(line.gap):  # empty means no: a line that rests on nothing would always be shown
            raise InvalidInput("a line rests on evidence or is a gap", place=place, expected="shown_by or gap")
        if any(source.partition(":")[0] not in SORTS or not source.partition(":")[2] for source in line.shown_by):
            raise InvalidInput("a line rests on something unknown", place=place, expected=f"one of {SORTS}, and a name")
        seen.add((line.framework, line.provision))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What is known of one source now: whether it shows what it should, and where to look."""

    shown: bool
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stood:
    """A line as it stands now."""

    line: Line
    shown: bool
    because: tuple[str, ...]  # what shows it; for a gap what is missing


def stand(mapped: ControlMap, live: Mapping[str, Live], framework: str | None = None) -> Sequence[Stood]:
    """Return every line, or those of one framework, as it stands: shown while all that it rests on is live.

    Raises:
        InvalidInput: There is no such framework.
    """
    known = [each.id for each in mapped.framework]
    if framework is not None and framework not in known:
        raise InvalidInput(f"there is no framework {framework[:40]!r} in the map", expected=", ".join(known))
    return [_stand(line, live) for line in mapped.line if framework in {None, line.framework}]


def _stand(line: Line, live: Mapping[str, Live]) -> Stood:
    if line.gap:
        return Stood(line=line, shown=False, because=(line.gap,))
    silent = Live(shown=False, words="nothing is known of it")
    found = [(source, live.get(source, silent)) for source in line.shown_by]
    missing = tuple(f"{source}: {each.words}" for source, each in found if not each.shown)
    return Stood(line=line, shown=not missing, because=missing or tuple(f"{s}: {e.words}" for s, e in found))
