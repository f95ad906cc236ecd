"""What happened, and whether it still checks out."""

from typing import Final

from holdfast.lifecycle.commands.command import WHICH, Command, Option

COMMANDS: Final = (
    Command(
        words=("why",),
        does="show the chain of evidence from rows to answer, each link verified",
        verb="holdfast.lifecycle.proof:why",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(WHICH, Option(name="html", says="also write it as one self-contained page", kind="path")),
    ),
    Command(
        words=("verify",),
        does="verify blobs, ledger, signatures and routes of this workspace",
        verb="holdfast.lifecycle.verification:verify",
        authority="anyone who can read the workspace",
        action="audit.read",
        changes=False,
        options=(Option(name="checkpoint", says="hold the ledger against a checkpoint kept elsewhere", kind="path"),),
    ),
    Command(
        words=("log",),
        does="list what happened, newest last",
        verb="holdfast.lifecycle.records:log",
        authority="anyone who can read the workspace",
        action="audit.read",
        changes=False,
        options=(
            Option(name="last", says="how many entries", kind="int", default=20),
            Option(name="about", says="only entries about this digest or name (a prefix will do)"),
            Option(name="before", says="only entries before this position", kind="int"),
        ),
    ),
    Command(
        words=("ledger", "verify"),
        does="check every entry of the ledger, and say which is the first that does not fit",
        verb="holdfast.lifecycle.verification:ledger_verify",
        authority="anyone who can read the workspace",
        action="audit.read",
        changes=False,
        options=(
            Option(name="checkpoint", says="a checkpoint kept elsewhere, to detect a rewritten end", kind="path"),
        ),
    ),
    Command(
        words=("ledger", "checkpoint"),
        does="sign a checkpoint to be kept elsewhere",
        verb="holdfast.lifecycle.records:ledger_checkpoint",
        authority="the stage keys",
        action="audit.write",
        options=(Option(name="out", says="file to write", kind="path", required=True),),
    ),
    Command(
        words=("ledger", "rebuild"),
        does="make every table that queries read anew from the ledger",
        verb="holdfast.lifecycle.records:ledger_rebuild",
        authority="the stage keys",
        action="platform.operate",
    ),
)
