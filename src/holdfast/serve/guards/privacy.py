"""Answers that tell little about any one record: noise under a budget, and groups instead of rows.

What noise promises: everything that one client was ever told about a model is ε-differentially private with ε at most
the client's budget, by basic composition (C. Dwork and A. Roth, The algorithmic foundations of differential privacy,
2014, theorem 3.16). What it does not promise: anything about several clients together beyond `budget_all`, about a
budget that begins anew with each period beyond the sum over periods, or about what telemetry tells the model's own
operator.
"""

import math
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from hashlib import blake2b
from typing import Final, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.allowances import Quota
from holdfast.core.errors import InvalidInput
from holdfast.core.guard import Answer, Call, Refusal
from holdfast.core.ports import Clock
from holdfast.maths.discrete_noise import Below, discrete_laplace, randomised_response
from holdfast.serve.guards.surroundings import Cells, Nonces, Surroundings
from holdfast.serve.refusals import BROKEN, NO_PRIVACY_LEFT, TOO_FEW_ROWS

GRID: Final = 1000  # steps in which a probability is told once it is noised
FINEST: Final = 1000  # ε is a whole number of thousandths, rounded down
SMALLEST_GROUP: Final = 2
LONGEST_APART_S: Final = 31 * 86400.0
NOISED: Final = "noised"
GROUPED: Final = "group"
_TENTHS: Final = 10


class NoisedOutputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much one answered row may tell, and how much a client may be told in all."""

    epsilon: float  # of one answer: for each row, or for a group where `protects` is "rows"
    budget: float  # ε of one client in a period
    period_s: float = 0.0  # 0: for ever
    budget_all: float = 0.0  # ε of all clients together in a period; 0 sets no limit
    answer: Literal["label", "probabilities"] = "label"
    # "model": any difference in what the model learned from, or in the row asked about. "rows": one row of a group.
    protects: Literal["model", "rows"] = "model"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoisedOutput:
    """An answer is made private by exact discrete noise, as long as its client's budget lasts.

    Labels by randomised response; probabilities on a grid of thousandths by discrete Laplace noise. Two vectors of k
    probabilities are at most 2 apart (L1), so on the grid, with rounding, at most 2 × 1000 + k; the means of two groups
    of n that differ in one row, at most 2 × 1000 / n + k. The label told is the one of the noised probabilities.
    """

    name: str = "noised-output"
    epsilon: tuple[int, int]
    cost: float
    labels_only: bool
    of_group: bool
    quota: Quota
    quota_all: Quota | None
    cells: Cells
    clock: Clock
    tell: Callable[[str, str, str, str], None]
    below: Below = secrets.randbelow

    def admit(self, call: Call) -> Call | Refusal:
        """Charge what the answer will tell, before there is one; a call that fails later has paid all the same."""
        if call.rows is None:
            return NO_PRIVACY_LEFT.refusal(self.name, "a call without rows")
        now, amount = self.clock.now().timestamp(), self.cost * (1 if self.of_group else len(call.rows))
        cell = "epsilon\0" + call.client
        for name, quota in ((cell, self.quota), ("epsilon", self.quota_all)):
            if quota is not None and self.cells.apply(name, quota.charge, now, amount, math.inf) > 0:
                whose = "all clients" if name == "epsilon" else call.client
                return NO_PRIVACY_LEFT.refusal(self.name, f"{whose}: no budget left for ε = {amount:g}")
        self._record(call.client, amount, self.cells.read(cell))
        return call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:
        """Let out the noised answer."""
        rows = 0 if call.rows is None else len(call.rows)
        if self.of_group and (len(answer.labels) != 1 or GROUPED not in answer.flags or not rows):
            return BROKEN.refusal(self.name, "noise for one row of a group, and no group")
        count = answer.probabilities.shape[1]
        if self.labels_only:
            told = [randomised_response(label, count, self.epsilon, self.below) for label in answer.labels.tolist()]
            answer.labels, answer.probabilities = np.array(told, dtype=np.int64), answer.probabilities[:, :0]
        else:
            distance = -(-2 * GRID // rows) if self.of_group else 2 * GRID
            answer.probabilities = self._noised(answer.probabilities, distance + count)
            answer.labels = answer.probabilities.argmax(axis=1).astype(np.int64)
        answer.flags = (*answer.flags, NOISED)
        return answer

    def _noised(self, probabilities: NDArray[np.float64], sensitivity: int) -> NDArray[np.float64]:
        """Return probabilities, shape (n, classes), on the grid and noised; clipping afterwards costs no privacy."""
        within = np.clip(probabilities, 0.0, 1.0)  # a model need not keep to what the sensitivity supposes
        within = within / np.maximum(within.sum(axis=1, keepdims=True), 1.0)
        grid = np.rint(within * GRID).astype(np.int64)
        noise = [discrete_laplace(sensitivity, self.epsilon, self.below) for _ in range(grid.size)]
        told = [min(max(value + more, 0), GRID) for value, more in zip(grid.ravel().tolist(), noise, strict=True)]
        return np.array(told, dtype=np.float64).reshape(grid.shape) / GRID

    def _record(self, client: str, amount: float, values: tuple[float, ...]) -> None:
        """Put on record each time that another tenth of a client's budget is spent."""
        budget = min(self.quota.total, self.quota.per_period)
        used = values[2] if self.quota.total < math.inf else values[1]
        if int(_TENTHS * used / budget) != int(_TENTHS * (used - amount) / budget):
            self.tell("privacy.spent", client, f"ε = {used:g} of {budget:g}", "")


def noised_output(settings: NoisedOutputSettings, surroundings: Surroundings) -> NoisedOutput:
    """Build the guard.

    Raises:
        InvalidInput: A privacy loss or a budget that means nothing.
    """
    thousandths = math.floor(settings.epsilon * FINEST + 1e-9) if 0 < settings.epsilon < math.inf else 0
    budgets = (settings.budget, settings.budget_all, settings.period_s)
    if thousandths < 1 or settings.budget < settings.epsilon or not all(0 <= each < math.inf for each in budgets):
        raise InvalidInput(
            "noised-output has a budget that means nothing",
            place="routes",
            expected=f"epsilon at least 1/{FINEST}, and a budget for one answer or more",
        )
    fraction = Fraction(thousandths, FINEST)
    return NoisedOutput(
        epsilon=(fraction.numerator, fraction.denominator),
        cost=settings.epsilon,
        labels_only=settings.answer == "label",
        of_group=settings.protects == "rows",
        quota=_budget(settings.budget, settings.period_s),
        quota_all=_budget(settings.budget_all, settings.period_s) if settings.budget_all else None,
        cells=surroundings.cells,
        clock=surroundings.clock,
        tell=surroundings.tell,
    )


def _budget(epsilon: float, period_s: float) -> Quota:
    return Quota(per_period=epsilon, period_s=period_s) if period_s else Quota(total=epsilon)


class GroupedOutputSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How many different rows an answer must be about, and for how long a row may not be asked about again."""

    smallest: int
    apart_s: float = 0.0  # 0: a row may be in any number of groups


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedOutput:
    """A call is answered about all of its rows together: mean probabilities, and the label that most rows got.

    With `apart_s`, groups of one client have no row in common, so that no two answers differ by a known row. What is
    not
    promised: that a client does not pad a group with rows whose answers it knows, or with rows that differ in nothing
    that matters. Noise (`noised-output` with `protects = "rows"`) is what bounds those.
    """

    name: str = "grouped-output"
    smallest: int
    apart_s: float
    nonces: Nonces
    clock: Clock

    def admit(self, call: Call) -> Call | Refusal:
        """Let a call pass whose rows are enough, all different, and in no other group of its client."""
        if call.rows is None:
            return TOO_FEW_ROWS.refusal(self.name, "a call without rows")
        rows = {row.tobytes() for row in call.rows + np.float32(0)}  # -0.0 and 0.0 are one
        if len(rows) != len(call.rows):
            return TOO_FEW_ROWS.refusal(self.name, "a row twice", public="a row stands in the group twice")
        if len(rows) < self.smallest:
            words = f"a group holds at least {self.smallest} different rows"
            return TOO_FEW_ROWS.refusal(self.name, f"{len(rows)} different rows", public=words)
        return self._apart(call, rows) if self.apart_s else call

    def release(self, call: Call, answer: Answer) -> Answer | Refusal:  # noqa: ARG002 - the protocol's signature
        """Let out the answer about the group."""
        most = Counter(answer.labels.tolist()).most_common()
        label = min(found for found, count in most if count == most[0][1])  # of equal counts the first class
        answer.labels = np.array([label], dtype=np.int64)
        answer.probabilities = answer.probabilities.mean(axis=0, keepdims=True)
        answer.flags = (*answer.flags, GROUPED)
        return answer

    def _apart(self, call: Call, rows: set[bytes]) -> Call | Refusal:
        """Remember the rows of a group; where one is known or cannot be remembered, there is no answer."""
        now = self.clock.now().timestamp()
        for row in rows:
            digest = blake2b(row, digest_size=16).hexdigest()
            mine = f"{call.client}\0{call.model}\0row\0{digest}"
            if not self.nonces.remember(mine, until=now + self.apart_s, now=now):
                words = "a row was in another group already"
                return TOO_FEW_ROWS.refusal(self.name, f"{call.client}: {words}", public=words)
        return call


def grouped_output(settings: GroupedOutputSettings, surroundings: Surroundings) -> GroupedOutput:
    """Build the guard.

    Raises:
        InvalidInput: A group of one, or a time that means nothing.
    """
    if settings.smallest < SMALLEST_GROUP or not 0 <= settings.apart_s <= LONGEST_APART_S:
        raise InvalidInput(
            f"grouped-output of {settings.smallest}", place="routes", expected=f"at least {SMALLEST_GROUP} rows"
        )
    return GroupedOutput(
        smallest=settings.smallest,
        apart_s=settings.apart_s,
        nonces=surroundings.nonces,
        clock=surroundings.clock,
    )
