"""What is said to rows that the guards have let in: by a model, or by whatever stands in its place.

Nothing here knows of callers or of HTTP. An answer of a model is believed only if it is one.
"""

import numpy as np
from numpy.typing import NDArray

from holdfast.core.artifact import Digest
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.serve.guards.lookup import FEATURES_MISSING, LOOKED_UP
from holdfast.serve.refusals import BROKEN, MODEL_FAILED
from holdfast.serve.resilience import Resilient
from holdfast.serve.state import Release, Route, sane

Asked = tuple[Call, Route, Release]


def answer(asked: Asked, resilient: Resilient, *, safe: bool) -> Answer | Refusal:
    """Return what is said to validated rows: by the model, or in its place.

    Args:
        asked: The call, its route, and the release that is to answer.
        resilient: The breakers and rules of this gateway.
        safe: Whether the gateway is in its safe state.
    """
    call, route, release = asked
    if safe:
        return resilient.safely(route.resilience, release, call)
    if LOOKED_UP in call.notes and call.notes[LOOKED_UP].instead:
        found = call.notes[LOOKED_UP]
        refusal = found.saying.refusal("resilience", FEATURES_MISSING)
        return resilient.without(route.resilience, release, call, found.lacking, FEATURES_MISSING, refusal)
    if route.resilience is not None:  # where a candidate fails, the baseline answers before any rule does
        rules = not (release is route.candidate and route.alike)
        return resilient.answer(route.resilience, release, call, _ask, rules=rules)
    return _ask(release, call.rows) if call.rows is not None else BROKEN.refusal("gateway", "no rows")


def answer_together(asked: list[Asked]) -> dict[int, Answer]:
    """Return what models say to calls that are theirs together, by their numbers.

    Whatever is not among it is asked for alone: by a model whose answers could depend on the company, where a breaker
    counts, and where a model fails on any of the rows. In the safe state no model is asked, so nothing is together.
    """
    groups: dict[Digest, list[int]] = {}
    for number, (call, route, release) in enumerate(asked):
        if release.steady and route.resilience is None and LOOKED_UP not in call.notes:
            groups.setdefault(release.digest, []).append(number)
    found: dict[int, Answer] = {}
    for numbers in groups.values():
        release = asked[numbers[0]][2]
        rows = [rows for number in numbers if (rows := asked[number][0].rows) is not None]
        every = _ask_all(release, rows) if len(rows) > 1 else None
        if isinstance(every, Answer):
            begin = 0
            for number, own in zip(numbers, rows, strict=True):
                end = begin + len(own)
                found[number] = Answer(labels=every.labels[begin:end], probabilities=every.probabilities[begin:end])
                begin = end
    return found


def _ask_all(release: Release, rows: list[NDArray[np.float32]]) -> Answer | Refusal:
    """Ask once about the rows of several calls; where they cannot be put together, each is asked about alone."""
    try:
        every = np.concatenate(rows)
    except (ValueError, MemoryError) as error:
        return MODEL_FAILED.refusal("model", f"{type(error).__name__}: {error}")
    return _ask(release, every)


def _ask(release: Release, rows: NDArray[np.float32]) -> Answer | Refusal:
    """Run the model, and believe its answer only if it is one."""
    try:
        labels, probabilities = release.model.run(rows)
    except Exception as error:  # noqa: BLE001 - a model that raises has no answer
        return MODEL_FAILED.refusal("model", f"{type(error).__name__}: {error}")
    if not sane(labels, probabilities, rows=len(rows), classes=len(release.signature.classes)):
        return MODEL_FAILED.refusal("model", "an answer of another shape, of no class, or of no number")
    return Answer(labels=labels, probabilities=probabilities)
