"""What is said about machines of many kinds: which tiers they can hold, and what is missing by name."""

from dataclasses import replace
from typing import Any

import pytest

from holdfast.adapters.sandbox import Host, open_sandbox, probe, strongest
from holdfast.adapters.sandbox.namespaces import NamespacesSandbox
from holdfast.adapters.sandbox.process import ProcessSandbox
from holdfast.core.errors import SandboxUnavailable
from holdfast.core.ports import TIERS, Tier

PROBE = "holdfast.adapters.sandbox.probe:probe"
COMPLETE = Host(
    system="Linux",
    machine="x86_64",
    kernel=(6, 12),
    landlock_abi=6,
    supervises=True,
    has_proc=True,
    bwrap="/usr/bin/bwrap",
    namespaces_error="",
    apparmor_restricts_userns=False,
    userns_disabled_by="",
)
DENIED = "bwrap: setting up uid map: Permission denied"


def available(host: Host) -> dict[Tier, bool]:
    """Which tiers a machine can hold."""
    return {report.tier: report.available for report in probe(host)}


def missing(host: Host, tier: Tier) -> str:
    """What is missing for a tier."""
    return "; ".join(next(report.missing for report in probe(host) if report.tier is tier))


def test_complete_machine_holds_every_tier() -> None:
    """Nothing is missing, and the strongest tier is the last."""
    assert [(report.tier, report.available, report.missing) for report in probe(COMPLETE)] == [
        (tier, True, ()) for tier in TIERS
    ]
    assert strongest(COMPLETE) is TIERS[-1]
    assert [open_sandbox(tier, COMPLETE).tier for tier in TIERS] == list(TIERS)


@pytest.mark.parametrize(
    ("change", "process", "namespaces", "names"),
    [
        ({"system": "Darwin", "landlock_abi": 0, "supervises": False, "bwrap": None}, False, False, "Darwin"),
        ({"machine": "riscv64"}, False, False, "riscv64"),
        ({"supervises": False}, False, False, "seccomp user notification"),
        ({"kernel": (5, 4)}, False, False, "kernel 5.5"),
        ({"has_proc": False}, False, False, "/proc"),
        ({"landlock_abi": 0}, False, True, "Landlock (kernel 5.13"),
        ({"bwrap": None}, True, False, "the program bwrap (package bubblewrap)"),
        (
            {"namespaces_error": DENIED, "apparmor_restricts_userns": True},
            True,
            False,
            "kernel.apparmor_restrict_unprivileged_userns = 1",
        ),
        (
            {"namespaces_error": DENIED, "userns_disabled_by": "user.max_user_namespaces"},
            True,
            False,
            "user.max_user_namespaces = 0",
        ),
        ({"namespaces_error": DENIED}, True, False, "as in a container"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else None,
)
def test_refused_tier_names_what_is_missing(
    change: dict[str, Any], process: bool, namespaces: bool, names: str
) -> None:
    """A tier that cannot be held is refused, never replaced by a weaker one; the error names the feature."""
    host = replace(COMPLETE, **change)
    assert available(host) == {Tier.PROCESS: process, Tier.NAMESPACES: namespaces}
    for tier, held in available(host).items():
        if not held:
            with pytest.raises(SandboxUnavailable) as caught:
                open_sandbox(tier, host)
            assert names in caught.value.expected
            assert caught.value.place == f"sandbox tier {tier}"


@pytest.mark.parametrize("abi", range(1, 7))
def test_older_landlock_is_enough_but_said(abi: int) -> None:
    """Ubuntu 24.04 has ABI 4, Debian 12 ABI 2: the tier stands, and its report names the second walls that do not."""
    host = replace(COMPLETE, landlock_abi=abi)
    assert available(host) == {Tier.PROCESS: True, Tier.NAMESPACES: True}
    for tier in TIERS:
        absent = missing(host, tier)
        assert ("second wall against emptying files" in absent) == (abi < 3)
        assert ("second wall against TCP" in absent) == (abi < 4)
        assert ("second wall against signals" in absent) == (abi < 6)


def test_sandbox_uses_the_landlock_that_was_found() -> None:
    """Each tier is told which version it may use; namespaces hold without any, and their report says so."""
    for abi in (0, 1, 6):
        host = replace(COMPLETE, landlock_abi=abi)
        namespaces = open_sandbox(Tier.NAMESPACES, host)
        assert isinstance(namespaces, NamespacesSandbox)
        assert namespaces.landlock_abi == abi
        assert ("Landlock (kernel 5.13" in missing(host, Tier.NAMESPACES)) == (abi == 0)
    process = open_sandbox(Tier.PROCESS, replace(COMPLETE, landlock_abi=1))
    assert isinstance(process, ProcessSandbox)
    assert process.landlock_abi == 1


def test_strongest_is_the_last_that_can_be_held() -> None:
    """A machine without bubblewrap has the process tier, one without Landlock the other, and a Mac none."""
    assert strongest(replace(COMPLETE, bwrap=None)) is Tier.PROCESS
    assert strongest(replace(COMPLETE, landlock_abi=0)) is Tier.NAMESPACES
    with pytest.raises(SandboxUnavailable, match="Darwin"):
        strongest(replace(COMPLETE, system="Darwin"))


def test_every_report_says_what_the_tier_adds_and_what_works_without() -> None:
    """An operator can decide from the report alone."""
    assert all(report.adds and report.without for report in probe(COMPLETE))
