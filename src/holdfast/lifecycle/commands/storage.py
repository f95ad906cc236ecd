"""Data at rest: what lies under which key, handed out, erased, backed up."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

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
            REASON,
        ),
    ),
    Command(
        words=("data", "erase"),
        does="destroy the key of a source: its rows, and all that was made from them, cannot be read again",
        verb="holdfast.lifecycle.erasure:data_erase",
        authority="the stage keys",
        action="data.erase",
        options=(Option(name="data", says="digest of the source", argument=True, required=True), REASON),
    ),
    Command(
        words=("data", "synthesise"),
        does="write artificial rows like those of a data set, with how real they are and a check that none is a copy",
        verb="holdfast.lifecycle.synthesis:data_synthesise",
        authority="the stage keys",
        action="data.read",
        options=(
            Option(name="data", says="digest of the data set", argument=True, required=True),
            Option(name="out", says="folder to make", kind="path", required=True),
            REASON,
            Option(name="rows", says="how many; as many as there are real ones for 0", kind="int", default=0),
            Option(name="seed", says="of every draw", kind="int", default=0),
        ),
    ),
    Command(
        words=("backup",),
        does="write the whole workspace into one encrypted file, while everything goes on",
        verb="holdfast.lifecycle.restoring:backup",
        authority="the stage keys",
        action="platform.backup",
        options=(Option(name="out", says="file to make", kind="path", required=True),),
    ),
    Command(
        words=("restore",),
        does="bring a workspace back from a backup, verified, and put on record what was lost",
        verb="holdfast.app:restore",
        authority="the owner's key",
        action="platform.restore",
        opens="folder",
        options=(
            Option(name="file", says="the backup", kind="path", argument=True, required=True),
            Option(name="checkpoint", says="the newest checkpoint kept elsewhere, to know what is lost", kind="path"),
            REASON,
        ),
    ),
)
