"""Which tiers can be had on this machine, what is missing for each, and the door to them.

A tier is available or refused by name: nothing here falls back to a weaker one in silence.
"""

import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from holdfast.adapters.sandbox.confined import why_it_fails
from holdfast.adapters.sandbox.inside import kernel
from holdfast.adapters.sandbox.namespaces import NamespacesSandbox, trial
from holdfast.adapters.sandbox.process import ProcessSandbox
from holdfast.adapters.sandbox.syscalls import ARCHITECTURES
from holdfast.core.errors import SandboxUnavailable
from holdfast.core.ports import TIERS, Sandbox, Tier, TierReport

# 5.5 lets a supervisor answer "go on"; before it, a job's first fork would wait for ever.
LOWEST_SUPERVISING_KERNEL: Final = (5, 5)

ADDS: Final = {
    Tier.PROCESS: (
        "a job sees no file contents, no environment and no network but what it declares, cannot signal or change "
        "other processes, and cannot outlive or outgrow its limits"
    ),
    Tier.NAMESPACES: (
        "what a job does not declare does not exist for it: not the names and sizes of files, not other processes, "
        "not network interfaces; and a second wall stands behind each of the process tier's"
    ),
}
WITHOUT: Final = {
    Tier.PROCESS: (
        "everything that runs no foreign code: planning, ingest, policy, ledger, verification and serving; "
        "training is refused unless the namespaces tier is there"
    ),
    Tier.NAMESPACES: "all of Holdfast in the process tier, where no policy asks for namespaces",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """The facts about a machine that decide which tiers it can hold."""

    system: str
    machine: str
    kernel: tuple[int, int]
    landlock_abi: int
    supervises: bool  # seccomp user notification
    has_proc: bool
    bwrap: str | None
    namespaces_error: str  # what bubblewrap said when it was tried; empty when it worked
    apparmor_restricts_userns: bool
    userns_disabled_by: str  # the sysctl that forbids unprivileged user namespaces; empty for none


def observe() -> Host:
    """Look at this machine, trying bubblewrap where it is installed (about 20 ms)."""
    linux = sys.platform == "linux"
    bwrap = shutil.which("bwrap") if linux else None
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    return Host(
        system=platform.system(),
        machine=platform.machine(),
        kernel=(int(version[1]), int(version[2])) if linux and version else (0, 0),
        landlock_abi=kernel.landlock_abi() if linux else 0,
        supervises=linux and kernel.can_supervise(),
        has_proc=Path("/proc/self/stat").exists(),
        bwrap=bwrap,
        namespaces_error=why_it_fails(trial(bwrap, (sys.executable, "-I", "-S", "-c", ""))) if bwrap else "",
        apparmor_restricts_userns=_sysctl("kernel/apparmor_restrict_unprivileged_userns") == "1",
        userns_disabled_by=_disabling_sysctl(),
    )


def _sysctl(name: str) -> str:
    try:
        return Path("/proc/sys", name).read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _disabling_sysctl() -> str:
    for name in ("kernel/unprivileged_userns_clone", "user/max_user_namespaces"):
        if _sysctl(name) == "0":
            return name.replace("/", ".")
    return ""


def probe(host: Host | None = None) -> tuple[TierReport, ...]:
    """Report every tier, weakest first: whether it can be had, and each kernel feature or program that is missing.

    A tier that is available can have something missing too: a second wall behind one that stands.

    Args:
        host: The facts to judge; this machine's where none are given.
    """
    facts = host or observe()
    common = _missing_everywhere(facts)
    landlock, second_walls = _missing_landlock(facts), _missing_second_walls(facts)
    needs = {Tier.PROCESS: (*common, *landlock), Tier.NAMESPACES: (*common, *_missing_namespaces(facts))}
    wants = {Tier.PROCESS: second_walls, Tier.NAMESPACES: (*landlock, *second_walls)}
    return tuple(
        TierReport(
            tier=tier,
            available=not needs[tier],
            missing=(*needs[tier], *wants[tier]),
            adds=ADDS[tier],
            without=WITHOUT[tier],
        )
        for tier in TIERS
    )


def _missing_everywhere(host: Host) -> tuple[str, ...]:
    if host.system != "Linux":
        return (f"Linux: every tier is made of Linux kernel features, and this is {host.system or 'unknown'}",)
    missing = []
    if host.machine not in ARCHITECTURES:
        missing.append(f"a seccomp filter for {host.machine}: there is one for {' and '.join(ARCHITECTURES)}")
    if not host.supervises or host.kernel < LOWEST_SUPERVISING_KERNEL:
        missing.append(
            "seccomp user notification (kernel 5.5, CONFIG_SECCOMP_FILTER, not blocked by a container's own filter): "
            "counts processes and keeps signals inside a job"
        )
    if not host.has_proc:
        missing.append("/proc: the warden reads there what a job uses")
    return tuple(missing)


def _missing_landlock(host: Host) -> tuple[str, ...]:
    if host.system != "Linux" or host.landlock_abi:
        return ()
    lacking = (
        "Landlock (kernel 5.13, CONFIG_SECURITY_LANDLOCK, `landlock` in the lsm= boot parameter, not blocked by a "
        "container's filter): confines which files a job reads and writes"
    )
    return (lacking,)


def _missing_second_walls(host: Host) -> tuple[str, ...]:
    """Name what is absent without opening anything: the filter and the warden hold the same line alone."""
    if host.system != "Linux" or not host.landlock_abi:
        return ()
    found = f"the seccomp filter and the warden stand alone (found ABI {host.landlock_abi})"
    walls = (
        (kernel.TRUNCATE_ABI, "6.2", "emptying files that may not be written"),
        (kernel.TCP_ABI, "6.7", "TCP"),
        (kernel.SCOPE_ABI, "6.12", "signals to other processes"),
    )
    return tuple(
        f"Landlock ABI {abi} (kernel {release}): a second wall against {what}; {found}"
        for abi, release, what in walls
        if host.landlock_abi < abi
    )


def _missing_namespaces(host: Host) -> tuple[str, ...]:
    if host.system != "Linux":
        return ()
    if host.bwrap is None:
        return ("the program bwrap (package bubblewrap): makes a job's namespaces",)
    if not host.namespaces_error:
        return ()
    return (f"{_why_no_namespaces(host)}; bwrap said: {host.namespaces_error}",)


def _why_no_namespaces(host: Host) -> str:
    if host.apparmor_restricts_userns:
        return (
            "unprivileged user namespaces: AppArmor restricts them (kernel.apparmor_restrict_unprivileged_userns = 1, "
            "as in Ubuntu 24.04), and bwrap has no profile that allows them"
        )
    if host.userns_disabled_by:
        return f"unprivileged user namespaces: switched off by {host.userns_disabled_by} = 0"
    return "namespaces: bwrap cannot make them here, as in a container whose filter forbids unshare or mount"


def open_sandbox(tier: Tier, host: Host | None = None) -> Sandbox:
    """Return the sandbox of exactly this tier.

    Args:
        tier: The tier that the policy asks for.
        host: The facts to judge; this machine's where none are given.

    Raises:
        SandboxUnavailable: This machine cannot hold it; the message names what is missing.
    """
    facts = host or observe()
    report = next(report for report in probe(facts) if report.tier is tier)
    if not report.available:
        raise SandboxUnavailable(
            f"the {tier} tier cannot be had here",
            place=f"sandbox tier {tier}",
            expected="; ".join(report.missing),
            remedy=f"Provide what is missing (docs/sandbox.md), or change the policy. Without it: {report.without}.",
        )
    if tier is Tier.PROCESS or facts.bwrap is None:
        return ProcessSandbox(landlock_abi=facts.landlock_abi)
    return NamespacesSandbox(bwrap=facts.bwrap, landlock_abi=facts.landlock_abi)


def strongest(host: Host | None = None) -> Tier:
    """Return the strongest tier this machine can hold.

    Raises:
        SandboxUnavailable: It can hold none; the message names what is missing for each.
    """
    reports = probe(host)
    available = [report.tier for report in reports if report.available]
    if not available:
        wanted = "; ".join(f"{report.tier}: {', '.join(report.missing)}" for report in reports)
        raise SandboxUnavailable("no sandbox tier can be had here", place=platform.node(), expected=wanted)
    return available[-1]
