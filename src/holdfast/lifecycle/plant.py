"""The control plane as one value: the ports, the trust and the places that the lifecycle works with."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar

from holdfast.core.access import Principal
from holdfast.core.artifact import Artifact, Digest
from holdfast.core.dlp import Presidio
from holdfast.core.errors import NotVerified
from holdfast.core.ledger import Draft, Entry, SignedCheckpoint
from holdfast.core.passport import RECORDED
from holdfast.core.policy import Policy
from holdfast.core.ports import (
    Answers,
    Asking,
    Authority,
    Bills,
    Blobs,
    Clock,
    Entropy,
    Jobs,
    Keys,
    KeyStore,
    Ledger,
    Puller,
    Recogniser,
    Sandbox,
    Secrets,
    Sessions,
    Signer,
    Storage,
    Tier,
    Web,
)
from holdfast.core.restatement import RESTATED, unseal_restated
from holdfast.core.seal import Predicate, Verified, seal, unseal
from holdfast.core.sources import Source
from holdfast.core.trust import Trust, TrustedKey
from holdfast.lifecycle.access_memory import Memory
from holdfast.lifecycle.home import Home
from holdfast.lifecycle.reply import Progress

if TYPE_CHECKING:  # a value of annotations: who opens a workspace need not hold what loads models
    from holdfast.engines.online import Store as FeatureStore
    from holdfast.engines.repository import Offline
    from holdfast.serve.state import Runtime

T = TypeVar("T")


class Shelf(Protocol):
    """A folder that gateways read: blobs by digest, and documents by name."""

    @property
    def blobs(self) -> Blobs:
        """The gateways' copies, encrypted for them."""
        ...

    def prepare(self) -> None:
        """Settle who may read, and remove what was published in the clear before; called before anything is put.

        Raises:
            Unavailable: The folder cannot be written, or the unlock secret is needed and missing.
        """
        ...

    def put(self, files: Mapping[str, bytes]) -> None:
        """Replace the documents, each whole, in this order; others are removed.

        Raises:
            Unavailable: The folder cannot be written.
        """
        ...

    def document(self, name: str) -> bytes:
        """Return one of them as it is there now.

        Raises:
            NotFound: It is not there.
        """
        ...

    def set_aside(self, digest: Digest) -> None:
        """Move a damaged blob out of the way; it is evidence of whatever changed it.

        Raises:
            Unavailable: It cannot be moved.
        """
        ...


class OfflineKeys(Protocol):
    """What the root keys have signed of the gateways' repository, and what those that are held here can sign next."""

    def newest(self) -> "Offline":
        """Return what they have signed last."""
        ...

    def roots(self) -> Mapping[str, bytes]:
        """Return every root by name, from the first to the newest."""
        ...

    def propose(self, revoked: Sequence[str]) -> bytes:
        """Return what they should sign next, with these revocations."""
        ...

    def sign(self, proposal: bytes) -> bytes:
        """Return a proposal with the signatures of the root keys held here."""
        ...

    def accept(self, proposal: bytes) -> None:
        """Keep what enough of them have signed.

        Raises:
            NotVerified: They are too few.
        """
        ...

    def follow(self, newer: Trust) -> bool:
        """Let those held here sign what a newer trust asks for; say whether they were enough."""
        ...

    def revoke(self, digest: Digest) -> None:
        """Let those held here sign that an artifact is revoked for good: no online key can leave that out.

        Raises:
            NotVerified: They are too few.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """Everything the lifecycle may use. Made by `app`, by nobody else."""

    home: Home
    origin: str
    blobs: Blobs  # reads everything that is there; what it is given to store are documents, and lie in the clear
    sealed: Callable[[str], Blobs]  # the same blobs, written under the data key of this name
    erase: Callable[[str], bool]  # destroys a data key, and with it all that was written under it
    export_key: Callable[[str], str]  # a data key's private half, for other programs
    data_keys: Callable[[], tuple[str, ...]]
    open_record: Callable[[bytes], bytes]  # what a gateway has recorded, encrypted for this control plane
    ledger: Ledger
    features: "Callable[[], FeatureStore]"  # opens the online store of features, to be written
    bills: Bills  # the index over the bills of materials, a projection of the ledger
    keys: Keys
    unlock: Callable[[], None]  # opens the keys now: who is going to sign asks before anything is written
    regions: Mapping[str, str]  # where what holds rows stands, by its name in words; "" where nobody has said
    scratch: Path  # folders of running stages, where rows lie decrypted; emptied when a run begins
    scratch_in_memory: bool
    clock: Clock
    entropy: Entropy
    read_trust: Callable[[], Trust]  # as the root keys have sealed it by now
    open_sandbox: Callable[[Tier], Sandbox]
    load_policy: Callable[[str], tuple[Policy, Digest, bytes]]
    published: Shelf  # what gateways read
    staged: Shelf  # what those of the staging environment read
    trust_document: Callable[[], bytes]  # the trust as the root keys sealed it
    root_links: Callable[[], bytes]  # the versions that changed the root, for readers who pinned an older one
    store_trust: Callable[[bytes, bytes | None], None]  # a newer trust, and the links where it changes the root
    offline: OfflineKeys
    accept_policy: Callable[[Digest], None]
    write_backup: Callable[[Path, SignedCheckpoint], int]  # the whole workspace, encrypted, into a new file
    gateway_keys: Callable[[], KeyStore]  # the gateway's own keys, of which only successors are made here
    authority: Authority  # issues TLS certificates
    tell_uses: Callable[[], None]  # puts on record how often each key has signed what since it was last told
    move_keys: Callable[[Mapping[str, str]], tuple[TrustedKey, ...]]  # makes the stages' keys where they shall be kept
    rewrap: Callable[[Path | None, str | None], tuple[str, str]]
    """Protects the keys by another secret, which a service may wrap; returns what opens them, and its key."""
    rewrap_signer: Callable[[str | None], tuple[str, str]]  # the same for the keys of the signer's own folder
    retire_wrapping: Callable[[str, str], None]  # ends a wrapping key in the service of this address
    credential_key: Callable[[], bytes]  # under which API keys are hashed; the gateway holds it too
    person: str  # whose key signs approvals here
    runtime: "Callable[[], Runtime]"  # loads verified model bytes for a rehearsal, as a gateway does
    open_person: Callable[[Path], Signer]  # a person's own key, in a folder that the person brings along
    custody: str  # how the private keys are kept, in words
    code: Digest  # of this installation's own source
    tell: Callable[[Progress], None]
    storage: Storage  # the same blobs, for whoever collects garbage
    archive: Blobs  # where blobs of archived releases lie
    archived: Storage  # the same, for whoever counts
    put_away: Callable[[Digest], None]  # copies a blob into the archive just as it lies here, verified
    bring_back: Callable[[Digest], None]  # and back
    secrets: Secrets  # what jobs may be given, encrypted at rest
    sessions: Sessions  # of people who have signed on
    open_source: Callable[[Source, Asking], Puller]  # a declared source, to be asked for rows
    open_recogniser: Callable[[Presidio], Recogniser]  # looks through texts as a project declares it
    web: Web  # other services, asked within limits
    jobs: Jobs  # what the API was asked for and a worker carries out
    answers: Answers  # to requests that may be repeated
    ask_witness: Callable[[str, bytes], tuple[int, bytes]]  # sends a request to an address; status and answer
    replace_damaged: Callable[[Digest, bytes], None]  # keeps the damaged bytes aside, as evidence
    set_damaged_aside: Callable[[Digest], None]  # without a good copy: what can be made again is then missing
    open_backup: Callable[[Path], AbstractContextManager[Callable[[Digest], None]]]  # brings a blob back from it
    discard_blob: Callable[[Digest], None]  # removes the bytes of a blob past its time; the ledger keeps its digest
    memory: Memory = field(default_factory=Memory)  # of the door, between two requests
    lineage_url: str = ""  # the catalogue that is told of every run; empty: none
    principal: Principal | None = None  # who asks over the network; None: whoever holds the workspace's files

    @property
    def actor(self) -> str:
        """In whose name entries are made: of who asks over the network, or else of the owner."""
        return self.principal.name if self.principal is not None else self.person

    @property
    def trust(self) -> Trust:
        """Whom this workspace believes, as of now: a watch that runs for months learns what is accepted meanwhile."""
        return self.read_trust()

    def seal(self, value: T, predicate: Predicate[T], role: str) -> Digest:
        """Seal a value with a role's key, store the envelope and return its digest."""
        return self.blobs.put(seal(value, predicate, [self.keys.signer(role)]))

    def believe(self, envelope: Digest, predicate: Predicate[T], *, at: datetime, stream: str) -> Verified[T]:
        """Return what a stored envelope says, or what it said before its key was revoked, if that was restated.

        Args:
            envelope: Its digest.
            predicate: What it says.
            at: When the ledger took it in.
            stream: Where the ledger names it, and where it would name its restatement.

        Raises:
            NotVerified: It does not verify, and nobody entitled has stated it again.
        """
        document = self.blobs.get(envelope)
        try:
            return unseal(document, predicate, self.trust, at=at)
        except NotVerified:
            named = (entry for entry in reversed(self.ledger.stream(stream)) if entry.kind == RESTATED)
            again = next((entry for entry in named if entry.body["restates"] == envelope), None)
            if again is None:
                raise
            newer = self.blobs.get(Digest(again.body["envelope"]))
            return unseal_restated(document, newer, predicate, self.trust, at=again.moment)

    def record(self, artifact: Artifact, parents: tuple[Artifact, ...], actor: str) -> Draft:
        """Return the entry that says what an artifact is and what it derives from."""
        return Draft(
            kind=RECORDED,
            actor=actor,
            stream=artifact.digest,
            body={
                "kind": artifact.kind,
                "size": artifact.size,
                "parents": [{"kind": parent.kind, "digest": parent.digest} for parent in parents],
            },
        )

    def recording(self, artifact: Artifact, parents: tuple[Artifact, ...], actor: str) -> Draft | None:
        """Return the entry that records an artifact with these parents, unless just that is on record already."""
        draft = self.record(artifact, parents, actor)
        known = (entry.body for entry in self.ledger.stream(artifact.digest) if entry.kind == draft.kind)
        return None if draft.body in known else draft

    def last(self, stream: str, kind: str) -> Entry | None:
        """Return the newest entry of a kind in a stream."""
        return next((entry for entry in reversed(self.ledger.stream(stream)) if entry.kind == kind), None)
