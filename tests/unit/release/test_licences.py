"""Licences of a release's parts: read from what packagers write, and forbidden by policies."""

from pathlib import Path

import pytest
from tests.unit.release import stands

from holdfast.core.bill import part
from holdfast.core.errors import InvalidInput
from holdfast.core.evidence import Outcome
from holdfast.core.policy import parse_policy
from holdfast.engines.licences import named
from holdfast.release.licences import by_licence, check_licences
from holdfast.testing.policy_cases import differs, read_cases

POLICY = """
name = "terms"
version = 1
permit_lasts = "24h"
covers = 4

[derivation]
release = ["model"]

[[rule]]
id = "release.licences"
because = "what is copyleft over a network, or under terms that nobody knows, does not go out"
on = "release"
control = "release.licences/1"
none_of_rules = ["licence.agpl-*", "licence.SSPL-1.0", "licence.unknown"]
"""
CASES = """
[[case]]
name = "licences that may be there"
policy = "terms.toml"
evidence = [{ control = "release.licences/1", on = "release", found = ["licence.MIT", "licence.GPL-3.0-only"] }]
expect = "permit"

[[case]]
name = "one by the beginning of its name"
policy = "terms.toml"
evidence = [{ control = "release.licences/1", on = "release", found = ["licence.MIT", "licence.AGPL-3.0-or-later"] }]
expect = "denial"
rules = ["release.licences"]

[[case]]
name = "one by its name, in whatever case"
policy = "terms.toml"
evidence = [{ control = "release.licences/1", on = "release", found = ["licence.sspl-1.0"] }]
expect = "denial"
rules = ["release.licences"]

[[case]]
name = "a licence that nobody knows"
policy = "terms.toml"
evidence = [{ control = "release.licences/1", on = "release", found = ["licence.unknown"] }]
expect = "denial"
rules = ["release.licences"]

[[case]]
name = "licences that nobody looked at"
policy = "terms.toml"
but = ["release.licences/1"]
expect = "denial"
rules = ["release.licences"]
"""


@pytest.mark.requirement("SUP-08", by="holdfast.engines.licences:named")
@pytest.mark.parametrize(
    ("text", "licences"),
    [
        ("MIT", ["MIT"]),
        ("mit", ["MIT"]),
        ("MIT OR Apache-2.0", ["Apache-2.0", "MIT"]),
        ("(GPL-2.0-only WITH Classpath-exception-2.0) AND BSD-3-Clause", ["BSD-3-Clause", "GPL-2.0-only"]),
        ("GPL-2.0+", ["GPL-2.0+"]),
        ("MPL-2.0+", ["MPL-2.0"]),
        ("GNU Affero General Public License v3", ["AGPL-3.0-only"]),
        ("Apache Software License AND BSD License", ["Apache", "BSD"]),
        ("MIT License AND Theirs", ["MIT", "unknown"]),
        ("", ["unknown"]),
        ("Other/Proprietary License", ["unknown"]),
        ("LicenseRef-Theirs AND MIT", ["MIT", "unknown"]),
        ("GPL-2.0-only WITH nothing-known", ["unknown"]),
        ("MIT OR", ["unknown"]),
        ("(MIT", ["unknown"]),
        ("MIT)", ["unknown"]),
        ("MIT Apache-2.0", ["unknown"]),
        ("AGPL-3.0-only; see LICENSE", ["unknown"]),
        ("MIT OR " * 200 + "MIT", ["unknown"]),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_a_bill_writes_is_read_or_unknown(text: str, licences: list[str]) -> None:
    """Never read in part: an expression that is not understood whole names nothing."""
    assert list(named(text)) == licences


@pytest.mark.requirement("SUP-08", by="holdfast.release.licences:by_licence")
def test_libraries_and_data_are_judged_and_each_licence_names_its_parts() -> None:
    """A model's own terms are its owner's; code is a recipe's."""
    parts = [
        part("library", "pypi", "a", "1", licence="MIT"),
        part("library", "pypi", "b", "2", licence="MIT OR GPL-3.0-only"),
        part("data", "", "rows", licence="CC-BY-NC-4.0"),
        part("data", "", "scraped"),
        part("model", "", "m"),
        part("code", "", "recipe"),
    ]
    assert by_licence(parts) == {
        "CC-BY-NC-4.0": ["data rows"],
        "GPL-3.0-only": ["library b 2"],
        "MIT": ["library a 1", "library b 2"],
        "unknown": ["data scraped"],
    }


@pytest.mark.requirement("SUP-08", by="holdfast.release.licences:_measure")
def test_a_release_is_measured_by_the_bill_that_is_signed_with_it(tmp_path: Path) -> None:
    """Each licence is a finding with its parts; libraries and data are counted, and how many nobody knows."""
    made = stands.world(tmp_path).packaged()
    evidence = check_licences(made.world.ws.blobs, made.release, stands.MADE_WITH)
    assert evidence.outcome is Outcome.MEASURED
    measures = {each.name: each.value for each in evidence.measures}
    assert measures["parts"] > 0
    found = {each.rule: each.place for each in evidence.findings}
    assert "data " in found["licence.CC-BY-4.0"]
    assert measures["licences"] == len(found.keys() - {"licence.unknown"})


@pytest.mark.requirement("SUP-08", by="holdfast.core.policy:_forbidden")
@pytest.mark.parametrize("number", range(5))
def test_a_policy_forbids_licences_by_name_and_what_nobody_knows(number: int, tmp_path: Path) -> None:
    """Decided as `holdfast policy test` does; without evidence the rule denies like any other."""
    (tmp_path / "terms.toml").write_text(POLICY)
    (tmp_path / "cases.toml").write_text(CASES)
    assert differs(read_cases(tmp_path / "cases.toml")[number], tmp_path) == ""


@pytest.mark.parametrize("name", ["AGPL-3.0-only", "licence.*GPL", "licence GPL", "", "*"])
def test_a_name_that_no_finding_has_is_refused(name: str) -> None:
    """A rule that forbids nothing must not look like one that forbids something."""
    with pytest.raises(InvalidInput, match="names no finding"):
        parse_policy(POLICY.replace("licence.unknown", name).encode())
