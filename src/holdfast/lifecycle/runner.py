"""The runner: carries the stages out, seals what they measured with their own keys, and puts it on record.

A run is logged before it starts; what a stage made and measured becomes visible in one append, or not at all. A process
that dies leaves a started run without a result: the next run records it as failed, and goes on from the stages that had
finished.
"""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from holdfast.core.artifact import Artifact, Digest, Kind, digest_json, parse_manifest
from holdfast.core.authorship import AUTHORS
from holdfast.core.control import Result
from holdfast.core.errors import HoldfastError, IntakeClosed, NotFound, StageFailed, UsageError, in_words
from holdfast.core.evidence import MAX_REASON, SEVERITIES, Evidence, Finding, MadeWith, Outcome, Severity, failed
from holdfast.core.ledger import Draft, Entry
from holdfast.core.passport import FILED, STARTED
from holdfast.core.ports import Sandbox, Workspace, no_recogniser, no_token_key
from holdfast.core.project import Project
from holdfast.core.seal import EVIDENCE, claimed
from holdfast.lifecycle import FOLDERS, STAGES, Stage, parents_of, stages_of
from holdfast.lifecycle.attesting import attest
from holdfast.lifecycle.authorship import record_authorship
from holdfast.lifecycle.carrying import filed
from holdfast.lifecycle.consuming import check_inputs
from holdfast.lifecycle.inputs import ARTIFACTS_KEY, rows_key, take_in
from holdfast.lifecycle.mending import sound
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Progress, Reply, Table, short
from holdfast.lifecycle.row_index import index_split
from holdfast.lifecycle.secrets import job_of, release
from holdfast.lifecycle.versions import Note, commit_dataset

INTAKE = "plan.intake/1"  # whose evidence opens the way to training
TREATS = frozenset({Kind.DATASET, Kind.FEATURES})  # who makes these sees rows as they came, and treats what is personal
FAIRNESS = "assess.fairness/1"
GRAVE = frozenset({Severity.MEDIUM, Severity.HIGH, Severity.CRITICAL})  # findings that a run shows
SHOWN = 20  # of them
SEED_BITS = 48  # of a seed derived from subject and checkpoint: exact in JSON numbers, and nobody can choose it


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """Where a verb stands: what it may use, and what is there already."""

    plant: Plant
    ws: Workspace
    project: Project
    held: dict[Kind, Artifact]
    made_with: MadeWith
    stage: Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a verb gives back: the stage's result, and further entries for the ledger."""

    result: Result
    drafts: tuple[Draft, ...] = ()


def run(plant: Plant, *, until: str | None = None) -> Reply:
    """Carry the project from its raw rows to a signed release.

    Stages whose inputs, code and configuration are unchanged are reused, so a run that was killed goes on. What was
    ingested is committed as a version of the data set, where it is a new one.

    Raises:
        HoldfastError: What went wrong, with place and remedy; what was finished before is kept.
    """
    return carry(plant, until, lambda project, held: commit_dataset(plant, project, held, Note()))


def carry(plant: Plant, until: str | None, ingested: Callable[[Project, dict[Kind, Artifact]], object]) -> Reply:
    """Carry the project as far as a stage; `ingested` is called once the rows are in, before anything is made of them.

    Raises:
        HoldfastError: What went wrong, with place and remedy; what was finished before is kept.
    """
    names = [stage.name for stage in STAGES]
    if until is not None and until not in names:
        raise UsageError(f"there is no stage {until!r}", expected=", ".join(names))
    plant.unlock()
    with ExitStack() as ending, plant.ledger.lease("run"):
        shutil.rmtree(plant.scratch, ignore_errors=True)
        project, held = take_in(plant)
        ending.callback(_tell_lineage, plant, project)
        recover(plant, project_stream(project))
        rows, grave = list[tuple[str, ...]](), list[tuple[Evidence, Finding]]()
        stages = stages_of(outside=bool(project.train.outside), views=Kind.VIEWS in held)
        for stage in stages[: names.index(until) + 1 if until else None]:
            evidence = execute(plant, project, stage, held)
            rows += [_row(stage, item) for item in evidence]
            grave += [(item, found) for item in evidence for found in item.findings if found.severity in GRAVE]
            check_gates(evidence)
            if Kind.DATASET in stage.gives:
                ingested(project, held)
            if Kind.SPLIT in stage.gives:
                index_split(plant, held, stage.name)
            written = record_authorship(plant, project, held) if Kind.MODEL in stage.gives else None
            known = _advisories(plant, held) if Kind.RELEASE in stage.gives else None
            rows += [(stage.name, known.control, known.outcome, known.reason, "0")] if known else []
            rows += [(stage.name, written.control, written.outcome, _authors(written), "0")] if written else []
        if Kind.RELEASE in held:
            attest(plant, held[Kind.RELEASE].digest)
        shutil.rmtree(plant.scratch, ignore_errors=True)
    return _reply(project, held, rows, grave)


def _tell_lineage(plant: Plant, project: Project) -> None:
    """Tell the catalogue that is named what was run, however it ended; nobody else waits for that."""
    from holdfast.lifecycle.openlineage import tell_run  # which needs what this module makes

    tell_run(plant, project)


def _advisories(plant: Plant, held: dict[Kind, Artifact]) -> Evidence | None:
    """Hold a new release against the advisories that are known here; nothing where no snapshot was taken in."""
    from holdfast.lifecycle.dependencies import check_new_release  # which needs what this module makes

    return check_new_release(plant, Digest(held[Kind.RELEASE].digest))


def check_gates(evidence: Iterable[Evidence]) -> None:
    """Stop where an intake is closed: nothing is trained before its questions are answered.

    Raises:
        IntakeClosed: With every open question in words; the evidence is on record.
    """
    for item in evidence:
        if item.control != INTAKE:
            continue
        from holdfast.plan import Closed, Open, gate

        match gate(item):
            case Closed(reasons=reasons):
                raise IntakeClosed("; ".join(reasons), place="holdfast.toml: [intake]")
            case Open():
                pass


def project_stream(project: Project) -> str:
    """Return the name of the stream that holds a project's runs."""
    return f"project/{project.project.name}"


def recover(plant: Plant, stream: str) -> None:
    """Put runs that died on record as failed: a run without a result is never forgotten and never a pass."""
    entries = plant.ledger.stream(stream)
    ended = {entry.body["run"] for entry in entries if entry.kind in {"stage.finished", "stage.failed"}}
    for entry in entries:
        if entry.kind == "stage.started" and entry.body["run"] not in ended:
            plant.ledger.append(_failure(plant, stream, entry.body, "the process died before it gave a result"))


def execute(plant: Plant, project: Project, stage: Stage, held: dict[Kind, Artifact]) -> tuple[Evidence, ...]:
    """Run one stage, or reuse what it made of the same inputs; `held` gains its artifacts.

    Raises:
        StageFailed: The stage broke its promise.
        NotVerified: What it made before was changed since.
        HoldfastError: Whatever else went wrong in it; the run is on record as failed.
    """
    stream = project_stream(project)
    inputs = {kind: held[kind].digest for kind in stage.takes}
    key = digest_json({"stage": stage.name, "code": plant.code, "inputs": inputs})
    before = _finished(plant, stage, stream, key, held)
    if before is not None:
        held |= {Kind(item["kind"]): _artifact(item) for item in before.body["artifacts"]}
        kept = {name: before.body[name] for name in ("stage", "run", "key", "artifacts")}
        plant.ledger.append([_draft("stage.reused", stage.name, stream, kept)])  # what this run means by "the newest"
        plant.tell(Progress(stage=stage.name, state="reused", words="same inputs, same code: kept"))
        return _evidence_of(plant, before)
    subject = held.get(stage.about)
    begun: dict[str, Any] = {"stage": stage.name, "run": plant.entropy.token(8).hex(), "key": key, "inputs": inputs}
    begun |= {"controls": stage.leaves, "subject": subject.digest if subject else "", "kind": stage.about}
    begun["by"] = plant.actor
    made_with = MadeWith(
        code=plant.code,
        configuration=held[Kind.PROJECT].digest,
        data=tuple(sorted(inputs.values())),
        seed=_seed(plant, subject) if subject else project.train.seed,
    )
    check_inputs(plant, stage, held)
    plant.tell(Progress(stage=stage.name, state="started", words=stage.does))
    plant.ledger.append([_draft("stage.started", stage.name, stream, begun), *_controls_started(begun)])
    try:
        with _workspace(plant, project, stage, held, begun["run"]) as ws:
            at = At(plant=plant, ws=ws, project=project, held=dict(held), made_with=made_with, stage=stage)
            done = _verb(stage)(at)
        evidence = _complete(stage, done.result, held, made_with)
        drafts = _drafts(plant, stage, stream, begun, held, done, evidence)
    except BaseException as error:  # also an interrupt: what was started and gave no result has failed
        with suppress(HoldfastError):  # if it cannot be put on record now, the next run does it
            plant.ledger.append(_failure(plant, stream, begun, _words(error)))
        plant.tell(Progress(stage=stage.name, state="failed", words=_words(error)))
        raise
    plant.ledger.append(drafts)
    held |= {artifact.kind: artifact for artifact in done.result.artifacts}
    bad = [item for item in evidence if item.outcome is Outcome.FAILED]
    plant.tell(Progress(stage=stage.name, state="failed" if bad else "finished", words=_summary(evidence)))
    return evidence


def storage_key(stage: Stage, held: dict[Kind, Artifact]) -> str:
    """Return the data key under which a stage's results lie: one a data set for what holds rows, one for the rest."""
    return rows_key(held[Kind.SOURCE].digest) if stage.holds_rows else ARTIFACTS_KEY


def _verb(stage: Stage) -> Any:
    module, _, name = stage.verb.partition(":")
    return getattr(import_module(module), name)


@contextmanager
def _workspace(
    plant: Plant, project: Project, stage: Stage, held: dict[Kind, Artifact], run: str
) -> Iterator[Workspace]:
    """Give a stage an empty folder of its own, and the sandbox tier that the project asks for; never a weaker one.

    What it stores lies encrypted, under the data set's key or that of what holds no rows.
    """
    job = job_of(project, stage, held, run)
    sandbox: Sandbox = plant.open_sandbox(project.train.tier)
    plant.scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
    scratch = plant.scratch / plant.entropy.token(8).hex()
    scratch.mkdir(mode=0o700)
    try:
        yield Workspace(
            blobs=plant.sealed(storage_key(stage, held)),
            sandbox=sandbox,
            clock=plant.clock,
            scratch=scratch,
            secret=lambda name: release(plant, job, name),
            protected_key=lambda: _protected_key(plant, project, stage, held),
            token_key=(lambda: _token_key(plant, project)) if TREATS & set(stage.gives) else no_token_key,
            open_recogniser=plant.open_recogniser if TREATS & set(stage.gives) else no_recogniser,
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _protected_key(plant: Plant, project: Project, stage: Stage, held: dict[Kind, Artifact]) -> bytes:
    """Lend the key of protected attributes to the stage that seals them and the one that measures fairness."""
    from holdfast.lifecycle import protected  # which needs what this module makes

    if Kind.FEATURES in stage.gives:
        return protected.sealing_key(plant, project)
    if FAIRNESS in stage.leaves:
        return protected.assessing_key(plant, project, held[Kind.SPLIT])
    return protected.refuse(plant, project, stage.name)


def _token_key(plant: Plant, project: Project) -> bytes:
    """Lend the key of the project's tokens to the stages that see rows as they came: of the source, or of views."""
    from holdfast.lifecycle.dlp_tokens import token_key  # which needs what this module makes

    return token_key(plant, project.project.name)


def _seed(plant: Plant, subject: Artifact) -> int:
    """Return a seed that nobody can choose: from the subject, and a checkpoint taken after the subject was fixed."""
    material = digest_json({"subject": subject.digest, "root": plant.ledger.root().hex()})
    return int(material.removeprefix("sha256:"), 16) >> (256 - SEED_BITS)


def _complete(stage: Stage, result: Result, held: dict[Kind, Artifact], made_with: MadeWith) -> tuple[Evidence, ...]:
    """Return the evidence with a failure for every control that stayed silent; refuse evidence nobody asked for."""
    made = {artifact.kind: artifact for artifact in result.artifacts}
    missing = [kind for kind in stage.gives if kind not in made]
    if missing:
        raise StageFailed(f"{stage.name} made no {missing[0]}", place=stage.verb)
    subject = made.get(stage.about) or held[stage.about]
    for item in result.evidence:
        if item.control not in stage.leaves or item.subject != subject.digest:
            raise StageFailed(f"{stage.name} left evidence it does not answer for", place=item.control)
    left = {item.control for item in result.evidence}
    silent = [
        failed(control, subject.digest, subject.kind, made_with, "the control left no evidence")
        for control in stage.leaves
        if control not in left
    ]
    return (*result.evidence, *silent)


def _drafts(
    plant: Plant,
    stage: Stage,
    stream: str,
    begun: dict[str, Any],
    held: dict[Kind, Artifact],
    done: Done,
    evidence: tuple[Evidence, ...],
) -> list[Draft]:
    """Seal the evidence, and return all that becomes visible at once: artifacts, evidence and the end of the run."""
    drafts: list[Draft] = []
    known = held | {artifact.kind: artifact for artifact in done.result.artifacts}
    for artifact in done.result.artifacts:
        parents = tuple(known[kind] for kind in parents_of(artifact.kind, known))
        recording = plant.recording(artifact, parents, stage.name)
        drafts += [recording] if recording else []
    left = [filed(plant, item, begun["run"]) for item in evidence]
    made = [{"kind": item.kind, "digest": item.digest, "size": item.size} for item in done.result.artifacts]
    end = {
        "stage": stage.name,
        "run": begun["run"],
        "key": begun["key"],
        "artifacts": made,
        "evidence": [draft.body["envelope"] for draft in left],
        "clean": not any(item.outcome is Outcome.FAILED for item in evidence),
    }
    return [*drafts, *left, *done.drafts, _draft("stage.finished", stage.name, stream, end)]


def _draft(kind: str, stage: str, stream: str, body: dict[str, Any]) -> Draft:
    return Draft(kind=kind, actor=stage, stream=stream, body=body)


def _controls_started(begun: dict[str, Any]) -> list[Draft]:
    if not begun["subject"]:
        return []
    return [
        _draft(STARTED, begun["stage"], begun["subject"], {"control": control, "run": f"{begun['run']}/{control}"})
        for control in begun["controls"]
    ]


def _words(error: BaseException) -> str:
    """Return why a run failed, as a reader of the ledger wants to know it."""
    if isinstance(error, KeyboardInterrupt):
        return "it was interrupted"
    return error.fault if isinstance(error, HoldfastError) else in_words(error)


def _failure(plant: Plant, stream: str, begun: dict[str, Any], reason: str) -> list[Draft]:
    """Return the entries that say a run failed: its end, and failed evidence for each control it had started."""
    words = reason.encode(errors="replace").decode()[:MAX_REASON]
    body = {"stage": begun["stage"], "run": begun["run"], "reason": words}
    drafts = [_draft("stage.failed", begun["stage"], stream, body)]
    if not begun["subject"]:
        return drafts
    made_with = MadeWith(code=plant.code, configuration="")
    items = [failed(control, begun["subject"], Kind(begun["kind"]), made_with, words) for control in begun["controls"]]
    return [*drafts, *(filed(plant, item, begun["run"]) for item in items)]


def _finished(plant: Plant, stage: Stage, stream: str, key: Digest, held: dict[Kind, Artifact]) -> Entry | None:
    """Return the newest clean end of a run with this key, if what it left still stands.

    That is so if every byte of what it made is there, and if no control of it has failed on the same artifact since: a
    failure is superseded by running again, not by looking away.

    Raises:
        NotVerified: Something it made was changed since.
    """
    for entry in reversed(plant.ledger.stream(stream)):
        if entry.kind == "stage.finished" and entry.body["key"] == key and entry.body["clean"]:
            made = {Kind(item["kind"]): _artifact(item) for item in entry.body["artifacts"]}
            subject = (held | made)[stage.about].digest
            return entry if _kept(plant, made.values()) and not _failed_since(plant, stage, subject) else None
    return None


def _failed_since(plant: Plant, stage: Stage, subject: Digest) -> bool:
    """Say whether the last that is on record of any of a stage's controls on an artifact is a failure."""
    filed = (entry.body for entry in plant.ledger.stream(subject) if entry.kind == FILED)
    last = {body["control"]: body.get("outcome") for body in filed if body["control"] in stage.leaves}
    return Outcome.FAILED in last.values()


def _kept(plant: Plant, artifacts: Iterable[Artifact]) -> bool:
    try:
        for artifact in artifacts:
            sound(plant, artifact.digest)
            if artifact.kind in FOLDERS:
                for file in parse_manifest(plant.blobs.get(artifact.digest)).files:
                    sound(plant, Digest(file.digest))
    except NotFound:
        return False  # it is made again
    return True


def _artifact(item: dict[str, Any]) -> Artifact:
    return Artifact(kind=Kind(item["kind"]), digest=Digest(item["digest"]), size=int(item["size"]))


def _evidence_of(plant: Plant, entry: Entry) -> tuple[Evidence, ...]:
    opened = (
        plant.believe(Digest(each), EVIDENCE, at=entry.moment, stream=claimed(plant.blobs.get(each), EVIDENCE).subject)
        for each in entry.body["evidence"]
    )
    return tuple(item.value for item in opened)


def _summary(evidence: tuple[Evidence, ...]) -> str:
    bad = [item for item in evidence if item.outcome is Outcome.FAILED]
    if bad:
        return f"{bad[0].control} failed: {bad[0].reason}"
    findings = sum(len(item.findings) for item in evidence)
    return f"{len(evidence)} sealed evidence" + (f", {findings} findings" if findings else "")


def _row(stage: Stage, item: Evidence) -> tuple[str, ...]:
    shown = [str(measure) for measure in (*item.measures, *item.timings)[:3]]
    return (stage.name, item.control, item.outcome, "; ".join(shown) or item.reason, str(len(item.findings)))


def _authors(written: Evidence) -> str:
    return f"{written.facts['source']}: {written.facts[AUTHORS]}" if AUTHORS in written.facts else written.reason


def _findings(grave: Sequence[tuple[Evidence, Finding]]) -> Table:
    """Return what was found that somebody should look at, the worst first."""
    worst = sorted(grave, key=lambda each: -SEVERITIES.index(each[1].severity))
    rows = [(str(found.severity), item.control, found.place, found.message) for item, found in worst[:SHOWN]]
    if len(worst) > SHOWN:
        rows.append(("", "", "", f"and {len(worst) - SHOWN} more: `holdfast why --json` has them"))
    return Table(title="Findings", columns=("severity", "control", "where", "what"), rows=rows)


def _reply(
    project: Project,
    held: dict[Kind, Artifact],
    rows: list[tuple[str, ...]],
    grave: Sequence[tuple[Evidence, Finding]],
) -> Reply:
    release = held.get(Kind.RELEASE)
    evidence = Table(title="Evidence", columns=("stage", "control", "outcome", "measures", "findings"), rows=rows)
    tables = (evidence, _findings(grave))
    artifacts = {kind.value: artifact.digest for kind, artifact in held.items()}
    if release is None:
        return Reply(says="Stopped before a release.", document={"artifacts": artifacts}, tables=tables)
    says = (
        f"Release {short(release.digest)} of {project.project.name} is packaged and signed. "
        'Put it into production with `holdfast promote --reason "…"`: the policy decides.'
    )
    return Reply(says=says, document={"release": release.digest, "artifacts": artifacts}, tables=tables)
