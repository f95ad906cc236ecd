"""What tests/conftest.py promises to all other tests, tried on a small suite of its own."""

import json
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    """A checkout with our conftest and settings of pytest, and no tests yet."""
    for folder in ("docs", "src", "tests/unit", "tests/services"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("pyproject.toml", "docs/requirements.md", "tests/conftest.py"):
        shutil.copy(ROOT / file, tmp_path / file)
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    return tmp_path


def run(suite: Path, folder: str, source: str, *arguments: str, **variables: str) -> str:
    """Runs one file of tests in a folder of the suite and returns what pytest printed."""
    (suite / "tests" / folder / "test_it.py").write_text(textwrap.dedent(source))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=suite,
        env=kept | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


OPENS_A_SOCKET: Final = """
    import socket

    def test_it():
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()
"""


def test_unit_test_that_opens_a_socket_fails(suite: Path) -> None:
    """Where nothing does I/O, a socket is a defect."""
    printed = run(suite, "unit", OPENS_A_SOCKET)
    assert "A test tried to use socket" in printed
    assert "1 failed" in printed


def test_service_test_speaks_to_this_machine_only(suite: Path) -> None:
    """Tests of services reach the loopback address and nothing beyond it."""
    assert "1 passed" in run(suite, "services", OPENS_A_SOCKET)
    outside = 'import socket\n\ndef test_it():\n    socket.create_connection(("192.0.2.1", 80), timeout=1)\n'
    printed = run(suite, "services", outside)
    assert 'with host "192.0.2.1"' in printed
    assert "1 failed" in printed


def test_event_loop_runs_though_sockets_are_closed(suite: Path) -> None:
    """Asyncio wakes itself through a socket pair, which is no connection to anywhere."""
    source = "import asyncio\n\ndef test_it():\n    assert asyncio.run(asyncio.sleep(0, 7)) == 7\n"
    assert "1 passed" in run(suite, "unit", source)


NEEDS_SERVICES: Final = """
    def test_server(require_service):
        require_service("postgres", "127.0.0.1", 9)

    def test_program(require_program):
        require_program("no-such-program")

    def test_peer(peers):
        pass
"""


def test_absent_service_skips_with_its_reason(suite: Path) -> None:
    """On a person's machine a test that cannot run says what is absent and how to get it."""
    printed = run(suite, "services", NEEDS_SERVICES)
    assert "3 skipped" in printed
    assert "postgres at 127.0.0.1:9 is absent" in printed
    assert "the program no-such-program is absent" in printed
    assert "make services" in printed


def test_absent_service_fails_where_services_are_required(suite: Path) -> None:
    """In continuous integration nothing is skipped because a service is absent."""
    printed = run(suite, "services", NEEDS_SERVICES, HOLDFAST_REQUIRE_SERVICES="1")
    assert " passed" not in printed
    assert " skipped" not in printed
    assert "postgres at 127.0.0.1:9 is absent" in printed


def test_public_data_is_found_by_variable_or_skipped(suite: Path) -> None:
    """`HOLDFAST_DATA` names the folder; without it and without the default folder the test says so."""
    source = "def test_it(shared_data):\n    assert (shared_data / 'here').exists()\n"
    assert "the public data sets are absent" in run(suite, "unit", source)
    (suite / "elsewhere").mkdir()
    (suite / "elsewhere" / "here").touch()
    assert "1 passed" in run(suite, "unit", source, HOLDFAST_DATA=str(suite / "elsewhere"))


COUNTS: Final = """
    def test_counts(effort, record):
        tries = effort(ci=3, record=5)
        record.save("tries", seed=7, result={"tries": tries})

    def test_has_no_full_count():
        pass
"""


def test_quick_run_counts_little_and_stores_nothing(suite: Path) -> None:
    """`make test` leaves docs/records alone."""
    assert "2 passed" in run(suite, "unit", COUNTS)
    assert not (suite / "docs" / "records").exists()


def test_full_run_stores_seed_commit_and_result(suite: Path) -> None:
    """`make record` runs the tests that have a full count, with that count, and stores what repeats them."""
    assert "1 passed, 1 deselected" in run(suite, "unit", COUNTS, "-m", "record", HOLDFAST_RECORD="1")
    stored = json.loads((suite / "docs" / "records" / "tries.json").read_text())
    assert stored["seed"] == 7
    assert stored["result"] == {"tries": 5}
    assert "commit" in stored


def test_warning_is_an_error(suite: Path) -> None:
    """A deprecation is met on the day it appears."""
    source = "import warnings\n\ndef test_it():\n    warnings.warn('old', DeprecationWarning, stacklevel=1)\n"
    assert "1 failed" in run(suite, "unit", source)
