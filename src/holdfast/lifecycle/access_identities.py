"""What gateways are told of callers without an API key: accounts by their tokens, workloads by their certificates.

As with keys, a gateway asks nobody: which account may call which model is decided here, by the rules in force, and
reaches it in the signed route table. Names of accounts and SPIFFE ids are all that it learns.
"""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from holdfast.core import identity, tokens
from holdfast.core.access import Allowed, Denied, Resource, may
from holdfast.core.artifact import Digest
from holdfast.core.boxed import boxed
from holdfast.core.ledger import Entry
from holdfast.core.routes import CERTIFICATE, TOKEN, Identity, TrustDomain
from holdfast.lifecycle import sessions
from holdfast.lifecycle.access import Now, look, resource_of
from holdfast.lifecycle.access_compiled import INVOKE
from holdfast.lifecycle.plant import Plant

DOMAINS: Final = "trust-domain"  # the stream of accepted trust domains
_NEVER: Final = datetime.max.replace(tzinfo=UTC)


def identities(plant: Plant, models: tuple[str, ...]) -> tuple[Identity, ...]:
    """Return who may call these models by a token or a certificate: enabled accounts that the rules let do so.

    Raises:
        NotVerified: An entry about identity or access cannot be read.
    """
    now, moment = look(plant), plant.clock.now()
    abouts = {model: resource_of(plant, f"model/{model}") for model in models}
    spiffe: dict[str, list[str]] = {}
    for (sort, value), name in now.directory.links.items():
        if sort == "spiffe":
            spiffe.setdefault(name, []).append(value)
    found = []
    for name in sorted(now.directory.accounts):
        ends = {model: end for model, about in abouts.items() if (end := _until(now, name, about, moment)) is not None}
        if not ends:
            continue
        bounded = [end for end in ends.values() if end < _NEVER]
        those, expires = tuple(ends), min(bounded, default=None)
        found.append(Identity(id=f"{name}/token", by=TOKEN, name=name, models=those, expires=expires))
        found += [
            Identity(id=f"{name}/certificate", by=CERTIFICATE, name=value, models=those, expires=expires)
            for value in sorted(spiffe.get(name, ()))
        ]
    return tuple(found)


def _until(now: Now, name: str, about: Resource, moment: datetime) -> datetime | None:
    """Return until when an account may call a model, as far as is known now; None where it may not."""
    account = now.directory.known(name)
    if account is None or isinstance(now.rules, Denied):
        return None
    principal = identity.principal(account, "")
    if isinstance(may(now.rules, principal, INVOKE, about), Allowed):
        return _NEVER
    box = boxed(now.boxes, principal, INVOKE, about, moment)
    until = box.answer.until if box is not None and box.answer is not None else None
    if until is None or not isinstance(may(now.rules, principal, INVOKE, about, boxed=True), Allowed):
        return None
    return until


def trust_domain(plant: Plant) -> TrustDomain | None:
    """Return the trust domain that was accepted last, with its authorities; None where none was."""
    entries = plant.ledger.stream(DOMAINS)
    if not entries:
        return None
    from holdfast.lifecycle.workloads import authorities  # X.509 takes a while to load

    last = entries[-1].body
    bundle = authorities(plant.blobs.get(Digest(last["bundle"])))
    encoded = tuple(base64.b64encode(each).decode() for each in bundle)
    return TrustDomain(name=str(last["domain"]), authorities=encoded)


def ended(plant: Plant, now: datetime) -> tuple[str, ...]:
    """Return what tokens were made from that ended so lately that such a token may still be about."""
    keys = _lately(plant.ledger.stream(identity.STREAM), "identity.key-revoked", now)
    closed = _lately(plant.ledger.stream(sessions.STREAM), sessions.CLOSED, now)
    return (*(f"key:{number}" for number in keys), *(f"session:{number}" for number in closed))


def _lately(entries: Iterable[Entry], kind: str, now: datetime) -> list[str]:
    since = now - tokens.LASTS - tokens.SKEW
    return [str(entry.body["id"]) for entry in entries if entry.kind == kind and entry.moment > since]
