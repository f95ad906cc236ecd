"""Processes killed while they append: no acknowledged entry is lost, no group is half there, the ledger goes on."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from tests.services.ledger_places import PLACES, place_named
from tests.unit.adapter_kit import child, note, open_ledger, opened

from holdfast.adapters.database import reading
from holdfast.core.ledger import Checkpoint, entry_hash

SEED: Final = 20260101
KILLS_OF_ONE_LEDGER: Final = 25  # so that making the database is interrupted too, and auditing it stays quick
LONGEST_S: Final = 0.03  # from the last append that a life is granted to its end: it dies in the midst of another

# Imports once and forks for each life: a life takes milliseconds to start, and dies where chance will have it.
NURSERY: Final = """
import importlib, importlib.util, os, random, sys, threading
from pathlib import Path
for module in ("alembic.command", "alembic.autogenerate", "psycopg"):  # what a life would else spend its time on
    if importlib.util.find_spec(module):
        importlib.import_module(module)
from holdfast.core.ledger import Draft, entry_hash
from tests.unit.adapter_kit import named, open_ledger

def live(place, life):
    ledger = open_ledger(place)
    def append(thread):
        drawn = random.Random(f"{life} {thread}")
        for number in range(10**9):
            size, group = drawn.randint(1, 12), f"{life} {thread} {number}"
            body = {"group": group, "size": size, "pointer": {"name": thread, "digest": named(group)}}
            drafts = [Draft(kind="note", actor=thread, stream=f"s{drawn.randrange(9)}", body=body) for _ in range(size)]
            done = ledger.append(drafts)
            os.write(1, "".join(f"{e.position} {entry_hash(e.document)}\\n" for e in done).encode())
    for thread in ("a", "b"):
        threading.Thread(target=append, args=(thread,)).start()

os.write(1, b"ready\\n")
for life in sys.stdin:
    place, life = life.rsplit(maxsplit=1)
    pid = os.fork()
    if not pid:
        live(place if "://" in place else Path(place), life)
        break
    os.write(1, f"born {pid}\\n".encode())
    os.waitpid(pid, 0)
    os.write(1, b"dead\\n")
"""


@pytest.fixture(params=PLACES)
def places(
    request: pytest.FixtureRequest, tmp_path: Path, require_service: Callable[[str, str, int], None]
) -> Iterator[Callable[[], Path | str]]:
    """Gives a fresh place for a ledger each time it is asked; all are gone afterwards."""
    managers: list[Any] = []

    def fresh() -> Path | str:
        folder = tmp_path / str(len(managers))
        manager = place_named(request.param, folder, require_service)
        managers.append(manager)
        return manager.__enter__()

    yield fresh
    for manager in managers:
        manager.__exit__(None, None, None)


@dataclass
class Acknowledged:
    """What the dead were told is safe."""

    hashes: dict[int, str]
    lives: int = 0


def kill_one(nursery: subprocess.Popen[bytes], place: Path | str, drawn: random.Random, told: Acknowledged) -> None:
    """Lets a process live for a while, kills it, and writes down what had been acknowledged by then."""
    assert nursery.stdin
    assert nursery.stdout
    told.lives += 1
    nursery.stdin.write(f"{place} {told.lives}\n".encode())
    nursery.stdin.flush()
    granted, moment_s, pid, heard = drawn.choice([0, 0, 1, 20, 60]), drawn.uniform(0, LONGEST_S), 0, 0
    for line in nursery.stdout:  # its birth may be told after its first words
        if line == b"dead\n":
            break
        if line.startswith(b"born"):
            pid = int(line.split()[1])
        else:
            position, hashed = line.split()
            told.hashes[int(position)] = hashed.decode()
            heard += 1
        if pid and heard >= granted:
            time.sleep(moment_s)
            os.kill(pid, signal.SIGKILL)
            pid = 0  # once; what it said before is still to be heard


def look_after(place: Path | str, told: Acknowledged, outside: Checkpoint | None) -> Checkpoint:
    """Checks everything that must hold after a death, and takes a checkpoint to hold the next one against."""
    with closing(open_ledger(place)) as ledger:
        # First of all, for it waits until a server has ended what the dead had asked of it: a commit may be under way.
        (entry,) = ledger.append([note("still here")])
        told.hashes[entry.position] = entry_hash(entry.document)
        audit = ledger.verify([outside] if outside else [])
        found = {entry.position: entry for entry in ledger.entries()}
        assert audit.size == len(found)
        assert not {at for at, hashed in told.hashes.items() if entry_hash(found[at].document) != hashed}
        groups = Counter((entry.body["group"], entry.body["size"]) for entry in found.values() if "group" in entry.body)
        assert all(count == size for (_, size), count in groups.items())
        if isinstance(place, Path):
            with reading(ledger._engine) as connection:
                assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
        return opened(ledger.checkpoint())


def test_no_acknowledged_entry_is_lost_when_the_process_is_killed(
    places: Callable[[], Path | str], request: pytest.FixtureRequest, effort: Any, record: Any
) -> None:
    """Killed at a random moment of opening, migrating or appending: what was acknowledged is there, and verifies."""
    kills = effort(ci=25, record=1000)
    drawn = random.Random(SEED)  # noqa: S311 - moments of death are drawn, not keys
    acknowledged = 0
    with child(NURSERY, stdin=subprocess.PIPE) as nursery:
        assert nursery.stdout
        assert nursery.stdout.readline() == b"ready\n"
        for start in range(0, kills, KILLS_OF_ONE_LEDGER):
            place, told, outside = places(), Acknowledged(hashes={}), None
            for _ in range(min(KILLS_OF_ONE_LEDGER, kills - start)):
                kill_one(nursery, place, drawn, told)
                outside = look_after(place, told, outside)
            acknowledged += len(told.hashes)
        assert nursery.stdin
        nursery.stdin.close()
    assert acknowledged > kills  # they did append
    name = f"kills-while-appending-{request.node.callspec.params['places']}"
    record.save(name, seed=SEED, result={"kills": kills, "acknowledged": acknowledged, "lost": 0})
