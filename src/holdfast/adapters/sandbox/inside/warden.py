"""The warden: starts one confined job, answers for it, counts what it uses, and leaves nothing of it running.

It is its own process, between whoever asked for the job and the job. It is stripped of every capability but not
confined; it reads kernel counters only, never a byte the job wrote. In the namespaces tier it is process 1.

1. Read the plan: what to run, what to grant, the compiled filter.
2. Fork. The child limits, confines and replaces itself; its descriptors are its three standard streams.
3. Watch: questions from the filter, the budget, the end of the job, the end of whoever asked.
4. Kill the whole group, wait until every descendant is gone, report.

Every process of the job stays in one process group, because the filter refuses setsid and setpgid: one signal
reaches all of them, and a fork in flight cannot escape it.
"""
# ruff: noqa: PTH123, PTH208 - pathlib would be a third of the time this takes to start

import errno
import json
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final, NoReturn

from . import kernel

TICK_MS: Final = 50  # how long a job can be over its budget before it is noticed
RECOUNT_S: Final = 0.25  # a look through all of /proc costs 20 µs per process of the host, so not every tick
THREADS_PER_PROCESS: Final = 16  # on average: a pool for each core fits, a thread bomb does not
DATA_PER_MEMORY: Final = 2  # address space a process may ask for, per byte it may use: allocators reserve ahead
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
CLONE_THREAD: Final = 0x00010000
STARTS: Final = ("execve", "execveat")
NEVER: Final = frozenset(
    {"socket", "connect", "bind", "listen", "accept", "accept4", "ptrace", "process_vm_readv", "process_vm_writev"}
)
"""Calls that are refused whatever their arguments; that they were tried is in the report."""
FAMILIES: Final = {1: "unix", 2: "ipv4", 10: "ipv6", 16: "netlink", 17: "packet"}
OWN_FACTS: Final = ("maps", "stat", "statm", "status")  # what libraries read of /proc/self; threadpoolctl needs maps
EXIT_NOT_CONFINED: Final = 126
EXIT_NOT_FOUND: Final = 127  # as a shell reports a program that cannot be run

Plan = dict[str, Any]  # the parsed JSON that `confined.py` writes; both ends are ours


class Family:
    """The processes of one job: who they are and what they have used together."""

    def __init__(self, group: int, plan: Plan) -> None:
        """Start with the one process that leads the group."""
        self.group = group
        self.process_limit: int = plan["processes"]
        self.memory_limit: int = plan["memory_bytes"]
        self.cpu_limit: int = plan["cpu_s"]
        self.pids = [group]
        self.processes = 1
        self.tasks = 1
        self.reaped_cpu_s = 0.0
        self.forked_at = self.counted_at = time.monotonic()

    def is_member(self, pid: int) -> bool:
        """Say whether a process or thread belongs to the job."""
        facts = _stat(pid)
        return facts is not None and int(facts[2]) == self.group

    def recount(self) -> None:
        """Find every process of the group, and how many threads they have."""
        self.pids, self.tasks, self.counted_at = [], 0, time.monotonic()
        for name in os.listdir("/proc"):
            facts = _stat(int(name)) if name.isdigit() else None
            if facts is not None and int(facts[2]) == self.group:
                self.pids.append(int(name))
                self.tasks += int(facts[17])
        self.processes = len(self.pids)

    def admits(self, *, thread: bool) -> bool:
        """Count one more process or thread, if the limits allow it.

        The count between two recounts only grows, so nobody gains by dying; a recount may miss a fork that is
        just now happening, so the true bound is the limit plus the forks in flight, at most one for each process.
        """
        for known in (True, False):
            if not known:
                self.recount()
            room = self.tasks < self.process_limit * THREADS_PER_PROCESS
            if room and (thread or self.processes < self.process_limit):
                self.tasks += 1
                if not thread:
                    self.processes += 1
                    self.forked_at = time.monotonic()
                return True
        return False

    def breach(self) -> str | None:
        """Name the budget the job has overdrawn: `cpu`, `memory` or none."""
        # A child is in /proc a moment after its fork was answered: count until one count is surely later than that.
        if self.forked_at + RECOUNT_S > self.counted_at and time.monotonic() > self.counted_at + RECOUNT_S:
            self.recount()
        cpu_s, resident = self.reaped_cpu_s, 0
        for pid in self.pids:
            facts = _stat(pid)
            if facts is not None:
                cpu_s += sum(map(int, facts[11:15])) / TICKS_PER_S
                resident += int(facts[21]) * PAGE
        if cpu_s > self.cpu_limit:
            return "cpu"
        # Forked processes share pages, and each counts all of them: look closer before killing.
        if resident > self.memory_limit and sum(map(_proportional_bytes, self.pids)) > self.memory_limit:
            return "memory"
        return None

    def reap(self, pid: int) -> tuple[int, int]:
        """Wait for one dead process (-1: any), add what it used, and return its id and wait status."""
        pid, status, usage = os.wait4(pid, 0)
        self.reaped_cpu_s += usage.ru_utime + usage.ru_stime
        return pid, status


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/pid/stat from the third on (proc(5)), or `None` when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].decode().split()
    except OSError:
        return None


def _proportional_bytes(pid: int) -> int:
    """Return a process's memory with shared pages divided among their users; all of it where that cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/smaps_rollup", "rb") as file:
        for line in file:
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    facts = _stat(pid)
    return int(facts[21]) * PAGE if facts is not None else 0


def _limit(plan: Plan) -> None:
    """Set the kernel's own limits for each process, the outer wall behind the warden's count of all of them."""
    cpu_s = plan["cpu_s"]
    bounds = {
        resource.RLIMIT_CPU: (cpu_s, cpu_s + 1),  # SIGXCPU, and SIGKILL for who ignores it
        resource.RLIMIT_DATA: (plan["memory_bytes"] * DATA_PER_MEMORY,) * 2,
        resource.RLIMIT_FSIZE: (plan["file_bytes"],) * 2,
        resource.RLIMIT_NOFILE: (plan["open_files"],) * 2,
        resource.RLIMIT_CORE: (0, 0),
        resource.RLIMIT_MSGQUEUE: (0, 0),
    }
    for kind, wanted in bounds.items():
        ceiling = resource.getrlimit(kind)[1]
        soft, hard = (value if ceiling == resource.RLIM_INFINITY else min(value, ceiling) for value in wanted)
        resource.setrlimit(kind, (soft, hard))


def _become_job(plan: Plan, to_warden: socket.socket) -> NoReturn:
    """Confine this process and replace it by the job; on failure tell the warden why and exit."""
    try:
        kernel.hide_memory(hidden=False)
        os.setpgid(0, 0)
        os.chdir(plan["cwd"])
        os.umask(0o077)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w", encoding="ascii") as file:
            file.write("1000")  # when the host runs out of memory, the job goes first
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(number, signal.SIG_DFL)  # Python ignores SIGPIPE and SIGXFSZ, and exec would keep that
        _limit(plan)
        if plan["landlock_abi"]:
            own = ((path, kernel.READ_FILE) for path in _own_facts(os.getpid()))
            kernel.confine_files((*((path, rights) for path, rights in plan["grants"]), *own), plan["landlock_abi"])
        listener = kernel.confine_calls(bytes.fromhex(plan["filter"]))
        socket.send_fds(to_warden, [b"confined"], [listener])
    except OSError as error:
        with suppress(OSError):
            to_warden.sendall(f"{error.strerror}: {error.filename or 'kernel'}".encode())
        os._exit(EXIT_NOT_CONFINED)
    try:
        os.execve(plan["argv"][0], plan["argv"], plan["env"])  # noqa: S606 - this is what a sandbox is for
    except OSError as error:
        os.write(2, f"cannot run {plan['argv'][0]}: {error.strerror}\n".encode(errors="replace"))
    os._exit(EXIT_NOT_FOUND)


def _own_facts(pid: int) -> list[str]:
    return [f"/proc/{pid}/{name}" for name in OWN_FACTS]


def _hold(paths: Iterable[str]) -> None:
    """Keep files of the kernel's own trees as they are until this process ends.

    A rule of Landlock is about an inode. Those of /proc and /sys are made anew when the kernel is short of memory and
    nobody holds them, and a rule made before would then refuse what it granted.
    """
    for path in paths:
        os.open(path, os.O_PATH)


def _start(plan: Plan) -> tuple[int, int]:
    """Fork the job and return its process id and the listener of its filter.

    Raises:
        OSError: The job could not be confined, with the reason; nothing of it ran.
    """
    here, there = socket.socketpair()
    _hold(path for path, _rights in plan["grants"] if path.startswith(("/proc/", "/sys/")))
    pid = os.fork()
    if pid == 0:
        here.close()
        _become_job(plan, there)
    there.close()
    _hold(_own_facts(pid))
    message, descriptors, _flags, _address = socket.recv_fds(here, 4096, 1)
    here.close()
    if message != b"confined" or not descriptors:
        os.waitpid(pid, 0)
        raise OSError(errno.EPERM, message.decode(errors="replace") or "the job died before it was confined")
    return pid, descriptors[0]


def _verdict(family: Family, call: str, arguments: tuple[int, ...]) -> int:
    """Decide one system call: 0 lets it happen, an error number refuses it.

    All that is looked at are register values, which the kernel has copied: the job cannot change them afterwards.
    """
    if call in NEVER:
        return errno.EPERM
    if call in STARTS:
        return 0
    if call in {"clone", "fork", "vfork"}:
        thread = call == "clone" and bool(arguments[0] & CLONE_THREAD)
        return 0 if family.admits(thread=thread) else errno.EAGAIN
    target = arguments[0] & 0xFFFFFFFF
    target -= (target & 0x80000000) << 1  # the kernel reads the register as a signed 32-bit number
    if target > 0 and _stat(target) is None:
        return errno.ESRCH
    own = target in {0, -family.group} or (target > 0 and family.is_member(target))
    return 0 if own else errno.EPERM


def _note(tried: dict[str, int], call: str, arguments: tuple[int, ...], error: int) -> None:
    """Count what a job tried: sockets by family, programs, processes, and whatever was refused. Threads are nothing."""
    name = call
    if call == "socket":
        name = f"socket {FAMILIES.get(arguments[0] & 0xFFFFFFFF, 'other')}"  # few names, whatever is asked for
    elif call in STARTS:
        name = "program"
    elif call in {"clone", "fork", "vfork"}:
        if call == "clone" and arguments[0] & CLONE_THREAD and not error:
            return
        name = "process"
    elif call not in NEVER:  # signals
        if not error:
            return
        name = "signal"
    tried[name] = tried.get(name, 0) + 1


def _supervise(plan: Plan, leash: int, job: int, listener: int) -> dict[str, Any]:
    """Watch a running job until it ends, overdraws its budget or is no longer wanted; then end all of it."""
    family, calls = Family(job, plan), {int(number): name for number, name in plan["asked"].items()}
    poll = select.poll()
    for descriptor in (listener, leash, os.pidfd_open(job)):
        poll.register(descriptor, select.POLLIN)
    cause: str | None = None
    status: int | None = None
    tried = {"program": -1}  # the job's own start is one
    while cause is None and not _has_ended(family, job):
        for descriptor, event in poll.poll(TICK_MS):
            if descriptor == leash:
                cause = "stopped"
            elif descriptor == listener and event & select.POLLIN:
                notice = kernel.next_notice(listener)
                if notice is not None:
                    call = calls[notice.call]
                    error = _verdict(family, call, notice.arguments)
                    _note(tried, call, notice.arguments, error)
                    kernel.answer(listener, notice, error)
            elif descriptor == listener:
                poll.unregister(listener)  # hung up: nobody lives who could ask
        cause = cause or family.breach()
    os.killpg(job, signal.SIGKILL)  # the leader is not reaped yet, so the number is still this group's
    with suppress(ChildProcessError):  # nobody is left
        while True:
            pid, how = family.reap(-1)
            status = how if pid == job else status
    counted = {name: count for name, count in tried.items() if count > 0}
    return {"cause": cause, "status": status, "cpu_s": family.reaped_cpu_s, "tried": counted}


def _has_ended(family: Family, job: int) -> bool:
    """Say whether the job's first process is dead, and collect orphans that are."""
    while True:
        dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if dead is None or dead.si_pid == job:
            return dead is not None
        family.reap(dead.si_pid)


def main(plan_fd: int, leash_fd: int, report_fd: int) -> None:
    """Carry out one plan.

    Args:
        plan_fd: Where the plan is read, as JSON.
        leash_fd: A pipe; a byte on it, or its other end closing, ends the job.
        report_fd: Where lines of JSON are written: `{"group": …}` once the job runs, then `{"cause", "status",
            "cpu_s", "tried"}`; or `{"refused": reason}` when the job could not be confined.
    """
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # the descriptor of the listing itself
            os.set_inheritable(int(name), int(name) <= 2)  # noqa: PLR2004 - the three standard streams
    with open(plan_fd, "rb") as file:
        plan: Plan = json.load(file)
    try:
        kernel.give_up_privileges()
        kernel.hide_memory(hidden=True)
        kernel.adopt_orphans()
        job, listener = _start(plan)
    except OSError as error:
        report: dict[str, Any] = {"refused": error.strerror or str(error)}
    else:
        _tell(report_fd, {"group": job})
        report = _supervise(plan, leash_fd, job, listener)
    _tell(report_fd, report)


def _tell(report_fd: int, report: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # whoever asked may be gone; the job has been ended all the same
        os.write(report_fd, json.dumps(report).encode() + b"\n")
