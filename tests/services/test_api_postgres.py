"""The control plane on PostgreSQL: the whole way there and back, and three servers beside one another."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import Engine, inspect
from tests.scenarios.callers import issue
from tests.scenarios.conftest import finished
from tests.scenarios.test_api_server import running
from tests.services.ledger_places import PLACES, place_named

from holdfast import app
from holdfast.adapters.database import metadata, migration_config, open_database, writing
from holdfast.adapters.jobs import SqlJobs
from holdfast.core.errors import Conflict, HoldfastError, InvalidInput, LedgerBroken, NotVerified
from holdfast.lifecycle.promotion import promote
from holdfast.lifecycle.records import ledger_checkpoint
from holdfast.testing import SettableClock

__all__ = ["finished"]  # a fixture of the scenarios, used here too


@pytest.fixture
def url(tmp_path: Path, require_service: Callable[[str, str, int], None]) -> Iterator[str]:
    """A database of this test alone."""
    with place_named("postgresql", tmp_path, require_service) as place:
        yield str(place)


@pytest.fixture
def project(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished project."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    return folder


@pytest.mark.parametrize("place", PLACES)
def test_every_migration_goes_both_ways(
    place: str, tmp_path: Path, require_service: Callable[[str, str, int], None]
) -> None:
    """Down to nothing and up again, and the operational tables alone: the schema is what it was."""

    def tables(engine: Engine) -> set[str]:
        with writing(engine) as connection:
            return set(inspect(connection).get_table_names())

    with place_named(place, tmp_path, require_service) as where:
        engine = open_database(where)
        for down in ("0001", "base"):
            with writing(engine) as connection:
                command.downgrade(migration_config(connection), down)
            assert not {"jobs", "answers"} & tables(engine)
            with writing(engine) as connection:
                command.upgrade(migration_config(connection), "head")
            assert tables(engine) == {*metadata.tables, "alembic_version"}
        engine.dispose()


@pytest.mark.services
def test_a_workspace_begins_there_and_its_card_names_no_password(url: str, tmp_path: Path) -> None:
    """`init --database`: the ledger lies on the server, the folder holds none, and a second workspace is refused."""
    folder = tmp_path / "new"
    folder.mkdir()
    patch = pytest.MonkeyPatch()
    patch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "unlock"))
    try:
        for wrong in (url.replace("@", ":secret@"), url + "?password=secret", "mysql://x/y"):
            with pytest.raises(InvalidInput) as caught:
                app.init(folder, owner="Ada", database=wrong)
            assert "secret" not in str(caught.value)
        app.init(folder, owner="Ada", database=url)
        assert not list((folder / ".holdfast").glob("ledger.db*"))
        with app.open_plant(folder) as plant:
            plant.unlock()
            plant.ledger.checkpoint()
            assert plant.ledger.verify(()).size == 1
        other = tmp_path / "other"
        other.mkdir()
        with pytest.raises(Conflict):
            app.init(other, owner="Eve", database=url)
        app.init(other, owner="Eve")
        card = other / ".holdfast" / "workspace.json"
        card.write_text(card.read_text().replace('"database":""', f'"database":"{url}"'), encoding="utf-8")
        with pytest.raises(NotVerified, match="another workspace"), app.open_plant(other):
            pass
    finally:
        patch.undo()


@pytest.mark.services
def test_the_ledger_moves_there_and_back_and_stays_the_same(url: str, project: Path, tmp_path: Path) -> None:
    """Entry by entry: same entries, root, heads and checkpoints; the old one cannot be written any more."""
    with app.open_plant(project) as plant:
        promote(plant, reason="Before it moves.")
        ledger_checkpoint(plant, out=tmp_path / "note")
        entries, root = list(plant.ledger.entries()), plant.ledger.root()
        notes = plant.ledger.checkpoints()
        reply = app.migrate(project, to=url)
        assert reply.document["root"] == root.hex()
        with pytest.raises((LedgerBroken, HoldfastError)):
            plant.ledger.append([])
        with pytest.raises(HoldfastError):
            promote(plant, reason="By a process that has not noticed.")
    with app.open_plant(project) as moved:
        assert list(moved.ledger.entries(0, len(entries))) == entries
        assert moved.ledger.checkpoints() == notes
        assert moved.ledger.size() == len(entries) + 1
        promote(moved, reason="The same way, on the server.")
        after = list(moved.ledger.entries())
        with pytest.raises(Conflict):
            app.migrate(project, to=url)
    app.migrate(project, to="sqlite")
    with app.open_plant(project) as back:
        assert list(back.ledger.entries(0, len(after))) == after
        back.ledger.verify(())


@pytest.mark.services
def test_a_database_that_holds_something_is_not_moved_into(url: str, project: Path, tmp_path: Path) -> None:
    """Nothing is changed, and the old ledger goes on."""
    other = tmp_path / "other"
    other.mkdir()
    app.init(other, owner="Eve", database=url)
    with pytest.raises(Conflict):
        app.migrate(project, to=url)
    with app.open_plant(project) as plant:
        promote(plant, reason="It still works.")


@pytest.mark.services
def test_workers_step_over_rows_that_another_takes(url: str) -> None:
    """FOR UPDATE SKIP LOCKED: twenty jobs, four workers at once, each job once."""
    engine = open_database(url)
    jobs = SqlJobs(engine, SettableClock())
    for _ in range(20):
        jobs.ask("run", {}, "ada")

    def work(name: str) -> list[str]:
        found = []
        while (task := jobs.lease(name)) is not None:
            found.append(task.id)
        return found

    with ThreadPoolExecutor(4) as pool:
        taken = [job for found in pool.map(work, "abcd") for job in found]
    assert len(taken) == len(set(taken)) == 20
    engine.dispose()


@pytest.mark.guarantee("G42")
@pytest.mark.services
def test_three_servers_beside_one_another_do_each_thing_once(url: str, project: Path) -> None:
    """One idempotency key sent to all of them at once is one promotion; many promotions at once are one at a time."""
    app.migrate(project, to=url)
    with app.open_plant(project) as plant:
        key = issue(plant, name="ada", role="administrator")
    with ExitStack() as stack:
        ups = [stack.enter_context(running(project, "--no-gateway", "--job-workers", "0")) for _ in range(3)]

        def send(number: int, idempotency: str) -> int:
            body = {"reason": f"Asked for by {idempotency}."}
            for wait_s in (1, 2, 4, 8):  # as the SDK: whoever does not know how it ended asks again, by the same key
                try:
                    return ups[number % 3].ask("POST", "/v1/promote", key, body, idempotency=idempotency)[0]
                except ConnectionError:
                    time.sleep(wait_s)
            return ups[number % 3].ask("POST", "/v1/promote", key, body, idempotency=idempotency)[0]

        with ThreadPoolExecutor(9) as pool:
            same = Counter(pool.map(lambda number: send(number, "same"), range(9)))
        assert same[200] >= 1
        assert set(same) <= {200, 409}
        with app.open_plant(project) as plant:
            promoted = [entry for entry in plant.ledger.entries() if entry.kind == "release.promoted"]
            assert len(promoted) == 1
        with ThreadPoolExecutor(9) as pool:
            many = Counter(pool.map(lambda number: send(number, f"key-{number}"), range(9)))
        assert many[200] >= 1
        assert set(many) <= {200, 409}
    with app.open_plant(project) as plant:
        promoted = [entry for entry in plant.ledger.entries() if entry.kind == "release.promoted"]
        assert len(promoted) == 1 + many[200]
        epochs = [
            entry.body["standing"]["epoch"] for entry in plant.ledger.entries() if entry.kind == "endpoint.routed"
        ]
        assert epochs == sorted(set(epochs))
        plant.ledger.verify(())
