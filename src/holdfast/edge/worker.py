"""One process that answers."""

import gc
import json
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from holdfast.core.errors import HoldfastError
from holdfast.edge.assembly import assemble, courier_of, sharing_of
from holdfast.edge.config import EdgeConfig
from holdfast.edge.safety import safe_memory, share_safe_state
from holdfast.edge.sidecar import SelfCheck

if TYPE_CHECKING:
    from holdfast.adapters.courier import Courier
    from holdfast.adapters.nonces import SharedNonces
    from holdfast.serve.sharing import Sharing

POLL_S: Final = 0.25  # between two looks at the published folder
SHARE_S: Final = 0.1  # between two rounds of counting together with other machines
EVENTS_S: Final = 0.05  # between two groups of security events on their way to the disk


class Worker:
    """One process that answers: a gateway, the threads that keep its state and records, and a server."""

    def __init__(
        self,
        *,
        config: EdgeConfig,
        number: int,
        nonces: "SharedNonces",
        say_ready: Callable[[], None],
        grpc: bool = False,
    ) -> None:
        """Open keys and folders; nothing is loaded yet.

        Args:
            config: Where everything is.
            number: Of this worker among all that speak either protocol; its records bear it.
            nonces: What all workers have seen of signed requests.
            say_ready: Called once it answers.
            grpc: Whether it speaks gRPC instead of HTTP.

        Raises:
            HoldfastError: The root keys, the credential key, the identity or the spool cannot be opened.
        """
        from holdfast.serve import Watcher

        self._config, self._say_ready, self._grpc = config, say_ready, grpc
        self._gateway, loader, self._recorder = assemble(config, number, nonces)
        self._checkpoint = loader.cells.checkpoint if number == 0 else _nothing  # one writes for all
        self._courier = courier_of(config) if number == 0 else None  # the workers' spool is one
        self._sharing, self._loader = sharing_of(config) if number == 0 else None, loader  # their cells are one
        self._watcher = Watcher(loader=loader, complain=self._complain)
        self._safe = safe_memory(config.home)
        self._self_check = SelfCheck(config, number, self._gateway) if config.check_every_s else None
        self._recorder.open()
        self._stop, self._flush = threading.Event(), threading.Event()
        self._listening, self._said, self._complaint = False, False, ""

    def run(self, listening: socket.socket) -> None:
        """Answer until SIGTERM or SIGINT, then write what is left to tell."""
        from holdfast.adapters.supervisor import FLUSH

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
        if self._sharing is not None:
            threads.append(threading.Thread(target=self._share, args=(self._sharing,), name="sharing", daemon=True))
        for thread in threads:
            thread.start()
        try:
            if self._grpc:
                self._speak_grpc(listening)
            else:
                self._speak_http(listening)
        finally:
            self._stop.set()
            self._flush.set()
            for thread in threads:
                thread.join()

    def _speak_http(self, listening: socket.socket) -> None:
        from holdfast.adapters import http_server
        from holdfast.serve.asgi import entrances

        app, direct = entrances(self._gateway)
        http_server.run(
            app,
            listening,
            on_started=self._has_started,
            on_malformed=self._gateway.not_http,
            tls=self._config.tls,
            direct=direct,
        )

    def _speak_grpc(self, listening: socket.socket) -> None:
        """Answer gRPC at the address of a socket, which only holds the port: grpcio takes no sockets of others."""
        from holdfast.adapters import grpc_server
        from holdfast.serve.grpc_face import Asked, Face
        from holdfast.serve.refusals import MALFORMED, TOO_SLOW

        face = Face(self._gateway)

        async def answered(call: grpc_server.Received) -> grpc_server.Said:
            asked = Asked(
                method=call.method,
                message=call.message or b"",
                metadata=call.metadata,
                peer=call.peer,
                certificate=call.certificate,
            )
            if call.message is None:
                return face.turned_away(asked, TOO_SLOW if call.slow else MALFORMED)
            return await face.answer(asked)

        host, port = listening.getsockname()[:2]
        grpc_server.run(answered, host=host, port=port, on_started=self._has_started, tls=self._config.tls)

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
        if self._self_check is not None:
            self._attempt(self._self_check.look)
        self._attempt(lambda: share_safe_state(self._gateway, self._safe))
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
                self._attempt(self._checkpoint)
                due = time.monotonic() + every
        self._attempt(self._recorder.write_events)
        self._attempt(self._recorder.tell_windows)
        self._attempt(self._checkpoint)

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

    def _share(self, sharing: "Sharing") -> None:
        """Count limits together with other machines, until told to stop; while they are out of reach, each alone."""
        while not self._stop.wait(SHARE_S):
            state = self._gateway.state
            if state is not None:
                self._attempt(partial(sharing.round, state.chains.call, self._loader.clients))

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


def _nothing() -> None:
    """Do what is left to another worker."""
