"""The memory of signed requests: bounded, and one for all processes that answer."""

import os
import signal
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from holdfast.adapters.nonces import BUCKETS, PLACES, SharedNonces


def test_a_nonce_counts_once_within_its_time_and_again_afterwards() -> None:
    """Known until its time is over, to the second; another one is another."""
    memory = SharedNonces(since=5.0, buckets=1)
    assert memory.since == 5.0
    assert memory.remember("a", until=10, now=1)
    assert not memory.remember("a", until=12, now=2)
    assert memory.remember("b", until=10, now=2)
    assert not memory.remember("a", until=12, now=10)
    assert memory.remember("a", until=20, now=10.5)


def test_a_full_memory_remembers_no_more_until_something_is_over() -> None:
    """It refuses instead of forgetting what still counts; its size never changes."""
    memory = SharedNonces(buckets=1)
    assert all(memory.remember(f"{n}", until=10 + n, now=1) for n in range(PLACES))
    assert not memory.remember("more", until=99, now=1)
    assert memory.remember("more", until=99, now=10.5)  # in the place of the first, whose time is over
    assert not memory.remember("again", until=99, now=10.5)
    assert not memory.remember("more", until=99, now=50)


def test_what_200_000_calls_leave_behind_finds_room() -> None:
    """None is refused for want of a place: a quarter of the calls in a quarter of the memory, the same load."""
    memory = SharedNonces(buckets=BUCKETS // 4)
    assert all(memory.remember(str(n), until=10, now=1) for n in range(50_000))
    assert not any(memory.remember(str(n), until=10, now=1) for n in range(0, 50_000, 1000))


def test_of_many_threads_and_processes_one_is_first() -> None:
    """Every nonce is new to exactly one of those who ask at once."""
    memory = SharedNonces()
    pipes = []
    for _ in range(3):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with ThreadPoolExecutor(4) as pool:
                    new = list(pool.map(lambda n: memory.remember(str(n % 200), until=1e9, now=1), range(1000)))
                os.write(writing, bytes(sorted(n % 200 for n, first in enumerate(new) if first)))
            finally:
                os._exit(0)
        os.close(writing)
        pipes.append((reading, child))
    found: Counter[int] = Counter()
    for reading, child in pipes:
        with os.fdopen(reading, "rb") as pipe:
            found.update(pipe.read())
        os.waitpid(child, 0)
    assert found == Counter(range(200))


def test_a_worker_that_is_killed_holds_nobody_up() -> None:
    """The kernel takes its lock back, and what it had half written is free."""
    memory = SharedNonces(buckets=1)
    child = os.fork()
    if child == 0:
        with memory._locked():
            memory._memory[0:16] = b"x" * 16
            while True:
                time.sleep(1)
    while memory._memory[0:16] != b"x" * 16:
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert all(memory.remember(f"{n}", until=10, now=1) for n in range(PLACES))
