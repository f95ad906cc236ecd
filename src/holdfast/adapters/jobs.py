"""Jobs in the database: asked for by the API, leased by workers, taken over when a worker has died.

A lease is a moment in the row. A worker that goes on renewing keeps its job; one that was killed stops renewing, and
the next worker takes the job when the moment has passed. On PostgreSQL workers step over rows that another one is just
taking (`FOR UPDATE SKIP LOCKED`); on SQLite one transaction writes at a time.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, Row, delete, func, insert, or_, select, update

from holdfast.adapters.database import jobs, reading, translated, writing
from holdfast.core.errors import Conflict, NotFound, QuotaExceeded, Unavailable
from holdfast.core.ports import Clock, JobState, Task

LEASE_S: Final = 15.0  # without a renewal; a worker renews three times as often
MAX_WAITING: Final = 1000  # jobs: a longer queue is a caller that went wrong
MAX_ATTEMPTS: Final = 3  # by workers that died on it: a job that kills its workers must end
KEPT: Final = timedelta(days=30)  # how long an ended job can be asked about; what it did is in the ledger
MAX_RESULT: Final = 4 << 20  # characters of a result; a longer one is in the ledger all the same
_ENDED: Final = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class SqlJobs:
    """The queue of jobs (port `Jobs`); safe for threads, and beside other processes."""

    def __init__(
        self, engine: Engine, clock: Clock, *, lease_s: float = LEASE_S, most: Callable[[], int] = lambda: 0
    ) -> None:
        """Use a database whose schema is current; `most` says how many jobs may wait or run, 0 for no quota."""
        self._engine, self._clock, self._lease = engine, clock, timedelta(seconds=lease_s)
        self._most = most

    def ask(self, command: str, options: Mapping[str, Any], asked_by: str) -> Task:
        """Put a command into the queue.

        Raises:
            QuotaExceeded: The workspace may have no more that wait or run.
            Unavailable: Too many wait already.
        """
        now, most = self._clock.now(), self._most()
        row = {
            "id": secrets.token_hex(12),
            "command": command,
            "options": json.dumps(dict(options)),
            "asked_by": asked_by,
            "asked_at": _text(now),
            "state": JobState.WAITING,
            "worker": "",
            "leased_until": "",
            "attempts": 0,
            "result": "{}",
        }
        with writing(self._engine) as connection:
            waiting = select(func.count()).select_from(jobs).where(jobs.c.state == JobState.WAITING)
            if (connection.execute(waiting).scalar() or 0) >= MAX_WAITING:
                raise Unavailable(f"{MAX_WAITING} jobs wait already", remedy="Wait for them, or start more workers.")
            busy = select(func.count()).select_from(jobs).where(jobs.c.state.not_in(_ENDED))
            if most and (connection.execute(busy).scalar() or 0) >= most:
                raise QuotaExceeded(f"the workspace may have {most} jobs that wait or run", place="jobs")
            old = jobs.c.asked_at < _text(now - KEPT)
            connection.execute(delete(jobs).where(old, jobs.c.state.in_(_ENDED)))
            connection.execute(insert(jobs), row)
            return self._found(connection, str(row["id"]))

    def find(self, job: str) -> Task:
        """Return a job.

        Raises:
            NotFound: There is no such job.
        """
        with reading(self._engine) as connection:
            return self._found(connection, job)

    def newest(self, count: int, *, before: str | None = None) -> tuple[Task, ...]:
        """Return the newest jobs, newest last; of those asked for before a job, if it is named.

        Raises:
            NotFound: There is no such job.
        """
        query = select(jobs).order_by(jobs.c.asked_at.desc(), jobs.c.id.desc()).limit(count)
        with reading(self._engine) as connection:
            if before is not None:
                asked_at = _text(self._found(connection, before).asked_at)
                earlier = (jobs.c.asked_at == asked_at) & (jobs.c.id < before)
                query = query.where(or_(jobs.c.asked_at < asked_at, earlier))
            rows = connection.execute(query).all()
        return tuple(_task(row) for row in reversed(rows))

    def lease(self, worker: str) -> Task | None:
        """Take the oldest job that waits, or whose worker has not been heard of, and hold it for this worker."""
        now = self._clock.now()
        late = (jobs.c.state == JobState.RUNNING) & (jobs.c.leased_until <= _text(now))
        free = or_(jobs.c.state == JobState.WAITING, late)
        query = select(jobs).where(free).order_by(jobs.c.asked_at, jobs.c.id).limit(1)
        if self._engine.dialect.name != "postgresql":
            with reading(self._engine) as connection:  # most looks find nothing, and need not stop anybody who writes
                if connection.execute(query).first() is None:
                    return None
            with writing(self._engine) as connection:
                return self._take(connection, connection.execute(query).first(), worker, now)
        with translated(), self._engine.connect() as connection, connection.begin():
            return self._take(
                connection, connection.execute(query.with_for_update(skip_locked=True)).first(), worker, now
            )

    def _take(self, connection: Connection, row: Row[Any] | None, worker: str, now: datetime) -> Task | None:
        if row is None:
            return None
        mine = update(jobs).where(jobs.c.id == row.id)
        if row.attempts >= MAX_ATTEMPTS:
            words = f"its workers died {row.attempts} times before it had ended"
            connection.execute(mine.values(state=JobState.FAILED, worker="", result=json.dumps({"error": words})))
            return None
        ends = _text(now + self._lease)
        connection.execute(
            mine.values(state=JobState.RUNNING, worker=worker, leased_until=ends, attempts=row.attempts + 1)
        )
        return self._found(connection, row.id)

    def renew(self, job: str, worker: str) -> bool:
        """Hold a job for longer; False where it was cancelled, or another worker has it."""
        return self._change(job, worker, leased_until=_text(self._clock.now() + self._lease))

    def finish(self, job: str, worker: str, state: JobState, result: Mapping[str, Any]) -> bool:
        """Say what came of a job; False where it is no longer this worker's."""
        text = json.dumps(dict(result), default=str)
        if len(text) > MAX_RESULT:
            text = json.dumps({"says": "The result is too long to be kept here; the ledger holds what was done."})
        return self._change(job, worker, state=state, worker="", result=text)

    def cancel(self, job: str) -> Task:
        """Cancel a job that has not ended.

        Raises:
            NotFound: There is no such job.
            Conflict: It has ended.
        """
        with writing(self._engine) as connection:
            found = self._found(connection, job)
            if found.state in _ENDED:
                raise Conflict(f"the job is {found.state} already", place=job, remedy="Nothing needs to be done.")
            connection.execute(update(jobs).where(jobs.c.id == job).values(state=JobState.CANCELLED))
            return self._found(connection, job)

    def _change(self, job: str, holder: str, **values: Any) -> bool:
        mine = (jobs.c.id == job) & (jobs.c.worker == holder) & (jobs.c.state == JobState.RUNNING)
        with writing(self._engine) as connection:
            return connection.execute(update(jobs).where(mine).values(**values)).rowcount == 1

    def _found(self, connection: Connection, job: str) -> Task:
        row = connection.execute(select(jobs).where(jobs.c.id == job)).first()
        if row is None:
            raise NotFound(f"there is no job {job[:80]!r}", remedy="List them with `holdfast jobs`.")
        return _task(row)


def _task(row: Row[Any]) -> Task:
    return Task(
        id=row.id,
        command=row.command,
        options=json.loads(row.options),
        asked_by=row.asked_by,
        asked_at=datetime.fromisoformat(row.asked_at),
        state=JobState(row.state),
        worker=row.worker,
        attempts=row.attempts,
        result=json.loads(row.result),
    )


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
