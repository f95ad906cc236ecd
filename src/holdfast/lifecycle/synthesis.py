"""Synthetic data of a stored data set: drawn, measured, labelled, and on record.

Nothing that is classed personal, and no id, is learned from or drawn. What a result may be called is decided here: it
is of sensitivity `synthetic` only where the check for copies passes; else it is as sensitive as what it was made of.
"""

import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from holdfast.core.artifact import Artifact, Kind, digest_bytes
from holdfast.core.errors import InvalidInput
from holdfast.core.ledger import Draft
from holdfast.core.planning import Sensitivity
from holdfast.core.schema import Use
from holdfast.core.sensitivity import of_column
from holdfast.engines.dataset import Dataset, open_dataset, to_parquet
from holdfast.engines.dlp import recogniser_of
from holdfast.engines.personal import SHOWN, scan
from holdfast.engines.synthetic import Model, Newness, Realism, draw, halves, learn, newness, realism
from holdfast.lifecycle.erasure import find_recorded
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project

SYNTHESISED: Final = (
    "data.synthesised"  # body: reason, seed, rows, digest, sensitivity, copied; in the data set's stream
)
MAX_ROWS: Final = 5_000_000  # rows of one result; it is made in memory
TABLE: Final = "data.parquet"
PROVENANCE: Final = "provenance.json"


def data_synthesise(plant: Plant, *, data: str, out: Path, reason: str, rows: int = 0, seed: int = 0) -> Reply:
    """Write artificial rows like those of a data set into a new folder, with how real and how new they are.

    Args:
        plant: The control plane.
        data: The beginning of the data set's digest.
        out: The folder to make.
        reason: Why, in a sentence that stays on record.
        rows: How many; as many as there are real ones for 0.
        seed: Of every draw; the same seed gives the same rows.

    Raises:
        InvalidInput: The folder exists, no reason is given, or there are too many rows.
        InvalidData: There are too few rows to learn from, or no column to learn.
        NotFound: There is no such data set, or it was erased.
    """
    check_reason(reason)
    if out.exists():
        raise InvalidInput("there is something already where the rows would lie", place=str(out))
    if not 0 <= rows <= MAX_ROWS or seed < 0:
        raise InvalidInput(f"{rows} rows of seed {seed}", expected=f"0 to {MAX_ROWS} rows, a seed of at least 0")
    artifact = find_recorded(plant, data, (Kind.DATASET,))
    stored = open_dataset(plant.blobs, artifact)
    rng = np.random.default_rng(seed)
    learned, holdout = halves(_learnable(plant, stored), rng)
    model = learn(learned)
    made = draw(model, rows or stored.rows.height, rng)
    like, new = realism(holdout, made, rng), newness(learned, holdout, made, rng)
    told = _provenance(plant, artifact, stored, model, (like, new), made, seed)
    contents = {TABLE: to_parquet(made), PROVENANCE: json.dumps(told, indent=1).encode() + b"\n"}
    body = {"reason": reason, "seed": seed, "rows": made.height, "digest": digest_bytes(contents[TABLE]),
            "sensitivity": told["sensitivity"], "copied": not new.passed}  # fmt: skip
    plant.ledger.append([Draft(kind=SYNTHESISED, actor=plant.person, stream=artifact.digest, body=body)])
    out.mkdir(mode=0o700, parents=True)
    for name, content in contents.items():
        (out / name).write_bytes(content)
    return _reply(told, like, new, out)


def _learnable(plant: Plant, stored: Dataset) -> pl.DataFrame:
    """Return the columns that rows may be drawn of: no ids, nothing personal, declared or found."""
    out = {
        each.name
        for each in stored.schema.columns
        if each.column.use in {Use.ID, Use.PERSONAL} or of_column(each.column) is Sensitivity.PERSONAL
    }
    recogniser = recogniser_of(current_project(plant).dlp, plant.open_recogniser)
    found = {hit.column for hit in scan(stored.rows, recogniser) if hit.entity not in SHOWN}
    return stored.rows.drop(out | found, strict=False)


def _provenance(
    plant: Plant,
    artifact: Artifact,
    stored: Dataset,
    model: Model,
    measured: tuple[Realism, Newness],
    made: pl.DataFrame,
    seed: int,
) -> dict[str, Any]:
    like, new = measured
    left_out = [name for name in stored.rows.columns if name not in made.columns]
    return {
        "origin": "synthetic",
        "made_from": artifact.digest,
        "made_by": f"Gaussian copula, seed {seed}, {len(model.marginals)} columns",
        "rows": made.height,
        "left_out": left_out,
        "sensitivity": "synthetic" if new.passed else current_project(plant).risk.sensitivity,
        "realism": {
            "score": round(like.score, 4),
            "classifier_auc": round(like.auc, 4),
            "largest_correlation_difference": round(like.correlation, 4),
            "distance_by_column": {name: round(value, 4) for name, value in like.distances.items()},
        },
        "copies": {
            "passed": new.passed,
            "exact": new.exact,
            "exact_in_holdout": new.exact_holdout,
            "nearer_to_learned_than_to_holdout": round(new.nearer, 4),
            "compared": new.compared,
        },
    }


def _reply(told: dict[str, Any], like: Realism, new: Newness, out: Path) -> Reply:
    rows = [(name, f"{value:.3f}") for name, value in sorted(like.distances.items(), key=lambda each: -each[1])]
    says = (
        f"{counted(told['rows'], 'row')} in {out}: realism {like.score:.2f} (a classifier tells them apart with AUC "
        f"{like.auc:.2f}), {new.exact} of {new.compared} exact copies beside {new.exact_holdout} between real rows, "
        f"{new.nearer:.0%} nearer to a row learned from than to one kept back (50 % expected). "
    )
    says += "Sensitivity: synthetic." if new.passed else f"COPIED: they stay {told['sensitivity']}."
    table = Table(title="Distance by column (0 is alike)", columns=("column", "distance"), rows=rows)
    return Reply(says=says, document={**told, "data": short(told["made_from"])}, tables=(table,),
                 exit_code=0 if new.passed else 1)  # fmt: skip
