"""Providers: whose word about identity is taken, and their keys, fetched when needed and kept for an hour at most."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from holdfast.core.artifact import Digest
from holdfast.core.errors import InvalidInput, NotFound, NotVerified, Unavailable
from holdfast.core.identity import check_account
from holdfast.core.ledger import Draft, Entry
from holdfast.core.oidc import MAX_CONFIGURATION, Discovery, Provider, kid_of, parse_discovery, parse_provider
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply

STREAM: Final = "identity-providers"
ACCEPTED: Final = "identity.provider"
KEPT: Final = timedelta(hours=1)  # how long a fetched key set is believed without asking again
AGAIN: Final = timedelta(minutes=1)  # an unknown key id makes us ask again, but not more often than this
WELL_KNOWN: Final = "/.well-known/openid-configuration"
HTTP_OK: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What a provider said of itself, and its keys, and when."""

    discovery: Discovery
    keys: bytes
    at: datetime


def accept_provider(plant: Plant, *, file: Path) -> Reply:
    """Take a provider's word from now on, as a file describes it; a provider of the same name is replaced.

    Raises:
        InvalidInput: The description cannot be read, or maps to groups or accounts that cannot be.
    """
    text = read_given(file, limit=MAX_CONFIGURATION + 1, what="the provider's description")
    found = parse_provider(text)
    for ours in found.groups.values():
        check_account("somebody", ours)
    for workload in found.workload:
        check_account(workload.account, ())
    body = {"name": found.name, "issuer": found.issuer, "configuration": plant.blobs.put(text)}
    plant.ledger.append([Draft(kind=ACCEPTED, actor=plant.actor, stream=STREAM, body=body)])
    return Reply(says=f"{found.name} ({found.issuer}) may say who {found.sort} are.", document=body)


def provider(plant: Plant, name: str) -> Provider:
    """Return a provider by name; the only one there is, if none is named.

    Raises:
        NotFound: There is none, or several.
        NotVerified: Its description was changed.
    """
    found = plant.memory.folded(plant.ledger, {STREAM: _newest})[STREAM]
    if not name and len(found) == 1:
        name = next(iter(found))
    if name not in found:
        remedy = "Describe one with `holdfast access provider FILE`."
        raise NotFound(f"there is no provider {name[:80]!r}", expected=", ".join(found) or "one", remedy=remedy)
    digest = found[name]
    kept: Provider = plant.memory.kept(f"provider {name}", digest, lambda: parse_provider(plant.blobs.get(digest)))
    return kept


def _newest(entries: Sequence[Entry]) -> Mapping[str, Digest]:
    return {str(entry.body["name"]): Digest(entry.body["configuration"]) for entry in entries if entry.kind == ACCEPTED}


def known(plant: Plant, described: Provider, token: str = "") -> Known:
    """Return what a provider says of itself: as fetched within the hour, or anew where a token names an unknown key.

    Raises:
        Unavailable: It does not answer, or with something else.
        NotVerified: What it answers is another issuer's.
    """
    name, now = f"keys of {described.issuer}", plant.clock.now()
    held: Known | None = plant.memory.recall(name)
    if held is not None:
        age, kid = now - held.at, kid_of(token) if token else ""
        fresh = age < KEPT and (not kid or f'"{kid}"'.encode() in held.keys)
        if fresh or (age < AGAIN):
            return held
    discovery = parse_discovery(_fetch(plant, described.issuer.rstrip("/") + WELL_KNOWN), described)
    held = Known(discovery=discovery, keys=_fetch(plant, discovery.jwks_uri), at=now)
    plant.memory.hold(name, held)
    return held


def _fetch(plant: Plant, url: str) -> bytes:
    try:
        status, body = plant.web.get(url)
    except InvalidInput as error:  # the address is the provider's own, so the fault is too
        raise NotVerified(error.message, place="provider") from error
    if status != HTTP_OK:
        raise Unavailable(f"the provider answers {status}", place=url.partition("?")[0])
    return body
