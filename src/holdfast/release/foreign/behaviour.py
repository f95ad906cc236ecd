"""What a model did, or tried, while it was loaded: by Python's audit hook, and by the kernel's filter.

Two witnesses. The hook sees files, names looked up, native libraries and everything else that goes through Python. The
filter of the sandbox sees each socket, program and process that anything asked for, also from native code, and grants
no socket. Files that native code opens without Python are confined, and seen by neither.
"""

from collections import Counter
from typing import Final

from holdfast.core.control import Control, NotApplicable, Report
from holdfast.core.errors import StageFailed
from holdfast.core.evidence import Finding, Severity, exactly
from holdfast.core.ports import TIERS
from holdfast.engines.jobs import printable
from holdfast.release.foreign.material import Event, Examined, Look

KINDS: Final = {
    "network": Severity.CRITICAL,
    "process": Severity.CRITICAL,
    "file": Severity.HIGH,
    "native": Severity.MEDIUM,
    "unreadable": Severity.MEDIUM,
}
PROCESSES: Final = frozenset({"program", "process", "signal", "ptrace", "process_vm_readv", "process_vm_writev"})
MAX_SHOWN: Final = 40  # findings of one kind: what follows is the same again
MAX_FACT: Final = 2000  # characters


def _measure(examined: Examined) -> Report | NotApplicable:
    form, _ = examined.model
    if form == "weights":
        return NotApplicable(reason="bare weights are not loaded: they hold numbers and names only")
    look = examined.look
    if look.job.tier not in TIERS:
        raise StageFailed(f"the sandbox tier {look.job.tier} is unknown")
    counted = Counter(event.kind for event in look.events)
    kernel = {name: int(count) for name, count in look.job.tried.items()}
    processes = sum(count for name, count in kernel.items() if name in PROCESSES)
    names = sorted({event.what.partition(" ")[2] for event in look.events if event.kind == "lookup"})
    return Report(
        measures=(
            exactly("network_tried", max(counted["network"], sum(kernel.values()) - processes)),
            exactly("processes_tried", max(counted["process"], processes)),
            exactly("files_tried", counted["file"]),
            exactly("native_tried", counted["native"]),
            exactly("names_looked_up", len(names)),
            exactly("trail_whole", look.whole),
            exactly("loaded", look.facts is not None),
            exactly("tier_rank", TIERS.index(look.job.tier) + 1),
        ),
        findings=(*_findings(look), *_kernel(kernel)),
        facts={
            "tier": look.job.tier,
            "ended": str(look.job.end),
            "why_not_loaded": printable(look.words),
            "names": printable(", ".join(names), MAX_FACT),
            "kernel": ", ".join(f"{name}={count}" for name, count in sorted(kernel.items())),
            "type": printable(look.facts.type) if look.facts else "",
        },
    )


def _findings(look: Look) -> list[Finding]:
    found, shown = [], Counter[str]()
    for event in look.events:
        severity = KINDS.get(event.kind)
        shown[event.kind] += 1
        if severity is not None and shown[event.kind] <= MAX_SHOWN:
            found.append(_finding(event, severity))
    return found


def _finding(event: Event, severity: Severity) -> Finding:
    message = f"while it was loaded: {printable(event.what)}"
    return Finding(place="load", severity=severity, rule=f"behaviour.{event.kind}", message=message)


def _kernel(tried: dict[str, int]) -> list[Finding]:
    return [
        Finding(
            place="system call",
            severity=Severity.CRITICAL,
            rule=f"behaviour.{'process' if name in PROCESSES else 'network'}",
            message=f"the kernel was asked {count} time(s) for: {name}",
        )
        for name, count in sorted(tried.items())
    ]


BEHAVIOUR: Final[Control[Examined]] = Control(name="release.behaviour/1", measure=_measure)
