"""Identity: the first administrator, accounts and their groups, API keys; all of it entries of the stream `identity`.

Every change names the head of the stream it was decided on, so that of two who change the same thing one is told.
"""

import hmac
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, get_args

from holdfast.core.access import Sort
from holdfast.core.actions import NAMES
from holdfast.core.errors import Conflict, InvalidInput, NotFound, Refused
from holdfast.core.identity import ADMINISTRATORS, STREAM, Account, Directory, LinkSort, check_account, fold
from holdfast.core.ledger import Draft, Heads
from holdfast.core.spiffe import check_id
from holdfast.lifecycle.access_compiled import tell_gateways
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.serve.credentials import PREFIX, hash_api_key

SECRET_BYTES: Final = 32  # of entropy in a key or token of ours: guessing is hopeless, a fast keyed hash may store it
OFFER_LASTS: Final = timedelta(hours=1)
OFFER_PREFIX: Final = "hfb_"
MAX_DAYS: Final = 366  # of an API key: one that never expires is never looked at again
MAX_SECRET: Final = 128  # characters of a key or token of ours; they have 46


def directory(plant: Plant) -> Directory:
    """Return who is known now.

    Raises:
        NotVerified: An entry cannot be read.
    """
    found: Directory = plant.memory.folded(plant.ledger, {STREAM: fold})[STREAM]
    return found


def seen(plant: Plant) -> Heads:
    """Return the head of the stream, to be taken before anything is decided on it."""
    return plant.ledger.heads([STREAM])


def change(
    plant: Plant, expect: Heads, kind: str, body: dict[str, Any], *, nonce: str | None = None, actor: str = ""
) -> None:
    """Append one entry to the stream as it was `seen`.

    Raises:
        Conflict: Somebody else changed something about identity meanwhile.
        Refused: The nonce was used before.
    """
    draft = Draft(kind=kind, actor=actor or plant.actor, stream=STREAM, body=body)
    plant.ledger.append([draft], expect=expect, consume_nonce=nonce)


def new_secret(plant: Plant, prefix: str = PREFIX) -> tuple[str, str]:
    """Return a new secret and its keyed hash; only the hash may be stored."""
    import base64

    secret = prefix + base64.urlsafe_b64encode(plant.entropy.token(SECRET_BYTES)).rstrip(b"=").decode()
    return secret, hash_api_key(plant.credential_key(), secret)


def bootstrap(plant: Plant) -> Reply:
    """Print the one-time token with which the first administrator makes an account; it is shown once.

    A later call replaces an unused earlier one.

    Raises:
        Refused: There is an administrator already.
    """
    expect = seen(plant)
    _refuse_administered(directory(plant))
    token, hashed = new_secret(plant, OFFER_PREFIX)
    expires = plant.clock.now() + OFFER_LASTS
    change(plant, expect, "identity.bootstrap-offered", {"hash": hashed, "expires": expires.isoformat()})
    table = Table(
        title="One-time token (shown once)",
        columns=("token", "expires"),
        rows=((token, f"{expires:%Y-%m-%d %H:%M} UTC"),),
    )
    says = "Use it within the hour: `holdfast access claim NAME --token-file FILE`. It works once."
    return Reply(says=says, document={"token": token, "expires": expires.isoformat()}, tables=(table,))


def claim(plant: Plant, *, name: str, token_file: Path) -> Reply:
    """Make the first administrator's account with the one-time token in a file.

    Raises:
        Refused: The token is wrong, used or expired, or there is an administrator already.
        InvalidInput: The name cannot be one.
    """
    text = read_given(token_file, limit=MAX_SECRET + 1, what="the token").decode("ascii", "replace").strip()
    return claim_with(plant, name=name, token=text)


def claim_with(plant: Plant, *, name: str, token: str) -> Reply:
    """Make the first administrator's account with the one-time token.

    Raises:
        Refused: The token is wrong, used or expired, or there is an administrator already.
        InvalidInput: The name cannot be one.
    """
    expect, known = seen(plant), directory(plant)
    _refuse_administered(known)
    check_account(name, ())
    hashed = hash_api_key(plant.credential_key(), token[: MAX_SECRET + 1].encode("ascii", "replace").decode())
    offer = known.offer
    right = offer is not None and hmac.compare_digest(offer.hash, hashed) and plant.clock.now() < offer.expires
    if not right:  # one message for all: what is wrong with it helps only whoever guesses
        remedy = "Make one with `holdfast access bootstrap`."
        raise Refused("the one-time token is not valid", place="bootstrap", remedy=remedy)
    account = {"name": name, "sort": "user", "groups": [ADMINISTRATORS]}
    drafts = [
        Draft(kind="identity.bootstrap-claimed", actor=name, stream=STREAM, body={"name": name}),
        Draft(kind="identity.added", actor=name, stream=STREAM, body=account),
    ]
    plant.ledger.append(drafts, expect=expect, consume_nonce=f"bootstrap:{hashed}")
    return issue(plant, name=name)


def _refuse_administered(known: Directory) -> None:
    if known.administrators:
        remedy = "Ask an administrator for an account: " + ", ".join(known.administrators[:5])
        raise Refused("there is an administrator already", place="bootstrap", remedy=remedy)


def add(plant: Plant, *, name: str, sort: str = "user", groups: str = "") -> Reply:
    """Add an account.

    Raises:
        InvalidInput: Name, sort or groups cannot be such.
        Conflict: There is an account of this name.
    """
    expect, wanted = seen(plant), check_account(name, _words(groups))
    if sort not in get_args(Sort):
        raise InvalidInput(f"an account of sort {sort[:80]!r}", expected=", ".join(get_args(Sort)))
    if name in directory(plant).accounts:
        raise Conflict(f"there is an account {name} already", place="identity")
    change(plant, expect, "identity.added", {"name": name, "sort": sort, "groups": list(wanted)})
    says = f"{name} is a {sort} in {', '.join(wanted) or 'no group'}."
    return Reply(says=says, document={"name": name, "groups": wanted})


def regroup(plant: Plant, *, name: str, groups: str) -> Reply:
    """Say which groups an account is in, instead of those it was in.

    Raises:
        NotFound: There is no such account.
        Refused: It would leave nobody who administers, or it is the account of who asks.
    """
    if plant.principal is not None and plant.principal.name == name:
        raise Refused("nobody gives groups to oneself", place=f"account {name}", remedy="Ask another administrator.")
    expect, account = seen(plant), _account(plant, name)
    wanted = check_account(name, _words(groups))
    _keep_administered(plant, account, stays=ADMINISTRATORS in wanted)
    change(plant, expect, "identity.regrouped", {"name": name, "groups": list(wanted)})
    says = f"{name} is in {', '.join(wanted) or 'no group'}.{tell_gateways(plant)}"
    return Reply(says=says, document={"name": name, "groups": wanted})


def disable(plant: Plant, *, name: str) -> Reply:
    """End an account's access at once: its tokens, keys and sessions stop working.

    Raises:
        NotFound: There is no such account.
        Refused: It would leave nobody who administers.
    """
    expect = seen(plant)
    _keep_administered(plant, _account(plant, name), stays=False)
    change(plant, expect, "identity.disabled", {"name": name})
    plant.sessions.close_all(name)
    says = f"{name} may not sign on any more.{tell_gateways(plant)}"
    return Reply(says=says, document={"name": name, "enabled": False})


def enable(plant: Plant, *, name: str) -> Reply:
    """Let a disabled account sign on again; its earlier sessions stay closed.

    Raises:
        NotFound: There is no such account.
    """
    expect = seen(plant)
    _account(plant, name)
    plant.sessions.close_all(name)  # again: whoever disabled it may have been interrupted before
    change(plant, expect, "identity.enabled", {"name": name})
    return Reply(says=f"{name} may sign on.{tell_gateways(plant)}", document={"name": name, "enabled": True})


def link(plant: Plant, *, name: str, spiffe: str) -> Reply:
    """Link an account to a SPIFFE id, so that a certificate can prove it.

    Raises:
        NotFound: There is no such account.
        InvalidInput: It is no SPIFFE id.
    """
    _account(plant, name)
    check_id(spiffe)
    link_to(plant, name, "spiffe", spiffe)
    return Reply(says=f"{spiffe} is {name}.{tell_gateways(plant)}", document={"name": name, "spiffe": spiffe})


def link_to(plant: Plant, name: str, sort: LinkSort, value: str) -> None:
    """Put a link on record; what another account is linked to stays that account's.

    Raises:
        Conflict: It is linked to another account.
    """
    expect = seen(plant)
    held = directory(plant).links.get((sort, value))
    if held not in {None, name}:
        raise Conflict("this is linked to another account", place=f"account {held}")
    change(plant, expect, "identity.linked", {"name": name, "sort": sort, "value": value})


def issue(plant: Plant, *, name: str, scope: str = "", days: int = 30) -> Reply:
    """Issue an API key for an account; it is shown once and stored as a keyed hash.

    Args:
        plant: The control plane.
        name: The account it stands for.
        scope: The only actions it may ask for, separated by commas; all that the account may, if empty.
        days: Days until it expires.

    Raises:
        NotFound: There is no such account.
        InvalidInput: A scope of no action, or a key that never expires.
    """
    expect = seen(plant)
    _account(plant, name)
    wanted = _words(scope)
    unknown = next((action for action in wanted if action not in NAMES), None)
    if unknown is not None:
        raise InvalidInput(f"{unknown[:80]!r} is no action", expected="actions as `holdfast access actions` lists them")
    if not 0 < days <= MAX_DAYS:
        raise InvalidInput(f"{days} days", expected=f"1 to {MAX_DAYS}")
    key, hashed = new_secret(plant)
    expires, number = (plant.clock.now() + timedelta(days=days)).isoformat(), plant.entropy.token(6).hex()
    body = {"id": number, "name": name, "hash": hashed, "scope": list(wanted) if wanted else None, "expires": expires}
    change(plant, expect, "identity.key-issued", body)
    table = Table(
        title="API key (shown once)",
        columns=("account", "id", "key", "expires"),
        rows=((name, number, key, expires[:10]),),
    )
    document = {"name": name, "id": number, "key": key, "expires": expires, "scope": body["scope"]}
    says = f"Keep the key now: only its keyed hash is stored.{tell_gateways(plant)}"
    return Reply(says=says, document=document, tables=(table,))


def revoke(plant: Plant, *, key: str) -> Reply:
    """Revoke an API key by its id; tokens made from it stop working too.

    Raises:
        NotFound: There is no such key.
    """
    expect = seen(plant)
    if all(each.id != key for each in directory(plant).keys.values()):
        raise NotFound(f"there is no API key {key[:80]!r}", remedy="List them with `holdfast access users`.")
    change(plant, expect, "identity.key-revoked", {"id": key})
    return Reply(says=f"API key {key} is revoked.{tell_gateways(plant)}", document={"id": key})


def users(plant: Plant) -> Reply:
    """List accounts, groups, keys and sessions; never a secret."""
    known, now = directory(plant), plant.clock.now()
    accounts, rows = [], []
    for account in known.accounts.values():
        keys = [key for key in known.keys.values() if key.name == account.name and now < key.expires]
        sessions = plant.sessions.count(account.name, now)
        listed = [{"id": key.id, "scope": key.scope, "expires": key.expires.isoformat()} for key in keys]
        about = {"name": account.name, "sort": account.sort, "groups": account.groups, "enabled": account.enabled}
        accounts.append(about | {"keys": listed, "sessions": sessions})
        groups, ids = ", ".join(account.groups) or "none", ", ".join(key.id for key in keys) or "none"
        rows.append((account.name, account.sort, groups, "yes" if account.enabled else "no", ids, str(sessions)))
    columns = ("account", "sort", "groups", "may sign on", "keys", "sessions")
    says = (
        f"{counted(len(accounts), 'account')}." if accounts else "Nobody yet: begin with `holdfast access bootstrap`."
    )
    table = Table(title="Accounts", columns=columns, rows=rows)
    return Reply(says=says, document={"accounts": accounts}, tables=(table,))


def _account(plant: Plant, name: str) -> Account:
    account = directory(plant).accounts.get(name)
    if account is None:
        raise NotFound(f"there is no account {name[:80]!r}", remedy="List them with `holdfast access users`.")
    return account


def _keep_administered(plant: Plant, account: Account, *, stays: bool) -> None:
    if not stays and directory(plant).administrators == (account.name,):
        remedy = "Make somebody else an administrator first."
        raise Refused(f"{account.name} is the only administrator", place="identity", remedy=remedy)


def _words(text: str) -> Sequence[str]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
