"""What the ledger costs: appending in groups, verifying everything, and the size of proofs.

    python bench/bench_ledger.py [rounds]

Targets: at least 10,000 appended events/s in groups, at least 50,000 verified/s. The peers do the same work without its
meaning: for appending, the same documents in one bare table with the same durability; for verifying, reading them back
and hashing each once. Every round runs all ways one after another.
"""

import hashlib
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from importlib.metadata import version
from itertools import count
from pathlib import Path
from typing import Final

from holdfast.adapters.clock import SystemClock
from holdfast.adapters.database import open_database
from holdfast.adapters.keys import create_keys
from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.unlock import create_unlock_file
from holdfast.core.artifact import digest_bytes
from holdfast.core.ledger import Draft

ROUNDS: Final = 15
EVENTS: Final = 5_000  # of one measurement; each round adds this many to a ledger that goes on growing
SUBJECTS: Final = [digest_bytes(str(number).encode()) for number in range(500)]
RUN: Final = 12  # events about one artifact in a row: what a stage with six controls leaves
COUNT: Final = count()
SIZES: Final = (1_000, 10_000, 50_000)
THREADS: Final = 64


def drafts(wanted: int) -> list[Draft]:
    """Return events of the commonest kind: evidence, filed in runs about one of 500 artifacts after the other."""
    first = next(COUNT) * RUN
    return [
        Draft(
            kind="evidence.filed",
            actor="assess",
            stream=SUBJECTS[(first + number) // RUN % len(SUBJECTS)],
            body={"control": "assess.quality/1", "run": f"run-{number}", "envelope": SUBJECTS[-number % 500]},
        )
        for number in range(wanted)
    ]


def in_groups(ledger: SqlLedger, group: int) -> Callable[[], float]:
    """Append from one caller, so many at a time."""

    def run() -> float:
        groups = [drafts(group) for _ in range(EVENTS // group)]
        started = time.perf_counter()
        for each in groups:
            ledger.append(each)
        return EVENTS / (time.perf_counter() - started)

    return run


def one_by_one(ledger: SqlLedger) -> Callable[[], float]:
    """Append single events from many threads: the ledger makes the groups."""

    def work() -> None:
        for draft in drafts(EVENTS // THREADS):
            ledger.append([draft])

    def run() -> float:
        threads = [threading.Thread(target=work) for _ in range(THREADS)]
        started = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return EVENTS // THREADS * THREADS / (time.perf_counter() - started)

    return run


def bare_insert(path: Path, documents: list[bytes]) -> Callable[[], float]:
    """Insert the same bytes into a table without chain, projections or checks, in groups of 1,000, as durably."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE bare (position INTEGER PRIMARY KEY, document BLOB)")

    def run() -> float:
        started = time.perf_counter()
        for start in range(0, EVENTS, 1000):
            connection.execute("BEGIN IMMEDIATE")
            rows = [(document,) for document in documents[start : start + 1000]]
            connection.executemany("INSERT INTO bare (document) VALUES (?)", rows)
            connection.execute("COMMIT")
        return EVENTS / (time.perf_counter() - started)

    return run


def verifying(ledger: SqlLedger) -> Callable[[], float]:
    """Audit everything: chain, streams, tree, columns, projections."""

    def run() -> float:
        started = time.perf_counter()
        size = ledger.verify().size
        return size / (time.perf_counter() - started)

    return run


def bare_hash(path: Path) -> Callable[[], float]:
    """Read every document and hash it once."""

    def run() -> float:
        with closing(sqlite3.connect(path)) as connection:
            started = time.perf_counter()
            found = 0
            for (document,) in connection.execute("SELECT document FROM entries ORDER BY position"):
                hashlib.sha256(document).digest()
                found += 1
            return found / (time.perf_counter() - started)

    return run


def table(title: str, ways: dict[str, Callable[[], float]], rounds: int) -> None:
    """Measure the ways in turn, and print the events/s of each and its ratio to the last, which is the peer."""
    measured: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(rounds + 1):
        for way, run in ways.items():
            speed = run()
            if number:  # the first round warms caches
                measured[way].append(speed)
    print(f"\n{title}\n{'':44} {'median':>9} {'quartiles':>19} {'peer/ours':>9}")
    peer = statistics.median(list(measured.values())[-1])
    for way, speeds in measured.items():
        low, median, high = statistics.quantiles(speeds, n=4)
        print(f"{way:44} {median:9,.0f} {low:9,.0f} {high:9,.0f} {peer / median:9.2f}")


def proofs(ledger: SqlLedger) -> None:
    """Print how large proofs are in trees of several sizes."""
    print(f"\n{'proof sizes':44} {'inclusion':>9} {'consistency':>19}  (bytes, largest of 100)")
    for size in (size for size in SIZES if size <= ledger.size()):
        steps = range(1, size, max(1, size // 100))
        inclusion = max(32 * len(ledger.inclusion(position, size)) for position in steps)
        consistency = max(32 * len(ledger.consistency(old, size)) for old in steps)
        print(f"{f'{size:,} entries':44} {inclusion:9,} {consistency:19,}")


def main(rounds: int) -> None:
    """Print everything."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("sqlalchemy", "msgspec", "rfc8785", "cryptography"))
    print(
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {packages}, {os.cpu_count()} processors"
    )
    print(f"{rounds} rounds of {EVENTS:,} events, interleaved; events/s")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unlock = create_unlock_file(folder / "unlock", outside=folder / "workspace")
        keys = create_keys(folder / "keys", ["ledger"], owner="bench", clock=SystemClock(), unlock=unlock)
        engine = open_database(folder / "ledger.db")
        ledger = SqlLedger(engine, clock=SystemClock(), signer=keys.signer("ledger"), origin="bench.example")
        documents = [entry.document for entry in ledger.append(drafts(EVENTS))]
        print(f"one entry is {statistics.fmean(map(len, documents)):.0f} bytes")
        appending = {
            "append, groups of 1,000": in_groups(ledger, 1000),
            "append, groups of 100": in_groups(ledger, 100),
            f"append, one by one from {THREADS} threads": one_by_one(ledger),
            "peer: bare inserts, groups of 1,000": bare_insert(folder / "bare.db", documents),
        }
        table("appending (target: 10,000 events/s in groups)", appending, rounds)
        checking = {"verify": verifying(ledger), "peer: read and hash once": bare_hash(folder / "ledger.db")}
        table(f"verifying {ledger.size():,} entries (target: 50,000 events/s)", checking, max(rounds // 3, 3))
        assert ledger.verify().root == ledger.root()
        proofs(ledger)
        ledger.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
