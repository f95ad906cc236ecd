"""Persons and the root: whose word counts here, and by whose word that changes."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

PROPOSAL: Final = Option(
    name="proposal", says="write the change to this file for others to sign, and change nothing yet", kind="path"
)
"""What every command takes that changes the trust."""

_ROLE: Final = Option(
    name="role", says="what the person speaks as, as policies name it: owner, approver, … (commas)", required=True
)
_DAYS: Final = Option(name="days", says="days until the roles end", kind="int", default=365)
_PASSPHRASE: Final = Option(name="passphrase-file", says="the passphrase of the keys, in a file", kind="path")

COMMANDS: Final = (
    Command(
        words=("person", "new"),
        does="make a person's own keys in a folder of their own, away from any workspace",
        verb="holdfast.app:person_new",
        authority="none",
        action="person.new",
        opens="nothing",
        options=(
            Option(name="name", says="the person, as statements will name them", argument=True, required=True),
            Option(name="out", says="folder for the keys; it must not exist", kind="path", required=True),
            Option(name="root-holder", says="also make a root key", kind="flag", default=False),
            Option(name="days", says="days until the keys end", kind="int", default=365),
            _PASSPHRASE,
        ),
    ),
    Command(
        words=("person", "add"),
        does="let a person's word count here: enter the keys of a public file, and grant roles",
        verb="holdfast.lifecycle.persons:add",
        authority="the root key",
        action="trust.change",
        options=(
            Option(name="file", says="the person's public file", kind="path", argument=True, required=True),
            _ROLE,
            _DAYS,
            Option(name="root-holder", says="also let the person hold the root", kind="flag", default=False),
            Option(name="replace", says="these keys take the place of the person's others", kind="flag", default=False),
            PROPOSAL,
        ),
    ),
    Command(
        words=("person", "remove"),
        does="end a person's keys and roles now; what was said before stays said",
        verb="holdfast.lifecycle.persons:remove",
        authority="the root key",
        action="trust.change",
        options=(Option(name="name", says="the person", argument=True, required=True), PROPOSAL),
    ),
    Command(
        words=("grant",),
        does="let a person speak in a role for a time",
        verb="holdfast.lifecycle.persons:grant",
        authority="the root key",
        action="trust.change",
        options=(Option(name="person", says="the person", argument=True, required=True), _ROLE, _DAYS, PROPOSAL),
    ),
    Command(
        words=("revoke-grant",),
        does="take a role from a person: no word said in it counts any more",
        verb="holdfast.lifecycle.persons:revoke_grant",
        authority="the root key",
        action="trust.change",
        options=(Option(name="person", says="the person", argument=True, required=True), _ROLE, PROPOSAL),
    ),
    Command(
        words=("persons",),
        does="list whose word counts here, in which roles, and who holds the root",
        verb="holdfast.lifecycle.persons:persons",
        authority="anyone who can read the workspace",
        action="trust.read",
        changes=False,
    ),
    Command(
        words=("trust", "show"),
        does="say which version of the trust is in force, and how many persons must sign the next",
        verb="holdfast.lifecycle.trusting:show",
        authority="anyone who can read the workspace",
        action="trust.read",
        changes=False,
    ),
    Command(
        words=("trust", "propose"),
        does="write a change of the trust for root holders to sign: another threshold, other policies",
        verb="holdfast.lifecycle.trusting:propose",
        authority="the root key",
        action="trust.propose",
        options=(
            Option(name="out", says="file to write", kind="path", required=True),
            Option(name="threshold", says="how many root holders must sign from then on", kind="int"),
            Option(name="accept", says="a policy file that may decide from then on", kind="path"),
            Option(name="forbid", says="digest of a policy that may not decide any more"),
        ),
    ),
    Command(
        words=("trust", "sign"),
        does="sign a proposal with the root key in a person's folder; needs no workspace",
        verb="holdfast.app:trust_sign",
        authority="a person's own key",
        action="trust.sign",
        opens="nothing",
        options=(
            Option(name="file", says="the proposal", kind="path", argument=True, required=True),
            Option(name="keys", says="the person's folder", kind="path", required=True),
            _PASSPHRASE,
        ),
    ),
    Command(
        words=("trust", "apply"),
        does="put a proposal that enough root holders have signed on record and into force",
        verb="holdfast.lifecycle.trusting:apply",
        authority="the root key",
        action="trust.change",
        options=(
            Option(name="file", says="the signed proposal", kind="path", argument=True, required=True),
            Option(name="also", says="the same proposal as somebody else has signed it", kind="path"),
        ),
    ),
)
