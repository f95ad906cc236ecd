"""The gateway as processes: supervised until told to stop, by command, and in a block of a program."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.errors import InvalidInput, MissingExtra
from holdfast.core.exposure import where_tls_ends
from holdfast.edge.alone import alone
from holdfast.edge.config import EdgeConfig, config_of, tls_of
from holdfast.edge.sidecar import integrity_site
from holdfast.edge.worker import Worker

if TYPE_CHECKING:
    from holdfast.adapters.posts import Post
    from holdfast.adapters.supervisor import Site
    from holdfast.edge.shared import Shared

SHORTEST_POLL_S: Final = 0.1  # between two questions to a control plane on another host; one takes some milliseconds
SHORTEST_GIVEN_UP_S: Final = 2.0  # a worker that waits for a busy machine is not killed for it
LONGEST_POLL_S: Final = 3.0  # with jitter, a look and a load still within the 5 s that are promised


def serve(config: EdgeConfig, *, tell: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT.

    Args:
        config: Where everything is.
        tell: Takes one document when every worker is ready; by default it goes to standard output as one line of JSON.

    Raises:
        InvalidInput: The configuration makes no sense.
        Refused: Other machines would be answered without TLS.
        Conflict: Another gateway runs in its folder.
        Unavailable: The address cannot be listened on.
    """
    from holdfast.adapters.supervisor import Supervisor
    from holdfast.edge.shared import Shared

    shared = Shared.of(config)
    beside = grpc_site(config, shared)
    ends = where_tls_ends(config.host, tls=config.tls is not None, terminated=config.terminated)

    if config.telemetry_every_s <= 0:
        raise InvalidInput(f"telemetry every {config.telemetry_every_s} s", expected="more than 0")
    if config.given_up_s < SHORTEST_GIVEN_UP_S:
        raise InvalidInput(f"workers given up after {config.given_up_s} s", expected=f"{SHORTEST_GIVEN_UP_S} or more")
    if not SHORTEST_POLL_S <= config.poll_s <= LONGEST_POLL_S:
        expected = f"{SHORTEST_POLL_S} to {LONGEST_POLL_S} s: a revocation must reach a gateway within 5 s"
        raise InvalidInput(f"polling every {config.poll_s} s", expected=expected)
    announce = tell or _print_line

    def ready(port: int) -> None:
        host = f"[{config.host}]" if ":" in config.host else config.host
        url = f"{'https' if config.tls else 'http'}://{host}:{port}"
        document = {"event": "ready", "url": url, "pid": os.getpid(), "workers": config.workers, "tls": ends}
        if config.grpc_port is not None:
            document["grpc"] = f"{host}:{supervisor.ports[1]}"
        if config.ready_file is not None:
            _write_ready(config.ready_file, document)
        announce(document)

    def work(number: int, post: "Post", say_ready: Callable[[], None]) -> None:
        Worker(config=config, number=number, shared=shared, say_ready=say_ready).run(post)

    if config.check_every_s:
        beside = (*beside, integrity_site(config))
    supervisor = Supervisor(
        host=config.host,
        port=config.port,
        workers=config.workers,
        work=work,
        on_ready=ready,
        beside=beside,
        given_up_s=config.given_up_s,
    )
    try:
        with alone(config.home):
            supervisor.run()
    finally:
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)


def grpc_site(config: EdgeConfig, shared: "Shared") -> "tuple[Site, ...]":
    """Return the process that answers gRPC beside a gateway's workers, if there is to be one.

    Raises:
        MissingExtra: grpcio is not installed.
    """
    from holdfast.adapters.supervisor import Site

    if config.grpc_port is None:
        return ()
    if find_spec("grpc") is None:
        raise MissingExtra("gRPC is spoken by grpcio", place="--grpc-port", remedy="pip install 'holdfast[grpc]'")

    def work(_: int, post: "Post", say_ready: Callable[[], None]) -> None:
        number = config.workers  # behind the others: each has records of its own
        Worker(config=config, number=number, shared=shared, say_ready=say_ready, grpc=True).run(post)

    return (Site(work=work, host=config.host, port=config.grpc_port, given_up_s=config.given_up_s),)


def _print_line(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _write_ready(path: Path, document: dict[str, Any]) -> None:
    """Write the ready file whole: whoever waits for it must never read half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document), encoding="utf-8")
    temporary.replace(path)


def command(  # noqa: PLR0913 - one argument for each option of the command
    root: Path,
    *,
    tell: Callable[[Any], None],
    host: str = "127.0.0.1",
    port: int = 8080,
    workers: int = 1,
    ready_file: Path | None = None,
    from_url: str | None = None,
    environment: str = "production",
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    client_ca: Path | None = None,
    behind_tls_terminator: bool = False,
    terminator_key: Path | None = None,
    grpc_port: int | None = None,
) -> Any:
    """Run a workspace's gateway until it is told to stop: `holdfast serve`."""
    from holdfast.lifecycle.reply import Progress, Reply

    def announce(document: dict[str, Any]) -> None:
        ends = "; TLS ends in front" if document["tls"] == "terminator" else ""
        grpc = f"; gRPC at {document['grpc']}" if "grpc" in document else ""
        words = f"{document['url']} answers ({document['workers']} worker(s)){ends}{grpc}; stop with Ctrl-C"
        tell(Progress(stage="serve", state="finished", words=words))

    more: dict[str, Any] = {"ready_file": ready_file, "source": from_url or "", "environment": environment}
    more |= {"terminator_key": terminator_key, "grpc_port": grpc_port}
    more |= {"tls": tls_of(tls_cert, tls_key, client_ca), "terminated": behind_tls_terminator}
    serve(config_of(root, host=host, port=port, workers=workers, **more), tell=announce)
    return Reply(says="The gateway has ended.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A gateway in a process of its own."""

    url: str
    tell_now: Callable[[], None]  # asks it to write its telemetry now


@contextmanager
def start(root: Path) -> Iterator[Running]:
    """Start a workspace's gateway in a process of its own on a free port, and stop it when the block ends.

    Raises:
        Unavailable: It did not become ready.
    """
    from holdfast.adapters.supervisor_child import Child

    own = config_of(root).home
    ready = own / "ready.json"
    arguments = ["serve", "--root", str(root), "--port", "0", "--ready-file", str(ready)]
    child = Child(arguments, ready_file=ready)
    try:
        yield Running(url=str(child.wait_until_ready()["url"]), tell_now=child.tell_now)
    finally:
        child.stop()
