"""Data at rest: what lies under which key, handed out, erased."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

_REASON: Final = Option(name="reason", says="why, in a sentence that stays on record", required=True)

COMMANDS: Final = (
    Command(
        words=("data", "list"),
        does="list data sets and whether the key that they lie under is still there",
        verb="holdfast.lifecycle.erasure:data_list",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
    ),
    Command(
        words=("data", "export"),
        does="write the decrypted files of a data set to a new folder, for other programs; on record",
        verb="holdfast.lifecycle.erasure:data_export",
        authority="the stage keys",
        action="data.read",
        options=(
            Option(name="data", says="digest of the data set or source", argument=True, required=True),
            Option(name="out", says="folder to make", kind="path", required=True),
            _REASON,
        ),
    ),
    Command(
        words=("data", "erase"),
        does="destroy the key of a source: its rows, and all that was made from them, cannot be read again",
        verb="holdfast.lifecycle.erasure:data_erase",
        authority="the stage keys",
        action="data.erase",
        options=(Option(name="data", says="digest of the source", argument=True, required=True), _REASON),
    ),
)
