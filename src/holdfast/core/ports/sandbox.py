"""The port of code that is not ours: where it runs, with what, and how it ended."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from holdfast.core.artifact import Artifact, Kind, Manifest
from holdfast.core.dlp import Presidio
from holdfast.core.errors import Refused
from holdfast.core.ports.recognising import Recogniser, no_recogniser
from holdfast.core.ports.storing import Blobs
from holdfast.core.ports.time import Clock

if TYPE_CHECKING:  # whoever only keeps the ledger need not load numerics: 140 ms and 15 MB in each process
    import numpy as np
    from numpy.typing import NDArray

MIB: Final = 1 << 20
GIB: Final = 1 << 30


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
    tried: Mapping[str, int] = field(default_factory=dict)  # sockets, programs, processes it asked the kernel for


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


def no_token_key() -> bytes:
    """Refuse: a stage makes no tokens unless the lifecycle lends it the data set's key.

    Raises:
        Refused: Always.
    """
    raise Refused("this stage may make no tokens", place="token key")


def no_protected_key() -> bytes:
    """Refuse: a stage sees no protected attribute unless the lifecycle lends it the project's key.

    Raises:
        Refused: Always.
    """
    raise Refused("this stage may see no protected attribute", place="protected key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """Everything a stage may use: nothing else is reachable from it."""

    blobs: Blobs
    sandbox: Sandbox
    clock: Clock
    scratch: Path  # an empty folder of this run's own, removed afterwards
    secret: Callable[[str], bytes] = no_secret  # what this stage declared and was granted; every read is on record
    token_key: Callable[[], bytes] = no_token_key  # of this data set, from the platform's vault
    open_recogniser: Callable[[Presidio], Recogniser] = no_recogniser  # of what no pattern knows, where declared
    protected_key: Callable[[], bytes] = no_protected_key  # of protected attributes; every read is on record

    def store(self, kind: Kind, data: bytes) -> Artifact:
        """Store bytes as an artifact of a kind."""
        return Artifact(kind=kind, digest=self.blobs.put(data), size=len(data))

    def store_folder(self, kind: Kind, manifest: Manifest) -> Artifact:
        """Store a folder's manifest; its files must be stored already."""
        return Artifact(kind=kind, digest=self.blobs.put_document(manifest.document), size=manifest.size)
