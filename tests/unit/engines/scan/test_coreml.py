"""Core ML: classes of the loading program, other files and foreign operators are found at any depth."""

import pytest
from tests.unit.engines.scan.honest import above_low, field, found, scan

from holdfast.core.evidence import Severity

HIGH, MEDIUM = Severity.HIGH, Severity.MEDIUM


def model(kind: int, body: bytes, notes: bytes = b"") -> bytes:
    """A model of one kind with an input, an output and notes."""
    return (
        field(1, 8)
        + field(2, field(1, field(1, "x")) + field(10, field(1, "y")) + field(100, notes))
        + field(kind, body)
    )


def layer(kind: int = 140, body: bytes = b"") -> bytes:
    """A layer of a network."""
    return field(1, field(1, "l") + field(2, "x") + field(kind, body))


def operation(name: str, attributes: bytes = b"", blocks: bytes = b"") -> bytes:
    """An operation of a block."""
    return field(3, field(1, name) + blocks + attributes)


def program(operations: bytes) -> bytes:
    """A program of one function and one block."""
    function = field(1, field(1, "x")) + field(2, "CoreML7") + field(3, field(1, "CoreML7") + field(2, operations))
    return model(502, field(1, 1) + field(2, field(1, "main") + field(2, function)))


def blob(path: str) -> bytes:
    """The attribute of a constant whose value lies in a file."""
    return field(5, field(1, "val") + field(2, field(5, field(1, path) + field(2, 64))))


BAD_LAYER = layer(500, field(10, "Their"))
HONEST = [
    model(500, layer() + layer(605, field(1, layer()))),
    model(302, b"\x0a\x00"),
    model(202, field(1, model(403, layer()))),
    program(operation("const", blob("@model_path/weights/weight.bin")) + operation("matmul")),
]


@pytest.mark.parametrize("data", HONEST)
def test_an_honest_model_is_known_and_clean(data: bytes) -> None:
    """Networks, trees, pipelines and programs."""
    assert scan(data)[0] == ("Core ML",)
    assert above_low(data) == []


@pytest.mark.parametrize(
    ("data", "rule", "severity"),
    [
        (model(555, field(10, "Their")), "coreml.custom", HIGH),
        (model(500, layer() + BAD_LAYER), "coreml.custom", HIGH),
        (model(403, layer(605, field(2, BAD_LAYER))), "coreml.custom", HIGH),
        (model(303, layer(615, field(4, BAD_LAYER))), "coreml.custom", HIGH),
        (model(202, field(1, model(500, BAD_LAYER))), "coreml.custom", HIGH),
        (model(200, field(1, field(1, model(500, BAD_LAYER)))), "coreml.custom", HIGH),
        (program(operation("their_operator")), "coreml.custom", HIGH),
        (program(operation("cond", blocks=field(4, operation("their_operator")))), "coreml.custom", HIGH),
        (program(operation("const", blob("/etc/passwd"))), "coreml.linked", HIGH),
        (program(operation("const", blob("@model_path/../../x"))), "coreml.linked", HIGH),
        (model(556, field(1, b"x")), "coreml.linked", HIGH),
        (model(3000, b"x"), "coreml.unsupported", MEDIUM),
        (model(500, layer()) + field(77, "x"), "coreml.unknown-field", MEDIUM),
        (model(500, layer(), field(1, "import os; os.system('id')")), "coreml.metadata.executable", HIGH),
        (model(500, layer(), field(1, "word " * 20_000)), "coreml.metadata.long", MEDIUM),
        (model(500, layer()) + b"\x12\x7f", "coreml.malformed", MEDIUM),
    ],
)
def test_what_a_model_must_not_hold_is_found(data: bytes, rule: str, severity: Severity) -> None:
    """In pipelines, branches, loops and blocks."""
    assert (rule, severity) in found(data)


def test_depth_is_bounded() -> None:
    """A pipeline in a pipeline, and on."""
    data = model(500, layer())
    for _ in range(40):
        data = model(202, field(1, data))
    assert ("coreml.malformed", MEDIUM) in found(data)
