"""What a workspace says of itself, and the names of its files."""

from typing import Final
from urllib.parse import urlsplit

import msgspec

from holdfast.adapters.published import read_bounded
from holdfast.core.errors import InvalidInput, NotFound, NotVerified
from holdfast.lifecycle.plant import Home

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
        InvalidInput: It is of another engine, or holds a password, which every user of the machine could read.
    """
    if url is None:
        return ""
    remedy = "Put the password into a file of your own that PGPASSFILE names (libpq's format)."
    if len(url) > MAX_URL or not url.isprintable() or not url.startswith("postgresql+psycopg://"):
        raise InvalidInput("the database's URL is not usable", expected="postgresql+psycopg://USER@HOST:PORT/NAME")
    parts = urlsplit(url)
    if parts.password is not None or "password" in parts.query:
        raise InvalidInput("the database's URL holds a password", expected="a URL without one", remedy=remedy)
    return url


def read_card(home: Home) -> Card:
    """Return the card of the workspace in a project's folder.

    Raises:
        NotFound: There is none.
        NotVerified: It cannot be read.
    """
    try:
        return msgspec.json.decode(
            read_bounded(home.workspace / CARD_FILE, MAX_CARD, "the workspace's card"), type=Card
        )
    except NotFound as error:
        remedy = "Change to the project's folder, or make a workspace with `holdfast init`."
        raise NotFound("there is no workspace here", place=str(home.root), remedy=remedy) from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        place = str(home.workspace / CARD_FILE)
        raise NotVerified(f"the workspace's card cannot be read: {error}", place=place) from error
