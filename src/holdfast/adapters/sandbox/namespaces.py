"""The namespaces tier: bubblewrap around the process tier, so that what is not declared does not exist.

A job here has its own mounts, process table, network, IPC and host name. The filter, the limits and the warden are
those of the process tier, and so is Landlock where the kernel has it: two walls, of which either would do.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

from holdfast.adapters.sandbox.confined import Walls, run_confined
from holdfast.adapters.sandbox.inside import kernel
from holdfast.adapters.sandbox.jobs import check, python_job, runtime_paths
from holdfast.adapters.sandbox.process import landlock_grants
from holdfast.core.ports import MIB, Job, JobResult, Tier

SCRATCH_BYTES: Final = 64 * MIB  # of /tmp and of /dev/shm: memory no process is charged for, so not much of it
SCRATCH: Final = ("/tmp", "/dev/shm")  # noqa: S108 - the job's own, empty and gone with it
ISOLATION: Final = (
    *("--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--hostname", "sandbox"),
    *("--cap-drop", "ALL", "--proc", "/proc", "--dev", "/dev"),
    *chain.from_iterable(("--perms", "0700", "--size", str(SCRATCH_BYTES), "--tmpfs", place) for place in SCRATCH),
    *("--remount-ro", "/dev"),
)


def trial(bwrap: str, program: Sequence[str]) -> tuple[str, ...]:
    """Return a command that does what a job's namespaces need, around a program that does nothing."""
    return (bwrap, *ISOLATION, *_mounts(_both_names(runtime_paths()), ()), "--", *program)


def _both_names(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Return each path as given and as resolved: a link to it may name either."""
    return tuple(dict.fromkeys(name for path in paths for name in (path, path.resolve())))


def _mounts(readable: Iterable[Path], writable: Iterable[Path]) -> tuple[str, ...]:
    """Return the mounts, outer ones first, so that none hides one inside it; then nothing else can be written."""
    wanted = dict.fromkeys(readable, "--ro-bind") | dict.fromkeys(writable, "--bind")
    ordered = sorted(wanted, key=lambda path: len(path.parts))
    binds = ((wanted[path], str(path), str(path)) for path in ordered if not path.is_relative_to("/proc"))
    return (*chain.from_iterable(binds), "--remount-ro", "/")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespacesSandbox:
    """Runs jobs in the namespaces tier; `open_sandbox` makes one where bubblewrap and the kernel can hold it."""

    bwrap: str
    landlock_abi: int

    @property
    def tier(self) -> Tier:
        """The tier this sandbox enforces."""
        return Tier.NAMESPACES

    def run(self, job: Job) -> JobResult:
        """Run a job to its end.

        Raises:
            InvalidInput: The job's declaration cannot be enforced as it reads.
            SandboxUnavailable: bubblewrap or the kernel refused to confine it; nothing of it ran.
        """
        check(job)
        readable = _both_names((*runtime_paths(), *job.readable))
        scratch = ((place, kernel.READ_AND_WRITE) for place in SCRATCH)
        walls = Walls(
            tier=self.tier,
            prefix=(self.bwrap, *ISOLATION, *_mounts(readable, _both_names(job.writable)), "--"),
            landlock_abi=self.landlock_abi,
            grants=(*landlock_grants(job), *scratch),
        )
        return run_confined(job, walls)

    def python(self, module: str, args: Sequence[str], *, readable: Sequence[Path], writable: Path) -> JobResult:
        """Run `python -m module` of this installation confined; see `python_job`."""
        return self.run(python_job(module, args, readable=readable, writable=writable))
