"""Cases of policies: the shipped ones hold, and a wrong expectation is told in words."""

from pathlib import Path

import pytest

from holdfast.core.errors import InvalidInput, NotFound, NotVerified
from holdfast.core.policy import parse_policy
from holdfast.lifecycle.policies import shipped_policies
from holdfast.testing.policy_cases import check, read_cases

SHIPPED = {path.stem: parse_policy(path.read_bytes())[0] for path in shipped_policies()}


def told(_: object) -> None:
    """Nobody listens."""


def test_the_shipped_policies_answer_their_cases_as_expected(tmp_path: Path) -> None:
    """Signature, bill of materials, scans, tests, approvals and tier: each case is decided, and each as it says."""
    reply = check(tmp_path, tell=told)
    assert {each["result"] for each in reply.document["cases"]} == {"as expected"}
    assert len(reply.document["cases"]) >= 25


def test_every_shipped_policy_has_cases_of_both_answers(tmp_path: Path) -> None:
    """A policy of which only one answer is tested might give no other."""
    folder = shipped_policies()[0].parent / "cases"
    cases = [case for path in folder.glob("*.toml") for case in read_cases(path)]
    assert {(case.policy, case.expect) for case in cases} == {
        (name, answer) for name in SHIPPED for answer in ("permit", "denial")
    }


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ('expect = "permit"', "denial by approval.owner, expected a permit"),
        ('expect = "denial"\nrules = ["quality.auc"]', "denial by approval.owner, expected a denial by quality.auc"),
    ],
)
def test_an_answer_that_is_not_expected_is_told_with_its_rules(tmp_path: Path, changed: str, said: str) -> None:
    """Also where it denies as expected, but by other rules."""
    path = tmp_path / "mine.toml"
    path.write_text(f'[[case]]\nname = "n"\npolicy = "baseline"\napproved = false\n{changed}\n', encoding="utf-8")
    heard: list[object] = []
    with pytest.raises(NotVerified, match=said):
        check(tmp_path, tell=heard.append, file=path)
    assert heard


def test_cases_may_name_a_policy_beside_them(tmp_path: Path) -> None:
    """A file of one's own, by its name; one that is not there is not found."""
    mine = tmp_path / "mine.toml"
    baseline = next(path for path in shipped_policies() if path.stem == "baseline")
    mine.write_bytes(baseline.read_bytes().replace(b"at_least = 0.95", b"at_least = 0.99"))
    cases = tmp_path / "cases.json"
    cases.write_text('{"case": [{"name": "a", "policy": "mine.toml", "expect": "permit"}]}', encoding="utf-8")
    assert check(tmp_path, tell=told, file=cases).document["cases"][0]["result"] == "as expected"
    cases.write_text('{"case": [{"name": "a", "policy": "other.toml", "expect": "permit"}]}', encoding="utf-8")
    with pytest.raises(NotFound):
        check(tmp_path, tell=told, file=cases)


@pytest.mark.parametrize("text", ["", "case = 3", "[[case]]\nname = 'x'", "[[case]]\nnonsense = 1", "\0"], ids=repr)
def test_a_file_that_holds_no_cases_is_refused(tmp_path: Path, text: str) -> None:
    """Empty means no, and noise is one error."""
    path = tmp_path / "cases.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidInput):
        check(tmp_path, tell=told, file=path)


def test_tiers_are_covered_from_light_to_full() -> None:
    """Which policy a project must name at least: research for light, baseline to strict, regulated for all."""
    assert {name: policy.covers for name, policy in SHIPPED.items()} == {
        "research": 1,
        "foreign": 3,
        "baseline": 3,
        "regulated": 4,
        "staging": 4,
    }
    assert SHIPPED["staging"].environments == ("staging",)
