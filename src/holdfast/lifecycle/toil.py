"""Toil: what ran without hands, what was done by hand and why, from what the ledger says of who did what.

Regular audits belong to the first: `audit run` is made for a timer. It verifies everything and puts that on record.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import Draft, Entry
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.verification import verify

AUDITED: Final = "audit.run"  # body: checks, broken, open
MAX_DAYS: Final = 3660


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A kind of work: what it is, which entries show it, and for work by hand why it stays so."""

    name: str
    kinds: tuple[str, ...]
    by_hand: str = ""  # why a person does it; empty for what runs by itself


STEPS: Final = (
    Step(name="signing of releases", kinds=("release.signed", "dataset.signed")),
    Step(name="security checks and other controls", kinds=("evidence.filed",)),
    Step(name="stages of the pipeline", kinds=("stage.finished", "stage.reused")),
    Step(name="route tables and leases", kinds=("endpoint.routed",)),
    Step(name="telemetry and security events taken in", kinds=("telemetry.drained", "security.drained")),
    Step(name="traffic measured", kinds=("traffic.measured",)),
    Step(name="refusals by policy", kinds=("decision.denied",)),
    Step(name="steps of incidents", kinds=("incident.opened", "incident.extended", "incident.closed")),
    Step(name="damaged blobs restored", kinds=("blob.restored",)),
    Step(name="regular audits", kinds=(AUDITED,)),
    Step(name="checkpoints cosigned by witnesses", kinds=("checkpoint.witnessed",)),
    Step(name="logs pruned", kinds=("logs.pruned",)),
    Step(
        name="approvals, rejections and rollbacks",
        kinds=("authorization.filed",),
        by_hand="a person answers for what goes into production: not to be automated",
    ),
    Step(
        name="policies and witnesses accepted",
        kinds=("policy.accepted", "trust.witness"),
        by_hand="the root key's word: not to be automated",
    ),
    Step(
        name="API keys issued or revoked",
        kinds=("credential.issued", "credential.revoked"),
        by_hand="somebody decides who may call; an identity provider can take this over",
    ),
    Step(
        name="reviews held",
        kinds=("routine.held",),
        by_hand="the material gathers itself; reading it is the point",
    ),
    Step(name="reviews planned", kinds=("routine.scheduled",), by_hand="a day that suits the people who come"),
)
"""Every kind of work that the report knows."""


def audit_run(plant: Plant) -> Reply:
    """Verify everything and put the result on record: for a timer, without hands.

    The exit code is that of `verify`: a timer that watches it learns of what is broken.
    """
    plant.unlock()
    found = verify(plant)
    checks = found.document["checks"]
    broken = [check["what"] for check in checks if check["result"] == "BROKEN"]
    unknown = [check["what"] for check in checks if check["result"] == "unknown"]
    if "ledger" in broken:  # nothing is written on top of a history that does not hold
        return found
    body = {"checks": len(checks), "broken": broken, "unknown": unknown}
    plant.ledger.append([Draft(kind=AUDITED, actor="registry", stream="audits", body=body)])
    return found


def toil(plant: Plant, *, days: int = 30) -> Reply:
    """Report what ran without hands in the last days, and the steps by hand that are left, with their reasons.

    Raises:
        InvalidInput: `days` is no span of time.
    """
    if not 0 < days <= MAX_DAYS:
        raise InvalidInput(f"--days {days}", expected=f"1 to {MAX_DAYS}")
    since = plant.clock.now() - timedelta(days=days)
    entries = [entry for entry in plant.ledger.entries() if entry.moment >= since]
    times = Counter(entry.kind for entry in entries)
    without = [_row(step, times, entries) for step in STEPS if not step.by_hand]
    by_hand = [_row(step, times, entries) for step in STEPS if step.by_hand]
    done_by_hand, done = sum(row["times"] for row in by_hand), sum(row["times"] for row in (*without, *by_hand))
    share = 1 - done_by_hand / done if done else 0.0
    left = [row for row in by_hand if row["times"]]
    says = f"{done - done_by_hand} of {done} steps in {counted(days, 'day')} ran without hands ({share:.0%});"
    says += f" {counted(len(left), 'kind of work by hand is', 'kinds of work by hand are')} left."
    columns = ("what", "times", "last", "by")
    tables = (
        Table(title="Without hands", columns=columns, rows=[_cells(row) for row in without]),
        Table(title="By hand", columns=(*columns, "why"), rows=[(*_cells(row), row["why"]) for row in by_hand]),
    )
    document = {"days": days, "without_hands": without, "by_hand": by_hand, "automated_share": round(share, 4)}
    return Reply(says=says, document=document, tables=tables)


def _row(step: Step, counted: Mapping[str, int], entries: list[Entry]) -> dict[str, Any]:
    mine = [entry for entry in entries if entry.kind in step.kinds]
    return {
        "what": step.name,
        "times": sum(counted[kind] for kind in step.kinds),
        "last": mine[-1].time if mine else None,
        "by": sorted({entry.actor for entry in mine}),
        "why": step.by_hand,
    }


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    return (row["what"], str(row["times"]), (row["last"] or "—")[:16], ", ".join(row["by"]) or "—")
