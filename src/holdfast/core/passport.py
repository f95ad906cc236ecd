"""Passports: the self-contained closure of everything recorded about a release and all it derives from.

A passport carries whole streams of the ledger, so bad news cannot be left out: each stream is gap-free from its first
entry, each entry is proved to be in the signed tree, each envelope is unsealed at the time the ledger witnessed.
`open_passport` is the only maker of a `Dossier`, and `decide` accepts nothing else.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Final, TypeVar

import msgspec

from holdfast.core.artifact import Digest, Kind, digest_bytes, from_base64, parse_digest
from holdfast.core.errors import InvalidInput, NotVerified
from holdfast.core.evidence import Evidence, Outcome
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
from holdfast.core.restatement import RESTATED, unseal_restated, void
from holdfast.core.seal import AUTHORIZATION, EVIDENCE, Authorization, Verified, claimed, unseal
from holdfast.core.trust import ROLES, Trust, raw_ed25519

T = TypeVar("T")

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


def current(node: Node, control: str) -> tuple[Filed, ...]:
    """Return what counts of a control's evidence: all but failures that a later result has superseded."""
    filed = [item for item in node.filed if item.evidence.control == control]
    last_good = max((i for i, item in enumerate(filed) if item.evidence.outcome is not Outcome.FAILED), default=-1)
    return tuple(item for i, item in enumerate(filed) if item.evidence.outcome is not Outcome.FAILED or i > last_good)


_MAKER: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dossier:
    """A verified closure: what `decide` reads. As with `Verified`, the maker's token is not kept."""

    subject: Digest
    nodes: Mapping[Digest, Node]
    heads: Heads
    checkpoint: Checkpoint
    trust: Trust
    maker: InitVar[object]

    def __post_init__(self, maker: object) -> None:
        """Refuse every maker but `open_passport`."""
        if maker is not _MAKER:
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
    except ValueError as error:  # not UTF-8, not JSON, not a passport
        raise NotVerified(f"the passport cannot be read: {error}", place=digest_bytes(document)) from error


def open_passport(passport: Passport, trust: Trust, *, origin: str) -> Dossier:
    """Return what a passport proves.

    1. The checkpoint is signed by the ledger's key.
    2. Each entry is in its tree.
    3. Each stream is whole from its first entry.
    4. Each envelope that an entry names is present and unseals at the entry's time.
    5. The closure of derivations from the subject is complete, and each edge names its parent as what it is.

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
    _check_edges(nodes)
    return Dossier(
        subject=_digest(passport.subject),
        nodes=MappingProxyType(nodes),
        heads=MappingProxyType(heads),
        checkpoint=checkpoint,
        trust=trust,
        maker=_MAKER,
    )


def _check_edges(nodes: Mapping[Digest, Node]) -> None:
    """Check that each edge calls its parent what the parent's own history says it is.

    Else a source, on which no rule asks for anything, could be recorded as the model that a release derives from.
    """
    for node in nodes.values():
        for kind, parent in node.parents:
            if nodes[parent].kind is not kind:
                raise NotVerified(
                    f"a {node.kind} derives from a {kind} that is recorded as a {nodes[parent].kind}", place=parent
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
            document = from_base64(proven.document)
            path = tuple(bytes.fromhex(node) for node in proven.path)
        except (ValueError, InvalidInput) as error:
            raise NotVerified("an entry is not readable", place="passport") from error
        entry = parse_entry(document)
        verify_inclusion(leaf_hash(document), entry.position, checkpoint.size, path, checkpoint.root)
        found[entry.stream].append((entry, entry_hash(document)))
    streams: dict[str, list[Entry]] = {}
    heads: dict[str, tuple[int, str]] = {}
    for name, pairs in found.items():
        pairs.sort(key=lambda pair: pair[0].stream_position)
        head, last = (0, GENESIS), -1
        for entry, hashed in pairs:
            if (entry.stream_position, entry.stream_previous) != head or entry.position <= last:
                raise NotVerified(f"the history of {name} has a gap", place=f"entry {entry.position}")
            head, last = (entry.stream_position + 1, hashed), entry.position
        streams[name], heads[name] = [entry for entry, _ in pairs], head
    return streams, heads


def _envelopes(encoded: Sequence[str]) -> dict[str, bytes]:
    try:
        envelopes = [from_base64(item) for item in encoded]
    except InvalidInput as error:
        raise NotVerified("an envelope is not readable", place="passport") from error
    return {digest_bytes(envelope): envelope for envelope in envelopes}


class _Parent(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    digest: str


class _Recorded(msgspec.Struct, frozen=True, kw_only=True):
    kind: Kind
    parents: tuple[_Parent, ...]


class _Run(msgspec.Struct, frozen=True, kw_only=True):
    control: str
    run: str


class _Evident(msgspec.Struct, frozen=True, kw_only=True):
    control: str
    run: str
    envelope: str


class _Authorized(msgspec.Struct, frozen=True, kw_only=True):
    envelope: str


class _Restated(msgspec.Struct, frozen=True, kw_only=True):
    restates: str
    envelope: str


class _Revoked(msgspec.Struct, frozen=True, kw_only=True):
    reason: str = ""


@dataclass(slots=True, kw_only=True)
class _History:
    """What is known of one artifact while its stream is read, entry by entry."""

    digest: Digest
    envelopes: Mapping[str, bytes]
    trust: Trust
    kind: Kind | None = None
    parents: set[tuple[Kind, Digest]] = field(default_factory=set)
    filed: list[Filed] = field(default_factory=list)
    started: list[_Run] = field(default_factory=list)
    authorizations: list[Verified[Authorization]] = field(default_factory=list)
    revocation: str = ""
    restated: dict[str, tuple[str, Entry]] = field(default_factory=dict)  # void envelope to the newer one

    def recorded(self, entry: Entry) -> None:
        body = _body(entry, _Recorded)
        if self.kind not in {None, body.kind}:
            raise NotVerified("one artifact is recorded as two kinds", place=_place(entry))
        self.kind = body.kind
        self.parents |= {(parent.kind, _digest(parent.digest)) for parent in body.parents}

    def control_started(self, entry: Entry) -> None:
        self.started.append(_body(entry, _Run))

    def evidence_filed(self, entry: Entry) -> None:
        body = _body(entry, _Evident)
        verified = self._evidence(body.envelope, entry)
        if verified.value.subject != self.digest or verified.value.control != body.control:
            raise NotVerified("the evidence is about something else", place=_place(entry))
        finished = _Run(control=body.control, run=body.run)  # of this control: another's result cannot end a run
        if finished in self.started:
            self.started.remove(finished)
        self.filed.append(Filed(verified=verified, time=entry.moment))

    def authorized(self, entry: Entry) -> None:
        envelope = self._envelope(_body(entry, _Authorized).envelope, entry)
        if void(envelope, self.trust) and claimed(envelope, AUTHORIZATION).action != "reject":
            return  # by a revoked key: as if it had not been said; bad news stays, and then nothing verifies
        word = unseal(envelope, AUTHORIZATION, self.trust, at=entry.moment)
        if word.value.subject != self.digest:
            raise NotVerified("the authorization is about something else", place=_place(entry))
        self.authorizations.append(word)

    def revoked(self, entry: Entry) -> None:
        self.revocation = _body(entry, _Revoked).reason or "revoked"

    def restate(self, entry: Entry) -> None:
        body = _body(entry, _Restated)
        self.restated[body.restates] = (body.envelope, entry)

    def _evidence(self, name: str, entry: Entry) -> Verified[Evidence]:
        envelope = self._envelope(name, entry)
        if name not in self.restated or not void(envelope, self.trust):
            return unseal(envelope, EVIDENCE, self.trust, at=entry.moment)
        newer, again = self.restated[name]
        return unseal_restated(envelope, self._envelope(newer, again), EVIDENCE, self.trust, at=again.moment)

    def _envelope(self, name: str, entry: Entry) -> bytes:
        envelope = self.envelopes.get(name)
        if envelope is None:
            raise NotVerified("the passport lacks an envelope that the ledger names", place=_place(entry))
        return envelope

    def node(self) -> Node:
        """Return the node, if every statement about it speaks of what it is recorded to be."""
        if self.kind is None:
            raise NotVerified("nothing records what this artifact is", place=self.digest)
        strange = [item.evidence.control for item in self.filed if item.evidence.kind is not self.kind]
        if self.authorizations and self.kind not in ROLES["person"]:
            strange.append("an authorization")
        if strange:  # a role may speak of some kinds only; without this a signer could say it speaks of another
            raise NotVerified(f"{strange[0]} speaks of something else than this {self.kind}", place=self.digest)
        return Node(
            digest=self.digest,
            kind=self.kind,
            parents=tuple(sorted(self.parents)),
            filed=tuple(self.filed),
            unfinished=tuple(sorted(run.control for run in self.started)),
            authorizations=tuple(self.authorizations),
            revoked=self.revocation,
        )


_READERS: Final[Mapping[str, Callable[[_History, Entry], None]]] = {
    RECORDED: _History.recorded,
    STARTED: _History.control_started,
    FILED: _History.evidence_filed,
    AUTHORIZED: _History.authorized,
    REVOKED: _History.revoked,
    RESTATED: _History.restate,
}
"""How each kind of entry is read; promotions and the like are part of the history, not of the decision."""


def _node(digest: Digest, entries: Sequence[Entry], envelopes: Mapping[str, bytes], trust: Trust) -> Node:
    history = _History(digest=digest, envelopes=envelopes, trust=trust)
    for entry in entries:  # known before the rest is read: what was restated was said long before
        if entry.kind == RESTATED:
            history.restate(entry)
    for entry in entries:
        read = _READERS.get(entry.kind)
        if read is not None:
            read(history, entry)
    return history.node()


def _body(entry: Entry, shape: type[T]) -> T:
    try:
        return msgspec.convert(entry.body, shape)
    except msgspec.ValidationError as error:
        raise NotVerified(f"an entry of kind {entry.kind} cannot be read: {error}", place=_place(entry)) from error


def _place(entry: Entry) -> str:
    return f"entry {entry.position}"
