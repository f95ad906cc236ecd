"""Maturity and kickoff: what an installation practises, level by level, and the seven steps that lead there.

Nobody answers a questionnaire: each practice rests on controls that are in force or are not.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.plan.lines import Judged, Line, groups

LEVELS: Final = ("beginner", "intermediate", "advanced")
_BEGINNER, _INTERMEDIATE, _ADVANCED = LEVELS

PRACTICES: Final = (
    Line(group=_BEGINNER, claim="every model is listed with an owner", needs=("inventory:complete",)),
    Line(group=_BEGINNER, claim="data are held to a contract", needs=("ingest.contract/1", "ingest.provenance/1")),
    Line(group=_BEGINNER, claim="models are scanned and signed", needs=("release.scan/1", "release.signature/1")),
    Line(group=_BEGINNER, claim="callers are known", needs=("guard:authenticated",)),
    Line(
        group=_INTERMEDIATE, claim="a policy decides, and a person answers", needs=("policy:accepted", "approval:owner")
    ),
    Line(group=_INTERMEDIATE, claim="calls are limited and checked", needs=("guard:within-rate", "guard:valid-input")),
    Line(group=_INTERMEDIATE, claim="service levels are measured", needs=("watch:telemetry", "watch.sli/1")),
    Line(group=_INTERMEDIATE, claim="drift is measured", needs=("watch.drift/1",)),
    Line(group=_ADVANCED, claim="models are attacked before they answer", needs=("assess.robustness/1",)),
    Line(group=_ADVANCED, claim="the threat model is current", needs=("threats:current",)),
    Line(
        group=_ADVANCED, claim="the response is written and was practised", needs=("runbook:written", "tabletop:held")
    ),
    Line(group=_ADVANCED, claim="history can be proved", needs=("ledger:chain", "ledger:checkpoint")),
)
"""PLAN-08 as a table: three levels of four practices."""

KICKOFF: Final = (
    Line(group="day 1", claim="inventory", needs=("inventory:complete",)),
    Line(group="day 2", claim="telemetry and service levels", needs=("watch:telemetry", "watch.sli/1")),
    Line(group="day 3", claim="signing", needs=("release.signature/1", "key:release")),
    Line(group="day 4", claim="drift and adversarial tests", needs=("watch.drift/1", "assess.robustness/1")),
    Line(group="day 5", claim="gateway limits", needs=("guard:within-rate", "guard:within-size")),
    Line(group="day 6", claim="runbook and ownership", needs=("runbook:written", "project:owner")),
    Line(group="day 7", claim="tabletop", needs=("tabletop:held",)),
)
"""PLAN-15 as a table: one step a day, each with the outcome that is checked."""

HOW: Final = {
    "day 1": "Fill in [project] and [risk]; `holdfast inventory` must list every model that answers.",
    "day 2": "Run `holdfast serve` and `holdfast watch --every 60` beside it, and send it traffic.",
    "day 3": "`holdfast run` signs the release; `holdfast verify` checks the signature.",
    "day 4": "`holdfast run` attacks the model; `holdfast watch` measures drift once enough traffic has come.",
    "day 5": "`holdfast promote` puts the guards of [serving] into the signed route table.",
    "day 6": "Write RUNBOOK.md: the owner, and a section for each signal of the playbook.",
    "day 7": 'Walk through the playbook with everybody: `holdfast plan tabletop --reason "…"`.',
}
"""What to do on each day."""


def level(judged: Sequence[Judged]) -> str:
    """Return the highest level of which everything, and everything below, is practised; `none` below the first."""
    reached = "none"
    for name, whole in groups(judged).items():
        if not whole:
            break
        reached = name
    return reached
