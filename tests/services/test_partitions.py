"""Networks that are cut: packets vanish, nobody is told, and what is at stake goes on or says what it lacks."""

import http.client
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from nats.errors import Error
from sqlalchemy import Engine, make_url, text
from tests.conftest import absent
from tests.scenarios.disk_world import DiskWorld
from tests.scenarios.test_gateway_process import Process, eventually
from tests.scenarios.test_gateway_remote import PUBLISH
from tests.services.ledger_places import place_named
from tests.services.network import Elsewhere, elsewhere
from tests.services.test_chaos import under_load
from tests.services.test_limits_of_machines import get, status
from tests.services.test_streams import Stage, check_whole, events
from tests.unit.adapter_kit import note, open_ledger

from holdfast.adapters import connecting
from holdfast.adapters.database import open_database, reading
from holdfast.adapters.jetstream import JetStreamBus, StreamPlace
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.errors import Unavailable
from holdfast.core.routes import GuardSpec
from holdfast.testing.world import GUARDS

pytestmark = [pytest.mark.services, pytest.mark.timeout(180)]  # who waits for ever fails sooner than other tests
DATABASE_SOCKET = Path("/var/run/postgresql/.s.PGSQL.5432")


@pytest.fixture
def host() -> Iterator[Elsewhere]:
    """A host of this test's own."""
    with elsewhere() as found:
        yield found


@pytest.mark.requirement("ROLL-14", by="holdfast.serve.sharing:Sharing.round")
@pytest.mark.parametrize(("apart", "meanwhile"), [("share", 200), ("refuse", 503)])
def test_a_store_behind_a_cut_network_holds_no_call_up(
    host: Elsewhere, tmp_path: Path, apart: str, meanwhile: int
) -> None:
    """Each gateway has its share or nothing, as declared; when the network is back they count together again."""
    program = shutil.which("redis-server")
    if program is None:
        absent("redis-server", "`make services` installs it")
    store = host.start(program, "--port", "6390", "--bind", host.address, "--protected-mode", "no", "--save", "")
    assert store.stdout is not None
    assert any(b"Ready to accept" in line for line in store.stdout)
    settings = {"rate_per_s": 1000, "burst": 10_000, "machines": 2, "apart": apart}
    guards = (*GUARDS[:2], GuardSpec(name="within-rate", configuration=settings), *GUARDS[3:])
    gateway = Process(tmp_path, limits_url=f"redis://{host.address}:6390/0")
    try:
        gateway.ready()
        gateway.publish(gateway.world.table(gateway.release, guards=guards))
        eventually(lambda: b"holdfast_route_epoch 2" in get(gateway, "/metrics") and status(gateway) == 200)
        found = under_load(gateway, 4.0, host.cut, 0.5)
        assert {each.status for each in found} <= {200, meanwhile}
        eventually(lambda: status(gateway) == meanwhile)
        host.heal()
        eventually(lambda: status(gateway) == 200)
    finally:
        gateway.end()


@pytest.mark.requirement("ROLL-14", by="holdfast.serve.gateway:Gateway.hold")
def test_a_control_plane_behind_a_cut_network_costs_no_call_and_is_obeyed_afterwards(
    host: Elsewhere, tmp_path: Path
) -> None:
    """Its connections stay open and silent: calls are answered, marked stale; what was published meanwhile counts."""
    (tmp_path / ".holdfast" / "gateway").mkdir(parents=True)
    (tmp_path / "published").mkdir()
    (tmp_path / ".holdfast" / "published").symlink_to(tmp_path / "published")
    source = Path(sys.modules["holdfast"].__file__ or "").parents[1]
    plane = host.start("env", f"PYTHONPATH={source}", sys.executable, "-c", PUBLISH, str(tmp_path))
    assert plane.stdout is not None
    port = int(plane.stdout.readline().rsplit(b":", 1)[1])
    nearer = host.relay_here(host.relay(f"127.0.0.1:{port}"))
    gateway = Process(tmp_path, source=f"http://127.0.0.1:{nearer}", check_every_s=0.3)
    try:
        gateway.ready()
        assert status(gateway) == 200
        found = under_load(gateway, 3.0, host.cut, 0.5)
        assert {each.status for each in found} == {200}
        gateway.publish(gateway.world.table(None))
        eventually(lambda: b'"stale":true' in _health(gateway))
        assert status(gateway) == 200
        host.heal()
        eventually(lambda: status(gateway) != 200)
    finally:
        gateway.end()


def _health(gateway: Process) -> bytes:
    connection = http.client.HTTPConnection(*gateway.address, timeout=30)
    connection.request("GET", "/v2/health/ready")
    said = connection.getresponse().read()
    connection.close()
    return said


@pytest.fixture
def far(
    host: Elsewhere,
    tmp_path: Path,
    require_service: Callable[[str, str, int], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[str]:
    """A PostgreSQL database of this test alone, reached from another host, and given up on sooner than is shipped."""
    if not DATABASE_SOCKET.exists():
        absent(f"PostgreSQL at {DATABASE_SOCKET}", "let the server listen there")
    monkeypatch.setattr(connecting, "SILENT_S", 4)
    monkeypatch.setattr(connecting, "CONNECT_S", 2)
    with place_named("postgresql", tmp_path, require_service) as place:
        port = host.relay(f"unix:{DATABASE_SOCKET}")
        yield make_url(str(place)).set(host=host.address, port=port).render_as_string(hide_password=False)


@pytest.mark.requirement("ROLL-14", by="holdfast.adapters.connecting:_limits")
def test_a_database_behind_a_cut_network_is_given_up_on_and_loses_nothing(host: Elsewhere, far: str) -> None:
    """Whoever appends is told; when the network is back the ledger holds what it acknowledged, and grows."""
    ledger = open_ledger(far)
    (before,) = ledger.append([note("before")])
    host.cut()
    with pytest.raises(Unavailable):
        ledger.append([note("into nothing")])
    with pytest.raises(Unavailable):  # a new connection, which nobody answers
        ledger.append([note("into nothing")])
    host.heal()
    eventually(lambda: _appended(ledger, "after"))  # the first connection after a cut may still be turned away
    after = list(ledger.entries())[-1]
    assert after.position == before.position + 1
    assert ledger.verify([]).size == after.position + 1
    assert [entry.body["text"] for entry in ledger.entries()] == ["before", "after"]
    ledger.close()


@pytest.mark.requirement("ROLL-14", by="holdfast.adapters.connecting:_limits")
def test_whoever_waits_for_an_answer_over_a_cut_network_is_told(host: Elsewhere, far: str) -> None:
    """Nothing is sent any more that could be lost, so the kernel has to ask whether the server lives."""
    engine = open_database(far)

    def wait_cut_off() -> None:
        with reading(engine) as connection:
            connection.execute(text("SELECT 1"))
            host.cut()
            connection.execute(text("SELECT pg_sleep(300)"))

    with pytest.raises(Unavailable):
        wait_cut_off()
    host.heal()
    eventually(lambda: _reads(engine))
    engine.dispose()


def _appended(ledger: SqlLedger, said: str) -> bool:
    try:
        ledger.append([note(said)])
    except Unavailable:
        return False
    return True


def _reads(engine: Engine) -> bool:
    try:
        with reading(engine) as connection:
            return bool(connection.execute(text("SELECT 1")).scalar() == 1)
    except Unavailable:
        return False


@pytest.fixture
def streams(host: Elsewhere, tmp_path: Path) -> Stage:
    """Streams on a server over there."""
    program = shutil.which("nats-server")
    if program is None:
        absent("nats-server", "`make services` installs it")
    host.start(program, "-a", "127.0.0.1", "-p", "4222", "-js", "-sd", str(tmp_path / "nats"))
    nearer = host.relay_here(host.relay("127.0.0.1:4222"))
    place = StreamPlace(
        url=f"nats://127.0.0.1:{nearer}", stream="in", subject="in.*", answers="out", dead="dead", name="n", in_flight=8
    )
    stage = Stage(DiskWorld(tmp_path / "world"), place)

    async def work(context: Any) -> None:
        for each in (place.stream, place.answers, place.dead):
            await context.add_stream(name=each, subjects=[f"{each}.*"])

    eventually(lambda: not _refused(lambda: stage.use(work)))
    return stage


def _refused(work: Callable[[], object]) -> bool:
    try:
        work()
    except (OSError, Error, Unavailable):
        return True
    return False


@pytest.mark.requirement("ROLL-14", by="holdfast.adapters.jetstream:JetStreamBus.take_over")
@pytest.mark.parametrize("step", [1, 9, 30])
def test_streams_over_a_cut_network_lose_nothing_and_double_nothing(
    host: Elsewhere, streams: Stage, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Cut in the midst of storing answers, back after a while: each event has one answer, in the order of its key."""
    sent = events(40)
    streams.publish(sent)
    publish, steps = JetStreamBus.publish, count(1)

    async def cut_at(self: JetStreamBus, *arguments: Any) -> Any:
        if next(steps) == step:
            host.cut()
            threading.Timer(3.0, host.heal).start()
        return await publish(self, *arguments)

    monkeypatch.setattr(JetStreamBus, "publish", cut_at)
    monkeypatch.setattr("holdfast.adapters.jetstream.ANSWER_S", 1.0)  # given up on before the network is back
    _refused(streams.answer)
    eventually(lambda: not _refused(streams.answer))
    eventually(lambda: not _refused(lambda: check_whole(streams, sent)))
    assert next(steps) > step
