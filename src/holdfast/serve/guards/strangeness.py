"""Inputs that are unlike what the model was made for, and inputs from which small changes are taken away.

`adversarial-input` flags a row that lies with no class, or is answered as a class that it does not lie with, at a rate
of false alarms that is stated and calibrated on rows of the release (`maths.typical`). `squeezed-input` takes small
changes out of rows before the model sees them (`maths.squeeze`); what the model loses by it is measured, not known.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import msgspec
import numpy as np

from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.schema import Signature
from holdfast.maths.nearness import Projection
from holdfast.maths.squeeze import Squeeze
from holdfast.maths.typical import LEVELS, Typical
from holdfast.serve.guards.reactions import SUSPECTED, Reaction, Reactor
from holdfast.serve.guards.surroundings import Surroundings
from holdfast.serve.refusals import STRANGE

ADVERSARIAL: Final = "adversarial-input"
SQUEEZED: Final = "squeezed-input"
MOST_LEVELS: Final = 1 << 16
MOST_SIDE: Final = 9

Answered: TypeAlias = Literal["alert", "flag", "coarsen", "block"]


class AdversarialInputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often an honest row may be flagged, and what follows for its call."""

    false_alarms: float = 0.01
    action: Answered = "flag"


@dataclass(frozen=True, slots=True, kw_only=True)
class AdversarialInput:
    """A row lies where rows of its class lie."""

    name: str = ADVERSARIAL
    false_alarms: float
    action: Answered
    known: Mapping[str, tuple[Projection, Typical]]
    reactor: Reactor

    def admit(self, call: Call) -> Call | Refusal:
        """Keep the rows as they came: what the model says about them is needed too."""
        call.notes[self.name] = call.rows
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Look at the rows and what the model said of them, and do with strange ones what the table says."""
        projection, typical = self.known[call.release]
        rows, said = call.notes[self.name], answer.labels if call.said is None else call.said
        strange = int(typical.strange(projection(rows), said, self.false_alarms).sum())
        if not strange:
            return answer
        self.reactor.note(call, f"{strange} of {len(rows)} rows")
        if self.action == "block":
            return STRANGE.refusal(self.name, f"{strange} of {len(rows)} rows")
        if self.action == "coarsen":
            answer.probabilities = answer.probabilities[:, :0]
        elif self.action == "flag":
            answer.flags = (*answer.flags, SUSPECTED)
        return answer


def adversarial_input(settings: AdversarialInputSettings, surroundings: Surroundings) -> AdversarialInput:
    """Build the guard for every release of the table.

    Raises:
        InvalidInput: A rate that is not calibrated, or a release that does not say where its classes lie.
    """
    if settings.false_alarms not in LEVELS:
        expected = ", ".join(str(level) for level in LEVELS)
        raise InvalidInput(f"{ADVERSARIAL} at {settings.false_alarms}", place="routes", expected=expected)
    known = {}
    for digest in surroundings.signatures:
        space = surroundings.spaces.get(digest)
        if space is None or space.typical is None:
            raise InvalidInput(f"{ADVERSARIAL} needs a release that says where classes lie", place=digest)
        known[digest] = (Projection.shown(space), space.typical)
    reactor = surroundings.reactor(ADVERSARIAL, Reaction(action=settings.action), {})
    return AdversarialInput(false_alarms=settings.false_alarms, action=settings.action, known=known, reactor=reactor)


class SqueezedInputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is done to rows: into their declared ranges, onto few levels of them, medians of pixels."""

    clip: bool = True
    levels: int = 0  # of an input with a declared range; 0: values stay as they are
    median: int = 0  # side of the window over pixels; 0: none
    height: int = 0  # of the image that a row is, where there is a median
    width: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SqueezedInput:
    """The model sees rows without small changes."""

    name: str = SQUEEZED
    made: Mapping[str, Squeeze]

    def admit(self, call: Call) -> Call | Refusal:
        """Put squeezed rows in the place of those that came."""
        if call.rows is None:
            raise InvalidInput("nothing to squeeze")  # the chain refuses: it fails closed
        call.asked, call.rows = call.rows, self.made[call.release](call.rows)
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let every answer out."""
        return answer


def squeeze_of(signature: Signature, settings: SqueezedInputSettings) -> Squeeze:
    """Return the transform of rows of a signature.

    Raises:
        InvalidInput: Nothing is done, or an image is meant that a row is not.
    """
    columns = len(signature.inputs)
    if not (settings.clip or settings.levels or settings.median):
        raise InvalidInput(f"{SQUEEZED} does nothing", place="routes", expected="clip, levels or median")
    if settings.levels and not 2 <= settings.levels <= MOST_LEVELS:  # noqa: PLR2004 - one level is no information
        raise InvalidInput(f"{SQUEEZED} to {settings.levels} levels", place="routes", expected=f"2 to {MOST_LEVELS}")
    if settings.median and (
        not 2 <= settings.median <= MOST_SIDE or settings.height * settings.width != columns or settings.height < 1  # noqa: PLR2004 - a window of one pixel does nothing
    ):
        raise InvalidInput(f"{SQUEEZED} takes medians of images that rows are not", place="routes")
    low = [-np.inf if field.minimum is None else field.minimum for field in signature.inputs]
    high = [np.inf if field.maximum is None else field.maximum for field in signature.inputs]
    return Squeeze(
        low=np.array(low, dtype=np.float32),
        high=np.array(high, dtype=np.float32),
        clip=settings.clip,
        levels=settings.levels,
        median=settings.median,
        height=settings.height,
        width=settings.width,
    )


def squeezed_input(settings: SqueezedInputSettings, surroundings: Surroundings) -> SqueezedInput:
    """Build the guard for every release of the table.

    Raises:
        InvalidInput: As `squeeze_of` does.
    """
    made = {digest: squeeze_of(signature, settings) for digest, signature in surroundings.signatures.items()}
    return SqueezedInput(made=made)
