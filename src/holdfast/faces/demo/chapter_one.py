"""Chapter one: the whole way of a model from raw rows to a guarded answer, and back out of production.

1. A workspace with keys. 2. Messy rows, cleaned and set aside with reasons. 3. A first candidate, denied in words.
4. A second one, promoted, answering. 5. Attacks that fail. 6. A canary that takes over. 7. Drift, rollback, incident.
8. Why: the chain of evidence.
"""

import re
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from holdfast import app
from holdfast.client import Client
from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import PolicyDenied
from holdfast.core.evidence import Evidence
from holdfast.edge import Running, start
from holdfast.faces.demo import attacks
from holdfast.faces.demo.data import write_data
from holdfast.faces.demo.stage import Stage, copy_project, example
from holdfast.lifecycle.loop import look
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import issue_key, promote
from holdfast.lifecycle.proof import why
from holdfast.lifecycle.reply import Reply, short
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.verbs import evidence_on

BATCH: Final = 25  # rows of one request of the demo's traffic
WAY: Final = "1. From rows to a release"
GATE: Final = "2. The gate"
ATTACKS: Final = "3. Attacks"
TRAFFIC: Final = "4. In production"


def whole_way(stage: Stage) -> None:
    """Tell the chapter; whatever does not happen as told raises."""
    source = example()
    copy_project(source, stage.root)
    write_data(source, stage.root)
    app.init(stage.root, tell=stage.tell)
    stage.show(WAY, "workspace", "made", "a key for each role, encrypted at rest; a ledger; a trust root")
    with app.open_plant(stage.root, tell=stage.tell) as plant:
        first = _candidate(stage, plant, kind="weak")
        _show_data(stage, plant, first)
        _denied(stage, plant)
        second = _candidate(stage, plant, kind="strong")
        _show_evidence(stage, plant, second)
        promote(plant, reason="Better than the linear model on every slice.")
        stage.show(GATE, f"second candidate {short(_release(second))}", "promoted", "every rule of the policy holds")
        key = str(issue_key(plant, client="clinic-north").document["key"])
        with start(stage.root) as gateway:
            _answers(stage, plant, gateway, key, _release(second))
            attacks.run(stage, plant, gateway, key, _rows(plant, second)[:1])
            third = _canary(stage, plant, gateway, key, second)
            _drift(stage, plant, gateway, key, second, third)
        stage.proof = why(plant)
    stage.show(TRAFFIC, "holdfast why", "verified", stage.proof.says)


def _candidate(stage: Stage, plant: Plant, **params: Any) -> Reply:  # noqa: ANN401 - as the recipe takes them
    """Run the whole way with these parameters of the recipe: another project file, another digest."""
    text = plant.home.project_file.read_text(encoding="utf-8")
    shown = ", ".join(f"{key} = {value}" for key, value in params.items())
    wanted = "{ " + ", ".join(f"{key} = {msgspec.json.encode(value).decode()}" for key, value in params.items()) + " }"
    changed, count = re.subn(r"(?m)^params = \{.*?\}", f"params = {wanted}", text)
    stage.expect(count == 1, "the example's project file has one line of parameters")
    plant.home.project_file.write_text(changed, encoding="utf-8")
    reply = run(plant)
    stage.show(WAY, f"candidate with {shown}", "released", f"release {short(_release(reply))}, signed; not yet allowed anywhere")
    return reply


def _release(reply: Reply) -> str:
    return str(reply.document["release"])


def _on(plant: Plant, reply: Reply, kind: Kind, control: str) -> Evidence:
    """Return the newest evidence of a control on one of a run's artifacts."""
    found = [item for item in evidence_on(plant, reply.document["artifacts"][kind]) if item.control == control]
    return found[-1]


def _show_data(stage: Stage, plant: Plant, reply: Reply) -> None:
    """Show what became of the rows: how many came in, how many were set aside and why, and the personal columns."""
    contract = _on(plant, reply, Kind.DATASET, "ingest.contract/1")
    counts = {measure.name: int(measure.value) for measure in contract.measures if measure.name.startswith("rows")}
    stage.show(WAY, f"{counts['rows_in']} rows came in", f"{counts['rows_quarantined']} quarantined", "none dropped in silence")
    for finding in contract.findings:
        stage.show(WAY, "quarantine", finding.rule, finding.message)
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
        shown = "; ".join(f"{m.name} {m.value:.3g} [{m.low:.3g}, {m.high:.3g}]" for m in (*item.measures, *item.timings)[:2])
        stage.show(WAY, item.control, item.outcome, shown or item.reason)


def _rows(plant: Plant, reply: Reply) -> NDArray[np.float64]:
    """Return the training rows of a run, shape (rows, features): traffic as the model knows it."""
    split = parse_manifest(plant.blobs.get(Digest(reply.document["artifacts"][Kind.SPLIT])))
    view = parse_manifest(plant.blobs.get(Digest(reply.document["artifacts"][Kind.RELEASE])))
    signature = msgspec.json.decode(plant.blobs.get(Digest(view.file("signature.json").digest)))
    names = [field["name"] for field in signature["inputs"]]
    frame = pl.read_parquet(plant.blobs.get(Digest(split.file("train.parquet").digest)))
    return frame.select(names).to_numpy()


def _answers(stage: Stage, plant: Plant, gateway: Running, key: str, release: str) -> None:
    with Client(gateway.url, key) as client:
        rows = _rows_of(plant, release)
        answer = client.infer(_model(plant), rows[:1])
    stage.expect(answer.release.startswith(short(release)[:8]), "the promoted release answers")
    stage.show(TRAFFIC, "an authenticated prediction", f"{answer.labels[0]}", f"by release {answer.release}, correlation {answer.correlation}")


def _model(plant: Plant) -> str:
    from holdfast.lifecycle.routing import current_project  # noqa: PLC0415

    return current_project(plant).project.name


def _traffic(gateway: Running, key: str, model: str, rows: NDArray[np.float64]) -> int:
    """Send rows in batches; return how many calls were answered."""
    answered = 0
    with Client(gateway.url, key) as client:
        for begin in range(0, len(rows), BATCH):
            client.infer(model, rows[begin : begin + BATCH])
            answered += 1
    return answered
