"""What answers when the model does not: rules, or the declared safe state, always marked as such.

Decides, for one call that the guards have let in: whether the model may be asked (its breaker, the safe state), and
what is said in its place. Watches the share of impossible inputs among known callers' calls, which is how a broken
sensor looks from here. Does no I/O: keeping the safe state over restarts is whoever's who asks for it.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.resilience import Fallback, Resilience, SafeState
from holdfast.core.schema import Signature
from holdfast.serve.breaker import Breaker, Standing
from holdfast.serve.refusals import INVALID_INPUT, RESTING, SAFE
from holdfast.serve.state import Release

FALLBACK: Final = "fallback"  # the flag in the body
MODEL_FAILED: Final = "model-failed"  # and why, in the header
BREAKER_OPEN: Final = "breaker-open"
SAFE_STATE: Final = "safe-state"

Ask = Callable[[Release, NDArray[np.float32]], Answer | Refusal]


@dataclass(slots=True)
class Recent:
    """Which of the last calls held impossible inputs."""

    calls: deque[bool] = field(default_factory=deque)
    odd: int = 0

    def share(self, *, odd: bool, most: int) -> float:
        """Take in a call, and return the share of the last `most`; 0 until there are so many."""
        self.calls.append(odd)
        self.odd += odd
        while len(self.calls) > most:
            self.odd -= self.calls.popleft()
        return self.odd / most if len(self.calls) == most else 0.0


@dataclass(slots=True, kw_only=True)
class Resilient:
    """The breakers of one worker, and whether it is in its safe state."""

    monotonic: Callable[[], float]
    safe: SafeState = field(default_factory=SafeState)
    breakers: dict[str, Breaker] = field(default_factory=dict)  # by digest of the release
    instead: dict[tuple[str, str], int] = field(default_factory=dict)  # calls answered by rules, by model and why
    _recent: dict[str, Recent] = field(default_factory=dict)  # by model

    def answer(
        self, declared: Resilience, release: Release, call: Call, ask: Ask, *, rules: bool = True
    ) -> Answer | Refusal:
        """Ask the model if it may be asked; else answer in its place, if rules may; `call.instead` says why."""
        rows, fallback = call.rows, declared.fallback if rules else None
        if rows is None:  # no guard has validated them
            return SAFE.refusal("resilience", "a call without rows")
        breaker = self._breaker(declared, release)
        if breaker is None:
            answer = ask(release, rows)
        else:
            began = self.monotonic()
            if not breaker.lets(began):
                refusal = RESTING.refusal("breaker", breaker.standing, retry_after_s=breaker.wait_s(began))
                return self._in_place(fallback, release, call, BREAKER_OPEN, refusal)
            answer = ask(release, rows)
            ended = self.monotonic()
            breaker.tell(ended, failed=isinstance(answer, Refusal), seconds=ended - began)
        if isinstance(answer, Refusal):
            return self._in_place(fallback, release, call, MODEL_FAILED, answer)
        return answer

    def safely(self, declared: Resilience | None, release: Release, call: Call) -> Answer | Refusal:
        """Answer as the safe state declares; nothing declared refuses."""
        refusal = SAFE.refusal("safe-state", self.safe.reason)
        if declared is None or declared.safe_state == "refuse":
            return refusal
        if declared.safe_state == "answer":
            fixed = Fallback(otherwise=declared.safe_answer)
            return self._in_place(fixed, release, call, SAFE_STATE, refusal)
        return self._in_place(declared.fallback, release, call, SAFE_STATE, refusal)

    def without(
        self,
        declared: Resilience | None,
        release: Release,
        call: Call,
        lacking: Mapping[str, Collection[int]],
        why: str,
        refusal: Refusal,
    ) -> Answer | Refusal:
        """Answer by rules to rows of which nobody knows the inputs named: in those rows they are within no bound."""
        if declared is None or call.rows is None:
            return refusal
        rows = call.rows.copy()
        for number, each in enumerate(release.signature.inputs):
            if each.name in lacking:
                rows[list(lacking[each.name]), number] = np.nan
        answer = self._in_place(declared.fallback, release, call, why, refusal)
        if isinstance(answer, Refusal) or declared.fallback is None:
            return answer
        return ruled(declared.fallback, release.signature, rows)

    def sensed(self, declared: Resilience, model: str, *, odd: bool) -> str:
        """Take in whether a known caller's call held impossible inputs; return why to go into the safe state, or ""."""
        if not declared.anomaly_share:
            return ""
        share = self._recent.setdefault(model, Recent()).share(odd=odd, most=declared.anomaly_calls)
        if share < declared.anomaly_share:
            return ""
        del self._recent[model]  # after a newer state has led out of it, counting begins anew
        return f"{share:.0%} of the last {declared.anomaly_calls} calls of {model} held impossible inputs"

    def standing(self, release: str) -> Standing | None:
        """Return where a release's breaker stands; None where there is none."""
        breaker = self.breakers.get(release)
        return breaker.standing if breaker is not None else None

    def keep_only(self, releases: frozenset[str]) -> None:
        """Forget the breakers of releases that are not served any more."""
        for gone in [digest for digest in list(self.breakers) if digest not in releases]:
            del self.breakers[gone]

    def _breaker(self, declared: Resilience, release: Release) -> Breaker | None:
        if declared.breaker is None:
            return None
        breaker = self.breakers.get(release.digest)
        if breaker is None or breaker.settings != declared.breaker:
            breaker = self.breakers[release.digest] = Breaker(settings=declared.breaker)
        return breaker

    def _in_place(
        self, fallback: Fallback | None, release: Release, call: Call, why: str, refusal: Refusal
    ) -> Answer | Refusal:
        if fallback is None or call.rows is None:
            return refusal
        call.instead = why
        self.instead[call.model, why] = self.instead.get((call.model, why), 0) + 1
        return ruled(fallback, release.signature, call.rows)


def labels_of(fallback: Fallback, signature: Signature, rows: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return what rules answer to rows of shape (n, features): indices of classes, shape (n,).

    Bounds are compared in double precision with the float32 values that the model would get. NaN is within no bound.
    """
    at = {field.name: number for number, field in enumerate(signature.inputs)}
    labels = np.full(len(rows), signature.classes.index(fallback.otherwise), dtype=np.int64)
    for rule in reversed(fallback.rules):  # the first that fits is written last
        fits = np.ones(len(rows), dtype=bool)
        for name, bound in rule.at_least.items():
            fits &= rows[:, at[name]].astype(np.float64) >= bound
        for name, bound in rule.at_most.items():
            fits &= rows[:, at[name]].astype(np.float64) <= bound
        labels[fits] = signature.classes.index(rule.label)
    return labels


def ruled(fallback: Fallback, signature: Signature, rows: NDArray[np.float32]) -> Answer:
    """Return what rules answer, as certain as rules are: all of the probability on one class.

    The guards on the way out see it so; a caller is told the label alone, because a rule has no probability.
    """
    labels = labels_of(fallback, signature, rows)
    return Answer(labels=labels, probabilities=np.eye(len(signature.classes))[labels], flags=(FALLBACK,))


def is_odd(refusal: Refusal | None, call: Call) -> bool:
    """Say whether the guards found inputs in a call that its declared ranges say cannot be."""
    return (refusal is not None and refusal.code == INVALID_INPUT.code) or call.flagged > 0
