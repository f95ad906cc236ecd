"""Triage of outliers: what is taken for an error, for rare but real, for doubtful, and what decisions do to rows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.ingest import world

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import InvalidProject
from holdfast.core.outliers import Outliers, Subject
from holdfast.core.project import Project
from holdfast.core.schema import Column, ColumnType, Use
from holdfast.ingest import ingest as taken
from holdfast.ingest.outliers import FOR_ERROR, FOR_REAL, Outlier, Sorted, Verdict, Why, sort_outliers
from holdfast.ingest.review import CASES, Case, Ruling, parse, print_of

NUMBERS = {"height": Column(type=ColumnType.FLOAT), "weight": Column(type=ColumnType.FLOAT)}


def people(rows: int = 600, seed: int = 1) -> dict[str, np.ndarray]:
    """Heights and weights of people, which go together."""
    rng = np.random.default_rng(seed)
    height = rng.normal(172, 9, rows).round(1)
    return {"height": height, "weight": ((height - 100) * 0.9 + rng.normal(0, 3, rows)).round(1)}


def sort(values: dict[str, np.ndarray], columns: dict[str, Column] | None = None, **declared: object) -> Sorted:
    """Sort a table of numbers."""
    return sort_outliers(pl.DataFrame(values), columns or NUMBERS, Outliers(**declared))  # type: ignore[arg-type]


def about(found: Sorted, place: int, column: str) -> Outlier:
    """The one outlier in a cell."""
    (one,) = [each for each in found.outliers if (each.place, each.column) == (place, column)]
    return one


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.outliers:sort_outliers")
@pytest.mark.parametrize(
    ("wrong", "why", "meant"),
    [
        (lambda value: value * 10, Why.SLIP, True),
        (lambda value: value * 100, Why.SLIP, True),
        (lambda value: value * 1000, Why.SLIP, True),
        (lambda value: value / 10, Why.SLIP, True),
        (lambda value: -value, Why.SIGN, True),
        (lambda _: -1.0, Why.SENTINEL, False),
        (lambda _: -999.0, Why.SENTINEL, False),
        (lambda _: 9999.0, Why.SENTINEL, False),
    ],
)
def test_a_slip_is_a_likely_error_and_says_what_was_meant(
    wrong: Callable[[float], float], why: Why, meant: bool
) -> None:
    """Factors of ten, a sign and numbers that mean missing; what cannot be known is not suggested."""
    values = people()
    value = values["weight"][7]
    values["weight"][7] = wrong(value)
    found = about(sort(values), 7, "weight")
    assert (found.verdict, why in found.reasons) == (Verdict.LIKELY_ERROR, True)
    assert (abs(float(found.suggested) - value) < 0.1) if meant else found.suggested == ""


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.outliers:sort_outliers")
def test_what_its_row_explains_is_rare_but_real_and_what_its_row_denies_is_not() -> None:
    """A giant weighs much; that somebody of the usual height weighs more than anybody is denied by that height."""
    values = people()
    values["height"][3], values["weight"][3] = 260.0, 144.0
    values["weight"][9] = 190.0
    found = sort(values)
    assert about(found, 3, "weight").verdict is Verdict.RARE
    assert Why.CONSISTENT in about(found, 3, "weight").reasons
    assert about(found, 9, "weight").reasons == (Why.CONTRADICTED,)
    assert about(found, 9, "weight").verdict is Verdict.LIKELY_ERROR


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.outliers:sort_outliers")
def test_a_long_tail_is_rare_but_real_and_a_value_alone_is_doubtful() -> None:
    """Values reach up to the largest income without a gap; one without neighbour or explanation waits."""
    rng = np.random.default_rng(5)
    income = np.sort(rng.lognormal(10, 0.8, 900).round())
    columns = {"income": Column(type=ColumnType.FLOAT)}
    tail = sort({"income": np.append(income, income[-1] * np.array([1.2, 1.5, 1.9]))}, columns, bound=3.5)
    assert {each.verdict for each in tail.outliers if each.place >= 900} == {Verdict.RARE}
    alone = sort({"x": np.append(rng.normal(50, 3, 300), 250.0)}, {"x": Column(type=ColumnType.FLOAT)})
    assert about(alone, 300, "x").verdict is Verdict.DOUBTFUL
    assert about(alone, 300, "x").reasons == (Why.APART,)


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.outliers:sort_outliers")
def test_what_is_repeated_about_the_same_is_no_plain_slip() -> None:
    """Two measurements of one patient say ten times the usual: a person decides; of two sources, they agree."""
    values: dict[str, object] = {"x": np.random.default_rng(2).normal(50, 4, 300).round(1)}
    values["who"] = [f"patient-{row // 2}" for row in range(300)]
    values["source"] = [f"source-{row % 2}" for row in range(300)]
    values["x"][10:12] = [512.0, 514.0]  # type: ignore[index]
    columns = {"x": Column(type=ColumnType.FLOAT), "who": Column(type=ColumnType.STRING)}
    frame = pl.DataFrame(values)
    for source, expected in (("", {Why.REPEATED}), ("source", {Why.REPEATED, Why.AGREED})):
        found = sort_outliers(frame, columns, Outliers(by="who"), source=source)
        one = about(found, 10, "x")
        assert set(one.reasons) & FOR_REAL == expected
        assert (Why.SLIP in one.reasons, one.verdict) == (True, Verdict.DOUBTFUL)


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.rarities:rarities")
def test_names_are_misspelt_seldom_or_impossible_together() -> None:
    """Each for its own reason, with what was meant where that can be said."""
    towns = ["Hannover"] * 300 + ["Lüneburg"] * 300 + ["Hanover"] + ["Timbuktu"]
    states = ["Lower Saxony"] * 599 + ["Bavaria"] + ["Lower Saxony", "Mali"]
    towns += ["Munich"] * 200
    states += ["Bavaria"] * 200
    columns = {name: Column(type=ColumnType.CATEGORY) for name in ("town", "state")}
    found = sort_outliers(pl.DataFrame({"town": towns, "state": states}), columns, Outliers())
    misspelt, seldom, impossible = about(found, 600, "town"), about(found, 601, "town"), about(found, 599, "state")
    assert (misspelt.verdict, misspelt.suggested) == (Verdict.LIKELY_ERROR, "Hannover")
    assert (seldom.verdict, seldom.reasons) == (Verdict.DOUBTFUL, (Why.SELDOM,))
    assert (impossible.verdict, impossible.suggested) == (Verdict.LIKELY_ERROR, "Lower Saxony")
    assert impossible.reasons == (Why.COMBINATION,)


@given(reasons=st.sets(st.sampled_from(list(Why))))
def test_reasons_of_both_kinds_or_of_none_leave_a_doubt(reasons: set[Why]) -> None:
    """No reason outweighs another; there is no score."""
    one = Outlier(place=0, column="x", value="1", reasons=tuple(sorted(reasons)))
    kinds = bool(reasons & FOR_ERROR), bool(reasons & FOR_REAL)
    expected = {(True, False): Verdict.LIKELY_ERROR, (False, True): Verdict.RARE}
    assert one.verdict is expected.get(kinds, Verdict.DOUBTFUL)


def test_columns_that_are_of_no_use_are_looked_at_only_where_they_are_named() -> None:
    """What is ignored teaches no model, so nobody has to decide about it."""
    values = people()
    values["weight"][7] *= 100
    columns = NUMBERS | {"weight": Column(type=ColumnType.FLOAT, use=Use.IGNORED)}
    assert not sort(values, columns).outliers
    named = sort_outliers(pl.DataFrame(values), columns, Outliers(columns=("height", "weight")))
    assert about(named, 7, "weight").verdict is Verdict.LIKELY_ERROR


def test_few_rows_hidden_columns_and_ids_are_not_looked_at() -> None:
    """Of forty rows nothing is rare; what may not be shown is in no case."""
    values = people(40)
    values["weight"][3] *= 100
    assert sort(values).examined == ()
    values = people()
    values["weight"][3] *= 100
    found = sort_outliers(pl.DataFrame(values), NUMBERS, Outliers(), hidden=["weight"])
    assert found.examined == ("height",)


# In the ingest

COLUMNS = """
id = { type = "string", use = "id" }
x = { type = "float", minimum = 0, maximum = 100000 }
label = { type = "category", use = "label", allowed = ["no", "yes"] }
"""


def table(spoiled: dict[int, str], rows: int = 200) -> str:
    """Rows of a source, some of them spoiled by number."""
    rng = np.random.default_rng(3)
    cells = [f"{value:.1f}" for value in rng.normal(50, 4, rows)]
    for row, text in spoiled.items():
        cells[row - 1] = text
    return world.csv("id,x,label", *(f"r{n},{cell},{'yes' if n % 2 else 'no'}" for n, cell in enumerate(cells, 1)))


def declared(data: str = "") -> Project:
    """A project that declares the triage."""
    return world.project(COLUMNS, data=f"[data.outliers]\n{data}")


def cases(run: world.Run) -> dict[tuple[int, str], Case]:
    """The cases that an ingest left, by row and column."""
    folder = parse_manifest(run.ws.blobs.get(run.result.artifacts[1].digest))
    files = {file.path: file.digest for file in folder.files}
    found = parse(run.ws.blobs.get(Digest(files[CASES]))) if CASES in files else ()
    return {(case.row, case.column): case for case in found}


def ruling(case: Case, action: str, replacement: str = "") -> Ruling:
    """A decision about a case."""
    subject = Subject(print=case.print, column=case.column, value=case.value, replacement=replacement, salt="0")
    return Ruling(action=action, subject=subject)  # type: ignore[arg-type]


def ingest(tmp_path: Path, text: str, project: Project, rulings: tuple[Ruling, ...] = ()) -> world.Run:
    """Ingest rows with what was decided."""
    ws = world.workspace(tmp_path)
    source = ws.store(Kind.SOURCE, text.encode())
    return world.Run(ws=ws, result=taken(ws, project, source, world.MADE_WITH, rulings=rulings))


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.review:triage")
def test_a_likely_error_is_set_aside_with_its_case_and_nothing_is_done_undeclared(tmp_path: Path) -> None:
    """The row stands in the quarantine, its case says what was meant; without [data.outliers] it goes on."""
    text = table({7: "5123.0", 9: "52000.0"})
    run = ingest(tmp_path, text, declared())
    assert run.codes == {7: ["likely-error"], 9: ["likely-error"]}
    case = cases(run)[7, "x"]
    assert (case.value, case.suggested, case.set_aside, case.waits) == ("5123.0", "51.23", True, True)
    seen = run.measures("ingest.outliers/1")
    assert (seen["outliers_likely_error"], seen["rows_triaged_aside"], seen["cases_waiting"]) == (2, 2, 2)
    assert run.findings("ingest.outliers/1") == [("likely-error", "x")]
    assert "5123" not in str(run.evidence("ingest.outliers/1").findings)
    plain = ingest(tmp_path, text, world.project(COLUMNS))
    assert (plain.codes, plain.rows.height) == ({}, 200)
    assert plain.evidence("ingest.outliers/1").outcome == "not-applicable"
    kept = ingest(tmp_path, text, declared('likely_error = "keep"'))
    assert (kept.codes, len(cases(kept))) == ({}, 2)


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.review:apply")
def test_decisions_keep_correct_and_quarantine_at_the_next_ingest(tmp_path: Path) -> None:
    """Each is applied to its very row; a corrected value is held to the contract as any other."""
    text = table({7: "5123.0", 9: "52000.0", 11: "-47.1", 13: "73.0"})
    first = cases(ingest(tmp_path, text, declared()))
    assert first[11, "x"].reasons == (Why.OUT_OF_CONTRACT,)
    assert first[11, "x"].suggested == "47.1"
    rulings = (
        ruling(first[7, "x"], "keep"),
        ruling(first[9, "x"], "quarantine"),
        ruling(first[11, "x"], "correct", "47.11"),
    )
    run = ingest(tmp_path, text, declared(), rulings)
    rows = run.rows
    assert rows.filter(pl.col("id") == "r7").get_column("x").item() == 5123.0
    assert rows.filter(pl.col("id") == "r11").get_column("x").item() == 47.11
    assert run.codes == {9: ["decided-by-a-person"]}
    seen = run.measures("ingest.outliers/1")
    assert (seen["values_corrected"], seen["rows_quarantined_by_decision"], seen["decisions_unmatched"]) == (1, 1, 0)
    assert run.measures("ingest.contract/1")["values_corrected"] == 1
    beyond = ingest(tmp_path, text, declared(), (ruling(first[7, "x"], "correct", "999999999"),))
    assert "above-maximum" in beyond.codes[7]


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.review:apply")
def test_a_decision_about_a_row_that_says_something_else_now_is_not_applied(tmp_path: Path) -> None:
    """The same value in another row, or the same row with another value beside it, is asked about again."""
    text = table({7: "5123.0"})
    keep = (ruling(cases(ingest(tmp_path, text, declared()))[7, "x"], "keep"),)
    changed = text.replace("r7,5123.0,", "r7000,5123.0,")
    run = ingest(tmp_path, changed, declared(), keep)
    assert run.codes == {7: ["likely-error"]}
    assert run.measures("ingest.outliers/1")["decisions_unmatched"] == 1


ACTIONS = st.sampled_from(["keep", "correct", "quarantine", ""])


@pytest.mark.requirement("DATA-09", by="holdfast.ingest.review:triage")
@settings(max_examples=25)
@given(
    spoiled=st.dictionaries(st.integers(1, 60), st.sampled_from(["5000", "-50", "999999", "x", "480", ""]), max_size=9),
    actions=st.lists(ACTIONS, max_size=9),
    aside=st.sampled_from(['likely_error = "keep"', 'doubtful = "set-aside"', ""]),
)
def test_no_row_ever_disappears(
    tmp_path_factory: pytest.TempPathFactory, spoiled: dict[int, str], actions: list[str], aside: str
) -> None:
    """Whatever lies out or is decided: rows in are rows kept as they were, corrected, or in the quarantine."""
    folder = tmp_path_factory.mktemp("triage")
    text, project = table(spoiled, rows=60), declared(aside)
    first = cases(ingest(folder, text, project))
    rulings = tuple(
        ruling(case, action, "50.0" if action == "correct" else "")
        for case, action in zip(first.values(), actions, strict=False)
        if action
    )
    run = ingest(folder, text, project, rulings)
    seen = run.measures("ingest.outliers/1")
    corrected = int(seen["values_corrected"])
    as_they_were = sum(
        line.split(",")[1] == f"{value:g}" or float(line.split(",")[1]) == value
        for line, value in (
            (text.splitlines()[int(name[1:])], value) for name, value in run.rows.select("id", "x").iter_rows()
        )
        if line.split(",")[1] not in {"", "x"}
    )
    assert as_they_were + corrected + len(run.aside) == 60
    assert run.rows.height == as_they_were + corrected
    assert set(run.aside) | {int(name[1:]) for name in run.rows.get_column("id")} == set(range(1, 61))


@given(texts=st.dictionaries(st.text(max_size=3), st.none() | st.text(max_size=3), min_size=1, max_size=4))
def test_a_print_is_of_names_and_texts_in_any_order(texts: dict[str, str | None]) -> None:
    """No other row has it, and a missing value is no empty one."""
    assert print_of(texts) == print_of(dict(reversed(texts.items())))
    name = next(iter(texts))
    assert print_of(texts) != print_of({**texts, name: (texts[name] or "") + "x"})


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('columns = ["nothing"]', "no column 'nothing'"),
        ('by = "who"', "no column 'who'"),
        ("bound = 1", "a bound of 1"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(data: str, words: str) -> None:
    """With the key and what would be right."""
    with pytest.raises(InvalidProject, match=words):
        declared(data)
