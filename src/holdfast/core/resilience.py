"""What a model's endpoint does when the model fails it: circuit breaker, rules in its place, and the safe state.

Declared in the project, carried in the signed route table, obeyed by the gateway. Decides whether a declaration fits a
model, and whether a gateway is in its safe state. What rules answer is `holdfast.serve.resilience`'s.
"""

import math
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from holdfast.core.errors import InvalidInput
from holdfast.core.schema import Signature

MAX_RULES: Final = 256  # more is a model, and belongs into one
UNREADABLE: Final = 1 << 53  # the epoch until which a gateway stays safe whose record of it cannot be read

Label = Annotated[str, Meta(min_length=1, max_length=256)]
Times = Annotated[int, Meta(ge=1, le=10_000)]
Wait = Annotated[float, Meta(gt=0, le=86_400)]  # seconds


class BreakerSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When a model is left alone, and when it is let back; each worker counts for itself."""

    failures: Times = 5  # of the last `window` calls, failed or slow
    window: Times = 20
    latency_ms: Annotated[float, Meta(ge=0, le=3_600_000)] = 0.0  # a slower answer counts as failed; 0: none does
    open_s: Wait = 10.0  # until it is probed
    probes: Times = 3  # that must go well, one after the other


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One rule: the label of a row whose inputs are all within these bounds; a rule without bounds is refused."""

    label: Label
    at_least: dict[str, float] = {}
    at_most: dict[str, float] = {}


class Fallback(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules in order, of which the first that fits a row answers, and what is answered where none does."""

    otherwise: Label
    rules: Annotated[tuple[Rule, ...], Meta(max_length=MAX_RULES)] = ()


class Resilience(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of `[resilience]`."""

    breaker: BreakerSettings | None = None
    fallback: Fallback | None = None
    safe_state: Literal["refuse", "rules", "answer"] = "refuse"
    safe_answer: str = ""  # the label of every row, where the safe state is to answer
    anomaly_share: Annotated[float, Meta(ge=0, le=1)] = 0.0  # of calls with impossible inputs; 0: none is watched for
    anomaly_calls: Times = 100  # the last so many known callers' calls, of which the share is taken


class SafeState(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """That a gateway went into its safe state, and under which epoch; only a later one leads out."""

    epoch: int = -1  # no table has such a number: never
    reason: str = ""
    since: datetime | None = None

    def holds(self, epoch: int) -> bool:
        """Say whether a gateway that obeys this epoch is in its safe state."""
        return epoch <= self.epoch

    def joined(self, other: "SafeState") -> "SafeState":
        """Return the one that lasts longer; of two that last equally long, the first that was entered."""
        return other if other.epoch > self.epoch else self


def check_resilience(declared: Resilience, signature: Signature | None = None) -> None:
    """Check that a declaration can be obeyed; with a signature, that it fits this model.

    Raises:
        InvalidInput: Something is missing, or a rule names a label or an input that the model does not have.
    """
    breaker, fallback = declared.breaker, declared.fallback
    if breaker is not None and breaker.failures > breaker.window:
        raise InvalidInput("the breaker never opens: more failures than its window has calls", place="resilience")
    if declared.safe_state == "rules" and fallback is None:
        raise InvalidInput("the safe state are rules, and there are none", place="resilience")
    if (declared.safe_state == "answer") != bool(declared.safe_answer):
        raise InvalidInput("safe_answer belongs to safe_state = 'answer', and only there", place="resilience")
    rules = fallback.rules if fallback is not None else ()
    for rule in rules:
        if not rule.at_least and not rule.at_most:  # it would hide every rule after it, and `otherwise`
            raise InvalidInput(f"the rule for {rule.label!r} has no bound", place="resilience.fallback")
        if not all(math.isfinite(bound) for bound in (*rule.at_least.values(), *rule.at_most.values())):
            raise InvalidInput(
                f"the rule for {rule.label!r} has a bound that is no number", place="resilience.fallback"
            )
    if signature is None:
        return
    labels = [rule.label for rule in rules] + ([fallback.otherwise] if fallback else [])
    labels += [declared.safe_answer] if declared.safe_answer else []
    names = {field.name for field in signature.inputs}
    used = [name for rule in rules for name in (*rule.at_least, *rule.at_most)]
    for kind, found, known in (("label", labels, signature.classes), ("input", used, sorted(names))):
        unknown = [each for each in found if each not in known]
        if unknown:
            raise InvalidInput(
                f"a rule names the {kind} {unknown[0]!r}, which the model does not have",
                place="resilience",
                expected=", ".join(known)[:400],
            )
