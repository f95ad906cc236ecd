"""Orders of versions: against the reference implementations, or their answers."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import InvalidVersion, Version

from holdfast.engines.advisories.versions import alpine, debian, order_of, pep440, rpm, semver

DPKG = """
0:01+~-2~ > 0:01+~-2~~
2ba2 < 21.+-10
20bb < 20bb.1
2.2a1-2a > 0+.a-01a
21.-0 < 21.-0.1
1+1-11 < 1+1-11+b1
0:110 > 0~-0
1a~aa-0b < 1:0a~a0-0
1.0-0b+ < 1.0-0b+a
2+ab-1 < 10+-1~0
2~++a-0 < 21++
0.~-0 > 0.~-0~
111~ < 1:1a~+1
21ab~ > 21ab~~
0:20b-2b. > 0+b
20-1a~ > 2~+2b-21
22b-2+ < 22b-2+.1
1b0 < 0122-2
0~a < 1a~ab
2++.b > 1~.-0
1b1b < 1b1b.1
021 < 1:0b
0+2 < 0+2.1
2b+.2-0+ < 0:0212-2
2~+-210 > 1b+0-2.a
11a. > 11a.~
0~ < 20a-2
01 < 0:20-0+a
1+02+-2a. < 0:2a+.-1a
1.abb-1a+ < 2.1
2ba-0a0 < 2ba-0a0.1
112 > 0b0
0:222a > 2b
02+ < 02++b1
1ba < 2+.1-1
1:00 < 1:00a
2..0~-2+b > 0.
102-10+ > 102-10+~
0ba-21 < 2.b.-0.
0~11a-2 > 0~11a-2~
"""
"""What dpkg --compare-versions (1.21) answers for pairs made by chance."""

RPM = """
1.0 < 2.0
2.0 < 2.0.1
2.0.1a > 2.0.1
5.5p1 < 5.5p2
5.5p10 > 5.5p1
10xyz < 10.1xyz
xyz10 < xyz10.1
xyz.4 < 8
5.5p2 < 5.6p1
6.0.rc1 > 6.0
10b2 > 10a1
1.0aa > 1.0a
10.0001 = 10.1
10.0001 < 10.0039
4.999.9 < 5.0
2.0 = 2_0
a+ = a_
1.0~rc1 < 1.0
1.0~rc1 < 1.0~rc2
1.0~rc1~git123 < 1.0~rc1
1.0^ > 1.0
1.0^git1 < 1.0^git2
1.0^git1 < 1.01
1.0^20160101 < 1.0.1
1.0^20160101^git1 > 1.0^20160101
1.0~rc1^git1 > 1.0~rc1
1.0^git1~pre < 1.0^git1
0:3.0.7-24.el9 < 3.0.7-25.el9_3
1:1.0-1 > 2.0-1
"""
"""What RPM's own tests of rpmvercmp say (tests/rpmvercmp.at), and two that have an epoch."""

APK = """
0.1.0_alpha < 0.1.3_alpha
0.1.0_alpha2 > 0.1.0_alpha
2.2.39-r1 > 1.0.4-r3
1.0.4-r3 < 1.0.4-r4
1.6 > 1.0.2
1.1 > 1.1_alpha1
1.2.1 > 1.2
1.3_alpha < 1.3_alpha2
0.8_beta1 < 0.8_rc1
0.8_rc1 < 0.8
0.8 < 0.8_p1
6.0_p1 > 6.0
1.2.13-r0 < 1.2.13-r1
1.0_git20200101 < 1.0_p1
1.1a < 1.1b
1.1 < 1.1a
1.01 < 1.1
"""
"""Pairs as apk-tools orders them: suffixes before and after a release, letters, fractions, revisions of the package."""

released = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(lambda parts: ".".join(map(str, parts)))
pre = st.sampled_from(["", "a1", "b2", "rc", ".alpha.1", "-beta_3", "c4", "preview1"])
post = st.sampled_from(["", ".post", ".post2", "-1", "rev3"])
dev = st.sampled_from(["", ".dev", ".dev3", "-dev1"])
local = st.sampled_from(["", "+a", "+1", "+a.1", "+1.a", "+ubuntu-1"])
epoch = st.sampled_from(["", "1!", "0!"])
versions = st.tuples(epoch, released, pre, post, dev, local).map("".join)


@given(versions, versions)
def test_pypi_orders_as_its_own_library_does(left: str, right: str) -> None:
    """Every pair of versions is ordered as packaging orders it, equal ones included."""
    a, b = Version(left), Version(right)
    assert (pep440(left) < pep440(right), pep440(left) == pep440(right)) == (a < b, a == b)


@given(st.text(max_size=12))
def test_what_the_library_refuses_is_refused_here(text: str) -> None:
    """A version that cannot be read must not be ordered by accident."""
    try:
        Version(text)
    except InvalidVersion:
        with pytest.raises(ValueError, match="no version"):
            pep440(text)


def ordered(order: Callable[[str], Any], line: str) -> bool:
    """Say whether an order agrees with a line such as `1.0 < 2.0`."""
    left, sign, right = line.split()
    a, b = order(left), order(right)
    return {"<": a < b, "=": a == b, ">": a > b}[sign]


@pytest.mark.requirement("SUP-06", by="holdfast.engines.advisories.versions:debian")
@pytest.mark.parametrize("line", DPKG.split("\n")[1:-1])
def test_debian_orders_as_dpkg_does(line: str) -> None:
    """Epochs, tildes, letters before other signs, revisions."""
    assert ordered(debian, line)


@pytest.mark.requirement("SUP-06", by="holdfast.engines.advisories.versions:rpm")
@pytest.mark.parametrize("line", RPM.split("\n")[1:-1])
def test_rpm_orders_as_rpm_does(line: str) -> None:
    """Tildes before the end, carets after it, numbers before letters, epochs first."""
    assert ordered(rpm, line)


@pytest.mark.parametrize("line", APK.split("\n")[1:-1])
def test_alpine_orders_as_apk_does(line: str) -> None:
    """Pre-releases before, patches after, fractions by their digits."""
    assert ordered(alpine, line)


def test_semantic_versions_are_ordered_as_the_specification_shows() -> None:
    """The example of section 11."""
    pre = ["alpha", "alpha.1", "alpha.beta", "beta", "beta.2", "beta.11", "rc.1"]
    listed = [*(f"1.0.0-{each}" for each in pre), "1.0.0", "2.0.0"]
    assert sorted(listed, key=semver) == listed
    assert semver(listed[0]) < semver(listed[-1])


@pytest.mark.parametrize("order", [pep440, semver, debian, alpine])
@pytest.mark.parametrize("text", ["", "latest", "_", "1" * 400, "1 2"])
def test_what_is_no_version_is_refused(order: Callable[[str], Any], text: str) -> None:
    """An unreadable version raises; what asks takes it as affected."""
    if order is debian and text == "latest":
        assert order(text)  # Debian asks for a digit at the head, dpkg only warns
        return
    with pytest.raises(ValueError, match="version"):
        order(text)


def test_an_ecosystem_is_known_by_its_name_before_the_colon() -> None:
    """Debian:12 is Debian; one that nobody knows has no order."""
    assert order_of("Debian:12") is debian
    assert order_of("Hackage") is None
