"""Base scores of CVSS 4.0 vectors (specification, section 8.2: macro vectors and interpolation between them).

1. The base metrics are put into five equivalence classes (EQ1, EQ2, EQ3 with EQ6, EQ4, EQ5), a macro vector.
2. The macro vector's score is looked up: experts ranked them, so it is a table and no formula.
3. In each class it is seen how far the vector lies below the worst vector of its macro vector, as a share of the
   class's depth, and that share is taken of the distance to the next lower macro vector's score.
4. The mean of these distances is subtracted, and the result rounded to one decimal, halves up.

As with version 3, base metrics alone count (CVSS-B): whether an exploit is about (EQ5) and what a consumer changes are
theirs to say, and not to be believed of an advisory that travels. So only the rows of the table with `E:A` and security
requirements `H` can be met, and those next below them, which are carried here.
"""

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Final

_VECTOR: Final = re.compile(r"CVSS:4\.0((?:/[A-Z]{1,3}:[A-Za-z]+)+)")
_LEVELS: Final[Mapping[str, str]] = {  # values of each metric, the worst first: one step is a tenth of a score
    "AV": "NALP",
    "AC": "LH",
    "AT": "NP",
    "PR": "NLH",
    "UI": "NPA",
    **dict.fromkeys(("VC", "VI", "VA", "SC", "SI", "SA"), "HLN"),
}
_WORST: Final[Mapping[str, tuple[Mapping[str, str], ...]]] = {  # the highest vectors of each class
    "AV PR UI 0": ({"AV": "N", "PR": "N", "UI": "N"},),
    "AV PR UI 1": (
        {"AV": "A", "PR": "N", "UI": "N"},
        {"AV": "N", "PR": "L", "UI": "N"},
        {"AV": "N", "PR": "N", "UI": "P"},
    ),
    "AV PR UI 2": ({"AV": "P", "PR": "N", "UI": "N"}, {"AV": "A", "PR": "L", "UI": "P"}),
    "AC AT 0": ({"AC": "L", "AT": "N"},),
    "AC AT 1": ({"AC": "H", "AT": "N"}, {"AC": "L", "AT": "P"}),
    "VC VI VA 0": ({"VC": "H", "VI": "H", "VA": "H"},),
    "VC VI VA 1": ({"VC": "L", "VI": "H", "VA": "H"}, {"VC": "H", "VI": "L", "VA": "H"}),
    "VC VI VA 2": ({"VC": "L", "VI": "L", "VA": "L"},),
    "SC SI SA 1": ({"SC": "H", "SI": "H", "SA": "H"},),
    "SC SI SA 2": ({"SC": "L", "SI": "L", "SA": "L"},),
}
_DEPTH: Final[Mapping[str, int]] = {  # steps from the highest to the lowest vector of a class (section 8.2)
    "AV PR UI 0": 1,
    "AV PR UI 1": 4,
    "AV PR UI 2": 5,
    "AC AT 0": 1,
    "AC AT 1": 2,
    "VC VI VA 0": 7,
    "VC VI VA 1": 8,
    "VC VI VA 2": 10,
    "SC SI SA 1": 5,
    "SC SI SA 2": 4,
}
_IMPACTS: Final = (0, 2, 4)  # where the rows of EQ3 0, 1 and 2 stand below; the row after each is the next lower one
_SCORES: Final[Mapping[tuple[int, int], tuple[tuple[int, int], ...]]] = {
    # EQ1 and EQ2: for EQ3+EQ6 00, 01, 10, 11 and 21 the score in tenths with EQ4 1 and 2, all with EQ5 0
    (0, 0): ((100, 93), (96, 90), (93, 88), (92, 80), (79, 69)),
    (0, 1): ((95, 92), (91, 81), (92, 84), (82, 70), (71, 63)),
    (1, 0): ((94, 87), (89, 75), (86, 72), (76, 57), (65, 53)),
    (1, 1): ((90, 77), (77, 66), (74, 61), (59, 52), (58, 23)),
    (2, 0): ((86, 70), (74, 54), (72, 53), (57, 36), (47, 24)),
    (2, 1): ((73, 54), (55, 43), (61, 46), (51, 18), (24, 10)),
}
_LOWEST: Final = {"AV PR UI": 2, "AC AT": 1, "SC SI SA": 2}  # classes below which nothing is


def base_score(vector: str) -> float:
    """Return the base score of a CVSS 4.0 vector.

    >>> base_score("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N")
    9.3

    Raises:
        ValueError: It is none, says a metric twice, or lacks a base metric.
    """
    given = _read(vector)
    if all(given[name] == "N" for name in ("VC", "VI", "VA", "SC", "SI", "SA")):
        return 0.0
    exploitable, complex_, impact, beyond = _classes(given)
    row = _IMPACTS[impact]
    score = _SCORES[exploitable, complex_][row][beyond - 1]
    lower = {
        f"AV PR UI {exploitable}": _at(exploitable + 1, complex_, row, beyond),
        f"AC AT {complex_}": _at(exploitable, complex_ + 1, row, beyond),
        f"VC VI VA {impact}": _below_impact(exploitable, complex_, impact, beyond),
        f"SC SI SA {beyond}": _at(exploitable, complex_, row, beyond + 1),
    }
    distances = [(score - found) * _share(given, name) for name, found in lower.items() if found is not None]
    distances.append(Fraction(0))  # EQ5: attacks are taken to be about, and there is one step below that
    tenths = score - sum(distances, Fraction(0)) / len(distances)
    return int(max(tenths, Fraction(0)) + Fraction(1, 2)) / 10


def _read(vector: str) -> dict[str, str]:
    """Return the base metrics of a vector."""
    found = _VECTOR.fullmatch(vector)
    pairs = [part.split(":") for part in found[1].split("/")[1:]] if found else []
    given = {name: value for name, value in pairs if name in _LEVELS}
    if found is None or len({name for name, _ in pairs}) != len(pairs):
        raise ValueError(f"{vector[:80]!r} is no vector of CVSS 4")
    if len(given) != len(_LEVELS) or any(value not in _LEVELS[name] for name, value in given.items()):
        raise ValueError(f"{vector[:80]!r} lacks a base metric of CVSS 4")
    return given


def _classes(given: Mapping[str, str]) -> tuple[int, int, int, int]:
    """Return EQ1, EQ2, EQ3 and EQ4."""
    none = [given[name] == "N" for name in ("AV", "PR", "UI")]
    exploitable = 0 if all(none) else 1 if any(none) and given["AV"] != "P" else 2
    complex_ = 0 if (given["AC"], given["AT"]) == ("L", "N") else 1
    high = [given[name] == "H" for name in ("VC", "VI", "VA")]
    impact = 0 if high[0] and high[1] else 1 if any(high) else 2
    beyond = 1 if "H" in {given["SC"], given["SI"], given["SA"]} else 2
    return exploitable, complex_, impact, beyond


def _at(exploitable: int, complex_: int, row: int, beyond: int) -> int | None:
    """Return a macro vector's score in tenths; None where there is none."""
    if exploitable > _LOWEST["AV PR UI"] or complex_ > _LOWEST["AC AT"] or beyond > _LOWEST["SC SI SA"]:
        return None
    return _SCORES[exploitable, complex_][row][beyond - 1]


def _below_impact(exploitable: int, complex_: int, impact: int, beyond: int) -> int | None:
    """Return the score next below in EQ3 and EQ6 together: of two ways down from 00, the one that leads less far."""
    rows = {0: (1, 2), 1: (3,), 2: ()}[impact]
    return max((_SCORES[exploitable, complex_][row][beyond - 1] for row in rows), default=None)


def _share(given: Mapping[str, str], name: str) -> Fraction:
    """Return how far a vector lies below a worst one of its class, of which one is always above it, as a share."""
    below = (
        [_LEVELS[metric].index(given[metric]) - _LEVELS[metric].index(at) for metric, at in worst.items()]
        for worst in _WORST[name]
    )
    return next(Fraction(sum(steps), _DEPTH[name]) for steps in below if min(steps) >= 0)
