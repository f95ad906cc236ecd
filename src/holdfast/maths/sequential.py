"""A test of two failure rates that may be looked at after every request, and stopped whenever it says enough.

For canaries: a fixed-size test that is watched continuously rejects a harmless candidate sooner or later; an e-process
does not. Decides how strong the evidence is so far; leaves to the rollout what follows from a rejection.

Turner, Ly and Grünwald, Generic E-variables for exact sequential k-sample tests that allow for optional stopping,
Journal of Statistical Planning and Inference 230 (2024), arXiv:2106.02693. Symbols: a block brings n_a outcomes of the
candidate, k_a of them failures, and n_b, k_b of the baseline; θ_a, θ_b are the rates guessed from *earlier* blocks
alone, the posterior means under Beta(γ, γ); θ_0 = (n_a θ_a + n_b θ_b) / (n_a + n_b). The block's e-variable is

    S = (θ_a/θ_0)^k_a ((1-θ_a)/(1-θ_0))^(n_a-k_a) (θ_b/θ_0)^k_b ((1-θ_b)/(1-θ_0))^(n_b-k_b),

whose mean is at most 1 whenever both true rates are equal, whatever they are (their theorem 1). With θ_a ≥ θ_b it rises
in expectation with the candidate's true rate and falls with the baseline's, so the mean is at most 1 for every
candidate that is no worse: that makes the one-sided test, which bets nothing (S = 1) while θ_a ≤ θ_b.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

PRIOR: Final = 0.18  # γ; about the least regret against the best fixed guess (section 4 of the paper)
_MAX_LN: Final = 700.0  # exp() of more overflows a double; e^700 has been enough for any alpha long before

Alternative: TypeAlias = Literal["worse", "different"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """What one tick brought. Its sizes must not depend on its outcomes; smaller blocks let the test learn faster."""

    candidate_failures: int
    candidate_n: int
    baseline_failures: int
    baseline_n: int

    def __post_init__(self) -> None:
        """Refuse negative counts and more failures than outcomes."""
        candidate = 0 <= self.candidate_failures <= self.candidate_n
        if not (candidate and 0 <= self.baseline_failures <= self.baseline_n):
            raise ValueError(f"failures must lie between 0 and the number of outcomes, got {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RateTest:
    """The state of the test: what was counted, and the evidence against "the candidate is no worse".

    Attributes:
        alternative: `worse` looks for a candidate that fails more often, `different` for any difference.
        seen: The sum of all blocks.
        ln_e: Logarithm of the e-process now.
        ln_peak: Its largest value so far, which is what Ville's inequality bounds: a rejection stays a rejection.
    """

    alternative: Alternative = "worse"
    seen: Block = Block(candidate_failures=0, candidate_n=0, baseline_failures=0, baseline_n=0)
    ln_e: float = 0.0
    ln_peak: float = 0.0

    def __post_init__(self) -> None:
        """Refuse an unknown alternative and evidence that no run of `update` can give."""
        if self.alternative not in ("worse", "different"):
            raise ValueError(f"the alternative is 'worse' or 'different', got {self.alternative!r}")
        if not -math.inf < self.ln_e <= self.ln_peak < math.inf or self.ln_peak < 0:
            raise ValueError(f"impossible evidence: now {self.ln_e}, at its peak {self.ln_peak}")


def update(state: RateTest, block: Block) -> RateTest:
    """Return the state after one more block: guesses from before the block, evidence times its e-variable.

    The first block only teaches; all data in one block would prove nothing.

    >>> before = update(RateTest(), Block(candidate_failures=5, candidate_n=10, baseline_failures=0, baseline_n=10))
    >>> e_value(before)  # the first block finds both guesses at 1/2: no bet yet
    1.0
    >>> after = update(before, Block(candidate_failures=1, candidate_n=1, baseline_failures=0, baseline_n=1))
    >>> round(e_value(after), 4)  # θ_a = 1/2, θ_b = 0.18/10.36, θ_0 their mean: S = (θ_a/θ_0)(1-θ_b)/(1-θ_0)
    2.562
    """
    seen = state.seen
    theta_a = (seen.candidate_failures + PRIOR) / (seen.candidate_n + 2 * PRIOR)
    theta_b = (seen.baseline_failures + PRIOR) / (seen.baseline_n + 2 * PRIOR)
    bets = state.alternative == "different" or theta_a > theta_b
    ln_e = state.ln_e + (_ln_e_variable(theta_a, theta_b, block) if bets else 0.0)
    total = Block(
        candidate_failures=seen.candidate_failures + block.candidate_failures,
        candidate_n=seen.candidate_n + block.candidate_n,
        baseline_failures=seen.baseline_failures + block.baseline_failures,
        baseline_n=seen.baseline_n + block.baseline_n,
    )
    return RateTest(alternative=state.alternative, seen=total, ln_e=ln_e, ln_peak=max(state.ln_peak, ln_e))


def e_value(state: RateTest) -> float:
    """Return the evidence now: under the null its mean is at most 1 at every moment, at most e^700 is reported.

    >>> e_value(RateTest())
    1.0
    """
    return math.exp(min(state.ln_e, _MAX_LN))


def p_value(state: RateTest) -> float:
    """Return the anytime-valid p-value, 1 over the largest evidence so far; it never rises.

    >>> p_value(RateTest())
    1.0
    """
    return math.exp(-min(state.ln_peak, _MAX_LN))


def rejects(state: RateTest, alpha: float) -> bool:
    """Return whether the evidence ever reached 1/alpha.

    By Ville's inequality (1939) that happens with probability at most alpha if the candidate is no worse, however often
    one looks and whenever one stops. Without observations the answer is no: absence of evidence is not a reason to
    promote either, so a rollout also asks how much was seen.

    Raises:
        ValueError: An alpha outside (0, 1).

    >>> rejects(RateTest(ln_e=3.0, ln_peak=3.0), 0.05)  # e^3 = 20.1 > 20
    True
    """
    if not 0 < alpha < 1:
        raise ValueError(f"alpha lies inside (0, 1), got {alpha}")
    return state.ln_peak >= -math.log(alpha)


def _ln_e_variable(theta_a: float, theta_b: float, block: Block) -> float:
    n_a, k_a = block.candidate_n, block.candidate_failures
    n_b, k_b = block.baseline_n, block.baseline_failures
    if n_a == 0 or n_b == 0:  # θ_0 is then the only guess there is, and S = 1
        return 0.0
    theta_0 = (n_a * theta_a + n_b * theta_b) / (n_a + n_b)
    failures = k_a * math.log(theta_a / theta_0) + k_b * math.log(theta_b / theta_0)
    successes = (n_a - k_a) * math.log((1 - theta_a) / (1 - theta_0))
    successes += (n_b - k_b) * math.log((1 - theta_b) / (1 - theta_0))
    return failures + successes
