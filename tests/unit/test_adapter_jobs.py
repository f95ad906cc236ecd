"""Jobs and answers in the database: each job has one worker, each request one answer."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from holdfast.adapters.answers import HELD, REMEMBERED, SqlAnswers
from holdfast.adapters.database import open_database
from holdfast.adapters.jobs import LEASE_S, MAX_ATTEMPTS, MAX_WAITING, SqlJobs
from holdfast.core.artifact import digest_bytes
from holdfast.core.errors import Conflict, NotFound, Unavailable
from holdfast.core.ports import Answered, JobState
from holdfast.testing import SettableClock

FIRST, OTHER = digest_bytes(b"first"), digest_bytes(b"other")
GIVEN = Answered(status=200, headers={"content-type": "application/json"}, body=b"{}")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """A new database."""
    engine = open_database(tmp_path / "ledger.db")
    yield engine
    engine.dispose()


def test_a_job_has_one_worker_until_it_has_ended(engine: Engine) -> None:
    """Oldest first; what one worker has, no other gets; the result is there for who asked."""
    clock = SettableClock()
    jobs = SqlJobs(engine, clock)
    first = jobs.ask("run", {"until": "scan"}, "ada")
    clock.advance(timedelta(seconds=1))
    second = jobs.ask("run", {}, "bob")
    leased = jobs.lease("one")
    assert leased is not None
    assert (leased.id, leased.options, leased.state) == (first.id, {"until": "scan"}, JobState.RUNNING)
    other = jobs.lease("two")
    assert other is not None
    assert other.id == second.id
    assert jobs.lease("three") is None
    assert jobs.finish(first.id, "one", JobState.DONE, {"says": "done"})
    assert jobs.find(first.id).result == {"says": "done"}
    assert [task.id for task in jobs.newest(10)] == [first.id, second.id]
    with pytest.raises(NotFound):
        jobs.find("nobody")


def test_jobs_are_read_backwards_part_by_part(engine: Engine) -> None:
    """Newest last, before a job that is named; also where several were asked for in the same microsecond."""
    clock = SettableClock()
    jobs = SqlJobs(engine, clock)
    asked = []
    for number in range(7):
        asked.append(jobs.ask("run", {}, "ada").id)
        clock.advance(timedelta(seconds=number % 3 and 1))
    everything = [task.id for task in jobs.newest(10)]
    assert set(everything) == set(asked)
    found: list[str] = []
    while part := jobs.newest(2, before=found[0] if found else None):
        found = [task.id for task in part] + found
    assert found == everything
    with pytest.raises(NotFound):
        jobs.newest(2, before="nobody")


def test_a_dead_workers_job_is_taken_over_and_its_own_news_comes_too_late(engine: Engine) -> None:
    """After the lease the next worker has it; the first can neither renew nor finish it."""
    clock = SettableClock()
    jobs = SqlJobs(engine, clock)
    task = jobs.ask("run", {}, "ada")
    assert jobs.lease("one")
    clock.advance(timedelta(seconds=LEASE_S - 1))
    assert jobs.renew(task.id, "one")
    clock.advance(timedelta(seconds=LEASE_S - 1))
    assert jobs.lease("two") is None
    clock.advance(timedelta(seconds=2))
    taken = jobs.lease("two")
    assert taken is not None
    assert taken.attempts == 2
    assert not jobs.renew(task.id, "one")
    assert not jobs.finish(task.id, "one", JobState.DONE, {})
    assert jobs.finish(task.id, "two", JobState.DONE, {})


def test_a_job_that_kills_its_workers_fails_in_the_end(engine: Engine) -> None:
    """Three workers died on it: nobody takes it again."""
    clock = SettableClock()
    jobs = SqlJobs(engine, clock)
    task = jobs.ask("run", {}, "ada")
    for number in range(MAX_ATTEMPTS):
        assert jobs.lease(str(number))
        clock.advance(timedelta(seconds=LEASE_S + 1))
    assert jobs.lease("last") is None
    assert jobs.find(task.id).state == JobState.FAILED


def test_a_cancelled_job_is_lost_to_its_worker(engine: Engine) -> None:
    """The next renewal tells the worker; what has ended cannot be cancelled."""
    jobs = SqlJobs(engine, SettableClock())
    task = jobs.ask("run", {}, "ada")
    assert jobs.lease("one")
    assert jobs.cancel(task.id).state == JobState.CANCELLED
    assert not jobs.renew(task.id, "one")
    assert not jobs.finish(task.id, "one", JobState.DONE, {})
    with pytest.raises(Conflict):
        jobs.cancel(task.id)
    assert jobs.lease("two") is None


def test_two_workers_at_once_never_get_the_same_job(engine: Engine) -> None:
    """Twenty jobs, four threads: each is carried out once."""
    jobs = SqlJobs(engine, SettableClock())
    for _ in range(20):
        jobs.ask("run", {}, "ada")
    taken: list[str] = []

    def work(name: str) -> None:
        while (task := jobs.lease(name)) is not None:
            taken.append(task.id)

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == len(set(taken)) == 20


def test_a_queue_that_is_full_says_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller that went wrong does not fill the disk."""
    monkeypatch.setattr("holdfast.adapters.jobs.MAX_WAITING", 2)
    assert MAX_WAITING > 2
    jobs = SqlJobs(engine, SettableClock())
    jobs.ask("run", {}, "ada")
    jobs.ask("run", {}, "ada")
    with pytest.raises(Unavailable):
        jobs.ask("run", {}, "ada")


def test_a_repeated_request_gets_the_first_answer(engine: Engine) -> None:
    """Held while it is carried out, answered the same for a day, another request under the same key refused."""
    clock = SettableClock()
    answers = SqlAnswers(engine, clock)
    assert answers.begin("key", FIRST) is None
    with pytest.raises(Conflict, match="still being carried out"):
        answers.begin("key", FIRST)
    answers.keep("key", GIVEN)
    assert answers.begin("key", FIRST) == GIVEN
    with pytest.raises(Conflict, match="another request"):
        answers.begin("key", OTHER)
    clock.advance(REMEMBERED)
    assert answers.begin("key", OTHER) is None


def test_a_request_whose_process_died_is_not_carried_out_again(engine: Engine) -> None:
    """Nobody knows how far it came: the key says so, and never does it twice."""
    clock = SettableClock()
    answers = SqlAnswers(engine, clock)
    assert answers.begin("key", FIRST) is None
    clock.advance(HELD)
    with pytest.raises(Conflict, match="not known"):
        answers.begin("key", FIRST)


def test_a_request_that_was_not_carried_out_may_be_made_again(engine: Engine) -> None:
    """A busy server lets the key go; an answer that was kept stays."""
    answers = SqlAnswers(engine, SettableClock())
    assert answers.begin("key", FIRST) is None
    answers.forget("key")
    assert answers.begin("key", FIRST) is None
    answers.keep("key", GIVEN)
    answers.forget("key")
    assert answers.begin("key", FIRST) == GIVEN
