"""Models that drive something: an answer is a command, and a command stays within declared bounds or is not issued.

Each class stands for a value that is commanded. A command outside of its physical bounds, one that changes faster than
what it drives can follow, one that the model is not sure enough of, and one that a policy forbids in this situation (an
interlock on the very inputs that were asked about) is replaced by the declared safe one, or refused.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.allowances import Values
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.schema import Signature
from holdfast.serve.guards.surroundings import Cells, Surroundings
from holdfast.serve.refusals import OUT_OF_BOUNDS

SAFE: Final = "safe-command"
_KEPT_S: Final = 86400.0  # after which the last command is no measure of a change any more


class Interlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Commands that are never issued while an input lies above or below a bound."""

    never: tuple[str, ...]  # classes
    input: str
    above: float | None = None
    below: float | None = None


class WithinBoundsSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What each class commands, within which bounds, and what is issued in place of what may not be."""

    values: dict[str, float]  # what each class commands, in the unit of what is driven
    lowest: float
    highest: float
    change_per_s: float = 0.0  # the fastest change from one command to the next of the same client; 0 sets no limit
    least_probability: float = 0.0  # of the class that is commanded
    interlocks: tuple[Interlock, ...] = ()
    safe: str = ""  # the class that is commanded instead; none: the answer is refused


@dataclass(frozen=True, slots=True)
class Change:
    """How fast commands change: the cell holds the last one, when it was issued, and 1 once there is one."""

    per_s: float

    def charge(self, values: Values, now: float, amount: float) -> tuple[float, Values | None]:
        """Let a command pass that is near enough to the one before, for the time since."""
        last, then, known, _, _ = values
        issued = (amount, now, 1.0, 0.0, 0.0)
        if not known or abs(amount - last) <= self.per_s * max(now - then, 0.0) * (1 + 1e-9):
            return 0.0, issued
        return 1.0, ((last, now, 1.0, 0.0, 0.0) if now < then else None)  # a clock that began anew

    def issue(self, values: Values, now: float, amount: float) -> tuple[float, Values | None]:  # noqa: ARG002 - a rule's signature
        """Write down a command that is issued whatever came before."""
        return 0.0, (amount, now, 1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Driven:
    """The bounds of one release: arrays over classes, and interlocks by the column of their input."""

    values: tuple[float, ...]
    inside: tuple[bool, ...]
    interlocks: tuple[tuple[int, float, float, frozenset[int]], ...]  # column, below, above, classes
    safe: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WithinBounds:
    """A command is issued only within its bounds; else the safe one is, or none."""

    name: str = "within-bounds"
    change: Change | None
    least_probability: float
    driven: Mapping[str, _Driven]
    cells: Cells
    monotonic: Callable[[], float]
    behind: float

    def admit(self, call: Call) -> Call | Refusal:
        """Let a call pass that commands one thing at a time, where it matters what came before."""
        if call.release not in self.driven:
            return OUT_OF_BOUNDS.refusal(self.name, "a release without bounds")
        if self.change is not None and (call.rows is None or len(call.rows) != 1):
            words = "a call for a command holds one row"
            return OUT_OF_BOUNDS.refusal(self.name, words, public=words)
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let out the commands that may be issued; the safe one in place of each other, or nothing."""
        driven, rows = self.driven[call.release], call.rows if call.asked is None else call.asked
        if rows is None or not answer.probabilities.shape[1]:
            return OUT_OF_BOUNDS.refusal(self.name, "an answer without probabilities cannot be held to bounds")
        labels: list[int] = answer.labels.tolist()
        for number, label in enumerate(labels):
            why = self._why_not(driven, label, rows[number], answer.probabilities[number])
            if not why and self.change is not None and self._too_fast(call, driven.values[label]):
                why = "it changes too fast"
            if not why:
                continue
            if driven.safe is None:
                return OUT_OF_BOUNDS.refusal(self.name, f"{call.client}: class {label}: {why}")
            if self.change is not None:
                self._apply(call, self.change.issue, driven.values[driven.safe])
            labels[number] = driven.safe
            if SAFE not in answer.flags:
                answer.flags = (*answer.flags, SAFE)
        answer.labels = np.array(labels, dtype=np.int64)
        return answer

    def _why_not(
        self, driven: _Driven, label: int, row: NDArray[np.float32], probabilities: NDArray[np.float64]
    ) -> str:
        """Return why a command may not be issued; "" where it may."""
        if not driven.inside[label]:
            return "it is out of its bounds"
        if not probabilities[label] >= self.least_probability:  # NaN is not enough either
            return "the model is not sure enough"
        for column, below, above, never in driven.interlocks:
            if label in never and not above >= row[column] >= below:
                return "an interlock forbids it"
        return ""

    def _too_fast(self, call: Call, value: float) -> bool:
        return self.change is not None and self._apply(call, self.change.charge, value) > 0

    def _apply(
        self, call: Call, rule: Callable[[Values, float, float], tuple[float, Values | None]], value: float
    ) -> float:
        now = self.monotonic()
        return self.cells.apply(f"command\0{call.client}\0{call.model}", rule, now, value, now + self.behind + _KEPT_S)


def within_bounds(settings: WithinBoundsSettings, surroundings: Surroundings) -> WithinBounds:
    """Build the guard for every release of the table.

    Raises:
        InvalidInput: What `bounds_of` does not accept.
    """
    return WithinBounds(
        change=Change(settings.change_per_s) if settings.change_per_s else None,
        least_probability=settings.least_probability,
        driven={digest: bounds_of(settings, signature) for digest, signature in surroundings.signatures.items()},
        cells=surroundings.cells,
        monotonic=surroundings.monotonic,
        behind=surroundings.clock.now().timestamp() - surroundings.monotonic(),
    )


def bounds_of(settings: WithinBoundsSettings, signature: Signature) -> _Driven:
    """Return the bounds as they hold for one model; a control plane asks the same before it signs them.

    Raises:
        InvalidInput: Bounds that mean nothing, a class without a value, an interlock on no input, or a safe command
            that is itself out of its bounds.
    """
    bounds = (settings.lowest, settings.highest, settings.change_per_s, *settings.values.values())
    if not all(math.isfinite(bound) for bound in bounds) or settings.lowest > settings.highest:
        raise InvalidInput(
            "the commands have bounds that mean nothing", place="serving.commands", expected="lowest <= highest"
        )
    if settings.change_per_s < 0 or not 0 <= settings.least_probability <= 1:
        raise InvalidInput(
            "the commands have a limit that means nothing", place="serving.commands", expected="0 or more"
        )
    classes, inputs = signature.classes, [field.name for field in signature.inputs]
    if set(settings.values) != set(classes):
        raise InvalidInput(
            "the commands do not give every class of the model a value, and no other",
            place="serving.commands",
            expected=", ".join(classes),
        )
    values = tuple(settings.values[name] for name in classes)
    inside = tuple(settings.lowest <= value <= settings.highest for value in values)
    safe = classes.index(settings.safe) if settings.safe in classes else None
    if settings.safe and (safe is None or not inside[safe]):
        raise InvalidInput(
            "the safe command is none, or out of its bounds", place="serving.commands", expected=", ".join(classes)
        )
    return _Driven(
        values=values,
        inside=inside,
        interlocks=tuple(_locked(interlock, classes, inputs) for interlock in settings.interlocks),
        safe=safe,
    )


def _locked(
    interlock: Interlock, classes: tuple[str, ...], inputs: list[str]
) -> tuple[int, float, float, frozenset[int]]:
    if not interlock.never or not set(interlock.never) <= set(classes) or interlock.input not in inputs:
        raise InvalidInput(
            "an interlock names no class or no input", place="serving.commands", expected=", ".join(inputs)
        )
    if interlock.above is None and interlock.below is None:
        raise InvalidInput("an interlock without a bound", place="serving.commands", expected="above or below")
    below = -math.inf if interlock.below is None else interlock.below
    above = math.inf if interlock.above is None else interlock.above
    return inputs.index(interlock.input), below, above, frozenset(classes.index(name) for name in interlock.never)
