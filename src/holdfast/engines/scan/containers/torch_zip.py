"""What `torch.save` and `torch.jit.save` put into a zip archive, and what does not belong there.

One folder holds `data.pkl`, `version` and one file of raw numbers for each storage
(caffe2/serialize/inline_container.cc). The numbers are never unpickled, so they are not looked through for others.
"""

import re
from dataclasses import dataclass, field
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers.torch_pickle import scan_pickle
from holdfast.engines.scan.examination import Content, Examination, Format
from holdfast.engines.scan.models import torchscript
from holdfast.engines.scan.report import shown

_STORAGE: Final = re.compile(r"(?:data|constants|tensors|traced_inputs)/\d{1,20}")
_PICKLES: Final = frozenset({"data.pkl", "constants.pkl", "attributes.pkl", "bytecode.pkl", "traced_inputs.pkl"})
MAIN: Final = "data.pkl"
_DEBUG: Final = ".py.debug_pkl"
_PLAIN: Final = re.compile(
    r"version|byteorder|\.format_version|\.storage_alignment|\.data/serialization_id|\.data/version"
    r"|extra/[^/].*|code/.+\.py|code/.+\.py\.debug_pkl|mobile_debug_handles\.pkl|mobile_debug_info\.pkl"
)


@dataclass(slots=True, kw_only=True)
class TorchArchive:
    """One archive as torch reads it."""

    root: str
    content: Content
    examination: Examination
    script: bool = False
    wanted: dict[str, int] | None = None  # bytes of each storage that the pickle names
    storages: dict[str, int] = field(default_factory=dict)  # bytes of each that is there

    @classmethod
    def of(cls, names: list[str], content: Content, examination: Examination) -> "TorchArchive | None":
        """Return the torch archive that these members make, or nothing; report members that torch never writes."""
        _code(names, content, examination)
        there = set(names)
        roots = [name[: -len(MAIN)] for name in dict.fromkeys(names) if name.endswith(f"/{MAIN}")]
        roots = [root for root in roots if root.count("/") == 1 and {f"{root}version", f"{root}.data/version"} & there]
        if not roots:
            return None
        root = roots[0]
        strange = [name for name in names if not _belongs(root, name)]
        for name in strange:
            words = f"{shown(name)!r} is no part of an archive that torch writes"
            examination.add(Severity.MEDIUM, "torch.extra", content.inside(name), words)
        script = f"{root}constants.pkl" in there or any(name.startswith(f"{root}code/") for name in names)
        if script:
            words = "TorchScript: `torch.jit.load` runs the code in it, without Python"
            examination.add(Severity.LOW, "torch.script", content.inside(f"{root}code"), words)
        examination.note("torch")
        return cls(root=root, content=content, examination=examination, script=script)

    def enter(self, name: str, data: memoryview) -> bool:
        """Take a member that torch reads in a way of its own; return whether it did."""
        if not name.startswith(self.root):
            return False
        inside = name[len(self.root) :]
        if inside in _PICKLES or inside.endswith(_DEBUG):
            as_pickle = Format(
                name="pickle", known=lambda _view: False, scan=self._main if inside == MAIN else self._other
            )
            self.examination.enter(Content(data, self.content.inside(name)), as_pickle)
            return True
        if inside.startswith("code/") and inside.endswith(".py"):
            self.examination.enter(Content(data, self.content.inside(name)), SCRIPT)
            return True
        if inside.startswith("data/"):
            self.storages[inside.removeprefix("data/")] = len(data)
        return bool(_STORAGE.fullmatch(inside))

    def _main(self, content: Content, examination: Examination) -> None:
        self.wanted = scan_pickle(content, examination, script=self.script)

    def _other(self, content: Content, examination: Examination) -> None:
        scan_pickle(content, examination, script=self.script)

    def finish(self) -> None:
        """Hold the storages against those that the pickle names: each is there, whole, and no others."""
        wanted = self.wanted
        if wanted is None:
            return  # the pickle breaks, and a finding says so
        for key, size in wanted.items():
            there = self.storages.get(key)
            if there is None:
                words = f"the storage {shown(key)!r} is not in the archive"
                self._add(Severity.MEDIUM, "torch.malformed", MAIN, words)
            elif size not in {-1, there}:
                words = f"the storage {shown(key)!r} has {there} bytes where the pickle says {size}"
                self._add(Severity.HIGH, "torch.size", f"data/{key}", words)
        for key in self.storages:
            if key not in wanted:
                words = f"{self.storages[key]} bytes that no tensor has"
                self._add(Severity.MEDIUM, "torch.unused", f"data/{key}", words)

    def _add(self, severity: Severity, rule: str, member: str, words: str) -> None:
        self.examination.add(severity, rule, self.content.inside(self.root + member), words)


def _code(names: list[str], content: Content, examination: Examination) -> None:
    """Report archives that bring Python code which their readers import."""
    for name in names:
        if name.endswith("/.data/extern_modules"):
            words = "a package of torch (torch.package): its reader imports the Python code in it"
            examination.add(Severity.HIGH, "torch.package", content.inside(name), words)
        elif name == "MAR-INF/MANIFEST.json":
            words = "an archive for TorchServe, which runs the handler in it"
            examination.add(Severity.HIGH, "torch.handler", content.inside(name), words)


SCRIPT: Final = Format(name="TorchScript", known=torchscript.known, scan=torchscript.code)


def _belongs(root: str, name: str) -> bool:
    if not name.startswith(root):
        return False
    inside = name[len(root) :]
    return not inside or inside in _PICKLES or bool(_STORAGE.fullmatch(inside) or _PLAIN.fullmatch(inside))
