"""A copy of a ledger's database, opened to be verified: by public keys alone, and without touching the copy."""

import base64
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from holdfast.adapters.database import open_database
from holdfast.adapters.ledger import SqlLedger
from holdfast.core.errors import InvalidInput, NotFound, Unavailable
from holdfast.core.ports import Clock
from holdfast.core.trust import TrustedKey, keyid_of
from holdfast.core.witness import NoteKey

_ED25519: Final = bytes.fromhex("302a300506032b6570032100")  # RFC 8410: what stands before the key in its DER
BESIDE: Final = ("", "-wal")  # what SQLite keeps beside a database, and would have to be read with it


@dataclass(frozen=True, slots=True)
class _Public:
    """A key of which only the public half is here: nothing can be signed with it."""

    public: TrustedKey

    def sign(self, message: bytes) -> NoReturn:
        """Refuse.

        Raises:
            Unavailable: Always.
        """
        raise Unavailable(f"a copy signs nothing ({len(message)} bytes)", place=f"key {self.public.keyid[:16]}")


@contextmanager
def open_copy(database: Path, keys: Sequence[NoteKey], clock: Clock) -> Iterator[SqlLedger]:
    """Open a copy of a copied SQLite database, so that evidence stays as it was found.

    Args:
        database: The file, with its write-ahead log beside it if there is one.
        keys: The keys of the ledger; all of one name, which is the ledger's origin.
        clock: For the keys' windows, which nothing here looks at.

    Raises:
        InvalidInput: No key is given.
        NotFound: There is no such file.
        Unavailable: It cannot be read.
        LedgerBroken: It is no ledger, or damaged.
    """
    if not keys:  # empty means no
        raise InvalidInput("no key of the ledger is given", expected="at least one")
    if not database.is_file():
        raise NotFound("there is no such database", place=str(database), remedy="Name the copied ledger.db.")
    trusted = [_trusted(key, clock) for key in keys]
    with tempfile.TemporaryDirectory(prefix="holdfast-copy-") as folder:
        target = Path(folder) / "ledger.db"
        try:
            for suffix in BESIDE:
                source = database.with_name(database.name + suffix)
                if source.is_file():
                    shutil.copyfile(source, target.with_name(target.name + suffix))
        except OSError as error:
            raise Unavailable(f"the copy cannot be read: {error.strerror}", place=str(database)) from error
        ledger = SqlLedger(
            open_database(target), clock=clock, signer=_Public(trusted[0]), origin=keys[0].name, former=trusted[1:]
        )
        with closing(ledger):
            yield ledger


def _trusted(key: NoteKey, clock: Clock) -> TrustedKey:
    der = _ED25519 + key.public
    now = clock.now()
    return TrustedKey(
        keyid=keyid_of(der),
        algorithm="ed25519",
        public=base64.b64encode(der).decode(),
        role="ledger",
        not_before=now,
        not_after=now,
        owner=key.name,
    )
