"""Verbs: how the runner calls each stage. The only place that knows every stage; stages know none of each other."""

import msgspec

from holdfast.assess import assess as assess_model
from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.control import Result
from holdfast.core.errors import InvalidRecipe
from holdfast.core.evidence import Evidence
from holdfast.core.ledger import Draft
from holdfast.core.seal import EVIDENCE
from holdfast.engines.dataset import open_stored
from holdfast.engines.signing import model_signing
from holdfast.features import build
from holdfast.ingest import ingest as ingest_source
from holdfast.lifecycle.boms import document_of, listing
from holdfast.lifecycle.burden import burden_of
from holdfast.lifecycle.commit import commit_of
from holdfast.lifecycle.contract_files import references_of
from holdfast.lifecycle.creeping import history
from holdfast.lifecycle.decided import rulings_of
from holdfast.lifecycle.dlp_alerts import alerts
from holdfast.lifecycle.merging import sent_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.runner import At, Done, project_stream
from holdfast.lifecycle.signing import sign_dataset
from holdfast.plan import Held, Known, admit, spend
from holdfast.plan import plan as plan_project
from holdfast.release import Build, Derived, check_licences, check_secrets, check_signature, check_version, package
from holdfast.release import scan as scan_model
from holdfast.train import Admitted
from holdfast.train import take as take_model
from holdfast.train import train as train_model


def plan(at: At) -> Done:
    """Decide the control tier and the classes of the data, and say what is out of proportion."""
    burden = burden_of(at.plant, at.project)
    return Done(result=plan_project(at.project, burden, at.held[Kind.PROJECT], at.made_with))


def intake(at: At) -> Done:
    """Hold the project's intake against the rows themselves."""
    dataset = at.held[Kind.DATASET]
    rows = open_stored(at.plant.blobs, dataset).rows
    held = Held(project=at.project, rows=rows, evidence=newest_on(at.plant, dataset.digest))
    return Done(result=admit(held, at.held[Kind.PROJECT], at.made_with))


def budget(at: At) -> Done:
    """Hold what was measured of the model, its features and its data against the declared limits."""
    evidence = {
        control: item
        for kind in (Kind.DATASET, Kind.FEATURES, Kind.MODEL)
        for control, item in newest_on(at.plant, at.held[kind].digest).items()
    }
    return Done(result=spend(Known(project=at.project, evidence=evidence), at.held[Kind.MODEL], at.made_with))


def ingest(at: At) -> Done:
    """Turn the source into a data set and a quarantine, and sign the data set's files."""
    result = ingest_source(
        at.ws,
        at.project,
        at.held[Kind.SOURCE],
        at.made_with,
        references=references_of(at.project, at.plant.home.root),
        now=at.ws.clock.now(),
        sent=sent_of(at.plant, at.held[Kind.SOURCE].digest),
        rulings=rulings_of(at.plant, at.project),
    )
    made = result.one(Kind.DATASET)
    crept = history(at.plant, at.project.project.name, at.project, made, at.made_with)
    result = Result(artifacts=result.artifacts, evidence=(*result.evidence, crept))
    dataset = made.digest
    signed = sign_dataset(at.plant, dataset, parse_manifest(at.plant.blobs.get(dataset)), at.project.project.name)
    return Done(result=result, drafts=(signed, *alerts(result.evidence, "ingest", dataset)))


def features(at: At) -> Done:
    """Compute the declared features."""
    views = at.held.get(Kind.VIEWS) if Kind.VIEWS in at.stage.takes else None
    result = build(at.ws, at.project, at.held[Kind.DATASET], at.made_with, views)
    return Done(result=result, drafts=alerts(result.evidence, "features", result.one(Kind.FEATURES).digest))


def train(at: At) -> Done:
    """Train candidate and baseline in the sandbox."""
    return Done(result=train_model(at.ws, at.project, at.held[Kind.FEATURES], at.held[Kind.RECIPE], at.made_with))


def take_outside(at: At) -> Done:
    """Put an admitted model from outside in the place of one that is trained here."""
    foreign = at.held[Kind.FOREIGN]
    said = newest_on(at.plant, foreign.digest).get("release.conversion/1")
    if said is None or said.facts.get("task") != "classification":
        task = said.facts.get("task", "nothing that answers") if said else "nothing"
        words = f"what the intake made of it is {task}, and gateways serve classifiers"
        raise InvalidRecipe(words, place="holdfast.toml: train.recipe", expected="a classifier converted to ONNX")
    admitted = Admitted(
        foreign=foreign,
        document=at.plant.blobs.get(Digest(said.facts["converted"])),
        features=int(said.facts["features"]),
        classes=msgspec.json.decode(said.facts["classes"], type=tuple[str, ...]),
    )
    return Done(result=take_model(at.ws, at.project, at.held[Kind.FEATURES], admitted, at.made_with))


def scan(at: At) -> Done:
    """Scan the model's bytes before anything else opens them."""
    return Done(result=scan_model(at.ws, at.held[Kind.MODEL], at.made_with))


def assess(at: At) -> Done:
    """Measure the model on the sealed rows."""
    held = at.held
    result = assess_model(
        at.ws,
        at.project,
        model=held[Kind.MODEL],
        baseline=held[Kind.BASELINE],
        split=held[Kind.SPLIT],
        features=held[Kind.FEATURES],
        made_with=at.made_with,
        test_reads=_test_reads(at, held[Kind.SPLIT]),
    )
    return Done(result=result)


def _test_reads(at: At, split: Artifact) -> int:
    """Return how many assessments have read these sealed rows, this one included: each was logged before it began."""
    begun = (
        entry.body for entry in at.plant.ledger.stream(project_stream(at.project)) if entry.kind == "stage.started"
    )
    return sum(1 for body in begun if body["stage"] == at.stage.name and body["inputs"].get(Kind.SPLIT) == split.digest)


def release(at: At) -> Done:
    """Package the model, sign the package with the release key, and verify the signature as a stranger would."""
    plant, model = at.plant, at.held[Kind.MODEL]
    derivation = tuple(artifact for kind, artifact in at.held.items() if kind in at.stage.takes)
    built = Build(code=plant.code, started=_recorded_at(plant, model), builder=plant.trust.workspace)
    outside = [at.held[Kind.FOREIGN]] if Kind.FOREIGN in at.stage.takes else []
    known = (at.held[Kind.PROJECT], at.held[Kind.DATASET], *outside, model)
    evidence = tuple(item for artifact in known for item in evidence_on(plant, artifact.digest))
    packaged = package(at.ws, at.project, model, evidence, derivation, at.made_with, built)
    made = packaged.one(Kind.RELEASE)
    manifest = parse_manifest(plant.blobs.get(made.digest))
    keys = plant.trust.of_role("release")
    bundle = model_signing.sign(manifest, at.project.project.name, plant.keys.signer("release"), keys)
    checked = check_signature(at.ws, made, bundle, keys, at.made_with)
    signed = Draft(kind="release.signed", actor="release", stream=made.digest, body={"bundle": plant.blobs.put(bundle)})
    derived = Derived(
        blobs=plant.blobs,
        derivation=derivation,
        code=plant.code,
        commit=commit_of(plant.home.root),
        tier=at.project.train.tier,
    )
    exact = check_version(derived, made, at.made_with)
    leaks = check_secrets(plant.blobs, made, derivation, at.made_with)
    terms = check_licences(plant.blobs, made, at.made_with)
    left = (*packaged.evidence, checked, exact, leaks, terms)
    bill = listing(plant, made.digest, at.project.project.name, document_of(plant, made.digest))
    return Done(result=Result(artifacts=packaged.artifacts, evidence=left), drafts=(signed, *bill))


def evidence_on(plant: Plant, digest: str) -> tuple[Evidence, ...]:
    """Return all verified evidence that the ledger holds on an artifact, oldest first."""
    found = []
    for entry in plant.ledger.stream(digest):
        if entry.kind == "evidence.filed":
            envelope = Digest(entry.body["envelope"])
            found.append(plant.believe(envelope, EVIDENCE, at=entry.moment, stream=digest).value)
    return tuple(found)


def newest_on(plant: Plant, digest: str) -> dict[str, Evidence]:
    """Return the newest verified evidence of each control on an artifact."""
    return {item.control: item for item in evidence_on(plant, digest)}


def _recorded_at(plant: Plant, artifact: Artifact) -> str:
    """Return when the ledger took an artifact in: the same for every later package of it."""
    return next(entry.time for entry in plant.ledger.stream(artifact.digest) if entry.kind == "artifact.recorded")
