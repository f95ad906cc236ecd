"""Routing: from a permit to the signed table that the gateway obeys.

Appending comes first, publishing second, and publishing is idempotent from the ledger: `settle` completes what a process
left undone when it died in between.
"""

import math
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import NotFound, NotVerified, PolicyDenied
from holdfast.core.ledger import Draft, Heads
from holdfast.core.passport import Dossier, open_passport, parse_passport
from holdfast.core.policy import Action, Denial, Permit, Request, decide, seconds
from holdfast.core.ports import Blobs
from holdfast.core.project import Project, parse_project
from holdfast.core.routes import Credential, GuardSpec, ModelRoute, RouteTable
from holdfast.core.seal import ROUTES, open_envelope
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.reply import short
from holdfast.lifecycle.runner import read_project_file
from holdfast.registry import Standing, build_passport, renewed

ENVIRONMENT: Final = "production"
CREDENTIALS: Final = "credentials"  # the stream of API keys
MAX_BODY: Final = 1 << 20  # bytes of one request; 256 rows of a few hundred features fit


def current_project(plant: Plant) -> Project:
    """Return the project in the workspace's folder."""
    return parse_project(read_project_file(plant.home.project_file))[0]


def endpoint_stream(project: Project) -> str:
    """Return the name of the stream that holds an endpoint's routings."""
    return f"endpoint/{ENVIRONMENT}/{project.project.name}"


def standing(plant: Plant, project: Project) -> Standing:
    """Return how the project's endpoint stands now."""
    entry = plant.last(endpoint_stream(project), "endpoint.routed")
    return msgspec.convert(entry.body["standing"], Standing) if entry else Standing()


def dossier_of(plant: Plant, subject: Digest) -> tuple[Dossier, Digest]:
    """Return all verified evidence on a release and its closure, and the digest of the passport that carries it."""
    document = build_passport(plant.ledger, plant.blobs, subject, plant.ledger.checkpoint())
    dossier = open_passport(parse_passport(document), plant.trust, origin=plant.origin)
    return dossier, plant.blobs.put(document)


def decision(plant: Plant, project: Project, subject: Digest, action: Action) -> tuple[Permit | Denial, Digest]:
    """Decide about a release over everything in the ledger; nothing is recorded."""
    policy, digest, _ = plant.load_policy(project.gates.policy)
    dossier, passport = dossier_of(plant, subject)
    request = Request(
        action=action, environment=ENVIRONMENT, now=plant.clock.now(), nonce=plant.entropy.token(16).hex()
    )
    return decide(policy, digest, dossier, request), passport


def permit_for(plant: Plant, project: Project, subject: Digest, action: Action) -> Permit:
    """Return the permit for an action on a release.

    Raises:
        PolicyDenied: With every reason; the denial is on record.
    """
    match decision(plant, project, subject, action)[0]:
        case Permit() as permit:
            return permit
        case Denial() as denial:
            reasons = [
                {"rule": reason.rule, "subject": reason.subject, "words": reason.words} for reason in denial.reasons
            ]
            body = {"action": action, "policy": denial.policy, "reasons": reasons}
            plant.ledger.append([Draft(kind="decision.denied", actor="registry", stream=subject, body=body)])
            words = tuple(str(reason) for reason in denial.reasons)
            raise PolicyDenied(
                f"policy {project.gates.policy} does not let release {short(subject)} into {ENVIRONMENT}", reasons=words
            )


def route(
    plant: Plant, project: Project, after: Standing, *, because: tuple[Draft, ...], permit: Permit | None
) -> RouteTable:
    """Sign the route table of a new standing, append it with what it follows from, and publish it.

    Args:
        plant: The control plane.
        project: The project whose endpoint it is.
        after: The new standing.
        because: Entries appended in the same transaction: the promotion or the return.
        permit: The leave to do so, whose heads must still be current; None only where nothing new is to answer.
    """
    stream = endpoint_stream(project)
    heads: Heads = {**plant.ledger.heads([stream]), **(permit.heads if permit else {})}
    now = plant.clock.now()
    table = _table(plant, project, after, now)
    envelope = plant.seal(table, ROUTES, "registry")
    body: dict[str, Any] = {
        "standing": msgspec.to_builtins(after),
        "table": envelope,
        "permit": {"nonce": permit.nonce, "expires": permit.expires.isoformat()} if permit else None,
        "pointer": {"name": stream, "digest": after.baseline},
    }
    routed = Draft(kind="endpoint.routed", actor="registry", stream=stream, body=body)
    plant.ledger.append([*because, routed], expect=heads, consume_nonce=permit.nonce if permit else None)
    settle(plant, project)
    return table


def renew(plant: Plant, project: Project) -> RouteTable | None:
    """Sign a newer table of the same standing, with a fresh lease; None where nothing is in production.

    Each release is decided upon again: what may no longer serve gets no lease.

    Raises:
        PolicyDenied: A release that answers may no longer serve.
    """
    now = standing(plant, project)
    if not now.epoch:
        return None
    return route(plant, project, renewed(now), because=(), permit=None)


def settle(plant: Plant, project: Project) -> None:
    """Publish the table that the ledger names, if the gateway's folder does not hold it yet."""
    entry = plant.last(endpoint_stream(project), "endpoint.routed")
    if entry is None:
        return
    envelope = plant.blobs.get(Digest(entry.body["table"]))
    table = _published_table(envelope)
    blobs = plant.publish_blobs(plant.home.published / "blobs")
    for digest in _needed(plant, table):
        _restore(plant, blobs, digest)
    policy = plant.load_policy(project.gates.policy)[2]
    plant.publish({"policy.toml": policy, "trust.dsse.json": plant.trust_document(), "routes.dsse.json": envelope})


def _restore(plant: Plant, blobs: Blobs, digest: Digest) -> None:
    """Put a good copy where there is none, or a damaged one; what was damaged is kept aside as evidence."""
    try:
        blobs.get(digest)
    except NotFound:
        blobs.put(plant.blobs.get(digest))
    except NotVerified as error:
        good = plant.blobs.get(digest)
        plant.set_aside(digest)
        blobs.put(good)
        body = {"digest": digest, "found": error.message}
        plant.ledger.append([Draft(kind="blob.restored", actor="registry", stream="published", body=body)])


def lease_left(plant: Plant, project: Project) -> float:
    """Return the part of the present lease that is left: 1 when fresh, below 0 when over, infinite without routes."""
    entry = plant.last(endpoint_stream(project), "endpoint.routed")
    if entry is None:
        return math.inf
    table = _published_table(plant.blobs.get(Digest(entry.body["table"])))
    return (table.expires - plant.clock.now()) / (table.expires - table.issued)


def _needed(plant: Plant, table: RouteTable) -> Iterator[Digest]:
    """Yield the blobs a gateway needs for a table: releases, their files, and passports."""
    for model in table.models:
        for release, passport in ((model.baseline, model.passport), (model.candidate, model.candidate_passport)):
            if release is None or passport is None:
                continue
            yield Digest(passport)
            yield Digest(release)
            for file in parse_manifest(plant.blobs.get(Digest(release))).files:
                yield Digest(file.digest)


def _published_table(envelope: bytes) -> RouteTable:
    """Return the table in an envelope that this ledger names; the gateway verifies its signature, we made it."""
    payload, _ = open_envelope(envelope)
    return msgspec.convert(msgspec.json.decode(payload)["predicate"], RouteTable)


def _table(plant: Plant, project: Project, after: Standing, now: datetime) -> RouteTable:
    """Return the table of a standing. Its lease ends with the first permit that it rests on."""
    lease = [now + timedelta(seconds=seconds(project.serving.lease))]
    passports: dict[str, str] = {}
    for release in after.releases:
        permit = permit_for(plant, project, Digest(release), Action.SERVE)
        lease.append(permit.expires)
        passports[release] = dossier_of(plant, Digest(release))[1]
    serving = ModelRoute(
        name=project.project.name,
        baseline=after.baseline,
        passport=passports.get(after.baseline, ""),
        candidate=after.candidate or None,
        candidate_passport=passports.get(after.candidate),
        candidate_share=after.share,
    )
    return RouteTable(
        workspace=plant.trust.workspace,
        environment=ENVIRONMENT,
        epoch=after.epoch,
        issued=now,
        expires=min(lease),
        policy=plant.load_policy(project.gates.policy)[1],
        models=(serving,) if after.baseline else (),  # none: the declared safe state, in which nothing answers
        guards=guards_of(project),
        credentials=credentials(plant, now),
        revoked=revoked(plant),
    )


def guards_of(project: Project) -> tuple[GuardSpec, ...]:
    """Return the guards of a project's endpoint, cheap ones first; their order is the gateway's."""
    serving = project.serving
    return (
        GuardSpec(name="within-size", configuration={"max_bytes": MAX_BODY}),
        GuardSpec(name="authenticated"),
        GuardSpec(name="within-rate", configuration={"rate_per_s": serving.rate_per_s, "burst": serving.burst}),
        GuardSpec(name="valid-input", configuration={"max_rows": serving.max_rows}),
        GuardSpec(name="coarse-output", configuration={"decimals": serving.round_decimals}),
    )


def credentials(plant: Plant, now: datetime) -> tuple[Credential, ...]:
    """Return the API keys in force: the fold of their stream."""
    kept: dict[str, Credential] = {}
    for entry in plant.ledger.stream(CREDENTIALS):
        if entry.kind == "credential.issued":
            kept[entry.body["hash"]] = msgspec.convert(entry.body, Credential)
        elif entry.kind == "credential.revoked":
            kept = {hashed: item for hashed, item in kept.items() if item.id != entry.body["id"]}
    return tuple(item for item in kept.values() if item.expires > now)


def revoked(plant: Plant) -> tuple[str, ...]:
    """Return the digests that may not answer, whatever else says so."""
    return tuple(sorted({entry.stream for entry in plant.ledger.entries() if entry.kind == "artifact.revoked"}))
