"""Open Inference Protocol v2 (REST): what a request says, from its path and its bytes; `plain` reads `/predict`.

The protocol: https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md, with
the binary tensor data extension (`tensors`) and the model repository extension's index. A body is decoded once, into
types that name every field, so that nothing unknown, repeated in depth or of another type survives it.
"""

import json
import re
from enum import StrEnum
from itertools import chain
from typing import Any, Final

import msgspec

from holdfast.serve.counting import LONG, count_up_to
from holdfast.serve.tensors import BYTES, BadTensor, from_bytes, from_texts

LABEL: Final = "label"
PROBABILITIES: Final = "probabilities"
OUTPUTS: Final = (LABEL, PROBABILITIES)
INPUT: Final = "input"  # the one tensor that holds all features
_MODEL: Final = r"([A-Za-z0-9][A-Za-z0-9._-]{0,62})"
MODEL_NAME: Final = re.compile(_MODEL)
CORRELATION: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")  # safe in a header, a log line and a file name
_VERSION: Final = r"(?:/versions/([A-Za-z0-9._-]{1,64}))?"
_PATHS: Final = re.compile(rf"/(?:v2/models/{_MODEL}{_VERSION}(?:/(ready|infer|openapi\.json))?|predict/{_MODEL})")
_LENGTH: Final = re.compile(r"[0-9]{1,10}")
_WHERE: Final = re.compile(r"`(\$[^`]{0,100})`$")
_GOT: Final = re.compile(r"got `(null|str|bool|array|object)`")
KINDS: Final = {"null": "null", "str": "a text", "bool": "true or false", "array": "a list", "object": "an object"}
"""What stands in JSON where something else must, in words."""


class Operation(StrEnum):
    """What a request asks for."""

    SERVER = "server"
    LIVE = "live"
    READY = "ready"
    METRICS = "metrics"
    INDEX = "index"
    METADATA = "metadata"
    MODEL_READY = "model-ready"
    OPENAPI = "openapi"
    INFER = "infer"
    PREDICT = "predict"


RUNS_MODEL: Final = (Operation.INFER, Operation.PREDICT)  # a tuple: an enumeration's hash is computed in Python
POSTED: Final = (*RUNS_MODEL, Operation.INDEX)
_FIXED: Final = {
    "/v2": Operation.SERVER,
    "/v2/health/live": Operation.LIVE,
    "/v2/health/ready": Operation.READY,
    "/v2/repository/index": Operation.INDEX,
    "/metrics": Operation.METRICS,
}
_OF_MODEL: Final = {
    None: Operation.METADATA,
    "ready": Operation.MODEL_READY,
    "infer": Operation.INFER,
    "openapi.json": Operation.OPENAPI,
}


_SEEN: Final[dict[str, tuple[Operation, str, str]]] = {}
MOST_SEEN: Final = 512  # paths that need not be parsed again


def target(path: str) -> tuple[Operation, str, str] | None:
    """Return what a path asks for, of which model and of which version ("" where of none); None for every other path.

    >>> target("/v2/models/cancer/infer")
    (<Operation.INFER: 'infer'>, 'cancer', '')
    """
    fixed = _FIXED.get(path)
    if fixed is not None:
        return fixed, "", ""
    seen = _SEEN.get(path)
    if seen is not None:
        return seen
    found = _PATHS.fullmatch(path)
    if found is None:
        return None
    model, version, verb, plain = found.groups()
    asked = (Operation.PREDICT, plain, "") if plain is not None else (_OF_MODEL[verb], model, version or "")
    if len(_SEEN) < MOST_SEEN:  # such paths are short, so what is kept is some 100 KiB at most
        _SEEN[path] = asked
    return asked


class Malformed(Exception):
    """A body is not what the protocol allows; the words may be shown to the caller."""


Parameters = dict[str, str | int | float | bool | None]


class Tensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One input tensor with its data flat, in row-major order: a list, or an array where it came as bytes."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[float]
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
    model_name: str | None = None  # which some clients say again; it must be the one in the path


class _RowsTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One input tensor of numbers as nested rows."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[list[float]]
    parameters: Parameters | None = None


class _RowsRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    inputs: tuple[_RowsTensor, ...]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: tuple[RequestedOutput, ...] | None = None
    model_name: str | None = None


_Number = float | bool


class _LooseTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One input tensor in any form: flat, as rows, of booleans, or without data, which is elsewhere."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[_Number | list[_Number]] | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters | None = None


class _LooseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    inputs: tuple[_LooseTensor, ...]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: tuple[RequestedOutput, ...] | None = None
    model_name: str | None = None


_Value = float | bool | str


class _TextTensor(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    """One input tensor of a model that takes texts: the same, of texts too."""

    name: str
    shape: tuple[int, ...]
    datatype: str
    data: list[_Value | list[_Value]] | msgspec.UnsetType = msgspec.UNSET
    parameters: Parameters | None = None


class _TextRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, gc=False):
    inputs: tuple[_TextTensor, ...]
    id: str | None = None
    parameters: Parameters | None = None
    outputs: tuple[RequestedOutput, ...] | None = None
    model_name: str | None = None


_AnyTensor = _RowsTensor | _LooseTensor | _TextTensor
_AnyRequest = _RowsRequest | _LooseRequest | _TextRequest
_TEXTS: Final = msgspec.json.Decoder(_TextRequest)
_FLAT: Final = msgspec.json.Decoder(InferRequest)
_ROWS: Final = msgspec.json.Decoder(_RowsRequest)
_LOOSE: Final = msgspec.json.Decoder(_LooseRequest)


def decode_infer(body: bytes) -> InferRequest:
    """Return the request in a body that is JSON.

    Raises:
        Malformed: It is none.
    """
    request: InferRequest | _RowsRequest | _LooseRequest
    try:
        request = _FLAT.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        request = _nested(body, error)
    if not _each_once(body, request):
        check_distinct(body)
    return request if isinstance(request, InferRequest) else _request(request, memoryview(b""))


def _nested(body: bytes, first: Exception) -> _RowsRequest | _LooseRequest:
    """Return a request whose data are nested rows, or of booleans, which is rarer, or some of each.

    Raises:
        Malformed: It is none either; the words are about the form that was tried first.
    """
    for decoder in (_ROWS, _LOOSE):
        try:
            return decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
    raise Malformed(words_of(first))


def decode_binary(body: bytes, head: int) -> InferRequest:
    """Return the request in a body of which the first `head` bytes are JSON, and the rest the data of tensors.

    1. The head is a request. 2. Each tensor has its data in the head, or says in `binary_data_size` how many bytes of
    the rest are its, and not both. 3. Those are as many as its shape and datatype need. 4. No byte of the rest is left.

    Raises:
        Malformed: Any step fails.
    """
    try:
        loose = _LOOSE.decode(memoryview(body)[:head])  # 1.
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(words_of(error)) from None
    if body.count(b":", 0, head) != _members(loose):
        check_distinct(body[:head])
    return _request(loose, memoryview(body)[head:])


def decode_texts(body: bytes, head: int | None) -> InferRequest:
    """Return the request in a body to a model that takes texts; the data of a BYTES tensor are a list of texts.

    Raises:
        Malformed: As `decode_binary`, or texts stand in a tensor of numbers, or numbers in one of BYTES.
    """
    whole = len(body) if head is None else head
    try:
        loose = _TEXTS.decode(memoryview(body)[:whole])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(words_of(error)) from None
    if body.count(b":", 0, whole) != _members(loose):
        check_distinct(body[:whole])
    return _request(loose, memoryview(body)[whole:])


def _each_once(body: bytes, request: InferRequest | _AnyRequest) -> bool:
    """Say whether a body has no more colons than a request with each member once; else it takes longer to find out."""
    plain = 1 + 4 * len(request.inputs)
    if len(body) < LONG:
        colons = body.count(b":")
        return colons == plain or colons == _members(request)
    expected = plain, _members(request)
    return count_up_to(body, b":", max(expected)) in expected


def _members(request: InferRequest | _AnyRequest) -> int:
    """Return how many members a request has if each is given once: no body holds fewer colons than that.

    One that holds more has them in texts, has a null, or gives a member twice; which it is, takes longer to find out.
    """
    found = 1 + (request.id is not None) + (request.model_name is not None)
    if request.parameters is not None:
        found += 1 + len(request.parameters)
    for tensor in request.inputs:
        found += 4 if tensor.parameters is None else 5 + len(tensor.parameters)
        found -= tensor.data is msgspec.UNSET
    if request.outputs is not None:
        found += 1
        for output in request.outputs:
            found += 1 if output.parameters is None else 2 + len(output.parameters)
    return found


def _request(loose: _AnyRequest, rest: memoryview) -> InferRequest:
    texts = isinstance(loose, _TextRequest)
    inputs, begin = [], 0
    for tensor in loose.inputs:
        size = (tensor.parameters or {}).get("binary_data_size")
        if (size is None) == (tensor.data is msgspec.UNSET):  # 2.
            raise Malformed("a tensor must have either data or a binary_data_size")
        if size is None:
            inputs.append(_flattened(tensor))
            continue
        if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= len(rest) - begin:
            raise Malformed("a binary_data_size is not the length of bytes that are there")
        try:
            part = rest[begin : begin + size]  # 3.
            if texts and tensor.datatype == BYTES:
                data: Any = from_texts(part, tensor.shape)
            else:
                data = from_bytes(part, tensor.datatype, tensor.shape)
        except BadTensor as error:
            raise Malformed(str(error)) from None
        begin += size
        inputs.append(Tensor(name=tensor.name, shape=tensor.shape, datatype=tensor.datatype, data=data))
    if begin != len(rest):  # 4.
        raise Malformed("there are bytes behind the last tensor")
    return InferRequest(
        inputs=tuple(inputs),
        id=loose.id,
        parameters=loose.parameters,
        outputs=loose.outputs,
        model_name=loose.model_name,
    )


def _flattened(tensor: _AnyTensor) -> Tensor:
    data: Any = tensor.data
    kinds = set(map(type, data))
    if list in kinds:
        nested = isinstance(tensor, _RowsTensor)
        widths = set(map(len, data)) if nested else {len(row) if isinstance(row, list) else -1 for row in data}
        if len(widths) != 1 or tensor.shape != (len(data), *widths):
            raise Malformed("the rows of a tensor do not have its shape")
        data = list(chain.from_iterable(data))
        kinds = set(map(type, data[:1] if nested else data))  # all are of one type there
    # JSON's true is no number, and a number no truth value, whatever Python says about bool and int.
    if not _kept_apart(kinds, bool, wanted=tensor.datatype == "BOOL"):
        raise Malformed("a tensor of BOOL holds true and false, and no other tensor does")
    if isinstance(tensor, _TextTensor) and not _kept_apart(kinds, str, wanted=tensor.datatype == BYTES):
        raise Malformed("a tensor of BYTES holds texts, and no other tensor does")
    return Tensor(name=tensor.name, shape=tensor.shape, datatype=tensor.datatype, data=data)


def _kept_apart(kinds: set[type], kind: type, *, wanted: bool) -> bool:
    """Say whether all values are of a kind where that is wanted, and none where it is not."""
    return kinds <= {kind} if wanted else kind not in kinds


def head_length(said: str, body: bytes) -> int | None:
    """Return what `Inference-Header-Content-Length` says, or None if the body has no head of that length."""
    length = int(said) if _LENGTH.fullmatch(said) else 0
    return length if 0 < length <= len(body) else None


def wanted(request: InferRequest) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return which outputs a request asks for, and which of them as bytes; no names mean all of them.

    Raises:
        Malformed: It asks for an output that there is not, for one twice, or for something that no output does here.
    """
    all_binary = _flag(request.parameters, "binary_data_output", default=False)
    if request.outputs is None:
        return (), frozenset(OUTPUTS) if all_binary else frozenset()
    names = tuple(output.name for output in request.outputs)
    if len(set(names)) != len(names) or not set(names) <= set(OUTPUTS):
        raise Malformed(f"the outputs are {' and '.join(OUTPUTS)}, each at most once")
    for output in request.outputs:
        if not _UNKNOWN.isdisjoint(output.parameters or ()):  # whoever counts on it would misread the answer
            raise Malformed("outputs in shared memory or as classifications are not given")
    binary = {each.name for each in request.outputs if _flag(each.parameters, "binary_data", default=all_binary)}
    return names, frozenset(binary)


_UNKNOWN: Final = frozenset({"classification", "shared_memory_region", "shared_memory_byte_size"})


def _flag(parameters: Parameters | None, name: str, *, default: bool) -> bool:
    value = default if parameters is None else parameters.get(name, default)
    if not isinstance(value, bool):
        raise Malformed(f"{name} is true or false")
    return value


def words_of(error: Exception) -> str:
    """Return what a decoder's complaint tells about the body, without the decoder's own words."""
    if isinstance(error, msgspec.ValidationError):
        found, got = _WHERE.search(str(error)), _GOT.search(str(error))
        what = f", which is {KINDS[got[1]]}" if got else ""
        return f"the body does not follow the protocol at {found[1] if found else '$'}{what}"
    return "the body is not valid JSON"


def check_distinct(body: bytes) -> None:
    """Refuse a body that gives a member twice: a decoder keeps one of them, and nobody knows which one was meant."""
    try:
        json.loads(body, object_pairs_hook=_distinct)
    except (ValueError, RecursionError):  # what this decoder does not read is refused, whatever the other one says
        raise Malformed("the body is not valid JSON") from None


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) != len(pairs):
        raise Malformed("a key is given twice")
