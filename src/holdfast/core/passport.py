"""Passports: the self-contained closure of everything recorded about a release and all it derives from.

A passport carries whole streams of the ledger, so bad news cannot be left out: each stream is gap-free from its first
entry, each entry is proved to be in the signed tree, each envelope is unsealed at the time the ledger witnessed.
`open_passport` is the only maker of a `Dossier`, and `decide` accepts nothing else.
"""

import base64
import binascii
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.artifact import Digest, Kind, digest_bytes, parse_digest
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import Evidence
from holdfast.core.ledger import (
    GENESIS,
    Checkpoint,
    Entry,
    Heads,
    SignedCheckpoint,
    entry_hash,
    open_checkpoint,
    parse_entry,
)
from holdfast.core.merkle import leaf_hash, verify_inclusion
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, Authorization, Verified, unseal
from holdfast.core.trust import Trust, raw_ed25519

MAX_PASSPORT: Final = 64 << 20  # bytes
MAX_ENTRIES: Final = 20_000  # entries of one closure; a hundred nodes with two hundred events each
MAX_DEPTH: Final = 32  # edges from a release to its farthest source

RECORDED: Final = "artifact.recorded"  # body: kind, size, parents
STARTED: Final = "control.started"  # body: control, run
FILED: Final = "evidence.filed"  # body: control, run, envelope
AUTHORIZED: Final = "authorization.filed"  # body: envelope
REVOKED: Final = "artifact.revoked"  # body: reason


class ProvenEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A ledger entry's document, and the audit path that puts it into the checkpoint's tree."""

    document: str  # base64
    path: tuple[str, ...]  # hex


class Passport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything needed to decide about a subject anew, without database or network."""

    subject: str
    checkpoint: str  # the signed note
    entries: tuple[ProvenEntry, ...]
    envelopes: tuple[str, ...]  # base64


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """Evidence with the moment the ledger took it in."""

    verified: Verified[Evidence]
    time: datetime

    @property
    def evidence(self) -> Evidence:
        """The evidence itself."""
        return self.verified.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One artifact of the closure with all that is recorded about it."""

    digest: Digest
    kind: Kind
    parents: tuple[tuple[Kind, Digest], ...]
    filed: tuple[Filed, ...]  # in ledger order
    unfinished: tuple[str, ...]  # controls that were started and never filed anything
    authorizations: tuple[Verified[Authorization], ...]
    revoked: str  # the reason, empty when not revoked


_MAKER: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """A verified closure: what `decide` reads."""

    subject: Digest
    nodes: Mapping[Digest, Node]
    heads: Heads
    checkpoint: Checkpoint
    trust: Trust
    maker: object

    def __post_init__(self) -> None:
        """Refuse every maker but `open_passport`."""
        if self.maker is not _MAKER:
            raise NotVerified("only open_passport() makes a dossier", place=self.subject)


def parse_passport(document: bytes) -> Passport:
    """Return the passport in a document, nothing believed yet.

    Raises:
        NotVerified: It is too large or not a passport.
    """
    if len(document) > MAX_PASSPORT:
        raise NotVerified(f"a passport of {len(document)} bytes", expected=f"at most {MAX_PASSPORT}")
    try:
        return msgspec.json.decode(document, type=Passport)
    except msgspec.MsgspecError as error:
        raise NotVerified(f"the passport cannot be read: {error}", place=digest_bytes(document)) from error


def open_passport(passport: Passport, trust: Trust, *, origin: str) -> Dossier:
    """Return what a passport proves.

    1. The checkpoint is signed by the ledger's key. 2. Each entry is in its tree. 3. Each stream is whole from its first
    entry. 4. Each envelope that an entry names is present and unseals at the entry's time. 5. The closure of derivations
    from the subject is complete.

    Raises:
        NotVerified: Any step fails, with the entry or digest as its place.
    """
    checkpoint = _open_checkpoint(passport, trust, origin)  # 1.
    streams, heads = _streams(passport, checkpoint)  # 2. and 3.
    envelopes = _envelopes(passport.envelopes)
    nodes: dict[Digest, Node] = {}
    waiting, depth = [_digest(passport.subject)], 0
    while waiting:  # 5.
        if depth > MAX_DEPTH:
            raise NotVerified(
                "the derivation is too deep", place=passport.subject, expected=f"at most {MAX_DEPTH} edges"
            )
        for digest in waiting:
            if digest not in streams:
                raise NotVerified("the passport lacks the history of an artifact it derives from", place=digest)
            nodes[digest] = _node(digest, streams[digest], envelopes, trust)  # 4.
        parents = {digest for node in nodes.values() for _, digest in node.parents}
        waiting, depth = sorted(parents - nodes.keys()), depth + 1
    return Dossier(
        subject=_digest(passport.subject), nodes=nodes, heads=heads, checkpoint=checkpoint, trust=trust, maker=_MAKER
    )


def _digest(text: object) -> Digest:
    try:
        return parse_digest(str(text))
    except InvalidInput as error:
        raise NotVerified(error.message, place="passport") from error


def _open_checkpoint(passport: Passport, trust: Trust, origin: str) -> Checkpoint:
    keys = trust.of_role("ledger")
    if not keys:
        raise NotVerified("no ledger key is trusted", place=origin)
    signed, refusal = SignedCheckpoint(note=passport.checkpoint.encode()), NotVerified("no ledger key", place=origin)
    for key in keys:  # several during a rotation
        try:
            checkpoint = open_checkpoint(signed, origin=origin, public_key=raw_ed25519(key))
        except NotVerified as error:
            refusal = error
            continue
        if key.not_before <= checkpoint.time < key.not_after:
            return checkpoint
        refusal = NotVerified("the checkpoint was signed outside its key's window", place=origin)
    raise refusal


def _streams(passport: Passport, checkpoint: Checkpoint) -> tuple[dict[str, list[Entry]], dict[str, tuple[int, str]]]:
    if len(passport.entries) > MAX_ENTRIES:
        raise NotVerified(f"{len(passport.entries)} entries", place="passport", expected=f"at most {MAX_ENTRIES}")
    found: dict[str, list[tuple[Entry, str]]] = defaultdict(list)
    for proven in passport.entries:
        try:
            document = base64.b64decode(proven.document, validate=True)
            path = tuple(bytes.fromhex(node) for node in proven.path)
        except (ValueError, binascii.Error) as error:
            raise NotVerified("an entry is not readable", place="passport") from error
        entry = parse_entry(document)
        verify_inclusion(leaf_hash(document), entry.position, checkpoint.size, path, checkpoint.root)
        found[entry.stream].append((entry, entry_hash(document)))
    streams: dict[str, list[Entry]] = {}
    heads: dict[str, tuple[int, str]] = {}
    for name, pairs in found.items():
        pairs.sort(key=lambda pair: pair[0].stream_position)
        head = (0, GENESIS)
        for entry, hashed in pairs:
            if (entry.stream_position, entry.stream_previous) != head:
                raise NotVerified(f"the history of {name} has a gap", place=f"entry {entry.position}")
            head = (entry.stream_position + 1, hashed)
        streams[name], heads[name] = [entry for entry, _ in pairs], head
    return streams, heads


def _envelopes(encoded: Sequence[str]) -> dict[str, bytes]:
    try:
        envelopes = [base64.b64decode(item, validate=True) for item in encoded]
    except binascii.Error as error:
        raise NotVerified("an envelope is not readable", place="passport") from error
    return {digest_bytes(envelope): envelope for envelope in envelopes}


def _node(digest: Digest, entries: Sequence[Entry], envelopes: Mapping[str, bytes], trust: Trust) -> Node:
    kind: Kind | None = None
    parents: set[tuple[Kind, Digest]] = set()
    filed: list[Filed] = []
    started: dict[str, str] = {}
    authorizations: list[Verified[Authorization]] = []
    revoked = ""
    for entry in entries:
        place, time, body = f"entry {entry.position}", entry.moment, entry.body
        match entry.kind:
            case "artifact.recorded":
                if kind not in {None, body.get("kind")}:
                    raise NotVerified("one artifact is recorded as two kinds", place=place)
                kind = Kind(body["kind"])
                parents |= {(Kind(parent["kind"]), _digest(parent["digest"])) for parent in body["parents"]}
            case "control.started":
                started[str(body["run"])] = str(body["control"])
            case "evidence.filed":
                verified = unseal(_envelope(body, envelopes, place), EVIDENCE, trust, at=time)
                if verified.value.subject != digest or verified.value.control != body.get("control"):
                    raise NotVerified("the evidence is about something else", place=place)
                started.pop(str(body.get("run")), None)
                filed.append(Filed(verified=verified, time=time))
            case "authorization.filed":
                word = unseal(_envelope(body, envelopes, place), AUTHORIZATION, trust, at=time)
                if word.value.subject != digest:
                    raise NotVerified("the authorization is about something else", place=place)
                authorizations.append(word)
            case "artifact.revoked":
                revoked = str(body.get("reason")) or "revoked"
            case _:
                pass  # promotions and the like: part of the history, not of the decision
    if kind is None:
        raise NotVerified("nothing records what this artifact is", place=digest)
    return Node(
        digest=digest,
        kind=kind,
        parents=tuple(sorted(parents)),
        filed=tuple(filed),
        unfinished=tuple(sorted(started.values())),
        authorizations=tuple(authorizations),
        revoked=revoked,
    )


def _envelope(body: Mapping[str, object], envelopes: Mapping[str, bytes], place: str) -> bytes:
    envelope = envelopes.get(str(body.get("envelope")))
    if envelope is None:
        raise NotVerified("the passport lacks an envelope that the ledger names", place=place)
    return envelope
