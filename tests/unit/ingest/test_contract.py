"""Rows are held against their declaration: what does not hold is set aside with every reason, and nothing is lost."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.ingest.world import COLUMNS, MADE_WITH, csv, project, run, workspace

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.control import run as run_control
from holdfast.core.errors import InvalidData, InvalidProject
from holdfast.core.evidence import Outcome, Severity
from holdfast.engines.dataset import open_stored
from holdfast.ingest import CONTROLS, evidence, ingest
from holdfast.ingest.contract import hold_pieces
from holdfast.ingest.holdback import hold_back
from holdfast.ingest.review import Applied, Triage
from holdfast.ingest.sources import read

HEAD = "id,x,label"

EVERY_TYPE = """
id = { type = "string", use = "id" }
f = { type = "float", nullable = true }
i = { type = "int", nullable = true }
b = { type = "bool", nullable = true }
c = { type = "category", use = "slice", nullable = true }
s = { type = "string", use = "ignored", nullable = true }
t = { type = "timestamp", use = "time", nullable = true }
label = { type = "category", use = "label" }
"""
FORMATS = 'timestamp_formats = ["%Y-%m-%d", "%d.%m.%Y %H:%M", "%b %d, %Y %I:%M %p"]'


@pytest.mark.requirement("DATA-07", by="holdfast.ingest.cleaning:clean")
@pytest.mark.parametrize("literal", ["NULL", "null", "N/A", " NULL "])
def test_the_text_null_becomes_a_missing_value_in_every_typed_column(tmp_path: Path, literal: str) -> None:
    """Of whatever type a column is, the text is no value of it; how many there were is reported, per column too."""
    row = ",".join(["2", *[literal] * 6, "no"])
    done = run(
        tmp_path,
        csv("id,f,i,b,c,s,t,label", "1,1.5,2,true,k,text,2024-03-01,yes", row),
        project(EVERY_TYPE, data=FORMATS),
    )
    assert done.codes == {}
    assert done.rows.row(1) == ("2", None, None, None, None, None, None, "no")
    assert done.rows.row(0, named=True)["f"] == 1.5
    assert done.measures("ingest.contract/1")["null_literals"] == 6
    assert {place for rule, place in done.findings("ingest.contract/1") if rule == "null-literal/1"} == set("fibcst")


def test_an_empty_field_is_missing_without_being_counted_as_a_literal(tmp_path: Path) -> None:
    """There was no text to convert."""
    done = run(tmp_path, csv(HEAD, "a,,yes", "b,1,no"), project(COLUMNS.replace("minimum", "nullable = true, minimum")))
    assert done.rows["x"].to_list() == [None, 1.0]
    assert done.measures("ingest.contract/1")["null_literals"] == 0


@pytest.mark.parametrize(
    ("kind", "accepted", "refused", "code"),
    [
        (
            "float",
            {"1": 1.0, "-1.5": -1.5, "+.5": 0.5, "2.": 2.0, "1e-3": 0.001, "007": 7.0},
            ["1,5", "1_0", "0x1", "nan", "inf", "1e999", "½", "\uff11", "1.5 mm", "--1", "1e", "."],
            "not-a-number",
        ),
        (
            "int",
            {"1": 1, "-2": -2, "+3": 3, "9223372036854775807": 2**63 - 1},
            ["1.0", "1e3", "9223372036854775808", "1 000", "true", "٣"],
            "not-an-integer",
        ),
        ("bool", {"true": True, "FALSE": False, "1": True, "0": False}, ["yes", "t", "2", "-1"], "not-a-boolean"),
    ],
)
def test_values_are_exactly_of_their_type_or_set_aside(
    tmp_path: Path, kind: str, accepted: dict[str, Any], refused: list[str], code: str
) -> None:
    """Nothing is rounded, completed or guessed: a text is a value of its type or a fault of its row."""
    columns = COLUMNS.replace('x = { type = "float", minimum = 0, maximum = 100 }', f'x = {{ type = "{kind}" }}')
    lines = [f'{number},"{text}",yes' for number, text in enumerate([*accepted, *refused], 1)]
    done = run(tmp_path, csv(HEAD, *lines), project(columns))
    assert done.rows["x"].to_list() == list(accepted.values())
    assert done.codes == {number: [code] for number in range(len(accepted) + 1, len(lines) + 1)}


def test_bounds_are_inclusive_and_named(tmp_path: Path) -> None:
    """The bounds themselves are allowed."""
    done = run(tmp_path, csv(HEAD, "a,0,yes", "b,100,no", "c,-0.001,no", "d,100.001,no"))
    assert done.rows["id"].to_list() == ["a", "b"]
    assert done.codes == {3: ["below-minimum"], 4: ["above-maximum"]}


def test_only_allowed_values_of_a_category_hold(tmp_path: Path) -> None:
    """Letter case matters: who means both writes both."""
    assert run(tmp_path, csv(HEAD, "a,1,yes", "b,2,Yes", "c,3,maybe")).codes == {
        2: ["not-an-allowed-value"],
        3: ["not-an-allowed-value"],
    }


@pytest.mark.parametrize("use", ["id", "label"])
def test_an_id_or_a_label_is_required_whatever_nullable_says(tmp_path: Path, use: str) -> None:
    """A row without one cannot be learned from, or kept on one side of a split."""
    columns = COLUMNS.replace(f'use = "{use}"', f'use = "{use}", nullable = true')
    done = run(tmp_path, csv(HEAD, "a,1,yes", "NULL,2,NULL"), project(columns))
    assert done.codes[2] == ["missing-value"] * 2


def test_an_empty_text_names_no_entity_even_where_it_is_no_null_literal(tmp_path: Path) -> None:
    """Without null literals a text column may be empty, an id may not."""
    done = run(tmp_path, csv(HEAD, "a,1,yes", ",2,no", "NULL,3,no"), project(data="null_literals = []"))
    assert done.rows["id"].to_list() == ["a", "NULL"]
    assert done.codes == {2: ["missing-value"]}


def test_every_reason_against_a_row_is_kept(tmp_path: Path) -> None:
    """Whoever repairs the row sees all of it at once, with the values that offend and the words."""
    done = run(tmp_path, csv(HEAD, "a,1,yes", ",abc,maybe"))
    reasons = {(why.column, why.code, why.found) for why in done.aside[2].reasons}
    assert reasons == {
        ("id", "missing-value", ""),
        ("x", "not-a-number", "abc"),
        ("label", "not-an-allowed-value", "maybe"),
    }
    assert all(why.words for why in done.aside[2].reasons)


def test_of_equal_rows_with_one_id_the_first_is_kept(tmp_path: Path) -> None:
    """Written twice is said once. What counts is the value: 1.0 and 1.00 are the same."""
    done = run(tmp_path, csv(HEAD, "a,1.0,yes", "b,2,no", "a, 1.00 ,yes"))
    assert done.rows["id"].to_list() == ["a", "b"]
    assert done.codes == {3: ["duplicate-row"]}
    assert done.measures("ingest.contract/1")["duplicate_ids"] == 1


def test_rows_that_contradict_each_other_about_one_id_are_all_set_aside(tmp_path: Path) -> None:
    """Nothing here knows which of them is true; a copy of one of them gives it no more weight."""
    done = run(tmp_path, csv(HEAD, "a,1,yes", "b,2,no", "a,3,yes", "a,1,yes"))
    assert done.rows["id"].to_list() == ["b"]
    assert done.codes == {1: ["conflicting-duplicate"], 3: ["conflicting-duplicate"], 4: ["duplicate-row"]}


def test_a_broken_row_cannot_take_a_good_one_with_it(tmp_path: Path) -> None:
    """Only rows that hold by themselves have a say about an id: else one bad line would delete any row by its id."""
    done = run(tmp_path, csv(HEAD, "a,1,yes", "a,999,yes"))
    assert done.rows["id"].to_list() == ["a"]
    assert done.codes == {2: ["above-maximum"]}


def test_without_an_id_column_equal_rows_are_two_measurements(tmp_path: Path) -> None:
    """Nothing says that they are the same one."""
    columns = COLUMNS.replace('use = "id"', 'use = "slice"')
    assert run(tmp_path, csv(HEAD, "a,1,yes", "a,1,yes"), project(columns)).rows.height == 2


def test_an_id_of_two_columns_is_the_pair(tmp_path: Path) -> None:
    """Equal in one part only is another entity."""
    columns = COLUMNS + 'site = { type = "string", use = "id" }\n'
    done = run(tmp_path, csv("site,id,x,label", "n,a,1,yes", "s,a,2,yes", "s,a,3,yes"), project(columns))
    assert done.rows["site"].to_list() == ["n"]
    assert set(done.codes) == {2, 3}


def test_a_file_of_which_nothing_holds_is_refused_with_the_main_reason(tmp_path: Path) -> None:
    """An empty data set would prove nothing and train nothing."""
    with pytest.raises(InvalidData, match=r"not one of 2 rows holds.*minimum in column 'x'"):
        run(tmp_path, csv(HEAD, "a,-1,yes", "b,-2,no"))


def test_too_many_rows_set_aside_is_a_finding_and_still_measured(tmp_path: Path) -> None:
    """The stage measures; whether it is too much is the policy's word."""
    done = run(tmp_path, csv(HEAD, "a,1,yes", "b,bad,no"))
    share = next(m for m in done.evidence("ingest.contract/1").measures if m.name == "quarantined_share")
    assert (share.value, share.n) == (0.5, 2)
    assert share.low < 0.1
    assert share.high > 0.9  # of two rows hardly anything is known
    worst = [finding for finding in done.evidence("ingest.contract/1").findings if finding.severity is Severity.HIGH]
    assert [finding.rule for finding in worst] == ["quarantined-share"]


def test_evidence_names_reasons_columns_counts_and_rows_but_no_values(tmp_path: Path) -> None:
    """Evidence travels in passports for ever, so the offending values stay in the quarantine."""
    done = run(tmp_path, csv(HEAD, "a,1,yes", "b,secret,no", "c,secret,no"))
    finding = next(f for f in done.evidence("ingest.contract/1").findings if f.rule == "not-a-number")
    assert finding.place == "x"
    assert "2 rows" in finding.message
    assert "row 2, 3" in finding.message
    assert b"secret" not in msgspec.json.encode(done.result.evidence)
    assert done.aside[2].reasons[0].found == "secret"


def test_lost_rows_fail_the_control(tmp_path: Path) -> None:
    """If rows were in neither place, the evidence would be a failure, not a number."""
    ws, declared = workspace(tmp_path), project()
    source = ws.store(Kind.SOURCE, csv(HEAD, "a,1,yes", "b,bad,no").encode())
    result = ingest(ws, declared, source, MADE_WITH)
    raw = read(ws.blobs.path(source.digest), declared)
    held, came, beside = hold_pieces([raw], declared)
    searched = hold_back(held, beside, declared)
    seen = evidence.Ingested(
        project=declared,
        source=source,
        read=came,
        batch=searched.batch,
        searched=searched,
        dataset=open_stored(ws.blobs, result.one(Kind.DATASET)),
        quarantine=(),
        applied=Applied(),
        triage=Triage(batch=searched.batch),
    )
    found = run_control(CONTROLS[0], seen, result.one(Kind.DATASET), MADE_WITH)
    assert found.outcome is Outcome.FAILED
    assert "2 rows came in, 1 went on and 0 were set aside" in found.reason


@pytest.mark.parametrize("key", ["origin", "licence"])
def test_data_without_origin_or_licence_has_no_provenance(tmp_path: Path, key: str) -> None:
    """The control fails, and a policy that asks for it denies."""
    declared = project()
    declared = msgspec.structs.replace(declared, data=msgspec.structs.replace(declared.data, **{key: " "}))
    done = run(tmp_path, csv(HEAD, "a,1,yes", "b,2,no"), declared)
    assert done.evidence("ingest.provenance/1").outcome is Outcome.FAILED


def test_provenance_names_origin_licence_format_and_the_very_bytes(tmp_path: Path) -> None:
    """Whoever asks where a model's rows came from gets the digest of the file."""
    text = csv(HEAD, "a,1,yes", "b,2,no")
    done = run(tmp_path, text)
    found = done.evidence("ingest.provenance/1")
    assert found.facts["source"] == found.made_with.data[0] == done.ws.store(Kind.SOURCE, text.encode()).digest
    assert (found.facts["origin"], found.facts["licence"], found.facts["format"]) == ("made for a test", "none", "csv")
    assert done.measures("ingest.provenance/1") == {"source_bytes": len(text)}


def test_the_same_file_gives_the_same_digests_and_the_same_evidence(tmp_path: Path) -> None:
    """Twice the same input, twice the same bytes: data set, quarantine and evidence."""
    text = csv(HEAD, *[f"r{number},{number % 90},{'yes' if number % 3 else 'no'}" for number in range(500)], "z,-1,no")
    assert run(tmp_path / "1", text).result == run(tmp_path / "2", text).result


def test_one_changed_value_changes_the_digest(tmp_path: Path) -> None:
    """Otherwise a digest would promise nothing."""
    first, second = (run(tmp_path / x, csv(HEAD, f"a,{x},yes", "b,2,no")) for x in ("1", "1.0000001"))
    assert first.dataset.digest != second.dataset.digest


@pytest.mark.requirement("DATA-10", by="holdfast.ingest.cleaning:clean")
def test_cleaning_is_versioned_counts_by_rule_and_changes_nothing_twice(tmp_path: Path) -> None:
    """Each rule has a version and a count in the evidence; fed its own output, every count is 0 and no byte changes."""
    columns = EVERY_TYPE
    rows = (
        "1, 1.50 ,2,TRUE,k,text,01.03.2024 10:15,yes",
        "2,NULL,N/A,0,k,,2024-03-01,no",
        "2,,,false,k,,2024-03-01,no",
    )
    dirty = run(tmp_path / "1", csv("id,f,i,b,c,s,t,label", *rows), project(columns, data=FORMATS))
    facts = dirty.evidence("ingest.contract/1").facts["cleaning"].split()
    assert facts == ["trim/1", "null-literal/1", "timestamp/1", "duplicate/1"]
    counts = {"values_trimmed": 1, "null_literals": 2, "timestamps_normalised": 3, "duplicate_rows": 1}
    assert dirty.measures("ingest.contract/1").items() >= counts.items()
    folder = parse_manifest(dirty.ws.blobs.get(dirty.dataset.digest))
    output = dirty.ws.blobs.get(Digest(folder.file("data.parquet").digest))
    clean = run(tmp_path / "2", output, project(columns, data=FORMATS, form="parquet"))
    assert clean.dataset == dirty.dataset
    assert clean.measures("ingest.contract/1").items() >= dict.fromkeys(counts, 0).items()


def test_a_timestamp_column_without_formats_is_a_mistake_of_the_project(tmp_path: Path) -> None:
    """No format could be guessed."""
    columns = COLUMNS + 't = { type = "timestamp", use = "time" }\n'
    with pytest.raises(InvalidProject, match="no formats"):
        run(tmp_path, csv("id,x,label,t", "a,1,yes,2024-01-01"), project(columns))
