"""Where data come from and where they went: records, the catalogue, coverage, the graph, and three questions."""

import msgspec
import pytest
from tests.scenarios.stand import MADE_WITH, file_evidence, now, parent, releases

from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.errors import InvalidInput, NotFound, NotVerified
from holdfast.core.evidence import Evidence, Outcome
from holdfast.lifecycle import STAGES
from holdfast.lifecycle.consuming import check_inputs
from holdfast.lifecycle.data_questions import what_differs, which_data, which_pipeline
from holdfast.lifecycle.data_record import OWED, data_show
from holdfast.lifecycle.data_search import data_coverage, data_search
from holdfast.lifecycle.data_versions import data_commit, data_tag
from holdfast.lifecycle.lineage_graph import drawn, lineage
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.row_index import ids_of, indexed
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.versions import version_of
from holdfast.registry import Standing
from holdfast.serve.state import Route


def edit(plant: Plant) -> None:
    """Change one value of the project's source, of a row that the model learned from."""
    path = plant.home.root / "patients.csv"
    lines = path.read_bytes().splitlines(keepends=True)
    learned = {key.encode() for key in ids_of(plant, next(iter(indexed(plant))))["train"]}
    ids = [line.split(b",")[0] for line in lines]
    row = next(n for n, key in enumerate(ids) if key in learned and ids.count(key) == 1 and b'"' not in lines[n])
    cells = lines[row].split(b",")
    cells[lines[0].split(b",").index(b"mean_radius")] = b"12.5"
    path.write_bytes(b"".join([*lines[:row], b",".join(cells), *lines[row + 1 :]]))


def edit_recipe(plant: Plant) -> None:
    """Change the training code, so that the next run reuses the data set and trains anew."""
    recipe = plant.home.root / "train.py"
    recipe.write_text(recipe.read_text(encoding="utf-8") + "\n# once more\n", encoding="utf-8")


def without_origin(plant: Plant, dataset: str) -> None:
    """File newer evidence in which nobody could say where the rows come from."""
    item = Evidence(
        control="ingest.provenance/1",
        subject=dataset,
        kind=Kind.DATASET,
        outcome=Outcome.FAILED,
        made_with=MADE_WITH,
        reason="nobody knows",
    )
    plant.unlock()
    file_evidence(plant, item)


@pytest.mark.requirement("PROV-05")
@pytest.mark.requirement("PROV-10")
def test_a_version_has_a_record_of_where_it_comes_from(plant: Plant) -> None:
    """Origin, licence, source, signature, derivation, custody, history and hashes, each from what was verified."""
    record = data_show(plant).document
    at = version_of(plant, "main").commit
    assert record["lacks"] == []
    assert all(record[each] for each in OWED)
    assert record["origin"].startswith("Wisconsin")
    assert record["hashes"]["dataset"] == at.dataset
    assert record["custody"]["committed by"] == plant.person
    assert record["custody"]["state"] == "readable"
    assert [each["message"] for each in record["history"]] == ["ingested by run"]
    assert {"patient_id", "diagnosis"} <= {each["name"] for each in record["columns"]}


@pytest.mark.requirement("PROV-05", by="holdfast.lifecycle.data_record:check_provenance")
def test_training_refuses_a_data_set_of_which_nobody_can_say_where_it_comes_from(plant: Plant) -> None:
    """The newest word on its provenance is a failure: nothing learns from it, whatever was said before."""
    dataset = version_of(plant, "main").commit.dataset
    without_origin(plant, dataset)
    edit_recipe(plant)
    assert data_show(plant).document["lacks"] == ["origin", "licence", "source", "derivation"]
    # The stage that made the data set runs again, since its evidence failed, and what it says then is good.
    run(plant, until="ingest")
    without_origin(plant, dataset)
    recorded = {each.body["kind"]: each for each in plant.ledger.entries() if each.kind == "artifact.recorded"}
    held = {
        Kind(kind): Artifact(kind=Kind(kind), digest=Digest(entry.stream), size=0) for kind, entry in recorded.items()
    }
    train = next(stage for stage in STAGES if stage.name == "train")
    with pytest.raises(NotVerified, match="no provenance record: origin, licence, source, derivation"):
        check_inputs(plant, train, held)


@pytest.mark.requirement("PROV-06")
def test_coverage_is_the_share_of_what_can_be_vouched_for(plant: Plant) -> None:
    """Everything that a run made is; one data set without an origin is a gap with a name, and the share is lower."""
    whole = data_coverage(plant).document
    assert (whole["share"], whole["gaps"]) == (1.0, [])
    assert {"dataset", "features", "model", "release", "split"} <= {each["kind"] for each in whole["kinds"]}
    dataset = version_of(plant, "main").commit.dataset
    without_origin(plant, dataset)
    partial = data_coverage(plant).document
    assert [each["artifact"] for each in partial["gaps"]] == [dataset]
    assert "origin" in partial["gaps"][0]["lacks"]
    assert partial["verified"] == whole["verified"] - 1
    assert partial["low"] < partial["share"] < 1.0


@pytest.mark.requirement("PROV-10")
def test_data_are_found_by_owner_column_class_tag_and_lineage(plant: Plant) -> None:
    """Each condition narrows, letter case apart; what is found opens its record."""
    first = version_of(plant, "main")
    data_tag(plant, tag="intake-1")
    edit(plant)
    data_commit(plant, message="Corrected by the clinic")
    release = releases(plant)[-1]

    def found(**conditions: str | bool | None) -> set[str]:
        document = data_search(plant, **conditions).document  # type: ignore[arg-type]
        return {each["version"] for each in document["data"]}

    newest = version_of(plant, "main").digest
    assert found() == found(owner="ADA") == found(column="Diagnosis") == {first.digest, newest}
    assert found(tag="intake-1") == found(derives=release[:20]) == {first.digest}
    assert found(text="by the clinic") == {newest}
    assert found(derives=version_of(plant, "main").commit.source[:20]) == {newest}
    assert found(sensitivity="personal") == {first.digest, newest}
    assert found(column="shoe_size") == found(owner="nobody") == found(derives="sha256:ffff") == set()
    data_commit(plant, message="Back", version="intake-1")
    assert newest in found(versions=True)
    assert newest not in found()
    with pytest.raises(InvalidInput, match="the class 'secret-ish'"):
        data_search(plant, sensitivity="secret-ish")


@pytest.mark.requirement("PROV-04")
def test_the_graph_is_walked_both_ways(producing: Plant) -> None:
    """From the source to everything made of it, from the release back to the source, with runs and deployments."""
    release = now(producing).baseline
    model = parent(producing, release, Kind.MODEL)
    dataset = parent(producing, parent(producing, model, Kind.FEATURES), Kind.DATASET)
    source = parent(producing, dataset, Kind.SOURCE)
    up = {each["digest"]: each for each in lineage(producing, what=release).document["nodes"]}
    assert {source, dataset, model} < set(up)
    assert up[source]["step"] < up[dataset]["step"] < up[model]["step"] < 0 == up[release]["step"]
    assert up[dataset]["made_by"].startswith("ingest ")
    assert any("since" in note for note in up[release]["notes"])
    down = lineage(producing, what=source).document
    assert {each["digest"] for each in down["nodes"] if each["kind"] == "release"} == set(releases(producing))
    assert {"from": source, "to": dataset} in down["edges"]
    gone = next(each for each in down["nodes"] if each["digest"] == releases(producing)[0])
    assert any(" to " in note for note in gone["notes"])
    with pytest.raises(NotFound, match="0 artifacts"):
        lineage(producing, what="ffffffff")


@pytest.mark.requirement("PROV-04")
def test_an_answer_leads_back_to_its_release(producing: Plant) -> None:
    """By correlation id and moment: the release whose routing stood then, and nothing before there was one."""
    entries = [each for each in producing.ledger.entries() if each.kind == "endpoint.routed"]
    first = lineage(producing, what="req-1", at=entries[0].time)
    assert first.document["start"] == releases(producing)[0]
    assert "The call req-1 was answered by" in first.says
    assert lineage(producing, what="req-1", at="2100-01-01T00:00:00Z").document["start"] == now(producing).baseline
    with pytest.raises(NotFound, match="nothing answered"):
        lineage(producing, what="req-1", at="2000-01-01")
    with pytest.raises(InvalidInput, match="no moment"):
        lineage(producing, what="req-1", at="yesterday")
    with pytest.raises(InvalidInput, match="no correlation id"):
        lineage(producing, what="a b", at="2100-01-01")


class _Named(msgspec.Struct):
    digest: str


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_release_of_a_call_is_drawn_as_the_gateway_draws_it(share: float) -> None:
    """For the same salt, name and correlation id both give the same side, for calls of either."""
    salt = "5a" * 16
    stood = Standing(baseline="sha256:b", candidate="sha256:c", share=share, salt=salt)
    route = Route(name="m", baseline=_Named("sha256:b"), candidate=_Named("sha256:c"), share=share, salt=salt)  # type: ignore[arg-type]
    ids = [f"call-{number}" for number in range(300)]
    assert [drawn(stood, "m", each) for each in ids] == [route.choose(each).digest for each in ids]


@pytest.mark.requirement("PROV-03")
def test_three_questions_have_three_answers(producing: Plant) -> None:
    """Which data made it, which pipeline transformed these, and what differs from the last that worked."""
    older, newer = releases(producing)
    at = version_of(producing, "main")
    data = which_data(producing)
    assert data.document["release"] == newer
    assert [each["version"] for each in data.document["versions"]] == [at.digest]
    assert at.short in data.says
    assert "Wisconsin" in data.says
    pipeline = which_pipeline(producing, release=older).document
    assert [each["stage"] for each in pipeline["steps"]] == ["ingest", "features", "train"]
    assert all(each["run"] and each["code"] and each["by"] == producing.person for each in pipeline["steps"])
    assert {"null-literal/1", "timestamp/1"} <= {each["rule"] for each in pipeline["changes"]}
    difference = what_differs(producing)
    assert (difference.document["before"], difference.document["after"]) == (older, newer)
    assert {"train.seed"} <= {each["path"] for each in difference.document["differences"]}
    assert "the same rows" in difference.says
    with pytest.raises(NotFound, match="no other release answered before"):
        what_differs(producing, release=older)


@pytest.mark.requirement("PROV-03")
def test_other_rows_show_in_what_differs(plant: Plant) -> None:
    """A value of one row changed between the model that worked and the one that does not: it is counted."""
    good = releases(plant)[-1]
    edit(plant)
    run(plant)
    told = what_differs(plant, release=releases(plant)[-1], good=good).document["data"]
    assert "1 changed in 1 cell" in told
