"""Outliers of a project: set aside, reviewed by a person over the command line or the API, and decided for good."""

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import msgspec
import pytest
from tests.scenarios.api import Api, opened

from holdfast import app
from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.errors import Conflict, InvalidInput, InvalidProject, NotFound, NotVerified
from holdfast.core.ledger import Draft
from holdfast.core.seal import OUTLIER
from holdfast.core.versions import stream_of
from holdfast.engines.dataset import open_dataset
from holdfast.faces.cli import invoke
from holdfast.lifecycle.data_record import data_show
from holdfast.lifecycle.data_versions import data_commit
from holdfast.lifecycle.decided import DECIDED, LISTED, decisions, rulings_of
from holdfast.lifecycle.erasure import data_erase
from holdfast.lifecycle.identity import add, issue
from holdfast.lifecycle.outliers import data_outliers
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reviewing import review_decide, review_list, review_show
from holdfast.lifecycle.trail import READ, data_trail
from holdfast.lifecycle.versions import version_of

ROW = 20
WHY = "The clinic says that it was written in another unit."


def spoil(root: Path) -> tuple[str, str]:
    """Write one value a hundred times too large and declare the triage; return the value as it is and as it was."""
    path = root / "patients.csv"
    lines = path.read_text(encoding="latin-1").split("\n")
    at = lines[0].split(",").index("mean_perimeter")
    cells = lines[ROW].split(",")
    was = cells[at]
    cells[at] = f"{float(was) * 100:g}"
    lines[ROW] = ",".join(cells)
    path.write_bytes("\n".join(lines).encode("latin-1"))
    declaration = root / "holdfast.toml"
    text = declaration.read_text(encoding="utf-8").replace(", minimum = 30, maximum = 350", "")
    declaration.write_text(text + "\n[data.outliers]\n", encoding="utf-8")
    return cells[at], was


@pytest.fixture
def spoiled(plant: Plant) -> tuple[Plant, str, str]:
    """The finished project with one slip in its source, ingested again; its case, and what the value was."""
    _, was = spoil(plant.home.root)
    data_commit(plant, message="The export of June")
    (case,) = [each for each in review_list(plant).document["cases"] if each["row"] == ROW]
    return plant, str(case["case"]), was


def rows(plant: Plant) -> int:
    """How many rows the newest version has."""
    return version_of(plant, "main").commit.rows


@pytest.mark.requirement("DATA-09", by="holdfast.lifecycle.reviewing:review_decide")
def test_a_correction_is_signed_applied_at_the_next_run_and_told_with_the_version(
    spoiled: tuple[Plant, str, str],
) -> None:
    """The row was out, comes back with the value that a person says, and the version names decision and person."""
    plant, case, was = spoiled
    before = rows(plant)
    shown = review_show(plant, case=case).document
    assert shown["verdict"] == "likely-error"
    assert float(str(shown["suggested"])) == pytest.approx(float(was))
    reply = review_decide(plant, case=case, decision="correct", value=was, reason=WHY)
    assert reply.document["by"] == plant.person
    entry = next(each for each in plant.ledger.stream(stream_of("breast-cancer")) if each.kind == DECIDED)
    said = plant.believe(Digest(entry.body["envelope"]), OUTLIER, at=entry.moment, stream=entry.stream).value
    assert (said.by, said.action, said.row, said.reason) == (plant.person, "correct", ROW, WHY)
    assert [each["case"] for each in review_list(plant, decided=True).document["cases"] if each["decision"]] == [case]
    data_commit(plant, message="After review")
    assert rows(plant) == before + 1
    record = data_show(plant).document
    assert [(each["row"], each["action"], each["by"]) for each in record["decisions"]] == [
        (ROW, "correct", plant.person)
    ]
    assert record["outliers"]["values_corrected"] == 1
    dataset = version_of(plant, "main").commit.dataset
    found = open_dataset(plant.blobs, dataset_of(dataset)).rows.get_column("mean_perimeter").to_list()
    assert float(was) in found
    assert data_show(plant, version="main~1").document["decisions"] == []
    assert [each["did"] for each in data_trail(plant, changes=True).document["steps"]][-2:-1] == [
        f"decided about a value of it ({WHY})"
    ]


def dataset_of(digest: str) -> Artifact:
    """The data set of this digest."""
    return Artifact(kind=Kind.DATASET, digest=Digest(digest), size=0)


@pytest.mark.requirement("DATA-09", by="holdfast.lifecycle.reviewing:review_decide")
def test_no_value_is_on_record_and_each_look_is(spoiled: tuple[Plant, str, str]) -> None:
    """Neither entries nor lists hold the value or its correction; whoever sees it is named first."""
    plant, case, was = spoiled
    value = f"{float(was) * 100:g}"
    review_show(plant, case=case)
    review_decide(plant, case=case, decision="correct", value="98.76", reason=WHY)
    text = msgspec.json.encode([(each.kind, each.body) for each in plant.ledger.entries()])
    listed = msgspec.json.encode(review_list(plant, decided=True).document)
    for secret in (value, "98.76"):  # digits within a digest or a signature are none
        shown = re.compile(rb"(?<![0-9A-Za-z+/])" + re.escape(secret).encode() + rb"(?![0-9A-Za-z+/])")
        assert not shown.search(text)
        assert not shown.search(listed)
    looked = [each for each in plant.ledger.stream(stream_of("breast-cancer")) if each.kind == READ]
    assert looked[-1].body["purpose"] == f"review {case}"
    (word,) = decisions(plant, "breast-cancer")
    assert (word.subject.value, word.subject.replacement) == (value, "98.76")
    data_commit(plant, message="After review")
    plain = [path for path in plant.home.root.rglob("*") if path.is_file() and b"98.76" in path.read_bytes()]
    assert plain == []


def test_keeping_brings_the_row_back_and_the_newest_word_stands(spoiled: tuple[Plant, str, str]) -> None:
    """A second decision about the same value takes the place of the first."""
    plant, case, was = spoiled
    before = rows(plant)
    review_decide(plant, case=case, decision="quarantine", reason="Nobody knows.")
    review_decide(plant, case=case, decision="keep", reason="The machine really measured it.")
    assert [each.decision.action for each in decisions(plant, "breast-cancer")] == ["keep"]
    data_commit(plant, message="After review")
    assert rows(plant) == before + 1
    assert was


def test_what_cannot_be_decided_is_refused(spoiled: tuple[Plant, str, str]) -> None:
    """No such case, no such decision, no value or one too many, no reason: nothing is on record."""
    plant, case, _ = spoiled
    wrong = (
        ({"case": case + "x", "decision": "keep"}, NotFound, "no case"),
        ({"case": case, "decision": "delete"}, InvalidInput, "delete"),
        ({"case": case, "decision": "correct"}, InvalidInput, "missing"),
        ({"case": case, "decision": "keep", "value": "1"}, InvalidInput, "a value where"),
        ({"case": case, "decision": "keep", "reason": " "}, InvalidInput, "reason"),
        ({"case": "ffffffffffff:1:x", "decision": "keep"}, NotFound, "no such data set"),
    )
    for given, error, words in wrong:
        with pytest.raises(error, match=words):
            review_decide(plant, **{"reason": WHY, **given})
    assert decisions(plant, "breast-cancer") == ()


def test_a_forged_decision_stops_the_ingest(spoiled: tuple[Plant, str, str]) -> None:
    """An entry whose envelope says something else is believed by nobody; nothing is ingested on it."""
    plant, case, _ = spoiled
    review_decide(plant, case=case, decision="quarantine", reason=WHY)
    stream = stream_of("breast-cancer")
    entry = next(each for each in plant.ledger.stream(stream) if each.kind == DECIDED)
    forged = {**entry.body, "decision": "sha256:" + "0" * 64}
    plant.ledger.append([Draft(kind=DECIDED, actor="mallory", stream=stream, body=forged)])
    with pytest.raises(NotVerified, match="something else"):
        data_commit(plant, message="On a forged word")


def test_decisions_are_not_declared_and_go_with_their_rows(spoiled: tuple[Plant, str, str]) -> None:
    """Who writes them into the file is refused; erasing the source erases what they were about."""
    plant, case, _ = spoiled
    review_decide(plant, case=case, decision="keep", reason=WHY)
    data_commit(plant, message="After review")
    assert [each.kind for each in plant.ledger.stream(stream_of("breast-cancer"))].count(LISTED) == 1
    at = version_of(plant, "main").commit
    data_erase(plant, data=at.source, reason="Asked for by the patient.")
    assert decisions(plant, "breast-cancer") == ()
    from holdfast.lifecycle.data_record import project_by

    project = project_by(plant, at.project)
    assert project is not None
    assert rulings_of(plant, project) == []
    assert len(data_show(plant).document["decisions"]) == 1  # that somebody decided stays on record
    path = plant.home.root / "holdfast.toml"
    text = path.read_text(encoding="utf-8")
    path.write_text(text + '\n[data.decisions]\nlisted = "sha256:00"\ncount = 1\n', encoding="utf-8")
    with pytest.raises(InvalidProject, match="not declared"):
        data_commit(plant, message="Declared by hand")


@pytest.mark.requirement("DATA-09", by="holdfast.lifecycle.outliers:data_outliers")
def test_a_file_alone_is_sorted_and_nothing_is_taken_in(project: Path) -> None:
    """The row, its value and what was meant; the ledger is as long as before."""
    value, was = spoil(project)
    with app.open_plant(project) as plant:
        before = plant.ledger.size()
    found = data_outliers(project, path=project / "patients.csv").document
    (one,) = [each for each in found["cases"] if each["row"] == ROW]
    assert (one["value"], one["verdict"]) == (value, "likely-error")
    assert float(one["suggested"]) == pytest.approx(float(was))
    with app.open_plant(project) as plant:
        assert plant.ledger.size() == before


def test_the_command_line_lists_shows_and_decides(
    spoiled: tuple[Plant, str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """As a person would."""
    plant, case, was = spoiled
    root = str(plant.home.root)
    assert invoke(["data", "review", "list", "--root", root]) == 0
    assert case in capsys.readouterr().out.replace("\n", "")
    decide = ["data", "review", "decide", case, "--decision", "correct", "--value", was, "--reason", WHY]
    assert invoke([*decide, "--root", root]) == 0
    assert "It counts from the next run on" in " ".join(capsys.readouterr().out.split())


@pytest.fixture
def api(spoiled: tuple[Plant, str, str]) -> Iterator[tuple[Api, str]]:
    """The API over the spoiled project."""
    with opened(spoiled[0]) as found:
        yield found, spoiled[1]


def ask(api: Api, groups: str, what: str, body: dict[str, str]) -> httpx.Response:
    """Ask as somebody who is in these groups alone."""
    name = f"of-{groups.replace(',', '-and-')}"
    with suppress(Conflict):
        add(api.plant, name=name, sort="user", groups=groups)
    key = issue(api.plant, name=name).document["key"]
    headers = {"authorization": f"Bearer {key}"}
    return api.ask("POST", f"/v1/data/review/{what}", role="", headers=headers, json=body)


@pytest.mark.requirement("DATA-09", by="holdfast.lifecycle.reviewing:review_decide")
def test_over_http_reviewers_decide_in_their_own_name_and_nobody_else_does(api: tuple[Api, str]) -> None:
    """By Cedar action: reviewers who may see personal data; others neither see the value nor decide."""
    asked, case = api
    body = {"case": case, "decision": "quarantine", "reason": WHY}
    assert asked.ask("GET", "/v1/data/review/list").status_code == 200
    for groups in ("engineers,personal-data", "operators,personal-data", "administrators,personal-data", "reviewers"):
        assert ask(asked, groups, "decide", body).status_code == 403
        assert ask(asked, groups, "show", {"case": case}).status_code == 403
    assert ask(asked, "reviewers,personal-data", "show", {"case": case}).status_code == 200
    answer = ask(asked, "reviewers,personal-data", "decide", body)
    assert answer.status_code == 200, answer.text
    (word,) = decisions(asked.plant, "breast-cancer")
    assert word.decision.by == word.entry.actor == "of-reviewers-and-personal-data"
