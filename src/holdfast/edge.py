"""Composition root of the data plane: the gateway as a process of its own.

Chooses adapters, starts threads and a server, and decides nothing: what may answer is `serve.loading`'s to decide, what
a request meets, `serve.gateway`'s. The process needs the published folder, the pinned root keys, its own identity, its
key for reading and the credential key. It has no database, no training code and no private release key, and starts no
process once it is ready.

The supervisor forks workers before anything heavy is imported: that is why this module imports inside its functions.
Each worker loads for itself, listens once it has loaded, and is ready when it has something to serve.
"""

import gc
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified
from holdfast.core.exposure import where_tls_ends

if TYPE_CHECKING:
    from holdfast.adapters.courier import Courier
    from holdfast.adapters.http_server import Tls
    from holdfast.adapters.keys import FileKeys
    from holdfast.adapters.nonces import SharedNonces
    from holdfast.adapters.opener import Opener
    from holdfast.adapters.peer import Peer
    from holdfast.core.ports import Signer
    from holdfast.core.trust import Trust
    from holdfast.serve import Gateway, Loader, Recorder

POLL_S: Final = 0.25  # between two looks at the published folder
SHORTEST_POLL_S: Final = 0.1  # between two questions to a control plane on another host; one takes some milliseconds
LONGEST_POLL_S: Final = 3.0  # with jitter, a look and a load still within the 5 s that are promised
EVENTS_S: Final = 0.05  # between two groups of security events on their way to the disk
MAX_ROOT: Final = 1 << 20  # bytes of the pinned root document
MAX_KEY: Final = 4096  # bytes of the credential key
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
    telemetry_every_s: float = 5.0
    deliver_every_s: float = 2.0  # between two deliveries of what was recorded to a control plane on another host
    ready_file: Path | None = None  # written when every worker is ready, removed when the gateway ends
    region: str = ""  # where this machine stands; a table may name the regions in which its models answer
    metrics_for_all: bool = False  # /metrics answers callers from other machines too
    tls: "Tls | None" = None  # where it ends in this process
    terminated: bool = False  # somebody has said that a TLS terminator stands in front
    own: Path | None = None  # the folder with this gateway's certificate, shown to a control plane on another host


def serve(config: EdgeConfig, *, tell: Callable[[dict[str, Any]], None] | None = None) -> None:
    """Run a gateway until SIGTERM or SIGINT.

    Args:
        config: Where everything is.
        tell: Takes one document when every worker is ready; by default it goes to standard output as one line of JSON.

    Raises:
        InvalidInput: The configuration makes no sense.
        Refused: Other machines would be answered without TLS.
        Unavailable: The address cannot be listened on.
    """
    from holdfast.adapters.nonces import SharedNonces
    from holdfast.adapters.supervisor import Supervisor

    ends = where_tls_ends(config.host, tls=config.tls is not None, terminated=config.terminated)

    if config.telemetry_every_s <= 0:
        raise InvalidInput(f"telemetry every {config.telemetry_every_s} s", expected="more than 0")
    if not SHORTEST_POLL_S <= config.poll_s <= LONGEST_POLL_S:
        expected = f"{SHORTEST_POLL_S} to {LONGEST_POLL_S} s: a revocation must reach a gateway within 5 s"
        raise InvalidInput(f"polling every {config.poll_s} s", expected=expected)
    announce = tell or _print_line

    def ready(port: int) -> None:
        host = f"[{config.host}]" if ":" in config.host else config.host
        url = f"{'https' if config.tls else 'http'}://{host}:{port}"
        document = {"event": "ready", "url": url, "pid": os.getpid(), "workers": config.workers, "tls": ends}
        if config.ready_file is not None:
            _write_ready(config.ready_file, document)
        announce(document)

    nonces = SharedNonces(since=time.time())

    def work(number: int, listening: socket.socket, say_ready: Callable[[], None]) -> None:
        Worker(config=config, number=number, nonces=nonces, say_ready=say_ready).run(listening)

    try:
        Supervisor(host=config.host, port=config.port, workers=config.workers, work=work, on_ready=ready).run()
    finally:
        if config.ready_file is not None:
            config.ready_file.unlink(missing_ok=True)


def _print_line(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def _write_ready(path: Path, document: dict[str, Any]) -> None:
    """Write the ready file whole: whoever waits for it must never read half of it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document), encoding="utf-8")
    temporary.replace(path)


class Worker:
    """One process that answers: a gateway, the threads that keep its state and records, and a server."""

    def __init__(
        self, *, config: EdgeConfig, number: int, nonces: "SharedNonces", say_ready: Callable[[], None]
    ) -> None:
        """Open keys and folders; nothing is loaded yet.

        Raises:
            HoldfastError: The root keys, the credential key, the identity or the spool cannot be opened.
        """
        from holdfast.serve import Watcher

        self._config, self._say_ready = config, say_ready
        self._gateway, loader, self._recorder = assemble(config, number, nonces)
        self._courier = courier_of(config) if number == 0 else None  # the workers' spool is one
        self._watcher = Watcher(loader=loader, complain=self._complain)
        self._recorder.open()
        self._stop, self._flush = threading.Event(), threading.Event()
        self._listening, self._said, self._complaint = False, False, ""

    def run(self, listening: socket.socket) -> None:
        """Answer until SIGTERM or SIGINT, then write what is left to tell."""
        from holdfast.adapters import http_server
        from holdfast.adapters.supervisor import FLUSH
        from holdfast.serve.asgi import asgi

        signal.signal(FLUSH, lambda *_: self._flush.set())
        self._look()
        gc.collect()
        gc.freeze()  # what is loaded now stays: no later collection needs to walk through it while a caller waits
        threads = [
            threading.Thread(target=self._watch, name="watcher", daemon=True),
            threading.Thread(target=self._record, name="recorder", daemon=True),
        ]
        if self._courier is not None:
            threads.append(threading.Thread(target=self._deliver, args=(self._courier,), name="courier", daemon=True))
        for thread in threads:
            thread.start()
        try:
            http_server.run(
                asgi(self._gateway),
                listening,
                on_started=self._has_started,
                on_malformed=self._gateway.not_http,
                tls=self._config.tls,
            )
        finally:
            self._stop.set()
            self._flush.set()
            for thread in threads:
                thread.join()

    def _has_started(self) -> None:
        self._listening = True
        self._perhaps_ready()

    def _perhaps_ready(self) -> None:
        state = self._gateway.state
        if self._listening and not self._said and state is not None and state.routes:
            self._said = True
            self._say_ready()

    def _look(self) -> None:
        self._watcher.look()
        self._perhaps_ready()

    def _watch(self) -> None:
        while not self._stop.wait(POLL_S):
            self._look()

    def _record(self) -> None:
        """Keep records until told to stop, and then once more."""
        every = self._config.telemetry_every_s
        due = time.monotonic() + every
        while not self._stop.is_set():
            self._attempt(self._recorder.write_events)
            if self._flush.wait(EVENTS_S) or time.monotonic() >= due:
                self._flush.clear()
                self._attempt(self._recorder.write_events)  # what was noted is anchored by what is told
                self._attempt(self._recorder.tell_windows)
                due = time.monotonic() + every
        self._attempt(self._recorder.write_events)
        self._attempt(self._recorder.tell_windows)

    def _deliver(self, courier: "Courier") -> None:
        """Take what was recorded to the control plane, until told to stop; what it does not take stays in the spool.

        The same goes now and then to fetch this gateway's newest certificate.
        """
        from holdfast.adapters.renewing import Renewal

        renewal = Renewal(url=courier.url, peer=courier.peer) if courier.peer is not None else None
        while not self._stop.wait(self._config.deliver_every_s):
            self._attempt(courier.deliver)
            if renewal is not None:
                self._attempt(renewal.look)

    def _attempt(self, step: Callable[[], object]) -> None:
        """Do one step of record keeping; what fails is kept in memory, tried again, and said."""
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the records of later steps must not depend on this one
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        """Say on standard error what went wrong, once for as long as it stays the same."""
        known = isinstance(error, HoldfastError)
        words = str(error) if known else f"{type(error).__name__}: {error}"
        if words != self._complaint:
            self._complaint = words
            code = error.code if isinstance(error, HoldfastError) else "HF000"
            sys.stderr.write(json.dumps({"event": "problem", "code": code, "words": words}) + "\n")
            sys.stderr.flush()


def assemble(
    config: EdgeConfig, number: int, nonces: "SharedNonces | None" = None
) -> "tuple[Gateway, Loader, Recorder]":
    """Return a worker's gateway with its loader and its recorder, nothing loaded yet.

    Args:
        config: Where everything is.
        number: Of the worker.
        nonces: The memory of signed requests that all workers share; one of its own if left out.

    Raises:
        HoldfastError: The root keys, the credential key, the identity or the spool cannot be opened.
    """
    from holdfast import __version__
    from holdfast.adapters.clock import SystemClock
    from holdfast.adapters.durable import read_private
    from holdfast.adapters.fetching import PublishedUrl
    from holdfast.adapters.nonces import SharedNonces
    from holdfast.adapters.published import MemoryFile, PublishedFolder
    from holdfast.adapters.records import encrypt_record
    from holdfast.adapters.runtime import OnnxRuntime
    from holdfast.adapters.spool import Spool
    from holdfast.adapters.unsealing import Lying, Unsealed, remove_plain
    from holdfast.serve import Gateway, Ground, Loader, Pins, Recorder
    from holdfast.serve.credentials import check_credential_key
    from holdfast.serve.loading import Remembered

    root = read_root(config.root)
    credential_key = read_private(config.credential_key, what="the credential key", limit=MAX_KEY)
    check_credential_key(credential_key)
    clock = SystemClock()
    ground = Ground(
        clock=clock,
        monotonic=time.perf_counter,
        credential_key=credential_key,
        version=__version__,
        metrics_for_all=config.metrics_for_all,
    )
    gateway = Gateway(ground)
    lying: Lying = PublishedFolder(config.published)
    if config.source:
        remove_plain(config.home / "cache")
        peer = peer_of(config, root.workspace)
        lying = PublishedUrl(url=config.source, cache=config.home / "cache", peer=peer, poll_s=config.poll_s)
    loader = Loader(
        published=Unsealed(published=lying, opener=config.opener()),
        memory=MemoryFile(path=config.home / "state.json", type=Remembered, join=Remembered.joined),
        runtime=OnnxRuntime(),
        pins=Pins(
            root=root, origin=config.origin or root.workspace, environment=config.environment, region=config.region
        ),
        ground=ground,
        gateway=gateway,
        nonces=nonces or SharedNonces(since=clock.now().timestamp()),
        workers=config.workers,
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
) -> Any:
    """Run a workspace's gateway until it is told to stop: `holdfast serve`."""
    from holdfast.lifecycle.reply import Progress, Reply

    def announce(document: dict[str, Any]) -> None:
        ends = "; TLS ends in front" if document["tls"] == "terminator" else ""
        words = f"{document['url']} answers ({document['workers']} worker(s)){ends}; stop with Ctrl-C"
        tell(Progress(stage="serve", state="finished", words=words))

    more: dict[str, Any] = {"ready_file": ready_file, "source": from_url or "", "environment": environment}
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
