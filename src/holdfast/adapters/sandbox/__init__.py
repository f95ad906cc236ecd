"""Sandbox adapter: runs foreign code with nothing but what it declares, in the tier that was asked for.

::

    for report in probe():
        print(report.tier, report.available, report.missing)
    result = open_sandbox(Tier.PROCESS).run(python_job("json.tool", [], readable=[], writable=folder, stdin=b"{}"))

Reading order: `jobs` (what may be declared), `process` and `namespaces` (the two tiers), `filter` (which system calls),
`confined` (one run, from outside), `inside.warden` (one run, from the far side of the fork), `probe` (what this
machine can hold). docs/sandbox.md is the operator's page; docs/adr/0010-sandbox-tiers.md says why it is made like this.
"""

from holdfast.adapters.sandbox.jobs import python_job
from holdfast.adapters.sandbox.probe import Host, observe, open_sandbox, probe, strongest

__all__ = ["Host", "observe", "open_sandbox", "probe", "python_job", "strongest"]
