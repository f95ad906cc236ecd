"""What a rollout puts on record: sealed evidence about the candidate, beside its history, and on it where it is bad."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from holdfast.core.artifact import Artifact, Digest, Kind, digest_json
from holdfast.core.control import Control
from holdfast.core.control import run as run_control
from holdfast.core.evidence import Evidence, MadeWith
from holdfast.core.ledger import Draft
from holdfast.core.passport import FILED
from holdfast.core.seal import EVIDENCE
from holdfast.core.telemetry import traffic_stream
from holdfast.lifecycle.intake import profiles_of
from holdfast.lifecycle.plant import Plant
from holdfast.registry import Standing

COMPARED: Final = "rollout.compared"  # kind of an entry: a candidate was compared; body: control, envelope, beside
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareContext(Generic[T]):
    """What a comparison is about, and what it found."""

    release: str
    beside: str  # the baseline
    value: T


def measured(
    plant: Plant, control: Control[T], context: CompareContext[T], *, travels: bool
) -> tuple[Evidence, tuple[Draft, ...]]:
    """Seal what a comparison found, and return the evidence with the entries that put it on record.

    Args:
        plant: The control plane.
        control: Turns the finding into evidence.
        context: The finding.
        travels: Whether it is filed on the release itself, where every later passport carries it: bad news is.
    """
    subject = Artifact(kind=Kind.RELEASE, digest=Digest(context.release), size=0)
    made_with = MadeWith(code=plant.code, configuration=digest_json({"beside": context.beside}))
    item = run_control(control, context.value, subject, made_with)
    envelope = plant.seal(item, EVIDENCE, item.stage)
    about: dict[str, Any] = {"control": item.control, "envelope": envelope, "outcome": item.outcome}
    stream = traffic_stream(context.release)
    drafts = [Draft(kind=COMPARED, actor="watch", stream=stream, body=about | {"beside": context.beside})]
    if travels:
        body = about | {"run": envelope}
        drafts.append(Draft(kind=FILED, actor="watch", stream=context.release, body=body))
    return item, tuple(drafts)


def scores_of(plant: Plant, now: Standing) -> tuple[Sequence[int], Sequence[int]]:
    """Return the counts of the training scores of candidate and baseline, in the cells of their profiles."""
    return tuple(profiles_of(plant, each)[1].cells for each in (now.candidate, now.baseline))  # type: ignore[return-value]
