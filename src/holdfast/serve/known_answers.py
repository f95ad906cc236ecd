"""Known answers: what each loaded model said to fixed rows when it was loaded, asked again while it serves (SERV-19).

A hash of bytes says what was loaded; this says what is loaded. A model runs deterministically here, so an answer that
differs in one bit means that its numbers in memory, the library, or the processor are not what they were.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from holdfast.core.schema import Signature
from holdfast.serve.state import Release, State

ROWS = 16  # spread over the declared ranges, so that most branches of a tree are taken by some


@dataclass(slots=True)
class KnownAnswers:
    """What the models of one worker said."""

    known: dict[str, str] = field(default_factory=dict)  # digest of the answer, by digest of the release
    asked: int = 0

    def changed(self, state: State) -> str:
        """Return which release answers otherwise than when it was loaded; "" if none does."""
        for digest in [digest for digest in self.known if digest not in state.releases]:
            del self.known[digest]
        for digest, release in state.releases.items():
            said = _said(release)
            self.asked += 1
            if self.known.setdefault(digest, said) != said:
                return release.short
        return ""


def _said(release: Release) -> str:
    try:
        labels, probabilities = release.model.run(rows_for(release.signature))
    except Exception as error:  # noqa: BLE001 - a model that has answered and now raises has changed
        return f"{type(error).__name__}"
    return hashlib.sha256(np.ascontiguousarray(labels).tobytes() + probabilities.tobytes()).hexdigest()


def rows_for(signature: Signature) -> NDArray[np.float32]:
    """Return rows of shape (ROWS, features), the same for the same signature, inside the declared ranges."""
    rng = np.random.default_rng(len(signature.inputs))
    low = [0.0 if each.minimum is None else each.minimum for each in signature.inputs]
    high = [
        bottom + 1.0 if each.maximum is None else each.maximum
        for bottom, each in zip(low, signature.inputs, strict=True)
    ]
    return rng.uniform(low, high, size=(ROWS, len(low))).astype(np.float32)
