"""OpenLineage: every stage that ran is told with the facets of the standard, to a file or an endpoint; no row is."""

import json
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from holdfast.core.errors import InvalidInput, InvalidRecipe, Unavailable
from holdfast.lifecycle.openlineage import TOLD, data_events, events_of
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Progress
from holdfast.lifecycle.runner import run
from holdfast.lifecycle.versions import version_of

REQUIRED = {"eventTime", "eventType", "run", "job", "producer", "schemaURL", "inputs", "outputs"}


@contextmanager
def endpoint(status: int = 201) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server on this machine that takes events."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.headers["content-type"] == "application/json"
            taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/api/v1/lineage", taken
    finally:
        server.shutdown()
        server.server_close()


def facets(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every facet of an event."""
    for holder in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for name in ("facets", "inputFacets", "outputFacets"):
            yield from holder.get(name, {}).values()


@pytest.mark.requirement("PROV-04")
def test_each_stage_is_told_as_the_standard_says(plant: Plant) -> None:
    """START and COMPLETE of one run id, jobs and data sets by name and digest, each facet with producer and schema."""
    events = list(events_of(plant))
    runs: dict[str, list[str]] = {}
    for event in events:
        assert set(event) == REQUIRED
        assert str(uuid.UUID(event["run"]["runId"])) == event["run"]["runId"]
        runs.setdefault(event["run"]["runId"], []).append(event["eventType"])
        for facet in facets(event):
            assert facet["_producer"].startswith("https://")
            assert facet["_schemaURL"].startswith("https://openlineage.io/spec/facets/")
        for dataset in (*event["inputs"], *event["outputs"]):
            assert {"namespace", "name"} <= set(dataset)
    assert set(map(tuple, runs.values())) == {("START", "COMPLETE")}
    assert list(events_of(plant)) == events
    ingest = next(e for e in events if e["job"]["name"].endswith(".ingest") and e["eventType"] == "COMPLETE")
    made = next(each for each in ingest["outputs"] if each["name"].endswith("/dataset"))
    at = version_of(plant, "main").commit
    assert made["facets"]["version"]["datasetVersion"] == at.dataset
    assert made["outputFacets"]["outputStatistics"]["rowCount"] == at.rows
    assert {"diagnosis", "mean_radius"} <= {each["name"] for each in made["facets"]["schema"]["fields"]}
    came = made["facets"]["columnLineage"]["fields"]["mean_radius"]["inputFields"]
    assert [(each["name"].rpartition("/")[2], each["field"]) for each in came] == [("source", "mean_radius")]
    features = next(e for e in events if e["job"]["name"].endswith(".features") and e["eventType"] == "START")
    read = next(each for each in features["inputs"] if each["name"].endswith("/dataset"))
    assert read["inputFacets"]["dataQualityMetrics"]["rowCount"] == at.rows
    assert read["facets"]["ownership"]["owners"][0]["type"] == "OWNER"


def test_events_are_written_or_sent_and_each_telling_is_on_record(plant: Plant, tmp_path: Path) -> None:
    """To a file, to an endpoint, from a position on; no id of a row is told."""
    out = tmp_path / "events.jsonl"
    told = data_events(plant, out=out).document
    lines = out.read_text(encoding="utf-8").splitlines()
    assert len(lines) == told["events"] > 10
    assert "wdbc-" not in out.read_text(encoding="utf-8")
    with endpoint() as (url, taken):
        data_events(plant, url=url)
        assert taken == [json.loads(line) for line in lines]
        assert data_events(plant, url=url).document["events"] == 0, "it has them all"
        assert data_events(plant, url=url, since=0).document["events"] == len(lines)
    told_of = [entry.body["events"] for entry in plant.ledger.stream("lineage") if entry.kind == TOLD]
    assert told_of == [len(lines), 0, len(lines)]


@pytest.mark.requirement("PROV-04", by="holdfast.lifecycle.openlineage:tell_run")
def test_a_catalogue_is_told_of_every_run_by_itself(plant: Plant, tmp_path: Path) -> None:
    """All of a run, failed or not, and nothing twice; what was refused comes with the next run, and stops none."""
    said: list[Progress] = []
    plant = replace(plant, tell=said.append)
    with endpoint(status=503) as (url, taken):
        run(replace(plant, lineage_url=url))
        assert len(taken) == 1
    assert [each.state for each in said if each.stage == "lineage"] == ["failed"]
    with endpoint() as (url, taken):
        told = replace(plant, lineage_url=url)
        run(told)
        before = len(taken)
        assert before == len(list(events_of(plant))) > 10
        run(told)
        assert len(taken) == before, "a run that reuses all has nothing to tell"
        recipe = plant.home.root / "train.py"
        recipe.write_text(recipe.read_text(encoding="utf-8") + "\nraise SystemExit(3)\n", encoding="utf-8")
        with pytest.raises(InvalidRecipe):
            run(told)
        assert [each["eventType"] for each in taken[before:]][-1] == "FAIL"


@pytest.mark.parametrize("url", ["http://lineage.example.org/api", "https://ada:open-sesame@lineage.example.org/api"])
def test_an_address_that_is_not_safe_is_told_nothing_and_stands_on_no_record(plant: Plant, url: str) -> None:
    """Others could listen, or it carries a password, which no record may hold; no run fails with it."""
    said: list[Progress] = []
    run(replace(plant, tell=said.append, lineage_url=url))
    (words,) = [each.words for each in said if each.stage == "lineage"]
    assert "tells its events again" in words
    with pytest.raises(InvalidInput) as refused:
        data_events(plant, url=url)
    assert not plant.ledger.stream("lineage")
    for told in (words, str(refused.value), *(str(entry.body) for entry in plant.ledger.entries())):
        assert "open-sesame" not in told


def test_what_cannot_be_told_is_said(plant: Plant, tmp_path: Path) -> None:
    """Nowhere to write, a file that is there, an endpoint that refuses, an address that others can listen to."""
    with pytest.raises(InvalidInput, match="nowhere"):
        data_events(plant)
    (tmp_path / "there").touch()
    with pytest.raises(InvalidInput, match="something already"):
        data_events(plant, out=tmp_path / "there")
    with endpoint(status=500) as (url, taken), pytest.raises(Unavailable, match="answered 500 to event 0"):
        data_events(plant, url=url)
    assert len(taken) == 1
    with pytest.raises(InvalidInput):
        data_events(plant, url="http://lineage.example.org/api")
