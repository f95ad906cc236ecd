"""What each process of `holdfast up` holds: what it needs for its own work, and nothing that another one needs."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from tests.scenarios.test_api_server import SOURCE, Up, running, wait

from holdfast.faces.cli import invoke

NUMERICS: Final = {"numpy", "scipy", "onnx", "onnxruntime", "polars", "sklearn", "torch"}
FRAMEWORK: Final = {"fastapi", "starlette", "pydantic", "uvicorn"}
DATABASE: Final = {"sqlalchemy", "sqlite3", "psycopg"}
SELDOM: Final = {
    "alembic",
    "boto3",
    "hvac",
    "azure",
    "pkcs11",
    "httpx",
    "obstore",
    "rich",
    "jinja2",
    "joserfc",
    "cedarpy",
}
"""What is loaded when it is first used: by a migration, a key service, a sign-on, a person who reads."""

SUPERVISOR: Final = """
import holdfast.faces.cli as cli, holdfast.faces.screen, holdfast.faces.http.up, holdfast.up, holdfast.edge
import holdfast.adapters.supervisor
cli.build()
"""
WAITING: Final = """
from holdfast.app import open_jobs
with open_jobs(root) as jobs:
    assert jobs.lease("nobody") is None
"""
API: Final = """
from holdfast.adapters import http_server
from holdfast.app import open_plant
from holdfast.faces.http.door import Terms
from holdfast.faces.http.server import serving
with open_plant(root) as plant, serving(plant, Terms(hosts=frozenset({"here"}))):
    told()
"""
ROLLBACK: Final = """
from holdfast.app import open_plant
from holdfast.lifecycle import exchanges, promotion, rollouts
with open_plant(root) as plant:
    told()
"""
GATEWAY: Final = """
from holdfast.adapters import http_server
from holdfast.edge import Worker, config_of
worker = Worker(config=config_of(root), number=0, shared=None, say_ready=lambda: None)
worker._look()
"""
SIGNING: Final = """
from holdfast.faces.cli import invoke
(root / "weights").write_bytes(bytes(1000))
words = ["--key", str(root / "key"), "--signature", str(root / "sig")]
assert invoke(["files", "sign", str(root / "weights"), *words]) == 0
"""
VERIFYING: Final = """
from holdfast.faces.cli import invoke
words = ["--key", str(root / "key" / "public.pem"), "--signature", str(root / "sig")]
assert invoke(["files", "verify", str(root / "weights"), *words]) == 0
"""


def loaded(script: str, root: Path) -> set[str]:
    """The packages that a process holds which does what the script says, over a workspace."""
    begins = "import json, sys; from pathlib import Path; root = Path(sys.argv[1])"
    told = "def told(): print('modules:' + json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"{begins}\n{told}\n{script}\ntold()", str(root)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": SOURCE},
    )
    assert done.returncode == 0, done.stderr
    first = next(line for line in done.stdout.splitlines() if line.startswith("modules:"))
    return {name.partition(".")[0] for name in json.loads(first.removeprefix("modules:"))}


@pytest.mark.parametrize(
    ("script", "not_here"),
    [
        pytest.param(
            SUPERVISOR, NUMERICS | FRAMEWORK | DATABASE | SELDOM | {"cryptography", "asyncio"}, id="supervisor"
        ),
        pytest.param(WAITING, NUMERICS | FRAMEWORK | SELDOM | {"cryptography"}, id="a worker that waits"),
        pytest.param(API, NUMERICS | SELDOM, id="the API"),
        pytest.param(ROLLBACK, NUMERICS | FRAMEWORK | SELDOM, id="a rollback"),
        pytest.param(GATEWAY, (NUMERICS - {"numpy"}) | (FRAMEWORK - {"uvicorn"}) | DATABASE | SELDOM, id="gateway"),
    ],
)
def test_a_process_loads_only_what_its_own_work_needs(script: str, not_here: set[str], bare: Path) -> None:
    """Each package that comes in by an import at the wrong place takes megabytes, for as long as the server runs."""
    assert not loaded(script, bare) & not_here


def test_signing_and_verifying_load_only_what_a_signature_needs(unlocking: Path, tmp_path: Path) -> None:
    """They run once for each build of somebody else's project: an import at the wrong place costs every one of them."""
    del unlocking
    assert invoke(["files", "key", str(tmp_path / "key")]) == 0
    not_here = NUMERICS | FRAMEWORK | DATABASE | SELDOM | {"asyncio", "email", "xml", "ssl"}
    assert loaded(SIGNING, tmp_path) & not_here == set()
    assert loaded(VERIFYING, tmp_path) & not_here == set()


@pytest.fixture
def up(bare: Path) -> Iterator[Up]:
    """Everything over a new workspace."""
    with running(bare) as found:
        yield found


def held(pid: int) -> set[str]:
    """The packages with compiled parts that a process has mapped; none where it has just ended."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    except OSError:
        return set()
    parts = [Path(line.split()[-1]).parts for line in lines if ".so" in line and "site-packages" in line]
    return {each[each.index("site-packages") + 1].partition(".")[0] for each in parts}


def test_the_processes_of_a_server_hold_what_the_table_says(up: Up) -> None:
    """As they are started: the API alone holds the framework, nobody numerics without a model to answer with."""

    def children() -> list[set[str]]:
        return [held(pid) for pid in up.children()]

    def beside() -> list[set[str]]:
        return [each for each in children() if "httptools" not in each]

    wait(lambda: len(children()) == 4 and sum("httptools" in each for each in children()) == 2)
    wait(lambda: sum("cryptography" in each for each in beside()) == 1)
    wait(lambda: all(each - {"msgspec"} for each in children()))
    (api,) = (each for each in children() if "pydantic_core" in each)
    (gateway,) = (each for each in children() if "httptools" in each and each != api)
    (waiting,) = (each for each in beside() if "cryptography" not in each)
    (sidecar,) = (each for each in beside() if "cryptography" in each)
    supervisor = held(up.process.pid)
    for each in (supervisor, api, waiting, gateway, sidecar):
        assert not each & {"onnxruntime", "onnx", "polars", "sklearn", "scipy"}
    assert not supervisor & {"cryptography", "sqlalchemy", "numpy", "httptools"}
    assert not waiting & {"cryptography", "numpy"}
    assert not api & {"numpy", "cedarpy"}
    assert not sidecar & {"numpy", "sqlalchemy", "pydantic_core", "uvloop"}
    assert not gateway & {"sqlalchemy", "pydantic_core", "cedarpy"}
