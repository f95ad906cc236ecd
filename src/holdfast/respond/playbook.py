"""The playbook: what is done about which signal, as rows of a table.

A reaction to a new signal is a new row. Nothing here acts: `lifecycle` carries the commands out and records each one.
"""

from enum import StrEnum
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.core.machine import Machine
from holdfast.core.signals import Signal


class Posture(StrEnum):
    """How an endpoint stands."""

    STEADY = "steady"
    CONTAINED = "contained"  # back on the baseline, an incident is open


class Command(StrEnum):
    """What the lifecycle is told to do."""

    ROLL_BACK = "roll-back"
    OPEN_INCIDENT = "open-incident"
    ADD_TO_INCIDENT = "add-to-incident"
    CLOSE_INCIDENT = "close-incident"


_CONTAIN: Final = (Command.ROLL_BACK, Command.OPEN_INCIDENT)
_CONTAIN_FURTHER: Final = (Command.ROLL_BACK, Command.ADD_TO_INCIDENT)

PLAYBOOK: Final = Machine(
    name="playbook",
    initial=Posture.STEADY,
    table={
        (Posture.STEADY, Signal.INTEGRITY_FAILURE): (Posture.CONTAINED, _CONTAIN),
        (Posture.STEADY, Signal.DRIFT): (Posture.CONTAINED, _CONTAIN),
        (Posture.STEADY, Signal.ERRORS): (Posture.CONTAINED, _CONTAIN),
        (Posture.STEADY, Signal.LATENCY): (Posture.CONTAINED, _CONTAIN),
        (Posture.STEADY, Signal.UNAUTHORISED): (Posture.STEADY, (Command.OPEN_INCIDENT,)),  # it was refused
        (Posture.CONTAINED, Signal.UNAUTHORISED): (Posture.CONTAINED, (Command.ADD_TO_INCIDENT,)),
        (Posture.CONTAINED, Signal.INTEGRITY_FAILURE): (Posture.CONTAINED, _CONTAIN_FURTHER),
        (Posture.CONTAINED, Signal.DRIFT): (Posture.CONTAINED, (Command.ADD_TO_INCIDENT,)),
        (Posture.CONTAINED, Signal.ERRORS): (Posture.CONTAINED, (Command.ADD_TO_INCIDENT,)),
        (Posture.CONTAINED, Signal.LATENCY): (Posture.CONTAINED, (Command.ADD_TO_INCIDENT,)),
        (Posture.STEADY, Signal.EMERGENCY): (Posture.CONTAINED, (Command.OPEN_INCIDENT,)),  # it was acted upon
        (Posture.CONTAINED, Signal.EMERGENCY): (Posture.CONTAINED, (Command.ADD_TO_INCIDENT,)),
        (Posture.STEADY, Signal.STALE_FEATURES): (
            Posture.CONTAINED,
            (Command.OPEN_INCIDENT,),
        ),  # no release is to blame
        (Posture.CONTAINED, Signal.STALE_FEATURES): (Posture.CONTAINED, (Command.ADD_TO_INCIDENT,)),
        (Posture.CONTAINED, Signal.RESOLVED): (Posture.STEADY, (Command.CLOSE_INCIDENT,)),
    },
)

SEVERITY: Final = {
    Signal.INTEGRITY_FAILURE: Severity.CRITICAL,
    Signal.DRIFT: Severity.HIGH,
    Signal.ERRORS: Severity.HIGH,
    Signal.LATENCY: Severity.MEDIUM,
    Signal.UNAUTHORISED: Severity.HIGH,
    Signal.EMERGENCY: Severity.CRITICAL,
    Signal.STALE_FEATURES: Severity.MEDIUM,
    Signal.RESOLVED: Severity.INFO,
}
