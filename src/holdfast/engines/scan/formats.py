"""Which formats are known: one row each, recognised by content, never by a file's name.

What several formats would read is scanned as each of them and reported: a file with two meanings has one too many.
What none of them would read is looked through for a pickle without a header, taken as text where it is text, and is a
finding otherwise.
"""

from collections.abc import Iterable
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan import containers, models, onnx, others, pickles, plain
from holdfast.engines.scan.examination import Content, Examination, Format, Limits
from holdfast.engines.scan.report import Findings

FORMATS: Final[tuple[Format, ...]] = (
    Format(name="ONNX", known=onnx.known, scan=onnx.scan_content),
    pickles.FORMAT,
    *models.FORMATS,
    *containers.FORMATS,
    *others.FORMATS,
)
"""Every format with bytes of its own to be known by. Order does not matter."""
EMPTY: Final = Format(name="empty", known=lambda view: not view, scan=lambda _content, _examination: None)
OTHER: Final = Format(name="", known=lambda _view: True, scan=plain.scan)


def examine(content: Content, findings: Findings, limits: Limits | None = None) -> tuple[str, ...]:
    """Scan one file and return the formats of it and of what is inside; what its bytes hold never makes this raise."""
    examination = Examination(findings, _recognise, limits or Limits())
    examination.file(content)
    return tuple(examination.formats)


def _recognise(content: Content, examination: Examination) -> Iterable[Format]:
    if not content.view:
        return (EMPTY,)
    found = tuple(each for each in FORMATS if each.known(content.view))
    names = [each.name for each in found]
    if found and pickles.FORMAT not in found and pickles.scan_headerless(content, examination, known_as_other=True):
        names.append("pickle without a header")  # which any bytes could be, until one follows its opcodes
    if len(names) > 1:
        words = f"readers of {', '.join(names)} would each take it, and see other contents"
        examination.add(Severity.HIGH, "file.polyglot", content.path, words)
    return found or (OTHER,)
