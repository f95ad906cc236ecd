"""Policies: what may decide here."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

COMMANDS: Final = (
    Command(
        words=("policy", "accept"),
        does="let the root key accept a policy file, so that it may decide here",
        verb="holdfast.lifecycle.promotion:accept_policy",
        authority="the root key",
        action="policy.accept",
        options=(Option(name="file", says="the policy", kind="path", argument=True, required=True),),
    ),
)
