"""Open Inference Protocol v2 (REST) and the plain `/predict`: bytes to values and back, nothing decided.

The protocol: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md.
The binary tensor extension is not spoken; a request that uses it is refused. A body is decoded once, into types that
name every field, so that nothing unknown, repeated in depth or of another type survives it.
"""

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Final

import msgspec

from holdfast.core.guard import Answer
from holdfast.core.schema import Signature

LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"
OUTPUTS: Final = (LABEL, PROBABILITIES)
INPUT: Final = "input"  # the one tensor that holds all features
DATATYPES: Final = ("FP32", "FP64", "INT64")  # of inputs; all become float32, which is what models take
_MODEL: Final = r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})"
MODEL_NAME: Final = re.compile(_MODEL)
CORRELATION: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")  # safe in a header, a log line and a file name
_PATHS: Final = re.compile(rf"/(?:v2/models/{_MODEL}(?:/(ready|infer))?|predict/{_MODEL})")
_WHERE: Final = re.compile(r"`(\$[^`]{0,100})`$")


class Operation(StrEnum):
    """What a request asks for."""

    SERVER = "server"
    LIVE = "live"
    READY = "ready"
    METRICS = "metrics"
    METADATA = "metadata"
    MODEL_READY = "model-ready"
    INFER = "infer"
    PREDICT = "predict"


_FIXED: Final = {
    "/v2": Operation.SERVER,
    "/v2/health/live": Operation.LIVE,
    "/v2/health/ready": Operation.READY,
    "/metrics": Operation.METRICS,
}
_OF_MODEL: Final = {None: Operation.METADATA, "ready": Operation.MODEL_READY, "infer": Operation.INFER}


def target(path: str) -> tuple[Operation, str] | None:
    """Return what a path asks for, and of which model ("" where of none); None for every other path.

    >>> target("/v2/models/cancer/infer")
    (<Operation.INFER: 'infer'>, 'cancer')
    """
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed, ""
    found = _PATHS.fullmatch(path)
    if found is None:
        return None
    model, verb, plain = found.groups()
    return (Operation.PREDICT, plain) if plain is not None else (_OF_MODEL[verb], model)


class Malformed(Exception):
    """A body is not what the protocol allows; the words may be shown to the caller."""


Parameters = dict[str, str | int | float | bool | None]


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One input tensor with its data flat, in row-major order."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[float]
    parameters: Parameters | None = None


class NestedTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One input tensor with its data as rows."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[list[float]]
    parameters: Parameters | None = None


class RequestedOutput(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One output that the caller wants."""

    name: str
    parameters: Parameters | None = None


class InferRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The body of an inference request."""

    inputs: tuple[Tensor, ...]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: tuple[RequestedOutput, ...] | None = None


class _NestedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    inputs: tuple[NestedTensor, ...]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: tuple[RequestedOutput, ...] | None = None


_FLAT: Final = msgspec.json.Decoder(InferRequest)
_NESTED: Final = msgspec.json.Decoder(_NestedRequest)


def decode_infer(body: bytes) -> InferRequest:
    """Return the request in a body.

    Raises:
        Malformed: It is none.
    """
    try:
        return _FLAT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        first = error
    try:  # data as nested rows is the protocol's other form, rarer, and so tried second
        nested = _NESTED.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Malformed(_words(first)) from None
    inputs = tuple(_flattened(tensor) for tensor in nested.inputs)
    return InferRequest(inputs=inputs, id=nested.id, parameters=nested.parameters, outputs=nested.outputs)


def _flattened(tensor: NestedTensor) -> Tensor:
    widths = {len(row) for row in tensor.data}
    if len(widths) != 1 or tensor.shape != (len(tensor.data), *widths):
        raise Malformed("the rows of a tensor do not have its shape")
    flat = [value for row in tensor.data for value in row]
    return Tensor(name=tensor.name, shape=tensor.shape, datatype=tensor.datatype, data=flat)


def _words(error: Exception) -> str:
    """Return what a decoder's complaint tells about the body, without the decoder's own words."""
    found = _WHERE.search(str(error)) if isinstance(error, msgspec.ValidationError) else None
    if isinstance(error, msgspec.ValidationError):
        return f"the body does not follow the protocol at {found[1] if found else '$'}"
    return "the body is not valid JSON"


class _Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    rows: list[dict[str, float]]


_ROWS: Final = msgspec.json.Decoder(_Rows)


def decode_rows(body: bytes, names: Sequence[str]) -> list[float]:
    """Return the values of a plain request flat, in row-major order and the order of `names`.

    Raises:
        Malformed: It is no list of rows whose keys are exactly these names, each once.
    """
    try:
        rows = _ROWS.decode(body).rows
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(_words(error)) from None
    # The decoder above keeps the last of two equal keys, and nobody knows which one was meant.
    json.loads(body, object_pairs_hook=_distinct)
    wanted = set(names)
    for number, row in enumerate(rows):
        if row.keys() != wanted:
            missing, unknown = len(wanted - row.keys()), len(row.keys() - wanted)
            raise Malformed(f"in row {number}, {missing} inputs are missing and {unknown} are unknown")
    return [row[name] for row in rows for name in names]


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise Malformed("a key is given twice")


class _Output(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any]


class _InferResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str] | None = None
    outputs: tuple[_Output, ...]


_ENCODER: Final = msgspec.json.Encoder()


def encode_infer(
    answer: Answer, signature: Signature, *, model: str, version: str, request_id: str, outputs: Sequence[str]
) -> bytes:
    """Return the body of an inference response: the outputs that the caller wants and the guards have left."""
    rows, classes = answer.probabilities.shape
    found = []
    if not outputs or LABEL in outputs:
        names = [signature.classes[label] for label in answer.labels.tolist()]
        found.append(_Output(name=LABEL, datatype="BYTES", shape=(rows,), data=names))
    if classes and (not outputs or PROBABILITIES in outputs):
        flat = answer.probabilities.ravel().tolist()
        found.append(_Output(name=PROBABILITIES, datatype="FP64", shape=(rows, classes), data=flat))
    response = _InferResponse(
        model_name=model,
        model_version=version,
        id=request_id or None,
        parameters={"flags": ",".join(answer.flags)} if answer.flags else None,
        outputs=tuple(found),
    )
    return _ENCODER.encode(response)


def encode_predict(answer: Answer, signature: Signature, *, model: str, version: str) -> bytes:
    """Return the body of a plain prediction: for each row its label, and probabilities where the guards left them."""
    names = [signature.classes[label] for label in answer.labels.tolist()]
    predictions: list[dict[str, Any]] = [{"label": name} for name in names]
    if answer.probabilities.shape[1]:
        for prediction, row in zip(predictions, answer.probabilities.tolist(), strict=True):
            prediction["probabilities"] = dict(zip(signature.classes, row, strict=True))
    document: dict[str, Any] = {"model": model, "version": version, "predictions": predictions}
    if answer.flags:
        document["flags"] = answer.flags
    return _ENCODER.encode(document)


def encode_error(words: str) -> bytes:
    """Return the protocol's error object."""
    return _ENCODER.encode({"error": words})


def server_metadata(version: str) -> bytes:
    """Return the body of `GET /v2`."""
    return _ENCODER.encode({"name": "holdfast", "version": version, "extensions": ()})


def model_metadata(model: str, version: str, signature: Signature) -> bytes:
    """Return the body of `GET /v2/models/{model}`; the names and ranges of the features stand under `parameters`."""
    document = {
        "name": model,
        "versions": (version,),
        "platform": "onnx",
        "inputs": ({"name": INPUT, "datatype": "FP32", "shape": (-1, len(signature.inputs))},),
        "outputs": (
            {"name": LABEL, "datatype": "BYTES", "shape": (-1,)},
            {"name": PROBABILITIES, "datatype": "FP64", "shape": (-1, len(signature.classes))},
        ),
        "parameters": {"features": signature.inputs, "classes": signature.classes},
    }
    return _ENCODER.encode(document)


def model_ready(model: str) -> bytes:
    """Return the body of `GET /v2/models/{model}/ready` of a model that answers."""
    return _ENCODER.encode({"name": model, "ready": True})


LIVE_BODY: Final = b'{"live":true}'
READY_BODY: Final = b'{"live":true,"ready":true}'
STALE_BODY: Final = b'{"live":true,"ready":true,"stale":true}'  # ready for as long as the lease lasts
NOT_READY_BODY: Final = b'{"live":true,"ready":false}'
