"""What this machine and this process offer a model: versions, processor, memory."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from holdfast.core.needs import Offered


def offered(libraries: Iterable[str]) -> Offered:
    """Return what is here, with the installed versions of these distributions."""
    found = {}
    for name in libraries:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return Offered(
        python=platform.python_version(),
        libraries=found,
        machine=platform.machine(),
        cpu=_flags(),
        memory_mb=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
    )


def _flags() -> frozenset[str]:
    """Return the processor's flags, as Linux tells them; none where it does not."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in {"flags", "Features"}:
            return frozenset(value.split())
    return frozenset()
