"""Persons: whose word counts here, in which roles, and who holds the root.

A person makes keys alone (`holdfast person new`) and hands in the public file; the root keys vouch for it. Roles are
granted to persons by name, so that a person's next key has them too.
"""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.core.errors import Conflict, InvalidInput, NotFound, NotVerified
from holdfast.core.keystate import state_of
from holdfast.core.possession import MAX_PERSON, PublicFile, check_name, open_public_file
from holdfast.core.succession import successor
from holdfast.core.trust import Grant, Trust, TrustedKey
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted
from holdfast.lifecycle.trusting import change, conflict_free

MAX_DAYS: Final = 366  # of a grant: one that never ends is never looked at again
MAX_ROLE: Final = 40  # characters of a role's name


def add(
    plant: Plant,
    *,
    file: Path,
    role: str,
    days: int = 365,
    root_holder: bool = False,
    replace: bool = False,
    proposal: Path | None = None,
) -> Reply:
    """Let a person's word count here: the root keys vouch for the keys in a public file, and grant roles.

    With `replace` these are new keys of somebody known already; those before them end now.

    Raises:
        NotVerified: The file does not prove that its maker holds the keys.
        Conflict: Somebody of this name is known, and nobody said that these keys take the place of the others.
        InvalidInput: A role without a name, or days out of range.
        Refused: More root holders must sign; see `change`.
    """
    person = open_public_file(read_given(file, limit=MAX_PERSON + 1, what="the public file"))
    plant.unlock()
    with plant.ledger.lease("trust"):
        trust, now = plant.trust, plant.clock.now()
        new = _keys_of(person, root=root_holder)
        speaking = any(key.owner == person.name and now < key.not_after for key in trust.keys if _personal(key))
        if speaking and not replace:
            raise Conflict(
                f"somebody called {person.name} is known here",
                remedy="Make sure that it is the same person, then say --replace.",
            )
        cut = _cut(trust, {(key.owner, key.role) for key in new}, now)
        grants = _with_grants(trust, person.name, _roles(role), now + _lasting(days))
        newer = successor(trust, keys=(*cut, *(_at_once(key, now) for key in new)), grants=grants)
        return change(plant, newer, says=f"{person.name} is known here.", proposal=proposal)


def _keys_of(person: PublicFile, *, root: bool) -> list[TrustedKey]:
    """Return the keys that are entered: the person's, and the root key only where that was asked for."""
    found = [key for key in person.keys if key.role == "person" or root]
    if not any(key.role == "person" for key in found) or (root and not any(key.role == "root" for key in found)):
        remedy = "Make one with `holdfast person new NAME --out FOLDER --root-holder`."
        raise NotVerified("the public file lacks a key that is to be entered", place=person.name, remedy=remedy)
    return found


def _at_once(key: TrustedKey, now: datetime) -> TrustedKey:
    """Return a key whose window does not reach back before the trust knew it: a person's clock witnesses nothing."""
    return msgspec.structs.replace(key, not_before=max(key.not_before, now))


def _cut(trust: Trust, ended: set[tuple[str, str]], now: datetime) -> tuple[TrustedKey, ...]:
    """Return all keys, those of the owners and roles named with a window that ends now."""
    return tuple(
        msgspec.structs.replace(key, not_after=max(now, key.not_before))
        if (key.owner, key.role) in ended and key.not_after > now
        else key
        for key in trust.keys
    )


def _with_grants(trust: Trust, name: str, roles: tuple[str, ...], until: datetime) -> tuple[Grant, ...]:
    kept = tuple(grant for grant in trust.grants if not (grant.person == name and grant.role in roles))
    return (*kept, *(Grant(person=name, role=role, not_after=until) for role in roles))


def _roles(named: str) -> tuple[str, ...]:
    roles = tuple(dict.fromkeys(part.strip() for part in named.split(",") if part.strip()))
    if not roles or any(not role.isprintable() or len(role) > MAX_ROLE for role in roles):
        expected = f"names of up to {MAX_ROLE} characters, separated by commas"
        raise InvalidInput(f"the roles {named[:80]!r}", place="--role", expected=expected)
    return roles


def _lasting(days: int) -> timedelta:
    if not 0 < days <= MAX_DAYS:
        raise InvalidInput(f"{days} days", place="--days", expected=f"1 to {MAX_DAYS}")
    return timedelta(days=days)


def remove(plant: Plant, *, name: str, proposal: Path | None = None) -> Reply:
    """End a person's keys and grants now; what the person said before goes on to verify, and to have been said.

    Raises:
        NotFound: Nobody of this name is known.
        NotVerified: Too few would be left to sign for the root.
        Refused: More root holders must sign; see `change`.
    """
    check_name(name)
    plant.unlock()
    with plant.ledger.lease("trust"):
        trust, now = plant.trust, plant.clock.now()
        _known(trust, name)
        keys = _cut(trust, {(name, "person"), (name, "root")}, now)
        grants = tuple(grant for grant in trust.grants if grant.person != name)
        newer = successor(trust, keys=keys, grants=grants)
        _check_left(newer, now)
        says = f"{name} has no word here any more."
        return change(plant, conflict_free(trust, newer), says=says, proposal=proposal)


def _check_left(newer: Trust, now: datetime) -> None:
    left = {key.owner for key in newer.of_role("root") if key.not_before <= now < key.not_after}
    if len(left) < newer.root_threshold:
        raise NotVerified(
            f"{len(left)} root holders would be left, and {newer.root_threshold} must sign",
            place=f"trust version {newer.version}",
            remedy="Enter another root holder first, or lower the threshold.",
        )


def grant(plant: Plant, *, person: str, role: str, days: int = 365, proposal: Path | None = None) -> Reply:
    """Let a person's word count in roles, as policies name them, for a time.

    Raises:
        NotFound: Nobody of this name has a key here.
        InvalidInput: A role without a name, or days out of range.
        Refused: More root holders must sign; see `change`.
    """
    roles, lasting = _roles(role), _lasting(days)
    plant.unlock()
    with plant.ledger.lease("trust"):
        trust = plant.trust
        _known(trust, person)
        grants = _with_grants(trust, person, roles, plant.clock.now() + lasting)
        says = f"{person} now speaks as {', '.join(roles)}."
        return change(plant, successor(trust, grants=grants), says=says, proposal=proposal)


def revoke_grant(plant: Plant, *, person: str, role: str, proposal: Path | None = None) -> Reply:
    """Take roles from a person: no word said in them counts from now on, also none said before.

    Raises:
        Conflict: The person has none of them.
        Refused: More root holders must sign; see `change`.
    """
    roles = _roles(role)
    plant.unlock()
    with plant.ledger.lease("trust"):
        trust = plant.trust
        grants = tuple(each for each in trust.grants if not (each.person == person and each.role in roles))
        newer = conflict_free(trust, successor(trust, grants=grants))
        return change(plant, newer, says=f"{person} no longer speaks as {', '.join(roles)}.", proposal=proposal)


def persons(plant: Plant) -> Reply:
    """List whose word counts here: persons, the roles they hold now, their keys, and who holds the root."""
    trust, now = plant.trust, plant.clock.now()
    listed = [_described(trust, name, now) for name in sorted({key.owner for key in trust.keys if _personal(key)})]
    rows = [(item["name"], ", ".join(item["roles"]) or "—", str(len(item["keys"])), item["root"]) for item in listed]
    columns = ("person", "roles now", "keys", "root")
    says = (
        f"{counted(len(listed), 'person')}; {trust.root_threshold} of the root holders must sign a change of the trust."
    )
    return Reply(says=says, document={"persons": listed}, tables=(Table(title="Persons", columns=columns, rows=rows),))


def _described(trust: Trust, name: str, now: datetime) -> dict[str, Any]:
    own = [key for key in trust.keys if key.owner == name and _personal(key)]
    inside = any(key.role == "root" and key in trust.of_role("root") and now < key.not_after for key in own)
    return {
        "name": name,
        "roles": sorted({each.role for each in trust.grants if each.person == name and now < each.not_after}),
        "grants": [
            {"role": each.role, "until": each.not_after.isoformat()} for each in trust.grants if each.person == name
        ],
        "keys": [{"keyid": key.keyid, "role": key.role, "state": str(state_of(key, trust, now))} for key in own],
        "root": "holds" if inside else "—",
    }


def _personal(key: TrustedKey) -> bool:
    return key.role in {"person", "root"}


def _known(trust: Trust, name: str) -> None:
    if not any(key.owner == name and key.role == "person" for key in trust.keys):
        raise NotFound(f"nobody called {name[:80]!r} is known here", expected="a name that `holdfast persons` lists")
