"""Personal data: looked for in any file, and turned back from its token where somebody may."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

COMMANDS: Final = (
    Command(
        words=("dlp", "scan"),
        does="look for personal data and secrets in CSV, Parquet, JSON Lines or text, without a project",
        verb="holdfast.app.recognising:dlp_scan",
        authority="none",
        action="platform.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="paths", says="files", kind="path", argument=True, many=True, required=True),
            Option(name="format", says="table, json or sarif", default="table"),
            Option(name="output", says="write the document (JSON or SARIF) into this file", kind="path"),
            Option(name="allow", says="kinds that may be there, with commas between, such as email,ip", default=""),
            Option(
                name="project", says="a project file: texts are searched by its [dlp.presidio] as well", kind="path"
            ),
        ),
    ),
    Command(
        words=("dlp", "reveal"),
        does="turn the token of a value back, for a reason that stays on record; the value itself does not",
        verb="holdfast.lifecycle.dlp_tokens:dlp_reveal",
        authority="a person's own key",
        action="data.reveal",
        options=(
            Option(name="token", says="the token, as it stands in the data set", argument=True, required=True),
            Option(name="kind", says="what it is a token of, such as phone", required=True),
            REASON,
        ),
    ),
    Command(
        words=("dlp", "protected"),
        does="read a protected attribute of the newest features, for a reason that stays on record",
        verb="holdfast.lifecycle.protected:dlp_protected",
        authority="a person's own key",
        action="data.protected",
        options=(Option(name="column", says="the column of use protected", argument=True, required=True), REASON),
    ),
    Command(
        words=("dlp", "forget"),
        does="destroy the key of the project's tokens: none that was made, wherever it lies, can be turned back",
        verb="holdfast.lifecycle.dlp_tokens:dlp_forget",
        authority="the stage keys",
        action="data.erase",
        options=(REASON,),
    ),
)
