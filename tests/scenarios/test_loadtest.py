"""The load test: attacks amid good calls, latency that nobody can hide, an exit code by the objective."""

import asyncio
import json
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.test_gateway_lookup import Looking
from tests.scenarios.test_gateway_process import Process
from tests.scenarios.test_gateway_texts_features import reading as reading_both
from tests.scenarios.test_gateway_texts_process import reading

from holdfast.adapters import load
from holdfast.app.loadtest import Named, Traffic, loadtest
from holdfast.core.errors import InvalidInput, NotFound, Refused, Unavailable
from holdfast.engines.injection.finding import look
from holdfast.faces.cli import invoke
from holdfast.lifecycle.reply import silent
from holdfast.rollout import load_texts
from holdfast.rollout.load import BURST, GOOD, PATTERNS, Outcome, Slo, quantiles, report, rows_body, schedule
from holdfast.testing.world import API_KEY, with_key

SLO = Slo(p99_ms=100.0, goodput=0.9)


def good(status: int = 200, latency_s: float = 0.01, code: str = "") -> Outcome:
    """A good call."""
    return Outcome(kind=GOOD, status=status, code=code, latency_s=latency_s, service_s=0.001)


@pytest.mark.requirement("ROLL-13", by="holdfast.rollout.load:schedule")
def test_calls_come_by_chance_at_the_rate_with_their_share_of_attacks() -> None:
    """The same for the same seed; every attack is among them, bursts at one moment."""
    due, again = (
        schedule(random.Random(4), rate=200.0, seconds=50.0, attack_share=0.3)  # noqa: S311 - traffic
        for _ in range(2)
    )
    assert due == again
    moments = sorted({each.at_s for each in due})
    assert 9_500 < len(moments) < 10_500
    assert 0.66 < sum(each.kind == GOOD for each in due) / len(moments) < 0.74
    bursts = [each for each in due if each.kind == "burst"]
    assert len(bursts) % BURST == 0
    assert {each.kind for each in due} == {GOOD, *(each.name for each in PATTERNS)}
    assert [each.at_s for each in due] == sorted(each.at_s for each in due)


@pytest.mark.requirement("ROLL-13", by="holdfast.rollout.load:report")
def test_a_report_hides_nothing() -> None:
    """What was not answered is infinitely late; what an attack must not get is a breach; nothing at all is one too."""
    fine = report([good()] * 100, SLO, 10.0)
    assert (fine.breaches, fine.latency_ms["p99"]) == ((), 10.0)
    lost = report([good()] * 95 + [good(503, math.inf, "HF770")] * 5, SLO, 10.0)
    assert lost.latency_ms["p99"] == math.inf
    assert lost.refused_good == {"HF770": 5}
    assert [("p99" in each) for each in lost.breaches] == [True]
    few = report([good()] * 80 + [good(429, 0.01, "HF243")] * 20, SLO, 10.0)
    assert any("80.00%" in each for each in few.breaches)
    slow = report([good(latency_s=0.2)] * 10, SLO, 10.0)
    assert any("200 ms" in each for each in slow.breaches)
    for status in (200, 500, 503):
        through = report([good()] * 10 + [Outcome(kind="bad-key", status=status)], SLO, 10.0)
        assert through.breaches == (f"1 attacks got what they must not: bad-key: {status} (1)",)
    assert report([Outcome(kind="bad-key", status=401)], SLO, 10.0).breaches == ("no good call was made",)


def test_quantiles_are_values_that_occurred() -> None:
    """Nearest rank."""
    assert quantiles([]) == {}
    assert quantiles([0.005])["p99.9"] == 5.0
    assert quantiles([number / 1000 for number in range(1, 101)]) == {
        "p50": 50.0,
        "p95": 95.0,
        "p99": 99.0,
        "p99.9": 100.0,
        "max": 100.0,
    }


def test_rows_are_inside_the_declared_ranges_or_far_outside() -> None:
    """Open ends too."""
    features: list[dict[str, Any]] = [
        {"name": "a", "minimum": 5, "maximum": 6},
        {"name": "b", "maximum": -3},
        {"name": "c"},
    ]
    rng = random.Random(1)  # noqa: S311 - rows
    for far in (False, True):
        values = json.loads(rows_body(features, rng, far=far))["inputs"][0]["data"]
        assert (5 <= values[0] <= 6) is not far
        assert (values[1] <= -3) is not far


@pytest.mark.requirement("ROLL-13", by="holdfast.adapters.load:play")
def test_a_server_that_stands_still_cannot_hide_it() -> None:
    """It answers one call at a time and stops for a while: calls that were due then count from when they were due."""
    stopped: list[float] = []

    async def measure() -> list[load.Answered]:
        turn, number = asyncio.Lock(), 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal number
            await reader.readuntil(b"\r\n\r\n")
            async with turn:
                number += 1
                if number == 3:
                    stopped.append(1.0)
                    await asyncio.sleep(1.0)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        sender = load.Sender(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        raw = load.request("x", "/", (), None, "GET")
        due = [(0.02 * at, lambda due_s: sender.send(raw, due_s=due_s)) for at in range(20)]
        found = await load.play(due)
        await sender.close()
        server.close()
        await server.wait_closed()
        return found

    found = asyncio.run(measure())
    assert stopped
    late = [each for each in found if each.ended_s - each.due_s > 0.3]
    assert len(late) >= 10  # a closed loop would have seen one


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Path]]:
    """A gateway as a process of its own, and a file with a key."""
    folder = tmp_path_factory.mktemp("load")
    process = Process(folder, check_every_s=0.0)
    try:
        process.ready()
        key = folder / "a.key"
        key.write_text(API_KEY)
        key.chmod(0o600)
        yield process, key
    finally:
        process.end()


@pytest.mark.requirement("ROLL-13", by="holdfast.app.loadtest:loadtest")
def test_no_attack_gets_anything_from_a_real_gateway(
    gateway: tuple[Process, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """Every kind of attack beside good calls: each gets what it may, and good calls are answered."""
    process, key = gateway
    words = ["loadtest", process.url, "--model", "tiny", "--key-file", str(key), "--rate", "60", "--seconds", "4"]
    # This machine is busy with other tests: what is asked is that the objective is judged, not how fast it is here.
    code = invoke([*words, "--attack-share", "0.6", "--p99-ms", "60000", "--seed", "3", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert said["unexpected"] == {}, said
    assert set(said["attacks"]) == {each.name for each in PATTERNS}
    assert said["answered"] == said["good"] > 50
    assert (code, said["breaches"]) == (0, [])
    assert said["latency_ms"]["p50"] >= said["service_ms"]["p50"] > 0


def test_an_objective_that_is_missed_is_exit_code_one(gateway: tuple[Process, Path]) -> None:
    """No gateway answers within a microsecond."""
    process, key = gateway
    words = ["loadtest", process.url, "--model", "tiny", "--key-file", str(key), "--rate", "20", "--seconds", "1"]
    assert invoke([*words, "--attack-share", "0", "--p99-ms", "0.001"]) == 1


def test_who_may_not_is_told_before_a_load_begins(gateway: tuple[Process, Path], tmp_path: Path) -> None:
    """No key, another model, an address in clear, numbers without meaning, nobody there."""
    process, key = gateway
    other = tmp_path / "other.key"
    other.write_text("hf_" + "B" * 43)
    other.chmod(0o600)

    def test(**changes: Any) -> Any:
        arguments: dict[str, Any] = {"url": process.url, "model": "tiny", "key_file": key, "rate": 5, "seconds": 0.5}
        return loadtest(tell=silent, **(arguments | changes))

    with pytest.raises(Refused):
        test(key_file=other)
    with pytest.raises((Refused, NotFound)):
        test(model="other")
    with pytest.raises(InvalidInput):
        test(url="http://example.org")
    with pytest.raises(InvalidInput):
        test(rate=0)
    with pytest.raises(Unavailable):
        test(url="http://127.0.0.1:1")


# ── models that read texts ──────────────────────────────────────────────────────────────────────────────────────────

TAKES = [{"name": "message", "most_characters": 200}, {"name": "subject", "most_characters": 300}]


def test_good_texts_are_lines_that_the_model_takes() -> None:
    """Longer ones and empty ones are left out; a file of nothing else is refused."""
    assert load_texts.corpus("one\n\n  \ntwo\n" + "x" * 9, 8) == ("one", "two")
    with pytest.raises(InvalidInput, match="no text"):
        load_texts.corpus("x" * 9 + "\n\n", 8)


@pytest.mark.requirement("ROLL-13", by="holdfast.rollout.load_texts:attack")
def test_each_attack_by_texts_is_what_it_says() -> None:
    """The other tensors stay good; orders are found by the engine that the guard asks, whichever disguise is drawn."""
    rng, texts = random.Random(2), {"message": "fine", "subject": "good"}  # noqa: S311 - traffic
    made = {
        each.name: load_texts.attack(each.name, [{"name": "age"}], TAKES, texts, rng)
        for each in load_texts.TEXT_PATTERNS
    }
    number, message, subject = json.loads(made["no-text"])["inputs"]
    assert (number["datatype"], message["data"], subject["data"]) == ("FP64", [7], ["good"])
    assert len(json.loads(made["long-text"])["inputs"][1]["data"][0]) == 201
    assert [each["name"] for each in json.loads(made["given-inputs"])["inputs"]] == ["input"]
    with pytest.raises(UnicodeDecodeError):
        made["no-characters"].decode()
    for order in load_texts.ORDERS:
        assert look(order).score >= 1.5, order
    orders = {
        json.loads(load_texts.attack("injection", [], TAKES, texts, rng))["inputs"][0]["data"][0] for _ in range(200)
    }
    assert orders == set(load_texts.ORDERS)
    assert not [each for each in load_texts.PLAIN if look(each).score >= 1.5]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Path]]:
    """A gateway whose model reads texts behind its filters, and a file with a key."""
    folder = tmp_path_factory.mktemp("texts")
    process = Process(folder, check_every_s=0.0)
    try:
        reading(process.ready())
        key = folder / "a.key"
        key.write_text(API_KEY)
        key.chmod(0o600)
        yield process, key
    finally:
        process.end()


@pytest.mark.requirement("ROLL-13", by="holdfast.app.loadtest:loadtest")
def test_a_model_that_reads_texts_is_tested_with_texts(
    reader: tuple[Process, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Lines of a file are answered, every attack is refused, orders to the model among them."""
    process, key = reader
    lines = tmp_path / "texts.txt"
    lines.write_text("The room was clean.\nWhere is my invoice?\n", encoding="utf-8")
    words = ["loadtest", process.url, "--model", "tiny", "--key-file", str(key), "--rate", "60", "--seconds", "4"]
    words += ["--texts", str(lines), "--injections", "--attack-share", "0.7", "--p99-ms", "60000", "--seed", "3"]
    invoke([*words, "--json"])
    said = json.loads(capsys.readouterr().out)
    # A machine that is busy with other tests sheds some calls of either sort: what is asked is what got through.
    assert all(each.endswith((": 503", ": -1")) for each in said["unexpected"]), said
    assert set(said["refused_good"]) <= {"HF770", "-1"}, said
    every = (*PATTERNS, *load_texts.TEXT_PATTERNS, load_texts.INJECTION)
    assert set(said["attacks"]) == {each.name for each in every}
    assert said["good"] > 50
    assert said["answered"]


def test_what_is_said_of_texts_must_fit_the_model(
    gateway: tuple[Process, Path], reader: tuple[Process, Path], tmp_path: Path
) -> None:
    """No texts for a model of numbers, none that are no text, none that are too long; without a file there are some."""
    odd = tmp_path / "odd.txt"
    odd.write_bytes(b"\xff\xfe")
    long = tmp_path / "long.txt"
    long.write_text("x" * 3000)

    def test(where: tuple[Process, Path], **changes: Any) -> Any:
        arguments: dict[str, Any] = {"url": where[0].url, "model": "tiny", "key_file": where[1], "rate": 30}
        return loadtest(tell=silent, seconds=0.5, attack_share=0.0, p99_ms=60000.0, **arguments, **changes)

    with pytest.raises(InvalidInput, match="reads no texts"):
        test(gateway, injections=True)
    with pytest.raises(InvalidInput, match="no UTF-8"):
        test(reader, texts=odd)
    with pytest.raises(InvalidInput, match="no text that the model takes"):
        test(reader, texts=long)
    assert test(reader, goodput=0.01).document["answered"]


class Here:
    """Sends to a gateway in this process."""

    def __init__(self, it: Looking) -> None:
        self.it = it

    async def send(self, raw: bytes, **_how: Any) -> load.Answered:
        """Answer at once."""
        head, _, body = raw.partition(b"\r\n\r\n")
        method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
        said = self.it.serving.call(with_key(), path=path, body=body, method=method)
        return load.Answered(status=said.status, code=(said.header(b"x-holdfast-code") or b"").decode(), body=said.body)


def traffic(it: Looking, **named: str) -> Traffic:
    """Traffic for the model, of which it has learned what it takes."""
    sender: Any = Here(it)
    found = Traffic(sender, "127.0.0.1", "tiny", API_KEY, sign=False, seed=5, named=Named(**named))  # type: ignore[arg-type]
    asyncio.run(found.learn())
    return found


@pytest.mark.parametrize(("maximum", "sent"), [(None, False), (7.0, True)])
def test_a_model_that_declares_no_range_is_sent_nothing_out_of_range(maximum: float | None, sent: bool) -> None:
    """An answer to such a row would be told as an attack that got through, and is none."""
    features = [{"name": "a", "minimum": None, "maximum": maximum}]

    class Told:
        async def send(self, raw: bytes, **_: object) -> load.Answered:
            return load.Answered(status=200, code="", body=json.dumps({"parameters": {"features": features}}).encode())

    sender: Any = Told()
    made = Traffic(sender, "127.0.0.1", "tiny", API_KEY, sign=False, seed=5)
    asyncio.run(made.learn())
    assert ("out-of-range" in {each.name for each in made.patterns}) is sent


@pytest.mark.requirement("ROLL-13", by="holdfast.app.loadtest:Traffic.body")
@pytest.mark.parametrize("texts", [True, False])
def test_calls_name_entities_and_leave_out_what_is_looked_up(texts: bool) -> None:
    """Beside texts and without: good calls are looked up and answered, every attack is refused."""
    it = reading_both() if texts else Looking("refuse")
    made = traffic(it, entities="p1\n")
    asked = it.store.asked
    for _ in range(20):
        assert it.call(made.body()).status == 200
    assert it.store.asked == asked + 20
    assert {each["name"] for each in json.loads(made.body())["inputs"]} >= {"age", "entity.patient"}
    assert it.call(made.body(far=True)).status == 400
    mine = (load_texts.NO_ENTITY, *(load_texts.TEXT_PATTERNS if texts else ()))
    assert {each.name for each in mine} <= {each.name for each in made.patterns}
    for each in mine:
        assert it.call(made.body(kind=each.name)).status == 400, each.name


def test_entities_are_for_models_that_look_features_up(gateway: tuple[Process, Path], tmp_path: Path) -> None:
    """None for a model that has no entity, none that are no text; without a file whole rows are answered."""
    for content, words in ((b"p1", "by 0 columns of entities"), (b"\xff\xfe", "the file of entities is no UTF-8")):
        path = tmp_path / "entities"
        path.write_bytes(content)
        with pytest.raises(InvalidInput, match=words):
            loadtest(tell=silent, url=gateway[0].url, model="tiny", key_file=gateway[1], seconds=0.1, entities=path)
    it = reading_both()
    asked = it.store.asked
    assert it.call(traffic(it).body()).status == 200
    assert it.store.asked == asked
