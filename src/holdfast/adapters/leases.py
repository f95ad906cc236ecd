"""Leases: at most one process does a named thing at a time, and one that died does not block the next.

A holder renews its lease while it lives. A lease is free again when its holder gives it back, when nothing renewed it
until it ran out, or at once when the holder is a process of this machine that is gone.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from sqlalchemy import Engine, delete, insert, select, update

from holdfast.adapters.database import leases, writing
from holdfast.core.errors import Conflict, HoldfastError, Unavailable
from holdfast.core.ports import Clock

TTL_S: Final = 60.0  # how long a crash on another machine blocks; on this one it blocks nobody
RENEWALS_PER_TTL: Final = 3  # two renewals may fail on a busy database before the lease is lost


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """A process, told apart from every other: process ids are used again, and each container counts its own."""

    host: str
    space: str  # this boot of this kernel, and the namespace that process ids belong to
    pid: int
    started: str  # clock ticks since boot
    token: str  # tells two leases of one process apart

    def is_gone(self, here: "Holder") -> bool:
        """Say whether the process has ended, for sure; a process of another machine or container never has."""
        return (self.host, self.space) == (here.host, here.space) and _started(self.pid) != self.started


def this_process() -> Holder:
    """Return the present process as a holder."""
    return Holder(
        host=os.uname().nodename,
        space=_read("/proc/sys/kernel/random/boot_id") + "/" + _namespace(),
        pid=os.getpid(),
        started=_started(os.getpid()),
        token=os.urandom(8).hex(),
    )


@contextmanager
def lease(engine: Engine, clock: Clock, name: str, *, ttl_s: float = TTL_S) -> Iterator[None]:
    """Hold the named lease inside the block, renewing it from a thread of its own.

    Raises:
        Conflict: A living holder has it; or it was lost inside the block, and another process may have done the same.
    """
    held = _Held(engine=engine, clock=clock, name=name, holder=this_process(), ttl=timedelta(seconds=ttl_s))
    held.take()
    ended = threading.Event()
    renewing = threading.Thread(
        target=held.renew_until, args=(ended, ttl_s / RENEWALS_PER_TTL), name=f"lease {name}", daemon=True
    )
    renewing.start()
    try:
        yield
    except BaseException:
        _stop(renewing, ended)
        with suppress(HoldfastError):  # lost, or no database: what ended the block is the news
            held.give_back()
        raise
    _stop(renewing, ended)
    if not held.give_back():
        raise Conflict(
            f"the lease {name} was lost on the way",
            place=f"lease {name}",
            remedy="Another process may have done the same: look at `holdfast log` before you go on.",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Held:
    engine: Engine
    clock: Clock
    name: str
    holder: Holder
    ttl: timedelta

    @property
    def text(self) -> str:
        return msgspec.json.encode(self.holder).decode()

    def take(self) -> None:
        """Take the lease if nobody living holds it."""
        with writing(self.engine) as connection:
            found = connection.execute(select(leases).where(leases.c.name == self.name)).first()
            now = self.clock.now()
            if found is not None:
                self._refuse_if_held(str(found.holder), str(found.expires), now)
                connection.execute(delete(leases).where(leases.c.name == self.name))
            connection.execute(
                insert(leases), {"name": self.name, "holder": self.text, "expires": _text(now + self.ttl)}
            )

    def renew(self) -> bool:
        """Move the end of the lease; say whether it was still ours."""
        with writing(self.engine) as connection:
            mine = (leases.c.name == self.name) & (leases.c.holder == self.text)
            ends = _text(self.clock.now() + self.ttl)
            return connection.execute(update(leases).where(mine).values(expires=ends)).rowcount == 1

    def renew_until(self, ended: threading.Event, every_s: float) -> None:
        while not ended.wait(every_s):
            try:
                if not self.renew():
                    return  # lost: giving it back will say so
            except Unavailable:
                continue  # a busy database; the next renewal is due before the lease runs out

    def give_back(self) -> bool:
        """End the lease; say whether it was still ours."""
        with writing(self.engine) as connection:
            mine = (leases.c.name == self.name) & (leases.c.holder == self.text)
            return connection.execute(delete(leases).where(mine)).rowcount == 1

    def _refuse_if_held(self, text: str, expires: str, now: datetime) -> None:
        if expires <= _text(now):
            return
        try:
            other = msgspec.json.decode(text, type=Holder)
        except msgspec.MsgspecError:
            return  # nobody can be named by this
        if not other.is_gone(self.holder):
            raise Conflict(
                f"{self.name} is going on in process {other.pid} on {other.host}",
                place=f"lease {self.name}",
                expected=f"nobody else, or a lease that ended before {_text(now)}",
                remedy=f"Wait for it to end, or stop it; a dead holder's lease ends by itself at {expires}.",
            )


def _stop(thread: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    thread.join()


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except OSError:
        return ""  # another system than Linux: processes are compared by what is left


def _namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116 - the link's target, which no Path can name
    except OSError:
        return ""


def _started(pid: int) -> str:
    """Return when a living process started, in clock ticks since boot (proc(5), field 22); empty if there is none."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if fields and fields[0] not in {"Z", "X"} else ""  # a zombie has ended, whoever has not noticed
