"""The supervisor: forks workers that share one port, says when they are ready, and replaces those that die or hang.

Decides nothing about requests. Each worker has a socket of its own (SO_REUSEPORT), so the kernel spreads the
connections; the supervisor keeps these sockets, so what waits in a queue outlives a worker, and `posts` says who takes
it meanwhile. Nobody listens before the first worker does. A worker that says nothing for `SILENT_S` gets no new
connections, after its site's `given_up_s` it is killed: counted in the supervisor's own looks, so that a machine that
stood still as a whole blames nobody. The parent forks before anything heavy is imported and stays single-threaded: a
thread that holds a lock during a fork would hold it in the child for ever. A worker whose parent is gone ends too.
"""

import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Final, NoReturn, TypeAlias

from holdfast.adapters.heap import give_large_blocks_back
from holdfast.adapters.posts import Board, Post
from holdfast.adapters.shapes import prepare_structs
from holdfast.core.errors import InvalidInput, Unavailable

MAX_WORKERS: Final = 256  # more processes than any machine here has cores
FIRST_PAUSE_S: Final = 0.5  # before a worker that died is started anew; doubles each time it dies young
LONGEST_PAUSE_S: Final = 30.0
GROWN_UP_S: Final = 60.0  # a worker that lived this long died of something new
GRACE_S: Final = 15.0  # to finish what is under way after SIGTERM; then the kernel ends it
HEAD_START_S: Final = 2.0  # of what is awaited, at most: what is not must not take the processor from it
LOOK_S: Final = 0.1  # between two looks at the workers
SILENT_S: Final = 1.0  # without a beat, after ten that were due; a worker on a busy machine loses nothing by it
GIVEN_UP_S: Final = 10.0  # without a beat, before a worker is killed: no step of one that answers takes so long
GONE_S: Final = 5.0  # without a worker that answers, before callers are refused rather than left waiting
CLOSING_S: Final = 0.5  # for workers to see that they are to stop, before what still connects is refused
FLUSH: Final = signal.SIGUSR1  # passed on to the workers: tell now what you would tell later
REST: Final = signal.SIGUSR2  # to one worker: let others take new connections, until it comes again
_READY: Final = b"r"

Ready: TypeAlias = Callable[[], None]
Listening: TypeAlias = socket.socket | Post
Work: TypeAlias = Callable[[int, Post, Ready], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One sort of workers: what they do, and where they listen."""

    work: Work
    workers: int = 1
    host: str = ""  # empty: they listen nowhere, and are handed a socket that is bound to nothing
    port: int = 0
    awaited: bool = True  # being ready means that these are
    given_up_s: float = GIVEN_UP_S  # that one may be silent, once it has beaten


@dataclass(slots=True)
class _Worker:
    site: int
    number: int
    pipe: int  # on which it says that it is ready
    born_s: float
    born_at: int  # the beats of its post by then
    ready: bool = False
    heard: int = 0  # the beats of its post, last time
    silent_s: float = 0.0
    rests: bool = False

    @property
    def started(self) -> bool:
        """Whether its loop has begun: before that it beats nowhere."""
        return self.heard != self.born_at

    @property
    def answers(self) -> bool:
        """Whether new connections are in good hands with it."""
        return self.ready and not self.rests and self.silent_s < SILENT_S


@dataclass(slots=True, kw_only=True)
class Supervisor:
    """Keeps workers of one or several sorts alive until it is told to stop."""

    host: str
    port: int
    workers: int
    work: Work
    on_ready: Callable[[int], None]  # called once, with the port, when every worker that is awaited is ready
    beside: tuple[Site, ...] = ()  # other workers that live and end with these
    given_up_s: float = GIVEN_UP_S  # that one of the first sort may be silent, once it has beaten
    ports: list[int] = field(default_factory=list)  # of every site in order, once bound; 0 where it listens nowhere
    _alive: dict[int, _Worker] = field(default_factory=dict)  # by process id
    _due: dict[tuple[int, int], float] = field(default_factory=dict)  # when a dead worker of a site is started anew
    _pauses: dict[tuple[int, int], float] = field(default_factory=dict)
    _lifeline: tuple[int, int] = field(default=(-1, -1))
    _sockets: list[list[socket.socket]] = field(default_factory=list)  # of every site, by the workers' numbers
    _board: Board = field(default_factory=lambda: Board(0))
    _looked_s: float = 0.0
    _gone_s: dict[int, float] = field(default_factory=dict)  # by site: for how long nobody has answered
    _kill_at: float = 0.0  # when those still alive are killed; 0 while nobody has said stop
    _told: bool = False

    def run(self) -> None:
        """Work until SIGTERM or SIGINT, and return once every worker has ended.

        Raises:
            InvalidInput: A number of workers that makes no sense.
            Unavailable: The address cannot be listened on.
        """
        for site in self._sites:
            if not 1 <= site.workers <= MAX_WORKERS:
                raise InvalidInput(f"{site.workers} workers", expected=f"1 to {MAX_WORKERS}")
            if site.host:
                probe(site.host, site.port)
        self._lifeline = os.pipe()
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        before[FLUSH] = signal.signal(FLUSH, self._pass_on)
        try:
            with ExitStack() as stack:
                self._board = Board(sum(site.workers for site in self._sites))
                for site in self._sites:  # one that never listens holds the port, whatever becomes of the others
                    reserved = stack.enter_context(_socket(site, site.port))
                    self.ports.append(port := reserved.getsockname()[1] if site.host else 0)
                    self._sockets.append([stack.enter_context(_socket(site, port)) for _ in range(site.workers)])
                self._supervise()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for end in self._lifeline:
                os.close(end)

    @property
    def _sites(self) -> tuple[Site, ...]:
        own = Site(host=self.host, port=self.port, workers=self.workers, work=self.work, given_up_s=self.given_up_s)
        return (own, *self.beside)

    def _first(self, site: int) -> int:
        """Return where on the board the posts of a site begin."""
        return sum(each.workers for each in self._sites[:site])

    def _supervise(self) -> None:
        later = time.monotonic() + HEAD_START_S
        for site, each in enumerate(self._sites):
            self._due |= {(site, number): 0.0 if each.awaited else later for number in range(each.workers)}
        while self._alive or not self._kill_at:
            for site, number in [which for which, due in self._due.items() if due <= time.monotonic()]:
                if not self._kill_at:
                    self._start(site, number)
            self._listen()
            self._judge()
            if not self._told and self._all_ready():
                self._told = True
                self.on_ready(self.ports[0])
                self._due = dict.fromkeys(self._due, 0.0)
            self._bury()

    def _all_ready(self) -> bool:
        awaited = {number for number, site in enumerate(self._sites) if site.awaited}
        ready = [worker for worker in self._alive.values() if worker.site in awaited and worker.ready]
        return len(ready) == sum(self._sites[number].workers for number in awaited)

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self._kill_at = self._kill_at or time.monotonic() + GRACE_S
        for pid in self._alive:
            os.kill(pid, signal.SIGTERM)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        for pid in self._alive:
            os.kill(pid, number)

    def _start(self, site: int, number: int) -> None:
        reading, writing = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            for unused in (reading, self._lifeline[1], *(other.pipe for other in self._alive.values())):
                os.close(unused)
            self._be_worker(site, number, writing)
        os.close(writing)
        del self._due[site, number]
        beats, _ = self._board.heard(self._first(site) + number)
        self._alive[pid] = _Worker(
            site=site, number=number, pipe=reading, born_s=time.monotonic(), born_at=beats, heard=beats
        )
        if self._kill_at:  # the signal came while the child was being born
            os.kill(pid, signal.SIGTERM)

    def _be_worker(self, site: int, number: int, writing: int) -> NoReturn:
        """Work in the child, and leave it without the parent's clean-up."""
        code = 70
        try:
            for signum in (signal.SIGTERM, signal.SIGINT):
                signal.signal(signum, signal.SIG_DFL)
            for signum in (FLUSH, REST):
                signal.signal(signum, signal.SIG_IGN)  # until the work says what to do about it
            threading.Thread(target=_follow, args=(self._lifeline[0],), daemon=True, name="lifeline").start()
            give_large_blocks_back()
            prepare_structs()
            post = Post(sockets=tuple(self._sockets[site]), number=number, board=self._board, first=self._first(site))
            self._sites[site].work(number, post, lambda: _say_ready(writing))
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException as error:  # noqa: BLE001 - the last frame of a process: nothing above could handle it
            sys.stderr.write(f"worker {number} ended: {type(error).__name__}: {error}\n")
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)

    def _listen(self) -> None:
        """Take in which workers are ready, or let a moment pass; the death of one is noticed at once."""
        waiting = {worker.pipe: worker for worker in self._alive.values()}
        said, _, _ = select.select(list(waiting), [], [], LOOK_S)
        for pipe in said:
            waiting[pipe].ready = os.read(pipe, 1) == _READY
        if said and not all(waiting[pipe].ready for pipe in said):
            time.sleep(LOOK_S / 10)  # one ended without a word; whoever buries it will see how

    def _judge(self) -> None:
        """Hear who beats, mark whose queue others take over, and kill who was silent for too long."""
        now = time.monotonic()
        passed_s, self._looked_s = min(now - self._looked_s, 2 * LOOK_S), now
        for pid, worker in self._alive.items():
            heard, worker.rests = self._board.heard(self._first(worker.site) + worker.number)
            worker.silent_s = worker.silent_s + passed_s if heard == worker.heard and worker.started else 0.0
            worker.heard = heard
            if worker.silent_s > self._sites[worker.site].given_up_s and not self._kill_at:
                sys.stderr.write(f"worker {worker.number} was silent for {worker.silent_s:.0f} s and is replaced\n")
                os.kill(pid, signal.SIGKILL)
        for number, site in enumerate(self._sites):
            if site.host:
                self._mark(number, site, passed_s)

    def _mark(self, number: int, site: Site, passed_s: float) -> None:
        """Say on the board which posts of a site are vacant; where nobody answers, let callers know."""
        answering = {each.number for each in self._alive.values() if each.site == number and each.answers}
        for each in range(site.workers):
            self._board.mark(self._first(number) + each, vacant=bool(answering) and each not in answering)
        there = any(each.site == number and (each.ready or each.started) for each in self._alive.values())
        before = self._gone_s.get(number, 0.0)
        self._gone_s[number] = 0.0 if there or not self._told else before + passed_s
        closing = self._kill_at and time.monotonic() > self._kill_at - GRACE_S + CLOSING_S
        if closing or self._gone_s[number] > GONE_S >= before:
            for listening in self._sockets[number]:
                with suppress(OSError):  # it does not listen
                    listening.shutdown(
                        socket.SHUT_RDWR
                    )  # for every process that holds it; the next worker listens anew

    def _bury(self) -> None:
        """See which workers ended, and when each is due again."""
        now = time.monotonic()
        for pid, worker in list(self._alive.items()):
            if self._kill_at and now > self._kill_at:
                os.kill(pid, signal.SIGKILL)
            found, end = os.waitpid(pid, os.WNOHANG)
            if not found:
                continue
            del self._alive[pid]
            os.close(worker.pipe)
            which = (worker.site, worker.number)
            before = self._pauses.get(which, 0.0) if now - worker.born_s < GROWN_UP_S else 0.0
            if os.WIFSIGNALED(end) and not self._kill_at:  # nothing in the child could say so
                sys.stderr.write(f"worker {worker.number} was ended by {signal.Signals(os.WTERMSIG(end)).name}\n")
            if end == 0:  # it ended because its work was done
                self._pauses[which] = 0.0
            else:
                self._pauses[which] = min(2 * before, LONGEST_PAUSE_S) if before else FIRST_PAUSE_S
            self._due[which] = now + self._pauses[which]


def _say_ready(writing: int) -> None:
    os.write(writing, _READY)


def _follow(lifeline: int) -> None:
    """End this process when its parent's end of the pipe is closed, however the parent died."""
    os.read(lifeline, 1)
    os.kill(os.getpid(), signal.SIGTERM)


def _socket(site: Site, port: int) -> socket.socket:
    return bind(site.host, port) if site.host else socket.socket(socket.AF_UNIX)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket bound to an address that others of this user may share; it does not listen yet.

    Raises:
        Unavailable: The address is not ours to bind.
    """
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind((host, port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise Unavailable(
            f"{host} port {port} cannot be bound: {error}", remedy="Choose another --host or --port."
        ) from error
    return bound


def probe(host: str, port: int) -> None:
    """Check that nobody listens at an address yet: SO_REUSEPORT would silently share it with another gateway.

    Raises:
        Unavailable: Somebody does.
    """
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            alone.bind((host, port))
        except (OSError, OverflowError) as error:
            raise Unavailable(
                f"{host} port {port} cannot be bound: {error}",
                remedy="Stop what listens there, or choose another --port.",
            ) from error
