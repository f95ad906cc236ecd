"""Answers to requests with an idempotency key, in the database: carried out once, answered as often as asked.

Which key belongs to whom is the caller's business: it hands in a key that names the principal too. A request is held
while it is carried out, so that its twin is told to wait. Where its process died on the way, nobody knows how far it
came: its key is answered with that, never with a second attempt.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Engine, delete, insert, select, update

from holdfast.adapters.database import answers, writing
from holdfast.core.artifact import Digest
from holdfast.core.errors import Conflict
from holdfast.core.ports import Answered, Clock

REMEMBERED: Final = timedelta(hours=24)  # how long a key is known; nobody repeats a request on the next day
HELD: Final = timedelta(minutes=2)  # longer than any request may take; after that its process has died


class SqlAnswers:
    """The answers given (port `Answers`); safe for threads, and beside other processes."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        """Use a database whose schema is current."""
        self._engine, self._clock = engine, clock

    def begin(self, key: str, request: Digest) -> Answered | None:
        """Return what was answered to this request, or None where it is to be carried out now, by nobody else.

        Raises:
            Conflict: The key was used for another request, or the first one is still being carried out.
        """
        now = self._clock.now()
        with writing(self._engine) as connection:
            connection.execute(delete(answers).where(answers.c.expires <= _text(now)))
            row = connection.execute(select(answers).where(answers.c.key == key)).first()
            if row is None:
                connection.execute(
                    insert(answers),
                    {
                        "key": key,
                        "request": request,
                        "expires": _text(now + REMEMBERED),
                        "held_until": _text(now + HELD),
                        "status": 0,
                        "headers": "{}",
                        "body": b"",
                    },
                )
                return None
            if row.request != request:
                raise Conflict(
                    "this idempotency key was used for another request",
                    expected="the same method, path and content as the first time",
                    remedy="Use a new key for a new request.",
                )
            if row.status:
                return Answered(status=row.status, headers=json.loads(row.headers), body=row.body)
            if row.held_until > _text(now):
                raise Conflict(
                    "the first request with this idempotency key is still being carried out",
                    remedy="Ask again in a moment with the same key.",
                )
            raise Conflict(  # its process died: doing it again could do it twice
                "what came of the first request with this idempotency key is not known",
                remedy="Look at `holdfast log`; where it was not done, ask with a new key.",
            )

    def keep(self, key: str, answer: Answered) -> None:
        """Keep the answer for as long as the key is remembered."""
        with writing(self._engine) as connection:
            connection.execute(
                update(answers)
                .where(answers.c.key == key)
                .values(status=answer.status, headers=json.dumps(dict(answer.headers)), body=answer.body)
            )

    def forget(self, key: str) -> None:
        """Let the request be made again: it was not carried out."""
        with writing(self._engine) as connection:
            connection.execute(delete(answers).where(answers.c.key == key, answers.c.status == 0))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
