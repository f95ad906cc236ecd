"""Publishing: what the gateway reads, copied from the blobs as the ledger says, and whole again when it was damaged.

The ledger is the truth (docs/adr/0072): `settle` needs nothing else, may be called at any time, and completes what a
process left undone when it died between appending and publishing.
"""

import json
import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

import msgspec

from holdfast.core.artifact import Digest, digest_bytes, parse_manifest
from holdfast.core.errors import Conflict, NotFound, NotVerified
from holdfast.core.ledger import Draft, Entry
from holdfast.core.ports import Blobs
from holdfast.core.project import Project
from holdfast.core.restatement import void
from holdfast.core.routes import RouteTable
from holdfast.core.seal import ROUTES, unseal
from holdfast.engines.repository import POLICY_NAME, ROUTES_NAME, TIMESTAMP_NAME, TRUST_NAME, write_release
from holdfast.engines.repository.reading import ROUTING, target_path
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.restoring import epochs_left_out
from holdfast.registry import Standing

ENVIRONMENT: Final = "production"
ROUTED: Final = "endpoint.routed"


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
        now = standing_of(entry.body)
        return msgspec.structs.replace(now, epoch=now.epoch + epochs_left_out(plant, entry))
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
    plant.published.prepare()
    held = plant.published.blobs  # once: what it has made durable is not made durable again for each file
    restored = tuple(digest for digest in needed(plant, table) if _restore(plant, held, digest))
    plant.published.put(documents_of(plant, entry))
    return restored


def documents_of(plant: Plant, entry: Entry) -> Mapping[str, bytes]:
    """Return every document that a routing entry has published, by name, in the order in which they must appear."""
    named = {each["name"]: plant.blobs.get(Digest(each["digest"])) for each in entry.body["files"]}
    return {**plant.offline.roots(), **named}


def published_routes(plant: Plant) -> bytes:
    """Return the route table that lies in the gateway's folder now, whoever wrote it: nothing of it is believed.

    Raises:
        NotFound: There is none.
        NotVerified: What leads to it cannot be read.
    """
    try:
        timestamp = json.loads(plant.published.document(TIMESTAMP_NAME))
        epoch = int(timestamp["signed"]["meta"]["snapshot.json"]["version"])
        routing = json.loads(plant.published.document(f"{epoch}.{ROUTING}.json"))
        named = str(routing["signed"]["targets"][ROUTES_NAME]["hashes"]["sha256"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise NotVerified("what leads to the route table cannot be read", place=TIMESTAMP_NAME) from error
    return plant.published.document(target_path(ROUTES_NAME, named))


def carried(plant: Plant, table: RouteTable, sealed: Digest, policy: bytes) -> list[dict[str, str]]:
    """Sign the repository's state that carries a table, store its files, and return their names and digests."""
    release = write_release(
        plant.offline.newest(),
        documents={
            ROUTES_NAME: plant.blobs.get(sealed),
            POLICY_NAME: policy,
            TRUST_NAME: plant.trust_document(),
        },
        epoch=table.epoch,
        expires=table.expires,
        signer=plant.keys.signer("registry"),
    )
    return [{"name": name, "digest": plant.blobs.put(data)} for name, data in release.names.items()]


def is_newest(plant: Plant, project: Project) -> bool:
    """Say whether what is published carries what the offline keys have said last."""
    entry = plant.last(endpoint_stream(project), ROUTED)
    said = {digest_bytes(plant.offline.newest().targets), digest_bytes(plant.trust_document())}
    return entry is None or said <= {each["digest"] for each in entry.body["files"]}


def _restore(plant: Plant, held: Blobs, digest: Digest) -> bool:
    """Put a good copy where there is none, or a damaged one; what was damaged is kept aside as evidence."""
    try:
        held.check(digest)
    except NotFound:
        held.put(plant.blobs.get(digest))
    except NotVerified as error:
        good = plant.blobs.get(digest)
        plant.published.set_aside(digest)
        held.put(good)
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
