"""Access to the control plane."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

COMMANDS: Final = (
    Command(
        words=("access", "bootstrap"),
        does="issue the first administrator's key for the control plane; it is shown once",
        verb="holdfast.lifecycle.access:bootstrap",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(Option(name="name", says="who will use it", argument=True, required=True),),
    ),
)
