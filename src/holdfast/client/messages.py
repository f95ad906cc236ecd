"""What is sent to a gateway and what comes back, as values: no sockets, no clocks but for a signature's time."""

import json
import math
import os
import secrets
import struct
import sys
import time
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable
from urllib.parse import quote

from holdfast.core import places
from holdfast.core.errors import HoldfastError, InvalidInput, InvalidRequest, NotFound, Refused, Unavailable
from holdfast.core.signed_request import NONCE, SIGNATURE, TIMESTAMP, request_signature

MAX_ANSWER: Final = 64 << 20  # bytes; 100,000 rows of a dozen classes fit
BYTES_FROM: Final = 256  # values; below, JSON is as fast, and people can read it
HEAD: Final = "inference-header-content-length"
Credential: TypeAlias = str | Callable[[], str]
"""An API key, or what returns the token of the moment; "" for who is known by the certificate of the connection."""


@runtime_checkable
class Array(Protocol):
    """An array of numbers, such as numpy's; its rows are taken by `tolist`."""

    def tolist(self) -> Any:
        """Return nested lists."""
        ...


Rows: TypeAlias = Sequence[Sequence[float]] | Array
Columns: TypeAlias = Mapping[str, Sequence[float] | Sequence[str]]
Whom: TypeAlias = tuple[tuple[str, str], ...]
"""Headers that say on whose behalf a call is made."""
NO_ATTRIBUTES: Final[Mapping[str, str]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer to one call, row by row."""

    labels: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]  # empty where the gateway tells labels only
    release: str  # the short digest of the release that answered
    correlation: str  # the id under which the gateway has this call on record
    flags: tuple[str, ...] = ()  # such as "out-of-range", for input that was answered with a reservation
    stale: bool = False  # the gateway answers from an older state, because it could not load the newest
    flagged: Mapping[str, frozenset[int]] = field(default_factory=dict)  # rows, from 0, by the flag that is theirs


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One call, the same over all its attempts."""

    method: str
    path: str  # as the gateway sees it
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """One answer; names of headers in lower case."""

    status: int
    headers: dict[str, str]
    content: bytes

    def document(self) -> dict[str, Any]:
        """Return the JSON object in it, or before its bytes; an empty one where there is none."""
        length = self.headers.get(HEAD, "")
        text = self.content[: int(length)] if length.isascii() and length.isdigit() else self.content
        try:
            found = json.loads(text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}


def inference(model: str, rows: Rows, *, correlation: str, as_bytes: bool | None, whom: Whom = ()) -> Asked:
    """Return the call that asks a model about rows, on behalf of `whom`.

    Raises:
        InvalidInput: The rows are none, ragged, or not finite.
    """
    lists = rows.tolist() if isinstance(rows, Array) else [list(row) for row in rows]
    widths = {len(row) for row in lists}
    if len(widths) != 1:
        raise InvalidInput("the rows are not of one length, or there are none", expected="shape (n, features)")
    flat = array("d", (value for row in lists for value in _floats(row, "a row")))
    if not all(map(math.isfinite, flat)):
        raise InvalidInput("the rows hold NaN or infinity", expected="finite numbers")
    tensor: dict[str, Any] = {"name": "input", "shape": [len(lists), widths.pop()], "datatype": "FP64"}
    kind = "application/json"
    if as_bytes or (as_bytes is None and len(flat) >= BYTES_FROM):
        if sys.byteorder == "big":
            flat.byteswap()  # the protocol's bytes are little-endian
        tensor["parameters"] = {"binary_data_size": 8 * len(flat)}
        head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
        body = head + flat.tobytes()
        more = ((HEAD, str(len(head))), *whom)
        return _asked("POST", model, "/infer", body, correlation, "application/octet-stream", more)
    tensor["data"] = flat.tolist()
    return _asked("POST", model, "/infer", json.dumps({"inputs": [tensor]}).encode(), correlation, kind, whom)


def of_columns(model: str, columns: Columns, *, correlation: str, whom: Whom = ()) -> Asked:
    """Return the call that asks a model about rows given by name: numbers, and texts where it takes such.

    Raises:
        InvalidInput: There are no rows, the columns are not of one length, or a number is not finite.
    """
    tensors: list[dict[str, Any]] = []
    for name, values in columns.items():
        if isinstance(values, str) or not isinstance(values, Iterable):
            raise InvalidInput(f"{name!r} is one value", expected="n values of each column")
        texts = all(isinstance(value, str) for value in values)
        data = list(values) if texts else _floats(values, repr(name))
        if not texts and not all(math.isfinite(value) for value in data if isinstance(value, float)):
            raise InvalidInput(f"{name!r} holds NaN or infinity", expected="finite numbers, or texts")
        kind = "BYTES" if texts else "FP64"
        tensors.append({"name": name, "shape": [len(data)], "datatype": kind, "data": data})
    if {len(tensor["data"]) for tensor in tensors} - {len(tensors[0]["data"]) if tensors else 0} or not tensors:
        raise InvalidInput("the columns are not of one length, or there are none", expected="n values of each")
    if not tensors[0]["data"]:
        raise InvalidInput("there are no rows", expected="n values of each column")
    body = json.dumps({"inputs": tensors}).encode()
    return _asked("POST", model, "/infer", body, correlation, "application/json", whom)


def _floats(values: Iterable[Any], where: str) -> list[float]:
    """Return numbers as floats.

    Raises:
        InvalidInput: One is no number; a missing value is none.
    """
    try:
        return [float(value) for value in values]
    except (TypeError, ValueError) as error:
        expected = "finite numbers; none may be missing"
        raise InvalidInput(f"{where} holds what is no number", expected=expected) from error


def on_behalf_of(unit: str, attributes: Mapping[str, str]) -> Whom:
    """Return the headers that name whom a call is for, and declare attributes of it.

    Raises:
        InvalidInput: One could end its header, or be read as two.
    """
    declared = "; ".join(f"{name}={value}" for name, value in attributes.items())
    if any(mark in text for pair in attributes.items() for text in pair for mark in ";=,"):
        raise InvalidInput("an attribute holds a mark that separates them", expected="no ; = or , in names and values")
    named = (("X-Holdfast-Unit", plain(unit, "the unit")), ("X-Holdfast-Attributes", plain(declared, "an attribute")))
    return tuple((name, text) for name, text in named if text)


def metadata(model: str) -> Asked:
    """Return the call that asks what a model takes and gives."""
    return _asked("GET", model, "", None, "", "", ())


def _asked(
    method: str,
    model: str,
    verb: str,
    body: bytes | None,
    correlation: str,
    kind: str,
    more: tuple[tuple[str, str], ...],
) -> Asked:
    headers = [("X-Correlation-Id", plain(correlation, "the correlation id") or os.urandom(16).hex())]
    headers += [("Content-Type", kind)] if body is not None else []
    return Asked(method=method, path=f"/v2/models/{quote(model, safe='')}{verb}", body=body, headers=(*headers, *more))


READY: Final = Asked(method="GET", path="/v2/health/ready")


def attempt_headers(asked: Asked, credential: Credential | None, *, sign: bool) -> dict[str, str]:
    """Return the headers of one attempt: signed anew, so that the gateway takes it, and takes it once.

    The path is the gateway's own, without what a proxy cuts off.

    Raises:
        InvalidInput: The credential could end its header and begin another.
    """
    found = dict(asked.headers)
    if credential is None:
        return found
    secret = plain(credential if isinstance(credential, str) else credential(), "the API key")
    if secret:
        found["Authorization"] = f"Bearer {secret}"
    if not sign:
        return found
    timestamp, nonce = str(int(time.time())), secrets.token_urlsafe(16)
    found[TIMESTAMP], found[NONCE] = timestamp, nonce
    if secret:
        found[SIGNATURE] = request_signature(
            secret, method=asked.method, path=asked.path, body=asked.body or b"", timestamp=timestamp, nonce=nonce
        )
    return found


def plain(text: str, what: str) -> str:
    """Return a header's value, or refuse one that could end the header and begin another."""
    if not text.isascii() or (text and not text.isprintable()):
        raise InvalidInput(f"{what} holds characters that a header may not", expected="printable ASCII")
    return text


def prediction(received: Received) -> Prediction:
    """Return what a good answer to an inference says.

    Raises:
        Unavailable: It does not follow the protocol.
    """
    document, headers = received.document(), received.headers
    try:
        outputs = dict(_outputs(document, received))
        shapes = {output["name"]: output["shape"] for output in document["outputs"]}
        rows, classes = shapes.get("probabilities", (0, 0))
        flat = outputs.get("probabilities", ())
        labels = tuple(outputs["label"])
        flags = tuple(filter(None, document.get("parameters", {}).get("flags", "").split(",")))
        return Prediction(
            labels=labels,
            probabilities=tuple(tuple(flat[row * classes : (row + 1) * classes]) for row in range(rows)),
            release=headers.get("x-holdfast-release", ""),
            correlation=headers.get("x-correlation-id", ""),
            flags=flags,
            stale="x-holdfast-stale" in headers,
            flagged=_flagged(flags, headers, len(labels)),
        )
    except (KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise Unavailable("the answer does not follow Open Inference Protocol v2") from error


def _flagged(flags: Sequence[str], headers: Mapping[str, str], rows: int) -> dict[str, frozenset[int]]:
    """Return the rows of each flag that says which it is about: by its header, or as the only one of the call."""
    found = {}
    for flag in flags:
        named = headers.get(places.ROWS_OF.get(flag, ""))
        if named is not None:
            found[flag] = places.read(named, rows)
        elif rows == 1:
            found[flag] = frozenset([0])
    return found


def _outputs(document: dict[str, Any], received: Received) -> list[tuple[str, Any]]:
    """Return each output's name and values, whether they came as JSON or as bytes."""
    found, begin = [], int(received.headers.get(HEAD, "0"))
    for output in document["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            found.append((output["name"], output["data"]))
            continue
        data = received.content[begin : begin + size]
        if len(data) != size:
            raise ValueError("the bytes of a tensor are missing")
        begin += size
        found.append((output["name"], _texts(data) if output["datatype"] == "BYTES" else _numbers(data)))
    return found


def _numbers(data: bytes) -> list[float]:
    found = array("d", data)
    if sys.byteorder == "big":
        found.byteswap()
    return found.tolist()


def _texts(data: bytes) -> list[str]:
    found, begin = [], 0
    while begin < len(data):
        (length,) = struct.unpack_from("<I", data, begin)
        begin += 4 + length
        if begin > len(data):
            raise ValueError("a text is cut off")
        found.append(data[begin - length : begin].decode())
    return found


def error_of(received: Received) -> HoldfastError:
    """Return the gateway's refusal as the error that fits it."""
    status, headers = received.status, received.headers
    words = str(received.document().get("error") or f"the gateway answered {status}")[:500]
    place = f"{headers.get('x-holdfast-code', status)}, correlation id {headers.get('x-correlation-id', 'unknown')}"
    if status in {401, 403}:
        return Refused(words, place=place, remedy="Ask the owner of the model for a key that is valid for it.")
    if status == 429:  # noqa: PLR2004 - RFC 6585 4
        return Refused(words, place=place, remedy="Call more slowly, or ask the owner for a higher limit.")
    if status == 404:  # noqa: PLR2004 - RFC 9110 15.5.5
        return NotFound(words, place=place, remedy="Check the model's name.")
    if status < 500:  # noqa: PLR2004 - RFC 9110 15.5: the caller's fault
        return InvalidRequest(words, place=place)
    return Unavailable(words, place=place, remedy="Call again later; the operator finds the reason under this id.")


def unreachable(error: Exception, place: str) -> Unavailable:
    """Return what is said where no answer came."""
    return Unavailable(
        f"the gateway cannot be reached: {type(error).__name__}",
        place=place,
        remedy="Check that it runs (`GET /v2/health/ready`), and call again.",
    )


def too_long() -> Unavailable:
    """Return what is said of an answer that nobody waits for the end of."""
    return Unavailable("the gateway's answer is too long", expected=f"at most {MAX_ANSWER} bytes")
