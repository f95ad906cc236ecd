"""What others put into continuous integration: it parses, its commands exist, its scripts do what they say."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click
import pytest
import yaml  # type: ignore[import-untyped]  # its stubs are one more package for one test

from holdfast.core.errors import NotVerified
from holdfast.faces.cli import build, invoke

ROOT: Final = Path(__file__).parents[2]
ACTION: Final = ROOT / "action.yml"
GITLAB: Final = ROOT / "deploy" / "ci" / "gitlab.yml"
HOOKS: Final = ROOT / ".pre-commit-hooks.yaml"
CONTAINER: Final = ROOT / "deploy" / "ci" / "Containerfile"
COMMAND: Final = re.compile(r"(?:^|[\s-])(holdfast (?:scan|files|registry|attestations)\b.*)")
GUIDE: Final = ROOT / "docs" / "how-to" / "verifying-with-other-tools.md"


def loaded(path: Path) -> Any:
    """A YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def lines() -> Iterator[tuple[str, str]]:
    """Every command line of ours in this material, with where it stands."""
    for path in (ACTION, GITLAB, CONTAINER, GUIDE):
        for line in path.read_text(encoding="utf-8").splitlines():
            found = re.search(
                r"(?:^|[\s-])(holdfast (?:scan|files|registry|attestations)\b.*)", line.strip().strip("`")
            )
            if found:
                yield path.name, found[1]
    for hook in loaded(HOOKS):
        yield HOOKS.name, hook["entry"]


@pytest.mark.parametrize(("place", "line"), sorted(set(lines())))
def test_every_command_and_option_exists(place: str, line: str) -> None:
    """A word that is renamed here breaks no pipeline elsewhere without this test."""
    words = shlex.split(line.split("#", maxsplit=1)[0], posix=False)[1:]
    command: click.Command = build()
    while isinstance(command, click.Group) and words:
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    asked = {word.split("=")[0] for word in words if word.startswith("--") and word != "--"}
    assert asked <= known, f"{place}: {line}"


def test_the_hooks_are_what_pre_commit_reads() -> None:
    """Each has an id, a name, an entry and a language; the scan is handed files, the verification is not."""
    hooks = {hook["id"]: hook for hook in loaded(HOOKS)}
    assert hooks.keys() == {"holdfast-scan", "holdfast-verify"}
    assert all({"name", "entry", "language"} <= hook.keys() for hook in hooks.values())
    assert re.search(hooks["holdfast-scan"]["files"], "models/a.PKL".lower())
    assert hooks["holdfast-verify"]["pass_filenames"] is False


def test_no_input_of_the_action_becomes_text_of_a_script() -> None:
    """Whoever chooses a branch or a file name must not run anything: inputs reach scripts as variables."""
    action = loaded(ACTION)
    steps = action["runs"]["steps"]
    assert not any("${{" in step["run"] for step in steps)
    given = set(re.findall(r"inputs\.(\w+)", ACTION.read_text(encoding="utf-8")))
    assert given == set(action["inputs"])


def test_the_template_extends_what_is_there() -> None:
    """Jobs that extend a job name one of this file."""
    jobs = loaded(GITLAB)
    assert {job["extends"] for job in jobs.values() if "extends" in job} <= jobs.keys()


def test_the_container_copies_what_is_there() -> None:
    """Every file that the recipe copies is in this repository; it runs as nobody in particular."""
    text = CONTAINER.read_text(encoding="utf-8")
    copied = [source for line in re.findall(r"^COPY (.+)$", text, re.MULTILINE) for source in line.split()[:-1]]
    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []
    assert re.search(r"^USER \d+$", text, re.MULTILINE)


@pytest.fixture
def signed(unlocking: Path, tmp_path: Path) -> Path:
    """A folder with a signature over it, and the public key beside it."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "config.json").write_text('{"layers": 2}')
    assert invoke(["files", "key", str(tmp_path / "key")]) == 0
    assert invoke(["files", "sign", str(tmp_path / "models"), "--key", str(tmp_path / "key")]) == 0
    return tmp_path


def step(name: str, folder: Path, **given: str) -> int:
    """Run a step of the action as its runner would, with this interpreter's commands on the path."""
    found = next(each for each in loaded(ACTION)["runs"]["steps"] if each["name"] == name)
    variables = {**os.environ, **dict.fromkeys(found["env"], ""), **given}
    variables["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    line = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", found["run"]]
    return subprocess.run(line, cwd=folder, env=variables, check=False, capture_output=True).returncode


def test_the_action_verifies_and_refuses(signed: Path) -> None:
    """The very script of the step: good files end with 0, a changed one with the code of what does not verify."""
    given = {"VERIFY": "models", "KEY": "key/public.pem"}
    assert step("Verify", signed, **given) == 0
    (signed / "models" / "config.json").write_text('{"layers": 3}')
    assert step("Verify", signed, **given) == NotVerified.exit_code
    assert step("Verify", signed, VERIFY="models; touch owned", KEY="key/public.pem") != 0
    assert not (signed / "owned").exists()


def test_the_action_scans_each_path_it_is_given(signed: Path) -> None:
    """One path a line, blank lines left out; the result is a SARIF file where one is asked for."""
    paths = f"{signed / 'models' / 'config.json'}\n\n"
    assert step("Scan", signed, PATHS=paths, SARIF="out.sarif") == 0
    assert '"version": "2.1.0"' in (signed / "out.sarif").read_text().replace('":"', '": "')
