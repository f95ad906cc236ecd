"""One scrape of a gateway of several processes tells of all of them, exactly, whoever is killed meanwhile."""

import http.client
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.scenarios.test_gateway_process import Process, eventually

from holdfast.core.conventions import METRICS
from holdfast.core.errors import Refused
from holdfast.testing.world import MODEL

WRONG_KEY = "hf_" + "B" * 43
SAMPLE = re.compile(r"(?P<name>[a-z_]+)(?:\{(?P<labels>[^}]*)\})? (?P<value>\S+)")
COUNTED = tuple(each.name for each in METRICS if each.kind != "gauge")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Process]:
    """A gateway of two workers."""
    process = Process(tmp_path, workers=2)
    try:
        yield process.ready()
    finally:
        process.end()


def asked(gateway: Process, path: str = "/metrics") -> tuple[int, str]:
    """The status and the text that one worker answers a GET with."""
    connection = http.client.HTTPConnection(*gateway.address, timeout=30)
    with closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode()


def scraped(gateway: Process, path: str = "/metrics") -> dict[str, float]:
    """Every sample by name and labels, asked for on a connection of its own: whichever worker it meets."""
    status, text = asked(gateway, path)
    assert status == 200
    found = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match is not None, line
            found[f"{match['name']}{{{match['labels'] or ''}}}"] = float(match["value"])
    return found


def of(found: dict[str, float], family: str, part: str = "") -> float:
    """The sum of a family's samples that have something in their labels."""
    return sum(value for name, value in found.items() if name.startswith(family + "{") and part in name)


def workers(gateway: Process) -> set[int]:
    """The processes that answer: those that listen at the port, as the kernel says."""
    children = Path(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read_text().split()
    return {int(pid) for pid in children}


class Calling:
    """Calls on connections of their own, and what must have been counted of them."""

    def __init__(self, gateway: Process) -> None:
        self.gateway, self.good, self.refused, self.before = gateway, 0, 0, dict[str, float]()

    def call(self, good: int, refused: int) -> None:
        """Make calls, each of them once."""
        for _ in range(good):
            self.gateway.infer()
            self.good += 1
        for _ in range(refused):
            with pytest.raises(Refused):
                self.gateway.infer(key=WRONG_KEY)
            self.refused += 1

    def check(self) -> dict[str, float]:
        """Whoever answers, the scrape is exact, and no counter is below what it was."""
        found = dict[str, float]()
        for _ in range(6):
            found = scraped(self.gateway)
            assert of(found, "holdfast_responses_total", f'model="{MODEL}",code="200"') == self.good
            assert of(found, "holdfast_refusals_total", 'guard="authenticated"') == self.refused
            assert of(found, "holdfast_requests_total") == self.good
            assert of(found, "holdfast_rows_total") == self.good
            assert of(found, "holdfast_request_seconds_count") == self.good
            assert of(found, "holdfast_request_seconds_bucket", 'le="+Inf"') == self.good
            fell = {
                name: (self.before[name], found.get(name))
                for name in self.before
                if name.startswith(COUNTED) and found.get(name, -1.0) < self.before[name]
            }
            assert not fell
            self.before = found
        return found


@pytest.mark.requirement("MON-04", by="holdfast.serve.columns:Columns")
@pytest.mark.requirement("MON-10", by="holdfast.serve.metrics:render")
def test_a_scrape_of_two_processes_is_exact_also_after_one_is_killed(gateway: Process) -> None:
    """Counts of both are told by either; the one that takes the dead one's place counts on where it stopped."""
    calling = Calling(gateway)
    calling.call(0, 1)
    while not min(answered(gateway)):  # the kernel spreads the connections
        calling.call(1, 0)
    calling.check()
    assert of(scraped(gateway), "holdfast_ready_workers") == 2
    parts = answered(gateway)
    assert sum(parts) == calling.good
    before = workers(gateway)
    os.kill(listening(gateway)[0], signal.SIGKILL)
    calling.check()
    eventually(lambda: of(scraped(gateway), "holdfast_ready_workers") == 1 or len(workers(gateway) - before) > 0)
    calling.check()
    eventually(lambda: workers(gateway) - before and of(scraped(gateway), "holdfast_ready_workers") == 2)
    calling.check()
    calling.call(5, 2)
    found = calling.check()
    assert of(found, "holdfast_loads_total") == 3  # of both, and of the successor
    assert of(found, "holdfast_unplaced_series_total") == 0
    assert all(now >= then for now, then in zip(answered(gateway), parts, strict=True))


def answered(gateway: Process) -> list[float]:
    """The calls that each worker has answered, by its number."""
    every = (scraped(gateway, f"/metrics?worker={number}") for number in range(2))
    return [of(found, "holdfast_requests_total") for found in every]


def listening(gateway: Process) -> list[int]:
    """The workers' process ids, by what each says it has loaded, in order of their numbers."""
    documents = [json.loads(path.read_text()) for path in sorted(gateway.folder.glob("home/loaded-*.json"))]
    return [document["pid"] for document in sorted(documents, key=lambda each: each["worker"])]


def test_there_is_no_view_of_a_worker_that_there_is_not(gateway: Process) -> None:
    """What is asked for in vain is a 404; what no view is named by is not looked at."""
    assert asked(gateway, "/metrics?worker=9")[0] == 404
    assert asked(gateway, "/metrics?worker=-1")[0] == 200
    seen = Counter(line.split("{")[0].split(" ")[0] for line in asked(gateway)[1].splitlines() if line[0] != "#")
    assert seen["holdfast_ready"] == 1
