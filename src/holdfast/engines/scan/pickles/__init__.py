"""Pickles: read opcode by opcode, never executed.

Reading order: `values` (what lies on the stack), `machine` (what opcodes do), `judge` (what imports and calls mean),
`allowed` (the allow-list and its data), `names` (how bad the rest is), `arrays` (raw bytes that joblib writes between).
"""

from holdfast.engines.scan.pickles.judge import AllowListJudge
from holdfast.engines.scan.pickles.machine import TORCH_START, Dialect
from holdfast.engines.scan.pickles.reading import FORMAT, judge_of, known, scan, scan_headerless, walk

__all__ = [
    "FORMAT",
    "TORCH_START",
    "AllowListJudge",
    "Dialect",
    "judge_of",
    "known",
    "scan",
    "scan_headerless",
    "walk",
]
