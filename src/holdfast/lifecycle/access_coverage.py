"""Coverage: which calls between parts are authenticated and authorised whatever network they come from (ACC-07).

`CALLS` is the whole list of who asks whom; a part that is added adds its row. What the control plane answers over the
network is not taken from the list: with an address, every route of the running one is asked without a credential.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from holdfast.core.actions import NAMES
from holdfast.core.errors import HoldfastError
from holdfast.lifecycle import COMMANDS, Command
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table

PREFIX: Final = "/v1"
REFUSED: Final = (401, 429)  # RFC 9110, 15.5.2; RFC 6585, 4: somebody unknown who asks too often is not even looked at
PUBLIC: Final = ("/healthz", "/readyz")
"""Routes that must answer everybody: whether it lives, and whether it can work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One part asking another: by what the asker is known, and by what it is allowed; empty where by nothing yet."""

    asker: str
    asked: str
    known_by: str
    allowed_by: str
    missing: str = ""
    modules: tuple[str, ...] = ()  # those below `holdfast` that open its sockets; a test finds any that none names

    @property
    def covered(self) -> bool:
        """Whether both are checked on each call."""
        return bool(self.known_by and self.allowed_by)


CALLS: Final = (
    Call(
        asker="caller",
        asked="gateway",
        known_by="API key, token or certificate over TLS, on each call (HTTP or gRPC); the gateway by its certificate",
        allowed_by="the signed credential table, compiled from the rules: models and operations",
        modules=(
            "client.calling",
            "client.asynchronous",
            "client.addresses",
            "edge.config",
            "edge.worker",
            "up",
            "adapters.http_server",
            "adapters.http_direct",
            "adapters.grpc_server",
            "adapters.supervisor",
            "adapters.posts",
        ),
    ),
    Call(
        asker="TLS terminator, where one was given a key",
        asked="gateway (whose certificate a caller has shown)",
        known_by="its signature under the key that it shares with the gateway, over certificate, method, path and time",
        allowed_by="it may name callers; what they may do, the signed table says",
    ),
    Call(
        asker="person, service or workload",
        asked="control plane (API)",
        known_by="token, API key or certificate over TLS, on each call",
        allowed_by="the rules that an administrator accepted",
        modules=("control_plane", "up", "adapters.http_server", "adapters.supervisor", "adapters.posts"),
    ),
    Call(
        asker="gateway on another host",
        asked="control plane (published routes, passports and blobs)",
        known_by="mutual TLS: a certificate of the workspace's authority with the gateway's SPIFFE id",
        allowed_by="an identity of this name that the root keys vouch for, looked at on each request",
        modules=(
            "app.distribution",
            "up",
            "adapters.fetching",
            "adapters.renewing",
            "adapters.peer",
            "adapters.http_server",
        ),
    ),
    Call(
        asker="gateway on another host",
        asked="control plane (telemetry and events)",
        known_by="the same, and the gateway's identity key seals each statement",
        allowed_by="role gateway may speak of telemetry only, and each gateway for itself alone",
        modules=("app.distribution", "up", "adapters.courier", "adapters.peer", "adapters.http_server"),
    ),
    Call(
        asker="gateway",
        asked="whoever answers as control plane",
        known_by="a certificate of the pinned authority that says this host and the control plane's SPIFFE id",
        allowed_by="signatures and digests of all that is read, and its own decision over the passport",
        modules=("adapters.peer", "adapters.fetching", "adapters.courier"),
    ),
    Call(
        asker="gateway beside the control plane",
        asked="published folder and spool",
        known_by="nobody is trusted: signatures and digests of all that is read, seals of all that is told",
        allowed_by="the trust root that the gateway pins; role gateway may speak of telemetry only",
    ),
    Call(
        asker="control plane",
        asked="private keys",
        known_by="the unlock secret, or the token's PIN",
        allowed_by="each role signs its own statements only",
    ),
    Call(
        asker="control plane",
        asked="signer process",
        known_by="the user id that the kernel tells of the other end of the socket",
        allowed_by="each role signs its own statements only",
        modules=("adapters.signer_client", "adapters.signer_frames", "adapters.signer_process"),
    ),
    Call(
        asker="control plane, signer process",
        asked="key service (AWS KMS, transit engine)",
        known_by="the service's own credentials over TLS; the service by its certificate, unless it is this machine",
        allowed_by="what the service's policy grants these credentials",
        modules=("adapters.kms_service", "adapters.transit_service"),
    ),
    Call(
        asker="training job",
        asked="secrets",
        known_by="the run that the control plane started",
        allowed_by="declared in the project and granted, each read on record",
    ),
    Call(
        asker="training job",
        asked="everything else",
        known_by="no network, and only declared files: there is nothing to ask",
        allowed_by="the sandbox",
        modules=("adapters.sandbox.inside.warden",),
    ),
    Call(
        asker="gateway",
        asked="collector that takes OpenTelemetry traces",
        known_by="TLS; whoever runs the gateway names the address",
        allowed_by="a share of calls is told: times, versions, ids of callers and calls, never a row or an answer",
        modules=("adapters.collector",),
    ),
    Call(
        asker="control plane",
        asked="OpenID provider",
        known_by="TLS, and the issuer's signed tokens",
        allowed_by="the provider's description, accepted by an administrator",
        modules=("adapters.web",),
    ),
    Call(
        asker="control plane",
        asked="catalogue that takes OpenLineage events",
        known_by="TLS; whoever calls `data events` names the address",
        allowed_by="names, digests, columns and counts are told, never a row; each telling is on record",
        modules=("adapters.web",),
    ),
    Call(
        asker="control plane",
        asked="witness",
        known_by="the log's signature on what is asked, the witness's on what is answered",
        allowed_by="the logs that the witness knows, the witnesses that the root keys name",
        modules=("adapters.witness",),
    ),
    Call(
        asker="control plane",
        asked="PostgreSQL",
        known_by="the database's own account; the server by its certificate (verify-full), unless it is this machine",
        allowed_by="what the database grants that account",
        modules=("adapters.connecting",),
    ),
    Call(
        asker="control plane",
        asked="databases that rows come from",
        known_by="an account and its stored password; the server by its certificate, unless it is this machine",
        allowed_by="declared in the project, the password granted to the source; what the database grants, read-only",
        modules=("adapters.source_database",),
    ),
    Call(
        asker="control plane",
        asked="HTTP APIs that rows come from",
        known_by="a stored credential in a header over TLS; the server by its certificate, unless it is this machine",
        allowed_by="declared in the project, the credential granted to the source; one host, no private network",
        modules=("adapters.source_api",),
    ),
    Call(
        asker="control plane",
        asked="NATS server that rows come from",
        known_by="stored NATS credentials; the server by its certificate, unless it is this machine",
        allowed_by="declared in the project, the credentials granted to the source; what the server's account grants",
        modules=("adapters.source_stream",),
    ),
    Call(
        asker="whoever hands in a file for a source",
        asked="control plane (source push)",
        known_by="an Ed25519 signature over digest, source and a number that rises, verified before the file is parsed",
        allowed_by="the keys that the project declares for this source",
    ),
    Call(
        asker="control plane",
        asked="object store",
        known_by="signed requests over TLS; the server by its certificate, unless it is this machine",
        allowed_by="what the store grants these credentials",
        modules=("adapters.object_blobs", "adapters.sealed_index"),
    ),
    Call(
        asker="operator's inventory",
        asked="inference servers of others",
        known_by="an API key over TLS where the server wants one; nothing that it answers is believed",
        allowed_by="whoever named the address on the command line",
        modules=("adapters.inference_probe",),
    ),
    Call(
        asker="operator's load test",
        asked="gateway",
        known_by="an API key over TLS; the gateway by its certificate, unless it is this machine",
        allowed_by="the signed credential table",
        modules=("app.loadtest", "adapters.load"),
    ),
    Call(
        asker="gateways that share limits",
        asked="Redis",
        known_by="its password; the server by its certificate (rediss), unless it is this machine",
        allowed_by="what the store grants that account; names are hashed, and a total that is no number lifts no limit",
        modules=("adapters.resp",),
    ),
    Call(
        asker="gateway, control plane",
        asked="store of online features",
        known_by="its password; the server by its certificate (rediss), unless it is this machine",
        allowed_by="what the store grants that account; entities are hashed, values encrypted for their place",
        modules=("adapters.resp",),
    ),
    Call(
        asker="gateway (streams)",
        asked="NATS server",
        known_by="a NATS credentials file, and the server by its certificate, unless it is this machine",
        allowed_by="what the server's account grants; what events hold is judged by the gateway's guards",
        modules=("adapters.jetstream",),
    ),
    Call(
        asker="job worker",
        asked="queue of jobs",
        known_by="the account of the database",
        allowed_by="",
        missing="a job carries no signature: whoever writes the database can have an offered command carried out",
    ),
    Call(
        asker="TLS terminator, where one was named",
        asked="gateway and control plane (API)",
        known_by="",
        allowed_by="",
        missing="it is believed to be the only one that reaches the address: a network rule is the only check",
        modules=("up",),
    ),
    Call(
        asker="whoever is on the same machine",
        asked="gateway's metrics, and what `publish serve` hands out in clear",
        known_by="",
        allowed_by="",
        missing="loopback is the only check; it shows counts and published files, never rows or secrets",
        modules=("edge.worker", "app.distribution"),
    ),
    Call(
        asker="command line on the same machine",
        asked="workspace",
        known_by="",
        allowed_by="",
        missing="whoever can read its files acts as the owner: file permissions are the only check (N02)",
    ),
    Call(
        asker="control plane",
        asked="SQLite database and blobs on disk",
        known_by="",
        allowed_by="",
        missing="file permissions only; changes are found by hashes, reading is prevented by encryption alone (G48)",
    ),
)


def coverage(plant: Plant, *, url: str = "") -> Reply:
    """Say which calls and commands are authenticated and authorised, and which are not yet.

    Args:
        plant: The control plane.
        url: Address of a running control plane; each of its routes is then asked without a credential.
    """
    calls = [_row(call) for call in CALLS]
    commands = [_command(command) for command in COMMANDS]
    routes = list(_probed(plant, url.rstrip("/"))) if url else []
    parts = [*calls, *commands, *routes]
    bare = [each for each in parts if not each["covered"]]
    columns = ("what", "who asks", "known by", "allowed by", "covered", "missing")
    keys = ("what", "asker", "known_by", "allowed_by", "covered", "missing")
    rows = [tuple({True: "yes", False: "no"}.get(each[key], each[key]) for key in keys) for each in parts]
    says = f"{len(parts) - len(bare)} of {len(parts)} are covered; {len(bare)} are not yet."
    says += "" if url else " Routes were not asked: name a running control plane with --url."
    document = {"calls": calls, "commands": commands, "routes": routes, "uncovered": len(bare), "probed": bool(url)}
    open_routes = any(not each["covered"] for each in routes)
    tables = (Table(title="Coverage", columns=columns, rows=rows),)
    return Reply(says=says, document=document, tables=tables, exit_code=1 if open_routes else 0)


def _row(call: Call) -> dict[str, Any]:
    about = {"what": call.asked, "asker": call.asker, "known_by": call.known_by, "allowed_by": call.allowed_by}
    return about | {"covered": call.covered, "missing": call.missing}


def _command(command: Command) -> dict[str, Any]:
    """Say how a command is covered when it is asked for over the network; locally the workspace's files decide."""
    words = "command " + " ".join(command.words)
    if command.opens != "workspace":
        known, allowed, missing = "not offered over the network", "not offered over the network", ""
    elif command.action in NAMES:
        known, allowed, missing = "token, API key or certificate", f"the rules, as {command.action}", ""
    else:
        known, allowed = "token, API key or certificate", ""
        missing = f"{command.action} is no action of the schema: it is denied to everybody"
    return {
        "what": words,
        "asker": "whoever asks over the network",
        "known_by": known,
        "allowed_by": allowed,
        "covered": not missing,
        "missing": missing,
    }


def _probed(plant: Plant, url: str) -> Iterator[dict[str, Any]]:
    """Ask each route without a credential, and yield what it answered."""
    for method, path in _routes():
        if path in PUBLIC:
            yield _route(method, path, "nobody: it is public", covered=True, missing="")
            continue
        try:
            status, _ = plant.web.get(url + path) if method == "get" else plant.web.post(url + path, {})
        except HoldfastError as error:
            yield _route(method, path, "", covered=False, missing=f"it could not be asked: {error.message}")
            continue
        covered = status in REFUSED
        missing = "" if covered else f"it answers {status} to somebody unknown, not {REFUSED[0]}"
        yield _route(method, path, "refuses whom it does not know" if covered else "", covered=covered, missing=missing)


def _route(method: str, path: str, known: str, *, covered: bool, missing: str) -> dict[str, Any]:
    about = {"what": f"{method.upper()} {path}", "asker": "somebody without a credential", "known_by": known}
    return about | {"allowed_by": "the rules" if covered else "", "covered": covered, "missing": missing}


def _routes() -> Iterator[tuple[str, str]]:
    """Yield method and path of each command's route, offered or not, and of what else a control plane could answer.

    The server is not asked which routes it has: one that it forgot to say would be forgotten here too.
    """
    yield from (("get", path) for path in PUBLIC)
    for command in COMMANDS:
        if command.opens == "workspace":
            yield "post" if command.changes else "get", "/".join((PREFIX, *command.words))
    yield from (("get", f"{PREFIX}/{path}") for path in ("openapi.json", "resolve/x", "x"))
