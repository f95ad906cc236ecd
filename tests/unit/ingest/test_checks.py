"""Checks of a contract: rows that break a hard one are set aside, a batch that breaks one lands not at all."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from tests.unit.ingest.world import MADE_WITH, csv, project, run, workspace

from holdfast.core.artifact import Kind, digest_bytes
from holdfast.core.errors import InvalidData, InvalidProject
from holdfast.core.project import Project, parse_project
from holdfast.ingest import ingest
from holdfast.ingest.contract import hold
from holdfast.ingest.references import typed
from holdfast.ingest.sources import read
from holdfast.lifecycle.contract_files import references_of, written_out

NOW = datetime(2024, 3, 10, tzinfo=UTC)
COLUMNS = """
id = { type = "string", use = "id" }
x = { type = "float", minimum = 0, maximum = 100, nullable = true }
y = { type = "float", nullable = true }
who = { type = "category", use = "slice" }
at = { type = "timestamp", use = "time", nullable = true }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
"""
HEAD = "id,x,y,who,at,label"
GOOD = [f"r{n},{n},{n * 2},acme,2024-03-0{n},{'yes' if n % 2 else 'no'}" for n in range(1, 6)]


def declared(*checks: str, data: str = "") -> Project:
    """A project with these checks."""
    formats = 'timestamp_formats = ["%Y-%m-%d"]\n'
    return project(COLUMNS + "".join(f"[[data.checks]]\n{check}\n" for check in checks), data=formats + data)


def check(name: str, **parts: Any) -> str:
    """One check as TOML."""
    return "\n".join(f"{key} = {_toml(value)}" for key, value in {"name": name, **parts}.items())


def _toml(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


@pytest.mark.requirement("DATA-11")
@pytest.mark.parametrize(
    ("parts", "bad", "code"),
    [
        ({"kind": "rule", "rule": "y == x * 2"}, "r9,1,3,acme,2024-03-01,no", "breaks-a-rule"),
        ({"kind": "rule", "rule": "x is not missing"}, "r9,,3,acme,2024-03-01,no", "breaks-a-rule"),
        ({"kind": "rule", "rule": "x > 0.5"}, "r9,,3,acme,2024-03-01,no", "breaks-a-rule"),  # unknown is no yes
        (
            {"kind": "pattern", "columns": ["who"], "pattern": "[a-z]+"},
            "r9,1,2,a-1,2024-03-01,no",
            "not-of-the-pattern",
        ),
        ({"kind": "length", "columns": ["who"], "at_most": 4}, "r9,1,2,acmes,2024-03-01,no", "length-out-of-bounds"),
        ({"kind": "unique", "columns": ["x", "who"]}, "r9,1,9,acme,2024-03-01,no", "not-unique"),
    ],
)
def test_a_row_that_breaks_a_check_is_set_aside_and_no_other_is(
    tmp_path: Path, parts: dict[str, Any], bad: str, code: str
) -> None:
    """With the check's reason; what repeats is set aside with what it repeats."""
    done = run(tmp_path, csv(HEAD, *GOOD, bad), declared(check("c", **parts)))
    assert set(done.codes) == ({6, 1} if code == "not-unique" else {6})
    assert done.codes[6] == [code]
    assert done.measures("ingest.checks/1")["checks"] == 1


@pytest.mark.requirement("DATA-14")
def test_a_soft_limit_warns_and_a_hard_one_on_the_same_refuses(tmp_path: Path) -> None:
    """One value between the two limits passes with a warning; one beyond both is set aside."""
    soft = check("soft", kind="rule", rule="x < 50", soft=True)
    hard = check("hard", kind="rule", rule="x < 90")
    done = run(tmp_path, csv(HEAD, *GOOD, "r6,60,1,acme,,no", "r7,95,1,acme,,no"), declared(soft, hard))
    assert done.codes == {7: ["breaks-a-rule"]}
    assert done.measures("ingest.checks/1")["soft_breaches"] == 1
    assert ("soft", "soft") in done.findings("ingest.checks/1")


@pytest.mark.requirement("DATA-12", by="holdfast.ingest.contract:check_breaches")
@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"kind": "rows", "at_least": 6}, "rows is 5, and must be at least 6"),
        ({"kind": "null_share", "columns": ["x"], "below": 0.0}, "null_share of x is 0, and must be below 0"),
        ({"kind": "distinct", "columns": ["who"], "above": 1}, "distinct of who is 1"),
        ({"kind": "mean", "columns": ["x"], "at_most": 2}, "mean of x is 3"),
        ({"kind": "maximum", "columns": ["y"], "at_most": 9}, "maximum of y is 10"),
        ({"kind": "minimum", "columns": ["y"], "never": [1, 3]}, "must be not 1 to 3"),
        ({"kind": "age_h", "columns": ["at"], "at_most": 24}, "age_h of at is 120"),
        ({"kind": "duplicates", "columns": ["who"], "at_most": 0}, "duplicates of who is 5"),
        ({"kind": "invalid_share", "columns": ["who"], "values": ["x"], "at_most": 0.5}, "invalid_share of who is 1"),
        ({"kind": "missing", "columns": ["who"], "values": ["acme"], "at_most": 0}, "missing of who is 5"),
    ],
)
def test_a_batch_that_breaks_a_hard_limit_lands_not_at_all(tmp_path: Path, parts: dict[str, Any], words: str) -> None:
    """The pipeline stops with what was measured and what was allowed; not one row is stored, good or bad."""
    ws = workspace(tmp_path)
    source = ws.store(Kind.SOURCE, csv(HEAD, *GOOD).encode())
    before = dict(ws.blobs.held)  # type: ignore[attr-defined]
    with pytest.raises(InvalidData, match=words):
        ingest(ws, declared(check("c", **parts)), source, MADE_WITH, now=NOW)
    assert ws.blobs.held == before  # type: ignore[attr-defined]
    done = ingest(ws, declared(check("c", **parts, soft=True)), source, MADE_WITH, now=NOW)
    found = next(each for each in done.evidence if each.control == "ingest.checks/1")
    assert [finding.rule for finding in found.findings] == ["soft-limit"]


@pytest.mark.requirement("DATA-12")
@pytest.mark.parametrize("kind", ["psi", "ks"])
def test_a_distribution_that_left_its_reference_stops_the_pipeline(tmp_path: Path, kind: str) -> None:
    """Against a table of the project, cleaned by the same rules."""
    plan = declared(check("c", kind=kind, columns=["x"], against="old.csv", at_most=0.25))
    rows = [f"r{n},{n % 40},1,acme,2024-03-01,no" for n in range(400)]
    raw = read(_file(tmp_path, csv(HEAD, *rows)), plan)
    same = typed(csv("x", *(str((n * 7) % 40) for n in range(400))).encode(), "old.csv", plan.data)
    moved = typed(csv("x", *(str(n % 40 + 30) for n in range(400))).encode(), "old.csv", plan.data)
    assert hold(raw, plan, references={"old.csv": same}).judged.breaches == ()
    assert len(hold(raw, plan, references={"old.csv": moved}).judged.breaches) == 1


@pytest.mark.requirement("DATA-12")
def test_what_cannot_be_evaluated_does_not_hold(tmp_path: Path) -> None:
    """No clock, no reference, no value: each is a breach or an error, never a pass."""
    raw = read(_file(tmp_path, csv(HEAD, "r1,,1,acme,2024-03-01,no")), declared())
    for parts in (
        {"kind": "age_h", "columns": ["at"], "at_most": 1e9},
        {"kind": "psi", "columns": ["y"], "against": "gone.csv", "at_most": 1e9},
        {"kind": "mean", "columns": ["x"], "at_most": 1e9},
    ):
        assert len(hold(raw, declared(check("c", **parts))).judged.breaches) == 1, parts
    refers = declared(check("c", kind="reference", columns=["who"], against="gone.csv"))
    with pytest.raises(InvalidData, match="cannot be evaluated: its reference is not there"):
        hold(raw, refers)


def test_rows_that_refer_to_nothing_are_set_aside(tmp_path: Path) -> None:
    """A missing value refers to nothing and is no fault of this check."""
    plan = declared(check("c", kind="reference", columns=["who"], against="who.csv"))
    raw = read(_file(tmp_path, csv(HEAD, *GOOD, "r6,1,1,other,,no")), plan)
    batch = hold(raw, plan, references={"who.csv": pl.DataFrame({"who": ["acme", None]})})
    assert batch.faults.select("row", "code").rows() == [(6, "refers-to-nothing")]


ONBOARDING = '[data.onboarding]\ncolumn = "who"\nclients = ["newco"]\nuntil = 2024-03-31\n'


@pytest.mark.requirement("DATA-14", by="holdfast.ingest.checking:judge")
@pytest.mark.parametrize(("day", "aside"), [(31, {8}), (1, {6, 7, 8})])
def test_a_new_clients_rows_are_warned_about_until_the_day(tmp_path: Path, day: int, aside: set[int]) -> None:
    """Its values out of range and its broken rules warn; what no client may break, such as a type, does not."""
    plan = parse_project(_text().encode())[0]
    rows = [*GOOD, "n1,500,1,newco,,no", "n2,1,5000,newco,,no", "n3,abc,1,newco,,no"]
    raw = read(_file(tmp_path, csv(HEAD, *rows)), plan)
    now = datetime(2024, 3 if day == 31 else 4, day, 23, 59, tzinfo=UTC)
    batch = hold(raw, plan, now=now)
    assert set(batch.faults["row"]) == aside
    assert batch.judged.relaxed == (2 if day == 31 else 0)
    # The batch's mean is judged by the rows of those who are known; after the day, by all that came.
    assert len(batch.judged.breaches) == (0 if day == 31 else 1)


def _text() -> str:
    from tests.unit.ingest.world import PROJECT

    checks = [
        check("r", kind="rule", rule="y is missing or y < 1000"),
        check("m", kind="mean", columns=["x"], at_most=10),
    ]
    body = COLUMNS + "".join(f"[[data.checks]]\n{each}\n" for each in checks) + ONBOARDING
    formats = 'timestamp_formats = ["%Y-%m-%d"]'
    return PROJECT.format(columns=body, data=formats, features="", format="csv")


@pytest.mark.requirement("DATA-13")
def test_three_metrics_of_each_critical_column_are_evidence(tmp_path: Path) -> None:
    """Missing, of another type, out of range: each a share of the rows as they came, with its interval."""
    rows = [*GOOD, "r6,,1,acme,,no", "r7,abc,1,acme,,no", "r8,101,1,acme,,no", "r9,-1,1,acme,,no", "r10,1,1,acme,,no"]
    done = run(tmp_path, csv(HEAD, *rows), declared())
    seen = done.measures("ingest.quality/1")
    assert (seen["missing_share:x"], seen["type_mismatch_rate:x"], seen["out_of_range_rate:x"]) == (0.1, 0.1, 0.2)
    assert "missing_share:who" not in seen  # not critical: features are, unless the project names others
    named = run(tmp_path, csv(HEAD, *rows), declared(data='critical = ["who"]'))
    assert set(named.measures("ingest.quality/1")) >= {"missing_share:who"}
    assert "missing_share:x" not in named.measures("ingest.quality/1")


@pytest.mark.requirement("DATA-05")
def test_a_column_that_nobody_described_is_held_out_until_somebody_does(tmp_path: Path) -> None:
    """A draft is no feature and not in the data set; evidence names it. Described by a person, it is."""
    draft = COLUMNS.replace("y = { ", "y = { draft = true, ")
    done = run(tmp_path, csv(HEAD, *GOOD), project(draft, data='timestamp_formats = ["%Y-%m-%d"]'))
    assert "y" not in done.rows.columns
    assert ("undescribed-column", "y") in done.findings("ingest.quality/1")
    assert done.measures("ingest.quality/1")["undescribed_columns"] == 1
    said = draft.replace("draft = true", 'draft = true, description = "twice x", described_by = "Ada"')
    plan = project(said, data='timestamp_formats = ["%Y-%m-%d"]')
    assert "y" in run(tmp_path, csv(HEAD, *GOOD), plan).rows.columns
    assert plan.feature_columns == ("x", "y")


@pytest.mark.parametrize(
    ("checks", "words"),
    [
        ([check("c", kind="rule", rule="z > 1")], "no column 'z'"),
        ([check("c", kind="mean", columns=["z"], at_most=1)], "no column 'z'"),
        ([check("c", kind="mean", columns=["who"], at_most=1)], "which is a category"),
        ([check("c", kind="mean", columns=["x"])], "lacks bounds"),
        ([check("c", kind="pattern", columns=["who"], pattern="(?=a)")], "look-around"),
        ([check("c", kind="pattern", columns=["who"], pattern="(")], "is not one"),
        ([check("c", kind="rows", at_least=1), check("c", kind="rows", at_least=1)], "two checks"),
        ([check("c d", kind="rows", at_least=1)], "name cannot be one"),
        ([check("c", kind="unique", columns=["x"], at_most=1)], "has bounds"),
    ],
)
def test_a_check_that_can_mean_nothing_is_refused_with_the_project(checks: list[str], words: str) -> None:
    """Before any row is read."""
    with pytest.raises(InvalidProject, match=words):
        declared(*checks)


CONTRACT = """apiVersion: v3.1.0
kind: DataContract
id: c
version: 1.0.0
status: active
schema:
- name: rows
  properties:
  - name: id
    logicalType: string
    primaryKey: true
  - name: x
    logicalType: number
    required: true
    quality:
    - {quality}
  - name: label
    logicalType: string
    required: true
"""
HEADLESS = """[project]
name = "test"
owner = "Ada"
[risk]
sensitivity = "internal"
exposure = "internal"
stakes = "business"
[data]
source = "rows.csv"
format = "csv"
origin = "made"
licence = "none"
contract = "c.yaml"
{data}
[train]
recipe = "train.py:train"
positive = "yes"
[gates]
policy = "baseline"
"""


@pytest.mark.requirement("DATA-11")
def test_a_contract_beside_the_project_declares_its_columns_and_is_part_of_its_digest(tmp_path: Path) -> None:
    """What is kept of a project says everything: another contract or another reference is another project."""
    (tmp_path / "c.yaml").write_text(
        CONTRACT.replace("{quality}", "name: q\n      metric: nullValues\n      mustBe: 0")
    )
    text = HEADLESS.replace("{data}", 'uses = { label = "label" }').encode()
    plan, digest = parse_project(written_out(text, tmp_path))
    assert (plan.label, plan.feature_columns, [each.name for each in plan.data.checks]) == ("label", ("x",), ["q"])
    assert plan.data.checked_against == {"c.yaml": digest_bytes((tmp_path / "c.yaml").read_bytes())}
    with pytest.raises(InvalidProject, match="not declared"):
        written_out(text + b'[data.checked_against]\n"c.yaml" = "sha256:00"\n', tmp_path)
    more = text + b'[[data.checks]]\nname = "d"\nkind = "psi"\ncolumns = ["x"]\nagainst = "old.csv"\nat_most = 0.1\n'
    (tmp_path / "old.csv").write_text("x\n1\n2\n")
    second, other = parse_project(written_out(more, tmp_path))
    assert other != digest
    assert references_of(second, tmp_path)["old.csv"]["x"].to_list() == [1.0, 2.0]
    (tmp_path / "old.csv").write_text("x\n1\n3\n")
    assert parse_project(written_out(more, tmp_path))[1] != other
    with pytest.raises(InvalidData, match="was changed"):
        references_of(second, tmp_path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('[data.columns]\nx = { type = "float" }', "declared twice"),
        ('uses = { z = "label" }', "'z' cannot be used"),
        ('[[data.checks]]\nname = "a"\nkind = "psi"\nagainst = "../up.csv"\ncolumns = ["x"]', "outside the project"),
        ('[[data.checks]]\nname = "a"\nkind = "psi"\nagainst = "no.csv"\ncolumns = ["x"]', "is missing"),
    ],
)
def test_a_contract_that_contradicts_the_project_is_refused(tmp_path: Path, data: str, words: str) -> None:
    """One meaning, or none."""
    (tmp_path / "c.yaml").write_text(CONTRACT.replace("{quality}", "metric: nullValues\n      mustBe: 0"))
    with pytest.raises(InvalidProject, match=words):
        written_out(HEADLESS.replace("{data}", data).encode(), tmp_path)


def _file(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text)
    return path
