"""What a scan says: files, operators, counts and findings, as the worker writes it and the release stage reads it.

Every string that came out of a scanned file is cut to a length and to printable characters on its way in.
"""

import msgspec

from holdfast.core.evidence import MAX_FINDINGS, Finding, Severity

MAX_REPEATS = 20  # findings kept of one rule; the rest are counted, so that one rule cannot crowd out another
MAX_WORDS = 200  # characters shown of a string that a scanned file holds


class Operator(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, order=True):
    """One operator of a model and how many nodes use it."""

    domain: str
    name: str
    count: int


class ScannedFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One file as the scanner saw it; the digest proves which bytes those were."""

    path: str
    digest: str
    size: int


class Structure(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an ONNX model is made of."""

    operators: tuple[Operator, ...] = ()
    opsets: tuple[tuple[str, int], ...] = ()
    ir_version: int = 0
    producer: str = ""
    nodes: int = 0
    tensors: int = 0
    parameters: int = 0  # elements of all tensors


class ScanReport(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole result of one scan."""

    files: tuple[ScannedFile, ...]
    structure: Structure
    findings: tuple[Finding, ...]
    found: int  # findings in all, kept or not


class Findings:
    """A bounded collection: every finding is counted, enough of each rule are kept."""

    def __init__(self) -> None:
        """Start empty."""
        self.kept: list[Finding] = []
        self.total = 0
        self._repeats: dict[tuple[str, Severity], int] = {}

    def add(self, severity: Severity, rule: str, place: str, message: str) -> None:
        """Count a finding, and keep it while there is room."""
        self.total += 1
        seen = self._repeats.get((rule, severity), 0)
        self._repeats[rule, severity] = seen + 1
        if seen < MAX_REPEATS and len(self.kept) < MAX_FINDINGS:
            self.kept.append(Finding(place=place, severity=severity, rule=rule, message=message))


def shown(raw: bytes | str, limit: int = MAX_WORDS) -> str:
    r"""Return a foreign string as it may be shown: printable, cut to `limit` characters and a sign that it was cut.

    >>> shown(b"a\x1b[31mb")
    'a?[31mb'
    """
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
    cut = "".join(char if char.isprintable() else "?" for char in text[:limit])
    return cut + "…" if len(text) > limit else cut
