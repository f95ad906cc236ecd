"""What a job may be, and what every Python job needs to see: declared paths checked, the runtime added.

Nothing is run here. A declaration that could not be enforced as it reads is refused before anything starts.
"""

import os
import sys
import sysconfig
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final

from holdfast.core.errors import InvalidInput
from holdfast.core.ports import Job, Limits

SYSTEM: Final = (
    "/usr",
    "/lib",
    "/lib64",
    "/bin",
    "/sbin",
    "/nix/store",
    "/etc/ld.so.cache",
    "/etc/alternatives",  # where Debian's BLAS and LAPACK links lead
    f"/etc/python{sys.version_info.major}.{sys.version_info.minor}",  # and its sitecustomize.py
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/sys/devices/system/cpu",
)
DEVICES: Final = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
KERNEL_TREES: Final = (Path("/proc"), Path("/sys"), Path("/dev"))
SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a job sees what it declares below it, never the folder itself
SOURCE: Final = Path(__file__).resolve().parents[3]  # the folder `import holdfast` is found in

PYTHON_ENVIRONMENT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "HOME": "/nonexistent",
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "TZ": "UTC",
        "PYTHONHASHSEED": "0",
        # One thread: sums in another order are other numbers, and a model is to be the same bytes every time.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NUMEXPR_NUM_THREADS": "1",
        "POLARS_MAX_THREADS": "1",
        "RAYON_NUM_THREADS": "1",
        "JOBLIB_MULTIPROCESSING": "0",  # its semaphores are files in /dev/shm, which a job does not have
    }
)


def runtime_paths() -> tuple[Path, ...]:
    """Return what this Python needs to start: system libraries, its own prefixes, the source of this package."""
    prefixes = (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix)
    wanted = (*SYSTEM, *prefixes, str(Path(sys.executable).resolve().parent), str(SOURCE))
    return tuple(Path(path) for path in dict.fromkeys(wanted) if os.path.exists(path))  # noqa: PTH110 - of strings


def python_job(
    module: str,
    args: Sequence[str],
    *,
    readable: Sequence[Path],
    writable: Path,
    limits: Limits | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes = b"",
) -> Job:
    """Return the job that runs `python -m module` of this installation, reproducibly and without surroundings.

    `-I` would also ignore PYTHONHASHSEED, so its parts are given one by one: `-s` (no user packages), `-P` (no
    working directory on the path); there is no environment but the one made here. `-B` writes no bytecode.

    Args:
        module: An importable module with a `__main__` part.
        args: Its command line.
        readable: What it may read beside the interpreter, its libraries and this package.
        writable: The folder it may write; also its working and temporary directory.
        limits: What it may use; the port's defaults where nothing is said.
        env: Variables added to `PYTHON_ENVIRONMENT`.
        stdin: Its standard input.
    """
    return Job(
        argv=(sys.executable, "-s", "-P", "-B", "-m", module, *args),
        readable=tuple(readable),
        writable=(writable,),
        env={**PYTHON_ENVIRONMENT, **_source_path(), "TMPDIR": str(writable), **(env or {})},
        cwd=writable,
        limits=limits or Limits(),
        stdin=stdin,
    )


def _source_path() -> dict[str, str]:
    """Return the variable that lets a job import this package where it runs from a checkout, uninstalled."""
    installed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    return {} if str(SOURCE) in installed else {"PYTHONPATH": str(SOURCE)}


def check(job: Job) -> None:
    """Refuse a job whose declaration cannot be enforced as it reads.

    Raises:
        InvalidInput: A path is relative, missing, part of /proc, /sys or /dev, or both readable and writable; or
            the command, its environment or its working directory cannot be used.
    """
    if not job.argv or not Path(job.argv[0]).is_absolute():
        raise InvalidInput("a job needs a command", place="argv", expected="an absolute path to a program")
    texts = (*job.argv, *job.env.keys(), *job.env.values())
    if any("\0" in text for text in texts) or any("=" in name for name in job.env):
        raise InvalidInput("a job's command and environment hold no NUL, and its variables no =", place="env")
    for path in (*job.readable, *job.writable):
        _check_path(path)
    for folder in job.writable:
        _check_writable(folder, (*job.readable, *runtime_paths()))
    if not _lies_in(job.cwd, (*job.readable, *job.writable)):
        raise InvalidInput("the working directory is not declared", place=str(job.cwd), expected="a declared folder")


def _check_path(path: Path) -> None:
    if not path.is_absolute() or not path.exists():
        raise InvalidInput("a declared path cannot be used", place=str(path), expected="an absolute, existing path")
    real = path.resolve()
    in_memory = SHARED_MEMORY in real.parents  # files like any others, though they lie below /dev
    if not in_memory and any(real.is_relative_to(tree) or tree.is_relative_to(real) for tree in KERNEL_TREES):
        raise InvalidInput(
            "a declared path would show other processes, their environments or devices",
            place=str(path),
            expected="no part of /proc, /sys or /dev, and not /",
        )


def _check_writable(folder: Path, readable: Iterable[Path]) -> None:
    real = folder.resolve()
    if not real.is_dir():
        raise InvalidInput("only folders can be writable", place=str(folder), expected="a folder")
    for path in readable:
        if path.resolve().is_relative_to(real):
            raise InvalidInput(
                f"{path} lies in a writable folder and would be writable too",
                place=str(folder),
                expected="readable and writable paths apart from each other",
            )


def _lies_in(path: Path, folders: Iterable[Path]) -> bool:
    real = path.resolve()
    return real.is_dir() and any(real.is_relative_to(folder.resolve()) for folder in folders)
