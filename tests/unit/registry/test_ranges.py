"""Versions, ranges and advisories: what is affected, and nothing that cannot be read taken for safe."""

import itertools
import json
from typing import Any

import pytest

from holdfast.core.bill import part
from holdfast.core.errors import InvalidInput, NotFound
from holdfast.engines.advisories.osv import MAX_RECORD, parse_record
from holdfast.engines.package_url import parse_purl
from holdfast.registry.advisory import Advisory, advisory_of, named
from holdfast.registry.ranges import key_of, parse_range, within

PEP440 = ["1.0.dev1", "1.0a1.dev2", "1.0a1", "1.0b2", "1.0rc1", "1.0", "1.0+abc", "1.0+1", "1.0.post1.dev1",
          "1.0.post1", "1.1", "1.9", "1.10", "1!0.1"]  # fmt: skip
SEMVER = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
          "1.0.0-rc.1", "1.0.0", "1.0.1", "1.2", "1.10"]  # fmt: skip


@pytest.mark.parametrize(("ecosystem", "versions"), [("pypi", PEP440), ("npm", SEMVER)])
def test_versions_are_in_the_order_of_their_specification(ecosystem: str, versions: list[str]) -> None:
    """PEP 440, "Summary of permitted suffixes and relative ordering", and Semantic Versioning 2.0.0, 11."""
    for earlier, later in itertools.combinations(versions, 2):
        ours, theirs = key_of(ecosystem, earlier), key_of(ecosystem, later)
        assert ours is not None
        assert theirs is not None
        assert ours < theirs, (earlier, later)


def test_two_spellings_are_one_version() -> None:
    """PEP 440, "Normalization"."""
    for one, other in (("1.0", "1.0.0"), ("1.0c1", "v1.0-RC1"), ("1.0-1", "1.0.post1"), ("1.0alpha", "1.0a0")):
        assert key_of("pypi", one) == key_of("pypi", other)


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        (">=1.20,<2", "1.26.4", "2.1"),
        ("==1.4.*", "1.4.9", "1.40"),
        ("!=1.4.2", "1.4.3", "1.4.2"),
        ("~=1.4.1", "1.4.9", "1.5"),
        ("1.4.2", "1.4.2", "1.4.20"),
        ("<1.0", "1.0rc1", "1.0"),
        ("===1.0", "1.0", "1.0.0"),
    ],
)
def test_ranges_hold_what_they_say(text: str, inside: str, outside: str) -> None:
    """One version inside, one outside of each."""
    assert within("pypi", inside, parse_range(text))
    assert not within("pypi", outside, parse_range(text))


@pytest.mark.guarantee("G66")
def test_a_version_that_cannot_be_read_is_inside_every_range() -> None:
    """Nothing shows that it is not affected: whoever asks must hear of it."""
    assert within("pypi", "unknown", parse_range("<2"))
    assert within("pypi", "", parse_range(">=1,<2"))
    assert not within("pypi", "unknown", parse_range("==1.0"))


@pytest.mark.parametrize("text", ["", "<", "1 2", "<1,,", ">=1 <2", ",".join(["<1"] * 40)])
def test_what_is_no_range_is_an_error(text: str) -> None:
    """Never a range that holds nothing."""
    with pytest.raises(InvalidInput):
        parse_range(text)


def parsed(document: Any) -> Advisory:
    """What a record affects, from its bytes or from what is of interest in it."""
    if isinstance(document, dict):
        document = json.dumps({"id": "OSV-1", "modified": "2026-01-01T00:00:00Z"} | document).encode()
    return advisory_of([parse_record(document, "osv.json")], "osv.json")


def advisory(*events: dict[str, str], **more: Any) -> Any:
    """What one advisory about numpy affects."""
    affected = {"package": {"ecosystem": "PyPI", "name": "NumPy"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    return parsed({"affected": [affected | more]}).targets[0]


@pytest.mark.parametrize(
    ("events", "hit", "missed"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], ["0.1", "1.9", "2.0rc1"], ["2.0", "3"]),
        ([{"introduced": "1.0"}, {"last_affected": "1.4"}], ["1.0", "1.4"], ["0.9", "1.4.1"]),
        (
            [{"introduced": "1"}, {"fixed": "1.2"}, {"introduced": "2"}, {"fixed": "2.1"}],
            ["1.1", "2.0.5"],
            ["1.5", "2.1"],
        ),
        ([{"fixed": "1.2"}, {"introduced": "1"}], ["1.1"], ["1.2"]),
        ([{"introduced": "0"}], ["9"], []),
    ],
)
def test_an_advisory_affects_the_versions_between_its_events(
    events: list[dict[str, str]], hit: list[str], missed: list[str]
) -> None:
    """OSV schema, "Evaluation", whatever the order in which events are written."""
    found = advisory(*events)
    assert [v for v in [*hit, *missed] if found.holds(part("library", "pypi", "numpy", v))] == hit
    assert not found.holds(part("library", "npm", "numpy", hit[0]))
    assert not found.holds(part("library", "pypi", "scipy", hit[0]))


def test_versions_that_are_listed_are_affected_and_so_is_what_cannot_be_compared() -> None:
    """And an advisory that names no version is about all of them."""
    assert advisory(ranges=[], versions=["1.0"]).holds(part("library", "pypi", "numpy", "1.0"))
    assert not advisory(ranges=[], versions=["1.0"]).holds(part("library", "pypi", "numpy", "1.1"))
    assert advisory({"introduced": "5"}).holds(part("library", "pypi", "numpy", "of our own"))
    assert advisory(ranges=[]).holds(part("library", "pypi", "numpy", "7"))
    git = [{"type": "GIT", "events": [{"introduced": "0"}]}]
    assert advisory(ranges=git).holds(part("library", "pypi", "numpy", "7"))


@pytest.mark.parametrize(
    "document",
    [b"", b"[]", b"{}", b"\xff", b"[" * 100_000, b" " * (MAX_RECORD + 1), {}, {"affected": []}, {"affected": [{}]},
     {"withdrawn": "2026-01-01T00:00:00Z", "affected": [{"package": {"ecosystem": "PyPI", "name": "n"}}]}],
)  # fmt: skip
def test_a_record_that_affects_nothing_is_an_error(document: Any) -> None:
    """An empty or withdrawn file must not be taken for good news."""
    with pytest.raises(InvalidInput):
        parsed(document)


def test_an_advisory_is_known_by_every_name() -> None:
    """Its own, an alias, in any case; an unknown one is an error with a way on."""
    some = parse_record(b'{"id": "PYSEC-1", "aliases": ["CVE-2026-1"], "modified": "2026-01-01T00:00:00Z"}', "osv")
    assert named([some], "cve-2026-1") == named([some], "PYSEC-1") == (some,)
    with pytest.raises(NotFound):
        named([some], "CVE-2026-11")


def test_package_urls_are_read_from_the_end() -> None:
    """Namespace, version, qualifiers and subpath, as the specification takes them apart."""
    found = parse_purl("pkg:npm/%40scope/Name@1.0%2B1?arch=x#sub")
    assert (found.ecosystem, found.name, found.version) == ("npm", "@scope/name", "1.0+1")
    assert parse_purl("pkg:PyPI/Scikit_Learn").name == "scikit-learn"
    for wrong in ("pkg:", "pkg:pypi", "pkg:pypi/", "http://x/y", "pkg:pypi/" + "x" * 2000):
        with pytest.raises(InvalidInput):
            parse_purl(wrong)
