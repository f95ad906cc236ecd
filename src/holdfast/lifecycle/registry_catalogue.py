"""The catalogue: one record for each release, gathered from the ledger and from verified evidence, for every role.

Nothing in it is stored as such. What a record says follows from the history each time it is asked for, so that nobody
can change what the registry says of a release without changing the history.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError
from holdfast.core.evidence import Evidence
from holdfast.core.ledger import Entry
from holdfast.core.policy import seconds
from holdfast.core.project import Project
from holdfast.core.seal import EVIDENCE, unseal
from holdfast.core.telemetry import MEASURED, traffic_stream
from holdfast.lifecycle.incidents import incident_stream
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import endpoint_stream, standing
from holdfast.lifecycle.registry_record import record_of
from holdfast.lifecycle.registry_versions import versions_of
from holdfast.lifecycle.registry_words import aliases_of, meant
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project, project_of
from holdfast.lifecycle.runner import project_stream
from holdfast.registry import Opener, Record, Standing
from holdfast.registry.retention import Terms, age, family
from holdfast.registry.views import rows, sections

BOM_FILE: Final = "bom.cdx.json"
SIGNED: Final = "release.signed"


def releases_of(plant: Plant) -> tuple[Digest, ...]:
    """Return every release on record, oldest first."""
    kinds = family(plant.ledger.entries()).kinds
    return tuple(Digest(digest) for digest, kind in kinds.items() if kind is Kind.RELEASE)


def terms_of(project: Project) -> Terms:
    """Return how long the project keeps releases that nobody uses."""
    kept = project.registry
    return Terms(stale_after=_term(kept.stale_after), archive_after=_term(kept.archive_after))


def _term(text: str) -> timedelta | None:
    return timedelta(seconds=seconds(text)) if text else None


def last_used(plant: Plant, project: Project, record: Record) -> datetime:
    """Return when a release last came into a state, or began or ended to answer: from then on it grows old."""
    moments = [datetime.fromisoformat(moved.time) for moved in record.trail]
    recorded = plant.last(record.release, "artifact.recorded")
    moments += [recorded.moment] if recorded else []
    moments += [
        entry.moment for entry in plant.ledger.stream(endpoint_stream(project)) if record.release in str(entry.body)
    ]
    return max(moments)


def catalogue(plant: Plant) -> Reply:
    """List every release: state, owner, age, names, and whether it answers."""
    project, opener = current_project(plant), Opener(plant.blobs, plant.trust)
    names, now = aliases_of(plant), standing(plant, project)
    listed = []
    for release in releases_of(plant):
        made = project_of(plant, release)
        record = record_of(plant, made.project.name, release, opener)
        listed.append(_status(plant, made, record, now, names))
    columns = ("release", "model", "state", "since (UTC)", "owner", "aliases", "traffic", "age", "held")
    table = Table(
        title="Registry",
        columns=columns,
        rows=[
            (
                short(item["release"]),
                item["model"],
                item["state"] + (" (archived)" if item["archived"] else ""),
                item["since"][:16].replace("T", " "),
                item["owner"],
                ", ".join(item["aliases"]) or "—",
                f"{item['share']:.0%}",
                item["age"],
                "yes" if item["held"] else "—",
            )
            for item in listed
        ],
    )
    says = (
        f"{counted(len(listed), 'release')} of {project.project.name}." if listed else "No release has been made yet."
    )
    return Reply(says=says, document={"releases": listed}, tables=(table,))


def show(plant: Plant, *, release: str | None = None, view: str | None = None) -> Reply:
    """Show the one record of a release, all of it or what a role reads first.

    Raises:
        UsageError: There is no such role.
        NotFound: The ledger knows no such release.
    """
    wanted = sections(view)
    record = entry_of(plant, release)
    tables = [
        Table(title=name.capitalize(), columns=("what", "says"), rows=[_brief(*row) for row in rows(record[name])])
        for name in wanted
        if record[name]
    ]
    status = record["status"]
    says = f"Release {short(status['release'])} of {status['model']} is {status['state']}; {status['owner']} owns it."
    return Reply(says=says, document={"record": record, "view": view or "all", "sections": wanted}, tables=tables)


def _brief(what: str, says: str) -> tuple[str, str]:
    return what, short(says) if says.startswith("sha256:") else says[:120]


def entry_of(plant: Plant, release: str | None = None) -> dict[str, Any]:
    """Return the whole record of a release as JSON data: the same for every role that reads it.

    Raises:
        NotFound: The ledger knows no such release.
        LedgerBroken: History does not fit its hashes.
    """
    subject = meant(plant, current_project(plant), release)
    project = project_of(plant, subject)
    record = record_of(plant, project.project.name, subject)
    now, names = standing(plant, project), aliases_of(plant)
    return {
        "status": _status(plant, project, record, now, names),
        "health": _health(plant, subject),
        "metrics": {control: _measures(item) for control, item in sorted(record.measured.items())},
        "versions": _versions(plant, subject, record),
        "signatures": _signatures(plant, subject),
        "approvals": {role: list(persons) for role, persons in record.approvals.items()},
        "deployment": _deployment(plant, project, subject, now),
        "links": _links(plant, project, subject, record),
        "history": [
            {
                "entry": moved.position,
                "time": moved.time,
                "by": moved.actor,
                "signal": moved.signal,
                "state": moved.state,
            }
            for moved in record.trail
        ],
    }


def _status(
    plant: Plant, project: Project, record: Record, now: Standing, names: Mapping[str, Digest]
) -> dict[str, Any]:
    pinned = record.release in now.releases or record.release in names.values()
    old = age(record, last_used(plant, project, record), plant.clock.now(), terms_of(project), pinned=pinned)
    shares = {now.baseline: 1 - now.share, now.candidate: now.share}
    return {
        "release": record.release,
        "model": project.project.name,
        "owner": project.project.owner,
        "state": record.state,
        "since": record.since,
        "reason": record.reason,
        "aliases": sorted(name for name, target in names.items() if target == record.release),
        "share": shares.get(record.release, 0.0),
        "posture": now.posture,
        "age": old,
        "held": list(record.held),
        "archived": bool(record.archived),
    }


def _health(plant: Plant, release: Digest) -> dict[str, Any]:
    """Return what was last measured on the release's own traffic; `unknown` where it never answered enough."""
    measured = plant.last(traffic_stream(release), MEASURED)
    if measured is None:
        return {"known": False}
    found: dict[str, Any] = {"known": True, "measured": measured.time}
    for item in measured.body["evidence"]:
        try:
            evidence = unseal(plant.blobs.get(Digest(item["envelope"])), EVIDENCE, plant.trust, at=measured.moment)
        except HoldfastError as error:
            found[item["control"]] = {"outcome": "not verified", "reason": error.message}
            continue
        found[item["control"]] = {"outcome": evidence.value.outcome} | _measures(evidence.value)
    return found


def _measures(evidence: Evidence) -> dict[str, Any]:
    told: dict[str, Any] = {measure.name: measure.value for measure in (*evidence.measures, *evidence.timings)}
    return told | ({"findings": len(evidence.findings)} if evidence.findings else {})


def _versions(plant: Plant, release: Digest, record: Record) -> dict[str, Any]:
    """Return the five kinds; where they cannot be told any more, why not: a purged release still has its record."""
    try:
        return versions_of(plant, release, record)
    except HoldfastError as error:
        return {"unknown": error.message}


def _signatures(plant: Plant, release: Digest) -> dict[str, Any]:
    """Return who signed the release, with which key, and how the private halves are kept."""
    signed = plant.last(release, SIGNED)
    keys = plant.trust.of_role("release")
    return {
        "bundle": signed.body["bundle"] if signed else "",
        "time": signed.time if signed else "",
        "keys": [{"keyid": key.keyid, "algorithm": key.algorithm, "owner": key.owner} for key in keys],
        "custody": plant.custody,
    }


def _deployment(plant: Plant, project: Project, release: Digest, now: Standing) -> dict[str, Any]:
    named = {now.baseline: "baseline", now.candidate: "candidate"}
    return {
        "endpoint": endpoint_stream(project),
        "epoch": now.epoch,
        "role": named.get(release, "earlier" if release in now.previous else "none"),
        "workspace": plant.trust.workspace,
    }


def _links(plant: Plant, project: Project, release: Digest, record: Record) -> dict[str, Any]:
    """Return what a release is linked to: data, code, configuration, experiment, bill of materials and incidents."""
    exact = record.measured.get("release.version/1")
    facts = exact.facts if exact else {}
    return {
        "data": {kind: facts.get(kind, "") for kind in ("source", "dataset", "features", "split")},
        "code": {"recipe": facts.get("recipe", ""), "commit": facts.get("commit", "")},
        "configuration": facts.get("project", ""),
        "experiment": _runs(plant, project, {release, *filter(None, facts.values())}),
        "bom": _bom(plant, release),
        "incidents": [
            _incident(entry) for entry in plant.ledger.stream(incident_stream(project)) if _about(entry, release)
        ],
    }


def _runs(plant: Plant, project: Project, artifacts: set[str]) -> list[dict[str, str]]:
    """Return the runs of stages, the experiment, that made a release and what it derives from."""
    return [
        {"stage": entry.body["stage"], "run": entry.body["run"], "finished": entry.time}
        for entry in plant.ledger.stream(project_stream(project))
        if entry.kind == "stage.finished" and artifacts & {item["digest"] for item in entry.body["artifacts"]}
    ]


def _bom(plant: Plant, release: Digest) -> str:
    try:
        return parse_manifest(plant.blobs.get(release)).file(BOM_FILE).digest
    except HoldfastError:
        return ""


def _about(entry: Entry, release: Digest) -> bool:
    return entry.body.get("subject") == release


def _incident(entry: Entry) -> dict[str, Any]:
    told = {key: entry.body[key] for key in ("signal", "reason", "document") if key in entry.body}
    return {"entry": entry.position, "time": entry.time, "what": entry.kind} | told
