"""What comes from outside and what goes out: scanned before it is let in."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

_SUBJECT: Final = Option(name="subject", says="the beginning of its digest", argument=True, required=True)
_ROLE: Final = Option(name="role", says="the role in which the word is given", default="owner")
_KEY: Final = Option(name="key", says="folder with the person's own key; the owner's if left out", kind="path")
_INTO: Final = Option(name="into", says="the folder, which must not exist yet", kind="path", required=True)

COMMANDS: Final = (
    Command(
        words=("scan",),
        does="scan model files of any kind for code and tricks, without a project: clean, suspicious, malicious",
        verb="holdfast.app.scanning:scan",
        authority="none",
        action="platform.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="paths", says="files and folders", kind="path", argument=True, many=True, required=True),
            Option(name="format", says="table, json or sarif", default="table"),
            Option(name="output", says="write the document (JSON or SARIF) into this file", kind="path"),
            Option(name="policy", says="what findings mean, TOML; the shipped scan policy if left out", kind="path"),
            Option(
                name="unsafe-without-sandbox",
                says="scan in this process: for machines without a sandbox, and never for files of strangers",
                kind="flag",
                default=False,
            ),
        ),
    ),
    Command(
        words=("intake", "model"),
        does="take a model from outside into quarantine and examine it: scan, behaviour, conversion, triggers",
        verb="holdfast.lifecycle.foreign:model",
        authority="the stage keys",
        action="pipeline.run",
        options=(
            Option(
                name="path", says="a file, or a folder with one model in it", kind="path", argument=True, required=True
            ),
            Option(
                name="rows",
                says="rows of the kind it is meant for, CSV or .npy: without them no trigger can be looked for",
                kind="path",
            ),
        ),
    ),
    Command(
        words=("intake", "data"),
        does="take rows from outside into quarantine and look for signs of poisoning, bias and missing origin",
        verb="holdfast.lifecycle.foreign:data",
        authority="the stage keys",
        action="pipeline.run",
        options=(
            Option(name="path", says="a CSV or Parquet file, or its folder", kind="path", argument=True, required=True),
            Option(name="label", says="the column that holds the labels", required=True),
            Option(name="reference", says="rows that are trusted, to compare the labels with", kind="path"),
        ),
    ),
    Command(
        words=("intake", "code"),
        does="take code from outside into quarantine and read it: dangerous calls, secrets, licence, pins",
        verb="holdfast.lifecycle.foreign:code",
        authority="the stage keys",
        action="pipeline.run",
        options=(Option(name="path", says="a file or folder of code", kind="path", argument=True, required=True),),
    ),
    Command(
        words=("adopt",),
        does="take in what a team runs: models of an MLflow folder or any other, with a list of what is missing",
        verb="holdfast.lifecycle.adoption:adopt",
        authority="the stage keys",
        action="pipeline.run",
        options=(Option(name="path", says="the folder; it is only read", kind="path", argument=True, required=True),),
    ),
    Command(
        words=("intake", "record"),
        does="sign where something in quarantine comes from: source, licence, how it was made and how validated",
        verb="holdfast.lifecycle.admission:record",
        authority="a person's own key",
        action="registry.approve",
        options=(
            _SUBJECT,
            Option(name="source", says="from where and whom it was had", required=True),
            Option(name="licence", says="under which terms", required=True),
            Option(name="method", says="how it was made, and from what", required=True),
            Option(name="validation", says="how it was checked, and by whom", required=True),
            _ROLE,
            _KEY,
        ),
    ),
    Command(
        words=("intake", "waive"),
        does="waive one rule of the intake for one thing in quarantine, signed, until an end; it takes a quorum",
        verb="holdfast.lifecycle.intake_waivers:waive",
        authority="a person's own key",
        action="registry.approve",
        options=(
            _SUBJECT,
            Option(name="rule", says="the id of the rule, as the denial names it", required=True),
            Option(name="reason", says="why, in a sentence that stays on record", required=True),
            Option(name="role", says="the role in which the word is given", required=True),
            _KEY,
            Option(name="lasts", says="for how long, such as 7d", default="7d"),
            Option(name="policy", says="another policy that it is going to be admitted by", kind="path"),
        ),
    ),
    Command(
        words=("intake", "admit"),
        does="let something out of its quarantine, by a person's word and if the policy of the intake permits",
        verb="holdfast.lifecycle.admission:admit",
        authority="a person's own key",
        action="registry.approve",
        options=(
            _SUBJECT,
            REASON,
            _ROLE,
            _KEY,
            Option(name="policy", says="another policy for it, accepted by the root keys", kind="path"),
            Option(name="no-approve", says="only decide, by the words on record", kind="flag", default=False),
        ),
    ),
    Command(
        words=("intake", "list"),
        does="list all that came from outside, and whether it may be used",
        verb="holdfast.lifecycle.admission:listed",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
    ),
    Command(
        words=("intake", "fetch"),
        does="write an admitted thing into a new folder: a model in the format it was converted into",
        verb="holdfast.lifecycle.admission:fetch",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(
            _SUBJECT,
            _INTO,
            Option(name="modules", says="write each notebook's code as a module, too", kind="flag", default=False),
        ),
    ),
)
