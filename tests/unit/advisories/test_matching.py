"""What is affected: OSV's procedure, severities, aliases, and what cannot be compared."""

import json
from typing import Any

import pytest

from holdfast.core.errors import InvalidInput, Unavailable
from holdfast.core.evidence import Severity
from holdfast.engines.advisories.cvss import base_score, rating, severity_of
from holdfast.engines.advisories.listing import check_covered, from_bom, from_lock, from_purl
from holdfast.engines.advisories.matching import Dependency, Index, Match
from holdfast.engines.advisories.osv import parse_record
from holdfast.engines.advisories.vex import acceptance, parse_vex


def record(name: str = "CVE-2026-1", package: str = "numpy", ecosystem: str = "PyPI", **more: Any) -> dict[str, Any]:
    """Return an OSV document; `events` and `versions` go into its affected package."""
    affected: dict[str, Any] = {"package": {"ecosystem": ecosystem, "name": package}}
    events = more.pop("events", None)
    if events is not None:
        affected["ranges"] = [{"type": more.pop("range", "ECOSYSTEM"), "events": events}]
    if "versions" in more:
        affected["versions"] = more.pop("versions")
    base = {"id": name, "modified": "2026-01-02T00:00:00Z", "published": "2026-01-01T00:00:00Z", "summary": "a hole"}
    return base | {"affected": [affected]} | more


def match(
    version: str, *documents: dict[str, Any], package: str = "numpy", ecosystem: str = "PyPI"
) -> tuple[Match, ...]:
    """Return what affects a package in a version."""
    records = [parse_record(json.dumps(document).encode(), "test") for document in documents]
    return Index(records).match([Dependency(ecosystem=ecosystem, name=package, version=version)])


@pytest.mark.requirement("SUP-05", by="holdfast.engines.advisories.matching:is_affected")
@pytest.mark.parametrize(
    ("events", "affected", "clear"),
    [
        ([{"introduced": "0"}, {"fixed": "2.0"}], ["0.1", "1.9.9", "2.0rc1"], ["2.0", "2.0.post1", "3"]),
        ([{"introduced": "1.5"}, {"fixed": "2.0"}], ["1.5", "1.5.0", "1.99"], ["1.4", "1.5rc1", "2.0"]),
        ([{"introduced": "0"}, {"last_affected": "2.0"}], ["1", "2.0"], ["2.0.1", "3"]),
        ([{"introduced": "0"}], ["0", "99"], []),
        (
            [{"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.3"}],
            ["1.1", "2.0", "2.2"],
            ["1.2", "1.9", "2.3"],
        ),
        ([{"fixed": "2.3"}, {"introduced": "2.0"}], ["2.0", "2.2"], ["1.9", "2.3"]),
    ],
    ids=["fixed", "introduced", "last affected", "open", "two ranges", "any order"],
)
def test_ranges_are_walked_as_osv_says(events: list[dict[str, str]], affected: list[str], clear: list[str]) -> None:
    """Introduced begins, fixed and what follows the last affected end, in the ecosystem's own order."""
    document = record(events=events)
    assert [version for version in affected if not match(version, document)] == []
    assert [version for version in clear if match(version, document)] == []


def test_listed_versions_are_affected_however_they_are_spelt() -> None:
    """1.0 and 1.0.0 are one version of PyPI; names fold case and separators."""
    document = record(package="Scikit_Learn", versions=["1.0", "1.2"])
    assert match("1.0.0", document, package="scikit-learn")
    assert not match("1.1", document, package="scikit-learn")


def test_what_is_withdrawn_does_not_count_and_commits_say_nothing_of_versions() -> None:
    """A withdrawn record affects nothing; a range of git alone neither."""
    assert not match("1", record(events=[{"introduced": "0"}], withdrawn="2026-02-01T00:00:00Z"))
    assert not match("1", record(events=[{"introduced": "0"}], range="GIT"))


def test_a_version_that_cannot_be_compared_counts_as_affected() -> None:
    """Silence is no safety: an unreadable version is reported, and said to be."""
    (found,) = match("main-2024", record(events=[{"introduced": "0"}, {"fixed": "2.0"}]))
    assert not found.exact
    (strange,) = match("1", record(ecosystem="Elsewhere", events=[{"introduced": "0"}]), ecosystem="Elsewhere")
    assert not strange.exact


def test_aliases_are_one_finding_with_the_worst_severity_and_all_fixes() -> None:
    """Three databases, one hole: named by its CVE, dated by the earliest."""
    vector = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
    pysec = record("PYSEC-2026-9", aliases=["CVE-2026-1"], events=[{"introduced": "0"}, {"fixed": "2.1"}])
    ghsa = record(
        "GHSA-aaaa",
        aliases=["CVE-2026-1"],
        events=[{"introduced": "0"}, {"fixed": "2.0"}],
        severity=[{"type": "CVSS_V3", "score": vector}],
        published="2025-12-01T00:00:00Z",
    )
    (found,) = match("1.0", pysec, ghsa)
    assert (found.id, found.severity, found.fixed) == ("CVE-2026-1", Severity.CRITICAL, ("2.0", "2.1"))
    assert found.published.year == 2025
    assert (
        len(match("1.0", record("CVE-1", events=[{"introduced": "0"}]), record("CVE-2", events=[{"introduced": "0"}])))
        == 2
    )


@pytest.mark.requirement("SUP-05", by="holdfast.engines.advisories.cvss:base_score")
@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),  # the examples document: CVE-2013-1937
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:L/I:L/A:N", 6.4),  # CVE-2013-0375
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:R/S:U/C:L/I:N/A:N", 3.1),  # CVE-2014-3566
        ("CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:C/C:H/I:H/A:H", 9.9),  # CVE-2012-1516
        ("CVSS:3.1/AV:L/AC:L/PR:N/UI:R/S:U/C:H/I:H/A:H", 7.8),  # CVE-2009-0658
        ("CVSS:3.0/AV:P/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N/E:P/RL:O", 7.5),  # other metrics are of other scores
    ],
)
def test_base_scores_are_those_of_the_specification(vector: str, score: float) -> None:
    """The vectors of the examples document, and the ends of the scale."""
    assert base_score(vector) == score


def test_severity_is_the_worst_score_or_a_word_or_else_high() -> None:
    """What nobody has rated may be anything; a vector that lacks a metric rates nothing."""
    assert rating(9.0) is Severity.CRITICAL
    assert rating(3.9) is Severity.LOW
    assert severity_of([], "MODERATE") is Severity.MEDIUM
    assert severity_of([("CVSS_V4", "CVSS:4.0/AV:N")], "") is Severity.HIGH
    whole = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N"
    assert severity_of([("CVSS_V4", whole)], "low") is Severity.CRITICAL
    assert severity_of([("CVSS_V2", "AV:N/AC:L/Au:N/C:N/I:N/A:N")], "") is Severity.HIGH
    assert severity_of([("CVSS_V3", "CVSS:3.1/AV:N")], "low") is Severity.LOW
    with pytest.raises(ValueError, match="base metric"):
        base_score("CVSS:3.1/AV:N/AC:L")


def test_locks_are_read_with_hashes_and_what_is_not_pinned_is_refused() -> None:
    """Requirements with hashes over several lines, markers, extras; locks of uv and Poetry."""
    text = b"# made\n--index-url https://x\nNumPy==2.2.1 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11\n"
    text += b"rich[jupyter]==14.0 ; python_version < '4'  # c\n"
    found = from_lock(text, "r.txt")
    assert [(each.name, each.version) for each in found] == [("numpy", "2.2.1"), ("rich", "14.0")]
    uv = b'version = 1\n[[package]]\nname = "me"\nversion = "0"\nsource = { editable = "." }\n'
    uv += b'[[package]]\nname = "numpy"\nversion = "2.2.1"\n'
    assert [each.name for each in from_lock(uv, "uv.lock")] == ["numpy"]
    for bad in (b"numpy>=2\n", b"-r other.txt\n", b"", b"[[package]]\nname = 1\n", b"\xff"):
        with pytest.raises(InvalidInput):
            from_lock(bad, "r.txt")


def test_bills_of_materials_are_read_by_package_url() -> None:
    """Nested components too; a document that lists nothing we know is refused, not clear."""
    parts = [{"purl": "pkg:pypi/numpy@2.2.1", "components": [{"purl": "pkg:npm/%40a/b@1.0.0"}]}, {"name": "x"}]
    found = from_bom(json.dumps({"bomFormat": "CycloneDX", "components": parts}).encode(), "bom")
    assert [(each.ecosystem, each.name) for each in found] == [("PyPI", "numpy"), ("npm", "@a/b")]
    for bad in (b"{}", b"[", json.dumps({"bomFormat": "CycloneDX", "components": []}).encode()):
        with pytest.raises(InvalidInput):
            from_bom(bad, "bom")
    assert from_purl("pkg:generic/x@1") is None


@pytest.mark.requirement("SUP-05", by="holdfast.engines.advisories.listing:check_covered")
def test_a_snapshot_that_is_silent_about_an_ecosystem_is_an_error() -> None:
    """No advisory for PyPI at all is no good news about a package of PyPI."""
    listed = [Dependency(ecosystem="PyPI", name="numpy", version="1")]
    check_covered(listed, ["PyPI"])
    with pytest.raises(Unavailable, match="no advisory for PyPI"):
        check_covered(listed, ["Debian:12"])


def vex(**changes: Any) -> bytes:
    """Return an OpenVEX document with one statement."""
    statement = {
        "vulnerability": {"name": "CVE-2026-1"},
        "products": [{"@id": "pkg:pypi/numpy@1.0"}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_in_execute_path",
    } | changes
    kept = {name: value for name, value in statement.items() if value is not None}
    head = {"@context": "https://openvex.dev/ns/v0.2.0", "@id": "https://x/1", "author": "a", "version": 1}
    return json.dumps(head | {"timestamp": "2026-01-01T00:00:00Z", "statements": [kept]}).encode()


@pytest.mark.requirement("SUP-05", by="holdfast.engines.advisories.vex:acceptance")
def test_a_statement_accepts_just_its_vulnerability_in_its_product() -> None:
    """Another package, version or advisory is not meant; an alias is; what is under investigation is not accepted."""
    (found,) = match("1.0", record(aliases=["GHSA-x"], events=[{"introduced": "0"}]))

    def accepted(**changes: Any) -> str:
        return acceptance(found, parse_vex(vex(**changes), "vex").statements)

    assert accepted().startswith("not_affected")
    assert accepted(vulnerability={"name": "GHSA-x"})
    assert accepted(products=[{"@id": "pkg:pypi/NumPy"}])
    assert accepted(status="fixed")
    assert not accepted(products=[{"@id": "pkg:pypi/numpy@1.1"}])
    assert not accepted(products=[{"@id": "pkg:npm/numpy@1.0"}])
    assert not accepted(vulnerability={"name": "CVE-2026-2"})
    assert not accepted(status="under_investigation", justification=None)
    assert not accepted(status="affected", justification=None)


@pytest.mark.parametrize(
    "data",
    [
        vex(justification=None),
        vex(justification="because"),
        vex(products=[]),
        vex(status="harmless"),
        b"{}",
        vex().replace(b"openvex.dev", b"elsewhere.x"),
    ],
    ids=["no justification", "another one", "no product", "another status", "empty", "another context"],
)
def test_a_statement_without_its_reasons_is_refused(data: bytes) -> None:
    """`not_affected` needs one of the five justifications, and says of which product."""
    with pytest.raises(InvalidInput):
        parse_vex(data, "vex")
