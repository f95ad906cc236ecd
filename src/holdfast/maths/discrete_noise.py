"""Noise for differential privacy, sampled exactly: integers in, integers out, no floating point on the way.

Laplace noise made of doubles has gaps that give its input away (I. Mironov, On significance of the least significant
bits for differential privacy, CCS 2012). What is here follows C. Canonne, G. Kamath and T. Steinke, The discrete
Gaussian for differential privacy (NeurIPS 2020), algorithms 1 and 2, and A. Ghosh, T. Roughgarden and M. Sundararajan,
Universally utility-maximizing privacy mechanisms (STOC 2009), for the two-sided geometric distribution that they
sample. Randomness comes in as a function that returns a uniform integer below its argument.
"""

from collections.abc import Callable
from typing import TypeAlias

Below: TypeAlias = Callable[[int], int]


def bernoulli_exp(numerator: int, denominator: int, below: Below) -> bool:
    """Return True with probability exp(-numerator / denominator): algorithm 1.

    >>> from random import Random
    >>> below = Random(0).randrange
    >>> abs(sum(bernoulli_exp(1, 2, below) for _ in range(5_000)) / 5_000 - 0.6065) < 0.02
    True
    """
    whole, rest = divmod(numerator, denominator)
    return all(_bernoulli_exp_to_one(1, 1, below) for _ in range(whole)) and _bernoulli_exp_to_one(
        rest, denominator, below
    )


def _bernoulli_exp_to_one(numerator: int, denominator: int, below: Below) -> bool:
    """Do the same for an exponent of at most 1: the series of exp, one term after the other."""
    k = 1
    while below(denominator * k) < numerator:
        k += 1
    return k % 2 == 1


def discrete_laplace(sensitivity: int, epsilon: tuple[int, int], below: Below) -> int:
    """Return an integer x with probability proportional to exp(-|x| ε / Δ): algorithm 2.

    Added to an integer that one change of the data moves by at most Δ in all, it gives ε-differential privacy.

    Args:
        sensitivity: Δ, at least 1.
        epsilon: ε as numerator and denominator, both at least 1.
        below: Returns a uniform integer from 0 up to, without, its argument.

    No noise at all comes with probability (e - 1) / (e + 1) where ε = Δ = 1.

    >>> from random import Random
    >>> below = Random(0).randrange
    >>> abs(sum(discrete_laplace(1, (1, 1), below) == 0 for _ in range(5_000)) / 5_000 - 0.4621) < 0.02
    True
    """
    s, t = epsilon[0], sensitivity * epsilon[1]
    while True:
        u = below(t)
        if not bernoulli_exp(u, t, below):
            continue
        v = 0
        while bernoulli_exp(1, 1, below):
            v += 1
        magnitude, negative = (u + t * v) // s, below(2)
        if negative and magnitude == 0:  # zero would come twice as often
            continue
        return -magnitude if negative else magnitude


def randomised_response(truth: int, count: int, epsilon: tuple[int, int], below: Below) -> int:
    """Return the true one of `count` answers, or another, so that what is told is ε-differentially private.

    S. Warner, Randomized response (JASA 1965), for more than two answers as in P. Kairouz, S. Oh and P. Viswanath,
    Extremal mechanisms for local differential privacy (NeurIPS 2014): each other answer is exp(-ε) times as likely as
    the true one.

    Args:
        truth: The true answer, 0 to count - 1.
        count: How many answers there are.
        epsilon: ε as numerator and denominator, both at least 1.
        below: Returns a uniform integer from 0 up to, without, its argument.

    The truth comes with probability 1 / (1 + 3 / e) where ε = 1 and there are four answers.

    >>> from random import Random
    >>> below = Random(0).randrange
    >>> abs(sum(randomised_response(2, 4, (1, 1), below) == 2 for _ in range(5_000)) / 5_000 - 0.4754) < 0.02
    True
    """
    while True:
        chosen = below(count)
        if chosen == truth or bernoulli_exp(*epsilon, below):
            return chosen
