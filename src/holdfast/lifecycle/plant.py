"""The control plane as one value: the ports, the trust and the places that the lifecycle works with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from holdfast.core.artifact import Artifact, Digest
from holdfast.core.ledger import Draft, Entry
from holdfast.core.passport import RECORDED
from holdfast.core.policy import Policy
from holdfast.core.ports import Blobs, Clock, Entropy, Keys, Ledger, Sandbox, Tier
from holdfast.core.seal import Predicate, seal
from holdfast.core.trust import Trust
from holdfast.engines.repository import Offline
from holdfast.lifecycle.reply import Progress

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """Where things lie: the project's folder, and the workspace inside it."""

    root: Path

    @property
    def project_file(self) -> Path:
        """The project file."""
        return self.root / "holdfast.toml"

    @property
    def workspace(self) -> Path:
        """The workspace: keys, blobs, ledger."""
        return self.root / ".holdfast"

    @property
    def published(self) -> Path:
        """What the gateway reads."""
        return self.workspace / "published"

    @property
    def gateway(self) -> Path:
        """What the gateway writes: its own identity, memory and spool."""
        return self.workspace / "gateway"

    @property
    def scratch(self) -> Path:
        """Folders of running stages; emptied when a run begins."""
        return self.workspace / "scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """Everything the lifecycle may use. Made by `app`, by nobody else."""

    home: Home
    origin: str
    blobs: Blobs
    ledger: Ledger
    keys: Keys
    unlock: Callable[[], None]  # opens the keys now: who is going to sign asks before anything is written
    clock: Clock
    entropy: Entropy
    read_trust: Callable[[], Trust]  # as the root keys have sealed it by now
    open_sandbox: Callable[[Tier], Sandbox]
    load_policy: Callable[[str], tuple[Policy, Digest, bytes]]
    published_blobs: Blobs  # the gateway's copies
    set_aside: Callable[[Digest], None]  # moves a damaged published blob out of the way, as evidence
    publish: Callable[[Mapping[str, bytes]], None]  # files of the gateway's folder, each replaced whole, in this order
    published_document: Callable[[str], bytes]  # one of them as it is there now
    trust_document: Callable[[], bytes]  # the trust as the root keys sealed it
    offline: Callable[[], Offline]  # what the root keys have signed last of the repository
    roots: Callable[[], Mapping[str, bytes]]  # by name, from the first to the newest
    propose_offline: Callable[[Sequence[str]], bytes]  # what they should sign next, with these revocations
    sign_offline: Callable[[bytes], bytes]  # with the root key that is held here
    accept_offline: Callable[[bytes], None]  # what enough of them have signed
    pin_revocation: Callable[[Digest], None]  # the root keys sign that an artifact is revoked for good
    accept_policy: Callable[[Digest], None]
    credential_key: Callable[[], bytes]  # under which API keys are hashed; the gateway holds it too
    person: str  # whose key signs approvals here
    custody: str  # how the private keys are kept, in words
    code: Digest  # of this installation's own source
    tell: Callable[[Progress], None]

    @property
    def trust(self) -> Trust:
        """Whom this workspace believes, as of now: a watch that runs for months learns what is accepted meanwhile."""
        return self.read_trust()

    def seal(self, value: T, predicate: Predicate[T], role: str) -> Digest:
        """Seal a value with a role's key, store the envelope and return its digest."""
        return self.blobs.put(seal(value, predicate, [self.keys.signer(role)]))

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
