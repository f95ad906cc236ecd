"""The control map: everything it names exists, everything shipped is in it, and one source switched off shows."""

import re
from pathlib import Path

import pytest

from holdfast.core.compliance import Live, parse_map, stand
from holdfast.core.errors import InvalidInput
from holdfast.lifecycle import OUTSIDE, STAGES
from holdfast.lifecycle.compliance import FACTS, MAP
from holdfast.lifecycle.pack import shipped
from holdfast.serve.guards import GUARDS
from holdfast.watch import CONTROLS

MAPPED = parse_map(shipped(MAP))
SHIPPED = (
    {f"control:{name}" for stage in (*STAGES, *OUTSIDE) for name in stage.leaves}
    | {f"control:{control.name}" for control in CONTROLS}
    | {f"guard:{guard.name}" for guard in GUARDS}
    | {f"fact:{fact.name}" for fact in FACTS}
)
PROVISIONS = {
    "eu-ai-act": r"Art\. \d+(\(\d+\))?(\([a-z]\))?",
    "nist-ai-rmf": r"(GOVERN|MAP|MEASURE|MANAGE) [1-6]\.\d{1,2}",
    "iso-42001": r"A\.(10|[2-9])(\.\d){1,2}",
    "owasp-ml": r"ML(0[1-9]|10):2023",
    "mitre-atlas": r"AML\.M00[0-3]\d",
    "gdpr": r"Art\. \d+(\(\d\))?(\([a-z]\))?",
    "hipaa": r"164\.(308|312|314|316|514)\([a-e]\)(\(\d\))?(\([ivx]+\))?(\([A-D]\))?",
}
"""How each framework writes its provisions."""


def test_every_source_that_the_map_names_exists() -> None:
    """A line that rests on something that is not there would be a gap for ever, or worse, a slip."""
    assert MAPPED.sources - SHIPPED == set()


def test_every_shipped_control_guard_and_fact_is_mapped_or_says_why_not() -> None:
    """What is measured and serves no reader is either explained or forgotten."""
    explained = {each.name for each in MAPPED.unmapped}
    assert SHIPPED - MAPPED.sources - explained == set()
    assert explained & MAPPED.sources == set()
    assert all(each.because for each in MAPPED.unmapped)


def test_every_framework_has_an_edition_a_date_and_lines() -> None:
    """The seven that were asked for; each provision is written as its framework writes it."""
    assert {each.id for each in MAPPED.framework} == PROVISIONS.keys()
    for framework in MAPPED.framework:
        lines = [line for line in MAPPED.line if line.framework == framework.id]
        assert len(lines) >= 8
        assert framework.edition
        assert re.fullmatch(r"\d{4}(-\d\d){0,2}", framework.date)
        for line in lines:
            assert re.fullmatch(PROVISIONS[framework.id], line.provision), line.provision
    assert len({line.provision for line in MAPPED.line if line.framework == "owasp-ml"}) == 10


@pytest.mark.parametrize("off", sorted(MAPPED.sources))
def test_switching_one_source_off_turns_exactly_its_lines_into_gaps(off: str) -> None:
    """Failed or silent: the lines that rest on it are gaps and name it, no other line moves."""
    live = dict.fromkeys(MAPPED.sources, Live(shown=True, words="it is there"))
    before = {(each.line.framework, each.line.provision): each.shown for each in stand(MAPPED, live)}
    failed = live | {off: Live(shown=False, words="it failed")}
    silent = {name: each for name, each in live.items() if name != off}
    for state in (failed, silent):
        for each in stand(MAPPED, state):
            rests = off in each.line.shown_by
            assert each.shown == (before[each.line.framework, each.line.provision] and not rests)
            assert not rests or any(words.startswith(off) for words in each.because)


def test_what_is_declared_a_gap_is_never_shown() -> None:
    """Not even while everything is live."""
    live = dict.fromkeys(MAPPED.sources, Live(shown=True, words="it is there"))
    found = stand(MAPPED, live)
    assert all(each.shown == (not each.line.gap) for each in found)
    assert not any(each.shown for each in stand(MAPPED, {}))


def test_no_word_of_the_map_or_the_command_claims_compliance() -> None:
    """There is evidence for something; whether a law is complied with, a reader judges."""
    from holdfast.lifecycle import compliance

    words = shipped(MAP).decode() + Path(str(compliance.__file__)).read_text(encoding="utf-8")
    for claim in re.findall(r"[^.\n]*\b(?:compliant|complies|certified)\b[^.\n]*", words, re.IGNORECASE):
        assert "no statement" in claim or "never" in claim, claim


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("shown_by = [", 'gap = "x"\nshown_by = ['), "rests on evidence or is a gap"),
        (('framework = "hipaa"', 'framework = "nobody"'), "unknown framework"),
        (('"control:plan.tier/1"', '"plan.tier/1"'), "something unknown"),
        (('"control:plan.tier/1"', '"control:"'), "something unknown"),
        (("version = 1", "version = 1\nmore = 2"), "cannot be read"),
        (("version = 1", "version = ["), "cannot be read"),
    ],
)
def test_a_map_that_says_what_cannot_be_is_refused(change: tuple[str, str], reason: str) -> None:
    """A line resting on nothing would always be shown."""
    with pytest.raises(InvalidInput, match=reason):
        parse_map(shipped(MAP).decode().replace(*change, 1).encode())


def test_an_unknown_framework_is_refused() -> None:
    """With the names of those that there are."""
    with pytest.raises(InvalidInput, match="no framework"):
        stand(MAPPED, {}, "iso-9001")
