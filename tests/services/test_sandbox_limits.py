"""What a job may use at most, and that nothing of it is left when it is over, in every tier."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.services.sandbox_tiers import SHORT, TIERS, Cell, make_cell, parent_of, processes_with

from holdfast.core.ports import MIB, JobEnd, Limits

RUN = "holdfast.adapters.sandbox.confined:run_confined"
PATIENCE_S = 20.0  # how long a test waits for something that must happen soon


@pytest.fixture(params=TIERS)
def cell(request: pytest.FixtureRequest, tmp_path: Path) -> Cell:
    """A cell in each tier."""
    return make_cell(request.param, tmp_path)


@pytest.fixture
def token() -> str:
    """A word that marks the processes of one test, so that tests beside it do not count."""
    return uuid.uuid4().hex


@pytest.mark.parametrize(("code", "end", "exit_code"), [("0", JobEnd.FINISHED, 0), ("41", JobEnd.FAILED, 41)])
def test_exit_code_is_passed_through(cell: Cell, code: str, end: JobEnd, exit_code: int) -> None:
    """A job's own verdict reaches whoever asked, with its output."""
    result = cell.run(f"import sys; print('out'); print('err', file=sys.stderr); sys.exit({code})")
    assert (result.end, result.exit_code, result.stdout, result.stderr) == (end, exit_code, b"out\n", b"err\n")
    assert result.tier is cell.sandbox.tier
    assert result.cpu_s is not None
    assert 0 < result.cpu_s < SHORT.cpu_s


def test_job_killed_by_a_signal_says_so(cell: Cell) -> None:
    """A crash is no exit code."""
    result = cell.run("import os; os.abort()")
    assert (result.end, result.exit_code) == (JobEnd.KILLED, None)


def test_endless_loop_ends_at_its_processor_time(cell: Cell, token: str) -> None:
    """A job that computes for ever is ended when its processor time is used up, long before its wall time."""
    result = cell.run("while True: pass", token, limits=Limits(cpu_s=1, wall_s=PATIENCE_S))
    assert result.end is JobEnd.TIMED_OUT
    assert result.wall_s < PATIENCE_S
    assert processes_with(token) == []


def test_processor_time_of_all_processes_counts_together(cell: Cell, token: str) -> None:
    """Splitting an endless loop into processes gains nothing: each stays below the limit, the sum does not."""
    code = "import os\nfor _ in range(3): os.fork()\nwhile True: pass"
    result = cell.run(code, token, limits=Limits(cpu_s=2, wall_s=PATIENCE_S))
    assert result.end is JobEnd.TIMED_OUT
    assert result.wall_s < PATIENCE_S
    assert processes_with(token) == []


def test_processor_time_of_orphans_counts(cell: Cell) -> None:
    """Work that is handed to a child of a dead child is not free."""
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0:\n"
        "        while time.process_time() < 1: pass\n"
        "        open('done', 'w').close()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "while not os.path.exists('done'): time.sleep(0.05)\n"
        "time.sleep(0.2)\n"
    )
    result = cell.run(code)
    assert result.end is JobEnd.FINISHED
    assert result.cpu_s is not None
    assert result.cpu_s >= 1


def test_sleeping_job_and_its_daemons_end_at_the_wall_time(cell: Cell, token: str) -> None:
    """When time is up, nothing is left: not a child of a dead child, not one that ignores every signal it can."""
    code = (
        "import os, signal, time\n"
        "for number in range(1, 32):\n"
        "    if number not in (9, 17, 19): signal.signal(number, signal.SIG_IGN)\n"
        "if os.fork() == 0:\n"
        "    try: os.setsid()\n"
        "    except PermissionError: pass\n"
        "    if os.fork() == 0:\n"
        "        for number in range(3): os.close(number)\n"
        "        time.sleep(600)\n"
        "    os._exit(0)\n"
        "os.wait(); print('daemon left', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    result = cell.run(code, token, limits=Limits(wall_s=2.0))
    assert (result.end, result.stdout) == (JobEnd.TIMED_OUT, b"daemon left\n")
    assert processes_with(token) == []


def test_daemon_does_not_outlive_a_job_that_finished(cell: Cell, token: str) -> None:
    """A job is over when its first process is; whoever it left behind is ended, and nobody waits for them."""
    code = "import os, time\nif os.fork() == 0: time.sleep(600)\nprint('done')"
    result = cell.run(code, token)
    assert (result.end, result.stdout) == (JobEnd.FINISHED, b"done\n")
    assert result.wall_s < SHORT.wall_s
    assert processes_with(token) == []


def test_job_ends_with_whoever_asked_for_it(cell: Cell, token: str) -> None:
    """When the platform itself is killed, its jobs and their children do not go on without it."""
    script = (
        "import sys; from pathlib import Path; from tests.services.sandbox_tiers import *\n"
        "name, writable, token = sys.argv[1:]\n"
        "job = Job(argv=(sys.executable, '-c', 'import os, time; os.fork(); time.sleep(600)', token), readable=(),\n"
        "          writable=(Path(writable),), env={}, cwd=Path(writable))\n"
        "sandbox_named(name).run(job)\n"
    )
    arguments = (str(cell.sandbox.tier), str(cell.writable), token)
    search = os.pathsep.join(path for path in sys.path if path)
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], env={**os.environ, "PYTHONPATH": search}
    ) as platform:
        confined = _wait_for(lambda: len(processes_with(token)) >= 3)  # the platform, the job and its child
        platform.send_signal(signal.SIGKILL)
    assert confined
    assert _wait_for(lambda: processes_with(token) == [])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_job_does_not_outlive_its_warden(cell: Cell, token: str, number: signal.Signals) -> None:
    """When the process that watches a job dies, or hangs, the job is ended without it."""
    code = "import os, time; os.fork(); print('running', flush=True); time.sleep(600)"
    limits = Limits(wall_s=1.5 if number is signal.SIGSTOP else 60.0)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(cell.run, code, token, limits=limits)
        assert _wait_for(lambda: len(processes_with(token)) == 2)
        family = processes_with(token)
        (warden,) = {parent_of(pid) for pid in family} - set(family)
        os.kill(warden, number)
        result = running.result(60)
    assert result.end is (JobEnd.TIMED_OUT if number is signal.SIGSTOP else JobEnd.KILLED)
    assert result.stdout.startswith(b"running\n")
    assert _wait_for(lambda: processes_with(token) == [])


def _wait_for(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.mark.parametrize(
    "bomb",
    [
        "held = []\nwhile True: held.append(bytearray(8 << 20))",
        "held = bytearray(8 << 30)",
        "import mmap\nheld = mmap.mmap(-1, 8 << 30)\nfor page in range(0, 8 << 30, 4096): held[page] = 1",
        "import numpy\nheld = numpy.ones(8 << 30, dtype=numpy.uint8)",
    ],
    ids=["by pieces", "at once", "shared mapping", "numpy"],
)
def test_memory_bomb_is_ended(cell: Cell, token: str, bomb: str) -> None:
    """A job that takes more memory than it may is ended for that reason, however it takes it."""
    result = cell.run(bomb, token, limits=Limits(memory_bytes=256 * MIB, wall_s=60.0))
    assert result.end is JobEnd.OUT_OF_MEMORY, result
    assert processes_with(token) == []


def test_memory_of_all_processes_counts_together(cell: Cell, token: str) -> None:
    """Splitting a memory bomb into processes gains nothing."""
    code = (
        "import os, time\n"
        "for _ in range(7):\n"
        "    if os.fork() == 0: break\n"
        "held = bytearray(b'x') * (64 << 20)\n"
        "time.sleep(60)\n"
    )
    result = cell.run(code, token, limits=Limits(memory_bytes=256 * MIB, wall_s=60.0))
    assert result.end is JobEnd.OUT_OF_MEMORY
    assert processes_with(token) == []


def test_memory_shared_by_forked_workers_counts_once(cell: Cell) -> None:
    """Workers that read their parent's data are not a memory bomb, though each of them seems to hold all of it."""
    code = (
        "import os, time\n"
        "held = bytearray(b'x') * (96 << 20)\n"
        "for _ in range(4):\n"
        "    if os.fork() == 0: time.sleep(1.5); os._exit(0)\n"
        "time.sleep(1.5); print('done')\n"
    )
    result = cell.run(code, limits=Limits(memory_bytes=256 * MIB, wall_s=60.0))
    assert (result.end, result.stdout) == (JobEnd.FINISHED, b"done\n")


@pytest.mark.parametrize("call", ["os.fork()", "libc.syscall(57)", "libc.vfork()"])
def test_fork_bomb_is_bounded(cell: Cell, token: str, call: str) -> None:
    """However a job makes processes, it has no more of them at once than it may."""
    if call == "libc.syscall(57)" and os.uname().machine != "x86_64":
        pytest.skip("fork is no system call of its own on this architecture")
    if call == "libc.vfork()":
        # A borrowed stack cannot be returned to from Python, so the child of vfork is another program.
        call = "__import__('subprocess').Popen(['/bin/sleep', '60']).pid"
    code = (
        "import ctypes, os, time\n"
        "libc, count = ctypes.CDLL(None), 0\n"
        "for attempt in range(400):\n"
        f"    try: child = {call}\n"
        "    except OSError: child = -1\n"
        "    if child == 0: time.sleep(60); os._exit(0)\n"
        "    count += child > 0\n"
        "print(count)\n"
    )
    result = cell.run(code, token, limits=Limits(processes=16, wall_s=60.0))
    assert result.stdout == b"15\n", result
    assert processes_with(token) == []


def test_waiting_for_nobody_does_not_raise_the_process_limit(cell: Cell) -> None:
    """What is counted are processes that live, not what a job says about them."""
    code = (
        "import os, time\n"
        "count = 0\n"
        "for attempt in range(100):\n"
        "    try: os.waitpid(99_999_999, 0)\n"
        "    except ChildProcessError: pass\n"
        "    try:\n"
        "        if os.fork() == 0: time.sleep(60)\n"
        "        count += 1\n"
        "    except OSError: pass\n"
        "print(count)\n"
    )
    assert cell.run(code, limits=Limits(processes=8, wall_s=60.0)).stdout == b"7\n"


def test_processes_that_ended_make_room_for_others(cell: Cell) -> None:
    """The limit is on processes at once: a job may start many more of them one after another."""
    code = (
        "import os\n"
        "for attempt in range(100):\n"
        "    child = os.fork()\n"
        "    if child == 0: os._exit(0)\n"
        "    os.waitpid(child, 0)\n"
        "print('done')\n"
    )
    assert cell.run(code, limits=Limits(processes=4, wall_s=60.0)).stdout == b"done\n"


def test_thread_bomb_is_bounded(cell: Cell) -> None:
    """Threads are counted too, with room for a pool on each core."""
    code = (
        "import threading, time\n"
        "threading.stack_size(64 << 10)\n"
        "count = 0\n"
        "try:\n"
        "    while count < 500: threading.Thread(target=time.sleep, args=(60,), daemon=True).start(); count += 1\n"
        "except RuntimeError: pass\n"
        "print(count, flush=True); __import__('os')._exit(0)\n"
    )
    assert cell.run(code, limits=Limits(processes=4, wall_s=60.0)).stdout == b"63\n"


def test_output_flood_is_bounded(cell: Cell) -> None:
    """Of each stream the beginning is kept up to the limit; the rest is read and dropped, so the job does not hang."""
    code = "import os, sys\nfor _ in range(512): os.write(1, b'o' * 65536); os.write(2, b'e' * 65536)\nsys.exit(7)\n"
    result = cell.run(code, limits=Limits(output_bytes=100_000, wall_s=60.0))
    assert (result.stdout, result.stderr) == (b"o" * 100_000, b"e" * 100_000)
    assert result.exit_code == 7


def test_big_file_is_bounded(cell: Cell) -> None:
    """No file grows past the limit, whether written or stretched."""
    code = (
        "try:\n"
        "    with open('big', 'wb') as file:\n"
        "        for _ in range(64): file.write(bytes(1 << 20))\n"
        "except OSError as error: print(error.errno)\n"
        "try: open('hole', 'wb').truncate(1 << 40)\n"
        "except OSError as error: print(error.errno)\n"
    )
    result = cell.run(code, limits=Limits(file_bytes=4 * MIB, wall_s=60.0))
    assert result.stdout == b"27\n27\n"  # EFBIG
    assert (cell.writable / "big").stat().st_size == 4 * MIB
    assert (cell.writable / "hole").stat().st_size == 0


def test_open_files_and_core_dumps_are_bounded(cell: Cell) -> None:
    """A leak of descriptors stays the job's own problem, it cannot raise its limit, and a crash dumps no memory."""
    code = (
        "import resource\n"
        "held = []\n"
        "try:\n"
        "    while True: held.append(open('/dev/null'))\n"
        "except OSError: print(len(held) + 3)\n"
        "held.clear()\n"
        "try: resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))\n"
        "except (OSError, ValueError): print('refused')\n"
        "print(resource.getrlimit(resource.RLIMIT_CORE))\n"
    )
    assert cell.run(code, limits=Limits(open_files=40, wall_s=60.0)).stdout == b"40\nrefused\n(0, 0)\n"


def test_jobs_run_beside_one_another(cell: Cell) -> None:
    """Several jobs at once, started from threads, do not disturb one another."""
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda number: cell.run("import sys; print(sys.argv[1])", number), range(8)))
    assert [result.stdout for result in results] == [f"{number}\n".encode() for number in range(8)]


def test_interrupt_of_whoever_asked_ends_the_job(cell: Cell, token: str) -> None:
    """Ctrl-C in the platform leaves no job behind."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.0)
    try:
        with pytest.raises(KeyboardInterrupt):
            cell.run("import time; time.sleep(600)", token)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert processes_with(token) == []
