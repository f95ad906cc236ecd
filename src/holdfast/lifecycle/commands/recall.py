"""Taking back, and keeping alive: revocations, the lease of what answers, and what root holders sign for gateways."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

COMMANDS: Final = (
    Command(
        words=("revoke",),
        does="revoke an artifact for good: it, and whatever derives from it, leaves production now",
        verb="holdfast.lifecycle.revocation:revoke",
        authority="the owner's key",
        action="registry.revoke",
        options=(
            Option(name="digest", says="digest of the artifact, or its first 12 digits", argument=True, required=True),
            REASON,
        ),
    ),
    Command(
        words=("key", "revoke"),
        does="take back every API key of a client; connected gateways refuse them within 5 s",
        verb="holdfast.lifecycle.revocation:revoke_key",
        authority="the stage keys",
        action="endpoint.grant",
        options=(Option(name="client", says="who holds them", argument=True, required=True),),
    ),
    Command(
        words=("lease", "renew"),
        does="decide anew about what answers, and give the gateways a fresh lease",
        verb="holdfast.lifecycle.revocation:renew_lease",
        authority="the stage keys",
        action="endpoint.operate",
    ),
    Command(
        words=("repository", "propose"),
        does="write down what root holders should sign for the gateways: online keys, and revocations for good",
        verb="holdfast.lifecycle.repository:propose",
        authority="anyone who can read the workspace",
        action="trust.propose",
        options=(Option(name="out", says="file to write", kind="path", argument=True, required=True),),
    ),
    Command(
        words=("repository", "sign"),
        does="add the signature of the root key that is held here to a proposal",
        verb="holdfast.lifecycle.repository:sign",
        authority="the root key",
        action="trust.sign",
        options=(
            Option(name="file", says="the proposal", kind="path", argument=True, required=True),
            Option(name="out", says="file to write", kind="path", required=True),
        ),
    ),
    Command(
        words=("repository", "apply"),
        does="put a proposal in force that enough root holders have signed",
        verb="holdfast.lifecycle.repository:apply",
        authority="the root key",
        action="trust.change",
        options=(Option(name="file", says="the signed proposal", kind="path", argument=True, required=True),),
    ),
)
