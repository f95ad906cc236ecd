"""`holdfast up`: the API, workers for its jobs, and the gateway, until told to stop."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from holdfast.core.errors import MissingExtra
from holdfast.lifecycle.reply import Progress, Reply

if TYPE_CHECKING:
    from holdfast.lifecycle.plant import Plant


def up(  # noqa: PLR0913 - one argument for each option of the command
    root: Path,
    *,
    tell: Callable[[Progress], None],
    host: str = "127.0.0.1",
    port: int = 8440,
    gateway_port: int = 8080,
    gateways_port: int | None = None,
    grpc_port: int | None = None,
    workers: int = 1,
    job_workers: int = 1,
    no_gateway: bool = False,
    allow_host: str | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    client_ca: Path | None = None,
    behind_tls_terminator: bool = False,
    ready_file: Path | None = None,
) -> Reply:
    """Run control plane, workers and gateway of a workspace until SIGTERM or SIGINT.

    Raises:
        NotFound: There is no workspace; the message tells how one is made.
        Refused: Other machines would be answered without TLS.
        InvalidInput: Half of what TLS needs, or an address that is none.
        MissingExtra: The server is not installed.
        Unavailable: An address cannot be listened on.
    """
    from importlib.util import find_spec

    from holdfast.edge import tls_of
    from holdfast.up import UpConfig, run

    if find_spec("fastapi") is None or find_spec("uvicorn") is None:
        raise MissingExtra("the server is not installed", expected="the extra holdfast[server]")
    tls = tls_of(tls_cert, tls_key, client_ca)
    names = {host, "localhost", "127.0.0.1", "[::1]", *(allow_host.lower().split(",") if allow_host else ())}
    hosts = frozenset(f"[{name}]" if ":" in name and not name.startswith("[") else name for name in names)

    def serving(plant: "Plant") -> AbstractContextManager[Any]:
        from holdfast.faces.http.door import Terms
        from holdfast.faces.http.server import serving as opened

        return opened(plant, Terms(hosts=hosts, tls=tls is not None))

    def announce(document: dict[str, Any]) -> None:
        beside = f"; gateway {document['gateway']}" if "gateway" in document else ""
        beside += f"; gateways on other hosts ask {document['gateways']}" if "gateways" in document else ""
        beside += f"; gRPC {document['grpc']}" if "grpc" in document else ""
        ends = "; TLS ends in front" if document["tls"] == "terminator" else ""
        words = f"control plane {document['url']}{beside}{ends}; stop with Ctrl-C"
        tell(Progress(stage="up", state="finished", words=words))

    config = UpConfig(
        root=root,
        serving=serving,
        host=host,
        port=port,
        gateway_port=None if no_gateway else gateway_port,
        gateways_port=gateways_port,
        grpc_port=grpc_port,
        workers=workers,
        job_workers=job_workers,
        tls=tls,
        terminated=behind_tls_terminator,
        ready_file=ready_file,
    )
    run(config, announce)
    return Reply(says="Everything has ended.")
