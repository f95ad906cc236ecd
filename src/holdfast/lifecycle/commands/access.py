"""Access: who is known, what they may, and what jobs may have."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option
from holdfast.lifecycle.commands.options import REASON

_NAME: Final = Option(name="name", says="the account", argument=True, required=True)
_ACTION: Final = Option(name="action", says="an action, as `access actions` lists them", argument=True, required=True)
_ABOUT: Final = Option(name="resource", says="`kind/name`; the workspace if left out", argument=True, default="")
_CREDENTIAL: Final = Option(name="credential", says="file with the token or API key of whoever acts", kind="path")
_SECRET: Final = Option(name="name", says="the secret", argument=True, required=True)
_TO: Final = Option(name="to", says="the recipe, as `train.py:train` or by its digest", required=True)

_IDENTITY: Final = (
    Command(
        words=("access", "bootstrap"),
        does="print the one-time token of the first administrator; it is shown once and works for an hour",
        verb="holdfast.lifecycle.identity:bootstrap",
        authority="anyone who can read the workspace",
        action="access.administer",
    ),
    Command(
        words=("access", "claim"),
        does="make the first administrator's account with the one-time token",
        verb="holdfast.lifecycle.identity:claim",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(_NAME, Option(name="token-file", says="file with the one-time token", kind="path", required=True)),
    ),
    Command(
        words=("access", "users"),
        does="list accounts, groups, keys and sessions; never a secret",
        verb="holdfast.lifecycle.identity:users",
        authority="anyone who can read the workspace",
        action="access.read",
        changes=False,
    ),
    Command(
        words=("access", "add"),
        does="add an account: a user, a service or a gateway",
        verb="holdfast.lifecycle.identity:add",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(
            _NAME,
            Option(name="sort", says="user, service or gateway", default="user"),
            Option(name="groups", says="its groups, separated by commas", default=""),
        ),
    ),
    Command(
        words=("access", "groups"),
        does="say which groups an account is in, instead of those it was in",
        verb="holdfast.lifecycle.identity:regroup",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(_NAME, Option(name="groups", says="its groups, separated by commas", argument=True, required=True)),
    ),
    Command(
        words=("access", "disable"),
        does="end an account's access at once: tokens, keys and sessions",
        verb="holdfast.lifecycle.identity:disable",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(_NAME,),
    ),
    Command(
        words=("access", "enable"),
        does="let a disabled account sign on again",
        verb="holdfast.lifecycle.identity:enable",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(_NAME,),
    ),
    Command(
        words=("access", "link"),
        does="link an account to a SPIFFE id, so that a certificate proves it",
        verb="holdfast.lifecycle.identity:link",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(_NAME, Option(name="spiffe", says="spiffe://trust-domain/path", required=True)),
    ),
    Command(
        words=("access", "key"),
        does="issue an API key for an account; it is shown once",
        verb="holdfast.lifecycle.identity:issue",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(
            _NAME,
            Option(name="scope", says="the only actions it may ask for, separated by commas", default=""),
            Option(name="days", says="days until it expires", kind="int", default=30),
        ),
    ),
    Command(
        words=("access", "revoke"),
        does="revoke an API key by its id, and the tokens made from it",
        verb="holdfast.lifecycle.identity:revoke",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(Option(name="key", says="the key's id", argument=True, required=True),),
    ),
    Command(
        words=("access", "token"),
        does="make a token of fifteen minutes from an API key or a session",
        verb="holdfast.lifecycle.sessions:token",
        authority="the stage keys",
        action="access.token",
        options=(Option(name="key-file", says="file with the API key or session", kind="path", required=True),),
    ),
    Command(
        words=("access", "provider"),
        does="take the word of an OpenID provider about who people or workloads are",
        verb="holdfast.lifecycle.providers:accept_provider",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(Option(name="file", says="its description", kind="path", argument=True, required=True),),
    ),
    Command(
        words=("access", "trust-domain"),
        does="accept the authorities of a SPIFFE trust domain",
        verb="holdfast.lifecycle.workloads:accept_domain",
        authority="anyone who can read the workspace",
        action="access.administer",
        options=(
            Option(name="domain", says="its name", argument=True, required=True),
            Option(name="bundle", says="its authorities, PEM", kind="path", required=True),
        ),
    ),
    Command(
        words=("login",),
        does="sign on at a provider by a code typed into a browser anywhere, and keep the session in a file",
        verb="holdfast.lifecycle.sign_on:login",
        authority="the stage keys",
        action="access.token",
        options=(
            Option(name="provider", says="which provider; the only one if left out", default=""),
            Option(name="session-file", says="where to keep the session", kind="path", required=True),
        ),
    ),
    Command(
        words=("logout",),
        does="end the session in a file, and remove the file",
        verb="holdfast.lifecycle.sessions:logout",
        authority="the stage keys",
        action="access.token",
        options=(Option(name="session-file", says="where the session is kept", kind="path", required=True),),
    ),
)
_RULES: Final = (
    Command(
        words=("access", "actions"),
        does="list every action that an access decision can be about",
        verb="holdfast.lifecycle.access_questions:actions",
        authority="anyone who can read the workspace",
        action="access.read",
        changes=False,
    ),
    Command(
        words=("access", "accept"),
        does="let the root key accept Cedar rules of the workspace's own, beside the shipped ones",
        verb="holdfast.lifecycle.access_rules:accept",
        authority="the root key",
        action="access.accept",
        options=(
            Option(name="file", says="the rules", kind="path", argument=True, required=True),
            REASON,
        ),
    ),
    Command(
        words=("access", "check"),
        does="check rules: that they fit the schema, and give no wildcard on sensitive assets",
        verb="holdfast.lifecycle.access_rules:check",
        authority="anyone who can read the workspace",
        action="access.read",
        changes=False,
        options=(Option(name="file", says="the rules; those in force if left out", kind="path", argument=True),),
    ),
    Command(
        words=("access", "explain"),
        does="say whether an account may do something, and by which rules",
        verb="holdfast.lifecycle.access_questions:explain",
        authority="anyone who can read the workspace",
        action="access.read",
        changes=False,
        options=(Option(name="who", says="the account", argument=True, required=True), _ACTION, _ABOUT),
    ),
    Command(
        words=("access", "who-can"),
        does="list every account that may do something now, and by which rules",
        verb="holdfast.lifecycle.access_questions:who_can",
        authority="anyone who can read the workspace",
        action="access.read",
        changes=False,
        options=(_ACTION, _ABOUT),
    ),
    Command(
        words=("access", "review"),
        does="hold what was given against what was used, and propose what can be made smaller",
        verb="holdfast.lifecycle.access_questions:review",
        authority="anyone who can read the workspace",
        action="access.read",
        changes=False,
        options=(Option(name="days", says="how far to look back", kind="int", default=90),),
    ),
    Command(
        words=("access", "coverage"),
        does="say which calls are authenticated and authorised, and which are not yet",
        verb="holdfast.lifecycle.access_coverage:coverage",
        authority="anyone who can read the workspace",
        action="access.read",
        changes=False,
        options=(Option(name="url", says="a running control plane, to ask each route without credential", default=""),),
    ),
)
_REQUESTS: Final = (
    Command(
        words=("access", "request"),
        does="ask for one action on one resource for some time; somebody else approves it",
        verb="holdfast.lifecycle.access_requests:request",
        authority="anyone who can read the workspace",
        action="access.request",
        options=(
            _ACTION,
            Option(name="resource", says="`kind/name`", argument=True, required=True),
            Option(name="lasts", says="how long, from the approval: 2h, 30m", required=True),
            REASON,
            _CREDENTIAL,
        ),
    ),
    Command(
        words=("access", "approve"),
        does="give the access that somebody else asked for; it ends by itself",
        verb="holdfast.lifecycle.access_requests:approve",
        authority="anyone who can read the workspace",
        action="access.approve",
        options=(
            Option(name="request", says="its id", argument=True, required=True),
            Option(name="reason", says="why, in a sentence that stays on record", default=""),
            _CREDENTIAL,
        ),
    ),
    Command(
        words=("access", "reject"),
        does="say no to a request for access",
        verb="holdfast.lifecycle.access_requests:reject",
        authority="anyone who can read the workspace",
        action="access.approve",
        options=(
            Option(name="request", says="its id", argument=True, required=True),
            REASON,
            _CREDENTIAL,
        ),
    ),
    Command(
        words=("access", "requests"),
        does="list what was asked for, and how each request stands now",
        verb="holdfast.lifecycle.access_requests:requests",
        authority="anyone who can read the workspace",
        action="access.read",
        changes=False,
    ),
)
_SECRETS: Final = (
    Command(
        words=("secret", "put"),
        does="store a secret from a file or from standard input, never from an argument",
        verb="holdfast.lifecycle.secrets:put",
        authority="anyone who can read the workspace",
        action="secret.write",
        options=(_SECRET, Option(name="file", says="file with the secret; standard input if left out", kind="path")),
    ),
    Command(
        words=("secret", "grant"),
        does="let a job have a secret that it declares",
        verb="holdfast.lifecycle.secrets:grant",
        authority="anyone who can read the workspace",
        action="secret.grant",
        options=(_SECRET, _TO),
    ),
    Command(
        words=("secret", "withdraw"),
        does="take a secret from a job again",
        verb="holdfast.lifecycle.secrets:withdraw",
        authority="anyone who can read the workspace",
        action="secret.grant",
        options=(_SECRET, _TO),
    ),
    Command(
        words=("secret", "remove"),
        does="destroy a secret, and end its grants",
        verb="holdfast.lifecycle.secrets:remove",
        authority="anyone who can read the workspace",
        action="secret.write",
        options=(_SECRET,),
    ),
    Command(
        words=("secret", "list"),
        does="list the secrets and who was granted them; never what they are",
        verb="holdfast.lifecycle.secrets:listed",
        authority="anyone who can read the workspace",
        action="secret.list",
        changes=False,
    ),
)

COMMANDS: Final = (*_IDENTITY, *_RULES, *_REQUESTS, *_SECRETS)
