"""A rolling upgrade: this release and the next one side by side over one workspace, in either order of starting.

The next release is made here: a copy of this one with a newer version and a migration that adds a column and a table,
which is what a migration may do while the release before it is served.
"""

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text
from tests.scenarios.callers import issue
from tests.scenarios.conftest import finished
from tests.scenarios.test_api_server import SOURCE, Up, running, wait
from tests.services.ledger_places import PLACES, place_named

import holdfast
from holdfast import app
from holdfast.adapters.database import SCHEMA, reading
from holdfast.lifecycle.plant import Plant

__all__ = ["finished"]  # a fixture of the scenarios, used here too

NEXT_SCHEMA: Final = f"{int(SCHEMA) + 1:04}"
NEXT_VERSION: Final = "99.0.0"
MIGRATION: Final = f'''"""What the next release adds."""

import sqlalchemy as sa
from alembic import op

revision = "{NEXT_SCHEMA}"
down_revision = "{SCHEMA}"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("jobs", sa.Column("priority", sa.Integer, nullable=False, server_default="0"))
    op.create_table("next_things", sa.Column("name", sa.Text, primary_key=True))


def downgrade():
    op.drop_table("next_things")
    op.drop_column("jobs", "priority")
'''


@pytest.fixture(scope="module")
def coming(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of the next release."""
    folder = tmp_path_factory.mktemp("next")
    package = folder / "src" / "holdfast"
    shutil.copytree(Path(SOURCE) / "holdfast", package, ignore=shutil.ignore_patterns("__pycache__"))
    for beside in ("policies", "evidence"):
        shutil.copytree(Path(SOURCE).parent / beside, folder / beside)
    for name, old, new in (
        ("__init__.py", f'__version__ = "{holdfast.__version__}"', f'__version__ = "{NEXT_VERSION}"'),
        ("adapters/database.py", f'SCHEMA: Final = "{SCHEMA}"', f'SCHEMA: Final = "{NEXT_SCHEMA}"'),
    ):
        source = (package / name).read_text(encoding="utf-8")
        assert old in source
        (package / name).write_text(source.replace(old, new), encoding="utf-8")
    (package / f"adapters/migrations/versions/r{NEXT_SCHEMA}_next.py").write_text(MIGRATION, encoding="utf-8")
    return str(package.parent)


@pytest.fixture(params=PLACES)
def project(
    request: pytest.FixtureRequest,
    finished: Path,
    tmp_path: Path,
    require_service: Callable[[str, str, int], None],
) -> Iterator[Path]:
    """A copy of the finished project, its history in each of the databases."""
    folder = tmp_path / "project"
    shutil.copytree(finished, folder)
    with place_named(request.param, tmp_path, require_service) as place:
        if request.param == "postgresql":
            app.migrate(folder, to=str(place))
        yield folder


def schema(plant: Plant) -> str:
    """The schema of its database as it is now."""
    with reading(plant.ledger.engine) as connection:  # type: ignore[attr-defined]
        return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())


def promote(up: Up, key: str, word: str) -> None:
    """Have a release promoted, once."""
    status, answer = up.ask("POST", "/v1/promote", key, {"reason": word}, idempotency=word)
    assert status == 200, answer


@pytest.mark.guarantee("G58")
@pytest.mark.services
def test_two_releases_side_by_side_answer_and_write_one_history(project: Path, coming: str) -> None:
    """Old runs, new joins and migrates, old goes on and even starts anew; then old leaves, and nothing was lost."""
    beside = ("--no-gateway", "--job-workers", "0")
    with app.open_plant(project) as plant:
        key = issue(plant, name="ada", role="administrator")
        before = plant.ledger.size()
    with running(project, *beside) as old:
        promote(old, key, "before")
        with running(project, *beside, "--job-workers", "1", source=coming) as new:
            promote(new, key, "new")
            promote(old, key, "old")
            again, told = old.ask("POST", "/v1/promote", key, {"reason": "new"}, idempotency="new")
            assert again == 200, told  # what the new one has answered, the old one answers again
            with running(project, *beside) as restarted:
                promote(restarted, key, "restarted")
            status, job = old.ask("POST", "/v1/watch", key, {})  # asked for there, carried out by the new one's worker
            assert status == 202, job
            wait(lambda: old.ask("GET", f"/v1/jobs/{job['job']}", key)[1]["state"] == "done")
            assert old.stop() == 0
            promote(new, key, "alone")
    with app.open_plant(project) as plant:  # and back: this release opens what the next one leaves
        assert schema(plant) == NEXT_SCHEMA
        reasons = [entry.body["reason"] for entry in plant.ledger.entries(before) if entry.kind == "release.promoted"]
        assert [reason for reason in reasons if reason] == ["before", "new", "old", "restarted", "alone"]
        plant.ledger.verify(())


@pytest.mark.guarantee("G58")
@pytest.mark.services
def test_a_gateway_of_this_release_obeys_the_control_plane_of_the_next(project: Path, coming: str) -> None:
    """Gateways are upgraded when their hosts are: what the newer one publishes, the older one verifies and serves."""
    with running(project, "--job-workers", "0") as old:
        command = [
            sys.executable,
            "-m",
            "holdfast",
            "promote",
            "-C",
            str(project),
            "--reason",
            "From the next.",
            "--json",
        ]
        environment = {**os.environ, "PYTHONPATH": coming}
        done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        promoted = json.loads(done.stdout)["epoch"]
        wait(lambda: epoch(old.said["gateway"]) >= promoted)


def epoch(gateway: str) -> int:
    """The epoch of the routes that a gateway obeys, as it says itself."""
    connection = http.client.HTTPConnection(gateway.removeprefix("http://"), timeout=10)
    with closing(connection):
        connection.request("GET", "/metrics")
        found = re.search(r"^holdfast_route_epoch (\d+)", connection.getresponse().read().decode(), re.MULTILINE)
    return int(found[1]) if found else 0
