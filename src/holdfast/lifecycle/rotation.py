"""Rotation: new keys beside the old ones, an overlap in which both verify, and then the old ones end.

What a key signed inside its window goes on to verify for ever, as the ledger witnessed it. Gateways, watches and other
processes that run on take up the new trust by themselves, and sign and verify by it.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.errors import HoldfastError, InvalidInput, InvalidProject, NotFound
from holdfast.core.keystate import KeyState, due_keys, state_of
from holdfast.core.ledger import Draft
from holdfast.core.succession import successor
from holdfast.core.trust import ROLES, Trust, TrustedKey
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.routing import current_project, renew
from holdfast.lifecycle.trusting import change

ROTATED: Final = "key.rotated"
DUE: Final = "key.due"
REWRAPPED: Final = "keys.rewrapped"
OVERLAP: Final = "7d"
EVERY: Final = "all"
MAX_OVERLAP: Final = timedelta(days=90)  # longer, and one could as well not rotate
MAX_DAYS: Final = 3 * 366  # of a key; NIST SP 800-57 part 1, 5.3.6
_SPAN: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def rotate(
    plant: Plant,
    *,
    role: str | None = None,
    due: bool = False,
    overlap: str = OVERLAP,
    days: int = 365,
    proposal: Path | None = None,
) -> Reply:
    """Make new keys for a role, for `all`, or for those that are due; the old ones verify until the overlap is over.

    1. Make each new key where its role's keys are kept; nobody trusts it yet. 2. Have the root keys vouch for it beside
    the old one, whose window now ends with the overlap; on record first. 3. Sign a new route table with what signs now.

    Raises:
        NotFound: No active key of this role is held here.
        Refused: More root holders must sign; see `trusting.change`.
    """
    if (role is None) != due:
        raise InvalidInput("neither a role nor --due, or both", expected="a role, or --due for all that are due")
    if role not in {None, EVERY, *ROLES}:
        raise InvalidInput(f"there is no role {str(role)[:40]!r}", expected=", ".join((EVERY, *ROLES)))
    lasting, lives = span(overlap), _lives(days)
    plant.unlock()
    with plant.ledger.lease("trust"):
        trust, now = plant.trust, plant.clock.now()
        ending = _ending(plant, trust, role, now)
        if not ending:
            if role is None:
                return Reply(says="No key that is held here is due.", document={"rotated": []})
            raise NotFound(f"no active key of role {role} is held here", expected="`holdfast keys` lists them")
        made = [(old, make_beside(plant, old, now, now + lives)) for old in ending]  # 1.
        newer = successor(trust, keys=_overlapping(trust, made, now + lasting))
        drafts = [
            Draft(kind=ROTATED, actor="root", stream="trust", body=_body(old, new, now + lasting)) for old, new in made
        ]
        words = ", ".join(f"{new.role} ({new.keyid[:16]})" for _, new in made)
        reply = change(plant, newer, says=f"New keys: {words}.", because=drafts, proposal=proposal)  # 2.
    said = "" if proposal is not None else renewed_words(plant)  # 3.
    rotated = [_body(old, new, now + lasting) for old, new in made]
    return Reply(says=reply.says + said, document={**reply.document, "rotated": rotated}, tables=reply.tables)


def _ending(plant: Plant, trust: Trust, role: str | None, now: datetime) -> list[TrustedKey]:
    """Return the active keys that get a successor: of the role named, or all that are due; only those kept here."""
    held = {key.keyid for key in (*plant.keys.held(), *plant.gateway_keys().held())}
    wanted = [key for key, _ in due_keys(trust, now)] if role is None else trust.keys
    return [
        key
        for key in wanted
        if role in {None, EVERY, key.role} and key.keyid in held and state_of(key, trust, now) is KeyState.ACTIVE
    ]


def make_beside(plant: Plant, old: TrustedKey, begins: datetime, ends: datetime) -> TrustedKey:
    """Make the successor of a key where it belongs: a gateway's identity is in its own folder, which it alone opens."""
    store = plant.gateway_keys() if old.role == "gateway" else plant.keys
    return store.make(old.role, old.owner, begins, ends)


def _overlapping(trust: Trust, made: Sequence[tuple[TrustedKey, TrustedKey]], ends: datetime) -> list[TrustedKey]:
    """Return all keys with the new ones: every older key of the same role and owner ends with the overlap at latest."""
    followed = {(new.role, new.owner) for _, new in made}
    kept = [
        msgspec.structs.replace(key, not_after=min(key.not_after, max(ends, key.not_before)))
        if (key.role, key.owner) in followed
        else key
        for key in trust.keys
    ]
    return [*kept, *(new for _, new in made)]


def _body(old: TrustedKey, new: TrustedKey, ends: datetime) -> dict[str, Any]:
    until = min(old.not_after, ends).isoformat()
    return {"role": old.role, "owner": old.owner, "old": old.keyid, "new": new.keyid, "old_until": until}


def renewed_words(plant: Plant) -> str:
    """Sign a new route table by what is trusted now, and say so; without anything in production say nothing."""
    try:
        project = current_project(plant)
    except InvalidProject:
        return ""
    try:
        with plant.ledger.lease("route"):
            table = renew(plant, project)
    except HoldfastError as error:
        return f" The route table could not be renewed: {error.message}."
    return f" The route table is signed anew, until {table.expires:%Y-%m-%d %H:%M}." if table is not None else ""


def keys_due(plant: Plant) -> Reply:
    """List the keys that should be rotated by now, and why; their owners rotate those that are not held here."""
    now, held = plant.clock.now(), {key.keyid for key in (*plant.keys.held(), *plant.gateway_keys().held())}
    found: list[dict[str, Any]] = [
        {"role": key.role, "keyid": key.keyid, "owner": key.owner, "because": why, "here": key.keyid in held}
        for key, why in due_keys(plant.trust, now)
    ]
    rows = [
        (item["role"], item["keyid"][:16], item["owner"], item["because"], "here" if item["here"] else "elsewhere")
        for item in found
    ]
    says = (
        f"{counted(len(found), 'key is', 'keys are')} due: `holdfast key rotate --due`." if found else "No key is due."
    )
    table = Table(title="Keys that are due", columns=("role", "key id", "owner", "because", "held"), rows=rows)
    return Reply(says=says, document={"due": found}, tables=(table,) if rows else ())


def warn_due(plant: Plant) -> list[str]:
    """Put on record which keys are due, each once; return what was said."""
    said = {str(entry.body["keyid"]) for entry in plant.ledger.stream("keys") if entry.kind == DUE}
    words = []
    for key, why in due_keys(plant.trust, plant.clock.now()):
        if key.keyid not in said:
            body = {"keyid": key.keyid, "role": key.role, "owner": key.owner, "because": why}
            plant.ledger.append([Draft(kind=DUE, actor="watch", stream="keys", body=body)])
            words.append(f"the {key.role} key {key.keyid[:16]} is due for rotation: {why}")
    return words


def rewrap(
    plant: Plant, *, new_passphrase_file: Path | None = None, wrapped_by: str | None = None, signer: bool = False
) -> Reply:
    """Protect the keys of this workspace, or of its signer, with another secret; the keys themselves stay.

    The secret may be wrapped by a key that never leaves a service; each time that is a new key, and the one before it
    is ended by `key destroy`.

    Raises:
        Unavailable: The present secret cannot be had, or the service does not answer.
        InvalidInput: The new passphrase is too easily guessed, or no service wraps it.
    """
    if new_passphrase_file and (wrapped_by or signer):
        words = "a passphrase is known by a person: no service wraps it, and no signer asks for it"
        raise InvalidInput(words, expected="--new-passphrase-file alone")
    if not signer:
        plant.unlock()
    with plant.ledger.lease("trust"):
        place, key = plant.rewrap_signer(wrapped_by) if signer else plant.rewrap(new_passphrase_file, wrapped_by)
        body = {
            "sort": "passphrase" if new_passphrase_file else "file",
            "ring": "signer" if signer else "workspace",
            "service": wrapped_by or "",
            "key": key,
        }
        plant.ledger.append([Draft(kind=REWRAPPED, actor=plant.person, stream="trust", body=body)])
    with_key = f", and only together with key {key} of the service" if key else ""
    says = f"The keys are now opened by {place}{with_key}: keep a copy elsewhere."
    return Reply(says=says, document={"unlock": place, "key": key})


def span(text: str) -> timedelta:
    """Return the time that a text like `7d`, `12h` or `30m` says.

    Raises:
        InvalidInput: It says none, or too long a one.
    """
    found = _SPAN.fullmatch(text)
    lasting = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else MAX_OVERLAP * 2
    if lasting > MAX_OVERLAP:
        raise InvalidInput(f"an overlap of {text[:20]!r}", expected=f"like 7d, 12h or 0s, at most {MAX_OVERLAP.days}d")
    return lasting


def _lives(days: int) -> timedelta:
    if not 0 < days <= MAX_DAYS:
        raise InvalidInput(f"{days} days", place="--days", expected=f"1 to {MAX_DAYS}")
    return timedelta(days=days)
