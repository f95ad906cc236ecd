"""What `torch.save` and `torch.jit.save` put into a zip archive, and what does not belong there.

One folder holds `data.pkl`, `version` and one file of raw numbers for each storage
(caffe2/serialize/inline_container.cc). The numbers are never unpickled, so they are not looked through for others.
"""

import re
from dataclasses import dataclass
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination, Format
from holdfast.engines.scan.models import torchscript
from holdfast.engines.scan.pickles import Dialect, walk
from holdfast.engines.scan.report import shown

_STORAGE: Final = re.compile(r"(?:data|constants|tensors|traced_inputs)/\d{1,9}")
_PICKLES: Final = frozenset({"data.pkl", "constants.pkl", "attributes.pkl", "bytecode.pkl", "traced_inputs.pkl"})
_PLAIN: Final = re.compile(
    r"version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|\.data/version"
    r"|extra/[^/].*|code/.+\.py|code/.+\.py\.debug_pkl|mobile_debug_handles\.pkl|mobile_debug_info\.pkl"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchArchive:
    """One archive as torch reads it."""

    root: str
    content: Content
    examination: Examination

    @classmethod
    def of(cls, names: list[str], content: Content, examination: Examination) -> "TorchArchive | None":
        """Return the torch archive that these members make, or nothing; report members that torch never writes."""
        _code(names, content, examination)
        roots = dict.fromkeys(name[: -len("data.pkl")] for name in names if name.endswith("/data.pkl"))
        roots = dict.fromkeys(root for root in roots if root.count("/") == 1 and f"{root}version" in names)
        if not roots:
            return None
        root = next(iter(roots))
        strange = [name for name in names if not _belongs(root, name)]
        for name in strange:
            words = f"{shown(name)!r} is no part of an archive that torch writes"
            examination.add(Severity.MEDIUM, "torch.extra", content.inside(name), words)
        if f"{root}constants.pkl" in names or any(name.startswith(f"{root}code/") for name in names):
            words = "TorchScript: `torch.jit.load` runs the code in it, without Python"
            examination.add(Severity.LOW, "torch.script", content.inside(f"{root}code"), words)
        if "torch" not in examination.formats:
            examination.formats.append("torch")
        return cls(root=root, content=content, examination=examination)

    def enter(self, name: str, data: memoryview) -> bool:
        """Take a member that torch reads in a way of its own; return whether it did."""
        if not name.startswith(self.root):
            return False
        inside = name[len(self.root) :]
        if inside in _PICKLES:
            self.examination.enter(Content(data, self.content.inside(name)), PICKLE)
            return True
        if inside.startswith("code/") and inside.endswith(".py"):
            self.examination.enter(Content(data, self.content.inside(name)), SCRIPT)
            return True
        return bool(_STORAGE.fullmatch(inside))


def _code(names: list[str], content: Content, examination: Examination) -> None:
    """Report archives that bring Python code which their readers import."""
    for name in names:
        if name.endswith("/.data/extern_modules"):
            words = "a package of torch (torch.package): its reader imports the Python code in it"
            examination.add(Severity.HIGH, "torch.package", content.inside(name), words)
        elif name == "MAR-INF/MANIFEST.json":
            words = "an archive for TorchServe, which runs the handler in it"
            examination.add(Severity.HIGH, "torch.handler", content.inside(name), words)


def _pickle(content: Content, examination: Examination) -> None:
    """Scan a member as torch unpickles it, whatever it looks like."""
    end = walk(content, examination, dialect=Dialect.TORCH)
    if 0 <= end < len(content.view):
        words = f"{len(content.view) - end} bytes behind the pickle that torch reads"
        examination.add(Severity.HIGH, "torch.trailing", content.at(end), words)
        examination.enter(Content(content.view[end:], content.inside("trailing")))


SCRIPT: Final = Format(name="TorchScript", known=torchscript.known, scan=torchscript.code)
PICKLE: Final = Format(name="pickle", known=lambda _view: False, scan=_pickle)


def _belongs(root: str, name: str) -> bool:
    if not name.startswith(root):
        return False
    inside = name[len(root) :]
    return not inside or inside in _PICKLES or bool(_STORAGE.fullmatch(inside) or _PLAIN.fullmatch(inside))
