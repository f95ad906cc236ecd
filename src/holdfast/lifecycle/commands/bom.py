"""Bills of materials: what a release consists of, and which releases something bad reaches."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import AFTER, BEFORE, RELEASE

_SHOWN: Final = Option(name="release", says="digest or alias of it, or of what came from outside", argument=True)

COMMANDS: Final = (
    Command(
        words=("bom", "show"),
        does="show the bill of materials of a release: data, architecture, libraries, hyperparameters, metrics",
        verb="holdfast.lifecycle.boms:show",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(_SHOWN,),
    ),
    Command(
        words=("bom", "take"),
        does="take in a supplier's bill of materials of something from outside: CycloneDX 1.4 to 1.7 or SPDX 3.0",
        verb="holdfast.lifecycle.bom_supplied:take",
        authority="the stage keys",
        action="registry.write",
        options=(
            Option(name="file", says="the bill, as JSON", kind="path", argument=True, required=True),
            Option(name="about", says="the beginning of the digest of what it is about", required=True),
        ),
    ),
    Command(
        words=("bom", "diff"),
        does="show every difference between the bills of materials of two releases",
        verb="holdfast.lifecycle.bom_diff:diff",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(
            BEFORE,
            AFTER,
        ),
    ),
    Command(
        words=("bom", "impact"),
        does="list every release that a component, data set, model, code, licence or advisory reaches",
        verb="holdfast.lifecycle.bom_impact:impact",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(
            Option(
                name="about",
                says="component, dataset, model, code, licence or advisory",
                argument=True,
                required=True,
            ),
            Option(name="what", says="name, package URL, digest, licence, or a known advisory", argument=True),
            Option(name="versions", says="of a component: a range, as '>=1.0,<2'"),
            Option(name="file", says="of an advisory: its OSV record, instead of the snapshot", kind="path"),
            Option(name="prove", says="prove each hit's state, and read its bill again", kind="flag", default=False),
        ),
    ),
    Command(
        words=("bom", "completeness"),
        does="say which of the four kinds of content a bill of materials lacks; exit 1 where one does",
        verb="holdfast.lifecycle.boms:completeness",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(Option(name="release", says="digest or alias of one release; all if left out", argument=True),),
    ),
    Command(
        words=("bom", "export"),
        does="write the bill of materials of a release: CycloneDX, SPDX, or signed for strangers",
        verb="holdfast.lifecycle.bom_export:export",
        authority="the stage keys",
        action="registry.write",
        options=(
            RELEASE,
            Option(name="form", says="cyclonedx, spdx or signed", default="signed"),
            Option(name="out", says="the file", kind="path", required=True),
        ),
    ),
    Command(
        words=("bom", "index"),
        does="put the bills of releases on record that were made before there was an index",
        verb="holdfast.lifecycle.boms:index",
        authority="the stage keys",
        action="registry.write",
    ),
    Command(
        words=("bom", "verify"),
        does="verify a signed bill of materials, and the files it is about, without a workspace",
        verb="holdfast.outside:bom_verify",
        authority="none",
        action="registry.read",
        changes=False,
        opens="nothing",
        options=(
            Option(name="file", says="what `bom export` wrote", kind="path", argument=True, required=True),
            Option(name="key", says="the release key's public half, PEM", kind="path", required=True),
            Option(name="folder", says="also check the files of the release in this folder", kind="path"),
        ),
    ),
)
