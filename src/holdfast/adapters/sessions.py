"""Sessions in the database (port `Sessions`): an operational table, shared by all replicas of a control plane."""

from datetime import UTC, datetime

from sqlalchemy import Engine, delete, func, insert, select, update

from holdfast.adapters.database import reading, sessions, writing
from holdfast.core.identity import Session


class SqlSessions:
    """Sessions by id; only hashes of their secrets are stored."""

    def __init__(self, engine: Engine) -> None:
        """Use a database whose schema is current."""
        self._engine = engine

    def open(self, session: Session, now: datetime) -> None:
        """Keep a new session, and forget those that have expired.

        Raises:
            Unavailable: The database is busy, full or gone.
        """
        row = {"id": session.id, "name": session.name, "how": session.how, "hash": session.hash}
        with writing(self._engine) as connection:
            connection.execute(delete(sessions).where(sessions.c.expires <= _text(now)))
            connection.execute(insert(sessions), row | {"expires": _text(session.expires)})

    def get(self, session: str, now: datetime) -> Session | None:
        """Return a session that is neither closed nor expired."""
        with reading(self._engine) as connection:
            row = connection.execute(select(sessions).where(sessions.c.id == session)).first()
        if row is None or row.expires <= _text(now):
            return None
        expires = datetime.fromisoformat(row.expires)
        return Session(id=row.id, name=row.name, how=row.how, hash=row.hash, expires=expires)

    def renew(self, session: str, old: str, new: str) -> bool:
        """Put a new hash in the place of the old one; say whether the old one was there."""
        with writing(self._engine) as connection:
            there = (sessions.c.id == session) & (sessions.c.hash == old)
            return connection.execute(update(sessions).where(there).values(hash=new)).rowcount == 1

    def close(self, session: str) -> bool:
        """End a session; say whether there was one."""
        with writing(self._engine) as connection:
            return connection.execute(delete(sessions).where(sessions.c.id == session)).rowcount == 1

    def close_all(self, name: str) -> int:
        """End every session of an account; return how many there were."""
        with writing(self._engine) as connection:
            return connection.execute(delete(sessions).where(sessions.c.name == name)).rowcount

    def count(self, name: str, now: datetime) -> int:
        """Return how many sessions of an account go on."""
        goes_on = (sessions.c.name == name) & (sessions.c.expires > _text(now))
        with reading(self._engine) as connection:
            return int(connection.execute(select(func.count()).select_from(sessions).where(goes_on)).scalar_one())


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
