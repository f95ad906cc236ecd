"""The command line as it is made from the table: every command is there, explains itself, and refuses what is none."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast.faces.cli import build, invoke
from holdfast.lifecycle import COMMANDS, ROOMS


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["nonsense"], 2),
        (["promote"], 2),
        (["key", "issue"], 2),
        (["log", "--last", "many"], 2),
        (["log", "-C", "/nonexistent"], 2),
        (["--help"], 0),
        (["--version"], 0),
        (["ledger", "--help"], 0),
        ([], 0),
    ],
)
def test_usage_has_stable_exit_codes(words: list[str], code: int, capsys: pytest.CaptureFixture[str]) -> None:
    """What is not a command is usage (2); help is not an error."""
    assert invoke(words) == code
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_explains_itself(
    command: object, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each row of the table has a help page that names its authority."""
    words = request.node.callspec.id.split()
    assert invoke([*words, "--help"]) == 0
    assert "Authority:" in capsys.readouterr().out


def test_without_a_workspace_the_error_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One message with code, place and remedy; exit code 3."""
    assert invoke(["log", "-C", str(tmp_path)]) == 3
    said = capsys.readouterr().err
    assert "HF300" in said
    assert "holdfast init" in said


def test_the_command_line_is_made_from_the_table() -> None:
    """No command is there that the table does not list, and none is missing."""

    def words(command: object, *above: str) -> set[tuple[str, ...]]:
        below = getattr(command, "commands", {})
        return set().union(*(words(each, *above, name) for name, each in below.items())) if below else {above}

    assert words(build()) == {command.words for command in COMMANDS}


def test_the_first_page_of_the_help_shows_every_command_once_by_what_it_is_for() -> None:
    """A reader finds a command by its room; no room is empty, and no word is missing or told twice."""
    page = CliRunner().invoke(build(), ["--help"]).output
    assert [line[:-1] for line in page.splitlines() if line[:1].isupper() and line.endswith(":")] == [
        "Options",
        *(title for title, _ in ROOMS),
    ]
    words = re.findall(r"(?m)^  ([a-z][a-z-]*)  ", page)
    assert sorted(words) == sorted({command.words[0] for command in COMMANDS})
