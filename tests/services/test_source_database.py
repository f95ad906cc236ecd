"""Rows out of real servers: incremental, within a load, whole through kills, changes, late commits and ties."""

# ruff: noqa: S608 - the names in these statements are the tests' own

import random
import secrets
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, text
from tests.conftest import Effort, absent
from tests.scenarios.sources import declare, made, rows_of
from tests.services.killing import pulled_through_kills
from tests.services.ledger_places import place_named

from holdfast import app
from holdfast.lifecycle import sources
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.pulling import pull
from holdfast.lifecycle.source_state import state_of

pytestmark = pytest.mark.services
READY_S = 60.0


@dataclass(frozen=True)
class Server:
    """A database of the test's own, and how a source reaches it."""

    dialect: str
    engine: Engine
    host: str
    port: int
    database: str
    user: str

    def run(self, *statements: str, **values: Any) -> None:
        """Do something there, in one transaction."""
        with self.engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement), values)

    def source(self, **more: Any) -> str:
        """The declaration of a source of its table."""
        said: dict[str, Any] = {
            "dialect": self.dialect,
            "host": self.host,
            "port": self.port,
            "database": self.database,
            "user": self.user,
            "table": "rows",
            "watermark": "changed",
            "rows_per_query": 50,
            "share": 1.0,
        } | more
        place = ", ".join(f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}"
                          for key, value in said.items())  # fmt: skip
        return f'[sources.a]\nkind = "database"\nidentity = "till"\nkey = ["id"]\ndatabase = {{ {place} }}\n'


@pytest.fixture(scope="module")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """A MariaDB server of these tests alone."""
    program, install = shutil.which("mariadbd"), shutil.which("mariadb-install-db")
    pytest.importorskip("pymysql")
    if program is None or install is None:
        absent("mariadbd", "`make services` installs it")
    folder = tmp_path_factory.mktemp("mariadb")
    data = folder / "data"
    made_by = [
        install,
        "--no-defaults",
        f"--datadir={data}",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
    ]
    user = ["--user=root"]
    subprocess.run([*made_by, *user], check=True, capture_output=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    places = [f"--socket={folder / 's'}", f"--pid-file={folder / 'pid'}", f"--datadir={data}", f"--port={port}"]
    options = ["--no-defaults", "--bind-address=127.0.0.1", "--innodb-flush-log-at-trx-commit=0", *places]
    process = subprocess.Popen([program, *options, *user], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + READY_S
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.1)
    yield port, "root"
    process.terminate()
    process.wait()


@pytest.fixture(params=["postgresql", "mariadb"])
def server(
    request: pytest.FixtureRequest, tmp_path: Path, require_service: Callable[[str, str, int], None]
) -> Iterator[Server]:
    """A database on each of the two servers."""
    if request.param == "postgresql":
        with place_named("postgresql", tmp_path, require_service) as url:
            engine = create_engine(str(url))
            at = engine.url
            yield Server("postgresql", engine, "127.0.0.1", at.port or 5432, str(at.database), str(at.username))
            engine.dispose()
        return
    port, user = request.getfixturevalue("mariadb")
    database = f"t{secrets.token_hex(6)}"
    first = create_engine(f"mariadb+pymysql://{user}@127.0.0.1:{port}/mysql")
    with first.begin() as connection:
        connection.execute(text(f"CREATE DATABASE {database} CHARACTER SET utf8mb4"))
    engine = create_engine(f"mariadb+pymysql://{user}@127.0.0.1:{port}/{database}")
    yield Server("mariadb", engine, "127.0.0.1", port, database, user)
    engine.dispose()
    first.dispose()


@pytest.fixture
def filled(server: Server) -> Server:
    """A table of 500 rows, a hundred of which have one watermark each time."""
    moment = "timestamptz" if server.dialect == "postgresql" else "datetime(6)"
    server.run(
        f"CREATE TABLE {quoted(server)} (id varchar(40) PRIMARY KEY, x double precision, label varchar(5), "
        f"changed {moment}, secret varchar(20))"
    )
    with server.engine.begin() as connection:
        for number in range(500):
            connection.execute(
                text(f"INSERT INTO {quoted(server)} VALUES (:id, :x, :label, :changed, 'undeclared')"),
                {"id": f"r{number:04d}", "x": number, "label": "no", "changed": stamp(number // 100)},
            )
    return server


def quoted(server: Server) -> str:
    """The table, whose name is a word of SQL."""
    return '"rows"' if server.dialect == "postgresql" else "`rows`"


def stamp(minutes: int) -> str:
    """A moment of the test's own time."""
    return f"2026-01-{1 + minutes // 1440:02d} {minutes // 60 % 24:02d}:{minutes % 60:02d}:00"


@pytest.fixture
def plant(unlocking: Path, tmp_path: Path, filled: Server) -> Iterator[Plant]:
    """A workspace whose rows come from it."""
    folder = made(tmp_path / "project", filled.source())
    with app.open_plant(folder) as opened:
        yield opened


def ids(plant: Plant) -> list[str]:
    """The ids that a run would take in, in order."""
    return [row["id"] for row in rows_of(plant)]


@pytest.mark.requirement("DATA-02")
def test_only_what_has_changed_is_read_and_the_newest_version_counts(plant: Plant, filled: Server) -> None:
    """All at first, nothing after it, then the changed row and the new one."""
    assert pull(plant).document["sources"][0]["rows"] == 500
    assert pull(plant).document["sources"][0]["rows"] == 0
    filled.run(
        f"UPDATE {quoted(filled)} SET label = 'yes', changed = '{stamp(60)}' WHERE id = 'r0007'",
        f"INSERT INTO {quoted(filled)} VALUES ('r9000', 1, 'no', '{stamp(60)}', '')",
    )
    assert pull(plant).document["sources"][0]["rows"] == 2
    rows = {row["id"]: row for row in rows_of(plant)}
    assert len(rows) == 501
    assert rows["r0007"]["label"] == "yes"
    assert set(rows["r0007"]) == {"id", "x", "label", "_source"}


@pytest.mark.requirement("DATA-02")
def test_rows_of_one_watermark_are_neither_lost_nor_doubled_at_a_batchs_edge(plant: Plant) -> None:
    """A hundred rows share each watermark, and fifty come at a time."""
    pull(plant)
    state = state_of(plant, "a")
    assert [each.rows for each in state.arrivals] == [50] * 10
    assert ids(plant) == [f"r{number:04d}" for number in range(500)]


@pytest.mark.requirement("DATA-02")
def test_a_transaction_that_commits_late_is_seen_within_the_overlap(plant: Plant, filled: Server) -> None:
    """A row whose watermark lies behind what was read already comes once, and what is read again counts once."""
    declare(plant.home.root, filled.source(overlap="10m"))
    pull(plant)
    filled.run(f"INSERT INTO {quoted(filled)} VALUES ('late', 1, 'no', '{stamp(1)}', '')")
    again = pull(plant).document["sources"][0]
    assert again["rows"] == 1
    assert again["repeated"] == 500
    assert pull(plant).document["sources"][0]["rows"] == 0
    assert sorted(ids(plant)) == sorted([*(f"r{number:04d}" for number in range(500)), "late"])


@pytest.mark.requirement("DATA-02")
def test_queries_keep_to_their_share_of_the_time_and_to_their_rows(plant: Plant, filled: Server) -> None:
    """With a pause between queries and a cap on a pull, the next one goes on there."""
    declare(plant.home.root, filled.source(pause_s=0.05, rows_per_pull=100))
    begun = time.monotonic()
    assert pull(plant).document["sources"][0]["rows"] == 100
    assert time.monotonic() - begun >= 0.05
    counts = [pull(plant).document["sources"][0]["rows"] for _ in range(5)]
    assert counts == [100, 100, 100, 100, 0]
    assert ids(plant) == [f"r{number:04d}" for number in range(500)]


@pytest.mark.requirement("DATA-02")
def test_the_server_ends_a_query_that_takes_too_long(plant: Plant, filled: Server) -> None:
    """A view that sleeps is cut off by the server itself, and the failure is on record."""
    sleep = "pg_sleep(30)::text" if filled.dialect == "postgresql" else "CAST(SLEEP(30) AS CHAR)"
    filled.run(f"CREATE VIEW slow AS SELECT id, x, {sleep} AS label, changed FROM {quoted(filled)}")
    declare(plant.home.root, filled.source(table="slow", statement_timeout_s=0.3))
    begun = time.monotonic()
    reply = pull(plant)
    assert reply.exit_code == 1
    assert time.monotonic() - begun < 20
    assert "the database does not answer" in reply.document["sources"][0]["words"]


def test_a_source_writes_nothing(plant: Plant, filled: Server) -> None:
    """Its transactions are read-only: also a view that would write cannot."""
    if filled.dialect != "postgresql":
        pytest.skip("MariaDB's views cannot write at all")
    filled.run(
        "CREATE TABLE seen (id text)",
        "CREATE FUNCTION spy(t text) RETURNS text LANGUAGE sql VOLATILE AS "
        "$$ INSERT INTO seen VALUES (t) RETURNING t $$",
        f"CREATE VIEW spying AS SELECT spy(id) AS id, x, label, changed FROM {quoted(filled)}",
    )
    declare(plant.home.root, filled.source(table="spying"))
    assert "read-only" in pull(plant).document["sources"][0]["words"]


def test_a_name_is_quoted_and_never_becomes_a_query(plant: Plant, filled: Server) -> None:
    """A name that would be a statement is a table that is not there."""
    declare(plant.home.root, filled.source(table="rows WHERE 1=1 -- "))
    reply = sources.check(plant)
    assert reply.exit_code == 1
    declare(plant.home.root, filled.source())
    assert sources.check(plant).exit_code == 0


@pytest.mark.guarantee("G84")
@pytest.mark.requirement("DATA-02")
def test_no_row_is_lost_or_doubled_through_kills(
    unlocking: Path, tmp_path: Path, filled: Server, effort: Effort
) -> None:
    """Killed at random moments while rows change all the time, a pull ends with exactly what is in the table."""
    folder = made(tmp_path / "killed", filled.source(rows_per_query=7, pause_s=0.02, overlap="30m"))
    stop = threading.Event()

    def change() -> None:
        number, rng = 0, random.Random(5)  # noqa: S311 - moments, no secrets
        while not stop.is_set():
            number += 1
            changed = stamp(10 + number // 4 - rng.randrange(20) + 20)  # up to 20 minutes late, within the overlap
            filled.run(
                f"UPDATE {quoted(filled)} SET x = x + 1, changed = '{changed}' WHERE id = 'r{number % 500:04d}'"
                if number % 3
                else f"INSERT INTO {quoted(filled)} VALUES ('n{number}', 1, 'no', '{changed}', '')"
            )
            stop.wait(0.02)

    writer = threading.Thread(target=change)
    writer.start()
    try:
        hit = pulled_through_kills(folder, kills=effort(ci=4, record=60), seed=11, longest_s=4.0)
    finally:
        stop.set()
        writer.join()
    with app.open_plant(folder) as plant:
        pull(plant)
        with filled.engine.connect() as connection:
            there = connection.execute(text(f"SELECT id, x FROM {quoted(filled)} ORDER BY id")).all()
        found = [(row["id"], float(row["x"])) for row in rows_of(plant)]
    assert hit > 0
    assert found == sorted((str(row[0]), float(row[1])) for row in there)
