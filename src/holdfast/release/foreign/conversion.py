"""Conversion into a format that holds no code, and the proof that both answer alike.

The original answers inside the sandbox, row by row; what it was converted into is asked the same rows in another job,
which holds none of the original. Rows that the original refuses (most models refuse missing values) are counted, and
are compared by nobody.
"""

import tempfile
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import canonical
from holdfast.core.control import Control, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import Measure, exactly
from holdfast.engines.jobs import Room, collect, demand_finished, make_room, printable
from holdfast.engines.scoring import Questions, ask
from holdfast.release.foreign.material import Converted, Examined
from holdfast.release.foreign.opened import VALUES, WEIGHTS
from holdfast.release.foreign.values_worker import ANSWERS

CONVERTED: Final = "converted"  # the fact that names what was made
VALUES_WORKER: Final = "holdfast.release.foreign.values_worker"
MAX_FACT: Final = 2000  # characters


def _measure(examined: Examined) -> Report:
    form, _ = examined.model
    converted = examined.converted
    digest = examined.ws.blobs.put(converted.document)
    facts = {CONVERTED: str(digest), "size": str(len(converted.document)), "from": form}
    if form == "weights":
        return Report(measures=_nothing(), facts=facts | {"way": "safetensors, kept byte for byte", "task": WEIGHTS})
    look = examined.look.facts
    if look is None:
        raise StageFailed(examined.look.words)
    facts |= {"features": str(look.features), "classes": canonical(list(look.classes)).decode()[:MAX_FACT]}
    facts |= {"type": printable(look.type), "task": look.task}
    if look.task == WEIGHTS:
        way = "torch to safetensors, each tensor the same bit for bit, compared in a second job"
        return Report(measures=(*_nothing(), exactly("tensors", look.width)), facts=facts | {"way": way})
    if converted.kept:
        whole = converted.rows[~np.isnan(converted.rows).any(axis=1)]
        answer(examined, whole)  # it keeps the contract, or raises
        return Report(measures=_nothing(len(whole)), facts=facts | {"way": "ONNX, kept byte for byte"})
    return _compared(examined, converted, facts | {"way": f"{form} to canonical ONNX"})


def _nothing(compared: int = 0) -> tuple[Measure, ...]:
    """Return what is measured where nothing was converted, or nothing answers."""
    names = {"converted": 1, "parity_max_abs": 0, "label_changes": 0, "rows_compared": compared, "library_answered": 1}
    return tuple(exactly(name, value) for name, value in names.items())


def _compared(examined: Examined, converted: Converted, facts: dict[str, str]) -> Report:
    look = examined.look.facts
    answered: NDArray[np.bool_] = np.asarray(np.isfinite(converted.answers).all(axis=1))
    if look is None or not answered.any():
        raise StageFailed("the original answered none of the rows, so nothing can be compared")
    rows, before = converted.rows[answered], converted.answers[answered]
    after = answer(examined, rows)
    # Probabilities differ by what they differ by; values of a regressor in proportion, where they are above 1.
    size = np.maximum(1.0, np.abs(before)) if look.task == VALUES else 1.0
    gaps = (np.abs(before - after) / size).max(axis=1)
    changed = before.argmax(axis=1) != after.argmax(axis=1)
    missing = np.isnan(rows).any(axis=1)
    edges = int(answered[len(answered) - converted.edges :].sum()) if converted.edges else 0
    return Report(
        measures=(
            exactly("converted", 1),
            exactly("parity_max_abs", float(gaps.max()), n=len(rows)),
            exactly("label_changes", int(changed.sum()), n=len(rows)),
            exactly("rows_compared", len(rows)),
            exactly("rows_refused", int((~answered).sum())),
            exactly("rows_with_missing_compared", int(missing.sum())),
            exactly("rows_at_thresholds_compared", edges),
            exactly("library_answered", look.library),
        ),
        facts=facts,
    )


def answer(examined: Examined, rows: np.ndarray) -> np.ndarray:
    """Return what the converted model answers to rows: shape (rows, classes), or (rows, width) where it gives values.

    Raises:
        InvalidRecipe: It breaks the contract of models that are served.
        StageFailed: The job did not come to its end, or what it left is no answers.
    """
    facts = examined.look.facts
    if facts is None:
        raise StageFailed(examined.look.words)
    place = Path(tempfile.mkdtemp(prefix="answer-", dir=examined.ws.scratch))
    model = place / "model.onnx"
    model.write_bytes(examined.converted.document)
    given = np.asarray(rows, dtype=np.float32)
    room = make_room(place, "score")
    if facts.task == VALUES:
        return _values(examined, model, given, room, facts.answers)
    return ask(examined.ws.sandbox, model, Questions(rows=given, classes=len(facts.classes)), room).probabilities


def _values(examined: Examined, model: Path, rows: np.ndarray, room: Room, width: int) -> np.ndarray:
    np.save(room.given / "rows.npy", rows)
    args = (str(model), str(room.given / "rows.npy"), str(room.left), str(width))
    job = examined.ws.sandbox.python(VALUES_WORKER, args, readable=(model, room.given), writable=room.left)
    demand_finished(job, "asking the converted model")
    size = 8 * len(rows) * width
    data = collect(room, {ANSWERS: size}).files.get(ANSWERS, b"")
    if len(data) != size:
        raise StageFailed("the converted model left no whole answers", place="model.onnx")
    found = np.frombuffer(data, "<f8").reshape(len(rows), width)
    if not np.isfinite(found).all():
        raise StageFailed("the converted model answers with what is no number", place="model.onnx")
    return found


CONVERSION: Final[Control[Examined]] = Control(name="release.conversion/1", measure=_measure)
