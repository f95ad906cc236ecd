"""What a job in a sandbox must not be able to do, tried by jobs that do their best, in every tier."""

import os
import signal
import socket
import sys
import tempfile
from pathlib import Path

import pytest
from tests.services.sandbox_tiers import SANDBOXES, SEPARATE, Cell, make_cell

from holdfast.adapters.sandbox.confined import Walls, run_confined
from holdfast.adapters.sandbox.syscalls import ARCHITECTURES, NUMBERS
from holdfast.core.ports import Job, JobEnd, Tier

FILTER = "holdfast.adapters.sandbox.filter:compile_filter"
GRANTS = "holdfast.adapters.sandbox.process:landlock_grants"


@pytest.fixture(params=SANDBOXES)
def cell(request: pytest.FixtureRequest, tmp_path: Path) -> Cell:
    """A cell in each tier."""
    return make_cell(request.param, tmp_path)


@pytest.fixture(params=SEPARATE)
def separate(request: pytest.FixtureRequest, tmp_path: Path) -> Cell:
    """A cell in a tier with namespaces."""
    return make_cell(request.param, tmp_path)


def test_listening_port_of_the_host_cannot_be_reached(cell: Cell) -> None:
    """A job that connects to a port on which something listens is refused, and nothing arrives there."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        attempt = "socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=5)"
        assert cell.refusals(attempt, arguments=(server.getsockname()[1],)) == ["EPERM"]
        with pytest.raises(TimeoutError):
            server.accept()


def test_no_socket_of_any_family_can_be_made(cell: Cell) -> None:
    """TCP, UDP, Unix, netlink, packet and virtual-machine sockets are refused before they exist."""
    kinds = ("2, 1", "2, 2", "10, 1", "10, 2", "1, 1", "1, 2", "16, 3", "17, 3", "40, 1")
    assert cell.refusals(*(f"socket.socket({kind})" for kind in kinds)) == ["EPERM"] * len(kinds)


def test_unix_socket_in_a_writable_folder_cannot_be_reached(cell: Cell) -> None:
    """A socket that somebody left where the job may write is no door out."""
    address = cell.writable / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(address))
        server.listen()
        assert cell.refusals(f"socket.socket(socket.AF_UNIX).connect({str(address)!r})") == ["EPERM"]


def test_pair_of_connected_sockets_still_works(cell: Cell) -> None:
    """What reaches nobody else is allowed: event loops wake themselves through a socket pair."""
    assert cell.refusals("[end.close() for end in socket.socketpair()]") == ["done: [None, None]"]


@pytest.mark.parametrize("way", ["direct", "dots", "planted link", "open folder"])
@pytest.mark.guarantee("G13")
def test_undeclared_file_cannot_be_read(cell: Cell, way: str) -> None:
    """A key outside what the job declares cannot be read, by whichever way it is named."""
    key = cell.secret / "key.pem"
    (cell.writable / "link").symlink_to(key)
    (cell.writable / "folder").symlink_to(cell.secret)
    ways = {
        "direct": f"open({str(key)!r}).read()",
        "dots": f"open({str(cell.writable / '..' / 'secret' / 'key.pem')!r}).read()",
        "planted link": "open('link').read()",
        "open folder": "os.listdir('folder')",
    }
    assert cell.refusals(ways[way])[0] in {"EACCES", "ENOENT"}


def test_system_secrets_and_homes_cannot_be_read(cell: Cell) -> None:
    """Account data, the home folder and other programs' temporary files are not part of a runtime."""
    places = ("/etc/passwd", "/etc/shadow", "/etc/hostname", str(Path.home() / ".profile"), "/var/log/dpkg.log")
    outcomes = cell.refusals(*(f"open({place!r}).read(1)" for place in places))
    assert all(outcome in {"EACCES", "ENOENT"} for outcome in outcomes), outcomes


def test_declared_input_can_be_read(cell: Cell) -> None:
    """The walls are not so thick that nothing gets in."""
    assert cell.refusals(f"open({str(cell.readable / 'input.csv')!r}).readline()") == ["done: 'a,b\\n'"]


def test_input_of_another_job_cannot_be_read(cell: Cell, tmp_path: Path) -> None:
    """Two jobs beside one another see their own inputs only."""
    sibling = tmp_path / "sibling"
    sibling.mkdir()
    (sibling / "input.csv").write_text("another customer's rows")
    assert cell.refusals(f"open({str(sibling / 'input.csv')!r}).read()")[0] in {"EACCES", "ENOENT"}


def test_environment_and_command_line_of_other_processes_cannot_be_read(cell: Cell) -> None:
    """Secrets in the environment of whoever started the job stay there: /proc shows nobody but the job."""
    names = ("environ", "cmdline", "maps", "mem", "cwd/pyproject.toml", "root/etc/passwd")
    attempts = [f"open('/proc/%s/{name}' % {who}, 'rb').read(1)" for name in names for who in ("sys.argv[1]", "1")]
    outcomes = cell.refusals(*attempts, arguments=(os.getpid(),))
    theirs = outcomes[0::2]
    assert all(outcome in {"EACCES", "ENOENT", "EPERM"} for outcome in theirs), theirs
    # With a process table of its own, process 1 is the job's warden. Nothing of its memory or files may be seen.
    first = outcomes[1::2] if cell.sandbox.tier is Tier.PROCESS else outcomes[5::2]
    assert all(outcome in {"EACCES", "ENOENT", "EPERM"} for outcome in first), first


def test_job_reads_of_itself_what_libraries_need_and_no_more(tmp_path: Path) -> None:
    """Threadpoolctl reads the job's own memory map; what /proc/self tells of the host stays shut."""
    cell = make_cell(str(Tier.PROCESS), tmp_path)
    places = ("maps", "status", "environ", "mountinfo", "net/tcp", "net/unix", "fd", "root/etc/passwd")
    outcomes = cell.refusals(*(f"len(open('/proc/self/{place}').readline()) > 0" for place in places))
    assert outcomes == ["done: True"] * 2 + ["EACCES"] * 6


def test_nothing_outside_the_writable_folder_can_be_changed(cell: Cell) -> None:
    """Inputs and undeclared files cannot be written, emptied, replaced, removed or added to."""
    own, foreign = cell.readable / "input.csv", cell.secret / "key.pem"
    attempts = [
        attempt
        for path in (own, foreign)
        for attempt in (
            f"open({str(path)!r}, 'w')",
            f"open({str(path)!r}, 'a')",
            f"os.truncate({str(path)!r}, 0)",
            f"os.open({str(path)!r}, os.O_RDONLY | os.O_TRUNC)",
            f"os.open({str(path)!r}, os.O_ACCMODE | os.O_TRUNC)",
            f"os.remove({str(path)!r})",
            f"os.rename({str(path)!r}, 'mine')",
            f"os.link({str(path)!r}, 'mine')",
            f"os.mkdir({str(path.parent / 'new')!r})",
            f"open({str(path.parent / 'new')!r}, 'w')",
        )
    ]
    outcomes = cell.refusals(*attempts)
    assert all(outcome in {"EACCES", "ENOENT", "EROFS", "EXDEV", "EPERM"} for outcome in outcomes), outcomes
    assert own.read_text() == "a,b\n1,2\n"
    assert foreign.read_text() == "-----BEGIN PRIVATE KEY-----"
    assert sorted(path.name for path in (*cell.readable.iterdir(), *cell.secret.iterdir())) == ["input.csv", "key.pem"]


def test_modes_times_and_owners_outside_cannot_be_changed(cell: Cell) -> None:
    """Landlock says nothing about metadata, so the filter does: a key cannot be made readable for all."""
    key = cell.secret / "key.pem"
    key.chmod(0o600)
    before = key.stat()
    path = repr(str(key))
    cell.refusals(
        f"os.chmod({path}, 0o777)",
        f"os.utime({path}, (1, 1))",
        f"os.chown({path}, 65534, 65534)",
        f"os.setxattr({path}, 'user.mark', b'x')",
    )
    after = key.stat()
    assert (after.st_mode, after.st_mtime_ns, after.st_uid, os.listxattr(key)) == (
        before.st_mode,
        before.st_mtime_ns,
        before.st_uid,
        [],
    )


def test_declared_folder_can_be_written_and_copied_in(cell: Cell) -> None:
    """The usual ways of leaving files behind work, tools that set modes and times included."""
    code = (
        "import shutil, sys, pathlib, tempfile\n"
        "shutil.copy2(sys.argv[1], 'copy.csv'); shutil.copytree(sys.argv[2], 'tree')\n"
        "pathlib.Path('a/b').mkdir(parents=True); pathlib.Path('a/b/f').write_text('x')\n"
        "pathlib.Path('a').rename('c')\n"
        "pathlib.Path('c/b/f').unlink(); tempfile.TemporaryDirectory(dir='.').cleanup()\n"
    )
    result = cell.run(code, cell.readable / "input.csv", cell.readable)
    assert (result.end, result.stderr) == (JobEnd.FINISHED, b"")
    assert (cell.writable / "copy.csv").read_text() == "a,b\n1,2\n"
    assert sorted(path.name for path in cell.writable.iterdir()) == ["c", "copy.csv", "tree"]


def test_only_regular_files_and_folders_come_out(cell: Cell) -> None:
    """A job cannot leave a link, pipe, device, socket or set-user-id program for somebody else to stumble over."""
    key = str(cell.secret / "key.pem")
    outcomes = cell.refusals(
        f"os.symlink({key!r}, 'link')",
        "os.mkfifo('pipe')",
        "os.mknod('device', 0o20666, os.makedev(1, 3))",
        "os.open('program', os.O_CREAT | os.O_WRONLY, 0o4755)",
        "os.open('group', os.O_CREAT | os.O_WRONLY, 0o2755)",
        "os.open('.', os.O_TMPFILE | os.O_WRONLY, 0o6755)",
    )
    assert outcomes == ["EPERM"] * 6
    assert list(cell.writable.iterdir()) == []


def test_other_processes_cannot_be_signalled(cell: Cell) -> None:
    """Neither the process that asked, nor the warden, nor everybody at once can be signalled, by any call."""
    pid = os.getpid()
    outcomes = cell.refusals(
        # Signal 0 asks for the permission alone: where this fails, the tests themselves live on to say so.
        f"os.kill({pid}, 0)",
        "os.kill(os.getppid(), 0)",
        "os.kill(-1, 0)",
        f"os.killpg({os.getpgid(0)}, 0)",
        f"call({_number('tgkill')}, {pid}, {pid}, 0)",
        f"call({_number('tkill')}, {pid}, 0)",
        "signal.pidfd_send_signal(os.pidfd_open(os.getpid()), 0)",
        "__import__('fcntl').fcntl(0, 8, 1)",
    )
    assert len(outcomes) == 8
    assert set(outcomes) <= {"EPERM", "ESRCH"}, outcomes


def test_filter_and_warden_hold_signals_and_sockets_alone(tmp_path: Path) -> None:
    """Without any Landlock, signals, sockets and emptied files are refused all the same: it is a second wall there."""
    cell = make_cell(str(Tier.PROCESS), tmp_path)
    key = cell.secret / "key.pem"
    code = (
        "import os, socket\n"
        f"signals = (lambda: os.kill({os.getpid()}, 0), lambda: os.kill(os.getppid(), 0))\n"
        f"files = (lambda: os.truncate({str(key)!r}, 0), lambda: os.open({str(key)!r}, os.O_RDONLY | os.O_TRUNC))\n"
        "for attempt in (*signals, *files, socket.socket):\n"
        "    try: print('done', attempt())\n"
        "    except PermissionError: print('refused')\n"
    )
    result = run_confined(cell.job(code), Walls(tier=Tier.PROCESS, landlock_abi=0))
    assert result.stdout.split() == [b"refused"] * 5


def test_job_can_signal_its_own_children(cell: Cell) -> None:
    """A pool can be torn down: the family is open to itself."""
    code = (
        "import os, signal, time\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(60)\n"
        "os.kill(child, signal.SIGTERM); print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)\n"
        "os.abort()\n"
    )
    result = cell.run(code)
    assert (result.end, result.stdout) == (JobEnd.KILLED, f"-{signal.SIGTERM:d}\n".encode())


def test_limits_and_priorities_of_other_processes_cannot_be_changed(cell: Cell) -> None:
    """A job cannot starve whoever started it, which has the same user id."""
    pid = os.getpid()
    before = os.getpriority(os.PRIO_PROCESS, 0)
    outcomes = cell.refusals(
        f"resource.prlimit({pid}, resource.RLIMIT_CPU, (1, 1))",
        f"os.setpriority(os.PRIO_PROCESS, {pid}, 19)",
        f"os.sched_setaffinity({pid}, {{0}})",
        f"os.sched_setscheduler({pid}, os.SCHED_IDLE, os.sched_param(0))",
    )
    assert outcomes == ["EPERM"] * 4
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_environment_holds_only_what_was_declared(cell: Cell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets in the environment of whoever asks are not passed on."""
    monkeypatch.setenv("HOLDFAST_KEY_PASSPHRASE", "correct horse battery staple")
    result = cell.run("import os; print(sorted(os.environ.items()))")
    assert result.stdout == b"[('LC_ALL', 'C.UTF-8')]\n"


def test_open_descriptors_are_not_inherited(cell: Cell) -> None:
    """A descriptor that was left inheritable, to a key for example, does not come along."""
    with (cell.secret / "key.pem").open("rb") as key:
        os.set_inheritable(key.fileno(), True)  # noqa: FBT003 - os takes it by position only
        code = (
            "import os\n"
            "def is_open(number):\n"
            "    try: os.fstat(number)\n"
            "    except OSError: return False\n"
            "    return True\n"
            "print([number for number in range(1024) if is_open(number)])\n"
        )
        assert cell.run(code).stdout == b"[0, 1, 2]\n"


def test_standard_input_is_what_was_given_and_then_ends(cell: Cell) -> None:
    """More than a pipe holds arrives whole; nothing given means an end at once, not a wait."""
    text = b"0123456789abcdef" * 40_000
    digest = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    assert cell.run(digest, stdin=text).stdout != cell.run(digest).stdout
    assert cell.run("import sys; print(len(sys.stdin.buffer.read()))", stdin=text).stdout == b"640000\n"
    assert cell.run("import sys; print(sys.stdin.read())").stdout == b"\n"


def test_standard_input_that_nobody_reads_does_no_harm(cell: Cell) -> None:
    """A job may end without reading; the rest is dropped."""
    result = cell.run("print('done')", stdin=b"x" * 1_000_000)
    assert (result.end, result.stdout) == (JobEnd.FINISHED, b"done\n")


def test_ways_to_more_privilege_are_closed(cell: Cell) -> None:
    """New namespaces, mounts, tracing, keys, kernel memory and calls the filter does not know are refused."""
    refused = ("unshare", "mount", "ptrace", "keyctl", "bpf", "userfaultfd", "perf_event_open", "io_uring_setup")
    more = ("memfd_create", "shmget", "mq_open", "setns", "chroot", "personality", "process_vm_readv", "pidfd_getfd")
    outcomes = cell.refusals(*(f"call({_number(name)}, 0, 0, 0, 0, 0)" for name in (*refused, *more)))
    assert outcomes == ["EPERM"] * 16
    new_user_namespace = 0x10000000 | signal.SIGCHLD
    late = cell.refusals(
        f"call({_number('clone')}, {new_user_namespace}, 0, 0, 0, 0)",
        f"call({_number('clone3')}, 0, 0)",
        "call(463, 0, 0, 0)",
        "call(9999)",
        "os.setsid()",
        "os.setpgid(0, 0)",
    )
    assert late == ["EPERM", "ENOSYS", "ENOSYS", "ENOSYS", "EPERM", "EPERM"]


def test_no_capability_is_left_even_for_root(cell: Cell) -> None:
    """A file without any mode bits stays shut, also when the platform itself runs as root."""
    locked = cell.readable / "locked"
    locked.write_text("secret")
    locked.chmod(0)
    capget = (
        "(lambda header, data: (libc.capget(header, data), data.raw))"
        "(ctypes.create_string_buffer(b'\\x22\\x05\\x08\\x20' + bytes(4)), ctypes.create_string_buffer(24))"
    )
    assert cell.refusals(f"open({str(locked)!r}).read()", capget) == ["EACCES", f"done: (0, {bytes(24)!r})"]


def test_job_cannot_run_what_it_wrote(tmp_path: Path) -> None:
    """In the process tier, and wherever Landlock stands, a dropped program cannot be started."""
    cell = make_cell(str(Tier.PROCESS), tmp_path)
    program = cell.writable / "program"
    program.write_bytes(Path("/bin/true").read_bytes())
    program.chmod(0o755)
    assert cell.refusals("os.execv('./program', ['program'])") == ["EACCES"]


def test_what_is_not_declared_does_not_exist_in_namespaces(separate: Cell) -> None:
    """Names and sizes of files, other processes, interfaces and the host's name are not visible either."""
    outcomes = separate.refusals(
        f"os.stat({str(separate.secret)!r})",
        "os.path.exists('/etc/passwd') or os.path.exists('/home') or os.path.exists('/var')",
        "os.getppid()",
        "os.uname().nodename",
        f"os.path.exists('/proc/{os.getpid()}')" if os.getpid() > 100 else "False",
    )
    assert outcomes == ["ENOENT", "done: False", "done: 1", "done: 'sandbox'", "done: False"]


def test_scratch_is_private_bounded_and_gone_afterwards(separate: Cell) -> None:
    """/tmp and /dev/shm are the job's own, and memory kept in them is bounded."""
    code = (
        "import os, sys\n"
        "print(os.path.exists(sys.argv[1]))\n"
        "for place in ('/tmp', '/dev/shm'):\n"
        "    size = 0\n"
        "    try:\n"
        "        with open(place + '/fill', 'wb') as file:\n"
        "            while size < 1 << 30: size += file.write(bytes(1 << 20))\n"
        "    except OSError: pass\n"
        "    print(0 < size >> 20 <= 64)\n"
    )
    with tempfile.NamedTemporaryFile(dir="/tmp") as theirs:
        result = separate.run(code, theirs.name)
    assert result.stdout == b"False\nTrue\nTrue\n", result.stderr
    assert not Path("/dev/shm/fill").exists()


def test_program_that_does_not_exist_fails_like_in_a_shell(cell: Cell) -> None:
    """The job fails with 127 and says why; the sandbox itself is not at fault."""
    job = Job(argv=("/usr/bin/no-such-program",), readable=(), writable=(cell.writable,), env={}, cwd=cell.writable)
    result = cell.sandbox.run(job)
    assert (result.end, result.exit_code) == (JobEnd.FAILED, 127)
    assert b"cannot run /usr/bin/no-such-program" in result.stderr


def test_job_starts_with_ordinary_signals(cell: Cell) -> None:
    """Python ignores two signals, and would pass that on: a program in a pipe is to end when nobody reads it."""
    argv = ("/bin/sh", "-c", "kill -s PIPE $$; echo still here")
    job = Job(argv=argv, readable=(), writable=(cell.writable,), env={}, cwd=cell.writable)
    result = cell.sandbox.run(job)
    assert (result.end, result.stdout) == (JobEnd.KILLED, b"")


def test_declared_path_that_is_a_link_works_under_both_names(cell: Cell, tmp_path: Path) -> None:
    """Who declares a link gets what it leads to, in every tier, and nothing beside it."""
    link = tmp_path / "link"
    link.symlink_to(cell.readable)
    job = Job(
        argv=(sys.executable, "-c", f"print(open({str(link / 'input.csv')!r}).readline())"),
        readable=(link,),
        writable=(cell.writable,),
        env={"LC_ALL": "C.UTF-8"},
        cwd=cell.writable,
    )
    assert cell.sandbox.run(job).stdout == b"a,b\n\n"


def _number(call: str) -> int:
    number = NUMBERS[call][ARCHITECTURES[os.uname().machine][0]]
    assert number is not None
    return number


def test_what_a_job_asks_the_kernel_for_is_counted_whoever_asks(cell: Cell) -> None:
    """Sockets by family, also of native code; programs and processes; threads and signals to oneself are nothing."""
    code = (
        "import ctypes, os, signal, socket, subprocess, threading\n"
        "for family in (socket.AF_INET, socket.AF_INET, socket.AF_UNIX):\n"
        "    try: socket.socket(family)\n"
        "    except PermissionError: pass\n"
        "ctypes.CDLL(None).socket(10, 1, 0)\n"
        "subprocess.run(['/bin/true'])\n"
        "threading.Thread(target=print).start()\n"
        "signal.signal(signal.SIGUSR1, signal.SIG_IGN)\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "try: os.kill(1, signal.SIGUSR1)\n"
        "except PermissionError: pass\n"
    )
    result = cell.run(code)
    assert result.exit_code == 0, result.stderr.decode()
    tried = dict(result.tried)
    assert tried.pop("signal", 1) == 1  # with a process table of its own, process 1 is the warden
    assert tried.pop("socket unix") >= 1  # the C library asks for one too, where it looks up names
    assert tried == {"socket ipv4": 2, "socket ipv6": 1, "process": 1, "program": 1}
    assert set(cell.run("pass").tried) <= {"socket unix"}
