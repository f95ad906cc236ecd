"""Severity from CVSS vectors: base scores of version 3.0 and 3.1, and the words that scores are given.

Vectors of version 4 are scored beside (`cvss4`). Those of version 2 rate nothing: an advisory that says nothing else
counts as high.
"""

import math
import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.advisories import cvss4

_METRICS: Final[dict[str, dict[str, float]]] = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
    "C": {"H": 0.56, "L": 0.22, "N": 0.0},
    "I": {"H": 0.56, "L": 0.22, "N": 0.0},
    "A": {"H": 0.56, "L": 0.22, "N": 0.0},
}
_PRIVILEGES: Final = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}
_VECTOR: Final = re.compile(r"CVSS:3\.([01])((?:/[A-Z]{1,3}:[A-Z])+)")
_WORDS: Final = {
    "CRITICAL": Severity.CRITICAL,
    "HIGH": Severity.HIGH,
    "IMPORTANT": Severity.HIGH,
    "MODERATE": Severity.MEDIUM,
    "MEDIUM": Severity.MEDIUM,
    "LOW": Severity.LOW,
    "NEGLIGIBLE": Severity.LOW,
    "UNIMPORTANT": Severity.LOW,
}
UNKNOWN: Final = Severity.HIGH  # what nobody has rated may be anything


def base_score(vector: str) -> float:
    """Return the base score of a CVSS 3 vector (CVSS 3.1 specification, section 7.1 and appendix A).

    >>> base_score("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H")
    9.8

    Raises:
        ValueError: It is none, or lacks a base metric.
    """
    found = _VECTOR.fullmatch(vector)
    if found is None:
        raise ValueError(f"{vector[:80]!r} is no vector of CVSS 3")
    given = dict(part.split(":") for part in found[2].split("/")[1:])
    try:
        scope = given["S"]
        values = {name: table[given[name]] for name, table in _METRICS.items()}
        privileges = _PRIVILEGES[scope][given["PR"]]
    except KeyError as error:
        raise ValueError(f"{vector[:80]!r} lacks a base metric: {error}") from error
    iss = 1 - (1 - values["C"]) * (1 - values["I"]) * (1 - values["A"])
    impact = 6.42 * iss if scope == "U" else 7.52 * (iss - 0.029) - 3.25 * (iss - 0.02) ** 15
    exploitability = 8.22 * values["AV"] * values["AC"] * privileges * values["UI"]
    if impact <= 0:
        return 0.0
    whole = impact + exploitability
    return roundup(min(whole if scope == "U" else 1.08 * whole, 10))


def roundup(value: float) -> float:
    """Return the smallest number of one decimal that is not below a value, as the specification rounds (appendix A).

    >>> roundup(4.02), roundup(4.00)
    (4.1, 4.0)
    """
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else (math.floor(whole / 10_000) + 1) / 10


def rating(score: float) -> Severity:
    """Return the word for a score (section 5, "Qualitative severity rating scale")."""
    for bound, severity in (
        (9.0, Severity.CRITICAL),
        (7.0, Severity.HIGH),
        (4.0, Severity.MEDIUM),
        (0.1, Severity.LOW),
    ):
        if score >= bound:
            return severity
    return Severity.INFO


_SCORED: Final = {"CVSS_V3": base_score, "CVSS_V4": cvss4.base_score}


def severity_of(vectors: list[tuple[str, str]], word: str) -> Severity:
    """Return how bad something is: the worst of its CVSS 3 and 4 scores, else what its database says, else unknown.

    Args:
        vectors: Pairs of type and score as OSV lists them, for example `("CVSS_V3", "CVSS:3.1/…")`.
        word: What the record's own database calls it.
    """
    scores = []
    for kind, vector in vectors:
        try:
            scores += [_SCORED[kind](vector)] if kind in _SCORED else []
        except ValueError:
            continue  # a vector that cannot be read rates nothing
    if scores:
        return rating(max(scores))
    return _WORDS.get(word.upper(), UNKNOWN)
