"""One process that answers."""

import gc
import json
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from holdfast.core.errors import HoldfastError
from holdfast.edge.assembly import assemble, courier_of, sharing_of, teller_of
from holdfast.edge.config import EdgeConfig
from holdfast.edge.safety import safe_memory, share_safe_state
from holdfast.edge.sidecar import SelfCheck

if TYPE_CHECKING:
    from holdfast.adapters.courier import Courier
    from holdfast.adapters.posts import Post
    from holdfast.edge.shared import Shared
    from holdfast.serve.sharing import Sharing

POLL_S: Final = 0.1  # between two looks at the published folder where nobody tells; one is a few calls of stat
SHARE_S: Final = 0.1  # between two rounds of counting together with other machines
TRACES_S: Final = 1.0  # between two times that the collector is told of calls
EVENTS_S: Final = 0.05  # between two groups of security events on their way to the disk


class Worker:
    """One process that answers: a gateway, the threads that keep its state and records, and a server."""

    def __init__(
        self,
        *,
        config: EdgeConfig,
        number: int,
        shared: "Shared | None",
        say_ready: Callable[[], None],
        grpc: bool = False,
    ) -> None:
        """Open keys and folders; nothing is loaded yet.

        Args:
            config: Where everything is.
            number: Of this worker among all that speak either protocol; its records bear it.
            shared: What all workers have in common; None for a worker that has no others.
            say_ready: Called once it answers.
            grpc: Whether it speaks gRPC instead of HTTP.

        Raises:
            HoldfastError: The root keys, the credential key, the identity or the spool cannot be opened.
        """
        from holdfast.serve import Watcher

        self._config, self._say_ready, self._grpc = config, say_ready, grpc
        self._gateway, loader, self._recorder = assemble(
            config, number, shared.nonces if shared else None, shared.columns if shared else None
        )
        self._checkpoint = loader.cells.checkpoint if number == 0 else _nothing  # one writes for all
        self._courier = courier_of(config) if number == 0 else None  # the workers' spool is one
        self._sharing, self._loader = sharing_of(config) if number == 0 else None, loader  # their cells are one
        tracing = loader.ground.tracing
        self._tell_traces = teller_of(config, number, tracing) if tracing is not None else None
        self._watcher = Watcher(loader=loader, complain=self._complain)
        self._safe = safe_memory(config.home)
        self._self_check = SelfCheck(config, number, self._gateway) if config.check_every_s else None
        self._recorder.open()
        self._stop, self._flush = threading.Event(), threading.Event()
        self._listening, self._said, self._told_to_rest, self._complaint = False, False, False, ""

    def run(self, post: "Post") -> None:
        """Answer until SIGTERM or SIGINT, then write what is left to tell.

        SIGUSR2 lets this worker rest: the others at its port take new connections until it comes again.
        """
        from holdfast.adapters.supervisor import FLUSH, REST

        signal.signal(FLUSH, lambda *_: self._flush.set())
        signal.signal(REST, self._rest)
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
        if self._tell_traces is not None:
            threads.append(threading.Thread(target=self._trace, args=(self._tell_traces,), name="tracer", daemon=True))
        for thread in threads:
            thread.start()
        try:
            if self._grpc:
                self._speak_grpc(post)
            else:
                self._speak_http(post)
        finally:
            self._stop.set()
            self._flush.set()
            for thread in threads:
                thread.join()

    def _speak_http(self, post: "Post") -> None:
        from holdfast.adapters import http_server
        from holdfast.serve.asgi import entrances

        app, direct = entrances(self._gateway)
        http_server.run(
            app,
            post,
            on_started=self._has_started,
            on_malformed=self._gateway.not_http,
            tls=self._config.tls,
            direct=direct,
            rests=lambda: self._told_to_rest or not self._gateway.ready,
        )

    def _speak_grpc(self, post: "Post") -> None:
        """Answer gRPC at the address of a post, whose socket only holds the port: grpcio takes no sockets of others."""
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

        host, port = post.own.getsockname()[:2]
        grpc_server.run(
            answered,
            host=host,
            port=port,
            on_started=self._has_started,
            tls=self._config.tls,
            beat=lambda: post.beat(rests=False),
        )

    def _rest(self, *_: object) -> None:
        self._told_to_rest = not self._told_to_rest

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
        self._attempt(self._gateway.publish)
        self._perhaps_ready()

    def _watch(self) -> None:
        """Look whenever something was published, and now and then."""
        from holdfast.adapters.notice import Notice

        notice = Notice(self._config.published)
        try:
            while not self._stop.is_set():
                notice.wait(POLL_S)
                self._look()
        finally:
            notice.close()

    def _record(self) -> None:
        """Keep records until told to stop, and then once more."""
        every = self._config.telemetry_every_s
        due = time.monotonic() + every
        while not self._stop.is_set():
            self._attempt(self._recorder.write_events)
            self._attempt(self._gateway.settle)
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

    def _trace(self, tell: Callable[[], None]) -> None:
        """Tell the collector of calls every second, until told to stop, and then once more."""
        while not self._stop.wait(TRACES_S):
            self._attempt(tell)
        self._attempt(tell)

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
