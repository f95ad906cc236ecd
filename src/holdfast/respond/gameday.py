"""Game days: which failures and attacks are rehearsed on a copy of a gateway, and how each rehearsal is scored.

Decides without sockets. A rehearsal is passed if what was done to the gateway was noticed by it, if it answered again
within its time, and if no more calls failed than may: those that a killed worker held. The next game day is due a term
after the last, by the project's own word; one that was begun and never ended counts for nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.control import Control, Report
from holdfast.core.errors import InvalidInput, StageFailed
from holdfast.core.evidence import Finding, Severity, exactly


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """One thing that is done to a gateway, and what is asked of it meanwhile."""

    name: str
    does: str
    within_s: float  # in which it must be noticed, and again in which the gateway must be itself
    may_fail: int = 0  # calls that a killed process may have held
    returns: bool = True  # whether the gateway is to answer as before; else it ends in its declared safe state


REHEARSALS: Final = (
    Rehearsal(name="kill-worker", does="a worker is killed", within_s=20.0, may_fail=3),
    Rehearsal(name="hang-worker", does="a worker is stopped and never goes on", within_s=30.0, may_fail=3),
    Rehearsal(name="cut-control-plane", does="what the control plane publishes is gone for a while", within_s=10.0),
    Rehearsal(name="attacks", does="calls of attackers come among good ones", within_s=20.0),
    Rehearsal(name="rollback", does="the release is taken out and what was before is put back", within_s=20.0),
    Rehearsal(name="tampering", does="the pinned root keys are changed on the disk", within_s=30.0, returns=False),
)
"""In the order in which they are carried out: the last leaves nothing that answers."""
NAMES: Final = tuple(each.name for each in REHEARSALS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsed:
    """How one rehearsal went."""

    rehearsal: str
    detect_s: float | None  # until the gateway itself showed that it noticed; None: it did not
    recover_s: float | None  # until it was itself again; None: it was not, or is not to be
    calls: int
    failed: int
    words: str = ""  # what went wrong, where something did


def rehearsal(name: str) -> Rehearsal:
    """Return a rehearsal by name.

    Raises:
        InvalidInput: There is none of that name.
    """
    for each in REHEARSALS:
        if each.name == name:
            return each
    raise InvalidInput(f"there is no rehearsal {name[:40]!r}", expected=", ".join(NAMES))


def faults(found: Rehearsed) -> tuple[str, ...]:
    """Return why a rehearsal is not passed; nothing where it is."""
    asked = rehearsal(found.rehearsal)
    said = [found.words] if found.words else []
    if found.detect_s is None or found.detect_s > asked.within_s:
        said.append(f"it was not noticed within {asked.within_s:g} s")
    if asked.returns and (found.recover_s is None or found.recover_s > asked.within_s):
        said.append(f"the gateway was not itself again within {asked.within_s:g} s")
    if found.failed > asked.may_fail:
        said.append(f"{found.failed} of {found.calls} calls failed, {asked.may_fail} may")
    return tuple(said)


def _measure(day: Sequence[Rehearsed]) -> Report:
    """Measure a day: what was passed, how many calls failed, how long each took to be noticed and to be over.

    Raises:
        StageFailed: Nothing was rehearsed.
    """
    if not day:
        raise StageFailed("nothing was rehearsed")
    findings = [
        Finding(place=each.rehearsal, severity=Severity.HIGH, rule="gameday", message=why)
        for each in day
        for why in faults(each)
    ]
    timings = [exactly(f"detect_s:{each.rehearsal}", each.detect_s) for each in day if each.detect_s is not None]
    timings += [exactly(f"recover_s:{each.rehearsal}", each.recover_s) for each in day if each.recover_s is not None]
    return Report(
        measures=(
            exactly("rehearsals", len(day)),
            exactly("passed", sum(not faults(each) for each in day)),
            exactly("failed_calls", sum(each.failed for each in day)),
            exactly("calls", sum(each.calls for each in day)),
        ),
        findings=tuple(findings),
        timings=tuple(timings),
    )


GAMEDAY: Final[Control[Sequence[Rehearsed]]] = Control(name="respond.gameday/1", measure=_measure)


def next_due(last: datetime | None, begun: datetime, every_s: float) -> datetime:
    """Return when the next game day is due: a term after the last, or after there was first something to rehearse."""
    return (last or begun) + timedelta(seconds=every_s)
