"""What a gateway is told when it starts, and what that is for the gateway of a workspace."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from holdfast.adapters.http_server import Tls
    from holdfast.adapters.keys import FileKeys
    from holdfast.adapters.opener import Opener
    from holdfast.core.ports import Signer
    from holdfast.core.trust import Trust

PLACES: Final = {"production": "published", "staging": "staging"}
"""The folder of a workspace in which each environment's routes lie."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeConfig:
    """What a gateway is told when it starts; see `docs/reference/gateway.md`."""

    published: Path  # the folder that the control plane writes; read where no address is given
    home: Path  # the gateway's own folder: memory and spool
    root: Path  # the root keys it pins, as a trust document in plain JSON
    credential_key: Path  # the key of the keyed hashes by which API keys are known
    identity: "Callable[[], Signer]"  # opens the gateway's own signing key, in the worker that uses it
    opener: "Callable[[], Opener]"  # opens what is published for this gateway
    records: Path  # for whom its records are encrypted, as the control plane has said
    # Of several identity keys the one that is trusted by now; a rotation then needs no restart.
    choose: "Callable[[Trust, datetime], Signer] | None" = None
    source: str = ""  # the address of a control plane on another host, whose published folder is fetched
    poll_s: float = 1.0  # between two questions to that address
    environment: str = "production"
    origin: str = ""  # of the ledger's checkpoints; the root document's workspace if left out
    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    grpc_port: int | None = None  # where a process of its own answers gRPC, 0 for a free one; None: nowhere
    telemetry_every_s: float = 5.0
    deliver_every_s: float = 2.0  # between two deliveries of what was recorded to a control plane on another host
    check_every_s: float = 10.0  # between two looks of the integrity sidecar; 0 does without one
    given_up_s: float = 10.0  # that a worker may be silent before it is killed and replaced
    ready_file: Path | None = None  # written when every worker is ready, removed when the gateway ends
    limits_url: str = ""  # of the store in which gateways on several machines count limits together
    features_url: str = ""  # of the online store of features; empty: the file in this gateway's folder
    traces_url: str = ""  # of the OpenTelemetry collector that is told of some calls; empty: none
    traces_share: float = 0.01  # of the traces, which it is told of
    region: str = ""  # where this machine stands; a table may name the regions in which its models answer
    metrics_for_all: bool = False  # /metrics answers callers from other machines too
    tls: "Tls | None" = None  # where it ends in this process
    terminated: bool = False  # somebody has said that a TLS terminator stands in front
    terminator_key: Path | None = None  # shared with it; its word about its clients' certificates is then taken
    own: Path | None = None  # the folder with this gateway's certificate, shown to a control plane on another host


def config_of(
    root: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    workers: int = 1,
    environment: str = "production",
    **more: Any,
) -> EdgeConfig:
    """Return the configuration of the gateway that belongs to a project's workspace.

    Args:
        root: The project's folder.
        host: Address to listen on.
        port: Port to listen on; 0 for a free one.
        workers: Worker processes.
        environment: Which routes it obeys. What a staging gateway remembers and tells stays in a folder of its own: it
            is no evidence about production, and `watch` does not read it.
        more: Any other field of `EdgeConfig`.

    Raises:
        InvalidInput: There is no such environment.
        NotFound: There is no workspace.
    """
    if environment not in PLACES:
        raise InvalidInput(f"the environment {environment[:20]!r}", expected=" or ".join(PLACES))
    from holdfast.config import HOME_NAME, RECORDS_NAME, read_settings

    workspace = root.resolve() / HOME_NAME
    own = workspace / "gateway"
    if not own.is_dir():
        remedy = "Change to the project's folder, or make a workspace with `holdfast init`."
        raise NotFound("there is no workspace here", place=str(root), remedy=remedy)
    home = own if environment == "production" else own / environment
    home.mkdir(mode=0o700, exist_ok=True)
    return EdgeConfig(
        published=workspace / PLACES[environment],
        home=home,
        environment=environment,
        region=read_settings().region,
        limits_url=read_settings().limits_url,
        features_url=read_settings().features_url,
        traces_url=read_settings().traces_url,
        traces_share=read_settings().traces_share,
        root=own / "root.json",
        credential_key=own / "credential.key",
        own=own,
        identity=lambda: _identity(own),
        opener=lambda: _opener(own),
        records=own / RECORDS_NAME,
        choose=lambda trust, now: _chosen_identity(own, trust, now),
        host=host,
        port=port,
        workers=workers,
        **more,
    )


def _identity(own: Path) -> "Signer":
    """Open the gateway's own key; a gateway starts without a person, so what opens it lies beside it."""
    return _own_keys(own).signer("gateway")


def _opener(own: Path) -> "Opener":
    """Return the gateway's key for reading; its secret lies outside of its folder, with the other unlock secrets."""
    from holdfast.adapters.opener import Opener
    from holdfast.config import read_settings

    return Opener(own, read_settings().unlock_dir)


@cache
def _own_keys(own: Path) -> "FileKeys":
    from holdfast.adapters.keys import open_keys
    from holdfast.adapters.unlock import unlock_file

    return open_keys(own / "keys", unlock_file(own / "unlock"))


def _chosen_identity(own: Path, trust: "Trust", now: datetime) -> "Signer":
    """Return the newest of the gateway's keys that the root keys trust now; else the newest there is.

    The folder is read again where the trust names a newer key than any known: it was made while this process ran.
    """
    from holdfast.core.keystate import signing

    keys = _own_keys(own)
    held = {key.keyid for key in keys.held()}
    names = {key.owner for key in keys.held()}
    if any(key.owner in names and key.keyid not in held for key in trust.of_role("gateway")):
        keys.refresh()
        held = {key.keyid for key in keys.held()}
    chosen = signing(trust, "gateway", held, now)
    return keys.signer_of(chosen.keyid) if chosen is not None else keys.signer("gateway")


def tls_of(certificate: Path | None, key: Path | None, client_authority: Path | None) -> "Tls | None":
    """Return what TLS needs, looked at once before anything is started; None where none of it is given.

    Raises:
        InvalidInput: Half of it is given, or it cannot be used.
    """
    if certificate is None and key is None and client_authority is None:
        return None
    if certificate is None or key is None:
        raise InvalidInput("half of what TLS needs", expected="--tls-cert and --tls-key")
    from holdfast.adapters.http_server import Tls, context_of

    tls = Tls(certificate=certificate, key=key, client_authority=client_authority)
    context_of(tls)
    return tls
