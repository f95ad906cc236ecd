"""Scores of CVSS 4.0 are those of the specification's own calculator."""

import hashlib
import itertools

import pytest

from holdfast.engines.advisories.cvss4 import base_score

METRICS = {
    "AV": "NALP",
    "AC": "LH",
    "AT": "NP",
    "PR": "NLH",
    "UI": "NPA",
    **dict.fromkeys(("VC", "VI", "VA", "SC", "SI", "SA"), "HLN"),
}
NONE = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N"


@pytest.mark.requirement("SUP-05", by="holdfast.engines.advisories.cvss4:base_score")
@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H", 10.0),
        ("AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 9.3),
        ("AV:L/AC:L/AT:P/PR:L/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 7.3),  # the examples document: CVE-2022-41741
        ("AV:N/AC:L/AT:P/PR:N/UI:P/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", 7.7),  # CVE-2020-3549
        ("AV:P/AC:H/AT:P/PR:H/UI:A/VC:L/VI:N/VA:N/SC:N/SI:N/SA:N", 1.0),
        ("AV:N/AC:L/AT:N/PR:N/UI:N/VC:N/VI:N/VA:N/SC:N/SI:N/SA:N", 0.0),
    ],
)
def test_scores_are_those_of_the_specification(vector: str, score: float) -> None:
    """Both ends of the scale, and vectors that are published with their score."""
    assert base_score(f"CVSS:4.0/{vector}") == score


def test_every_thirteenth_vector_has_the_score_of_the_public_calculator() -> None:
    """Frozen: the digest is of the scores by `cvss` 3.6, the maintained port of FIRST's calculator."""
    said = hashlib.sha256()
    for values in itertools.islice(itertools.product(*METRICS.values()), 0, None, 13):
        vector = "/".join(f"{name}:{value}" for name, value in zip(METRICS, values, strict=True))
        said.update(b"%d " % round(base_score(f"CVSS:4.0/{vector}") * 10))
    assert said.hexdigest() == "e57525f9144d70f885c0edd0df47fac0c0d14202726252ef94375f604deeb039"


def test_what_others_would_add_is_no_part_of_a_base_score() -> None:
    """An advisory cannot make itself small by saying that nobody attacks, or that nobody needs what it takes."""
    full = NONE.replace("VC:N", "VC:H")
    assert base_score(f"{full}/E:U/MAV:P/CR:L/S:N/U:Green") == base_score(full) > 0


@pytest.mark.parametrize(
    "vector",
    ["", "CVSS:4.0", "CVSS:3.1/AV:N", NONE.replace("/SA:N", ""), NONE.replace("UI:N", "UI:R"), NONE + "/AV:P"],
    ids=["nothing", "no metrics", "another version", "one lacks", "a value of version 3", "one twice"],
)
def test_what_is_no_vector_is_refused(vector: str) -> None:
    """A vector that cannot be read rates nothing."""
    with pytest.raises(ValueError, match="CVSS 4"):
        base_score(vector)
