"""Whatever is wrong from outside gets one message with code, place, expectation and remedy; nothing is half written."""

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.scenarios.stand import kinds, releases

from holdfast import app
from holdfast.adapters.sandbox import open_sandbox
from holdfast.core.errors import (
    Conflict,
    InvalidInput,
    LedgerBroken,
    NotFound,
    SandboxUnavailable,
    Unavailable,
)
from holdfast.core.ports import Sandbox, Tier
from holdfast.faces.cli import invoke
from holdfast.lifecycle.routing import current_project
from holdfast.lifecycle.runner import project_stream

Arrange = Callable[[Path], object]


def nothing(_: Path) -> None:
    """Leave everything as it is."""


def edit(old: str, new: str) -> Arrange:
    """Replace something in the project file."""

    def arrange(root: Path) -> None:
        path = root / "holdfast.toml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return arrange


def write(name: str, content: bytes) -> Arrange:
    """Put bytes in a file's place."""

    def arrange(root: Path) -> None:
        path = root / name
        if path.exists():
            path.chmod(0o600)
        path.write_bytes(content)

    return arrange


def remove(name: str) -> Arrange:
    """Remove a file or folder."""

    def arrange(root: Path) -> None:
        path = root / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return arrange


def link(name: str, target: str) -> Arrange:
    """Put a symbolic link in a file's place."""

    def arrange(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        (root / name).symlink_to(target)

    return arrange


def both(first: Arrange, second: Arrange) -> Arrange:
    """Arrange two things."""
    return lambda root: (first(root), second(root))


def source(name: str) -> Arrange:
    """Have the project file name another source."""
    return edit('source = "patients.csv"', f"source = {json.dumps(name)}")


def cut(name: str) -> Arrange:
    """Cut a file in half."""

    def arrange(root: Path) -> None:
        path = root / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    return arrange


def keep_only_line(key: str) -> Arrange:
    """Remove the line of the project file that begins with a key."""

    def arrange(root: Path) -> None:
        path = root / "holdfast.toml"
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith(key)), encoding="utf-8")

    return arrange


def make_fifo(name: str) -> Arrange:
    """Put a pipe in a file's place: whoever opens it without care waits for ever."""

    def arrange(root: Path) -> None:
        (root / name).unlink(missing_ok=True)
        os.mkfifo(root / name)

    return arrange


def readable_by_all(root: Path) -> None:
    """Open a private key's file to everybody."""
    (root / ".holdfast" / "keys" / "assess.json").chmod(0o644)


def flip(name: str) -> Arrange:
    """Change one byte in the middle of a file."""

    def arrange(root: Path) -> None:
        path = root / name
        changed = bytearray(path.read_bytes())
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)

    return arrange


def hold_the_wrong_secret(root: Path) -> None:
    """Put another workspace's unlock secret in the place of this one's."""
    card = json.loads((root / ".holdfast" / "workspace.json").read_bytes())
    unlock = Path(os.environ["HOLDFAST_UNLOCK_DIR"])
    path = unlock / (card["name"].replace("/", "-") + ".unlock")
    path.write_bytes(b"holdfast-unlock-1 " + b"0" * 64 + b"\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Something wrong, and what must be said about it."""

    what: str
    arrange: Arrange = nothing
    words: tuple[str, ...] = ("run",)
    code: str
    exits: int
    says: str  # in the message
    place: str = ""  # in the place
    silent: bool = True  # nothing is written, not a single entry


RUN = ("run",)
CASES = (
    # The project file.
    Case(
        what="no project file",
        arrange=remove("holdfast.toml"),
        code="HF210",
        exits=3,
        says="missing",
        place="holdfast.toml",
    ),
    Case(
        what="a project file that is no TOML",
        arrange=write("holdfast.toml", b"[project\n"),
        code="HF210",
        exits=3,
        says="not TOML",
        place="holdfast.toml:1",
    ),
    Case(
        what="a project file of another encoding",
        arrange=write("holdfast.toml", b"\xff\xfe["),
        code="HF210",
        exits=3,
        says="not TOML",
        place="holdfast.toml",
    ),
    Case(
        what="an endless project file",
        arrange=link("holdfast.toml", "/dev/zero"),
        code="HF210",
        exits=3,
        says="not a regular file",
    ),
    Case(
        what="a project file of two megabytes",
        arrange=write("holdfast.toml", b"#" * (2 << 20)),
        code="HF210",
        exits=3,
        says="bytes",
        place="holdfast.toml",
    ),
    Case(
        what="an unknown key",
        arrange=edit("[gates]", "[gates]\nstrictness = 3"),
        code="HF210",
        exits=3,
        says="strictness",
        place="holdfast.toml:",
    ),
    Case(what="no owner", arrange=keep_only_line("owner"), code="HF210", exits=3, says="owner", place="holdfast.toml:"),
    Case(
        what="an empty owner",
        arrange=edit('owner = "', 'owner = "" # "'),
        code="HF210",
        exits=3,
        says="owner",
        place="holdfast.toml:",
    ),
    Case(
        what="no label",
        arrange=edit('use = "label"', 'use = "slice"'),
        code="HF210",
        exits=3,
        says="label",
        place="holdfast.toml:",
    ),
    Case(
        what="a share beyond one",
        arrange=edit("test_share = 0.25", "test_share = 7.5"),
        code="HF210",
        exits=3,
        says="test_share",
        place="holdfast.toml:",
    ),
    Case(
        what="a lease that is no time",
        arrange=edit('lease = "15m"', 'lease = "soon"'),
        code="HF210",
        exits=3,
        says="soon",
        place="holdfast.toml:",
    ),
    Case(
        what="a tier that does not exist",
        arrange=edit('tier = "process"', 'tier = "vault"'),
        code="HF210",
        exits=3,
        says="vault",
        place="holdfast.toml:",
    ),
    # The rows.
    Case(
        what="a source that is missing",
        arrange=source("rows.csv"),
        code="HF210",
        exits=3,
        says="does not exist",
        place="data.source",
    ),
    Case(
        what="a source outside the project",
        arrange=source("../../etc/passwd"),
        code="HF210",
        exits=3,
        says="outside",
        place="data.source",
    ),
    Case(
        what="an absolute source",
        arrange=source("/etc/passwd"),
        code="HF210",
        exits=3,
        says="outside",
        place="data.source",
    ),
    Case(
        what="a link out of the project as source",
        arrange=link("patients.csv", "/etc/passwd"),
        code="HF210",
        exits=3,
        says="outside",
        place="data.source",
    ),
    Case(
        what="links in a circle as source",
        arrange=link("patients.csv", "patients.csv"),
        code="HF210",
        exits=3,
        says="",
        place="data.source",
    ),
    Case(
        what="a folder as source",
        arrange=source("."),
        code="HF210",
        exits=3,
        says="not a regular file",
        place="data.source",
    ),
    Case(
        what="a pipe as source",
        arrange=make_fifo("patients.csv"),
        code="HF210",
        exits=3,
        says="not a regular file",
        place="data.source",
    ),
    Case(
        what="a source with a zero byte in its name",
        arrange=source("a\u0000b"),
        code="HF210",
        exits=3,
        says="cannot be read",
        place="data.source",
    ),
    Case(
        what="a source of too long a name",
        arrange=source("a" * 4000),
        code="HF210",
        exits=3,
        says="",
        place="data.source",
    ),
    Case(what="an empty source", arrange=write("patients.csv", b""), code="HF220", exits=3, says="", silent=False),
    Case(
        what="a source with a header alone",
        arrange=write("patients.csv", b"patient_id,diagnosis\n"),
        code="HF220",
        exits=3,
        says="",
        silent=False,
    ),
    Case(
        what="a binary source",
        arrange=write("patients.csv", bytes(range(256)) * 40),
        code="HF220",
        exits=3,
        says="",
        silent=False,
    ),
    Case(
        what="a source that is said to be Parquet",
        arrange=edit('format = "csv"', 'format = "parquet"'),
        code="HF220",
        exits=3,
        says="",
        silent=False,
    ),
    # The recipe.
    Case(
        what="a recipe that is missing",
        arrange=remove("train.py"),
        code="HF230",
        exits=3,
        says="does not exist",
        place="train.recipe",
    ),
    Case(
        what="a recipe outside the project",
        arrange=link("train.py", "/etc/passwd"),
        code="HF230",
        exits=3,
        says="outside",
        place="train.recipe",
    ),
    Case(
        what="a recipe of two megabytes",
        arrange=write("train.py", b"#" * (2 << 20)),
        code="HF230",
        exits=3,
        says="too long",
        place="train.py",
    ),
    Case(
        what="a recipe with a mistake in its syntax",
        arrange=write("train.py", b"def train(data, params, seed)\n"),
        code="HF230",
        exits=3,
        says="SyntaxError",
        place="train.py:1",
        silent=False,
    ),
    Case(
        what="a recipe without the function",
        arrange=write("train.py", b"x = 1\n"),
        code="HF230",
        exits=3,
        says="no function",
        place="train.py",
        silent=False,
    ),
    Case(
        what="a recipe that raises",
        arrange=write("train.py", b"def train(data, params, seed):\n    raise ValueError('no rows like these')\n"),
        code="HF230",
        exits=3,
        says="no rows like these",
        place="train.py:2",
        silent=False,
    ),
    Case(
        what="a recipe that returns nothing and prints thirty megabytes",
        arrange=write(
            "train.py", b"def train(data, params, seed):\n    for _ in range(3000):\n        print('x' * 10_000)\n"
        ),
        code="HF230",
        exits=3,
        says="returned nothing",
        place="train.py",
        silent=False,
    ),
    # The policy.
    Case(
        what="a policy that does not exist",
        arrange=edit('policy = "baseline"', 'policy = "strict"'),
        code="HF300",
        exits=3,
        says="no policy 'strict'",
        place="gates.policy",
    ),
    Case(
        what="a policy outside the project",
        arrange=edit('policy = "baseline"', 'policy = "../../etc/passwd"'),
        code="HF200",
        exits=3,
        says="outside",
        place="gates.policy",
    ),
    Case(
        what="a malformed policy of the project",
        arrange=both(edit('policy = "baseline"', 'policy = "mine.toml"'), write("mine.toml", b"rule = 7")),
        code="HF200",
        exits=3,
        says="policy cannot be read",
    ),
    Case(
        what="a policy file that is none",
        arrange=write("mine.toml", b"rules = 7\n"),
        words=("policy", "accept", "{root}/mine.toml"),
        code="HF200",
        exits=3,
        says="policy",
    ),
    Case(
        what="a policy file that is missing",
        words=("policy", "accept", "{root}/mine.toml"),
        code="HF200",
        exits=3,
        says="missing",
        place="mine.toml",
    ),
    Case(
        what="a policy rule without condition",
        arrange=write(
            "mine.toml",
            b'name = "a"\nversion = 1\npermit_lasts = "1h"\n[derivation]\n[[rule]]\nid = "a"\nbecause = "b"\n',
        ),
        words=("policy", "accept", "{root}/mine.toml"),
        code="HF200",
        exits=3,
        says="demands nothing",
        place="rule a",
    ),
    # The workspace.
    Case(what="no workspace", arrange=remove(".holdfast"), words=("log",), code="HF300", exits=3, says="no workspace"),
    Case(
        what="a workspace's card that is no JSON",
        arrange=write(".holdfast/workspace.json", b"{"),
        words=("log",),
        code="HF500",
        exits=4,
        says="card",
        place="workspace.json",
    ),
    Case(
        what="no ledger",
        arrange=remove(".holdfast/ledger.db"),
        words=("log",),
        code="HF510",
        exits=4,
        says="gone",
        place="ledger.db",
    ),
    Case(
        what="an empty ledger",
        arrange=write(".holdfast/ledger.db", b""),
        words=("log",),
        code="HF510",
        exits=4,
        says="empty",
        place="ledger.db",
    ),
    Case(
        what="a ledger that is no database",
        arrange=write(".holdfast/ledger.db", b"nonsense" * 1000),
        words=("log",),
        code="HF510",
        exits=4,
        says="damaged",
    ),
    Case(
        what="half a ledger",
        arrange=cut(".holdfast/ledger.db"),
        words=("ledger", "verify"),
        code="HF510",
        exits=4,
        says="",
    ),
    Case(
        what="no keys",
        arrange=remove(".holdfast/keys"),
        words=("log",),
        code="HF300",
        exits=3,
        says="no keys",
        place="keys",
    ),
    Case(
        what="a key that others can read",
        arrange=readable_by_all,
        words=("keys",),
        code="HF400",
        exits=1,
        says="open to others",
        place="assess.json",
    ),
    Case(
        what="a damaged trust document",
        arrange=flip(".holdfast/trust.dsse.json"),
        words=("keys",),
        code="HF500",
        exits=4,
        says="",
    ),
    Case(
        what="no trust document",
        arrange=remove(".holdfast/trust.dsse.json"),
        words=("keys",),
        code="HF300",
        exits=3,
        says="trust document",
    ),
    Case(
        what="a pinned root that is no JSON",
        arrange=write(".holdfast/root.json", b"[]"),
        words=("keys",),
        code="HF500",
        exits=4,
        says="pinned root",
        place="root.json",
    ),
    # The command line.
    Case(what="fewer entries than none", words=("log", "--last", "-5"), code="HF200", exits=3, says="--last -5"),
    Case(
        what="a rollback of nothing",
        words=("rollback", "--reason", "x"),
        code="HF600",
        exits=6,
        says="nothing is in production",
    ),
    Case(
        what="a rollback of another model",
        words=("rollback", "other", "--reason", "x"),
        code="HF300",
        exits=3,
        says="'other'",
    ),
    Case(
        what="a release that does not exist",
        words=("promote", "abcdef", "--reason", "x"),
        code="HF300",
        exits=3,
        says="0 releases",
    ),
    Case(
        what="an ambiguous release",
        words=("promote", "", "--reason", "x"),
        code="HF300",
        exits=3,
        says="releases begin",
    ),
    Case(what="a key for a caller without name", words=("key", "issue", "   "), code="HF200", exits=3, says="client"),
    Case(
        what="a key for a caller who breaks the line",
        words=("key", "issue", "a\nb"),
        code="HF200",
        exits=3,
        says="client",
    ),
    Case(
        what="a key that never expires",
        words=("key", "issue", "a", "--days", "100000"),
        code="HF200",
        exits=3,
        says="100000 days",
    ),
    Case(
        what="a checkpoint that is missing",
        words=("verify", "--checkpoint", "{root}/none"),
        code="HF200",
        exits=3,
        says="missing",
        place="none",
    ),
    Case(
        what="a checkpoint that is none",
        arrange=write("note", b"size 7\n"),
        words=("ledger", "verify", "--checkpoint", "{root}/note"),
        code="HF500",
        exits=4,
        says="checkpoint",
        place="note",
    ),
    Case(
        what="a checkpoint to a folder that does not exist",
        words=("ledger", "checkpoint", "--out", "{root}/no/such/file"),
        code="HF200",
        exits=3,
        says="cannot be written",
    ),
    Case(
        what="a page to a folder that does not exist",
        words=("why", "--html", "{root}/no/such/page.html"),
        code="HF200",
        exits=3,
        says="cannot be written",
    ),
    Case(what="a watch that never waits", words=("watch", "--every", "0"), code="HF200", exits=3, says="--every 0"),
)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.what)
def test_is_told_in_one_message(case: Case, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Code, place and words as documented, as JSON and in plain words; the ledger as it was."""
    case.arrange(project)
    words = [word.format(root=project) for word in case.words]
    before = tree(project)
    assert invoke([*words, "--root", str(project), "--json"]) == case.exits
    out, err = capsys.readouterr()
    assert err == ""
    error = json.loads(out)["error"]
    assert error["code"] == case.code
    assert case.says in error["error"]
    assert case.place in error["place"]
    assert error["remedy"]
    assert invoke([*words, "--root", str(project)]) == case.exits
    out, err = capsys.readouterr()
    assert out == ""
    assert case.code in err
    assert "→" in err
    assert "Traceback" not in err
    if case.silent:
        assert tree(project) == before


def tree(root: Path) -> dict[str, object]:
    """Every file of a project with its bytes; of the ledger, how many entries it has."""
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if name == ".holdfast/ledger.db":
            found[name] = count(path)
        elif not name.startswith((".holdfast/ledger.db-", ".holdfast/scratch")):
            found[name] = None if path.is_symlink() or not path.is_file() else path.read_bytes()
    return found


def count(database: Path) -> object:
    """How many entries a ledger's file has, or what is wrong with it."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            return connection.execute("SELECT count(*) FROM entries").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)


def test_what_a_run_that_fails_leaves_is_on_record_and_nothing_else(project: Path) -> None:
    """A recipe that raises: the run has begun and failed, no model is there, the next run with a good one succeeds."""
    good = (project / "train.py").read_bytes()
    (project / "train.py").write_bytes(b"def train(data, params, seed):\n    raise ValueError('no')\n")
    with app.open_plant(project) as plant:
        size = plant.ledger.size()
    assert invoke(["run", "--root", str(project)]) == 3
    with app.open_plant(project) as plant:
        new = [entry.kind for entry in plant.ledger.entries(size)]
        assert new.count("stage.started") == new.count("stage.failed") == 1
        assert "evidence.filed" not in new
        assert not list(plant.scratch.iterdir())
        failed = plant.ledger.stream(project_stream(current_project(plant)))[-1]
        assert "no" in failed.body["reason"]
        made = releases(plant)
    (project / "train.py").write_bytes(good)
    assert invoke(["run", "--root", str(project)]) == 0
    with app.open_plant(project) as plant:
        assert releases(plant) == made


def test_a_tier_that_this_machine_lacks_is_refused_not_replaced(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The project asks for namespaces, there are none: nothing is trained in a weaker sandbox instead."""
    asked: list[Tier] = []

    def without_namespaces(tier: Tier) -> Sandbox:
        asked.append(tier)
        if tier is not Tier.PROCESS:
            raise SandboxUnavailable(f"the sandbox tier {tier} cannot be had here: no user namespaces")
        return open_sandbox(tier)

    edit('tier = "process"', 'tier = "namespaces"')(project)
    monkeypatch.setattr("holdfast.app.opening.open_sandbox", without_namespaces)
    assert invoke(["run", "--root", str(project), "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "HF710"
    assert set(asked) == {Tier.NAMESPACES}


def test_a_truncated_blob_is_found_before_it_is_used(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stage whose result was cut is not reused: the run stops at it and names the blob."""
    with app.open_plant(project) as plant:
        (release,) = releases(plant)
        path = plant.blobs.path(release)
    path.chmod(0o600)
    path.write_bytes(path.read_bytes()[:-1])
    assert invoke(["run", "--root", str(project), "--json"]) == 4
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["code"], error["place"]) == ("HF500", release)


def test_a_missing_result_is_made_again(project: Path) -> None:
    """A stage whose result is gone runs again, and makes the same."""
    with app.open_plant(project) as plant:
        before = releases(plant)
        path = plant.blobs.path(before[0])
    path.unlink()
    assert invoke(["run", "--root", str(project)]) == 0
    with app.open_plant(project) as plant:
        assert set(releases(plant)) == set(before)
        assert plant.blobs.has(before[0])


def test_a_wrong_unlock_secret_opens_nothing(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another workspace's secret: said before anything is written."""
    secrets = shutil.copytree(os.environ["HOLDFAST_UNLOCK_DIR"], tmp_path / "secrets")
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(secrets))
    hold_the_wrong_secret(project)
    before = tree(project)
    assert invoke(["promote", "--reason", "x", "--root", str(project), "--json"]) == 5
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["code"] == "HF700"
    assert "does not open" in error["error"]
    assert tree(project) == before


def test_two_runs_at_once_are_refused(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second is told who is at work."""
    with app.open_plant(project) as plant, plant.ledger.lease("run"):
        assert invoke(["run", "--root", str(project), "--json"]) == 6
    assert str(os.getpid()) in json.loads(capsys.readouterr().out)["error"]["error"]


# Making a workspace.


def test_a_workspace_is_private(project: Path) -> None:
    """Folders 0700 and files 0600: nobody else reads rows, models or keys; blobs are read-only even to their owner."""
    workspace = project / ".holdfast"
    for path in (workspace, *workspace.rglob("*")):
        mode = path.lstat().st_mode & 0o777
        if {"blobs", "bytes"} & set(path.relative_to(project).parts):
            assert path.is_dir() or mode == 0o444
        elif path.is_dir():
            assert mode & 0o077 == 0, path
        else:
            assert mode == 0o600, path


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder without a project, and a place for secrets of its own."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "secrets"))
    folder = tmp_path / "folder"
    folder.mkdir()
    return folder


STEPS = (
    "unlocking.create_unlock_file",
    "making.create_keys",
    "making._first_trust",
    "making.write_new",
    "making.open_database",
    "making.write_starter",
    "making._move_into_place",
)


class DiedError(BaseException):
    """The process is gone: nothing after this happens."""


@pytest.mark.guarantee("G18")
@pytest.mark.parametrize("step", STEPS)
def test_an_init_that_dies_anywhere_leaves_nothing_that_looks_made(
    empty: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """Killed before any step: no workspace is there, what is left harms nobody, and the next `init` succeeds."""

    def die(*_: object, **__: object) -> None:
        raise DiedError

    with monkeypatch.context() as patch:
        patch.setattr(f"holdfast.app.{step}", die)
        patch.setattr("holdfast.app.making.shutil.rmtree", lambda *_, **__: None)  # a killed process tidies nothing up
        with pytest.raises(DiedError):
            app.init(empty)
    assert not (empty / ".holdfast").exists()
    assert all(path.name.startswith(".holdfast-") for path in empty.iterdir() if path.name.startswith(".holdfast"))
    app.init(empty, owner="Ada")
    with app.open_plant(empty) as plant:
        assert plant.ledger.verify(()).size == 1
        plant.unlock()


@pytest.mark.parametrize("step", STEPS)
def test_an_init_that_fails_tidies_up(empty: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    """A full disk at any step: no half-made folder and no secret that opens nothing is left."""

    def fail(*_: object, **__: object) -> None:
        raise Unavailable("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(f"holdfast.app.{step}", fail)
        with pytest.raises(Unavailable):
            app.init(empty)
    assert not [path for path in empty.iterdir() if path.name.startswith(".holdfast")]
    secrets = empty.parent / "secrets"
    assert not secrets.exists() or not list(secrets.iterdir())


def test_an_init_writes_a_project_to_fill_in(empty: Path) -> None:
    """Where there is none: a file that parses and a recipe; `run` then says what is missing, with its place."""
    reply = app.init(empty, owner='Ada "the first" Lovelace')
    assert "project file" in reply.says
    with app.open_plant(empty) as plant:
        assert current_project(plant).project.owner == 'Ada "the first" Lovelace'
    assert invoke(["run", "--root", str(empty), "--json"]) == 3
    assert (empty / "train.py").exists()


def test_an_init_leaves_a_project_that_is_there_alone(empty: Path, project: Path) -> None:
    """And takes its owner."""
    text = (project / "holdfast.toml").read_bytes()
    (empty / "holdfast.toml").write_bytes(text)
    (empty / "train.py").write_bytes(b"# mine\n")
    reply = app.init(empty)
    assert (empty / "holdfast.toml").read_bytes() == text
    assert (empty / "train.py").read_bytes() == b"# mine\n"
    assert "Ada" in reply.document["owner"]


@pytest.mark.parametrize("where", [".holdfast", ".holdfast/keys", ".holdfast/published/blobs"])
def test_a_workspace_inside_a_workspace_is_refused(project: Path, where: str) -> None:
    """It would be copied, published and backed up with the outer one."""
    with pytest.raises(Conflict, match="inside a workspace"):
        app.init(project / where)


def test_a_link_in_the_place_of_a_workspace_is_refused(empty: Path, project: Path) -> None:
    """Also one that leads nowhere."""
    (empty / ".holdfast").symlink_to(empty / "nowhere")
    with pytest.raises(Conflict):
        app.init(empty)


@pytest.mark.parametrize("owner", ["   ", "a\nb", "\u202e", "x" * 300])
def test_a_workspace_needs_somebody_who_answers_for_it(empty: Path, owner: str) -> None:
    """A name that can be read in one line."""
    with pytest.raises(InvalidInput, match="nobody"):
        app.init(empty, owner=owner)
    assert not list(empty.iterdir())


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"short", "easily guessed"), (b"a" * 40, "easily guessed"), (b"\xff\xfe" * 20, "UTF-8")],
    ids=["short", "one character", "no text"],
)
def test_a_passphrase_that_protects_nothing_is_refused(empty: Path, content: bytes, says: str) -> None:
    """Nothing is made with it."""
    path = empty.parent / "passphrase"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InvalidInput, match=says):
        app.init(empty, passphrase_file=path)
    assert not list(empty.iterdir())


@pytest.mark.guarantee("G19")
def test_a_passphrase_opens_the_keys_and_no_file_does(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A workspace made with a passphrase: signing works with it, and only with it."""
    path = empty.parent / "passphrase"
    path.write_text("correct horse battery staple\n", encoding="utf-8")
    path.chmod(0o600)
    app.init(empty, owner="Ada", passphrase_file=path)
    assert [path.name.partition("-")[0] for path in (empty.parent / "secrets").iterdir()] == ["gateway"]
    with app.open_plant(empty) as plant, pytest.raises(Unavailable, match="locked"):
        plant.unlock()
    monkeypatch.setenv("HOLDFAST_PASSPHRASE_FILE", str(path))
    with app.open_plant(empty) as plant:
        plant.unlock()
        assert plant.ledger.checkpoint().note
    path.chmod(0o644)
    with app.open_plant(empty) as plant, pytest.raises(Unavailable, match="open to others"):
        plant.unlock()


def test_a_ledger_that_was_begun_anew_is_not_taken_for_this_one(project: Path) -> None:
    """An emptied workspace must not look like a young one."""
    (project / ".holdfast" / "ledger.db").unlink()
    with pytest.raises(LedgerBroken), app.open_plant(project):
        pass
    assert not (project / ".holdfast" / "ledger.db").exists()


def test_a_folder_without_a_workspace_says_how_to_make_one(empty: Path) -> None:
    """The remedy is a command."""
    with pytest.raises(NotFound) as missing, app.open_plant(empty):
        pass
    assert "holdfast init" in missing.value.remedy


def test_a_run_that_is_interrupted_is_on_record_as_failed(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a stage: nobody needs to guess, and the next run goes on."""

    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    edit("seed = 7", "seed = 9")(project)
    with monkeypatch.context() as patch:
        patch.setattr("holdfast.lifecycle.verbs.features", interrupted)
        assert invoke(["run", "--root", str(project)]) == 130
    with app.open_plant(project) as plant:
        failed = plant.ledger.stream(project_stream(current_project(plant)))[-1]
        assert (failed.kind, failed.body["reason"]) == ("stage.failed", "it was interrupted")
    assert invoke(["run", "--until", "features", "--root", str(project)]) == 0


def test_a_failure_is_superseded_by_running_again_not_by_going_back(project: Path) -> None:
    """An assessment dies under an edited project whose model is the same; with the old file it is measured again."""
    with app.open_plant(project) as plant:
        (release,) = releases(plant)
        stream = project_stream(current_project(plant))
        model = next(
            item["digest"]
            for entry in plant.ledger.stream(stream)
            if entry.kind == "stage.finished"
            for item in entry.body["artifacts"]
            if item["kind"] == "model"
        )
        begun = next(entry.body for entry in plant.ledger.stream(stream) if entry.body["stage"] == "assess")
        from holdfast.core.ledger import Draft

        lost = {**begun, "run": "lost", "key": "sha256:" + "0" * 64}
        plant.ledger.append([Draft(kind="stage.started", actor="assess", stream=stream, body=lost)])
    assert invoke(["run", "--root", str(project)]) == 0
    with app.open_plant(project) as plant:
        filed = [e.body for e in plant.ledger.stream(model) if e.kind == "evidence.filed"]
        assert [body["outcome"] for body in filed if body["control"] == "assess.quality/1"] == [
            "measured",
            "failed",
            "measured",
        ]
        assert "stage.failed" in kinds(plant, stream)
    assert invoke(["promote", release, "--reason", "It was measured again.", "--root", str(project)]) == 0
