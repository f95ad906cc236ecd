"""Sources: where rows come from, whether they come, and what was refused at the door."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

_ONE: Final = Option(name="source", says="name of the source; all of them if left out", argument=True)
_NAMED: Final = Option(name="source", says="name of the source", argument=True, required=True)
_SECRET: Final = Option(name="passphrase-file", says="a file with the passphrase that opens the key", kind="path")

COMMANDS: Final = (
    Command(
        words=("source", "list"),
        does="list the declared sources, what arrived from each, and how each stands",
        verb="holdfast.lifecycle.sources:listed",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
    ),
    Command(
        words=("source", "check"),
        does="read a little of a source without storing it: format, columns, whether it answers",
        verb="holdfast.lifecycle.sources:check",
        authority="the stage keys",
        action="data.write",
        example="holdfast source check crm",
        options=(_ONE,),
    ),
    Command(
        words=("source", "pull"),
        does="fetch what is new from the sources; one that fails does not stop the others",
        verb="holdfast.lifecycle.pulling:pull",
        authority="the stage keys",
        action="data.write",
        example="holdfast source pull crm",
        options=(_ONE,),
    ),
    Command(
        words=("source", "push"),
        does="take in a file that its source has signed; verified before anything of it is parsed, and on record",
        verb="holdfast.lifecycle.pushing:push",
        authority="the stage keys",
        action="data.write",
        example="holdfast source push till monday.csv",
        options=(
            _NAMED,
            Option(name="file", says="the file", kind="path", argument=True, required=True),
            Option(name="submission", says="what its sender has signed; FILE.submission.json if left out", kind="path"),
            Option(name="signed", says="the same as text, instead of a file"),
        ),
    ),
    Command(
        words=("source", "sign"),
        does="sign a file that is to be handed in for a source, where the source's key is",
        verb="holdfast.files:source_sign",
        authority="none",
        action="artifacts.read",
        changes=False,
        opens="nothing",
        example="holdfast source sign monday.csv --source till --sequence 7 --key till-key",
        options=(
            Option(name="file", says="the file", kind="path", argument=True, required=True),
            Option(name="source", says="name of the source", required=True),
            Option(name="sequence", says="number of this submission; it rises with each", kind="int", required=True),
            Option(name="key", says="a folder that `source key` made", kind="path", required=True),
            _SECRET,
        ),
    ),
    Command(
        words=("source", "key"),
        does="make the key with which a source signs what it hands in, and print its public half",
        verb="holdfast.files:source_key",
        authority="none",
        action="person.new",
        opens="nothing",
        example="holdfast source key till-key --owner 'Till of shop 4'",
        options=(
            Option(name="folder", says="folder to make", kind="path", argument=True, required=True),
            Option(name="owner", says="who answers for the key", required=True),
            Option(name="days", says="how long it is valid", kind="int", default=365),
            _SECRET,
        ),
    ),
    Command(
        words=("source", "due"),
        does="say which sources are due, late or stale by their schedules",
        verb="holdfast.lifecycle.sources:due",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
    ),
    Command(
        words=("source", "log"),
        does="show every batch, refusal and failure of one source",
        verb="holdfast.lifecycle.sources:log",
        authority="anyone who can read the workspace",
        action="data.list",
        changes=False,
        options=(_NAMED,),
    ),
    Command(
        words=("source", "forget"),
        does="destroy the key of all rows that a source has sent",
        verb="holdfast.lifecycle.sources:forget",
        authority="the stage keys",
        action="data.erase",
        options=(_NAMED, REASON),
    ),
)
