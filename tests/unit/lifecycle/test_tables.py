"""The two tables that are the project's table of contents: every name in them leads somewhere, and fits."""

import inspect
from importlib import import_module
from typing import Any

import pytest

from holdfast.core.artifact import Kind
from holdfast.core.trust import ROLES
from holdfast.lifecycle import COMMANDS, DERIVES, STAGES, Command, Stage


def resolved(verb: str) -> Any:
    """Return what a `module:function` names."""
    module, _, name = verb.partition(":")
    return getattr(import_module(module), name)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_every_stage_has_a_verb_and_a_key(stage: Stage) -> None:
    """A stage's verb exists, its controls belong to roles that may speak of its artifact."""
    assert callable(resolved(stage.verb))
    for control in stage.leaves:
        role = control.partition(".")[0]
        assert stage.about in ROLES[role]


def test_every_stage_takes_only_what_an_earlier_one_gave() -> None:
    """Project, source and recipe are taken in; everything else is made before it is used."""
    there = {Kind.PROJECT, Kind.SOURCE, Kind.RECIPE}
    for stage in STAGES:
        assert set(stage.takes) <= there
        there |= set(stage.gives)
        assert stage.about in there


def test_every_artifact_that_a_stage_makes_derives_from_what_it_took() -> None:
    """The recorded edges are of artifacts that the stage held or made."""
    for stage in STAGES:
        for kind in stage.gives:
            assert set(DERIVES[kind]) <= set(stage.takes) | set(stage.gives)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command.words))
def test_every_command_calls_a_function_that_takes_its_options(command: Command) -> None:
    """Each option of a row is a keyword of its verb, with the same default where the row has one."""
    parameters = inspect.signature(resolved(command.verb)).parameters
    for option in command.options:
        parameter = parameters[option.name.replace("-", "_")]
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        if option.required:
            assert parameter.default is inspect.Parameter.empty
        else:
            assert parameter.default == option.default
    if command.opens != "workspace":
        assert "tell" in parameters


def test_commands_have_distinct_words() -> None:
    """No command hides another, and no group is a command too."""
    words = [command.words for command in COMMANDS]
    assert len(set(words)) == len(words)
    groups = {word[:-1] for word in words if len(word) > 1}
    assert not groups & set(words)
