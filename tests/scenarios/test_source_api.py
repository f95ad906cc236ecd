"""An API that throttles, fails, is cut off, repeats pages and leads astray: every record once, the limit kept."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.conftest import ROOT, Effort
from tests.scenarios.sources import declare, made, rows_of

from holdfast import app
from holdfast.adapters.source_api import ApiSource, _linked, _retry_after
from holdfast.adapters.throttle import Throttle
from holdfast.core.errors import Refused
from holdfast.core.ports import Asking
from holdfast.core.sources import ApiPlace, Limit
from holdfast.lifecycle import secrets
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.pulling import pull

RECORDS: Final = 60
PAGE: Final = 5


@dataclass
class Api:
    """A server with its own count of requests, and its own moods."""

    limit: Limit = field(default_factory=lambda: Limit(requests=1000, per_s=1.0))
    moods: list[str] = field(default_factory=list)  # taken one by one by the next requests
    chance: float = 0.0  # of any other mood
    records: int = RECORDS
    arrivals: list[float] = field(default_factory=list)
    exceeded: int = 0
    seen: list[dict[str, str]] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    rng: random.Random = field(default_factory=lambda: random.Random(3))  # noqa: S311 - moods, no secrets
    url: str = ""

    def mood(self) -> str:
        """Count a request, hold it against the limit, and say how it is answered."""
        with self.lock:
            now = time.time()
            self.arrivals.append(now)
            recent = [each for each in self.arrivals if each > now - self.limit.per_s]
            if len(recent) > self.limit.requests:
                self.exceeded += 1
                return "429"
            if self.moods:
                return self.moods.pop(0)
            moods = ["500", "503", "429", "cut", "reset", "repeat", "truncated"]
            return self.rng.choice(moods) if self.rng.random() < self.chance else "good"


class Handler(BaseHTTPRequestHandler):
    """Answers pages of records."""

    api: Api
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer, or fail in one of many ways."""
        api, mood = self.api, self.api.mood()
        api.seen.append({name.lower(): value for name, value in self.headers.items()})
        query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
        number = int(query.get("page", query.get("cursor", "1")))
        if mood.startswith(("4", "5")):
            headers = {"429": "0", "503": formatdate(time.time() + 1, usegmt=True)}
            self.answer(b"{}", int(mood[:3]), {"Retry-After": headers[mood]} if mood in headers else {})
            return
        if mood == "reset":
            self.close_connection = True
            self.connection.close()
            return
        if mood == "repeat" and number > 1:
            number -= 1
        body = self.page(number)
        headers = {}
        if mood == "astray":
            body = json.dumps({"data": [], "next": "http://localhost:1/steal"}).encode()
        if mood == "redirect":
            self.answer(b"", 302, {"Location": "http://localhost:1/steal"})
            return
        if mood == "truncated":
            self.answer(body[: len(body) // 2], 200, headers)  # whole to HTTP, and no JSON
            return
        self.answer(body, 200, headers, cut=mood == "cut")

    def page(self, number: int) -> bytes:
        """A page of records, the link and the cursor of the next."""
        first, last = (number - 1) * PAGE, min(number * PAGE, self.api.records)
        data = [{"id": f"k{each:03d}", "x": each + 0.10, "label": "no", "secret": "s"} for each in range(first, last)]
        more = last < self.api.records
        said: dict[str, Any] = {"data": data, "meta": {"cursor": str(number + 1) if more else None}}
        said["next"] = f"/rows?page={number + 1}" if more else None
        return json.dumps(said).encode()

    def answer(self, body: bytes, status: int, headers: dict[str, str], *, cut: bool = False) -> None:
        """Send an answer, or the first half of it."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()


@pytest.fixture
def api() -> Iterator[Api]:
    """A server of this test's own."""
    api = Api()
    handler = type("Bound", (Handler,), {"api": api})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield api
    server.shutdown()
    server.server_close()
    thread.join()


def source(api: Api, paging: str = "page", **more: Any) -> str:
    """The declaration of a source of it."""
    by = {
        "page": {"parameter": "page"},
        "cursor": {"parameter": "cursor", "next": "meta.cursor"},
        "link": {"next": "next"},
    }
    said = {"url": f"{api.url}/rows", "paging": paging, "records": "data", "tries": 20} | by.get(paging, {}) | more
    place = ", ".join(f"{name} = {json.dumps(value)}" for name, value in said.items())
    limit = f"limit = {{ requests = {api.limit.requests}, per_s = {api.limit.per_s} }}"
    return (
        '[sources.a]\nkind = "api"\nidentity = "web shop"\nkey = ["id"]\ncredential = "token"\n'
        f"api = {{ {place}, {limit} }}\n"
    )


@pytest.fixture
def plant(unlocking: Path, tmp_path: Path, api: Api, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    """A workspace whose rows come from it; waits without Retry-After are short."""
    monkeypatch.setattr("holdfast.adapters.source_api.BASE_S", 0.001)
    with app.open_plant(granted(tmp_path / "project", source(api))) as opened:
        yield opened


def granted(folder: Path, declared: str) -> Path:
    """A workspace whose source has its credential."""
    made(folder, declared)
    with app.open_plant(folder) as plant:
        plant.unlock()
        secrets.put_value(plant, name="token", value=b"correct-horse\n")
        secrets.grant(plant, name="token", to="source:a")
    return folder


def whole(plant: Plant, count: int = RECORDS) -> bool:
    """Whether every record is there once, its number as it was written."""
    rows = rows_of(plant)
    return [(row["id"], row["x"]) for row in rows] == [(f"k{n:03d}", str(n + 0.10)) for n in range(count)]


@pytest.mark.requirement("DATA-03")
@pytest.mark.parametrize("paging", ["page", "cursor", "link"])
def test_every_record_arrives_once_whatever_the_server_does(plant: Plant, api: Api, paging: str) -> None:
    """It throttles, fails, is cut off, answers half a document and repeats pages: each record is there, once."""
    api.chance = 0.4
    api.moods = ["429", "503", "500", "cut", "reset"]
    declare(plant.home.root, source(api, paging))
    for _ in range(10):
        if pull(plant).exit_code == 0:
            break
    api.chance = 0.0
    assert pull(plant).exit_code == 0
    assert whole(plant)


@pytest.mark.requirement("DATA-03")
def test_records_that_come_again_count_once_and_new_ones_are_added(plant: Plant, api: Api) -> None:
    """The second pull reads all pages again, and keeps what is new."""
    pull(plant)
    api.records = RECORDS + 3
    again = pull(plant).document["sources"][0]
    assert (again["rows"], again["repeated"]) == (3, RECORDS)
    assert whole(plant, RECORDS + 3)
    assert set(rows_of(plant)[0]) == {"id", "x", "label", "_source"}


@pytest.mark.requirement("DATA-03")
def test_the_declared_limit_is_never_exceeded_through_kills(
    unlocking: Path, tmp_path: Path, api: Api, effort: Effort
) -> None:
    """By the server's own clock and count, with processes killed at random moments in between."""
    api.limit, api.chance = Limit(requests=4, per_s=0.5), 0.2
    folder = granted(tmp_path / "killed", source(api))
    command = [sys.executable, "-m", "tests.services.source_work", str(folder)]
    rng, hit = random.Random(7), 0  # noqa: S311 - moments, no secrets
    for _ in range(effort(ci=4, record=40)):
        process = subprocess.Popen(command, cwd=ROOT, env=dict(os.environ), stdout=subprocess.DEVNULL)
        try:
            process.wait(timeout=rng.uniform(1.5, 5.0))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            hit += 1
    api.chance = 0.0
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    with app.open_plant(folder) as plant:
        assert whole(plant)
    assert hit > 0
    assert len(api.arrivals) > RECORDS // PAGE
    assert api.exceeded == 0


@pytest.mark.requirement("DATA-03")
def test_a_server_that_wants_to_be_left_alone_is(plant: Plant, api: Api) -> None:
    """Retry-After in seconds and as a date is waited for; one beyond the declared patience ends the pull."""
    api.moods = ["503"]
    begun = time.monotonic()
    assert pull(plant).exit_code == 0
    assert time.monotonic() - begun > 0.0
    declare(plant.home.root, source(api, patience_s=0.0001))
    api.moods = ["503"]
    reply = pull(plant)
    assert reply.exit_code == 1
    assert "wants to be left alone" in reply.document["sources"][0]["words"]


def test_retry_after_is_read_in_both_forms() -> None:
    """Seconds, and a date of HTTP; what is neither is no word at all."""
    assert _retry_after("7") == 7.0
    assert 55 < (_retry_after(formatdate(time.time() + 60, usegmt=True)) or 0) <= 60
    assert _retry_after("Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    assert _retry_after("soon") is None


def test_a_link_header_names_the_next_page() -> None:
    """RFC 8288: one of several links, with parameters in any order."""
    header = '</rows?page=1>; rel="prev", </rows?page=3>; title="x"; rel="next"'
    assert _linked(header) == "/rows?page=3"
    assert _linked('</rows?page=1>; rel="prev"') == ""


@pytest.mark.parametrize("mood", ["astray", "redirect"])
def test_the_credential_goes_to_no_other_host(plant: Plant, api: Api, mood: str) -> None:
    """Neither a next link nor a redirection leads elsewhere; and it is in a header, never in an address."""
    declare(plant.home.root, source(api, "link"))
    api.moods = [mood] if mood == "redirect" else ["good", "good"]
    if mood == "astray":
        api.moods = ["astray"]
    reply = pull(plant)
    assert "leads to localhost" in reply.document["sources"][0]["words"]
    assert all(each["authorization"] == "Bearer correct-horse" for each in api.seen)


def test_a_wrong_credential_is_told_and_nothing_is_tried_again(plant: Plant, api: Api) -> None:
    """401 and 403 are answers, not accidents; the credential is in no message."""
    api.moods = ["401"]
    reply = pull(plant)
    assert "the credential is not accepted" in reply.document["sources"][0]["words"]
    assert "correct-horse" not in json.dumps(reply.document)
    assert len(api.arrivals) == 1


@pytest.mark.parametrize(
    ("address", "private", "refused"),
    [("10.1.2.3", False, True), ("10.1.2.3", True, False), ("169.254.169.254", True, True), ("127.0.0.1", True, True)],
)
def test_an_address_of_a_private_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, private: bool, refused: bool
) -> None:
    """Whatever a name server says: the address that is judged is the one that is spoken to."""
    found = [(0, 0, 0, "", (address, 443))]
    monkeypatch.setattr("holdfast.adapters.source_api.socket.getaddrinfo", lambda *_, **__: found)
    place = ApiPlace(url="https://example.org/rows", limit=Limit(requests=1), private=private)
    asking = Asking(name="a", columns=(), root=tmp_path, state=tmp_path)
    asked = ApiSource(place=place, asking=asking)
    if refused:
        with pytest.raises(Refused, match="private network"):
            asked._resolved("example.org", 443)
    else:
        assert asked._resolved("example.org", 443) == address


@pytest.mark.requirement("DATA-03")
def test_the_throttle_remembers_what_a_dead_process_has_sent(tmp_path: Path) -> None:
    """Of a request without an answer nothing is known, so that it counts from when the next process looks."""
    now, slept = [100.0], list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += seconds

    def throttle() -> Throttle:
        return Throttle(limit=Limit(requests=2, per_s=10.0), file=tmp_path / "r.json", now=lambda: now[0], sleep=sleep)

    first = throttle()
    first.wait()
    first.answered()
    now[0] = 103.0
    first.wait()  # and it dies
    now[0] = 105.0
    second = throttle()
    second.wait()
    assert slept == [pytest.approx(5.002)]  # 100 and its ten seconds
    second.answered()
    second.wait()
    assert now[0] == pytest.approx(115.002)  # the unanswered one counts from 105
    (tmp_path / "r.json").write_text("{", encoding="utf-8")
    third = throttle()
    third.wait()
    assert now[0] > 125.0  # what was sent cannot be told, so all of it may have been
