"""What a workspace says of itself, and the names of its files."""

from collections.abc import Mapping, Sequence
from typing import Final
from urllib.parse import parse_qs, urlsplit

import msgspec

from holdfast.adapters.published import read_bounded
from holdfast.core.errors import InvalidInput, NotFound, NotVerified
from holdfast.core.exposure import is_local
from holdfast.lifecycle.home import Home

CARD_FILE: Final = "workspace.json"
TRUST_FILE: Final = "trust.dsse.json"
ROOT_FILE: Final = "root.json"  # the root keys alone: what a gateway pins
LINKS_FILE: Final = "roots.json"  # the versions of the trust that changed the root: how an old pin leads to a new one
CREDENTIAL_FILE: Final = "credential.key"
LEDGER_FILE: Final = "ledger.db"
MAX_CARD: Final = 64 * 1024  # bytes of the workspace's card and of the pinned root
MAX_URL: Final = 1000  # characters of a database's URL
STORAGE: Final = "storage"  # data keys
OFFLINE: Final = "offline"  # what the root keys have signed, besides the trust document
SEALED: Final = "sealed"  # what lies under them


class Card(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a workspace says of itself, in clear: nothing here is secret, and nothing here is trusted."""

    name: str  # also the origin of the ledger's checkpoints
    owner: str
    blobs: str = ""  # the object store that holds the blobs; they lie in the workspace's folder if left out
    database: str = ""  # URL of the ledger's database, without a password; empty: a file of the workspace


def check_database(url: str | None) -> str:
    """Return a database's URL if it may stand in a command line and in the workspace's card; "" where there is none.

    A password comes from where libpq looks for it: PGPASSFILE, ~/.pgpass, a service file or PGPASSWORD.

    Raises:
        InvalidInput: It is of another engine, holds a password, which every user of the machine could read, or reaches
            another machine without verifying who answers there.
    """
    if url is None:
        return ""
    remedy = "Put the password into a file of your own that PGPASSFILE names (libpq's format)."
    if len(url) > MAX_URL or not url.isprintable() or not url.startswith("postgresql+psycopg://"):
        raise InvalidInput("the database's URL is not usable", expected="postgresql+psycopg://USER@HOST:PORT/NAME")
    parts = urlsplit(url)
    if parts.password is not None or "password" in parts.query:
        raise InvalidInput("the database's URL holds a password", expected="a URL without one", remedy=remedy)
    options = parse_qs(parts.query)
    if options.get("sslmode") != ["verify-full"] and not _on_this_machine(parts.hostname, options):
        raise InvalidInput(
            "a database on another machine would be asked without verifying who answers",
            expected="sslmode=verify-full, or a host or socket of this machine",
            remedy="Add ?sslmode=verify-full&sslrootcert=FILE to the URL; FILE holds the authority of its certificate.",
        )
    return url


def _on_this_machine(host: str | None, options: Mapping[str, Sequence[str]]) -> bool:
    """Say whether a URL reaches this machine only; one that names no host reaches what libpq's surroundings say."""
    named = [host or "", *options.get("host", ()), *options.get("hostaddr", ())]
    hosts = [each for text in named for each in text.split(",") if each]
    return bool(hosts) and all(each.startswith("/") or is_local(each) for each in hosts)


def read_card(home: Home) -> Card:
    """Return the card of the workspace in a project's folder.

    Raises:
        NotFound: There is none.
        NotVerified: It cannot be read.
        InvalidInput: It names a database that may not be asked; see `check_database`.
    """
    try:
        card = msgspec.json.decode(
            read_bounded(home.workspace / CARD_FILE, MAX_CARD, "the workspace's card"), type=Card
        )
    except NotFound as error:
        remedy = "Change to the project's folder, or make a workspace with `holdfast init`."
        raise NotFound("there is no workspace here", place=str(home.root), remedy=remedy) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        place = str(home.workspace / CARD_FILE)
        raise NotVerified(f"the workspace's card cannot be read: {error}", place=place) from error
    check_database(card.database or None)
    return card
