"""Staging: a release that is permitted, published where a gateway of the staging environment reads it.

The same decision as for production, for another environment, with a table and an epoch of its own: nothing that is
signed for staging is obeyed in production, because a gateway refuses a table of another environment.
"""

from datetime import timedelta
from typing import Any

from holdfast.core.artifact import Digest, Kind, digest_bytes, parse_manifest
from holdfast.core.errors import PolicyDenied
from holdfast.core.ledger import Draft, Entry
from holdfast.core.needs import Needs
from holdfast.core.placement import model_in
from holdfast.core.policy import Action, seconds
from holdfast.core.project import Project
from holdfast.core.routes import ModelRoute, RouteTable
from holdfast.core.seal import ROUTES
from holdfast.lifecycle.access_identities import ended, identities, trust_domain
from holdfast.lifecycle.attesting import decided
from holdfast.lifecycle.consuming import consume
from holdfast.lifecycle.guarding import guards_of
from holdfast.lifecycle.inputs import check_reason
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import authorize
from holdfast.lifecycle.publishing import carried, documents_of
from holdfast.lifecycle.registry_gates import file_gates
from holdfast.lifecycle.registry_record import refusal
from holdfast.lifecycle.registry_words import meant
from holdfast.lifecycle.reply import Reply, short
from holdfast.lifecycle.resilience import check_commands, resilience_of
from holdfast.lifecycle.routing import (
    case_of,
    credentials,
    current_project,
    permit_for,
    project_of,
    revoked,
    rules_of,
)
from holdfast.registry import Signal
from holdfast.registry.record import STAGED

STAGING = "staging"


def staging_stream(project: Project) -> str:
    """Return the name of the stream that holds the routings of a project's staging endpoint."""
    return f"endpoint/{STAGING}/{project.project.name}"


def stage(plant: Plant, *, release: str | None = None, reason: str) -> Reply:
    """Approve a release with the owner's key and, if the policy permits, publish it for the staging gateway.

    Raises:
        PolicyDenied: With every reason in words; the denial is on record.
        Conflict: Something was said meanwhile about what was decided upon; nothing was changed.
        NotVerified: A file of it was changed and no good copy is left, or it is not signed.
    """
    check_reason(reason)
    plant.unlock()
    project = current_project(plant)
    subject = meant(plant, project, release)
    with plant.ledger.lease("route"):
        authorize(plant, project, subject, "approve", reason)
        file_gates(plant, project, subject)
        heads: dict[str, tuple[int, str]] = dict(plant.ledger.heads([staging_stream(project)]))
        rules, case = rules_of(plant, subject), case_of(plant, subject)
        permit = permit_for(plant, rules, case.dossier, Action.PROMOTE, STAGING)
        words = refusal(plant, project, subject, Signal.STAGED)
        if words:
            said = f"its state does not let release {short(subject)} into {STAGING}"
            raise PolicyDenied(said, reasons=(f"[state] {words}",), place=subject)
        consume(plant, subject, Kind.RELEASE)
        table = _table(plant, project, subject, case.passport, permit.expires, rules.digest)
        for content in (rules.text, case.passport):
            plant.blobs.put(content)
        sealed = plant.seal(table, ROUTES, "registry")
        body: dict[str, Any] = {
            "table": sealed,
            "files": carried(plant, table, sealed, rules.text),
            "reason": reason,
            "permit": {"nonce": permit.nonce, "expires": permit.expires.isoformat()},
            "pointer": {"name": staging_stream(project), "digest": subject},
        }
        staged = Draft(kind=STAGED, actor=plant.person, stream=staging_stream(project), body=body)
        summary = decided(plant, case.dossier, permit, at=permit.issued, environment=STAGING)
        *_, entry = plant.ledger.append([*summary, staged], expect=heads | dict(case.heads), consume_nonce=permit.nonce)
        _publish(plant, subject, case.passport, entry)
    says = f"Release {short(subject)} is in staging, at epoch {table.epoch}: `holdfast serve --environment staging` "
    document = {"release": subject, "epoch": table.epoch, "permit_expires": permit.expires.isoformat()}
    return Reply(says=says + "answers with it.", document=document)


def _table(
    plant: Plant, project: Project, release: Digest, passport: bytes, expires: Any, policy: Digest
) -> RouteTable:
    now, made = plant.clock.now(), project_of(plant, release)
    check_commands(plant, made, (release,))
    routes = [entry for entry in plant.ledger.stream(staging_stream(project)) if entry.kind == STAGED]
    route = ModelRoute(
        name=project.project.name,
        baseline=release,
        passport=digest_bytes(passport),
        resilience=resilience_of(plant, made, (release,)),
        needs=made.needs if made.needs != Needs() else None,
    )
    return RouteTable(
        workspace=plant.trust.workspace,
        environment=STAGING,
        epoch=len(routes) + 1,
        issued=now,
        expires=min(now + timedelta(seconds=seconds(made.serving.lease)), expires),
        policy=policy,
        models=(route,),
        guards=guards_of(made),
        credentials=credentials(plant, now, project.project.name),
        identities=identities(plant, (project.project.name,)),
        trust_domain=trust_domain(plant),
        ended=ended(plant, now),
        regions=model_in(made),
        revoked=revoked(plant),
    )


def _publish(plant: Plant, release: Digest, passport: bytes, entry: Entry) -> None:
    """Copy what a gateway needs, what leads to it last: a process that dies before leaves the former one standing."""
    plant.staged.prepare()
    plant.staged.blobs.put(passport)
    plant.staged.blobs.put(plant.blobs.get(release))
    for file in parse_manifest(plant.blobs.get(release)).files:
        plant.staged.blobs.put(plant.blobs.get(Digest(file.digest)))
    plant.staged.put(documents_of(plant, entry))
