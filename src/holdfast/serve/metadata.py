"""What the gateway says of itself and of the models that it serves, in the protocol's words."""

from collections.abc import Iterable
from typing import Final

import msgspec

from holdfast.core.schema import Signature
from holdfast.serve.protocol import INPUT, LABEL, PROBABILITIES, Malformed

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
