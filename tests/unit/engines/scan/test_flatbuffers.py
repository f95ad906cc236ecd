"""ExecuTorch and TensorFlow Lite: operators and backends by name, indices and places by what is there."""

import struct

import pytest
from tests.unit.engines.scan.honest import found
from tests.unit.engines.scan.honest_graphs import executorch, tflite

from holdfast.core.evidence import Severity

CRITICAL, HIGH, MEDIUM, LOW = Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW


def custom(name: str) -> bytes:
    """A model whose operator is named by a text."""
    return tflite(({0: 32, 1: name, 3: 32},))


@pytest.mark.parametrize(
    ("data", "rule", "severity"),
    [
        (executorch(("aten::add", "their::operator")), "executorch.operator.custom", HIGH),
        (executorch(("aten::their_operator",)), "executorch.operator.custom", HIGH),
        (executorch(("aten::from_file",)), "executorch.operator.file", HIGH),
        (executorch(backends=("TheirBackend",)), "executorch.backend", HIGH),
        (executorch(backends=("XnnpackBackend",)), "executorch.backend", LOW),
        (executorch(call=2), "executorch.index", HIGH),
        (executorch(segment=(0, 1 << 30)), "executorch.offsets", HIGH),
        (executorch()[:80], "executorch.malformed", MEDIUM),
        (b"\xff\xff\xff\xffET12" + bytes(60), "executorch.malformed", MEDIUM),
        (custom("Their"), "tflite.operator.custom", HIGH),
        (custom("FlexTheir"), "tflite.operator.custom", HIGH),
        (custom("FlexReadFile"), "tflite.operator.file", HIGH),
        (custom("FlexEagerPyFunc"), "tflite.python", CRITICAL),
        (custom("FlexMatMul"), "tflite.operator.flex", LOW),
        (tflite(({0: 127, 3: 5000},)), "tflite.unsupported", MEDIUM),
        (tflite(operator=1), "tflite.index", HIGH),
        (tflite(buffer=2), "tflite.index", HIGH),
        (tflite(description="powershell -c x"), "tflite.metadata.executable", HIGH),
        (tflite(description="word " * 20_000), "tflite.metadata.long", MEDIUM),
        (tflite()[:60], "tflite.malformed", MEDIUM),
    ],
)
def test_what_a_program_must_not_hold_is_found(data: bytes, rule: str, severity: Severity) -> None:
    """Operators of libraries, files, Python, unknown backends, calls and tensors of what there is not."""
    assert (rule, severity) in found(data)


def test_a_buffer_outside_of_the_file_is_found() -> None:
    """Large models keep buffers behind the FlatBuffer."""
    assert ("tflite.offsets", HIGH) in found(tflite(outside=5000))
    data = bytearray(tflite())
    plain = bytes(data)
    assert found(plain) == set()
    at = plain.index(struct.pack("<I", 16) + bytes(16))  # the vector's length, made larger than the file
    struct.pack_into("<I", data, at, 1 << 30)
    assert ("tflite.malformed", MEDIUM) in found(bytes(data))


def test_a_known_custom_operator_is_clean() -> None:
    """Those that TensorFlow Lite ships."""
    assert found(custom("TFLite_Detection_PostProcess")) == set()
