"""What an ONNX file needs of its runtime: operator sets and operators, read from its bytes before it is loaded.

ONNX Runtime says itself what it lacks, but only while it builds a session of the bytes, and in words of its own.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

from holdfast.core.errors import Unavailable
from holdfast.engines.scan import wire

PLAIN: Final = ("", "ai.onnx")  # two names of the standard's own domain
# Fields of ModelProto, GraphProto, NodeProto and OperatorSetIdProto (onnx.proto).
_GRAPH, _OPSET, _FUNCTIONS, _NODE, _OP, _DOMAIN, _SET_DOMAIN, _SET_VERSION = 7, 8, 25, 1, 4, 7, 1, 2


def check_runs_here(model: bytes) -> None:
    """Check that the installed ONNX Runtime knows the operator sets and operators of a model's bytes.

    What is no ONNX file passes: whoever loads it refuses it.

    Raises:
        Unavailable: It lacks some; the words say which, and what it has.
    """
    try:
        view = memoryview(model)
        sets = dict(_set(each) for each in _fields(view, _OPSET))
        own = any(True for _ in _fields(view, _FUNCTIONS))
        used = set() if own else {_operator(node) for graph in _fields(view, _GRAPH) for node in _fields(graph, _NODE)}
    except (wire.Malformed, UnicodeDecodeError):
        return
    version, newest, operators = _known()
    for domain, wanted in sorted(sets.items()):
        if wanted > newest.get(domain, 0) and not own:
            here = f"{newest[domain]} at most" if domain in newest else "nothing of it"
            raise _lacks(f"operator set {wanted} of {domain or 'ai.onnx'}", version, here)
    missing = sorted(used - operators)
    if missing:
        domain, name = missing[0]
        raise _lacks(f"the operator {name[:64]} of {domain[:64] or 'ai.onnx'}", version, "nothing of that name")


def _lacks(what: str, version: str, here: str) -> Unavailable:
    return Unavailable(
        f"the model needs {what}, and ONNX Runtime {version} here knows {here}",
        remedy="Install an ONNX Runtime that knows it, or export the model for the one that is here.",
    )


@cache
def _known() -> tuple[str, dict[str, int], frozenset[tuple[str, str]]]:
    """Return the runtime's version, its newest version of each operator set, and all of its operators."""
    from onnxruntime import __version__
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    newest: dict[str, int] = {}
    operators = set()
    for schema in get_all_operator_schema():
        domain = "" if schema.domain in PLAIN else schema.domain
        newest[domain] = max(schema.since_version, newest.get(domain, 0))
        operators.add((domain, schema.name))
    return __version__, newest, frozenset(operators)


def _set(view: memoryview) -> tuple[str, int]:
    domain = _text(view, _SET_DOMAIN)
    version = 0
    for number, kind, start, _ in _walk(view):
        if number == _SET_VERSION and kind == wire.VARINT:
            version = wire.varint(view, start, len(view))[0]
    return "" if domain in PLAIN else domain, version


def _operator(view: memoryview) -> tuple[str, str]:
    domain = _text(view, _DOMAIN)
    return "" if domain in PLAIN else domain, _text(view, _OP)


def _text(view: memoryview, wanted: int) -> str:
    return next((bytes(each).decode() for each in _fields(view, wanted)), "")


def _fields(view: memoryview, wanted: int) -> Iterator[memoryview]:
    for number, kind, start, end in _walk(view):
        if number == wanted and kind == wire.LEN:
            yield view[start:end]


def _walk(view: memoryview) -> Iterator[tuple[int, int, int, int]]:
    """Yield number, wire type, start and end of each field of a message."""
    position, end = 0, len(view)
    while position < end:
        number, kind, position, _ = wire.tag(view, position, end)
        if kind == wire.LEN:
            start, position, _ = wire.span(view, position, end)
        elif kind == wire.VARINT:
            start = position
            _, position, _ = wire.varint(view, position, end)
        else:
            start, position = position, position + wire.WIDTHS[kind]
            if position > end:
                raise wire.Malformed(start, "a number that runs past its message's end")
        yield number, kind, start, position
