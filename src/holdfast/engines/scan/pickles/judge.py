"""What imports and calls in a pickle mean: the allow-list says what passes, the list of dangers how bad the rest is."""

import base64
import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan.examination import Content, Examination, Format
from holdfast.engines.scan.pickles import nested
from holdfast.engines.scan.pickles.allowed import CALLS_FIRST, CLASS_FIRST, MADE, AllowList, made_of, shape
from holdfast.engines.scan.pickles.machine import How
from holdfast.engines.scan.pickles.names import dangerous, modern
from holdfast.engines.scan.pickles.values import UNKNOWN, Constant, Global, Instance, Tuple, Value, kind
from holdfast.engines.scan.report import shown

MAX_IMPORTS: Final = 100_000  # distinct names of one stream; the largest honest ones have some hundred
MAX_ENCODED: Final = 64 << 20  # bytes of a constant that are decoded to look for a pickle inside
_NOT_BASE64: Final = re.compile(rb"[^A-Za-z0-9+/=]")


class AllowListJudge:
    """Judges one stream by an allow-list and remembers what it imports."""

    def __init__(self, content: Content, examination: Examination, allowed: AllowList, nested: Format) -> None:
        """Start with nothing imported; `nested` scans what may be a pickle inside a constant."""
        self.content, self.examination, self.allowed, self.nested = content, examination, allowed, nested
        self.imported: dict[tuple[str, str], int] = {}  # name as it stands in the stream, and the first byte

    def elsewhere(self, content: Content) -> "AllowListJudge":
        """Return a judge of other bytes that remembers imports together with this one."""
        other = AllowListJudge(content, self.examination, self.allowed, self.nested)
        other.imported = self.imported
        return other

    def imports(self, found: Global) -> None:
        """Report an import that the allow-list does not have."""
        if (found.module, found.name) in self.imported:
            return
        if len(self.imported) >= MAX_IMPORTS:
            self._add(Severity.HIGH, "limit.imports", found.at, f"more than {MAX_IMPORTS} distinct imports")
            return
        self.imported[found.module, found.name] = found.at
        full = ".".join(modern(found.module, found.name))
        if full in self.allowed.names:
            return
        if dangerous(*modern(found.module, found.name)):
            words = f"loading imports {shown(found.full)!r}, which has no business in a model"
            self._add(Severity.CRITICAL, "pickle.dangerous-import", found.at, words)
        else:
            words = f"loading imports {shown(found.full)!r}, which is not on the allow-list"
            self._add(Severity.MEDIUM, "pickle.unknown-import", found.at, words)

    def calls(self, how: How, callee: Value, args: Tuple, at: int) -> Value:
        """Report a call that the allow-list does not have in this shape, and return what it gives back."""
        if not isinstance(callee, Global):
            words = f"loading calls {_what(callee)}, so what runs is decided while it loads"
            self._add(Severity.HIGH, "pickle.call-of-value", at, words)
            return UNKNOWN
        name = ".".join(modern(callee.module, callee.name))
        named = Global(*modern(callee.module, callee.name), callee.at)
        found, certain = shape(how, name, args), False
        if found not in self.allowed.calls.get(name, ()):
            self._report_call(name, found, at, harmless=_reaches_plainly(args))
        elif name in CLASS_FIRST and MADE not in self.allowed.calls.get(made_of(named, args), ()):
            words = f"{name} makes {shown(made_of(named, args))!r}, which is not on the allow-list"
            self._add(Severity.HIGH, "pickle.unknown-call", at, words)
        else:
            certain = True
        if certain and name in OPENS:
            self._open(args.items[0], at)
        if certain and name in CALLS_FIRST:
            inner, given = (args.items[index] for index in CALLS_FIRST[name])
            self.calls(How.CALL, inner, given if isinstance(given, Tuple) else Tuple((given,), -1, 1), at)
        return Instance(made_of(named, args), args if name in _DESCRIBED else None, certain=certain)

    def _open(self, value: Value, at: int) -> None:
        """Scan bytes that a callable of torch loads as a file of torch."""
        data = self._bytes(value)
        if data is None or not nested.ARCHIVE.match(data[: nested.HEAD]):
            words = "bytes are loaded that torch did not write, or that are not in the stream"
            self._add(Severity.HIGH, "pickle.unknown-shape", at, words)
        elif not isinstance(value, Constant):  # what stands in the stream was scanned when it was met
            self.examination.enter(Content(data, f"{self.content.path} byte {at}!/file of torch"))

    def _bytes(self, value: Value) -> memoryview | None:
        """Return bytes that stand in the stream, as they are or as older protocols write them: encoded as text."""
        if isinstance(value, Instance) and value.of == "_codecs.encode" and value.args:
            text = value.args.items[0]
            if isinstance(text, Constant) and text.end - text.start <= MAX_ENCODED:
                text = str(self.content.view[text.start : text.end], text.encoding, "surrogatepass")
            return (
                memoryview(text.encode("latin-1"))
                if isinstance(text, str) and max(text, default="") <= "\xff"
                else None
            )
        return self.content.view[value.start : value.end] if isinstance(value, Constant) else None

    def _report_call(self, name: str, found: str, at: int, *, harmless: bool) -> None:
        if dangerous(*_split(name)) or (name == GETATTR and not harmless):
            self._add(Severity.CRITICAL, "pickle.dangerous-call", at, f"loading calls {shown(name)!r}: {found}")
        elif name in self.allowed.calls:
            words = f"loading calls {shown(name)!r} as no benign file does: {found}"
            self._add(Severity.HIGH, "pickle.unknown-shape", at, words)
        else:
            words = f"loading calls {shown(name)!r}, which is not on the allow-list: {found}"
            self._add(Severity.HIGH, "pickle.unknown-call", at, words)

    def builds(self, target: Value, state: Value, at: int) -> Value:
        """Report a state for something that benign files give none, and return the target with it."""
        if isinstance(target, Instance) and target.of in self.allowed.builds:
            return Instance(target.of, target.args, state) if target.of in _DESCRIBED else target
        if isinstance(target, Global):
            words = f"loading changes attributes of {shown(target.full)!r} itself, for the whole process"
            self._add(Severity.CRITICAL, "pickle.build-on-import", at, words)
        else:
            words = f"loading sets the state of {_what(target)}"
            self._add(Severity.MEDIUM, "pickle.unknown-state", at, words)
        return target

    def fills(self, target: Value, opcode: str, at: int) -> None:
        """Report what is filled like a list, dictionary or set and is none: a method of its own runs."""
        if isinstance(target, Instance) and target.of in self.allowed.fills:
            return
        words = f"{opcode} on {_what(target)}, whose own method runs"
        self._add(Severity.MEDIUM, "pickle.unknown-fill", at, words)

    def constant(self, start: int, end: int) -> None:
        """Look whether a constant is a pickle itself, as it stands, in base64 or in hexadecimal."""
        view = self.content.view[start:end]
        head = bytes(view[: nested.HEAD])
        place = f"{self.content.path} byte {start}"
        if nested.ARCHIVE.match(head):
            self.examination.enter(Content(view, f"{place}!/constant"))
        elif nested.BINARY.match(head):
            self.examination.enter(Content(view, f"{place}!/constant"), self.nested)
        elif nested.BASE64.match(head):
            text = bytes(view[:MAX_ENCODED]).translate(_URL_SAFE)
            usable = _NOT_BASE64.sub(b"", text).rstrip(b"=")
            decoded = base64.b64decode(usable[: len(usable) // 4 * 4])
            self.examination.enter(Content(memoryview(decoded), f"{place}!/base64"), self.nested)
        elif nested.HEX.match(head):
            digits = re.match(rb"(?:[0-9a-fA-F]{2})++", bytes(view[:MAX_ENCODED]))
            decoded = bytes.fromhex(digits.group().decode()) if digits else b""
            self.examination.enter(Content(memoryview(decoded), f"{place}!/hex"), self.nested)

    def _add(self, severity: Severity, rule: str, at: int, words: str) -> None:
        self.examination.add(severity, rule, self.content.at(at), words)


GETATTR: Final = "builtins.getattr"
"""Reaches anything from anything; benign files reach a method of an object that they made before."""
OPENS: Final = frozenset({"torch.storage._load_from_bytes"})
"""Callables that load their bytes as a file."""
_DESCRIBED: Final = frozenset({"_codecs.encode", "numpy.dtype", "joblib.numpy_pickle.NumpyArrayWrapper"})
"""What describes the raw bytes that joblib writes between opcodes: their arguments and states are kept."""
_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def _reaches_plainly(args: Tuple) -> bool:
    """Return whether getattr's arguments are an object of an allowed class and a plain name."""
    if args.length != 2 or not isinstance(args.items[0], Instance) or not args.items[0].certain:
        return False
    name = args.items[1]
    return isinstance(name, str) and not name.startswith("_")


def _split(name: str) -> tuple[str, str]:
    module, _, last = name.rpartition(".")
    return module, last


def _what(value: Value) -> str:
    if isinstance(value, Instance):
        return f"an instance of {shown(value.of)!r}"
    return repr(shown(value.full)) if isinstance(value, Global) else f"a value of kind {kind(value)}"
