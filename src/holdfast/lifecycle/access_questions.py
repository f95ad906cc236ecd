"""Questions about access: why somebody may, who may at all, and what was given that nobody uses (ACC-03, ACC-04)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from holdfast.core import identity
from holdfast.core.access import Allowed, Denied, Principal, Resource, Rules, may
from holdfast.core.actions import ACTIONS, NAMES
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound
from holdfast.core.wildcards import wildcards
from holdfast.lifecycle import access_rules
from holdfast.lifecycle.access import Now, decide, look, resource_of
from holdfast.lifecycle.access_memory import STREAM
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply, Table, counted

LONGEST_LOOK: Final = 366  # days


def explain(plant: Plant, *, who: str, action: str, resource: str = "") -> Reply:
    """Say whether an account may do something, and by which rules; nothing is done, and nothing recorded.

    Raises:
        NotFound: There is no such account.
        InvalidInput: There is no such action, or the resource is of no known kind.
    """
    _check_action(action)
    now, about = look(plant), resource_of(plant, resource)
    account = now.directory.accounts.get(who)
    if account is None:
        raise NotFound(f"there is no account {who[:80]!r}", remedy="List them with `holdfast access users`.")
    answer = decide(now, identity.principal(account, ""), action, about, plant.clock.now())
    if isinstance(answer, Denied) or not account.enabled:
        reasons = answer.reasons if isinstance(answer, Denied) else ("the account is disabled",)
        allowed, words = False, f"{who} may not {action} on {about}: {'; '.join(reasons)}."
    else:
        reasons, allowed = answer.rules, True
        words = f"{who} may {action} on {about}, by {', '.join(answer.rules)}."
    document = {
        "who": who,
        "groups": account.groups,
        "action": action,
        "resource": str(about),
        "sensitivity": about.sensitivity,
        "allowed": allowed,
        "by": reasons,
    }
    return Reply(says=words, document=document)


def who_can(plant: Plant, *, action: str, resource: str = "") -> Reply:
    """List every account that may do something now, and by which rules.

    Raises:
        InvalidInput: There is no such action, or the resource is of no known kind.
    """
    _check_action(action)
    now, about = look(plant), resource_of(plant, resource)
    found = []
    for account in now.directory.accounts.values():
        answer = decide(now, identity.principal(account, ""), action, about, plant.clock.now())
        if account.enabled and not isinstance(answer, Denied):
            found.append({"name": account.name, "sort": account.sort, "by": answer.rules})
    rows = [(str(each["name"]), str(each["sort"]), ", ".join(each["by"])) for each in found]
    table = Table(title=f"Who may {action} on {about}", columns=("account", "sort", "by"), rows=rows)
    document = {"action": action, "resource": str(about), "accounts": found}
    return Reply(says=f"{counted(len(found), 'account')} may {action} on {about}.", document=document, tables=(table,))


def review(plant: Plant, *, days: int = 90) -> Reply:
    """Hold what was given against what was used: which groups, accounts and scopes can be made smaller.

    A wildcard on a sensitive asset fails the review.

    Raises:
        InvalidInput: A look of no days, or of more than a year.
    """
    if not 0 < days <= LONGEST_LOOK:
        raise InvalidInput(f"{days} days", expected=f"1 to {LONGEST_LOOK}")
    since, now = plant.clock.now() - timedelta(days=days), look(plant)
    used = _used(plant, since)
    proposals = [*_accounts(plant, now, used), *_keys(plant, now, used), *_groups(now, used)]
    own = access_rules.newest(plant.ledger.stream(access_rules.STREAM))
    try:
        found = wildcards(b"\n".join(access_rules.texts(plant, own)))
    except HoldfastError as error:
        found = (f"the rules in force cannot be read: {error.message}",)
    rows = [(each["what"], each["name"], each["propose"], each["because"]) for each in proposals]
    tables = [Table(title="Reductions", columns=("what", "name", "propose", "because"), rows=rows)]
    if found:
        tables.append(Table(title="Wildcards on sensitive assets", columns=("wildcard",), rows=[(e,) for e in found]))
    says = f"{counted(len(proposals), 'reduction')} proposed from {counted(days, 'day')} of use; "
    says += f"{counted(len(found), 'wildcard')} on sensitive assets."
    document = {"days": days, "proposals": proposals, "wildcards": list(found)}
    return Reply(says=says, document=document, tables=tables, exit_code=1 if found else 0)


def actions(plant: Plant) -> Reply:
    """List every action that an access decision can be about."""
    del plant  # the table is the same everywhere
    rows = [(action.name, action.sort, action.does) for action in ACTIONS]
    document = {"actions": [{"name": name, "sort": sort, "does": does} for name, sort, does in rows]}
    table = Table(title="Actions", columns=("action", "sort", "lets somebody"), rows=rows)
    return Reply(says=f"{counted(len(rows), 'action')}.", document=document, tables=(table,))


Used = Mapping[str, Mapping[tuple[str, str], frozenset[str]]]
"""Account to (action, resource) to the sessions by which it was granted."""


def _used(plant: Plant, since: datetime) -> Used:
    found: dict[str, dict[tuple[str, str], frozenset[str]]] = {}
    for entry in plant.ledger.stream(STREAM):
        if entry.kind == "access.granted" and entry.moment >= since:
            body = entry.body
            asked = found.setdefault(body["principal"], {})
            what = (str(body["action"]), str(body["resource"]))
            asked[what] = asked.get(what, frozenset()) | {str(body["session"])}
    return found


def _accounts(plant: Plant, now: Now, used: Used) -> Iterator[dict[str, str]]:
    """Propose to disable who never came, and to leave groups without which all that was done would still be granted."""
    for account in now.directory.accounts.values():
        if not account.enabled:
            continue
        did = used.get(account.name, {})
        if not did:
            yield _proposal("account", account.name, "disable", "nothing was granted to it in this time")
            continue
        for group in account.groups:
            without = identity.principal(account, "")
            without = replace(without, groups=tuple(each for each in account.groups if each != group))
            if all(_still(plant, now, without, action, resource) for action, resource in did):
                yield _proposal("account", account.name, f"leave group {group}", "nothing it did needed the group")


def _still(plant: Plant, now: Now, principal: Principal, action: str, resource: str) -> bool:
    answer = decide(now, principal, action, resource_of(plant, resource), plant.clock.now())
    return not isinstance(answer, Denied)


def _keys(plant: Plant, now: Now, used: Used) -> Iterator[dict[str, str]]:
    """Propose to revoke keys that nobody used, and a scope for those that were used for less than they may."""
    for key in now.directory.keys.values():
        if plant.clock.now() >= key.expires:
            continue
        session, did = f"key:{key.id}", used.get(key.name, {})
        by_it = sorted({action for (action, _), sessions in did.items() if session in sessions})
        if not by_it:
            yield _proposal("key", key.id, "revoke", "it was not used in this time")
        elif key.scope is None or set(by_it) < set(key.scope):
            yield _proposal("key", key.id, f"scope {','.join(by_it)}", "it was used for nothing else")


def _groups(now: Now, used: Used) -> Iterator[dict[str, str]]:
    """Propose a smaller group where its members together used only some of what it gives."""
    if isinstance(now.rules, Denied):
        return
    members: dict[str, list[str]] = {}
    for account in now.directory.accounts.values():
        for group in account.groups if account.enabled else ():
            members.setdefault(group, []).append(account.name)
    for group, names in members.items():
        did = {action for name in names for action, _ in used.get(name, {})}
        gives = {action for action in NAMES if _gives(now, group, action)}
        spare = sorted(gives - did)
        if did and spare:
            yield _proposal("group", group, f"without {', '.join(spare)}", f"none of {len(names)} members used it")


def _gives(now: Now, group: str, action: str) -> bool:
    """Say whether a group gives an action on an internal asset; what everybody may is not of the group's giving."""
    if NAMES[action].sort == "asking" or not isinstance(now.rules, Rules):
        return False
    about = Resource(kind="workspace", name="", sensitivity="internal", environment="production")
    member = Principal(name="a-member", sort="user", groups=(group,))
    return isinstance(may(now.rules, member, action, about), Allowed)


def _proposal(what: str, name: str, propose: str, because: str) -> dict[str, str]:
    return {"what": what, "name": name, "propose": propose, "because": because}


def _check_action(action: str) -> None:
    if action not in NAMES:
        raise InvalidInput(f"{action[:80]!r} is no action", expected="an action of `holdfast access actions`")
