"""ExecuTorch programs: a FlatBuffer of plans that name operators and backends, with segments behind it.

After `schema/program.fbs` and the extended header of the ExecuTorch repository. What a backend makes of its own part is
that backend's code: known backends are a remark, others a finding.
"""

from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.binary import damage, number
from holdfast.engines.scan.models.flatbuffer import Buffer
from holdfast.engines.scan.report import shown

IDENTIFIER: Final = b"ET12"
EXTENDED: Final = b"eh00"
PLANS, SEGMENTS = 1, 4
"""Fields of a Program."""
NAME, CHAINS, OPERATORS, DELEGATES = 0, 5, 6, 7
"""Fields of an ExecutionPlan."""
INSTRUCTIONS: Final = 2
KERNEL_CALL, DELEGATE_CALL = 1, 2


def known(view: memoryview) -> bool:
    """Return whether a content is a FlatBuffer with ExecuTorch's identifier."""
    return bytes(view[4:8]) == IDENTIFIER


def scan(content: Content, examination: Examination) -> None:
    """Judge the operators and backends of every plan, and where segments lie."""
    with damage("executorch.malformed", content, examination):
        _Program(content, examination).run()


class _Program:
    """One pass over one program."""

    def __init__(self, content: Content, examination: Examination) -> None:
        self.content, self.examination, self.buffer = content, examination, Buffer(content.view)

    def run(self) -> None:
        root = self.buffer.root()
        for plan in self.buffer.tables(root, PLANS):
            name = shown(self.buffer.text(plan, NAME), 80)
            operators = list(self.buffer.tables(plan, OPERATORS))
            for operator in operators:
                self._operator(operator, name)
            delegates = list(self.buffer.tables(plan, DELEGATES))
            for delegate in delegates:
                self._delegate(delegate, name)
            self._calls(plan, len(operators), len(delegates))
        self._segments(root)

    def _operator(self, operator: int, plan: str) -> None:
        full = self.buffer.text(operator, 0).decode("utf-8", "replace")
        space, _, name = full.rpartition("::")
        self.examination.step(1)
        if space == "aten" and name in words("torch", "allowed"):
            return
        if space == "aten" and name in words("torch", "reaching"):
            said = f"the operator {shown(full)!r} of {plan!r} reaches files or other processes"
            self._add(Severity.HIGH, "operator.file", said, operator)
        elif space not in words("executorch", "spaces"):
            said = f"the operator {shown(full)!r} of {plan!r}, whose code is in a library"
            self._add(Severity.HIGH, "operator.custom", said, operator)

    def _delegate(self, delegate: int, plan: str) -> None:
        name = self.buffer.text(delegate, 0).decode("utf-8", "replace")
        if name in words("executorch", "backends"):
            said = f"a part of {plan!r} for the backend {name!r}, which is not judged"
            self._add(Severity.LOW, "backend", said, delegate)
        else:
            said = f"a part of {plan!r} for the backend {shown(name)!r}, which is not known"
            self._add(Severity.HIGH, "backend", said, delegate)

    def _calls(self, plan: int, operators: int, delegates: int) -> None:
        """Hold each call against the lists that it points into: the runtime has indexed without looking."""
        limits = {KERNEL_CALL: operators, DELEGATE_CALL: delegates}
        for chain in self.buffer.tables(plan, CHAINS):
            for instruction in self.buffer.tables(chain, INSTRUCTIONS):
                self.examination.step(1)
                kind, arguments = self.buffer.whole(instruction, 0, 1), self.buffer.table(instruction, 1)
                if kind in limits and arguments is not None and self.buffer.whole(arguments, 0) >= limits[kind]:
                    said = f"a call of number {self.buffer.whole(arguments, 0)}, of {limits[kind]} that there are"
                    self._add(Severity.HIGH, "index", said, instruction)

    def _segments(self, root: int) -> None:
        view, base = self.content.view, 0
        if bytes(view[8:12]) == EXTENDED:
            base = number(view, 24, 8)
        for segment in self.buffer.tables(root, SEGMENTS):
            offset, size = self.buffer.whole(segment, 0, 8), self.buffer.whole(segment, 1, 8)
            if base + offset + size > len(view):
                said = f"a segment of {size} bytes at {base + offset}, in a file of {len(view)}"
                self._add(Severity.HIGH, "offsets", said, segment)

    def _add(self, severity: Severity, rule: str, said: str, at: int) -> None:
        self.examination.add(severity, f"executorch.{rule}", self.content.at(at), said)
