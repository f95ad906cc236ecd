"""Keras configurations: classes and functions that a file names, against those that Keras itself has.

A configuration is a program in JSON: it names a module and a class or function, and loading builds it (CVE-2024-3660,
CVE-2025-1550, CVE-2025-8747). Read are `config.json` of the archives of version 3, `model_config` and `training_config`
of version 2, and the metadata of SavedModels; each names objects as a table with `class_name`.
"""

import re
from typing import Final

from holdfast.core.evidence import Severity
from holdfast.engines.scan import plain
from holdfast.engines.scan.examination import Content, Examination
from holdfast.engines.scan.models import jsontree
from holdfast.engines.scan.models.allowed import words
from holdfast.engines.scan.models.binary import damage
from holdfast.engines.scan.models.jsontree import Row, Table, Value
from holdfast.engines.scan.models.protobuf import Part, first, parts
from holdfast.engines.scan.report import shown
from holdfast.engines.scan.wire import LEN, VARINT

FILES: Final = (
    "vocabulary",
    "vocabulary_file",
    "filepath",
    "file_path",
    "path",
    "fname",
    "origin",
    "cache_dir",
    "filename",
)
"""Keys whose text layers take for the path of a file."""
LOOKUPS: Final = re.compile(r"Lookup|Vectorization|TFSMLayer|get_file|Hashing|Tokenizer")
UNSAFE: Final = frozenset({"safe_mode", "enable_unsafe_deserialization", "allow_pickle", "custom_objects"})
PICKLED: Final = frozenset({"TorchModuleWrapper"})
_SPECIAL: Final = frozenset(
    {"__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__tuple__", "__slice__", "__keras_tensor__", "__dict__"}
)
_LIBRARY: Final = re.compile(
    r"keras\.(?:src|engine|api)\.[a-z_0-9.]+|tf_keras\.[a-z_0-9.]+|tensorflow\.python\.keras[a-z_0-9.]*"
)
_OPERATIONS: Final = re.compile(r"keras\.src\.ops\.[a-z_]+")
_KEPT_OUT: Final = re.compile(
    r"utils|saving|backend|callbacks|export|file|legacy\.saving|datasets|trainers|testing|api_export"
)
_MARSHAL: Final = re.compile(r"\A\s*4w[A-Za-z0-9+/]{2}[A-Za-z0-9+/\s]{24}")
_TF_SAFE: Final = re.compile(
    r"(?:math|nn|linalg|image|signal|strings|random|sparse|ragged|bitwise|sets|quantization|__operators__|keras\.activations"
    r"|keras\.backend|compat\.v1\.(?:math|nn)|experimental\.numpy)\.[\w.]+|[a-z_0-9]+"
)
_TF_UNSAFE: Final = re.compile(
    r"py_function|numpy_function|load_op|load_library|print|io|saved_model|raw_ops|eval|exec|function"
)
_TYPES: Final = re.compile(r"tensorflow\.[\w.]+|keras\.[\w.]+")


def known(view: memoryview) -> bool:
    """Return whether a content is JSON that names classes and their configurations."""
    return jsontree.names(view, "class_name", "config")


def known_metadata(view: memoryview) -> bool:
    """Return whether a content is `keras_metadata.pb`: objects that begin with a number."""
    top = first(view, 0, len(view)) if view[:1].tobytes() == b"\x0a" else None
    if top is None or top.number != 1 or top.kind != LEN:
        return False
    inside = first(view, top.start, top.end)
    if inside is not None and (inside.number, inside.kind) == (2, VARINT):
        return True
    return inside is not None and inside.number == 3 and bytes(view[inside.start : inside.end]).startswith(b"root")


def scan(content: Content, examination: Examination) -> None:
    """Scan a configuration that is a content of its own."""
    plain.scan(content, examination)
    config(content, examination)


def config(content: Content, examination: Examination) -> None:
    """Judge every object that a configuration names."""
    stack: list[Value] = [jsontree.read(content, examination, "keras")]
    while stack:
        value = stack.pop()
        if isinstance(value, Table):
            _Judge(value, content, examination).run()
            stack.extend(value.values())
        elif isinstance(value, Row):
            stack.extend(value)
        elif isinstance(value, str) and _MARSHAL.match(value):
            said = "compiled code of Python in base64, as configurations hold that of lambdas"
            examination.add(Severity.CRITICAL, "keras.code", content.path, said)


def scan_metadata(content: Content, examination: Examination) -> None:
    """Scan the objects of `keras_metadata.pb`."""
    with damage("keras.malformed", content, examination):
        for part in parts(content.view, 0, len(content.view)):
            if part.number == 1 and part.kind == LEN:
                metadata(part, content, examination, field=5)


def metadata(saved: Part, content: Content, examination: Examination, *, field: int) -> None:
    """Judge the configuration in a saved object, where it has one.

    Raises:
        Malformed: The object is not a message.
    """
    for part in parts(content.view, saved.start, saved.end):
        if part.number == field and part.kind == LEN and jsontree.begins(content.view[part.start : part.end]):
            place = Content(content.view[part.start : part.end], content.inside(f"metadata at {part.start}"))
            config(place, examination)


class _Judge:
    """The rules for one table."""

    def __init__(self, table: Table, content: Content, examination: Examination) -> None:
        self.table, self.content, self.examination = table, content, examination
        self.name, self.module = table.text("class_name"), table.text("module")
        self.inner = table.table("config")

    def run(self) -> None:
        """Judge what the table asks a loader to do."""
        for key in UNSAFE & self.table.keys():
            if key != "custom_objects" or self.table[key]:
                self._add(
                    Severity.HIGH,
                    "unsafe",
                    f"the key {key!r}, with which a file would switch off what protects its reader",
                )
        if not isinstance(self.table.get("class_name"), str):
            return
        if self.name == "__lambda__":
            self._add(Severity.CRITICAL, "lambda", "a function as compiled code, which loading runs")
        elif self.name == "__typespec__":
            if self.module and not _TYPES.fullmatch(self.module):
                self._module()
        elif self.name not in _SPECIAL:
            self._object()

    def _object(self) -> None:
        if self.name == "Lambda":
            self._lambda()
        elif self.name in PICKLED:
            self._add(Severity.CRITICAL, "pickled", f"the layer {self.name!r}, whose module is a pickle")
        elif self.name in {"function", "builtin_function_or_method"}:
            self._function()
        elif self.module and not self._keras(self.module):
            self._module()
        elif self.name == "TFOpLambda":
            self._operation()
        elif not self._class():
            said = f"the class {shown(self.name)!r}, which is not one of Keras: a reader needs code for it"
            self._add(Severity.MEDIUM, "custom-object", said)
        registered = self.table.get("registered_name")
        if isinstance(registered, str) and registered not in {self.name, "function", ""} and self._class():
            said = f"the class {shown(self.name)!r} under the name {shown(registered)!r}: a reader needs code for it"
            self._add(Severity.MEDIUM, "custom-object", said)
        self._files()

    def _class(self) -> bool:
        """Return whether Keras has a class of this name; operations are many, and recognised by their module."""
        if _OPERATIONS.fullmatch(self.module):
            return re.fullmatch(r"[A-Z]\w+", self.name) is not None
        return any(self.name in words("keras", each) for each in ("classes", "functions", "operations"))

    def _keras(self, module: str) -> bool:
        if module in words("keras", "modules"):
            return True
        return _LIBRARY.fullmatch(module) is not None and not _KEPT_OUT.search(module)

    def _module(self) -> None:
        top = self.module.split(".", maxsplit=1)[0]
        runs = top in words("python", "dangerous") or self.name in words("python", "calls")
        said = f"the object {shown(self.name)!r} of the module {shown(self.module)!r}, which loading imports"
        self._add(Severity.CRITICAL if runs else Severity.HIGH, "module", said)

    def _function(self) -> None:
        """Judge a reference to a function: by its module, or by its name alone where the module is Python's own."""
        named = self.table.get("config")
        named = named if isinstance(named, str) else self.inner.text("name") or self.inner.text("fn_name")
        if self.module in {"", "builtins"}:
            if named in words("python", "calls"):
                self._add(Severity.CRITICAL, "module", f"the function {shown(named)!r} of Python itself")
            elif named not in words("keras", "functions"):
                self._add(
                    Severity.MEDIUM, "custom-object", f"the function {shown(named)!r}: a reader needs code for it"
                )
        elif self.module != "keras.ops" and not _OPERATIONS.fullmatch(self.module):
            if self._keras(self.module) and named in words("keras", "functions"):
                return
            top = self.module.split(".", maxsplit=1)[0]
            runs = top in words("python", "dangerous") or named in words("python", "calls")
            said = f"the function {shown(named)!r} of the module {shown(self.module)!r}, which loading looks up"
            self._add(Severity.CRITICAL if runs else Severity.HIGH, "module", said)

    def _lambda(self) -> None:
        function = self.inner.get("function")
        if isinstance(function, str):
            module = self.inner.text("module")
            runs = module.split(".", maxsplit=1)[0] in words("python", "dangerous") or function in words(
                "python", "calls"
            )
            said = f"a Lambda layer with the function {shown(function)!r} of {shown(module or 'its reader')!r}"
            self._add(Severity.CRITICAL if runs else Severity.HIGH, "lambda", said)
        elif isinstance(function, Table) and function.text("class_name") != "__lambda__":
            self._add(Severity.HIGH, "lambda", "a Lambda layer that calls a function of its reader")
        else:
            self._add(Severity.CRITICAL, "lambda", "a Lambda layer: compiled code that loading or calling it runs")

    def _operation(self) -> None:
        name = self.inner.text("function")
        if any(_TF_UNSAFE.fullmatch(part) for part in name.split(".")) or "file" in name:
            self._add(
                Severity.HIGH,
                "operation",
                f"the operation {shown(name)!r} of TensorFlow, which reaches out of the model",
            )
        elif not _TF_SAFE.fullmatch(name):
            self._add(Severity.MEDIUM, "operation", f"the operation {shown(name)!r} of TensorFlow, which is not judged")

    def _files(self) -> None:
        if not LOOKUPS.search(self.name):
            return
        for key in FILES:
            if self.inner.text(key):
                said = f"{shown(self.name)!r} reads the file {shown(self.inner.text(key))!r} when it is loaded"
                self._add(Severity.HIGH, "file", said)

    def _add(self, severity: Severity, rule: str, said: str) -> None:
        self.examination.add(severity, f"keras.{rule}", self.content.at(self.table.at), said)
