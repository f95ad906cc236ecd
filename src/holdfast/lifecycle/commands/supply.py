"""What comes from outside and what goes out: scanned before it is let in."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

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
)
