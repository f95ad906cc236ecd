"""What all tests share: which of them may open sockets, how long they try, and where their data and services are.

Three variables steer a run, and none of them is needed:

- `HOLDFAST_DATA`: the folder of public data too large for the project (default: `../shared/data` beside the checkout);
- `HOLDFAST_REQUIRE_SERVICES=1`: an absent service or program is an error instead of a skip (continuous integration);
- `HOLDFAST_RECORD=1`: full counts instead of quick ones, and results stored under `docs/records/` (`make record`).
"""

import json
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NoReturn, Protocol

import pytest
from hypothesis import HealthCheck, Phase, settings

pytest_plugins = ("requirement_marks",)

ROOT: Final = Path(__file__).parents[1]
RECORDS: Final = ROOT / "docs" / "records"

CLOSED: Final = frozenset({"unit", "properties", "vectors", "conformance"})
"""Folders whose tests may open no socket. What they test does no I/O, so a socket there is a defect."""

LOOPBACK: Final = ["127.0.0.1", "::1"]
"""All that any other test may speak to: no test depends on the world outside."""

CONNECT_TIMEOUT_S: Final = 2.0  # a service on this machine answers at once or is not there

RECORDING: Final = os.environ.get("HOLDFAST_RECORD") == "1"
SERVICES_REQUIRED: Final = os.environ.get("HOLDFAST_REQUIRE_SERVICES") == "1"

# No deadlines: a busy machine is no defect. "ci" draws the same examples each time, so that a red build can be
# repeated; "dev" draws new ones; "mutants" only has to notice, once, that a function is gone.
settings.register_profile("dev", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("record", deadline=None, max_examples=2_000, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=20,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marks and chooses how hypothesis draws."""
    config.addinivalue_line("markers", "record: has a full count, which `make record` runs and stores")
    config.addinivalue_line("markers", "services: needs a program or server that pip does not install")
    config.addinivalue_line("markers", "guarantee(id): shows a guarantee of docs/threat-model.md")
    if config.pluginmanager.hasplugin("requirement_mutants"):
        settings.load_profile("mutants")
    elif RECORDING:
        settings.load_profile("record")
    else:
        settings.load_profile("ci" if SERVICES_REQUIRED else "dev")


@pytest.hookimpl(tryfirst=True)  # before -m takes tests away
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Closes sockets by folder, and marks the tests that have a full count."""
    for item in items:
        folder = item.path.relative_to(ROOT / "tests").parts[0] if item.path.is_relative_to(ROOT / "tests") else ""
        item.add_marker(pytest.mark.disable_socket if folder in CLOSED else pytest.mark.allow_hosts(LOOPBACK))
        if {"effort", "record"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.record)


def absent(what: str, remedy: str) -> NoReturn:
    """Skips a test that lacks something of this machine, or fails it where nothing may be lacking."""
    message = f"{what} is absent: {remedy}"
    if SERVICES_REQUIRED:
        pytest.fail(f"{message} (HOLDFAST_REQUIRE_SERVICES=1)", pytrace=False)
    pytest.skip(message)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets. A test that needs one of them skips, saying so, where the folder is absent."""
    folder = Path(os.environ.get("HOLDFAST_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the public data sets are absent: name their folder in HOLDFAST_DATA")
    return folder


@pytest.fixture(scope="session")
def require_service() -> Callable[[str, str, int], None]:
    """`require_service("postgres", "127.0.0.1", 5432)` goes on only if something listens there."""

    def require(name: str, host: str, port: int) -> None:
        try:
            socket.create_connection((host, port), timeout=CONNECT_TIMEOUT_S).close()
        except OSError:
            absent(f"{name} at {host}:{port}", "`make services` says how to get it")

    return require


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], Path]:
    """`require_program("bwrap")` returns where the program is."""

    def require(name: str) -> Path:
        found = shutil.which(name)
        if found is None:
            absent(f"the program {name}", "`make services` installs it or says how to get it")
        return Path(found)

    return require


@pytest.fixture(scope="session")
def peers() -> Path:
    """The folder of commands of the public tools that must understand what we write, such as `model_signing`.

    They live in an environment of their own (locks/peers.txt), because nothing of theirs may become part of Holdfast.
    """
    folder = ROOT / ".venv-peers" / "bin"
    if not (folder / "model_signing").is_file():
        absent("the environment of public peers (.venv-peers)", "`make services` makes it")
    return folder


class Effort(Protocol):
    """How many times a test tries."""

    def __call__(self, *, ci: int, record: int) -> int:
        """The quick count, or the full one under `make record`."""


@pytest.fixture(scope="session")
def effort() -> Effort:
    """`effort(ci=25, record=1000)` is 25, and 1000 under `make record`."""

    def choose(*, ci: int, record: int) -> int:
        return record if RECORDING else ci

    return choose


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Stores what a full count found. Quick runs store nothing."""

    folder: Path
    recording: bool
    test: str

    def save(self, name: str, *, seed: int | str | None, result: dict[str, Any]) -> Path | None:
        """Writes `<name>.json` with seed, commit and result; returns the file, or None in a quick run.

        Args:
            name: What was counted, in small letters with hyphens: it becomes the file's name.
            seed: What the randomness was drawn from, so that the run can be repeated; None where there was none.
            result: Counts and figures, as JSON.
        """
        if not self.recording:
            return None
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "name": name,
            "test": self.test,
            "seed": seed,
            "commit": _git("rev-parse", "HEAD"),
            "uncommitted_changes": bool(_git("status", "--porcelain", "--", ".", ":!docs/records")),
            "date": datetime.now(UTC).date().isoformat(),
            "python": platform.python_version(),
            "system": f"{platform.system()} {platform.machine()}",
            "processors": os.cpu_count(),
            "result": result,
        }
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        return file


@pytest.fixture
def record(request: pytest.FixtureRequest) -> Record:
    """Stores the result of a full count: `record.save("kills", seed=seed, result={"kills": 1000, "lost": 0})`."""
    return Record(folder=RECORDS, recording=RECORDING, test=request.node.nodeid)


def _git(*arguments: str) -> str:
    """What git says about the checkout; empty where there is no git or no commit."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


@pytest.fixture(scope="session")
def unlocking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the unlock secrets of all workspaces here lie."""
    folder = tmp_path_factory.mktemp("unlocking")
    patch = pytest.MonkeyPatch()
    patch.setenv("HOLDFAST_UNLOCK_DIR", str(folder))
    yield folder
    patch.undo()
