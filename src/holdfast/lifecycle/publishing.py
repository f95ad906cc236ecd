"""Publishing: what the gateway reads, copied from the blobs as the ledger says, and whole again when it was damaged.

The ledger is the truth (docs/adr/0072): `settle` needs nothing else, may be called at any time, and completes what a
process left undone when it died between appending and publishing.
"""

import math
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, parse_manifest
from holdfast.core.errors import Conflict, NotFound, NotVerified
from holdfast.core.ledger import Draft, Entry
from holdfast.core.project import Project
from holdfast.core.restatement import void
from holdfast.core.routes import RouteTable
from holdfast.core.seal import ROUTES, unseal
from holdfast.lifecycle.plant import Plant
from holdfast.registry import Standing

ENVIRONMENT: Final = "production"
ROUTED: Final = "endpoint.routed"
POLICY_FILE: Final = "policy.toml"
TRUST_FILE: Final = "trust.dsse.json"
ROOTS_FILE: Final = "roots.json"
ROUTES_FILE: Final = "routes.dsse.json"


def endpoint_stream(project: Project) -> str:
    """Return the name of the stream that holds an endpoint's routings."""
    return f"endpoint/{ENVIRONMENT}/{project.project.name}"


def standing(plant: Plant, project: Project) -> Standing:
    """Return how the project's endpoint stands now.

    Raises:
        Conflict: The workspace serves a model of another name: its table would end, and no gateway obey a second one.
    """
    entry = plant.last(endpoint_stream(project), ROUTED)
    if entry is not None:
        return standing_of(entry.body)
    other = next((each.stream for each in plant.ledger.entries() if each.kind == ROUTED), None)
    if other is not None:
        served = other.rpartition("/")[2]
        raise Conflict(
            f"this workspace serves {served!r}, and the project file names {project.project.name!r}",
            place="holdfast.toml: project.name",
            expected=served,
            remedy="Name it so again, or make a workspace in a folder of its own for the other model.",
        )
    return Standing()


def standing_of(body: dict[str, Any]) -> Standing:
    """Return the standing that a routing entry leads to."""
    return msgspec.convert(body["standing"], Standing)


def standing_at(plant: Plant, project: Project, moment: datetime) -> Standing:
    """Return how the project's endpoint stood at a moment."""
    routed = (entry for entry in reversed(plant.ledger.stream(endpoint_stream(project))) if entry.kind == ROUTED)
    return next((standing_of(entry.body) for entry in routed if entry.moment <= moment), Standing())


def present_table(plant: Plant, project: Project) -> RouteTable | None:
    """Return the route table that the ledger names, verified; None where nothing was ever routed.

    None also where the key was revoked that has signed it: then the next table is drawn as if it were the first.

    Raises:
        NotVerified: It was changed since it was signed.
    """
    entry = plant.last(endpoint_stream(project), ROUTED)
    if entry is None or void(plant.blobs.get(Digest(entry.body["table"])), plant.trust):
        return None
    return table_of(plant, entry)


def table_of(plant: Plant, entry: Entry) -> RouteTable:
    """Return the route table that a routing entry names.

    Raises:
        NotVerified: It was changed since it was signed.
    """
    return unseal(plant.blobs.get(Digest(entry.body["table"])), ROUTES, plant.trust, at=entry.moment).value


def settle(plant: Plant, project: Project) -> tuple[Digest, ...]:
    """Publish the table that the ledger names and all that it needs, as far as the gateway's folder does not hold it.

    Returns:
        The blobs that were damaged there and are whole again.

    Raises:
        NotVerified: Our own copy is damaged too.
    """
    entry = plant.last(endpoint_stream(project), ROUTED)
    if entry is None:
        return ()
    table = table_of(plant, entry)
    restored = tuple(digest for digest in needed(plant, table) if _restore(plant, digest))
    # The policy that the table names, whatever became of the file it was read from.
    # The links before the trust: a reader of the older one does not follow them yet.
    files = {POLICY_FILE: plant.blobs.get(Digest(table.policy)), ROOTS_FILE: plant.root_links()}
    files |= {TRUST_FILE: plant.trust_document()}
    plant.publish(files | {ROUTES_FILE: plant.blobs.get(Digest(entry.body["table"]))})
    return restored


def _restore(plant: Plant, digest: Digest) -> bool:
    """Put a good copy where there is none, or a damaged one; what was damaged is kept aside as evidence."""
    try:
        plant.published_blobs.get(digest)
    except NotFound:
        plant.published_blobs.put(plant.blobs.get(digest))
    except NotVerified as error:
        good = plant.blobs.get(digest)
        plant.set_aside(digest)
        plant.published_blobs.put(good)
        body = {"digest": digest, "found": error.message}
        plant.ledger.append([Draft(kind="blob.restored", actor="registry", stream="published", body=body)])
        return True
    return False


def needed(plant: Plant, table: RouteTable) -> Iterator[Digest]:
    """Yield the blobs a gateway needs for a table: releases, their files, and passports."""
    for model in table.models:
        for release, passport in ((model.baseline, model.passport), (model.candidate, model.candidate_passport)):
            if release is None or passport is None:
                continue
            yield Digest(passport)
            yield Digest(release)
            for file in parse_manifest(plant.blobs.get(Digest(release))).files:
                yield Digest(file.digest)


def lease_left(plant: Plant, project: Project) -> float:
    """Return the part of the present lease that is left: 1 when fresh, below 0 when over, infinite without routes."""
    table = present_table(plant, project)
    if table is None:
        return math.inf
    return (table.expires - plant.clock.now()) / (table.expires - table.issued)
