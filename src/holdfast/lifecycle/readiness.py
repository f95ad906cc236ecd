"""Readiness: carries out what must be known of a release before the gate, on things as they are.

Nothing here is ticked off by hand: each control probes something live, logs that it began, and leaves sealed evidence.
Which of them a release needs, and how fresh, the policy says.
"""

from typing import Final

from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.errors import UsageError
from holdfast.core.evidence import Evidence, Outcome
from holdfast.lifecycle.carrying import carry_out
from holdfast.lifecycle.lineage import LINEAGE, Lineage, features_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.premises import PREMISES, Premise
from holdfast.lifecycle.probes import DRILL, PROBES, Stage
from holdfast.lifecycle.promotion import resolve_release
from holdfast.lifecycle.reply import Progress, Reply, Table, short
from holdfast.lifecycle.routing import case_of, current_project, project_of

READINESS: Final = (*(control.name for control in PREMISES), LINEAGE.name, *(control.name for control in PROBES))
"""What `holdfast ready` carries out, in order; a rollback is drilled with `holdfast drill rollback`."""


def ready(plant: Plant, *, release: str | None = None, only: str | None = None) -> Reply:
    """Carry out the controls that a release needs before production, and put on record what they found.

    Raises:
        UsageError: `only` names no control.
        NotFound: There is no such release.
    """
    if only is not None and only not in READINESS:
        raise UsageError(f"there is no such control {only!r}", expected=", ".join(READINESS))
    plant.unlock()
    subject = resolve_release(plant, current_project(plant), release)
    found: list[Evidence] = []
    with plant.ledger.lease("run"):
        artifact, configuration = _subject(plant, subject)
        for premise in (each for each in PREMISES if only in {None, each.name}):
            context = Premise(plant=plant, subject=subject)
            found.append(carry_out(plant, premise, context, artifact, configuration=configuration))
            _tell(plant, found[-1])
        if only in {None, LINEAGE.name}:
            features = features_of(plant, subject)
            lineage = Lineage(plant=plant, subject=subject, features=features)
            found.append(carry_out(plant, LINEAGE, lineage, features, configuration=configuration))
            _tell(plant, found[-1])
        for probe in (each for each in PROBES if only in {None, each.name}):
            stage = Stage(plant=plant, dossier=case_of(plant, subject).dossier)
            found.append(carry_out(plant, probe, stage, artifact, configuration=configuration))
            _tell(plant, found[-1])
    return _reply(subject, found)


def drill_rollback(plant: Plant, *, release: str | None = None) -> Reply:
    """Rehearse taking a release out again, measure how long it takes, and put it on record.

    Raises:
        NotFound: There is no such release.
    """
    plant.unlock()
    subject = resolve_release(plant, current_project(plant), release)
    with plant.ledger.lease("run"):
        artifact, configuration = _subject(plant, subject)
        stage = Stage(plant=plant, dossier=case_of(plant, subject).dossier)
        found = carry_out(plant, DRILL, stage, artifact, configuration=configuration)
    return _reply(subject, [found])


def _subject(plant: Plant, subject: Digest) -> tuple[Artifact, Digest]:
    """Return the release as an artifact, and the digest of the project document that it was made from."""
    project_of(plant, subject)  # refuses what was changed
    recorded = plant.last(subject, "artifact.recorded")
    parents = recorded.body["parents"] if recorded else ()
    configuration = next(each["digest"] for each in parents if each["kind"] == Kind.PROJECT)
    return Artifact(kind=Kind.RELEASE, digest=subject, size=0), Digest(configuration)


def _tell(plant: Plant, item: Evidence) -> None:
    state = "failed" if item.outcome is Outcome.FAILED else "finished"
    plant.tell(Progress(stage=item.control, state=state, words=_words(item)))  # type: ignore[arg-type]


def _words(item: Evidence) -> str:
    return "; ".join(map(str, (*item.measures, *item.timings)[:3])) or item.reason[:200]


def _reply(subject: Digest, found: list[Evidence]) -> Reply:
    bad = [item for item in found if item.outcome is Outcome.FAILED]
    rows = [(item.control, item.outcome, _words(item), str(len(item.findings))) for item in found]
    table = Table(title="Readiness", columns=("control", "outcome", "what it found", "findings"), rows=rows)
    document = {
        "release": subject,
        "evidence": [
            {
                "control": item.control,
                "outcome": item.outcome,
                "reason": item.reason,
                "measures": {measure.name: measure.value for measure in (*item.measures, *item.timings)},
                "findings": [finding.message for finding in item.findings],
            }
            for item in found
        ],
    }
    says = f"{len(found) - len(bad)} of {len(found)} controls gave a result for release {short(subject)}."
    says += f" {bad[0].control} failed: {bad[0].reason}" if bad else " What it is worth, the policy decides."
    return Reply(says=says, document=document, tables=(table,), exit_code=1 if bad else 0)
