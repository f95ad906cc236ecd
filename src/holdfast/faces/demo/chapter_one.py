"""Chapter one: the whole way of a model from raw rows to a guarded answer, and back out of production.

1. A workspace with keys. 2. Messy rows, cleaned and set aside with reasons. 3. A first candidate, denied in words.
4. A second one, promoted, answering. 5. Attacks that fail. 6. A canary that takes over. 7. Drift, rollback, incident.
8. Why: the chain of evidence.
"""

import re
import time
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast import app
from holdfast.client import Client
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import PolicyDenied
from holdfast.core.evidence import Evidence, Severity
from holdfast.core.signals import Signal
from holdfast.core.versions import MAIN
from holdfast.edge import Running, start
from holdfast.faces.demo import attacks
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import Stage, copy_project, example
from holdfast.lifecycle.data_record import data_show
from holdfast.lifecycle.learned import data_learned
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key, promote
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.reply import Reply, short
from holdfast.lifecycle.routing import current_project, standing
from holdfast.lifecycle.row_index import ids_of, indexed
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verbs import evidence_on
from holdfast.lifecycle.versions import version_of

BATCH: Final = 2  # rows of one call of the demo's traffic
PACE_S: Final = 0.004  # between two calls: below what one key may make
TELL_S: Final = 0.5  # for the gateway to write what it saw
RESCALED: Final = 4  # the first measurements: mean radius, texture, perimeter and area
MAX_ROUNDS: Final = 12  # of traffic, until the canary has seen enough
WAY: Final = "1. From rows to a release"
GATE: Final = "2. The gate, and the first answer"
ATTACKS: Final = "3. Attacks"
TRAFFIC: Final = "4. In production"


def whole_way(stage: Stage) -> None:
    """Tell the chapter; whatever does not happen as told raises."""
    source = example()
    copy_project(source, stage.root)
    write_data(source, stage.root)
    app.init(stage.root, tell=stage.tell)
    stage.show(WAY, "workspace", "made", "a key for each role, encrypted at rest; a ledger; a trust root")
    _show_tiers(stage)
    with app.open_plant(stage.root, tell=stage.tell) as plant:
        first = candidate(stage, plant, WAY, kind="weak")
        _show_data(stage, plant, first)
        _show_version(stage, plant)
        _denied(stage, plant)
        second = candidate(stage, plant, WAY, kind="strong")
        _show_evidence(stage, plant, second)
        promote(plant, reason="Better than the linear model on every slice.")
        stage.show(GATE, f"second candidate {short(release_of(second))}", "promoted", "every rule of the policy holds")
        _show_row(stage, plant)
        key = str(issue_key(plant, client="clinic-north").document["key"])
        with start(stage.root) as gateway:
            _answers(stage, plant, gateway, key, second)
            attacks.run(stage, plant, gateway, key, rows_of(plant, second))
            third = _canary(stage, plant, gateway, key)
            _drift(stage, plant, gateway, key, second, third)
        stage.proof = why(plant)
    stage.show(TRAFFIC, "holdfast why", "verified", stage.proof.says)


def _show_tiers(stage: Stage) -> None:
    """Say which sandbox tiers this machine has, and what a missing one would add."""
    for tier in app.sandbox(tell=stage.tell).document["tiers"]:
        if tier["available"]:
            stage.show(WAY, f"sandbox tier {tier['tier']}", "there", tier["adds"])
        else:
            words = f"{'; '.join(tier['missing'])}. It would add: {tier['adds']}"
            stage.show(WAY, f"sandbox tier {tier['tier']}", "missing", words)


def candidate(stage: Stage, plant: Plant, chapter: str = WAY, /, **params: Any) -> Reply:
    """Run the whole way with these parameters of the recipe: another project file, another digest."""
    text = plant.home.project_file.read_text(encoding="utf-8")
    shown = ", ".join(f"{key} = {value}" for key, value in params.items())
    wanted = "{ " + ", ".join(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in params.items()) + " }"
    changed, count = re.subn(r"(?m)^params = \{.*?\}", f"params = {wanted}", text)
    stage.expect(count == 1, "the example's project file has one line of parameters")
    plant.home.project_file.write_text(changed, encoding="utf-8")
    reply = run(plant)
    stage.show(
        chapter,
        f"candidate with {shown}",
        "released",
        f"release {short(release_of(reply))}, signed; not yet allowed anywhere",
    )
    return reply


def release_of(reply: Reply) -> str:
    """Return the release that a run made."""
    return str(reply.document["release"])


def _on(plant: Plant, reply: Reply, kind: Kind, control: str) -> Evidence:
    """Return the newest evidence of a control on one of a run's artifacts."""
    found = [item for item in evidence_on(plant, reply.document["artifacts"][kind]) if item.control == control]
    return found[-1]


def _show_version(stage: Stage, plant: Plant) -> None:
    """Show the version of the data that the run has committed, and its provenance record."""
    at = version_of(plant, MAIN)
    record = data_show(plant).document
    stage.expect(not record["lacks"], "the provenance record lacks nothing")
    words = f"{at.commit.rows} rows by {at.commit.author}; signed, every row group under one root; {record['licence']}"
    stage.show(WAY, f"data {at.commit.name}@{at.short}", "committed", words)


def _show_row(stage: Stage, plant: Plant) -> None:
    """Show which models learned from one row, by an index that holds no id."""
    row = ids_of(plant, next(iter(indexed(plant))))["train"][0]
    learned = data_learned(plant, key=row)
    stage.expect(learned.document["learned"] > 0, "a row of the train side was learned from")
    stage.show(GATE, f"row {row}: which models learned from it?", "answered", learned.says)


def _show_data(stage: Stage, plant: Plant, reply: Reply) -> None:
    """Show what became of the rows: how many came in, how many were set aside and why, and the personal columns."""
    asked = _on(plant, reply, Kind.PROJECT, "plan.intake/1")
    found = {measure.name: measure.value for measure in asked.measures}
    words = (
        f"the best plain rule, {asked.facts['best_plain']}, reaches {found['plain_best']:.2f} of {found['needed']:.2f}"
    )
    stage.show(WAY, "is learning needed?", "yes", words)
    contract = _on(plant, reply, Kind.DATASET, "ingest.contract/1")
    counts = {measure.name: int(measure.value) for measure in contract.measures if measure.name.startswith("rows")}
    stage.show(
        WAY, f"{counts['rows_in']} rows came in", f"{counts['rows_quarantined']} quarantined", "none dropped in silence"
    )
    for finding in contract.findings:
        what = "cleaned" if finding.severity is Severity.INFO else "set aside"
        stage.show(WAY, finding.rule, what, finding.message)
    personal = _on(plant, reply, Kind.DATASET, "ingest.personal/1")
    stage.expect(bool(personal.findings), "a column with personal data is caught")
    for finding in personal.findings:
        stage.show(WAY, f"personal data in {finding.place}", "kept out", finding.message)


def _denied(stage: Stage, plant: Plant) -> None:
    try:
        promote(plant, reason="First try; let us see what the policy says.")
    except PolicyDenied as denied:
        for reason in denied.reasons:
            stage.show(GATE, "first candidate", "denied", reason)
        return
    stage.expect(holds=False, what="the weak candidate is denied")


def _show_evidence(stage: Stage, plant: Plant, reply: Reply) -> None:
    for item in evidence_on(plant, reply.document["artifacts"][Kind.MODEL]):
        shown = "; ".join(map(str, (*item.measures, *item.timings)[:2]))
        stage.show(WAY, item.control, item.outcome, shown or item.reason)


def rows_of(plant: Plant, reply: Reply) -> NDArray[np.float64]:
    """Return the training rows of a run, shape (rows, features): traffic as the model knows it."""
    split = parse_manifest(plant.blobs.get(Digest(reply.document["artifacts"][Kind.SPLIT])))
    view = parse_manifest(plant.blobs.get(Digest(reply.document["artifacts"][Kind.RELEASE])))
    signature = msgspec.json.decode(plant.blobs.get(Digest(view.file("signature.json").digest)))
    names = [field["name"] for field in signature["inputs"]]
    frame = pl.read_parquet(plant.blobs.get(Digest(split.file("train.parquet").digest)))
    rows = frame.select(names).to_numpy()
    return np.asarray(rows[np.isfinite(rows).all(axis=1)])  # callers of the demo send complete rows only


def _answers(stage: Stage, plant: Plant, gateway: Running, key: str, reply: Reply) -> None:
    with Client(gateway.url, key) as client:
        answer = client.infer(model_of(plant), rows_of(plant, reply)[:1])
    stage.expect(release_of(reply).removeprefix("sha256:").startswith(answer.release), "the promoted release answers")
    words = f"by release {answer.release}, rounded as the policy says, correlation id {answer.correlation[:8]}…"
    stage.show(GATE, "an authenticated prediction", f"{answer.labels[0]} {max(answer.probabilities[0])}", words)


def model_of(plant: Plant) -> str:
    """Return the name of the workspace's model."""
    return current_project(plant).project.name


def _traffic(gateway: Running, key: str, model: str, rows: NDArray[np.float64]) -> None:
    """Send rows in batches, each with a correlation id of its own, and have the gateway tell what it saw."""
    with Client(gateway.url, key) as client:
        for begin in range(0, len(rows), BATCH):
            client.infer(model, rows[begin : begin + BATCH])
            time.sleep(PACE_S)
    gateway.tell_now()
    time.sleep(TELL_S)


def _canary(stage: Stage, plant: Plant, gateway: Running, key: str) -> Reply:
    """Let a third candidate take over step by step, watched by an anytime-valid test."""
    third = candidate(stage, plant, WAY, kind="strong", c=6.0)
    promote(plant, reason="Refreshed; let it prove itself on live traffic.", canary=True)
    stage.show(
        TRAFFIC, f"third candidate {short(release_of(third))}", "canary", "a small share of the calls; the rest stays"
    )
    chance, rows = np.random.default_rng(3), rows_of(plant, third)
    for _ in range(MAX_ROUNDS):
        _traffic(gateway, key, model_of(plant), chance.permutation(rows))
        for words in look(plant).done:
            if words.startswith("canary"):
                stage.show(TRAFFIC, "canary analysis", "step", words)
        now = standing(plant, current_project(plant))
        if now.baseline == release_of(third):
            return third
    stage.expect(holds=False, what="the canary takes over")
    return third


def _drift(stage: Stage, plant: Plant, gateway: Running, key: str, second: Reply, third: Reply) -> None:
    """Send traffic that drifts: a scanner was recalibrated. It is noticed, and the release before answers again."""
    rows = rows_of(plant, third)
    drifted = rows * np.where(np.arange(rows.shape[1]) < RESCALED, 1.35, 1.0)
    _traffic(gateway, key, model_of(plant), drifted)
    seen = look(plant)
    stage.expect(any(item.signal is Signal.DRIFT for item in seen.raised), "drifted traffic raises a signal")
    for item in seen.raised:
        stage.show(TRAFFIC, "watch", item.signal, item.words)
    for words in seen.done:
        stage.show(TRAFFIC, "playbook", "done", words)
    now = standing(plant, current_project(plant))
    stage.expect(now.baseline == release_of(second), "the release before answers again")
    incident = plant.last(f"incident/{model_of(plant)}", "incident.opened")
    stage.expect(incident is not None, "an incident is open")
    if incident is not None:
        document = msgspec.json.decode(plant.blobs.get(Digest(incident.body["document"])))
        words = f"severity {document['severity']}, {len(document['timeline'])} entries in its timeline"
        stage.show(TRAFFIC, f"incident {incident.position}", "open", words)
