"""What comes from others and what must not go out: dependencies, container images, secrets in files."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

_SARIF: Final = Option(name="sarif-file", says="also write the findings as SARIF 2.1.0", kind="path")

COMMANDS: Final = (
    Command(
        words=("secrets", "scan"),
        does="look for keys, tokens and passwords in code, notebooks, configuration, logs, archives and image layers",
        verb="holdfast.app.secret_scanning:secrets_scan",
        authority="none",
        action="platform.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="paths", says="files and folders", kind="path", argument=True, many=True, required=True),
            Option(
                name="history",
                says="also all that git's history of these folders ever held",
                kind="flag",
                default=False,
            ),
            Option(name="baseline", says="accepted finds, as salted hashes with reasons", kind="path"),
            Option(name="sarif-file", says="also write the finds as SARIF 2.1.0", kind="path"),
            Option(name="write-baseline", says="accept all that is found now, in this file", kind="path"),
            Option(name="reason", says="why it is accepted"),
        ),
    ),
    Command(
        words=("advisories", "make"),
        does="make a signed, dated snapshot of OSV advisories from a folder or zip of them",
        verb="holdfast.lifecycle.advisories:make",
        authority="the stage keys",
        action="artifacts.write",
        options=(
            Option(name="source", says="folder or zip of OSV documents", kind="path", argument=True, required=True),
            Option(name="date", says="the day that they are as of, ISO 8601", required=True),
            Option(name="out", says="file to make", kind="path", required=True),
            Option(name="said", says="where they were had", default="OSV records of a folder or zip"),
        ),
    ),
    Command(
        words=("advisories", "take"),
        does="verify a snapshot of advisories, take it in, and match every release on record with it",
        verb="holdfast.lifecycle.advisories:take",
        authority="the stage keys",
        action="registry.write",
        options=(
            Option(name="snapshot", says="the file", kind="path", argument=True, required=True),
            Option(name="key", says="public key of another workspace that made it, PEM", kind="path"),
        ),
    ),
    Command(
        words=("advisories", "list"),
        does="list the snapshots that were taken in, and how old they are",
        verb="holdfast.lifecycle.advisories:listed",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
    ),
    Command(
        words=("dependencies", "scan"),
        does="hold a release, a bill of materials, a lock or what is installed here against the newest advisories",
        verb="holdfast.lifecycle.dependencies:scan",
        authority="the stage keys",
        action="registry.write",
        options=(
            Option(name="release", says="digest of the release; the newest if nothing else is named", argument=True),
            Option(name="bom", says="a CycloneDX document instead", kind="path"),
            Option(name="lock", says="a lock instead: requirements with ==, or one of uv, Poetry, PDM", kind="path"),
            Option(name="environment", says="what is installed here instead", kind="flag", default=False),
            _SARIF,
        ),
    ),
    Command(
        words=("image", "scan"),
        does="look through a container image: packages with open advisories, secrets of every layer, odd entries",
        verb="holdfast.lifecycle.images:scan_image",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(
            Option(
                name="path",
                says="OCI layout (folder or tar), or a saved image",
                kind="path",
                argument=True,
                required=True,
            ),
            _SARIF,
        ),
    ),
    Command(
        words=("dependencies", "accept"),
        does="take in an OpenVEX document with the owner's signed word: what it excuses counts as accepted, for a time",
        verb="holdfast.lifecycle.vex:accept",
        authority="the owner's key",
        action="registry.approve",
        options=(
            Option(name="file", says="the OpenVEX document", kind="path", argument=True, required=True),
            REASON,
            Option(name="lasts", says="how long it counts", default="30d"),
        ),
    ),
    Command(
        words=("dependencies", "patches"),
        does="list what has a fix and for how long, for what answers and this installation; raise what is overdue",
        verb="holdfast.lifecycle.patches:patches",
        authority="the stage keys",
        action="registry.write",
    ),
    Command(
        words=("dependencies", "prove"),
        does="prove that a rebuild cleared what was found: there before, gone now, by the same advisories",
        verb="holdfast.lifecycle.patches:prove",
        authority="the stage keys",
        action="registry.write",
        options=(
            Option(
                name="old", says="a release, a CycloneDX document or a container image", argument=True, required=True
            ),
            Option(
                name="new", says="the same of the rebuild; evidence is filed on a release", argument=True, required=True
            ),
            Option(name="advisory", says="which must be cleared; all that the project refuses, if left out"),
        ),
    ),
)
