"""How far annotators agree beyond chance: Krippendorff's alpha and Cohen's kappa.

Decides how much of the agreement is more than chance; leaves to others what the labels should have been
(`dawid_skene`) and how much agreement is enough.
"""

from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from holdfast.maths.arrays import Floats, classes, finite, same_length

Metric: TypeAlias = Literal["nominal", "ordinal", "interval"]

METRICS: Final[tuple[Metric, ...]] = ("nominal", "ordinal", "interval")


def krippendorff_alpha(counts: npt.ArrayLike, metric: Metric = "nominal", values: npt.ArrayLike | None = None) -> float:
    """Return Krippendorff's alpha: 1 is full agreement, 0 what chance gives, below 0 is systematic disagreement.

    α = 1 − Dₒ/Dₑ = 1 − (n − 1) Σ oₖₗ δ²ₖₗ / Σ nₖ nₗ δ²ₖₗ (Krippendorff 2011, section E), where oₖₗ are coincidences
    within units. Missing labels are simply not counted; units with fewer than two labels say nothing and are left out.

    Args:
        counts: Of shape (units, classes): how many annotators gave each unit each label, the classes in their order.
        metric: How far two labels are apart: nominal (equal or not), ordinal (by ranks), interval (by `values`).
        values: The number that each class stands for; only for interval.

    Raises:
        ValueError: No unit has two labels, all labels are one, the counts are none, or values lack or do not fit.

    The 4 observers and 12 units of Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability":

    >>> table = [
    ...     [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    ...     [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    ...     [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    ...     [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ... ]  # 0 is missing
    >>> counts = [[unit.count(label) for label in range(1, 6)] for unit in zip(*table)]
    >>> [round(krippendorff_alpha(counts, metric, [1, 2, 3, 4, 5]), 3) for metric in METRICS]
    [0.743, 0.815, 0.849]
    """
    given = np.asarray(counts)
    if given.ndim != 2 or given.size == 0:
        raise ValueError(f"counts must be units by classes, got shape {given.shape}")
    finite(given.ravel(), "counts")
    table = given.astype(np.float64)
    if table.min() < 0 or (table != np.floor(table)).any():
        raise ValueError("counts must be whole numbers, none negative")
    table = table[table.sum(axis=1) >= 2]
    if not len(table):
        raise ValueError("no unit has two labels")
    pairs = table / (table.sum(axis=1, keepdims=True) - 1)
    coincidences = pairs.T @ table - np.diag(pairs.sum(axis=0))
    margins = table.sum(axis=0)
    apart = _apart(margins, metric, values)
    expected = float((np.outer(margins, margins) * apart).sum())
    if expected == 0:
        raise ValueError("all labels are one; agreement beyond chance cannot be told")
    return 1 - (float(margins.sum()) - 1) * float((coincidences * apart).sum()) / expected


def _apart(margins: Floats, metric: Metric, values: npt.ArrayLike | None) -> Floats:
    """Return δ² between every two classes."""
    if metric == "nominal":
        return 1 - np.eye(len(margins))
    if metric == "ordinal":  # Σ of nₖ from one to the other, half of each end
        place = np.cumsum(margins) - margins / 2
    elif values is None:
        raise ValueError("interval needs the number that each class stands for")
    else:
        place = finite(values, "values")
        same_length(values=place, classes=margins)
    squared: Floats = (place[:, None] - place[None, :]) ** 2
    return squared


def cohen_kappa(one: npt.ArrayLike, other: npt.ArrayLike) -> float:
    """Return Cohen's kappa of two annotators over the items that both labelled (Cohen 1960).

    κ = (pₒ − pₑ) / (1 − pₑ), with pₑ the agreement of two who draw from their own labels at random.

    Raises:
        ValueError: The labels do not pair up, are missing or empty, or both gave one and the same label throughout.

    50 applications read by two: 20 both yes, 15 both no, 5 and 10 apart: pₒ = 0.7, pₑ = 0.5.

    >>> one = ["yes"] * 25 + ["no"] * 25
    >>> other = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    >>> round(cohen_kappa(one, other), 3)
    0.4
    """
    a, b = classes(one, "one"), classes(other, "other")
    same_length(one=a, other=b)
    names, both = np.unique(np.concatenate([a, b]), return_inverse=True)
    first, second = both[: len(a)], both[len(a) :]
    observed = float((first == second).mean())
    shares = [np.bincount(each, minlength=len(names)) / len(a) for each in (first, second)]
    expected = float(shares[0] @ shares[1])
    if expected == 1:
        raise ValueError("both gave one and the same label throughout; agreement beyond chance cannot be told")
    return (observed - expected) / (1 - expected)
