"""What gateways are told of access: the answers of the rules, compiled into credentials that they look up.

A gateway asks nobody. Which key may call which model is decided here, for every key there is, and reaches it in the
signed route table; what changes it, a newer table tells.
"""

from datetime import datetime
from typing import Final

from holdfast.core import identity
from holdfast.core.access import Allowed, Denied, Resource, may
from holdfast.core.boxed import boxed
from holdfast.core.errors import HoldfastError
from holdfast.core.routes import Credential
from holdfast.lifecycle.access import Now, look, resource_of
from holdfast.lifecycle.plant import Plant

INVOKE: Final = "endpoint.invoke"


def compiled(plant: Plant, models: tuple[str, ...]) -> tuple[Credential, ...]:
    """Return the credentials that follow from the rules in force: each unexpired key that may call one of these models.

    Args:
        plant: The control plane.
        models: Names of the models that a table serves.

    Raises:
        NotVerified: An entry about identity or access cannot be read.
    """
    now, moment = look(plant), plant.clock.now()
    abouts = {model: resource_of(plant, f"model/{model}") for model in models}
    found = []
    for key in now.directory.keys.values():
        ends = {model: _until(now, key, about, moment) for model, about in abouts.items()}
        callable_until = {model: end for model, end in ends.items() if end is not None}
        if callable_until:  # a table knows a key once: it ends with the first of its rights, and is drawn anew then
            end, those = min(callable_until.values()), tuple(callable_until)
            found.append(Credential(id=f"{key.name}/{key.id}", hash=key.hash, models=those, expires=end))
    return tuple(found)


def tell_gateways(plant: Plant) -> str:
    """Draw the route table anew, so that gateways learn who may call now; say what came of it, in words.

    What was changed about identity stands whether or not this succeeds; the lease bounds how long one can miss it.
    """
    from holdfast.lifecycle.routing import current_project, renew  # which asks this module for the credentials

    try:
        plant.unlock()
        with plant.ledger.lease("route"):
            table = renew(plant, current_project(plant))
    except HoldfastError as error:
        return f" Gateways were not told ({error.message}): they obey the earlier table until its lease ends."
    return f" Gateways are told in epoch {table.epoch}." if table is not None else ""


def _until(now: Now, key: identity.ApiKey, about: Resource, moment: datetime) -> datetime | None:
    """Return until when a key may call a model, as far as is known now; None where it may not."""
    account = now.directory.known(key.name)
    if account is None or moment >= key.expires or isinstance(now.rules, Denied):
        return None
    principal = identity.principal(account, f"key:{key.id}", key.scope)
    if isinstance(may(now.rules, principal, INVOKE, about), Allowed):
        return key.expires
    box = boxed(now.boxes, principal, INVOKE, about, moment)
    until = box.answer.until if box is not None and box.answer is not None else None
    if until is None or not isinstance(may(now.rules, principal, INVOKE, about, boxed=True), Allowed):
        return None
    return min(key.expires, until)
