"""How ecosystems order versions: PEP 440, Semantic Versioning, Debian's policy, Alpine's package keeper, RPM.

Each function returns a key that sorts as the ecosystem does, or raises `ValueError` for what is no version there: a
version that cannot be ordered must not be taken for a good one.
"""

import re
from collections.abc import Callable, Iterator
from functools import cmp_to_key
from itertools import zip_longest
from typing import Any, Final

MAX_VERSION: Final = 300  # characters; longer than any published version

_PEP440: Final = re.compile(
    r"v?(?:(?P<epoch>[0-9]+)!)?(?P<release>[0-9]+(?:\.[0-9]+)*)"
    r"(?:[-_.]?(?P<pre>alpha|a|beta|b|preview|pre|c|rc)[-_.]?(?P<pre_n>[0-9]*))?"
    r"(?:-(?P<post_a>[0-9]+)|[-_.]?(?P<post>post|rev|r)[-_.]?(?P<post_n>[0-9]*))?"
    r"(?:[-_.]?(?P<dev>dev)[-_.]?(?P<dev_n>[0-9]*))?"
    r"(?:\+(?P<local>[a-z0-9]+(?:[-_.][a-z0-9]+)*))?",
)
_PRE: Final = {"alpha": "a", "beta": "b", "c": "rc", "pre": "rc", "preview": "rc"}
_SEMVER: Final = re.compile(r"v?([0-9]+)(?:\.([0-9]+))?(?:\.([0-9]+))?(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?")
_DEBIAN: Final = re.compile(r"(?:([0-9]+):)?([A-Za-z0-9.+~:-]+?)(?:-([A-Za-z0-9.+~]+))?")
_ALPINE: Final = re.compile(
    r"([0-9]+(?:\.[0-9]+)*)([a-z]?)((?:_(?:alpha|beta|pre|rc|cvs|svn|git|hg|p)[0-9]*)*)(?:~([0-9a-f]+))?(?:-r([0-9]+))?"
)
_ALPINE_SUFFIXES: Final = {"alpha": -4, "beta": -3, "pre": -2, "rc": -1, "cvs": 1, "svn": 2, "git": 3, "hg": 4, "p": 5}
_RPM: Final = re.compile(r"(?:([0-9]+):)?([A-Za-z0-9._+~^]+)(?:-([A-Za-z0-9._+~^]+))?")
_RPM_PIECES: Final = re.compile(r"[0-9]+|[A-Za-z]+|~|\^")
_LOW: Final = (-1,)  # sorts before every part that is there
_HIGH: Final = (2,)  # and after


def pep440(text: str) -> tuple[Any, ...]:
    """Return the key of a version of PyPI (PEP 440, "Summary of permitted suffixes and relative ordering").

    >>> pep440("1.0.dev1") < pep440("1.0a1") < pep440("1.0") < pep440("1.0+local") < pep440("1.0.post1")
    True
    """
    found = _PEP440.fullmatch(_bounded(text).lower())
    if found is None:
        raise ValueError(f"{text[:80]!r} is no version of PEP 440")
    release = [int(part) for part in found["release"].split(".")]
    while len(release) > 1 and release[-1] == 0:
        release.pop()
    posted = found["post"] is not None or found["post_a"] is not None
    pre: tuple[Any, ...] = (
        (1, _PRE.get(found["pre"], found["pre"]), int(found["pre_n"] or 0)) if found["pre"] else _HIGH
    )
    if not found["pre"] and not posted and found["dev"]:  # a development release comes before every other of its number
        pre = _LOW
    post = (0, int(found["post_n"] or found["post_a"] or 0)) if posted else _LOW
    dev = (0, int(found["dev_n"] or 0)) if found["dev"] else _HIGH
    local = tuple(
        (1, int(part)) if part.isdigit() else (0, part) for part in re.split(r"[-_.]", found["local"] or "") if part
    )
    return int(found["epoch"] or 0), tuple(release), pre, post, dev, (0, local) if found["local"] else _LOW


def semver(text: str) -> tuple[Any, ...]:
    """Return the key of a semantic version (SemVer 2.0.0, section 11).

    >>> semver("1.0.0-alpha.1") < semver("1.0.0-alpha.beta") < semver("1.0.0-rc.1") < semver("1.0.0")
    True
    """
    found = _SEMVER.fullmatch(_bounded(text))
    if found is None:
        raise ValueError(f"{text[:80]!r} is no semantic version")
    numbers = tuple(int(part or 0) for part in found.groups()[:3])
    if found[4] is None:
        return *numbers, _HIGH
    parts = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in found[4].split("."))
    return *numbers, (0, parts)


def debian(text: str) -> Any:
    """Return the key of a version of a Debian package (Debian Policy 5.6.12).

    >>> debian("1.0~rc1-1") < debian("1.0-1") < debian("1.0-1+deb12u1") < debian("1:0.9-1")
    True
    """
    found = _DEBIAN.fullmatch(_bounded(text))
    if found is None:
        raise ValueError(f"{text[:80]!r} is no version of a Debian package")
    return int(found[1] or 0), _DEBIAN_PART(found[2]), _DEBIAN_PART(found[3] or "0")


def _compare_debian(left: str, right: str) -> int:
    """Compare as Policy says: a stretch of other characters, then a number, and so on; `~` sorts before the end."""
    for (a, one), (b, two) in zip_longest(_pairs(left), _pairs(right), fillvalue=("", 0)):
        for x, y in zip_longest(a, b, fillvalue=""):
            if _order(x) != _order(y):
                return -1 if _order(x) < _order(y) else 1
        if one != two:
            return -1 if one < two else 1
    return 0


_DEBIAN_PART: Final[Callable[[str], Any]] = cmp_to_key(_compare_debian)


def _pairs(text: str) -> Iterator[tuple[str, int]]:
    for found in re.finditer(r"([^0-9]*)([0-9]*)", text):
        if found[0]:
            yield found[1], int(found[2] or 0)


def _order(char: str) -> int:
    if char == "~":
        return -1
    if not char:
        return 0
    return ord(char) if char.isalpha() else ord(char) + 256


def alpine(text: str) -> tuple[Any, ...]:
    """Return the key of a version of an Alpine package (apk-tools, `apk version` and its test suite).

    >>> alpine("1.0_rc1-r0") < alpine("1.0-r0") < alpine("1.0_p1-r0") < alpine("1.0.1-r0") < alpine("1.0.1-r1")
    True
    """
    found = _ALPINE.fullmatch(_bounded(text))
    if found is None:
        raise ValueError(f"{text[:80]!r} is no version of an Alpine package")
    parts = found[1].split(".")
    # Past the first, a part that begins with zero is compared as a fraction: 1.01 comes before 1.1.
    numbers = tuple(
        (0, part) if place and part.startswith("0") and len(part) > 1 else (1, int(part))
        for place, part in enumerate(parts)
    )
    keyed = tuple((kind, value if kind == 0 else format(value, "020d")) for kind, value in numbers)
    suffixes = tuple(
        (_ALPINE_SUFFIXES[name], int(number or 0)) for name, number in re.findall(r"_([a-z]+)([0-9]*)", found[3])
    )
    return keyed, found[2], (*suffixes, (0, 0)), int(found[5] or 0)


def rpm(text: str) -> Any:
    """Return the key of a version of an RPM package, `EPOCH:VERSION-RELEASE` (rpm's rpmvercmp and its test suite).

    >>> rpm("1.0~rc1-1") < rpm("1.0-1") < rpm("1.0^git1-1") < rpm("1.0.1-1") < rpm("1:0.9-1")
    True
    """
    found = _RPM.fullmatch(_bounded(text))
    if found is None:
        raise ValueError(f"{text[:80]!r} is no version of an RPM package")
    return int(found[1] or 0), _RPM_PART(found[2]), _RPM_PART(found[3] or "")


def _compare_rpm(left: str, right: str) -> int:
    """Compare stretch by stretch: `~` sorts before the end and `^` after it, then letters, then numbers."""
    for one, two in zip_longest(_RPM_PIECES.findall(left), _RPM_PIECES.findall(right), fillvalue=""):
        ranks = _rpm_rank(one), _rpm_rank(two)
        if ranks != (ranks[0], ranks[0]):
            return -1 if ranks[0] < ranks[1] else 1
        first, second = (int(one), int(two)) if one.isdigit() else (one, two)
        if first != second:
            return -1 if first < second else 1  # type: ignore[operator] # both of one type
    return 0


def _rpm_rank(piece: str) -> int:
    if not piece:
        return 1
    return {"~": 0, "^": 2}.get(piece, 4 if piece.isdigit() else 3)


_RPM_PART: Final[Callable[[str], Any]] = cmp_to_key(_compare_rpm)

ORDERS: Final[dict[str, Callable[[str], Any]]] = {
    "PyPI": pep440,
    "npm": semver,
    "crates.io": semver,
    "Go": semver,
    "SEMVER": semver,
    "Debian": debian,
    "Ubuntu": debian,
    "Alpine": alpine,
    **dict.fromkeys(
        (
            "AlmaLinux",
            "Azure Linux",
            "Mageia",
            "Photon OS",
            "Red Hat",
            "Rocky Linux",
            "SUSE",
            "openEuler",
            "openSUSE",
        ),
        rpm,
    ),
}
"""How each ecosystem that we know orders its versions; of others, whatever has a range counts as affected."""


def order_of(ecosystem: str) -> Callable[[str], Any] | None:
    """Return the order of an ecosystem, whose release after a colon says nothing about it: `Debian:12`."""
    return ORDERS.get(ecosystem.partition(":")[0])


def _bounded(text: str) -> str:
    if len(text) > MAX_VERSION:
        raise ValueError(f"a version of {len(text)} characters")
    return text.strip()
