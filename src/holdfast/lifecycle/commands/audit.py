"""Audit: the ledger shown to others, security events, evidence packs, the control map, and routines."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

COMMANDS: Final = (
    Command(
        words=("ledger", "key"),
        does="print the ledger's public key as signed notes write it",
        verb="holdfast.lifecycle.witnessing:ledger_key",
        authority="anyone who can read the workspace",
        action="audit.read",
        changes=False,
    ),
    Command(
        words=("ledger", "tiles"),
        does="write the ledger as static files (C2SP tlog-tiles), as far as it has grown",
        verb="holdfast.lifecycle.tiling:ledger_tiles",
        authority="the stage keys",
        action="audit.write",
        options=(
            Option(name="out", says="folder to write", kind="path", required=True),
            Option(name="witnessed", says="up to the newest checkpoint a witness cosigned", kind="flag", default=False),
        ),
    ),
    Command(
        words=("ledger", "ask-witness"),
        does="ask a witness to cosign the ledger as it is now, by a file or over HTTP",
        verb="holdfast.lifecycle.witnessing:ask_witness",
        authority="the stage keys",
        action="audit.write",
        options=(
            Option(name="witness", says="the witness's public key", argument=True, required=True),
            Option(name="out", says="write the request to this file", kind="path"),
            Option(name="url", says="send the request to this address, and take the answer"),
            Option(name="keep", says="write the cosigned checkpoint to this file", kind="path"),
        ),
    ),
    Command(
        words=("ledger", "take-cosignature"),
        does="put a checkpoint that a witness has cosigned on record",
        verb="holdfast.lifecycle.witnessing:take_cosignature",
        authority="the stage keys",
        action="audit.write",
        options=(
            Option(name="file", says="the cosigned checkpoint", kind="path", argument=True, required=True),
            Option(name="witness", says="the witness's public key", required=True),
            Option(name="keep", says="write it here too, with every cosignature on it", kind="path"),
        ),
    ),
    Command(
        words=("ledger", "verify-copy"),
        does="verify a copy of a ledger, a database or tiles, with public keys and a witnessed checkpoint alone",
        verb="holdfast.outside:verify_copy",
        authority="none",
        action="audit.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="database", says="the copied ledger.db", kind="path"),
            Option(name="tiles", says="the folder of tiles", kind="path"),
            Option(name="checkpoint", says="the last witnessed checkpoint", kind="path", required=True),
            Option(name="key", says="the ledger's public key, as `ledger key` prints it"),
            Option(name="trust", says="or the trust document, with --root", kind="path"),
            Option(name="root", says="the pinned root of the trust document", kind="path"),
            Option(name="witnesses", says="public keys of witnesses, one a line", kind="path"),
            Option(name="quorum", says="how many must have cosigned; all that are named if 0", kind="int", default=0),
        ),
    ),
    Command(
        words=("witness", "init"),
        does="make a witness in a folder of its own: it cosigns ledgers that only grow",
        verb="holdfast.outside:witness_init",
        authority="none",
        action="audit.witness",
        opens="folder",
        options=(Option(name="name", says="its name, such as example.org/w1", required=True),),
    ),
    Command(
        words=("witness", "know"),
        does="let the witness in this folder witness a ledger",
        verb="holdfast.outside:witness_know",
        authority="the owner's key",
        action="audit.witness",
        opens="folder",
        options=(Option(name="key", says="the ledger's public key", argument=True, required=True),),
    ),
    Command(
        words=("witness", "cosign"),
        does="answer a request for a cosignature that came as a file",
        verb="holdfast.outside:witness_cosign",
        authority="the owner's key",
        action="audit.witness",
        opens="folder",
        options=(
            Option(name="request", says="the request", kind="path", argument=True, required=True),
            Option(name="out", says="the cosigned checkpoint", kind="path", required=True),
        ),
    ),
    Command(
        words=("witness", "run"),
        does="answer requests for cosignatures over HTTP (C2SP tlog-witness)",
        verb="holdfast.outside:witness_run",
        authority="the owner's key",
        action="audit.witness",
        opens="folder",
        options=(Option(name="port", says="port to listen on; 0 for a free one", kind="int", default=0),),
    ),
)
