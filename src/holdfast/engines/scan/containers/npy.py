"""Arrays in files of numpy: numbers that are stepped over, each byte accounted for, and objects that are a pickle."""

from holdfast.core.evidence import Severity
from holdfast.engines.scan.containers import npy_header
from holdfast.engines.scan.examination import Content, Examination


def known(view: memoryview) -> bool:
    """Return whether a content begins like an npy file."""
    return bytes(view[:6]) == npy_header.MAGIC


def scan(content: Content, examination: Examination) -> None:
    """Scan the arrays of a file; `numpy.save` may write several behind one another."""
    view, at = content.view, 0
    while at < len(view):
        examination.step(1)
        if bytes(view[at : at + 6]) != npy_header.MAGIC:
            words = f"{len(view) - at} bytes behind the array"
            examination.add(Severity.HIGH, "npy.trailing", content.at(at), words)
            examination.enter(Content(view[at:], content.inside("trailing")))
            return
        try:
            header = npy_header.read(view, at)
        except npy_header.Refused as refused:
            words = f"not a header that numpy writes: {refused}"
            examination.add(Severity.MEDIUM, "npy.malformed", content.at(at), words)
            _objects(content, examination, at + 8)
            return
        if header.objects:
            words = "an array of Python objects, which is a pickle"
            examination.add(Severity.LOW, "npy.objects", content.at(at), words)
            examination.enter(Content(view[header.end :], content.inside("objects")))
            return
        size = header.item * header.count
        if size > len(view) - header.end:
            words = f"{len(view) - header.end} bytes of an array that has {size}"
            examination.add(Severity.MEDIUM, "npy.malformed", content.at(header.end), words)
        at = header.end + size


def _objects(content: Content, examination: Examination, at: int) -> None:
    """Enter what stands behind a header that was not understood: a reader may understand it, and unpickle."""
    rest = bytes(content.view[at : at + npy_header.MAX_HEADER])
    line = rest.find(b"\n")
    if line >= 0:
        examination.enter(Content(content.view[at + line + 1 :], content.inside("behind")))
