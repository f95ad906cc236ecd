"""What an attacker with the database file would do, for drills and the demo: never part of an honest way."""

from pathlib import Path

from sqlalchemy import select, update

from holdfast.adapters.database import entries, open_database, writing
from holdfast.core.errors import NotFound


def unsafe_edit_entry(database: Path, position: int, old: bytes, new: bytes) -> None:
    """Change bytes inside one stored entry and leave its hash as it was.

    Raises:
        NotFound: There is no such entry, or the bytes are not in it.
    """
    engine = open_database(database)
    try:
        with writing(engine) as connection:
            document = connection.execute(select(entries.c.document).where(entries.c.position == position)).scalar()
            if document is None or old not in bytes(document):
                raise NotFound("there is nothing to edit", place=f"entry {position}")
            changed = {"document": bytes(document).replace(old, new, 1)}
            connection.execute(update(entries).where(entries.c.position == position), changed)
    finally:
        engine.dispose()
