"""Proof: `why`, the chain of evidence from rows to answer, shown to somebody who does not believe us.

Nothing here signs where nothing new must be signed: with a checkpoint of the present ledger at hand, or of one that has
only grown elsewhere, the chain is proved without any key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind, parse_manifest
from holdfast.core.errors import HoldfastError, NotFound, NotVerified, Unavailable
from holdfast.core.evidence import Evidence
from holdfast.core.ledger import Checkpoint
from holdfast.core.passport import Dossier, Filed, Node
from holdfast.core.policy import Action, Denial, Permit
from holdfast.core.project import Project
from holdfast.lifecycle import FOLDERS
from holdfast.lifecycle.erasure import erased
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.promotion import newest_release
from holdfast.lifecycle.publishing import endpoint_stream, standing
from holdfast.lifecycle.records import about_of
from holdfast.lifecycle.reply import Reply, Table, short
from holdfast.lifecycle.routing import Case, case_of, current_project, judge, rules_for
from holdfast.registry import news_of

_ORDER: Final = (
    Kind.SOURCE,
    Kind.PROJECT,
    Kind.DATASET,
    Kind.VIEWS,
    Kind.FEATURES,
    Kind.SPLIT,
    Kind.RECIPE,
    Kind.FOREIGN,
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
        Unavailable: Something was said of it after the newest checkpoint, and the keys cannot be had to sign another.
    """
    project = current_project(plant)
    if model not in {None, project.project.name}:
        raise NotFound(f"this workspace holds no model {model!r}", expected=project.project.name)
    answers = standing(plant, project).baseline
    release = answers or newest_release(plant, project)
    if not release:
        raise NotFound("no release has been made yet", remedy="Make one with `holdfast run`.")
    case, aside = proved(plant, Digest(release))  # 1.
    links = tuple(_link(plant, node) for node in _ordered(case.dossier))  # 2.
    broken = [link for link in links if not link.bytes_ok]
    if broken:
        words = f"{len(broken)} link(s) of the chain do not hold: {broken[0].words}"
        raise NotVerified(words, place=broken[0].node.digest)
    verdict = judge(plant, rules_for(plant, project, release), case.dossier, Action.SERVE)  # 3.
    name, evidence = project.project.name, sum(len(node.filed) for node in case.dossier.nodes.values())
    begins = f"{name} answers with release" if answers else f"nothing answers for {name}; its newest release is"
    says = (
        f"{begins} {short(release)}: {len(links)} artifacts and {evidence} sealed evidence lead to it from the rows it "
        f"learned from, every link verified, {_said(verdict)}.{aside}"
    )
    return Reply(
        says=says,
        document=_document(plant, project, case.dossier, links, verdict),
        tables=_tables(links),
        page=html,
        exit_code=1 if isinstance(verdict, Denial) else 0,
    )


def _said(verdict: Permit | Denial) -> str:
    if isinstance(verdict, Denial):
        return f"but the policy denies it: {verdict.reasons[0]}"
    return "and the policy permits it"


def proved(plant: Plant, release: Digest) -> tuple[Case, str]:
    """Return all that is proved about a release, and in words what a reader must know of the proof.

    1. A checkpoint of the ledger as it is now proves everything. 2. Where it has grown since, another is signed if the
    keys can be unlocked. 3. Where they cannot, the newest one will do if nothing that matters was said of the release
    or of what it derives from since.

    Raises:
        NotVerified: Something does not check out.
        Unavailable: Something that matters was said since, or there is no checkpoint at all.
    """
    kept, size = plant.ledger.checkpoints(), plant.ledger.size()
    if kept and Checkpoint.size_of(kept[-1]) == size:
        return case_of(plant, release, kept[-1]), ""  # 1.
    try:
        plant.unlock()
    except HoldfastError as locked:  # 3.
        remedy = f"Unlock the keys, so that a checkpoint can be signed. {locked}"
        if not kept:
            raise Unavailable("no checkpoint was ever signed, and the keys are locked", remedy=remedy) from locked
        covered = Checkpoint.size_of(kept[-1])
        later = news_of(plant.ledger, release, covered)
        if later:
            words = f"{len(later)} entries are newer than the newest checkpoint, and the keys are locked"
            raise Unavailable(words, place=f"entry {later[0].position}", remedy=remedy) from locked
        words = f" The keys are locked: this rests on the checkpoint at {covered} of {size} entries, since when nothing"
        return case_of(plant, release, kept[-1]), f"{words} was said of it."
    return case_of(plant, release), ""  # 2.


def _ordered(dossier: Dossier) -> list[Node]:
    rank = {kind: place for place, kind in enumerate(_ORDER)}
    return sorted(dossier.nodes.values(), key=lambda node: (rank.get(node.kind, len(rank)), node.digest))


def _link(plant: Plant, node: Node) -> Link:
    """Read an artifact's bytes, and for a folder its files', and compare them with their digests."""
    words = "bytes match"
    try:
        opened = plant.blobs.check(node.digest)
        if node.kind in FOLDERS:
            for file in parse_manifest(plant.blobs.get(node.digest)).files:
                opened &= plant.blobs.check(Digest(file.digest))
        words = words if opened else "encrypted bytes match; the keys are locked"
    except NotFound as error:
        if not erased(plant, error.place):
            return Link(node=node, bytes_ok=False, words=str(error))
        words = "erased, which is on record"
    except HoldfastError as error:
        return Link(node=node, bytes_ok=False, words=str(error))
    return Link(node=node, bytes_ok=True, words=words)


def _tables(links: Sequence[Link]) -> tuple[Table, ...]:
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
    return "; ".join(map(str, measures[:3])) or evidence.reason


def _document(
    plant: Plant, project: Project, dossier: Dossier, links: Sequence[Link], verdict: Permit | Denial
) -> Mapping[str, Any]:
    """Return everything `why` knows, as JSON data."""
    denied = isinstance(verdict, Denial)
    now = standing(plant, project)
    return {
        "model": project.project.name,
        "owner": project.project.owner,
        "release": dossier.subject,
        "in_production": dossier.subject == now.baseline,
        "epoch": now.epoch,
        "workspace": plant.trust.workspace,
        "checkpoint": {"size": dossier.checkpoint.size, "root": dossier.checkpoint.root.hex()},
        "decision": "denied" if denied else "permitted",
        "reasons": [str(reason) for reason in verdict.reasons] if isinstance(verdict, Denial) else [],
        "chain": [_link_document(link) for link in links],
        "history": [
            {
                "position": entry.position,
                "time": entry.time,
                "kind": entry.kind,
                "actor": entry.actor,
                "about": about_of(entry.body),
            }
            for entry in plant.ledger.stream(endpoint_stream(project))
        ],
    }


def _link_document(link: Link) -> dict[str, Any]:
    return {
        "kind": link.node.kind,
        "digest": link.node.digest,
        "parents": [{"kind": kind, "digest": digest} for kind, digest in link.node.parents],
        "verified": link.bytes_ok,
        "words": link.words,
        "evidence": [_evidence_document(item) for item in link.node.filed],
        "authorizations": [
            {"person": word.value.person, "action": word.value.action, "reason": word.value.reason}
            for word in link.node.authorizations
        ],
    }


def _evidence_document(item: Filed) -> dict[str, Any]:
    evidence = item.evidence
    return {
        "control": evidence.control,
        "outcome": evidence.outcome,
        "measures": [
            {"name": m.name, "value": m.value, "low": m.low, "high": m.high, "n": m.n, "unit": m.unit}
            for m in (*evidence.measures, *evidence.timings)
        ],
        "findings": [{"severity": f.severity, "place": f.place, "message": f.message} for f in evidence.findings],
        "reason": evidence.reason,
        "facts": evidence.facts,
        "signed_by": [key.role for key in item.verified.signers],
        "time": item.time.isoformat(),
    }
