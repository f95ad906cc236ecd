"""The command line as programs and people meet it: one document or plain lines, exit codes, nothing loaded early."""

import errno
import json
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.scenarios.stand import releases

from holdfast import app
from holdfast.faces import cli
from holdfast.faces.cli import invoke
from holdfast.lifecycle import COMMANDS
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import promote

ESCAPE = "\x1b"
CHECKED = ["ledger", "artifacts", "data", "signatures", "attestations", "published"]


class Caller:
    """Calls the command line in this process, in a project's folder."""

    def __init__(self, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.root, self.capsys = root, capsys

    def __call__(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self.capsys.readouterr()
        code = invoke([*words, "--root", str(self.root)])
        out, err = self.capsys.readouterr()
        return code, out, err

    def json(self, *words: str) -> tuple[int, dict[str, Any]]:
        """Exit code and the one document on standard output."""
        code, out, err = self(*words, "--json")
        assert err == ""
        assert out.count("\n") == 1
        document: dict[str, Any] = json.loads(out)
        return code, document


@pytest.fixture
def call(project: Path, capsys: pytest.CaptureFixture[str]) -> Caller:
    """The command line in a copy of the finished project."""
    return Caller(project, capsys)


def holdfast(*words: str, **given: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast", *words], capture_output=True, text=True, check=False, **given
    )


READING = [
    (("log", "--last", "3"), "entries"),
    (("keys",), "keys"),
    (("verify",), "checks"),
    (("why",), "chain"),
    (("ledger", "verify"), "size"),
    (("ledger", "rebuild"), "differed"),
]


@pytest.mark.parametrize(
    ("words", "holds"), READING, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_every_reading_command_answers_with_one_document(call: Caller, words: tuple[str, ...], holds: str) -> None:
    """Standard output holds one JSON object and nothing else; standard error stays silent."""
    code, document = call.json(*words)
    assert code in {0, 1}
    assert holds in document
    assert "says" in document


def test_every_writing_command_answers_with_one_document(call: Caller, tmp_path: Path) -> None:
    """The same for those that change something, in the order of a day's work."""
    code, run = call.json("run")
    assert (code, next(iter(run["artifacts"]))) == (0, "project")
    code, promoted = call.json("promote", "--reason", "It is time.")
    assert (code, promoted["release"], promoted["canary"]) == (0, run["release"], False)
    code, issued = call.json("key", "issue", "clinic")
    assert (code, issued["client"], issued["key"][:3]) == (0, "clinic", "hf_")
    code, watched = call.json("watch")
    assert (code, watched["signals"]) == (0, [])
    code, noted = call.json("ledger", "checkpoint", "--out", str(tmp_path / "checkpoint"))
    assert (code, noted["digest"][:7]) == (0, "sha256:")
    code, anchored = call.json("ledger", "verify", "--checkpoint", str(tmp_path / "checkpoint"))
    assert (code, anchored["anchored"]) == (0, anchored["size"])
    code, rolled = call.json("rollback", "--reason", "The day is over.")
    assert (code, rolled["serving"]) == (0, "")


FAILING = [
    ((), 2, "HF100"),
    (("nonsense",), 2, "HF100"),
    (("log", "--last", "many"), 2, "HF100"),
    (("log", "--last", "0"), 3, "HF200"),
    (("promote",), 2, "HF100"),
    (("run", "--until", "nowhere"), 2, "HF100"),
    (("rollback", "--reason", "There is nothing."), 6, "HF600"),
    (("why", "another-model"), 3, "HF300"),
    (("policy", "accept", "missing.toml"), 3, "HF200"),
    (("init",), 6, "HF600"),
]


@pytest.mark.parametrize(
    ("words", "code", "error"), FAILING, ids=lambda value: " ".join(value) if isinstance(value, tuple) else ""
)
def test_a_failure_is_one_document_too(call: Caller, words: tuple[str, ...], code: int, error: str) -> None:
    """`{"error": …}` with code, place, expectation and remedy, and the documented exit code."""
    found, document = call.json(*words)
    assert found == code
    assert document["error"]["code"] == error
    assert set(document["error"]) >= {"code", "error", "place", "expected", "remedy"}
    assert document["error"]["remedy"]


def test_a_denial_is_told_with_every_reason(plant: Plant, call: Caller) -> None:
    """As JSON and in words; exit code 1."""
    from holdfast.core.ledger import Draft

    (release,) = releases(plant)
    plant.ledger.append([Draft(kind="artifact.revoked", actor="owner", stream=release, body={"reason": "stolen"})])
    code, document = call.json("promote", "--reason", "Anyway.")
    assert (code, document["error"]["code"]) == (1, "HF410")
    assert "stolen" in document["error"]["reasons"]
    code, out, err = call("promote", "--reason", "Anyway.")
    assert (code, out) == (1, "")
    assert "• [revoked]" in err


def test_verify_tells_damage_by_its_exit_code(project: Path, call: Caller) -> None:
    """4, not verified, with the check that failed; the other checks are made all the same."""
    for damaged in [path for path in (project / ".holdfast" / "blobs" / "sha256").rglob("*") if path.is_file()]:
        whole = damaged.read_bytes()
        damaged.chmod(0o600)
        damaged.write_bytes(b"")
        code, document = call.json("verify")
        assert code == 4, whole
        assert [each["what"] for each in document["checks"]] == CHECKED
        assert "BROKEN" in {check["result"] for check in document["checks"]}
        damaged.write_bytes(whole)


def test_a_pipe_receives_plain_lines(call: Caller) -> None:
    """No colours, no boxes, no wrapping: a title, columns and rows, tab-separated, and what it says at the end."""
    code, out, err = call("log", "--last", "2")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "# Ledger"
    assert lines[1].split("\t") == ["entry", "time (UTC)", "actor", "what", "about", "details"]
    assert [len(line.split("\t")) for line in lines[2:4]] == [6, 6]
    assert ESCAPE not in out


def test_progress_goes_to_standard_error(call: Caller) -> None:
    """Whoever pipes the answer gets nothing else."""
    code, out, err = call("run")
    assert code == 0
    assert "plan" in err
    assert ESCAPE not in err
    assert "same inputs" not in out


def on_a_terminal(words: list[str], **environment: str) -> str:
    """Run the command line with a terminal of 100 columns as its standard output and error; return what it showed."""
    main, inner = pty.openpty()
    kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR", "CI"}}
    with subprocess.Popen(
        [sys.executable, "-m", "holdfast", *words],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env=kept | {"TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"} | environment,
    ) as process:
        os.close(inner)
        shown = b""
        while select.select([main], [], [], 120.0)[0]:
            try:
                more = os.read(main, 65536)
            except OSError as error:
                if error.errno != errno.EIO:  # the last program on the other side has gone
                    raise
                break
            if not more:
                break
            shown += more
        os.close(main)
        assert process.wait() == 0, shown.decode()
    return shown.decode()


def test_a_terminal_gets_a_drawn_table(project: Path) -> None:
    """Colours and columns instead of tabs."""
    shown = on_a_terminal(["log", "--last", "3", "--root", str(project)])
    assert ESCAPE in shown
    assert "\t" not in shown
    assert "# Ledger" not in shown
    assert "Ledger" in shown


def test_a_terminal_that_wants_no_colour_gets_none(project: Path) -> None:
    """NO_COLOR (no-color.org) is respected."""
    shown = on_a_terminal(["keys", "--root", str(project)], NO_COLOR="1")
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", shown)


def test_words_from_outside_cannot_command_a_terminal(project: Path) -> None:
    """An actor's name that would clear the screen and turn text around is shown for what it is."""
    from holdfast.core.ledger import Draft

    with app.open_plant(project) as plant:
        body = {"reason": "\x1b[2J\x07[bold]:smile:[/] \u202eevil"}
        plant.ledger.append([Draft(kind="note", actor="nobody", stream="notes", body=body)])
    for shown in (
        on_a_terminal(["log", "--last", "1", "--root", str(project)]),
        holdfast("log", "--last", "1", "--root", str(project)).stdout,
    ):
        assert "\x1b[2J" not in shown
        assert "\x07" not in shown
        assert "\u202e" not in shown
        assert "[bold]:smile:[/]" in shown.replace("\r\n", "")


def test_a_reader_that_goes_away_is_no_failure(project: Path) -> None:
    """`holdfast log | head -1`."""
    command = f'"{sys.executable}" -m holdfast log --last 1000 --json --root "{project}"'
    script = f'{command} | head -c 1; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


def test_a_terminal_without_unicode_is_no_failure(project: Path) -> None:
    """Characters that cannot be shown are shown by number."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    done = holdfast("sandbox", env=environment)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("shell", ["bash_source", "zsh_source", "fish_source"])
def test_shells_can_complete(shell: str) -> None:
    """The script that a shell evaluates, and what it is then offered."""
    script = holdfast(env=os.environ | {"_HOLDFAST_COMPLETE": shell})
    assert script.returncode == 0, script.stderr
    assert "_HOLDFAST_COMPLETE" in script.stdout


def test_completion_offers_every_command_and_option() -> None:
    """As bash asks for it."""

    def offered(line: str, word: int) -> set[str]:
        environment = {"_HOLDFAST_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(word)}
        return {row.partition(",")[2] for row in holdfast(env=os.environ | environment).stdout.splitlines()}

    assert offered("holdfast ", 1) == {command.words[0] for command in COMMANDS}
    assert offered("holdfast ledger ", 2) == {c.words[1] for c in COMMANDS if c.words[0] == "ledger"}
    assert {"--reason", "--canary", "--json"} <= offered("holdfast promote --", 2)


HEAVY = ("polars", "sqlalchemy", "onnxruntime", "onnx", "sklearn", "rich", "numpy", "cryptography", "jinja2")


def loaded(script: str) -> set[str]:
    """The modules that are loaded once a script has run in a process of its own."""
    told = f"import sys\n{script}\nprint('modules:', *sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rpartition("modules:")[2].split())


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], ["promote", "--help"], ["ledger"], ["nonsense", "--json"]]
)
def test_help_loads_nothing_heavy(words: list[str]) -> None:
    """What only shows words shows them at once."""
    modules = loaded(f"from holdfast.faces.cli import invoke\ninvoke({words!r})")
    assert not modules & set(HEAVY)


def test_importing_the_package_loads_no_part_of_it() -> None:
    """`import holdfast` is one small file; each public name is loaded when it is used."""
    assert {name for name in loaded("import holdfast") if name.startswith("holdfast")} == {"holdfast"}


def test_version_is_told() -> None:
    """The version of the package."""
    import holdfast as package

    assert holdfast("--version").stdout == f"holdfast {package.__version__}\n"


def test_a_command_alone_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    """A group's commands, on standard output, as no failure."""
    assert invoke(["ledger"]) == 0
    assert "checkpoint" in capsys.readouterr().out


@pytest.fixture
def defect(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Make the command `keys` raise something."""

    def arrange(error: BaseException) -> None:
        def raising(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("holdfast.lifecycle.records.keys", raising)

    return arrange


@pytest.mark.parametrize(
    ("error", "code", "exit_code"),
    [
        (ZeroDivisionError("division by zero"), "HF000", 70),
        (RecursionError("too deep"), "HF000", 70),
        (OSError(errno.ENOSPC, "No space left on device", "/some/file"), "HF700", 5),
        (PermissionError(errno.EACCES, "Permission denied", "/some/file"), "HF700", 5),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_defect_is_told_with_its_place_and_without_a_traceback(
    call: Caller, defect: Callable[[BaseException], None], error: Exception, code: str, exit_code: int
) -> None:
    """Whatever goes wrong: one message; a full disk or a missing right is no defect of ours."""
    defect(error)
    found, document = call.json("keys")
    assert (found, document["error"]["code"]) == (exit_code, code)
    if code == "HF000":
        assert document["error"]["place"].startswith("holdfast/faces/cli.py:")
    found, out, err = call("keys")
    assert (found, out) == (exit_code, "")
    assert "Traceback" not in err


def test_an_interrupt_ends_with_the_code_of_shells(call: Caller, defect: Callable[[BaseException], None]) -> None:
    """130, as for any program that ctrl-C ended."""
    defect(KeyboardInterrupt())
    assert call("keys") == (130, "", "\n")  # the line that ctrl-C left half written ends


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `invoke` returns is what the process ends with."""
    monkeypatch.setattr(sys, "argv", ["holdfast", "nonsense"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2


LOCKED = [
    ("run",),
    ("promote", "--reason", "x"),
    ("rollback", "--reason", "x"),
    ("watch",),
    ("key", "issue", "a"),
    ("ledger", "checkpoint", "--out", "checkpoint"),
]


@pytest.mark.parametrize("words", LOCKED, ids=" ".join)
def test_signing_without_the_unlock_secret_says_so_and_writes_nothing(
    call: Caller, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """5, with where it was looked for and what works without it."""
    before = entries(project)
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nowhere"))
    code, document = call.json(*words)
    assert (code, document["error"]["code"]) == (5, "HF700")
    assert "nowhere" in document["error"]["place"]
    assert "why" in document["error"]["remedy"]
    assert entries(project) == before
    assert not Path("checkpoint").exists()


def entries(project: Path) -> int:
    """How many entries the ledger has."""
    with app.open_plant(project) as plant:
        return plant.ledger.size()


@pytest.mark.parametrize(
    "words", [("log",), ("keys",), ("ledger", "verify"), ("ledger", "rebuild"), ("sandbox",)], ids=" ".join
)
def test_reading_needs_no_unlock_secret(
    call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """Whoever can read the workspace can look into it."""
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nowhere"))
    if words == ("sandbox",):
        assert invoke(["sandbox", "--json"]) == 0
    else:
        assert call.json(*words)[0] == 0


def test_why_and_verify_need_no_unlock_secret_once_there_is_a_checkpoint(
    plant: Plant, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The chain is proved by the newest checkpoint; that nothing was said of it since is looked up, and told."""
    promote(plant, reason="So that there is something to prove.")
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nowhere"))
    size = plant.ledger.size()
    code, document = call.json("why")
    assert (code, document["decision"]) == (0, "permitted")
    assert "since when nothing was said of it" in document["says"]
    assert document["checkpoint"]["size"] < size
    code, document = call.json("verify")
    assert code == 0
    assert plant.ledger.size() == size


def test_why_without_the_unlock_secret_does_not_overlook_newer_bad_news(
    plant: Plant, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something was said of the release after the newest checkpoint: no old proof stands in for it."""
    from holdfast.core.ledger import Draft

    promote(plant, reason="So that there is something to prove.")
    (release,) = releases(plant)
    plant.ledger.append([Draft(kind="artifact.revoked", actor="owner", stream=release, body={"reason": "stolen"})])
    monkeypatch.setenv("HOLDFAST_UNLOCK_DIR", str(tmp_path / "nowhere"))
    code, document = call.json("why")
    assert (code, document["error"]["code"]) == (5, "HF700")
    assert document["error"]["place"] == f"entry {plant.ledger.size() - 1}"
    code, document = call.json("verify")
    assert code == 5
    assert "unknown" in {check["result"] for check in document["checks"]}


def test_why_signs_no_second_checkpoint_of_the_same_ledger(plant: Plant) -> None:
    """Reading twice changes nothing."""
    from holdfast.lifecycle.proof import why

    why(plant)
    before = plant.ledger.checkpoints()
    why(plant)
    assert plant.ledger.checkpoints() == before


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ("assess.quality/1", {"stage.started", "control.started", "evidence.filed"}),
        ("workspace.created", {"workspace.created"}),
    ],
)
def test_log_finds_entries_by_what_they_are_about(call: Caller, about: str, found: set[str]) -> None:
    """By control, kind or name, from the beginning of it."""
    _, document = call.json("log", "--last", "1000", "--about", about)
    assert {entry["kind"] for entry in document["entries"]} == found


def test_log_finds_entries_by_the_beginning_of_a_digest(plant: Plant, call: Caller) -> None:
    """With or without `sha256:`; in streams and in bodies; not in the middle of something else."""
    (release,) = releases(plant)
    short = release.removeprefix("sha256:")[:12]
    for about in (release, short, f"sha256:{short}"):
        _, document = call.json("log", "--last", "1000", "--about", about)
        assert {entry["kind"] for entry in document["entries"]} >= {"artifact.recorded", "stage.finished"}
    _, document = call.json("log", "--last", "1000", "--about", short[1:])
    assert document["entries"] == []


def test_log_shows_the_last_ones(plant: Plant, call: Caller) -> None:
    """Newest last, as many as asked for."""
    size = plant.ledger.size()
    _, document = call.json("log", "--last", "3")
    assert [entry["position"] for entry in document["entries"]] == [size - 3, size - 2, size - 1]
    _, document = call.json("log", "--last", "100000")
    assert len(document["entries"]) == size


def test_why_writes_a_page(call: Caller, tmp_path: Path) -> None:
    """Also where nothing is in production yet, which it says."""
    page = tmp_path / "why.html"
    code, document = call.json("why", "--html", str(page))
    assert code == 1  # nobody has approved it yet
    assert document["in_production"] is False
    assert document["says"].startswith("nothing answers")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
