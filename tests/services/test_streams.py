"""Streams against a real NATS server: each event once, in the order of its key, through crashes and takeovers."""

import asyncio
import json
import random
import shutil
import socket
import subprocess
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import absent
from tests.scenarios.disk_world import DiskWorld
from tests.scenarios.shop import new_shop
from tests.scenarios.stand import Gateway

from holdfast.adapters import jetstream
from holdfast.adapters.jetstream import JetStreamBus, StreamPlace, check_place
from holdfast.core.errors import Conflict, InvalidInput, NotFound, Refused, Unavailable
from holdfast.core.streaming import Event, Outrun
from holdfast.edge import config_of
from holdfast.edge.stream import run
from holdfast.lifecycle.online_features import materialise
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.runner import run as train
from holdfast.serve import HttpRequest
from holdfast.testing.world import API_KEY

nats = pytest.importorskip("nats")
pytestmark = pytest.mark.services
READY_S = 30.0
KEYS = ("a", "b", "c", "d")


class Crash(BaseException):
    """The process ends here."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A NATS server with JetStream of its own."""
    program = shutil.which("nats-server")
    if program is None:
        absent("nats-server", "`make services` installs it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("nats")
    arguments = ["-a", "127.0.0.1", "-p", str(port), "-js", "-sd", str(folder)]
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    yield f"nats://127.0.0.1:{port}"
    process.terminate()
    process.wait()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> DiskWorld:
    """A small world with one release."""
    return DiskWorld(tmp_path_factory.mktemp("streams") / "world")


@dataclass(frozen=True)
class Stage:
    """Streams of one test's own."""

    world: DiskWorld
    place: StreamPlace

    def use(self, work: Callable[[Any], Awaitable[Any]]) -> Any:
        """Do something with the server."""

        async def connected() -> Any:
            client = await nats.connect(self.place.url)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(connected())

    def publish(self, events: list[tuple[str, bytes]]) -> None:
        """Events by key."""

        async def work(context: Any) -> None:
            for number, (key, body) in enumerate(events):
                headers = {"Nats-Msg-Id": f"event-{number}"}
                await context.publish(f"{self.place.stream}.{key}", body, headers=headers)

        self.use(work)

    def told(self, subject: str) -> list[tuple[str, int, dict[str, str], bytes]]:
        """All that lies below a subject: key, number of the event, headers, body, in the order of storing."""

        async def work(context: Any) -> list[Any]:
            stream = await context.find_stream_name_by_subject(f"{subject}.x")
            info = await context.stream_info(stream)
            found = [await context.get_msg(stream, seq) for seq in range(1, info.state.last_seq + 1)]
            wanted = [each for each in found if each.subject.startswith(subject)]
            return [
                (each.subject.rpartition(".")[2], int(each.headers["Holdfast-Source"]), each.headers, each.data)
                for each in wanted
            ]

        found: list[tuple[str, int, dict[str, str], bytes]] = self.use(work)
        return found

    def answer(self, **more: Any) -> Any:
        """Run until there is nothing left to do."""
        arguments: dict[str, Any] = {"model": "tiny", "key": API_KEY, "until_idle": True} | more
        place = arguments.pop("place", self.place)
        return run(self.world.config, place, **arguments)


@pytest.fixture
def stage(server: str, world: DiskWorld, request: pytest.FixtureRequest) -> Stage:
    """Three streams of this test's own: events, answers, dead letters."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**8}"
    place = StreamPlace(
        url=server,
        stream=f"{name}-in",
        subject=f"{name}-in.*",
        answers=f"{name}-out",
        dead=f"{name}-dead",
        name=name,
        in_flight=8,
    )
    made = Stage(world, place)

    async def work(context: Any) -> None:
        for each in (place.stream, place.answers, place.dead):
            await context.add_stream(name=each, subjects=[f"{each}.*"])

    made.use(work)
    return made


def good(number: int) -> bytes:
    """An event that the model answers, and whose answer differs from its neighbours'."""
    row = [number % 100, number % 30, 0.5]
    tensor = {"name": "input", "shape": [1, 3], "datatype": "FP64", "data": row}
    return json.dumps({"id": f"n{number}", "inputs": [tensor]}).encode()


def events(count: int, seed: int = 3) -> list[tuple[str, bytes]]:
    """Events of several keys; each tenth is poison."""
    rng = random.Random(seed)  # noqa: S311 - events, no secrets
    return [(rng.choice(KEYS), b"{poison" if number % 10 == 7 else good(number)) for number in range(count)]


def check_whole(stage: Stage, sent: list[tuple[str, bytes]]) -> None:
    """Each event has exactly one answer or dead letter, of its own, in the order of its key."""
    answers, dead = stage.told(stage.place.answers), stage.told(stage.place.dead)
    assert sorted(number for _, number, *_ in [*answers, *dead]) == list(range(1, len(sent) + 1))
    by_key: dict[str, list[int]] = defaultdict(list)
    for key, number, headers, body in answers:
        by_key[key].append(number)
        assert key == sent[number - 1][0]
        assert json.loads(body)["id"] == json.loads(sent[number - 1][1])["id"]
        assert headers["Holdfast-Outcome"] == "answered"
        assert headers["Holdfast-Release"] == stage.world.release.digest.removeprefix("sha256:")[:12]
        assert headers["Holdfast-Named"] == f"event-{number - 1}"
    assert all(numbers == sorted(numbers) for numbers in by_key.values())
    for _, number, headers, body in dead:
        assert body == sent[number - 1][1] == b"{poison"
        assert headers["Holdfast-Code"] == "HF240"
        assert "JSON" in headers["Holdfast-Reason"]


@pytest.mark.guarantee("G78")
@pytest.mark.requirement("SERV-03", by="holdfast.serve.stream:Stream._store")
def test_each_event_has_one_answer_in_the_order_of_its_key(stage: Stage) -> None:
    """Poison becomes a dead letter with its reason, and holds nobody up; a second run finds nothing to do."""
    sent = events(60)
    stage.publish(sent)
    tally = stage.answer()
    assert (tally.answered, tally.dead, tally.again) == (54, 6, 0)
    check_whole(stage, sent)
    again = stage.answer()
    assert (again.answered, again.dead) == (0, 0)


def crashing(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Let the process die at the n-th step: before or after a message is stored, or before it is acknowledged."""
    publish, acknowledge, taken = JetStreamBus.publish, JetStreamBus.acknowledge, 0

    def step() -> None:
        nonlocal taken
        taken += 1
        if taken == at:
            raise Crash

    async def published(self: JetStreamBus, *arguments: Any) -> Any:
        step()
        stored = await publish(self, *arguments)
        step()
        return stored

    async def acknowledged(self: JetStreamBus, event: Event) -> None:
        step()
        await acknowledge(self, event)

    monkeypatch.setattr(JetStreamBus, "publish", published)
    monkeypatch.setattr(JetStreamBus, "acknowledge", acknowledged)


@pytest.mark.guarantee("G78")
@pytest.mark.requirement("SERV-03", by="holdfast.adapters.jetstream:JetStreamBus.take_over")
def test_crashes_lose_nothing_double_nothing_and_keep_the_order(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, effort: Callable[..., int], record: Any
) -> None:
    """Processes that die one after the other at drawn steps; the broker forgets which messages it has seen."""
    rounds, crashes = effort(ci=8, record=150), 0
    rng = random.Random(5)  # noqa: S311 - steps, no secrets
    sent: list[tuple[str, bytes]] = []
    for number in range(rounds):
        more = [(key, body) for key, body in events(len(sent) + 12, seed=number)[len(sent) :]]
        base = len(sent)

        async def work(context: Any, more: list[tuple[str, bytes]] = more, base: int = base) -> None:
            for at, (key, body) in enumerate(more):
                headers = {"Nats-Msg-Id": f"event-{base + at}"}
                await context.publish(f"{stage.place.stream}.{key}", body, headers=headers)

        stage.use(work)
        sent += more
        with monkeypatch.context() as patch:
            crashing(patch, rng.randint(1, 40))
            try:
                stage.answer()
            except Crash:
                crashes += 1
    assert crashes
    stage.answer()
    check_whole(stage, sent)
    record.save("stream-crashes", seed=5, result={"crashes": crashes, "events": len(sent), "lost_or_doubled": 0})


@pytest.mark.requirement("SERV-03", by="holdfast.serve.stream:Stream._known")
def test_what_is_done_is_known_without_a_consumer(stage: Stage) -> None:
    """The broker has forgotten how far anybody was: every event comes again, and none is answered again."""
    sent = events(20)
    stage.publish(sent)
    stage.answer()

    async def forget(context: Any) -> None:
        for each in await context.consumers_info(stage.place.stream):
            await context.delete_consumer(stage.place.stream, each.name)

    stage.use(forget)
    tally = stage.answer()
    assert (tally.answered, tally.dead, tally.again) == (0, 0, 20)
    check_whole(stage, sent)


def test_an_answer_whose_confirmation_was_lost_is_not_stored_twice(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again, found stored, and counted once; also when the broker's own memory of ids is of no help."""
    real, lost = JetStreamBus.publish, 0

    async def publish(self: JetStreamBus, *arguments: Any) -> Any:
        nonlocal lost
        stored = await real(self, *arguments)
        lost += 1
        if lost % 2:
            raise Outrun
        return stored

    monkeypatch.setattr(JetStreamBus, "publish", publish)
    sent = events(20)
    stage.publish(sent)
    stage.answer()
    monkeypatch.undo()
    check_whole(stage, sent)


@pytest.mark.requirement("SERV-03", by="holdfast.adapters.jetstream:JetStreamBus._check_mine")
def test_a_process_that_was_taken_over_ends(stage: Stage) -> None:
    """Two at once would each see half of a key's events."""
    sent = events(30)
    stage.publish(sent[:10])

    async def work() -> None:
        async with jetstream.connected(stage.place) as old:
            first = await old.fetch(4)
            assert [event.sequence for event in first] == [1, 2, 3, 4]
            async with jetstream.connected(stage.place) as new:
                assert [event.sequence for event in await new.fetch(4)] == [1, 2, 3, 4]
                with pytest.raises(Conflict, match="another process"):  # noqa: PT012 - at the latest by the third
                    for _ in range(3):
                        await old.fetch(4)

    asyncio.run(work())
    stage.answer()
    stage.publish(sent[10:])


@pytest.mark.requirement("SERV-03", by="holdfast.serve.stream:Stream._pause")
def test_no_more_is_taken_in_than_may_be_under_way(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the service cannot answer, the broker keeps the rest; once it can, nothing is lost or out of order."""
    sent = [(key, body) for key, body in events(40) if body != b"{poison"]
    stage.publish(sent)
    seen: list[int] = []
    real = JetStreamBus.fetch

    async def fetch(self: JetStreamBus, most: int) -> Any:
        found = await real(self, most)
        info = await self._pulling.consumer_info()
        seen.append(info.num_ack_pending)
        return found

    monkeypatch.setattr(JetStreamBus, "fetch", fetch)
    from holdfast.serve.gateway import Gateway

    handle, refused = Gateway.handle, 0

    def busy(self: Any, request: Any) -> Any:
        nonlocal refused
        if refused < 12:
            refused += 1
            return self.turn_away(request, _overloaded())
        return handle(self, request)

    monkeypatch.setattr(Gateway, "handle", busy)
    tally = stage.answer()
    assert max(seen) <= stage.place.in_flight
    assert tally.waits == 12
    assert tally.answered == len(sent)
    check_whole(stage, sent)


def _overloaded() -> Any:
    from holdfast.serve.refusals import NOT_READY

    return NOT_READY


def test_a_key_that_may_not_call_is_no_poison(stage: Stage) -> None:
    """An operator's mistake must not turn a stream into dead letters."""
    stage.publish(events(5))
    with pytest.raises(Refused, match="HF241"):
        stage.answer(key="hf_" + "B" * 43)
    assert stage.told(stage.place.dead) == []


def test_streams_that_are_missing_or_meant_otherwise_are_said(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before an event is taken."""
    monkeypatch.setattr("holdfast.adapters.jetstream.ATTEMPTS", 1)
    with pytest.raises(NotFound, match="no stream"):
        stage.answer(place=replace(stage.place, stream="nowhere"))
    with pytest.raises(NotFound, match="dead letters"):
        stage.answer(place=replace(stage.place, dead="nowhere"))
    with pytest.raises(Conflict, match="stream of the events"):
        stage.answer(place=replace(stage.place, answers=stage.place.stream))
    with pytest.raises(NotFound, match="model"):
        stage.answer(model="other")
    with pytest.raises(Unavailable):
        stage.answer(place=replace(stage.place, url="nats://127.0.0.1:1"))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"url": "nats://example.org:4222"}, "clear"),
        ({"url": "nats://user:word@127.0.0.1:4222"}, "address"),
        ({"url": "http://127.0.0.1"}, "address"),
        ({"answers": "out.*"}, "subject"),
        ({"answers": "same", "dead": "same"}, "one subject"),
        ({"name": "a.b"}, "name"),
    ],
    ids=["clear", "password", "scheme", "wildcard", "same", "name"],
)
def test_places_that_cannot_be_meant_are_refused(changes: dict[str, Any], words: str) -> None:
    """No password in an address, nothing in clear over a network."""
    place = StreamPlace(
        url="nats://127.0.0.1:4222", stream="in", subject=">", answers="out", dead="dead", name="n", in_flight=1
    )
    check_place(place)
    with pytest.raises(InvalidInput, match=words):
        check_place(replace(place, **changes))


def test_keys_that_are_no_token_get_one_of_their_own(stage: Stage) -> None:
    """By a header; each such key keeps its own order."""

    async def work(context: Any) -> None:
        for number, key in enumerate(["bed 4", "bed 5", "bed 4"]):
            await context.publish(f"{stage.place.stream}.x", good(number), headers={"Holdfast-Key": key})

    stage.use(work)
    stage.answer()
    keys = [key for key, *_ in stage.told(stage.place.answers)]
    assert len(keys) == 3
    assert len(set(keys)) == 2
    assert all(key.startswith("h-") for key in keys)


@pytest.fixture(scope="module")
def shop(unlocking: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A shop in production whose model looks up what a visitor did."""
    with new_shop(tmp_path_factory.mktemp("shop")) as plant:
        materialise(plant)
        train(plant)
        promote(plant, reason="The first.")
        yield plant


@pytest.mark.requirement("SERV-03")
@pytest.mark.requirement("FEAT-02")
def test_events_name_entities_as_calls_do(stage: Stage, shop: Plant) -> None:
    """What an event leaves out is looked up; who is nobody is a dead letter, and nobody waits for it."""
    edge = Gateway(shop)
    price = {"name": "price", "shape": [1], "datatype": "FP64", "data": [12.5]}

    def body(user: str) -> bytes:
        about = {"entity.user": user, "event_time": "2026-08-05T14:47:00+02:00"}
        return json.dumps({"inputs": [price], "parameters": about}).encode()

    users = [f"u{number}" for number in range(12)]
    stage.publish([("k", body(user)) for user in [*users[:5], "", *users[5:]]])
    tally = run(config_of(shop.home.root), stage.place, model="shop", key=edge.key, until_idle=True)
    assert (tally.answered, tally.dead) == (12, 1)
    answers = [json.loads(data)["outputs"] for _, _, _, data in stage.told(stage.place.answers)]
    called = [
        edge.gateway.handle(
            HttpRequest(
                method="POST",
                path="/v2/models/shop/infer",
                headers=((b"x-api-key", edge.key.encode()),),
                body=body(user),
                peer="127.0.0.1",
            )
        )
        for user in users
    ]
    assert answers == [json.loads(each.body)["outputs"] for each in called]
    assert len({str(each) for each in answers}) > 1
    assert [said["Holdfast-Code"] for _, _, said, _ in stage.told(stage.place.dead)] == ["HF240"]
