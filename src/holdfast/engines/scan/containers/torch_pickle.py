"""The pickles of torch archives: which storages their tensors have, and which names TorchScript resolves by itself."""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.pickles import AllowListJudge, Dialect, judge_of, walk
from holdfast.engines.scan.pickles.machine import How
from holdfast.engines.scan.pickles.values import Global, Instance, Tuple, Value

ELEMENT_SIZES: Final = {
    "ByteStorage": 1, "CharStorage": 1, "BoolStorage": 1, "QInt8Storage": 1, "QUInt8Storage": 1, "QUInt4x2Storage": 1,
    "QUInt2x4Storage": 1, "UntypedStorage": 1, "ShortStorage": 2, "HalfStorage": 2, "BFloat16Storage": 2,
    "IntStorage": 4, "FloatStorage": 4, "QInt32Storage": 4, "LongStorage": 8, "DoubleStorage": 8,
    "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16,
}  # fmt: skip
"""Bytes of one element by the class that a persistent id names."""
_RESOLVED: Final = frozenset(
    f"torch.jit._pickle.{name}"
    for name in (
        "build_boollist",
        "build_doublelist",
        "build_intlist",
        "build_tensor_from_id",
        "build_tensorlist",
        "restore_type_tag",
    )
)
"""Functions that give back what they are given (torch/jit/_pickle.py); TorchScript's own reader does not call them."""


def scan_pickle(content: Content, examination: Examination, *, script: bool) -> dict[str, int] | None:
    """Scan a pickle as torch reads it; return the bytes that each storage must have, or nothing where it breaks.

    Args:
        content: The member.
        examination: Where to report.
        script: Whether the archive is TorchScript, whose classes stand in the archive itself.
    """
    judge = _ScriptJudge.of(judge_of(content, examination)) if script else None
    met = list[Value]()
    end = walk(content, examination, dialect=Dialect.TORCH, judge=judge, identities=met)
    if 0 <= end < len(content.view):
        words = f"{len(content.view) - end} bytes behind the pickle that torch reads"
        examination.add(Severity.HIGH, "torch.trailing", content.at(end), words)
        examination.enter(Content(content.view[end:], content.inside("trailing")))
    return _sizes(met) if end >= 0 else None


def _sizes(met: list[Value]) -> dict[str, int]:
    """Return the largest size that persistent ids give each storage, in bytes; -1 where they do not tell."""
    sizes = dict[str, int]()
    for identity in met:
        if not isinstance(identity, Tuple) or len(identity.items) < 5:
            continue
        _, storage, key, _, count = identity.items[:5]
        each = ELEMENT_SIZES.get(storage.name, -1) if isinstance(storage, Global) else -1
        if isinstance(key, str):
            size = each * count if each > 0 and type(count) is int else -1
            sizes[key] = max(size, sizes.get(key, -1))
    return sizes


class _ScriptJudge(AllowListJudge):
    """Judges a pickle of TorchScript: its classes are code of the archive, which is scanned as such.

    Python has no module `__torch__`, so that another reader of the pickle stops at the first of these names.
    """

    @classmethod
    def of(cls, other: AllowListJudge) -> "_ScriptJudge":
        """Return a judge with the same lists."""
        return cls(other.content, other.examination, other.allowed, other.nested)

    def elsewhere(self, content: Content) -> "AllowListJudge":
        """Return a judge of other bytes that remembers imports together with this one."""
        other = _ScriptJudge(content, self.examination, self.allowed, self.nested)
        other.imported = self.imported
        return other

    def imports(self, found: Global) -> None:
        """Pass names that TorchScript resolves by itself."""
        if not _resolved(found):
            super().imports(found)

    def calls(self, how: How, callee: Value, args: Tuple, at: int) -> Value:
        """Pass calls of them."""
        if isinstance(callee, Global) and _resolved(callee):
            return Instance(callee.full)
        return super().calls(how, callee, args, at)

    def builds(self, target: Value, state: Value, at: int) -> Value:
        """Pass states of their instances."""
        if isinstance(target, Instance) and target.of.startswith("__torch__."):
            return target
        return super().builds(target, state, at)


def _resolved(found: Global) -> bool:
    return found.module.partition(".")[0] == "__torch__" or found.full in _RESOLVED
