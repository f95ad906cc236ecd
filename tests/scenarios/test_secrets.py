"""Scenarios of secrets: a job gets what it declared and was granted, as a file, and nothing else of it is anywhere."""

import shutil
from pathlib import Path

import pytest
from tests.scenarios.office import Office

from holdfast import app
from holdfast.core.artifact import Artifact, Digest, Kind
from holdfast.core.errors import (
    HoldfastError,
    InvalidInput,
    InvalidProject,
    InvalidRecipe,
    NotFound,
    NotVerified,
    Refused,
)
from holdfast.core.project import parse_project
from holdfast.lifecycle import STAGES, secrets
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.runner import run
from holdfast.testing.clock import SettableClock

VALUE = b"correct-horse-battery-staple\n"
TELLS = '''
import base64, os, sys


def train(data, params, seed):
    """Say whatever a careless author might say."""
    held = data.secrets["dbpass"].read_bytes()
    assert sorted(data.secrets) == ["dbpass"]
    told = repr(os.environ) + repr(sys.argv)
    assert held.decode().strip() not in told
    sys.stderr.write(held.decode())
    print(held.decode())
    raise ValueError(f"cannot log in with {held.decode()} or {base64.b64encode(held).decode()}")
'''


@pytest.fixture
def declared(project: Path) -> Path:
    """A copy of the finished project whose recipe declares a secret and blurts it out."""
    text = (project / "holdfast.toml").read_text(encoding="utf-8")
    (project / "holdfast.toml").write_text(
        text.replace("[train]\n", '[train]\nsecrets = ["dbpass"]\n'), encoding="utf-8"
    )
    (project / "train.py").write_text(TELLS, encoding="utf-8")
    return project


def kinds(plant: Plant) -> list[str]:
    """What is on record about secrets."""
    return [entry.kind for entry in plant.ledger.stream("secrets")]


def job(*, declares: tuple[str, ...] = ("dbpass",), recipe: str = "train.py:train") -> secrets.Job:
    """A run of a recipe."""
    return secrets.Job(run="a-run", names=(recipe, "sha256:" + "a" * 64), declared=declares)


def put(plant: Plant, name: str = "dbpass", value: bytes = VALUE) -> None:
    """Store a secret as the command line does, from a file."""
    file = plant.home.root.parent / "a-secret"
    file.write_bytes(value)
    secrets.put(plant, name=name, file=file)
    file.unlink()


@pytest.mark.requirement("ACC-08", by="holdfast.core.secret:Vault.reasons_against")
@pytest.mark.guarantee("G39")
def test_a_job_gets_the_secrets_it_declared_and_was_granted_and_no_others(declared: Path) -> None:
    """As a file in the sandbox; a read without grant or declaration is refused and logged, and no words leak it."""
    with app.open_plant(declared) as plant:
        put(plant)
        put(plant, "other", b"another-secret-entirely")
        with pytest.raises(Refused, match="not granted"):
            run(plant, until="train")
        secrets.grant(plant, name="dbpass", to="train.py:train")
        with pytest.raises(InvalidRecipe) as told:
            run(plant, until="train")
        assert "[secret]" in str(told.value)
        for name in ("other", "nothing"):
            with pytest.raises(Refused):
                secrets.release(plant, job(), name)
        assert kinds(plant)[2:] == [
            *("secret.refused", "secret.granted", "secret.released", "secret.refused", "secret.refused"),
        ]
        said = str(told.value) + Office(plant, SettableClock()).everything()
        for path in declared.rglob("*"):
            said += path.read_bytes().decode("latin-1") if path.is_file() else ""
    assert VALUE.decode().strip() not in said
    assert "another-secret-entirely" not in said


def test_what_was_granted_ends_with_its_withdrawal_and_with_the_secret(plant: Plant) -> None:
    """A new value keeps the grants; a withdrawn grant, and a secret made again after it was destroyed, do not count."""
    put(plant)
    secrets.grant(plant, name="dbpass", to="train.py:train")
    put(plant, value=b"a newer one")
    assert secrets.release(plant, job(), "dbpass") == b"a newer one"
    secrets.withdraw(plant, name="dbpass", to="train.py:train")
    with pytest.raises(Refused):
        secrets.release(plant, job(), "dbpass")
    secrets.grant(plant, name="dbpass", to="sha256:" + "a" * 64)
    assert secrets.release(plant, job(), "dbpass") == b"a newer one"
    secrets.remove(plant, name="dbpass")
    put(plant)
    for asked in (job(), job(declares=()), job(recipe="evil.py:train")):
        with pytest.raises(Refused):
            secrets.release(plant, asked, "dbpass")
    listed = secrets.listed(plant).document["secrets"]
    assert [(each["name"], each["jobs"]) for each in listed] == [("dbpass", [])]


def test_only_the_recipe_s_own_stage_declares_secrets(plant: Plant) -> None:
    """Whatever a project declares is the training's, and no other stage's."""
    text = plant.home.project_file.read_text(encoding="utf-8").replace("[train]\n", '[train]\nsecrets = ["dbpass"]\n')
    project = parse_project(text.encode())[0]
    held = {Kind.RECIPE: Artifact(kind=Kind.RECIPE, digest=Digest("sha256:" + "b" * 64), size=1)}
    may = {stage.name: secrets.job_of(project, stage, held, "run").declared for stage in STAGES}
    assert {name for name, declares in may.items() if declares} == {"train"}


def test_secrets_are_encrypted_at_rest_and_bound_to_name_and_version(plant: Plant) -> None:
    """No byte of one is on disk; a changed, renamed or older file opens as nothing."""
    put(plant)
    put(plant, "other", b"something else")
    folder = plant.home.workspace / "secrets"
    first = (folder / "dbpass.json").read_bytes()
    assert all(VALUE.strip() not in path.read_bytes() for path in folder.iterdir())
    assert all(path.stat().st_mode & 0o077 == 0 for path in folder.iterdir())
    secrets.grant(plant, name="dbpass", to="train.py:train")
    put(plant, value=b"a newer one")
    newest = (folder / "dbpass.json").read_bytes()
    for planted in (first, (folder / "other.json").read_bytes(), newest.replace(b'"version":2', b'"version":3'), b"{}"):
        (folder / "dbpass.json").write_bytes(planted)
        with pytest.raises(NotVerified):
            secrets.release(plant, job(), "dbpass")
    (folder / "dbpass.json").write_bytes(newest)
    assert secrets.release(plant, job(), "dbpass") == b"a newer one"


def test_a_copied_workspace_does_not_open_its_secrets(plant: Plant, tmp_path: Path) -> None:
    """Without the unlock secret, which lies elsewhere, they are noise."""
    put(plant)
    secrets.grant(plant, name="dbpass", to="train.py:train")
    copied = tmp_path / "copy"
    shutil.copytree(plant.home.root, copied)
    patch = pytest.MonkeyPatch()
    patch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nothing"))
    try:
        with app.open_plant(copied) as other, pytest.raises(HoldfastError):
            secrets.release(other, job(), "dbpass")
    finally:
        patch.undo()


def test_what_cannot_be_a_secret_is_refused(plant: Plant, tmp_path: Path) -> None:
    """Names that lead elsewhere, nothing at all, and too much; over the network nobody reads the server's input."""
    for name in ("", "../x", "A", "a/b", "x" * 64, ".ring"):
        with pytest.raises(InvalidInput):
            secrets.put_value(plant, name=name, value=b"x")
    for value in (b"", b"x" * (64 * 1024 + 1)):
        with pytest.raises(InvalidInput):
            secrets.put_value(plant, name="dbpass", value=value)
    with pytest.raises(InvalidInput, match="no secret was sent"):
        secrets.put(Office(plant, SettableClock()).over_the_network("eve"), name="dbpass")
    for missing in (lambda: secrets.grant(plant, name="none", to="x"), lambda: secrets.remove(plant, name="none")):
        with pytest.raises(NotFound):
            missing()
    text = plant.home.project_file.read_text(encoding="utf-8").replace("[train]\n", '[train]\nsecrets = ["../x"]\n')
    with pytest.raises(InvalidProject, match="secret"):
        parse_project(text.encode())
