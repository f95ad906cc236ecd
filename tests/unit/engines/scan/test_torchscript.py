"""TorchScript: an operator that reaches out is found, however it is spelled."""

import pytest
from tests.unit.engines.scan.honest import above_low, found, scan
from tests.unit.engines.scan.honest_graphs import torchscript

from holdfast.core.evidence import Severity

HIGH, MEDIUM = Severity.HIGH, Severity.MEDIUM
FILE = ("torchscript.operator.file", HIGH)
CUSTOM = ("torchscript.operator.custom", HIGH)


@pytest.mark.requirement("SUP-07", by="holdfast.engines.scan.models.torchscript:code")
@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ('torch.save(x, "/tmp/x")', FILE),
        ('a = torch.from_file("/etc/passwd", False, 10)', FILE),
        ('ops.aten.save(x, "/tmp/x")', FILE),
        ('x.save("/tmp/x")', FILE),
        ('(x).save("/tmp/x")', FILE),
        ('f = torch.save\n    f(x, "/tmp/x")', FILE),
        ('f = x.save\n    f("/tmp/x")', FILE),
        ('ops . aten # here\n   . from_file("/etc/passwd")', FILE),
        ('ops.\\\naten.save(x, "a")', FILE),
        ('(ops\n.aten\n.save)(x, "a")', FILE),
        ('getattr(x, "save")("/tmp/x")', FILE),
        ('getattr(x, "s\\x61ve")("/tmp/x")', FILE),
        ('ops.image.read_file("/etc/passwd")', FILE),
        ('ops.prim.rpc_sync("w", f)', FILE),
        ('rpc_async("w", f)', FILE),
        ("ops.their.operator(x)", CUSTOM),
        ("ops.prim.PythonOp(x)", FILE),
        ("a = __torch__.torch.classes.their.Thing(x)", CUSTOM),
        ("a : __torch__.torch.classes.dist_rpc.Thing = x", CUSTOM),
        ("torch.their_operator(x)", ("torchscript.operator.unknown", MEDIUM)),
        ("their_function(x)", ("torchscript.function", MEDIUM)),
        ("__import__('os')", ("torchscript.python", HIGH)),
        ("eval('1')", ("torchscript.python", HIGH)),
        ("open('/etc/passwd')", ("torchscript.python", HIGH)),
    ],
)
def test_what_a_source_must_not_call_is_found(line: str, wanted: tuple[str, Severity]) -> None:
    """As an operator, a method, a value, over lines and comments, and by name."""
    assert wanted in found(torchscript(line))


@pytest.mark.parametrize(
    "head",
    [
        "# a comment\n\nclass M(Module):\n  __parameters__ = []\n",
        "class M(Module):\n",
        "op_version_set = 1\nclass M(Module):\n",
        "\n \t\nclass  M(Module):\n",
        "\\\nclass M(Module):\n",
    ],
)
def test_no_beginning_hides_a_source(head: str) -> None:
    """What PyTorch's own reader skips is skipped."""
    data = torchscript('torch.save(x, "/tmp/x")', head=head)
    assert scan(data)[0][0] == "TorchScript"
    assert FILE in found(data)


def test_a_library_of_functions_is_known() -> None:
    """A source without a class."""
    data = b'def f(x: Tensor) -> NoneType:\n  torch.save(x, "a")\n'
    assert FILE in found(data)


def test_python_beside_a_model_is_no_torchscript() -> None:
    """It imports, which TorchScript cannot; nothing runs it by itself."""
    source = b"import torch\n\n\nclass M(torch.nn.Module):\n    def keep(self, x):\n        torch.save(x, 'a')\n"
    assert scan(source)[0] == ("text",)
    assert scan(b"def helper(x):\n    return x + 1\n")[0] == ("text",)


def test_what_pytorch_has_is_clean() -> None:
    """Operators, methods of modules, quantized libraries, classes of tuples."""
    for line in (
        "a = ops.quantized.linear(x, self._packed_params._packed_params, 1., 0)",
        "a = torch.softmax(torch.view(torch.to(x, 6), [-1]), 0)",
        'print("x", annotate(List[int], []))',
        "a : __torch__.torch.classes.quantized.LinearPackedParamsBase = self.p",
        "a = ops.torchvision.nms(x, x, 0.5)",
    ):
        assert above_low(torchscript(line)) == []
