"""Access: who asks, and whether they may; the one door of whoever lets requests in.

A caller of the control plane presents an API key, which is stored as a keyed hash in the ledger's stream `access`; a
role says which actions its holder may ask for. Empty means no: no key, no role, no action that a role names.
"""

import hmac
import secrets
from fnmatch import fnmatchcase
from typing import Final

from holdfast.core.access import Presented, Principal
from holdfast.core.errors import Conflict, InvalidInput, Refused, Unauthenticated
from holdfast.core.ledger import Draft
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import Reply
from holdfast.serve.credentials import hash_api_key

STREAM: Final = "access"
ISSUED: Final = "access.key-issued"
PREFIX: Final = "hfc_"
MAX_NAME: Final = 64  # characters
MAX_PRESENTED: Final = 256  # characters of a key; ours have 47
ROLES: Final[dict[str, tuple[str, ...]]] = {
    "viewer": ("*.read",),
    "operator": ("*.read", "pipeline.run", "registry.promote", "endpoint.operate", "jobs.write", "audit.write"),
    "administrator": ("*",),
}


def authenticate(plant: Plant, presented: Presented) -> Principal:
    """Return whom a request comes from.

    Raises:
        Unauthenticated: Nothing valid is presented; the message does not tell which part was wrong.
    """
    scheme, _, key = presented.authorization.partition(" ")
    if scheme.lower() != "bearer" or not key.startswith(PREFIX) or len(key) > MAX_PRESENTED or not key.isascii():
        raise Unauthenticated("nothing valid says who asks")
    hashed = hash_api_key(plant.credential_key(), key)
    found = None
    for entry in plant.ledger.stream(STREAM):
        if entry.kind == ISSUED and hmac.compare_digest(str(entry.body["hash"]), hashed):
            found = entry.body
    if found is None:
        raise Unauthenticated("nothing valid says who asks")
    return Principal(name=found["name"], sort="user", groups=(found["role"],), session=hashed[:16])


def may(principal: Principal, action: str) -> bool:
    """Say whether a principal's roles name an action."""
    patterns = [pattern for group in principal.groups for pattern in ROLES.get(group, ())]
    return any(fnmatchcase(action, pattern) for pattern in patterns)


def authorise(plant: Plant, principal: Principal, action: str, resource: str) -> None:
    """Return if a principal may do this; a denial, and each grant of what changes something, is on record.

    Raises:
        Refused: It may not.
    """
    allowed = may(principal, action)
    if not allowed or not action.endswith(".read"):
        body = {"action": action, "resource": resource, "session": principal.session}
        kind = "access.granted" if allowed else "access.denied"
        plant.ledger.append([Draft(kind=kind, actor=principal.name, stream=f"{STREAM}/decisions", body=body)])
    if not allowed:
        raise Refused(f"{principal.name} may not {action}", place=resource, remedy="Ask an administrator.")


def issue(plant: Plant, *, name: str, role: str) -> str:
    """Issue a key for a caller of the control plane, and return it: it is stored as a keyed hash only.

    Raises:
        InvalidInput: No such role, or a name that cannot be one.
    """
    if role not in ROLES:
        raise InvalidInput(f"role {role[:80]!r}", expected=" or ".join(ROLES))
    if not name.isprintable() or not name.strip() or len(name) > MAX_NAME:
        raise InvalidInput(f"name {name[:80]!r}", expected=f"up to {MAX_NAME} printable characters")
    key = PREFIX + secrets.token_urlsafe(32)
    body = {"name": name, "role": role, "hash": hash_api_key(plant.credential_key(), key)}
    plant.ledger.append([Draft(kind=ISSUED, actor=plant.person, stream=STREAM, body=body)])
    return key


def bootstrap(plant: Plant, *, name: str) -> Reply:
    """Issue the first administrator's key; it is shown once.

    Raises:
        Conflict: There is an administrator already.
    """
    with plant.ledger.lease("access"):
        if any(entry.body.get("role") == "administrator" for entry in plant.ledger.stream(STREAM)):
            raise Conflict("there is an administrator already", remedy="Ask them for a key.")
        key = issue(plant, name=name, role="administrator")
    return Reply(says=f"Keep the key now, only its keyed hash is stored: {key}", document={"name": name, "key": key})
