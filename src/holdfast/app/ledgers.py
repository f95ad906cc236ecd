"""Where the ledger lies: opened, never begun again in silence, and moved from one database to another."""

from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.adapters.chosen_keys import ChosenKeys
from holdfast.adapters.clock import SystemClock
from holdfast.adapters.database import open_database
from holdfast.adapters.keys import open_keys
from holdfast.adapters.ledger import SqlLedger
from holdfast.adapters.moving import moving
from holdfast.adapters.published import replace_durably
from holdfast.app.card import CARD_FILE, LEDGER_FILE, Card, check_database, read_card
from holdfast.app.trusting import Trusting
from holdfast.app.unlocking import known_unlock, open_chosen, use_notes
from holdfast.config import read_settings
from holdfast.core.errors import Conflict, LedgerBroken, NotVerified
from holdfast.core.ledger import Draft, Entry
from holdfast.core.ports import Clock
from holdfast.core.trust import Trust
from holdfast.lifecycle.home import Home
from holdfast.lifecycle.reply import Progress, Reply, silent


def ledger_on(
    place: Path | str, keys: ChosenKeys, trusting: Callable[[], Trust], card: Card, clock: Clock
) -> SqlLedger:
    """Return a ledger on a database, whatever it holds by now."""
    return SqlLedger(
        open_database(place),
        clock=clock,
        signer=lambda: keys.signer("ledger"),
        origin=card.name,
        # Also keys that were revoked: what lies beside the ledger anchors nothing, it can only contradict.
        former=lambda: [key for key in trusting().keys if key.role == "ledger"],
    )


def open_ledger(home: Home, keys: ChosenKeys, trusting: Callable[[], Trust], card: Card, clock: Clock) -> SqlLedger:
    """Open the ledger, which `init` began: one that is gone or empty must not be begun again in silence."""
    path = home.workspace / LEDGER_FILE
    place = card.database or str(path)
    remedy = "Restore it from a copy that matches a checkpoint; without one, make a new workspace."
    if not card.database and not path.exists():
        raise LedgerBroken("the ledger is gone", place=place, remedy=remedy)
    if not card.database and path.stat().st_size == 0:
        raise LedgerBroken("the ledger is empty", place=place, remedy=remedy)
    ledger = ledger_on(card.database or path, keys, trusting, card, clock)
    try:
        _check_first(next(ledger.entries(0, 1), None), card, place, remedy)
    except BaseException:
        ledger.close()
        raise
    return ledger


def _check_first(first: Entry | None, card: Card, place: str, remedy: str) -> None:
    """Check that a ledger begins with this workspace."""
    if first is None:
        raise LedgerBroken("the ledger is empty", place=place, remedy=remedy)
    if first.body.get("workspace") != card.name:
        raise NotVerified("this is another workspace's ledger", place=place, expected=card.name)


def migrate(root: Path, *, tell: Callable[[Progress], None] = silent, to: str) -> Reply:
    """Move a workspace's ledger into another database, entry by entry, and check that it is the same.

    1. The old ledger is locked. 2. Everything is copied, along its hash chain, and compared. 3. The new one is audited,
    and its root must be the old one's. 4. The workspace's card names the new one. 5. The old one is closed for ever.

    Args:
        root: The project's folder; nothing else may be running there.
        tell: Takes what happens.
        to: The URL of an empty PostgreSQL database, or `sqlite` for a file of the workspace.

    Raises:
        Conflict: It lies there already, or there is another one.
        LedgerBroken: Its history does not fit its hashes, or the copy is not the same; the old one stays as it is.
    """
    home, clock = Home(root=root.resolve()), SystemClock()
    card = read_card(home)
    target = msgspec.structs.replace(card, database="" if to == "sqlite" else check_database(to))
    path = home.workspace / LEDGER_FILE
    if target == card:
        raise Conflict("the ledger lies there already", place=card.database or str(path))
    if not target.database and path.exists():
        raise Conflict("there is a ledger's file already", place=str(path), remedy="Move it away first.")
    trusting = Trusting(home, clock)
    unlock = known_unlock(read_settings(), card.name, use_notes(home.workspace), "unlock keys")
    folder = open_keys(home.workspace / "keys", unlock)
    keys = open_chosen(home, card, folder, clock)
    keys.trusting(trusting)
    old = open_ledger(home, keys, trusting, card, clock)
    new = ledger_on(target.database or path, keys, trusting, card, clock)
    try:
        root_before = old.root()
        with moving(old.engine, new.engine) as moved:  # 1. and 2.
            tell(Progress(stage="migrate", state="finished", words=f"{moved.entries} entries copied and compared"))
            new.verify()  # 3.
            if new.root() != root_before or new.checkpoints() != old.checkpoints():
                raise LedgerBroken("the copy has another root or other checkpoints", place=target.database or str(path))
            replace_durably(home.workspace / CARD_FILE, msgspec.json.encode(target))  # 4.
        body = {"from": card.database or "sqlite", "to": target.database or "sqlite", "entries": moved.entries}
        new.append([Draft(kind="ledger.moved", actor=card.owner, stream="trust", body=body)])
    finally:
        old.close()
        new.close()
    if not card.database:  # 5.
        for suffix in ("", "-wal", "-shm"):
            left = path.with_name(path.name + suffix)
            if left.exists():
                left.rename(left.with_name(f"moved-{left.name}"))
    return Reply(
        says=f"The ledger, {moved.entries} entries, now lies in {target.database or path}; nothing else was moved.",
        document={"entries": moved.entries, "checkpoints": moved.checkpoints, "root": root_before.hex()},
    )
