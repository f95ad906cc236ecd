"""Conversion into a format that holds no code, and the proof that both answer alike.

The original answers inside the sandbox, row by row; what it was converted into is asked the same rows in another job,
which holds none of the original. Rows that the original refuses (most models refuse missing values) are counted, and
are compared by nobody.
"""

import tempfile
from pathlib import Path
from typing import Final

import numpy as np

from holdfast.core.artifact import canonical
from holdfast.core.control import Control, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import exactly
from holdfast.engines.jobs import make_room, printable
from holdfast.engines.scoring import Questions, ask
from holdfast.release.foreign.material import Converted, Examined

CONVERTED: Final = "converted"  # the fact that names what was made


def _measure(examined: Examined) -> Report:
    form, _ = examined.model
    converted = examined.converted
    digest = examined.ws.blobs.put(converted.document)
    facts = {CONVERTED: str(digest), "size": str(len(converted.document)), "from": form}
    if form == "weights":
        measures = (exactly("parity_max_abs", 0), exactly("label_changes", 0), exactly("rows_compared", 0))
        return Report(measures=measures, facts=facts | {"way": "safetensors, kept byte for byte"})
    look = examined.look.facts
    if look is None:
        raise StageFailed(examined.look.words)
    facts |= {"features": str(look.features), "classes": canonical(list(look.classes)).decode()[:2000]}
    facts |= {"type": printable(look.type)}
    if converted.kept:
        compared = len(converted.rows)
        answer(examined, converted.rows[~np.isnan(converted.rows).any(axis=1)])  # it keeps the contract, or raises
        measures = (exactly("parity_max_abs", 0), exactly("label_changes", 0), exactly("rows_compared", compared))
        return Report(measures=measures, facts=facts | {"way": "ONNX, kept byte for byte"})
    return _compared(examined, converted, facts | {"way": "scikit-learn to canonical ONNX"})


def _compared(examined: Examined, converted: Converted, facts: dict[str, str]) -> Report:
    answered = np.isfinite(converted.answers).all(axis=1)
    if not answered.any():
        raise StageFailed("the original answered none of the rows, so nothing can be compared")
    rows, before = converted.rows[answered], converted.answers[answered]
    after = answer(examined, rows)
    gaps = np.abs(before - after).max(axis=1)
    changed = before.argmax(axis=1) != after.argmax(axis=1)
    missing = np.isnan(rows).any(axis=1)
    return Report(
        measures=(
            exactly("parity_max_abs", float(gaps.max()), n=len(rows)),
            exactly("label_changes", int(changed.sum()), n=len(rows)),
            exactly("rows_compared", len(rows)),
            exactly("rows_refused", int((~answered).sum())),
            exactly("rows_with_missing_compared", int(missing.sum())),
        ),
        facts=facts,
    )


def answer(examined: Examined, rows: np.ndarray) -> np.ndarray:
    """Return what the converted model answers to rows: probabilities of shape (rows, classes).

    Raises:
        InvalidRecipe: It breaks the contract of models that are served.
        StageFailed: The job did not come to its end.
    """
    facts = examined.look.facts
    if facts is None:
        raise StageFailed(examined.look.words)
    place = Path(tempfile.mkdtemp(prefix="answer-", dir=examined.ws.scratch))
    model = place / "model.onnx"
    model.write_bytes(examined.converted.document)
    questions = Questions(rows=np.asarray(rows, dtype=np.float32), classes=len(facts.classes))
    return ask(examined.ws.sandbox, model, questions, make_room(place, "score")).probabilities


CONVERSION: Final[Control[Examined]] = Control(name="release.conversion/1", measure=_measure)
