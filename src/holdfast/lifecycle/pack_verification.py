"""Evidence packs verified by Holdfast itself, without a workspace: a second reading beside the pack's own `verify.py`.

Nothing in a pack is believed because it is there: the root's fingerprint comes by another way, the root keys vouch for
the trust, the trust for the ledger's key, its checkpoint for the entries, the entries for everything else.
"""

import io
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from holdfast.core.artifact import Digest, digest_bytes, parse_manifest
from holdfast.core.entitlement import PACK_HEADING
from holdfast.core.errors import HoldfastError, InvalidInput, NotVerified
from holdfast.core.inclusion import pinned_trust
from holdfast.core.ledger import GENESIS, Checkpoint, Entry, entry_hash, open_note, parse_entry
from holdfast.core.merkle import leaf_hash, verify_inclusion
from holdfast.core.passport import AUTHORIZED, FILED, Dossier, open_passport, parse_passport
from holdfast.core.trust import Trust, raw_ed25519
from holdfast.engines.signing import model_signing
from holdfast.lifecycle.inputs import read_given
from holdfast.lifecycle.pack import MANIFEST, NOTE
from holdfast.lifecycle.reply import Reply, Table, short

MAX_PACK: Final = 4 << 30  # bytes of all files together; a release is seldom a tenth of it
MAX_FILES: Final = 100_000
_MODES: Final = 0o170000  # of a Unix file: its sort
_LINK: Final = 0o120000


def read_pack(path: Path) -> dict[str, bytes]:
    """Return the files of a pack, nothing believed; no name leads out of it, and none is given twice.

    Raises:
        InvalidInput: It is no ZIP of plain, stored files, or too large.
    """
    document = read_given(path, limit=MAX_PACK + 1, what="the pack")
    place = str(path)
    if len(document) > MAX_PACK:
        raise InvalidInput("the pack is too large", place=place, expected=f"at most {MAX_PACK} bytes")
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(document)) as archive:
            for info in archive.infolist():
                parts = info.filename.split("/")
                odd = info.compress_type != zipfile.ZIP_STORED or info.external_attr >> 16 & _MODES == _LINK
                if odd or info.filename in files or {"", ".", ".."} & set(parts) or "\\" in info.filename:
                    raise InvalidInput(f"a file {info.filename[:80]!r} that no pack holds", place=place)
                if len(files) >= MAX_FILES:
                    raise InvalidInput("the pack holds too many files", place=place, expected=f"at most {MAX_FILES}")
                files[info.filename] = archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, NotImplementedError, ValueError) as error:
        raise InvalidInput(f"this is not a pack: {error}", place=place, expected="what `pack make` wrote") from error
    return files


@dataclass(slots=True, kw_only=True)
class _Reading:
    """A pack while it is read: what each step has made sure of is the ground of the next."""

    files: Mapping[str, bytes]
    trust: Trust | None = None
    dossier: Dossier | None = None

    def file(self, name: str) -> bytes:
        if name not in self.files:
            raise NotVerified("the pack lacks a file", place=name)
        return self.files[name]

    def believed(self) -> Trust:
        if self.trust is None:
            raise NotVerified("whose word counts is not verified", place="trust.dsse.json")
        return self.trust

    def proved(self) -> Dossier:
        if self.dossier is None:
            raise NotVerified("the passport is not verified", place="passport.json")
        return self.dossier


def verify_pack(path: Path, fingerprint: str) -> Reply:
    """Verify a pack; every step is made, also after one has failed.

    Raises:
        InvalidInput: The file is no pack.
    """
    reading = _Reading(files=read_pack(path))
    steps: tuple[tuple[str, Callable[[_Reading], str]], ...] = (
        ("root", lambda found: _root(found, fingerprint)),
        ("files", _listed),
        ("passport", _passport),
        ("list", _list_signature),
        ("audit log", _audit_log),
        ("statements", _statements),
        ("release", _release),
        ("policies", _policies),
    )
    rows: list[tuple[str, str, str]] = []
    for name, check in steps:
        try:
            rows.append((name, "ok", check(reading)))
        except HoldfastError as error:
            rows.append((name, "BROKEN", str(error)))
    bad = [row for row in rows if row[1] == "BROKEN"]
    document = {"checks": [{"what": what, "result": result, "words": words} for what, result, words in rows]}
    says = f"{len(bad)} of {len(rows)} checks failed: {bad[0][0]}: {bad[0][2]}" if bad else "The pack verifies."
    table = Table(title="Evidence pack", columns=("what", "result", "words"), rows=rows)
    return Reply(says=says, document=document, tables=(table,), exit_code=NotVerified.exit_code if bad else 0)


def _root(pack: _Reading, fingerprint: str) -> str:
    passport = parse_passport(pack.file("passport.json"))
    # The trust is judged as of the checkpoint's own time, which the passport's opening then holds against the keys.
    moment = _moment(passport.checkpoint.encode())
    root, sealed = pack.file("root.json"), pack.file("trust.dsse.json")
    trust = pinned_trust(root, sealed, fingerprint=fingerprint, at=moment)
    pack.trust = trust
    return f"{short(fingerprint)} vouches for version {trust.version} of the trust of {trust.workspace}"


def _moment(note: bytes) -> datetime:
    try:
        moment = datetime.fromisoformat(note.split(b"\n")[3].decode().removeprefix("time "))
    except (IndexError, ValueError) as error:
        raise NotVerified("the checkpoint states no time", place="passport.json") from error
    if moment.tzinfo is None:
        raise NotVerified("the checkpoint's time has no zone", place="passport.json")
    return moment


def _listed(pack: _Reading) -> str:
    listed = {}
    for line in pack.file(MANIFEST).decode(errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        listed[name] = f"sha256:{digest}"
    found = {name: digest_bytes(data) for name, data in pack.files.items() if name not in {MANIFEST, NOTE}}
    for name in sorted(listed.keys() | found.keys()):
        if listed.get(name) != found.get(name):
            what = "was changed" if name in listed and name in found else "is missing or not listed"
            raise NotVerified(f"a file {what}", place=name)
    return f"{len(found)} files are the listed ones"


def _passport(pack: _Reading) -> str:
    trust = pack.believed()
    passport = parse_passport(pack.file("passport.json"))
    if passport.checkpoint.encode() != pack.file("ledger/checkpoint"):
        raise NotVerified("passport and audit log name different checkpoints", place="ledger/checkpoint")
    pack.dossier = open_passport(passport, trust, origin=trust.workspace)
    revoked = [node for node in pack.dossier.nodes.values() if node.revoked]
    if revoked:
        raise NotVerified(f"a {revoked[0].kind} was revoked: {revoked[0].revoked}", place=revoked[0].digest)
    evidence = sum(len(node.filed) for node in pack.dossier.nodes.values())
    return f"{len(pack.dossier.nodes)} artifacts with {evidence} envelopes of evidence, none revoked"


def _list_signature(pack: _Reading) -> str:
    trust, dossier = pack.believed(), pack.proved()
    refusal = NotVerified("no ledger key is trusted", place=NOTE)
    for key in trust.of_role("ledger"):
        try:
            text = open_note(pack.file(NOTE), name=trust.workspace, public_key=raw_ed25519(key))
        except NotVerified as error:
            refusal = error
            continue
        wanted = f"{PACK_HEADING}\nrelease {dossier.subject}\nmanifest {digest_bytes(pack.file(MANIFEST))}\n".encode()
        if not text.startswith(wanted):
            raise NotVerified("the note speaks of another list", place=NOTE)
        return "the ledger's key has signed the list of files"
    raise refusal


def _audit_log(pack: _Reading) -> str:
    checkpoint = pack.proved().checkpoint
    heads: dict[str, tuple[int, str]] = {}
    for entry, document in _entries(pack, checkpoint):
        if (entry.stream_position, entry.stream_previous) != heads.get(entry.stream, (0, GENESIS)):
            raise NotVerified(f"the history of {entry.stream} has a gap", place=f"entry {entry.position}")
        heads[entry.stream] = (entry.stream_position + 1, entry_hash(document))
    lacking = [name for name, head in pack.proved().heads.items() if heads.get(name) != head]
    if lacking:
        raise NotVerified("the audit log ends before the passport", place=lacking[0])
    return f"{sum(head[0] for head in heads.values())} entries in {len(heads)} streams, each proved, without gaps"


def _entries(pack: _Reading, checkpoint: Checkpoint) -> list[tuple[Entry, bytes]]:
    try:
        proofs = msgspec.json.decode(pack.file("ledger/proofs.json"), type=dict[str, list[str]])
        paths = {int(number): [bytes.fromhex(each) for each in path] for number, path in proofs.items()}
    except (msgspec.MsgspecError, ValueError) as error:
        raise NotVerified(f"the proofs cannot be read: {error}", place="ledger/proofs.json") from error
    found: list[tuple[Entry, bytes]] = []
    for document in pack.file("ledger/entries.jsonl").splitlines():
        entry = parse_entry(document)
        path = paths.get(entry.position, [])
        verify_inclusion(leaf_hash(document), entry.position, checkpoint.size, path, checkpoint.root)
        if found and entry.position <= found[-1][0].position:
            raise NotVerified("the entries are out of order", place=f"entry {entry.position}")
        found.append((entry, document))
    return found


def _statements(pack: _Reading) -> str:
    named = {
        f"envelopes/{str(entry.body['envelope']).removeprefix('sha256:')}.json"
        for entry, _ in _entries(pack, pack.proved().checkpoint)
        if entry.kind in {FILED, AUTHORIZED} and entry.stream in pack.proved().nodes
    }
    there = {name for name in pack.files if name.startswith("envelopes/")}
    for name in sorted(named ^ there):
        raise NotVerified("a statement is missing, or named by no entry", place=name)
    for name in sorted(there):
        if digest_bytes(pack.file(name)) != "sha256:" + name.removeprefix("envelopes/").removesuffix(".json"):
            raise NotVerified("a statement was changed", place=name)
    return f"{len(there)} statements are those that the passport unsealed"


def _release(pack: _Reading) -> str:
    document = pack.file("release.manifest.json")
    if digest_bytes(document) != pack.proved().subject:
        raise NotVerified("the manifest is not the release", place="release.manifest.json")
    prefix = "release/"
    files = {
        name.removeprefix(prefix): digest_bytes(pack.files[name]) for name in pack.files if name.startswith(prefix)
    }
    listed = {file.path: Digest(file.digest) for file in parse_manifest(document).files}
    if files != listed:
        raise NotVerified("the files are not those of the release", place=prefix)
    bundle = pack.file("model.sig")
    keys, taken_in = pack.believed().of_role(model_signing.ROLE), _taken_in(pack, digest_bytes(bundle))
    model_signing.verify(bundle, files.items(), keys, at=taken_in)
    return f"{len(files)} files are the signed ones"


def _taken_in(pack: _Reading, bundle: Digest) -> datetime:
    """Return when the ledger took the signature in; its key's window is judged then."""
    for entry, _ in _entries(pack, pack.proved().checkpoint):
        if entry.kind == "release.signed" and entry.body.get("bundle") == bundle:
            return entry.moment
    raise NotVerified("the audit log knows no such signature", place="model.sig")


def _policies(pack: _Reading) -> str:
    texts = {name: digest_bytes(data) for name, data in pack.files.items() if name.startswith("policies/")}
    for name, digest in texts.items():
        if name != f"policies/{digest.removeprefix('sha256:')}.toml" or digest not in pack.believed().policies:
            raise NotVerified("this is not an accepted policy", place=name)
    if not texts:
        raise NotVerified("the pack holds no policy", place="policies/")
    return f"{len(texts)} policies are accepted by the root keys"
