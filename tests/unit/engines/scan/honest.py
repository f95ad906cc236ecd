"""Small honest files of model formats, written after the formats' own descriptions, and what the scan says of bytes."""

import json
import struct
from typing import Any

from tests.unit.engines.scan.honest_graphs import HONEST_GRAPHS
from tests.unit.engines.scan.honest_trees import HONEST_TREES

from holdfast.core.evidence import MAX_FINDINGS, SEVERITIES, Finding, Severity
from holdfast.engines.scan.examination import Content
from holdfast.engines.scan.formats import examine
from holdfast.engines.scan.report import MAX_WORDS, Findings

LONGEST = 3 * MAX_WORDS + 200
"""Characters of a finding's words: what the scanner says, and a foreign name or two."""


def scan(data: bytes) -> tuple[tuple[str, ...], list[Finding]]:
    """Return the formats that were known and what was found."""
    findings = Findings()
    formats = examine(Content(memoryview(data), "file"), findings)
    return formats, findings.kept


def found(data: bytes) -> set[tuple[str, Severity]]:
    """Return each rule that found something, with its severity."""
    return {(finding.rule, finding.severity) for finding in scan(data)[1]}


def above_low(data: bytes) -> list[Finding]:
    """Return the findings with which a file is not clean."""
    return [each for each in scan(data)[1] if SEVERITIES.index(each.severity) > SEVERITIES.index(Severity.LOW)]


def check(data: bytes) -> None:
    """Scan, and hold the result to what every result must be, whatever the bytes are."""
    kept = scan(data)[1]
    assert len(kept) <= MAX_FINDINGS
    for finding in kept:
        assert finding.message
        assert len(finding.message) < LONGEST
        assert (finding.message + finding.place).isprintable()


# Protobuf.


def varint(value: int) -> bytes:
    """A number in base 128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: bytes | str | int) -> bytes:
    """One field: a number, a text or a message."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(raw)) + raw


# safetensors.


def safetensors(header: dict[str, Any] | bytes | None = None, data: bytes = bytes(24)) -> bytes:
    """Two tensors and a note, or the header that is given."""
    if header is None:
        header = {
            "__metadata__": {"format": "pt"},
            "weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]},
            "bias": {"dtype": "F32", "shape": [2], "data_offsets": [16, 24]},
        }
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    return struct.pack("<Q", len(raw)) + raw + data


# GGUF.


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf(
    notes: dict[str, str] | None = None,
    tensors: tuple[tuple[str, tuple[int, ...], int, int], ...] = (("w", (8, 2), 0, 0), ("q", (32,), 2, 64)),
    data: bytes = bytes(96),
    version: int = 3,
) -> bytes:
    """Notes of each kind, a list of tokens, and two tensors: one of floats, one of blocks of four bits."""
    pairs = [struct.pack("<Q", 13) + b"general.count" + struct.pack("<II", 4, 7)]
    for key, value in ({"general.architecture": "llama"} | (notes or {})).items():
        pairs.append(_text(key) + struct.pack("<I", 8) + _text(value))
    tokens = b"".join(_text(each) for each in ("<s>", "a", "b"))
    pairs.append(_text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 3) + tokens)
    pairs.append(_text("tokenizer.ggml.scores") + struct.pack("<IIQ3f", 9, 6, 3, 0.0, 1.0, 2.0))
    table = b"".join(
        _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)
        for name, shape, kind, offset in tensors
    )
    head = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join(pairs) + table
    return head + bytes(-len(head) % 32) + data


# Jinja.

TEMPLATE = """{%- set ns = namespace(found=false) -%}
{#- a comment with {{ braces }} -#}
{%- if messages[0]['role'] == 'system' %}{{ messages[0].content | trim }}{% endif %}
{%- macro tool(t) %}{{ t.function.name ~ '\\n' + (t | tojson(indent=4)) }}{% endmacro %}
{%- for message in messages if message.role not in ['system', "tool"] %}
  {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
    {{ raise_exception('Roles must alternate: ' + message.role) }}
  {%- elif message.content is string and '</think>' in message.content -%}
    {{- '<|' + message.role + '|>' + message['content'].split('</think>')[-1].lstrip('\\n') -}}
  {%- else %}{% generation %}{{ tool({'function': {'name': 'a'}}) }}
    {{ message.content[1:]|join(', ') }}{% endgeneration %}
  {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|assistant|>' }}{{ strftime_now('%d %b %Y') }}{% endif %}
"""


# Keras.


def layer(name: str, config: Any = None, module: str | None = "keras.layers", **more: Any) -> dict[str, Any]:
    """An object as version 3 writes it."""
    return {"module": module, "class_name": name, "config": config or {}, "registered_name": None} | more


def keras(*layers: dict[str, Any]) -> bytes:
    """A configuration of version 3 with its layers, an operation and a training configuration."""
    dense = layer(
        "Dense", {"units": 2, "activation": "relu", "kernel_initializer": layer("Zeros", module="keras.initializers")}
    )
    operation = layer("Add", {"name": "add"}, "keras.src.ops.numpy", registered_name="Add")
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": [None, 8], "keras_history": ["dense", 0, 0]}}
    inner = {"name": "m", "layers": [dense, operation | {"inbound_nodes": [{"args": [tensor]}]}, *layers]}
    whole = layer("Functional", inner, "keras.src.models.functional", registered_name="Functional")
    return json.dumps(
        whole | {"compile_config": {"optimizer": layer("Adam", module="keras.optimizers"), "loss": "mse"}}
    ).encode()


def keras_2(*layers: dict[str, Any]) -> bytes:
    """A configuration of version 2, which names no modules."""
    dense = {
        "class_name": "Dense",
        "config": {"units": 2, "kernel_initializer": {"class_name": "GlorotUniform", "config": {}}},
    }
    return json.dumps({"class_name": "Sequential", "config": {"name": "s", "layers": [dense, *layers]}}).encode()


def keras_metadata(*objects: bytes) -> bytes:
    """`keras_metadata.pb` with the configuration of each object."""
    saved = (
        field(2, at) + field(3, "root") + field(4, "_tf_keras_layer") + field(5, each)
        for at, each in enumerate(objects)
    )
    return b"".join(field(1, each) for each in saved)


# TensorFlow.


def attribute(key: str, value: bytes) -> bytes:
    """One attribute of a node."""
    return field(5, field(1, key) + field(2, value))


def node(operator: str, name: str = "n", inputs: tuple[str, ...] = (), attributes: bytes = b"") -> bytes:
    """One node of a graph."""
    return field(1, name) + field(2, operator) + b"".join(field(3, each) for each in inputs) + attributes


def calls(function: str) -> bytes:
    """The attribute of a node that calls a function."""
    return attribute("f", field(10, field(1, function)))


def function(name: str, *nodes: bytes) -> bytes:
    """A function of a library."""
    return field(1, field(1, name)) + b"".join(field(3, each) for each in nodes)


def graph(*nodes: bytes, functions: tuple[bytes, ...] = ()) -> bytes:
    """A graph, as frozen graphs are files of their own."""
    library = field(2, b"".join(field(1, each) for each in functions)) if functions else b""
    return b"".join(field(1, each) for each in nodes) + library + field(4, field(1, 987))


SAVERS = (
    function(
        "__inference__traced_save_1",
        node("Const", "Const"),
        node("StringJoin", "StringJoin", ("file_prefix", "Const:output:0")),
        node("ShardedFilename", "ShardedFilename", ("StringJoin:output:0",)),
        node("SaveV2", "SaveV2", ("ShardedFilename:filename:0",)),
    ),
    function("__inference_call_2", node("MatMul", "m", ("x", "w"))),
)


def saved_model(
    *nodes: bytes, functions: tuple[bytes, ...] = (), objects: bytes = b"", asset: str = "", more: bytes = b""
) -> bytes:
    """A SavedModel that multiplies, and saves its variables the way that writers do."""
    main = (
        node("Placeholder", "saver_filename"),
        node("StatefulPartitionedCall", "save_call", ("saver_filename", "v"), calls("__inference__traced_save_1")),
        node("StatefulPartitionedCall", "call", ("x",), calls("__inference_call_2")),
        *nodes,
    )
    meta = field(1, field(2, field(1, "x")) + field(4, "serve"))
    meta += field(2, graph(*main, functions=(*SAVERS, *functions)))
    meta += field(6, field(2, asset)) if asset else b""
    return field(1, 1) + field(2, meta + (field(7, objects) if objects else b"")) + more


def meta_graph(*nodes: bytes) -> bytes:
    """A MetaGraphDef, as training of version 1 leaves it."""
    info = field(1, field(1, "1") + field(2, field(1, field(1, "Relu"))))
    return info + field(2, graph(node("Placeholder", "x"), *nodes)) + field(5, field(1, "k") + field(2, b""))


HONEST = {
    "safetensors": safetensors(),
    "GGUF": gguf({"tokenizer.chat_template": TEMPLATE}),
    "chat template": TEMPLATE.encode(),
    "tokenizer configuration": json.dumps({"bos_token": "<s>", "chat_template": TEMPLATE}).encode(),
    "Keras configuration": keras(),
    "Keras configuration of version 2": keras_2(),
    "Keras metadata": keras_metadata(keras_2(), keras_2()),
    "TensorFlow SavedModel": saved_model(),
    "TensorFlow meta graph": meta_graph(),
    "TensorFlow fingerprint": b"".join(field(number, 1 << 60) for number in range(1, 6))
    + field(6, b"")
    + field(7, "id"),
    "Core ML": field(1, 8) + field(2, field(1, field(1, "x"))) + field(500, field(1, field(1, "l") + field(140, b""))),
    "TensorFlow graph": graph(node("Placeholder", "x"), node("Relu", "y", ("x",))),
}
"""One file of each format, under the name by which the scan knows it."""


# HDF5.

NOWHERE = b"\xff" * 8


def string_attribute(name: str, text: bytes) -> tuple[int, bytes]:
    """An attribute of version 1 with one text of fixed length."""
    return attribute_message(name, struct.pack("<B3BI", 0x13, 0, 0, 0, len(text)), b"\x01\0\0\0\0\0\0\0", text)


def attribute_message(name: str, kind: bytes, space: bytes, data: bytes) -> tuple[int, bytes]:
    """An attribute of version 1 with the type and the shape that are given, each padded."""
    parts = [name.encode() + b"\0", kind, space]
    padded = b"".join(part + bytes(-len(part) % 8) for part in parts)
    return 0x0C, struct.pack("<BxHHH", 1, *map(len, parts)) + padded + data


def link_message(name: str, kind: int, value: bytes) -> tuple[int, bytes]:
    """A link that stands in an object header."""
    return 0x06, bytes([1, 8, kind, len(name)]) + name.encode() + value


def hdf5(*messages: tuple[int, bytes], links: dict[str, tuple[tuple[int, bytes], ...] | str] | None = None) -> bytes:
    """A file of the oldest kind: a root group with messages, and in its symbol table objects or soft links."""
    data = bytearray(96)

    def put(raw: bytes) -> int:
        data.extend(bytes(-len(data) % 8))
        data.extend(raw)
        return len(data) - len(raw)

    def header(parts: tuple[tuple[int, bytes], ...]) -> int:
        body = b"".join(struct.pack("<HHB3x", kind, len(raw), 0) + raw for kind, raw in parts)
        return put(struct.pack("<BxHII4x", 1, len(parts), 1, len(body)) + body)

    names, entries = bytearray(8), b""
    for name, target in (links or {}).items():
        at, scratch, address = len(names), bytes(24), len(data)
        names += name.encode() + b"\0"
        if isinstance(target, str):
            scratch = struct.pack("<II", 2, 0) + struct.pack("<I12x", len(names))
            names += target.encode() + b"\0"
        else:
            address = header(target)
        entries += struct.pack("<QQ", at, address) + scratch
    segment = put(bytes(names))
    heap = put(b"HEAP" + bytes(4) + struct.pack("<QQQ", len(names), 1, segment))
    leaf = put(b"SNOD" + struct.pack("<BxH", 1, len(links or ())) + entries)
    tree = put(b"TREE" + struct.pack("<BBH", 0, 0, 1) + 2 * NOWHERE + struct.pack("<QQQ", 0, leaf, 0))
    root = header(((0x11, struct.pack("<QQ", tree, heap)), *messages))
    first = b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
    first += struct.pack("<Q", 0) + NOWHERE + struct.pack("<Q", len(data)) + NOWHERE + struct.pack("<QQ", 0, root)
    data[: len(first)] = first
    return bytes(data)


def hdf5_new(*messages: tuple[int, bytes], more: bytes = b"") -> bytes:
    """A file of the newest kind: superblock 2, and a root group whose messages stand in a header of version 2."""
    body = b"".join(struct.pack("<BHB", kind, len(raw), 0) + raw for kind, raw in messages)
    header = b"OHDR" + bytes([2, 1]) + struct.pack("<H", len(body)) + body + bytes(4)
    first = b"\x89HDF\r\n\x1a\n" + bytes([2, 8, 8, 0]) + bytes(8) + NOWHERE
    return first + struct.pack("<QQ4x", 48 + len(header), 48) + header + more


def collection(text: bytes) -> bytes:
    """A collection of the global heap with one object."""
    body = struct.pack("<HHIQ", 1, 1, 0, len(text)) + text + bytes(-len(text) % 8)
    return b"GCOL" + struct.pack("<B3xQ", 1, 16 + len(body)) + body


DATASET = (
    (0x08, struct.pack("<BBQQ", 3, 1, 0, 16)),
    (0x0B, bytes([1, 1]) + bytes(6) + struct.pack("<HHHHI4x", 1, 0, 0, 1, 4)),
)
HONEST |= (
    HONEST_TREES
    | HONEST_GRAPHS
    | {
        "HDF5": hdf5(
            string_attribute("keras_version", b"2.13.1"),
            string_attribute("model_config", keras_2()),
            links={"model_weights": DATASET, "other": ()},
        ),
        "HDF5 of version 2": hdf5_new(string_attribute("model_config", keras_2())),
    }
)
