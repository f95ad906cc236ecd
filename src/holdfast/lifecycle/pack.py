"""Evidence packs: everything recorded about one release in one file, which a stranger verifies offline.

The file is a ZIP of plain files: the audit log as the ledger holds it with a proof for each entry, the signed
statements, the release itself, trust, policies, and `verify.py`, which needs Python's standard library and openssl
only. The same ledger gives the same bytes. What it cannot prove: that nothing was said of the release after the last
entry in it.
"""

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from holdfast.core.artifact import Digest, Kind, canonical, digest_bytes, parse_manifest
from holdfast.core.entitlement import PACK_HEADING
from holdfast.core.errors import HoldfastError, InvalidInput, NotFound, Unavailable
from holdfast.core.ledger import Checkpoint, Entry, SignedCheckpoint, sign_note
from holdfast.core.passport import AUTHORIZED, FILED, RECORDED
from holdfast.core.telemetry import traffic_stream
from holdfast.core.trust import raw_ed25519
from holdfast.engines.signing import model_signing
from holdfast.lifecycle.incidents import incident_stream
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.plant import Plant
from holdfast.lifecycle.publishing import ROUTED, endpoint_stream, table_of
from holdfast.lifecycle.reply import Reply, counted, short
from holdfast.lifecycle.routing import case_of, project_of, rules_for
from holdfast.lifecycle.signing import check_signed, signature_of
from holdfast.lifecycle.witnessing import STREAM as WITNESSES
from holdfast.lifecycle.witnessing import ledger_keys
from holdfast.registry import closure

FOLDERS: Final = (
    Path(__file__).resolve().parents[3] / "evidence",  # a checkout
    Path(__file__).resolve().parents[1] / "_evidence",  # an installed wheel
)
MANIFEST: Final = "MANIFEST.sha256"
NOTE: Final = "MANIFEST.note"
MAX_SHIPPED: Final = 1 << 20  # bytes of a file that comes with Holdfast
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)  # of every file in the ZIP: the pack's own time is in its note


def pack_make(plant: Plant, *, release: str | None = None, out: Path) -> Reply:
    """Write the evidence pack of a release.

    Raises:
        NotFound: There is no such release, or more than one begins so.
        NotVerified: Something of it does not check out: a pack that would not verify is not made.
        InvalidInput: The file cannot be written.
    """
    digest = release_named(plant, release)
    files = _files(plant, digest)
    listed = "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in sorted(files.items())).encode()
    files |= {MANIFEST: listed, NOTE: _note(plant, digest, listed, files["ledger/checkpoint"])}
    document = zipped(files)
    try:
        out.write_bytes(document)
    except OSError as error:
        raise InvalidInput(f"the pack cannot be written: {error.strerror}", place=str(out)) from error
    fingerprint = digest_bytes(files["root.json"])
    says = f"{counted(len(files), 'file')} about release {short(digest)} in {out}. Give {fingerprint} by another way."
    document_ = {"release": digest, "files": len(files), "root": fingerprint, "pack": digest_bytes(document)}
    return Reply(says=says, document=document_)


def release_named(plant: Plant, begins: str | None) -> Digest:
    """Return the one release whose digest begins so; the newest where nothing is named.

    Raises:
        NotFound: There is none, or more than one.
    """
    made = [entry.stream for entry in plant.ledger.entries() if entry.kind == RECORDED and _is_release(entry)]
    if begins is None:
        found = made[-1:]
    else:
        found = [each for each in dict.fromkeys(made) if each.removeprefix("sha256:").startswith(_bare(begins))]
    if len(found) != 1:
        raise NotFound(f"{len(found)} releases begin with {str(begins)[:80]!r}", expected="the digest of one release")
    return Digest(found[0])


def _bare(begins: str) -> str:
    return begins.removeprefix("sha256:") or "-"  # nothing named begins with nothing


def _is_release(entry: Entry) -> bool:
    return entry.body.get("kind") == Kind.RELEASE


def _files(plant: Plant, release: Digest) -> dict[str, bytes]:
    """Return every file of the pack but the list of them."""
    signed = _checkpoint(plant)
    size = Checkpoint.size_of(signed)
    case = case_of(plant, release, signed)  # everything is verified here: what does not check out is not packed
    project = project_of(plant, release)
    about = closure(plant.ledger, release, size)
    beside = (endpoint_stream(project), incident_stream(project), "trust", traffic_stream(release), WITNESSES)
    entries = {entry.position: entry for entry in about}
    for stream in beside:
        entries |= {entry.position: entry for entry in plant.ledger.stream(stream) if entry.position < size}
    ordered = [entries[position] for position in sorted(entries)]
    proofs = {str(e.position): [node.hex() for node in plant.ledger.inclusion(e.position, size)] for e in ordered}
    root = read_given(plant.home.workspace / "root.json", limit=MAX_SHIPPED, what="the pinned root")
    summary = _summary(plant, release, ordered)
    return {
        "README.md": _readme(plant, release, summary, size, digest_bytes(root)),
        "verify.py": shipped("verify.py"),
        "summary.json": _pretty(summary),
        "root.json": root,
        "trust.dsse.json": plant.trust_document(),
        "ledger/checkpoint": signed.note,
        "ledger/key": "".join(f"{key}\n" for key in ledger_keys(plant)).encode(),
        "ledger/entries.jsonl": b"".join(entry.document + b"\n" for entry in ordered),
        "ledger/proofs.json": canonical(proofs),
        "passport.json": case.passport,
        **_envelopes(plant, about),
        **_release(plant, release),
        **_policies(plant, project_of(plant, release), release, ordered),
    }


def _checkpoint(plant: Plant) -> SignedCheckpoint:
    """Return the newest checkpoint if it covers everything, else one signed now: nothing new makes the same pack."""
    kept = plant.ledger.checkpoints()
    if kept and Checkpoint.size_of(kept[-1]) == plant.ledger.size():
        return kept[-1]
    plant.unlock()
    return plant.ledger.checkpoint()


def _note(plant: Plant, release: Digest, listed: bytes, checkpoint: bytes) -> bytes:
    """Return the note in which the ledger's key signs the list of files."""
    plant.unlock()
    signer = plant.keys.signer("ledger")
    moment = checkpoint.split(b"\n")[3].decode()
    text = f"{PACK_HEADING}\nrelease {release}\nmanifest {digest_bytes(listed)}\n{moment}\n".encode()
    key = plant.trust.key(signer.keyid)
    if key is None:
        raise Unavailable("the ledger's key is not trusted any more", place=signer.keyid[:16])
    return sign_note(text, name=plant.origin, public_key=raw_ed25519(key), signature=signer.sign(text))


def _envelopes(plant: Plant, entries: Iterable[Entry]) -> dict[str, bytes]:
    digests = [str(entry.body["envelope"]) for entry in entries if entry.kind in {FILED, AUTHORIZED}]
    return {f"envelopes/{each.removeprefix('sha256:')}.json": plant.blobs.get(Digest(each)) for each in digests}


def _release(plant: Plant, release: Digest) -> dict[str, bytes]:
    """Return what was released, file by file, its signature, the key that made it, and the project it was made from."""
    document = plant.blobs.get(release)
    _, bundle = signature_of(plant, release)
    files = {f"release/{file.path}": plant.blobs.get(Digest(file.digest)) for file in parse_manifest(document).files}
    keys = plant.trust.of_role(model_signing.ROLE)
    keyid = check_signed(plant, release, parse_manifest(document)).keyid
    public = next(model_signing.pem(key) for key in keys if key.keyid == keyid)
    recorded = plant.last(release, RECORDED)
    parents = recorded.body["parents"] if recorded else ()
    projects = [plant.blobs.get(Digest(each["digest"])) for each in parents if each["kind"] == Kind.PROJECT]
    declared = {"project.toml": projects[0]} if projects else {}
    return files | declared | {"release.manifest.json": document, "model.sig": bundle, "release.pub": public}


def _policies(plant: Plant, project: Any, release: Digest, entries: Iterable[Entry]) -> dict[str, bytes]:
    """Return the policy that decides about the release now, and those that route tables with it were decided by."""
    found = {rules_for(plant, project, release).text}
    for entry in entries:
        if entry.kind == ROUTED:
            found.add(plant.blobs.get(Digest(table_of(plant, entry).policy)))
    accepted = {digest_bytes(text): text for text in found}
    return {
        f"policies/{digest.removeprefix('sha256:')}.toml": text
        for digest, text in accepted.items()
        if digest in plant.trust.policies
    }


def _summary(plant: Plant, release: Digest, entries: Iterable[Entry]) -> dict[str, Any]:
    """Return the registry's record of the release, each line of it with the entry that it follows from."""
    project = project_of(plant, release)
    ordered = list(entries)
    own = [entry for entry in ordered if entry.stream == release]
    lineage = [
        {"digest": e.stream, "kind": e.body["kind"], "parents": e.body["parents"], "entry": e.position}
        for e in ordered
        if e.kind == RECORDED
    ]
    return {
        "workspace": plant.trust.workspace,
        "model": project.project.name,
        "owner": project.project.owner,
        "release": release,
        "policy": project.gates.policy,
        "history": [_line(entry) for entry in own if entry.kind not in {FILED, RECORDED}],
        "approvals": [_line(entry) for entry in own if entry.kind == AUTHORIZED],
        "decisions": [_line(entry) for entry in ordered if entry.kind in {"decision.denied", ROUTED}],
        "lineage": lineage,
    }


def _line(entry: Entry) -> dict[str, Any]:
    return {
        "entry": entry.position,
        "time": entry.time,
        "kind": entry.kind,
        "actor": entry.actor,
        "body": entry.body,
    }


def _readme(plant: Plant, release: Digest, summary: Mapping[str, Any], size: int, fingerprint: str) -> bytes:
    return (
        shipped("README.md")
        .decode()
        .format(
            model=summary["model"],
            owner=summary["owner"],
            release=release,
            short=short(release),
            workspace=plant.trust.workspace,
            size=size,
            fingerprint=fingerprint,
        )
        .encode()
    )


def _pretty(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def zipped(files: Mapping[str, bytes]) -> bytes:
    """Return a ZIP of these files: sorted, stored as they are, with one fixed time: equal files, equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, date_time=_EPOCH)
            info.external_attr = 0o644 << 16
            info.create_system = 3  # Unix, wherever it was made
            archive.writestr(info, files[name])
    return buffer.getvalue()


def shipped(name: str) -> bytes:
    """Return a file of evidence that comes with Holdfast.

    Raises:
        Unavailable: The installation lacks it.
    """
    for folder in FOLDERS:
        try:
            return read_given(folder / name, limit=MAX_SHIPPED, what=name)
        except HoldfastError:
            continue
    raise Unavailable(f"{name} is missing from this installation", remedy="Install Holdfast again.")
