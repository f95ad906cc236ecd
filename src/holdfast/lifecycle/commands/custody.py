"""Keys: of the stages, and of those who call the gateway."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

COMMANDS: Final = (
    Command(
        words=("keys",),
        does="list the keys: role, algorithm, window, custody; never a secret",
        verb="holdfast.lifecycle.records:keys",
        authority="anyone who can read the workspace",
        action="keys.read",
        changes=False,
    ),
    Command(
        words=("key", "issue"),
        does="issue an API key for callers of the gateway; it is shown once",
        verb="holdfast.lifecycle.promotion:issue_key",
        authority="the stage keys",
        action="endpoint.grant",
        options=(
            Option(name="client", says="who will use it", argument=True, required=True),
            Option(name="days", says="days until it expires", kind="int", default=30),
        ),
    ),
)
