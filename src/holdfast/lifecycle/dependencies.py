"""Dependencies held against the newest snapshot: of a release, a bill of materials, a lock, or what is installed here.

A release's own bill of materials is what was stored and signed with it. What is found on a release is sealed as
evidence; what is found on a file of whoever asks is only told.
"""

import json
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast import __version__
from holdfast.core.advisories import Snapshot
from holdfast.core.artifact import Artifact, Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError, InvalidInput, UsageError
from holdfast.core.evidence import Evidence, Outcome, Severity
from holdfast.core.ledger import Draft
from holdfast.core.policy import seconds
from holdfast.core.project import Dependencies, Project
from holdfast.engines.advisories.listing import check_covered, from_bom, from_environment, from_lock
from holdfast.engines.advisories.matching import Dependency, Index, Match, by_severity
from holdfast.engines.advisories.snapshot import check_fresh
from holdfast.engines.advisories.vex import Statement, acceptance
from holdfast.engines.sarif import Result, sarif
from holdfast.lifecycle.advisories import has_snapshot, index_of, newest
from holdfast.lifecycle.carrying import carry_out
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import resolve_release
from holdfast.lifecycle.registry_catalogue import releases_of
from holdfast.lifecycle.reply import Reply, Table, counted, short
from holdfast.lifecycle.routing import current_project, project_of
from holdfast.lifecycle.vex import statements_of
from holdfast.release.dependencies import DEPENDENCIES, Held, refused, words_of

BOM_FILE: Final = "bom.cdx.json"
AFFECTED: Final = "dependencies.affected"
ROWS: Final = 200  # of a table; the document holds all


def scan(
    plant: Plant,
    *,
    release: str | None = None,
    bom: Path | None = None,
    lock: Path | None = None,
    environment: bool = False,
    sarif_file: Path | None = None,
) -> Reply:
    """Hold dependencies against the newest snapshot.

    Args:
        plant: The workspace.
        release: A release, whose evidence is filed; the newest if nothing else is named.
        bom: A CycloneDX document instead.
        lock: A lock file instead.
        environment: What is installed here instead.
        sarif_file: Where to write the findings as SARIF.

    Raises:
        UsageError: Two things are named at once.
        Unavailable: There is no snapshot, or it is older than the project allows, or silent about an ecosystem.
    """
    named = [each for each in (release, bom, lock, environment or None) if each is not None]
    if len(named) > 1:
        raise UsageError("name one of a release, --bom, --lock and --environment")
    project = current_project(plant)
    if bom is None and lock is None and not environment:
        plant.unlock()
        subject = resolve_release(plant, project, release)
        place, listed = f"release {short(subject)}", of_release(plant, subject)
    else:
        subject, place, listed = Digest(""), *_named(bom, lock)
    snapshot = newest(plant)
    check_fresh(snapshot, plant.clock.now(), limit_of(project.dependencies))
    check_covered(listed, snapshot.ecosystems)
    matches, accepted = judged(plant, index_of(plant, snapshot), listed)
    evidence = _file(plant, subject, project, snapshot, listed) if subject else None
    bad = refused(matches, Severity(project.dependencies.refuse))
    if sarif_file is not None:
        write_sarif(sarif_file, place if subject else str(bom or lock or "environment"), matches, accepted)
    return _reply(place, snapshot, listed, matches, accepted, bad, evidence)


def _named(bom: Path | None, lock: Path | None) -> tuple[str, tuple[Dependency, ...]]:
    path = bom or lock
    if path is None:
        return "what is installed here", from_environment()
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"the file cannot be read: {error.strerror}", place=str(path)) from error
    return str(path), from_bom(data, str(path)) if bom else from_lock(data, str(path))


def of_release(plant: Plant, release: Digest) -> tuple[Dependency, ...]:
    """Return what a release's stored bill of materials lists.

    Raises:
        InvalidInput: It lists nothing that is known here.
    """
    manifest = parse_manifest(plant.blobs.get(release))
    return from_bom(plant.blobs.get(Digest(manifest.file(BOM_FILE).digest)), f"{short(release)}/{BOM_FILE}")


def limit_of(limits: Dependencies) -> timedelta:
    """Return how old a snapshot may be."""
    return timedelta(seconds=seconds(limits.snapshot_max_age))


def judged(
    plant: Plant, index: Index, listed: Sequence[Dependency]
) -> tuple[tuple[Match, ...], tuple[tuple[Match, str], ...]]:
    """Return what affects these and is open, and what is accepted, with the reason."""
    return divided(index.match(listed), statements_of(plant))


def divided(
    matches: Sequence[Match], said: Sequence[Statement]
) -> tuple[tuple[Match, ...], tuple[tuple[Match, str], ...]]:
    """Return the matches that stand, and those that a statement accepts, with the reason."""
    reasons = [(match, acceptance(match, said)) for match in matches]
    return tuple(match for match, reason in reasons if not reason), tuple(each for each in reasons if each[1])


def _file(
    plant: Plant,
    release: Digest,
    project: Project,
    snapshot: Snapshot,
    listed: Sequence[Dependency],
    index: Index | None = None,
) -> Evidence:
    """Seal what is found on a release as evidence, and put it on record."""
    matches, accepted = judged(plant, index or index_of(plant, snapshot), listed)
    limits = project.dependencies
    held = Held(
        snapshot=snapshot,
        dependencies=listed,
        matches=matches,
        accepted=accepted,
        refuse=Severity(limits.refuse),
        longest=limit_of(limits),
        now=plant.clock.now(),
    )
    artifact = Artifact(kind=Kind.RELEASE, digest=release, size=0)
    return carry_out(plant, DEPENDENCIES, held, artifact, configuration=snapshot.digest)


def check_new_release(plant: Plant, release: Digest) -> Evidence | None:
    """File the evidence of a release that was just made, where a snapshot is there to hold it against."""
    if not has_snapshot(plant):
        return None
    return _file(plant, release, project_of(plant, release), newest(plant), of_release(plant, release))


def rematch(plant: Plant) -> list[tuple[str, str, str]]:
    """Hold every release on record against the newest snapshot; return each with its state and words.

    A release that passed before, or was never looked at, and is refused now is newly affected: that is an event.
    """
    snapshot = newest(plant)
    index, found = index_of(plant, snapshot), list[tuple[str, str, str]]()
    for release in releases_of(plant):
        before = _last_outcome(plant, release)
        try:
            evidence = _file(plant, release, project_of(plant, release), snapshot, of_release(plant, release), index)
        except HoldfastError as error:
            found.append((release, "NOT MATCHED", error.message))
            continue
        bad = evidence.outcome is Outcome.FAILED
        state = "affected" if bad else "clear"
        if bad and before != Outcome.FAILED:
            state = "NEWLY AFFECTED"
            body = {"snapshot": snapshot.digest, "date": snapshot.date.isoformat(), "words": evidence.reason[:1000]}
            plant.ledger.append([Draft(kind=AFFECTED, actor="release", stream=release, body=body)])
        found.append((release, state, evidence.reason if bad else _counted(evidence)))
    return found


def _counted(evidence: Evidence) -> str:
    values = {measure.name: measure.value for measure in evidence.measures}
    return f"{values.get('advisories_open', 0):g} open, {values.get('advisories_accepted', 0):g} accepted"


def _last_outcome(plant: Plant, release: str) -> str:
    filed = [
        entry.body["outcome"]
        for entry in plant.ledger.stream(release)
        if entry.kind == "evidence.filed" and entry.body["control"] == DEPENDENCIES.name
    ]
    return filed[-1] if filed else ""


def document_of(match: Match, reason: str = "") -> dict[str, Any]:
    """Return a match as JSON."""
    return {
        "id": match.id,
        "aliases": list(match.aliases),
        "severity": str(match.severity),
        "ecosystem": match.dependency.ecosystem,
        "package": match.dependency.name,
        "version": match.dependency.version,
        "place": match.dependency.place,
        "fixed": list(match.fixed),
        "published": match.published.isoformat(),
        "summary": match.summary,
        "compared": match.exact,
    } | ({"accepted": reason} if reason else {})


def write_sarif(path: Path, place: str, matches: Sequence[Match], accepted: Sequence[tuple[Match, str]]) -> None:
    """Write matches as SARIF; accepted ones are suppressed with their reason.

    Raises:
        InvalidInput: The file cannot be written.
    """
    each = [*((match, "") for match in matches), *accepted]
    results = [
        Result(
            rule=match.id,
            severity=match.severity,
            message=words_of(match),
            path=place,
            inside=match.dependency.place if match.dependency.place != place else "",
            suppressed=reason,
        )
        for match, reason in each
    ]
    made = sarif(results, version=__version__, rules={match.id: match.summary or match.id for match, _ in each})
    try:
        path.write_bytes(json.dumps(made, ensure_ascii=False, indent=1).encode() + b"\n")
    except OSError as error:
        raise InvalidInput(f"the file cannot be written: {error.strerror}", place=str(path)) from error


def table_of(matches: Sequence[Match], title: str = "Advisories") -> Table:
    """Return matches as a table."""
    rows = [
        (
            str(match.severity),
            match.dependency.name,
            match.dependency.version,
            match.id,
            match.fixed[0] if match.fixed else "",
            match.summary[:80],
        )
        for match in matches[:ROWS]
    ]
    return Table(title=title, columns=("severity", "package", "version", "advisory", "fixed in", "summary"), rows=rows)


def _reply(
    place: str,
    snapshot: Snapshot,
    listed: Sequence[Dependency],
    matches: Sequence[Match],
    accepted: Sequence[tuple[Match, str]],
    bad: Sequence[Match],
    evidence: Evidence | None,
) -> Reply:
    said = ", ".join(f"{count} {name}" for name, count in by_severity(matches).items() if count) or "no open advisory"
    says = f"{place}: {said} in {counted(len(listed), 'package')}, by the snapshot as of {snapshot.date:%Y-%m-%d}"
    says += f"; {len(accepted)} accepted" if accepted else ""
    says += f". {len(bad)} MUST BE FIXED OR ACCEPTED." if bad else "."
    document = {
        "snapshot": msgspec.to_builtins(snapshot),
        "packages": len(listed),
        "advisories": [document_of(match) for match in matches],
        "accepted": [document_of(match, reason) for match, reason in accepted],
        "refused": len(bad),
    } | ({"outcome": str(evidence.outcome)} if evidence else {})
    return Reply(says=says, document=document, tables=(table_of(matches),), exit_code=1 if bad else 0)
