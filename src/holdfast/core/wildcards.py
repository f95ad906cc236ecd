"""Wildcards: rules that give everybody something, or somebody everything, on a sensitive asset (ACC-04).

Found by asking, not by reading: each `permit` is put to the question alone, so that neither its spelling nor a `forbid`
that masks it today hides what it gives.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from holdfast.core.access import KINDS, SENSITIVE, TYPES, Allowed, Principal, Resource, Rules, Sort, may, read_rules
from holdfast.core.actions import ACTIONS
from holdfast.core.artifact import digest_bytes

STRANGER: Final = "somebody.of.whom.no.rule.speaks"
POWERS: Final = tuple(action.name for action in ACTIONS if action.sort != "asking")
ASSETS: Final = tuple(
    Resource(kind=kind, name="an-asset", owner="its-owner", sensitivity=sensitivity, environment="production")
    for kind in KINDS
    for sensitivity in SENSITIVE
)


def wildcards(text: bytes) -> tuple[str, ...]:
    """Return each wildcard in words; none where every rule names who, and what of all that could be done.

    Raises:
        InvalidInput: The rules cannot be read.
    """
    import cedarpy

    read_rules(text)
    parsed = json.loads(cedarpy.policies_to_json_str(text.decode()))
    found = []
    for number, rule in parsed["staticPolicies"].items():
        if rule["effect"] != "permit":
            continue
        document = json.dumps({"staticPolicies": {number: rule}, "templates": {}, "templateLinks": []})
        alone = cedarpy.PolicySet.from_json_str(document)
        name = rule["annotations"]["id"]
        rules = Rules(digest=digest_bytes(document.encode()), count=1, names={number: name}, handle=alone)
        # A scope that names a group or an account cannot hold for a stranger, whatever the conditions say.
        named_only = rule["principal"]["op"] in {"==", "in"}
        found += [f"{name}: {words}" for words in _of(rules, tuple(_named(rule)), strangers=not named_only)]
    return tuple(found)


def _of(rules: Rules, named: tuple[Principal, ...], *, strangers: bool) -> Iterator[str]:
    for sort in TYPES if strangers else ():
        open_to_all = _first(rules, Principal(name=STRANGER, sort=sort))
        if open_to_all is not None:
            action, asset = open_to_all
            yield f"any {sort} may {action} on a {asset.kind} of sensitivity {asset.sensitivity}"
            return
    for principal in named:
        for asset in ASSETS:
            if all(isinstance(may(rules, principal, action, asset), Allowed) for action in POWERS):
                who = f"group {principal.groups[0]}" if principal.groups else principal.name
                yield f"{who} may do everything on a {asset.kind} of sensitivity {asset.sensitivity}"
                return


def _first(rules: Rules, stranger: Principal) -> tuple[str, Resource] | None:
    for asset in ASSETS:
        for action in POWERS:
            if isinstance(may(rules, stranger, action, asset), Allowed):
                return action, asset
    return None


def _named(rule: Any) -> Iterator[Principal]:
    """Yield a principal for each group and each account that a rule names anywhere."""
    sorts: dict[str, Sort] = {name: sort for sort, name in TYPES.items()}
    match rule:
        case {"type": "Group", "id": str(group)}:
            yield Principal(name=STRANGER, sort="user", groups=(group,))
        case {"type": str(kind), "id": str(name)} if kind in sorts:
            yield Principal(name=name, sort=sorts[kind])
        case dict():
            for value in rule.values():
                yield from _named(value)
        case list():
            for value in rule:
                yield from _named(value)
        case _:
            pass
