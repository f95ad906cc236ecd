"""A worker's parts: the gateway with its loader and its recorder, and who carries what is recorded."""

import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.core.errors import NotVerified, Unavailable
from holdfast.edge.config import EdgeConfig

if TYPE_CHECKING:
    from holdfast.adapters.cells import SharedCells
    from holdfast.adapters.courier import Courier
    from holdfast.adapters.nonces import SharedNonces
    from holdfast.adapters.peer import Peer
    from holdfast.core.trust import Trust
    from holdfast.serve import Gateway, Ground, Loader, Recorder
    from holdfast.serve.columns import Column, Columns
    from holdfast.serve.guards.lookup import Source
    from holdfast.serve.sharing import Sharing
    from holdfast.serve.tracing import Tracing

MAX_ROOT: Final = 1 << 20  # bytes of the pinned root document
CELLS_NAME: Final = "limits.cells"
PASSWORD_NAME: Final = "limits.password"  # noqa: S105 - a file's name
FEATURES_NAME: Final = "features.sqlite"
FEATURES_PASSWORD_NAME: Final = "features.password"  # noqa: S105 - a file's name
LISTENER: Final = 319  # the slot of whoever answers no calls
MAX_KEY: Final = 4096  # bytes of the credential key


def assemble(
    config: EdgeConfig, number: int, nonces: "SharedNonces | None" = None, columns: "Columns | None" = None
) -> "tuple[Gateway, Loader, Recorder]":
    """Return a worker's gateway with its loader and its recorder, nothing loaded yet.

    Args:
        config: Where everything is.
        number: Of the worker.
        nonces: The memory of signed requests that all workers share; one of its own if left out.
        columns: What all workers count; a column of its own if left out.

    Raises:
        HoldfastError: The root keys, the credential key, the identity or the spool cannot be opened.
    """
    from holdfast.adapters.fetching import PublishedUrl
    from holdfast.adapters.here import offered
    from holdfast.adapters.nonces import SharedNonces
    from holdfast.adapters.published import MemoryFile, PublishedFolder
    from holdfast.adapters.records import encrypt_record
    from holdfast.adapters.runtime import OnnxRuntime
    from holdfast.adapters.side_effects import CleanRuntime
    from holdfast.adapters.spool import Spool
    from holdfast.adapters.unsealing import Lying, Unsealed, remove_plain
    from holdfast.serve import Gateway, Loader, Pins, Recorder
    from holdfast.serve.loading import Remembered

    root, ground = read_root(config.root), ground_of(config, columns.own(number, os.getpid()) if columns else None)
    gateway, clock = Gateway(ground), ground.clock
    lying: Lying = PublishedFolder(config.published)
    if config.source:
        remove_plain(config.home / "cache")
        peer = peer_of(config, root.workspace)
        lying = PublishedUrl(url=config.source, cache=config.home / "cache", peer=peer, poll_s=config.poll_s)
    loader = Loader(
        published=Unsealed(published=lying, opener=config.opener()),
        memory=MemoryFile(path=config.home / "state.json", type=Remembered, join=Remembered.joined),
        runtime=CleanRuntime(OnnxRuntime()),
        offered=offered,
        pins=Pins(
            root=root, origin=config.origin or root.workspace, environment=config.environment, region=config.region
        ),
        ground=ground,
        gateway=gateway,
        nonces=nonces or SharedNonces(since=clock.now().timestamp()),
        cells=cells_of(config, number),
    )
    spool = Spool(config.home / "spool", number)
    choose = config.choose
    recorder = Recorder(
        worker=number,
        gateway=gateway,
        spool=spool,
        signer=config.identity(),
        encrypt=partial(encrypt_record, config.records),
        clock=clock,
        choose=(lambda trust: choose(trust, clock.now())) if choose is not None else None,
    )
    return gateway, loader, recorder


def ground_of(config: EdgeConfig, column: "Column | None" = None) -> "Ground":
    """Return what a gateway stands on: clocks, and the keys that it shares with nobody but who issues and terminates.

    Raises:
        HoldfastError: A key cannot be read, or is too short.
    """
    from holdfast import __version__
    from holdfast.adapters.clock import SystemClock
    from holdfast.adapters.durable import read_private
    from holdfast.serve import Ground
    from holdfast.serve.columns import lone
    from holdfast.serve.credentials import check_credential_key

    credential_key = read_private(config.credential_key, what="the credential key", limit=MAX_KEY)
    check_credential_key(credential_key)
    terminator_key = b""
    if config.terminator_key is not None:
        terminator_key = read_private(config.terminator_key, what="the terminator's key", limit=MAX_KEY)
        check_credential_key(terminator_key)
    return Ground(
        clock=SystemClock(),
        monotonic=time.perf_counter,
        credential_key=credential_key,
        version=__version__,
        metrics_for_all=config.metrics_for_all,
        terminator_key=terminator_key,
        features=features_of(config, credential_key),
        tracing=tracing_of(config),
        column=column or lone(),
    )


def tracing_of(config: EdgeConfig) -> "Tracing | None":
    """Return what chooses calls to be traced; None where nobody is named who is to be told.

    Raises:
        InvalidInput: The share is none.
    """
    from holdfast.serve.tracing import Tracing

    if not config.traces_url:
        return None
    offset_s = time.time() - time.perf_counter()
    return Tracing(share=config.traces_share, monotonic=time.perf_counter, offset_s=offset_s)


def teller_of(config: EdgeConfig, number: int, tracing: "Tracing") -> "Callable[[], None]":
    """Return what tells the collector of the calls that wait; what it does not take is dropped and counted.

    Raises:
        InvalidInput: The address cannot be used.
    """
    from holdfast import __version__
    from holdfast.adapters.collector import Collector
    from holdfast.serve.otlp import export

    collector = Collector(config.traces_url)
    resource = {
        "service.name": "holdfast-gateway",
        "service.version": __version__,
        "service.instance.id": f"{os.uname().nodename}/{number}",
    }

    def tell() -> None:
        spans = tracing.take()
        traces = len({each.trace for each in spans})
        if not spans:
            return
        try:
            collector.tell(export(spans, resource, __version__))
            tracing.sent += traces
        except Unavailable:
            tracing.dropped += traces
            raise

    return tell


def features_of(config: EdgeConfig, shared: bytes) -> "Source | None":
    """Return where features are looked up: the Redis that is named, or the file that the control plane fills.

    Raises:
        HoldfastError: The address or the password cannot be used.
    """
    from holdfast.adapters.durable import read_private
    from holdfast.engines.online import Vault
    from holdfast.serve.guards.lookup import Source

    if not config.features_url:
        from holdfast.adapters.online_sqlite import SqliteFeatures

        return Source(store=SqliteFeatures(path=config.home / FEATURES_NAME), vault=Vault.of(shared))
    from holdfast.adapters.online_redis import RedisFeatures

    secret = config.home / FEATURES_PASSWORD_NAME
    password = read_private(secret, what="the online store's password", limit=MAX_KEY) if secret.exists() else b""
    workspace = config.origin or read_root(config.root).workspace
    store = RedisFeatures(url=config.features_url, prefix=workspace, password=password.decode().strip())
    return Source(store=store, vault=Vault.of(shared))


def cells_of(config: EdgeConfig, number: int) -> "SharedCells":
    """Return what limits have counted, opened for one worker.

    Raises:
        Unavailable: The file cannot be opened, or is none.
    """
    from holdfast.adapters.cells import SharedCells

    return SharedCells(config.home / CELLS_NAME, worker=number)


def sharing_of(config: EdgeConfig) -> "Sharing | None":
    """Return what counts limits together with other machines, for one thread of one worker; None where none is named.

    Raises:
        HoldfastError: The address, the password, the credential key or the cells cannot be used.
    """
    from holdfast.adapters.durable import read_private
    from holdfast.adapters.redis_totals import RedisTotals
    from holdfast.serve.sharing import Sharing

    if not config.limits_url:
        return None
    secret = config.home / PASSWORD_NAME
    password = read_private(secret, what="the password of shared limits", limit=MAX_KEY) if secret.exists() else b""
    key = read_private(config.credential_key, what="the credential key", limit=MAX_KEY)
    totals = RedisTotals(
        url=config.limits_url,
        prefix=f"{read_root(config.root).workspace}:{config.environment}",
        key=key[:64],
        password=password.decode().strip(),
    )
    return Sharing(cells=cells_of(config, LISTENER), totals=totals, monotonic=time.perf_counter)


def courier_of(config: EdgeConfig) -> "Courier | None":
    """Return what takes a gateway's records to a control plane on another host.

    One that reads a folder has its spool drained where it lies, and one that asks in clear is known to nobody.

    Raises:
        HoldfastError: The root keys or this gateway's certificate cannot be used.
    """
    from holdfast.adapters.courier import Courier

    if not config.source.startswith("https:"):
        return None
    peer = peer_of(config, read_root(config.root).workspace)
    return Courier(spool=config.home / "spool", url=config.source, peer=peer)


def peer_of(config: EdgeConfig, workspace: str) -> "Peer | None":
    """Return who a gateway is towards a control plane on another host, if it has a certificate for that."""
    from holdfast.adapters.clock import SystemClock
    from holdfast.adapters.peer import Peer

    return Peer(folder=config.own, workspace=workspace, now=SystemClock().now) if config.own is not None else None


def read_root(path: Path) -> "Trust":
    """Return the root keys that a gateway pins.

    Raises:
        NotVerified: The document names keys of other roles, too few of them, or is no trust document.
    """
    import msgspec

    from holdfast.adapters.published import read_bounded
    from holdfast.core.trust import Trust

    try:
        root = msgspec.json.decode(read_bounded(path, MAX_ROOT, "the pinned root document"), type=Trust)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise NotVerified(f"the pinned root document cannot be read: {error}", place=str(path)) from error
    owners = {key.owner for key in root.of_role("root")}
    if root.root_threshold < 1 or len(owners) < root.root_threshold or any(key.role != "root" for key in root.keys):
        raise NotVerified(
            "the pinned document does not hold root keys alone, and enough of them",
            place=str(path),
            expected=f"keys of {max(root.root_threshold, 1)} owners, all of role root",
        )
    return root
