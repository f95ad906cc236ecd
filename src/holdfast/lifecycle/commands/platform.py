"""The platform itself: start it, see what it works on, move it."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

_JOB: Final = Option(name="job", says="the job's id", argument=True, required=True)

COMMANDS: Final = (
    Command(
        words=("up",),
        does="run control plane, workers and gateway of this workspace until stopped",
        verb="holdfast.faces.http.up:up",
        authority="none",
        action="platform.operate",
        opens="folder",
        options=(
            Option(name="host", says="address that both listen on", default="127.0.0.1"),
            Option(name="port", says="port of the control plane; 0 for a free one", kind="int", default=8440),
            Option(name="gateway-port", says="port of the gateway; 0 for a free one", kind="int", default=8080),
            Option(name="grpc-port", says="let the gateway answer gRPC too; 0 for a free port", kind="int"),
            Option(name="gateways-port", says="also answer enrolled gateways on other hosts, on this port", kind="int"),
            Option(name="workers", says="processes that answer the API", kind="int", default=1),
            Option(name="job-workers", says="processes that carry jobs out", kind="int", default=1),
            Option(name="no-gateway", says="run no gateway beside it", kind="flag", default=False),
            Option(name="allow-host", says="names, with commas between, that requests may call this server by"),
            Option(name="tls-cert", says="certificate chain of the server, PEM", kind="path"),
            Option(name="tls-key", says="its private key, PEM", kind="path"),
            Option(name="client-ca", says="demand client certificates of this authority, PEM", kind="path"),
            Option(
                name="behind-tls-terminator",
                says="answer other machines without TLS: a terminator that alone reaches this address speaks it",
                kind="flag",
                default=False,
            ),
            Option(name="ready-file", says="write this file once requests are answered", kind="path"),
        ),
    ),
    Command(
        words=("migrate",),
        does="move the ledger into another database, and check that it is the same",
        verb="holdfast.app:migrate",
        authority="the stage keys",
        action="platform.operate",
        opens="folder",
        options=(Option(name="to", says="URL of an empty PostgreSQL database, or `sqlite` for a file", required=True),),
    ),
    Command(
        words=("quota", "show"),
        does="show what this workspace may take of the machine, and what it uses",
        verb="holdfast.lifecycle.quotas:quota",
        authority="anyone who can read the workspace",
        action="platform.read",
        changes=False,
    ),
    Command(
        words=("quota", "set"),
        does="limit what this workspace may take of a machine that others share; on record",
        verb="holdfast.lifecycle.quotas:quota_set",
        authority="anyone who can read the workspace",
        action="platform.operate",
        options=(
            Option(name="stored-bytes", says="of rows, models and documents on the disk; 0 for no limit", kind="int"),
            Option(name="jobs", says="that wait or run; 0 for no limit", kind="int"),
            Option(name="requests-per-s", says="that each server process answers; 0 for no limit", kind="int"),
        ),
    ),
    Command(
        words=("jobs",),
        does="list what workers are doing, and what came of it",
        verb="holdfast.lifecycle.jobs:jobs",
        authority="anyone who can read the workspace",
        action="jobs.read",
        changes=False,
        options=(
            Option(name="last", says="how many jobs", kind="int", default=20),
            Option(name="before", says="only jobs asked for before this one"),
        ),
    ),
    Command(
        words=("job", "show"),
        does="tell how a job stands, and what came of it",
        verb="holdfast.lifecycle.jobs:show",
        authority="anyone who can read the workspace",
        action="jobs.read",
        changes=False,
        options=(_JOB,),
    ),
    Command(
        words=("job", "cancel"),
        does="cancel a job; its worker stops within seconds",
        verb="holdfast.lifecycle.jobs:cancel",
        authority="anyone who can read the workspace",
        action="jobs.write",
        options=(_JOB,),
    ),
    Command(
        words=("resolve",),
        does="tell which release answers under a name, by a table whose signature is checked",
        verb="holdfast.lifecycle.resolving:resolve",
        authority="anyone who can read the workspace",
        action="registry.read",
        changes=False,
        options=(Option(name="alias", says="NAME, NAME@production or NAME@canary", argument=True, required=True),),
    ),
)
