"""A gateway without a socket: opened, loaded and kept up to date by one thread, for batches and streams.

It is a gateway like every other: same published state, same pins, same memory of what must never fall, same spool. Its
worker number is its own, so that its chain of security events is too.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from holdfast.core.errors import InvalidInput, NotFound, Unavailable
from holdfast.edge.assembly import assemble
from holdfast.edge.config import EdgeConfig
from holdfast.edge.safety import safe_memory, share_safe_state

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from holdfast.core.dsse import SigningKey
    from holdfast.serve import Gateway, Loader, Recorder, Watcher
    from holdfast.serve.exchange import HttpRequest, HttpResponse
    from holdfast.serve.state import Model, Release

LOOK_S: Final = 1.0  # between two looks at what is published, within a part or a group of events too
NUMBERS: Final = range(240, 256)  # of workers without a socket; those with one are counted from 0
MAX_KEY: Final = 4096  # bytes of a file with an API key


@dataclass(slots=True, kw_only=True)
class Offline:
    """A loaded gateway without a socket."""

    config: EdgeConfig
    number: int
    gateway: "Gateway"
    loader: "Loader"
    recorder: "Recorder"
    watcher: "Watcher"
    _told_s: float = field(default_factory=time.monotonic)
    _looked_s: float = field(default_factory=time.monotonic)

    def release(self, model: str) -> "Release":
        """Return the release that answers for a model.

        Raises:
            NotFound: None does.
        """
        state = self.gateway.state
        route = state.routes.get(model) if state is not None else None
        if route is None:
            served = ", ".join(sorted(state.routes)) if state is not None else ""
            raise NotFound(
                f"no model {model[:64]!r} is served",
                expected=served or "a model in production",
                remedy="Promote a release of it.",
            )
        return route.baseline

    @property
    def host(self) -> str:
        """A name under which this gateway may be called; "" where every name will do."""
        state = self.gateway.state
        guards = state.chains.call.guards if state is not None else ()
        return next((min(hosts).decode() for each in guards if (hosts := getattr(each, "hosts", None))), "")

    def handle(self, request: "HttpRequest") -> "HttpResponse":
        """Answer a call; if nobody has looked for a while, obey first what is newly published.

        Raises:
            HoldfastError: Records cannot be written: nothing more may be answered.
        """
        if time.monotonic() - self._looked_s >= LOOK_S:
            self.keep_up()
        return self.gateway.handle(request)

    def keep_up(self) -> None:
        """Obey what is newly published, and write down what has happened.

        Raises:
            HoldfastError: Records cannot be written: nothing more may be answered.
        """
        self._looked_s = time.monotonic()
        self.watcher.look()
        share_safe_state(self.gateway, safe_memory(self.config.home))
        self.recorder.write_events()
        if time.monotonic() - self._told_s >= self.config.telemetry_every_s:
            self.recorder.tell_windows()
            self._told_s = time.monotonic()

    def signer(self) -> "SigningKey":
        """Return the identity key that is trusted now."""
        state, choose = self.gateway.state, self.recorder.choose
        return choose(state.trust) if state is not None and choose is not None else self.recorder.signer

    def note(self, kind: str, model: str, detail: str) -> None:
        """Put something on record among the events that reach the ledger.

        Raises:
            HoldfastError: It cannot be written.
        """
        from holdfast.serve.events import Noted

        now = self.recorder.clock.now()
        self.gateway.log.note(Noted(time=now, kind=kind, caller="gateway", model=model, detail=detail))
        self.recorder.write_events()


@contextmanager
def opened(config: EdgeConfig, *, complain: Callable[[Exception], None], threads: int = 1) -> Iterator[Offline]:
    """Open a gateway without a socket, and write what is left to tell when the block ends.

    Args:
        config: Where everything is.
        complain: Told why a newly published state is refused; the one before then goes on, to the end of its lease.
        threads: With which each model is run.

    Raises:
        HoldfastError: Keys or folders cannot be opened, or what is published may not be served.
    """
    from holdfast.adapters.nonces import SharedNonces
    from holdfast.adapters.runtime import OnnxRuntime
    from holdfast.adapters.side_effects import CleanRuntime
    from holdfast.serve import Watcher

    with _number(config.home) as number:
        # Nobody else's signed request can come here, so two seconds before the beginning is early enough.
        nonces = SharedNonces(since=time.time() - 2.0)
        gateway, loader, recorder = assemble(config, number, nonces)
        loader.runtime = CleanRuntime(OnnxRuntime(threads=threads))
        refused: list[Exception] = []
        watcher = Watcher(loader=loader, complain=refused.append)
        recorder.open()
        try:
            watcher.look()
            if gateway.state is None:
                raise refused[-1] if refused else Unavailable("nothing is published")
            watcher.complain = complain
            share_safe_state(gateway, safe_memory(config.home))
            found = Offline(
                config=config, number=number, gateway=gateway, loader=loader, recorder=recorder, watcher=watcher
            )
            yield found
        finally:
            recorder.write_events()
            recorder.tell_windows()


@contextmanager
def _number(home: Path) -> Iterator[int]:
    """Hold the lowest worker number that no other process holds."""
    for number in NUMBERS:
        descriptor = os.open(home / f"offline-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            continue
        try:
            yield number
        finally:
            os.close(descriptor)
        return
    raise Unavailable(f"{len(NUMBERS)} batches and streams run here already", remedy="Wait for one to end.")


def read_key(path: Path | None) -> str:
    """Return the API key in a file.

    Raises:
        InvalidInput: No file is named, or it holds none.
        HoldfastError: It cannot be read, or others may read it.
    """
    from holdfast.adapters.durable import read_private

    if path is None:
        raise InvalidInput("no key is given", place="--key-file", expected="a file with an API key of `key issue`")
    try:
        key = read_private(path, what="the file with the API key", limit=MAX_KEY).decode("ascii").strip()
    except UnicodeDecodeError:
        key = ""
    if not key:
        raise InvalidInput("the file holds no API key", place=str(path))
    return key


def sample_speed(model: "Model", rows: "NDArray[np.float32]", budget_s: float) -> float:
    """Return how many rows a second a model answers, by calling it for so long with rows of shape (n, features)."""
    model.run(rows)  # the first call of a shape makes room for it
    calls, began, took = 0, time.perf_counter(), 0.0
    while took < budget_s:
        model.run(rows)
        calls += 1
        took = time.perf_counter() - began
    return calls * len(rows) / took
