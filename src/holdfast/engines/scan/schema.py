"""ONNX's messages as a table: what each field is, and how many of its values the rules of a scan keep.

After `onnx.proto` of ONNX IR version 14 (Apache-2.0). A test compares each row with the descriptors of the `onnx`
package, so that a new field there is a failing test here.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from holdfast.engines.scan.wire import FIXED32, FIXED64, LEN, VARINT


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its name, its wire type, the message it holds, whether it repeats, and how many values are kept."""

    name: str
    wire: int
    child: str = ""
    repeated: bool = False
    keep: int = 0
    text: bool = False  # words for people: looked at for code that hides there


Message: TypeAlias = dict[int, Field]


def _int(name: str, keep: int = 0, *, many: bool = False) -> Field:
    return Field(name, VARINT, repeated=many, keep=keep)


def _str(name: str, keep: int = 0, *, many: bool = False, text: bool = False) -> Field:
    return Field(name, LEN, repeated=many, keep=keep, text=text)


def _one(name: str, child: str, keep: int = 0) -> Field:
    return Field(name, LEN, child, keep=keep)


def _many(name: str, child: str, keep: int = 0) -> Field:
    return Field(name, LEN, child, repeated=True, keep=keep)


_DOC: Final = _str("doc_string", text=True)
_PROPS: Final = _many("metadata_props", "StringStringEntryProto")

MESSAGES: Final[dict[str, Message]] = {
    "ModelProto": {
        1: _int("ir_version", 1),
        2: _str("producer_name", 1, text=True),
        3: _str("producer_version", 1, text=True),
        4: _str("domain"),
        5: _int("model_version"),
        6: _DOC,
        7: _one("graph", "GraphProto", 1),
        8: _many("opset_import", "OperatorSetIdProto", 64),
        14: _PROPS,
        20: _many("training_info", "TrainingInfoProto"),
        25: _many("functions", "FunctionProto"),
        26: _many("configuration", "DeviceConfigurationProto"),
    },
    "DeviceConfigurationProto": {1: _str("name"), 2: _int("num_devices"), 3: _str("device", many=True)},
    "OperatorSetIdProto": {1: _str("domain", 1), 2: _int("version", 1)},
    "StringStringEntryProto": {1: _str("key", 1, text=True), 2: _str("value", 1, text=True)},
    "TrainingInfoProto": {
        1: _one("initialization", "GraphProto"),
        2: _one("algorithm", "GraphProto"),
        3: _many("initialization_binding", "StringStringEntryProto"),
        4: _many("update_binding", "StringStringEntryProto"),
    },
    "FunctionProto": {
        1: _str("name", 1),
        4: _str("input", many=True),
        5: _str("output", many=True),
        6: _str("attribute", many=True),
        7: _many("node", "NodeProto"),
        8: _DOC,
        9: _many("opset_import", "OperatorSetIdProto"),
        10: _str("domain", 1),
        11: _many("attribute_proto", "AttributeProto"),
        12: _many("value_info", "ValueInfoProto"),
        13: _str("overload", 1),
        14: _PROPS,
    },
    "GraphProto": {
        1: _many("node", "NodeProto", 1),
        2: _str("name"),
        5: _many("initializer", "TensorProto"),
        10: _DOC,
        11: _many("input", "ValueInfoProto"),
        12: _many("output", "ValueInfoProto"),
        13: _many("value_info", "ValueInfoProto"),
        14: _many("quantization_annotation", "TensorAnnotation"),
        15: _many("sparse_initializer", "SparseTensorProto"),
        16: _PROPS,
    },
    "NodeProto": {
        1: _str("input", 4, many=True),
        2: _str("output", 1, many=True),
        3: _str("name"),
        4: _str("op_type", 1),
        5: _many("attribute", "AttributeProto", 32),
        6: _DOC,
        7: _str("domain", 1),
        8: _str("overload", 1),
        9: _PROPS,
        10: _many("device_configurations", "NodeDeviceConfigurationProto"),
    },
    "NodeDeviceConfigurationProto": {
        1: _str("configuration_id"),
        2: _many("sharding_spec", "ShardingSpecProto"),
        3: _int("pipeline_stage"),
    },
    "ShardingSpecProto": {
        1: _str("tensor_name"),
        2: _int("device", many=True),
        3: _many("index_to_device_group_map", "IntIntListEntryProto"),
        4: _many("sharded_dim", "ShardedDimProto"),
    },
    "IntIntListEntryProto": {1: _int("key"), 2: _int("value", many=True)},
    "ShardedDimProto": {1: _int("axis"), 2: _many("simple_sharding", "SimpleShardedDimProto")},
    "SimpleShardedDimProto": {1: _int("dim_value"), 2: _str("dim_param"), 3: _int("num_shards")},
    "AttributeProto": {
        1: _str("name", 1),
        2: Field("f", FIXED32),
        3: _int("i", 1),
        4: _str("s"),
        5: _one("t", "TensorProto", 1),
        6: _one("g", "GraphProto"),
        7: Field("floats", FIXED32, repeated=True),
        8: _int("ints", 16, many=True),
        9: _str("strings", many=True),
        10: _many("tensors", "TensorProto"),
        11: _many("graphs", "GraphProto"),
        13: _DOC,
        14: _one("tp", "TypeProto"),
        15: _many("type_protos", "TypeProto"),
        20: _int("type"),
        21: _str("ref_attr_name"),
        22: _one("sparse_tensor", "SparseTensorProto"),
        23: _many("sparse_tensors", "SparseTensorProto"),
    },
    "TensorProto": {
        1: _int("dims", 33, many=True),
        2: _int("data_type", 1),
        3: _one("segment", "TensorProto.Segment"),
        4: Field("float_data", FIXED32, repeated=True),
        5: _int("int32_data", 16, many=True),
        6: _str("string_data", many=True),
        7: _int("int64_data", 16, many=True),
        8: _str("name", 1),
        9: _str("raw_data", 1),
        10: Field("double_data", FIXED64, repeated=True),
        11: _int("uint64_data", many=True),
        12: _DOC,
        13: _many("external_data", "StringStringEntryProto", 16),
        14: _int("data_location", 4),
        16: _PROPS,
    },
    "TensorProto.Segment": {1: _int("begin"), 2: _int("end")},
    "SparseTensorProto": {
        1: _one("values", "TensorProto"),
        2: _one("indices", "TensorProto"),
        3: _int("dims", 33, many=True),
    },
    "TensorAnnotation": {
        1: _str("tensor_name"),
        2: _many("quant_parameter_tensor_names", "StringStringEntryProto"),
    },
    "ValueInfoProto": {1: _str("name"), 2: _one("type", "TypeProto"), 3: _DOC, 4: _PROPS},
    "TypeProto": {
        1: _one("tensor_type", "TypeProto.Tensor"),
        4: _one("sequence_type", "TypeProto.Sequence"),
        5: _one("map_type", "TypeProto.Map"),
        6: _str("denotation"),
        7: _one("opaque_type", "TypeProto.Opaque"),
        8: _one("sparse_tensor_type", "TypeProto.SparseTensor"),
        9: _one("optional_type", "TypeProto.Optional"),
    },
    "TypeProto.Tensor": {1: _int("elem_type"), 2: _one("shape", "TensorShapeProto")},
    "TypeProto.SparseTensor": {1: _int("elem_type"), 2: _one("shape", "TensorShapeProto")},
    "TypeProto.Sequence": {1: _one("elem_type", "TypeProto")},
    "TypeProto.Optional": {1: _one("elem_type", "TypeProto")},
    "TypeProto.Map": {1: _int("key_type"), 2: _one("value_type", "TypeProto")},
    "TypeProto.Opaque": {1: _str("domain"), 2: _str("name")},
    "TensorShapeProto": {1: _many("dim", "TensorShapeProto.Dimension")},
    "TensorShapeProto.Dimension": {1: _int("dim_value"), 2: _str("dim_param"), 3: _str("denotation")},
}

ELEMENT_BITS: Final = {
    1: 32, 2: 8, 3: 8, 4: 16, 5: 16, 6: 32, 7: 64, 9: 8, 10: 16, 11: 64, 12: 32, 13: 64, 14: 64, 15: 128, 16: 16,
    17: 8, 18: 8, 19: 8, 20: 8, 21: 4, 22: 4, 23: 4, 24: 8, 25: 2, 26: 2, 27: 6, 28: 6,
}  # fmt: skip
"""Bits of one element by `TensorProto.DataType`; strings (8) have no fixed width."""
STRING: Final = 8
INT32: Final = 6
INT64: Final = 7
EXTERNAL: Final = 1  # TensorProto.DataLocation


class Frame:
    """One message being read: the field it came in, where it ends, what was seen of it and what is kept of it."""

    __slots__ = ("end", "fields", "kept", "name", "seen", "start", "via")

    def __init__(self, name: str, via: Field, start: int, end: int) -> None:
        """Open a message of the table between two offsets."""
        self.name, self.via, self.start, self.end = name, via, start, end
        self.fields = MESSAGES[name]
        self.kept: dict[str, list[Any]] = {}
        self.seen = 0  # one bit for each field number
