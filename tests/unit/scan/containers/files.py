"""What tests of containers share: a harmless payload that any scanner of its content finds, and how to look."""

import random
from collections.abc import Iterable

from holdfast.core.evidence import Finding, Severity
from holdfast.engines.scan.examination import Content, Limits
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.report import Findings

PAYLOAD = b"!!python/object/apply:builtins.print ['loaded']\n"
"""Text that the scanner of plain contents reports as critical, wherever a container hides it."""
FOUND = "yaml.python-tag"
SEEDS = range(4)


def scan(data: bytes, limits: Limits | None = None) -> list[Finding]:
    """Return the findings of one file."""
    findings = Findings()
    examine(Content(memoryview(data), "file"), findings, limits)
    return findings.kept


def rules(data: bytes) -> set[str]:
    """Return the rules of the findings of one file, without those that are only notes."""
    return {found.rule for found in scan(data) if found.severity not in {Severity.LOW, Severity.INFO}}


def severities(found: Iterable[Finding]) -> dict[str, Severity]:
    """Return the severity of each rule."""
    return {finding.rule: finding.severity for finding in found}


def seeded(seed: int) -> random.Random:
    """Return a generator of its own for each seed."""
    return random.Random(seed)  # noqa: S311 - cases, not keys


def text(rng: random.Random, most: int = 400) -> bytes:
    """Return innocent text."""
    return "".join(rng.choices("abcdefgh \n", k=rng.randint(20, most))).encode()


def name(rng: random.Random) -> str:
    """Return an innocent name."""
    return "/".join("".join(rng.choices("klmnopqr", k=rng.randint(3, 8))) for _ in range(rng.randint(1, 3))) + ".txt"
