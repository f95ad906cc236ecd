"""What stages may use of the world: protocols that adapters implement and tests simulate.

A port says what a thing does, never how. Only `app` and `edge` choose an implementation.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from holdfast.core.artifact import Artifact, Digest, Kind, Manifest
from holdfast.core.certificates import Issued
from holdfast.core.errors import Refused
from holdfast.core.identity import Session
from holdfast.core.ledger import Audit, Checkpoint, Draft, Entry, Heads, Rebuilt, SignedCheckpoint
from holdfast.core.trust import TrustedKey

if TYPE_CHECKING:  # whoever only keeps the ledger need not load numerics: 140 ms and 15 MB in each process
    import numpy as np
    from numpy.typing import NDArray

MIB: Final = 1 << 20
GIB: Final = 1 << 30


class Clock(Protocol):
    """The time of day, always in UTC."""

    def now(self) -> datetime:
        """Return the present moment, zone-aware, in UTC."""
        ...


class Entropy(Protocol):
    """Unpredictable bytes."""

    def token(self, nbytes: int) -> bytes:
        """Return `nbytes` bytes nobody can guess."""
        ...


class Blobs(Protocol):
    """Bytes by digest: written once, never changed, verified on every read."""

    def put(self, data: bytes) -> Digest:
        """Store bytes durably and return their digest; storing the same bytes again changes nothing."""
        ...

    def put_document(self, data: bytes) -> Digest:
        """Store bytes that hold no rows and no weights, and so may lie in the clear where others are sealed."""
        ...

    def put_file(self, path: Path) -> Digest:
        """Store a file's bytes in one streaming pass."""
        ...

    def check(self, digest: Digest) -> bool:
        """Verify a blob without handing it out; False where only its encrypted form could be verified.

        Raises:
            NotFound: No such blob.
            NotVerified: The stored bytes no longer have this digest.
        """
        ...

    def get(self, digest: Digest) -> bytes:
        """Return the bytes, verified.

        Raises:
            NotFound: No such blob.
            NotVerified: The stored bytes no longer have this digest.
        """
        ...

    def path(self, digest: Digest) -> Path:
        """Return a read-only file holding these bytes, verified just now."""
        ...

    def has(self, digest: Digest) -> bool:
        """Say whether the blob exists (unverified)."""
        ...


class Storage(Protocol):
    """What collecting garbage needs of the blobs: to see them all, and to let go of one in two steps."""

    def held(self) -> Iterator[tuple[Digest, int]]:
        """Yield each blob and its size in bytes, those set aside left out."""
        ...

    def set_aside(self, digest: Digest, at: datetime) -> None:
        """Take a blob out of the way, so that it is still read but counts as stored no more."""
        ...

    def aside(self) -> Iterator[tuple[Digest, datetime]]:
        """Yield each blob that was set aside, and when."""
        ...

    def put_back(self, digest: Digest) -> None:
        """Undo `set_aside`."""
        ...

    def drop(self, digest: Digest) -> None:
        """Delete a blob that was set aside; one that was stored again meanwhile stays."""
        ...


class Ledger(Protocol):
    """The append-only history."""

    def append(
        self, drafts: Sequence[Draft], *, expect: Heads | None = None, consume_nonce: str | None = None
    ) -> tuple[Entry, ...]:
        """Append in one transaction and return once it is durable.

        Args:
            drafts: What to append, in order.
            expect: The stream heads the decision was made on; all must still be current.
            consume_nonce: The nonce of the permit that this rests on, spent in the same transaction.

        Raises:
            Refused: The nonce was used before; nothing was written.
            Conflict: A head in `expect` has moved; nothing was written.
        """
        ...

    def stream(self, name: str) -> tuple[Entry, ...]:
        """Return every entry of one stream, in order."""
        ...

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[Entry]:
        """Yield entries by position."""
        ...

    def heads(self, streams: Sequence[str]) -> Heads:
        """Return the newest position and hash of each stream, all read at one moment."""
        ...

    def size(self) -> int:
        """Return the number of entries."""
        ...

    def root(self, size: int | None = None) -> bytes:
        """Return the Merkle root over all entries, or over the first `size` of them.

        Raises:
            NotFound: There are not so many entries.
        """
        ...

    def lease(self, name: str) -> AbstractContextManager[None]:
        """Hold a named lease, so that two processes do not do the same thing at once.

        Raises:
            Conflict: Another living process holds it.
        """
        ...

    def verify(self, checkpoints: Sequence[Checkpoint]) -> Audit:
        """Check every entry against the chain, the tree and outside checkpoints.

        Raises:
            LedgerBroken: With the first entry that does not fit as its place.
        """
        ...

    def rebuild(self) -> Rebuilt:
        """Make every table that queries read anew from the entries, and say which said something else."""
        ...

    def checkpoint(self) -> SignedCheckpoint:
        """Sign and keep a checkpoint of the present tree."""
        ...

    def checkpoints(self) -> tuple[SignedCheckpoint, ...]:
        """Return the checkpoints kept beside the ledger, oldest first, nothing believed."""
        ...

    def inclusion(self, position: int, size: int) -> tuple[bytes, ...]:
        """Return the audit path of one entry in the tree of `size` entries (RFC 6962, 2.1.1)."""
        ...

    def consistency(self, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` entries only adds to the tree of `old` (RFC 6962, 2.1.2)."""
        ...


class Signer(Protocol):
    """A door to one private key; the key itself never comes through it."""

    @property
    def keyid(self) -> str:
        """The key's identifier: SHA-256 of its DER SubjectPublicKeyInfo, hex."""
        ...

    @property
    def role(self) -> str:
        """The one role this key signs for."""
        ...

    def sign(self, message: bytes) -> bytes:
        """Return a signature over the message (Ed25519, or ECDSA P-256 with SHA-256 in DER)."""
        ...


class Keys(Protocol):
    """Signers by role, and where their keys are."""

    def signer(self, role: str) -> Signer:
        """Return the signer of a role: the newest key that is here and that the root keys trust now.

        Raises:
            NotFound: No key for this role, or none that is trusted now.
            Unavailable: The key store is locked.
        """
        ...

    def signer_of(self, keyid: str) -> Signer:
        """Return the signer of one key, trusted or not.

        Raises:
            NotFound: It is not here.
        """
        ...

    def held(self) -> tuple[TrustedKey, ...]:
        """Return the public halves of all keys that are here."""
        ...

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> TrustedKey:
        """Make a key where keys of its role belong, and return its public half; nobody trusts it yet.

        Raises:
            Unavailable: The key store is locked.
        """
        ...

    def destroy(self, keyid: str) -> None:
        """Destroy a private key for good.

        Raises:
            NotFound: It is not here.
            Refused: Its store destroys nothing for a caller.
        """
        ...

    def custody_of(self, keyid: str) -> str:
        """Say how well a key is isolated: `same-disk`, `other-process`, `hsm`, `service`; `elsewhere`: not here."""
        ...


class KeyStore(Protocol):
    """One place where private keys are: a folder, a process, a module. What it makes nobody trusts yet."""

    def held(self) -> tuple[TrustedKey, ...]:
        """Return the public halves of all keys that are there."""
        ...

    def signer_of(self, keyid: str) -> Signer:
        """Return the signer of one key.

        Raises:
            NotFound: It is not there.
        """
        ...

    def make(self, role: str, owner: str, begins: datetime, ends: datetime) -> TrustedKey:
        """Make one more key and return its public half.

        Raises:
            Unavailable: The store is locked, or does not answer.
        """
        ...

    def destroy(self, keyid: str) -> None:
        """Destroy a private key for good; its public half stays in the trust.

        Raises:
            NotFound: It is not there.
            Refused: This store destroys nothing for a caller.
        """
        ...

    def unlock(self) -> None:
        """Open the store now rather than at the first signature.

        Raises:
            Unavailable: The secret is missing or wrong, or nobody answers.
        """
        ...

    def refresh(self) -> None:
        """Read again which keys are there."""
        ...

    def custody(self) -> str:
        """Say how well the private keys are isolated: `same-disk`, `other-process`, `hsm` or `service`."""
        ...

    def close(self) -> None:
        """Let the store go: forget what was unlocked, end connections and sessions."""
        ...


class Authority(Protocol):
    """Names keys of servers and clients: a workspace's own certificate authority."""

    def certificate(self) -> bytes:
        """Return the authority's certificate, PEM.

        Raises:
            NotFound: None was made yet.
        """
        ...

    def most(self) -> timedelta:
        """Return how long a certificate may last."""
        ...

    def issue(self, name: str, names: Sequence[str], *, lasts: timedelta, now: datetime, folder: Path) -> Issued:
        """Make a key and a certificate for it, as files in a folder.

        Raises:
            InvalidInput: A name that no certificate of this workspace may say.
            Unavailable: The authority's key cannot be unlocked.
        """
        ...

    def certify(
        self, name: str, names: Sequence[str], request: bytes, *, lasts: timedelta, now: datetime, folder: Path
    ) -> Issued:
        """Make a certificate for a key that somebody else holds, as a file in a folder.

        Raises:
            NotVerified: The request is not signed by the key it names.
            InvalidInput: A name that no certificate of this workspace may say.
            Unavailable: The authority's key cannot be unlocked.
        """
        ...


class Tier(StrEnum):
    """How well a job is isolated; `TIERS` orders them from weakest to strongest."""

    PROCESS = "process"
    NAMESPACES = "namespaces"


TIERS: Final = (Tier.PROCESS, Tier.NAMESPACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one sandboxed job may use at most."""

    cpu_s: int = 600
    wall_s: float = 900.0
    memory_bytes: int = 4 * GIB
    processes: int = 64
    open_files: int = 1024
    output_bytes: int = 1 * MIB  # of standard output and of standard error, each
    file_bytes: int = 2 * GIB  # the largest file a job may write


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One command to run confined, with everything it may see declared."""

    argv: tuple[str, ...]
    readable: tuple[Path, ...]
    writable: tuple[Path, ...]
    env: Mapping[str, str]
    cwd: Path
    limits: Limits = field(default_factory=Limits)
    stdin: bytes = b""


class JobEnd(StrEnum):
    """How a job ended."""

    FINISHED = "finished"
    FAILED = "failed"
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    KILLED = "killed"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What a job left behind, apart from its files."""

    end: JobEnd
    exit_code: int | None
    stdout: bytes
    stderr: bytes
    wall_s: float
    cpu_s: float | None
    tier: Tier


class Sandbox(Protocol):
    """Runs jobs confined to what they declare."""

    @property
    def tier(self) -> Tier:
        """The tier this sandbox enforces."""
        ...

    def run(self, job: Job) -> JobResult:
        """Run a job to its end; never raises for what the job does, only for a sandbox that cannot be built."""
        ...

    def python(self, module: str, args: Sequence[str], *, readable: Sequence[Path], writable: Path) -> JobResult:
        """Run `python -m module` of this installation confined; `writable` is also its working directory."""
        ...


class Secrets(Protocol):
    """Secrets for jobs, encrypted at rest: which job may have which is decided elsewhere."""

    def put(self, name: str, value: bytes) -> int:
        """Keep a secret, instead of its earlier value; return its version."""
        ...

    def get(self, name: str) -> tuple[int, bytes]:
        """Return a secret's version and the secret.

        Raises:
            NotFound: There is none of this name.
            NotVerified: The stored bytes were changed.
            Unavailable: The store is locked.
        """
        ...

    def remove(self, name: str) -> None:
        """Destroy a secret.

        Raises:
            NotFound: There is none of this name.
        """
        ...


class Sessions(Protocol):
    """Sign-ons that go on; losing them makes people sign on again."""

    def open(self, session: Session, now: datetime) -> None:
        """Keep a new session, and forget those that have expired."""
        ...

    def get(self, session: str, now: datetime) -> Session | None:
        """Return a session that is neither closed nor expired."""
        ...

    def renew(self, session: str, old: str, new: str) -> bool:
        """Put a new hash in the place of the old one; say whether the old one was there."""
        ...

    def close(self, session: str) -> bool:
        """End a session; say whether there was one."""
        ...

    def close_all(self, name: str) -> int:
        """End every session of an account; return how many there were."""
        ...

    def count(self, name: str, now: datetime) -> int:
        """Return how many sessions of an account go on."""
        ...


class Web(Protocol):
    """Other services over HTTPS, each answer bounded in size and time, no redirect followed."""

    def get(self, url: str) -> tuple[int, bytes]:
        """Return status and body of a GET.

        Raises:
            InvalidInput: The address is not one that may be asked: neither HTTPS nor this machine.
            Unavailable: Nobody answers, too late, or too much.
        """
        ...

    def post(self, url: str, fields: Mapping[str, str]) -> tuple[int, bytes]:
        """Return status and body of a POST of form fields.

        Raises:
            InvalidInput: The address is not one that may be asked: neither HTTPS nor this machine.
            Unavailable: Nobody answers, too late, or too much.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReport:
    """Whether a tier can be had here, and if not, why not and what still works."""

    tier: Tier
    available: bool
    missing: tuple[str, ...]
    adds: str
    without: str


class Predict(Protocol):
    """A scanned model as a function."""

    def __call__(self, rows: "NDArray[np.float32]") -> "NDArray[np.float64]":
        """Return class probabilities, shape (n, classes), for rows of shape (n, features)."""
        ...


def no_secret(name: str) -> bytes:
    """Refuse: a stage has no secrets unless the lifecycle lets it have some.

    Raises:
        Refused: Always.
    """
    raise Refused("this stage may have no secret", place=f"secret {name[:80]}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Everything a stage may use: nothing else is reachable from it."""

    blobs: Blobs
    sandbox: Sandbox
    clock: Clock
    scratch: Path  # an empty folder of this run's own, removed afterwards
    secret: Callable[[str], bytes] = no_secret  # what this stage declared and was granted; every read is on record

    def store(self, kind: Kind, data: bytes) -> Artifact:
        """Store bytes as an artifact of a kind."""
        return Artifact(kind=kind, digest=self.blobs.put(data), size=len(data))

    def store_folder(self, kind: Kind, manifest: Manifest) -> Artifact:
        """Store a folder's manifest; its files must be stored already."""
        return Artifact(kind=kind, digest=self.blobs.put_document(manifest.document), size=manifest.size)


class JobState(StrEnum):
    """Where a job of the control plane stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A command that a worker carries out: who asked for it, who works on it, and what came of it."""

    id: str
    command: str  # its words, joined by spaces
    options: Mapping[str, Any]
    asked_by: str
    asked_at: datetime
    state: JobState
    worker: str = ""
    attempts: int = 0
    result: Mapping[str, Any] = field(default_factory=dict)  # the reply's document, or the error's


class Jobs(Protocol):
    """The commands that wait for a worker, and those that one has leased."""

    def ask(self, command: str, options: Mapping[str, Any], asked_by: str) -> Task:
        """Put a command into the queue.

        Raises:
            Unavailable: Too many wait already.
        """
        ...

    def find(self, job: str) -> Task:
        """Return a job.

        Raises:
            NotFound: There is no such job.
        """
        ...

    def newest(self, count: int) -> tuple[Task, ...]:
        """Return the newest jobs, newest last."""
        ...

    def lease(self, worker: str) -> Task | None:
        """Take the oldest job that waits, or whose worker has not been heard of, and hold it for this worker."""
        ...

    def renew(self, job: str, worker: str) -> bool:
        """Hold a job for longer; False where it was cancelled, or another worker has it."""
        ...

    def finish(self, job: str, worker: str, state: JobState, result: Mapping[str, Any]) -> bool:
        """Say what came of a job; False where it is no longer this worker's."""
        ...

    def cancel(self, job: str) -> Task:
        """Cancel a job that has not ended.

        Raises:
            NotFound: There is no such job.
            Conflict: It has ended.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What was answered to a request that may be repeated."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Answers(Protocol):
    """The answers to requests that carry an idempotency key."""

    def begin(self, key: str, request: Digest) -> Answered | None:
        """Return what was answered to this request, or None where it is to be carried out now, by nobody else.

        Raises:
            Conflict: The key was used for another request, or the first one is still being carried out.
        """
        ...

    def keep(self, key: str, answer: Answered) -> None:
        """Keep the answer for as long as the key is remembered."""
        ...

    def forget(self, key: str) -> None:
        """Let the request be made again: it was not carried out."""
        ...
