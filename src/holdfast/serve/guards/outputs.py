"""How exactly the gateway answers: an attacker who sees fewer digits needs more queries."""

from dataclasses import dataclass
from typing import ClassVar, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.serve.guards.surroundings import Surroundings

MAX_DECIMALS: Final = 9  # more digits than a float32 holds


class CoarseOutputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many decimals of each probability are told, of how many classes, or that the label is all that is told."""

    decimals: int = 2
    label_only: bool = False
    top: int = 0  # classes whose probability is told, the most probable ones; the others are told as 0. 0: all


@dataclass(frozen=True, slots=True, kw_only=True)
class CoarseOutput:
    """An answer tells the label, and each probability rounded, or not at all."""

    name: str = "coarse-output"
    together: ClassVar[bool] = True
    scale: float  # ten to the power of the decimals
    label_only: bool
    top: int = 0

    def admit(self, call: Call) -> Call | Refusal:
        """Let every call pass."""
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let out the coarse answer."""
        if self.label_only:
            answer.probabilities = answer.probabilities[:, :0]
        else:
            answer.probabilities = np.rint(answer.probabilities * self.scale) / self.scale
            if 0 < self.top < answer.probabilities.shape[1]:
                _keep(answer.probabilities, self.top)
        return answer


def _keep(probabilities: NDArray[np.float64], top: int) -> None:
    """Set all but the highest probabilities of each row to zero; of equal ones the first classes stay."""
    order = np.argsort(-probabilities, axis=1, kind="stable")
    np.put_along_axis(probabilities, order[:, top:], 0.0, axis=1)


def coarse_output(settings: CoarseOutputSettings, surroundings: Surroundings) -> CoarseOutput:  # noqa: ARG001 - one signature for all
    """Build the guard.

    Raises:
        InvalidInput: Decimals that are none, or that round nothing.
    """
    if settings.top < 0:
        raise InvalidInput(f"coarse-output of {settings.top} classes", place="routes", expected="0 or more")
    if not 0 <= settings.decimals <= MAX_DECIMALS:
        raise InvalidInput(
            f"coarse-output to {settings.decimals} decimals", place="routes", expected=f"0 to {MAX_DECIMALS}"
        )
    return CoarseOutput(scale=10.0**settings.decimals, label_only=settings.label_only, top=settings.top)
