"""Batches and streams, which score without a socket through the same gateway; and what holds a gateway to its word."""

from typing import Final

from holdfast.lifecycle.commands.command import Command, Option

_KEY: Final = Option(name="key-file", says="a file with an API key that may call the model", kind="path", required=True)

COMMANDS: Final = (
    Command(
        words=("batch", "run"),
        does="score a table: one row out for each row in, through any crash; run again to go on",
        verb="holdfast.edge.batch:command",
        example="holdfast batch run breast-cancer cases.csv scored --key-file nightly.key --keep patient_id",
        authority="none",
        action="endpoint.operate",
        opens="folder",
        options=(
            Option(name="model", says="name of the model", argument=True, required=True),
            Option(name="input", says="a .csv or .parquet file", kind="path", argument=True, required=True),
            Option(
                name="output", says="a folder that is new, or was begun so", kind="path", argument=True, required=True
            ),
            _KEY,
            Option(name="keep", says="columns that are copied into the output, with commas between"),
            Option(name="part-rows", says="rows of each part", kind="int", default=8192),
            Option(name="environment", says="whose routes it obeys: production or staging", default="production"),
        ),
    ),
    Command(
        words=("stream", "run"),
        does="answer events of NATS JetStream, each once and in the order of its key, until told to stop",
        verb="holdfast.edge.stream:command",
        example="holdfast stream run breast-cancer --stream cases --answers scored --dead rejected --key-file s.key",
        authority="none",
        action="endpoint.operate",
        opens="folder",
        options=(
            Option(name="model", says="name of the model", argument=True, required=True),
            Option(name="stream", says="name of the stream of events", required=True),
            Option(name="answers", says="subject below which answers go, a token for each key", required=True),
            Option(name="dead", says="subject below which events go that are refused", required=True),
            _KEY,
            Option(name="url", says="tls://host:port of the server", default="nats://127.0.0.1:4222"),
            Option(name="subject", says="which events of the stream", default=">"),
            Option(name="name", says="of this application: its place in the stream is kept under it"),
            Option(name="in-flight", says="events under way at most", kind="int", default=64),
            Option(name="credentials", says="a NATS credentials file", kind="path"),
            Option(name="ca", says="authority of the server's certificate, PEM", kind="path"),
            Option(name="until-idle", says="end when no event has come for a while", kind="flag", default=False),
            Option(name="environment", says="whose routes it obeys: production or staging", default="production"),
        ),
    ),
    Command(
        words=("loadtest",),
        does="send good calls and attacks to a gateway of one's own, and hold its answers against an objective",
        verb="holdfast.app.loadtest:loadtest",
        example="holdfast loadtest http://127.0.0.1:8080 --model breast-cancer --key-file tester.key --rate 50",
        authority="none",
        action="endpoint.operate",
        changes=False,
        opens="nothing",
        options=(
            Option(name="url", says="https://host:port of the gateway", argument=True, required=True),
            Option(name="model", says="name of the model", required=True),
            _KEY,
            Option(name="rate", says="calls a second, on average", kind="float", default=20.0),
            Option(name="seconds", says="for how long", kind="float", default=10.0),
            Option(name="attack-share", says="share of the calls that are attacks", kind="float", default=0.2),
            Option(name="p99-ms", says="milliseconds that 99 % of good calls keep to", kind="float", default=200.0),
            Option(name="goodput", says="share of good calls that are answered", kind="float", default=0.99),
            Option(name="seed", says="of the schedule", kind="int", default=0),
            Option(name="signed", says="sign each call, and replay some", kind="flag", default=False),
            Option(name="texts", says="good texts for a model that reads some, one a line", kind="path"),
            Option(name="injections", says="the table refuses orders in texts: send some", kind="flag", default=False),
            Option(name="entities", says="entities whose features are looked up, one a line", kind="path"),
            Option(name="ca", says="authority of the gateway's certificate, PEM", kind="path"),
        ),
    ),
    Command(
        words=("batch", "verify"),
        does="verify a scored batch: signature, every part, one row out for each row in",
        verb="holdfast.lifecycle.batches:verify",
        example="holdfast batch verify scored --input cases.csv",
        authority="anyone who can read the workspace",
        action="audit.read",
        changes=False,
        options=(
            Option(name="output", says="what `batch run` wrote", kind="path", argument=True, required=True),
            Option(name="input", says="the file that was scored, which must still be the same", kind="path"),
        ),
    ),
)
