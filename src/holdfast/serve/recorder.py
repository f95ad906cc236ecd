"""The recorder: makes durable what the gateway has noted and counted, off the path on which callers wait.

Security events become lines of a chain; windows of traffic become statements sealed by the gateway's own key. On disk
both are encrypted for the control plane: whoever takes the gateway's disk reads nothing that was recorded. What cannot
be written stays in memory and is tried again, counted in the next group or window; beyond a bound the gateway stops
answering. Each chain of events is anchored by a statement about no release, which names its head.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec

from holdfast.core.artifact import Digest, digest_bytes
from holdfast.core.dsse import SigningKey
from holdfast.core.errors import HoldfastError, NotVerified
from holdfast.core.ports import Clock
from holdfast.core.seal import TELEMETRY, Telemetry, seal
from holdfast.core.trust import Trust
from holdfast.serve.events import Head, Noted, in_clear, read_events, sealed_groups, standing
from holdfast.serve.gateway import Gateway

NO_RELEASE: Final = ""  # what an anchor of security events is about


class Spool(Protocol):
    """Where records wait for the control plane."""

    def newest_events(self) -> bytes:
        """Return the newest file of events, as a crash may have left it."""
        ...

    def cut_events(self, length: int) -> None:
        """Cut the newest file of events after this many bytes."""
        ...

    def set_events_aside(self) -> None:
        """Keep the newest file of events as evidence, and begin another."""
        ...

    def begin_anew(self) -> None:
        """Let the next events begin another file."""
        ...

    def append_events(self, lines: bytes, first: int) -> None:
        """Append whole lines durably; `first` is the number of the first event in them."""
        ...

    def tell(self, make: Callable[[int, str], tuple[bytes, Digest]]) -> None:
        """Append one statement, made from its number and the digest of the one before it: its bytes, and its digest."""
        ...

    def recover(self) -> None:
        """Finish what a crash left half done."""
        ...


@dataclass(slots=True, kw_only=True)
class Recorder:
    """Writes one worker's records."""

    worker: int
    gateway: Gateway
    spool: Spool
    signer: SigningKey
    encrypt: Callable[[bytes], bytes]  # for the control plane; nothing here can open it again
    clock: Clock
    choose: Callable[[Trust], SigningKey] | None = None  # of several identity keys, the one that is trusted by now
    _head: Head = field(default_factory=Head)
    _anchored: Head = field(default_factory=Head)
    _since: datetime = field(init=False)
    _name: str = ""  # of the gateway: the owner of its identity key

    def __post_init__(self) -> None:
        """Begin the first window now."""
        self._since = self.clock.now()

    def open(self) -> None:
        """Go on with the chain of events where the last process left it, and say on record if it was not whole.

        Raises:
            HoldfastError: The spool cannot be read or written.
        """
        self.spool.recover()
        newest = self.spool.newest_events()
        whole = newest[: newest.rfind(b"\n") + 1]
        found: list[tuple[str, str]] = []
        if whole != newest:
            self.spool.cut_events(len(whole))
            found.append(("spool.torn", f"{len(newest) - len(whole)} bytes of an event that was never acknowledged"))
        try:
            if in_clear(whole):  # by a gateway of before; the control plane takes the file away once it holds all of it
                self._head = read_events(whole)[1]
                self.spool.begin_anew()
            else:
                self._head = standing(whole)
        except NotVerified as error:
            self.spool.set_events_aside()
            found.append(("spool.broken", str(error)))
        self._anchored = self._head
        for kind, detail in found:
            self.gateway.log.note(Noted(time=self.clock.now(), kind=kind, caller="gateway", detail=detail))

    def write_events(self) -> None:
        """Write what has been noted; what the disk refuses is kept for the next time.

        Raises:
            HoldfastError: The disk refused, or there is nothing yet to encrypt it with.
        """
        events = self.gateway.log.collect(self.clock.now())
        if not events:
            return
        try:
            lines, head = sealed_groups(events, self._head, self.encrypt)
            self.spool.append_events(lines, self._head.sequence)
        except HoldfastError:
            self.gateway.log.give_back(events)
            raise
        self._head = head

    def tell_windows(self) -> int:
        """Seal and write each release's window since the last, and anchor new events; return how many statements.

        Raises:
            HoldfastError: The disk or the signer refused; what was not written is part of the next window.
        """
        state = self.gateway.state
        if state is None and not self._name:
            return 0  # nothing was ever believed that says who we are
        now, told = self.clock.now(), 0
        if state is not None and self.choose is not None:
            self.signer = self.choose(state.trust)
        self._name = self._own_name(state.trust) if state is not None else self._name
        for release, window, written in self.gateway.untold():
            self._tell(release, now, msgspec.to_builtins(window))
            written()
            told += 1
        if self._head != self._anchored:
            body = {"worker": self.worker, "events": self._head.sequence, "head": self._head.previous}
            self._tell(NO_RELEASE, now, body)
            self._anchored = self._head
            told += 1
        self._since = now
        return told

    def _own_name(self, trust: Trust) -> str:
        """Return the name under which the trust document knows this gateway's key."""
        key = trust.key(self.signer.keyid)
        if key is None or key.role != "gateway":
            raise NotVerified(
                "the trust document does not name this gateway's key",
                place=f"key {self.signer.keyid[:16]}",
                remedy="Have the root keys name it, or restore the key it names.",
            )
        return key.owner

    def _tell(self, release: str, now: datetime, body: dict[str, Any]) -> None:
        def make(sequence: int, previous: str) -> tuple[bytes, Digest]:
            told = Telemetry(
                gateway=self._name,
                release=release,
                sequence=sequence,
                previous=previous,
                start=self._since,
                end=now,
                body=body,
            )
            document = seal(told, TELEMETRY, [self.signer], name="telemetry")
            return self.encrypt(document), digest_bytes(document)

        self.spool.tell(make)
