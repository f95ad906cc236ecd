"""The messages of the inference service over gRPC, described here and built in a pool of their own.

The service: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md, with
the model repository extension's index. Two packages that each register this same file in protobuf's one default pool
cannot share a process (tritonclient, kserve and mlserver each do); a private pool shares it with all of them.
"""

from functools import cache
from typing import Any, Final

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

SERVICE: Final = "inference.GRPCInferenceService"
HEALTH: Final = "grpc.health.v1.Health"  # https://github.com/grpc/grpc/blob/master/doc/health-checking.md
_SCALARS: Final = {
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}
_PARAMETERS: Final = "map InferParameter parameters"
MESSAGES: Final[dict[str, tuple[str, ...]]] = {
    "ServerLiveRequest": (),
    "ServerLiveResponse": ("1 bool live",),
    "ServerReadyRequest": (),
    "ServerReadyResponse": ("1 bool ready",),
    "ModelReadyRequest": ("1 string name", "2 string version"),
    "ModelReadyResponse": ("1 bool ready",),
    "ServerMetadataRequest": (),
    "ServerMetadataResponse": ("1 string name", "2 string version", "3 repeated string extensions"),
    "ModelMetadataRequest": ("1 string name", "2 string version"),
    "TensorMetadata": ("1 string name", "2 string datatype", "3 repeated int64 shape"),
    "ModelMetadataResponse": (
        "1 string name",
        "2 repeated string versions",
        "3 string platform",
        "4 repeated TensorMetadata inputs",
        "5 repeated TensorMetadata outputs",
    ),
    "InferParameter": (
        "1 choice bool bool_param",
        "2 choice int64 int64_param",
        "3 choice string string_param",
        "4 choice double double_param",
        "5 choice uint64 uint64_param",
    ),
    "InferTensorContents": (
        "1 repeated bool bool_contents",
        "2 repeated int32 int_contents",
        "3 repeated int64 int64_contents",
        "4 repeated uint32 uint_contents",
        "5 repeated uint64 uint64_contents",
        "6 repeated float fp32_contents",
        "7 repeated double fp64_contents",
        "8 repeated bytes bytes_contents",
    ),
    "InferInputTensor": (
        "1 string name",
        "2 string datatype",
        "3 repeated int64 shape",
        f"4 {_PARAMETERS}",
        "5 InferTensorContents contents",
    ),
    "InferRequestedOutputTensor": ("1 string name", f"2 {_PARAMETERS}"),
    "ModelInferRequest": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        f"4 {_PARAMETERS}",
        "5 repeated InferInputTensor inputs",
        "6 repeated InferRequestedOutputTensor outputs",
        "7 repeated bytes raw_input_contents",
    ),
    "InferOutputTensor": (
        "1 string name",
        "2 string datatype",
        "3 repeated int64 shape",
        f"4 {_PARAMETERS}",
        "5 InferTensorContents contents",
    ),
    "ModelInferResponse": (
        "1 string model_name",
        "2 string model_version",
        "3 string id",
        f"4 {_PARAMETERS}",
        "5 repeated InferOutputTensor outputs",
        "6 repeated bytes raw_output_contents",
    ),
    "RepositoryIndexRequest": ("1 string repository_name", "2 bool ready"),
    "ModelIndex": ("1 string name", "2 string version", "3 string state", "4 string reason"),
    "RepositoryIndexResponse": ("1 repeated ModelIndex models",),
    "HealthCheckRequest": ("1 string service",),
    "HealthCheckResponse": ("1 int32 status",),  # an enumeration and an int32 are the same on the wire
}
"""Each message with its fields: number, how often it stands or what it belongs to, type, name.

TensorMetadata and ModelIndex are nested messages in the published file; on the wire a message has no name, so they are
the same.
"""


@cache
def message(name: str) -> Any:
    """Return the class of a message."""
    return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"inference.{name}"))


@cache
def _pool() -> Any:
    pool = descriptor_pool.DescriptorPool()
    file = FileDescriptorProto(name="holdfast/inference.proto", package="inference", syntax="proto3")
    for name, fields in MESSAGES.items():
        made = file.message_type.add(name=name)
        for field in fields:
            _add(made, field.split())
    pool.Add(file)
    return pool


def _add(made: DescriptorProto, words: list[str]) -> None:
    """Add one field to a message's description."""
    number, *sorts, kind, name = words
    field = made.field.add(name=name, number=int(number), label=FieldDescriptorProto.LABEL_OPTIONAL)
    if "repeated" in sorts:
        field.label = FieldDescriptorProto.LABEL_REPEATED
    if "choice" in sorts:
        if not made.oneof_decl:
            made.oneof_decl.add(name="parameter_choice")
        field.oneof_index = 0
    if "map" in sorts:
        entry = made.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        _add(entry, ["1", "string", "key"])
        _add(entry, ["2", kind, "value"])
        field.label = FieldDescriptorProto.LABEL_REPEATED
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".inference.{made.name}.ParametersEntry"
    elif kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = FieldDescriptorProto.TYPE_MESSAGE, f".inference.{kind}"
