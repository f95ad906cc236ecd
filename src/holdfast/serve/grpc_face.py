"""gRPC in front of the core: a call becomes the request that says the same over HTTP, and the answer a message.

Nothing is decided here: the core, its guards and its records see what they see of every request. Tensors go through as
bytes, in the form of the binary tensor extension. What a caller has signed is the message as it was sent: method
`POST`, the full name of the method with its slashes, and the message's bytes.
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

import msgspec
import numpy as np

from holdfast.core.places import ROWS_OF
from holdfast.serve.asgi import Core
from holdfast.serve.exchange import HEADERS_READ, HttpRequest, HttpResponse
from holdfast.serve.grpc_messages import HEALTH, SERVICE, message
from holdfast.serve.refusals import MALFORMED, Saying
from holdfast.serve.tensors import BOUNDS, ELEMENTS
from holdfast.serve.turns import Turns

HEAD: Final = b"inference-header-content-length"
CODES: Final[Mapping[int, str]] = {
    200: "OK",
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "RESOURCE_EXHAUSTED",
    415: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    503: "UNAVAILABLE",
}
"""The code of gRPC for each status that the core answers with."""
SERVING, NOT_SERVING = 1, 2  # grpc.health.v1
_TOLD: Final = frozenset(
    {b"x-correlation-id", b"x-holdfast-release", b"x-holdfast-stale", b"x-holdfast-code", b"retry-after"}
    | {b"x-holdfast-fallback", b"x-holdfast-safe-state", b"x-holdfast-degraded"}
    | {name.encode() for name in ROWS_OF.values()}
)
_OURS: Final = frozenset({b"content-encoding", HEAD})  # headers of HTTP's own: a caller's metadata of that name is none
_FIELDS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where a datatype's elements stand in a message that does not hold them as bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call as received."""

    method: str  # its full name, such as /inference.GRPCInferenceService/ModelInfer
    message: bytes
    metadata: Iterable[tuple[str, str | bytes]] = ()
    peer: str = ""
    certificate: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The answer: a code of gRPC, a message where it is OK, words where it is not, and trailing metadata."""

    code: str
    message: bytes = b""
    words: str = ""
    trailers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Method:
    """How one method is asked over HTTP, and how its answer is told."""

    takes: str
    gives: str
    request: Callable[[Any], "_Said"]
    fill: Callable[[Any, HttpResponse], None]
    unready: bool = False  # whether 503 is an answer: not ready


@dataclass(frozen=True, slots=True, kw_only=True)
class _Said:
    path: str
    body: bytes = b""
    head: int = 0
    method: str = "GET"


class _Crooked(Exception):
    """A message does not say what it should; the words may be shown to the caller."""


class Face:
    """Answers calls in turn, and sheds what is too much, as it is done over HTTP."""

    def __init__(self, core: Core) -> None:
        """Begin with nobody in line."""
        self._core, self._turns = core, Turns(core)

    async def answer(self, asked: Asked) -> Reply:
        """Return the answer to a call; never raises."""
        begun = _begun(self._core, asked)
        if isinstance(begun, Reply):
            return begun
        method, request = begun
        free = self._turns.free(request.path)
        return _ended(method, self._core.handle(request) if free else await self._turns.wait(request))

    def turned_away(self, asked: Asked, saying: Saying) -> Reply:
        """Return the refusal of a call that was not read to its end."""
        return turned_away(self._core, asked, saying)


def answer(core: Core, asked: Asked) -> Reply:
    """Return the answer to a call, at once; never raises."""
    begun = _begun(core, asked)
    return begun if isinstance(begun, Reply) else _ended(begun[0], core.handle(begun[1]))


def _begun(core: Core, asked: Asked) -> tuple[_Method | None, HttpRequest] | Reply:
    """Return the request that says over HTTP what a call asks, or the refusal of a message that says nothing."""
    method = METHODS.get(asked.method)
    if method is None:  # a path that nothing answers: it waits for its turn, and its refusal is on record, as others
        return None, _request(asked, _Said(path=asked.method))
    try:
        said = method.request(_parsed(method.takes, asked.message))
    except _Crooked as error:
        return _reply(core.turn_away(_request(asked, _Said(path=asked.method)), _malformed(str(error))))
    return method, _request(asked, said)


def _ended(method: _Method | None, response: HttpResponse) -> Reply:
    if method is None and response.status == 404:  # noqa: PLR2004 - what else is said, as under overload, is said so
        return Reply(code="UNIMPLEMENTED", words="there is no such method", trailers=_trailers(response))
    if method is None:
        return _reply(response)
    if response.status != 200 and not (method.unready and response.status == 503):  # noqa: PLR2004 - RFC 9110
        return _reply(response)
    made = message(method.gives)()
    method.fill(made, response)
    return Reply(code="OK", message=made.SerializeToString(), trailers=_trailers(response))


def turned_away(core: Core, asked: Asked, saying: Saying) -> Reply:
    """Return the refusal of a call that was not read to its end."""
    return _reply(core.turn_away(_request(asked, _Said(path=asked.method)), saying))


def _malformed(words: str) -> Saying:
    return Saying(code=MALFORMED.code, status=MALFORMED.status, public=words)


def _parsed(name: str, data: bytes) -> Any:
    try:
        return message(name).FromString(data)
    except Exception as error:  # protobuf's own error, which is the same in no two of its implementations
        raise _Crooked("the message is malformed") from error


def _request(asked: Asked, said: _Said) -> HttpRequest:
    headers = []
    for name, value in asked.metadata:
        key = name.encode("latin-1", "replace")
        if key in HEADERS_READ and key not in _OURS:
            headers.append((key, value.encode("latin-1", "replace") if isinstance(value, str) else value))
    if said.head:
        headers.append((HEAD, b"%d" % said.head))
    return HttpRequest(
        method=said.method,
        path=said.path,
        headers=headers,
        body=said.body,
        peer=asked.peer,
        certificate=asked.certificate,
        signed=(asked.method, asked.message),
    )


def _reply(response: HttpResponse) -> Reply:
    try:
        words = str(msgspec.json.decode(response.body)["error"])
    except (msgspec.MsgspecError, KeyError, TypeError):
        words = "refused"
    return Reply(code=CODES.get(response.status, "UNKNOWN"), words=words, trailers=_trailers(response))


def _trailers(response: HttpResponse) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode(), value.decode("latin-1")) for name, value in response.headers if name in _TOLD)


# ── each method ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _of_model(name: str, version: str, verb: str = "") -> str:
    """Return the path about a model; what is in a name stays one part of it."""
    parts = ["/v2/models", quote(name, safe="")]
    parts += ["versions", quote(version, safe="")] if version else []
    return "/".join([*parts, verb] if verb else parts)


def _document(response: HttpResponse) -> Any:
    return msgspec.json.decode(response.body)


def _fill_server(made: Any, response: HttpResponse) -> None:
    found = _document(response)
    made.name, made.version = found["name"], found["version"]
    made.extensions.extend(found["extensions"])


def _fill_model(made: Any, response: HttpResponse) -> None:
    found = _document(response)
    made.name, made.platform = found["name"], found["platform"]
    made.versions.extend(found["versions"])
    for name in ("inputs", "outputs"):
        for tensor in found[name]:
            getattr(made, name).add(name=tensor["name"], datatype=tensor["datatype"], shape=tensor["shape"])


def _fill_index(made: Any, response: HttpResponse) -> None:
    for row in _document(response):
        made.models.add(**row)


def _fill_ready(made: Any, response: HttpResponse) -> None:
    made.ready = response.status == 200  # noqa: PLR2004 - RFC 9110


def _fill_live(made: Any, response: HttpResponse) -> None:
    made.live = response.status == 200  # noqa: PLR2004 - RFC 9110


def _fill_health(made: Any, response: HttpResponse) -> None:
    made.status = SERVING if response.status == 200 else NOT_SERVING  # noqa: PLR2004 - RFC 9110


def _index(asked: Any) -> _Said:
    body = msgspec.json.encode({"ready": asked.ready, "repository_name": asked.repository_name})
    return _Said(path="/v2/repository/index", body=body, method="POST")


def _infer(asked: Any) -> _Said:
    """Return an inference as a head of JSON with the tensors behind it; the answer comes in the same form."""
    raw = list(asked.raw_input_contents)
    if raw and len(raw) != len(asked.inputs):
        raise _Crooked("raw_input_contents holds another number of tensors than there are inputs")
    inputs, tails = [], []
    for number, tensor in enumerate(asked.inputs):
        if raw and tensor.contents.ByteSize():  # an empty one says nothing
            raise _Crooked("a tensor must have either contents or raw_input_contents")
        data = raw[number] if raw else _elements(tensor)
        parameters = _parameters(tensor.parameters) | {"binary_data_size": len(data)}
        inputs.append(
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": parameters,
            }
        )
        tails.append(data)
    document: dict[str, Any] = {
        "inputs": inputs,
        "parameters": _parameters(asked.parameters) | {"binary_data_output": True},
    }
    if asked.id:
        document["id"] = asked.id
    if asked.outputs:
        document["outputs"] = [
            {"name": each.name, "parameters": _parameters(each.parameters) | {"binary_data": True}}
            for each in asked.outputs
        ]
    head = msgspec.json.encode(document)
    path = _of_model(asked.model_name, asked.model_version, "infer")
    return _Said(path=path, body=b"".join((head, *tails)), head=len(head), method="POST")


def _elements(tensor: Any) -> bytes:
    """Return the elements of a tensor that stand in its contents, as bytes.

    Raises:
        _Crooked: They stand in another field than their datatype's, or are none of its values.
    """
    wanted = _FIELDS.get(tensor.datatype)
    if wanted is None:
        raise _Crooked("this datatype comes in raw_input_contents")
    if any(field.name != wanted for field, _ in tensor.contents.ListFields()):
        raise _Crooked(f"a tensor of {tensor.datatype} has its elements in {wanted}")
    if tensor.datatype == "BYTES":
        return b"".join(
            part for each in tensor.contents.bytes_contents for part in (struct.pack("<I", len(each)), each)
        )
    found = list(getattr(tensor.contents, wanted))
    bounds = BOUNDS.get(tensor.datatype)
    if bounds is not None and found and not (bounds[0] <= min(found) and max(found) <= bounds[1]):
        raise _Crooked(f"a tensor holds values that are no {tensor.datatype}")
    return np.array(found, dtype=ELEMENTS[tensor.datatype]).tobytes()


def _parameters(found: Any) -> dict[str, Any]:
    kinds = ((name, parameter, parameter.WhichOneof("parameter_choice")) for name, parameter in found.items())
    return {name: getattr(parameter, kind) for name, parameter, kind in kinds if kind is not None}


class _Output(msgspec.Struct):
    name: str
    datatype: str
    shape: list[int]
    parameters: dict[str, int]


class _Inferred(msgspec.Struct):
    model_name: str
    model_version: str
    outputs: list[_Output]
    id: str = ""
    parameters: dict[str, str] = {}


_INFERRED: Final = msgspec.json.Decoder(_Inferred)


def _fill_inferred(made: Any, response: HttpResponse) -> None:
    length = int(response.header(HEAD) or b"0")
    found, begin = _INFERRED.decode(memoryview(response.body)[:length]), length
    made.model_name, made.model_version, made.id = found.model_name, found.model_version, found.id
    for name, value in found.parameters.items():
        made.parameters[name].string_param = value
    for output in found.outputs:
        made.outputs.add(name=output.name, datatype=output.datatype, shape=output.shape)
        size = output.parameters["binary_data_size"]
        made.raw_output_contents.append(response.body[begin : begin + size])
        begin += size


def _get(path: str) -> Callable[[Any], _Said]:
    return lambda _: _Said(path=path)


METHODS: Final[Mapping[str, _Method]] = {
    f"/{SERVICE}/ServerLive": _Method(
        takes="ServerLiveRequest", gives="ServerLiveResponse", request=_get("/v2/health/live"), fill=_fill_live
    ),
    f"/{SERVICE}/ServerReady": _Method(
        takes="ServerReadyRequest",
        gives="ServerReadyResponse",
        request=_get("/v2/health/ready"),
        fill=_fill_ready,
        unready=True,
    ),
    f"/{SERVICE}/ServerMetadata": _Method(
        takes="ServerMetadataRequest", gives="ServerMetadataResponse", request=_get("/v2"), fill=_fill_server
    ),
    f"/{SERVICE}/ModelReady": _Method(
        takes="ModelReadyRequest",
        gives="ModelReadyResponse",
        request=lambda asked: _Said(path=_of_model(asked.name, asked.version, "ready")),
        fill=_fill_ready,
        unready=True,
    ),
    f"/{SERVICE}/ModelMetadata": _Method(
        takes="ModelMetadataRequest",
        gives="ModelMetadataResponse",
        request=lambda asked: _Said(path=_of_model(asked.name, asked.version)),
        fill=_fill_model,
    ),
    f"/{SERVICE}/RepositoryIndex": _Method(
        takes="RepositoryIndexRequest", gives="RepositoryIndexResponse", request=_index, fill=_fill_index
    ),
    f"/{SERVICE}/ModelInfer": _Method(
        takes="ModelInferRequest", gives="ModelInferResponse", request=_infer, fill=_fill_inferred
    ),
    f"/{HEALTH}/Check": _Method(
        takes="HealthCheckRequest",
        gives="HealthCheckResponse",
        request=_get("/v2/health/ready"),
        fill=_fill_health,
        unready=True,
    ),
}
"""Every method that is answered, by its full name."""
