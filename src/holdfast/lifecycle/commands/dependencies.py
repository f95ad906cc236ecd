"""What comes from others and what must not go out: dependencies, container images, secrets in files."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

COMMANDS: Final = (
    Command(
        words=("secrets", "scan"),
        does="look for keys, tokens and passwords in code, notebooks, configuration, logs, archives and image layers",
        verb="holdfast.lifecycle.secret_scan:secrets_scan",
        authority="none",
        action="platform.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="paths", says="files and folders", kind="path", argument=True, many=True, required=True),
            Option(name="baseline", says="accepted finds, as salted hashes with reasons", kind="path"),
            Option(name="sarif-file", says="also write the finds as SARIF 2.1.0", kind="path"),
            Option(name="write-baseline", says="accept all that is found now, in this file", kind="path"),
            Option(name="reason", says="why it is accepted"),
        ),
    ),
)
