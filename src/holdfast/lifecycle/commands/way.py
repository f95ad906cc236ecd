"""The way of a model: begin, run, promote, serve, watch."""

from typing import Final

from holdfast.lifecycle.commands.command import WHICH, Command, Option
from holdfast.lifecycle.commands.options import REASON

COMMANDS: Final = (
    Command(
        words=("init",),
        does="make a workspace: keys, ledger, trust; and a project file where there is none",
        verb="holdfast.app:init",
        authority="the root key",
        action="platform.operate",
        opens="folder",
        options=(
            Option(name="owner", says="the person who answers for what is served here"),
            Option(
                name="passphrase-file", says="protect the keys with this passphrase, not a random secret", kind="path"
            ),
            Option(name="blobs", says="keep blobs in an object store: s3://bucket/prefix", default=""),
            Option(name="database", says="URL of a PostgreSQL database for the ledger, without a password"),
        ),
    ),
    Command(
        words=("run",),
        does="carry the project from its raw rows to a signed release",
        verb="holdfast.lifecycle.runner:run",
        authority="the stage keys",
        action="pipeline.run",
        options=(Option(name="until", says="stop after this stage"),),
    ),
    Command(
        words=("promote",),
        does="approve a release and, if the policy permits, put it into production",
        verb="holdfast.lifecycle.promotion:promote",
        authority="the owner's key",
        action="registry.promote",
        options=(
            Option(name="release", says="digest of the release; the newest if left out", argument=True),
            REASON,
            Option(name="canary", says="begin with a share of the traffic, and watch", kind="flag", default=False),
            Option(name="no-approve", says="only decide, by the approvals on record", kind="flag", default=False),
        ),
    ),
    Command(
        words=("stage",),
        does="approve a release and, if the policy permits, publish it for the staging gateway",
        verb="holdfast.lifecycle.registry_staging:stage",
        authority="the owner's key",
        action="registry.promote",
        options=(
            Option(name="release", says="digest of the release; the newest if left out", argument=True),
            REASON,
        ),
    ),
    Command(
        words=("rollback",),
        does="put the release before this one, or a named earlier one, back into production",
        verb="holdfast.lifecycle.registry_rollback:rollback",
        authority="the owner's key",
        action="registry.rollback",
        options=(
            WHICH,
            REASON,
            Option(name="to", says="the earlier release; the one before if left out"),
            Option(
                name="kind",
                says="what goes back to it: model, code, data, configuration or infrastructure",
                default="model",
            ),
            Option(name="into", says="new folder for the files of any kind but model", kind="path"),
            Option(name="force", says="write the files into the project's folder instead", kind="flag", default=False),
        ),
    ),
    Command(
        words=("serve",),
        does="run the gateway: answer requests with what is proved, and nothing else",
        verb="holdfast.edge:command",
        authority="none",
        action="endpoint.operate",
        opens="folder",
        options=(
            Option(name="host", says="address to listen on", default="127.0.0.1"),
            Option(name="port", says="port to listen on; 0 for a free one", kind="int", default=8080),
            Option(name="workers", says="worker processes", kind="int", default=1),
            Option(name="ready-file", says="write this file once requests are answered", kind="path"),
            Option(name="from-url", says="fetch what is published from this address, not from this workspace"),
            Option(name="environment", says="whose routes it obeys: production or staging", default="production"),
            Option(name="tls-cert", says="certificate chain of the gateway, PEM: it ends TLS itself", kind="path"),
            Option(name="tls-key", says="its private key, PEM", kind="path"),
            Option(name="client-ca", says="demand client certificates of this authority, PEM", kind="path"),
            Option(
                name="behind-tls-terminator",
                says="answer other machines without TLS: a terminator that alone reaches this address speaks it",
                kind="flag",
                default=False,
            ),
            Option(name="grpc-port", says="answer gRPC too, in a process of its own; 0 for a free port", kind="int"),
            Option(name="terminator-key", says="key by which it signs its clients' certificates", kind="path"),
        ),
    ),
    Command(
        words=("publish", "serve"),
        does="hand what is published to enrolled gateways on other hosts, and take in what they tell",
        verb="holdfast.app.distribution:distribute",
        authority="none",
        action="endpoint.operate",
        opens="folder",
        options=(
            Option(name="host", says="address to listen on", default="127.0.0.1"),
            Option(name="port", says="port to listen on; 0 for a free one", kind="int", default=8081),
            Option(name="tls-cert", says="certificate of the control plane, which `cert issue` made", kind="path"),
            Option(name="tls-key", says="its private key, PEM", kind="path"),
            Option(name="ready-file", says="write this file once requests are answered", kind="path"),
        ),
    ),
    Command(
        words=("watch",),
        does="read the gateway's telemetry, measure drift and service levels, and respond",
        verb="holdfast.lifecycle.loop:watch",
        authority="the stage keys",
        action="endpoint.operate",
        options=(Option(name="every", says="go on, looking again every so many seconds", kind="float"),),
    ),
    Command(
        words=("sandbox",),
        does="say which sandbox tiers this machine offers, and what is missing for the others",
        verb="holdfast.app:sandbox",
        authority="none",
        action="platform.read",
        changes=False,
        opens="nothing",
    ),
    Command(
        words=("demo",),
        does="raw rows to a guarded endpoint in a minute, attacks that fail; then two persons, a rotation, a restore",
        verb="holdfast.faces.demo:demo",
        authority="none",
        action="platform.operate",
        opens="nothing",
        options=(
            Option(name="into", says="folder to work in; a new temporary one if left out", kind="path"),
            Option(name="keep", says="keep the folder afterwards", kind="flag", default=False),
            Option(name="chapter", says="only this chapter: 1 or 2"),
        ),
    ),
)
