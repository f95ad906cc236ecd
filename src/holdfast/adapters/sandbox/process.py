"""The process tier: Landlock, seccomp and resource limits around one process group. Nothing has to be installed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.adapters.sandbox.confined import Grant, Walls, run_confined
from holdfast.adapters.sandbox.inside import kernel
from holdfast.adapters.sandbox.jobs import DEVICES, check, python_job, runtime_paths
from holdfast.core.ports import Job, JobResult, Tier


def landlock_grants(job: Job) -> tuple[Grant, ...]:
    """Return what Landlock lets a job do: run and read the runtime, read and write what it declares."""
    runtime = ((str(path), kernel.READ_AND_RUN) for path in (*runtime_paths(), *job.readable))
    devices = ((device, kernel.DEVICE) for device in DEVICES)
    writable = ((str(folder), kernel.READ_AND_WRITE) for folder in job.writable)
    return (*runtime, *devices, *writable)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessSandbox:
    """Runs jobs in the process tier; `open_sandbox` makes one where the kernel can hold it."""

    landlock_abi: int

    @property
    def tier(self) -> Tier:
        """The tier this sandbox enforces."""
        return Tier.PROCESS

    def run(self, job: Job) -> JobResult:
        """Run a job to its end.

        Raises:
            InvalidInput: The job's declaration cannot be enforced as it reads.
            SandboxUnavailable: The kernel refused to confine it; nothing of it ran.
        """
        check(job)
        return run_confined(job, Walls(tier=self.tier, landlock_abi=self.landlock_abi, grants=landlock_grants(job)))

    def python(self, module: str, args: Sequence[str], *, readable: Sequence[Path], writable: Path) -> JobResult:
        """Run `python -m module` of this installation confined; see `python_job`."""
        return self.run(python_job(module, args, readable=readable, writable=writable))
