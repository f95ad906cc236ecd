"""Proof: `why`, `verify`, `log` and the ledger's commands: what can be shown to somebody who does not believe us."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind, digest_bytes, parse_manifest
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, NotVerified
from holdfast.core.evidence import Evidence
from holdfast.core.ledger import Checkpoint, SignedCheckpoint, open_checkpoint
from holdfast.core.passport import Dossier, Node
from holdfast.core.policy import Action, Denial
from holdfast.core.project import Project
from holdfast.core.trust import raw_ed25519
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import newest_release
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import current_project, decision, dossier_of, endpoint_stream, standing

_ORDER: Final = (
    Kind.SOURCE,
    Kind.PROJECT,
    Kind.DATASET,
    Kind.FEATURES,
    Kind.SPLIT,
    Kind.RECIPE,
    Kind.MODEL,
    Kind.RELEASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """One link of the chain from rows to answer: an artifact, and whether its bytes and evidence check out."""

    node: Node
    bytes_ok: bool
    words: str


def why(plant: Plant, *, model: str | None = None, html: Path | None = None) -> Reply:
    """Show the chain of evidence from rows to answer for what is in production, each link verified.

    1. Every entry is proved in the signed tree and every envelope unsealed (opening the dossier does it). 2. Every
    artifact's bytes are read and compared with their digest. 3. The policy decides anew.

    Raises:
        NotFound: The workspace has no such model, or no release yet.
        NotVerified: A link of the chain does not hold.
    """
    project = current_project(plant)
    if model not in {None, project.project.name}:
        raise NotFound(f"this workspace holds no model {model!r}", expected=project.project.name)
    release = standing(plant, project).baseline or newest_release(plant, project)
    if not release:
        raise NotFound("no release has been made yet", remedy="Make one with `holdfast run`.")
    dossier, _ = dossier_of(plant, Digest(release))  # 1.
    links = tuple(_link(plant, node) for node in _ordered(dossier))  # 2.
    verdict, _ = decision(plant, project, Digest(release), Action.SERVE)  # 3.
    broken = [link for link in links if not link.bytes_ok]
    document = _document(plant, project, dossier, links, verdict)
    if broken:
        raise NotVerified(
            f"{len(broken)} link(s) of the chain do not hold: {broken[0].words}", place=broken[0].node.digest
        )
    said = (
        "and the policy permits it"
        if not isinstance(verdict, Denial)
        else f"but the policy denies it: {verdict.reasons[0]}"
    )
    evidence = sum(len(node.filed) for node in dossier.nodes.values())
    says = (
        f"{project.project.name} answers with release {short(release)}: {len(links)} artifacts and {evidence} sealed "
        f"evidence lead to it from the rows it learned from, every link verified, {said}."
    )
    return Reply(
        says=says,
        document=document,
        tables=_tables(dossier, links),
        page=html,
        exit_code=1 if isinstance(verdict, Denial) else 0,
    )


def _ordered(dossier: Dossier) -> list[Node]:
    rank = {kind: place for place, kind in enumerate(_ORDER)}
    return sorted(dossier.nodes.values(), key=lambda node: (rank.get(node.kind, len(rank)), node.digest))


def _link(plant: Plant, node: Node) -> Link:
    """Read an artifact's bytes, and for a folder its files', and compare them with their digests."""
    try:
        document = plant.blobs.get(node.digest)
        if node.kind in _FOLDERS:
            for file in parse_manifest(document).files:
                plant.blobs.get(Digest(file.digest))
    except HoldfastError as error:
        return Link(node=node, bytes_ok=False, words=str(error))
    return Link(node=node, bytes_ok=True, words="bytes match")


_FOLDERS: Final = {
    Kind.DATASET,
    Kind.QUARANTINE,
    Kind.FEATURES,
    Kind.SPLIT,
    Kind.RECIPE,
    Kind.MODEL,
    Kind.BASELINE,
    Kind.RELEASE,
}


def _tables(dossier: Dossier, links: tuple[Link, ...]) -> tuple[Table, ...]:
    chain = [
        (
            link.node.kind,
            short(link.node.digest),
            ", ".join(f"{kind} {short(parent)}" for kind, parent in link.node.parents) or "—",
            str(len(link.node.filed)),
            "verified" if link.bytes_ok else "BROKEN",
        )
        for link in links
    ]
    evidence = [
        (
            item.evidence.control,
            item.evidence.outcome,
            _shown(item.evidence),
            item.verified.signers[0].role,
            f"{item.time:%H:%M:%S}",
        )
        for link in links
        for item in link.node.filed
    ]
    return (
        Table(
            title="From rows to answer", columns=("artifact", "digest", "derives from", "evidence", "link"), rows=chain
        ),
        Table(title="Evidence", columns=("control", "outcome", "measures", "signed by", "filed"), rows=evidence),
    )


def _shown(evidence: Evidence) -> str:
    measures = (*evidence.measures, *evidence.timings)
    return (
        "; ".join(f"{m.name} {m.value:.4g} [{m.low:.4g}, {m.high:.4g}]" for m in measures[:3]) or evidence.reason[:80]
    )


def _document(
    plant: Plant, project: Project, dossier: Dossier, links: tuple[Link, ...], verdict: object
) -> Mapping[str, Any]:
    """Return everything `why` knows, as JSON data."""
    denied = isinstance(verdict, Denial)
    now = standing(plant, project)
    return {
        "model": project.project.name,
        "owner": project.project.owner,
        "release": dossier.subject,
        "epoch": now.epoch,
        "workspace": plant.trust.workspace,
        "checkpoint": {"size": dossier.checkpoint.size, "root": dossier.checkpoint.root.hex()},
        "decision": "denied" if denied else "permitted",
        "reasons": [str(reason) for reason in verdict.reasons] if isinstance(verdict, Denial) else [],
        "chain": [
            {
                "kind": link.node.kind,
                "digest": link.node.digest,
                "parents": [{"kind": kind, "digest": digest} for kind, digest in link.node.parents],
                "verified": link.bytes_ok,
                "words": link.words,
                "evidence": [
                    {
                        "control": item.evidence.control,
                        "outcome": item.evidence.outcome,
                        "measures": [
                            {"name": m.name, "value": m.value, "low": m.low, "high": m.high, "n": m.n, "unit": m.unit}
                            for m in (*item.evidence.measures, *item.evidence.timings)
                        ],
                        "findings": [
                            {"severity": f.severity, "place": f.place, "message": f.message}
                            for f in item.evidence.findings
                        ],
                        "reason": item.evidence.reason,
                        "facts": item.evidence.facts,
                        "signed_by": [key.role for key in item.verified.signers],
                        "time": item.time.isoformat(),
                    }
                    for item in link.node.filed
                ],
                "authorizations": [
                    {"person": word.value.person, "action": word.value.action, "reason": word.value.reason}
                    for word in link.node.authorizations
                ],
            }
            for link in links
        ],
        "history": [
            {
                "position": entry.position,
                "time": entry.time,
                "kind": entry.kind,
                "actor": entry.actor,
                "about": _about(entry.body),
            }
            for entry in plant.ledger.stream(endpoint_stream(project))
        ],
    }


def _about(body: Mapping[str, Any]) -> str:
    standing_body = body.get("standing")
    if isinstance(standing_body, Mapping):
        share = (
            f", candidate {short(standing_body['candidate'])} {standing_body['share']:.0%}"
            if standing_body["candidate"]
            else ""
        )
        return f"epoch {standing_body['epoch']}: {short(standing_body['baseline']) or 'nothing'}{share}"
    for key in ("control", "reason", "action", "kind", "stage", "id", "name"):
        if body.get(key):
            return str(body[key])[:100]
    return ""


def verify(plant: Plant, *, checkpoint: Path | None = None) -> Reply:
    """Verify ledger, blobs, evidence signatures and routes of this workspace.

    Raises:
        LedgerBroken: With the first entry that does not fit.
        NotVerified: A blob is damaged or an envelope does not verify.
    """
    checked: list[tuple[str, str, str]] = []
    _step(checked, "ledger", lambda: _ledger_words(plant, checkpoint))
    _step(checked, "artifacts", lambda: _artifact_words(plant))
    project = current_project(plant)
    releases = standing(plant, project).releases
    for release in releases:
        _step(checked, f"release {short(release)}", partial(_release_words, plant, release))
    bad = [row for row in checked if row[1] != "ok"]
    table = Table(title="Verification", columns=("what", "result", "words"), rows=checked)
    document = {"checks": [{"what": what, "result": result, "words": words} for what, result, words in checked]}
    says = (
        "Everything verifies." if not bad else f"{len(bad)} of {len(checked)} checks failed: {bad[0][0]}: {bad[0][2]}"
    )
    return Reply(says=says, document=document, tables=(table,), exit_code=NotVerified.exit_code if bad else 0)


def _step(checked: list[tuple[str, str, str]], what: str, check: Callable[[], str]) -> None:
    try:
        checked.append((what, "ok", check()))
    except HoldfastError as error:
        checked.append((what, "BROKEN", str(error)))


def _ledger_words(plant: Plant, checkpoint: Path | None) -> str:
    outside = (_outside(plant, checkpoint),) if checkpoint else ()
    found = plant.ledger.verify(outside)
    anchor = (
        f"anchored at {found.anchored}" if found.anchored is not None else "unanchored: no outside checkpoint was given"
    )
    return f"{found.size} entries; chain, tree and every table made from them hold, {anchor}"


def _outside(plant: Plant, path: Path) -> Checkpoint:
    try:
        note = path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"the checkpoint cannot be read: {error.strerror}", place=str(path)) from error
    refusal = NotVerified("no ledger key is trusted", place=str(path))
    for key in plant.trust.of_role("ledger"):
        try:
            return open_checkpoint(SignedCheckpoint(note=note), origin=plant.origin, public_key=raw_ed25519(key))
        except NotVerified as error:
            refusal = error
    raise refusal


def _artifact_words(plant: Plant) -> str:
    count = 0
    for entry in plant.ledger.entries():
        if entry.kind == "artifact.recorded":
            document = plant.blobs.get(Digest(entry.stream))
            count += 1
            if Kind(entry.body["kind"]) in _FOLDERS:
                for file in parse_manifest(document).files:
                    plant.blobs.get(Digest(file.digest))
                    count += 1
    return f"{count} blobs have the bytes they were recorded with"


def _release_words(plant: Plant, release: str) -> str:
    dossier, _ = dossier_of(plant, Digest(release))
    evidence = sum(len(node.filed) for node in dossier.nodes.values())
    return f"{len(dossier.nodes)} artifacts, {evidence} envelopes unsealed"


def log(plant: Plant, *, last: int = 20, about: str | None = None) -> Reply:
    """List what happened, newest last."""
    if last < 1:
        raise InvalidInput(f"--last {last}", expected="at least 1")
    wanted = (about or "").removeprefix("sha256:")
    entries = [
        entry
        for entry in plant.ledger.entries()
        if wanted in entry.stream.removeprefix("sha256:") or (wanted and wanted in str(entry.body))
    ][-last:]
    rows = [
        (
            str(entry.position),
            f"{datetime.fromisoformat(entry.time):%Y-%m-%d %H:%M:%S}",
            entry.actor,
            entry.kind,
            _where(entry.stream),
            _about(entry.body),
        )
        for entry in entries
    ]
    table = Table(title="Ledger", columns=("entry", "time (UTC)", "actor", "what", "about", "details"), rows=rows)
    document = {
        "entries": [
            {
                "position": e.position,
                "time": e.time,
                "kind": e.kind,
                "actor": e.actor,
                "stream": e.stream,
                "body": e.body,
            }
            for e in entries
        ]
    }
    return Reply(says=f"{len(entries)} of {plant.ledger.size()} entries.", document=document, tables=(table,))


def _where(stream: str) -> str:
    return short(stream) if stream.startswith("sha256:") else stream


def keys(plant: Plant) -> Reply:
    """List the trusted keys: role, algorithm, window and custody; never a secret."""
    rows = [
        (
            key.role,
            key.algorithm,
            key.keyid[:16],
            key.owner,
            f"{key.not_after:%Y-%m-%d}",
            "revoked" if key.keyid in plant.trust.revoked else "active",
        )
        for key in plant.trust.keys
    ]
    table = Table(title="Keys", columns=("role", "algorithm", "key id", "owner", "until", "state"), rows=rows)
    document = {
        "custody": plant.custody,
        "keys": [
            {"role": k.role, "algorithm": k.algorithm, "keyid": k.keyid, "owner": k.owner} for k in plant.trust.keys
        ],
    }
    return Reply(says=f"{len(rows)} keys; private halves: {plant.custody}.", document=document, tables=(table,))


def ledger_verify(plant: Plant, *, checkpoint: Path | None = None) -> Reply:
    """Check every entry of the ledger.

    Raises:
        LedgerBroken: With the first entry that does not fit as its place.
    """
    outside = (_outside(plant, checkpoint),) if checkpoint else ()
    found = plant.ledger.verify(outside)
    anchor = f"anchored at entry {found.anchored}" if found.anchored is not None else "unanchored"
    document = {"size": found.size, "root": found.root.hex(), "head": found.head, "anchored": found.anchored}
    advice = "" if outside else " Keep a checkpoint elsewhere (`holdfast ledger checkpoint`) to detect a rewritten end."
    return Reply(says=f"{found.size} entries hold together, {anchor}.{advice}", document=document)


def ledger_checkpoint(plant: Plant, *, out: Path) -> Reply:
    """Sign a checkpoint and write it where the caller says: it is worth something only away from the ledger."""
    note = plant.ledger.checkpoint().note
    try:
        out.write_bytes(note)
    except OSError as error:
        raise InvalidInput(f"the checkpoint cannot be written: {error.strerror}", place=str(out)) from error
    return Reply(
        says=f"Checkpoint of {plant.ledger.size()} entries written to {out}.", document={"digest": digest_bytes(note)}
    )


def ledger_rebuild(plant: Plant) -> Reply:
    """Make every table that queries read anew from the ledger, and say whether anything differed."""
    rebuilt = plant.ledger.rebuild()
    found = f"these had differed: {', '.join(rebuilt.differed)}" if rebuilt.differed else "nothing differed"
    says = f"Rebuilt from {rebuilt.entries} entries; {found}."
    return Reply(says=says, document={"entries": rebuilt.entries, "differed": list(rebuilt.differed)})
