"""Resolving: from a model's name to the digest that answers under it now, by a table whose signature is checked."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import InvalidInput, NotFound, Unavailable
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import ENVIRONMENT, ROUTED, table_of
from holdfast.lifecycle.reply import Reply

MAX_ALIAS: Final = 200  # characters
PLACES: Final = ("production", "canary")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """What an alias stands for, until its table's lease ends."""

    model: str
    release: Digest
    passport: Digest
    epoch: int
    expires: datetime
    files: int


def lookup(plant: Plant, alias: str) -> Resolved:
    """Return what `NAME`, `NAME@production` or `NAME@canary` stands for.

    1. The newest routing of the endpoint names a table. 2. The table's signature holds. 3. Its lease has not ended.
    4. The release's stored manifest has the digest that the table names.

    Raises:
        InvalidInput: The alias cannot be one.
        NotFound: Nothing answers under it.
        NotVerified: The table or the release was changed since it was signed.
        Unavailable: The table's lease has ended, so no gateway answers by it.
    """
    name, _, place = alias.partition("@")
    place = place or PLACES[0]
    if not name or len(alias) > MAX_ALIAS or not alias.isprintable() or place not in PLACES:
        raise InvalidInput(f"alias {alias[:80]!r}", expected="NAME, NAME@production or NAME@canary")
    entry = plant.last(f"endpoint/{ENVIRONMENT}/{name}", ROUTED)  # 1.
    table = table_of(plant, entry) if entry else None  # 2.
    model = next((each for each in table.models if each.name == name), None) if table else None
    release, passport = (model.baseline, model.passport) if model else ("", "")
    if model and place == PLACES[1]:
        release, passport = model.candidate or "", model.candidate_passport or ""
    if table is None or not release:
        raise NotFound(f"nothing answers as {alias!r}", remedy="Promote a release with `holdfast promote`.")
    if plant.clock.now() >= table.expires:  # 3.
        raise Unavailable("the lease of the route table has ended", remedy="Renew it with `holdfast watch`.")
    manifest = parse_manifest(plant.blobs.get(Digest(release)))  # 4.
    return Resolved(
        model=name,
        release=Digest(release),
        passport=Digest(passport),
        epoch=table.epoch,
        expires=table.expires,
        files=len(manifest.files),
    )


def resolve(plant: Plant, *, alias: str) -> Reply:
    """Tell which release answers under a name.

    Raises:
        HoldfastError: As `lookup` does.
    """
    found = lookup(plant, alias)
    document = {
        "alias": alias,
        "release": found.release,
        "passport": found.passport,
        "epoch": found.epoch,
        "expires": found.expires.isoformat(),
    }
    return Reply(says=f"{alias} is release {found.release}.", document=document)
