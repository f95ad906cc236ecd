"""Callers of the control plane's API: accounts in the groups that a test needs, and their API keys."""

from contextlib import suppress
from typing import Final

from holdfast.core.errors import Conflict
from holdfast.lifecycle.identity import add
from holdfast.lifecycle.identity import issue as issue_key
from holdfast.lifecycle.plant import Plant

ROLES: Final = {
    "viewer": "auditors",
    "operator": "engineers,operators,reviewers",
    "administrator": "administrators,engineers,operators,reviewers,personal-data",
}
"""What tests call a caller, and the groups of its account."""


def issue(plant: Plant, *, name: str, role: str) -> str:
    """Return an API key of an account, which is made where there is none."""
    with suppress(Conflict):
        add(plant, name=name, sort="user", groups=ROLES[role])
    return str(issue_key(plant, name=name).document["key"])
