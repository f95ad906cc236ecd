"""The SDK for callers of a gateway: rows in, labels and probabilities out, with time limits and a bounded patience.

Speaks Open Inference Protocol v2 over HTTP/1.1 with the standard library alone. A call that the gateway turned away
because it was too fast, or could not answer, is repeated after the time the gateway names; how often and how long in
all is bounded, so that a gateway in trouble is not kept there by its callers.
"""

import http.client
import json
import os
import secrets
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeAlias, runtime_checkable
from urllib.parse import quote, urlsplit

from holdfast.core.errors import HoldfastError, InvalidInput, InvalidRequest, NotFound, Refused, Unavailable
from holdfast.core.exposure import check_secure
from holdfast.core.signed_request import NONCE, SIGNATURE, TIMESTAMP, request_signature

TIMEOUT_S: Final = 10.0  # for one attempt
RETRIES: Final = 3  # attempts after the first
PATIENCE_S: Final = 30.0  # spent waiting over all attempts of one call
FIRST_WAIT_S: Final = 0.2  # where the gateway names no time; doubles with each attempt
MAX_ANSWER: Final = 64 << 20  # bytes; 100,000 rows of a dozen classes fit
_TRY_AGAIN: Final = frozenset({429, 503})


@runtime_checkable
class Array(Protocol):
    """An array of numbers, such as numpy's; its rows are taken by `tolist`."""

    def tolist(self) -> Any:
        """Return nested lists."""
        ...


Rows: TypeAlias = Sequence[Sequence[float]] | Array


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """The answer to one call, row by row."""

    labels: tuple[str, ...]
    probabilities: tuple[tuple[float, ...], ...]  # empty where the gateway tells labels only
    release: str  # the short digest of the release that answered
    correlation: str  # the id under which the gateway has this call on record
    flags: tuple[str, ...] = ()  # such as "out-of-range", for input that was answered with a reservation
    stale: bool = False  # the gateway answers from an older state, because it could not load the newest


class Client:
    """A caller of one gateway; one connection, kept open; not for use by several threads at once."""

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        context: ssl.SSLContext | None = None,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        patience_s: float = PATIENCE_S,
        sleep: Callable[[float], None] = time.sleep,
        sign: bool = True,
    ) -> None:
        """Remember where to call and as whom; nothing is sent yet.

        Each attempt is signed anew, so that a gateway which asks for fresh requests takes it, and takes it once; others
        ignore the signature. `sign=False` leaves it out. `context` says whom to trust, where that is not whom the
        system trusts.

        Raises:
            InvalidInput: The URL is neither `https://` with a host nor `http://` on this machine: the key travels with
                each call.
        """
        check_secure(url, "a gateway")
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme == "https":
            secure = http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=context)
            self._connection: http.client.HTTPConnection = secure
        else:
            self._connection = http.client.HTTPConnection(host, parts.port, timeout=timeout_s)
        self._prefix = parts.path.rstrip("/")
        self._sign = sign
        self._api_key, self._retries, self._patience_s, self._sleep = api_key, retries, patience_s, sleep

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def infer(self, model: str, rows: Rows, *, correlation: str = "") -> Prediction:
        """Return what a model says about rows.

        Args:
            model: Its name.
            rows: Numbers, shape (n, features), in the order that `metadata` tells.
            correlation: An id for this call, kept over its retries; a new one if left out.

        Raises:
            InvalidRequest: The gateway found the rows wrong; its words are the message.
            Refused: The key is not accepted, or not for this model, or calls too often.
            NotFound: The gateway serves no such model.
            Unavailable: It cannot be reached, or cannot answer now.
        """
        lists = rows.tolist() if isinstance(rows, Array) else [list(row) for row in rows]
        widths = {len(row) for row in lists}
        if len(widths) != 1:
            raise InvalidInput("the rows are not of one length, or there are none", expected="shape (n, features)")
        tensor = {
            "name": "input",
            "shape": [len(lists), widths.pop()],
            "datatype": "FP64",
            "data": [float(value) for row in lists for value in row],
        }
        try:
            body = json.dumps({"inputs": [tensor]}, allow_nan=False).encode()
        except ValueError as error:
            raise InvalidInput("the rows hold NaN or infinity", expected="finite numbers") from error
        document, headers = self._call("POST", f"/v2/models/{quote(model, safe='')}/infer", body, correlation)
        return _prediction(document, headers)

    def metadata(self, model: str) -> dict[str, Any]:
        """Return what a model takes and gives; the names and ranges of its inputs stand under `parameters`.

        Raises:
            HoldfastError: As `infer` does.
        """
        return self._call("GET", f"/v2/models/{quote(model, safe='')}", None, "")[0]

    def ready(self) -> bool:
        """Say whether the gateway answers now."""
        try:
            status, _, _ = self._attempt("GET", "/v2/health/ready", None, {})
        except Unavailable:
            return False
        return status == http.client.OK

    def _call(
        self, method: str, path: str, body: bytes | None, correlation: str
    ) -> tuple[dict[str, Any], dict[str, str]]:
        """Call until there is an answer, a refusal that waiting does not change, or no patience left."""
        headers = {
            "Authorization": f"Bearer {_plain(self._api_key, 'the API key')}",
            "X-Correlation-Id": _plain(correlation, "the correlation id") or os.urandom(16).hex(),
        }
        if body is not None:
            headers["Content-Type"] = "application/json"
        left, patience_s, wait_s = self._retries, self._patience_s, FIRST_WAIT_S
        while True:
            status, answered, document = self._attempt(method, path, body, headers)
            if status == http.client.OK:
                return document, answered
            wait_s = _named_wait(answered) or wait_s
            if status not in _TRY_AGAIN or left == 0 or wait_s > patience_s:
                raise _error(status, answered, document)
            self._sleep(wait_s)
            left, patience_s, wait_s = left - 1, patience_s - wait_s, 2 * wait_s

    def _signature(self, method: str, path: str, body: bytes) -> dict[str, str]:
        """Return the headers that sign one attempt; the path is the gateway's own, without what a proxy cuts off."""
        timestamp, nonce = str(int(time.time())), secrets.token_urlsafe(16)
        signature = request_signature(
            self._api_key, method=method, path=path, body=body, timestamp=timestamp, nonce=nonce
        )
        return {TIMESTAMP: timestamp, NONCE: nonce, SIGNATURE: signature}

    def _attempt(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], dict[str, Any]]:
        """Make one attempt, on a new connection if the gateway has closed the old one meanwhile."""
        kept = self._connection.sock is not None
        try:
            signed = headers | self._signature(method, path, body or b"") if self._sign else headers
            self._connection.request(method, self._prefix + path, body, signed)
            response = self._connection.getresponse()
            content = response.read(MAX_ANSWER + 1)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            # Only what idled too long is tried again at once: predictions change nothing, so asking twice is no harm.
            if kept and not isinstance(error, TimeoutError):
                return self._attempt(method, path, body, headers)
            raise Unavailable(
                f"the gateway cannot be reached: {type(error).__name__}",
                place=f"{self._connection.host}:{self._connection.port}",
                remedy="Check that it runs (`GET /v2/health/ready`), and call again.",
            ) from error
        names = {name.lower(): value for name, value in response.getheaders()}
        if len(content) > MAX_ANSWER:
            self._connection.close()
            raise Unavailable("the gateway's answer is too long", expected=f"at most {MAX_ANSWER} bytes")
        return response.status, names, _document(content)


def _plain(text: str, what: str) -> str:
    """Return a header's value, or refuse one that could end the header and begin another."""
    if not text.isascii() or (text and not text.isprintable()):
        raise InvalidInput(f"{what} holds characters that a header may not", expected="printable ASCII")
    return text


def _document(content: bytes) -> dict[str, Any]:
    try:
        document = json.loads(content)
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _named_wait(headers: dict[str, str]) -> float | None:
    """Return the seconds that Retry-After names (RFC 9110, 10.2.3); a date or nonsense counts as nothing."""
    named = headers.get("retry-after", "")
    return float(named) if named.isascii() and named.isdigit() else None


def _prediction(document: dict[str, Any], headers: dict[str, str]) -> Prediction:
    try:
        outputs = {output["name"]: output for output in document["outputs"]}
        probabilities = outputs.get("probabilities", {"shape": (0, 0), "data": ()})
        rows, classes = probabilities["shape"]
        flat = probabilities["data"]
        return Prediction(
            labels=tuple(outputs["label"]["data"]),
            probabilities=tuple(tuple(flat[row * classes : (row + 1) * classes]) for row in range(rows)),
            release=headers.get("x-holdfast-release", ""),
            correlation=headers.get("x-correlation-id", ""),
            flags=tuple(filter(None, document.get("parameters", {}).get("flags", "").split(","))),
            stale="x-holdfast-stale" in headers,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unavailable("the answer does not follow Open Inference Protocol v2") from error


def _error(status: int, headers: dict[str, str], document: dict[str, Any]) -> HoldfastError:
    """Return the gateway's refusal as the error that fits it."""
    words = str(document.get("error") or f"the gateway answered {status}")[:500]
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
