"""Policies and persons' words: what may decide here, who approved, rejected or waived what, and what is missing."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

RELEASE: Final = Option(name="release", says="digest of the release; the newest if left out", argument=True)
BY: Final = Option(name="by", says="whose word it is; by default whose key it is")
KEY: Final = Option(name="key", says="folder with that person's own key; the owner's if left out", kind="path")

COMMANDS: Final = (
    Command(
        words=("approve",),
        does="put a person's signed approval of a release on record",
        verb="holdfast.lifecycle.approvals:approve",
        authority="a person's own key",
        action="registry.approve",
        options=(
            RELEASE,
            REASON,
            Option(name="role", says="in which role", default="owner"),
            BY,
            KEY,
            Option(name="lasts", says="for how long it holds", default="30d"),
        ),
    ),
    Command(
        words=("reject",),
        does="put a person's signed rejection of a release on record; no approval outweighs it",
        verb="holdfast.lifecycle.approvals:reject",
        authority="a person's own key",
        action="registry.approve",
        options=(RELEASE, REASON, Option(name="role", says="in which role", default="owner"), BY, KEY),
    ),
    Command(
        words=("approvals",),
        does="list what persons have said of a release, and which approvals are still missing",
        verb="holdfast.lifecycle.approvals:approvals",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(RELEASE,),
    ),
    Command(
        words=("waive",),
        does="put a person's signed waiver of one rule for one release on record; it ends by itself",
        verb="holdfast.lifecycle.approvals:waive",
        authority="a person's own key",
        action="policy.waive",
        options=(
            RELEASE,
            Option(name="rule", says="id of the rule", required=True),
            REASON,
            Option(name="role", says="in which role", required=True),
            BY,
            KEY,
            Option(name="lasts", says="for how long it holds", default="7d"),
        ),
    ),
    Command(
        words=("ready",),
        does="carry out the controls that a release needs before production, and put on record what they found",
        verb="holdfast.lifecycle.readiness:ready",
        authority="the stage keys",
        action="pipeline.run",
        options=(RELEASE, Option(name="only", says="only this control, for example release.load/1")),
    ),
    Command(
        words=("drill", "rollback"),
        does="rehearse taking a release out again, measure how long it takes, and put it on record",
        verb="holdfast.lifecycle.readiness:drill_rollback",
        authority="the stage keys",
        action="pipeline.run",
        options=(RELEASE,),
    ),
    Command(
        words=("drill", "gameday"),
        does="rehearse failures and attacks on a copy of the gateway under load, score each, and put it on record",
        verb="holdfast.app.gameday:gameday",
        authority="the stage keys",
        action="pipeline.run",
        example="holdfast drill gameday --key-file tester.key",
        options=(
            Option(name="key-file", says="a file with an API key that may call the model", kind="path", required=True),
            Option(name="only", says="one rehearsal by name; by default those that the project declares"),
            Option(name="rate", says="calls a second meanwhile", kind="float", default=10.0),
            Option(name="signed", says="sign each call", kind="flag", default=False),
        ),
    ),
    Command(
        words=("drill", "status"),
        does="say when the last game day was, how it went, and when the next is due",
        verb="holdfast.lifecycle.gamedays:status",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
    ),
    Command(
        words=("policy", "explain"),
        does="say of each rule whether it holds for a release, with which evidence, in words",
        verb="holdfast.lifecycle.policy_desk:explain_release",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(RELEASE, Option(name="policy", says="by these rules; by default those that decide about it")),
    ),
    Command(
        words=("policy", "diff"),
        does="say how one policy differs from another: what is added, removed, loosened, tightened",
        verb="holdfast.lifecycle.policy_desk:diff",
        authority="none",
        action="policy.read",
        changes=False,
        opens="folder",
        options=(
            Option(name="old", says="a shipped policy, or a file of the project", argument=True, required=True),
            Option(name="new", says="the same", argument=True, required=True),
        ),
    ),
    Command(
        words=("policy", "test"),
        does="hold policies against cases with the answers that are expected, each a history written for it",
        verb="holdfast.testing.policy_cases:check",
        authority="none",
        action="policy.read",
        changes=False,
        opens="folder",
        options=(
            Option(name="file", says="the cases; the shipped policies' own if left out", kind="path", argument=True),
        ),
    ),
    Command(
        words=("policy", "replay"),
        does="make every recorded decision again, and compare; a difference is located",
        verb="holdfast.lifecycle.policy_desk:replay",
        authority="anyone who can read the workspace",
        action="audit.read",
        changes=False,
    ),
    Command(
        words=("policy", "accept"),
        does="let the root key accept a policy file, so that it may decide here",
        verb="holdfast.lifecycle.promotion:accept_policy",
        authority="the root key",
        action="policy.accept",
        options=(Option(name="file", says="the policy", kind="path", argument=True, required=True),),
    ),
)
