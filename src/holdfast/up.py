"""Composition root of `holdfast up`: control plane, job workers and gateway as children of one supervisor.

Chooses processes and decides nothing: what may be asked is `faces.http`'s, what may answer, the gateway's. The
supervisor forks before anything heavy is imported: that is why this module imports inside its functions. Each child
opens for itself what it works with, so the death of one touches no other.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.errors import HoldfastError
from holdfast.core.exposure import where_tls_ends

if TYPE_CHECKING:
    from holdfast.adapters.http_server import Tls
    from holdfast.adapters.posts import Post
    from holdfast.adapters.supervisor import Site
    from holdfast.edge import EdgeConfig
    from holdfast.edge.shared import Shared
    from holdfast.lifecycle.plant import Plant

GIVEN_UP_S: Final = 60.0  # that a worker of the API may be silent: opening secrets may hold its loop for seconds
POLL_S: Final = 0.5  # between two looks for a job
RENEWALS_PER_LEASE: Final = 3
TERMINATED: Final = "service.behind-tls-terminator"

Ready = Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class UpConfig:
    """What is started; see `docs/how-to/running-the-server.md`."""

    root: Path
    serving: "Callable[[Plant], AbstractContextManager[Any]]"  # opens the API over a workspace, as an ASGI application
    host: str = "127.0.0.1"
    port: int = 8440
    gateway_port: int | None = 8080  # None: no gateway
    grpc_port: int | None = None  # of the gateway; None: gRPC is not spoken
    gateways_port: int | None = None  # where gateways on other hosts are answered; None: nowhere
    workers: int = 1
    job_workers: int = 1
    tls: "Tls | None" = None
    terminated: bool = False  # somebody has said that a TLS terminator stands in front
    ready_file: Path | None = None


def run(config: UpConfig, tell: Callable[[dict[str, Any]], None]) -> None:
    """Run everything until SIGTERM or SIGINT, and return once every child has ended.

    Args:
        config: What is started.
        tell: Takes one document once the API answers.

    Raises:
        NotFound: There is no workspace.
        Refused: Other machines would be answered without TLS.
        Conflict: Another gateway runs in the workspace's folder.
        Unavailable: An address cannot be listened on.
    """
    from holdfast.adapters.supervisor import Supervisor
    from holdfast.edge import config_of
    from holdfast.edge.alone import alone

    config_of(config.root)  # is there a workspace? Better asked once than by each child
    ends = where_tls_ends(config.host, tls=config.tls is not None, terminated=config.terminated)
    beside = _beside(config)

    def ready(port: int) -> None:
        tls = config.tls is not None
        document = {"event": "ready", "url": _url(config.host, port, tls=tls), "pid": os.getpid(), "tls": ends}
        places = dict(zip(beside, supervisor.ports[1:], strict=True))
        document |= {name: _url(config.host, at, tls=tls) for name, at in places.items() if beside[name].host}
        if "grpc" in document:  # clients of gRPC take no scheme
            document["grpc"] = str(document["grpc"]).partition("://")[2]
        if config.ready_file is not None:
            temporary = config.ready_file.with_name(f".{config.ready_file.name}.{os.getpid()}")
            temporary.write_text(json.dumps(document), encoding="utf-8")
            temporary.replace(config.ready_file)
        tell(document)

    supervisor = Supervisor(
        host=config.host,
        port=config.port,
        workers=config.workers,
        work=lambda _, post, say: answer(config, post, say),
        on_ready=ready,
        beside=tuple(beside.values()),
        given_up_s=GIVEN_UP_S,
    )
    try:
        with alone(_edge(config).home) if config.gateway_port is not None else nullcontext():
            supervisor.run()
    finally:
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)


def _beside(config: UpConfig) -> "dict[str, Site]":
    """Return who works beside the API, by name.

    Raises:
        Refused: Gateways on other hosts would be answered without TLS: no terminator is believed about who asks.
    """
    from holdfast.adapters.supervisor import Site
    from holdfast.edge.serving import grpc_site
    from holdfast.edge.shared import Shared
    from holdfast.edge.sidecar import integrity_site

    found = {}
    if config.job_workers:
        found["jobs"] = Site(work=lambda *_: work_off(config.root), workers=config.job_workers, awaited=False)
    if config.gateway_port is not None:
        edge = _edge(config)
        shared = Shared.of(edge)
        found["gateway"] = Site(
            work=_gateway(config, shared), host=config.host, port=config.gateway_port, awaited=False
        )
        if edge.check_every_s:
            found["integrity"] = replace(integrity_site(edge), awaited=False)
        for site in grpc_site(edge, shared):
            found["grpc"] = replace(site, awaited=False)
    if config.gateways_port is not None:
        where_tls_ends(config.host, tls=config.tls is not None)
        work = _handing_out(config)
        found["gateways"] = Site(work=work, host=config.host, port=config.gateways_port, awaited=False)
    return found


def answer(config: UpConfig, post: "Post", say_ready: Ready) -> None:
    """Answer the API in this process until it is told to stop."""
    from holdfast.adapters import http_server
    from holdfast.app import open_plant
    from holdfast.core.ledger import Draft

    with open_plant(config.root) as plant, config.serving(plant) as application:
        if config.terminated:
            body = {"host": config.host, "port": post.own.getsockname()[1]}
            plant.ledger.append([Draft(kind=TERMINATED, actor="platform", stream="service", body=body)])
        http_server.run(application, post, on_started=say_ready, on_malformed=lambda _: None, tls=config.tls)


def work_off(root: Path) -> None:
    """Wait for a job, carry it out and return: the next one gets a process of its own.

    A job that is cancelled, or that another worker has taken over, ends with this process: what it was doing stands
    `kill -9` anyway, so there is no gentler way that would have to be trusted.
    """
    from holdfast.app import open_jobs

    worker = f"{os.uname().nodename}/{os.getpid()}/{os.urandom(4).hex()}"
    with open_jobs(root) as jobs:
        while (task := jobs.lease(worker)) is None:
            time.sleep(POLL_S)
        from holdfast.adapters.jobs import LEASE_S
        from holdfast.app import open_plant  # what carries a job out is loaded when there is one
        from holdfast.lifecycle.jobs import carry_out

        ended = threading.Event()

        def hold() -> None:
            while not ended.wait(min(LEASE_S / RENEWALS_PER_LEASE, 2.0)):  # a cancelled job stops within seconds
                try:
                    held = jobs.renew(task.id, worker)
                except HoldfastError:  # a busy database; the next renewal is due before the lease ends
                    continue
                if not held:
                    os.kill(os.getpid(), signal.SIGKILL)

        holding = threading.Thread(target=hold, name="lease", daemon=True)
        holding.start()
        with open_plant(root) as plant:
            state, result = carry_out(plant, task)
        ended.set()
        holding.join()
        jobs.finish(task.id, worker, state, result)


def _gateway(config: UpConfig, shared: "Shared") -> Callable[[int, "Post", Ready], None]:
    """Return what a gateway's worker does; it answers once something is promoted."""

    def work(number: int, post: "Post", say_ready: Ready) -> None:
        from holdfast.edge import Worker

        Worker(config=_edge(config), number=number, shared=shared, say_ready=say_ready).run(post)

    return work


def _edge(config: UpConfig) -> "EdgeConfig":
    """Return what the gateway is told."""
    from holdfast.edge import config_of

    # Callers of a model are known by keys and tokens too: a certificate may be shown, and is not demanded of them.
    tls = replace(config.tls, demanded=False) if config.tls is not None else None
    return config_of(
        config.root,
        host=config.host,
        port=config.gateway_port or 0,
        grpc_port=config.grpc_port,
        tls=tls,
        terminated=config.terminated,
    )


def _handing_out(config: UpConfig) -> Callable[[int, "Post", Ready], None]:
    """Return what answers gateways on other hosts: by the server's own certificate, and the workspace's authority."""

    def work(_: int, post: "Post", say_ready: Ready) -> None:
        from holdfast.app.distribution import hand_out, mutual
        from holdfast.lifecycle.home import Home

        home = Home(root=config.root.resolve())
        tls = mutual(home, config.tls.certificate, config.tls.key) if config.tls is not None else None
        hand_out(home, post, tls, say_ready)

    return work


def _url(host: str, port: int, *, tls: bool) -> str:
    host = f"[{host}]" if ":" in host else host
    return f"{'https' if tls else 'http'}://{host}:{port}"
