"""Answers as bytes: inference responses of Open Inference Protocol v2, plain predictions, and the error object."""

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from holdfast.core.guard import Answer
from holdfast.core.schema import Signature
from holdfast.serve.protocol import LABEL, PROBABILITIES
from holdfast.serve.tensors import texts

MANY: Final = 64  # rows from which on names are looked up as records at once
MAX_RECORD: Final = 128  # bytes of a record: a name and its length
FILLER: Final = b"\xff"


class _Output(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    name: str
    datatype: str
    shape: tuple[int, ...]
    data: list[Any] | None = None
    parameters: dict[str, int] | None = None


class _InferResponse(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    model_name: str
    model_version: str
    id: str | None = None
    parameters: dict[str, str] | None = None
    outputs: tuple[_Output, ...]


_ENCODER: Final = msgspec.json.Encoder()


def encode_infer(
    answer: Answer,
    signature: Signature,
    *,
    model: str,
    version: str,
    request_id: str,
    outputs: Sequence[str],
    binary: Collection[str] = (),
) -> tuple[bytes, int]:
    """Return the body of an inference response, and the length of its head where tensors follow as bytes, else 0.

    Args:
        answer: What the guards have left of what the model said.
        signature: Of the release that said it.
        model: Its name.
        version: Of the release.
        request_id: That the caller gave; "" for none.
        outputs: That the caller wants; none: all.
        binary: Those that it wants as bytes.
    """
    rows, classes = answer.probabilities.shape
    found, tails = [], []
    if not outputs or LABEL in outputs:
        if LABEL in binary:
            tails.append(_named(answer.labels, signature.classes))
            found.append(_as_bytes(LABEL, "BYTES", (rows,), tails[-1]))
        else:
            names = list(map(signature.classes.__getitem__, answer.labels.tolist()))
            found.append(_Output(name=LABEL, datatype="BYTES", shape=(rows,), data=names))
    if classes and (not outputs or PROBABILITIES in outputs):
        if PROBABILITIES in binary:
            tails.append(answer.probabilities.astype("<f8", copy=False).tobytes())
            found.append(_as_bytes(PROBABILITIES, "FP64", (rows, classes), tails[-1]))
        else:
            flat = answer.probabilities.ravel().tolist()
            found.append(_Output(name=PROBABILITIES, datatype="FP64", shape=(rows, classes), data=flat))
    response = _InferResponse(
        model_name=model,
        model_version=version,
        id=request_id or None,
        parameters={"flags": ",".join(answer.flags)} if answer.flags else None,
        outputs=tuple(found),
    )
    head = _ENCODER.encode(response)
    return (b"".join((head, *tails)), len(head)) if tails else (head, 0)


def _named(labels: NDArray[np.int64], classes: tuple[str, ...]) -> bytes:
    """Return the names of labels as a BYTES tensor: each class is encoded once, however many rows there are."""
    table = _table(classes) if len(labels) >= MANY else None
    if table is None:
        encoded = [texts((name,)) for name in classes]
        return b"".join(map(encoded.__getitem__, labels.tolist()))
    records, filler = table
    rows = records.take(labels).tobytes()
    return rows.translate(None, filler) if filler else rows


@lru_cache(maxsize=64)
def _table(classes: tuple[str, ...]) -> tuple[NDArray[np.void], bytes] | None:
    """Return encoded names as equally long records, and the byte that fills the shorter ones and is in none of them.

    UTF-8 has no byte 0xFF (RFC 3629, section 3), and the lengths of short names neither. None for longer names, whose
    records would be larger than what they stand for.
    """
    encoded = [texts((name,)) for name in classes]
    longest = max(map(len, encoded))
    if longest > MAX_RECORD:
        return None
    even = all(len(each) == longest for each in encoded)
    filled = b"".join(each.ljust(longest, FILLER) for each in encoded)
    return np.frombuffer(filled, dtype=f"V{longest}"), b"" if even else FILLER


def _as_bytes(name: str, datatype: str, shape: tuple[int, ...], data: bytes) -> _Output:
    return _Output(name=name, datatype=datatype, shape=shape, parameters={"binary_data_size": len(data)})


def encode_predict(answer: Answer, signature: Signature, *, model: str, version: str) -> bytes:
    """Return the body of a plain prediction: for each row its label, and probabilities where the guards left them."""
    names = map(signature.classes.__getitem__, answer.labels.tolist())
    predictions: list[Any]
    if not answer.probabilities.shape[1]:
        predictions = [{"label": name} for name in names]
    else:
        prediction, scores = _prediction(signature.classes)
        each = map(scores, *answer.probabilities.T.tolist())
        predictions = [prediction(name, of_row) for name, of_row in zip(names, each, strict=True)]
    document: dict[str, Any] = {"model": model, "version": version, "predictions": predictions}
    if answer.flags:
        document["flags"] = answer.flags
    return _ENCODER.encode(document)


@lru_cache(maxsize=64)
def _prediction(classes: tuple[str, ...]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return what makes the prediction of a row of a label and probabilities, and what makes these of numbers.

    Types made for these classes take a third of the time of dictionaries, which are for classes whose names msgspec
    gives no field.
    """
    fields = [f"c{number}" for number in range(len(classes))]
    try:
        scores = msgspec.defstruct(
            "Scores", [(each, float) for each in fields], rename=dict(zip(fields, classes, strict=True)), gc=False
        )
    except ValueError:  # a quote, a backslash or a control character
        return (
            lambda label, probabilities: {"label": label, "probabilities": probabilities},
            lambda *row: dict(zip(classes, row, strict=True)),
        )
    return msgspec.defstruct("Prediction", [("label", str), ("probabilities", scores)], gc=False), scores


def encode_error(words: str) -> bytes:
    """Return the protocol's error object."""
    return _ENCODER.encode({"error": words})
