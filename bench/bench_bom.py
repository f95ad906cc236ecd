"""What it costs to say which of ten thousand models something bad reaches, and to list their bills of materials.

    python bench/bench_bom.py [rounds] [releases]

Aim: at most 200 ms for each question at 10,000 models. Each release has 120 libraries, of which a few differ from those
of its neighbours, data and a model; a hundred releases share a data set. The peer is what a table without lists does:
one row for each release and component in the same database engine, indexed by name, by licence and by digest. All ways
run one after the other in every round. The answer is the whole answer: every hit with state, names, endpoints and why.
Figures are of the processor and on the wall, since a busy machine must not decide them.
"""

import platform
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.adapters.bills import SqlBills
from holdfast.adapters.database import open_database
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.artifact import Kind, digest_bytes
from holdfast.core.bill import LISTED, PARTS, Part, list_name, list_stream, lists_of
from holdfast.core.ledger import Draft
from holdfast.core.passport import RECORDED
from holdfast.engines.advisories.osv import parse_record
from holdfast.lifecycle.bom_impact import hits_of
from holdfast.registry.advisory import advisory_of
from holdfast.registry.impact import told
from holdfast.registry.questions import Wanted, advised, artifact, component, licence
from holdfast.testing.chronicle import Chronicle

RELEASES: Final = 10_000
LIBRARIES: Final = 120
DIFFERENT: Final = 3  # libraries of a release that have another version than its neighbours'
SHARED_DATA: Final = 100  # releases of one data set
LICENCES: Final = ("MIT", "BSD-3-Clause", "Apache-2.0", "MPL-2.0", "BSD-2-Clause AND MIT")
RARE: Final = "AGPL-3.0-only"


class Place:
    """A workspace's database with the bills of many releases, and a bare table that says the same."""

    def __init__(self, folder: Path, releases: int) -> None:
        """Write everything."""
        world, random_ = Chronicle(b"policy"), random.Random(7)  # noqa: S311 - the same bills in every run
        engine = open_database(folder / "ledger.db")
        self.ledger = SqlLedger(engine, clock=world.clock, signer=world.signers["ledger"], origin="bench")
        self.bills = SqlBills(engine)
        self.bare = sqlite3.connect(folder / "bare.db")
        self.bare.execute(
            "create table parts (release text, kind text, name text, version text, digest text, licence text)"
        )
        known: set[str] = set()
        self.entries = 0
        for start in range(0, releases, 200):
            drafts: list[Draft] = []
            rows: list[tuple[str, ...]] = []
            for number in range(start, min(start + 200, releases)):
                drafts += self._release(number, random_, known, rows)
            for at in range(0, len(drafts), 1000):
                self.ledger.append(drafts[at : at + 1000])
            self.entries += len(drafts)
            self.bare.executemany("insert into parts values (?,?,?,?,?,?)", rows)
        for column in ("name", "digest", "licence"):
            self.bare.execute(f"create index by_{column} on parts ({column})")
        self.bare.commit()
        self.lists = len(known)

    def _release(
        self, number: int, random_: random.Random, known: set[str], rows: list[tuple[str, ...]]
    ) -> list[Draft]:
        source = digest_bytes(b"rows %d" % (number // SHARED_DATA))
        dataset, model, release = (digest_bytes(f"{kind} {number}".encode()) for kind in ("data", "model", "release"))
        drafts = [
            _recorded(source, Kind.SOURCE) if number % SHARED_DATA == 0 else None,
            _recorded(dataset, Kind.DATASET, (Kind.SOURCE, source)),
            _recorded(model, Kind.MODEL, (Kind.DATASET, dataset)),
            _recorded(release, Kind.RELEASE, (Kind.MODEL, model)),
        ]
        others = set(random_.sample(range(LIBRARIES), DIFFERENT))
        parts = [
            _library(index, 1000 + random_.randrange(50) if index in others else number // 200)
            for index in range(LIBRARIES)
        ]
        parts += [
            Part("data", "", f"rows {number // SHARED_DATA}", source[7:19], source[7:], "CC-BY-4.0"),
            Part("data", "", "dataset", dataset[7:19], dataset[7:], ""),
            Part("model", "", f"model-{number}", model[7:19], model[7:], ""),
        ]
        lists = {list_name(each): each for each in lists_of(parts)}
        drafts += [
            _draft(PARTS, list_stream(name), {"parts": msgspec.to_builtins(lists[name])})
            for name in sorted(lists.keys() - known)
        ]
        known.update(lists)
        body = {"model": f"model-{number}", "serial": f"urn:{number}", "lists": sorted(lists)}
        drafts.append(_draft(LISTED, release, body))
        rows += [(release, each.kind, each.name, each.version, each.digest, each.licence) for each in parts]
        return [draft for draft in drafts if draft is not None]


def _draft(kind: str, stream: str, body: dict[str, Any]) -> Draft:
    return Draft(kind=kind, actor="release", stream=stream, body=body)


def _recorded(digest: str, kind: Kind, *parents: tuple[Kind, str]) -> Draft:
    named = [{"kind": parent, "digest": each} for parent, each in parents]
    return _draft(RECORDED, digest, {"kind": kind, "size": 1, "parents": named})


def _library(index: int, version: int) -> Part:
    rare = index == 17 and version == 1007  # one version of one library is under another licence
    name, text = f"library-{index}", f"1.{version}"
    return Part("library", "pypi", name, text, digest_bytes(f"{name} {text}".encode())[7:],
                RARE if rare else LICENCES[index % len(LICENCES)])  # fmt: skip


BARE: Final = "select release, min(name), min(version) from parts where "
OSV: Final = b"""{"id": "OSV-2026-1", "modified": "2026-01-01T00:00:00Z", "affected": [
 {"package": {"ecosystem": "PyPI", "name": "library_3"}, "ranges": [{"type": "ECOSYSTEM",
  "events": [{"introduced": "1.1010"}, {"fixed": "1.1012"}]}]}]}"""


def questions(place: Place) -> dict[str, tuple[Callable[[], Wanted], str]]:
    """Return each question, and the same of a bare table."""
    source = digest_bytes(b"rows 3")
    known = place.bills.licences
    return {
        "a component, all versions": (lambda: component("library-3", None), "name = 'library-3'"),
        "a component, one range": (
            lambda: component("library-3", ">=1.1010,<1.1012"),
            "name = 'library-3' and version in ('1.1010', '1.1011')",
        ),
        "an advisory": (
            lambda: advised(advisory_of([parse_record(OSV, "osv")], "osv")),
            "name = 'library-3' and version in ('1.1010', '1.1011')",
        ),
        "a data set and all that derives": (
            lambda: artifact("dataset", source, place.bills.meant),
            f"digest = '{source[7:]}'",
        ),
        "a rare licence": (lambda: licence(RARE, known()), f"licence = '{RARE}'"),
        "a licence of every release": (lambda: licence("MPL-2.0", known()), "licence = 'MPL-2.0'"),
    }


def answered(place: Place, wanted: Callable[[], Wanted]) -> int:
    """Answer a question as the command does, up to JSON."""
    hits, around = hits_of(place.bills, wanted())
    return len(msgspec.json.encode([told(hit, around) for hit in hits])) and len(hits)


def bare(place: Place, where: str) -> int:
    """Answer a question from the bare rows."""
    query = f"select release, min(name), min(version) from parts where {where} group by release"  # noqa: S608 - ours
    found = place.bare.execute(query).fetchall()
    return len(msgspec.json.encode(found)) and len(found)


def timed(call: Callable[[], int]) -> tuple[float, float, int]:
    """Return what a call takes of the processor and on the wall, in milliseconds, and what it returns."""
    wall, worked = time.perf_counter(), time.process_time()
    count = call()
    return (time.process_time() - worked) * 1e3, (time.perf_counter() - wall) * 1e3, count


def told_figures(taken: list[tuple[float, float, int]]) -> str:
    """Return median and quartiles of the processor's time, and the median on the wall."""
    low, middle, high = statistics.quantiles((each[0] for each in taken), n=4)
    return f"{middle:.0f} ms ({low:.0f} to {high:.0f}), {statistics.median(each[1] for each in taken):.0f} on the wall"


def main() -> None:
    """Print each question's figures, and the peer's."""
    rounds, releases = (int(each) for each in [*sys.argv[1:3], *("7", str(RELEASES))[len(sys.argv) - 1 :]])
    with tempfile.TemporaryDirectory() as folder:
        place = Place(Path(folder), releases)
        asked = questions(place)
        ours: dict[str, list[tuple[float, float, int]]] = {name: [] for name in asked}
        theirs: dict[str, list[tuple[float, float, int]]] = {name: [] for name in asked}
        for _ in range(rounds + 1):  # the first warms up
            for name, (wanted, where) in asked.items():
                ours[name].append(timed(partial(answered, place, wanted)))
                theirs[name].append(timed(partial(bare, place, where)))
        versions = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}"
        print(f"{versions}, {releases} releases of {LIBRARIES} libraries, {rounds} rounds")
        print(f"{place.entries} entries, {place.lists} lists of parts")
        sizes = [(Path(folder) / name).stat().st_size / 1e6 for name in ("ledger.db", "bare.db")]
        print(f"database with the whole history {sizes[0]:.0f} MB, bare rows {sizes[1]:.0f} MB")
        for name in asked:
            taken, peers = told_figures(ours[name][1:]), told_figures(theirs[name][1:])
            print(f"{name}, {ours[name][0][2]} hits: {taken}; bare rows: {peers}")
        begun = time.process_time()
        rebuilt = place.ledger.rebuild()
        print(f"rebuild: {time.process_time() - begun:.1f} s, differed: {', '.join(rebuilt.differed) or 'nothing'}")


if __name__ == "__main__":
    main()
