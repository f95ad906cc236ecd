"""Small honest files of graphs and programs: PMML, OpenVINO, MessagePack, TorchScript, ExecuTorch, TensorFlow Lite."""

import struct
from typing import Any

from tests.unit.engines.scan.honest_trees import flat

PMML_SPACE = "http://www.dmg.org/PMML-4_4"


def pmml(inside: str = "", head: str = "<?xml version='1.0' encoding='UTF-8'?>", space: str = PMML_SPACE) -> bytes:
    """A regression with a derived field, a function of its own and an extension of words."""
    return f"""{head}
<PMML xmlns="{space}" version="4.4">
  <Header><Application name="writer" version="1"/><Extension name="repr">Pipeline(steps=[...])</Extension></Header>
  <DataDictionary><DataField name="x" optype="continuous" dataType="double"/></DataDictionary>
  <TransformationDictionary>
    <DefineFunction name="logit" optype="continuous"><ParameterField name="y"/>
      <Apply function="/"><Constant>1</Constant><Apply function="exp"><FieldRef field="y"/></Apply></Apply>
    </DefineFunction>
    <DerivedField name="z" dataType="double" optype="continuous"><Apply function="logit"><FieldRef field="x"/></Apply>
    </DerivedField>
  </TransformationDictionary>
  <RegressionModel functionName="regression"><MiningSchema><MiningField name="x"/></MiningSchema>
    <RegressionTable intercept="0.5"><NumericPredictor name="z" coefficient="2"/></RegressionTable></RegressionModel>
  <ModelVerification><InlineTable><row><data:x xmlns:data="urn:rows">1</data:x></row></InlineTable></ModelVerification>
  {inside}
</PMML>""".encode()


def openvino(
    layers: str = "", version: str = "11", data: str = 'element_type="f32" shape="2, 3" offset="0" size="24"'
) -> bytes:
    """A model of a constant and a product."""
    return f"""<?xml version="1.0"?>
<net name="m" version="{version}"><layers>
  <layer id="0" name="x" type="Parameter" version="opset1"><data shape="1,2" element_type="f32"/></layer>
  <layer id="1" name="w" type="Const" version="opset1"><data {data}/></layer>
  <layer id="2" name="y" type="MatMul" version="opset1"><data transpose_a="false"/></layer>
  {layers}
</layers><edges><edge from-layer="0" from-port="0" to-layer="2" to-port="0"/></edges></net>""".encode()


def pack(value: Any) -> bytes:
    """MessagePack of maps, lists, texts, bytes, small numbers, and `(code, bytes)` for an extension."""
    if isinstance(value, dict):
        return b"\xde" + struct.pack(">H", len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())
    if isinstance(value, list):
        return b"\xdc" + struct.pack(">H", len(value)) + b"".join(map(pack, value))
    if isinstance(value, tuple):
        return b"\xc9" + struct.pack(">Ib", len(value[1]), value[0]) + value[1]
    if isinstance(value, str):
        return b"\xda" + struct.pack(">H", len(value.encode())) + value.encode()
    if isinstance(value, bytes):
        return b"\xc6" + struct.pack(">I", len(value)) + value
    return b"\xcd" + struct.pack(">H", value)


def array(shape: list[int], kind: str = "float32", data: bytes = bytes(16)) -> tuple[int, bytes]:
    """An array as Flax packs it."""
    return 1, pack([shape, kind, data])


def flax(**more: Any) -> bytes:
    """The parameters of a layer and a step."""
    return pack({"params": {"Dense_0": {"kernel": array([2, 2]), "bias": array([0], data=b"")}}, "step": 3} | more)


def torchscript(
    line: str = "", head: str = 'class M(Module):\n  __parameters__ = ["weight", ]\n  __buffers__ = []\n'
) -> bytes:
    """A module as PyTorch writes it."""
    return f"""{head}  weight : Tensor
  training : bool
  def forward(self: __torch__.M,
    x: Tensor) -> Tensor:
    weight = self.weight
    _0 = __torch__.torch.nn.functional.relu
    if torch.__isnot__(x, None):
      y = torch.linear(x, weight, CONSTANTS.c0)
    else:
      ops.prim.RaiseException("none", "builtins.ValueError")
      y = x
    _1 = getattr(self, "1")
    z = _0((_1).forward(y, ), False, )
    {line}
    return torch.add(z, ops.prim.NumToTensor(torch.size(x, 0)), alpha=1)
""".encode()


def executorch(
    operators: tuple[str, ...] = ("aten::add", "aten::mm"), backends: tuple[str, ...] = (), call: int = 0,
    segment: tuple[int, int] = (0, 16),
) -> bytes:  # fmt: skip
    """A program of one plan with a call, and a segment behind it."""
    instruction = {0: 1, 1: {0: call}}
    delegates = [{0: name} for name in backends]
    plan = {0: "forward", 5: [{2: [instruction]}], 6: [{0: name, 1: "out"} for name in operators], 7: delegates}
    program = flat(
        {0: 0, 1: [plan], 4: [{0: segment[0], 1: segment[1]}]}, b"ET12" + b"eh00" + struct.pack("<IQQ", 24, 0, 0)
    )
    data = bytearray(program + bytes(-len(program) % 16))
    struct.pack_into("<QQ", data, 16, len(program), len(data))
    return bytes(data) + bytes(16)


def tflite(
    codes: tuple[dict[int, Any], ...] = ({0: 9, 3: 9},),
    operator: int = 0,
    buffer: int = 1,
    description: str = "m",
    outside: int = 0,
) -> bytes:
    """A model of one operator and one tensor."""
    graph = {0: [{1: 0, 2: buffer, 3: "x"}], 3: [{0: operator}]}
    return flat(
        {0: 3, 1: list(codes), 2: [graph], 3: description, 4: [{}, {0: ("B", [0] * 16), 1: outside, 2: 16}]}, b"TFL3"
    )


HONEST_GRAPHS = {
    "PMML": pmml(),
    "OpenVINO": openvino(),
    "MessagePack": flax(),
    "TorchScript": torchscript(),
    "ExecuTorch": executorch(),
    "TensorFlow Lite": tflite(),
}
