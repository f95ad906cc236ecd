"""What README, tutorial and how-tos say to type can be typed: each command is there and takes what it is given."""

import re
import shlex
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

import click
import pytest

from holdfast.faces.cli import build
from holdfast.lifecycle import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "how-to").glob("*.md")))
BLOCK = re.compile(r"^ *```(?:sh|text|console)?\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
INLINE = re.compile(r"`holdfast ([^`\n]+)`")
TYPED = re.compile(r"^\s*(?:\$ )?(?:\.venv/bin/)?holdfast (.+)$")
FOLDER = re.compile(r"(?:-C|--root) \S+")  # of whoever reads the page


def typed(text: str) -> Iterator[str]:
    """Yield what blocks have typed after `holdfast`, one command each."""
    for block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            if found := TYPED.match(line):
                yield FOLDER.sub("", found[1])


def words_of(line: str) -> list[str]:
    """Return the words of one command, as a shell takes them: up to a comment, a pipe, a redirection or its end."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";|&<>()")
    lexer.whitespace_split = True
    return list(takewhile(lambda word: not set(word) <= set(";|&<>()"), lexer))


def command_of(words: list[str]) -> tuple[click.Command, list[str]]:
    """Return the command that words name, and what is left of them."""
    found: click.Command = build()
    while isinstance(found, click.Group) and words and words[0] in found.commands:
        found, words = found.commands[words[0]], words[1:]
    return found, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_types_is_a_command_with_everything_it_needs(page: Path) -> None:
    """Read by the command line's own parser: no word, option or missing argument that it would refuse."""
    for line in typed(page.read_text(encoding="utf-8")):
        command, rest = command_of(words_of(line))
        assert not isinstance(command, click.Group), f"holdfast {line}"
        try:
            command.make_context("holdfast", rest)
        except click.exceptions.Exit:
            pass  # --help
        except click.UsageError as error:
            pytest.fail(f"holdfast {line}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_mentions_is_a_command_with_options_of_that_name(page: Path) -> None:
    """In the midst of a sentence a command may be cut short, but every word and option of it exists."""
    for line in INLINE.findall(page.read_text(encoding="utf-8")):
        command, rest = command_of(line.replace("…", "").split())
        known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
        named = {word.partition("=")[0] for word in rest if word.startswith("--")} - {"--json", "--help", "--version"}
        assert named <= known, f"holdfast {line}"
        assert not isinstance(command, click.Group) or not rest or rest[0].startswith("-"), f"holdfast {line}"


@pytest.mark.parametrize(
    "line", [each.example for each in COMMANDS if each.example], ids=lambda line: line.split(" -")[0]
)
def test_an_example_of_the_help_can_be_typed(line: str) -> None:
    """It is complete, and belongs to the command whose help shows it."""
    command, rest = command_of(words_of(line.removeprefix("holdfast ")))
    assert line in (command.epilog or "")
    command.make_context("holdfast", rest)
