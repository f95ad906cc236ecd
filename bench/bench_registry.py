"""What it costs to say which release a name means, and to fold a release's history, without HTTP.

    python bench/bench_registry.py [rounds]

Target: at least 1,500 resolutions/s on one worker, of an alias to a verified digest. The peer does the same work
without its meaning: one indexed look-up of a name in a bare table of the same database. Every round runs all ways one
after the other, on a workspace with 200 aliases and a ledger of 20,000 entries. Rates are per second of processor time,
so that a busy machine does not decide them.
"""

import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Final

from holdfast.adapters.blobs import DiskBlobs
from holdfast.adapters.database import open_database
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.evidence import exactly
from holdfast.core.ledger import Draft
from holdfast.core.passport import FILED, RECORDED
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, Authorization, seal
from holdfast.registry import Opener, closure, fold
from holdfast.registry.aliases import ALIASED, Resolver, alias_rule, alias_stream
from holdfast.testing.chronicle import Chronicle, measured

ROUNDS: Final = 7
ALIASES: Final = 200
NOISE: Final = 20_000  # entries of other streams
CALLS: Final = 2_000  # of one measurement
EVIDENCE_EACH: Final = 12  # sealed statements on a model and its release


class Place:
    """A workspace on disk with releases, evidence and aliases, signed by the keys of a chronicle."""

    def __init__(self, folder: Path) -> None:
        """Write everything."""
        self.world = Chronicle(b"policy")
        self.blobs = DiskBlobs(folder / "blobs")
        signer = self.world.signers["ledger"]
        engine = open_database(folder / "ledger.db")
        self.ledger = SqlLedger(engine, clock=self.world.clock, signer=signer, origin="bench")
        noise = [Draft(kind="note", actor="a", stream=f"noise/{number % 500}", body={}) for number in range(NOISE)]
        for start in range(0, NOISE, 1000):
            self.ledger.append(noise[start : start + 1000])
        self.names = [f"alias-{number}" for number in range(ALIASES)]
        self.releases = [self._release(name) for name in self.names]
        self.table = sqlite3.connect(folder / "bare.db")
        self.table.execute("create table names (name text primary key, digest text)")
        self.table.executemany("insert into names values (?, ?)", zip(self.names, self.releases, strict=True))
        self.table.commit()

    def _release(self, name: str) -> Digest:
        """Record a model and its release with evidence, and point an alias to it."""
        model = self._artifact(Kind.MODEL, f"model of {name}")
        release = self._artifact(Kind.RELEASE, f"release of {name}")
        drafts = [self._recorded(model), self._recorded(release, model)]
        for number in range(EVIDENCE_EACH):
            item = measured(f"assess.check{number}/1", model, exactly("score", 1))
            envelope = self.blobs.put(seal(item, EVIDENCE, [self.world.signers["assess"]]))
            body = {"control": item.control, "run": name, "envelope": envelope}
            drafts.append(Draft(kind=FILED, actor="assess", stream=model.digest, body=body))
        word = Authorization(
            person="alice",
            role="owner",
            action="grant",
            subject=release.digest,
            rule=alias_rule(name),
            until=self.world.clock.now() + timedelta(days=1),
            reason="r",
        )
        envelope = self.blobs.put(seal(word, AUTHORIZATION, [self.world.signers["alice"]]))
        pointer = {"name": alias_stream(name), "digest": release.digest}
        moved = {"pointer": pointer, "reason": "r", "envelope": envelope}
        self.ledger.append([*drafts, Draft(kind=ALIASED, actor="alice", stream=alias_stream(name), body=moved)])
        return release.digest

    def _artifact(self, kind: Kind, text: str) -> Artifact:
        return Artifact(kind=kind, digest=self.blobs.put(text.encode()), size=len(text))

    def _recorded(self, artifact: Artifact, *parents: Artifact) -> Draft:
        edges = [{"kind": parent.kind, "digest": parent.digest} for parent in parents]
        body = {"kind": artifact.kind, "size": artifact.size, "parents": edges}
        return Draft(kind=RECORDED, actor="train", stream=artifact.digest, body=body)


def warm(place: Place) -> Callable[[], float]:
    """Resolve names that were asked for before: nothing has moved, and one query says so."""
    resolver = Resolver(place.ledger, place.blobs, lambda: place.world.trust)
    assert [resolver.resolve(name) for name in place.names] == place.releases

    def run() -> float:
        names = cycle(place.names)
        started = time.process_time()
        for _ in range(CALLS):
            resolver.resolve(next(names))
        return CALLS / (time.process_time() - started)

    return run


def moving(place: Place) -> Callable[[], float]:
    """Resolve names while others append: each answer is held against the heads of all that it rests on."""
    resolver = Resolver(place.ledger, place.blobs, lambda: place.world.trust)
    assert [resolver.resolve(name) for name in place.names] == place.releases

    def run() -> float:
        names, took = cycle(place.names), 0.0
        for _ in range(CALLS // ALIASES):
            place.ledger.append([Draft(kind="note", actor="a", stream="noise/0", body={})])
            started = time.process_time()
            for _ in range(ALIASES):
                resolver.resolve(next(names))
            took += time.process_time() - started
        return CALLS // ALIASES * ALIASES / took

    return run


def cold(place: Place) -> Callable[[], float]:
    """Resolve each name for the first time: everything is read, unsealed and folded."""

    def run() -> float:
        resolver = Resolver(place.ledger, place.blobs, lambda: place.world.trust)
        started = time.process_time()
        for name in place.names:
            resolver.resolve(name)
        return len(place.names) / (time.process_time() - started)

    return run


def bare(place: Place) -> Callable[[], float]:
    """Look names up in a bare table."""

    def run() -> float:
        names = cycle(place.names)
        started = time.process_time()
        for _ in range(CALLS):
            place.table.execute("select digest from names where name = ?", (next(names),)).fetchone()
        return CALLS / (time.process_time() - started)

    return run


def folds(place: Place) -> Callable[[], float]:
    """Fold the history of one release again and again, envelopes opened already."""
    release = place.releases[0]
    entries = closure(place.ledger, release, place.ledger.size())
    opener = Opener(place.blobs, place.world.trust)

    def run() -> float:
        started = time.process_time()
        for _ in range(CALLS):
            fold(release, entries, opener)
        return CALLS / (time.process_time() - started)

    return run


def main() -> None:
    """Measure all ways in turn, and print medians, spread and ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder))
        ways = {"resolve, warm": warm(place), "resolve, moving": moving(place)}
        ways |= {"resolve, first time": cold(place), "bare table": bare(place)}
        ways["fold of a history"] = folds(place)
        found: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, way in ways.items():
                found[name].append(way())
        place.ledger.close()
    print(f"{platform.machine()}, Python {platform.python_version()}, {rounds} rounds, {ALIASES} aliases")
    for name, rates in found.items():
        print(f"{name:22} {statistics.median(rates):12,.0f}/s   [{min(rates):,.0f}, {max(rates):,.0f}]")
    ratio = statistics.median(found["bare table"]) / statistics.median(found["resolve, warm"])
    print(f"a bare look-up is {ratio:.0f} times as fast as a verified one; the target for resolving is 1,500/s")


if __name__ == "__main__":
    main()
