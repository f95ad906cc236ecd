"""Several processes on one ledger at the same time: one valid chain, and decisions that do not overtake one another."""

import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from tests.services.ledger_places import PLACES, place_named
from tests.unit.adapter_kit import child, open_ledger, opened

PROCESSES: Final = 3
LEDGERS: Final = 4  # opened by all processes in the same moment, so that making the database is a race each time
APPENDS: Final = 30

APPEND: Final = """
import sys
from pathlib import Path
from holdfast.core.errors import Conflict
from tests.unit.adapter_kit import note, open_ledger

me = sys.argv[1]
print("ready", flush=True)
for line in sys.stdin:
    place = line.strip()
    ledger = open_ledger(place if "://" in place else Path(place))
    won = 0
    for number in range(30):
        ledger.append([note(f"{me} {number}", "shared", actor=me), note(f"{me} {number}", me, actor=me)])
        while True:
            heads = ledger.heads(["counter"])
            count = ledger.stream("counter")[-1].body["text"] if heads["counter"][0] else 0
            try:
                ledger.append([note(count + 1, "counter", actor=me)], expect=heads, consume_nonce=f"{me} {number}")
                break
            except Conflict:
                won += 1
    ledger.close()
    print("done", won, flush=True)
"""


@pytest.fixture(params=PLACES)
def places(
    request: pytest.FixtureRequest, tmp_path: Path, require_service: Callable[[str, str, int], None]
) -> Iterator[list[Path | str]]:
    """Fresh places, none of them opened yet."""
    with ExitStack() as stack:
        yield [
            stack.enter_context(place_named(request.param, tmp_path / str(number), require_service))
            for number in range(LEDGERS)
        ]


def test_processes_that_append_at_once_leave_one_valid_chain(places: list[Path | str]) -> None:
    """Nothing is lost, nothing doubled, each process's entries are in its order, and no counted step is taken twice."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child(APPEND, f"p{number}", stdin=subprocess.PIPE)) for number in range(PROCESSES)
        ]
        for process in processes:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
        for place in places:
            for process in processes:
                assert process.stdin
                process.stdin.write(f"{place}\n".encode())
                process.stdin.flush()
            for process in processes:
                assert process.stdout
                assert process.stdout.readline().startswith(b"done")
            check(place)
        for process in processes:
            assert process.stdin
            process.stdin.close()


def check(place: Path | str) -> None:
    """Audits what the processes left, and counts."""
    ledger = open_ledger(place)
    outside = opened(ledger.checkpoint())
    audit = ledger.verify([outside])
    assert audit.size == audit.anchored == PROCESSES * APPENDS * 3
    for number in range(PROCESSES):
        own = [entry.body["text"] for entry in ledger.stream(f"p{number}")]
        assert own == [f"p{number} {step}" for step in range(APPENDS)]
    assert Counter(entry.actor for entry in ledger.stream("shared")) == {f"p{n}": APPENDS for n in range(PROCESSES)}
    assert [entry.body["text"] for entry in ledger.stream("counter")] == list(range(1, PROCESSES * APPENDS + 1))
    assert ledger.rebuild().differed == ()
    ledger.close()
