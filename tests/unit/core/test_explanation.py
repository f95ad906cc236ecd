"""Differences between policies: what lets more through is loosened, what lets less through tightened."""

import pytest

from holdfast.core.explanation import differences
from holdfast.core.policy import parse_policy
from holdfast.lifecycle.policies import shipped_policies

OLD = b"""
name = "old"
version = 1
permit_lasts = "24h"
covers = 3

[derivation]
release = ["model"]

[[rule]]
id = "a"
because = "it must be right"
on = "model"
control = "assess.quality/1"
measure = "auc"
at_least = 0.9
fresh_within = "30d"

[[rule]]
id = "b"
because = "it may carry no code"
on = "model"
control = "release.scan/1"
none_of = ["high"]

[[rule]]
id = "c"
because = "somebody answers for it"
approved_by = { role = "owner" }
"""


@pytest.mark.parametrize(
    ("old", "new", "rule", "effect"),
    [
        (b"at_least = 0.9", b"at_least = 0.95", "a", "tightened"),
        (b"at_least = 0.9", b"at_least = 0.5", "a", "loosened"),
        (b"at_least = 0.9", b"at_least = 0.9\nat_most = 0.99", "a", "tightened"),
        (b"at_least = 0.9", b"at_least = 0.9\nwaivable = true", "a", "loosened"),
        (b"at_least = 0.9", b'at_least = 0.9\nnot_applicable_if = "x=y"', "a", "loosened"),
        (b'fresh_within = "30d"', b'fresh_within = "12h"', "a", "tightened"),
        (b'fresh_within = "30d"', b"", "a", "loosened"),
        (b'none_of = ["high"]', b'none_of = ["high", "critical"]', "b", "tightened"),
        (b'none_of = ["high"]', b'none_of = ["critical"]', "b", "changed"),
        (b'none_of = ["high"]', b'none_of = ["high"]\nsigned_by = "release"', "b", "tightened"),
        (b'role = "owner"', b'role = "owner", count = 2', "c", "tightened"),
        (b'role = "owner"', b'role = "owner", not_author = true', "c", "tightened"),
        (b'role = "owner"', b'role = ["owner", "intern"]', "c", "loosened"),
        (b'role = "owner"', b'role = "intern"', "c", "changed"),
        (b'role = "owner"', b'role = ["owner", "intern"], count = 2', "c", "changed"),
        (b'control = "release.scan/1"', b'control = "release.scan/2"', "b", "changed"),
        (b'id = "b"', b'id = "d"', "b", "removed"),
        (b'id = "b"', b'id = "d"', "d", "added"),
        (b"covers = 3", b"covers = 4", "covers", "loosened"),
        (b'permit_lasts = "24h"', b'permit_lasts = "1h"', "permit_lasts", "tightened"),
        (b'release = ["model"]', b'release = ["model", "project"]', "derivation", "tightened"),
        (b'release = ["model"]', b'model = ["project"]', "derivation", "loosened"),
        (b"covers = 3", b'covers = 3\nenvironments = ["staging"]', "environments", "changed"),
    ],
    ids=str,
)
def test_a_change_is_named_by_its_effect(old: bytes, new: bytes, rule: str, effect: str) -> None:
    """Each field has a direction in which fewer get through."""
    assert OLD.count(old) == 1
    found = differences(parse_policy(OLD)[0], parse_policy(OLD.replace(old, new))[0])
    assert (rule, effect) in {(each.rule, each.effect) for each in found}
    assert all(each.words for each in found)


@pytest.mark.parametrize("path", shipped_policies(), ids=lambda path: path.stem)
def test_a_policy_differs_from_itself_in_nothing(path: object) -> None:
    """The empty difference, for every shipped policy."""
    policy, _ = parse_policy(path.read_bytes())  # type: ignore[attr-defined]
    assert differences(policy, policy) == ()


def test_prohibitions_are_compared_too() -> None:
    """Added, removed, and with another expression."""
    forbid = b'\n[[forbid]]\nid = "f"\nbecause = "no"\ncel = "%s"\n'
    plain, one, other = (parse_policy(OLD + extra)[0] for extra in (b"", forbid % b"false", forbid % b"true"))
    assert [(each.rule, each.effect) for each in differences(plain, one)] == [("f", "added")]
    assert [(each.rule, each.effect) for each in differences(one, plain)] == [("f", "removed")]
    assert [(each.rule, each.effect) for each in differences(one, other)] == [("f", "changed")]
