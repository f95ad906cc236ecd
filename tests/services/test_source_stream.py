"""Events out of a real JetStream server: no loss and no double count through kills, restarts, repeats and late ones."""

import asyncio
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Effort, absent
from tests.scenarios.sources import declare, made, rows_of
from tests.services.killing import pulled, pulled_through_kills

from holdfast import app
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.pulling import pull
from holdfast.lifecycle.source_state import state_of

nats = pytest.importorskip("nats")
pytestmark = pytest.mark.services
READY_S = 30.0
NOW = datetime.now(UTC)


@dataclass
class Broker:
    """A server that can be stopped and started again over the same files."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        program = shutil.which("nats-server")
        if program is None:
            absent("nats-server", "`make services` installs it")
        arguments = ["-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(self.folder)]
        self.process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + READY_S
        while time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)

    def stop(self) -> None:
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def use(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do something with it."""

        async def connected() -> Any:
            client = await nats.connect(self.url)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(connected())

    def publish(self, *events: Any, subject: str = "till.4") -> None:
        """Publish events, as JSON where they are no bytes."""

        async def work(context: Any) -> None:
            for event in events:
                await context.publish(subject, event if isinstance(event, bytes) else json.dumps(event).encode())

        self.use(work)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    """A server of this test's own, with a stream."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    broker = Broker(tmp_path / "nats", port)
    broker.start()

    async def work(context: Any) -> None:
        await context.add_stream(name="tills", subjects=["till.*"])

    broker.use(work)
    yield broker
    broker.stop()


def source(broker: Broker, *lines: str, **more: Any) -> str:
    """The declaration of a source of the stream."""
    said = {"url": broker.url, "stream": "tills", "events_per_batch": 10, "event_time": "at"} | more
    place = ", ".join(f"{name} = {json.dumps(value)}" for name, value in said.items())
    text = f'[sources.a]\nkind = "stream"\nidentity = "tills"\nkey = ["id"]\nstream = {{ {place} }}\n'
    return text + "\n".join(lines)


def event(number: int, minutes: float = 0.0, label: str = "no") -> dict[str, Any]:
    """An event that happened so many minutes ago."""
    at = (NOW - timedelta(minutes=minutes)).isoformat()
    return {"id": f"e{number:05d}", "x": number, "label": label, "at": at, "secret": "s"}


@pytest.fixture
def plant(unlocking: Path, tmp_path: Path, broker: Broker) -> Iterator[Plant]:
    """A workspace whose rows come from the stream."""
    with app.open_plant(made(tmp_path / "project", source(broker))) as opened:
        yield opened


def ids(plant: Plant) -> list[str]:
    """The ids that a run would take in."""
    return [row["id"] for row in rows_of(plant)]


def names(count: int) -> list[str]:
    """The ids of the first events."""
    return [f"e{number:05d}" for number in range(count)]


@pytest.mark.requirement("DATA-04")
def test_a_stream_is_read_from_where_it_was_left(plant: Plant, broker: Broker) -> None:
    """All at first, then what came since, through a restart of the broker; nothing where nothing came."""
    broker.publish(*(event(number) for number in range(25)))
    assert pull(plant).document["sources"][0]["rows"] == 25
    assert pull(plant).document["sources"][0]["rows"] == 0
    broker.stop()
    assert pull(plant).exit_code == 1
    broker.start()
    broker.publish(*(event(number) for number in range(25, 40)))
    assert pull(plant).document["sources"][0]["rows"] == 15
    assert ids(plant) == names(40)
    assert set(rows_of(plant)[0]) == {"id", "x", "label", "_source"}


@pytest.mark.requirement("DATA-04")
def test_an_event_that_is_delivered_or_published_again_counts_once(plant: Plant, broker: Broker) -> None:
    """The same event again is known by what it says; a newer version of it takes its place."""
    broker.publish(*(event(number) for number in range(12)))
    pull(plant)
    broker.publish(event(3), event(3), event(4, label="yes"))
    done = pull(plant).document["sources"][0]
    assert (done["rows"], done["repeated"]) == (1, 2)
    rows = {row["id"]: row["label"] for row in rows_of(plant)}
    assert list(rows) == names(12)
    assert rows["e00004"] == "yes"


@pytest.mark.requirement("DATA-04")
def test_late_events_are_counted_and_kept_apart(plant: Plant, broker: Broker) -> None:
    """Behind the newest by more than declared; they go on with the others, or not, as the project says."""
    declare(plant.home.root, source(broker, lateness="10m", late="apart"))
    broker.publish(event(0, 30), event(1, 5), event(2, 14), event(3, 16), event(4, 40), event(5, 0))
    pull(plant)
    (arrival,) = state_of(plant, "a").arrivals
    assert (arrival.rows, arrival.body["late_rows"]) == (4, 2)
    assert ids(plant) == ["e00000", "e00001", "e00002", "e00005"]
    declare(plant.home.root, source(broker, lateness="10m", late="with"))
    assert ids(plant) == names(6)


@pytest.mark.requirement("DATA-04")
def test_what_is_no_event_is_set_aside_with_its_reason_and_stops_nothing(plant: Plant, broker: Broker) -> None:
    """No JSON, no object, no key, a time that is none or lies ahead; the others go on."""
    ahead = event(9, -60 * 24)
    broker.publish(event(0), b"{", b"[]", {"x": 1}, event(1) | {"at": "soon"}, ahead, b"\xff", event(2))
    pull(plant)
    (arrival,) = state_of(plant, "a").arrivals
    assert (arrival.rows, arrival.unreadable) == (2, 6)
    aside = plant.blobs.get(arrival.body["aside"]).decode()
    assert "event 2: not JSON" in aside
    assert "its time lies after its arrival" in aside
    assert ids(plant) == ["e00000", "e00002"]


@pytest.mark.requirement("DATA-04")
def test_events_that_the_stream_dropped_before_they_were_read_are_told(plant: Plant, broker: Broker) -> None:
    """A gap is on record; and another stream under the same name is not taken for this one."""
    broker.publish(*(event(number) for number in range(10)))
    pull(plant)
    broker.publish(*(event(number) for number in range(10, 20)))

    async def purge(context: Any) -> None:
        await context.purge_stream("tills", seq=16)

    broker.use(purge)
    reply = pull(plant)
    assert "events 11 to 15 were dropped" in reply.document["sources"][0]["words"]
    assert state_of(plant, "a").missing
    assert ids(plant) == [*names(10), *(f"e{number:05d}" for number in range(15, 20))]

    async def again(context: Any) -> None:
        await context.delete_stream("tills")
        await context.add_stream(name="tills", subjects=["till.*"])

    broker.use(again)
    broker.publish(event(99))
    assert "another stream" in pull(plant).document["sources"][0]["words"]


def test_only_the_declared_subjects_are_read(plant: Plant, broker: Broker) -> None:
    """Events of other subjects between them and behind them are passed over."""
    declare(plant.home.root, source(broker, subject="till.4"))
    for number in range(6):
        broker.publish(event(number), subject=f"till.{4 + number % 2}")
    pull(plant)
    assert ids(plant) == ["e00000", "e00002", "e00004"]


@pytest.mark.guarantee("G84")
@pytest.mark.requirement("DATA-04")
def test_nothing_is_lost_or_counted_twice_through_kills(
    unlocking: Path, tmp_path: Path, broker: Broker, effort: Effort
) -> None:
    """Killed at random moments while events come, some of them twice: each is there, once."""
    folder = made(tmp_path / "killed", source(broker, events_per_batch=5))
    count = effort(ci=400, record=4000)
    broker.publish(*(event(number) for number in range(count)), *(event(number) for number in range(0, count, 7)))
    hit = pulled_through_kills(folder, kills=effort(ci=5, record=60), seed=23, longest_s=4.0)
    broker.publish(*(event(number) for number in range(count, count + 20)))
    pulled(folder)
    with app.open_plant(folder) as plant:
        arrivals = state_of(plant, "a").arrivals
        assert ids(plant) == names(count + 20)
        assert (
            sum(each.rows for each in arrivals) + sum(each.body.get("late_rows", 0) for each in arrivals) == count + 20
        )
    assert hit > 0
