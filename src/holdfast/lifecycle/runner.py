"""The runner: carries the stages out, seals what they measured with their own keys, and puts it on record.

A run is logged before it starts; what a stage made and measured becomes visible in one append, or not at all. A process
that dies leaves a started run without a result: the next run records it as failed, and goes on from the stages that had
finished.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from holdfast.core.artifact import Artifact, Digest, File, Kind, digest_json, manifest
from holdfast.core.control import Result
from holdfast.core.errors import HoldfastError, InvalidProject, InvalidRecipe, StageFailed, UsageError
from holdfast.core.evidence import Evidence, MadeWith, Outcome, failed
from holdfast.core.ledger import Draft, Entry
from holdfast.core.ports import Sandbox, Workspace
from holdfast.core.project import Project, parse_project
from holdfast.core.seal import EVIDENCE, unseal
from holdfast.lifecycle import DERIVES, STAGES, Stage
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Progress, Reply, Table, short

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

    Stages whose inputs, code and configuration are unchanged are reused, so a run that was killed goes on.

    Raises:
        HoldfastError: What went wrong, with place and remedy; what was finished before is kept.
    """
    names = [stage.name for stage in STAGES]
    if until is not None and until not in names:
        raise UsageError(f"there is no stage {until!r}", expected=", ".join(names))
    with plant.ledger.lease("run"):
        shutil.rmtree(plant.home.scratch, ignore_errors=True)
        project, held = take_in(plant)
        stream = project_stream(project)
        recover(plant, stream)
        rows = []
        for stage in STAGES[: names.index(until) + 1 if until else None]:
            evidence = execute(plant, project, stage, held)
            rows += [_row(stage, item) for item in evidence]
    return _reply(project, held, rows)


def project_stream(project: Project) -> str:
    """Return the name of the stream that holds a project's runs."""
    return f"project/{project.project.name}"


def take_in(plant: Plant) -> tuple[Project, dict[Kind, Artifact]]:
    """Store and record the project file, its source and its recipe.

    Raises:
        InvalidProject: The file is missing or wrong, or names files that are not there or lie outside the project.
    """
    text = read_project_file(plant.home.project_file)
    project, digest = parse_project(text)
    root = plant.home.root
    source = _inside(root, project.data.source, InvalidProject)
    recipe = _inside(root, project.train.recipe.partition(":")[0], InvalidRecipe)
    plant.blobs.put(text)
    code = recipe.read_bytes()
    recipes = manifest([File(path=recipe.name, digest=plant.blobs.put(code), size=len(code))])
    held = {
        Kind.PROJECT: Artifact(kind=Kind.PROJECT, digest=digest, size=len(text)),
        Kind.SOURCE: Artifact(kind=Kind.SOURCE, digest=plant.blobs.put_file(source), size=source.stat().st_size),
        Kind.RECIPE: Artifact(kind=Kind.RECIPE, digest=plant.blobs.put(recipes.document), size=recipes.size),
    }
    drafts = [draft for artifact in held.values() if (draft := _recording(plant, artifact, (), "owner"))]
    if drafts:
        plant.ledger.append(drafts)
    return project, held


def read_project_file(path: Path) -> bytes:
    """Return the bytes of a project file.

    Raises:
        InvalidProject: There is none, or it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidProject(
            f"the project file cannot be read: {error.strerror}",
            place=path.name,
            remedy="Change to the project's folder, or write one with `holdfast init`.",
        ) from error


def _inside(root: Path, name: str, error: type[HoldfastError]) -> Path:
    """Return a file of the project's own folder; a path that leads out of it is refused, also through a link."""
    path = (root / name).resolve()
    if not path.is_relative_to(root.resolve()):
        raise error(
            f"{name!r} lies outside the project", place="holdfast.toml", expected="a file under the project's folder"
        )
    if not path.is_file():
        raise error(f"there is no file {name!r}", place="holdfast.toml")
    return path


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
        StageFailed: A control left no evidence or a failed one, or the stage broke its promise.
    """
    stream = project_stream(project)
    inputs = {kind: held[kind].digest for kind in stage.takes}
    key = digest_json({"stage": stage.name, "code": plant.code, "inputs": inputs})
    before = _finished(plant, stream, key)
    if before is not None:
        held |= {Kind(item["kind"]): _artifact(item) for item in before.body["artifacts"]}
        plant.tell(Progress(stage=stage.name, state="reused", words="same inputs, same code: kept"))
        return _evidence_of(plant, before)
    subject = held.get(stage.about)
    begun: dict[str, Any] = {"stage": stage.name, "run": plant.entropy.token(8).hex(), "key": key, "inputs": inputs}
    begun |= {"controls": stage.leaves, "subject": subject.digest if subject else "", "kind": stage.about}
    plant.tell(Progress(stage=stage.name, state="started", words=stage.does))
    plant.ledger.append([_draft("stage.started", stage, stream, begun), *_controls_started(stage, begun)])
    made_with = MadeWith(
        code=plant.code,
        configuration=held[Kind.PROJECT].digest,
        data=tuple(sorted(inputs.values())),
        seed=_seed(plant, subject) if subject else project.train.seed,
    )
    try:
        with _workspace(plant, project) as ws:
            at = At(plant=plant, ws=ws, project=project, held=dict(held), made_with=made_with, stage=stage)
            done = _verb(stage)(at)
        evidence = _complete(stage, done.result, held, made_with)
    except Exception as error:
        plant.ledger.append(_failure(plant, stream, begun, f"{type(error).__name__}: {error}"))
        plant.tell(Progress(stage=stage.name, state="failed", words=str(error)))
        raise
    held |= {artifact.kind: artifact for artifact in done.result.artifacts}
    _put_on_record(plant, stage, stream, begun, held, done, evidence)
    bad = [item for item in evidence if item.outcome is Outcome.FAILED]
    plant.tell(Progress(stage=stage.name, state="failed" if bad else "finished", words=_summary(stage, evidence)))
    return evidence


def _verb(stage: Stage) -> Any:
    module, _, name = stage.verb.partition(":")
    return getattr(import_module(module), name)


@contextmanager
def _workspace(plant: Plant, project: Project) -> Iterator[Workspace]:
    """Give a stage an empty folder of its own, and the sandbox tier that the project asks for; never a weaker one."""
    scratch = plant.home.scratch / plant.entropy.token(8).hex()
    scratch.mkdir(parents=True, mode=0o700)
    sandbox: Sandbox = plant.open_sandbox(project.train.tier)
    try:
        yield Workspace(blobs=plant.blobs, sandbox=sandbox, clock=plant.clock, scratch=scratch)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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


def _put_on_record(
    plant: Plant,
    stage: Stage,
    stream: str,
    begun: dict[str, Any],
    held: dict[Kind, Artifact],
    done: Done,
    evidence: tuple[Evidence, ...],
) -> None:
    """Append artifacts, evidence and the end of the run in one transaction."""
    drafts: list[Draft] = []
    for artifact in done.result.artifacts:
        parents = tuple(held[kind] for kind in DERIVES[artifact.kind])
        recording = _recording(plant, artifact, parents, stage.name)
        drafts += [recording] if recording else []
    envelopes = []
    for item in evidence:
        envelope = plant.seal(item, EVIDENCE, item.stage)
        envelopes.append(envelope)
        body = {
            "control": item.control,
            "run": f"{begun['run']}/{item.control}",
            "envelope": envelope,
            "outcome": item.outcome,
        }
        drafts.append(Draft(kind="evidence.filed", actor=item.stage, stream=item.subject, body=body))
    made = [{"kind": item.kind, "digest": item.digest, "size": item.size} for item in done.result.artifacts]
    clean = not any(item.outcome is Outcome.FAILED for item in evidence)
    end = {"stage": stage.name, "run": begun["run"], "key": begun["key"], "artifacts": made, "evidence": envelopes}
    drafts += [*done.drafts, _draft("stage.finished", stage, stream, end | {"clean": clean})]
    plant.ledger.append(drafts)


def _recording(plant: Plant, artifact: Artifact, parents: tuple[Artifact, ...], actor: str) -> Draft | None:
    """Return the entry that records an artifact with these parents, unless just that is on record already."""
    draft = plant.record(artifact, parents, actor)
    known = (entry.body for entry in plant.ledger.stream(artifact.digest) if entry.kind == draft.kind)
    return None if draft.body in known else draft


def _draft(kind: str, stage: Stage, stream: str, body: dict[str, Any]) -> Draft:
    return Draft(kind=kind, actor=stage.name, stream=stream, body=body)


def _controls_started(stage: Stage, begun: dict[str, Any]) -> list[Draft]:
    if not begun["subject"]:
        return []
    return [
        _draft("control.started", stage, begun["subject"], {"control": control, "run": f"{begun['run']}/{control}"})
        for control in stage.leaves
    ]


def _failure(plant: Plant, stream: str, begun: dict[str, Any], reason: str) -> list[Draft]:
    """Return the entries that say a run failed: its end, and failed evidence for each control it had started."""
    stage = next(stage for stage in STAGES if stage.name == begun["stage"])
    drafts = [
        _draft("stage.failed", stage, stream, {"stage": stage.name, "run": begun["run"], "reason": reason[:2000]})
    ]
    if not begun["subject"]:
        return drafts
    made_with = MadeWith(code=plant.code, configuration="")
    for control in begun["controls"]:
        item = failed(control, begun["subject"], Kind(begun["kind"]), made_with, reason)
        envelope = plant.seal(item, EVIDENCE, item.stage)
        body = {"control": control, "run": f"{begun['run']}/{control}", "envelope": envelope, "outcome": item.outcome}
        drafts.append(Draft(kind="evidence.filed", actor=item.stage, stream=item.subject, body=body))
    return drafts


def _finished(plant: Plant, stream: str, key: Digest) -> Entry | None:
    """Return the newest clean end of a run with this key whose artifacts are all still there."""
    for entry in reversed(plant.ledger.stream(stream)):
        if entry.kind == "stage.finished" and entry.body["key"] == key and entry.body["clean"]:
            kept = all(plant.blobs.has(Digest(item["digest"])) for item in entry.body["artifacts"])
            return entry if kept else None
    return None


def _artifact(item: dict[str, Any]) -> Artifact:
    return Artifact(kind=Kind(item["kind"]), digest=Digest(item["digest"]), size=int(item["size"]))


def _evidence_of(plant: Plant, entry: Entry) -> tuple[Evidence, ...]:
    opened = (
        unseal(plant.blobs.get(digest), EVIDENCE, plant.trust, at=entry.moment) for digest in entry.body["evidence"]
    )
    return tuple(item.value for item in opened)


def _summary(stage: Stage, evidence: tuple[Evidence, ...]) -> str:
    bad = [item for item in evidence if item.outcome is Outcome.FAILED]
    if bad:
        return f"{bad[0].control} failed: {bad[0].reason}"
    findings = sum(len(item.findings) for item in evidence)
    return f"{len(evidence)} sealed evidence" + (f", {findings} findings" if findings else "")


def _row(stage: Stage, item: Evidence) -> tuple[str, ...]:
    shown = [f"{m.name} {m.value:.4g} [{m.low:.4g}, {m.high:.4g}]" for m in (*item.measures, *item.timings)[:3]]
    return (stage.name, item.control, item.outcome, "; ".join(shown) or item.reason[:80], str(len(item.findings)))


def _reply(project: Project, held: dict[Kind, Artifact], rows: list[tuple[str, ...]]) -> Reply:
    release = held.get(Kind.RELEASE)
    table = Table(title="Evidence", columns=("stage", "control", "outcome", "measures", "findings"), rows=rows)
    artifacts = {kind.value: artifact.digest for kind, artifact in held.items()}
    if release is None:
        return Reply(says="Stopped before a release.", document={"artifacts": artifacts}, tables=(table,))
    says = (
        f"Release {short(release.digest)} of {project.project.name} is packaged and signed. "
        'Put it into production with `holdfast promote --reason "…"`: the policy decides.'
    )
    return Reply(says=says, document={"release": release.digest, "artifacts": artifacts}, tables=(table,))
