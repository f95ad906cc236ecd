"""What the gateway says of itself and of the models that it serves, in the protocol's words."""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from holdfast.core.schema import Signature, entities_of, numbers_of, texts_of
from holdfast.core.text import TextInput
from holdfast.serve.protocol import INPUT, LABEL, PROBABILITIES, Malformed
from holdfast.serve.tensors import BYTES

EXTENSIONS: Final = ("binary_tensor_data", "model_repository", "parameters")
LIVE_BODY: Final = b'{"live":true}'
READY_BODY: Final = b'{"live":true,"ready":true}'
STALE_BODY: Final = b'{"live":true,"ready":true,"stale":true}'  # ready for as long as the lease lasts
NOT_READY_BODY: Final = b'{"live":true,"ready":false}'
_ENCODER: Final = msgspec.json.Encoder()


def server_metadata(version: str) -> bytes:
    """Return the body of `GET /v2`."""
    return _ENCODER.encode({"name": "holdfast", "version": version, "extensions": EXTENSIONS})


def model_metadata(model: str, version: str, signature: Signature) -> bytes:
    """Return the body of `GET /v2/models/{model}`; the names and ranges of the features stand under `parameters`.

    A model that takes texts has one input for each of them and for each number, and the texts stand under `parameters`.
    Where features can be looked up, `entities` names what a caller gives instead, and each such feature says `online`.
    """
    texts, numbers = texts_of(signature), [signature.inputs[place] for place in numbers_of(signature)]
    matrix = {"name": INPUT, "datatype": "FP32", "shape": (-1, len(signature.inputs))}
    columns = [{"name": each.name, "datatype": "FP32", "shape": (-1,)} for each in numbers]
    columns += [{"name": each.name, "datatype": BYTES, "shape": (-1,)} for each in texts]
    parameters: dict[str, Any] = {"features": numbers, "classes": signature.classes}
    parameters |= {"texts": [_text(each) for each in texts]} if texts else {}
    parameters |= {"entities": entities} if (entities := entities_of(signature)) else {}
    document = {
        "name": model,
        "versions": (version,),
        "platform": "onnx",
        "inputs": columns if texts else [matrix],
        "outputs": (
            {"name": LABEL, "datatype": "BYTES", "shape": (-1,)},
            {"name": PROBABILITIES, "datatype": "FP64", "shape": (-1, len(signature.classes))},
        ),
        "parameters": parameters,
    }
    return _ENCODER.encode(document)


def _text(text: TextInput) -> dict[str, Any]:
    return {"name": text.name, "most_characters": text.hashing.most_characters}


def model_ready(model: str) -> bytes:
    """Return the body of `GET /v2/models/{model}/ready` of a model that answers."""
    return _ENCODER.encode({"name": model, "ready": True})


class IndexRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v2/repository/index` (model repository extension)."""

    ready: bool = False
    repository_name: str = ""


_INDEX: Final = msgspec.json.Decoder(IndexRequest)


def decode_index(body: bytes) -> IndexRequest:
    """Return what an index is asked for; no body asks for all of it.

    Raises:
        Malformed: The body is something else.
    """
    try:
        return _INDEX.decode(body) if body else IndexRequest()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise Malformed("the body does not follow the protocol") from None


def index(models: Iterable[tuple[str, str, str]]) -> bytes:
    """Return the body of an index: for each model its name, its version, and why it does not answer ("": it does)."""
    rows = [
        {"name": name, "version": version, "state": "UNAVAILABLE" if reason else "READY", "reason": reason}
        for name, version, reason in models
    ]
    return _ENCODER.encode(rows)
